//! The configuration of a run: a TOML file read whole, validated whole, and then a type that cannot be wrong.
//!
//! | section | holds |
//! |---|---|
//! | `[run]` | [`RunSection`]: name, seed, device, out_dir, loggers |
//! | `[data]` | [`DataSection`]: dataset, data_dir, batch_size, validation, workers; and the task's own: of images augment, resident, for `folder` also path, image_size, grey, test, split_seed, in_memory |
//! | `[model]` | [`ModelSection`]: type, pretrained; and that model's own |
//! | `[optimizer]` | `optim_adaptive::OptimizerConfig`: type, lr, ... |
//! | `[schedule]` | `lr_core::ScheduleConfig`: type, ... |
//! | `[[groups]]` | [`GroupsSection`]: params, lr_scale, schedule, weight_decay, frozen, optimizer |
//! | `[train]` | `trainer::TrainConfig`: epochs or steps, precision, accumulate, clipping, logging, early stopping, checkpoints |
//! | `[eval]` | the task's own: of images tta |
//! | `[lr_finder]` | `trainer::lr_finder::LrFinderConfig` |

mod apply;
mod auto;
mod catalog;
mod choice;
mod directions;
mod document;
mod groups;
mod leaves;
mod places;
mod pretrained;
mod run;

use std::sync::Arc;

use lr_core::ScheduleConfig;
use optim_adaptive::OptimizerConfig;
use serde::Deserialize;
use strict_config::ConfigError;
use toml::{Table, Value};
use trainer::{TrainConfig, lr_finder::LrFinderConfig};

use crate::task::{AnyData, ChosenTask, ImageClassification, Setup, Task, TaskError};

pub(crate) use apply::with_settings;
pub use auto::AutoRates;
pub use catalog::{Catalog, CatalogError};
pub use choice::ModelSection;
pub use document::{ConfigFileError, Document, Origin};
pub use groups::GroupsSection;
pub(crate) use leaves::leaves;
pub use pretrained::PretrainedSection;
pub use run::{Logger, RunSection};

pub use crate::task::DataSection;

/// The sections of a file, each still as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sections {
    run: Table,
    data: Table,
    model: Table,
    optimizer: Option<Table>,
    schedule: Option<Table>,
    groups: Vec<Table>,
    train: Table,
    eval: Table,
    lr_finder: Table,
}

/// Refuses a field that is not a section of a configuration.
pub(crate) fn check_sections(table: &Table) -> Result<(), ConfigError> {
    strict_config::deserialize::<Sections>(table).map(drop)
}

/// The configuration of the embedded example: what a bare `anneal train` runs.
pub const DEFAULT: &str = include_str!("../default.toml");

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[run]`.
    pub run: RunSection,
    /// `[data]`, the fields that every task has.
    pub data: DataSection,
    /// `[model]`, the fields that every task has.
    pub model: ModelSection,
    /// The task that `[data] dataset` chooses, with its own fields of `[data]`, `[model]` and `[eval]`.
    pub task: ChosenTask,
    /// `[optimizer]`.
    pub optimizer: OptimizerConfig,
    /// `[schedule]`; the rate stays as it is where it is absent.
    pub schedule: ScheduleConfig,
    /// `[[groups]]`.
    pub groups: GroupsSection,
    /// `[train]`.
    pub train: TrainConfig,
    /// `[lr_finder]`.
    pub lr_finder: LrFinderConfig,
    /// The rates that are to be found (`lr = "auto"`); until then the sweep's first rate stands in their place.
    pub auto: AutoRates,
    catalog: Catalog,
    /// What it was read from, where errors that come up later are to name file and line.
    source: Option<Arc<Document>>,
}

impl Config {
    /// Reads a whole configuration from its tables; a registry of schedules is a catalog with everything else built in.
    pub fn from_table(table: &Table, catalog: impl Into<Catalog>) -> Result<Self, ConfigError> {
        let catalog = catalog.into();
        let schedules = catalog.schedules.clone();
        Self::read(table, catalog).map_err(|error| auto::or_auto(error, table, &schedules))
    }

    fn read(table: &Table, catalog: Catalog) -> Result<Self, ConfigError> {
        let registry = &catalog.schedules;
        let mut table = table.clone();
        let written = strict_config::deserialize::<Sections>(&table)?;
        let lr_finder: LrFinderConfig = strict_config::read(&written.lr_finder, "lr_finder")?;
        let mut auto = AutoRates::take(&mut table, lr_finder.start_lr, registry);
        let Sections { run, data, model, optimizer, mut schedule, mut groups, mut train, eval, .. } =
            strict_config::deserialize(&table)?;
        let chosen = choice::read(data, model, &eval, &catalog);
        if let Ok((_, _, task)) = &chosen {
            let metrics = task.any().metrics();
            directions::of_training(&mut train, &metrics);
            for schedule in schedule.iter_mut().chain(&mut groups) {
                directions::of_schedules(schedule, &metrics, registry);
            }
        }
        let optimizer = optimizer
            .ok_or_else(|| ConfigError::missing("optimizer", "a table such as { type = \"adam\", lr = 1e-3 }"))?;
        let schedule = match schedule {
            Some(table) => ScheduleConfig::from_table_with(&table, "schedule", registry)?,
            None => ScheduleConfig::from_toml_str("type = 'fixed'")?,
        };
        let optimizer = OptimizerConfig::from_table_with(&optimizer, "optimizer", &catalog.optimizers)?;
        let groups = GroupsSection::from_tables(&groups, &optimizer, &catalog)?;
        auto.spread(|table| groups.of_table(table).collect());
        let run = strict_config::read(&run, "run")?;
        let (data, model, task) = chosen?;
        Ok(Self {
            run,
            data,
            model,
            task,
            optimizer,
            schedule,
            groups,
            train: strict_config::read(&train, "train")?,
            lr_finder,
            auto,
            catalog,
            source: None,
        })
    }

    /// The same with the found rate in the place of every `"auto"`, and noted as `[lr_finder] found`.
    ///
    /// # Errors
    /// A rate that the optimizer or a schedule refuses.
    pub fn with_found(&self, lr: f64) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        self.auto.fill(&mut table, lr);
        let mut found = Self::from_table(&table, &self.catalog)?;
        found.lr_finder.found = Some(lr);
        found.source.clone_from(&self.source);
        Ok(found)
    }

    /// A field that the trainer names, by its place in this configuration.
    pub(crate) fn place_of(&self, field: &str) -> String {
        if field.starts_with("freeze[") {
            format!("train.{field}")
        } else {
            self.groups.placed(field).unwrap_or_else(|| field.to_owned())
        }
    }

    /// Reads a whole configuration from a document; errors name its file and line.
    pub fn from_document(document: &Document, catalog: impl Into<Catalog>) -> Result<Self, ConfigFileError> {
        let mut config = Self::from_table(&document.table, catalog).map_err(|error| document.locate(error))?;
        config.source = Some(Arc::new(document.clone()));
        Ok(config)
    }

    /// What it was read from, where that was a document.
    pub(crate) fn source(&self) -> Option<&Document> {
        self.source.as_deref()
    }

    /// What it was read by.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every setting explicit; reads back as an equal configuration.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.insert("run".to_owned(), Value::Table(strict_config::write(&self.run)));
        table.insert("data".to_owned(), Value::Table(self.data.to_table(self.task.any().data())));
        table.insert("model".to_owned(), Value::Table(self.model.to_table(self.task.any().model())));
        table.insert("optimizer".to_owned(), Value::Table(self.optimizer.to_table()));
        table.insert("schedule".to_owned(), Value::Table(self.schedule.to_table()));
        table.insert("train".to_owned(), Value::Table(strict_config::write(&self.train)));
        table.insert("eval".to_owned(), Value::Table(self.task.any().eval()));
        table.insert("lr_finder".to_owned(), Value::Table(strict_config::write(&self.lr_finder)));
        let groups: Vec<Value> = self.groups.to_tables().into_iter().map(Value::Table).collect();
        if !groups.is_empty() {
            table.insert("groups".to_owned(), Value::Array(groups));
        }
        self.auto.mark(&mut table);
        table
    }

    /// The same configuration with the SHA-256 of its pretrained weights in place: what a run records, so that a resume
    /// neither loads them again nor accepts others.
    ///
    /// # Errors
    /// Weights that are not there. Where the SHA-256 is in place already they are not looked at.
    pub fn pinned(&self) -> Result<Self, trainer::weights::WeightsError> {
        let mut config = self.clone();
        if let Some(pretrained) = &mut config.model.pretrained {
            pretrained.pin()?;
        }
        Ok(config)
    }

    /// The same with every path that is read made absolute, relative ones being those of the process's folder, or where they
    /// were found below `ANNEAL_DATA_DIR`: what a run records, so that it can be read from anywhere.
    ///
    /// # Errors
    /// Where the process's folder is not known.
    pub fn anchored(&self) -> std::io::Result<Self> {
        let mut config = self.clone();
        let paths = config.data.data_dir.iter_mut();
        for path in paths.chain(config.model.pretrained.as_mut().map(|pretrained| &mut pretrained.path)) {
            *path = std::path::absolute(&*path)?;
        }
        let data_dir = self.data.data_dir.as_deref();
        config.task = config.task.any().with_paths(&mut |path| places::recorded(path, data_dir))?;
        Ok(config)
    }

    /// Loads the data; with what a run has [kept](crate::task::Task::kept) of its task, as much as it takes to predict.
    ///
    /// # Errors
    /// Data that are not there or not as they should be.
    pub(crate) fn load(&self, kept: Option<String>) -> Result<Box<dyn AnyData>, TaskError> {
        let needs_data = kept.is_none();
        let loaded = choice::found(&self.task, &self.data).any().load(Setup {
            seed: self.run.seed,
            data: self.data.clone(),
            on_gpu: self.run.device.is_gpu(),
            overfit_batches: self.train.overfit_batches,
            fast_dev_run: self.train.fast_dev_run,
            kept,
        });
        loaded.map_err(|error| match choice::looked_for(&self.task, &self.data) {
            Some(places) if needs_data && !matches!(error, TaskError::Setting(_)) => {
                TaskError::Nowhere { error: Box::new(error), places }
            }
            _ => error,
        })
    }

    /// What a checkpoint must have been written with to be resumed: everything that shapes the numbers, a line for each
    /// setting, so that a refusal can show those that differ. Where things are put, how long the run is, what is logged
    /// and how the model is evaluated may change.
    pub fn fingerprint(&self) -> String {
        let mut table = self.to_table();
        table.remove("run");
        table.remove("eval");
        table.remove("lr_finder");
        table.remove("data");
        let train = table.remove("train").and_then(|train| train.as_table().cloned()).unwrap_or_default();
        table.insert("seed".to_owned(), Value::Integer(self.run.seed as i64));
        table.insert("accumulate".to_owned(), Value::Integer(self.train.accumulate as i64));
        table.extend(self.task.noted());
        // Images were there before there were tasks.
        if self.task.name() != ImageClassification::NAME {
            table.insert("task".to_owned(), Value::String(self.task.name().to_owned()));
        }
        // Only where it is not the default, so that checkpoints from before there was a choice resume.
        if self.train.precision != trainer::Precision::F32 {
            table.insert("precision".to_owned(), Value::String(self.train.precision.to_string()));
        }
        for (name, limit) in [("norm", self.train.clip_grad_norm), ("value", self.train.clip_grad_value)] {
            if let Some(limit) = limit {
                table.insert(format!("clip_{name}"), Value::Float(limit));
            }
        }
        for field in ["ema", "swa", "freeze"] {
            put(&mut table, field, train.get(field).cloned());
        }
        let lines = leaves(&table).into_iter().map(|(path, value)| format!("{path} = {value}"));
        // The weights are known by their SHA-256, wherever they are.
        lines.filter(|line| !is_of_pretrained_path(line)).collect::<Vec<_>>().join("\n")
    }

    /// The fingerprint as a checkpoint has `saved` it, where they mean the same: there were times when it held the path of
    /// the pretrained weights, and when the order of its lines was another for a warm-up with and without an `interval`.
    pub(crate) fn fingerprint_beside(&self, saved: &str) -> String {
        let now = self.fingerprint();
        let sorted = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().filter(|line| !is_of_pretrained_path(line)).map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        if sorted(saved) == sorted(&now) { saved.to_owned() } else { now }
    }
}

/// Whether a line of a fingerprint says where the pretrained weights were.
fn is_of_pretrained_path(line: &str) -> bool {
    line.starts_with("model.pretrained.path = ")
}

/// Inserts a field where there is a value.
fn put(table: &mut Table, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        table.insert(field.to_owned(), value.into());
    }
}
