//! Settings as serde structs, read strictly: every value has a path, every refusal says the field, the value found and
//! what would be right, and an unknown name is answered with the nearest known one.
//!
//! A struct with serde's derives states its settings once: names, types, defaults, documentation. [`read`] takes a table
//! apart with a deserializer of this crate, whose error is a [`ConfigError`]; [`write`](fn@write) gives the table with every
//! field explicit; [`fields_of`] lists the names. [`Settings::check`] tests ranges, with the helpers of [`check`];
//! [`settings!`] takes the defaults where the fields are.
//! This crate knows nothing of learning rates, optimizers or files.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use strict_config::{ConfigError, Settings, check};
//!
//! #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Step {
//!     step_size: u64,
//!     #[serde(default = "tenth")]
//!     gamma: f64,
//! }
//!
//! fn tenth() -> f64 {
//!     0.1
//! }
//!
//! impl Settings for Step {
//!     fn check(&self) -> Result<(), ConfigError> {
//!         check::at_least("step_size", self.step_size, 1)?;
//!         check::non_negative("gamma", self.gamma)
//!     }
//! }
//!
//! let read = |text: &str| strict_config::read::<Step>(&text.parse().unwrap(), "schedule");
//! assert_eq!(read("step_size = 30")?, Step { step_size: 30, gamma: 0.1 });
//! let refusals = [
//!     ("step_size = 30\ngama = 0.1", "schedule.gama: unknown field; did you mean `gamma`? (known: step_size, gamma)"),
//!     ("gamma = 0.5", "schedule.step_size: missing; expected a whole number"),
//!     ("step_size = 1.5", "schedule.step_size: expected a whole number, found 1.5"),
//!     ("step_size = 0", "schedule.step_size: 0 is not allowed here; allowed: a whole number of at least 1"),
//! ];
//! for (text, message) in refusals {
//!     assert_eq!(read(text).unwrap_err().to_string(), message);
//! }
//! assert_eq!(strict_config::write(&read("step_size = 30")?).to_string(), "step_size = 30\ngamma = 0.1\n");
//! assert_eq!(strict_config::fields_of::<Step>(), ["step_size", "gamma"]);
//! # Ok::<(), ConfigError>(())
//! ```

mod by_value;
pub mod check;
mod de;
mod error;
mod raise;
mod settings;

pub use by_value::{any_number, by_value};
pub use error::{ConfigError, Problem};
pub use raise::raise;
/// Its tables stand in signatures here.
pub use toml;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Settings that a table holds: a struct with serde's derives, and the ranges of its fields.
pub trait Settings: Serialize + DeserializeOwned {
    /// Fills in what was left open and depends on other fields, so that [`write`](fn@write) gives it too.
    fn resolve(&mut self) {}

    /// Refuses values of the right type that are not allowed. Errors name the field relative to this table.
    ///
    /// # Errors
    /// The first field that is out of its range, or fields that contradict each other.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// Reads settings from `table`, found at `path` in its document, [resolves](Settings::resolve) and
/// [checks](Settings::check) them.
///
/// # Errors
/// An unknown or missing field, a wrong type, a value that is not allowed. The error's path begins with `path`.
pub fn read<T: Settings>(table: &Table, path: &str) -> Result<T, ConfigError> {
    let settings = deserialize::<T>(table).and_then(|mut settings| {
        settings.resolve();
        settings.check().map(|()| settings)
    });
    settings.map_err(|error| error.within(path))
}

/// Deserializes a table without a check; paths in errors begin at the table.
///
/// # Errors
/// An unknown or missing field, a wrong type.
pub fn deserialize<T: DeserializeOwned>(table: &Table) -> Result<T, ConfigError> {
    de::from_value(&Value::Table(table.clone())).map_err(|error| match &error.problem {
        Problem::Missing { expected } if expected.is_empty() => with_expectation::<T>(table, error),
        _ => error,
    })
}

/// Deserializes a value without a check; paths in errors begin at the value.
///
/// # Errors
/// An unknown or missing field, a wrong type.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, ConfigError> {
    de::from_value(value)
}

/// serde does not say what a missing field would hold. A date in its place, which no setting takes, makes it say so.
fn with_expectation<T: DeserializeOwned>(table: &Table, error: ConfigError) -> ConfigError {
    let mut probe = Value::Table(table.clone());
    let mut at = Some(&mut probe);
    let mut parts = error.path.split(['.', '[']).map(|part| part.trim_end_matches(']')).peekable();
    while let Some(part) = parts.next() {
        at = match at {
            Some(Value::Table(table)) if parts.peek().is_none() => {
                let date = toml::value::Date { year: 1970, month: 1, day: 1 };
                table.insert(part.to_owned(), Value::Datetime(date.into()));
                None
            }
            Some(Value::Table(table)) => table.get_mut(part),
            Some(Value::Array(items)) => part.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
    }
    match de::from_value::<T>(&probe) {
        Err(ConfigError { path, problem: Problem::WrongType { expected, .. } }) if path == error.path => {
            ConfigError::missing(path, expected)
        }
        _ => error,
    }
}

/// The table of settings, every field explicit but those that are `None`, in the order of the struct.
///
/// TOML has no whole numbers above `i64::MAX`: one that Rust code gave, such as a seed drawn at random, becomes a string of
/// its digits, which [`read`] takes for it.
pub fn write(settings: &impl Serialize) -> Table {
    Table::try_from(settings).unwrap_or_else(|_| match serde_json::to_value(settings).map(from_json) {
        Ok(Some(Value::Table(table))) => table,
        _ => Table::new(),
    })
}

/// JSON has those numbers. `null` is a field that is not there.
fn from_json(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;

    Some(match value {
        Json::Null => return None,
        Json::Bool(flag) => Value::Boolean(flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::String(number.to_string()),
            (None, None) => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().filter_map(from_json).collect()),
        Json::Object(fields) => {
            Value::Table(fields.into_iter().filter_map(|(name, value)| Some((name, from_json(value)?))).collect())
        }
    })
}

/// The names of the fields that a struct with serde's derives has; none for any other type.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It fails by design: nothing is there to read.
    let _ = T::deserialize(de::FieldNames { names: &mut names });
    names
}

/// The known name nearest to `name`, if any is near enough to be a likely slip: by Jaro-Winkler similarity, which
/// forgives long names a wrong ending, or by Damerau-Levenshtein distance, which forgives short names a swap.
///
/// ```
/// assert_eq!(strict_config::nearest("cosin_annealing", ["step", "cosine_annealing"]), Some("cosine_annealing"));
/// assert_eq!(strict_config::nearest("mpl", ["mlp", "lenet"]), Some("mlp"));
/// assert_eq!(strict_config::nearest("CIFAR-10", ["cifar10", "mnist"]), Some("cifar10"));
/// assert_eq!(strict_config::nearest("fashion_mnist", ["mnist", "fashion-mnist"]), Some("fashion-mnist"));
/// assert_eq!(strict_config::nearest("zzz", ["step", "cosine_annealing"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKELY: f64 = 0.75;
    const LIKELY_SLIP: f64 = 0.6;
    // Comparing takes the product of both lengths; what is longer than this is not a slip of any name.
    const LONGEST: usize = 200;
    if name.len() > LONGEST {
        return None;
    }
    let fold = |name: &str| name.to_lowercase().replace('-', "_");
    let name = fold(name);
    let likeness = |candidate: &str| {
        let candidate = fold(candidate);
        let similar = strsim::jaro_winkler(&name, &candidate);
        let slip = strsim::normalized_damerau_levenshtein(&name, &candidate);
        (similar >= LIKELY || slip >= LIKELY_SLIP).then(|| similar.max(slip))
    };
    known
        .into_iter()
        .filter_map(|candidate| Some((likeness(candidate)?, candidate)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: ``; did you mean `mlp`?``, or nothing where no known name is near.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Joins a path and a field: `("schedule", "gamma")` is `schedule.gamma`, `("", "gamma")` is `gamma`.
pub fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// A value as a person would write it in a config, shortened to one line.
pub fn show(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(_) => plain_number(value.to_string()),
        toml::Value::Table(_) => "a table".to_owned(),
        // A string is cut before it is quoted, which takes its time for a long one.
        toml::Value::String(text) if text.len() > 4 * SHOWN_VALUE => {
            let cut: String = text.chars().take(SHOWN_VALUE).collect();
            format!("{}...", toml::Value::String(cut).to_string().replace('\n', " ").trim_end_matches('"'))
        }
        other => shorten(&other.to_string().replace('\n', " "), SHOWN_VALUE),
    }
}

/// The most characters of a value that a message shows.
const SHOWN_VALUE: usize = 60;

/// A text with at most `longest` characters, and dots where it was cut: whatever a file says, a message stays one that a
/// person can read.
pub fn shorten(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A number as a person writes it: one of many digits by its power of ten; any other text as it is.
pub(crate) fn plain_number(text: String) -> String {
    const MOST: usize = 24;
    let number = text.parse::<f64>().ok().filter(|number| text.len() > MOST && number.is_finite());
    number.map_or(text, |number| format!("{number:e}"))
}
