//! Default values that several strategies share, by the names that serde's attributes call them.

use crate::Duration;

pub(crate) fn one() -> f64 {
    1.0
}

pub(crate) fn half() -> f64 {
    0.5
}

pub(crate) fn tenth() -> f64 {
    0.1
}

pub(crate) fn once() -> u64 {
    1
}

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn the_run() -> Duration {
    Duration::Rest
}

/// Of a one-cycle: the part of it that rises.
pub(crate) fn pct_start() -> f64 {
    0.3
}

/// Of a one-cycle: the highest rate over the first.
pub(crate) fn div_factor() -> f64 {
    25.0
}

/// Of a one-cycle: the first rate over the last.
pub(crate) fn final_div_factor() -> f64 {
    1e4
}
