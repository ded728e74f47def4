//! `anneal export`.

use serde_json::json;

use super::{Ended, args::ExportArgs, print, train::of_run};
use crate::{
    error::Error,
    experiment::{self, Which},
    run_dir::{Existing, RunDir},
};

pub(super) fn export(args: &ExportArgs) -> Result<Ended, Error> {
    let config = of_run(&args.run_dir, None, Vec::new())?;
    let dir = RunDir::at(&args.run_dir, Existing::Resume)?;
    let which = match (args.step, args.best) {
        (Some(step), _) => Which::Step(step),
        (None, true) => Which::Best,
        (None, false) => Which::Last,
    };
    let exported = experiment::export(&config, &dir, which, args.to.as_deref())?;
    let path = exported.path.display();
    print(&if args.json {
        format!("{}\n", json!({ "path": path.to_string(), "step": exported.step, "sha256": exported.sha256 }))
    } else {
        format!("{path}: {} at step {}, for PyTorch (safetensors)\n", config.model.name, exported.step)
    })?;
    Ok(Ended::Well)
}
