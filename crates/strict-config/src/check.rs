//! Ranges of single settings, for [`Settings::check`](crate::Settings::check). Each names the field relative to its own
//! table.

use std::fmt::Display;

use crate::ConfigError;

/// A finite number for which `accept` holds; `allowed` says in words which.
pub fn number(field: &str, value: f64, allowed: &str, accept: impl FnOnce(f64) -> bool) -> Result<(), ConfigError> {
    is_allowed(field, value, allowed, value.is_finite() && accept(value))
}

/// A value that is allowed; `allowed` says in words what is.
pub fn is_allowed(field: &str, value: impl Display, allowed: &str, is_allowed: bool) -> Result<(), ConfigError> {
    if is_allowed { Ok(()) } else { Err(ConfigError::not_allowed(field, value, allowed)) }
}

/// A finite number of at least 0.
pub fn non_negative(field: &str, value: f64) -> Result<(), ConfigError> {
    number(field, value, "a finite number of at least 0", |v| v >= 0.0)
}

/// A finite number above 0.
pub fn positive(field: &str, value: f64) -> Result<(), ConfigError> {
    number(field, value, "a finite number above 0", |v| v > 0.0)
}

/// A number from 0 to 1.
pub fn fraction(field: &str, value: f64) -> Result<(), ConfigError> {
    number(field, value, "a number from 0 to 1", |v| (0.0..=1.0).contains(&v))
}

/// A number from 0 to below 1: a decay rate, a momentum.
pub fn below_one(field: &str, value: f64) -> Result<(), ConfigError> {
    number(field, value, "a number from 0 to below 1", |v| (0.0..1.0).contains(&v))
}

/// A whole number of at least `least`.
pub fn at_least(field: &str, value: u64, least: u64) -> Result<(), ConfigError> {
    is_allowed(field, value, &format!("a whole number of at least {least}"), value >= least)
}
