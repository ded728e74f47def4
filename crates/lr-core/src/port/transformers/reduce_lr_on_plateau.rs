//! `reduce_lr_on_plateau`.

use strict_config::ConfigError;

use super::check_steps;
use crate::port::settings::{Port, settings};
use crate::{Clock, Duration, Interval, PlateauMode, ReduceOnPlateau, Schedule, Strategy, ThresholdMode};

settings! {
    /// transformers' `reduce_lr_on_plateau`: torch's, so our [`ReduceOnPlateau`](crate::ReduceOnPlateau).
    ReduceLrOnPlateau = "transformers/reduce_lr_on_plateau",
        "transformers: multiplied by factor when a metric stops improving", Interval::Step;
    optional {
        /// Ignored, as by `get_scheduler`; default 0.
        num_warmup_steps: Duration = Duration::Ticks(0),
        /// Ignored, as by `get_scheduler`; default the run.
        num_training_steps: Duration = Duration::Rest,
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
        /// The metric to watch; default `valid.loss` (transformers: the Trainer's `metric_for_best_model`).
        monitor: String = "valid.loss".to_owned(),
    }
    example "type = 'transformers/reduce_lr_on_plateau'\nfactor = 0.5\npatience = 2"
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

impl Port for ReduceLrOnPlateau {
    fn verify(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        self.translated().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock)
    }

    fn watches(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}
