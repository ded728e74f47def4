//! `[data]`: what is trained on, and how it is cut into batches.

use std::path::PathBuf;

use strict_config::{ConfigError, Fields};
use toml::Table;

use super::put;

/// `[data]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSection {
    /// A name from `anneal list datasets`. Default `digits`.
    pub dataset: String,
    /// Where data sets are looked for first; then `ANNEAL_DATA_DIR`, then the user's cache folder.
    pub data_dir: Option<PathBuf>,
    /// Items in a batch. Default 64.
    pub batch_size: usize,
    /// The fraction of the training set held out for validation, by a split seeded with the run. Default 0.1.
    pub validation: f64,
    /// Augmentation of training images: `none`, or pieces joined by `+`. Default `none`.
    pub augment: String,
    /// Threads that assemble batches ahead. Default 1.
    pub workers: usize,
}

impl DataSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let known = ["dataset", "data_dir", "batch_size", "validation", "augment", "workers"];
        let fields = Fields::open(table, "data", &known)?;
        let dataset = fields.str("dataset")?.unwrap_or("digits");
        let names: Vec<&str> = vision::known().map(|info| info.name).collect();
        if !names.contains(&dataset) {
            return Err(ConfigError::unknown_name(fields.path_of("dataset"), "dataset", dataset, names));
        }
        let augment = fields.str("augment")?.unwrap_or("none");
        vision::Augment::parse(augment)
            .map_err(|error| ConfigError::conflict(fields.path_of("augment"), error.to_string()))?;
        Ok(Self {
            dataset: dataset.to_owned(),
            data_dir: fields.str("data_dir")?.map(PathBuf::from),
            batch_size: fields.u64_from("batch_size", 1)?.unwrap_or(64) as usize,
            validation: fields
                .f64_where("validation", "a fraction of at least 0 and below 1", |part| (0.0..1.0).contains(&part))?
                .unwrap_or(0.1),
            augment: augment.to_owned(),
            workers: fields.u64("workers")?.unwrap_or(1) as usize,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "dataset", Some(self.dataset.clone()));
        put(&mut table, "data_dir", self.data_dir.as_ref().map(|path| path.display().to_string()));
        put(&mut table, "batch_size", Some(self.batch_size as i64));
        put(&mut table, "validation", Some(self.validation));
        put(&mut table, "augment", Some(self.augment.clone()));
        put(&mut table, "workers", Some(self.workers as i64));
        table
    }
}
