//! What of a file goes where in a model.

use burn_store::KeyRemapper;
use optim_adaptive::Pattern;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Settings, check, raise, settings};
use toml::Value;

use super::{Layout, WeightsError, error::LONGEST_NAME, parameters::Parameter};

settings! {
    /// What of a file goes where.
    ///
    /// Patterns of `only` and `except` are those of `[[groups]]` ([`Pattern`]) and are matched against a parameter's path in
    /// the model (`bn1.gamma`) and against its name in PyTorch (`bn1.weight`); either match counts. Patterns of `remap` are
    /// regular expressions on the names in the file, replaced wherever they are found, in the order given; `$1` stands for
    /// the first group.
    pub struct LoadOptions {
        strict: bool = true,
        remap: Vec<Rename> = Vec::new(),
        #[serde(deserialize_with = "one_or_more")]
        only: Vec<Pattern> = Vec::new(),
        #[serde(deserialize_with = "one_or_more")]
        except: Vec<Pattern> = Vec::new(),
        pub(super) layout: Option<Layout> = None,
        sha256: Option<String> = None,
    }
}

impl Settings for LoadOptions {
    fn resolve(&mut self) {
        self.sha256.iter_mut().for_each(|sha256| sha256.make_ascii_lowercase());
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Some(sha256) = &self.sha256 else { return Ok(()) };
        let is_hex = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        check::is_allowed("sha256", format!("{sha256:?}"), "64 hexadecimal digits", is_hex)
    }
}

impl LoadOptions {
    /// Every parameter, under its own name, strictly.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether every selected parameter must be in the file. Default true. With `false` those that are not stay as
    /// initialised; a shape or kind that differs is an error all the same, as in torch's `load_state_dict`.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Only the parameters that this pattern matches; may be repeated.
    ///
    /// # Errors
    /// [`WeightsError::Pattern`].
    pub fn only(mut self, pattern: &str) -> Result<Self, WeightsError> {
        self.only.push(read(pattern)?);
        Ok(self)
    }

    /// Not the parameters that this pattern matches: they stay as initialised. May be repeated; wins over `only`.
    ///
    /// # Errors
    /// [`WeightsError::Pattern`].
    pub fn except(mut self, pattern: &str) -> Result<Self, WeightsError> {
        self.except.push(read(pattern)?);
        Ok(self)
    }

    /// Renames what is in the file: `remap(r"^backbone\.", "")`. May be repeated; applied in order.
    ///
    /// # Errors
    /// [`WeightsError::Pattern`].
    pub fn remap(mut self, pattern: &str, replacement: &str) -> Result<Self, WeightsError> {
        self.remap.push(Rename::new(pattern, replacement)?);
        Ok(self)
    }

    /// The layout of the file, where it is not the one its format usually has.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// Accepts this file and no other: its SHA-256 in hexadecimal, as [`sha256`](super::sha256) gives it.
    #[must_use]
    pub fn expect_sha256(mut self, sha256: impl Into<String>) -> Self {
        self.sha256 = Some(sha256.into());
        self
    }

    /// The SHA-256 of the only file that is accepted.
    pub fn expected_sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Whether parameters may stay as they are initialised: some are left out, or a file that lacks some is accepted.
    pub fn is_partial(&self) -> bool {
        !self.strict || !self.only.is_empty() || !self.except.is_empty()
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The name that the rules give a tensor; `None` where it, or one on the way to it, is longer than a name may be.
    pub(super) fn renamed(&self, name: &str) -> Option<String> {
        let is_name = |name: &String| name.len() <= LONGEST_NAME;
        let first = Some(name.to_owned()).filter(is_name);
        self.remap.iter().fold(first, |name, rename| name.map(|name| rename.apply(&name)).filter(is_name))
    }

    pub(super) fn selects(&self, parameter: &Parameter) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| parameter.matches(pattern));
        (self.only.is_empty() || any(&self.only)) && !any(&self.except)
    }

    /// Refuses a pattern that matches none of the model's parameters.
    pub(super) fn check_against(&self, parameters: &[Parameter]) -> Result<(), WeightsError> {
        for pattern in self.only.iter().chain(&self.except) {
            if !parameters.iter().any(|parameter| parameter.matches(pattern)) {
                let names = parameters.iter().map(|parameter| parameter.path.as_str());
                let nearest = strict_config::nearest(pattern.as_str(), names).map(str::to_owned);
                return Err(WeightsError::Unmatched { pattern: pattern.as_str().to_owned(), nearest });
            }
        }
        Ok(())
    }
}

fn read(pattern: &str) -> Result<Pattern, WeightsError> {
    Pattern::new(pattern).map_err(|error| WeightsError::Pattern { pattern: error.pattern, reason: error.reason })
}

/// A pattern, or an array of patterns.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pattern>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        Value::String(pattern) => return Ok(vec![read(&pattern).map_err(|error| raise(at("", &error)))?]),
        other => return Err(raise(ConfigError::wrong_type("", "an array", &other))),
    };
    let pattern = |(i, item): (usize, &Value)| {
        let path = format!("[{i}]");
        match item.as_str() {
            Some(text) => read(text).map_err(|error| at(&path, &error)),
            None => Err(ConfigError::wrong_type(path, "a pattern on parameter paths", item)),
        }
    };
    items.iter().enumerate().map(pattern).collect::<Result<_, _>>().map_err(raise)
}

fn at(path: &str, error: &WeightsError) -> ConfigError {
    ConfigError::conflict(path, error.to_string())
}

/// The most bytes that a rule puts in the place of a match: rules that make names longer could make them grow without end.
const LONGEST_REPLACEMENT: usize = 1024;

/// A regular expression and its replacement.
#[derive(Debug, Clone)]
struct Rename(KeyRemapper);

impl Rename {
    fn new(pattern: &str, replacement: &str) -> Result<Self, WeightsError> {
        let refused = |reason: String| WeightsError::Pattern { pattern: pattern.to_owned(), reason };
        if replacement.len() > LONGEST_REPLACEMENT {
            let found = replacement.len();
            return Err(refused(format!(
                "its replacement is {found} bytes long, at most {LONGEST_REPLACEMENT} are allowed"
            )));
        }
        let remapper = KeyRemapper::new().add_pattern(pattern, replacement);
        remapper.map(Self).map_err(|error| refused(error.to_string()))
    }

    /// As it was written; one pair.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.patterns.iter().map(|(regex, replacement)| (regex.as_str(), replacement.as_str()))
    }

    fn apply(&self, name: &str) -> String {
        self.0
            .patterns
            .iter()
            .fold(name.to_owned(), |name, (regex, replacement)| regex.replace_all(&name, replacement).into_owned())
    }
}

impl PartialEq for Rename {
    fn eq(&self, other: &Self) -> bool {
        self.pairs().eq(other.pairs())
    }
}

impl Serialize for Rename {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.pairs().next().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rename {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a pair of a regular expression and its replacement, as in [\"^backbone\\\\.\", \"\"]";
        let value = Value::deserialize(deserializer)?;
        match value.as_array().map(Vec::as_slice) {
            Some([Value::String(from), Value::String(to)]) => {
                Self::new(from, to).map_err(|error| raise(at("", &error)))
            }
            _ => Err(raise(ConfigError::wrong_type("", EXPECTED, &value))),
        }
    }
}
