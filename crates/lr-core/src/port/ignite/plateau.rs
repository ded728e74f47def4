//! `ReduceLROnPlateauScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::strategies::check_metric;
use crate::{Clock, Interval, Mode, ReduceOnPlateau, Schedule, Strategy, ThresholdMode};

/// ignite's `ReduceLROnPlateauScheduler`: torch's `ReduceLROnPlateau`, so our
/// [`ReduceOnPlateau`](crate::ReduceOnPlateau), watching `metric_name`. `min_lr` holds for all groups; ignite passes
/// it over without `param_group_index`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReduceLROnPlateauScheduler {
    /// The metric to watch, such as `valid.loss`.
    pub metric_name: String,
    /// Which metrics are better; default lower ones.
    #[serde(default)]
    pub mode: Mode,
    /// The factor of a reduction, at least 0 and below 1; default 0.1.
    #[serde(default = "factor")]
    pub factor: f64,
    /// Observations without improvement before the rate drops; default 10.
    #[serde(default = "patience")]
    pub patience: u64,
    /// How much better is better, at least 0; default 1e-4.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// What the threshold means; default a part of the best.
    #[serde(default)]
    pub threshold_mode: ThresholdMode,
    /// Observations after a reduction that are not counted; default 0.
    #[serde(default)]
    pub cooldown: u64,
    /// The lowest rate, at least 0; default 0.
    #[serde(default)]
    pub min_lr: f64,
    /// Reductions by no more than this are left out, at least 0; default 1e-8.
    #[serde(default = "eps")]
    pub eps: f64,
}

fn factor() -> f64 {
    ReduceOnPlateau::default().factor
}

fn patience() -> u64 {
    ReduceOnPlateau::default().patience
}

fn threshold() -> f64 {
    ReduceOnPlateau::default().threshold
}

fn eps() -> f64 {
    ReduceOnPlateau::default().eps
}

impl ReduceLROnPlateauScheduler {
    fn translated(&self) -> ReduceOnPlateau {
        ReduceOnPlateau {
            mode: self.mode,
            factor: self.factor,
            patience: self.patience,
            threshold: self.threshold,
            threshold_mode: self.threshold_mode,
            cooldown: self.cooldown,
            min_lr: self.min_lr,
            eps: self.eps,
            monitor: self.metric_name.clone(),
        }
    }
}

impl Strategy for ReduceLROnPlateauScheduler {
    const NAME: &'static str = "ignite/ReduceLROnPlateauScheduler";
    const SUMMARY: &'static str = "ignite: multiplied by factor when a metric stops improving";
    const EXAMPLE: &'static str =
        "type = 'ignite/ReduceLROnPlateauScheduler'\nmetric_name = 'valid.loss'\nfactor = 0.5\npatience = 3";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_metric("metric_name", &self.metric_name)?;
        self.translated().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock)
    }

    fn monitor(&self) -> Option<&str> {
        Some(&self.metric_name)
    }
}
