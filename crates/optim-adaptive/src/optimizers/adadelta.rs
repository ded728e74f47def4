//! Adadelta.

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Settings, check, settings};

use super::Decay;
use crate::fused::{Rule, Value, apply};
use crate::momentum::MomentumHandle;
use crate::optimizer::{OptimizerSettings, lr_and_weight_decay};
use crate::ranges;
use crate::state::record_state;

settings! {
    /// Settings of [`Adadelta`]: torch's names and defaults (`torch.optim.Adadelta`).
    pub struct AdadeltaConfig {
        /// Learning rate, at least 0. Default 1.
        pub lr: f64 = 1.0,
        /// Decay rate of both running averages, from 0 to 1. Default 0.9.
        pub rho: f64 = 0.9,
        /// Added under both square roots. Default 1e-6.
        pub eps: f64 = 1e-6,
        /// Weight decay, as L2 penalty. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for AdadeltaConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        check::fraction("rho", self.rho)
    }
}

/// Adadelta (Zeiler, arXiv:1212.5701): steps in the unit of the parameter, from the ratio of two running averages.
///
/// ```text
/// s = rho s + (1 - rho) g^2          d = sqrt(a + eps) / sqrt(s + eps) * g
/// a = rho a + (1 - rho) d^2          p = p - lr d
/// ```
///
/// State: two buffers of the parameter's size.
#[derive(Debug, Clone)]
pub struct Adadelta {
    config: AdadeltaConfig,
}

/// State of [`Adadelta`], in torch's names.
#[derive(Debug, Clone)]
pub struct AdadeltaState<const D: usize> {
    /// Running average of the squared gradient.
    pub square_avg: Tensor<D>,
    /// Running average of the squared update.
    pub acc_delta: Tensor<D>,
}

record_state!(AdadeltaState { square_avg, acc_delta });

#[derive(Clone, Copy)]
struct AdadeltaRule {
    decay: Decay,
    lr: f64,
    rho: f64,
    eps: f64,
}

impl Rule<2> for AdadeltaRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [square_avg, acc_delta]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.decay.apply(param, grad);
        let square_avg = square_avg.scale(self.rho) + grad.clone().scale(1.0 - self.rho) * grad.clone();
        let std = square_avg.clone().offset(self.eps).root();
        let delta = acc_delta.clone().offset(self.eps).root() / std * grad;
        let acc_delta = acc_delta.scale(self.rho) + delta.clone().scale(1.0 - self.rho) * delta.clone();
        (param + delta.scale(-self.lr), [square_avg, acc_delta])
    }
}

impl Optimizer for Adadelta {
    type State<const D: usize> = AdadeltaState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let state =
            state.unwrap_or_else(|| AdadeltaState { square_avg: tensor.zeros_like(), acc_delta: tensor.zeros_like() });
        let rule = AdadeltaRule {
            decay: Decay::coupled(config.maximize, config.weight_decay),
            lr,
            rho: config.rho,
            eps: config.eps,
        };
        let (tensor, [square_avg, acc_delta]) = apply(rule, tensor, grad, [state.square_avg, state.acc_delta]);
        (tensor, Some(AdadeltaState { square_avg, acc_delta }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for AdadeltaConfig {
    const NAME: &'static str = "adadelta";
    const SUMMARY: &'static str = "steps in the parameter's own unit: a rate of 1 is meant to fit";

    type Optimizer = Adadelta;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> Adadelta {
        Adadelta { config: self.clone() }
    }
}
