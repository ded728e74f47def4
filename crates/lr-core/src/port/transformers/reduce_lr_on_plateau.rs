//! `reduce_lr_on_plateau`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use super::check_steps;
use crate::{Clock, Duration, Interval, Mode, ReduceOnPlateau, Schedule, Strategy, ThresholdMode};

/// transformers' `reduce_lr_on_plateau`: torch's, so our [`ReduceOnPlateau`](crate::ReduceOnPlateau).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReduceLrOnPlateau {
    /// Ignored, as by `get_scheduler`; default 0.
    pub num_warmup_steps: Duration,
    /// Ignored, as by `get_scheduler`; default the run.
    pub num_training_steps: Duration,
    /// Which metrics are better; default lower ones.
    pub mode: Mode,
    /// The factor of a reduction, at least 0 and below 1; default 0.1.
    pub factor: f64,
    /// Observations without improvement before the rate drops; default 10.
    pub patience: u64,
    /// How much better is better, at least 0; default 1e-4.
    pub threshold: f64,
    /// What the threshold means; default a part of the best.
    pub threshold_mode: ThresholdMode,
    /// Observations after a reduction that are not counted; default 0.
    pub cooldown: u64,
    /// The lowest rate, at least 0; default 0.
    pub min_lr: f64,
    /// Reductions by no more than this are left out, at least 0; default 1e-8.
    pub eps: f64,
    /// The metric to watch; default `valid.loss` (transformers: the Trainer's `metric_for_best_model`).
    pub monitor: String,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        let ReduceOnPlateau { mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps, monitor } =
            ReduceOnPlateau::default();
        Self {
            num_warmup_steps: Duration::default(),
            num_training_steps: Duration::Rest,
            mode,
            factor,
            patience,
            threshold,
            threshold_mode,
            cooldown,
            min_lr,
            eps,
            monitor,
        }
    }
}

impl ReduceLrOnPlateau {
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
            monitor: self.monitor.clone(),
        }
    }
}

impl Strategy for ReduceLrOnPlateau {
    const NAME: &'static str = "transformers/reduce_lr_on_plateau";
    const SUMMARY: &'static str = "transformers: multiplied by factor when a metric stops improving";
    const EXAMPLE: &'static str = "type = 'transformers/reduce_lr_on_plateau'\nfactor = 0.5\npatience = 2";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        self.translated().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock)
    }

    fn monitor(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}
