//! `warmup_stable_decay`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::{half, the_run};
use crate::math::{ordered, ratio};
use crate::port::wave;
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// The shape of a rise or fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RampShape {
    /// A line.
    #[default]
    Linear,
    /// A cosine.
    Cosine,
    /// One less a square root: steep at its low end for a rise, at its high end for a fall.
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
}

/// transformers' `warmup_stable_decay` (WSD; Hu et al., "MiniCPM", 2024): a warm-up of `W` steps, the base rate for
/// `S` steps, a decay over `D` steps, then the least rate.
///
/// With `m = min_lr_ratio`, `lr(t) = base * (m + (1 - m) f)`, where over the warm-up, with `p = t / W`, `f` is `p`,
/// `(1 - cos(pi p)) / 2` or `1 - sqrt(1 - p)`, and over the decay, with `p` the part of it that has passed, `1 - p`,
/// `(1 + cos(2 pi num_cycles p)) / 2` or `1 - sqrt(p)`; afterwards 0. Between them the rate is the base rate.
///
/// `S` is `num_stable_steps`, else `num_training_steps - W - D`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::transformers::WarmupStableDecay};
/// let fields = "num_warmup_steps = 2\nnum_decay_steps = 4\nnum_training_steps = 10";
/// let s = WarmupStableDecay::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 6, 8, 10, 11].map(|t| s.lr(0.4, t)), [0.0, 0.2, 0.4, 0.4, 0.2, 0.0, 0.0]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupStableDecay {
    /// `D`, the length of the decay.
    pub num_decay_steps: Duration,
    /// `W`, the length of the warm-up; default 0.
    #[serde(default)]
    pub num_warmup_steps: Duration,
    /// The length of the whole; default the run. Not looked at where `num_stable_steps` is given.
    #[serde(default = "the_run")]
    pub num_training_steps: Duration,
    /// `S`, the length of the plateau; default what `num_training_steps` leaves.
    pub num_stable_steps: Option<Duration>,
    /// The shape of the warm-up; default linear.
    #[serde(default)]
    pub warmup_type: RampShape,
    /// The shape of the decay; default cosine.
    #[serde(default = "cosine")]
    pub decay_type: RampShape,
    /// The least rate as a part of the base rate, at least 0; default 0. The warm-up starts from it too.
    #[serde(default)]
    pub min_lr_ratio: f64,
    /// Waves of a cosine decay, at least 0; default 0.5.
    #[serde(default = "half")]
    pub num_cycles: f64,
}

fn cosine() -> RampShape {
    RampShape::Cosine
}

impl Strategy for WarmupStableDecay {
    const NAME: &'static str = "transformers/warmup_stable_decay";
    const SUMMARY: &'static str = "transformers: a warm-up, a plateau at the base rate, a decay (WSD)";
    const EXAMPLE: &'static str = "type = 'transformers/warmup_stable_decay'\nnum_warmup_steps = 100\nnum_decay_steps = 200\nnum_training_steps = 1000\ndecay_type = '1-sqrt'";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        self.num_warmup_steps.check("num_warmup_steps", 0)?;
        self.num_training_steps.check("num_training_steps", 1)?;
        self.num_decay_steps.check("num_decay_steps", 0)?;
        self.num_stable_steps.map_or(Ok(()), |steps| steps.check("num_stable_steps", 0))?;
        check::non_negative("min_lr_ratio", self.min_lr_ratio)?;
        check::non_negative("num_cycles", self.num_cycles)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.num_warmup_steps.ticks("num_warmup_steps", 0, clock)?;
        let decay = self.num_decay_steps.ticks("num_decay_steps", 0, clock)?;
        let stable = if let Some(stable) = self.num_stable_steps {
            stable.ticks("num_stable_steps", 0, clock)?
        } else {
            let training = self.num_training_steps.ticks("num_training_steps", 1, clock)?;
            training.checked_sub(warmup + decay).ok_or_else(|| {
                let message =
                    format!("{training} steps cannot hold a warm-up of {warmup} and a decay of {decay}; shorten these");
                ConfigError::conflict("num_training_steps", message)
            })?
        };
        Ok(Box::new(Wsd {
            warmup,
            decay_at: warmup + stable,
            decay,
            warmup_type: self.warmup_type,
            decay_type: self.decay_type,
            least: self.min_lr_ratio,
            num_cycles: self.num_cycles,
        }))
    }
}

#[derive(Debug, Clone)]
struct Wsd {
    warmup: u64,
    decay_at: u64,
    decay: u64,
    warmup_type: RampShape,
    decay_type: RampShape,
    least: f64,
    num_cycles: f64,
}

impl Wsd {
    fn rise(&self, p: f64) -> f64 {
        match self.warmup_type {
            RampShape::Linear => p,
            RampShape::Cosine => 1.0 - wave(p),
            RampShape::OneMinusSqrt => 1.0 - (1.0 - p).sqrt(),
        }
    }

    fn fall(&self, p: f64) -> f64 {
        match self.decay_type {
            RampShape::Linear => 1.0 - p,
            RampShape::Cosine => wave(self.num_cycles * 2.0 * p),
            RampShape::OneMinusSqrt => 1.0 - p.sqrt(),
        }
    }

    fn factor(&self, tick: u64) -> f64 {
        let part = if tick < self.warmup {
            self.rise(ratio(tick, self.warmup))
        } else if tick < self.decay_at {
            return 1.0;
        } else if tick - self.decay_at < self.decay {
            self.fall(ratio(tick - self.decay_at, self.decay))
        } else {
            return self.least;
        };
        (part * (1.0 - self.least) + self.least).max(0.0)
    }
}

impl Schedule for Wsd {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = Vec::new();
        if self.warmup > 0 {
            marks.push(ScheduleMark::new(0, "warm-up"));
        }
        if self.decay_at > self.warmup {
            marks.push(ScheduleMark::new(self.warmup, "stable"));
        }
        if self.decay > 0 {
            marks.push(ScheduleMark::new(self.decay_at, "decay"));
        }
        marks.push(ScheduleMark::new(self.decay_at + self.decay, "end"));
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(base_lr * self.least, base_lr))
    }
}
