//! A smaller rate for a while: torch's `ConstantLR`.

use strict_config::{ConfigError, check, settings};

use crate::math::{ordered, scaled};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

settings! {
    /// `factor` times the base rate for `total_iters` ticks, then the base rate:
    /// `lr(t) = base * (factor if t < total_iters else 1)`.
    ///
    /// With `total_iters = 0` the factor always applies: that is what torch's `ConstantLR` does when it is stepped (its
    /// own closed form says otherwise).
    ///
    /// ```
    /// use lr_core::{Clock, Constant, Strategy};
    /// let s = Constant { factor: 0.25, ..Constant::new(5) }.build(&Clock::unknown())?;
    /// assert_eq!([0, 4, 5, 100].map(|t| s.lr(0.8, t)), [0.2, 0.2, 0.8, 0.8]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Constant {
        /// The factor, at least 0; default 1/3.
        pub factor: f64 = 1.0 / 3.0,
        /// For how many ticks; default 5.
        pub total_iters: Duration = Duration::Ticks(5),
    }
}

impl Constant {
    /// A third of the rate for `total_iters` ticks.
    pub fn new(total_iters: impl Into<Duration>) -> Self {
        Self { total_iters: total_iters.into(), ..Self::default() }
    }
}

impl Strategy for Constant {
    const NAME: &'static str = "constant";
    const SUMMARY: &'static str =
        "factor times the base rate for total_iters ticks, then the base rate (torch ConstantLR)";
    const EXAMPLE: &'static str = "type = 'constant'\nfactor = 0.1\ntotal_iters = 5";

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("factor", self.factor)?;
        self.total_iters.check("total_iters", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self.total_iters.ticks("total_iters", 0, clock)?;
        Ok(Box::new(ConstantUntil { factor: self.factor, ticks: if ticks == 0 { u64::MAX } else { ticks } }))
    }
}

#[derive(Debug, Clone)]
struct ConstantUntil {
    factor: f64,
    ticks: u64,
}

impl Schedule for ConstantUntil {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick < self.ticks { scaled(base_lr, self.factor) } else { base_lr }
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.ticks == u64::MAX { Vec::new() } else { vec![ScheduleMark::new(self.ticks, "base rate")] }
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let held = scaled(base_lr, self.factor);
        Some(if self.ticks == u64::MAX { (held, held) } else { ordered(held, base_lr) })
    }
}
