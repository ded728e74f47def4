//! `warmup_cosine_decay_schedule`, `warmup_exponential_decay_schedule` and `sgdr_schedule`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::ExponentialDecay;
use super::cosine_decay::CosineDecay;
use super::polynomial::Transition;
use crate::defaults::one;
use crate::port::{Absolute, non_negative};
use crate::{Clock, Duration, Interval, Schedule, SequentialSchedule, Strategy};

/// optax's `warmup_cosine_decay_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then half a
/// cosine to `end_value`, which is reached at `decay_steps`, counted from the start of the warm-up; then that.
///
/// With an `exponent` the cosine, which goes from 1 to 0, is raised to that power first. With `peak_value = 0` the
/// rate stays 0 behind the warm-up, as in optax.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::WarmupCosineDecaySchedule};
/// let fields = "init_value = 0.0\npeak_value = 0.8\nwarmup_steps = 4\ndecay_steps = 12";
/// let s = WarmupCosineDecaySchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 2, 4, 12, 13].map(|t| s.lr(1.0, t)), [0.0, 0.4, 0.8, 0.0, 0.0]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupCosineDecaySchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// The rate at the end of the warm-up, at least 0.
    pub peak_value: f64,
    /// The length of the warm-up, below `decay_steps`.
    pub warmup_steps: Duration,
    /// The length of the whole, warm-up included.
    pub decay_steps: Duration,
    /// The last rate, at least 0; default 0.
    #[serde(default)]
    pub end_value: f64,
    /// The exponent on the cosine, at least 0; default 1.
    #[serde(default = "one")]
    pub exponent: f64,
}

impl WarmupCosineDecaySchedule {
    fn parts(&self, clock: &Clock) -> Result<Parts, ConfigError> {
        let warmup = self.warmup_steps.ticks("warmup_steps", 0, clock)?;
        let end = self.decay_steps.ticks("decay_steps", 1, clock)?;
        if end <= warmup {
            let allowed = format!("more than `warmup_steps`, {warmup}: it counts the warm-up too");
            return Err(ConfigError::not_allowed("decay_steps", end, allowed));
        }
        let rise = Transition::line(self.init_value, self.peak_value, warmup);
        let fall = CosineDecay {
            init: self.peak_value,
            steps: end - warmup,
            alpha: if self.peak_value == 0.0 { 0.0 } else { self.end_value / self.peak_value },
            exponent: self.exponent,
        };
        Ok(Parts { both: [Box::new(Absolute(rise)), Box::new(Absolute(fall))], warmup, end })
    }
}

/// A warm-up and what follows it, when that starts, and when it ends.
struct Parts {
    both: [Box<dyn Schedule>; 2],
    warmup: u64,
    end: u64,
}

impl Strategy for WarmupCosineDecaySchedule {
    const NAME: &'static str = "optax/warmup_cosine_decay_schedule";
    const SUMMARY: &'static str = "optax: a linear warm-up, then half a cosine";
    const EXAMPLE: &'static str = "type = 'optax/warmup_cosine_decay_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100\ndecay_steps = 1000";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("peak_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)?;
        self.decay_steps.check("decay_steps", 1)?;
        check::non_negative("end_value", self.end_value)?;
        check::non_negative("exponent", self.exponent)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let Parts { both, warmup, .. } = self.parts(clock)?;
        Ok(Box::new(SequentialSchedule::new(both.into(), vec![warmup])?))
    }
}

/// optax's `warmup_exponential_decay_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then
/// [`ExponentialDecay`] from there, whose `transition_begin` is counted from the end of the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupExponentialDecaySchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// The rate at the end of the warm-up, at least 0.
    pub peak_value: f64,
    /// The length of the warm-up.
    pub warmup_steps: Duration,
    /// Over how many ticks `decay_rate` is applied once.
    pub transition_steps: Duration,
    /// The factor over `transition_steps`, at least 0.
    pub decay_rate: f64,
    /// When the decay starts, counted from the end of the warm-up; default 0.
    #[serde(default)]
    pub transition_begin: Duration,
    /// Whether the rate falls in steps; default no.
    #[serde(default)]
    pub staircase: bool,
    /// Where the decay stops, at least 0; default nowhere.
    pub end_value: Option<f64>,
}

impl WarmupExponentialDecaySchedule {
    fn decay(&self) -> ExponentialDecay {
        ExponentialDecay {
            init_value: self.peak_value,
            transition_steps: self.transition_steps,
            decay_rate: self.decay_rate,
            transition_begin: self.transition_begin,
            staircase: self.staircase,
            end_value: self.end_value,
        }
    }
}

impl Strategy for WarmupExponentialDecaySchedule {
    const NAME: &'static str = "optax/warmup_exponential_decay_schedule";
    const SUMMARY: &'static str = "optax: a linear warm-up, then exponential decay";
    const EXAMPLE: &'static str = "type = 'optax/warmup_exponential_decay_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100\ntransition_steps = 1000\ndecay_rate = 0.5";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("peak_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)?;
        non_negative("end_value", self.end_value)?;
        self.decay().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.warmup_steps.ticks("warmup_steps", 0, clock)?;
        let rise = Absolute(Transition::line(self.init_value, self.peak_value, warmup));
        let fall = self.decay().build(&clock.later(warmup))?;
        Ok(Box::new(SequentialSchedule::new(vec![Box::new(rise), fall], vec![warmup])?))
    }
}

/// optax's `sgdr_schedule` (Loshchilov and Hutter, "SGDR", 2017): one [`WarmupCosineDecaySchedule`] after the other,
/// each for its `decay_steps`; after the last one, its `end_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdrSchedule {
    /// The arguments of each cycle; at least one cycle.
    pub cosine_kwargs: Vec<WarmupCosineDecaySchedule>,
}

impl Strategy for SgdrSchedule {
    const NAME: &'static str = "optax/sgdr_schedule";
    const SUMMARY: &'static str = "optax: cosines with warm-up, one after the other";
    const EXAMPLE: &'static str = "type = 'optax/sgdr_schedule'\ncosine_kwargs = [\n  { init_value = 0.0, peak_value = 0.1, warmup_steps = 100, decay_steps = 1000 },\n  { init_value = 0.0, peak_value = 0.05, warmup_steps = 100, decay_steps = 2000 },\n]";
    const INTERVAL: Interval = Interval::Step;

    fn peak(&self) -> Option<f64> {
        self.cosine_kwargs.iter().map(|cycle| cycle.peak_value).reduce(f64::max)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.cosine_kwargs.is_empty() {
            return Err(ConfigError::not_allowed("cosine_kwargs", "an empty array", "at least one cycle"));
        }
        let cycles = self.cosine_kwargs.iter().enumerate();
        cycles.into_iter().try_for_each(|(i, cycle)| cycle.check().map_err(|error| error.within(&place(i))))
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut all = Vec::with_capacity(2 * self.cosine_kwargs.len());
        let mut milestones = Vec::with_capacity(all.capacity());
        let mut start = 0_u64;
        for (i, cycle) in self.cosine_kwargs.iter().enumerate() {
            let parts = cycle.parts(&clock.later(start)).map_err(|error| error.within(&place(i)));
            let Parts { both, warmup, end } = parts?;
            all.extend(both);
            if i > 0 {
                milestones.push(start);
            }
            milestones.push(start + warmup);
            start += end;
        }
        Ok(Box::new(SequentialSchedule::new(all, milestones)?))
    }
}

fn place(i: usize) -> String {
    format!("cosine_kwargs[{i}]")
}
