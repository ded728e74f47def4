//! A warm-up in front of any strategy.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::yes;
use crate::math::{cos_pi, ratio, scaled};
use crate::schedule::reacts_as;
use crate::{Clock, Duration, Schedule, ScheduleMark};

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
    /// Whether its start must be written: any default would be a guess.
    fn needs_start(self) -> bool {
        matches!(self, Self::Exponential | Self::Constant)
    }

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

/// A warm-up: for `duration` ticks the rate is multiplied by a factor that goes up to 1.
///
/// The factor is that of the [kind](WarmUpKind), for the ticks `t` from 0 to `n - 1`:
///
/// | `start_factor` | `s` | `u` | first tick | last tick |
/// |---|---|---|---|---|
/// | left out (linear and cosine) | 0 | `(t + 1) / n` | above 0 | at the full rate |
/// | written | as written | `t / n` | `s` | below the full rate, which tick `n` has |
///
/// So a written 0 trains the first tick at rate 0, which is a whole epoch where a tick is an epoch; left out, a linear
/// warm-up over `n` epochs is the usual `(epoch + 1) / n`.
///
/// Behind it, with `prefix = true`, the strategy starts at its own tick 0 (and until then the factor is on its rate at
/// tick 0); with `false` its clock has been running all along. A reactive strategy behind a prefix ignores metrics
/// measured during the warm-up.
///
/// ```
/// use lr_core::{Exponential, Horizon, ScheduleConfig, WarmUp};
/// let config = ScheduleConfig::new(Exponential::new(0.5)).with_warmup(WarmUp::linear(4));
/// let s = config.build(&Horizon::unknown(), "")?;
/// assert_eq!([0, 1, 3, 4, 5].map(|t| s.lr(1.0, t)), [0.25, 0.5, 1.0, 1.0, 0.5]);
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
    /// The factor at tick 0, at least 0 (above 0 for the exponential shape, which needs one, as the constant one does).
    /// Left out, the first of `n` ticks has a part of `1 / n` of the way from 0 to 1 behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f64>,
    /// Whether the strategy starts when the warm-up ends; default true.
    #[serde(default = "yes")]
    pub prefix: bool,
}

impl WarmUp {
    /// A linear warm-up before the strategy: the factor is `(t + 1) / n`.
    pub fn linear(duration: impl Into<Duration>) -> Self {
        Self { duration: duration.into(), kind: WarmUpKind::default(), start_factor: None, prefix: yes() }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.duration.check("duration", 0)?;
        match (self.start_factor, self.kind) {
            (None, kind) if kind.needs_start() => {
                Err(ConfigError::missing("start_factor", "the factor that this kind of warm-up begins at, such as 0.1"))
            }
            (None, _) => Ok(()),
            (Some(start), WarmUpKind::Exponential) => check::positive("start_factor", start),
            (Some(start), _) => check::non_negative("start_factor", start),
        }
    }

    /// Its length on `clock`.
    fn ticks(&self, clock: &Clock) -> Result<u64, ConfigError> {
        self.duration.ticks("duration", 0, clock)
    }

    /// Whether it is of one tick, and that one is at the full rate.
    pub(crate) fn is_idle(&self, clock: &Clock) -> bool {
        self.start_factor.is_none() && self.ticks(clock) == Ok(1)
    }

    /// Puts the warm-up around the strategy that `strategy` builds on the clock it is given.
    pub(crate) fn build(
        &self,
        clock: &Clock,
        strategy: impl FnOnce(&Clock) -> Result<Box<dyn Schedule>, ConfigError>,
    ) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self.check().and_then(|()| self.ticks(clock)).map_err(|error| error.within("warmup"))?;
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
    start: f64,
    /// Ticks of the way that the first tick has behind it: 1, or 0 where the start is given.
    ahead: u64,
    prefix: bool,
}

impl WarmedUp {
    /// `inner` behind a warm-up of `ticks`, as [`WarmUp`] describes it. A kind that needs a start begins at 0 without
    /// one.
    pub fn new(
        inner: Box<dyn Schedule>,
        ticks: u64,
        kind: WarmUpKind,
        start_factor: Option<f64>,
        prefix: bool,
    ) -> Self {
        let ahead = u64::from(start_factor.is_none() && !kind.needs_start());
        Self { inner, ticks, kind, start: start_factor.unwrap_or(0.0), ahead, prefix }
    }

    /// The factor at a tick of the warm-up.
    fn factor(&self, tick: u64) -> f64 {
        self.kind.factor(self.start, ratio(tick + self.ahead, self.ticks))
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

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = vec![ScheduleMark::new(0, "warm-up"), ScheduleMark::new(self.ticks, "warm-up ends")];
        marks.extend(ScheduleMark::shifted(self.inner.marks(), if self.prefix { self.ticks } else { 0 }));
        marks.sort_by_key(|mark| mark.tick);
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let (low, high) = self.inner.bounds(base_lr)?;
        Some((scaled(low, self.start.min(1.0)), scaled(high, self.start.max(1.0))))
    }

    reacts_as!(inner);

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        if !self.prefix || tick >= self.ticks {
            self.inner.observe(self.inner_tick(tick), self.inner_tick(from), metric);
        }
    }
}
