//! A folder taken for a run or a comparison: atomically, and locked until the process is done with it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    contents,
    layout::{CONFIG, RunDirError, io_error},
    lock::Lock,
    mark::{FolderKind, FolderMark},
};

/// What to do where the folder holds a run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Refuse (a named folder), or take the next free number (the default folder).
    #[default]
    Refuse,
    /// Start over: what a run writes is replaced, other files stay.
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

/// How often a folder is made again that another process, which found no use for it, has removed before it was locked.
const TRIES: u32 = 100;

/// What is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: a run may begin there.
    Free,
    /// What is looked for.
    Held,
    /// Something that is not ours.
    Foreign,
}

impl State {
    pub(super) fn of(folder: &Path, kind: FolderKind) -> Result<Self, RunDirError> {
        if let Some(format) = FolderMark::newer_format(folder) {
            return Err(RunDirError::Newer { path: folder.to_owned(), format });
        }
        if contents::is_free(folder)? {
            return Ok(Self::Free);
        }
        let is_held = match FolderMark::read(folder) {
            Some(mark) => mark.kind == kind,
            None => kind.is_old_in(folder),
        };
        Ok(if is_held { Self::Held } else { Self::Foreign })
    }
}

/// A folder that this process works in and no other.
#[derive(Debug)]
pub(crate) struct Claim {
    folder: PathBuf,
    /// What had to be made, the outermost first: removed again if nothing comes into it.
    made: Vec<PathBuf>,
    is_held: bool,
    lock: Option<Lock>,
}

impl Claim {
    /// Takes this folder.
    ///
    /// # Errors
    /// Nothing is touched where it is refused: it holds one (under [`Existing::Refuse`]), other things, or is in use.
    pub(crate) fn at(folder: &Path, existing: Existing, kind: FolderKind) -> Result<Self, RunDirError> {
        // An empty path is this folder.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        check(folder, existing, kind)?;
        let mut claim = Self::locked(folder, make)?;
        // It may have changed before it was locked.
        claim.is_held = check(folder, existing, kind)?;
        if claim.is_held && kind == FolderKind::Run {
            contents::restore(folder)?;
        }
        Ok(claim)
    }

    /// Takes the folder below `out_dir` when `--out` names none: `NAME`, or `NAME-2`, `NAME-3`, ... whichever does not
    /// exist yet. To resume, the last one that holds one; to overwrite, the first.
    pub(crate) fn numbered(
        out_dir: &Path,
        name: &str,
        existing: Existing,
        kind: FolderKind,
    ) -> Result<Self, RunDirError> {
        let (first, others) = names(out_dir, name);
        match existing {
            Existing::Overwrite => Self::at(&first, existing, kind),
            Existing::Resume => {
                let there = others.take_while(|path| path.exists());
                let held = there.filter(|path| matches!(State::of(path, kind), Ok(State::Held))).last();
                Self::at(&held.unwrap_or(first), existing, kind)
            }
            Existing::Refuse => {
                for folder in [first].into_iter().chain(others) {
                    match Self::locked(&folder, make_new) {
                        // The name is taken: of two who ask at once one gets it. Or somebody who names it was faster.
                        Err(RunDirError::Io { path, source, .. })
                            if path == folder && source.kind() == ErrorKind::AlreadyExists => {}
                        Err(RunDirError::InUse { .. }) => {}
                        claimed => return claimed,
                    }
                }
                Err(io_error(out_dir, "find a free name in it", ErrorKind::AlreadyExists.into()))
            }
        }
    }

    /// Makes a folder and locks it.
    fn locked(folder: &Path, make: fn(&Path) -> Result<Vec<PathBuf>, RunDirError>) -> Result<Self, RunDirError> {
        for _ in 0..TRIES {
            let made = match make(folder) {
                Err(RunDirError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                made => made?,
            };
            let mut claim = Self { folder: folder.to_owned(), made, is_held: false, lock: None };
            match Lock::take(folder) {
                Err(RunDirError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                lock => {
                    claim.lock = Some(lock?);
                    return Ok(claim);
                }
            }
        }
        Err(io_error(folder, "create it", ErrorKind::NotFound.into()))
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it holds a run (or comparison) already.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lock = None;
        for folder in self.made.iter().rev() {
            // Refused by the system where there is anything in it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether the folder holds one; refuses it where it may not be taken.
fn check(folder: &Path, existing: Existing, kind: FolderKind) -> Result<bool, RunDirError> {
    match (State::of(folder, kind)?, existing) {
        (State::Free, _) => Ok(false),
        (State::Held, Existing::Overwrite | Existing::Resume) => Ok(true),
        (State::Held, Existing::Refuse) => Err(RunDirError::Holds { path: folder.to_owned(), kind: kind.name() }),
        (State::Foreign, _) => Err(RunDirError::NotEmpty { path: folder.to_owned(), kind: kind.name() }),
    }
}

/// Makes a folder and what is missing above it. Gives what was made, the outermost first.
fn make(folder: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    if !folder.as_os_str().is_empty() {
        fs::create_dir_all(folder).map_err(|source| io_error(folder, "create it", source))?;
    }
    Ok(missing)
}

/// The same, where the folder itself must not be there yet.
fn make_new(folder: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    let mut made = folder.parent().map_or(Ok(Vec::new()), make)?;
    fs::create_dir(folder).map_err(|source| io_error(folder, "create it", source))?;
    made.push(folder.to_owned());
    Ok(made)
}

/// The configuration of the run in `folder`, where it holds a run that has begun.
pub(super) fn configuration(folder: &Path) -> Result<PathBuf, RunDirError> {
    let config = folder.join(CONFIG);
    if !folder.is_dir() {
        return Err(RunDirError::NoFolder(folder.to_owned()));
    }
    if State::of(folder, FolderKind::Run)? != State::Held || !config.is_file() {
        return Err(RunDirError::NoRun(folder.to_owned()));
    }
    Ok(config)
}

/// `NAME`, and `NAME-2`, `NAME-3`, ...
fn names(out_dir: &Path, name: &str) -> (PathBuf, impl Iterator<Item = PathBuf>) {
    let (out_dir, name) = (out_dir.to_owned(), name.to_owned());
    (out_dir.join(&name), (2_u64..).map(move |number| out_dir.join(format!("{name}-{number}"))))
}

/// The folder that [`Claim::numbered`] would take now for a new run.
pub(crate) fn next_name(out_dir: &Path, name: &str) -> PathBuf {
    let (first, others) = names(out_dir, name);
    std::iter::once(first.clone()).chain(others).find(|folder| !folder.exists()).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_dir::RunDir;

    #[test]
    fn numbers_count_up_and_a_folder_that_stays_empty_goes() {
        let out = tempfile::tempdir().expect("a folder");
        let runs = out.path().join("a/runs");
        let take = |existing| Claim::numbered(&runs, "x", existing, FolderKind::Run);
        let (first, second) = (take(Existing::Refuse).expect("free"), take(Existing::Refuse).expect("free"));
        assert_eq!((first.folder(), second.folder()), (runs.join("x").as_path(), runs.join("x-2").as_path()));
        assert!(matches!(Claim::at(first.folder(), Existing::Refuse, FolderKind::Run), Err(RunDirError::InUse { .. })));
        drop(second);
        assert!(!runs.join("x-2").exists());
        let dir = RunDir::new(first.folder());
        dir.begin("x", "[run]\n").expect("begun");
        drop(first);
        assert_eq!(take(Existing::Refuse).expect("free").folder(), runs.join("x-2"));
        assert_eq!(take(Existing::Resume).expect("held").folder(), runs.join("x"));
        assert!(matches!(Claim::at(dir.root(), Existing::Refuse, FolderKind::Run), Err(RunDirError::Holds { .. })));
        assert!(Claim::at(dir.root(), Existing::Overwrite, FolderKind::Run).expect("held").is_held());
        assert!(matches!(
            Claim::at(dir.root(), Existing::Overwrite, FolderKind::Comparison),
            Err(RunDirError::NotEmpty { .. })
        ));
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let out = tempfile::tempdir().expect("a folder");
        // A file that is called as a run's does not make it one.
        fs::write(out.path().join(CONFIG), "x").expect("written");
        for existing in [Existing::Refuse, Existing::Overwrite, Existing::Resume] {
            for kind in [FolderKind::Run, FolderKind::Comparison] {
                assert!(matches!(Claim::at(out.path(), existing, kind), Err(RunDirError::NotEmpty { .. })));
            }
        }
        assert!(matches!(RunDir::open(out.path()), Err(RunDirError::NoRun(_))));
        assert_eq!(fs::read_dir(out.path()).expect("a folder").count(), 1);
    }
}
