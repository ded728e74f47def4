//! Everything that can end a command, and the exit code it ends with.

use optim_adaptive::ConfigError;
use trainer::{
    TrainError,
    checkpoint::CheckpointError,
    lr_finder::{FinderError, NoSuggestion},
};

use crate::{config::ConfigFileError, run_dir::RunDirError};

/// Why a command ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// A setting given on the command line or in code was refused.
    #[error(transparent)]
    Setting(Box<ConfigError>),
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A data set could not be read.
    #[error(transparent)]
    Data(#[from] vision::DataError),
    /// The model could not be built for this data set.
    #[error(transparent)]
    Model(#[from] vision::models::ModelError),
    /// Batches could not be made.
    #[error(transparent)]
    Batcher(#[from] vision::BatcherError),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint could not be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The finder failed.
    #[error(transparent)]
    Finder(#[from] FinderError),
    /// A rate was to be found, and the finder has no suggestion.
    #[error(
        "lr = \"auto\", and the finder has no suggestion: {0}. `anneal find-lr` shows the curve; or set the rate to a \
         number"
    )]
    NoSuggestion(NoSuggestion),
    /// A picture could not be drawn or written.
    #[error(transparent)]
    Report(#[from] report::ReportError),
    /// A file that was asked for could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// 2 for bad usage or config, 3 for a finder without a suggestion, 1 for what fails while running.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Setting(_) | Self::Usage(_) | Self::Finder(FinderError::Config(_)) => 2,
            Self::NoSuggestion(_) => 3,
            _ => 1,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}
