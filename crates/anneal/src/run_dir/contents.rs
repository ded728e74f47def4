//! What this program writes in a run folder: nothing else in it is ever moved or removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use trainer::{
    checkpoint::{self, MANIFEST},
    weights,
};

use super::{
    layout::{
        CHECKPOINTS, CONFIG, ENVIRONMENT, FAILURE, FINDER, FINDER_PLOT, LOCK, MARK, METRIC_PLOT, METRICS, METRICS_CSV,
        OUTPUT_PLOT, OUTPUTS, PLOTS, PREPROCESSING, REPORT, RUN_PLOTS, RunDirError, SUMMARY, io_error,
    },
    mark::{FolderKind, FolderMark},
};

/// The files of a run, each under one name.
const FILES: [&str; 11] = [
    CONFIG,
    METRICS,
    METRICS_CSV,
    ENVIRONMENT,
    REPORT,
    FINDER,
    OUTPUTS,
    PREPROCESSING,
    SUMMARY,
    FAILURE,
    weights::FILE,
];

/// Begins the name of the folder in which a run that is being replaced waits; its id follows.
const REPLACED: &str = "replaced-";

/// The files and folders of the run in `folder`, below it, in order; its mark and its lock left out.
pub(super) fn own(folder: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    let is_own_file = |name: &str| {
        FILES.iter().any(|file| name == *file || report::is_kept_aside(name, file))
            || name.starts_with(report::tensorboard::FILE_PREFIX)
    };
    let mut own: Vec<PathBuf> =
        files(folder)?.into_iter().filter(|name| is_own_file(name)).map(PathBuf::from).collect();
    // What lies behind a link is not of this run.
    if !folder.join(PLOTS).is_symlink() {
        let plots = files(&folder.join(PLOTS))?.into_iter().filter(|name| is_plot(name));
        own.extend(plots.map(|name| Path::new(PLOTS).join(name)));
    }
    let checkpoints = folder.join(CHECKPOINTS);
    // A link to where the checkpoints are is moved as a link.
    if checkpoints.is_symlink() {
        own.push(PathBuf::from(CHECKPOINTS));
    } else {
        let found = checkpoint::own_folders(&checkpoints).unwrap_or_default();
        let names = found.iter().filter_map(|path| path.file_name());
        own.extend(names.map(|name| Path::new(CHECKPOINTS).join(name)));
        let history = files(&checkpoints)?.contains(checkpoint::HISTORY);
        own.extend(history.then(|| Path::new(CHECKPOINTS).join(checkpoint::HISTORY)));
    }
    own.sort();
    Ok(own)
}

/// The same for a person: a line of names, with their number where there are several in a folder.
pub(super) fn described(own: &[PathBuf]) -> String {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for path in own {
        let first = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let first = first.unwrap_or_default();
        let is_log = first.starts_with(report::tensorboard::FILE_PREFIX);
        *names.entry(if is_log { "event files".to_owned() } else { first }).or_default() += 1;
    }
    let shown = names.iter().map(|(name, count)| if *count > 1 { format!("{name} ({count})") } else { name.clone() });
    shown.collect::<Vec<_>>().join(", ")
}

/// Whether there is nothing in the folder that this program did not write while it claimed or began a run. A folder that
/// does not exist has nothing in it.
pub(super) fn is_free(folder: &Path) -> Result<bool, RunDirError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other.map_err(|source| io_error(folder, "read it", source))?,
    };
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_marked = FolderMark::read(folder).is_some();
    Ok(names.all(|name| name == LOCK || (is_marked && name == MARK) || is_leftover(&name)))
}

/// Removes what a killed process left of the files that it was writing.
pub(super) fn remove_leftovers(folder: &Path) -> Result<(), RunDirError> {
    for folder in [folder.to_owned(), folder.join(PLOTS)] {
        for name in files(&folder)?.into_iter().filter(|name| is_leftover(name)) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// How plots begin whose names depend on the task.
const TASK_PLOTS: [&str; 2] = [METRIC_PLOT, OUTPUT_PLOT];

fn is_leftover(name: &str) -> bool {
    let plots = RUN_PLOTS.iter().chain([&FINDER_PLOT]).flat_map(|name| [format!("{name}.svg"), format!("{name}.png")]);
    let files = FILES.iter().chain([&MARK]).map(|name| (*name).to_owned());
    files.chain(plots).any(|of| report::is_unfinished(name, &of))
        || TASK_PLOTS.iter().any(|beginning| report::is_unfinished_beginning(name, beginning))
}

fn is_plot(name: &str) -> bool {
    let stem = name.strip_suffix(".svg").or_else(|| name.strip_suffix(".png"));
    let is_of_task = |stem: &str| TASK_PLOTS.iter().any(|beginning| stem.starts_with(beginning));
    stem.is_some_and(|stem| RUN_PLOTS.contains(&stem) || stem == FINDER_PLOT || is_of_task(stem))
}

/// Where the run with this mark waits that is being replaced in `folder`.
pub(super) fn aside(folder: &Path, mark: &FolderMark) -> PathBuf {
    folder.join(format!("{REPLACED}{}", mark.id))
}

/// Moves the run in `folder`, which has this mark, into a separate folder there; its configuration is copied, whole or
/// not at all, so that the run is at no instant without. It is complete, and a run folder by itself, once it has its mark.
pub(super) fn set_aside(folder: &Path, mark: &FolderMark, own: &[PathBuf]) -> Result<(), RunDirError> {
    let aside = aside(folder, mark);
    for path in own {
        let (from, to) = (folder.join(path), aside.join(path));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|source| io_error(parent, "create it", source))?;
        }
        let moved = if path == Path::new(CONFIG) {
            report::read_regular(&from).and_then(|text| report::atomic_write(&to, text))
        } else {
            fs::rename(&from, &to)
        };
        moved.map_err(|source| io_error(&from, "move it aside", source))?;
    }
    remove_if_empty(folder);
    let path = aside.join(MARK);
    report::atomic_write(&path, mark.to_json()).map_err(|source| io_error(&path, "write it", source))
}

/// Restores a run that a process was moving aside when it was killed: the folder still has its mark.
///
/// The configuration in the folder is the run's own until the run is complete where it waits; from then on it may be the
/// next run's. An empty one is never put in the place of it.
pub(super) fn restore(folder: &Path) -> Result<(), RunDirError> {
    put_back(folder, own)
}

/// The same of whatever `own` finds in the folder where it waits.
pub(super) fn put_back(
    folder: &Path,
    own: impl FnOnce(&Path) -> Result<Vec<PathBuf>, RunDirError>,
) -> Result<(), RunDirError> {
    let Some(mark) = FolderMark::read(folder) else { return Ok(()) };
    let aside = aside(folder, &mark);
    if !aside.is_dir() {
        return Ok(());
    }
    let is_complete = FolderMark::read(&aside).is_some_and(|complete| complete.id == mark.id);
    for path in own(&aside)? {
        let (from, to) = (aside.join(&path), folder.join(&path));
        if path == Path::new(CONFIG) && to.exists() && (!is_complete || is_empty(&from)) {
            remove(&from)?;
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|source| io_error(parent, "create it", source))?;
        }
        fs::rename(&from, &to).map_err(|source| io_error(&from, "put it back", source))?;
    }
    remove_leftovers(&aside)?;
    remove(&aside.join(MARK))?;
    remove_if_empty(&aside);
    Ok(())
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == 0)
}

/// Whether a process was moving the run in this folder aside when it was killed.
pub(super) fn is_half_set_aside(folder: &Path) -> bool {
    FolderMark::read(folder).is_some_and(|mark| aside(folder, &mark).is_dir())
}

/// The runs that wait in this folder, replaced by the one in it.
pub(super) fn replaced(folder: &Path) -> Vec<PathBuf> {
    let Some(now) = FolderMark::read(folder) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_replaced = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let id = name.strip_prefix(REPLACED);
        // A folder of that name which is not our run stays.
        id.is_some_and(|id| {
            id != now.id && !path.is_symlink() && FolderMark::read(path).is_some_and(|mark| mark.id == id)
        })
    };
    entries.map(|entry| entry.path()).filter(is_replaced).collect()
}

/// Removes the run in `folder`: what this program wrote, and the folders that are empty then.
pub(super) fn remove_run(folder: &Path) -> Result<(), RunDirError> {
    for path in own(folder)? {
        remove(&folder.join(path))?;
    }
    remove_leftovers(folder)?;
    remove(&folder.join(MARK))?;
    remove_if_empty(folder);
    Ok(())
}

/// The names of the plain files (and links) in a folder; none where there is no folder.
fn files(folder: &Path) -> Result<BTreeSet<String>, RunDirError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(BTreeSet::new());
        }
        other => other.map_err(|source| io_error(folder, "read it", source))?,
    };
    let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    Ok(files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The files of the run in `folder` with its mark, below `root`: those of a run within a comparison.
pub(super) fn own_within(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    let mark = folder.join(MARK).is_file().then(|| PathBuf::from(MARK));
    let below = folder.strip_prefix(root).unwrap_or(folder);
    Ok(own(folder)?.into_iter().chain(mark).map(|path| below.join(path)).collect())
}

/// Removes a file or link, or a checkpoint's folder; one that is not there is no error. The manifest of a checkpoint goes
/// last: by it what a killed process has left is known to be ours.
fn remove(path: &Path) -> Result<(), RunDirError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if is_folder {
        for name in files(path)?.into_iter().filter(|name| name != MANIFEST) {
            remove(&path.join(name))?;
        }
    }
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "remove it", error)),
        _ => Ok(()),
    }
}

/// Removes the folders of a run that are empty, and its own if that is then.
pub(super) fn remove_if_empty(folder: &Path) {
    for name in folders_of_checkpoints(folder) {
        let _ = fs::remove_dir(name);
    }
    for folder in [&folder.join(PLOTS), &folder.join(CHECKPOINTS), folder] {
        // Refused by the system where there is anything in it.
        let _ = fs::remove_dir(folder);
    }
}

/// The folders that are called as those of checkpoints.
fn folders_of_checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(CHECKPOINTS)).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-"));
    entries.map(|entry| entry.path()).collect()
}

/// The mark of a run in `folder`: that which is there, or one that it gets now because it is older than marks.
pub(super) fn marked(folder: &Path, name: &str) -> Result<FolderMark, RunDirError> {
    if let Some(mark) = FolderMark::read(folder) {
        return Ok(mark);
    }
    let mark = FolderMark::new(FolderKind::Run, name);
    write_mark(folder, &mark)?;
    Ok(mark)
}

pub(super) fn write_mark(folder: &Path, mark: &FolderMark) -> Result<(), RunDirError> {
    let path = folder.join(MARK);
    report::atomic_write(&path, mark.to_json()).map_err(|source| io_error(&path, "write it", source))
}
