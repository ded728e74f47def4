//! `anneal export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    output::{Exit, print},
    train::of_run,
};
use crate::{
    config::Catalog,
    error::Error,
    experiment::{self, CheckpointChoice},
    run_dir::RunDir,
};

/// `anneal export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// The file to write; default model.safetensors in the run folder
    #[arg(long, value_name = "FILE.safetensors")]
    pub to: Option<PathBuf>,
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
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn export(args: &ExportArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let config = of_run(&args.run_dir, args.data_dir.as_deref(), None, Vec::new(), catalog)?;
    let dir = RunDir::open(&args.run_dir)?;
    let which = match (args.step, args.best) {
        (Some(step), _) => CheckpointChoice::Step(step),
        (None, true) => CheckpointChoice::Best,
        (None, false) => CheckpointChoice::Last,
    };
    let exported = experiment::export(&config, &dir, which, args.to.as_deref())?;
    let path = exported.path.display();
    print(&if args.json {
        format!("{}\n", json!({ "path": path.to_string(), "step": exported.step, "sha256": exported.sha256 }))
    } else {
        format!("{path}: {} at step {}, for PyTorch (safetensors)\n", config.model.name(), exported.step)
    })?;
    Ok(Exit::Done)
}
