//! Adamax.

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
    /// Settings of [`Adamax`]: torch's names and defaults (`torch.optim.Adamax`).
    pub struct AdamaxConfig {
        /// Learning rate, at least 0. Default 2e-3.
        pub lr: f64 = 2e-3,
        /// Decay rates of the running average and of the running maximum, each in `[0, 1)`. Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to each gradient's magnitude. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay, as L2 penalty. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for AdamaxConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        ranges::betas(self.betas)
    }
}

/// Adamax (Kingma and Ba, arXiv:1412.6980, section 7.1): Adam under the infinity norm.
///
/// ```text
/// m = beta1 m + (1 - beta1) g          u = max(beta2 u, |g| + eps)
/// p = p - lr / (1 - beta1^t) * m / u
/// ```
///
/// State: two buffers of the parameter's size.
#[derive(Debug, Clone)]
pub struct Adamax {
    config: AdamaxConfig,
    momentum: MomentumHandle,
}

/// State of [`Adamax`], in torch's names.
#[derive(Debug, Clone)]
pub struct AdamaxState<const D: usize> {
    /// Steps taken.
    pub step: usize,
    /// Running average of the gradient.
    pub exp_avg: Tensor<D>,
    /// Decaying maximum of the gradient's magnitude.
    pub exp_inf: Tensor<D>,
}

record_state!(AdamaxState { step, exp_avg, exp_inf });

#[derive(Clone, Copy)]
struct AdamaxRule {
    decay: Decay,
    beta1: f64,
    beta2: f64,
    eps: f64,
    step_size: f64,
}

impl Rule<2> for AdamaxRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [exp_avg, exp_inf]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.decay.apply(param, grad);
        let exp_avg = exp_avg.lerp(grad.clone(), 1.0 - self.beta1);
        let exp_inf = exp_inf.scale(self.beta2).larger(grad.magnitude().offset(self.eps));
        let param = param + exp_avg.clone().scale(-self.step_size) / exp_inf.clone();
        (param, [exp_avg, exp_inf])
    }
}

impl Optimizer for Adamax {
    type State<const D: usize> = AdamaxState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let state = state.unwrap_or_else(|| AdamaxState {
            step: 0,
            exp_avg: tensor.zeros_like(),
            exp_inf: tensor.zeros_like(),
        });
        let step = state.step + 1;
        let beta1 = self.momentum.value();
        let rule = AdamaxRule {
            decay: Decay::coupled(config.maximize, config.weight_decay),
            beta1,
            beta2: config.betas[1],
            eps: config.eps,
            step_size: lr / (1.0 - beta1.powf(step as f64)),
        };
        let (tensor, [exp_avg, exp_inf]) = apply(rule, tensor, grad, [state.exp_avg, state.exp_inf]);
        (tensor, Some(AdamaxState { step, exp_avg, exp_inf }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for AdamaxConfig {
    const NAME: &'static str = "adamax";
    const SUMMARY: &'static str = "Adam under the infinity norm: robust to rare large gradients";

    type Optimizer = Adamax;

    lr_and_weight_decay!(and betas);

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> Adamax {
        Adamax { config: self.clone(), momentum }
    }
}
