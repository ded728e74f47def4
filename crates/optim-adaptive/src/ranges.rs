//! Ranges of settings. They are those of torch's own argument checks: what torch refuses is refused here too.

use serde::{Deserialize, Deserializer};
use strict_config::ConfigError;
use strict_config::check::{below_one, number};

/// Fields that must be finite.
pub(crate) fn finite(fields: &[(&str, f64)]) -> Result<(), ConfigError> {
    all(fields, "a finite number", |_| true)
}

/// Fields of at least 0.
pub(crate) fn non_negative(fields: &[(&str, f64)]) -> Result<(), ConfigError> {
    all(fields, "a number of at least 0", |x| x >= 0.0)
}

/// Fields above 0.
pub(crate) fn positive(fields: &[(&str, f64)]) -> Result<(), ConfigError> {
    all(fields, "a number above 0", |x| x > 0.0)
}

/// A field strictly between 0 and 1.
pub(crate) fn between_zero_and_one(field: &str, value: f64) -> Result<(), ConfigError> {
    number(field, value, "a number between 0 and 1, both excluded", |x| x > 0.0 && x < 1.0)
}

/// `betas`, each from 0 to below 1.
pub(crate) fn betas(betas: [f64; 2]) -> Result<(), ConfigError> {
    below_one("betas[0]", betas[0])?;
    below_one("betas[1]", betas[1])
}

fn all(fields: &[(&str, f64)], allowed: &str, accept: fn(f64) -> bool) -> Result<(), ConfigError> {
    fields.iter().try_for_each(|&(field, value)| number(field, value, allowed, accept))
}

/// Reads `[beta1, beta2]`, for `deserialize_with`.
pub(crate) fn two_betas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
    two(deserializer, "two numbers, [beta1, beta2]")
}

/// Reads two numbers, for `deserialize_with`.
pub(crate) fn two_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
    two(deserializer, "two numbers above 0")
}

fn two<'de, D: Deserializer<'de>>(deserializer: D, allowed: &str) -> Result<[f64; 2], D::Error> {
    let numbers = Vec::<f64>::deserialize(deserializer)?;
    <[f64; 2]>::try_from(numbers)
        .map_err(|numbers| strict_config::raise(ConfigError::not_allowed("", format!("{numbers:?}"), allowed)))
}
