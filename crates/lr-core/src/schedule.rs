//! The open set of schedules: a trait that says what the rate is at a tick.
//!
//! Everything that is built, composed and run in this crate is a [`Schedule`]. Implement it for a type of your own
//! and it composes with the strategies that come with the crate.

use std::fmt;

use crate::state::{StateError, StateReader, StateWriter};

/// What the learning rate (and momentum) is at a tick.
///
/// Only [`lr`](Self::lr) is required. Unless [`is_reactive`](Self::is_reactive), it must be a pure function of its
/// arguments: no memory of earlier calls, so that a schedule can be looked at and resumed at any tick.
///
/// ```
/// use lr_core::{Horizon, Interval, Schedule, ScheduleConfig, Scheduler};
///
/// /// Falls with the logarithm of time.
/// #[derive(Debug, Clone)]
/// struct LogDecay {
///     scale: f64,
/// }
///
/// impl Schedule for LogDecay {
///     fn lr(&self, base_lr: f64, tick: u64) -> f64 {
///         base_lr / (1.0 + self.scale * (1.0 + tick as f64).ln())
///     }
/// }
///
/// let config = ScheduleConfig::custom(LogDecay { scale: 0.5 }, Interval::Step);
/// let scheduler = Scheduler::from_config(&config, &Horizon::unknown(), vec![0.1])?;
/// assert_eq!(scheduler.lr(0, 0), 0.1);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
pub trait Schedule: fmt::Debug + Send + Sync + ScheduleClone {
    /// The rate at `tick` for a parameter group whose base rate is `base_lr`: finite and at least 0.
    fn lr(&self, base_lr: f64, tick: u64) -> f64;

    /// The momentum (SGD's, or the first of Adam's betas) at `tick`, where the strategy cycles it.
    fn momentum(&self, _tick: u64) -> Option<f64> {
        None
    }

    /// Where something begins that a plot should mark; empty where nothing does.
    fn marks(&self) -> Vec<ScheduleMark> {
        Vec::new()
    }

    /// The lowest and highest rate this schedule can ever give for `base_lr`; `None` where it is unbounded or
    /// not known.
    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        None
    }

    /// Whether the rate depends on metrics fed through [`observe`](Self::observe), not on time alone.
    fn is_reactive(&self) -> bool {
        false
    }

    /// Feeds a metric that was measured in `tick` and acts from the tick `from` on: the next one, or `tick` itself where
    /// steps of that tick are still to come (a validation in the middle of an epoch).
    fn observe(&mut self, _tick: u64, _from: u64, _metric: f64) {}

    /// Writes what [`observe`](Self::observe) has changed: a few named scalars.
    fn save(&self, _state: &mut StateWriter<'_>) {}

    /// Restores what [`save`](Self::save) wrote. On an error the schedule may be half restored; the
    /// [`Scheduler`](crate::Scheduler) loads into a copy for that reason.
    fn load(&mut self, _state: &StateReader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

/// Methods of a [`Schedule`] around another, whose reactions and state are its own.
macro_rules! reacts_as {
    ($inner:ident) => {
        fn is_reactive(&self) -> bool {
            self.$inner.is_reactive()
        }

        fn save(&self, state: &mut $crate::StateWriter<'_>) {
            self.$inner.save(state);
        }

        fn load(&mut self, state: &$crate::StateReader<'_>) -> Result<(), $crate::StateError> {
            self.$inner.load(state)
        }
    };
}
pub(crate) use reacts_as;

/// Clones a boxed [`Schedule`]; implemented for every schedule that is `Clone`.
pub trait ScheduleClone {
    /// A boxed copy.
    fn clone_box(&self) -> Box<dyn Schedule>;
}

impl<T: Schedule + Clone + 'static> ScheduleClone for T {
    fn clone_box(&self) -> Box<dyn Schedule> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Schedule> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

/// The most marks of a kind that a schedule names: cycles go on without end.
pub(crate) const MOST_MARKS: usize = 1000;

/// A tick at which something begins, with a word for it, for a plot: `warm-up`, `cycle 2`, `decay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleMark {
    /// The tick.
    pub tick: u64,
    /// The word.
    pub label: String,
}

impl ScheduleMark {
    /// `label` at `tick`.
    pub fn new(tick: u64, label: impl Into<String>) -> Self {
        Self { tick, label: label.into() }
    }

    /// The same marks on a clock that starts `ticks` earlier.
    pub(crate) fn shifted(marks: Vec<Self>, ticks: u64) -> Vec<Self> {
        marks.into_iter().map(|mark| Self { tick: mark.tick.saturating_add(ticks), ..mark }).collect()
    }
}
