//! Why a setting was refused, as data.

use std::fmt;

use crate::{did_you_mean, shorten};

/// A refused setting: where it stands and what is wrong with it.
///
/// `path` is the field's place in the document, with indices for arrays (`schedule.schedules[1].t_max`); it is
/// empty for the document as a whole.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct ConfigError {
    /// Where: `schedule.schedules[1].t_max`.
    pub path: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// No such field in this table.
    UnknownField {
        /// The known field it was probably meant to be.
        nearest: Option<String>,
        /// The fields this table may have.
        known: Vec<String>,
    },
    /// The value names something that does not exist (`type = "cosin"`).
    UnknownName {
        /// What kind of thing is named: `schedule`, `optimizer`, `device`.
        kind: String,
        /// The name found.
        found: String,
        /// The known name it was probably meant to be.
        nearest: Option<String>,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A field that must be there is not.
    Missing {
        /// What it should hold.
        expected: String,
    },
    /// The value is of another type.
    WrongType {
        /// What it should be.
        expected: String,
        /// The value found.
        found: String,
    },
    /// The value is of the right type but not allowed.
    NotAllowed {
        /// The value found.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// Two settings contradict each other, or something is not possible as configured.
    Conflict {
        /// What contradicts, and what would be right.
        message: String,
    },
    /// The text could not be read at all.
    Syntax {
        /// What the parser said.
        message: String,
        /// Line, from 1, where known.
        line: Option<usize>,
        /// Column, from 1, where known.
        column: Option<usize>,
    },
}

impl ConfigError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, problem: Problem) -> Self {
        Self { path: path.into(), problem }
    }

    /// A value that is not allowed.
    pub fn not_allowed(path: impl Into<String>, found: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let found = shorten(&crate::plain_number(found.to_string()), LONGEST_FOUND);
        Self::new(path, Problem::NotAllowed { found, allowed: allowed.into() })
    }

    /// A missing field.
    pub fn missing(path: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(path, Problem::Missing { expected: expected.into() })
    }

    /// A value of another type than `expected`.
    pub fn wrong_type(path: impl Into<String>, expected: impl Into<String>, found: &toml::Value) -> Self {
        Self::new(path, Problem::WrongType { expected: expected.into(), found: crate::show(found) })
    }

    /// Settings that contradict each other.
    pub fn conflict(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(path, Problem::Conflict { message: shorten(&message.into(), LONGEST_MESSAGE) })
    }

    /// A name that does not exist, with the nearest of the `known` ones.
    pub fn unknown_name<'a>(
        path: impl Into<String>,
        kind: &str,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let nearest = crate::nearest(found, known.iter().copied()).map(str::to_owned);
        Self::new(
            path,
            Problem::UnknownName {
                kind: kind.to_owned(),
                found: shorten(found, LONGEST_FOUND),
                nearest,
                known: known.into_iter().map(str::to_owned).collect(),
            },
        )
    }

    /// Text that is not TOML, with its place.
    pub fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let (line, column) = error.span().map_or((None, None), |span| {
            let before = &text[..span.start.min(text.len())];
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            (Some(before.matches('\n').count() + 1), Some(column))
        });
        Self::new("", Problem::Syntax { message: error.message().to_owned(), line, column })
    }

    /// The same error where a table may hold `more` fields than the type that was read: where it is about an unknown
    /// field at top level, they are named first among the known ones.
    #[must_use]
    pub fn with_known(mut self, more: &[&str]) -> Self {
        if let Problem::UnknownField { nearest, known } = &mut self.problem
            && !self.path.contains(['.', '['])
        {
            known.splice(0..0, more.iter().map(|&name| name.to_owned()));
            *nearest = crate::nearest(&self.path, known.iter().map(String::as_str)).map(str::to_owned);
        }
        self
    }

    /// The same error, seen from a table that holds this one at `prefix`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => prefix.to_owned(),
            path if path.starts_with('[') => format!("{prefix}{path}"),
            path => crate::join(prefix, path),
        };
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", shorten(&self.path, LONGEST_PATH))?;
        }
        write!(f, "{}", self.problem)
    }
}

/// All names that exist can be more than a person wants to read in an error.
const SHOWN: usize = 24;

/// The most characters of a field's path, of a name or value that was found, and of a message that holds such: a file
/// may have a value of megabytes.
const LONGEST_PATH: usize = 200;
const LONGEST_FOUND: usize = 200;
const LONGEST_MESSAGE: usize = 2000;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { nearest, known } => {
                write!(f, "unknown field{}", did_you_mean(nearest.as_deref()))?;
                if known.is_empty() {
                    write!(f, " (this table takes no fields)")
                } else {
                    write!(f, " (known: {})", known.join(", "))
                }
            }
            Self::UnknownName { kind, found, nearest, known } => {
                write!(f, "there is no {kind} `{found}`{}", did_you_mean(nearest.as_deref()))?;
                let shown = known.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
                match known.len().saturating_sub(SHOWN) {
                    0 => write!(f, " (known: {shown})"),
                    more => write!(f, " (known: {shown}, and {more} more)"),
                }
            }
            Self::Missing { expected } if expected.is_empty() => f.write_str("missing"),
            Self::Missing { expected } => write!(f, "missing; expected {expected}"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::NotAllowed { found, allowed } => write!(f, "{found} is not allowed here; allowed: {allowed}"),
            Self::Conflict { message } => write!(f, "{message}"),
            Self::Syntax { message, line, column } => {
                if let (Some(line), Some(column)) = (line, column) {
                    write!(f, "line {line}, column {column}: ")?;
                }
                write!(f, "{message}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, a key or a value of ten million characters: the message is short, and made at once.
    #[test]
    fn what_is_long_is_cut() {
        let long = "x".repeat(10_000_000);
        let began = std::time::Instant::now();
        let errors = [
            ConfigError::unknown_name("schedule.type", "schedule", &long, ["step", "cyclic"]),
            ConfigError::not_allowed("a", &long, "less"),
            ConfigError::wrong_type("a", "a number", &toml::Value::String(long.clone())),
            ConfigError::conflict("a", &long),
            ConfigError::conflict(&long, "unknown"),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.len() < 2_100 && text.contains("xxx..."), "{}", &text[..200]);
        }
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}
