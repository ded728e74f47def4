//! Settings that may be of several types.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use toml::{Table, Value};

use crate::{ConfigError, raise};

/// Reads a setting that may be of several types, for a `Deserialize` written by hand: `read` makes it of the value, or gives
/// `None` where the value is not what is `expected`.
///
/// # Errors
/// Another value; what `read` refuses.
pub fn by_value<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: impl FnOnce(&Value) -> Option<Result<T, ConfigError>>,
) -> Result<T, D::Error> {
    let value = deserializer.deserialize_any(AnyValue(expected))?;
    read(&value).unwrap_or_else(|| Err(ConfigError::wrong_type("", expected, &value))).map_err(raise)
}

/// Any number, infinities and NaN too; for `#[serde(deserialize_with = "strict_config::any_number")]`. Without it a number
/// must be finite.
///
/// # Errors
/// What is not a number.
pub fn any_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    by_value(deserializer, "a number", |value| {
        value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64)).map(Ok)
    })
}

/// A value of any type but a date, where what it holds is expected.
struct AnyValue(&'static str);

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        let whole = i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
        Ok(Value::Integer(whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Value, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(fields)).map(Value::Table)
    }
}
