//! A part that counts epochs inside a whole that counts steps.

use strict_config::ConfigError;

use crate::math::Divisor;
use crate::{Phase, Schedule, StateError, StateReader, StateWriter};

/// Tells the inner schedule the epoch that a step belongs to.
#[derive(Debug, Clone)]
pub(crate) struct PerEpoch {
    inner: Box<dyn Schedule>,
    steps_per_epoch: Divisor,
}

impl PerEpoch {
    /// `steps_per_epoch` of 0 counts as 1.
    pub(crate) fn new(inner: Box<dyn Schedule>, steps_per_epoch: u64) -> Self {
        Self { inner, steps_per_epoch: Divisor::new(steps_per_epoch) }
    }
}

impl Schedule for PerEpoch {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        self.inner.lr(base_lr, self.steps_per_epoch.of(tick))
    }

    fn lrs(&self, base_lrs: &[f64], tick: u64, rates: &mut [f64]) {
        self.inner.lrs(base_lrs, self.steps_per_epoch.of(tick), rates);
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.inner.momentum(self.steps_per_epoch.of(tick))
    }

    fn phases(&self) -> Vec<Phase> {
        let in_steps = |phase: Phase| Phase::new(phase.tick.saturating_mul(self.steps_per_epoch.get()), phase.label);
        self.inner.phases().into_iter().map(in_steps).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        self.inner.bounds(base_lr)
    }

    fn bind(&mut self, base_lrs: &[f64]) -> Result<(), ConfigError> {
        self.inner.bind(base_lrs)
    }

    fn is_reactive(&self) -> bool {
        self.inner.is_reactive()
    }

    fn observe(&mut self, tick: u64, metric: f64) {
        self.inner.observe(self.steps_per_epoch.of(tick), metric);
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        self.inner.save(state);
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        self.inner.load(state)
    }
}
