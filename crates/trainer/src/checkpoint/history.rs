//! The epochs of a long run, each written once: `history.jsonl` beside the checkpoints, a line per epoch.
//!
//! A checkpoint holds the last epochs itself, at most [`LAST`] of them; those before are in the file, and the checkpoint says
//! how much of the file that is, and its SHA-256. So the history is not repeated in every checkpoint, and a file that holds
//! more (of a later checkpoint) or other epochs is recognised. An epoch that may still be continued is not in
//! the file.

use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{CheckpointError, damaged, files::Files, io};
use crate::report::EpochSummary;

/// The name of the file of a long run's epochs, beside its checkpoints.
pub const HISTORY: &str = "history.jsonl";

/// How much of the file belongs to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryMark {
    /// From its beginning.
    pub bytes: u64,
    /// Of these bytes, in hexadecimal; empty where there are none.
    pub sha256: String,
}

impl HistoryMark {
    /// Whether no part of it does.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// Lines to be written at a place in the file; what is there from that place on is another past's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Append {
    at: u64,
    lines: String,
}

impl Append {
    /// With lines that come right behind these.
    pub(super) fn extend(&mut self, next: Self) {
        if self.lines.is_empty() {
            *self = next;
        } else {
            self.lines.push_str(&next.lines);
        }
    }

    /// Writes them, onto the medium.
    pub(super) fn write(&self, files: &dyn Files, directory: &Path) -> Result<(), CheckpointError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let path = directory.join(HISTORY);
        files.write_at(&path, self.at, self.lines.as_bytes()).map_err(io(&path, "write it"))?;
        files.sync_file(&path).map_err(io(&path, "flush it to disk"))
    }
}

/// The most epochs that a checkpoint holds itself.
const LAST: usize = 64;

/// The history as it is written: what the file holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryLog {
    written: Sha256,
    bytes: u64,
    epochs: usize,
}

impl HistoryLog {
    /// Behind what a checkpoint's mark says: `text`, with so many epochs.
    pub(super) fn behind(text: &[u8], epochs: usize) -> Self {
        Self { written: Sha256::new_with_prefix(text), bytes: text.len() as u64, epochs }
    }

    /// What of the history goes into the file now, the mark of a checkpoint that counts on it, and how many epochs the file
    /// then holds: a function of the length of the history, whenever checkpoints are written.
    pub(crate) fn take(&mut self, history: &[EpochSummary]) -> Result<(Append, HistoryMark, usize), CheckpointError> {
        let epochs = history.len().saturating_sub(1) / LAST * LAST;
        let mut new = Append { at: self.bytes, lines: String::new() };
        for epoch in history.get(self.epochs..epochs).unwrap_or_default() {
            let line = serde_json::to_string(epoch).map_err(|error| CheckpointError::encode(HISTORY, &error))?;
            new.lines.push_str(&line);
            new.lines.push('\n');
        }
        self.written.update(new.lines.as_bytes());
        self.bytes += new.lines.len() as u64;
        self.epochs = epochs;
        let sha256 = if self.bytes == 0 { String::new() } else { hex(self.written.clone()) };
        Ok((new, HistoryMark { bytes: self.bytes, sha256 }, epochs))
    }
}

/// The part of the file below `directory` that belongs to a checkpoint, and its epochs.
///
/// # Errors
/// A file that is missing, shorter or another.
pub(super) fn read(
    files: &dyn Files,
    directory: &Path,
    mark: &HistoryMark,
) -> Result<(Vec<u8>, Vec<EpochSummary>), CheckpointError> {
    if mark.bytes == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let path = directory.join(HISTORY);
    let size = files.size(&path).map_err(io(&path, "read it"))?;
    if size < mark.bytes {
        return Err(damaged(&path, format!("{size} bytes, and {} of them are this checkpoint's history", mark.bytes)));
    }
    let text = files.read(&path, mark.bytes).map_err(io(&path, "read it"))?;
    if hex(Sha256::new_with_prefix(&text)) != mark.sha256 {
        return Err(damaged(&path, "it holds another history than this checkpoint's"));
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let epochs = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
    let epochs = epochs.map_err(|error| damaged(&path, error.to_string()))?;
    Ok((text, epochs))
}

fn hex(hash: Sha256) -> String {
    HEXLOWER.encode(&hash.finalize())
}
