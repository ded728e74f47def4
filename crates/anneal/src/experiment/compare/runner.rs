//! One run of a comparison: trained, resumed, or left as it ended before.

use std::{
    io::IsTerminal,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lr_core::Interval;
use study::{Run, RunLog, RunStatus};
use trainer::{Split, StopReason, TrainError};

use super::{folder::Folder, request::CompareOptions};
use crate::{
    config::{Catalog, Config},
    error::Error,
    experiment::{RunRecord, TrainOptions, plots::rates, train},
    run_dir::{Existing, FAILURE, RunDir, SUMMARY, io_error},
};

/// Trains the runs of a comparison one after the other.
pub(super) struct Runner<'a> {
    folder: &'a Folder,
    options: &'a CompareOptions,
    first_seed: u64,
    done: usize,
    total: usize,
    dataset: Option<String>,
}

impl<'a> Runner<'a> {
    /// For so many runs in this folder.
    pub(super) fn new(folder: &'a Folder, options: &'a CompareOptions, first_seed: u64, total: usize) -> Self {
        Self { folder, options, first_seed, done: 0, total, dataset: None }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt().load(Ordering::Relaxed)
    }

    /// Set where the comparison is to end.
    pub(super) fn interrupt(&self) -> &Arc<AtomicBool> {
        &self.options.interrupt
    }

    pub(super) fn quiet(&self) -> bool {
        self.options.quiet
    }

    pub(super) fn say(&self, text: &str) {
        if let Some(announce) = self.options.announce {
            announce(text);
        }
    }

    /// Trains a configuration into the folder `name` of the comparison, with a seed (by default the first), unless it has
    /// ended there before or the comparison is interrupted.
    ///
    /// # Errors
    /// A run that cannot be read; one that fails other than by numbers that are not finite.
    pub(super) fn run(&mut self, mut config: Config, name: String, seed: Option<u64>) -> Result<Run, Error> {
        let dir = self.folder.path().join(&name);
        let seed = seed.unwrap_or(self.first_seed);
        config.run.seed = seed;
        config.run.name = name.replace('/', " ");
        self.done += 1;
        let place = format!("[{}/{}] {name}", self.done, self.total);
        let (state, error) = match ended_before(&dir, config.catalog())? {
            Some(ended) => ended,
            None if self.is_interrupted() => (RunStatus::Missing, None),
            None => {
                self.say(&place);
                self.train(&config, &dir).map_err(|error| error.within(&name))?
            }
        };
        if state == RunStatus::Missing {
            return Ok(Run::new(seed, name, state, None, RunLog::default()));
        }
        let record = RunRecord::read(&dir, config.catalog())?;
        let own = Config::from_table(&record.config.1, config.catalog())?.train;
        if (own.epochs, own.steps) != (config.train.epochs, config.train.steps) {
            let what = "has been trained for another length since: this comparison cannot take it; remove its folder, and it \
                        is trained again";
            return Err(Error::Usage(format!("{}: {what}", dir.display())));
        }
        self.dataset = record.summary.as_ref().map(|summary| summary.dataset.clone()).or(self.dataset.take());
        let run = Run::new(seed, name, state, error, log(&record));
        self.say(&format!("{place}: {}", result(&run)));
        Ok(run)
    }

    /// The data set as the runs name it; `None` before one has finished.
    pub(super) fn dataset(&self) -> Option<&str> {
        self.dataset.as_deref()
    }

    fn train(&self, config: &Config, dir: &Path) -> Result<(RunStatus, Option<String>), Error> {
        let options = TrainOptions {
            out: Some(dir.to_owned()),
            existing: if RunDir::holds_run(dir) { Existing::Resume } else { Existing::Refuse },
            // Off a terminal there would be a line for every epoch of every run.
            quiet: self.options.quiet || !std::io::stderr().is_terminal(),
            interrupt: Arc::clone(&self.options.interrupt),
            announce: None,
            job: self.options.job.clone(),
        };
        match train(config, &options) {
            Ok(outcome) if outcome.report.stopped == StopReason::Interrupted => Ok((RunStatus::Interrupted, None)),
            Ok(_) => Ok((RunStatus::Finished, None)),
            Err(Error::Train(error)) if has_diverged(&error) => {
                let message = error.to_string();
                // So that a resumption does not try it again.
                RunDir::open(dir)?.write(FAILURE, &format!("{message}\n"))?;
                Ok((RunStatus::Failed, Some(message)))
            }
            Err(error) => Err(error),
        }
    }
}

/// How a run in this folder ended, and why it failed; `None` where there is none, or one that can be resumed.
fn ended_before(dir: &Path, catalog: &Catalog) -> Result<Option<(RunStatus, Option<String>)>, Error> {
    if !RunDir::holds_run(dir) {
        return Ok(None);
    }
    let failure = dir.join(FAILURE);
    match report::read_regular_text(&failure) {
        Ok(text) => return Ok(Some((RunStatus::Failed, Some(text.trim().to_owned())))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(&failure, "read it", source).into()),
    }
    if !dir.join(SUMMARY).exists() {
        return Ok(None);
    }
    let summary = RunRecord::read(dir, catalog)?.summary;
    if let Some(failure) = summary.as_ref().and_then(|summary| summary.failure.as_ref()) {
        return Ok(Some((RunStatus::Failed, Some(failure.message.clone()))));
    }
    let is_over = summary.is_some_and(|summary| summary.stopped != StopReason::Interrupted);
    Ok(is_over.then_some((RunStatus::Finished, None)))
}

/// A failure that is due to the rate, not to the machine.
fn has_diverged(error: &TrainError) -> bool {
    matches!(
        error,
        TrainError::NonFinite { .. }
            | TrainError::NonFiniteGradient { .. }
            | TrainError::NonFiniteParameter { .. }
            | TrainError::UselessWeights { .. }
            | TrainError::TooManyRollbacks { .. }
            | TrainError::TooManySkips { .. }
    )
}

/// What a run has measured.
fn log(run: &RunRecord) -> RunLog {
    let summary = run.summary.as_ref();
    let rates = rates(run);
    let measure = run.measure();
    RunLog {
        lr: rates.lr,
        momentum: rates.momentum,
        seconds: run.of_steps(|line| Some(line.seconds)),
        train_loss: run.curve(Split::Train, Some(Interval::Step), "loss"),
        epoch_train_loss: run.curve(Split::Train, Some(Interval::Epoch), "loss"),
        valid_loss: run.curve(Split::Valid, None, "loss"),
        valid: run.curve(Split::Valid, None, &measure.name),
        steps: run.steps(),
        test: run.test(&measure.name),
        test_loss: run.test("loss"),
        total_seconds: summary.map(|summary| summary.elapsed),
        items_per_second: summary.map(|summary| summary.items_per_second),
        measure,
    }
}

/// The result of a run in a line.
fn result(run: &Run) -> String {
    let figure = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {}", run.log.measure.show(value)));
    let figures = [figure("test", run.test), figure("best valid", run.best_valid)];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    match (run.state, &run.error) {
        (RunStatus::Finished, _) if !figures.is_empty() => figures.join(", "),
        (state, Some(error)) => format!("{state}: {error}"),
        (state, None) => state.to_string(),
    }
}
