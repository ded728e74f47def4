//! Half a cosine down (and up again): torch's `CosineAnnealingLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{cosine_weight, ordered, ratio, weighted};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// Half a cosine from the base rate to `eta_min`:
/// `lr(t) = eta_min + (base - eta_min) * (1 + cos(pi t / t_max)) / 2`.
///
/// torch's `CosineAnnealingLR`; Loshchilov and Hutter, "SGDR" (2016). **Past `t_max` it rises again**, with period
/// `2 t_max`, as in torch; put it in a `sequential` with a `fixed` behind it to stay down.
///
/// ```
/// use lr_core::{Clock, CosineAnnealing, Strategy};
/// let s = CosineAnnealing::new(10).build(&Clock::unknown())?;
/// assert_eq!([s.lr(0.1, 0), s.lr(0.1, 10), s.lr(0.1, 20)], [0.1, 0.0, 0.1]);
/// assert!((s.lr(0.1, 5) - 0.05).abs() < 1e-17);
/// assert!((s.lr(0.1, 9) - 0.002447).abs() < 1e-6);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineAnnealing {
    /// When the lowest rate is reached, at least 1.
    pub t_max: Duration,
    /// The lowest rate (not a factor), at least 0; default 0.
    #[serde(default)]
    pub eta_min: f64,
}

/// The mark where the lowest rate is reached.
pub(crate) const END_OF_COSINE: &str = "eta_min";

impl CosineAnnealing {
    /// To zero in `t_max` ticks.
    pub fn new(t_max: impl Into<Duration>) -> Self {
        Self { t_max: t_max.into(), eta_min: 0.0 }
    }
}

impl Strategy for CosineAnnealing {
    const NAME: &'static str = "cosine_annealing";
    const SUMMARY: &'static str = "half a cosine from the base rate to eta_min (torch CosineAnnealingLR)";
    const EXAMPLE: &'static str = "type = 'cosine_annealing'\nt_max = 'rest'\neta_min = 0.0";

    fn check(&self) -> Result<(), ConfigError> {
        self.t_max.check("t_max", 1)?;
        check::non_negative("eta_min", self.eta_min)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let t_max = self.t_max.ticks("t_max", 1, clock)?;
        Ok(Box::new(Cosine { t_max, eta_min: self.eta_min }))
    }
}

#[derive(Debug, Clone)]
struct Cosine {
    t_max: u64,
    eta_min: f64,
}

impl Cosine {
    /// The weight of the base rate.
    fn weight(&self, tick: u64) -> f64 {
        // Reduced to one half period in whole numbers first, so that late ticks are as exact as early ones.
        let tick = if tick > self.t_max {
            let rest = tick % (2 * self.t_max);
            rest.min(2 * self.t_max - rest)
        } else {
            tick
        };
        cosine_weight(ratio(tick, self.t_max))
    }
}

impl Schedule for Cosine {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        weighted(base_lr, self.eta_min, self.weight(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        vec![ScheduleMark::new(self.t_max, END_OF_COSINE)]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(self.eta_min, base_lr))
    }
}
