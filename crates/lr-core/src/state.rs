//! What a reactive schedule remembers, saved and restored strictly.
//!
//! A state is a few named scalars under the name and fingerprint of the config they belong to. It knows no file
//! format: it is `Serialize` and `Deserialize`, and survives JSON and TOML (infinities and NaN included).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One remembered value.
#[derive(Debug, Clone, Copy)]
pub enum Scalar {
    /// A count.
    Count(u64),
    /// A number, possibly infinite or not one.
    Float(f64),
}

impl PartialEq for Scalar {
    /// Bit for bit, so that a NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl From<u64> for Scalar {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Count(count) => serializer.serialize_u64(count),
            Self::Float(number) if number.is_finite() => serializer.serialize_f64(number),
            Self::Float(number) => serializer.serialize_str(&number.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count, a number, or one of \"inf\", \"-inf\", \"NaN\"")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Scalar, E> {
                Ok(Scalar::Count(count))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Scalar, E> {
                u64::try_from(count)
                    .map(Scalar::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(count), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                match text {
                    "inf" => Ok(Scalar::Float(f64::INFINITY)),
                    "-inf" => Ok(Scalar::Float(f64::NEG_INFINITY)),
                    "NaN" => Ok(Scalar::Float(f64::NAN)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What a [`Scheduler`](crate::Scheduler) remembers: whose it is, and the scalars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleState {
    /// The strategy's name in a config.
    pub strategy: String,
    /// The fingerprint of the resolved config.
    pub fingerprint: String,
    /// The remembered values; empty for schedules that are functions of time.
    pub scalars: BTreeMap<String, Scalar>,
}

/// Why a state was refused. Nothing has been changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It belongs to another strategy.
    #[error("this state is of the schedule `{found}`, not of `{expected}`")]
    OtherStrategy {
        /// The strategy it was loaded into.
        expected: String,
        /// The strategy it belongs to.
        found: String,
    },
    /// It belongs to the same strategy with other settings.
    #[error("this state is of a `{strategy}` schedule with other settings (fingerprint {found}, not {expected})")]
    OtherConfig {
        /// The strategy.
        strategy: String,
        /// The fingerprint of the schedule it was loaded into.
        expected: String,
        /// The fingerprint it names.
        found: String,
    },
    /// A value is not there.
    #[error("the state lacks `{key}`")]
    Missing {
        /// Which.
        key: String,
    },
    /// A value is there that this schedule does not know.
    #[error("the state holds `{key}`, which this schedule does not know")]
    Unknown {
        /// Which.
        key: String,
    },
    /// A value is of the wrong type or out of range.
    #[error("the state's `{key}` is {found}; expected {expected}")]
    Invalid {
        /// Which.
        key: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// Takes the scalars of a schedule; parts of a composition write under a prefix.
#[derive(Debug)]
pub struct StateWriter<'a> {
    scalars: &'a mut BTreeMap<String, Scalar>,
    prefix: String,
}

impl<'a> StateWriter<'a> {
    /// Writes into `scalars`.
    pub fn new(scalars: &'a mut BTreeMap<String, Scalar>) -> Self {
        Self { scalars, prefix: String::new() }
    }

    /// Writes one value.
    pub fn put(&mut self, key: &str, value: impl Into<Scalar>) {
        self.scalars.insert(format!("{}{key}", self.prefix), value.into());
    }

    /// A writer for a part, whose keys lie under `part.`.
    pub fn part(&mut self, part: impl fmt::Display) -> StateWriter<'_> {
        StateWriter { prefix: format!("{}{part}.", self.prefix), scalars: self.scalars }
    }
}

/// Gives a schedule its scalars back.
#[derive(Debug)]
pub struct StateReader<'a> {
    scalars: &'a BTreeMap<String, Scalar>,
    prefix: String,
}

impl<'a> StateReader<'a> {
    /// Reads from `scalars`.
    pub fn new(scalars: &'a BTreeMap<String, Scalar>) -> Self {
        Self { scalars, prefix: String::new() }
    }

    /// A count.
    pub fn count(&self, key: &str) -> Result<u64, StateError> {
        match self.get(key)? {
            Scalar::Count(count) => Ok(count),
            Scalar::Float(number) => Err(self.invalid(key, number, "a count")),
        }
    }

    /// A number. A count is taken as one: formats without a decimal point may have turned 1.0 into 1.
    pub fn float(&self, key: &str) -> Result<f64, StateError> {
        Ok(match self.get(key)? {
            Scalar::Float(number) => number,
            Scalar::Count(count) => count as f64,
        })
    }

    /// An error: the value is out of range.
    pub fn invalid(&self, key: &str, found: impl fmt::Display, expected: &str) -> StateError {
        StateError::Invalid {
            key: format!("{}{key}", self.prefix),
            found: found.to_string(),
            expected: expected.to_owned(),
        }
    }

    /// A reader for a part, whose keys lie under `part.`.
    #[must_use]
    pub fn part(&self, part: impl fmt::Display) -> StateReader<'a> {
        StateReader { prefix: format!("{}{part}.", self.prefix), scalars: self.scalars }
    }

    fn get(&self, key: &str) -> Result<Scalar, StateError> {
        let key = format!("{}{key}", self.prefix);
        self.scalars.get(&key).copied().ok_or(StateError::Missing { key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_json_cannot_hold_survive_it() {
        let scalars: BTreeMap<String, Scalar> = [
            ("best".to_owned(), Scalar::Float(f64::INFINITY)),
            ("low".to_owned(), Scalar::Float(f64::NEG_INFINITY)),
            ("nan".to_owned(), Scalar::Float(f64::NAN)),
            ("whole".to_owned(), Scalar::Float(1.0)),
            ("count".to_owned(), Scalar::Count(3)),
        ]
        .into();
        let state = ScheduleState { strategy: "s".to_owned(), fingerprint: "f".to_owned(), scalars };
        let json = serde_json::to_string(&state).expect("JSON");
        assert_eq!(serde_json::from_str::<ScheduleState>(&json).expect("reads back"), state);
        let toml = toml::to_string(&state).expect("TOML");
        assert_eq!(toml::from_str::<ScheduleState>(&toml).expect("reads back"), state);
    }
}
