//! A part that counts epochs inside a whole that counts steps.

use crate::schedule::reacts_as;
use crate::{Schedule, ScheduleMark};

/// Tells the inner schedule the epoch that a step belongs to.
#[derive(Debug, Clone)]
pub(crate) struct PerEpoch {
    inner: Box<dyn Schedule>,
    /// At least 1.
    steps_per_epoch: u64,
}

impl PerEpoch {
    /// `steps_per_epoch` of 0 counts as 1.
    pub(crate) fn new(inner: Box<dyn Schedule>, steps_per_epoch: u64) -> Self {
        Self { inner, steps_per_epoch: steps_per_epoch.max(1) }
    }
}

impl Schedule for PerEpoch {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        self.inner.lr(base_lr, tick / self.steps_per_epoch)
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.inner.momentum(tick / self.steps_per_epoch)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let in_steps =
            |mark: ScheduleMark| ScheduleMark::new(mark.tick.saturating_mul(self.steps_per_epoch), mark.label);
        self.inner.marks().into_iter().map(in_steps).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        self.inner.bounds(base_lr)
    }

    reacts_as!(inner);

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        self.inner.observe(tick / self.steps_per_epoch, from / self.steps_per_epoch, metric);
    }
}
