//! What of a file goes where in a model.

use burn_store::KeyRemapper;
use optim_adaptive::Pattern;

use super::{WeightsError, parameters::Parameter};

/// How a file names its parameters and lays out its matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As PyTorch does (`weight` and `bias` of norms, linear weights `[out, in]`): the default for safetensors and
    /// PyTorch files.
    PyTorch,
    /// As burn does (`gamma` and `beta`, linear weights `[in, out]`): the default for burnpack; safetensors that
    /// burn-store wrote without its PyTorch adapter need it said.
    Burn,
}

/// What of a file goes where.
///
/// Patterns of `only` and `except` are those of `[[groups]]` ([`Pattern`]) and are held against a parameter's path in
/// the model (`bn1.gamma`) and against its name in PyTorch (`bn1.weight`); either match counts. Patterns of `remap` are
/// regular expressions on the names in the file, replaced wherever they are found, in the order given; `$1` stands for
/// the first group.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    strict: bool,
    only: Vec<Pattern>,
    except: Vec<Pattern>,
    remapper: KeyRemapper,
    pub(super) layout: Option<Layout>,
    pub(super) sha256: Option<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LoadOptions {
    /// Every parameter, under its own name, strictly.
    pub fn new() -> Self {
        Self {
            strict: true,
            only: Vec::new(),
            except: Vec::new(),
            remapper: KeyRemapper::new(),
            layout: None,
            sha256: None,
        }
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
        let refused = |error: &dyn std::fmt::Display| WeightsError::Pattern {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        };
        self.remapper = self.remapper.add_pattern(pattern, replacement).map_err(|error| refused(&error))?;
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

    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(super) fn renamed(&self, name: &str) -> String {
        self.remapper
            .patterns
            .iter()
            .fold(name.to_owned(), |name, (regex, replacement)| regex.replace_all(&name, replacement).into_owned())
    }

    pub(super) fn selects(&self, parameter: &Parameter) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| parameter.matches(pattern));
        (self.only.is_empty() || any(&self.only)) && !any(&self.except)
    }

    /// Refuses a pattern that means nothing.
    pub(super) fn check(&self, parameters: &[Parameter]) -> Result<(), WeightsError> {
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
