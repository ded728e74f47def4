//! Averages of the weights along the run: exponential (EMA) and equal (SWA).
//!
//! What lives here: when a model enters the average, with which weight, and the arithmetic on two models. It knows
//! models and numbers of steps, and nothing of batches, files or callbacks; `statistics` and `apart`, of batch norm's, alone
//! look at data.

mod apart;
mod blend;
mod statistics;

use lr_core::{Duration, Horizon, Interval};
use strict_config::{ConfigError, Settings, check, settings};

use crate::{
    checkpoint::{EMA, SWA},
    every::{Every, check_every, steps},
};

pub(crate) use apart::Apart;
pub(crate) use blend::blend;
pub(crate) use statistics::with_measured_statistics;

settings! {
    /// An exponential moving average of the weights.
    ///
    /// After step `s`, where it takes part: `average <- d average + (1 - d) weights`, as torch's
    /// `swa_utils.get_ema_multi_avg_fn`; the first time the average is a copy of the weights. Buffers (batch norm's running
    /// statistics) are copied from the model each time, as torch's `AveragedModel` does by default.
    #[derive(Copy)]
    pub struct Ema {
        /// `d`, from 0 up to but not including 1. Default 0.999, as in torch.
        pub decay: f64 = 0.999,
        /// Whether `d` rises to `decay`: `min(decay, (1 + n) / (10 + n))` with `n` the averages so far, the ramp of
        /// TensorFlow's `ExponentialMovingAverage(num_updates)`. Default false.
        pub warmup: bool = false,
        /// How far one average is from the next; a bare number is optimizer steps. Default 1.
        pub every: Duration = Duration::Ticks(1),
        /// What is trained before the first; a bare number is optimizer steps. Default 0.
        pub start: Duration = Duration::Ticks(0),
    }
}

impl Settings for Ema {
    fn check(&self) -> Result<(), ConfigError> {
        check::below_one("decay", self.decay)?;
        check_every("every", self.every)?;
        self.start.check("start", 0)
    }
}

impl Ema {
    /// Every step, from the first on, without a ramp.
    pub fn new(decay: f64) -> Self {
        Self { decay, ..Self::default() }
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

settings! {
    /// Stochastic weight averaging: the equal mean of the weights at several moments late in the run.
    ///
    /// Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018); torch's
    /// `AveragedModel` with its default average `a <- a + (w - a) / (n + 1)`. Batch norm's statistics are measured again for
    /// the average, as torch's `update_bn` does. The usual schedule with it is `swa`, torch's `SWALR`.
    #[derive(Copy)]
    pub struct Swa {
        /// When averaging begins; a bare number is epochs. The first weights are taken one `every` later. Default `75%`.
        pub start: Duration = Duration::Percent(75.0),
        /// How often weights are taken; a bare number is epochs. Default `1ep`.
        pub every: Duration = Duration::Epochs(1.0),
    }
}

impl Settings for Swa {
    fn check(&self) -> Result<(), ConfigError> {
        self.start.check("start", 0)?;
        check_every("every", self.every)
    }
}

impl Swa {
    /// From `start` on, once per epoch.
    pub fn new(start: Duration) -> Self {
        Self { start, ..Self::default() }
    }
}

/// An average in optimizer steps of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AveragePlan {
    /// Evaluated, kept and exported in place of the trained weights.
    Ema(Ema, Every),
    /// The model of the run's last validation and of its end.
    Swa(Every),
}

impl AveragePlan {
    /// Works the lengths out; `None` where nothing is averaged.
    ///
    /// # Errors
    /// A start of the equal average that leaves nothing to average.
    pub(crate) fn new(ema: Option<Ema>, swa: Option<Swa>, run: &Horizon) -> Result<Option<Self>, ConfigError> {
        if let Some(ema) = ema {
            let start = steps("ema.start", ema.start, Interval::Step, run)?;
            return Ok(Some(Self::Ema(ema, Every::after(start, "ema.every", ema.every, Interval::Step, run)?)));
        }
        let Some(swa) = swa else { return Ok(None) };
        let start = steps("swa.start", swa.start, Interval::Epoch, run)?;
        let every = Every::after(start, "swa.every", swa.every, Interval::Epoch, run)?;
        let total = run.total_ticks(Interval::Step).unwrap_or(u64::MAX);
        match every {
            Every::Steps { every, .. } if start.saturating_add(every) > total => {
                let allowed = format!(
                    "a start that leaves something to average: it begins after step {start}, takes weights every \
                     {every} steps, and the run has {total}"
                );
                Err(ConfigError::not_allowed("swa.start", swa.start, allowed))
            }
            every => Ok(Some(Self::Swa(every))),
        }
    }

    /// Whether the weights after `step` steps enter the average.
    pub(crate) fn takes(&self, step: u64) -> bool {
        let (Self::Ema(_, every) | Self::Swa(every)) = self;
        every.is_due(step)
    }

    /// The newcomer's weight after `averaged` others.
    pub(crate) fn weight(&self, averaged: u64) -> f64 {
        match self {
            _ if averaged == 0 => 1.0,
            Self::Ema(ema, _) => 1.0 - ema.decay_at(averaged),
            Self::Swa(_) => 1.0 / (averaged as f64 + 1.0),
        }
    }

    /// The average's file in a checkpoint.
    pub(crate) fn file(&self) -> &'static str {
        match self {
            Self::Ema(..) => EMA,
            Self::Swa(_) => SWA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_taken_when_the_plan_says() {
        let horizon = Horizon::run(10, 100);
        let ema = |start: u64, every: u64| {
            AveragePlan::new(Some(Ema { every: every.into(), start: start.into(), ..Ema::new(0.9) }), None, &horizon)
        };
        let swa = |start, every| AveragePlan::new(None, Some(Swa { start, every }), &horizon);
        let cases = [
            ("every step", ema(0, 1), vec![1, 2, 3]),
            ("later, and not every one", ema(4, 3), vec![7, 10, 13]),
            ("part of the run", swa(Duration::Percent(75.0), Duration::Epochs(1.0)), vec![85, 95]),
            ("epochs", swa(Duration::Ticks(8), Duration::Epochs(1.0)), vec![90, 100]),
            ("steps", swa(Duration::Steps(90), Duration::Steps(4)), vec![94, 98]),
        ];
        for (name, plan, expected) in cases {
            let plan = plan.expect(name).expect(name);
            let taken: Vec<u64> = (0..=100).filter(|step| plan.takes(*step)).take(expected.len()).collect();
            assert_eq!(taken, expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_average_is_refused() {
        let decay = Ema::new(1.0).check().expect_err("a refusal").to_string();
        assert!(decay.starts_with("decay: 1"), "{decay}");
        let late = AveragePlan::new(None, Some(Swa::new(Duration::Epochs(9.5))), &Horizon::run(10, 100));
        let late = late.expect_err("a refusal").to_string();
        assert!(late.contains("begins after step 95, takes weights every 10 steps, and the run has 100"), "{late}");
    }
}
