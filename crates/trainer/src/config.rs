//! The settings of a training.

use std::time;

use lr_core::{Clock, Duration, Horizon, Interval};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Settings, by_value, check, raise, settings, show};
use toml::Value;

use crate::{
    CheckpointPolicy, EarlyStopping, Ema, Freeze, OnNonFinite, Precision, Swa, every::check_every, ranks::Reduce,
    wall_clock,
};

settings! {
    /// Settings of the [`Trainer`](crate::Trainer): the fields of `[train]` in a config, and three that only code sets.
    ///
    /// Lengths of time are numbers or have a unit: `"2ep"`, `"200it"` (optimizer steps), `"10%"` of the run. What a bare
    /// number counts is said with each field.
    pub struct TrainConfig {
        /// How long: passes over the training data; or [`steps`](Self::steps). A bare number is epochs. Default 10.
        #[serde(deserialize_with = "length_of_run")]
        pub epochs: Option<Duration> = None,
        /// How long: optimizer steps, in place of [`epochs`](Self::epochs); the last epoch ends early where they do not fill
        /// it. A bare number is steps.
        #[serde(deserialize_with = "length_of_run")]
        pub steps: Option<Duration> = None,
        /// What forward and backward are computed in. Default f32.
        pub precision: Precision = Precision::F32,
        /// Whether the backward pass computes again what is cheap to (activation functions, sums, products; not convolutions and
        /// matrix products), in place of keeping it: less memory, more time, the same numbers. burn's gradient checkpointing. In
        /// Rust the model and the training batches are made on `device.autodiff().gradient_checkpointing()`. Default false.
        pub activation_checkpointing: bool = false,
        /// Batches whose gradients are averaged into one optimizer step, each weighted by its items, as the loss that is
        /// logged is: the step is that of one batch that holds them all. A window that an epoch's end cuts short is averaged
        /// over what it holds. At least 1; default 1.
        pub accumulate: usize = 1,
        /// How several processes sum their gradients; a single one has nothing to sum. Default [`Reduce::Exact`].
        #[serde(skip_serializing_if = "Reduce::is_exact")]
        pub reduce: Reduce = Reduce::Exact,
        /// Scales all gradients together so that their global L2 norm is at most this. Above 0; default off.
        pub clip_grad_norm: Option<f64> = None,
        /// Clamps every gradient element to plus or minus this, before the norm. Above 0; default off.
        pub clip_grad_value: Option<f64> = None,
        /// How often a step is logged, with the metrics of its batches; a bare number is steps. Default 10.
        pub log_every: Duration = Duration::Ticks(10),
        /// How often the validation set is visited; a bare number is epochs. The last step of a run is always followed by a
        /// validation. Default 1.
        ///
        /// Whole epochs are Lightning's `check_val_every_n_epoch`; steps, counted over the whole run, its
        /// `val_check_interval` as an integer with `check_val_every_n_epoch=None`. A part of an epoch falls after that part
        /// of its steps, twice that, and so on, each rounded to a whole step. Lightning's `val_check_interval` as a float
        /// rounds the first down and takes its multiples; with 10 steps and `"0.25ep"` this is after 3, 5, 8 and 10 steps,
        /// there after 2, 4, 6, 8 and 10.
        pub validate_every: Duration = Duration::Ticks(1),
        /// Batches of the validation set that are run through before the first step, so that a mistake there shows at once
        /// (Lightning's `num_sanity_val_steps`). Nothing is kept of it; a resumed run leaves it out. Default 2.
        pub sanity_batches: usize = 2,
        /// The run ends cleanly after this long by the wall clock (`"30s"`, `"10m"`, `"1.5h"`), as Lightning's `Timer`: it
        /// counts the time of the processes that a resumed run has had before. Schedules go by steps and epochs, not by
        /// this. Default no limit.
        #[serde(with = "wall_clock")]
        pub max_time: Option<time::Duration> = None,
        /// Tries the beginning of the run: see [`fast_dev_run`](Self::fast_dev_run). At least 1; default off.
        pub fast_dev_run: Option<usize> = None,
        /// Train on these many batches alone, the same ones in every epoch, and validate on as many (Lightning's
        /// `overfit_batches`): give the same data as validation set to see whether the model can learn it by heart. A
        /// shuffled source gives its epoch 0 every time. At least 1; default off.
        pub overfit_batches: Option<usize> = None,
        /// An epoch is this many batches at most (Lightning's `limit_train_batches`). At least 1; default all.
        pub limit_train_batches: Option<usize> = None,
        /// A validation is this many batches at most (Lightning's `limit_val_batches`). At least 1; default all.
        pub limit_valid_batches: Option<usize> = None,
        /// What to do about a loss or a gradient that is not finite. Default [`OnNonFinite::Stop`].
        pub on_nonfinite: OnNonFinite = OnNonFinite::Stop,
        /// The run ends with an error instead of leaving out more updates in a row than this. Default 10.
        pub max_skips: u64 = 10,
        /// The run ends with an error instead of rolling back more often than this. Default 3.
        pub max_rollbacks: u64 = 3,
        /// Each rollback multiplies all rates by this for the rest of the run. Above 0, at most 1; default 1.
        pub rollback_lr_factor: f64 = 1.0,
        /// An exponential average of the weights: a decay alone, or a table. Not together with [`swa`](Self::swa). Default
        /// off.
        #[serde(deserialize_with = "decay_or_table")]
        pub ema: Option<Ema> = None,
        /// An equal average of the weights late in the run. Not together with [`ema`](Self::ema). Default off.
        pub swa: Option<Swa> = None,
        /// Parameters that are not trained for some time. Default none.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub freeze: Vec<Freeze> = Vec::new(),
        /// When to end a run that no longer improves. Default off.
        pub early_stopping: Option<EarlyStopping> = None,
        /// What is kept on disk: a table, `true` for its defaults, `false` or `None` for nothing. It also takes a folder,
        /// which code gives.
        #[serde(serialize_with = "table_or_off", deserialize_with = "switch_or_table")]
        pub checkpoint: Option<CheckpointPolicy> = Some(CheckpointPolicy::default()),
        /// How often loss and gradient are looked at; a bare number is steps. 1 on a CPU; rarer spares a GPU the
        /// synchronisation. Default 1.
        #[serde(skip)]
        pub check_every: Duration = Duration::Ticks(1),
        /// Seeds what is drawn at each step (dropout, noise), as a function of (seed, step). Default 0.
        #[serde(skip)]
        pub seed: u64 = 0,
        /// Identifies model, data and settings; a checkpoint of another fingerprint is refused. Default empty.
        #[serde(skip)]
        pub fingerprint: String = String::new(),
    }
}

impl Settings for TrainConfig {
    fn resolve(&mut self) {
        if self.steps.is_none() {
            self.epochs.get_or_insert(EPOCHS);
        }
        self.early_stopping.iter_mut().for_each(EarlyStopping::resolve);
        self.checkpoint.iter_mut().for_each(CheckpointPolicy::resolve);
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.epochs.is_some() && self.steps.is_some() {
            return Err(ConfigError::conflict("steps", "a run has either `epochs` or `steps`"));
        }
        check_length("epochs", self.epochs)?;
        check_length("steps", self.steps)?;
        let counts = [
            ("accumulate", Some(self.accumulate)),
            ("fast_dev_run", self.fast_dev_run),
            ("overfit_batches", self.overfit_batches),
            ("limit_train_batches", self.limit_train_batches),
            ("limit_valid_batches", self.limit_valid_batches),
        ];
        for (field, count) in counts {
            check::at_least(field, count.map_or(1, |count| count as u64), 1)?;
        }
        let numbers = [
            ("clip_grad_norm", self.clip_grad_norm, "a norm above 0"),
            ("clip_grad_value", self.clip_grad_value, "a bound above 0"),
        ];
        for (field, number, allowed) in numbers {
            check::number(field, number.unwrap_or(1.0), allowed, |number| number > 0.0)?;
        }
        // The rate of the last rollback is still one: not 0, not infinite.
        let power = i32::try_from(self.max_rollbacks).unwrap_or(i32::MAX);
        let allowed = format!("a factor above 0, at most 1, that {power} rollbacks leave above 0");
        check::number("rollback_lr_factor", self.rollback_lr_factor, &allowed, |factor| {
            factor <= 1.0 && factor.powi(power) >= f64::MIN_POSITIVE
        })?;
        check_every("log_every", self.log_every)?;
        check_every("validate_every", self.validate_every)?;
        check_every("check_every", self.check_every)?;
        if self.ema.is_some() && self.swa.is_some() {
            let message = "a run has either `ema` or `swa`: one average is evaluated and kept";
            return Err(ConfigError::conflict("swa", message));
        }
        within("ema", self.ema.as_ref())?;
        within("swa", self.swa.as_ref())?;
        for (i, rule) in self.freeze.iter().enumerate() {
            within(&format!("freeze[{i}]"), Some(rule))?;
        }
        within("early_stopping", self.early_stopping.as_ref())?;
        within("checkpoint", self.checkpoint.as_ref())
    }
}

/// The length of a run for which none is given.
const EPOCHS: Duration = Duration::Ticks(10);

/// Checks the settings in a field.
fn within<T: Settings>(field: &str, settings: Option<&T>) -> Result<(), ConfigError> {
    settings.map_or(Ok(()), Settings::check).map_err(|error| error.within(field))
}

fn check_length(field: &str, length: Option<Duration>) -> Result<(), ConfigError> {
    let Some(length) = length else { return Ok(()) };
    length.check(field, 0)?;
    let is_allowed = match length {
        Duration::Ticks(count) | Duration::Steps(count) => count > 0,
        Duration::Epochs(count) => count > 0.0,
        // Parts of what?
        Duration::Percent(_) | Duration::Rest => false,
    };
    check::is_allowed(field, show(&length.to_value()), "a whole number of at least 1", is_allowed)
}

/// A whole number, or a length with a unit.
fn length_of_run<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let length = Duration::parse(&value, "");
    length.map(Some).map_err(|_| match value {
        Value::Integer(count) => raise(ConfigError::not_allowed("", count, "a whole number of at least 1")),
        other => raise(ConfigError::wrong_type("", "a whole number, or a length such as \"5ep\"", &other)),
    })
}

/// `0.999`, or `{ decay = 0.999, ... }`.
fn decay_or_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ema>, D::Error> {
    by_value(deserializer, "a decay such as 0.999, or { decay = 0.999, ... }", |value| match value {
        Value::Table(table) => Some(strict_config::deserialize(table).map(Some)),
        _ => {
            let decay = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))?;
            Some(check::below_one("", decay).map(|()| Some(Ema::new(decay))))
        }
    })
}

/// `true`, `false`, or a table.
fn switch_or_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CheckpointPolicy>, D::Error> {
    by_value(deserializer, "a table, true or false", |value| match value {
        Value::Boolean(on) => Some(Ok(on.then(CheckpointPolicy::default))),
        Value::Table(table) => Some(strict_config::deserialize(table).map(Some)),
        _ => None,
    })
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
fn table_or_off<S: Serializer>(policy: &Option<CheckpointPolicy>, serializer: S) -> Result<S::Ok, S::Error> {
    match policy {
        Some(policy) => policy.serialize(serializer),
        None => serializer.serialize_bool(false),
    }
}

impl TrainConfig {
    /// The defaults, for this many epochs.
    pub fn epochs(epochs: u64) -> Self {
        Self { epochs: Some(Duration::Ticks(epochs)), ..Self::default() }
    }

    /// The defaults, for this many optimizer steps.
    pub fn steps(steps: u64) -> Self {
        Self { steps: Some(Duration::Ticks(steps)), ..Self::default() }
    }

    /// Lightning's `fast_dev_run`: one epoch of `batches` batches and a validation of as many, without sanity
    /// validation, checkpoints and early stopping, to see whether everything runs. Loggers are callbacks: leave them out.
    ///
    /// The [`Trainer`](crate::Trainer) does this where the field of that name is set. Schedules follow the whole run
    /// then, or a warm-up of a tenth of it would have no step left.
    #[must_use]
    pub fn fast_dev_run(self, batches: usize) -> Self {
        Self {
            epochs: Some(Duration::Ticks(1)),
            steps: None,
            fast_dev_run: None,
            limit_train_batches: Some(batches.max(1)),
            limit_valid_batches: Some(batches.max(1)),
            validate_every: Duration::Ticks(1),
            sanity_batches: 0,
            max_time: None,
            early_stopping: None,
            checkpoint: None,
            ..self
        }
    }

    /// The settings as they come into force.
    pub(crate) fn in_force(self) -> Self {
        match self.fast_dev_run {
            Some(batches) => self.fast_dev_run(batches),
            None => {
                Self { checkpoint: self.checkpoint.filter(|policy| !policy.directory.as_os_str().is_empty()), ..self }
            }
        }
    }

    /// The values that the run waits for, with the field that names each. Of those that checkpoints are kept by, one
    /// that needs a validation set counts only where the run `validates`.
    pub fn monitors(&self, validates: bool) -> impl Iterator<Item = (&'static str, &str)> {
        let early = self.early_stopping.iter().map(|early| ("early_stopping.monitor", early.monitor.as_str()));
        let best = self.checkpoint.iter().map(|policy| ("checkpoint.keep_best", policy.keep_best.as_str()));
        early.chain(best.filter(move |(_, best)| !best.is_empty() && (validates || !best.starts_with("valid."))))
    }

    /// What of an epoch's batches is trained on.
    pub(crate) fn train_limit(&self) -> Option<usize> {
        self.limit_train_batches.into_iter().chain(self.overfit_batches).min()
    }

    /// What of the validation set is visited.
    pub(crate) fn valid_limit(&self) -> Option<usize> {
        self.limit_valid_batches.into_iter().chain(self.overfit_batches).min()
    }

    /// Optimizer steps in an epoch of `batches` batches, as far as they are trained on.
    pub fn steps_per_epoch(&self, batches: usize) -> u64 {
        let batches = batches.min(self.train_limit().unwrap_or(usize::MAX));
        batches.div_ceil(self.accumulate.max(1)) as u64
    }

    /// Optimizer steps in the whole run; 0 where its [horizon](Self::horizon) is refused.
    pub fn total_steps(&self, batches: usize) -> u64 {
        self.horizon(batches).ok().and_then(|horizon| horizon.total_ticks(Interval::Step)).unwrap_or(0)
    }

    /// The run in steps and epochs, for `batches` batches per epoch.
    ///
    /// # Errors
    /// A length that comes to no step, or to more than 2^53.
    pub fn horizon(&self, batches: usize) -> Result<Horizon, ConfigError> {
        let per_epoch = self.steps_per_epoch(batches);
        let (field, length, unit) = match self.steps {
            Some(steps) => ("steps", steps, Interval::Step),
            None => ("epochs", self.epochs.unwrap_or(EPOCHS), Interval::Epoch),
        };
        let clock = Clock::new(Horizon::run(per_epoch, 0), Interval::Step);
        Ok(Horizon::run(per_epoch, length.counting(unit).ticks(field, 1, &clock)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TrainConfig, ConfigError> {
        strict_config::read(&text.parse().expect("a table"), "train")
    }

    #[test]
    fn a_limited_epoch_has_fewer_steps() {
        let config = TrainConfig { accumulate: 4, ..TrainConfig::epochs(3) };
        assert_eq!((config.steps_per_epoch(10), config.total_steps(10)), (3, 9));
        let limited = TrainConfig { limit_train_batches: Some(4), ..config.clone() };
        assert_eq!((limited.steps_per_epoch(10), limited.total_steps(10)), (1, 3));
        assert_eq!(TrainConfig { overfit_batches: Some(5), ..config.clone() }.total_steps(10), 6);
        assert_eq!(config.fast_dev_run(1).total_steps(10), 1);
    }

    #[test]
    fn a_run_is_as_long_as_it_says() {
        let cases = [
            ("", 100),
            ("epochs = 3", 30),
            ("epochs = '3ep'", 30),
            ("epochs = '0.5ep'", 5),
            ("epochs = '25it'", 25),
            ("steps = 25", 25),
            ("steps = '2ep'", 20),
        ];
        for (text, steps) in cases {
            assert_eq!(read(text).expect(text).total_steps(10), steps, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let cases = [
            "",
            "steps = 7\nvalidate_every = '200it'\nmax_time = '1.5h'\nsanity_batches = 0",
            "validate_every = '0.25ep'\nema = 0.99\non_nonfinite = 'rollback'\nrollback_lr_factor = 0.5",
            "swa = { start = '75%', every = '50it' }\nfreeze = [{ params = 'conv*', until_epoch = 3 }]",
            "ema = { decay = 0.9, warmup = true, every = 2, start = 10 }\noverfit_batches = 2\nfast_dev_run = 1",
            "early_stopping = { restore_best = true }\nlimit_train_batches = 5\nlimit_valid_batches = 6",
            "precision = 'bf16-mixed'",
            "accumulate = 4\nreduce = 'fast'",
            "checkpoint = false",
            "checkpoint = true",
            "checkpoint = { every = 3 }",
            "checkpoint = { every = '2ep', k = 3, keep_best = 'valid.accuracy' }",
            "checkpoint = { every = '500it', keep_last = 2, background = false, on_error = 'continue' }",
        ];
        for text in cases {
            let config = read(text).expect(text);
            let again = strict_config::read(&strict_config::write(&config), "train");
            assert_eq!(again.as_ref(), Ok(&config), "{text}");
        }
    }

    #[test]
    fn every_setting_is_written() {
        let written = strict_config::write(&read("ema = 0.9\nearly_stopping = {}\nmax_time = '2m'").expect("settings"));
        let expected = r#"
epochs = 10
precision = "f32"
activation_checkpointing = false
accumulate = 1
log_every = 10
validate_every = 1
sanity_batches = 2
max_time = "120s"
on_nonfinite = "stop"
max_skips = 10
max_rollbacks = 3
rollback_lr_factor = 1.0

[ema]
decay = 0.9
warmup = false
every = 1
start = 0

[early_stopping]
monitor = "valid.loss"
patience = 3
min_delta = 0.0
mode = "min"
restore_best = false

[checkpoint]
every = 1
keep_last = 1
keep_best = "valid.loss"
mode = "min"
k = 1
background = true
on_error = "stop"
"#;
        assert_eq!(written.to_string().trim(), expected.trim());
        assert_eq!(strict_config::write(&read("steps = 7\ncheckpoint = false").expect("settings"))["steps"], 7.into());
    }

    #[test]
    fn times_and_intervals() {
        let time =
            |text: &str| read(&format!("max_time = '{text}'")).expect(text).max_time.expect("a time").as_secs_f64();
        assert_eq!([time("30s"), time("10m"), time("1.5h"), time("0.5 s")], [30.0, 600.0, 5400.0, 0.5]);
        let every = |text: &str| read(&format!("validate_every = {text}")).expect(text).validate_every;
        assert_eq!(every("3"), Duration::Ticks(3));
        assert_eq!(every("'2ep'"), Duration::Epochs(2.0));
        assert_eq!(every("'0.5ep'"), Duration::Epochs(0.5));
        assert_eq!(every("'40it'"), Duration::Steps(40));
        let checkpoint = |text: &str| read(&format!("checkpoint = {text}")).expect(text).checkpoint;
        assert_eq!(checkpoint("false"), None);
        assert_eq!(checkpoint("{ every = \"500it\" }").expect("on").every, Duration::Steps(500));
        assert_eq!(checkpoint("{ keep_best = \"valid.accuracy\" }").expect("on").mode, Some(crate::Mode::Max));
        // Every length of time takes every unit.
        for field in ["log_every", "validate_every", "checkpoint.every", "ema.every", "ema.start", "swa.every"] {
            for text in ["2", "'2ep'", "'200it'", "'10%'"] {
                read(&format!("{field} = {text}")).unwrap_or_else(|error| panic!("{field} = {text}: {error}"));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let cases = [
            ("epochs = 3\nsteps = 4", "train.steps: a run has either `epochs` or `steps`"),
            ("epochs = 'three'", "train.epochs: expected a whole number, or a length such as \"5ep\", found \"three\""),
            ("epochs = 1.5", "train.epochs: expected a whole number, or a length such as \"5ep\", found 1.5"),
            ("epochs = 0", "train.epochs: 0 is not allowed here; allowed: a whole number of at least 1"),
            ("epochs = -1", "train.epochs: -1 is not allowed here; allowed: a whole number of at least 1"),
            ("steps = '20%'", "train.steps: \"20%\" is not allowed here"),
            ("max_time = '10x'", "train.max_time: \"10x\" is not allowed here"),
            ("max_time = '-5s'", "train.max_time"),
            ("max_time = true", "train.max_time: expected a time above 0"),
            ("validate_every = 0", "train.validate_every: 0 is not allowed here"),
            ("validate_every = 'rest'", "train.validate_every: \"rest\" is not allowed here"),
            ("ema = 1.0", "train.ema: 1 is not allowed here; allowed: a number from 0 to below 1"),
            ("ema = { decay = 1.0 }", "train.ema.decay: 1 is not allowed here; allowed: a number from 0 to below 1"),
            ("ema = 'x'", "train.ema: expected a decay such as 0.999, or { decay = 0.999, ... }, found \"x\""),
            ("ema = { decay = 0.9, warm_up = true }", "did you mean `warmup`?"),
            ("ema = 0.9\nswa = {}", "train.swa: a run has either `ema` or `swa`"),
            ("swa = { start = 'late' }", "train.swa.start"),
            ("freeze = [{ until_epoch = 3 }]", "train.freeze[0].params: missing"),
            ("freeze = [{ params = '/(/' }]", "train.freeze[0].params"),
            ("freeze = [{ params = '*', from_epoch = 3, until_epoch = 3 }]", "train.freeze[0].until_epoch: 3"),
            ("on_nonfinite = 'rolback'", "did you mean `rollback`?"),
            ("precision = 'bf61'", "did you mean `bf16`?"),
            ("overfit_batches = 0", "train.overfit_batches: 0"),
            ("early_stopping = { restore_best = 1 }", "train.early_stopping.restore_best: expected true or false"),
            ("checkpoint = { every = 0 }", "train.checkpoint.every: "),
            ("checkpoint = { every = \"0it\" }", "train.checkpoint.every: "),
            ("checkpoint = { every = \"5 steps\" }", "train.checkpoint.every: "),
            ("checkpoint = { k = 0 }", "train.checkpoint.k: "),
            ("checkpoint = { on_error = \"ignore\" }", "train.checkpoint.on_error: "),
            ("checkpoint = { keep_lasts = 2 }", "train.checkpoint.keep_lasts: "),
            ("checkpoint = 3", "train.checkpoint: expected a table, true or false"),
        ];
        for (text, expected) in cases {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
