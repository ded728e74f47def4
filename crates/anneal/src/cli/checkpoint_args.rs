//! A run to read: which of its checkpoints, and where its data are now.

use std::path::{Path, PathBuf};

use clap::Args;

use super::train::of_run;
use crate::{
    config::{Catalog, Config},
    error::Error,
    experiment::CheckpointChoice,
    run_dir::RunDir,
};

/// Which of a run's checkpoints, and where its data are now.
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// The newest valid checkpoint (the default)
    #[arg(long, conflicts_with_all = ["best", "step"])]
    pub last: bool,
    /// The checkpoint that is best by the config's `checkpoint.keep_best`
    #[arg(long, conflicts_with = "step")]
    pub best: bool,
    /// The checkpoint of this step
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// Where data sets are looked for first, in place of the run's own
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl CheckpointArgs {
    /// The run in a folder, and the checkpoint that is asked for.
    pub(super) fn open(&self, run_dir: &Path, catalog: &Catalog) -> Result<(Config, RunDir, CheckpointChoice), Error> {
        let config = of_run(run_dir, self.data_dir.as_deref(), None, Vec::new(), catalog)?;
        let choice = match (self.step, self.best) {
            (Some(step), _) => CheckpointChoice::Step(step),
            (None, true) => CheckpointChoice::Best,
            (None, false) => CheckpointChoice::Last,
        };
        Ok((config, RunDir::open(run_dir)?, choice))
    }
}
