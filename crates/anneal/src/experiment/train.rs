//! Training a configuration into a run folder.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use burn::train::metric::AccuracyMetric;
use trainer::{
    Callback, CallbackError, FitReport, RunInfo, StopReason, Trainer,
    callbacks::Progress,
    checkpoint::{self, Checkpoint, CheckpointError},
};

use super::{
    Assembly, FinderResult,
    auto_lr::{SaveSweep, with_found_rates},
    environment::Environment,
    loggers, page,
    summary::Summary,
    weights,
};
use crate::{
    config::Config,
    error::Error,
    run_dir::{CHECKPOINTS, CONFIG, Existing, RunDir, RunDirError, SUMMARY},
};

/// How a run is started.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// The run folder; by default the next free one below `[run] out_dir`.
    pub out: Option<PathBuf>,
    /// What to do where it holds a run.
    pub existing: Existing,
    /// No progress.
    pub quiet: bool,
    /// Set to end the run in order.
    pub interrupt: Arc<AtomicBool>,
    /// Called with the finder's result for a rate that is `"auto"`, before the training starts.
    pub announce: Option<fn(&FinderResult)>,
}

/// A run that has ended.
#[derive(Debug)]
pub struct TrainOutcome {
    /// Where it is.
    pub dir: RunDir,
    /// Its result.
    pub summary: Summary,
    /// The trainer's figures.
    pub report: FitReport,
}

/// Trains, evaluates on the test set, draws the plots and writes the summary.
pub fn train(config: &Config, options: &TrainOptions) -> Result<TrainOutcome, Error> {
    let config = &config.pinned().map_err(Error::Pretrained)?;
    // Lightning's `fast_dev_run` leaves no logs and no checkpoints.
    let is_trial = config.train.fast_dev_run.is_some();
    let existing = options.existing;
    let dir = match &options.out {
        Some(path) => RunDir::at(path, existing),
        None => RunDir::numbered(&config.run.out_dir, &config.run.name, existing),
    };
    let dir = match dir {
        // Killed before it wrote anything, or never started: resuming means starting.
        Err(RunDirError::NoRun(path)) => {
            tracing::warn!("{}: holds no run yet; starting it", path.display());
            RunDir::at(&path, Existing::Refuse)?
        }
        other => other?,
    };
    let resumed = if existing == Existing::Resume { newest(&dir)? } else { None };
    let (config, found) = with_found_rates(config, resumed.is_some().then_some(&dir))?;
    if let (Some(announce), Some(found)) = (options.announce, &found) {
        announce(found);
    }
    let config = &config;
    let assembly = Assembly::new(config)?;
    // A checkpoint replaces every weight; only a fresh start needs the pretrained ones.
    let model = if resumed.is_some() { assembly.model()? } else { assembly.initial_model()? };
    let (optimizer, schedules) = (assembly.optimizer(), assembly.schedules());
    trainer::check_start(&model, &optimizer, &config.train.freeze)?;
    let (train, valid) = (assembly.train_loader()?, assembly.valid_loader()?);
    let mut trainer = Trainer::new(assembly.train_config(Some(&dir)))
        .metric(AccuracyMetric::new())
        .interrupt(Arc::clone(&options.interrupt));
    if resumed.is_none() {
        dir.prepare()?;
    }
    if !options.quiet {
        trainer = trainer.callback(Progress::new());
    }
    let text = resolved(config);
    trainer =
        trainer.callback(ResolvedConfig { dir: dir.clone(), text: text.clone() }).callback(SaveSweep::new(&dir, found));
    if !is_trial {
        trainer = trainer
            .callback(Environment { dir: dir.clone(), device: config.run.device.to_string() })
            .callback(loggers::of(config, &dir, &text));
    }
    if let Some(checkpoint) = resumed {
        trainer = trainer.resume(checkpoint);
    }

    let valid = valid.as_ref().map(|loader| loader as &dyn trainer::data::Source<_>);
    let fitted = match trainer.fit(model, optimizer, schedules, &train, valid) {
        Ok(fitted) => fitted,
        Err(error) => {
            if !is_trial {
                page::write_what_there_is(&dir);
            }
            return Err(error.into());
        }
    };
    let test = match fitted.report.stopped {
        StopReason::Interrupted => None,
        _ => Some(trainer::evaluate(fitted.eval_model(), &assembly.test_loader()?, AccuracyMetric::new())?),
    };
    let summary = Summary::new(config, &assembly, &fitted.report, test);
    dir.write(SUMMARY, &summary.to_json())?;
    if !is_trial {
        weights::keep(config, &dir, fitted.eval_model(), fitted.report.steps)?;
        page::write(&dir)?;
    }
    Ok(TrainOutcome { dir, summary, report: fitted.report })
}

/// The checkpoint to resume from; `None` where the run has written none and starts over. If all checkpoints are damaged
/// that is an error: starting over would remove them.
fn newest(dir: &RunDir) -> Result<Option<Checkpoint>, Error> {
    match checkpoint::newest(&dir.path(CHECKPOINTS)) {
        Ok(found) => Ok(Some(weights::accepted(found))),
        Err(CheckpointError::None { directory, skipped }) if skipped.is_empty() => {
            tracing::warn!("{}: no checkpoint yet; the run starts from its beginning", directory.display());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The mean loss and accuracy of a run's newest checkpoint on the test set.
pub(crate) fn evaluate(config: &Config, dir: &RunDir) -> Result<std::collections::BTreeMap<String, f64>, Error> {
    let assembly = Assembly::new(config)?;
    let checkpoint = weights::accepted(checkpoint::newest(&dir.path(CHECKPOINTS))?);
    let model = weights::evaluated(config, &assembly, &checkpoint)?;
    Ok(trainer::evaluate(&model, &assembly.test_loader()?, AccuracyMetric::new())?)
}

/// Writes `config.toml` once the run has started, so that a refused resume does not replace the run's own.
struct ResolvedConfig {
    dir: RunDir,
    text: String,
}

impl Callback for ResolvedConfig {
    fn name(&self) -> &'static str {
        CONFIG
    }

    fn on_start(&mut self, _run: &RunInfo) -> Result<(), CallbackError> {
        self.dir
            .write(CONFIG, &self.text)
            .map_err(|error| CallbackError { callback: CONFIG.to_owned(), source: error.into() })
    }
}

/// The configuration with every setting explicit, as it ran.
fn resolved(config: &Config) -> String {
    let header = "# Everything that ran, every default made explicit. `anneal train` takes this file as it is.\n\n";
    // A table of plain values always has a TOML form.
    format!("{header}{}", toml::to_string(&config.to_table()).unwrap_or_default())
}
