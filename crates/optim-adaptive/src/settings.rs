//! How an optimizer's settings are declared: name, type, default and what is allowed, once, in one place.
//!
//! Each setting has a reader from this module that says which values are allowed. The limits are those of torch's own
//! argument checks, so that what torch refuses is refused here too.

use strict_config::{ConfigError, Fields};
use toml::Value;

/// Reads a number of at least 0.
pub(crate) fn non_negative(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number of at least 0", |x| x >= 0.0)
}

/// Reads a number above 0.
pub(crate) fn positive(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number above 0", |x| x > 0.0)
}

/// Reads a number above 0, which may be `inf`.
pub(crate) fn positive_or_infinite(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    match fields.value(name) {
        Some(Value::Float(x)) if *x == f64::INFINITY => Ok(Some(*x)),
        _ => fields.f64_where(name, "a number above 0, or inf", |x| x > 0.0),
    }
}

/// Reads any finite number.
pub(crate) fn number(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64(name)
}

/// Reads a number from 0 to 1.
pub(crate) fn fraction(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

/// Reads a number from 0 to below 1.
pub(crate) fn decay_rate(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number from 0 to below 1", |x| (0.0..1.0).contains(&x))
}

/// Reads a number from 0 to below 1 that may be absent.
#[expect(clippy::option_option, reason = "a setting that may be absent, whose default is absence")]
pub(crate) fn optional_decay_rate(fields: &Fields<'_>, name: &str) -> Result<Option<Option<f64>>, ConfigError> {
    Ok(decay_rate(fields, name)?.map(Some))
}

/// Reads a number strictly between 0 and 1.
pub(crate) fn open_fraction(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number between 0 and 1, both excluded", |x| x > 0.0 && x < 1.0)
}

/// Reads `[beta1, beta2]`, each from 0 to below 1.
pub(crate) fn betas(fields: &Fields<'_>, name: &str) -> Result<Option<[f64; 2]>, ConfigError> {
    let Some(pair) = pair(fields, name, "two numbers, [beta1, beta2]")? else { return Ok(None) };
    for (i, beta) in pair.iter().enumerate() {
        if !(0.0..1.0).contains(beta) {
            let path = format!("{}[{i}]", fields.path_of(name));
            return Err(ConfigError::not_allowed(path, beta, "a number from 0 to below 1"));
        }
    }
    Ok(Some(pair))
}

/// Reads `[beta1, beta2]` where beta1 is divided by: strictly between 0 and 1.
pub(crate) fn betas_open(fields: &Fields<'_>, name: &str) -> Result<Option<[f64; 2]>, ConfigError> {
    match betas(fields, name)? {
        Some([first, _]) if first == 0.0 => {
            let path = format!("{}[0]", fields.path_of(name));
            Err(ConfigError::not_allowed(path, first, "a number between 0 and 1, both excluded"))
        }
        other => Ok(other),
    }
}

/// Reads two numbers above 0.
pub(crate) fn positive_pair(fields: &Fields<'_>, name: &str) -> Result<Option<[f64; 2]>, ConfigError> {
    let Some(pair) = pair(fields, name, "two numbers above 0")? else { return Ok(None) };
    for (i, x) in pair.iter().enumerate() {
        if *x <= 0.0 {
            return Err(ConfigError::not_allowed(format!("{}[{i}]", fields.path_of(name)), x, "a number above 0"));
        }
    }
    Ok(Some(pair))
}

fn pair(fields: &Fields<'_>, name: &str, expected: &str) -> Result<Option<[f64; 2]>, ConfigError> {
    match fields.f64s(name)?.as_deref() {
        None => Ok(None),
        Some(&[a, b]) => Ok(Some([a, b])),
        Some(other) => Err(ConfigError::not_allowed(fields.path_of(name), format!("{other:?}"), expected)),
    }
}

/// Reads `true` or `false`.
pub(crate) fn flag(fields: &Fields<'_>, name: &str) -> Result<Option<bool>, ConfigError> {
    fields.bool(name)
}

/// Reads a number below 0.
pub(crate) fn negative(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, ConfigError> {
    fields.f64_where(name, "a number below 0", |x| x < 0.0)
}

/// Reads a whole number of at least 1.
pub(crate) fn count_from_one(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, ConfigError> {
    fields.u64_from(name, 1)
}

/// Reads a whole number of at least 0.
pub(crate) fn count(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, ConfigError> {
    fields.u64(name)
}

/// A setting's value as TOML.
pub(crate) trait ToToml {
    /// The value; `None` where the setting is absent.
    fn to_toml(&self) -> Option<Value>;
}

impl ToToml for f64 {
    fn to_toml(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl ToToml for Option<f64> {
    fn to_toml(&self) -> Option<Value> {
        self.map(Value::Float)
    }
}

impl ToToml for bool {
    fn to_toml(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl ToToml for u64 {
    fn to_toml(&self) -> Option<Value> {
        Some(i64::try_from(*self).map_or(Value::Integer(i64::MAX), Value::Integer))
    }
}

impl ToToml for [f64; 2] {
    fn to_toml(&self) -> Option<Value> {
        Some(Value::Array(self.iter().map(|x| Value::Float(*x)).collect()))
    }
}

/// Declares a config struct: its public fields with docs and defaults, and how they are read and written.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $ty:ty = $default:expr, $read:ident;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::settings::Settings for $name {
            const FIELDS: &'static [&'static str] = &["type", $(stringify!($field)),*];

            fn read(fields: &strict_config::Fields<'_>) -> Result<Self, strict_config::ConfigError> {
                let config = Self {
                    $($field: $crate::settings::$read(fields, stringify!($field))?.unwrap_or($default),)*
                };
                $crate::spec::Spec::check(&config, fields)?;
                Ok(config)
            }

            fn write(&self, table: &mut toml::Table) {
                $(
                    if let Some(value) = $crate::settings::ToToml::to_toml(&self.$field) {
                        table.insert(stringify!($field).to_owned(), value);
                    }
                )*
            }
        }
    };
}
pub(crate) use settings;

/// What [`settings!`] writes for a config struct.
pub(crate) trait Settings: Sized {
    /// The fields its table may have, `type` among them.
    const FIELDS: &'static [&'static str];

    /// Reads and checks a table.
    fn read(fields: &Fields<'_>) -> Result<Self, ConfigError>;

    /// Writes every field.
    fn write(&self, table: &mut toml::Table);
}
