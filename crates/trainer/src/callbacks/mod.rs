//! Listeners that come with the trainer: progress on the terminal, and the log of a run as JSON lines.

mod jsonl;
mod progress;

pub use jsonl::{JsonLines, LogLine};
pub use progress::Progress;
