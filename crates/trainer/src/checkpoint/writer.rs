//! Checkpoints written while training goes on.

use std::{path::PathBuf, sync::Arc, thread::JoinHandle};

use super::{
    CheckpointError, CheckpointPolicy, OnWriteError,
    files::{Disk, Files},
    snapshot::{Images, Snapshot},
    write::write,
};

type Written = Result<PathBuf, CheckpointError>;

/// Writes the checkpoints of a run, one at a time.
pub(crate) struct Writer {
    policy: CheckpointPolicy,
    files: Arc<dyn Files>,
    in_flight: Option<JoinHandle<(Written, Images)>>,
    /// What the last checkpoint was put together in; with the thread while that writes.
    images: Images,
}

impl Writer {
    pub(crate) fn new(policy: CheckpointPolicy) -> Self {
        Self::with_files(policy, Arc::new(Disk))
    }

    pub(super) fn with_files(policy: CheckpointPolicy, files: Arc<dyn Files>) -> Self {
        Self { policy, files, in_flight: None, images: Images::default() }
    }

    pub(crate) fn policy(&self) -> &CheckpointPolicy {
        &self.policy
    }

    /// Writes a checkpoint: at once, or on a thread of its own after waiting for the one before.
    ///
    /// # Errors
    /// That of this write, where it is done at once, or of the one before; none where the policy is to go on.
    pub(crate) fn save(&mut self, snapshot: Snapshot) -> Result<(), CheckpointError> {
        self.finish()?;
        // From here on the checkpoint before this one is on the medium. The kill campaign reads these lines.
        tracing::debug!("checkpoint of step {} begun", snapshot.step);
        if !self.policy.background {
            let written = write(&*self.files, &self.policy, snapshot, &mut self.images, || {});
            return self.conclude(written);
        }
        let (policy, files, mut images) =
            (self.policy.clone(), Arc::clone(&self.files), std::mem::take(&mut self.images));
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let spawned = thread.spawn(move || (write(&*files, &policy, snapshot, &mut images, step_back), images));
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

    /// The error of a write that has ended meanwhile, without waiting for one that has not.
    pub(crate) fn poll(&mut self) -> Result<(), CheckpointError> {
        if self.in_flight.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { Ok(()) }
    }

    /// Waits for the write under way.
    ///
    /// # Errors
    /// Its error; none where the policy is to go on.
    pub(crate) fn finish(&mut self) -> Result<(), CheckpointError> {
        let Some(thread) = self.in_flight.take() else { return Ok(()) };
        match thread.join() {
            Ok((written, images)) => {
                self.images = images;
                self.conclude(written)
            }
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(ToString::to_string);
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
                let message = message.unwrap_or_else(|| "the writer panicked".to_owned());
                self.conclude(Err(CheckpointError::encode("the checkpoint", &message)))
            }
        }
    }

    fn conclude(&self, written: Written) -> Result<(), CheckpointError> {
        match written {
            Ok(_) => Ok(()),
            Err(error) if self.policy.on_error == OnWriteError::Continue => {
                tracing::warn!("a checkpoint was not written, the run goes on: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Lets the training's threads go first: checksums and the disk's share of a processor are then taken from the moments
/// in which training leaves one idle, where it otherwise makes the next steps late.
#[cfg(target_os = "linux")]
fn step_back() {
    /// A tenth of what a thread of ordinary priority gets beside it: enough to come to an end on a machine that is never
    /// idle.
    const STEPS: libc::c_int = 10;
    // SAFETY: the calls read and set a number of the calling thread (0), and touch no memory of ours. On Linux that
    // number is each thread's own.
    unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, 0);
        // What cannot be set is left as it is.
        let _ = libc::setpriority(libc::PRIO_PROCESS, 0, now.saturating_add(STEPS));
    }
}

/// Elsewhere a priority belongs to the process.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

impl Drop for Writer {
    /// A run that ends with an error keeps the checkpoint under way.
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!("the last checkpoint was not written: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    /// The nice value of the thread that asks.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread has one");
        // The name, in parentheses, may hold anything; of what follows it, nice is the 17th.
        let (_, after) = stat.rsplit_once(')').expect("a name");
        after.split_whitespace().nth(16).expect("a nice value").parse().expect("a number")
    }

    #[test]
    fn the_writer_steps_back_and_takes_nobody_with_it() {
        let before = niceness();
        let writer = std::thread::spawn(|| {
            step_back();
            niceness()
        });
        assert_eq!(writer.join().expect("no panic"), (before + 10).min(19));
        assert_eq!(niceness(), before);
    }
}
