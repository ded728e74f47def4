//! Experiments: a configuration put together from the rooms and run. No loop and no mathematics of its own.

mod assemble;
mod auto_lr;
pub mod compare;
mod environment;
mod find_lr;
mod loggers;
mod page;
mod plots;
mod preview;
mod record;
mod summary;
mod train;
mod weights;

pub use assemble::{Assembly, horizon};
pub use auto_lr::{Tuned, tune};
pub use environment::Session;
pub use find_lr::{Found, find_lr};
pub use page::Comparison;
pub use preview::{Preview, PreviewLength, Row};
pub use record::{RunRecord, Suggested, Sweep};
pub use summary::Summary;
pub use train::{Outcome, TrainOptions, evaluate, train};
pub use weights::{Exported, Which, export};
