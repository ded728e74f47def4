//! Experiments: a configuration put together from the rooms and run. No loop and no mathematics of its own.

mod assemble;
mod auto_lr;
mod find_lr;
mod plots;
mod preview;
mod summary;
mod train;

pub use assemble::{Assembly, horizon};
pub use auto_lr::{Tuned, tune};
pub use find_lr::{Found, find_lr};
pub use preview::{Preview, PreviewLength, Row};
pub use summary::Summary;
pub use train::{Outcome, TrainOptions, evaluate, train};
