//! Prodigy: Adam that finds its own step size.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Settings, check, settings};

use crate::fused::{Rule, Value, apply, norm_power_sum, weighted_difference};
use crate::momentum::MomentumHandle;
use crate::optimizer::{OptimizerSettings, ParamOptimizer, SharedState, lr_and_weight_decay};
use crate::ranges;
use crate::state::record_state;

settings! {
    /// Settings of Prodigy: names and defaults of the authors' package (`prodigyopt.Prodigy` 1.1.2).
    ///
    /// Prodigy (Mishchenko and Defazio, arXiv:2306.06101) estimates the distance `d` to the solution from gradients
    /// and the way walked so far, and takes Adam steps of size `d * lr`. The estimate is one number for all parameters
    /// and needs all gradients before any parameter moves, so there is no optimizer of one tensor at a time: it runs
    /// in [`AdaptiveOptimizer`](crate::AdaptiveOptimizer), not in burn's own Learner.
    ///
    /// ```text
    /// num = beta3 num + (d / d0) d lr sum g (p0 - p)          s = beta3 s + (d / d0) d lr g
    /// d' = d_coef num / sum |s|                                d = max(d, d'), at most growth_rate times the last d
    /// m = beta1 m + (1 - beta1) d g                            v = beta2 v + (1 - beta2) d^2 g^2
    /// p = p - d lr m / (sqrt(v) + d eps)                       (the d of the step in m, v and lr; the new one in eps)
    /// ```
    pub struct ProdigyConfig {
        /// Factor on the estimated step size, above 0. Leave it at 1. Default 1.
        pub lr: f64 = 1.0,
        /// Decay rates of the running averages, each in `[0, 1)`. Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Decay rate of the estimate's own averages; `sqrt(betas[1])` where absent.
        pub beta3: Option<f64> = None,
        /// Added to the denominator, times `d`. Above 0. Default 1e-8.
        pub eps: f64 = 1e-8,
        /// Weight decay. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Decay the weights themselves, as AdamW does; otherwise an L2 penalty. Default true.
        pub decouple: bool = true,
        /// Correct the averages' bias, as Adam does. Default false.
        pub use_bias_correction: bool = false,
        /// Leave the rate out of the estimate's denominator, for runs with warm-up. Default false.
        pub safeguard_warmup: bool = false,
        /// First estimate of `d`, above 0. Default 1e-6.
        pub d0: f64 = 1e-6,
        /// Factor on the estimate: 0.5 and 2 are common too. Default 1.
        pub d_coef: f64 = 1.0,
        /// Largest growth of `d` per step; `inf` for none. Default inf.
        #[serde(deserialize_with = "strict_config::any_number")]
        pub growth_rate: f64 = f64::INFINITY,
    }
}

impl Settings for ProdigyConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("weight_decay", self.weight_decay)])?;
        ranges::positive(&[("lr", self.lr), ("eps", self.eps), ("d0", self.d0)])?;
        ranges::finite(&[("d_coef", self.d_coef)])?;
        ranges::betas(self.betas)?;
        self.beta3.map_or(Ok(()), |beta3| check::below_one("beta3", beta3))?;
        check::is_allowed("growth_rate", self.growth_rate, "a number above 0, or inf", self.growth_rate > 0.0)
    }
}

/// State of Prodigy for one parameter, in the authors' names.
#[derive(Debug, Clone)]
pub struct ProdigyState<const D: usize> {
    /// Weighted sum of gradients.
    pub s: Tensor<D>,
    /// The parameter at the first step.
    pub p0: Tensor<D>,
    /// Running average of the gradient, times `d`.
    pub exp_avg: Tensor<D>,
    /// Running average of the squared gradient, times `d^2`.
    pub exp_avg_sq: Tensor<D>,
}

record_state!(ProdigyState { s, p0, exp_avg, exp_avg_sq });

/// The estimate, and what the step in progress has gathered.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    d: f64,
    d_max: f64,
    d_numerator: f64,
    k: u64,
    /// `sum g (p0 - p)` and `sum |s|` over the parameters seen in this step.
    gathered: (f64, f64),
    /// The step in progress.
    step: Option<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    /// `d * lr`, bias-corrected, with the estimate from before the step.
    dlr: f64,
    /// Whether parameters move: not before there has been any gradient.
    moves: bool,
}

/// Prodigy with the estimate shared by all its parameters. Clones share it.
#[derive(Debug, Clone)]
pub struct Prodigy {
    config: ProdigyConfig,
    momentum: MomentumHandle,
    estimate: Arc<Mutex<Estimate>>,
}

impl Prodigy {
    fn new(config: ProdigyConfig, momentum: MomentumHandle) -> Self {
        let (d, d_max) = (config.d0, config.d0);
        let estimate = Estimate { d, d_max, d_numerator: 0.0, k: 0, gathered: (0.0, 0.0), step: None };
        Self { config, momentum, estimate: Arc::new(Mutex::new(estimate)) }
    }

    /// As the engine takes it.
    fn erased(self) -> ParamOptimizer {
        ParamOptimizer::new(self.clone()).observing(Observe(self.clone())).sharing(self)
    }

    fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedState for Prodigy {
    fn begin(&self, lr: f64) {
        let beta1 = self.momentum.value();
        let beta2 = self.config.betas[1];
        let mut estimate = self.estimate();
        let time = (estimate.k + 1) as f64;
        let bias_correction = if self.config.use_bias_correction {
            (1.0 - beta2.powf(time)).sqrt() / (1.0 - beta1.powf(time))
        } else {
            1.0
        };
        estimate.gathered = (0.0, 0.0);
        estimate.step = Some(Step { dlr: estimate.d * lr * bias_correction, moves: false });
    }

    /// The new estimate, from all gradients.
    fn conclude(&self, lr: f64) {
        let config = &self.config;
        let mut estimate = self.estimate();
        let (progress, weight) = estimate.gathered;
        if weight == 0.0 {
            return;
        }
        if lr > 0.0 {
            estimate.d_numerator = config.beta3() * estimate.d_numerator + progress;
            let d_hat = config.d_coef * estimate.d_numerator / weight;
            // A NaN estimate changes nothing, as in the reference's comparisons.
            if estimate.d == config.d0 && d_hat > estimate.d {
                estimate.d = d_hat;
            }
            if d_hat > estimate.d_max {
                estimate.d_max = d_hat;
            }
            let grown = estimate.d * config.growth_rate;
            estimate.d = if grown < estimate.d_max { grown } else { estimate.d_max };
        }
        estimate.k += 1;
        if let Some(step) = &mut estimate.step {
            step.moves = true;
        }
    }

    fn save(&self) -> Vec<(&'static str, f64)> {
        let estimate = self.estimate();
        vec![
            ("d", estimate.d),
            ("d_max", estimate.d_max),
            ("d_numerator", estimate.d_numerator),
            ("k", estimate.k as f64),
        ]
    }

    fn load(&self, saved: &BTreeMap<String, f64>) {
        let get = |name: &str, default: f64| saved.get(name).copied().unwrap_or(default);
        let mut estimate = self.estimate();
        estimate.d = get("d", self.config.d0);
        estimate.d_max = get("d_max", self.config.d0);
        estimate.d_numerator = get("d_numerator", 0.0);
        estimate.k = get("k", 0.0) as u64;
        estimate.step = None;
    }

    /// The estimate is one for all parameters, under whatever decay.
    fn with_weight_decay(&self, weight_decay: f64) -> Option<ParamOptimizer> {
        let config = ProdigyConfig { weight_decay, ..self.config.clone() };
        Some(Self { config, ..self.clone() }.erased())
    }

    /// `d`: the estimate of the distance to the solution, which Adam would be given as its rate.
    fn step_size(&self) -> Option<f64> {
        Some(self.estimate().d)
    }
}

/// Takes every gradient into the estimate and the running averages, before any parameter moves. What it returns in the
/// parameter's place is the gradient to step with: coupled decay is a part of it.
#[derive(Clone)]
struct Observe(Prodigy);

impl Optimizer for Observe {
    type State<const D: usize> = ProdigyState<D>;

    fn step<const D: usize>(
        &self,
        _lr: LearningRate,
        param: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let Self(prodigy) = self;
        let config = &prodigy.config;
        let (d, dlr) = {
            let estimate = prodigy.estimate();
            (estimate.d, estimate.step.map_or(0.0, |step| step.dlr))
        };
        let grad = if config.weight_decay == 0.0 || config.decouple {
            grad
        } else {
            grad + param.clone().mul_scalar(config.weight_decay)
        };
        let mut state = state.unwrap_or_else(|| ProdigyState {
            s: param.zeros_like(),
            p0: param.clone(),
            exp_avg: param.zeros_like(),
            exp_avg_sq: param.zeros_like(),
        });
        if dlr > 0.0 {
            let rule = AveragesRule {
                beta1: prodigy.momentum.value(),
                beta2: config.betas[1],
                beta3: config.beta3(),
                d,
                s_size: d / config.d0 * if config.safeguard_warmup { d } else { dlr },
            };
            let (s, [exp_avg, exp_avg_sq]) = apply(rule, state.s, grad.clone(), [state.exp_avg, state.exp_avg_sq]);
            state = ProdigyState { s, exp_avg, exp_avg_sq, p0: state.p0 };
            let progress = weighted_difference(&grad, &state.p0, &param);
            let weight = norm_power_sum(&state.s, 1);
            let mut estimate = prodigy.estimate();
            estimate.gathered.0 += d / config.d0 * dlr * progress;
            estimate.gathered.1 += weight;
        }
        (grad, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl ProdigyConfig {
    fn beta3(&self) -> f64 {
        self.beta3.unwrap_or_else(|| self.betas[1].sqrt())
    }
}

/// The running averages. `s` takes the parameter's place: the parameter itself does not move yet.
#[derive(Clone, Copy)]
struct AveragesRule {
    beta1: f64,
    beta2: f64,
    beta3: f64,
    d: f64,
    s_size: f64,
}

impl Rule<2> for AveragesRule {
    #[inline(always)]
    fn update<V: Value>(self, s: V, grad: V, [exp_avg, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let exp_avg = exp_avg.scale(self.beta1) + grad.clone().scale(self.d * (1.0 - self.beta1));
        let square_size = self.d * self.d * (1.0 - self.beta2);
        let exp_avg_sq = exp_avg_sq.scale(self.beta2) + grad.clone().scale(square_size) * grad.clone();
        (s.scale(self.beta3) + grad.scale(self.s_size), [exp_avg, exp_avg_sq])
    }
}

/// The step, once the estimate is known.
#[derive(Clone, Copy)]
struct StepRule {
    decay: f64,
    dlr: f64,
    d_eps: f64,
}

impl Rule<2> for StepRule {
    #[inline(always)]
    fn update<V: Value>(self, param: V, _grad: V, [exp_avg, exp_avg_sq]: [V; 2]) -> (V, [V; 2]) {
        let denom = exp_avg_sq.clone().root().offset(self.d_eps);
        let param = if self.decay == 0.0 { param } else { param.clone() + param.scale(-self.decay * self.dlr) };
        (param + exp_avg.clone().scale(-self.dlr) / denom, [exp_avg, exp_avg_sq])
    }
}

impl Optimizer for Prodigy {
    type State<const D: usize> = ProdigyState<D>;

    fn step<const D: usize>(
        &self,
        _lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (d, step) = {
            let estimate = self.estimate();
            (estimate.d, estimate.step)
        };
        let Some(Step { dlr, moves: true }) = step else { return (tensor, state) };
        let Some(ProdigyState { s, p0, exp_avg, exp_avg_sq }) = state else { return (tensor, None) };
        let decay = if self.config.decouple { self.config.weight_decay } else { 0.0 };
        let rule = StepRule { decay, dlr, d_eps: d * self.config.eps };
        let (tensor, [exp_avg, exp_avg_sq]) = apply(rule, tensor, grad, [exp_avg, exp_avg_sq]);
        (tensor, Some(ProdigyState { s, p0, exp_avg, exp_avg_sq }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved(device)
    }
}

impl OptimizerSettings for ProdigyConfig {
    const NAME: &'static str = "prodigy";
    const SUMMARY: &'static str = "Adam that finds its own step size: leave lr at 1";

    type Optimizer = Prodigy;

    lr_and_weight_decay!(and betas);

    fn one_for_all(&self) -> Option<&'static str> {
        Some("Prodigy finds one step size for all parameters")
    }

    fn state_per_parameter(&self) -> usize {
        4
    }

    fn with_momentum(&self, momentum: MomentumHandle) -> Prodigy {
        Prodigy::new(self.clone(), momentum)
    }

    fn erased(&self, momentum: MomentumHandle) -> ParamOptimizer {
        self.with_momentum(momentum).erased()
    }
}
