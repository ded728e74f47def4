//! What a run folder's files are called, and what can be wrong with it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What marks the folder.
pub(super) const MARK: &str = "anneal.json";
/// Who works in it.
pub(super) const LOCK: &str = "anneal.lock";
/// The name of the resolved configuration.
pub(crate) const CONFIG: &str = "config.toml";
/// The log.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// The log as a table.
pub(crate) const METRICS_CSV: &str = "metrics.csv";
/// Where it ran.
pub(crate) const ENVIRONMENT: &str = "environment.json";
/// The page.
pub(crate) const REPORT: &str = "report.html";
/// A sweep of the learning-rate finder that belongs to the run.
pub(crate) const FINDER: &str = "lr_finder.json";
/// The checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The pictures.
pub(crate) const PLOTS: &str = "plots";
/// Those of every run, without their endings.
pub(crate) const RUN_PLOTS: [&str; 3] = ["loss", "accuracy", "lr"];
/// How those of metrics begin that not every run has.
pub(crate) const METRIC_PLOT: &str = "metric-";
/// How those begin that the task shows of its outputs.
pub(crate) const OUTPUT_PLOT: &str = "outputs-";
/// That of the sweep.
pub(crate) const FINDER_PLOT: &str = "lr_finder";
/// What the task shows of its outputs.
pub(crate) const OUTPUTS: &str = "outputs.jsonl";
/// What the task has learned from the training data beside the model's weights, where it has.
pub(crate) const PREPROCESSING: &str = "preprocessing.json";
/// The name under which a file of weights holds the same.
pub(crate) const KEPT: &str = "preprocessing";
/// The result.
pub(crate) const SUMMARY: &str = "summary.json";
/// Why a run of a comparison failed.
pub(crate) const FAILURE: &str = "failure.txt";
/// What a comparison compares, in its folder.
pub(crate) const PLAN: &str = "compare.toml";

/// Why a folder cannot take the run.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It holds a run, and neither resuming nor overwriting was asked for.
    #[error("{}: holds a {kind} already; use --resume to continue it, --overwrite to start over, or another --out", path.display())]
    Holds {
        /// Which.
        path: PathBuf,
        /// A run or a comparison.
        kind: &'static str,
    },
    /// It holds files that are not ours, so nothing in it is touched.
    #[error("{}: is not empty and holds no {kind} of this program{}; choose another folder", path.display(), lacks_mark(path))]
    NotEmpty {
        /// Which.
        path: PathBuf,
        /// A run or a comparison.
        kind: &'static str,
    },
    /// It was written by a newer version, whose runs this one does not know.
    #[error(
        "{}: was written by a newer version of this program (format {format} in {MARK}); use that version, or choose \
         another folder", path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// The number of its format.
        format: u64,
    },
    /// A run was asked for, and there is none.
    #[error("{}: holds no run (it takes {MARK} and {CONFIG})", .0.display())]
    NoRun(PathBuf),
    /// A run was asked for in a folder that is not there.
    #[error("{}: there is no such folder", .0.display())]
    NoFolder(PathBuf),
    /// Another process works in it.
    #[error("{}: in use by {by}", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
        /// What is known of the process.
        by: String,
    },
    /// Resuming would start over, and lose the work that is there.
    #[error(
        "{}: has no checkpoint to go on from, and finished work ({}); `anneal train CONFIG --out {} --overwrite` starts \
         over and replaces it", path.display(), work.join(", "), path.display()
    )]
    NothingToResume {
        /// Which.
        path: PathBuf,
        /// The files that would go.
        work: Vec<&'static str>,
    },
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A file of a run folder that does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{path}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct DamagedFile {
    /// Which file.
    pub path: String,
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

fn lacks_mark(folder: &Path) -> String {
    if folder.join(MARK).exists() { String::new() } else { format!(" (no {MARK})") }
}

pub(crate) fn io_error(path: &Path, action: &'static str, source: io::Error) -> RunDirError {
    RunDirError::Io { path: path.to_owned(), action, source }
}
