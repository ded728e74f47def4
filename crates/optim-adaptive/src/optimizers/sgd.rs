//! Stochastic gradient descent: the baseline.

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Fields};

use super::Decay;
use crate::MomentumHandle;
use crate::fused::{Rule, Value, apply};
use crate::settings::settings;
use crate::spec::{Built, Spec, lr_and_weight_decay};
use crate::state::record_state;

settings! {
    /// Settings of [`Sgd`]: torch's names and defaults (`torch.optim.SGD`).
    pub struct SgdConfig {
        /// Learning rate, at least 0. Default 1e-3.
        lr: f64 = 1e-3, non_negative;
        /// Momentum factor; 0 for none. Default 0.
        momentum: f64 = 0.0, non_negative;
        /// Damping of the gradient's part in the momentum, from the second step on. Default 0.
        dampening: f64 = 0.0, number;
        /// Weight decay, as L2 penalty. Default 0.
        weight_decay: f64 = 0.0, non_negative;
        /// Look ahead along the momentum (Nesterov). Needs momentum and no dampening. Default false.
        nesterov: bool = false, flag;
        /// Climb instead of descend. Default false.
        maximize: bool = false, flag;
    }
}

impl SgdConfig {
    /// The optimizer of one tensor at a time.
    pub fn build(&self) -> Sgd {
        self.with_momentum(MomentumHandle::new(Spec::momentum(self)))
    }

    /// The optimizer, its `momentum` driven by `momentum`.
    pub fn with_momentum(&self, momentum: MomentumHandle) -> Sgd {
        Sgd { config: self.clone(), momentum }
    }
}

/// Stochastic gradient descent, with momentum (Sutskever et al., ICML 2013) in torch's form.
///
/// ```text
/// b = momentum b + (1 - dampening) g      (first step: b = g)
/// p = p - lr b          nesterov: p = p - lr (g + momentum b)          without momentum: p = p - lr g
/// ```
///
/// State: none without momentum, one buffer of the parameter's size with it.
#[derive(Debug, Clone)]
pub struct Sgd {
    config: SgdConfig,
    momentum: MomentumHandle,
}

/// State of [`Sgd`], in torch's names.
#[derive(Debug, Clone)]
pub struct SgdState<const D: usize> {
    /// Momentum buffer.
    pub momentum_buffer: Tensor<D>,
}

record_state!(SgdState { momentum_buffer });

#[derive(Clone, Copy)]
struct Plain {
    decay: Decay,
    lr: f64,
}

impl Rule<0> for Plain {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, []: [V; 0]) -> (V, [V; 0]) {
        let (param, grad) = self.decay.apply(param, grad);
        (param + grad.scale(-self.lr), [])
    }
}

#[derive(Clone, Copy)]
struct WithMomentum {
    decay: Decay,
    lr: f64,
    momentum: f64,
    /// `1 - dampening`.
    share: f64,
    nesterov: bool,
    first: bool,
}

impl Rule<1> for WithMomentum {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [buffer]: [V; 1]) -> (V, [V; 1]) {
        let (param, grad) = self.decay.apply(param, grad);
        let buffer =
            if self.first { grad.clone() } else { buffer.scale(self.momentum) + grad.clone().scale(self.share) };
        let direction = if self.nesterov { grad + buffer.clone().scale(self.momentum) } else { buffer.clone() };
        (param + direction.scale(-self.lr), [buffer])
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let decay = Decay::coupled(config.maximize, config.weight_decay);
        let momentum = self.momentum.value();
        if momentum == 0.0 {
            let (tensor, []) = apply(Plain { decay, lr }, tensor, grad, []);
            return (tensor, state);
        }
        let rule = WithMomentum {
            decay,
            lr,
            momentum,
            share: 1.0 - config.dampening,
            nesterov: config.nesterov,
            first: state.is_none(),
        };
        let buffer = state.map_or_else(|| tensor.zeros_like(), |state| state.momentum_buffer);
        let (tensor, [momentum_buffer]) = apply(rule, tensor, grad, [buffer]);
        (tensor, Some(SgdState { momentum_buffer }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl Spec for SgdConfig {
    lr_and_weight_decay!();

    fn momentum(&self) -> Option<f64> {
        Some(self.momentum)
    }

    fn check(&self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(ConfigError::conflict(
                fields.path_of("nesterov"),
                format!(
                    "Nesterov momentum needs `momentum` above 0 and `dampening = 0`; found momentum = {}, dampening = {}",
                    self.momentum, self.dampening
                ),
            ));
        }
        Ok(())
    }

    fn built(&self, momentum: MomentumHandle) -> Built {
        Built::new(self.with_momentum(momentum))
    }
}
