//! Stochastic gradient descent: the baseline.

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Settings, settings};

use super::Decay;
use crate::fused::{Rule, Value, apply};
use crate::momentum::MomentumHandle;
use crate::optimizer::{OptimizerSettings, lr_and_weight_decay};
use crate::ranges;
use crate::state::record_state;

settings! {
    /// Settings of [`Sgd`]: torch's names and defaults (`torch.optim.SGD`).
    pub struct SgdConfig {
        /// Learning rate, at least 0. Default 1e-3.
        pub lr: f64 = 1e-3,
        /// Momentum factor; 0 for none. Default 0.
        pub momentum: f64 = 0.0,
        /// Damping of the gradient's part in the momentum, from the second step on. Default 0.
        pub dampening: f64 = 0.0,
        /// Weight decay, as L2 penalty. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Look ahead along the momentum (Nesterov). Needs momentum and no dampening. Default false.
        pub nesterov: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for SgdConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let Self { momentum, dampening, .. } = *self;
        ranges::non_negative(&[("lr", self.lr), ("momentum", momentum), ("weight_decay", self.weight_decay)])?;
        ranges::finite(&[("dampening", dampening)])?;
        if self.nesterov && (momentum == 0.0 || dampening != 0.0) {
            return Err(ConfigError::conflict(
                "nesterov",
                format!(
                    "Nesterov momentum needs `momentum` above 0 and `dampening = 0`; found momentum = {momentum}, \
                     dampening = {dampening}"
                ),
            ));
        }
        Ok(())
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

impl OptimizerSettings for SgdConfig {
    const NAME: &'static str = "sgd";
    const SUMMARY: &'static str = "gradient descent, with momentum and Nesterov: the baseline";

    type Optimizer = Sgd;

    lr_and_weight_decay!();

    fn momentum(&self) -> Option<f64> {
        Some(self.momentum)
    }

    fn state_per_parameter(&self) -> usize {
        usize::from(self.momentum > 0.0)
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> Sgd {
        Sgd { config: self.clone(), momentum }
    }
}
