//! The weights that a run starts from and the weights that it leaves.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::module::Module;
use trainer::{
    Mode,
    checkpoint::{self, Checkpoint, CheckpointError},
    weights,
};
use vision::models::Classifier;

use super::Assembly;
use crate::{
    config::{Config, ModelSection},
    error::Error,
    run_dir::{CHECKPOINTS, RunDir},
};

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The newest valid one.
    #[default]
    Last,
    /// Among those that are kept, the best by the value that `[train] checkpoint.keep_best` names.
    Best,
    /// That of this step.
    Step(u64),
}

/// Weights that have been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where.
    pub path: PathBuf,
    /// The step they are of.
    pub step: u64,
    /// Of the file, in hexadecimal.
    pub sha256: String,
}

/// A fresh model with the section's pretrained weights put in, where it names any.
pub(super) fn pretrained(section: &ModelSection, model: Classifier) -> Result<Classifier, Error> {
    let Some(pretrained) = &section.pretrained else { return Ok(model) };
    let options = pretrained.options().map_err(|(_, error)| Error::Pretrained(error))?;
    let (model, loaded) = weights::load(model, &pretrained.path, &options).map_err(Error::Pretrained)?;
    tracing::info!("pretrained: {loaded}");
    Ok(model)
}

/// The model that a checkpoint answers with: the averaged or the restored weights where the run keeps such.
pub(super) fn evaluated(
    config: &Config,
    assembly: &Assembly<'_>,
    checkpoint: &Checkpoint,
) -> Result<Classifier, Error> {
    let (model, optimizer) = (assembly.model()?, assembly.optimizer());
    Ok(trainer::kept_model(checkpoint, model, optimizer, &assembly.train_loader()?, config.run.seed)?)
}

/// Writes the weights that a run has ended with into its folder, as `model.safetensors`.
pub(super) fn keep<M: Module>(config: &Config, dir: &RunDir, model: &M, step: u64) -> Result<(), Error> {
    Ok(weights::save_with(model, &dir.path(weights::FILE), &metadata(config, step))?)
}

/// Writes the weights of one of a run's checkpoints as safetensors, to `to` or into the run folder: those that
/// `evaluate` would measure.
///
/// # Errors
/// No such checkpoint, a damaged one; a file that cannot be written.
pub fn export(config: &Config, dir: &RunDir, which: Which, to: Option<&Path>) -> Result<Exported, Error> {
    let assembly = Assembly::new(config)?;
    let checkpoints = dir.path(CHECKPOINTS);
    let checkpoint = match which {
        Which::Last => checkpoint::newest(&checkpoints)?.checkpoint,
        Which::Best => best(config, &checkpoints)?,
        Which::Step(step) => of_step(&checkpoints, step)?,
    };
    let step = checkpoint.state().step;
    let path = to.map_or_else(|| dir.path(weights::FILE), Path::to_owned);
    weights::save_with(&evaluated(config, &assembly, &checkpoint)?, &path, &metadata(config, step))?;
    let sha256 = weights::sha256(&path)?;
    Ok(Exported { path, step, sha256 })
}

fn metadata(config: &Config, step: u64) -> BTreeMap<String, String> {
    let entries =
        [("model", config.model.name.clone()), ("dataset", config.data.dataset.clone()), ("step", step.to_string())];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_step(checkpoints: &Path, step: u64) -> Result<Checkpoint, Error> {
    let path = checkpoints.join(format!("step-{step:08}"));
    if path.is_dir() {
        return Ok(checkpoint::open(&path)?);
    }
    let steps: Vec<String> = valid(checkpoints)?.iter().map(|found| found.state().step.to_string()).collect();
    let there = if steps.is_empty() { "none".to_owned() } else { steps.join(", ") };
    Err(Error::Usage(format!("{}: no checkpoint of step {step} (there: {there})", checkpoints.display())))
}

/// The best checkpoint by the monitored value; the newer of two that are equal.
fn best(config: &Config, checkpoints: &Path) -> Result<Checkpoint, Error> {
    let policy = config.train.checkpoint.as_ref().filter(|policy| !policy.keep_best.is_empty());
    let Some(policy) = policy else {
        let what = "--best: this run kept no best checkpoint (train.checkpoint.keep_best); use --last or --step";
        return Err(Error::Usage(what.to_owned()));
    };
    let found = valid(checkpoints)?;
    let skipped = found.iter().map(|found| format!("step {}: no {}", found.state().step, policy.keep_best)).collect();
    let worth = |value: f64| if policy.mode == Mode::Max { value } else { -value };
    found
        .into_iter()
        .filter_map(|found| Some((worth(*found.values().get(&policy.keep_best)?), found)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, found)| found)
        .ok_or(Error::Checkpoint(CheckpointError::None { directory: checkpoints.to_owned(), skipped }))
}

/// The valid checkpoints of a run, oldest first.
fn valid(checkpoints: &Path) -> Result<Vec<Checkpoint>, Error> {
    let refused = |source| Error::File { path: checkpoints.display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let is_checkpoint = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-"));
        match is_checkpoint.then(|| checkpoint::open(&path)) {
            Some(Ok(checkpoint)) => found.push(checkpoint),
            Some(Err(error)) => tracing::warn!("passed over a checkpoint: {error}"),
            None => {}
        }
    }
    found.sort_by_key(|checkpoint| checkpoint.state().step);
    Ok(found)
}
