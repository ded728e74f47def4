//! `PlateauLRScheduler`.

use strict_config::ConfigError;

use super::noise::Noisy;
use super::{Noise, NoiseRange, NoiseType};
use crate::math::count;
use crate::port::hull;
use crate::port::settings::{Port, settings};
use crate::strategy::check;
use crate::{
    Clock, Duration, Interval, Phase, PlateauMode, ReduceOnPlateau, Schedule, StateError, StateReader, StateWriter,
    Strategy,
};

settings! {
    /// timm's `PlateauLRScheduler`: torch's `ReduceLROnPlateau` (our [`ReduceOnPlateau`](crate::ReduceOnPlateau)) behind a
    /// warm-up: up to tick `warmup_t` a line from `warmup_lr_init` to the base rate, and metrics that would act there are
    /// not looked at.
    ///
    /// timm's default is that **higher metrics are better** (`mode = "max"`), while the metric watched by default here
    /// is the validation loss: say which you mean.
    PlateauLRScheduler = "timm/PlateauLRScheduler",
        "timm: multiplied by decay_rate when a metric stops improving, with warm-up", Interval::Epoch;
    optional {
        /// The factor of a reduction, at least 0 and below 1; default 0.1.
        decay_rate: f64 = 0.1,
        /// How many observations without improvement are borne; default 10.
        patience_t: u64 = 10,
        /// How much better is better, as a part of the best, at least 0; default 1e-4.
        threshold: f64 = 1e-4,
        /// Observations after a reduction that are not counted; default 0.
        cooldown_t: u64 = 0,
        /// The length of the warm-up; default 0.
        warmup_t: Duration = Duration::Ticks(0),
        /// The first rate of the warm-up, at least 0; default 0.
        warmup_lr_init: f64 = 0.0,
        /// The lowest rate, at least 0; default 0.
        lr_min: f64 = 0.0,
        /// Which metrics are better; default higher ones.
        mode: PlateauMode = PlateauMode::Max,
        /// When noise is added; default never. See [`Noise`].
        noise_range_t: Option<NoiseRange> = None,
        /// How the noise is distributed; default normally.
        noise_type: NoiseType = NoiseType::Normal,
        /// The largest noise, as a part of the rate; default 0.67.
        noise_pct: f64 = 0.67,
        /// The noise's standard deviation; default 1.
        noise_std: f64 = 1.0,
        /// The noise's seed; default 42.
        noise_seed: u64 = 42,
        /// The metric to watch; default `valid.loss`.
        monitor: String = "valid.loss".to_owned(),
    }
    example "type = 'timm/PlateauLRScheduler'\nmode = 'min'\ndecay_rate = 0.5\npatience_t = 3\nwarmup_t = 5\nwarmup_lr_init = 1e-4"
}

impl PlateauLRScheduler {
    fn translated(&self) -> ReduceOnPlateau {
        ReduceOnPlateau {
            mode: self.mode,
            factor: self.decay_rate,
            patience: self.patience_t,
            threshold: self.threshold,
            cooldown: self.cooldown_t,
            min_lr: self.lr_min,
            monitor: self.monitor.clone(),
            ..ReduceOnPlateau::new()
        }
    }

    fn noise(&self) -> Noise {
        Noise {
            range_t: self.noise_range_t.clone(),
            kind: self.noise_type,
            pct: self.noise_pct,
            std: self.noise_std,
            seed: self.noise_seed,
        }
    }
}

impl Port for PlateauLRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        // Under the names that the user wrote, before the translation checks its own.
        check::number("decay_rate", self.decay_rate, "at least 0 and below 1", |f| (0.0..1.0).contains(&f))?;
        check::non_negative("lr_min", self.lr_min)?;
        self.warmup_t.check("warmup_t", 0)?;
        check::non_negative("warmup_lr_init", self.warmup_lr_init)?;
        self.noise().check()?;
        self.translated().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.warmup_t.ticks("warmup_t", 0, clock)?;
        let warmed = Warmed { warmup, init: self.warmup_lr_init, plateau: self.translated().build(clock)? };
        Ok(match self.noise().on(clock)? {
            None => Box::new(warmed),
            Some(noise) => Box::new(Noisy { noise, inner: warmed, from: warmup + 1 }),
        })
    }

    fn watches(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}

#[derive(Debug, Clone)]
struct Warmed {
    warmup: u64,
    init: f64,
    plateau: Box<dyn Schedule>,
}

impl Schedule for Warmed {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick < self.warmup {
            return self.init + count(tick) * ((base_lr - self.init) / count(self.warmup));
        }
        self.plateau.lr(base_lr, tick)
    }

    fn phases(&self) -> Vec<Phase> {
        if self.warmup == 0 {
            return Vec::new();
        }
        vec![Phase::new(0, "warm-up"), Phase::new(self.warmup, "plateau")]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let plateau = self.plateau.bounds(base_lr)?;
        Some(if self.warmup > 0 { hull((self.init, self.init), plateau) } else { plateau })
    }

    fn is_reactive(&self) -> bool {
        true
    }

    fn observe(&mut self, tick: u64, metric: f64) {
        // It would act at the tick after, which still belongs to the warm-up.
        if tick.saturating_add(1) > self.warmup {
            self.plateau.observe(tick, metric);
        }
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        self.plateau.save(state);
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        self.plateau.load(state)
    }
}
