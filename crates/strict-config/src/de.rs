//! serde's view of a TOML value, with the errors of this crate: each has its path, the value found and what is right.

use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess};
use toml::{Table, Value};

use crate::{ConfigError, Problem, nearest, show};

/// Deserializes from `value`; paths in errors begin at the value.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, ConfigError> {
    T::deserialize(ValueDeserializer { value })
}

impl de::Error for ConfigError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        crate::raise::raised().unwrap_or_else(|| Self::conflict("", message))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new("", Problem::WrongType { expected: expected.to_string(), found: unexpected(&found) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::not_allowed("", unexpected(&found), expected.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::not_allowed("", format!("an array of {length}"), expected.to_string())
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::unknown_name("", "", found, known.iter().copied())
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        unknown_field(field, known)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing(field, "")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::conflict(field, "stands here twice")
    }
}

fn unexpected(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => show(&toml::Value::String((*text).to_owned())),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a table".to_owned(),
        other => other.to_string(),
    }
}

fn unknown_field(field: &str, known: &[&str]) -> ConfigError {
    ConfigError::new(
        field,
        Problem::UnknownField {
            nearest: nearest(field, known.iter().copied()).map(str::to_owned),
            known: known.iter().map(|&name| name.to_owned()).collect(),
        },
    )
}

/// The fields of a table.
struct TableAccess<'a> {
    fields: toml::map::Iter<'a, String, Value>,
    /// The field whose name was handed out and whose value was not.
    value: Option<(&'a str, &'a Value)>,
}

impl<'a> TableAccess<'a> {
    fn new(table: &'a Table) -> Self {
        Self { fields: table.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for TableAccess<'_> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let name: &str = name;
        self.value = Some((name, value));
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ConfigError> {
        let (name, value) = self.value.take().ok_or_else(|| ConfigError::conflict("", "a value without a name"))?;
        seed.deserialize(ValueDeserializer { value }).map_err(|mut error| {
            // A choice is called by its field: "there is no mode `fast`".
            if let Problem::UnknownName { kind, .. } = &mut error.problem
                && kind.is_empty()
            {
                name.clone_into(kind);
            }
            error.within(name)
        })
    }
}

struct ItemAccess<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'de> SeqAccess<'de> for ItemAccess<'_> {
    type Error = ConfigError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ConfigError> {
        let Some((at, value)) = self.items.next() else { return Ok(None) };
        seed.deserialize(ValueDeserializer { value }).map(Some).map_err(|error| error.within(&format!("[{at}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// A value.
#[derive(Clone, Copy)]
struct ValueDeserializer<'a> {
    value: &'a Value,
}

impl ValueDeserializer<'_> {
    fn wrong_type(self, expected: &str) -> ConfigError {
        ConfigError::new("", Problem::WrongType { expected: expected.to_owned(), found: show(self.value) })
    }

    fn number(self) -> Result<f64, ConfigError> {
        match self.value {
            Value::Float(number) if number.is_finite() => Ok(*number),
            Value::Float(number) => Err(ConfigError::not_allowed("", number, "a finite number")),
            Value::Integer(number) => Ok(*number as f64),
            _ => Err(self.wrong_type("a number")),
        }
    }

    fn whole(self, least: i64, most: i64) -> Result<i64, ConfigError> {
        let Value::Integer(number) = self.value else { return Err(self.wrong_type("a whole number")) };
        let refusal = |allowed: String| Err(ConfigError::not_allowed("", number, allowed));
        match *number {
            number if number < least => refusal(format!("a whole number of at least {least}")),
            number if number > most => refusal(format!("a whole number of at most {most}")),
            number => Ok(number),
        }
    }
}

macro_rules! wholes {
    ($($method:ident($visit:ident, $type:ty, $least:expr, $most:expr);)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
                visitor.$visit(self.whole($least, $most)? as $type)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for ValueDeserializer<'_> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let read = match self.value {
            Value::String(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Array(items) => visitor.visit_seq(ItemAccess { items: items.iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(TableAccess::new(table)),
            // No setting is a date; serde has no notion of one.
            Value::Datetime(_) => visitor.visit_unit(),
        };
        read.map_err(|mut error| {
            if let (true, Problem::WrongType { found, .. }) = (error.path.is_empty(), &mut error.problem) {
                *found = show(self.value);
            }
            error
        })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_f64(self.number()?)
    }

    wholes! {
        deserialize_u8(visit_u64, u64, 0, u8::MAX.into());
        deserialize_u16(visit_u64, u64, 0, u16::MAX.into());
        deserialize_u32(visit_u64, u64, 0, u32::MAX.into());
        deserialize_i8(visit_i64, i64, i8::MIN.into(), i8::MAX.into());
        deserialize_i16(visit_i64, i64, i16::MIN.into(), i16::MAX.into());
        deserialize_i32(visit_i64, i64, i32::MIN.into(), i32::MAX.into());
        deserialize_i64(visit_i64, i64, i64::MIN, i64::MAX);
    }

    /// A number above `i64::MAX`, which TOML lacks, is the string of its digits that [`write`](fn@crate::write) makes.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let digits = self.value.as_str().and_then(|text| text.parse::<u64>().ok());
        match digits.filter(|number| i64::try_from(*number).is_err()) {
            Some(number) => visitor.visit_u64(number),
            None => visitor.visit_u64(self.whole(0, i64::MAX)? as u64),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::String(text) => visitor.visit_str(text),
            _ => Err(self.wrong_type("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::Array(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong_type("an array")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::Array(items) if items.len() != length => {
                Err(ConfigError::not_allowed("", show(self.value), format!("an array of {length}")))
            }
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::Table(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// Unknown fields are refused before any field is read, whatever the type's attributes say.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let Value::Table(table) = self.value else { return Err(self.wrong_type("a table")) };
        match table.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(unknown_field(key, known)),
            None => visitor.visit_map(TableAccess::new(table)),
        }
    }

    /// A name, or `{ name = settings }`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(table) => visitor.visit_enum(de::value::MapAccessDeserializer::new(TableAccess::new(table))),
            _ => Err(self.wrong_type("a string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

/// Learns the fields of a type from what it asks for.
pub(crate) struct FieldNames<'a> {
    pub(crate) names: &'a mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ConfigError> {
        Err(ConfigError::conflict("", "asked for its fields only"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        *self.names = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::{ConfigError, Settings, deserialize, raise, read, write};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        parts: Vec<Inner>,
        #[serde(default)]
        pair: [f64; 2],
        #[serde(default)]
        ends: Ends,
        #[serde(default, deserialize_with = "crate::any_number")]
        limit: f64,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        small: u8,
    }

    impl Settings for Outer {}
    impl Settings for Inner {}

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        rate: f64,
        #[serde(default)]
        counts: Vec<u64>,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Triangular,
        ExpRange,
    }

    /// Read by hand, with its own refusal.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct Ends(Option<String>);

    impl<'de> Deserialize<'de> for Ends {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            if text == "never" {
                Ok(Self(None))
            } else {
                Err(raise(ConfigError::not_allowed("deep", text, "\"never\"")))
            }
        }
    }

    #[test]
    fn whole_numbers_that_toml_lacks_are_written_as_digits_and_read_back() {
        for count in [0, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
            let settings = Inner { rate: 0.5, counts: vec![3, count] };
            let table = write(&settings);
            assert_eq!(table.len(), 2, "{table}");
            assert_eq!(read::<Inner>(&table, ""), Ok(settings), "{table}");
            let text = toml::to_string(&table).expect("TOML");
            assert_eq!(text.parse::<toml::Table>().expect("TOML"), table);
        }
        for text in ["'3'", "'9223372036854775807'", "'-1'", "'18446744073709551616'"] {
            let table = format!("rate = 0.5\ncounts = [{text}]").parse::<toml::Table>().expect("TOML");
            let error = read::<Inner>(&table, "").expect_err(text).to_string();
            assert!(error.contains("counts[0]: expected a whole number, found"), "{error}");
        }
    }

    #[test]
    fn each_refusal_names_field_value_and_what_is_right() {
        let cases = [
            ("", "s.name: missing; expected a string"),
            ("name = 3", "s.name: expected a string, found 3"),
            ("name = 1970-01-01", "s.name: expected a string, found 1970-01-01"),
            (
                "name = 'a'\nmoed = 1",
                "s.moed: unknown field; did you mean `mode`? (known: name, mode, inner, parts, pair, ends, limit, flag, small)",
            ),
            (
                "name = 'a'\nmode = 'triangel'",
                "s.mode: there is no mode `triangel`; did you mean `triangular`? (known: triangular, exp_range)",
            ),
            ("name = 'a'\nmode = 3", "s.mode: expected a string, found 3"),
            ("name = 'a'\ninner = 3", "s.inner: expected a table, found 3"),
            ("name = 'a'\ninner = { }", "s.inner.rate: missing; expected a number"),
            ("name = 'a'\ninner = { rate = nan }", "s.inner.rate: NaN is not allowed here; allowed: a finite number"),
            ("name = 'a'\nparts = [{ rate = 1 }, { rate = '1' }]", "s.parts[1].rate: expected a number, found \"1\""),
            ("name = 'a'\nparts = [{ rate = 1 }, { }]", "s.parts[1].rate: missing; expected a number"),
            (
                "name = 'a'\nparts = [{ rate = 1, counts = [1, 1.5] }]",
                "s.parts[0].counts[1]: expected a whole number, found 1.5",
            ),
            (
                "name = 'a'\nparts = [{ rate = 1, counts = [1, -1] }]",
                "s.parts[0].counts[1]: -1 is not allowed here; allowed: a whole number of at least 0",
            ),
            (
                "name = 'a'\nparts = [{ rate = 1, ratte = 1 }]",
                "s.parts[0].ratte: unknown field; did you mean `rate`? (known: rate, counts)",
            ),
            ("name = 'a'\npair = [1]", "s.pair: [1] is not allowed here; allowed: an array of 2"),
            ("name = 'a'\npair = 1", "s.pair: expected an array, found 1"),
            ("name = 'a'\nends = 'soon'", "s.ends.deep: soon is not allowed here; allowed: \"never\""),
            ("name = 'a'\nlimit = 'x'", "s.limit: expected a number, found \"x\""),
            ("name = 'a'\nflag = 1", "s.flag: expected true or false, found 1"),
            ("name = 'a'\nsmall = 256", "s.small: 256 is not allowed here; allowed: a whole number of at most 255"),
        ];
        for (text, expected) in cases {
            let table = text.parse().expect("a table");
            let found = read::<Outer>(&table, "s").expect_err(text).to_string();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = "name = 'a'\nmode = 'exp_range'\nparts = [{ rate = 1, counts = [3] }]\npair = [1, 2.5]\nlimit = inf";
        let outer: Outer = deserialize(&text.parse().expect("a table")).expect("settings");
        assert_eq!((&outer.mode, outer.pair, outer.limit), (&Mode::ExpRange, [1.0, 2.5], f64::INFINITY));
        let mut table = write(&outer);
        assert!(table.remove("ends").is_none(), "what is `None` is left out");
        assert_eq!(deserialize::<Outer>(&table).expect("settings"), outer);
    }

    #[test]
    fn another_deserializer_gets_the_text() {
        let refused = toml::from_str::<Outer>("name = 'a'\nends = 'soon'").expect_err("refused").to_string();
        assert!(refused.contains("deep: soon is not allowed here"), "{refused}");
        let next = toml::from_str::<Outer>("name = 3").expect_err("refused").to_string();
        assert!(next.contains("expected a string"), "{next}");
    }
}
