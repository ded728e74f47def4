//! The cycles that timm's cosine, tanh and polynomial schedulers share.

use strict_config::ConfigError;

use crate::math::{ordered, scaled};
use crate::port::power;
use crate::strategy::check;
use crate::{Clock, Duration, Phase, Schedule};

/// The settings of the cycles.
pub(super) struct Settings<'a> {
    pub(super) t_initial: &'a Duration,
    pub(super) lr_min: f64,
    pub(super) cycle_mul: f64,
    pub(super) cycle_decay: f64,
    pub(super) cycle_limit: u64,
}

impl Settings<'_> {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.t_initial.check("t_initial", 1)?;
        check::non_negative("lr_min", self.lr_min)?;
        check::positive("cycle_mul", self.cycle_mul)?;
        check::non_negative("cycle_decay", self.cycle_decay)
    }

    pub(super) fn with<F>(&self, clock: &Clock, shape: F) -> Result<Cycles<F>, ConfigError> {
        Ok(Cycles {
            t_initial: self.t_initial.ticks("t_initial", 1, clock)?,
            lr_min: self.lr_min,
            cycle_mul: self.cycle_mul,
            cycle_decay: self.cycle_decay,
            cycle_limit: self.cycle_limit,
            shape,
        })
    }
}

/// What a cycle looks like: how much is left, from 1 to 0, when `t` of its length `of` have passed.
pub(super) trait Shape: std::fmt::Debug + Clone + Send + Sync + 'static {
    fn left(&self, t: f64, of: f64) -> f64;
}

/// Cycle `i` is `cycle_mul^i` times as long as the first and starts at `cycle_decay^i` times the base rate; after
/// `cycle_limit` of them the rate is `lr_min`.
#[derive(Debug, Clone)]
pub(super) struct Cycles<F> {
    t_initial: u64,
    lr_min: f64,
    cycle_mul: f64,
    cycle_decay: f64,
    cycle_limit: u64,
    shape: F,
}

impl<F> Cycles<F> {
    /// The cycle that `tick` lies in, how far into it, and its length; `None` behind the last one.
    ///
    /// Where cycles change length their number is a logarithm, rounded as the reference rounds it: at a boundary that
    /// is not a whole tick's, both may see the cycle end a tick late.
    fn at(&self, tick: u64) -> Option<(f64, f64, f64)> {
        let (t, first, mul) = (tick as f64, self.t_initial as f64, self.cycle_mul);
        if mul == 1.0 {
            let index = tick / self.t_initial;
            return (index < self.cycle_limit).then(|| (index as f64, (tick % self.t_initial) as f64, first));
        }
        let argument = 1.0 - t / first * (1.0 - mul);
        // Shrinking cycles come to an end together; behind it the reference fails.
        if argument <= 0.0 {
            return None;
        }
        let index = (argument.ln() / mul.ln()).floor();
        if index >= self.cycle_limit as f64 {
            return None;
        }
        let growth = power(mul, index);
        let length = growth * first;
        let passed = t - (1.0 - growth) / (1.0 - mul) * first;
        Some((index, passed.clamp(0.0, length), length))
    }

    /// The tick at which cycle `i` starts.
    fn start(&self, i: u64) -> f64 {
        let (first, mul) = (self.t_initial as f64, self.cycle_mul);
        if mul == 1.0 { first * i as f64 } else { first * (1.0 - mul.powf(i as f64)) / (1.0 - mul) }
    }
}

impl<F: Shape> Schedule for Cycles<F> {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let Some((index, passed, length)) = self.at(tick) else { return self.lr_min };
        let highest = scaled(base_lr, power(self.cycle_decay, index));
        self.lr_min + (highest - self.lr_min) * self.shape.left(passed, length)
    }

    fn lrs(&self, base_lrs: &[f64], tick: u64, rates: &mut [f64]) {
        let (decay, left) = self.at(tick).map_or((0.0, 0.0), |(index, passed, length)| {
            (power(self.cycle_decay, index), self.shape.left(passed, length))
        });
        for (rate, base_lr) in rates.iter_mut().zip(base_lrs) {
            *rate = self.lr_min + (scaled(*base_lr, decay) - self.lr_min) * left;
        }
    }

    fn phases(&self) -> Vec<Phase> {
        // Cycles that are too many to tell apart are no use in a picture.
        const MOST: u64 = 1000;
        let mut phases = Vec::new();
        for i in 1..=self.cycle_limit.min(MOST) {
            let start = self.start(i).ceil();
            if start > 2_f64.powi(53) {
                break;
            }
            let label = if i == self.cycle_limit { "end".to_owned() } else { format!("cycle {}", i + 1) };
            phases.push(Phase::new(start as u64, label));
        }
        phases
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let last = self.cycle_limit.saturating_sub(1) as f64;
        let highest = scaled(base_lr, self.cycle_decay.powf(last)).max(base_lr);
        Some(ordered(self.lr_min, highest.max(self.lr_min))).map(|(low, high)| {
            // Decayed cycles may start below `lr_min` and rise to it.
            (low.min(scaled(base_lr, self.cycle_decay.powf(last).min(1.0))), high)
        })
    }
}
