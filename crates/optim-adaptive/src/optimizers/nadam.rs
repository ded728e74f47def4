//! NAdam.

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
    /// Settings of [`NAdam`]: torch's names and defaults (`torch.optim.NAdam`).
    pub struct NAdamConfig {
        /// Learning rate, at least 0. Default 2e-3.
        pub lr: f64 = 2e-3,
        /// Decay rates of the running averages of the gradient and of its square, each in `[0, 1)`.
        /// Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, after the square root. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay, as L2 penalty unless `decoupled_weight_decay`. Default 0.
        pub weight_decay: f64 = 0.0,
        /// How fast the Nesterov momentum `mu` rises to beta1. Default 4e-3.
        pub momentum_decay: f64 = 4e-3,
        /// Decay the weights themselves (by `1 - lr * weight_decay`) instead. Default false.
        pub decoupled_weight_decay: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for NAdamConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[
            ("lr", self.lr),
            ("eps", self.eps),
            ("weight_decay", self.weight_decay),
            ("momentum_decay", self.momentum_decay),
        ])?;
        ranges::betas(self.betas)
    }
}

/// NAdam (Dozat, ICLR workshop 2016): Adam with Nesterov momentum.
///
/// ```text
/// mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2)          m, v as in Adam
/// w = sqrt(v / (1 - beta2^t)) + eps
/// p = p - lr (1 - mu(t)) / (1 - prod_t mu) * g / w - lr mu(t+1) / (1 - mu(t+1) prod_t mu) * m / w
/// ```
///
/// torch keeps the running product of `mu` in f32, also for f64 parameters; here it is f64, so f64 traces differ from
/// torch's in the seventh digit. State: two buffers of the parameter's size.
#[derive(Debug, Clone)]
pub struct NAdam {
    config: NAdamConfig,
    momentum: MomentumHandle,
}

/// State of [`NAdam`], in torch's names.
#[derive(Debug, Clone)]
pub struct NAdamState<const D: usize> {
    /// Steps taken.
    pub step: usize,
    /// Product of `mu` over the steps taken.
    pub mu_product: f64,
    /// Running average of the gradient.
    pub exp_avg: Tensor<D>,
    /// Running average of its square.
    pub exp_avg_sq: Tensor<D>,
}

record_state!(NAdamState { step, mu_product, exp_avg, exp_avg_sq });

#[derive(Clone, Copy)]
struct NAdamRule {
    decay: Decay,
    beta1: f64,
    beta2: f64,
    eps: f64,
    bias_correction2: f64,
    grad_size: f64,
    exp_avg_size: f64,
}

impl Rule<2> for NAdamRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [exp_avg, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.decay.apply(param, grad);
        let exp_avg = exp_avg.lerp(grad.clone(), 1.0 - self.beta1);
        let exp_avg_sq = exp_avg_sq.scale(self.beta2) + grad.clone().scale(1.0 - self.beta2) * grad.clone();
        let denom = exp_avg_sq.clone().over(self.bias_correction2).root().offset(self.eps);
        let param = param + grad.scale(-self.grad_size) / denom.clone();
        let param = param + exp_avg.clone().scale(-self.exp_avg_size) / denom;
        (param, [exp_avg, exp_avg_sq])
    }
}

impl Optimizer for NAdam {
    type State<const D: usize> = NAdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let state = state.unwrap_or_else(|| NAdamState {
            step: 0,
            mu_product: 1.0,
            exp_avg: tensor.zeros_like(),
            exp_avg_sq: tensor.zeros_like(),
        });
        let step = state.step + 1;
        let time = step as f64;
        let beta1 = self.momentum.value();
        let beta2 = config.betas[1];
        let mu = |time: f64| beta1 * (1.0 - 0.5 * 0.96_f64.powf(time * config.momentum_decay));
        let mu_next = mu(time + 1.0);
        let mu_product = state.mu_product * mu(time);
        let rule = NAdamRule {
            decay: Decay::new(config.maximize, config.weight_decay, lr, config.decoupled_weight_decay),
            beta1,
            beta2,
            eps: config.eps,
            bias_correction2: 1.0 - beta2.powf(time),
            grad_size: lr * (1.0 - mu(time)) / (1.0 - mu_product),
            exp_avg_size: lr * mu_next / (1.0 - mu_product * mu_next),
        };
        let (tensor, [exp_avg, exp_avg_sq]) = apply(rule, tensor, grad, [state.exp_avg, state.exp_avg_sq]);
        (tensor, Some(NAdamState { step, mu_product, exp_avg, exp_avg_sq }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for NAdamConfig {
    const NAME: &'static str = "nadam";
    const SUMMARY: &'static str = "Adam with Nesterov momentum";

    type Optimizer = NAdam;

    lr_and_weight_decay!(and betas);

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> NAdam {
        NAdam { config: self.clone(), momentum }
    }
}
