//! `[train]`: how long, how the gradient is treated, what is logged, when it stops, what is kept.

use std::time::Duration;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::{Averaging, Freeze, Limit, Mode, OnNonFinite, Precision, Rollback, ValidateEvery};

use super::{CheckpointSection, EarlyStoppingSection, put, weights};

/// `[train]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSection {
    /// `epochs` or `steps`. Default 10 epochs.
    pub limit: Limit,
    /// `f32`, or `bf16` for forward and backward. Default `f32`.
    pub precision: Precision,
    /// Batches averaged into one optimizer step. Default 1.
    pub accumulate: usize,
    /// The gradients' global norm is scaled down to this. Default off.
    pub clip_grad_norm: Option<f64>,
    /// Gradient elements are clamped to plus or minus this. Default off.
    pub clip_grad_value: Option<f64>,
    /// A step is logged every this many. Default 10.
    pub log_every: u64,
    /// When the validation set is visited: `2` (epochs), `"200it"`, `"0.25ep"`. Default every epoch.
    pub validate_every: ValidateEvery,
    /// Batches of the validation set that are tried before the first step. Default 2.
    pub sanity_batches: usize,
    /// The run ends in order after this long: `"30s"`, `"10m"`, `"1.5h"`. Default no limit.
    pub max_time: Option<Duration>,
    /// One epoch of so many batches, without checkpoints and logs, to see whether everything runs. Default off.
    pub fast_dev_run: Option<usize>,
    /// Train and validate on the first so many training batches. Default off.
    pub overfit_batches: Option<usize>,
    /// Training batches in an epoch, at most. Default all.
    pub limit_train_batches: Option<usize>,
    /// Validation batches, at most. Default all.
    pub limit_valid_batches: Option<usize>,
    /// `stop`, `skip` or `rollback`. Default `stop`.
    pub on_nonfinite: OnNonFinite,
    /// `max_rollbacks` and `rollback_lr_factor`. Default 3 and 1.
    pub rollback: Rollback,
    /// `ema` or `swa`. Default none.
    pub averaging: Option<Averaging>,
    /// `freeze = [{ params, from_epoch, until_epoch }]`. Default none.
    pub freeze: Vec<Freeze>,
    /// `early_stopping = { monitor, patience, min_delta, mode, restore_best }`. Default off.
    pub early_stopping: Option<EarlyStoppingSection>,
    /// `checkpoint = { every, keep_last, keep_best, mode, k, background, on_error }`, `true` for the defaults, or `false`.
    pub checkpoint: Option<CheckpointSection>,
}

pub(super) const MODES: [(&str, Mode); 2] = [("min", Mode::Min), ("max", Mode::Max)];
/// Our names first, then Lightning's.
const PRECISIONS: [(&str, Precision); 4] =
    [("f32", Precision::F32), ("bf16", Precision::Bf16), ("32-true", Precision::F32), ("bf16-mixed", Precision::Bf16)];
const ON_NONFINITE: [(&str, OnNonFinite); 3] =
    [("stop", OnNonFinite::Stop), ("skip", OnNonFinite::Skip), ("rollback", OnNonFinite::Rollback)];

impl TrainSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let known = [
            "epochs",
            "steps",
            "precision",
            "accumulate",
            "clip_grad_norm",
            "clip_grad_value",
            "log_every",
            "validate_every",
            "sanity_batches",
            "max_time",
            "fast_dev_run",
            "overfit_batches",
            "limit_train_batches",
            "limit_valid_batches",
            "on_nonfinite",
            "max_rollbacks",
            "rollback_lr_factor",
            "ema",
            "swa",
            "freeze",
            "early_stopping",
            "checkpoint",
        ];
        let fields = Fields::open(table, "train", &known)?;
        let limit = match (fields.u64_from("epochs", 1)?, fields.u64_from("steps", 1)?) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::conflict(fields.path_of("steps"), "a run has either `epochs` or `steps`"));
            }
            (None, Some(steps)) => Limit::Steps(steps),
            (epochs, None) => Limit::Epochs(epochs.unwrap_or(10)),
        };
        let above_zero = |number: f64| number > 0.0;
        let count = |field: &str| Ok::<_, ConfigError>(fields.u64_from(field, 1)?.map(|count| count as usize));
        let rollback = Rollback::default();
        Ok(Self {
            limit,
            precision: fields.choice("precision", &PRECISIONS)?.unwrap_or_default(),
            accumulate: fields.u64_from("accumulate", 1)?.unwrap_or(1) as usize,
            clip_grad_norm: fields.f64_where("clip_grad_norm", "a norm above 0", above_zero)?,
            clip_grad_value: fields.f64_where("clip_grad_value", "a bound above 0", above_zero)?,
            log_every: fields.u64_from("log_every", 1)?.unwrap_or(10),
            validate_every: read_validate_every(&fields)?,
            sanity_batches: fields.u64("sanity_batches")?.unwrap_or(2) as usize,
            max_time: read_time(&fields, "max_time")?,
            fast_dev_run: count("fast_dev_run")?,
            overfit_batches: count("overfit_batches")?,
            limit_train_batches: count("limit_train_batches")?,
            limit_valid_batches: count("limit_valid_batches")?,
            on_nonfinite: fields.choice("on_nonfinite", &ON_NONFINITE)?.unwrap_or_default(),
            rollback: Rollback {
                max: fields.u64("max_rollbacks")?.unwrap_or(rollback.max),
                lr_factor: fields
                    .f64_where("rollback_lr_factor", "a factor above 0", above_zero)?
                    .unwrap_or(rollback.lr_factor),
            },
            averaging: weights::read_averaging(&fields)?,
            freeze: weights::read_freeze(&fields)?,
            early_stopping: fields.table("early_stopping")?.map(EarlyStoppingSection::from_table).transpose()?,
            checkpoint: CheckpointSection::of(&fields)?,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        match self.limit {
            Limit::Epochs(epochs) => put(&mut table, "epochs", Some(epochs as i64)),
            Limit::Steps(steps) => put(&mut table, "steps", Some(steps as i64)),
        }
        put(&mut table, "precision", Some(self.precision.to_string()));
        put(&mut table, "accumulate", Some(self.accumulate as i64));
        put(&mut table, "clip_grad_norm", self.clip_grad_norm);
        put(&mut table, "clip_grad_value", self.clip_grad_value);
        put(&mut table, "log_every", Some(self.log_every as i64));
        put(&mut table, "validate_every", Some(validate_every_value(self.validate_every)));
        put(&mut table, "sanity_batches", Some(self.sanity_batches as i64));
        put(&mut table, "max_time", self.max_time.map(|time| format!("{}s", time.as_secs_f64())));
        let counts = [
            ("fast_dev_run", self.fast_dev_run),
            ("overfit_batches", self.overfit_batches),
            ("limit_train_batches", self.limit_train_batches),
            ("limit_valid_batches", self.limit_valid_batches),
        ];
        for (field, count) in counts {
            put(&mut table, field, count.map(|count| count as i64));
        }
        let action = ON_NONFINITE.iter().find(|(_, action)| *action == self.on_nonfinite);
        put(&mut table, "on_nonfinite", action.map(|(name, _)| *name));
        put(&mut table, "max_rollbacks", Some(self.rollback.max as i64));
        put(&mut table, "rollback_lr_factor", Some(self.rollback.lr_factor));
        weights::put_averaging(&mut table, self.averaging.as_ref());
        weights::put_freeze(&mut table, &self.freeze);
        put(&mut table, "early_stopping", self.early_stopping.as_ref().map(|early| Value::Table(early.to_table())));
        let checkpoint = self.checkpoint.as_ref();
        put(
            &mut table,
            "checkpoint",
            Some(checkpoint.map_or(Value::Boolean(false), |policy| Value::Table(policy.to_table()))),
        );
        table
    }
}

/// A loss falls; everything else that is monitored is taken to rise.
pub(super) fn usual_mode(monitor: &str) -> Mode {
    if monitor.ends_with("loss") { Mode::Min } else { Mode::Max }
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    if mode == Mode::Min { "min" } else { "max" }
}

/// `2` (epochs), `"200it"` (optimizer steps), `"0.25ep"` (parts of an epoch).
fn read_validate_every(fields: &Fields<'_>) -> Result<ValidateEvery, ConfigError> {
    const FIELD: &str = "validate_every";
    const ALLOWED: &str = "whole epochs (2, \"2ep\"), optimizer steps (\"200it\") or a part of an epoch (\"0.25ep\")";
    let Some(value) = fields.value(FIELD) else { return Ok(ValidateEvery::Epochs(1)) };
    let refused = || Err(ConfigError::not_allowed(fields.path_of(FIELD), value, ALLOWED));
    match lr_core::Duration::parse(value, &fields.path_of(FIELD))? {
        lr_core::Duration::Ticks(epochs) if epochs > 0 => Ok(ValidateEvery::Epochs(epochs)),
        lr_core::Duration::Steps(steps) if steps > 0 => Ok(ValidateEvery::Steps(steps)),
        lr_core::Duration::Epochs(part) if part > 0.0 && part < 1.0 => Ok(ValidateEvery::PartOfEpoch(part)),
        lr_core::Duration::Epochs(epochs) if epochs >= 1.0 && epochs.fract() == 0.0 => {
            Ok(ValidateEvery::Epochs(epochs as u64))
        }
        _ => refused(),
    }
}

fn validate_every_value(every: ValidateEvery) -> Value {
    match every {
        ValidateEvery::Epochs(epochs) => Value::Integer(epochs as i64),
        ValidateEvery::Steps(steps) => Value::String(format!("{steps}it")),
        ValidateEvery::PartOfEpoch(part) => Value::String(format!("{part}ep")),
    }
}

/// A length of wall-clock time: `"30s"`, `"10m"`, `"1.5h"`.
fn read_time(fields: &Fields<'_>, field: &str) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = fields.str(field)? else { return Ok(None) };
    let unit = [("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = unit.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * seconds)
    });
    // `try_from_secs_f64` refuses what is negative, no number or longer than a clock counts.
    match seconds.filter(|seconds| *seconds > 0.0).map(Duration::try_from_secs_f64) {
        Some(Ok(time)) => Ok(Some(time)),
        _ => Err(ConfigError::not_allowed(
            fields.path_of(field),
            format!("{text:?}"),
            "a time above 0 with its unit: \"30s\", \"10m\", \"1.5h\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TrainSection, ConfigError> {
        TrainSection::from_table(&text.parse().expect("a table"))
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
        ];
        for text in cases {
            let section = read(text).expect(text);
            let again = TrainSection::from_table(&section.to_table()).expect(text);
            assert_eq!(again, section, "{text}");
        }
    }

    #[test]
    fn times_and_intervals() {
        let time =
            |text: &str| read(&format!("max_time = '{text}'")).expect(text).max_time.expect("a time").as_secs_f64();
        assert_eq!([time("30s"), time("10m"), time("1.5h"), time("0.5 s")], [30.0, 600.0, 5400.0, 0.5]);
        let every = |text: &str| read(&format!("validate_every = {text}")).expect(text).validate_every;
        assert_eq!(every("3"), ValidateEvery::Epochs(3));
        assert_eq!(every("'2ep'"), ValidateEvery::Epochs(2));
        assert_eq!(every("'0.5ep'"), ValidateEvery::PartOfEpoch(0.5));
        assert_eq!(every("'40it'"), ValidateEvery::Steps(40));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let cases = [
            ("max_time = '10'", "train.max_time: \"10\" is not allowed here"),
            ("max_time = '-5s'", "train.max_time"),
            ("max_time = 30", "train.max_time: expected a string"),
            ("validate_every = 0", "train.validate_every: 0 is not allowed here"),
            ("validate_every = '1.5ep'", "train.validate_every: \"1.5ep\" is not allowed here"),
            ("validate_every = '20%'", "train.validate_every"),
            ("ema = 1.0", "train.ema: 1 is not allowed here; allowed: a number from 0 to below 1"),
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
        ];
        for (text, expected) in cases {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
