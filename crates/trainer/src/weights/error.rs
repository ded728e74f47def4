//! Why weights were not read, not accepted or not written.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use strict_config::{did_you_mean, shorten};

use super::Format;
use crate::checkpoint::CheckpointError;

/// The most bytes of a tensor's name, in a file or after `remap`.
pub(super) const LONGEST_NAME: usize = 4096;

/// The most characters of a name that a message shows.
const SHOWN_NAME: usize = 80;

/// Why weights were not read, not accepted or not written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder that holds no weights.
    #[error("{}: holds no weights: neither a checkpoint (manifest.json) nor a run (model.safetensors or checkpoints/)", .0.display())]
    NoWeights(PathBuf),
    /// A file in none of the formats that are read.
    #[error("{}: is not a burnpack (.bpk), safetensors (.safetensors) or PyTorch (.pt, .pth) file", .0.display())]
    UnknownFormat(PathBuf),
    /// The file contradicts itself, is cut short, or holds what its format does not allow.
    #[error("{}: no valid {format} file: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it was read as.
        format: Format,
        /// What is wrong.
        what: String,
    },
    /// A tensor that no training can begin with.
    #[error("{}: `{tensor}` holds a value that is not finite (element {element})", path.display())]
    NonFinite {
        /// Which file.
        path: PathBuf,
        /// Its tensor, by the file's name for it.
        tensor: String,
        /// Which element, in the file's order.
        element: usize,
    },
    /// The checkpoint that was named is not valid.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file is another than the one that was asked for.
    #[error("{}: is another file: its SHA-256 is {found}, expected {expected}", path.display())]
    Sha256 {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The weights are not those of this model.
    #[error("{}: does not fit the model:{}", path.display(), listed(differences))]
    Mismatch {
        /// Which file.
        path: PathBuf,
        /// Every parameter that does not fit.
        differences: Vec<Difference>,
    },
    /// Nothing in the file is a parameter of the model.
    #[error("{}: none of its {found} tensors is a selected parameter of the model (in the file: {})", path.display(), shortened(names))]
    Nothing {
        /// Which file.
        path: PathBuf,
        /// Tensors in the file.
        found: usize,
        /// Their names, after `remap`.
        names: Vec<String>,
    },
    /// Two tensors of the file have the same name after `remap`.
    #[error("{}: `{first}` and `{second}` are both called `{name}` after remap", path.display())]
    Collision {
        /// Which file.
        path: PathBuf,
        /// The name.
        name: String,
        /// In the file.
        first: String,
        /// In the file.
        second: String,
    },
    /// A tensor's name is longer than any, in the file or after `remap`.
    #[error(
        "{}: the name of `{}` is longer than {LONGEST_NAME} bytes, in the file or after remap", path.display(),
        shorten(tensor, SHOWN_NAME)
    )]
    LongName {
        /// Which file.
        path: PathBuf,
        /// The tensor, by the file's name for it.
        tensor: String,
    },
    /// A pattern of `only`, `except` or `remap` that cannot be read.
    #[error("`{pattern}` is not a pattern: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern of `only` or `except` that means no parameter: most likely a slip.
    #[error("`{pattern}` matches no parameter of the model{}", did_you_mean(nearest.as_deref()))]
    Unmatched {
        /// The pattern.
        pattern: String,
        /// The parameter most like it.
        nearest: Option<String>,
    },
    /// The parameters could not be brought into their stored form.
    #[error("{}: the model cannot be written as safetensors: {what}", path.display())]
    Encode {
        /// Which file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> WeightsError {
    let path = path.to_owned();
    move |source| WeightsError::Io { path, action, source }
}

/// A parameter of the model that the file does not fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The file has no tensor of this name.
    Missing {
        /// The name that was looked for, as the file's format has it.
        name: String,
        /// The unused tensor of the file most like it.
        nearest: Option<String>,
    },
    /// The tensor has another shape. Shapes are given as the file's format has them.
    Shape {
        /// The parameter.
        name: String,
        /// In the model.
        model: Vec<usize>,
        /// In the file.
        file: Vec<usize>,
    },
    /// The tensor holds another kind of number: integers where the model has floats, or the reverse.
    Kind {
        /// The parameter.
        name: String,
        /// In the model.
        model: String,
        /// In the file.
        file: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, nearest } => {
                write!(f, "`{name}` is not in the file{}", did_you_mean(nearest.as_deref()))
            }
            Self::Shape { name, model, file } => {
                write!(f, "`{name}` has shape {model:?} in the model and {file:?} in the file")
            }
            Self::Kind { name, model, file } => write!(f, "`{name}` is {model} in the model and {file} in the file"),
        }
    }
}

/// How many of a list are worth reading in an error.
const SHOWN: usize = 8;

fn listed(differences: &[Difference]) -> String {
    if let [only] = differences {
        return format!(" {only}");
    }
    let shown = differences.iter().take(SHOWN).map(ToString::to_string);
    let more = differences.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    let lines: Vec<String> = shown.chain(more).collect();
    format!("\n  {}", lines.join("\n  "))
}

/// The first few names of a list.
pub(super) fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
