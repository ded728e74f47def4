//! burn's own Lion, Muon, LAMB and Adafactor, by name. The settings are read here; the optimizers are burn's.
//!
//! They are composed of tensor operations, not fused, and follow burn's formulas and orders of operations. Their
//! momentum cannot be driven by a schedule.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{self, AdjustLrFn};

use super::AdamWConfig;
use crate::MomentumHandle;
use crate::settings::settings;
use crate::spec::{Built, Spec, lr_and_weight_decay};

settings! {
    /// Settings of burn's Lion (Chen et al., arXiv:2302.06675): steps by the sign of an averaged gradient.
    pub struct LionConfig {
        /// Learning rate, at least 0; three to ten times smaller than AdamW's. Default 1e-4, as in the paper's code.
        lr: f64 = 1e-4, non_negative;
        /// `betas[0]` weighs the direction, `betas[1]` the running average; each in `[0, 1)`. Default `[0.9, 0.99]`.
        betas: [f64; 2] = [0.9, 0.99], betas;
        /// Decoupled weight decay; three to ten times larger than AdamW's. Default 0.
        weight_decay: f64 = 0.0, non_negative;
    }
}

impl Spec for LionConfig {
    lr_and_weight_decay!();

    fn built(&self, _momentum: MomentumHandle) -> Built {
        Built::burns(
            optim::LionConfig::new()
                .with_beta_1(self.betas[0] as f32)
                .with_beta_2(self.betas[1] as f32)
                .with_weight_decay(self.weight_decay as f32)
                .build(),
        )
    }
}

settings! {
    /// Settings of burn's LAMB (You et al., arXiv:1904.00962): Adam with a trust ratio per layer, for large batches.
    pub struct LambConfig {
        /// Learning rate, at least 0. Default 1e-3.
        lr: f64 = 1e-3, non_negative;
        /// Decay rates of the running averages, each in `[0, 1)`. Default `[0.9, 0.999]`.
        betas: [f64; 2] = [0.9, 0.999], betas;
        /// Added to the denominator, above 0. Default 1e-6.
        eps: f64 = 1e-6, positive;
        /// Weight decay, as a part of the update that the trust ratio scales. Default 0.
        weight_decay: f64 = 0.0, non_negative;
        /// Scale each tensor's update by the ratio of its norm to the update's. Default true.
        use_trust_ratio: bool = true, flag;
    }
}

impl Spec for LambConfig {
    lr_and_weight_decay!();

    fn built(&self, _momentum: MomentumHandle) -> Built {
        Built::burns(
            optim::LambConfig::new()
                .with_beta_1(self.betas[0] as f32)
                .with_beta_2(self.betas[1] as f32)
                .with_epsilon(self.eps as f32)
                .with_weight_decay(self.weight_decay as f32)
                .with_use_trust_ratio(self.use_trust_ratio)
                .build(),
        )
    }
}

settings! {
    /// Settings of burn's Adafactor (Shazeer and Stern, arXiv:1804.04235): second moments in rows and columns only.
    ///
    /// burn's form, not torch's: the rate caps a relative step size, scaled by the parameter's root mean square.
    pub struct AdafactorConfig {
        /// Learning rate, at least 0. With `relative_step`, 0.01 gives the paper's schedule. Default 0.01.
        lr: f64 = 1e-2, non_negative;
        /// Added to squared gradients; lower bound of the parameter's root mean square. Both above 0.
        /// Default `[1e-30, 1e-3]`.
        eps: [f64; 2] = [1e-30, 1e-3], positive_pair;
        /// Upper bound of the update's root mean square, above 0. Default 1.
        clip_threshold: f64 = 1.0, positive;
        /// Exponent of the second moment's decay schedule `beta2 = 1 - t^decay_rate`, below 0. Default -0.8.
        decay_rate: f64 = -0.8, negative;
        /// Cap the rate by `1 / sqrt(t)`. Default true.
        relative_step: bool = true, flag;
        /// Scale the step by the parameter's root mean square. Default true.
        scale_parameter: bool = true, flag;
        /// Decoupled weight decay. Default 0.
        weight_decay: f64 = 0.0, non_negative;
    }
}

impl Spec for AdafactorConfig {
    lr_and_weight_decay!();

    fn built(&self, _momentum: MomentumHandle) -> Built {
        // burn asserts on its f32 values: what rounds to zero there is the smallest number above zero instead.
        let positive = |x: f64| (x as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        Built::burns(
            optim::AdafactorConfig::new()
                .with_epsilon_1(positive(self.eps[0]))
                .with_epsilon_2(positive(self.eps[1]))
                .with_clip_threshold(positive(self.clip_threshold))
                .with_decay_rate(self.decay_rate)
                .with_relative_step(self.relative_step)
                .with_scale_parameter(self.scale_parameter)
                .with_weight_decay((self.weight_decay as f32).min(f32::MAX))
                .build(),
        )
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
        lr: f64 = 1e-3, non_negative;
        /// Momentum, in `[0, 1)`. Default 0.95.
        momentum: f64 = 0.95, decay_rate;
        /// Look ahead along the momentum. Default true.
        nesterov: bool = true, flag;
        /// Newton-Schulz iterations, at least 1. Default 5.
        ns_steps: u64 = 5, count_from_one;
        /// Guards the normalisation before the iterations, above 0. Default 1e-7.
        eps: f64 = 1e-7, positive;
        /// Scale updates to the root mean square of AdamW's. Default true.
        match_rms_adamw: bool = true, flag;
        /// Weight decay (decoupled). Default 0.
        weight_decay: f64 = 0.0, non_negative;
    }
}

impl Spec for MuonConfig {
    lr_and_weight_decay!();

    fn built(&self, _momentum: MomentumHandle) -> Built {
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay as f32));
        let muon = optim::MuonConfig::new()
            .with_momentum(MomentumConfig { momentum: self.momentum, dampening: 0.0, nesterov: self.nesterov })
            .with_ns_steps(usize::try_from(self.ns_steps).unwrap_or(usize::MAX))
            .with_epsilon(self.eps as f32)
            .with_adjust_lr_fn(if self.match_rms_adamw { AdjustLrFn::MatchRmsAdamW } else { AdjustLrFn::Original })
            .with_weight_decay(decay)
            .build();
        let other = AdamWConfig { weight_decay: self.weight_decay, ..AdamWConfig::default() };
        Built::matrices(muon, other.build())
    }
}
