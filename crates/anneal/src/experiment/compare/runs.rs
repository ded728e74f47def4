//! One run of a comparison: trained, gone on with, or left as it ended before.

use std::{io::IsTerminal, path::Path, sync::Arc};

use trainer::{StopReason, TrainError};

use super::CompareOptions;
use crate::{
    config::Config,
    error::Error,
    experiment::{RunRecord, TrainOptions, train as train_run},
    run_dir::{CONFIG, Existing, RunDir, SUMMARY, io_error},
};

/// Why a run failed, in its folder: so that a resumption does not try it once more.
pub(super) const FAILURE: &str = "failure.txt";

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It came to its end (also an early one, by early stopping or a time limit).
    Finished,
    /// Its numbers stopped being finite.
    Failed(String),
    /// It was interrupted and can be gone on with.
    Interrupted,
    /// It has not been started.
    Missing,
}

impl State {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed(_))
    }

    /// One word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
            Self::Missing => "missing",
        }
    }
}

/// How a run in this folder ended; `None` where there is none, or one that can be gone on with.
///
/// # Errors
/// A run that cannot be read.
pub(super) fn ended(dir: &Path) -> Result<Option<State>, Error> {
    if !dir.join(CONFIG).exists() {
        return Ok(None);
    }
    let failure = dir.join(FAILURE);
    match std::fs::read_to_string(&failure) {
        Ok(text) => return Ok(Some(State::Failed(text.trim().to_owned()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(&failure, "read it", source).into()),
    }
    if !dir.join(SUMMARY).exists() {
        return Ok(None);
    }
    let is_over = RunRecord::read(dir)?.ended.is_some_and(|ended| ended.stopped.kind != "interrupted");
    Ok(is_over.then_some(State::Finished))
}

/// Trains into this folder, or goes on with what is there.
pub(super) fn train(config: &Config, dir: &Path, options: &CompareOptions) -> Result<State, Error> {
    let existing = if dir.join(CONFIG).exists() { Existing::Resume } else { Existing::Refuse };
    let train_options = TrainOptions {
        out: Some(dir.to_owned()),
        existing,
        // Off a terminal there would be a line for every epoch of every run.
        quiet: options.quiet || !std::io::stderr().is_terminal(),
        interrupt: Arc::clone(&options.interrupt),
        announce: None,
    };
    match train_run(config, &train_options) {
        Ok(outcome) if outcome.report.stopped == StopReason::Interrupted => Ok(State::Interrupted),
        Ok(_) => Ok(State::Finished),
        Err(Error::Train(error)) if has_diverged(&error) => {
            let message = error.to_string();
            RunDir::at(dir, Existing::Resume)?.write(FAILURE, &format!("{message}\n"))?;
            Ok(State::Failed(message))
        }
        Err(error) => Err(error),
    }
}

/// A failure that says something of the rate, and nothing of the machine.
fn has_diverged(error: &TrainError) -> bool {
    matches!(
        error,
        TrainError::NonFinite { .. }
            | TrainError::NonFiniteGradient { .. }
            | TrainError::NonFiniteParameter { .. }
            | TrainError::TooManyRollbacks { .. }
    )
}

/// A run that has ended, in a line.
pub(super) fn describe(state: &State, record: Option<&RunRecord>) -> String {
    let figure = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value:.2} %"));
    match (state, record) {
        (State::Finished, Some(run)) => {
            let best = run.best("accuracy").map(|(_, value)| value);
            let parts = [figure("test", run.test("accuracy")), figure("best valid", best)];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            if parts.is_empty() { "finished".to_owned() } else { parts.join(", ") }
        }
        (State::Failed(message), _) => format!("failed: {message}"),
        (state, _) => state.name().to_owned(),
    }
}
