//! AdaGrad.

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
    /// Settings of [`Adagrad`]: torch's names and defaults (`torch.optim.Adagrad`).
    pub struct AdagradConfig {
        /// Learning rate, at least 0. Default 0.01.
        pub lr: f64 = 1e-2,
        /// The rate at step `t` (from 1) is `lr / (1 + (t - 1) lr_decay)`. Default 0.
        pub lr_decay: f64 = 0.0,
        /// Weight decay, as L2 penalty. Default 0.
        pub weight_decay: f64 = 0.0,
        /// What the sum of squares starts from. Default 0.
        pub initial_accumulator_value: f64 = 0.0,
        /// Added to the denominator, after the square root. Default 1e-10.
        pub eps: f64 = 1e-10,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for AdagradConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[
            ("lr", self.lr),
            ("lr_decay", self.lr_decay),
            ("weight_decay", self.weight_decay),
            ("initial_accumulator_value", self.initial_accumulator_value),
            ("eps", self.eps),
        ])
    }
}

/// AdaGrad (Duchi, Hazan and Singer, JMLR 12, 2011): steps divided by the root of all squared gradients so far.
///
/// ```text
/// sum = sum + g^2          p = p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps)
/// ```
///
/// State: one buffer of the parameter's size.
#[derive(Debug, Clone)]
pub struct Adagrad {
    config: AdagradConfig,
}

/// State of [`Adagrad`], in torch's names.
#[derive(Debug, Clone)]
pub struct AdagradState<const D: usize> {
    /// Steps taken.
    pub step: usize,
    /// Sum of all squared gradients.
    pub sum: Tensor<D>,
}

record_state!(AdagradState { step, sum });

#[derive(Clone, Copy)]
struct AdagradRule {
    decay: Decay,
    step_size: f64,
    eps: f64,
}

impl Rule<1> for AdagradRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [sum]: [V; 1]) -> (V, [V; 1]) {
        let (param, grad) = self.decay.apply(param, grad);
        let sum = sum + grad.clone() * grad.clone();
        let param = param + grad.scale(-self.step_size) / sum.clone().root().offset(self.eps);
        (param, [sum])
    }
}

impl Optimizer for Adagrad {
    type State<const D: usize> = AdagradState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let state = state.unwrap_or_else(|| AdagradState {
            step: 0,
            sum: if config.initial_accumulator_value == 0.0 {
                tensor.zeros_like()
            } else {
                tensor.full_like(config.initial_accumulator_value)
            },
        });
        let rule = AdagradRule {
            decay: Decay::coupled(config.maximize, config.weight_decay),
            step_size: lr / (1.0 + state.step as f64 * config.lr_decay),
            eps: config.eps,
        };
        let (tensor, [sum]) = apply(rule, tensor, grad, [state.sum]);
        (tensor, Some(AdagradState { step: state.step + 1, sum }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for AdagradConfig {
    const NAME: &'static str = "adagrad";
    const SUMMARY: &'static str = "rates that only shrink, per coordinate: sparse features";

    type Optimizer = Adagrad;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        1
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> Adagrad {
        Adagrad { config: self.clone() }
    }
}
