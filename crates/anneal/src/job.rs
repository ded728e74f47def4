//! Several processes as one command: process 0 runs it, and the others follow it.
//!
//! A process that follows does nothing but train what process 0 is about to train, with the configuration that it is sent.
//! So whatever a command does besides (read its arguments, write, draw, ask the terminal, search for a rate, compare) is
//! done once, and any command can be started as several processes.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;
use trainer::{
    TrainError,
    ranks::{Alone, CommunicationError, Communicator},
};

use crate::{
    config::{Catalog, Config},
    error::Error,
    experiment,
    task::TaskError,
};

/// The processes that this one belongs to; by default it is alone.
#[derive(Clone)]
pub struct Job {
    ranks: Arc<dyn Communicator>,
    /// Whether a training has failed on process 0 in a way that leaves the others waiting in it.
    is_stuck: Arc<AtomicBool>,
}

impl Default for Job {
    fn default() -> Self {
        Self::new(Arc::new(Alone))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.ranks.rank(), self.ranks.size())
    }
}

/// What the others are to train.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The configuration as TOML, every rate a number, every path absolute.
    pub(crate) config: String,
    /// Its fingerprint, which a resumed run may keep from before.
    pub(crate) fingerprint: String,
    /// The run folder, which process 0 alone writes to.
    pub(crate) dir: PathBuf,
    /// Whether the run goes on from a checkpoint, which process 0 sends.
    pub(crate) is_resumed: bool,
}

impl Job {
    /// One of these.
    pub fn new(ranks: Arc<dyn Communicator>) -> Self {
        Self { ranks, is_stuck: Arc::default() }
    }

    /// The processes, for a [`Trainer`](trainer::Trainer).
    pub fn ranks(&self) -> Arc<dyn Communicator> {
        Arc::clone(&self.ranks)
    }

    /// Refuses a step that cannot be shared, and says which can: those of as many items.
    ///
    /// # Errors
    /// An `accumulate` that is no multiple of the number of processes.
    pub(crate) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let (size, accumulate, batch) = (self.ranks.size(), config.train.accumulate.max(1), config.data.batch_size);
        if accumulate.is_multiple_of(size) {
            return Ok(());
        }
        let items = batch.saturating_mul(accumulate);
        // A look at so many is enough for a person.
        let multiples = (size..=items).step_by(size).take(1 << 16);
        let pairs = multiples.filter(|accumulate| items.is_multiple_of(*accumulate)).take(6);
        let pairs: Vec<String> =
            pairs.map(|accumulate| format!("batch_size {} with accumulate {accumulate}", items / accumulate)).collect();
        let same = match pairs.as_slice() {
            [] => format!("no batch of equal parts holds the {items} items that a step has now"),
            pairs => format!("of the {items} items that a step has now: {}", pairs.join(", ")),
        };
        let allowed = format!(
            "a multiple of {size}, the number of processes, each of which takes as many batches of a step; {same}"
        );
        Err(ConfigError::not_allowed("train.accumulate", accumulate, allowed))
    }

    /// Has the others train with this one, which is about to.
    pub(crate) fn order(&self, order: impl FnOnce() -> Order) -> Result<(), TrainError> {
        if self.ranks.size() > 1 {
            // Texts and a path always have a form.
            self.ranks.broadcast(serde_json::to_vec(&order()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Takes note of a training that has failed on process 0.
    pub(crate) fn has_failed(&self, error: &TaskError) {
        if !matches!(error, TaskError::Train(error) if error.is_of_all_ranks()) {
            self.is_stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Runs a command on process 0, and follows it on the others until it has ended, or `interrupt` is set. Gives the exit
    /// code, and why the job must be ended where others are left waiting.
    pub(crate) fn run(
        &self,
        catalog: &Catalog,
        interrupt: impl FnOnce() -> Arc<AtomicBool>,
        command: impl FnOnce() -> u8,
    ) -> (u8, Option<String>) {
        if self.ranks.rank() != 0 {
            return match follow(self, catalog, &interrupt()) {
                Ok(()) => (0, None),
                Err(error) => (error.exit_code(), Some(error.to_string())),
            };
        }
        let code = command();
        if self.is_stuck.load(Ordering::Relaxed) {
            return (code, Some("it has ended the job, for the reason above".to_owned()));
        }
        // The end: nothing more to train.
        match self.ranks.broadcast(Vec::new()) {
            Ok(_) => (code, None),
            Err(error) => (1, Some(error.to_string())),
        }
    }
}

/// Trains with process 0 until it has nothing more to train.
///
/// # Errors
/// What fails here and not everywhere.
fn follow(job: &Job, catalog: &Catalog, interrupt: &Arc<AtomicBool>) -> Result<(), Error> {
    loop {
        let order = job.ranks.broadcast(Vec::new()).map_err(TrainError::from)?;
        if order.is_empty() {
            return Ok(());
        }
        let order: Order = serde_json::from_slice(&order).map_err(|error| {
            TrainError::from(CommunicationError::Message { rank: 0, message: format!("no order: {error}") })
        })?;
        match experiment::follow(&order, job, catalog, interrupt) {
            Err(Error::Train(error)) if error.is_of_all_ranks() => {}
            ended => ended?,
        }
    }
}
