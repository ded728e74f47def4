//! `anneal export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    checkpoint_args::CheckpointArgs,
    output::{Exit, print, print_data, refuse_replacing},
};
use crate::{config::Catalog, error::Error, experiment};

/// `anneal export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// The file to write; default model.safetensors in the run folder
    #[arg(long, value_name = "FILE.safetensors")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub checkpoint: CheckpointArgs,
    /// Replace files that this program did not write
    #[arg(long)]
    pub overwrite: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn export(args: &ExportArgs, catalog: &Catalog) -> Result<Exit, Error> {
    if let Some(to) = args.to.as_ref().filter(|to| to.extension().is_none_or(|kind| kind != "safetensors")) {
        return Err(Error::Usage(format!("--to {}: the file is named *.safetensors", to.display())));
    }
    refuse_replacing(&args.to, args.overwrite)?;
    let (config, dir, checkpoint) = args.checkpoint.open(&args.run_dir, catalog)?;
    let exported = experiment::export(&config, &dir, checkpoint, args.to.as_deref())?;
    let path = exported.path.display();
    if args.json {
        let json = json!({ "path": path.to_string(), "step": exported.step, "sha256": exported.sha256 });
        print_data(&format!("{json}\n"))?;
    } else {
        print(&format!("{path}: {} at step {}, for PyTorch (safetensors)\n", config.model.name, exported.step))?;
    }
    Ok(Exit::Done)
}
