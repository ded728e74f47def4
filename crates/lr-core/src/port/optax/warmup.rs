//! `warmup_cosine_decay_schedule`, `warmup_exponential_decay_schedule` and `sgdr_schedule`.

use strict_config::{ConfigError, Fields};
use toml::Value;

use super::ExponentialDecay;
use super::cosine_decay::CosineDecay;
use super::polynomial::Transition;
use crate::port::settings::{Port, Setting, settings};
use crate::port::{Absolute, non_negative};
use crate::strategy::{array, check};
use crate::{Clock, Duration, Interval, Schedule, Scope, SequentialSchedule, Strategy};

settings! {
    /// optax's `warmup_cosine_decay_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then half a
    /// cosine to `end_value`, which is reached at `decay_steps`, counted from the start of the warm-up; then that.
    ///
    /// With an `exponent` the cosine, which goes from 1 to 0, is raised to that power first. With `peak_value = 0` the
    /// rate stays 0 behind the warm-up, as in optax.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::optax::WarmupCosineDecaySchedule};
    /// let s = WarmupCosineDecaySchedule::new(0.0, 0.8, 4, 12).build(&Clock::unknown())?;
    /// assert_eq!([0, 2, 4, 12, 13].map(|t| s.lr(1.0, t)), [0.0, 0.4, 0.8, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    WarmupCosineDecaySchedule = "optax/warmup_cosine_decay_schedule",
        "optax: a linear warm-up, then half a cosine", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// The rate at the end of the warm-up, at least 0.
        peak_value: f64,
        /// The length of the warm-up, below `decay_steps`.
        warmup_steps: Duration,
        /// The length of the whole, warm-up included.
        decay_steps: Duration,
    }
    optional {
        /// The last rate, at least 0; default 0.
        end_value: f64 = 0.0,
        /// The exponent on the cosine, at least 0; default 1.
        exponent: f64 = 1.0,
    }
    example "type = 'optax/warmup_cosine_decay_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100\ndecay_steps = 1000"
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

impl Port for WarmupCosineDecaySchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)?;
        self.decay_steps.check("decay_steps", 1)?;
        check::non_negative("end_value", self.end_value)?;
        check::non_negative("exponent", self.exponent)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let Parts { both, warmup, .. } = self.parts(clock)?;
        Ok(Box::new(SequentialSchedule::new(both.into(), vec![warmup])?))
    }
}

settings! {
    /// optax's `warmup_exponential_decay_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then
    /// [`ExponentialDecay`] from there, whose `transition_begin` is counted from the end of the warm-up.
    WarmupExponentialDecaySchedule = "optax/warmup_exponential_decay_schedule",
        "optax: a linear warm-up, then exponential decay", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// The rate at the end of the warm-up, at least 0.
        peak_value: f64,
        /// The length of the warm-up.
        warmup_steps: Duration,
        /// Over how many ticks `decay_rate` is applied once.
        transition_steps: Duration,
        /// The factor over `transition_steps`, at least 0.
        decay_rate: f64,
    }
    optional {
        /// When the decay starts, counted from the end of the warm-up; default 0.
        transition_begin: Duration = Duration::Ticks(0),
        /// Whether the rate falls in steps; default no.
        staircase: bool = false,
        /// Where the decay stops, at least 0; default nowhere.
        end_value: Option<f64> = None,
    }
    example "type = 'optax/warmup_exponential_decay_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100\ntransition_steps = 1000\ndecay_rate = 0.5"
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

impl Port for WarmupExponentialDecaySchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)?;
        non_negative("end_value", self.end_value)?;
        self.decay().verify()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.warmup_steps.ticks("warmup_steps", 0, clock)?;
        let rise = Absolute(Transition::line(self.init_value, self.peak_value, warmup));
        let fall = self.decay().build(&clock.later(warmup))?;
        Ok(Box::new(SequentialSchedule::new(vec![Box::new(rise), fall], vec![warmup])?))
    }
}

/// The cycles of [`SgdrSchedule`], each with the arguments of [`WarmupCosineDecaySchedule`].
#[derive(Debug, Clone, PartialEq)]
pub struct CosineKwargs(pub Vec<WarmupCosineDecaySchedule>);

impl From<Vec<WarmupCosineDecaySchedule>> for CosineKwargs {
    fn from(cycles: Vec<WarmupCosineDecaySchedule>) -> Self {
        Self(cycles)
    }
}

impl Setting for CosineKwargs {
    const EXPECTED: &'static str = "an array of tables with the arguments of `warmup_cosine_decay_schedule`";

    fn read(fields: &Fields<'_>, field: &str, scope: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(tables) = fields.tables(field)? else { return Ok(None) };
        let entry = WarmupCosineDecaySchedule::entry();
        let read = |(table, path): (&toml::Table, String)| {
            WarmupCosineDecaySchedule::read(&Fields::open(table, &path, entry.fields())?, scope)
        };
        tables.into_iter().map(read).collect::<Result<_, _>>().map(Self).map(Some)
    }

    fn write(&self) -> Option<Value> {
        Some(array(&self.0, |cycle| Value::Table(cycle.fields())))
    }
}

settings! {
    /// optax's `sgdr_schedule` (Loshchilov and Hutter, "SGDR", 2017): one [`WarmupCosineDecaySchedule`] after the other,
    /// each for its `decay_steps`; after the last one, its `end_value`.
    SgdrSchedule = "optax/sgdr_schedule", "optax: cosines with warm-up, one after the other", Interval::Step;
    required {
        /// The arguments of each cycle; at least one cycle.
        cosine_kwargs: CosineKwargs,
    }
    optional {}
    example "type = 'optax/sgdr_schedule'\ncosine_kwargs = [\n  { init_value = 0.0, peak_value = 0.1, warmup_steps = 100, decay_steps = 1000 },\n  { init_value = 0.0, peak_value = 0.05, warmup_steps = 100, decay_steps = 2000 },\n]"
}

impl Port for SgdrSchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        if self.cosine_kwargs.0.is_empty() {
            return Err(ConfigError::not_allowed("cosine_kwargs", "an empty array", "at least one cycle"));
        }
        let cycles = self.cosine_kwargs.0.iter().enumerate();
        cycles.into_iter().try_for_each(|(i, cycle)| cycle.verify().map_err(|error| error.within(&place(i))))
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut all = Vec::with_capacity(2 * self.cosine_kwargs.0.len());
        let mut milestones = Vec::with_capacity(all.capacity());
        let mut start = 0_u64;
        for (i, cycle) in self.cosine_kwargs.0.iter().enumerate() {
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
