//! Everything that can end a command, and the exit code it ends with.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use optim_adaptive::ConfigError;
use report::ReportError;
use tables::{TableError, TableProblem};
use text::TextError;
use trainer::{
    TrainError,
    checkpoint::CheckpointError,
    lr_finder::{FinderError, NoSuggestion},
    weights::WeightsError,
};
use vision::{DataError, fetch::FetchError};

use crate::{
    config::{CatalogError, ConfigFileError},
    device::DeviceUnavailable,
    run_dir::{DamagedFile, RunDirError},
    task::TaskError,
};

/// Why a command ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// A setting given on the command line or in code was refused.
    #[error(transparent)]
    Setting(Box<ConfigError>),
    /// A program's own model, schedule, ... cannot be named.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The device is not on this machine.
    #[error(transparent)]
    Device(#[from] DeviceUnavailable),
    /// A data set could not be read.
    #[error("{data}{hint}", data = .0, hint = fetch_hint(.0))]
    Data(#[from] DataError),
    /// A data set could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A verified data set is not as it should be. The command has listed the files that are wrong.
    #[error("data set `{name}` is not as it should be: {problem}")]
    Verify {
        /// The data set.
        name: String,
        /// The first thing that is wrong with it.
        problem: String,
    },
    /// The model could not be built for this data set.
    #[error(transparent)]
    Model(#[from] vision::models::ModelError),
    /// A task could not do what it is asked.
    #[error("{task}{hint}", task = .0, hint = moved_hint(.0))]
    Task(TaskError),
    /// A run's model could not predict for an input, or go on from a prompt.
    #[error(transparent)]
    Asked(TaskError),
    /// The machine, or what the process may use of it, is too small.
    #[error("{0}")]
    Machine(String),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint could not be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights to start from could not be used.
    #[error("model.pretrained: {0}")]
    Pretrained(#[source] WeightsError),
    /// Weights could not be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The finder failed.
    #[error(transparent)]
    Finder(#[from] FinderError),
    /// A rate is `"auto"`, and the finder has no suggestion.
    #[error(
        "lr = \"auto\", and the finder has no suggestion: {0}. `anneal find-lr` shows the curve; or set the rate to a \
         number"
    )]
    NoSuggestion(NoSuggestion),
    /// A picture could not be drawn or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of a run folder does not hold what it should.
    #[error(transparent)]
    Damaged(#[from] DamagedFile),
    /// One of several experiments failed.
    #[error("{experiment}: {source}")]
    In {
        /// Which.
        experiment: String,
        /// How.
        source: Box<Error>,
    },
    /// A file that was asked for could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How to fetch missing files, where they can be fetched.
fn fetch_hint(error: &DataError) -> String {
    match error {
        DataError::Missing(missing) if vision::info(missing.name).is_ok_and(|info| info.part.is_none()) => {
            format!("\nTo fetch it: anneal data fetch {}", missing.name)
        }
        DataError::Layout { path, .. } if !path.exists() => MOVED.to_owned(),
        _ => String::new(),
    }
}

/// For data that are not where they are said to be.
const MOVED: &str = "\nIf it is elsewhere now: --data-dir DIR, or a path in [data]";

/// The same for what a task reads.
fn moved_hint(error: &TaskError) -> &'static str {
    let source = match error {
        TaskError::Tables(TableError { problem: TableProblem::Io(source), .. })
        | TaskError::Text(TextError::Io { source, .. }) => source,
        _ => return "",
    };
    if source.kind() == io::ErrorKind::NotFound { MOVED } else { "" }
}

impl Error {
    /// Adds the name of the experiment that failed.
    #[must_use]
    pub fn within(self, experiment: &str) -> Self {
        Self::In { experiment: experiment.to_owned(), source: Box::new(self) }
    }

    /// Whether it is not a failure: the command was asked to end, and had nothing to save yet.
    pub fn is_interrupt(&self) -> bool {
        match self {
            Self::Finder(FinderError::Interrupted { .. }) => true,
            Self::In { source, .. } => source.is_interrupt(),
            _ => false,
        }
    }

    /// 130 where it was interrupted, 3 for a finder without a suggestion, 2 where what was given is wrong: the command line, a
    /// setting, a folder that holds no run, a text or a table that does not hold what it should, an input to predict for, a
    /// prompt; 1 for what fails while running, for data that cannot be read, and for images and checkpoints that are missing
    /// or damaged.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked(TaskError::Text(TextError::NotFinite | TextError::Device { .. })) => 1,
            Self::Config(_)
            | Self::Setting(_)
            | Self::Catalog(_)
            | Self::Usage(_)
            | Self::Device(_)
            | Self::Report(ReportError::Extension { .. })
            | Self::Data(DataError::Unknown { .. })
            | Self::Fetch(FetchError::Name(_) | FetchError::Part { .. })
            | Self::Pretrained(_)
            | Self::RunDir(
                RunDirError::Holds { .. }
                | RunDirError::NotEmpty { .. }
                | RunDirError::Newer { .. }
                | RunDirError::NoRun(_)
                | RunDirError::NoFolder(_),
            )
            // Nothing but what was asked for is read by then.
            | Self::Asked(
                TaskError::Images(_)
                | TaskError::Tables(_)
                | TaskError::Text(_)
                | TaskError::Input { .. }
                | TaskError::NoPrediction { .. }
                | TaskError::NoSample { .. },
            )
            | Self::Finder(
                FinderError::Setting(_)
                | FinderError::Train(
                    TrainError::NoSuchParameter { .. } | TrainError::AllFrozen { .. } | TrainError::BadStart { .. },
                ),
            )
            | Self::Train(
                TrainError::Setting(_)
                | TrainError::NoSuchParameter { .. }
                | TrainError::AllFrozen { .. }
                | TrainError::BadStart { .. },
            ) => 2,
            // What a file of the user's own holds is given as a config is; that it cannot be read is not.
            Self::Task(TaskError::Tables(error)) if !matches!(error.problem, TableProblem::Io(_)) => 2,
            Self::Task(TaskError::Text(error))
                if !matches!(
                    error,
                    TextError::Io { .. } | TextError::Cut { .. } | TextError::NotFinite | TextError::Device { .. }
                ) =>
            {
                2
            }
            Self::NoSuggestion(_) => 3,
            Self::Finder(FinderError::Interrupted { .. }) => 130,
            Self::In { source, .. } => source.exit_code(),
            _ => 1,
        }
    }
}

/// What a program's `main` returns: an error is printed as a person reads it, where Rust would print its fields.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use anneal::prelude::*;
///
/// fn run() -> Result<(), Box<dyn std::error::Error>> {
///     OptimizerConfig::from_toml_str("type = 'adamm'")?;
///     Ok(())
/// }
///
/// fn main() -> ExitCode {
///     exit_code(run()) // error: type: there is no optimizer `adamm`; did you mean `adam`? ...
/// }
/// ```
pub fn exit_code(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the message is dropped.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl From<TaskError> for Error {
    /// What any experiment can fail by is that error; the rest is the task's own.
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Setting(error) => Self::Setting(error),
            TaskError::Images(error) => Self::Data(error),
            TaskError::ImageModel(error) => Self::Model(error),
            TaskError::Train(error) => Self::Train(error),
            TaskError::Finder(error) => Self::Finder(error),
            TaskError::Pretrained(error) => Self::Pretrained(error),
            TaskError::ImageBatches(_)
            | TaskError::Tables(_)
            | TaskError::Text(_)
            | TaskError::NoSample { .. }
            | TaskError::Input { .. }
            | TaskError::NoPrediction { .. }
            | TaskError::Nowhere { .. }
            | TaskError::Other(_) => Self::Task(error),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}
