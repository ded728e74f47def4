//! The settings of the finder, and the grid of rates of its sweep.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Settings, by_value, check, settings, toml::Value};

use super::Rule;

/// How the rate rises from `start_lr` to `end_lr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ramp {
    /// `start * (end / start)^(i / num_it)`: equal ratios.
    #[default]
    Exponential,
    /// `start + (end - start) * i / num_it`: equal differences.
    Linear,
}

/// How much of the validation set is measured at each point of a sweep: `true`, `false` or a number of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validate {
    /// Nothing.
    #[default]
    Off,
    /// This many batches; at least 1.
    Batches(usize),
    /// All.
    All,
}

impl Serialize for Validate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Off => serializer.serialize_bool(false),
            Self::All => serializer.serialize_bool(true),
            Self::Batches(batches) => serializer.serialize_u64(batches as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Validate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_value(deserializer, "true, false or a number of batches", |value| match value {
            Value::Boolean(true) => Some(Ok(Self::All)),
            Value::Boolean(false) => Some(Ok(Self::Off)),
            // A negative number is refused with 0, by `check`.
            Value::Integer(batches) => Some(Ok(Self::Batches(usize::try_from(*batches).unwrap_or(0)))),
            _ => None,
        })
    }
}

settings! {
    /// Settings of the finder: the fields of `[lr_finder]` in a config.
    ///
    /// The defaults are the finder's contract in the configuration: 1e-7 to 10, exponential, 100 steps up the ramp,
    /// smoothing 0.98, stop at 4 times the best smoothed loss.
    ///
    /// The grid has `num_it + 1` points, `lr(0) = start_lr` and `lr(num_it) = end_lr` exactly. The grids of other finders
    /// for their own `n` are settings or parts of it (a test compares the reference traces):
    ///
    /// | finder | its `n` points | here |
    /// |---|---|---|
    /// | torch-lr-finder | both ends, `(end/start)^(i/(n-1))` | `num_it = n - 1` |
    /// | fastai | `(end/start)^(i/n)`, the end is not reached | `num_it = n`, without the last point |
    /// | Lightning | the start, then `(end/start)^((i+1)/n)` | `num_it = n`, without the second point |
    /// | ignite | `(end/start)^((i+1)/n)`, one point past the end | `num_it = n`, without the first point |
    pub struct LrFinderConfig {
        /// First rate. Default 1e-7.
        pub start_lr: f64 = 1e-7,
        /// Last rate. Default 10.
        pub end_lr: f64 = 10.0,
        /// Steps up the ramp: `num_it + 1` points, of which the first is `start_lr` and the last `end_lr`. Default 100.
        pub num_it: usize = 100,
        /// The ramp. Default exponential.
        pub mode: Ramp = Ramp::Exponential,
        /// Decay of the bias-corrected moving average of the loss, from 0 (raw) to below 1. Default 0.98.
        pub smoothing: f64 = 0.98,
        /// The sweep ends where the smoothed loss exceeds this many times the best one; infinite never stops. Default 4.
        pub diverge_factor: f64 = 4.0,
        /// Points there must be before the sweep may end by divergence; a loss that is not finite ends it at once. Default
        /// 10, so that one lucky batch at the start does not make the next ordinary one a divergence.
        pub min_points: usize = 10,
        /// Starts the data over where an epoch is shorter than the sweep; otherwise the sweep ends with it. Default true.
        pub recycle: bool = true,
        /// Batches averaged into one point. Default 1.
        pub accumulate: usize = 1,
        /// Whether the validation loss is measured at each point too, and on how many batches; suggestions are then read off
        /// it. Default `false`.
        pub validate: Validate = Validate::Off,
        /// Sweeps over as many seeds. At least 1; default 1.
        pub repeats: usize = 1,
        /// How the rate is read off the curve. Default `minimum`.
        pub rule: Rule = Rule::default(),
        /// Points left out at the start when a suggestion is read. Default: a tenth of `num_it`.
        pub skip_start: Option<usize> = None,
        /// Points left out at the end. Default: 5.
        pub skip_end: Option<usize> = None,
        /// The rate that was found: a run notes it in its own config. It is not read.
        pub found: Option<f64> = None,
    }
}

impl Settings for LrFinderConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let factor = self.diverge_factor;
        check::number("start_lr", self.start_lr, "a finite rate above 0", |lr| lr > 0.0)?;
        check::number("end_lr", self.end_lr, "a finite rate above start_lr", |lr| lr > self.start_lr)?;
        check::is_allowed("num_it", self.num_it, "at least 1", self.num_it > 0)?;
        check::is_allowed("num_it", self.num_it, &format!("at most {MOST_RATES}"), self.num_it <= MOST_RATES)?;
        check::number("smoothing", self.smoothing, "from 0 (raw) to below 1", |decay| (0.0..1.0).contains(&decay))?;
        check::is_allowed("diverge_factor", factor, "above 1", factor > 1.0)?;
        check::is_allowed("accumulate", self.accumulate, "at least 1", self.accumulate > 0)?;
        let allowed = format!("at most {MOST_BATCHES}");
        check::is_allowed("accumulate", self.accumulate, &allowed, self.accumulate <= MOST_BATCHES)?;
        if let Validate::Batches(batches) = self.validate {
            check::at_least("validate", batches as u64, 1)?;
        }
        check::at_least("repeats", self.repeats as u64, 1)?;
        check::is_allowed("repeats", self.repeats, &format!("at most {MOST_SWEEPS}"), self.repeats <= MOST_SWEEPS)?;
        check::number("found", self.found.unwrap_or(1.0), "a rate above 0", |lr| lr > 0.0)
    }
}

/// The most rates of a sweep, and sweeps: each is kept. More is a slip, as are more batches for a rate.
const MOST_RATES: usize = 1_000_000;
const MOST_BATCHES: usize = 1_000_000;
const MOST_SWEEPS: usize = 1_000;

impl LrFinderConfig {
    /// The finder of the textbooks: raw loss, no recycling, stop at 4 times the best from the first point on.
    pub fn simple(start_lr: f64, end_lr: f64, num_it: usize) -> Self {
        Self { start_lr, end_lr, num_it, smoothing: 0.0, recycle: false, min_points: 0, ..Self::default() }
    }

    /// The rate of point `i` of the ramp.
    pub fn lr(&self, i: usize) -> f64 {
        if i >= self.num_it {
            return self.end_lr;
        }
        let part = i as f64 / self.num_it as f64;
        match self.mode {
            Ramp::Exponential => self.start_lr * (self.end_lr / self.start_lr).powf(part),
            Ramp::Linear => self.start_lr + (self.end_lr - self.start_lr) * part,
        }
    }

    /// The points of a whole sweep.
    pub fn points(&self) -> usize {
        self.num_it.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_starts_and_ends_exactly() {
        for mode in [Ramp::Exponential, Ramp::Linear] {
            let config = LrFinderConfig { mode, ..LrFinderConfig::default() };
            assert_eq!((config.lr(0), config.lr(100)), (1e-7, 10.0));
            assert!((0..100).all(|i| config.lr(i) < config.lr(i + 1)));
        }
        let ratio = LrFinderConfig::default().lr(51) / LrFinderConfig::default().lr(50);
        assert!((ratio - 1e8_f64.powf(0.01)).abs() < 1e-12);
        let linear = LrFinderConfig { mode: Ramp::Linear, start_lr: 1.0, end_lr: 3.0, num_it: 4, ..Default::default() };
        assert_eq!((0..=4).map(|i| linear.lr(i)).collect::<Vec<_>>(), [1.0, 1.5, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn bad_settings_are_named() {
        let default = LrFinderConfig::default;
        let cases = [
            ("start_lr", LrFinderConfig { start_lr: 0.0, ..default() }),
            ("end_lr", LrFinderConfig { end_lr: 1e-8, ..default() }),
            ("num_it", LrFinderConfig { num_it: 0, ..default() }),
            ("smoothing", LrFinderConfig { smoothing: 1.0, ..default() }),
            ("diverge_factor", LrFinderConfig { diverge_factor: 1.0, ..default() }),
            ("accumulate", LrFinderConfig { accumulate: 0, ..default() }),
        ];
        for (field, config) in cases {
            assert_eq!(config.check().expect_err("a refusal").path, field);
        }
    }

    fn read(text: &str) -> Result<LrFinderConfig, ConfigError> {
        strict_config::read(&text.parse().expect("TOML"), "lr_finder")
    }

    #[test]
    fn every_setting_is_written_and_read_back() {
        for text in [
            "",
            "start_lr = 1e-6\nend_lr = 1\nnum_it = 50\nmode = 'linear'\nsmoothing = 0\ndiverge_factor = 5\n\
             min_points = 0\nrecycle = false\naccumulate = 2\nvalidate = 4\nrepeats = 3\nrule = 'slide'\n\
             skip_start = 0\nskip_end = 1\nfound = 0.01",
            "validate = true",
        ] {
            let config = read(text).expect("good settings");
            assert_eq!(strict_config::read(&strict_config::write(&config), "").as_ref(), Ok(&config));
        }
        let config = read("validate = 4\nrepeats = 3").expect("good settings");
        assert_eq!((config.validate, config.repeats), (Validate::Batches(4), 3));
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (text, message) in [
            ("validate = 0", "lr_finder.validate: 0 is not allowed here; allowed: a whole number of at least 1"),
            ("validate = 'all'", "lr_finder.validate: expected true, false or a number of batches, found \"all\""),
            ("repeats = 0", "lr_finder.repeats: 0 is not allowed here"),
            ("found = -1", "lr_finder.found: -1 is not allowed here; allowed: a rate above 0"),
            ("repeat = 3", "lr_finder.repeat: unknown field; did you mean `repeats`?"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
