//! Why a sweep ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepEnd {
    /// The ramp reached `end_lr`.
    Completed,
    /// The loss rose too far above the best one.
    Diverged,
    /// The loss was not finite.
    NonFinite,
    /// The data ended first, and was not to be recycled.
    OutOfData,
}

impl fmt::Display for SweepEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::NonFinite => "non_finite",
            Self::OutOfData => "out_of_data",
        })
    }
}
