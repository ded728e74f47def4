//! `PlateauLRScheduler`.

use strict_config::{ConfigError, check, settings};

use super::noise::Noisy;
use super::{Noise, NoiseRange, NoiseType, WarmUpEnd, WarmedUp, noise_pct, noise_seed};
use crate::groups::group_rates;
use crate::strategies::Plateau;
use crate::{Clock, Duration, Mode, ReduceOnPlateau, Schedule, Strategy};

settings! {
    /// timm's `PlateauLRScheduler`: torch's `ReduceLROnPlateau` (our [`ReduceOnPlateau`](crate::ReduceOnPlateau)) behind a
    /// warm-up: up to tick `warmup_t` a line from `warmup_lr_init` to the base rate, and metrics that would act there are
    /// not looked at.
    ///
    /// timm's default is that **higher metrics are better** (`mode = "max"`), while the metric watched by default here
    /// is the validation loss: say which you mean.
    pub struct PlateauLRScheduler {
        /// The factor of a reduction, at least 0 and below 1; default 0.1.
        pub decay_rate: f64 = 0.1,
        /// Observations without improvement before the rate drops; default 10.
        pub patience_t: u64 = 10,
        /// How much better is better, as a part of the best, at least 0; default 1e-4.
        pub threshold: f64 = 1e-4,
        /// Observations after a reduction that are not counted; default 0.
        pub cooldown_t: u64 = 0,
        /// The length of the warm-up; default 0.
        pub warmup_t: Duration = Duration::default(),
        /// The first rate of the warm-up, at least 0; default 0.
        pub warmup_lr_init: f64 = 0.0,
        /// The lowest rate, at least 0; default 0.
        pub lr_min: f64 = 0.0,
        /// Which metrics are better; default higher ones.
        pub mode: Mode = Mode::Max,
        /// When noise is added; default never. See [`NoiseRange`].
        pub noise_range_t: Option<NoiseRange> = None,
        /// How the noise is distributed; default normally.
        pub noise_type: NoiseType = NoiseType::default(),
        /// The largest noise, as a part of the rate; default 0.67.
        pub noise_pct: f64 = noise_pct(),
        /// The noise's standard deviation; default 1.
        pub noise_std: f64 = 1.0,
        /// The noise's seed; default 42.
        pub noise_seed: u64 = noise_seed(),
        /// The metric to watch; default `valid.loss`.
        pub monitor: String = "valid.loss".to_owned(),
    }
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
            ..ReduceOnPlateau::default()
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

impl Strategy for PlateauLRScheduler {
    const NAME: &'static str = "timm/PlateauLRScheduler";
    const SUMMARY: &'static str = "timm: multiplied by decay_rate when a metric stops improving, with warm-up";
    const EXAMPLE: &'static str = "type = 'timm/PlateauLRScheduler'\nmode = 'min'\ndecay_rate = 0.5\npatience_t = 3\nwarmup_t = 5\nwarmup_lr_init = 1e-4";

    fn check(&self) -> Result<(), ConfigError> {
        // Under the names that the user wrote, before the translation checks its own.
        check::number("decay_rate", self.decay_rate, "at least 0 and below 1", |f| (0.0..1.0).contains(&f))?;
        check::non_negative("lr_min", self.lr_min)?;
        self.warmup_t.check("warmup_t", 0)?;
        check::non_negative("warmup_lr_init", self.warmup_lr_init)?;
        self.noise().check()?;
        self.translated().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.warmup_t.ticks("warmup_t", 0, clock)?;
        let main = Plateau::new(self.translated(), group_rates(clock));
        let init = self.warmup_lr_init;
        let warmed = WarmedUp { warmup, init, prefix: 0, target: WarmUpEnd::Base, then: "plateau", main };
        Ok(match self.noise().on(clock)? {
            None => Box::new(warmed),
            Some(noise) => Box::new(Noisy { noise, inner: warmed, from: warmup + 1 }),
        })
    }

    fn monitor(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}
