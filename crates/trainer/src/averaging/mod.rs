//! Averages of the weights along the run: exponential (EMA) and equal (SWA).
//!
//! What lives here: when a model enters the average, with which weight, and the arithmetic on two models. It knows
//! models and numbers of steps, and nothing of batches, files or callbacks; `statistics` alone looks at data.

mod blend;
mod statistics;

use lr_core::{Clock, Duration, Horizon, Interval};
use strict_config::ConfigError;

pub(crate) use blend::blend;
pub(crate) use statistics::with_measured_statistics;

/// The exponential average in a checkpoint.
pub(crate) const EMA: &str = "ema.bpk";

/// The equal average in a checkpoint.
pub(crate) const SWA: &str = "swa.bpk";

/// Both.
pub(crate) const AVERAGES: [&str; 2] = [EMA, SWA];

/// An exponential moving average of the weights.
///
/// After step `s`, where it takes part: `average <- d average + (1 - d) weights`, as torch's
/// `swa_utils.get_ema_multi_avg_fn`; the first time the average is a copy of the weights. Buffers (batch norm's running
/// statistics) are copied from the model each time, as torch's `AveragedModel` does by default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ema {
    /// `d`, from 0 up to but not including 1. torch's default is 0.999.
    pub decay: f64,
    /// Whether `d` rises to `decay`: `min(decay, (1 + n) / (10 + n))` with `n` the averages so far, the ramp of
    /// TensorFlow's `ExponentialMovingAverage(num_updates)`. Default false.
    pub warmup: bool,
    /// Optimizer steps from one average to the next. Default 1.
    pub every: u64,
    /// Optimizer steps that are done before the first. Default 0.
    pub start: u64,
}

impl Ema {
    /// Every step, from the first on, without a ramp.
    pub fn new(decay: f64) -> Self {
        Self { decay, warmup: false, every: 1, start: 0 }
    }

    /// The decay of the average that comes after `averaged` others.
    ///
    /// ```
    /// use trainer::Ema;
    /// let ramp = Ema { warmup: true, ..Ema::new(0.99) };
    /// assert_eq!([ramp.decay_at(1), ramp.decay_at(8), ramp.decay_at(10_000)], [2.0 / 11.0, 0.5, 0.99]);
    /// ```
    pub fn decay_at(&self, averaged: u64) -> f64 {
        let n = averaged as f64;
        if self.warmup { self.decay.min((1.0 + n) / (10.0 + n)) } else { self.decay }
    }
}

/// Stochastic weight averaging: the equal mean of the weights at several moments late in the run.
///
/// Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018); torch's
/// `AveragedModel` with its default average `a <- a + (w - a) / (n + 1)`. Batch norm's statistics are measured anew for
/// the average, as torch's `update_bn` does. The usual schedule with it is `swa`, torch's `SWALR`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swa {
    /// When averaging begins: a part of the run, epochs, or steps (a bare number is epochs). The first weights are
    /// taken one `every` later.
    pub start: Duration,
    /// How often weights are taken. Default one epoch.
    pub every: Duration,
}

impl Swa {
    /// From `start` on, once per epoch.
    pub fn new(start: Duration) -> Self {
        Self { start, every: Duration::Epochs(1.0) }
    }
}

/// What is averaged, if anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Averaging {
    /// An exponential moving average: evaluated, kept and exported in place of the trained weights.
    Ema(Ema),
    /// Stochastic weight averaging: the model of the run's last validation and of its end.
    Swa(Swa),
}

/// [`Averaging`] in optimizer steps of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    Ema(Ema),
    Swa { start: u64, every: u64 },
}

impl Plan {
    /// Works the durations out.
    ///
    /// # Errors
    /// A decay outside `[0, 1)`, an interval of 0, a start that leaves nothing to average.
    pub(crate) fn new(averaging: &Averaging, horizon: &Horizon) -> Result<Self, ConfigError> {
        match averaging {
            Averaging::Ema(ema) => {
                if !(0.0..1.0).contains(&ema.decay) {
                    return Err(ConfigError::not_allowed("train.ema.decay", ema.decay, "a number from 0 to below 1"));
                }
                if ema.every == 0 {
                    return Err(ConfigError::not_allowed("train.ema.every", 0, "a whole number of at least 1"));
                }
                Ok(Self::Ema(*ema))
            }
            Averaging::Swa(swa) => {
                let clock = Clock::new(*horizon, Interval::Step);
                let steps = |duration: Duration, field: &str, least| {
                    let duration = match duration {
                        Duration::Ticks(epochs) => Duration::Epochs(epochs as f64),
                        other => other,
                    };
                    duration.ticks(field, least, &clock)
                };
                let (start, every) = (steps(swa.start, "train.swa.start", 0)?, steps(swa.every, "train.swa.every", 1)?);
                let total = clock.total().unwrap_or(u64::MAX);
                if start.saturating_add(every) > total {
                    return Err(ConfigError::not_allowed(
                        "train.swa.start",
                        swa.start,
                        format!(
                            "a start that leaves something to average: it begins after step {start}, takes weights \
                             every {every} steps, and the run has {total}"
                        ),
                    ));
                }
                Ok(Self::Swa { start, every })
            }
        }
    }

    /// Whether the weights after `step` steps enter the average.
    pub(crate) fn takes(&self, step: u64) -> bool {
        let (start, every) = match self {
            Self::Ema(ema) => (ema.start, ema.every),
            Self::Swa { start, every } => (*start, *every),
        };
        step > start && (step - start).is_multiple_of(every)
    }

    /// The newcomer's weight after `averaged` others.
    pub(crate) fn weight(&self, averaged: u64) -> f64 {
        match self {
            _ if averaged == 0 => 1.0,
            Self::Ema(ema) => 1.0 - ema.decay_at(averaged),
            Self::Swa { .. } => 1.0 / (averaged as f64 + 1.0),
        }
    }

    /// The average's file in a checkpoint.
    pub(crate) fn file(&self) -> &'static str {
        match self {
            Self::Ema(_) => EMA,
            Self::Swa { .. } => SWA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_taken_when_the_plan_says() {
        let horizon = Horizon::run(10, 100);
        let ema = |start, every| Averaging::Ema(Ema { every, start, ..Ema::new(0.9) });
        let swa = |start, every| Averaging::Swa(Swa { start, every });
        let cases = [
            ("every step", ema(0, 1), vec![1, 2, 3]),
            ("later, and not every one", ema(4, 3), vec![7, 10, 13]),
            ("part of the run", swa(Duration::Percent(75.0), Duration::Epochs(1.0)), vec![85, 95]),
            ("epochs", swa(Duration::Ticks(8), Duration::Epochs(1.0)), vec![90, 100]),
            ("steps", swa(Duration::Steps(90), Duration::Steps(4)), vec![94, 98]),
        ];
        for (name, averaging, expected) in cases {
            let plan = Plan::new(&averaging, &horizon).expect(name);
            let taken: Vec<u64> = (0..=100).filter(|step| plan.takes(*step)).take(expected.len()).collect();
            assert_eq!(taken, expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_average_is_refused() {
        let horizon = Horizon::run(10, 100);
        let refused = |averaging| Plan::new(&averaging, &horizon).expect_err("a refusal").to_string();
        assert!(refused(Averaging::Ema(Ema::new(1.0))).starts_with("train.ema.decay: 1"));
        let late = refused(Averaging::Swa(Swa::new(Duration::Epochs(9.5))));
        assert!(late.contains("begins after step 95, takes weights every 10 steps, and the run has 100"), "{late}");
    }
}
