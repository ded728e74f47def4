//! The weights that a run starts from and the weights that it leaves.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use trainer::{
    TrainError,
    checkpoint::{self, Checkpoint, CheckpointError, Found},
    weights,
};

use super::{Assembly, summary::summary_of};
use crate::{
    config::Config,
    error::Error,
    run_dir::{CHECKPOINTS, KEPT, RunDir},
    task::Learner,
};

/// One of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CheckpointChoice {
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
pub(crate) struct ExportedWeights {
    /// The file.
    pub path: PathBuf,
    /// The checkpoint's step.
    pub step: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Writes the final weights of a run into its folder, as `model.safetensors`.
pub(super) fn keep(config: &Config, dir: &RunDir, learner: &Learner, step: u64) -> Result<(), Error> {
    Ok(learner.save(&dir.path(weights::FILE), &metadata(config, learner, step))?)
}

/// Writes the weights of one of a run's checkpoints as safetensors, to `to` or into the run folder: those that
/// `evaluate` would measure.
///
/// # Errors
/// No such checkpoint, a damaged one; a file that cannot be written.
pub(crate) fn export(
    config: &Config,
    dir: &RunDir,
    which: CheckpointChoice,
    to: Option<&Path>,
) -> Result<ExportedWeights, Error> {
    let (step, learner) = learned(config, dir, which)?;
    let path = to.map_or_else(|| dir.path(weights::FILE), Path::to_owned);
    learner.save(&path, &metadata(config, &learner, step))?;
    let sha256 = weights::sha256(&path)?;
    Ok(ExportedWeights { path, step, sha256 })
}

/// The network of one of a run's checkpoints, and its step. What the run has kept of its task is enough, where it has.
///
/// # Errors
/// No such checkpoint, a damaged one, one of other data.
pub(super) fn learned(config: &Config, dir: &RunDir, which: CheckpointChoice) -> Result<(u64, Learner), Error> {
    let assembly = Assembly::to_use(config, dir)?;
    let checkpoint = chosen(config, dir, which)?;
    let learner = match assembly.kept(&checkpoint) {
        // Batch norm's statistics at averaged weights are measured on the data that were trained on.
        Err(Error::Train(TrainError::NoData(_))) => Assembly::new(config)?.kept(&checkpoint),
        learner => learner,
    };
    Ok((checkpoint.state().step, learner?))
}

/// The checkpoint of a run that is asked for.
fn chosen(config: &Config, dir: &RunDir, which: CheckpointChoice) -> Result<Checkpoint, Error> {
    let checkpoints = dir.path(CHECKPOINTS);
    match which {
        CheckpointChoice::Last => Ok(accepted(newest(dir)?)),
        CheckpointChoice::Best => best(config, &checkpoints),
        CheckpointChoice::Step(step) => of_step(&checkpoints, step),
    }
}

/// The newest valid checkpoint of a run; of one that has failed by its numbers, the newest whose weights are good.
pub(super) fn newest(dir: &RunDir) -> Result<Found, CheckpointError> {
    let has_failed = summary_of(dir).is_some_and(|summary| summary.failure.is_some());
    let newest = if has_failed { checkpoint::newest_good } else { checkpoint::newest };
    newest(&dir.path(CHECKPOINTS))
}

/// The most bytes of what a run has kept of its task that go into a file of weights: who reads those reads its header whole.
const MOST_KEPT: usize = 1 << 20;

fn metadata(config: &Config, learner: &Learner, step: u64) -> BTreeMap<String, String> {
    let entries =
        [("model", config.model.name.clone()), ("dataset", config.data.dataset.clone()), ("step", step.to_string())];
    let kept = learner.of_task().filter(|kept| kept.len() <= MOST_KEPT).map(|kept| (KEPT, kept));
    entries.into_iter().chain(kept).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_step(checkpoints: &Path, step: u64) -> Result<Checkpoint, Error> {
    let path = checkpoint::path_of(checkpoints, step);
    if path.is_dir() {
        return Ok(checkpoint::open(&path)?);
    }
    let steps: Vec<String> = checkpoint::steps(checkpoints)?.iter().map(ToString::to_string).collect();
    let there = if steps.is_empty() { "none".to_owned() } else { steps.join(", ") };
    Err(Error::Usage(format!("{}: no checkpoint of step {step} (there: {there})", checkpoints.display())))
}

/// The best checkpoint by the value that the configuration monitors.
fn best(config: &Config, checkpoints: &Path) -> Result<Checkpoint, Error> {
    let policy = config.train.checkpoint.as_ref().filter(|policy| !policy.keep_best.is_empty()).ok_or_else(|| {
        let what = "--best: this run kept no best checkpoint (train.checkpoint.keep_best); use --last or --step";
        Error::Usage(what.to_owned())
    })?;
    Ok(accepted(checkpoint::best(checkpoints, policy)?))
}

/// The checkpoint that was found; those passed over are logged.
pub(super) fn accepted(found: Found) -> Checkpoint {
    for error in found.passed_over {
        tracing::warn!("passed over a checkpoint: {error}");
    }
    found.checkpoint
}
