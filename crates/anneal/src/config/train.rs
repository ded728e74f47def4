//! `[train]`: how long, how the gradient is treated, what is logged, when it stops, what is kept.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::{Limit, Mode, OnNonFinite};

use super::{CheckpointSection, put};

/// `[train]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSection {
    /// `epochs` or `steps`. Default 10 epochs.
    pub limit: Limit,
    /// Batches averaged into one optimizer step. Default 1.
    pub accumulate: usize,
    /// The gradients' global norm is scaled down to this. Default off.
    pub clip_grad_norm: Option<f64>,
    /// Gradient elements are clamped to plus or minus this. Default off.
    pub clip_grad_value: Option<f64>,
    /// A step is logged every this many. Default 10.
    pub log_every: u64,
    /// The validation set is visited every this many epochs. Default 1.
    pub validate_every: u64,
    /// `stop` or `skip`. Default `stop`.
    pub on_nonfinite: OnNonFinite,
    /// `early_stopping = { monitor, patience, min_delta, mode }`. Default off.
    pub early_stopping: Option<EarlyStoppingSection>,
    /// `checkpoint = { every, keep_last, keep_best, mode, k, background, on_error }`, `true` for the defaults, or `false`.
    pub checkpoint: Option<CheckpointSection>,
}

/// `[train.early_stopping]`.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStoppingSection {
    /// The value watched. Default `valid.loss`.
    pub monitor: String,
    /// Validations in a row without improvement at which the run ends. Default 5.
    pub patience: u64,
    /// An improvement must be larger than this. Default 0.
    pub min_delta: f64,
    /// `min` or `max`. Default: `min` for a loss, else `max`.
    pub mode: Mode,
}

pub(super) const MODES: [(&str, Mode); 2] = [("min", Mode::Min), ("max", Mode::Max)];
const ON_NONFINITE: [(&str, OnNonFinite); 2] = [("stop", OnNonFinite::Stop), ("skip", OnNonFinite::Skip)];

impl TrainSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let known = [
            "epochs",
            "steps",
            "accumulate",
            "clip_grad_norm",
            "clip_grad_value",
            "log_every",
            "validate_every",
            "on_nonfinite",
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
        Ok(Self {
            limit,
            accumulate: fields.u64_from("accumulate", 1)?.unwrap_or(1) as usize,
            clip_grad_norm: fields.f64_where("clip_grad_norm", "a norm above 0", above_zero)?,
            clip_grad_value: fields.f64_where("clip_grad_value", "a bound above 0", above_zero)?,
            log_every: fields.u64_from("log_every", 1)?.unwrap_or(10),
            validate_every: fields.u64_from("validate_every", 1)?.unwrap_or(1),
            on_nonfinite: fields.choice("on_nonfinite", &ON_NONFINITE)?.unwrap_or_default(),
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
        put(&mut table, "accumulate", Some(self.accumulate as i64));
        put(&mut table, "clip_grad_norm", self.clip_grad_norm);
        put(&mut table, "clip_grad_value", self.clip_grad_value);
        put(&mut table, "log_every", Some(self.log_every as i64));
        put(&mut table, "validate_every", Some(self.validate_every as i64));
        let stop = self.on_nonfinite == OnNonFinite::Stop;
        put(&mut table, "on_nonfinite", Some(if stop { "stop" } else { "skip" }));
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

impl EarlyStoppingSection {
    fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, "train.early_stopping", &["monitor", "patience", "min_delta", "mode"])?;
        let monitor = fields.str("monitor")?.unwrap_or("valid.loss");
        Ok(Self {
            monitor: monitor.to_owned(),
            patience: fields.u64_from("patience", 1)?.unwrap_or(5),
            min_delta: fields.f64_where("min_delta", "a number of at least 0", |delta| delta >= 0.0)?.unwrap_or(0.0),
            mode: fields.choice("mode", &MODES)?.unwrap_or_else(|| usual_mode(monitor)),
        })
    }

    fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "monitor", Some(self.monitor.clone()));
        put(&mut table, "patience", Some(self.patience as i64));
        put(&mut table, "min_delta", Some(self.min_delta));
        put(&mut table, "mode", Some(mode_name(self.mode)));
        table
    }
}
