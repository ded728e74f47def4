//! The run folder: where it is, who may write into it, what it holds.
//!
//! ```text
//! config.toml      resolved: everything that ran
//! environment.json the machine and the program, for each process that worked on the run
//! metrics.jsonl    one object per logged step and per epoch
//! metrics.csv      the same as a table, where `[run] loggers` names it
//! events.out.tfevents.*  the same for TensorBoard
//! checkpoints/     see trainer::checkpoint
//! plots/           loss, accuracy, lr (and momentum): .svg and .png
//! lr_finder.json   curve and suggestion, where `lr = "auto"` was to be found; plots/lr_finder beside it
//! report.html      all of it as a page
//! model.safetensors  the weights that were evaluated, for PyTorch (trainer::weights)
//! summary.json     the result
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The name of the resolved configuration; a folder that has one holds a run.
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
/// The result.
pub(crate) const SUMMARY: &str = "summary.json";

/// Why a folder cannot take the run.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It holds a run, and neither resuming nor overwriting was asked for.
    #[error("{}: holds a run already; use --resume to continue it, --overwrite to start over, or another --out", .0.display())]
    HoldsRun(PathBuf),
    /// It holds files that are not a run's, so nothing in it is touched.
    #[error("{}: is not empty and holds no run (no {CONFIG}); choose another folder", .0.display())]
    NotEmpty(PathBuf),
    /// Resuming was asked for, and there is no run.
    #[error("{}: holds no run to resume (no {CONFIG})", .0.display())]
    NoRun(PathBuf),
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

/// What to do where the folder holds a run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Refuse (a named folder), or take the next free number (the default folder).
    #[default]
    Refuse,
    /// Start over: what a run writes is removed, other files stay.
    Overwrite,
    /// Resume it.
    Resume,
}

impl Existing {
    /// What `--resume` and `--overwrite` ask for.
    pub(crate) fn from_flags(resume: bool, overwrite: bool) -> Self {
        match (resume, overwrite) {
            (true, _) => Self::Resume,
            (_, true) => Self::Overwrite,
            _ => Self::Refuse,
        }
    }
}

/// The folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The folder `--out` names.
    pub fn at(path: &Path, existing: Existing) -> Result<Self, RunDirError> {
        let dir = Self(path.to_owned());
        match (dir.holds_run(), existing) {
            (true, Existing::Refuse) => Err(RunDirError::HoldsRun(dir.0)),
            (false, Existing::Resume) => Err(RunDirError::NoRun(dir.0)),
            (true, Existing::Overwrite | Existing::Resume) => Ok(dir),
            (false, _) => {
                let is_empty = match fs::read_dir(path) {
                    Ok(entries) => {
                        entries.flatten().all(|entry| report::is_unfinished(&entry.file_name().to_string_lossy()))
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                    Err(source) => return Err(io_error(path, "read it", source)),
                };
                if is_empty { Ok(dir) } else { Err(RunDirError::NotEmpty(dir.0)) }
            }
        }
    }

    /// The run folder below `out_dir` when `--out` names none: `NAME`, or `NAME-2`, `NAME-3`, ... whichever does not exist
    /// yet. To resume, the last one that holds a run; to overwrite, the first.
    pub fn numbered(out_dir: &Path, name: &str, existing: Existing) -> Result<Self, RunDirError> {
        let path = numbered(out_dir, name, existing, |path| path.join(CONFIG).exists());
        if existing == Existing::Refuse { Ok(Self(path)) } else { Self::at(&path, existing) }
    }

    /// Makes the folder ready for a fresh run: created, and what an earlier run left removed.
    pub fn prepare(&self) -> Result<(), RunDirError> {
        fs::create_dir_all(&self.0).map_err(|source| io_error(&self.0, "create it", source))?;
        for name in [CONFIG, METRICS, FINDER, SUMMARY, trainer::weights::FILE] {
            remove(&self.path(name), |path| fs::remove_file(path))?;
        }
        for name in self.logs_and_reports()? {
            remove(&self.path(&name), |path| fs::remove_file(path))?;
        }
        for name in [CHECKPOINTS, PLOTS] {
            remove(&self.path(name), |path| fs::remove_dir_all(path))?;
        }
        Ok(())
    }

    /// Other files that an earlier run may have left in the folder itself.
    fn logs_and_reports(&self) -> Result<Vec<String>, RunDirError> {
        let entries = fs::read_dir(&self.0).map_err(|source| io_error(&self.0, "read it", source))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_ours = |name: &String| {
            [METRICS_CSV, ENVIRONMENT, REPORT].contains(&name.as_str())
                || name.starts_with(report::tensorboard::FILE_PREFIX)
                || report::is_unfinished(name)
        };
        Ok(names.filter(is_ours).collect())
    }

    /// Writes a file of the run, whole or not at all.
    pub fn write(&self, name: &str, contents: &str) -> Result<(), RunDirError> {
        let path = self.path(name);
        report::atomic_write(&path, contents).map_err(|source| io_error(&path, "write it", source))
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0
    }

    fn holds_run(&self) -> bool {
        self.path(CONFIG).exists()
    }
}

/// `out_dir/name`, or `out_dir/name-2`, `-3`, ... whichever does not exist yet. To resume, the last one that `is_ours`; to
/// overwrite, the first.
pub(crate) fn numbered(out_dir: &Path, name: &str, existing: Existing, is_ours: impl Fn(&Path) -> bool) -> PathBuf {
    let first = out_dir.join(name);
    let path = |number: u64| out_dir.join(format!("{name}-{number}"));
    let others = || (2..).map(path).take_while(|path| path.exists());
    match existing {
        Existing::Overwrite => first,
        Existing::Refuse if !first.exists() => first,
        Existing::Refuse => path(others().count() as u64 + 2),
        Existing::Resume => others().filter(|path| is_ours(path)).last().unwrap_or(first),
    }
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), RunDirError> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "remove it", error)),
        _ => Ok(()),
    }
}

pub(crate) fn io_error(path: &Path, action: &'static str, source: io::Error) -> RunDirError {
    RunDirError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_runs_are_not_overwritten_by_accident() {
        let out = tempfile::tempdir().expect("a folder");
        let first = RunDir::numbered(out.path(), "a", Existing::Refuse).expect("free");
        assert_eq!(first.root(), out.path().join("a"));
        first.prepare().expect("prepared");
        // What a killed process leaves.
        let unfinished = first.path(".config.toml.x1.tmp");
        fs::write(&unfinished, "").expect("written");
        first.prepare().expect("prepared");
        assert!(!unfinished.exists());
        first.write(CONFIG, "").expect("written");
        let second = RunDir::numbered(out.path(), "a", Existing::Refuse).expect("free");
        assert_eq!(second.root(), out.path().join("a-2"));
        assert!(matches!(RunDir::at(first.root(), Existing::Refuse), Err(RunDirError::HoldsRun(_))));
        assert!(RunDir::at(first.root(), Existing::Overwrite).is_ok());
        assert_eq!(RunDir::numbered(out.path(), "a", Existing::Resume).expect("found"), first);
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let out = tempfile::tempdir().expect("a folder");
        fs::write(out.path().join("thesis.tex"), "").expect("written");
        for existing in [Existing::Refuse, Existing::Overwrite] {
            assert!(matches!(RunDir::at(out.path(), existing), Err(RunDirError::NotEmpty(_))));
        }
        assert!(matches!(RunDir::at(out.path(), Existing::Resume), Err(RunDirError::NoRun(_))));
    }
}
