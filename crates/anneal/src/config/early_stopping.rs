//! `[train.early_stopping]`.

use strict_config::{ConfigError, Fields};
use toml::Table;
use trainer::{EarlyStopping, Mode};

use super::{
    put,
    train::{MODES, mode_name, usual_mode},
};

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
    /// Whether the model of the run is the best one by this value. Default false.
    pub restore_best: bool,
}

impl EarlyStoppingSection {
    pub(super) fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let known = ["monitor", "patience", "min_delta", "mode", "restore_best"];
        let fields = Fields::open(table, "train.early_stopping", &known)?;
        let monitor = fields.str("monitor")?.unwrap_or("valid.loss");
        Ok(Self {
            monitor: monitor.to_owned(),
            patience: fields.u64_from("patience", 1)?.unwrap_or(5),
            min_delta: fields.f64_where("min_delta", "a number of at least 0", |delta| delta >= 0.0)?.unwrap_or(0.0),
            mode: fields.choice("mode", &MODES)?.unwrap_or_else(|| usual_mode(monitor)),
            restore_best: fields.bool("restore_best")?.unwrap_or(false),
        })
    }

    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "monitor", Some(self.monitor.clone()));
        put(&mut table, "patience", Some(self.patience as i64));
        put(&mut table, "min_delta", Some(self.min_delta));
        put(&mut table, "mode", Some(mode_name(self.mode)));
        put(&mut table, "restore_best", Some(self.restore_best));
        table
    }

    /// For the trainer.
    pub(crate) fn settings(&self) -> EarlyStopping {
        EarlyStopping {
            monitor: self.monitor.clone(),
            patience: self.patience,
            min_delta: self.min_delta,
            mode: self.mode,
            restore_best: self.restore_best,
        }
    }
}
