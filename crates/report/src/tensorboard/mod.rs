//! TensorBoard's event files, written and read back.
//!
//! A file is a sequence of records (`frame`), each an `Event` protocol buffer (`proto`). What lives here: the
//! [`EventWriter`], and [`read_events`] and [`read_scalars`], which see in a folder what TensorBoard sees. It knows
//! tags, steps and numbers, and nothing of runs.
//!
//! ```
//! use report::tensorboard::{EventWriter, read_scalars};
//!
//! # let folder = tempfile::tempdir()?;
//! let mut writer = EventWriter::create(folder.path())?;
//! writer.scalars(1, &[("train/loss".to_owned(), 2.5), ("train/lr".to_owned(), 0.1)])?;
//! writer.flush()?;
//! assert_eq!(read_scalars(folder.path())?["train/loss"], [(1, 2.5)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod proto;
mod reader;
mod writer;

use std::path::PathBuf;

pub use reader::{Happening, LoggedEvent, read_events, read_scalars};
pub use writer::EventWriter;

/// What the names of event files begin with; TensorBoard looks for it.
pub const FILE_PREFIX: &str = "events.out.tfevents.";

/// Why an event file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is damaged.
    #[error("{}: the record at byte {offset} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}
