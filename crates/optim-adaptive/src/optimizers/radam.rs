//! RAdam.

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
    /// Settings of [`RAdam`]: torch's names and defaults (`torch.optim.RAdam`).
    pub struct RAdamConfig {
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
        /// Decay the weights themselves (by `1 - lr * weight_decay`) instead. Default false.
        pub decoupled_weight_decay: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for RAdamConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        ranges::betas(self.betas)
    }
}

/// RAdam (Liu et al., arXiv:1908.03265): Adam whose second moment is used once there is enough of it.
///
/// ```text
/// rho_inf = 2 / (1 - beta2) - 1          rho(t) = rho_inf - 2 t beta2^t / (1 - beta2^t)
/// r(t) = sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho))
/// p = p - lr m / (1 - beta1^t) * r(t) sqrt(1 - beta2^t) / (sqrt(v) + eps)     where rho(t) > 5
/// p = p - lr m / (1 - beta1^t)                                                before
/// ```
///
/// State: two buffers of the parameter's size.
#[derive(Debug, Clone)]
pub struct RAdam {
    config: RAdamConfig,
    momentum: MomentumHandle,
}

/// State of [`RAdam`], in torch's names.
#[derive(Debug, Clone)]
pub struct RAdamState<const D: usize> {
    /// Steps taken.
    pub step: usize,
    /// Running average of the gradient.
    pub exp_avg: Tensor<D>,
    /// Running average of its square.
    pub exp_avg_sq: Tensor<D>,
}

record_state!(RAdamState { step, exp_avg, exp_avg_sq });

#[derive(Clone, Copy)]
struct RAdamRule {
    decay: Decay,
    beta1: f64,
    beta2: f64,
    eps: f64,
    lr: f64,
    bias_correction1: f64,
    bias_correction2_sqrt: f64,
    /// `r(t)`, once the second moment can be trusted.
    rectification: Option<f64>,
}

impl Rule<2> for RAdamRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [exp_avg, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.decay.apply(param, grad);
        let exp_avg = exp_avg.lerp(grad.clone(), 1.0 - self.beta1);
        let exp_avg_sq = exp_avg_sq.scale(self.beta2) + grad.clone().scale(1.0 - self.beta2) * grad;
        let step = exp_avg.clone().over(self.bias_correction1).scale(self.lr);
        let param = match self.rectification {
            Some(rectification) => {
                let adaptive = exp_avg_sq.clone().root().offset(self.eps).under(self.bias_correction2_sqrt);
                param - (step * adaptive).scale(rectification)
            }
            None => param - step,
        };
        (param, [exp_avg, exp_avg_sq])
    }
}

impl Optimizer for RAdam {
    type State<const D: usize> = RAdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let state = state.unwrap_or_else(|| RAdamState {
            step: 0,
            exp_avg: tensor.zeros_like(),
            exp_avg_sq: tensor.zeros_like(),
        });
        let step = state.step + 1;
        let time = step as f64;
        let beta1 = self.momentum.value();
        let beta2 = config.betas[1];
        let bias_correction2 = 1.0 - beta2.powf(time);
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_inf - 2.0 * time * beta2.powf(time) / bias_correction2;
        let rule = RAdamRule {
            decay: Decay::new(config.maximize, config.weight_decay, lr, config.decoupled_weight_decay),
            beta1,
            beta2,
            eps: config.eps,
            lr,
            bias_correction1: 1.0 - beta1.powf(time),
            bias_correction2_sqrt: bias_correction2.sqrt(),
            rectification: (rho > 5.0)
                .then(|| ((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)).sqrt()),
        };
        let (tensor, [exp_avg, exp_avg_sq]) = apply(rule, tensor, grad, [state.exp_avg, state.exp_avg_sq]);
        (tensor, Some(RAdamState { step, exp_avg, exp_avg_sq }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for RAdamConfig {
    const NAME: &'static str = "radam";
    const SUMMARY: &'static str = "Adam that waits for a trustworthy second moment: needs no warm-up";

    type Optimizer = RAdam;

    lr_and_weight_decay!(and betas);

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> RAdam {
        RAdam { config: self.clone(), momentum }
    }
}
