//! `WSDLRScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::defaults::{half, tenth};
use crate::math::{cosine_weight, count, power};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// What the rate does between warm-up and decay, `t` ticks after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StableFn {
    /// It stays.
    #[default]
    Constant,
    /// `(1 + t / stable_timescale)^-0.5`: big_vision's.
    Rsqrt,
    /// `(1 + t / stable_timescale)^-stable_power`: the power scheduler (arXiv 2408.13359).
    Power,
}

/// How much is left when the part `u` of the decay has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayFn {
    /// `1 - u`
    Linear,
    /// `1 - sqrt(u)` (arXiv 2405.18392)
    #[default]
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
    /// `(1 + cos(pi u)) / 2`
    Cosine,
    /// `1 - u^decay_power`
    Power,
    /// `(r^u - r) / (1 - r)`, with `r = decay_ratio`
    Exp,
}

scheduler! {
    /// timm's `WSDLRScheduler`: warm-up, stable phase, decay (WSD; Hu et al., "MiniCPM", 2024).
    ///
    /// Over the first `warmup_t` ticks a line from `warmup_lr_init` to the base rate. Then, `t` ticks after it,
    /// `s = max(base * stable_fn(t), lr_min)` until `decay_t` ticks before the end, and from there
    /// `lr_min + (s - lr_min) decay_fn(u)`, at the part `u` of the decay. The end comes `t_initial` ticks after
    /// the warm-up; then `lr_min`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::WSDLRScheduler};
    /// let config = WSDLRScheduler::from_toml_str("t_initial = 10\ndecay_t = 4\ndecay_fn = 'linear'")?;
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([0, 6, 8, 10, 11].map(|t| s.lr(0.4, t)), [0.4, 0.4, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct WSDLRScheduler {
        /// The length of stable phase and decay together, at least 1; the warm-up comes before it.
        pub t_initial: Duration,
        /// The length of the decay, 1 to `t_initial`.
        pub decay_t: Duration,
        /// The last rate, at least 0; default 0.
        #[serde(default)]
        pub lr_min: f64,
        /// The stable phase; default constant.
        #[serde(default)]
        pub stable_fn: StableFn,
        /// The time scale of `rsqrt` and `power` in ticks, above 0; default `warmup_t`.
        pub stable_timescale: Option<f64>,
        /// The exponent of `power`, above 0; default 0.5.
        #[serde(default = "half")]
        pub stable_power: f64,
        /// The decay; default `1-sqrt`.
        #[serde(default)]
        pub decay_fn: DecayFn,
        /// The exponent of a `power` decay, above 0; default 0.5.
        #[serde(default = "half")]
        pub decay_power: f64,
        /// What an `exp` decay would leave before it is stretched to 0, between 0 and 1; default 0.1.
        #[serde(default = "tenth")]
        pub decay_ratio: f64,
    }
}

impl Strategy for WSDLRScheduler {
    const NAME: &'static str = "timm/WSDLRScheduler";
    const SUMMARY: &'static str = "timm: a warm-up, a stable phase, a decay (WSD)";
    const EXAMPLE: &'static str = "type = 'timm/WSDLRScheduler'\nt_initial = 90\ndecay_t = 18\nwarmup_t = 5";

    fn check(&self) -> Result<(), ConfigError> {
        self.t_initial.check("t_initial", 1)?;
        self.decay_t.check("decay_t", 1)?;
        check::non_negative("lr_min", self.lr_min)?;
        self.stable_timescale.map_or(Ok(()), |scale| check::positive("stable_timescale", scale))?;
        check::positive("stable_power", self.stable_power)?;
        check::positive("decay_power", self.decay_power)?;
        check::number("decay_ratio", self.decay_ratio, "between 0 and 1", |r| r > 0.0 && r < 1.0)?;
        self.common(true).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let timescale = match self.stable_timescale {
            Some(scale) => scale,
            None => self.warmup_t.ticks("warmup_t", 0, clock)? as f64,
        };
        if self.stable_fn != StableFn::Constant && timescale <= 0.0 {
            let name = if self.stable_fn == StableFn::Rsqrt { "rsqrt" } else { "power" };
            let message = format!("`stable_fn = \"{name}\"` without a warm-up needs a time scale");
            return Err(ConfigError::conflict("stable_timescale", message));
        }
        self.common(true).around(clock, WarmUpEnd::Base, |clock| {
            let end = self.t_initial.ticks("t_initial", 1, clock)?;
            let decay = self.decay_t.ticks("decay_t", 1, clock)?;
            let decay_at = end
                .checked_sub(decay)
                .ok_or_else(|| ConfigError::not_allowed("decay_t", decay, format!("1 to `t_initial`, {end}")))?;
            Ok(Wsd { decay_at, decay: decay as f64, timescale, config: self.clone() })
        })
    }

    interval_of_t_in_epochs!();
}

#[derive(Debug, Clone)]
struct Wsd {
    decay_at: u64,
    decay: f64,
    timescale: f64,
    config: WSDLRScheduler,
}

impl Wsd {
    fn stable(&self, tick: u64) -> f64 {
        let past = || 1.0 + count(tick) / self.timescale;
        match self.config.stable_fn {
            StableFn::Constant => 1.0,
            StableFn::Rsqrt => 1.0 / past().sqrt(),
            StableFn::Power => power(past(), -self.config.stable_power),
        }
    }

    /// What is left of the way from the stable rate to the least one.
    fn left(&self, tick: u64) -> f64 {
        if tick <= self.decay_at {
            return 1.0;
        }
        let u = (count(tick - self.decay_at) / self.decay).min(1.0);
        match self.config.decay_fn {
            DecayFn::Linear => 1.0 - u,
            DecayFn::OneMinusSqrt => 1.0 - u.sqrt(),
            DecayFn::Cosine => cosine_weight(u),
            DecayFn::Power => 1.0 - power(u, self.config.decay_power),
            DecayFn::Exp => {
                let r = self.config.decay_ratio;
                ((r.powf(u) - r) / (1.0 - r)).max(0.0)
            }
        }
    }

    #[inline]
    fn rate(&self, base_lr: f64, stable: f64, left: f64) -> f64 {
        let lr_min = self.config.lr_min;
        let stable = (base_lr * stable).max(lr_min);
        if left == 1.0 { stable } else { lr_min + (stable - lr_min) * left }
    }
}

impl Schedule for Wsd {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        self.rate(base_lr, self.stable(tick), self.left(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        vec![ScheduleMark::new(self.decay_at, "decay"), ScheduleMark::new(self.decay_at + self.decay as u64, "end")]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((self.config.lr_min, base_lr.max(self.config.lr_min)))
    }
}
