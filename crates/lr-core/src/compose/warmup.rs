//! A warm-up in front of any strategy.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::yes;
use crate::math::{cos_pi, ratio, scaled};
use crate::{Clock, Duration, Mark, Schedule, StateError, StateReader, StateWriter};

/// The shape of a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmUpKind {
    /// `s + (1 - s) u`
    #[default]
    Linear,
    /// `s + (1 - s) (1 - cos(pi u)) / 2`
    Cosine,
    /// `s^(1 - u)`; needs `s > 0`
    Exponential,
    /// `s`
    Constant,
}

impl WarmUpKind {
    /// The factor at the part `u` of the warm-up, from 0 to 1, starting at `s`.
    fn factor(self, s: f64, u: f64) -> f64 {
        match self {
            Self::Linear => s + (1.0 - s) * u,
            Self::Cosine => s + (1.0 - s) * (1.0 - cos_pi(u)) * 0.5,
            Self::Exponential => s.powf(1.0 - u),
            Self::Constant => s,
        }
    }
}

/// A warm-up: for `duration` ticks the rate is multiplied by a factor that goes from `start_factor` to 1.
///
/// With `u = t / n` the factor is that of the [kind](WarmUpKind). Behind it, with `prefix = true`, the strategy
/// starts at its own tick 0 (and until then the factor is on its rate at tick 0); with `false` its clock has been
/// running all along. A reactive strategy behind a prefix ignores metrics measured during the warm-up.
///
/// ```
/// use lr_core::{Exponential, Horizon, ScheduleConfig, WarmUp};
/// let config = ScheduleConfig::new(Exponential::new(0.5)).with_warmup(WarmUp::linear(4));
/// let s = config.build(&Horizon::unknown(), "")?;
/// assert_eq!([0, 1, 3, 4, 5].map(|t| s.lr(1.0, t)), [0.0, 0.25, 0.75, 1.0, 0.5]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// How long; 0 switches it off.
    pub duration: Duration,
    /// The shape; default linear.
    #[serde(default)]
    pub kind: WarmUpKind,
    /// The factor at tick 0, at least 0 (above 0 for the exponential shape); default 0.
    #[serde(default)]
    pub start_factor: f64,
    /// Whether the strategy starts when the warm-up ends; default true.
    #[serde(default = "yes")]
    pub prefix: bool,
}

impl WarmUp {
    /// A linear warm-up from 0, before the strategy.
    pub fn linear(duration: impl Into<Duration>) -> Self {
        Self { duration: duration.into(), kind: WarmUpKind::default(), start_factor: 0.0, prefix: yes() }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.duration.check("duration", 0)?;
        match self.kind {
            WarmUpKind::Exponential => check::positive("start_factor", self.start_factor),
            _ => check::non_negative("start_factor", self.start_factor),
        }
    }

    /// Puts the warm-up around the strategy that `strategy` builds on the clock it is given.
    pub(crate) fn build(
        &self,
        clock: &Clock,
        strategy: impl FnOnce(&Clock) -> Result<Box<dyn Schedule>, ConfigError>,
    ) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self
            .check()
            .and_then(|()| self.duration.ticks("duration", 0, clock))
            .map_err(|error| error.within("warmup"))?;
        let inner = strategy(&if self.prefix { clock.later(ticks) } else { clock.clone() })?;
        if ticks == 0 {
            return Ok(inner);
        }
        Ok(Box::new(WarmedUp::new(inner, ticks, self.kind, self.start_factor, self.prefix)))
    }
}

/// A schedule behind a warm-up, for schedules written in Rust.
#[derive(Debug, Clone)]
pub struct WarmedUp {
    inner: Box<dyn Schedule>,
    ticks: u64,
    kind: WarmUpKind,
    start_factor: f64,
    prefix: bool,
}

impl WarmedUp {
    /// `inner` behind a warm-up of `ticks`.
    pub fn new(inner: Box<dyn Schedule>, ticks: u64, kind: WarmUpKind, start_factor: f64, prefix: bool) -> Self {
        Self { inner, ticks, kind, start_factor, prefix }
    }

    /// The factor at a tick of the warm-up.
    fn factor(&self, tick: u64) -> f64 {
        self.kind.factor(self.start_factor, ratio(tick, self.ticks))
    }

    /// The inner schedule's tick.
    fn inner_tick(&self, tick: u64) -> u64 {
        if self.prefix { tick.saturating_sub(self.ticks) } else { tick }
    }
}

impl Schedule for WarmedUp {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let rate = self.inner.lr(base_lr, self.inner_tick(tick));
        if tick >= self.ticks { rate } else { scaled(rate, self.factor(tick)) }
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.inner.momentum(self.inner_tick(tick))
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = vec![Mark::new(0, "warm-up"), Mark::new(self.ticks, "warm-up ends")];
        marks.extend(Mark::shifted(self.inner.marks(), if self.prefix { self.ticks } else { 0 }));
        marks.sort_by_key(|mark| mark.tick);
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let (low, high) = self.inner.bounds(base_lr)?;
        Some((scaled(low, self.start_factor.min(1.0)), scaled(high, self.start_factor.max(1.0))))
    }

    fn is_reactive(&self) -> bool {
        self.inner.is_reactive()
    }

    fn observe(&mut self, tick: u64, metric: f64) {
        if !self.prefix || tick >= self.ticks {
            self.inner.observe(self.inner_tick(tick), metric);
        }
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        self.inner.save(state);
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        self.inner.load(state)
    }
}
