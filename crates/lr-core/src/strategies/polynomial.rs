//! Polynomial decay to zero: torch's `PolynomialLR`.

use strict_config::{ConfigError, check, settings};

use crate::math::{power, ratio, scaled};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

settings! {
    /// A power of the time that is left: `lr(t) = base * (1 - min(t / total_iters, 1))^power`. torch's `PolynomialLR`.
    ///
    /// With `total_iters = 0` or `power = 0` it is the base rate, always.
    ///
    /// ```
    /// use lr_core::{Clock, Polynomial, Strategy};
    /// let s = Polynomial { power: 2.0, ..Polynomial::new(4) }.build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 2, 3, 4, 9].map(|t| s.lr(16.0, t)), [16.0, 9.0, 4.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Polynomial {
        /// When it reaches zero; default 5.
        pub total_iters: Duration = Duration::Ticks(5),
        /// The power, at least 0; default 1.
        pub power: f64 = 1.0,
    }
}

impl Polynomial {
    /// A line to zero in `total_iters` ticks.
    pub fn new(total_iters: impl Into<Duration>) -> Self {
        Self { total_iters: total_iters.into(), ..Self::default() }
    }
}

impl Strategy for Polynomial {
    const NAME: &'static str = "polynomial";
    const SUMMARY: &'static str = "a power of the time that is left, to zero (torch PolynomialLR)";
    const EXAMPLE: &'static str = "type = 'polynomial'\ntotal_iters = 'rest'\npower = 2.0";

    fn check(&self) -> Result<(), ConfigError> {
        self.total_iters.check("total_iters", 0)?;
        check::non_negative("power", self.power)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self.total_iters.ticks("total_iters", 0, clock)?;
        Ok(Box::new(Power { ticks, power: self.power }))
    }
}

#[derive(Debug, Clone)]
struct Power {
    ticks: u64,
    power: f64,
}

impl Power {
    fn factor(&self, tick: u64) -> f64 {
        if self.ticks == 0 {
            return 1.0;
        }
        power(ratio(self.ticks - tick.min(self.ticks), self.ticks), self.power)
    }
}

impl Schedule for Power {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.ticks == 0 { Vec::new() } else { vec![ScheduleMark::new(self.ticks, "zero")] }
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((if self.ticks == 0 || self.power == 0.0 { base_lr } else { 0.0 }, base_lr))
    }
}
