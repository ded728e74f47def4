//! Schedule-Free AdamW and SGD.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Settings, settings};

use crate::fused::{Rule, Value, apply};
use crate::momentum::MomentumHandle;
use crate::optimizer::{OptimizerSettings, ParamOptimizer, SharedState, lr_and_weight_decay};
use crate::ranges;
use crate::state::record_state;

settings! {
    /// Settings of [`ScheduleFreeAdamW`]: names and defaults of the authors' package
    /// (`schedulefree.AdamWScheduleFree` 1.4.1).
    pub struct ScheduleFreeAdamWConfig {
        /// Learning rate, at least 0. Default 0.0025.
        pub lr: f64 = 0.0025,
        /// `betas[0]` interpolates between the fast and the averaged sequence (the gradient is taken in between),
        /// `betas[1]` is the decay rate of the squared gradient. `betas[0]` in `(0, 1)`, `betas[1]` in `[0, 1)`.
        /// Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, after the square root. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay, at the point where the gradient is taken, times the rate. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Steps of linear warm-up. Default 0.
        pub warmup_steps: u64 = 0,
        /// Power of the step number in the averaging weights. Default 0.
        pub r: f64 = 0.0,
        /// Power of the largest rate so far in the averaging weights. Default 2.
        pub weight_lr_power: f64 = 2.0,
    }
}

impl Settings for ScheduleFreeAdamWConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("eps", self.eps), ("weight_decay", self.weight_decay)])?;
        ranges::finite(&[("r", self.r), ("weight_lr_power", self.weight_lr_power)])?;
        ranges::betas(self.betas)?;
        ranges::between_zero_and_one("betas[0]", self.betas[0])
    }
}

settings! {
    /// Settings of [`ScheduleFreeSgd`]: names and defaults of the authors' package
    /// (`schedulefree.SGDScheduleFree` 1.4.1).
    pub struct ScheduleFreeSgdConfig {
        /// Learning rate, at least 0. Default 1.
        pub lr: f64 = 1.0,
        /// Interpolation between the fast and the averaged sequence, in `(0, 1)`. Default 0.9.
        pub momentum: f64 = 0.9,
        /// Weight decay, at the point where the gradient is taken. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Steps of linear warm-up. Default 0.
        pub warmup_steps: u64 = 0,
        /// Power of the step number in the averaging weights. Default 0.
        pub r: f64 = 0.0,
        /// Power of the largest rate so far in the averaging weights. Default 2.
        pub weight_lr_power: f64 = 2.0,
    }
}

impl Settings for ScheduleFreeSgdConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("weight_decay", self.weight_decay)])?;
        ranges::finite(&[("r", self.r), ("weight_lr_power", self.weight_lr_power)])?;
        ranges::between_zero_and_one("momentum", self.momentum)
    }
}

/// Schedule-Free AdamW (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682).
///
/// ```text
/// v = beta2 v + (1 - beta2) g^2          d = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay y
/// c = w(t) / sum w,  w(t) = t^r lr_max^weight_lr_power
/// y = y + c (z - y) + lr (beta1 (1 - c) - 1) d          z = z - lr d
/// ```
///
/// The parameters of the model are `y`, where gradients are taken. Those to evaluate, export and keep are the average
/// `x = y + (1 - 1/beta1)(z - y)`: [`AdaptiveOptimizer::eval_params`](crate::AdaptiveOptimizer::eval_params). burn's
/// own Learner does not know the difference and evaluates `y`. State: two buffers of the parameter's size.
#[derive(Debug, Clone)]
pub struct ScheduleFreeAdamW {
    config: ScheduleFreeAdamWConfig,
    averaging: Averaging,
}

/// Schedule-Free SGD (Defazio et al., arXiv:2405.15682): as [`ScheduleFreeAdamW`] with `d = g + weight_decay y`.
///
/// State: one buffer of the parameter's size.
#[derive(Debug, Clone)]
pub struct ScheduleFreeSgd {
    config: ScheduleFreeSgdConfig,
    averaging: Averaging,
}

/// State of the Schedule-Free optimizers, in the authors' names.
#[derive(Debug, Clone)]
pub struct ScheduleFreeState<const D: usize> {
    /// Steps taken.
    pub k: u64,
    /// Sum of the averaging weights so far.
    pub weight_sum: f64,
    /// Largest rate so far.
    pub lr_max: f64,
    /// The fast sequence.
    pub z: Tensor<D>,
    /// Running average of the squared gradient (AdamW).
    pub exp_avg_sq: Option<Tensor<D>>,
}

record_state!(ScheduleFreeState { k, weight_sum, lr_max, z, exp_avg_sq });

/// Where the averaging stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AveragingState {
    k: u64,
    weight_sum: f64,
    lr_max: f64,
}

impl AveragingState {
    const START: Self = Self { k: 0, weight_sum: 0.0, lr_max: -1.0 };
}

/// What a step needs of the averaging.
#[derive(Debug, Clone, Copy)]
struct Tick {
    /// The clock after the step.
    after: AveragingState,
    /// Factor of the warm-up.
    warmup: f64,
    /// Share of the new point in the average.
    share: f64,
}

/// The averaging weights. They belong to the run, not to a parameter: a parameter without a gradient in some step is
/// still a step later afterwards. The engine advances one clock for all ([`SharedState::begin`]); inside
/// burn's own loop, which has no such moment, each parameter keeps its own.
#[derive(Debug, Clone)]
struct Averaging {
    beta: f64,
    warmup_steps: u64,
    r: f64,
    weight_lr_power: f64,
    now: Arc<Mutex<Option<Tick>>>,
}

impl Averaging {
    fn new(beta: f64, warmup_steps: u64, r: f64, weight_lr_power: f64) -> Self {
        Self { beta, warmup_steps, r, weight_lr_power, now: Arc::default() }
    }

    fn advance(&self, clock: AveragingState, lr: f64) -> Tick {
        let warmup = if clock.k < self.warmup_steps { (clock.k + 1) as f64 / self.warmup_steps as f64 } else { 1.0 };
        let lr_max = (lr * warmup).max(clock.lr_max);
        let weight = ((clock.k + 1) as f64).powf(self.r) * lr_max.powf(self.weight_lr_power);
        let weight_sum = clock.weight_sum + weight;
        let share = if weight_sum == 0.0 { 0.0 } else { weight / weight_sum };
        Tick { after: AveragingState { k: clock.k + 1, weight_sum, lr_max }, warmup, share }
    }

    fn now(&self) -> Option<Tick> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, tick: Option<Tick>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = tick;
    }

    /// The tick of this step for a parameter with this state.
    fn tick<const D: usize>(&self, lr: f64, state: Option<&ScheduleFreeState<D>>) -> Tick {
        self.now().unwrap_or_else(|| {
            let clock = state.map_or(AveragingState::START, |state| AveragingState {
                k: state.k,
                weight_sum: state.weight_sum,
                lr_max: state.lr_max,
            });
            self.advance(clock, lr)
        })
    }
}

impl SharedState for Averaging {
    /// Counts one step of the run.
    fn begin(&self, lr: f64) {
        let clock = self.now().map_or(AveragingState::START, |tick| tick.after);
        self.set(Some(self.advance(clock, lr)));
    }

    fn save(&self) -> Vec<(&'static str, f64)> {
        self.now().map_or_else(Vec::new, |tick| {
            let AveragingState { k, weight_sum, lr_max } = tick.after;
            vec![("k", k as f64), ("weight_sum", weight_sum), ("lr_max", lr_max)]
        })
    }

    fn load(&self, saved: &BTreeMap<String, f64>) {
        let get = |name: &str| saved.get(name).copied();
        let after = get("k")
            .zip(get("weight_sum"))
            .zip(get("lr_max"))
            .map(|((k, weight_sum), lr_max)| AveragingState { k: k as u64, weight_sum, lr_max });
        self.set(after.map(|after| Tick { after, warmup: 1.0, share: 0.0 }));
    }
}

/// Makes of a trained parameter `y` the averaged one `x`.
#[derive(Clone)]
struct Average {
    beta: f64,
}

impl Optimizer for Average {
    type State<const D: usize> = ScheduleFreeState<D>;

    fn step<const D: usize>(
        &self,
        _lr: LearningRate,
        param: Tensor<D>,
        _grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let average = match &state {
            Some(state) => param.lerp(state.z.clone(), 1.0 - 1.0 / self.beta),
            None => param,
        };
        (average, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

/// As the engine takes it.
fn erased(optimizer: impl Optimizer, averaging: &Averaging) -> ParamOptimizer {
    ParamOptimizer::new(optimizer).evaluating(Average { beta: averaging.beta }).sharing(averaging.clone())
}

/// The step that both variants share once the direction is known.
#[derive(Clone, Copy)]
struct Interpolation {
    lr: f64,
    beta: f64,
    share: f64,
    weight_decay: f64,
}

impl Interpolation {
    #[inline(always)]
    fn apply<V: Value>(self, param: V, direction: V, z: V) -> (V, V) {
        let direction =
            if self.weight_decay == 0.0 { direction } else { direction + param.clone().scale(self.weight_decay) };
        let param = param.lerp(z.clone(), self.share);
        let param = param + direction.clone().scale(self.lr * (self.beta * (1.0 - self.share) - 1.0));
        (param, z - direction.scale(self.lr))
    }
}

#[derive(Clone, Copy)]
struct AdamWRule {
    step: Interpolation,
    beta2: f64,
    eps: f64,
    bias_correction2: f64,
}

impl Rule<2> for AdamWRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [z, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let exp_avg_sq = exp_avg_sq.scale(self.beta2) + grad.clone().scale(1.0 - self.beta2) * grad.clone();
        let denom = exp_avg_sq.clone().over(self.bias_correction2).root().offset(self.eps);
        let (param, z) = self.step.apply(param, grad / denom, z);
        (param, [z, exp_avg_sq])
    }
}

#[derive(Clone, Copy)]
struct SgdRule {
    step: Interpolation,
}

impl Rule<1> for SgdRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, grad: V, [z]: [V; 1]) -> (V, [V; 1]) {
        let (param, z) = self.step.apply(param, grad, z);
        (param, [z])
    }
}

impl Optimizer for ScheduleFreeAdamW {
    type State<const D: usize> = ScheduleFreeState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let Tick { after, warmup, share } = self.averaging.tick(lr, state.as_ref());
        let (z, exp_avg_sq) =
            state.map_or_else(|| (tensor.clone(), None), |state: ScheduleFreeState<D>| (state.z, state.exp_avg_sq));
        let exp_avg_sq = exp_avg_sq.unwrap_or_else(|| tensor.zeros_like());
        let beta2 = config.betas[1];
        let rule = AdamWRule {
            step: Interpolation { lr: lr * warmup, beta: config.betas[0], share, weight_decay: config.weight_decay },
            beta2,
            eps: config.eps,
            bias_correction2: 1.0 - beta2.powf(after.k as f64),
        };
        let (tensor, [z, exp_avg_sq]) = apply(rule, tensor, grad, [z, exp_avg_sq]);
        let AveragingState { k, weight_sum, lr_max } = after;
        (tensor, Some(ScheduleFreeState { k, weight_sum, lr_max, z, exp_avg_sq: Some(exp_avg_sq) }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl Optimizer for ScheduleFreeSgd {
    type State<const D: usize> = ScheduleFreeState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let config = &self.config;
        let Tick { after, warmup, share } = self.averaging.tick(lr, state.as_ref());
        let z = state.map_or_else(|| tensor.clone(), |state| state.z);
        let step = Interpolation { lr: lr * warmup, beta: config.momentum, share, weight_decay: config.weight_decay };
        let (tensor, [z]) = apply(SgdRule { step }, tensor, grad, [z]);
        let AveragingState { k, weight_sum, lr_max } = after;
        (tensor, Some(ScheduleFreeState { k, weight_sum, lr_max, z, exp_avg_sq: None }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for ScheduleFreeAdamWConfig {
    const NAME: &'static str = "schedule_free_adamw";
    const SUMMARY: &'static str = "AdamW with averaging in place of a schedule";

    type Optimizer = ScheduleFreeAdamW;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> ScheduleFreeAdamW {
        let averaging = Averaging::new(self.betas[0], self.warmup_steps, self.r, self.weight_lr_power);
        ScheduleFreeAdamW { config: self.clone(), averaging }
    }

    fn erased(&self, _momentum: MomentumHandle) -> ParamOptimizer {
        let optimizer = self.build();
        erased(optimizer.clone(), &optimizer.averaging)
    }
}

impl OptimizerSettings for ScheduleFreeSgdConfig {
    const NAME: &'static str = "schedule_free_sgd";
    const SUMMARY: &'static str = "SGD with averaging in place of a schedule";

    type Optimizer = ScheduleFreeSgd;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        1
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> ScheduleFreeSgd {
        let averaging = Averaging::new(self.momentum, self.warmup_steps, self.r, self.weight_lr_power);
        ScheduleFreeSgd { config: self.clone(), averaging }
    }

    fn erased(&self, _momentum: MomentumHandle) -> ParamOptimizer {
        let optimizer = self.build();
        erased(optimizer.clone(), &optimizer.averaging)
    }
}
