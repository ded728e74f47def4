//! Reading checkpoints: verify everything, then restore.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use burn::{module::Module, store::ModuleRecord, tensor::Bytes};
use optim_adaptive::AdaptiveOptimizer;
use serde::de::DeserializeOwned;

use super::{
    CheckpointError, CheckpointPolicy, DISPLACED, MODEL, OPTIMIZER, PREFIX, RunState, STATE, TIMES, Times, damaged,
    differences,
    files::{Disk, Files},
    history::{self, HistoryLog},
    io,
    manifest::{MANIFEST, Manifest},
    name_of,
};
use crate::{
    Rates, TrainError,
    ranks::{CommunicationError, Communicator, pack, unpack},
};

/// A verified checkpoint, in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    state: RunState,
    times: Times,
    values: BTreeMap<String, f64>,
    parts: BTreeMap<String, Vec<u8>>,
    /// What `history.jsonl` holds of it, or why that could not be read.
    history: Result<HistoryLog, String>,
}

/// The first valid checkpoint of those that were looked at, and the ones before it that were not accepted.
#[derive(Debug)]
pub struct Found {
    /// The one that was asked for.
    pub checkpoint: Checkpoint,
    /// Directories that come before it and were passed over, each with the reason.
    pub passed_over: Vec<CheckpointError>,
}

/// The newest valid checkpoint below `directory`.
///
/// # Errors
/// [`CheckpointError::None`] with every reason where there is none.
pub fn newest(directory: &Path) -> Result<Found, CheckpointError> {
    let newest_first = list(&Disk, directory)?.into_iter().rev();
    first_valid(directory, newest_first.map(|candidate| candidate.path), Vec::new())
}

/// The newest valid checkpoint below `directory` whose weights are known to be good: what a run goes on from that has
/// failed by its numbers. No loss after the later ones has shown them to be good. Where that holds of all of
/// them, the newest valid one.
///
/// # Errors
/// As [`newest`].
pub fn newest_good(directory: &Path) -> Result<Found, CheckpointError> {
    let mut last = newest(directory)?;
    let unproven = &last.checkpoint.state.unproven;
    let before = list(&Disk, directory)?
        .into_iter()
        .rev()
        .filter(|candidate| candidate.step <= last.checkpoint.state.step && !unproven.contains(&candidate.step));
    let good = first_valid(directory, before.map(|candidate| candidate.path), Vec::new());
    let Ok(mut good) = good else { return Ok(last) };
    if good.checkpoint.state.step < last.checkpoint.state.step {
        let doubtful = CheckpointError::Doubtful { path: last.checkpoint.path };
        last.passed_over.push(doubtful);
    }
    last.passed_over.append(&mut good.passed_over);
    Ok(Found { checkpoint: good.checkpoint, passed_over: last.passed_over })
}

/// The valid checkpoint below `directory` that is best by the value that `policy` names, as pruning ranks them: of equal values the older one.
///
/// # Errors
/// [`CheckpointError::None`] with every reason where no valid checkpoint has that value.
pub fn best(directory: &Path, policy: &CheckpointPolicy) -> Result<Found, CheckpointError> {
    let mut skipped = Vec::new();
    let mut measured = Vec::new();
    for Candidate { step, path, .. } in list(&Disk, directory)? {
        match Manifest::read(&Disk, &path).map(|manifest| manifest.values.get(&policy.keep_best).copied()) {
            Ok(None) => skipped.push(format!("step {step}: no {}", policy.keep_best)),
            Ok(value) => measured.push((path, value)),
            Err(error) => skipped.push(error.to_string()),
        }
    }
    first_valid(directory, policy.rank(measured), skipped)
}

/// The steps that have a checkpoint below `directory`, whole or damaged, in order.
///
/// # Errors
/// [`CheckpointError::Io`] where the directory cannot be read. One that does not exist has none.
pub fn steps(directory: &Path) -> Result<Vec<u64>, CheckpointError> {
    Ok(list(&Disk, directory)?.into_iter().map(|candidate| candidate.step).collect())
}

/// The checkpoints below `directory` that this program wrote, and nothing else into them: those whose manifest is in order,
/// whatever became of their files. Oldest first.
///
/// # Errors
/// [`CheckpointError::Io`] where the directory cannot be read. One that does not exist has none.
pub fn own_folders(directory: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let candidates = list(&Disk, directory)?.into_iter().map(|candidate| candidate.path);
    Ok(candidates.filter(|path| is_only_ours(&Disk, path).unwrap_or(false)).collect())
}

/// Whether a directory is a checkpoint of ours, and nothing else is in it.
pub(super) fn is_only_ours(files: &dyn Files, path: &Path) -> Result<bool, CheckpointError> {
    match Manifest::read(files, path) {
        Ok(manifest) => Ok(files.list(path).map_err(io(path, "list it"))?.iter().all(|name| manifest.lists(name))),
        Err(CheckpointError::Damaged { .. }) => Ok(false),
        // A file of that name.
        Err(CheckpointError::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// The first of these that can be opened. `skipped` says what was left out before.
fn first_valid(
    directory: &Path,
    paths: impl IntoIterator<Item = PathBuf>,
    mut skipped: Vec<String>,
) -> Result<Found, CheckpointError> {
    let mut passed_over = Vec::new();
    for path in paths {
        match open(&path) {
            Ok(checkpoint) => return Ok(Found { checkpoint, passed_over }),
            Err(error) => passed_over.push(error),
        }
    }
    skipped.extend(passed_over.iter().map(ToString::to_string));
    Err(CheckpointError::None { directory: directory.to_owned(), skipped })
}

/// The checkpoint in this directory, with every checksum verified.
///
/// # Errors
/// [`CheckpointError::Damaged`] names the file that is not what was written, [`CheckpointError::Io`] the one that the
/// system would not read.
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let manifest = Manifest::read(&Disk, path)?;
    if let Some(named) = step_of(path).filter(|named| *named != manifest.step) {
        let what = format!("step {}, and its directory is named for step {named}", manifest.step);
        return Err(damaged(&path.join(MANIFEST), what));
    }
    let mut parts = BTreeMap::new();
    for entry in &manifest.files {
        parts.insert(entry.name.clone(), entry.read(&Disk, path)?);
    }
    let (mut state, mut times) = state_of(path, &parts)?;
    if state.step != manifest.step {
        return Err(damaged(&path.join(STATE), format!("step {}, the manifest says {}", state.step, manifest.step)));
    }
    for (epoch, seconds) in state.history.iter_mut().zip(&times.epochs) {
        epoch.seconds = *seconds;
    }
    // A checkpoint without it is whole but for what the report says of the epochs before.
    let beside = path.parent().unwrap_or(Path::new("."));
    let history = match history::read(&Disk, beside, &times.history) {
        Ok((text, before)) => {
            let log = HistoryLog::behind(&text, before.len());
            times.epochs.splice(0..0, before.iter().map(|epoch| epoch.seconds));
            state.history.splice(0..0, before);
            Ok(log)
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(Checkpoint { path: path.to_owned(), state, times, values: manifest.values, parts, history })
}

fn state_of(path: &Path, parts: &BTreeMap<String, Vec<u8>>) -> Result<(RunState, Times), CheckpointError> {
    let state: RunState = json(path, parts, STATE)?;
    let times: Times = json(path, parts, TIMES)?;
    if let Some(what) = state.fault() {
        return Err(damaged(&path.join(STATE), what));
    }
    if let Some(what) = times.fault() {
        return Err(damaged(&path.join(TIMES), what));
    }
    Ok((state, times))
}

fn json<T: DeserializeOwned>(
    directory: &Path,
    parts: &BTreeMap<String, Vec<u8>>,
    name: &str,
) -> Result<T, CheckpointError> {
    let path = directory.join(name);
    let bytes = parts.get(name).ok_or_else(|| damaged(&path, "the manifest does not list it"))?;
    serde_json::from_slice(bytes).map_err(|error| damaged(&path, error.to_string()))
}

impl Checkpoint {
    /// The one that process 0 has, on every process of a job; without the epochs that are not in the checkpoint itself, which
    /// process 0 alone writes.
    pub(crate) fn of_rank_0(ranks: &dyn Communicator, own: Option<Self>) -> Result<Option<Self>, TrainError> {
        if ranks.size() == 1 {
            return Ok(own);
        }
        let message = own.iter().flat_map(|own| {
            let parts = own.parts.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
            std::iter::once(own.path.as_os_str().as_encoded_bytes()).chain(parts)
        });
        let message = ranks.broadcast(pack(message))?;
        if ranks.rank() == 0 || message.is_empty() {
            return Ok(own.filter(|_| ranks.rank() == 0));
        }
        let unreadable = || CommunicationError::Message { rank: 0, message: "no checkpoint".to_owned() };
        let pieces = unpack(&message).ok_or_else(unreadable)?;
        let (path, parts) = pieces.split_first().ok_or_else(unreadable)?;
        let path = PathBuf::from(String::from_utf8_lossy(path).into_owned());
        let parts = parts.chunks_exact(2).map(|part| (String::from_utf8_lossy(part[0]).into_owned(), part[1].to_vec()));
        let parts = parts.collect();
        let (state, times) = state_of(&path, &parts)?;
        Ok(Some(Self { path, state, times, values: BTreeMap::new(), parts, history: Ok(HistoryLog::default()) }))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Position, schedules, history.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// What the run's clock said.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// What was measured on exactly this state (`valid.loss`); empty where nothing was.
    pub fn values(&self) -> &BTreeMap<String, f64> {
        &self.values
    }

    /// The history as it is written, to go on with. Where it is lost, a new one begins.
    pub(crate) fn history_log(&self) -> HistoryLog {
        self.history.clone().unwrap_or_else(|why| {
            tracing::warn!("epochs before this checkpoint will be missing in the report: {why}");
            HistoryLog::default()
        })
    }

    /// The content of one of its files.
    pub fn part(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }

    /// The parameters, put into a model of the same form.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`] where the forms differ.
    pub fn model<M: Module>(&self, model: M) -> Result<M, CheckpointError> {
        self.module(MODEL, model)
    }

    /// The module in one of its files, put into a module of the same form.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] where there is no such file or it holds no module, [`CheckpointError::Mismatch`]
    /// where the forms differ.
    pub fn module<M: Module>(&self, name: &str, module: M) -> Result<M, CheckpointError> {
        let path = self.path.join(name);
        let bytes = self.file(name)?.to_vec();
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))
            .map_err(|error| damaged(&path, error.to_string()))?;
        module.try_load_record(record).map_err(|error| CheckpointError::Mismatch {
            path,
            what: "model",
            saved: Some(format!("other parameters: {error}")),
            here: Some("the configured model".to_owned()),
        })
    }

    /// Refuses it where what it `saved` of `what` is not what is `here`, and shows the lines (or, of a single line, the parts
    /// between commas) that differ.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`].
    pub fn check(&self, what: &'static str, saved: &str, here: &str) -> Result<(), CheckpointError> {
        if saved == here {
            return Ok(());
        }
        let (saved, here) = differences(saved, here);
        Err(CheckpointError::Mismatch { path: self.path.clone(), what, saved, here })
    }

    fn file(&self, name: &str) -> Result<&[u8], CheckpointError> {
        self.part(name).ok_or_else(|| damaged(&self.path.join(name), "this checkpoint holds no such file"))
    }

    /// The optimizer's state, put into an optimizer of the same kind.
    pub fn optimizer(&self, optimizer: &mut AdaptiveOptimizer) -> Result<(), CheckpointError> {
        optimizer.try_load_bytes(self.file(OPTIMIZER)?).map_err(|error| CheckpointError::Mismatch {
            path: self.path.join(OPTIMIZER),
            what: "optimizer",
            saved: Some(error.to_string()),
            here: Some(optimizer.config().type_name().to_owned()),
        })
    }

    pub(crate) fn rates(&self, rates: &mut Rates) -> Result<(), CheckpointError> {
        rates.try_load(&self.state.schedules).map_err(|error| CheckpointError::Mismatch {
            path: self.path.join(STATE),
            what: "schedule",
            saved: Some(error.to_string()),
            here: Some("the configured schedule".to_owned()),
        })
    }
}

/// A directory that may hold a checkpoint.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) step: u64,
    /// Not one that was being replaced when its process ended.
    current: bool,
    pub(super) path: PathBuf,
}

/// The checkpoint directories below `directory`, oldest first.
pub(super) fn list(files: &dyn Files, directory: &Path) -> Result<Vec<Candidate>, CheckpointError> {
    let names = match files.list(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io(directory, "list it"))?,
    };
    let mut found: Vec<Candidate> = names
        .into_iter()
        .filter_map(|name| {
            let path = directory.join(&name);
            Some(Candidate { step: step_of(&path)?, current: name.starts_with(PREFIX), path })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The step that a checkpoint's directory is named for.
pub(super) fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let own = name.strip_prefix(DISPLACED).unwrap_or(name);
    let step = own.strip_prefix(PREFIX)?.parse().ok()?;
    (own == name_of(step)).then_some(step)
}
