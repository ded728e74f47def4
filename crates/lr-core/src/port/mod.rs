//! The porting layer: the schedules of transformers, timm, optax and pytorch-ignite under their own names, with their
//! own arguments, defaults and clocks.
//!
//! `type = "transformers/cosine"`, `"timm/CosineLRScheduler"`, `"optax/warmup_cosine_decay_schedule"`,
//! `"ignite/PiecewiseLinear"`: one module per framework, one file per schedule or family. Where a strategy of this
//! crate or a composition does the same it is used; where a formula differs, the formula is here.
//!
//! It may know this crate's strategies, compositions and configs. It must not change what they mean: a difference
//! between a framework and torch stays in this room. `docs/schedules/porting.md` lists every name, and every place
//! where we deliberately do something else than the framework, with the reason.
//!
//! Semantics are those of transformers 5.23.0, timm 1.0.31, optax 0.2.8 and pytorch-ignite 0.5.5.

pub mod ignite;
pub mod optax;
pub mod timm;
pub mod transformers;

use strict_config::ConfigError;

use crate::math::{cosine_weight, folded};
use crate::{ReduceOnPlateau, Registry, Schedule, ScheduleMark};

/// Registers all of them.
pub(crate) fn register(registry: &mut Registry) {
    transformers::register(registry);
    timm::register(registry);
    optax::register(registry);
    ignite::register(registry);
}

/// Refuses a value that is negative or not finite, if it is there.
fn non_negative(field: &str, value: Option<f64>) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| strict_config::check::non_negative(field, value))
}

/// Refuses a time that is earlier than the one before it in its list.
fn in_order(field: &str, before: u64, after: u64) -> Result<(), ConfigError> {
    if before <= after {
        return Ok(());
    }
    Err(ConfigError::not_allowed(field, after, format!("at least the one before, {before}")))
}

/// `(1 + cos(pi x)) / 2` for any `x >= 0`: 1, 0, 1, ... at 0, 1, 2, ...
#[inline]
fn wave(x: f64) -> f64 {
    cosine_weight(folded(x))
}

/// The hull of two ranges.
fn hull(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// The settings of a schedule that is torch's `ReduceLROnPlateau` under another name: its own fields, those of torch, and
/// more of its own, one of which names the metric to watch.
macro_rules! plateau {
    ($(#[$about:meta])* pub struct $name:ident { $($first:tt)* } torch { $($last:tt)* } watching $monitor:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($first)*
            /// Which metrics are better; default lower ones.
            #[serde(default)]
            pub mode: $crate::Mode,
            /// The factor of a reduction, at least 0 and below 1; default 0.1.
            #[serde(default = "crate::port::factor")]
            pub factor: f64,
            /// Observations without improvement before the rate drops; default 10.
            #[serde(default = "crate::port::patience")]
            pub patience: u64,
            /// How much better is better, at least 0; default 1e-4.
            #[serde(default = "crate::port::threshold")]
            pub threshold: f64,
            /// What the threshold means; default a part of the best.
            #[serde(default)]
            pub threshold_mode: $crate::ThresholdMode,
            /// Observations after a reduction that are not counted; default 0.
            #[serde(default)]
            pub cooldown: u64,
            /// The lowest rate, at least 0; default 0.
            #[serde(default)]
            pub min_lr: f64,
            /// Reductions by no more than this are left out, at least 0; default 1e-8.
            #[serde(default = "crate::port::eps")]
            pub eps: f64,
            $($last)*
        }

        impl $name {
            fn translated(&self) -> $crate::ReduceOnPlateau {
                $crate::ReduceOnPlateau {
                    mode: self.mode,
                    factor: self.factor,
                    patience: self.patience,
                    threshold: self.threshold,
                    threshold_mode: self.threshold_mode,
                    cooldown: self.cooldown,
                    min_lr: self.min_lr,
                    eps: self.eps,
                    monitor: self.$monitor.clone(),
                }
            }
        }
    };
}
use plateau;

fn factor() -> f64 {
    ReduceOnPlateau::default().factor
}

fn patience() -> u64 {
    ReduceOnPlateau::default().patience
}

fn threshold() -> f64 {
    ReduceOnPlateau::default().threshold
}

fn eps() -> f64 {
    ReduceOnPlateau::default().eps
}

/// A rate that does not depend on a base rate: optax's functions, ignite's schedulers.
trait Curve: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// The rate at a tick: finite and at least 0.
    fn rate(&self, tick: u64) -> f64;

    /// The lowest and highest rate there can be, if that is known.
    fn range(&self) -> Option<(f64, f64)>;

    /// Where something begins.
    fn marks(&self) -> Vec<ScheduleMark> {
        Vec::new()
    }
}

/// A [`Curve`] as a schedule.
#[derive(Debug, Clone)]
struct Absolute<C>(C);

impl<C: Curve> Schedule for Absolute<C> {
    fn lr(&self, _base_lr: f64, tick: u64) -> f64 {
        self.0.rate(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.0.marks()
    }

    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        self.0.range()
    }
}
