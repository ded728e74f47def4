//! A line between two factors: torch's `LinearLR`.

use strict_config::{ConfigError, check, settings};

use crate::math::{linear_between, ordered, ratio, scaled};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

settings! {
    /// A line from `start_factor` to `end_factor` over `total_iters` ticks, then flat:
    /// `lr(t) = base * (start + (end - start) * min(t / total_iters, 1))`. torch's `LinearLR`.
    ///
    /// With `total_iters = 0` the start factor always applies, as in torch. Unlike torch's, the start factor may be 0
    /// or above 1.
    ///
    /// ```
    /// use lr_core::{Clock, Linear, Strategy};
    /// let s = Linear { start_factor: 0.5, ..Linear::new(4) }.build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 3, 4, 100].map(|t| s.lr(0.8, t)), [0.4, 0.5, 0.7000000000000001, 0.8, 0.8]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Linear {
        /// The factor at tick 0, at least 0; default 1/3.
        pub start_factor: f64 = 1.0 / 3.0,
        /// The factor from `total_iters` on, at least 0; default 1.
        pub end_factor: f64 = 1.0,
        /// The length of the line; default 5.
        pub total_iters: Duration = Duration::Ticks(5),
    }
}

impl Linear {
    /// From a third to the whole rate in `total_iters` ticks.
    pub fn new(total_iters: impl Into<Duration>) -> Self {
        Self { total_iters: total_iters.into(), ..Self::default() }
    }
}

impl Strategy for Linear {
    const NAME: &'static str = "linear";
    const SUMMARY: &'static str = "a line from start_factor to end_factor (torch LinearLR)";
    const EXAMPLE: &'static str = "type = 'linear'\nstart_factor = 1.0\nend_factor = 0.0\ntotal_iters = 'rest'";

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("start_factor", self.start_factor)?;
        check::non_negative("end_factor", self.end_factor)?;
        self.total_iters.check("total_iters", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self.total_iters.ticks("total_iters", 0, clock)?;
        Ok(Box::new(Line { start: self.start_factor, end: self.end_factor, ticks }))
    }
}

#[derive(Debug, Clone)]
struct Line {
    start: f64,
    end: f64,
    ticks: u64,
}

impl Line {
    fn factor(&self, tick: u64) -> f64 {
        if self.ticks == 0 {
            self.start
        } else if tick >= self.ticks {
            self.end
        } else {
            linear_between(self.start, self.end, ratio(tick, self.ticks))
        }
    }
}

impl Schedule for Line {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.ticks == 0 { Vec::new() } else { vec![ScheduleMark::new(self.ticks, "flat")] }
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let start = scaled(base_lr, self.start);
        Some(if self.ticks == 0 { (start, start) } else { ordered(start, scaled(base_lr, self.end)) })
    }
}
