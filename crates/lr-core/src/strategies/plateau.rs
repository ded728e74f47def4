//! A drop when a metric stops improving: torch's `ReduceLROnPlateau`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check, settings};

use crate::groups::{GroupRate, find, group_rates};
use crate::{Clock, Mode, Schedule, StateError, StateReader, StateWriter, Strategy};

/// How much better is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// By the part `threshold` of the best.
    #[default]
    Rel,
    /// By `threshold` itself.
    Abs,
}

impl ThresholdMode {
    /// Whether `metric` is better than `best` by the threshold.
    pub(crate) fn is_better(self, mode: Mode, threshold: f64, metric: f64, best: f64) -> bool {
        match (mode, self) {
            (Mode::Min, Self::Rel) => metric < best * (1.0 - threshold),
            (Mode::Min, Self::Abs) => metric < best - threshold,
            (Mode::Max, Self::Rel) => metric > best * (1.0 + threshold),
            (Mode::Max, Self::Abs) => metric > best + threshold,
        }
    }
}

settings! {
    /// Multiplies by `factor` when the monitored metric has not improved for more than `patience` observations.
    ///
    /// torch's `ReduceLROnPlateau`, in its order: a metric that is better than the best by the threshold resets the
    /// count, any other (NaN too) adds to it; during `cooldown` the count stays 0; a count above `patience` reduces every
    /// group's rate, not below `min_lr`, and only where that changes it by more than `eps`. *Better* is, for the best so
    /// far `b`: `min` `m < b (1 - threshold)` or `m < b - threshold`; `max` `m > b (1 + threshold)` or `m > b + threshold`.
    ///
    /// It is reactive: the rate at a tick is known only once the metrics before it have been fed. A metric acts from
    /// the step after its validation on, as in torch, even where ticks are epochs and an epoch has several validations.
    ///
    /// ```
    /// use lr_core::{Clock, ReduceOnPlateau, Strategy};
    /// let mut s = ReduceOnPlateau { patience: 1, ..ReduceOnPlateau::default() }.build(&Clock::unknown())?;
    /// for (tick, loss) in [(0, 1.0), (1, 1.0), (2, 1.0)] {
    ///     assert_eq!(s.lr(0.1, tick), 0.1);
    ///     s.observe(tick, tick + 1, loss);
    /// }
    /// assert_eq!(s.lr(0.1, 2), 0.1);
    /// assert!((s.lr(0.1, 3) - 0.01).abs() < 1e-17);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct ReduceOnPlateau {
        /// Which metrics are better; default lower ones.
        pub mode: Mode = Mode::Min,
        /// The factor of a reduction, at least 0 and below 1; default 0.1.
        pub factor: f64 = 0.1,
        /// Observations without improvement before the rate drops; default 10.
        pub patience: u64 = 10,
        /// How much better is better, at least 0; default 1e-4.
        pub threshold: f64 = 1e-4,
        /// What the threshold means; default a part of the best.
        pub threshold_mode: ThresholdMode = ThresholdMode::Rel,
        /// Observations after a reduction that are not counted; default 0.
        pub cooldown: u64 = 0,
        /// The lowest rate (not a factor), at least 0; default 0.
        pub min_lr: f64 = 0.0,
        /// Reductions by no more than this are left out, at least 0; default 1e-8.
        pub eps: f64 = 1e-8,
        /// The metric to watch, default `valid.loss`. The schedule only names it; the training loop feeds it.
        pub monitor: String = "valid.loss".to_owned(),
    }
}

impl Strategy for ReduceOnPlateau {
    const NAME: &'static str = "reduce_on_plateau";
    const SUMMARY: &'static str = "multiplied by factor when a metric stops improving (torch ReduceLROnPlateau)";
    const EXAMPLE: &'static str = "type = 'reduce_on_plateau'\nfactor = 0.5\npatience = 3\nmonitor = 'valid.loss'";

    fn check(&self) -> Result<(), ConfigError> {
        check::number("factor", self.factor, "at least 0 and below 1", |f| (0.0..1.0).contains(&f))?;
        check::non_negative("threshold", self.threshold)?;
        check::non_negative("min_lr", self.min_lr)?;
        check::non_negative("eps", self.eps)?;
        check_metric("monitor", &self.monitor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Plateau::new(self.clone(), group_rates(clock))))
    }

    fn monitor(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}

/// Refuses an empty name of a metric.
pub(crate) fn check_metric(field: &str, name: &str) -> Result<(), ConfigError> {
    if !name.is_empty() {
        return Ok(());
    }
    Err(ConfigError::not_allowed(field, "an empty name", "a metric, such as \"valid.loss\""))
}

/// The schedule of [`ReduceOnPlateau`].
#[derive(Debug, Clone)]
pub(crate) struct Plateau {
    config: ReduceOnPlateau,
    best: f64,
    num_bad_epochs: u64,
    cooldown_counter: u64,
    reductions: u64,
    /// From which tick on the last reduction holds; before it, one less.
    since: u64,
    /// What the reductions have made of the base rates that are known. For any other the reductions are applied one by
    /// one at every step.
    groups: Vec<GroupRate>,
}

impl Plateau {
    pub(crate) fn new(config: ReduceOnPlateau, groups: Vec<GroupRate>) -> Self {
        let best = config.mode.worst();
        Self { config, best, num_bad_epochs: 0, cooldown_counter: 0, reductions: 0, since: 0, groups }
    }

    /// The rate after one more reduction, which counts only where it lowers the rate by more than `eps`.
    fn once_reduced(&self, lr: f64) -> f64 {
        let next = (lr * self.config.factor).max(self.config.min_lr);
        if lr - next > self.config.eps { next } else { lr }
    }

    /// The rate after `count` reductions.
    fn reduced(&self, base_lr: f64, count: u64) -> f64 {
        let mut lr = base_lr;
        for _ in 0..count {
            let next = self.once_reduced(lr);
            // Where one does not count, none after it does.
            if next == lr {
                break;
            }
            lr = next;
        }
        lr
    }

    /// Works out the rates of the base rates that are known.
    fn catch_up(&mut self) {
        for i in 0..self.groups.len() {
            self.groups[i] = self.caught_up(self.groups[i].base_lr);
        }
    }

    /// The rate of a group after all reductions, and before the last one.
    fn caught_up(&self, base_lr: f64) -> GroupRate {
        let before = self.reduced(base_lr, self.reductions.saturating_sub(1));
        GroupRate { base_lr, now: self.reduced(base_lr, self.reductions), before }
    }
}

impl Schedule for Plateau {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let group = find(&self.groups, base_lr).cloned().unwrap_or_else(|| self.caught_up(base_lr));
        if tick < self.since { group.before } else { group.now }
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((self.config.min_lr.min(base_lr), base_lr))
    }

    fn is_reactive(&self) -> bool {
        true
    }

    fn observe(&mut self, _tick: u64, from: u64, metric: f64) {
        let ReduceOnPlateau { mode, threshold, threshold_mode, .. } = self.config;
        if threshold_mode.is_better(mode, threshold, metric, self.best) {
            self.best = metric;
            self.num_bad_epochs = 0;
        } else {
            self.num_bad_epochs += 1;
        }
        if self.cooldown_counter > 0 {
            self.cooldown_counter -= 1;
            self.num_bad_epochs = 0;
        }
        if self.num_bad_epochs > self.config.patience {
            self.reductions += 1;
            self.catch_up();
            self.since = from;
            self.cooldown_counter = self.config.cooldown;
            self.num_bad_epochs = 0;
        }
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        state.put("best", self.best);
        state.put("num_bad_epochs", self.num_bad_epochs);
        state.put("cooldown_counter", self.cooldown_counter);
        state.put("reductions", self.reductions);
        state.put("since", self.since);
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        let best = state.float("best")?;
        if best.is_nan() {
            return Err(state.invalid("best", best, "a metric, which is never NaN"));
        }
        self.best = best;
        self.num_bad_epochs = state.count("num_bad_epochs")?;
        self.cooldown_counter = state.count("cooldown_counter")?;
        self.reductions = state.count("reductions")?;
        self.since = state.count("since")?;
        self.catch_up();
        Ok(())
    }
}
