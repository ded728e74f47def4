//! Which of a run's checkpoints.

use clap::Args;

use crate::experiment::CheckpointChoice;

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// The newest valid checkpoint (the default)
    #[arg(long, conflicts_with_all = ["best", "step"])]
    pub last: bool,
    /// The checkpoint that is best by the config's `checkpoint.keep_best`
    #[arg(long, conflicts_with = "step")]
    pub best: bool,
    /// The checkpoint of this step
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
}

impl CheckpointArgs {
    pub(super) fn choice(&self) -> CheckpointChoice {
        match (self.step, self.best) {
            (Some(step), _) => CheckpointChoice::Step(step),
            (None, true) => CheckpointChoice::Best,
            (None, false) => CheckpointChoice::Last,
        }
    }
}
