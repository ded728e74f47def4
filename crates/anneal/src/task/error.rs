//! Why a task cannot do what it is asked.

use std::path::PathBuf;

use strict_config::ConfigError;
use trainer::{TrainError, lr_finder::FinderError, weights::WeightsError};

/// Why a task cannot do what it is asked. `?` takes any text for one, and [`other`](Self::other) any error.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A setting does not fit the data; its path begins with its section.
    #[error(transparent)]
    Setting(Box<ConfigError>),
    /// A data set of images could not be read.
    #[error(transparent)]
    Images(#[from] vision::DataError),
    /// A model could not be built for images of this shape.
    #[error(transparent)]
    ImageModel(#[from] vision::models::ModelError),
    /// Batches of images could not be made.
    #[error(transparent)]
    ImageBatches(#[from] vision::BatcherError),
    /// A table could not be used.
    #[error(transparent)]
    Tables(#[from] tables::TableError),
    /// A text, a prompt or a model of language is not as it should be.
    #[error(transparent)]
    Text(#[from] text::TextError),
    /// What is to be predicted for is not of the form of the training data.
    #[error("{input}: {problem}")]
    Input {
        /// The input, with the line where it has lines.
        input: String,
        /// What is wrong, and what is right.
        problem: String,
    },
    /// Data could not be loaded, and one of the paths that name them leads to nothing.
    #[error(
        "{error}\nLooked for in (--data-dir, the path as it is, ANNEAL_DATA_DIR, the cache folder):{}",
        lines(places)
    )]
    Nowhere {
        /// What failed.
        error: Box<TaskError>,
        /// Where the path was looked for.
        places: Vec<PathBuf>,
    },
    /// It predicts nothing.
    #[error("the task `{task}` has no prediction")]
    NoPrediction {
        /// The task.
        task: &'static str,
    },
    /// It writes no text.
    #[error("the task `{task}` writes no text")]
    NoSample {
        /// The task.
        task: &'static str,
    },
    /// Training, or a pass over data, failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The finder failed.
    #[error(transparent)]
    Finder(#[from] FinderError),
    /// The weights to start from do not fit.
    #[error("model.pretrained: {0}")]
    Pretrained(#[source] WeightsError),
    /// An error of the task's own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// Each on a line of its own.
fn lines(paths: &[PathBuf]) -> String {
    paths.iter().fold(String::new(), |lines, path| format!("{lines}\n  {}", path.display()))
}

impl TaskError {
    /// An error of the task's own.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// An input that is not of the form of the training data.
    pub fn input(input: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input { input: input.into(), problem: problem.into() }
    }
}

impl From<ConfigError> for TaskError {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}

impl From<String> for TaskError {
    fn from(message: String) -> Self {
        Self::other(message)
    }
}

impl From<&str> for TaskError {
    fn from(message: &str) -> Self {
        Self::other(message)
    }
}
