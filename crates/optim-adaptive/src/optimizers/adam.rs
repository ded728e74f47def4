//! Adam and AdamW.

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
    /// Settings of [`Adam`]: torch's names and defaults (`torch.optim.Adam`).
    pub struct AdamConfig {
        /// Learning rate, at least 0. Default 1e-3.
        pub lr: f64 = 1e-3,
        /// Decay rates of the running averages of the gradient and of its square, each in `[0, 1)`.
        /// Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, after the square root. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay, as L2 penalty unless `decoupled_weight_decay`. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Divide by the largest second moment seen so far (Reddi et al., arXiv:1904.09237). Default false.
        pub amsgrad: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
        /// Decay the weights themselves, as [`AdamWConfig`] does. Default false.
        pub decoupled_weight_decay: bool = false,
    }
}

impl Settings for AdamConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        ranges::betas(self.betas)
    }
}

settings! {
    /// Settings of [`AdamW`]: torch's names and defaults (`torch.optim.AdamW`).
    pub struct AdamWConfig {
        /// Learning rate, at least 0. Default 1e-3.
        pub lr: f64 = 1e-3,
        /// Decay rates of the running averages, as in [`AdamConfig`]. Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Decoupled weight decay. Default 0.01.
        pub weight_decay: f64 = 1e-2,
        /// Divide by the largest second moment seen so far. Default false.
        pub amsgrad: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for AdamWConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        ranges::betas(self.betas)
    }
}

impl AdamWConfig {
    fn as_adam(&self) -> AdamConfig {
        AdamConfig {
            lr: self.lr,
            betas: self.betas,
            eps: self.eps,
            weight_decay: self.weight_decay,
            amsgrad: self.amsgrad,
            maximize: self.maximize,
            decoupled_weight_decay: true,
        }
    }
}

/// Adam (Kingma and Ba, arXiv:1412.6980): steps scaled by running averages of the gradient and its square.
///
/// ```text
/// m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
/// p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// State: two buffers of the parameter's size, three with `amsgrad`.
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    momentum: MomentumHandle,
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101): [`Adam`] whose
/// `decoupled_weight_decay` is set.
pub type AdamW = Adam;

/// State of [`Adam`], in torch's names.
#[derive(Debug, Clone)]
pub struct AdamState<const D: usize> {
    /// Steps taken.
    pub step: usize,
    /// Running average of the gradient.
    pub exp_avg: Tensor<D>,
    /// Running average of its square.
    pub exp_avg_sq: Tensor<D>,
    /// Largest `exp_avg_sq` so far (`amsgrad`).
    pub max_exp_avg_sq: Option<Tensor<D>>,
}

record_state!(AdamState { step, exp_avg, exp_avg_sq, max_exp_avg_sq });

/// One step, with bias corrections folded in.
#[derive(Clone, Copy)]
struct AdamRule {
    decay: Decay,
    beta1: f64,
    beta2: f64,
    eps: f64,
    step_size: f64,
    bias_correction2_sqrt: f64,
}

impl AdamRule {
    #[inline(always)]
    fn moments<V: Value>(self, grad: V, exp_avg: V, exp_avg_sq: V) -> (V, V) {
        let exp_avg = exp_avg.lerp(grad.clone(), 1.0 - self.beta1);
        // ((1 - beta2) g) g, in this order: it stays finite for gradients whose square overflows.
        let exp_avg_sq = exp_avg_sq.scale(self.beta2) + grad.clone().scale(1.0 - self.beta2) * grad;
        (exp_avg, exp_avg_sq)
    }

    #[inline(always)]
    fn moved<V: Value>(self, param: V, exp_avg: V, second: V) -> V {
        let denom = second.root().over(self.bias_correction2_sqrt).offset(self.eps);
        param + exp_avg.scale(-self.step_size) / denom
    }
}

impl Rule<2> for AdamRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [exp_avg, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.decay.apply(param, grad);
        let (exp_avg, exp_avg_sq) = self.moments(grad, exp_avg, exp_avg_sq);
        let param = self.moved(param, exp_avg.clone(), exp_avg_sq.clone());
        (param, [exp_avg, exp_avg_sq])
    }
}

/// [`AdamRule`] with `amsgrad`.
#[derive(Clone, Copy)]
struct AmsgradRule(AdamRule);

impl Rule<3> for AmsgradRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [exp_avg, exp_avg_sq, largest]: [V; 3]) -> (V, [V; 3]) {
        let (param, grad) = self.0.decay.apply(param, grad);
        let (exp_avg, exp_avg_sq) = self.0.moments(grad, exp_avg, exp_avg_sq);
        let largest = largest.larger(exp_avg_sq.clone());
        let param = self.0.moved(param, exp_avg.clone(), largest.clone());
        (param, [exp_avg, exp_avg_sq, largest])
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let mut state = state.unwrap_or_else(|| AdamState {
            step: 0,
            exp_avg: tensor.zeros_like(),
            exp_avg_sq: tensor.zeros_like(),
            max_exp_avg_sq: None,
        });
        state.step += 1;
        let time = state.step as f64;
        let beta1 = self.momentum.value();
        let beta2 = config.betas[1];
        let rule = AdamRule {
            decay: Decay::new(config.maximize, config.weight_decay, lr, config.decoupled_weight_decay),
            beta1,
            beta2,
            eps: config.eps,
            step_size: lr / (1.0 - beta1.powf(time)),
            bias_correction2_sqrt: (1.0 - beta2.powf(time)).sqrt(),
        };
        let tensor = if config.amsgrad {
            let largest = state.max_exp_avg_sq.unwrap_or_else(|| tensor.zeros_like());
            let (tensor, [exp_avg, exp_avg_sq, largest]) =
                apply(AmsgradRule(rule), tensor, grad, [state.exp_avg, state.exp_avg_sq, largest]);
            state.exp_avg = exp_avg;
            state.exp_avg_sq = exp_avg_sq;
            state.max_exp_avg_sq = Some(largest);
            tensor
        } else {
            let (tensor, [exp_avg, exp_avg_sq]) = apply(rule, tensor, grad, [state.exp_avg, state.exp_avg_sq]);
            state.exp_avg = exp_avg;
            state.exp_avg_sq = exp_avg_sq;
            state.max_exp_avg_sq = None;
            tensor
        };
        (tensor, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for AdamConfig {
    const NAME: &'static str = "adam";
    const SUMMARY: &'static str = "running averages of the gradient and its square: the usual first choice";

    type Optimizer = Adam;

    lr_and_weight_decay!(and betas);

    fn state_layout(&self) -> &'static str {
        if self.amsgrad { "amsgrad" } else { "" }
    }

    fn state_per_parameter(&self) -> usize {
        2 + usize::from(self.amsgrad)
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> Adam {
        Adam { config: self.clone(), momentum }
    }
}

impl OptimizerSettings for AdamWConfig {
    const NAME: &'static str = "adamw";
    const SUMMARY: &'static str = "Adam with decoupled weight decay: the usual choice for transformers";

    type Optimizer = AdamW;

    lr_and_weight_decay!(and betas);

    fn state_layout(&self) -> &'static str {
        if self.amsgrad { "amsgrad" } else { "" }
    }

    fn state_per_parameter(&self) -> usize {
        2 + usize::from(self.amsgrad)
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> AdamW {
        self.as_adam().with_momentum(momentum)
    }
}
