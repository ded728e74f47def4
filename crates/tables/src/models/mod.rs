//! Networks for tables, their outputs and what these are measured by.
//!
//! Parameters are drawn at once and in order from the generator of the device that a constructor is given, so
//! `device.seed(s)` before it fixes them.

mod metrics;
mod mlp;
mod output;

pub use metrics::{ErrorInput, ErrorMetric, auroc, f1};
pub use mlp::{Features, TableMlp, TableMlpConfig};
pub use output::TableOutput;
