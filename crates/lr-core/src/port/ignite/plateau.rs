//! `ReduceLROnPlateauScheduler`.

use strict_config::ConfigError;

use crate::port::settings::{Port, settings};
use crate::{Clock, Interval, PlateauMode, ReduceOnPlateau, Schedule, Strategy, ThresholdMode};

settings! {
    /// ignite's `ReduceLROnPlateauScheduler`: torch's `ReduceLROnPlateau`, so our
    /// [`ReduceOnPlateau`](crate::ReduceOnPlateau), watching `metric_name`. `min_lr` holds for all groups; ignite passes
    /// it over without `param_group_index`.
    ReduceLROnPlateauScheduler = "ignite/ReduceLROnPlateauScheduler",
        "ignite: multiplied by factor when a metric stops improving", Interval::Step;
    required {
        /// The metric to watch, such as `valid.loss`.
        metric_name: String,
    }
    optional {
        /// Which metrics are better; default lower ones.
        mode: PlateauMode = PlateauMode::Min,
        /// The factor of a reduction, at least 0 and below 1; default 0.1.
        factor: f64 = 0.1,
        /// How many observations without improvement are borne; default 10.
        patience: u64 = 10,
        /// How much better is better, at least 0; default 1e-4.
        threshold: f64 = 1e-4,
        /// What the threshold means; default a part of the best.
        threshold_mode: ThresholdMode = ThresholdMode::Rel,
        /// Observations after a reduction that are not counted; default 0.
        cooldown: u64 = 0,
        /// The lowest rate, at least 0; default 0.
        min_lr: f64 = 0.0,
        /// Reductions by no more than this are left out, at least 0; default 1e-8.
        eps: f64 = 1e-8,
    }
    example "type = 'ignite/ReduceLROnPlateauScheduler'\nmetric_name = 'valid.loss'\nfactor = 0.5\npatience = 3"
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

impl Port for ReduceLROnPlateauScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        if self.metric_name.is_empty() {
            return Err(ConfigError::not_allowed("metric_name", "an empty name", "a metric, such as \"valid.loss\""));
        }
        self.translated().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock)
    }

    fn watches(&self) -> Option<&str> {
        Some(&self.metric_name)
    }
}
