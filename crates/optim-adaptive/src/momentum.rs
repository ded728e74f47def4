//! Momentum as a value per step: schedules that cycle it (`cyclic`, `one_cycle`) write it, optimizers read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle on an optimizer's momentum: `betas[0]` of the Adam family, `momentum` of SGD and RMSprop.
///
/// Clones share the value. The optimizer reads it at each step, so a value set before a step acts in that step.
///
/// ```
/// use optim_adaptive::OptimizerConfig;
/// let optimizer = OptimizerConfig::from_toml_str("type = 'adam'")?.init();
/// let momentum = optimizer.momentum();
/// assert_eq!(momentum.get(), Some(0.9));
/// momentum.set(0.85);
/// assert_eq!(optimizer.momentum().get(), Some(0.85));
///
/// let adagrad = OptimizerConfig::from_toml_str("type = 'adagrad'")?.init();
/// adagrad.momentum().set(0.85);
/// assert_eq!(adagrad.momentum().get(), None); // it has none
/// # Ok::<(), optim_adaptive::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MomentumHandle {
    /// The bits of the value that was set; NaN while none was.
    set: Arc<AtomicU64>,
    /// The value that was set for the whole optimizer, where this is the handle of one of its groups.
    whole: Option<Arc<AtomicU64>>,
    configured: Option<f64>,
}

impl MomentumHandle {
    /// A new handle, for an optimizer whose configured momentum is this (`None`: it has none).
    pub fn new(configured: Option<f64>) -> Self {
        Self { set: unset(), whole: None, configured }
    }

    /// The handle of a parameter group whose configured momentum is this: what is set here holds for the whole optimizer,
    /// what is set there for the group alone.
    pub(crate) fn of_group(&self, configured: Option<f64>) -> Self {
        Self { set: unset(), whole: Some(Arc::clone(&self.set)), configured }
    }

    /// The configured momentum; `None` for an optimizer without momentum.
    pub fn configured(&self) -> Option<f64> {
        self.configured
    }

    /// The momentum in force: the one last set (for a group's handle: for the group, else for the whole optimizer), else
    /// the configured one; `None` for an optimizer without momentum.
    pub fn get(&self) -> Option<f64> {
        let whole = || self.whole.as_deref().and_then(read);
        self.configured.map(|configured| self.overridden().or_else(whole).unwrap_or(configured))
    }

    /// Sets the momentum of the steps to come. Without effect on an optimizer that has none, and for NaN.
    pub fn set(&self, momentum: f64) {
        if !momentum.is_nan() {
            self.set.store(momentum.to_bits(), Ordering::Relaxed);
        }
    }

    /// Returns to the configured momentum.
    pub fn reset(&self) {
        self.set.store(f64::NAN.to_bits(), Ordering::Relaxed);
    }

    /// The value that was set, if any.
    pub(crate) fn overridden(&self) -> Option<f64> {
        read(&self.set)
    }

    /// [`get`](Self::get) for an optimizer that has momentum.
    pub(crate) fn value(&self) -> f64 {
        self.get().unwrap_or(0.0)
    }
}

fn unset() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(f64::NAN.to_bits()))
}

fn read(set: &AtomicU64) -> Option<f64> {
    let value = f64::from_bits(set.load(Ordering::Relaxed));
    (!value.is_nan()).then_some(value)
}
