//! RMSprop.

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
    /// Settings of [`Rmsprop`]: torch's names and defaults (`torch.optim.RMSprop`).
    pub struct RmspropConfig {
        /// Learning rate, at least 0. Default 0.01.
        pub lr: f64 = 1e-2,
        /// Decay rate of the running averages, at least 0. Default 0.99.
        pub alpha: f64 = 0.99,
        /// Added to the denominator, after the square root. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay, as L2 penalty. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Momentum of the scaled gradients; 0 for none. Default 0.
        pub momentum: f64 = 0.0,
        /// Divide by the standard deviation instead of the root mean square. Default false.
        pub centered: bool = false,
        /// Climb instead of descend. Default false.
        pub maximize: bool = false,
    }
}

impl Settings for RmspropConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[
            ("lr", self.lr),
            ("alpha", self.alpha),
            ("eps", self.eps),
            ("weight_decay", self.weight_decay),
            ("momentum", self.momentum),
        ])
    }
}

/// RMSprop (Hinton, Coursera lecture 6e, 2012; centered: Graves, arXiv:1308.0850): steps divided by the running root
/// mean square of the gradient.
///
/// ```text
/// s = alpha s + (1 - alpha) g^2          w = sqrt(s) + eps      (centered: a = alpha a + (1 - alpha) g,
/// p = p - lr g / w                                                         w = sqrt(s - a^2) + eps)
/// with momentum: b = momentum b + g / w,  p = p - lr b
/// ```
///
/// State: one buffer of the parameter's size, one more with `centered`, one more with `momentum`.
#[derive(Debug, Clone)]
pub struct Rmsprop {
    config: RmspropConfig,
    momentum: MomentumHandle,
}

/// State of [`Rmsprop`], in torch's names.
#[derive(Debug, Clone)]
pub struct RmspropState<const D: usize> {
    /// Running average of the squared gradient.
    pub square_avg: Tensor<D>,
    /// Running average of the gradient (`centered`).
    pub grad_avg: Option<Tensor<D>>,
    /// Momentum buffer, once there has been momentum.
    pub momentum_buffer: Option<Tensor<D>>,
}

record_state!(RmspropState { square_avg, grad_avg, momentum_buffer });

#[derive(Clone, Copy)]
struct RmspropRule {
    decay: Decay,
    lr: f64,
    alpha: f64,
    eps: f64,
    momentum: f64,
}

impl RmspropRule {
    #[inline(always)]
    fn squares<V: Value>(self, grad: V, square_avg: V) -> V {
        square_avg.scale(self.alpha) + grad.clone().scale(1.0 - self.alpha) * grad
    }

    #[inline(always)]
    fn denominator<V: Value>(self, square_avg: V) -> V {
        square_avg.root().offset(self.eps)
    }

    #[inline(always)]
    fn centered<V: Value>(self, grad: V, square_avg: V, grad_avg: V) -> (V, V) {
        let grad_avg = grad_avg.lerp(grad, 1.0 - self.alpha);
        let denom = self.denominator(square_avg - grad_avg.clone() * grad_avg.clone());
        (grad_avg, denom)
    }

    #[inline(always)]
    fn plain_step<V: Value>(self, param: V, grad: V, denom: V) -> V {
        param + grad.scale(-self.lr) / denom
    }

    #[inline(always)]
    fn momentum_step<V: Value>(self, param: V, grad: V, denom: V, buffer: V) -> (V, V) {
        let buffer = buffer.scale(self.momentum) + grad / denom;
        (param + buffer.clone().scale(-self.lr), buffer)
    }
}

#[derive(Clone, Copy)]
struct Plain(RmspropRule);

impl Rule<1> for Plain {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [square_avg]: [V; 1]) -> (V, [V; 1]) {
        let (param, grad) = self.0.decay.apply(param, grad);
        let square_avg = self.0.squares(grad.clone(), square_avg);
        let denom = self.0.denominator(square_avg.clone());
        (self.0.plain_step(param, grad, denom), [square_avg])
    }
}

#[derive(Clone, Copy)]
struct Centered(RmspropRule);

impl Rule<2> for Centered {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [square_avg, grad_avg]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.0.decay.apply(param, grad);
        let square_avg = self.0.squares(grad.clone(), square_avg);
        let (grad_avg, denom) = self.0.centered(grad.clone(), square_avg.clone(), grad_avg);
        (self.0.plain_step(param, grad, denom), [square_avg, grad_avg])
    }
}

#[derive(Clone, Copy)]
struct WithMomentum(RmspropRule);

impl Rule<2> for WithMomentum {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [square_avg, buffer]: [V; 2]) -> (V, [V; 2]) {
        let (param, grad) = self.0.decay.apply(param, grad);
        let square_avg = self.0.squares(grad.clone(), square_avg);
        let denom = self.0.denominator(square_avg.clone());
        let (param, buffer) = self.0.momentum_step(param, grad, denom, buffer);
        (param, [square_avg, buffer])
    }
}

#[derive(Clone, Copy)]
struct CenteredWithMomentum(RmspropRule);

impl Rule<3> for CenteredWithMomentum {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [square_avg, grad_avg, buffer]: [V; 3]) -> (V, [V; 3]) {
        let (param, grad) = self.0.decay.apply(param, grad);
        let square_avg = self.0.squares(grad.clone(), square_avg);
        let (grad_avg, denom) = self.0.centered(grad.clone(), square_avg.clone(), grad_avg);
        let (param, buffer) = self.0.momentum_step(param, grad, denom, buffer);
        (param, [square_avg, grad_avg, buffer])
    }
}

impl Optimizer for Rmsprop {
    type State<const D: usize> = RmspropState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let RmspropState { square_avg, grad_avg, momentum_buffer } = state.unwrap_or_else(|| RmspropState {
            square_avg: tensor.zeros_like(),
            grad_avg: None,
            momentum_buffer: None,
        });
        let momentum = self.momentum.value();
        let rule = RmspropRule {
            decay: Decay::coupled(config.maximize, config.weight_decay),
            lr,
            alpha: config.alpha,
            eps: config.eps,
            momentum,
        };
        let zeros = |buffer: Option<Tensor<D>>| buffer.unwrap_or_else(|| tensor.zeros_like());
        if config.centered {
            let grad_avg = zeros(grad_avg);
            if momentum > 0.0 {
                let buffer = zeros(momentum_buffer);
                let (tensor, [square_avg, grad_avg, buffer]) =
                    apply(CenteredWithMomentum(rule), tensor, grad, [square_avg, grad_avg, buffer]);
                let (grad_avg, momentum_buffer) = (Some(grad_avg), Some(buffer));
                (tensor, Some(RmspropState { square_avg, grad_avg, momentum_buffer }))
            } else {
                let (tensor, [square_avg, grad_avg]) = apply(Centered(rule), tensor, grad, [square_avg, grad_avg]);
                (tensor, Some(RmspropState { square_avg, grad_avg: Some(grad_avg), momentum_buffer }))
            }
        } else if momentum > 0.0 {
            let buffer = zeros(momentum_buffer);
            let (tensor, [square_avg, buffer]) = apply(WithMomentum(rule), tensor, grad, [square_avg, buffer]);
            (tensor, Some(RmspropState { square_avg, grad_avg, momentum_buffer: Some(buffer) }))
        } else {
            let (tensor, [square_avg]) = apply(Plain(rule), tensor, grad, [square_avg]);
            (tensor, Some(RmspropState { square_avg, grad_avg, momentum_buffer }))
        }
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for RmspropConfig {
    const NAME: &'static str = "rmsprop";
    const SUMMARY: &'static str = "divides by the running root mean square: recurrent nets, reinforcement learning";

    type Optimizer = Rmsprop;

    lr_and_weight_decay!();

    fn momentum(&self) -> Option<f64> {
        Some(self.momentum)
    }

    fn state_layout(&self) -> &'static str {
        if self.centered { "centered" } else { "" }
    }

    fn state_per_parameter(&self) -> usize {
        1 + usize::from(self.centered) + usize::from(self.momentum > 0.0)
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> Rmsprop {
        Rmsprop { config: self.clone(), momentum }
    }
}
