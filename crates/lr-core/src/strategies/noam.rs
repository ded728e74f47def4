//! The schedule of "Attention Is All You Need".

use strict_config::{ConfigError, check, settings};

use crate::math::{count, scaled};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

settings! {
    /// A linear warm-up, then the inverse square root of time:
    /// `lr(t) = base * factor * model_size^-0.5 * min((t + 1)^-0.5, (t + 1) * warmup_steps^-1.5)`.
    ///
    /// Vaswani et al., "Attention Is All You Need" (2017), equation 3, whose steps count from 1. Use a base rate of 1 (or
    /// a small multiple of it): the model size gives the scale. The highest rate, `(model_size * warmup_steps)^-0.5`, is
    /// that of the paper's step `warmup_steps`, our tick `warmup_steps - 1`.
    ///
    /// ```
    /// use lr_core::{Clock, Noam, Strategy};
    /// let s = Noam { model_size: 4, ..Noam::new(100) }.build(&Clock::unknown())?;
    /// assert!((s.lr(1.0, 0) - 0.0005).abs() < 1e-18);
    /// assert!((s.lr(1.0, 99) - 0.05).abs() < 1e-15);
    /// assert!((s.lr(1.0, 399) - 0.025).abs() < 1e-15);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Noam {
        /// The width of the model, at least 1; default 512.
        pub model_size: u64 = 512,
        /// The length of the warm-up, at least 1; default 4000.
        pub warmup_steps: Duration = Duration::Ticks(4000),
        /// A factor on everything, at least 0; default 1.
        pub factor: f64 = 1.0,
    }
}

impl Noam {
    /// The paper's schedule for a width of 512.
    pub fn new(warmup_steps: impl Into<Duration>) -> Self {
        Self { warmup_steps: warmup_steps.into(), ..Self::default() }
    }
}

impl Strategy for Noam {
    const NAME: &'static str = "noam";
    const SUMMARY: &'static str = "linear warm-up, then the inverse square root of time (the Transformer paper)";
    const EXAMPLE: &'static str = "type = 'noam'\nmodel_size = 512\nwarmup_steps = 4000";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("model_size", self.model_size, 1)?;
        self.warmup_steps.check("warmup_steps", 1)?;
        check::non_negative("factor", self.factor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.warmup_steps.ticks("warmup_steps", 1, clock)?;
        let scale = self.factor / (self.model_size as f64).sqrt();
        Ok(Box::new(InverseSqrt { scale, warmup, slope: (warmup as f64).powf(-1.5) }))
    }
}

#[derive(Debug, Clone)]
struct InverseSqrt {
    scale: f64,
    warmup: u64,
    slope: f64,
}

impl InverseSqrt {
    fn factor(&self, tick: u64) -> f64 {
        let step = count(tick) + 1.0;
        if tick < self.warmup { self.scale * (step * self.slope) } else { self.scale / step.sqrt() }
    }
}

impl Schedule for InverseSqrt {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        vec![ScheduleMark::new(0, "warm-up"), ScheduleMark::new(self.warmup - 1, "decay")]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, scaled(base_lr, self.scale / (self.warmup as f64).sqrt())))
    }
}
