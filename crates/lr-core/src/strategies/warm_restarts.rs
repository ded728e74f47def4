//! Cosine annealing that starts over: torch's `CosineAnnealingWarmRestarts`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::once;
use crate::math::{cosine_between, cosine_weight, ordered, ratio, weighted};
use crate::schedule::MOST_MARKS;
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// Half a cosine from the base rate to `eta_min`, again and again, each `t_mult` times as long as the one before:
/// `lr = eta_min + (base - eta_min) * (1 + cos(pi t_cur / t_i)) / 2`, `t_cur` ticks into a cycle of `t_i`.
///
/// torch's `CosineAnnealingWarmRestarts`; Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
/// Restarts" (2016). For restarts at fractions of an epoch see [`lr_at`](Self::lr_at).
///
/// ```
/// use lr_core::{Clock, CosineAnnealingWarmRestarts, Strategy};
/// let s = CosineAnnealingWarmRestarts { t_mult: 2, ..CosineAnnealingWarmRestarts::new(2) }.build(&Clock::unknown())?;
/// // cycles of 2, 4, 8, ... ticks, beginning at 0, 2, 6, 14
/// assert_eq!([0, 2, 6, 14].map(|t| s.lr(0.1, t)), [0.1; 4]);
/// assert!((s.lr(0.1, 1) - 0.05).abs() < 1e-16 && (s.lr(0.1, 4) - 0.05).abs() < 1e-16);
/// assert!(s.lr(0.1, 13) < 0.004);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineAnnealingWarmRestarts {
    /// The length of the first cycle, at least 1.
    pub t_0: Duration,
    /// How much longer each cycle is than the one before, at least 1; default 1.
    #[serde(default = "once")]
    pub t_mult: u64,
    /// The rate (not a factor) at the end of a cycle, at least 0; default 0.
    #[serde(default)]
    pub eta_min: f64,
}

impl CosineAnnealingWarmRestarts {
    /// Cycles of `t_0` ticks, down to 0.
    pub fn new(t_0: impl Into<Duration>) -> Self {
        Self { t_0: t_0.into(), t_mult: once(), eta_min: 0.0 }
    }

    /// The rate at a fractional time, as torch's `step(epoch)` with a fractional epoch gives it.
    ///
    /// # Errors
    /// Settings that are not allowed, a `t_0` that `clock` cannot resolve, or a time that is negative or not finite.
    ///
    /// ```
    /// use lr_core::{Clock, CosineAnnealingWarmRestarts};
    /// let restarts = CosineAnnealingWarmRestarts { t_mult: 2, ..CosineAnnealingWarmRestarts::new(2) };
    /// assert!((restarts.lr_at(0.1, 3.5, &Clock::unknown())? - 0.0691342).abs() < 1e-6);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub fn lr_at(&self, base_lr: f64, time: f64, clock: &Clock) -> Result<f64, ConfigError> {
        self.check()?;
        check::non_negative("time", time)?;
        Ok(self.resolve(clock)?.lr_at(base_lr, time))
    }

    fn resolve(&self, clock: &Clock) -> Result<Restarts, ConfigError> {
        Ok(Restarts { t_0: self.t_0.ticks("t_0", 1, clock)?, t_mult: self.t_mult, eta_min: self.eta_min })
    }
}

impl Strategy for CosineAnnealingWarmRestarts {
    const NAME: &'static str = "cosine_annealing_warm_restarts";
    const SUMMARY: &'static str =
        "cosine annealing that starts over, in ever longer cycles (torch CosineAnnealingWarmRestarts)";
    const EXAMPLE: &'static str = "type = 'cosine_annealing_warm_restarts'\nt_0 = 10\nt_mult = 2\neta_min = 0.0";

    fn check(&self) -> Result<(), ConfigError> {
        self.t_0.check("t_0", 1)?;
        check::at_least("t_mult", self.t_mult, 1)?;
        check::non_negative("eta_min", self.eta_min)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(self.resolve(clock)?))
    }
}

#[derive(Debug, Clone)]
struct Restarts {
    t_0: u64,
    t_mult: u64,
    eta_min: f64,
}

impl Restarts {
    /// How far `tick` is into its cycle, and the length of that.
    fn place(&self, tick: u64) -> (u64, u64) {
        if self.t_mult == 1 {
            return (tick % self.t_0, self.t_0);
        }
        // Cycles grow at least twofold, so there are at most 64 of them.
        let (mut start, mut length) = (0_u64, self.t_0);
        while let Some(next) = start.checked_add(length).filter(|next| *next <= tick) {
            (start, length) = (next, length.saturating_mul(self.t_mult));
        }
        (tick - start, length)
    }

    /// The weight of the base rate.
    fn weight(&self, tick: u64) -> f64 {
        let (passed, length) = self.place(tick);
        cosine_weight(ratio(passed, length))
    }

    /// The rate at a fractional time: a cycle begins at a whole tick, so its whole part says which cycle it is.
    fn lr_at(&self, base_lr: f64, time: f64) -> f64 {
        let tick = time as u64;
        let (passed, length) = self.place(tick);
        cosine_between(base_lr, self.eta_min, (time - (tick - passed) as f64) / length as f64)
    }
}

impl Schedule for Restarts {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        weighted(base_lr, self.eta_min, self.weight(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let starts = std::iter::successors(Some((0_u64, self.t_0)), |(start, length)| {
            Some((start.checked_add(*length)?, length.checked_mul(self.t_mult)?))
        });
        starts.skip(1).take(MOST_MARKS).map(|(start, _)| ScheduleMark::new(start, "restart")).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(self.eta_min, base_lr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, cycle by cycle, in numbers that are wide enough for every tick.
    fn defined(t_0: u64, t_mult: u64, tick: u64) -> (u64, u64) {
        let (mut start, mut length) = (0_u128, u128::from(t_0));
        while start + length <= u128::from(tick) {
            if t_mult == 1 {
                start = u128::from(tick - tick % t_0);
            } else {
                start += length;
                length *= u128::from(t_mult);
            }
        }
        ((u128::from(tick) - start) as u64, u64::try_from(length).unwrap_or(u64::MAX))
    }

    #[test]
    fn every_tick_has_its_place_up_to_the_last_there_is() {
        let ticks = (0..200).chain((0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        let ticks: Vec<u64> = ticks.chain([u64::MAX - 1, u64::MAX]).collect();
        for t_0 in [1, 2, 3, 7, 10, 1_000, 1 << 32, (1 << 53) - 1, 1 << 53] {
            for t_mult in [1, 2, 3, 5, 10, 1_000, u64::MAX] {
                let restarts = Restarts { t_0, t_mult, eta_min: 0.0 };
                let starts = restarts.marks().into_iter().flat_map(|mark| [mark.tick - 1, mark.tick, mark.tick + 1]);
                for tick in ticks.iter().copied().chain(starts) {
                    let expected = defined(t_0, t_mult, tick);
                    assert_eq!(restarts.place(tick), expected, "t_0 {t_0}, t_mult {t_mult}, tick {tick}");
                    let rate = restarts.lr(1.0, tick);
                    assert!((0.0..=1.0).contains(&rate), "{rate} at {tick}");
                }
            }
        }
    }
}
