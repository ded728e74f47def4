//! The log of a run as one CSV table, as Lightning's `CSVLogger` writes it: for spreadsheets and data frames.

use std::path::{Path, PathBuf};

use report::{GrowingCsv, NamedCell};

use super::run_log::{LogFormat, Losses, PendingValidation, RunLog, of_split};
use crate::{CallbackError, Logged, RunInfo, StepEvent, report::EpochSummary};

/// The columns that every run has; metrics, momentum and validation get theirs when they first come up.
const COLUMNS: [&str; 5] = ["step", "epoch", "seconds", "lr", "train.loss"];

/// Writes `metrics.csv`: one row per logged step, per epoch, and per validation in the middle of an epoch.
///
/// `step` counts optimizer steps from 1, `epoch` from 0. A step's row holds `seconds` (since the run or its resumption
/// began), `lr`, `momentum` where the schedule sets it, and `train.loss` and `train.<metric>` of its batches; an epoch's
/// `epoch_seconds`, `train.loss_epoch` (the mean over the epoch) and `valid.loss`, `valid.<metric>`. Other cells are
/// empty. Values that are not finite are `NaN`, `inf`, `-inf`, which pandas reads.
///
/// Resuming drops the rows after the checkpoint's step, and that of an epoch which goes on after it. Where a table to be
/// resumed has rows that cannot be read, or lacks some of those that it should hold ([`Logged`]), a warning says so; of rows
/// that cannot be read the table as it was stays beside it (`metrics.csv.damaged-1`).
pub type Csv = RunLog<CsvTable>;

/// The table of [`Csv`].
pub struct CsvTable {
    path: PathBuf,
    table: Option<GrowingCsv>,
    resumed_at: u64,
    /// The row of an epoch that ended at the step resumed at is there already, and is reported again.
    epoch_told: bool,
}

impl Csv {
    /// A table in this file. Nothing is touched before the run starts.
    pub fn new(path: &Path) -> Self {
        Self::of(CsvTable { path: path.to_owned(), table: None, resumed_at: 0, epoch_told: false })
    }
}

impl CsvTable {
    /// `is_inside`: an epoch goes on after that step, and gets its row when it ends.
    fn open(&mut self, step: u64, should: &Logged, is_inside: bool, losses: &mut Losses) -> Result<(), CallbackError> {
        // The writer of a table that is left behind flushes when it is dropped: before the file is read.
        drop(self.table.take());
        let mut epoch_told = false;
        let mut logged = Logged::default();
        let opened = if step == 0 {
            GrowingCsv::create(&self.path, &COLUMNS)
        } else {
            GrowingCsv::resume(&self.path, &COLUMNS, |cell| {
                let row = cell("step")?.parse::<u64>().ok()?;
                let is_epoch = row == step && cell("epoch_seconds").is_some();
                epoch_told |= is_epoch && !is_inside;
                let of = [
                    ("seconds", &mut logged.steps),
                    ("epoch_seconds", &mut logged.epochs),
                    ("valid.loss", &mut logged.validations),
                ];
                for (column, rows) in of {
                    rows.extend(cell(column).filter(|_| row <= step).map(|_| row));
                }
                Some(row <= step && !(is_epoch && is_inside))
            })
        };
        (self.resumed_at, self.epoch_told) = (step, epoch_told);
        let table = opened.map_err(|error| self.failed(error))?;
        let path = self.path.display();
        if let Some(copy) = table.kept_aside() {
            tracing::warn!("{path}: rows of it cannot be read; the table as it was is kept: {}", copy.display());
        }
        let lost = losses.of(should, &logged, step);
        if !lost.is_empty() {
            tracing::warn!("{path}: {}; the run goes on without", lost.join("; "));
        }
        self.table = Some(table);
        Ok(())
    }

    fn row(&mut self, cells: &[NamedCell]) -> Result<(), CallbackError> {
        let written = self.table.as_mut().map_or(Ok(()), |table| table.row(cells));
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallbackError {
        CallbackError::new(Self::NAME, error)
    }
}

fn cell(name: &str, value: impl std::fmt::Display) -> NamedCell {
    (name.to_owned(), value.to_string())
}

impl LogFormat for CsvTable {
    const NAME: &'static str = "metrics.csv";

    fn start(&mut self, run: &RunInfo, losses: &mut Losses) -> Result<(), CallbackError> {
        self.open(run.steps_done, &run.logged, run.goes_on_inside_an_epoch(), losses)
    }

    fn back_to(&mut self, step: u64) -> Result<(), CallbackError> {
        self.open(step - 1, &Logged::default(), false, &mut Losses::default())
    }

    fn step(&mut self, event: &StepEvent) -> Result<(), CallbackError> {
        let mut cells = vec![
            cell("step", event.step),
            cell("epoch", event.epoch),
            cell("seconds", event.seconds),
            cell("lr", event.lr),
        ];
        cells.extend(event.momentum.map(|momentum| cell("momentum", momentum)));
        cells.extend(event.loss.map(|loss| cell("train.loss", loss)));
        cells.extend(event.metrics.iter().map(|(name, value)| cell(&format!("train.{name}"), value)));
        self.row(&cells)
    }

    fn validation(&mut self, validation: PendingValidation) -> Result<(), CallbackError> {
        let mut cells = vec![cell("step", validation.step), cell("epoch", validation.epoch), cell("lr", validation.lr)];
        cells.extend(validation.values.iter().map(|(name, value)| cell(&format!("valid.{name}"), value)));
        self.row(&cells)
    }

    fn epoch(&mut self, summary: &EpochSummary) -> Result<(), CallbackError> {
        if self.epoch_told && summary.step == self.resumed_at {
            return Ok(());
        }
        let mut cells = vec![
            cell("step", summary.step),
            cell("epoch", summary.epoch),
            cell("lr", summary.lr),
            cell("epoch_seconds", summary.seconds),
        ];
        cells.extend(summary.momentum.map(|momentum| cell("momentum", momentum)));
        let train = of_split(&summary.values, "train.");
        cells.extend(train.iter().map(|(name, value)| cell(&format!("train.{name}_epoch"), value)));
        let valid = of_split(&summary.values, "valid.");
        cells.extend(valid.iter().map(|(name, value)| cell(&format!("valid.{name}"), value)));
        self.row(&cells)
    }

    fn flush(&mut self) -> Result<(), CallbackError> {
        let flushed = self.table.as_mut().map_or(Ok(()), GrowingCsv::flush);
        flushed.map_err(|error| self.failed(error))
    }
}
