//! `reduce_lr_on_plateau`.

use strict_config::ConfigError;

use super::check_steps;
use crate::defaults::the_run;
use crate::port::plateau;
use crate::{Clock, Duration, Interval, ReduceOnPlateau, Schedule, Strategy};

plateau! {
    /// transformers' `reduce_lr_on_plateau`: torch's, so our [`ReduceOnPlateau`](crate::ReduceOnPlateau).
    pub struct ReduceLrOnPlateau {
        /// Ignored, as by `get_scheduler`; default 0.
        #[serde(default)]
        pub num_warmup_steps: Duration,
        /// Ignored, as by `get_scheduler`; default the run.
        #[serde(default = "the_run")]
        pub num_training_steps: Duration,
    }
    torch {
        /// The metric to watch; default `valid.loss` (transformers: the Trainer's `metric_for_best_model`).
        #[serde(default = "monitor")]
        pub monitor: String,
    }
    watching monitor
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        let ReduceOnPlateau { mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps, monitor } =
            ReduceOnPlateau::default();
        let (num_warmup_steps, num_training_steps) = (Duration::default(), the_run());
        Self {
            num_warmup_steps,
            num_training_steps,
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

fn monitor() -> String {
    ReduceOnPlateau::default().monitor
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
