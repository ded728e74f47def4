//! Listeners that come with the trainer: progress on the terminal; logs of a run as JSON lines, as a CSV table and for
//! TensorBoard; and [`Background`], which takes the writing off the training thread.

mod background;
mod bar;
mod callback_list;
mod csv;
mod jsonl;
mod progress;
mod run_log;
mod tensorboard;

pub use background::Background;
pub use bar::{Bar, above_bar};
pub use callback_list::CallbackList;
pub use csv::Csv;
pub use jsonl::{JsonLines, LogLine};
pub use progress::Progress;
pub use tensorboard::TensorBoard;
