//! `ReduceLROnPlateauScheduler`.

use strict_config::ConfigError;

use crate::port::plateau;
use crate::strategies::check_metric;
use crate::{Clock, Interval, Schedule, Strategy};

plateau! {
    /// ignite's `ReduceLROnPlateauScheduler`: torch's `ReduceLROnPlateau`, so our
    /// [`ReduceOnPlateau`](crate::ReduceOnPlateau), watching `metric_name`. `min_lr` holds for all groups; ignite passes
    /// it over without `param_group_index`.
    pub struct ReduceLROnPlateauScheduler {
        /// The metric to watch, such as `valid.loss`.
        pub metric_name: String,
    }
    torch {}
    watching metric_name
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
