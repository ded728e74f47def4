//! What is to be compared, and how.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use study::RateChoice;

use crate::{config::Document, job::Job, run_dir::Existing};

/// What is to be compared.
#[derive(Debug, Clone)]
pub(crate) struct CompareRequest {
    /// CONFIG, with what the command line changed: model, data, length, and whatever a schedule file does not replace.
    pub base: Document,
    /// The schedule files.
    pub schedules: Vec<PathBuf>,
    /// One setting each, `key.path=value`: CONFIG with it takes part.
    pub variations: Vec<String>,
    /// CONFIG's own schedule takes part too. It does anyway where there are no files.
    pub with_config: bool,
    /// How many seeds: CONFIG's, and those after it.
    pub seeds: u64,
    /// At which rate each is trained.
    pub rates: RateChoice,
    /// The value on the validation set, of what runs are compared by, that the time is taken to; by default chosen from what
    /// was reached.
    pub target: Option<f64>,
}

/// How a comparison is run.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompareOptions {
    /// The folder; by default the next free `compare-NAME` below `[run] out_dir`.
    pub out: Option<PathBuf>,
    /// What to do where it holds a comparison.
    pub existing: Existing,
    /// No progress of the runs.
    pub quiet: bool,
    /// Set to end it in order: the current run is saved, the others are left for a resumption.
    pub interrupt: Arc<AtomicBool>,
    /// Called with a line of text as each run begins and ends.
    pub announce: Option<fn(&str)>,
    /// The processes that train together; by default this one alone.
    pub job: Job,
}
