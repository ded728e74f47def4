//! Which of two values of a metric is the better one.

use serde::{Deserialize, Serialize};

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Lower ones: a loss.
    #[default]
    Min,
    /// Higher ones: an accuracy.
    Max,
}

impl Mode {
    /// A loss should fall; every other value is taken to rise.
    ///
    /// ```
    /// use lr_core::Mode;
    /// assert_eq!(["valid.loss", "valid.accuracy"].map(Mode::of), [Mode::Min, Mode::Max]);
    /// ```
    pub fn of(monitor: &str) -> Self {
        if monitor.ends_with("loss") { Self::Min } else { Self::Max }
    }

    /// Whether `value` improves on `best` by more than `min_delta`. NaN never improves.
    pub fn improves(self, value: f64, best: Option<f64>, min_delta: f64) -> bool {
        match (self, best) {
            (_, None) => value.is_finite(),
            (Self::Min, Some(best)) => value < best - min_delta,
            (Self::Max, Some(best)) => value > best + min_delta,
        }
    }

    /// The best metric before there is any.
    pub(crate) fn worst(self) -> f64 {
        match self {
            Self::Min => f64::INFINITY,
            Self::Max => f64::NEG_INFINITY,
        }
    }
}
