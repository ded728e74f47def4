//! What a task knows of its run.

use std::{collections::BTreeMap, path::PathBuf};

use strict_config::{ConfigError, Settings, check, settings};
use toml::{Table, Value};

use super::Sampler;

settings! {
    /// The fields of `[data]` that every task has.
    pub struct DataSection {
        /// A name from `anneal list datasets`, or `folder` for a folder of images by class. Default `digits`.
        pub dataset: String = "digits".to_owned(),
        /// Where data sets are looked for first; then `ANNEAL_DATA_DIR`, then the user's cache folder.
        pub data_dir: Option<PathBuf> = None,
        /// Items in a batch. Default 64.
        pub batch_size: usize = 64,
        /// The fraction of the training set held out for validation. Default 0.1.
        pub validation: f64 = 0.1,
        /// Threads that assemble batches ahead. Default 1.
        pub workers: usize = 1,
        /// In which order an epoch visits the training items. Default `random`.
        pub sampler: Sampler = Sampler::default(),
        /// With the `weighted` sampler, the weight of an item of these classes; of all others it is 1. Default: one over the
        /// number of training items of its class, so that each class is drawn as often.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub class_weights: Option<BTreeMap<String, f64>> = None,
        /// Whether the last batch of a training epoch is left out where it would be smaller than the others. Default `false`.
        pub drop_last: bool = false,
    }
}

impl Settings for DataSection {
    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("batch_size", self.batch_size as u64, 1)?;
        check::below_one("validation", self.validation)?;
        let Some(weights) = &self.class_weights else { return Ok(()) };
        if self.sampler != Sampler::Weighted {
            return Err(ConfigError::conflict("class_weights", "weighs nothing without `sampler = \"weighted\"`"));
        }
        weights.iter().try_for_each(|(class, weight)| {
            check::non_negative(class, *weight).map_err(|error| error.within("class_weights"))
        })
    }
}

impl DataSection {
    /// Batches in an epoch of so many training items.
    pub(crate) fn batches(&self, items: usize) -> usize {
        let size = self.batch_size.max(1);
        if self.drop_last { items / size } else { items.div_ceil(size) }
    }

    /// The names of these fields.
    pub(crate) fn fields() -> &'static [&'static str] {
        strict_config::fields_of::<Self>()
    }

    /// The table with the fields that are the task's own: those follow the name of the data set.
    pub(crate) fn to_table(&self, own: Table) -> Table {
        /// The fields that come last, in this order.
        const LAST: [&str; 9] = [
            "data_dir",
            "batch_size",
            "validation",
            "augment",
            "workers",
            "sampler",
            "drop_last",
            "resident",
            // A table, which stands behind all that is none.
            "class_weights",
        ];
        let mut fields: Vec<(String, Value)> = strict_config::write(self).into_iter().collect();
        fields.splice(1..1, own);
        fields.sort_by_key(|(name, _)| LAST.iter().position(|last| last == name).map_or(0, |place| place + 1));
        fields.into_iter().collect()
    }
}

/// What a task knows of its run.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The seed of the run.
    pub seed: u64,
    /// The fields of `[data]` that every task has.
    pub data: DataSection,
    /// Whether it runs on a GPU.
    pub on_gpu: bool,
    /// `[train] overfit_batches`: it trains, and validates, on so many batches alone.
    pub overfit_batches: Option<usize>,
    /// `[train] fast_dev_run`: a trial of so many batches.
    pub fast_dev_run: Option<usize>,
    /// What a run has [kept](crate::task::Task::kept) of the task: it is to predict with that, and needs no data.
    pub kept: Option<String>,
}
