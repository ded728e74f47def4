//! Experiments: a configuration assembled from the other crates and run. No training loop and no mathematics.
//!
//! ```no_run
//! use anneal::config::{Config, DEFAULT, Document, Origin};
//! use anneal::experiment::{TrainOptions, find_lr, train};
//! use anneal::lr_core::Registry;
//!
//! let document = Document::parse(Origin::BuiltIn("digits"), DEFAULT)?;
//! let config = Config::from_document(&document, &Registry::standard())?;
//! println!("{:?}", find_lr(&config)?.suggestion);
//! let outcome = train(&config, &TrainOptions::default())?;
//! println!("{}in {}", outcome.summary, outcome.dir.root().display());
//! # Ok::<(), anneal::Error>(())
//! ```

mod assemble;
mod auto_lr;
pub(crate) mod compare;
mod environment;
mod find_lr;
mod fits;
mod loggers;
mod measure;
mod outputs;
mod page;
mod plots;
mod preview;
mod record;
mod summary;
mod train;
mod weights;

pub use assemble::{Assembly, horizon};
pub use find_lr::{FinderResult, find_lr};
pub use summary::Summary;
pub use train::{TrainOptions, TrainOutcome, train};

pub(crate) use find_lr::{at_work, find_lr_until};
pub(crate) use page::RunsReport;
pub(crate) use preview::{Preview, PreviewLength};
pub(crate) use record::RunRecord;
pub(crate) use summary::units;
pub(crate) use train::{evaluate, follow, predict, sample};
pub(crate) use weights::{CheckpointChoice, export};
