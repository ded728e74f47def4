//! Training a configuration into a run folder.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use strict_config::ConfigError;
use trainer::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, FitReport, Flow, RunInfo, Split, StopReason, TrainError,
    callbacks::Progress,
    checkpoint::{Checkpoint, CheckpointError},
};

use super::{
    Assembly, FinderResult,
    auto_lr::{SaveSweep, with_found_rates},
    environment::Environment,
    loggers, outputs, page,
    summary::{Failure, Summary, summary_of, units},
    weights::{self, CheckpointChoice},
};
use crate::{
    config::{self, Catalog, Config, Document, Origin},
    error::Error,
    job::{Job, Order},
    run_dir::{CONFIG, Claim, Existing, FolderKind, PREPROCESSING, REPORT, RunDir, RunDirError, SUMMARY, io_error},
    task::{FitPlan, Prediction, Sampling, TaskError},
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
    /// The processes that train together; by default this one alone.
    pub job: Job,
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
    options.job.check(config)?;
    // Lightning's `fast_dev_run` leaves no logs and no checkpoints.
    let is_trial = config.train.fast_dev_run.is_some();
    let existing = options.existing;
    let claim = match &options.out {
        Some(path) => Claim::at(path, existing, FolderKind::Run),
        None => Claim::numbered(&config.run.out_dir, &config.run.name, existing, FolderKind::Run),
    }?;
    let dir = RunDir::new(claim.folder());
    if existing == Existing::Resume && !claim.is_held() {
        // Killed before it wrote anything, or never started: resuming means starting.
        tracing::warn!("{}: holds no run yet; starting it", dir.root().display());
    }
    let resumed = if existing == Existing::Resume && claim.is_held() { newest(&dir)? } else { None };
    let (config, found) =
        with_found_rates(config, resumed.is_some().then_some(&dir), &options.interrupt, options.quiet)?;
    if let (Some(announce), Some(found)) = (options.announce, &found) {
        announce(found);
    }
    let config = &config;
    let assembly = Assembly::new(config)?;
    // A checkpoint replaces every weight; only a fresh start needs the pretrained ones.
    let learner = if resumed.is_some() { assembly.fresh()? } else { assembly.initial()? };
    let (optimizer, schedules) = (assembly.optimizer(), assembly.schedules());
    assembly.check_start(&learner)?;
    let parameters = learner.parameters();
    let mut settings = assembly.train_config(Some(&dir));
    if let Some(checkpoint) = &resumed {
        settings.fingerprint = config.fingerprint_beside(&checkpoint.state().config);
    }
    let anchored = config.anchored().map_err(|source| Error::File { path: ".".to_owned(), source })?;
    let text = resolved(&anchored);
    let started = Arc::new(AtomicBool::new(false));
    let folder = Folder {
        dir: dir.clone(),
        name: config.run.name.clone(),
        text: text.clone(),
        kept: assembly.to_keep(),
        is_resumed: resumed.is_some(),
        started: Arc::clone(&started),
        settled_by: None,
    };
    // The folder is first: what the others write belongs to the run that has begun.
    let mut callbacks: Vec<Box<dyn Callback>> = vec![Box::new(folder), Box::new(SaveSweep::new(&dir, found))];
    if !options.quiet {
        callbacks.push(Box::new(Progress::new()));
    }
    if !is_trial {
        callbacks.push(Box::new(Environment::new(dir.clone(), config.run.device.to_string())));
        callbacks.push(Box::new(loggers::of(config, &dir, &text)));
    }
    callbacks.push(Box::new(config.catalog().callbacks(config)));
    options.job.order(|| Order {
        config: text,
        fingerprint: settings.fingerprint.clone(),
        dir: dir.root().to_owned(),
        is_resumed: resumed.is_some(),
    })?;
    let (interrupt, ranks) = (Arc::clone(&options.interrupt), options.job.ranks());
    let on_show = (!is_trial).then(|| outputs::keeper(&dir));
    let plan = FitPlan { settings, optimizer, schedules, callbacks, interrupt, resume: resumed, on_show, ranks };
    let (report, learner) = match learner.fit(plan) {
        Ok(fitted) => fitted,
        Err(error) => {
            options.job.has_failed(&error);
            // A refused run leaves everything as it was.
            if !is_trial && started.load(Ordering::Relaxed) {
                page::write_what_there_is(&dir, config.catalog(), |log| {
                    let TaskError::Train(error) = &error else { return None };
                    let failure = Failure::of(error, log.last())?;
                    Some(Summary::of_failure(config, &assembly, parameters, failure))
                });
                tell_of_replaced(&dir);
            }
            return Err(match error {
                TaskError::Train(TrainError::Setting(error)) if ["epochs", "steps"].contains(&error.path.as_str()) => {
                    error.within("train").into()
                }
                TaskError::Train(TrainError::Callback(error)) => of_callback(error),
                error => error.into(),
            });
        }
    };
    if let Some(mut summary) = ended_before(&dir, &report) {
        summary.units = units(config);
        if !is_trial && !dir.path(trainer::weights::FILE).exists() {
            weights::keep(config, &dir, &learner, report.steps)?;
        }
        if !is_trial && !dir.path(REPORT).exists() {
            page::write(&dir, config.catalog())?;
        }
        return Ok(TrainOutcome { dir, summary, report });
    }
    let test = match report.stopped {
        StopReason::Interrupted => None,
        _ => Some(learner.test()?),
    };
    let summary = Summary::new(config, &assembly, &report, test);
    dir.write(SUMMARY, &summary.to_json())?;
    if !is_trial {
        weights::keep(config, &dir, &learner, report.steps)?;
        outputs::add(&dir, report.steps, learner.show()?)?;
        page::write(&dir, config.catalog())?;
    } else if options.out.is_none() && existing == Existing::Refuse {
        // A trial that was given no folder leaves none. This one did not exist before.
        fs::remove_dir_all(dir.root()).map_err(|source| io_error(dir.root(), "remove it", source))?;
    }
    Ok(TrainOutcome { dir, summary, report })
}

/// Trains what process 0 trains, as another process of its job: without a run folder and without a word.
pub(crate) fn follow(order: &Order, job: &Job, catalog: &Catalog, interrupt: &Arc<AtomicBool>) -> Result<(), Error> {
    let document = Document::parse(Origin::File(order.dir.join(CONFIG)), order.config.clone())?;
    let config = Config::from_document(&document, catalog)?;
    let assembly = Assembly::new(&config)?;
    let learner = if order.is_resumed { assembly.fresh()? } else { assembly.initial()? };
    let mut settings = assembly.train_config(Some(&RunDir::new(&order.dir)));
    settings.fingerprint.clone_from(&order.fingerprint);
    let plan = FitPlan {
        settings,
        optimizer: assembly.optimizer(),
        schedules: assembly.schedules(),
        callbacks: Vec::new(),
        interrupt: Arc::clone(interrupt),
        resume: None,
        on_show: None,
        ranks: job.ranks(),
    };
    learner.fit(plan)?;
    Ok(())
}

/// The summary of a run that had ended before this process resumed it, and so has nothing to add to it.
fn ended_before(dir: &RunDir, report: &FitReport) -> Option<Summary> {
    let summary = summary_of(dir).filter(|summary| summary.failure.is_none())?;
    let has_ended = summary.stopped != StopReason::Interrupted && report.stopped != StopReason::Interrupted;
    (has_ended && report.resumed_from == Some(report.steps) && summary.steps == report.steps).then_some(summary)
}

/// The checkpoint to resume from; `None` where the run has written none and starts over.
///
/// # Errors
/// Where starting over would lose something: all checkpoints are damaged, or the run has ended and its checkpoints are
/// elsewhere.
fn newest(dir: &RunDir) -> Result<Option<Checkpoint>, Error> {
    // What a run has left that failed before its first checkpoint is nothing to lose.
    let has_failed = summary_of(dir).is_some_and(|summary| summary.failure.is_some());
    match weights::newest(dir) {
        Ok(found) => Ok(Some(weights::accepted(found))),
        Err(CheckpointError::None { directory, skipped }) if skipped.is_empty() => {
            let work = dir.finished_work();
            if !work.is_empty() && !has_failed {
                return Err(RunDirError::NothingToResume { path: dir.root().to_owned(), work }.into());
            }
            tracing::warn!("{}: no checkpoint yet; the run starts from its beginning", directory.display());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The mean loss and the metrics of a run's newest checkpoint on the test set.
pub(crate) fn evaluate(config: &Config, dir: &RunDir) -> Result<std::collections::BTreeMap<String, f64>, Error> {
    let assembly = Assembly::new(config)?;
    if assembly.items(Split::Test) == 0 {
        let message = format!("{}: there is nothing to test on", assembly.description());
        return Err(ConfigError::conflict("data.dataset", message).into());
    }
    let checkpoint = weights::accepted(weights::newest(dir)?);
    Ok(assembly.kept(&checkpoint)?.test()?)
}

/// What the model of one of a run's checkpoints says of inputs, in the order of the inputs.
pub(crate) fn predict(
    config: &Config,
    dir: &RunDir,
    which: CheckpointChoice,
    inputs: &[String],
) -> Result<Vec<Prediction>, Error> {
    weights::learned(config, dir, which)?.1.predict(inputs).map_err(Error::Asked)
}

/// Text that the model of one of a run's checkpoints writes.
pub(crate) fn sample(
    config: &Config,
    dir: &RunDir,
    which: CheckpointChoice,
    asked: &Sampling,
) -> Result<String, Error> {
    weights::learned(config, dir, which)?.1.sample(asked).map_err(Error::Asked)
}

/// The run folder: begun or gone on with once the run has started, so that a refused run leaves it as it was; and without
/// the run that this one replaces once there is a checkpoint.
struct Folder {
    dir: RunDir,
    name: String,
    /// The resolved configuration.
    text: String,
    /// What it keeps of the task.
    kept: Option<String>,
    is_resumed: bool,
    /// Set when the run has started.
    started: Arc<AtomicBool>,
    /// The first checkpoint that was written in turn: with it the run that this one replaces may go.
    settled_by: Option<u64>,
}

impl Folder {
    fn start(&self) -> Result<(), RunDirError> {
        let root = self.dir.root().display();
        if !self.is_resumed {
            if let Some(moved) = self.dir.begin(&self.name, &self.text)? {
                tracing::warn!("{root}: starting over; removed once there is a checkpoint: {moved}");
            }
            return self.keep();
        }
        self.dir.go_on(&self.name)?;
        let path = self.dir.path(CONFIG);
        let there = report::read_regular_text(&path).unwrap_or_default();
        match config::with_settings(&there, &self.text) {
            // What its owner has written beside the settings stays.
            Some(text) if text == there => {}
            Some(text) => self.dir.write(CONFIG, &text)?,
            None => {
                let kept = report::keep_aside(&path).map_err(|source| io_error(&path, "keep it aside", source))?;
                tracing::warn!(
                    "{}: it is written again, and the old one is kept as {}",
                    path.display(),
                    kept.display()
                );
                self.dir.write(CONFIG, &self.text)?;
            }
        }
        self.keep()?;
        self.settle()
    }

    fn keep(&self) -> Result<(), RunDirError> {
        self.kept.iter().try_for_each(|kept| self.dir.write(PREPROCESSING, kept))
    }

    fn settle(&self) -> Result<(), RunDirError> {
        self.settled_by.map_or(Ok(()), |step| self.dir.settle(step))
    }
}

impl Callback for Folder {
    fn name(&self) -> &'static str {
        "run folder"
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.settled_by = run.saved_in_turn.then_some(run.steps_done);
        self.start().map_err(|error| CallbackError::new(self.name(), error))?;
        self.started.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn on_epoch(&mut self, _event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.settle().map(|()| Flow::Continue).map_err(|error| CallbackError::new(self.name(), error))
    }

    fn on_checkpoint(&mut self, event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        // This one is not there yet.
        let settled = self.settle().map_err(|error| CallbackError::new(self.name(), error));
        if event.in_turn {
            self.settled_by.get_or_insert(event.step);
        }
        settled
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.settle().map_err(|error| CallbackError::new(self.name(), error))?;
        tell_of_replaced(&self.dir);
        Ok(())
    }
}

/// An error of the run folder is returned as such, not as one of the callback that met it.
fn of_callback(error: CallbackError) -> Error {
    let CallbackError { callback, source } = error;
    match source.downcast::<RunDirError>() {
        Ok(error) => (*error).into(),
        Err(source) => TrainError::Callback(CallbackError { callback, source }).into(),
    }
}

/// Says where the runs wait that this one was to replace.
fn tell_of_replaced(dir: &RunDir) {
    for run in dir.replaced() {
        tracing::warn!(
            "{}: the previous run is kept there until this one has written a checkpoint that was due",
            run.display()
        );
    }
}

/// The configuration with every setting explicit, as it ran.
fn resolved(config: &Config) -> String {
    let header = "# Everything that ran, every default made explicit. `anneal train` takes this file as it is.\n\n";
    // A table of plain values always has a TOML form.
    format!("{header}{}", toml::to_string(&config.to_table()).unwrap_or_default())
}
