//! Checkpoints written while training continues.

use std::{path::PathBuf, sync::Arc, thread::JoinHandle};

use super::{
    CheckpointError, CheckpointPolicy, OnWriteError,
    files::{Disk, Files},
    history::Append,
    snapshot::{Images, Snapshot},
    write::{tidy, write},
};
use crate::threads;

type Written = Result<PathBuf, CheckpointError>;

/// Writes the checkpoints of a run, one at a time.
pub(crate) struct Writer {
    policy: CheckpointPolicy,
    files: Arc<dyn Files>,
    in_flight: Option<JoinHandle<(Written, Images)>>,
    /// The memory that the last checkpoint was encoded into; the thread has it while it writes.
    images: Images,
    /// Epochs whose lines no write has put down yet: those of the write under way, and of ones that have failed.
    history: Append,
}

impl Writer {
    pub(crate) fn new(policy: CheckpointPolicy) -> Self {
        Self::with_files(policy, Arc::new(Disk))
    }

    pub(super) fn with_files(policy: CheckpointPolicy, files: Arc<dyn Files>) -> Self {
        Self { policy, files, in_flight: None, images: Images::default(), history: Append::default() }
    }

    pub(crate) fn policy(&self) -> &CheckpointPolicy {
        &self.policy
    }

    /// Clears away what a killed process left beside the checkpoint of `step`, which the run goes on from; `unproven` are
    /// not known to be good yet.
    ///
    /// # Errors
    /// What cannot be removed; none where the policy is to continue.
    pub(crate) fn tidy(&mut self, step: u64, unproven: Vec<u64>) -> Result<(), CheckpointError> {
        let tidied = tidy(&*self.files, &self.policy, step, unproven);
        self.conclude(tidied.map(|()| self.policy.directory.clone()))
    }

    /// Writes a checkpoint: at once, or on another thread after waiting for the one before.
    ///
    /// # Errors
    /// That of this write, where it is done at once, or of the one before; none where the policy is to continue.
    pub(crate) fn save(&mut self, mut snapshot: Snapshot) -> Result<(), CheckpointError> {
        self.finish()?;
        self.history.extend(std::mem::take(&mut snapshot.history));
        snapshot.history = self.history.clone();
        // From here on the checkpoint before this one is on the medium. The kill campaign reads these lines.
        tracing::debug!("checkpoint of step {} begun", snapshot.step);
        if !self.policy.background {
            let written = write(&*self.files, &self.policy, snapshot, &mut self.images, || {});
            return self.conclude(written);
        }
        let (policy, files, mut images) =
            (self.policy.clone(), Arc::clone(&self.files), std::mem::take(&mut self.images));
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let spawned =
            thread.spawn(move || (write(&*files, &policy, snapshot, &mut images, threads::yield_to_training), images));
        match spawned {
            Ok(thread) => self.in_flight = Some(thread),
            Err(source) => {
                let error = CheckpointError::Io {
                    path: self.policy.directory.clone(),
                    action: "start a thread to write it",
                    source,
                };
                self.conclude(Err(error))?;
            }
        }
        Ok(())
    }

    /// The error of a write that has ended; does not wait for one that has not.
    pub(crate) fn poll(&mut self) -> Result<(), CheckpointError> {
        if self.in_flight.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { Ok(()) }
    }

    /// Waits for the write under way.
    ///
    /// # Errors
    /// Its error; none where the policy is to continue.
    pub(crate) fn finish(&mut self) -> Result<(), CheckpointError> {
        let Some(thread) = self.in_flight.take() else { return Ok(()) };
        match thread.join() {
            Ok((written, images)) => {
                self.images = images;
                self.conclude(written)
            }
            Err(panic) => {
                let message = format!("the writer panicked: {}", threads::panic_message(panic.as_ref()));
                self.conclude(Err(CheckpointError::encode("the checkpoint", &message)))
            }
        }
    }

    fn conclude(&mut self, written: Written) -> Result<(), CheckpointError> {
        match written {
            Ok(_) => {
                self.history = Append::default();
                Ok(())
            }
            Err(error) if self.policy.on_error == OnWriteError::Continue => {
                tracing::warn!("a checkpoint was not written, the run continues: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Writer {
    /// A run that ends with an error keeps the checkpoint under way.
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!("the last checkpoint was not written: {error}");
        }
    }
}
