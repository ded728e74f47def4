//! burn's own Lion, Muon, LAMB and Adafactor, by name. The settings are read here; the optimizers are burn's.
//!
//! They are composed of tensor operations, not fused, and follow burn's formulas and orders of operations. Their
//! momentum cannot be driven by a schedule.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{self, AdjustLrFn};
use strict_config::{ConfigError, Settings, check, settings};

use super::AdamWConfig;
use crate::momentum::MomentumHandle;
use crate::optimizer::{OptimizerSettings, ParamOptimizer, lr_and_weight_decay};
use crate::ranges;

settings! {
    /// Settings of burn's Lion (Chen et al., arXiv:2302.06675): steps by the sign of an averaged gradient.
    pub struct LionConfig {
        /// Learning rate, at least 0; three to ten times smaller than AdamW's. Default 1e-4, as in the paper's code.
        pub lr: f64 = 1e-4,
        /// `betas[0]` weighs the direction, `betas[1]` the running average; each in `[0, 1)`. Default `[0.9, 0.99]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.99],
        /// Decoupled weight decay; three to ten times larger than AdamW's. Default 0.
        pub weight_decay: f64 = 0.0,
    }
}

impl Settings for LionConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("weight_decay", self.weight_decay)])?;
        ranges::betas(self.betas)
    }
}

impl OptimizerSettings for LionConfig {
    const NAME: &'static str = "lion";
    const SUMMARY: &'static str = "burn's Lion: the sign of an averaged gradient, one buffer of state";
    const IS_BURNS: bool = true;

    type Optimizer = optim::Lion;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        1
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> optim::Lion {
        optim::LionConfig::new()
            .with_beta_1(self.betas[0] as f32)
            .with_beta_2(self.betas[1] as f32)
            .with_weight_decay(self.weight_decay as f32)
            .build()
    }
}

settings! {
    /// Settings of burn's LAMB (You et al., arXiv:1904.00962): Adam with a trust ratio per layer, for large batches.
    pub struct LambConfig {
        /// Learning rate, at least 0. Default 1e-3.
        pub lr: f64 = 1e-3,
        /// Decay rates of the running averages, each in `[0, 1)`. Default `[0.9, 0.999]`.
        #[serde(deserialize_with = "ranges::two_betas")]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, above 0. Default 1e-6.
        pub eps: f64 = 1e-6,
        /// Weight decay, as a part of the update that the trust ratio scales. Default 0.
        pub weight_decay: f64 = 0.0,
        /// Scale each tensor's update by the ratio of its norm to the update's. Default true.
        pub use_trust_ratio: bool = true,
    }
}

impl Settings for LambConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("weight_decay", self.weight_decay)])?;
        ranges::positive(&[("eps", self.eps)])?;
        ranges::betas(self.betas)
    }
}

impl OptimizerSettings for LambConfig {
    const NAME: &'static str = "lamb";
    const SUMMARY: &'static str = "burn's LAMB: Adam with a trust ratio per layer, for large batches";
    const IS_BURNS: bool = true;

    type Optimizer = optim::Lamb;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        2
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> optim::Lamb {
        optim::LambConfig::new()
            .with_beta_1(self.betas[0] as f32)
            .with_beta_2(self.betas[1] as f32)
            .with_epsilon(self.eps as f32)
            .with_weight_decay(self.weight_decay as f32)
            .with_use_trust_ratio(self.use_trust_ratio)
            .build()
    }
}

settings! {
    /// Settings of burn's Adafactor (Shazeer and Stern, arXiv:1804.04235): second moments in rows and columns only.
    ///
    /// burn's form, not torch's: the rate caps a relative step size, scaled by the parameter's root mean square.
    pub struct AdafactorConfig {
        /// Learning rate, at least 0. With `relative_step`, 0.01 gives the paper's schedule. Default 0.01.
        pub lr: f64 = 1e-2,
        /// Added to squared gradients; lower bound of the parameter's root mean square. Both above 0.
        /// Default `[1e-30, 1e-3]`.
        #[serde(deserialize_with = "ranges::two_positive")]
        pub eps: [f64; 2] = [1e-30, 1e-3],
        /// Upper bound of the update's root mean square, above 0. Default 1.
        pub clip_threshold: f64 = 1.0,
        /// Exponent of the second moment's decay schedule `beta2 = 1 - t^decay_rate`, below 0. Default -0.8.
        pub decay_rate: f64 = -0.8,
        /// Cap the rate by `1 / sqrt(t)`. Default true.
        pub relative_step: bool = true,
        /// Scale the step by the parameter's root mean square. Default true.
        pub scale_parameter: bool = true,
        /// Decoupled weight decay. Default 0.
        pub weight_decay: f64 = 0.0,
    }
}

impl Settings for AdafactorConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("weight_decay", self.weight_decay)])?;
        ranges::positive(&[("clip_threshold", self.clip_threshold)])?;
        ranges::positive(&[("eps[0]", self.eps[0]), ("eps[1]", self.eps[1])])?;
        check::number("decay_rate", self.decay_rate, "a number below 0", |x| x < 0.0)
    }
}

impl OptimizerSettings for AdafactorConfig {
    const NAME: &'static str = "adafactor";
    const SUMMARY: &'static str = "burn's Adafactor: second moments in rows and columns, little memory";
    const IS_BURNS: bool = true;

    type Optimizer = optim::Adafactor;

    lr_and_weight_decay!();

    fn with_momentum(&self, _momentum: MomentumHandle) -> optim::Adafactor {
        // burn asserts on its f32 values: what rounds to zero there is the smallest number above zero instead.
        let positive = |x: f64| (x as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        optim::AdafactorConfig::new()
            .with_epsilon_1(positive(self.eps[0]))
            .with_epsilon_2(positive(self.eps[1]))
            .with_clip_threshold(positive(self.clip_threshold))
            .with_decay_rate(self.decay_rate)
            .with_relative_step(self.relative_step)
            .with_scale_parameter(self.scale_parameter)
            .with_weight_decay((self.weight_decay as f32).min(f32::MAX))
            .build()
    }
}

settings! {
    /// Settings of burn's Muon (Jordan, 2024): orthogonalised momentum, for matrices.
    ///
    /// Muon knows matrices only. Parameters of any other rank (biases, norms, convolution kernels) go to AdamW with
    /// the same `lr` and `weight_decay`, so `match_rms_adamw = true` (Liu et al., arXiv:2502.16982), which brings both
    /// to one scale, is the default here; burn's and torch's default is Jordan's scaling (`false`).
    pub struct MuonConfig {
        /// Learning rate, at least 0. Default 1e-3, as torch's Muon.
        pub lr: f64 = 1e-3,
        /// Momentum, in `[0, 1)`. Default 0.95.
        pub momentum: f64 = 0.95,
        /// Look ahead along the momentum. Default true.
        pub nesterov: bool = true,
        /// Newton-Schulz iterations, at least 1. Default 5.
        pub ns_steps: u64 = 5,
        /// Guards the normalisation before the iterations, above 0. Default 1e-7.
        pub eps: f64 = 1e-7,
        /// Scale updates to the root mean square of AdamW's. Default true.
        pub match_rms_adamw: bool = true,
        /// Weight decay (decoupled). Default 0.
        pub weight_decay: f64 = 0.0,
    }
}

impl Settings for MuonConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr", self.lr), ("weight_decay", self.weight_decay)])?;
        ranges::positive(&[("eps", self.eps)])?;
        check::below_one("momentum", self.momentum)?;
        check::at_least("ns_steps", self.ns_steps, 1)
    }
}

impl OptimizerSettings for MuonConfig {
    const NAME: &'static str = "muon";
    const SUMMARY: &'static str = "burn's Muon: orthogonalised momentum for matrices, AdamW for the rest";
    const IS_BURNS: bool = true;

    type Optimizer = optim::Muon;

    lr_and_weight_decay!();

    fn state_per_parameter(&self) -> usize {
        1
    }

    fn with_momentum(&self, _momentum: MomentumHandle) -> optim::Muon {
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay as f32));
        optim::MuonConfig::new()
            .with_momentum(MomentumConfig { momentum: self.momentum, dampening: 0.0, nesterov: self.nesterov })
            .with_ns_steps(usize::try_from(self.ns_steps).unwrap_or(usize::MAX))
            .with_epsilon(self.eps as f32)
            .with_adjust_lr_fn(if self.match_rms_adamw { AdjustLrFn::MatchRmsAdamW } else { AdjustLrFn::Original })
            .with_weight_decay(decay)
            .build()
    }

    fn erased(&self, _momentum: MomentumHandle) -> ParamOptimizer {
        let other = AdamWConfig { weight_decay: self.weight_decay, ..AdamWConfig::default() };
        ParamOptimizer::of_matrices(self.build(), other.build())
    }
}
