//! timm's schedulers, by the names of their classes (timm 1.0.31, `timm.scheduler`).
//!
//! A tick is an epoch (`step(epoch + 1)` after each), or an optimizer step with `t_in_epochs = false`
//! (`step_update(updates + 1)`). timm computes a rate when it is stepped, so before the first step the rate is the one
//! its constructor set: `warmup_lr_init` with a warm-up, else the base rate. Tick 0 is that rate here too.
//!
//! All of them may add noise: [`Noise`].

mod cosine;
mod cycles;
mod multi_step;
mod noise;
mod plateau;
mod poly;
mod step;
mod tanh;
mod wsd;

pub use noise::{Noise, NoiseRange, NoiseType};
pub use step::Period;
pub use wsd::{DecayFn, StableFn};

use strict_config::{ConfigError, check};

use crate::math::count;
use crate::port::hull;
use crate::registry::strategies;
use crate::schedule::reacts_as;
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark};
use noise::Noisy;

strategies! {
    cosine::CosineLRScheduler,
    tanh::TanhLRScheduler,
    step::StepLRScheduler,
    multi_step::MultiStepLRScheduler,
    poly::PolyLRScheduler,
    wsd::WSDLRScheduler,
    plateau::PlateauLRScheduler,
}

/// The interval that `t_in_epochs` means.
fn interval(t_in_epochs: Option<bool>) -> Option<Interval> {
    t_in_epochs.map(|in_epochs| if in_epochs { Interval::Epoch } else { Interval::Step })
}

/// The interval of a [`Strategy`](crate::Strategy) with a field `t_in_epochs`.
macro_rules! interval_of_t_in_epochs {
    () => {
        fn default_interval(&self) -> $crate::Interval {
            $crate::port::timm::interval(self.t_in_epochs).unwrap_or(Self::INTERVAL)
        }
    };
}
use interval_of_t_in_epochs;

fn noise_pct() -> f64 {
    0.67
}

fn noise_seed() -> u64 {
    42
}

/// The warm-up, clock and noise that timm's schedulers share.
struct Common {
    warmup_t: Duration,
    warmup_lr_init: f64,
    warmup_prefix: bool,
    t_in_epochs: Option<bool>,
    noise: Noise,
}

/// The settings of a scheduler: its own fields, after them (with `cycles`) those of [`cycles`], then the warm-up, clock and
/// noise that all have. Names and defaults are timm's.
macro_rules! scheduler {
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* } cycles) => {
        $crate::port::timm::scheduler! {
            $(#[$about])*
            pub struct $name {
                /// The length of the first cycle, at least 1.
                pub t_initial: $crate::Duration,
                $($own)*
                /// The least rate, at least 0; default 0.
                #[serde(default)]
                pub lr_min: f64,
                /// How much longer each cycle is than the one before, above 0; default 1.
                #[serde(default = "crate::defaults::one")]
                pub cycle_mul: f64,
                /// The factor of each cycle's first rate, at least 0; default 1.
                #[serde(default = "crate::defaults::one")]
                pub cycle_decay: f64,
                /// How many cycles there are; default 1.
                #[serde(default = "crate::defaults::once")]
                pub cycle_limit: u64,
                /// Whether the cycles start when the warm-up ends; default no.
                #[serde(default)]
                pub warmup_prefix: bool,
            }
        }

        impl $name {
            fn cycles(&self) -> $crate::port::timm::cycles::CycleSettings {
                $crate::port::timm::cycles::CycleSettings {
                    t_initial: self.t_initial,
                    lr_min: self.lr_min,
                    cycle_mul: self.cycle_mul,
                    cycle_decay: self.cycle_decay,
                    cycle_limit: self.cycle_limit,
                }
            }
        }
    };
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// The length of the warm-up; default 0.
            #[serde(default)]
            pub warmup_t: $crate::Duration,
            /// The first rate of the warm-up, at least 0; default 0.
            #[serde(default)]
            pub warmup_lr_init: f64,
            /// Whether a tick is an epoch (else an optimizer step); default as `interval`, which is per epoch.
            pub t_in_epochs: Option<bool>,
            /// When noise is added; default never. See [`NoiseRange`](super::NoiseRange).
            pub noise_range_t: Option<$crate::port::timm::NoiseRange>,
            /// The largest noise, as a part of the rate; default 0.67.
            #[serde(default = "crate::port::timm::noise_pct")]
            pub noise_pct: f64,
            /// The noise's standard deviation; default 1.
            #[serde(default = "crate::defaults::one")]
            pub noise_std: f64,
            /// The noise's seed; default 42.
            #[serde(default = "crate::port::timm::noise_seed")]
            pub noise_seed: u64,
        }

        impl $name {
            fn common(&self, warmup_prefix: bool) -> $crate::port::timm::Common {
                $crate::port::timm::Common {
                    warmup_t: self.warmup_t,
                    warmup_lr_init: self.warmup_lr_init,
                    warmup_prefix,
                    t_in_epochs: self.t_in_epochs,
                    noise: $crate::port::timm::Noise {
                        range_t: self.noise_range_t.clone(),
                        kind: $crate::port::timm::NoiseType::Normal,
                        pct: self.noise_pct,
                        std: self.noise_std,
                        seed: self.noise_seed,
                    },
                }
            }
        }
    };
}
use scheduler;

impl Common {
    fn check(&self) -> Result<(), ConfigError> {
        self.warmup_t.check("warmup_t", 0)?;
        check::non_negative("warmup_lr_init", self.warmup_lr_init)?;
        self.noise.check()
    }

    /// Puts warm-up and noise around what `main` builds on the clock it is given.
    fn around<S: Schedule + Clone + 'static>(
        &self,
        clock: &Clock,
        target: WarmUpEnd,
        main: impl FnOnce(&Clock) -> Result<S, ConfigError>,
    ) -> Result<Box<dyn Schedule>, ConfigError> {
        let counted = interval(self.t_in_epochs).filter(|interval| *interval != clock.interval());
        if let Some(counted) = counted {
            let message = format!(
                "this counts {counted}s, but here a tick is one {}; leave it out or set `interval = \"{counted}\"`",
                clock.interval()
            );
            return Err(ConfigError::conflict("t_in_epochs", message));
        }
        let warmup = self.warmup_t.ticks("warmup_t", 0, clock)?;
        let prefix = if self.warmup_prefix { warmup } else { 0 };
        let main = main(&clock.later(prefix))?;
        let warmed = WarmedUp { warmup, init: self.warmup_lr_init, prefix, target, then: "decay", main };
        Ok(match self.noise.on(clock)? {
            None => Box::new(warmed),
            Some(noise) => Box::new(Noisy { noise, inner: warmed, from: 1 }),
        })
    }
}

/// Where a warm-up leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WarmUpEnd {
    /// To the base rate.
    Base,
    /// To the rate that the schedule has when the warm-up ends.
    Main,
}

/// timm's warm-up: a line from `init`, then `main`, whose clock has run all along or starts after it.
#[derive(Debug, Clone)]
struct WarmedUp<S> {
    warmup: u64,
    init: f64,
    prefix: u64,
    target: WarmUpEnd,
    /// What begins after it, for a plot.
    then: &'static str,
    main: S,
}

impl<S> WarmedUp<S> {
    /// The line to a rate.
    #[inline]
    fn rise(&self, target: f64, tick: u64) -> f64 {
        self.init + count(tick) * ((target - self.init) / count(self.warmup))
    }
}

impl<S: Schedule + Clone + 'static> Schedule for WarmedUp<S> {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick < self.warmup {
            let target = match self.target {
                WarmUpEnd::Base => base_lr,
                WarmUpEnd::Main => self.main.lr(base_lr, self.warmup - self.prefix),
            };
            return self.rise(target, tick);
        }
        // timm sets the rate of tick 0 when it is built; a metric measured in the middle of that tick acts in it.
        if tick == 0 && !self.is_reactive() { base_lr } else { self.main.lr(base_lr, tick - self.prefix) }
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = Vec::new();
        if self.warmup > 0 {
            marks.push(ScheduleMark::new(0, "warm-up"));
            marks.push(ScheduleMark::new(self.warmup, self.then));
        }
        let later = |mark: &ScheduleMark| mark.tick > self.warmup;
        marks.extend(ScheduleMark::shifted(self.main.marks(), self.prefix).into_iter().filter(later));
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let main = hull(self.main.bounds(base_lr)?, (base_lr, base_lr));
        Some(if self.warmup > 0 { hull(main, (self.init, self.init)) } else { main })
    }

    reacts_as!(main);

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        // It would act at the tick after, which may still belong to the warm-up.
        if tick >= self.warmup {
            self.main.observe(tick - self.prefix, from.saturating_sub(self.prefix), metric);
        }
    }
}
