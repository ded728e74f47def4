//! `StepLRScheduler`.

use strict_config::{ConfigError, Fields};
use toml::Value;

use super::{Common, Noise, NoiseRange, NoiseType, Target, interval};
use crate::math::{count, scaled};
use crate::port::settings::{Port, Setting, settings};
use crate::strategy::{ScheduleFields, check};
use crate::{Clock, Duration, Interval, Schedule, Scope};

/// The time between two drops, which timm allows to be a part of a tick: `2.4`, or any [`Duration`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Period {
    /// Ticks and parts of them.
    Ticks(f64),
    /// A duration.
    Duration(Duration),
}

impl From<f64> for Period {
    fn from(ticks: f64) -> Self {
        Self::Ticks(ticks)
    }
}

impl Setting for Period {
    const EXPECTED: &'static str = "a number of ticks, or a duration such as \"5ep\"";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        match fields.value(field) {
            Some(Value::Float(_)) => Ok(fields.f64(field)?.map(Self::Ticks)),
            _ => Ok(fields.duration(field)?.map(Self::Duration)),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Ticks(ticks) => ticks.write(),
            Self::Duration(duration) => duration.write(),
        }
    }
}

settings! {
    /// timm's `StepLRScheduler`: `lr(t) = base * decay_rate^floor(t / decay_t)`, behind a warm-up.
    ///
    /// Over the first `warmup_t` ticks a line from `warmup_lr_init` to the base rate; `t` is counted from its end, or
    /// from the start with `warmup_prefix = false`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::StepLRScheduler};
    /// let s = StepLRScheduler { decay_rate: 0.5, ..StepLRScheduler::new(2.5) }.build(&Clock::unknown())?;
    /// assert_eq!([0, 2, 3, 4, 5].map(|t| s.lr(0.4, t)), [0.4, 0.4, 0.2, 0.2, 0.1]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    StepLRScheduler = "timm/StepLRScheduler", "timm: multiplied by decay_rate every decay_t ticks, with warm-up", Interval::Epoch;
    required {
        /// Ticks between two drops, above 0; parts of a tick are allowed.
        decay_t: Period,
    }
    optional {
        /// The factor of each drop, at least 0; default 1.
        decay_rate: f64 = 1.0,
        /// The length of the warm-up; default 0.
        warmup_t: Duration = Duration::Ticks(0),
        /// The first rate of the warm-up, at least 0; default 0.
        warmup_lr_init: f64 = 0.0,
        /// Whether the drops are counted from the end of the warm-up; default yes.
        warmup_prefix: bool = true,
        /// Whether a tick is an epoch (else an optimizer step); default as `interval`, which is per epoch.
        t_in_epochs: Option<bool> = None,
        /// When noise is added; default never. See [`Noise`].
        noise_range_t: Option<NoiseRange> = None,
        /// The largest noise, as a part of the rate; default 0.67.
        noise_pct: f64 = 0.67,
        /// The noise's standard deviation; default 1.
        noise_std: f64 = 1.0,
        /// The noise's seed; default 42.
        noise_seed: u64 = 42,
    }
    example "type = 'timm/StepLRScheduler'\ndecay_t = 2.4\ndecay_rate = 0.97\nwarmup_t = 5\nwarmup_lr_init = 1e-6"
}

impl StepLRScheduler {
    fn common(&self) -> Common<'_> {
        Common {
            warmup_t: &self.warmup_t,
            warmup_lr_init: self.warmup_lr_init,
            warmup_prefix: self.warmup_prefix,
            t_in_epochs: self.t_in_epochs,
            noise: Noise {
                range_t: self.noise_range_t.clone(),
                kind: NoiseType::Normal,
                pct: self.noise_pct,
                std: self.noise_std,
                seed: self.noise_seed,
            },
        }
    }
}

impl Port for StepLRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        match &self.decay_t {
            Period::Ticks(ticks) => check::positive("decay_t", *ticks)?,
            Period::Duration(duration) => duration.check("decay_t", 1)?,
        }
        check::non_negative("decay_rate", self.decay_rate)?;
        self.common().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.common().around(clock, Target::Base, |clock| {
            let decay_t = match &self.decay_t {
                Period::Ticks(ticks) => *ticks,
                Period::Duration(duration) => duration.ticks("decay_t", 1, clock)? as f64,
            };
            Ok(Steps { period: Ticks::new(decay_t), decay_rate: self.decay_rate })
        })
    }

    fn clock(&self) -> Option<Interval> {
        interval(self.t_in_epochs)
    }
}

#[derive(Debug, Clone)]
struct Steps {
    period: Ticks,
    decay_rate: f64,
}

impl Steps {
    fn factor(&self, tick: u64) -> f64 {
        self.decay_rate.powf(self.period.passed(tick) as f64)
    }
}

/// The ticks between two drops.
#[derive(Debug, Clone, Copy)]
enum Ticks {
    Whole(u64),
    Parts(f64),
}

impl Ticks {
    fn new(ticks: f64) -> Self {
        let whole = ticks as u64;
        if whole < 1 << 53 && whole as f64 == ticks { Self::Whole(whole.max(1)) } else { Self::Parts(ticks) }
    }

    /// How many have passed.
    #[inline]
    fn passed(self, tick: u64) -> u64 {
        match self {
            Self::Whole(ticks) => tick / ticks,
            Self::Parts(ticks) => floor_div(count(tick), ticks),
        }
    }
}

impl Schedule for Steps {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        (self.decay_rate <= 1.0).then_some((0.0, base_lr))
    }
}

/// Python's `a // b` of floats, which goes by the exact remainder: `floor(a / b)` may be one more where the quotient
/// rounds up to a whole number.
#[inline]
fn floor_div(a: f64, b: f64) -> u64 {
    /// Up to here a product of two numbers is exact as a sum of two, and the quotient as a whole number.
    const EXACT: f64 = (1_u64 << 52) as f64;
    let quotient = a / b;
    if !(quotient < EXACT && b < EXACT) {
        return ((a - a % b) / b).round() as u64;
    }
    let passed = quotient as i64 as u64;
    let whole = count(passed);
    // A quotient that was rounded, but not to a whole number, lies between the same whole numbers as the exact one.
    let rounded_up = quotient == whole && whole > 0.0 && {
        let (product, error) = exact_product(whole, b);
        // `a - product` is exact, the two being so near to each other (Sterbenz).
        a - product < error
    };
    passed - u64::from(rounded_up)
}

/// `a b` as a number and what it lacks (Dekker, "A floating-point technique for extending the available precision",
/// 1971).
#[inline]
fn exact_product(a: f64, b: f64) -> (f64, f64) {
    const SPLIT: f64 = ((1_u64 << 27) + 1) as f64;
    let halves = |x: f64| {
        let high = x * SPLIT - (x * SPLIT - x);
        (high, x - high)
    };
    let product = a * b;
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    (product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_as_python_counts_them() {
        let exact = |a: f64, b: f64| ((a - a % b) / b).round() as u64;
        let periods = [0.1, 0.3, 0.5, 0.7, 1.0, 1.1, 2.4, 2.5, 3.0, 1.0 / 3.0, 1e-3, 7.7, 123.456, 1e9, 1e300, 1e-300];
        for period in periods {
            let ticks = Ticks::new(period);
            for tick in (0..20_000).chain([999_999, 1 << 32, 1 << 52, (1 << 53) - 1]) {
                let expected = exact(tick as f64, period);
                assert_eq!(ticks.passed(tick), expected, "{tick} // {period}");
                assert_eq!(floor_div(tick as f64, period), expected, "{tick} // {period}");
            }
        }
        // Both quotients round to a whole number; the first one is less.
        assert_eq!([floor_div(1.0, 0.1), floor_div(6.0, 0.3)], [9, 20]);
    }
}
