//! Writing a checkpoint: temporary name, flush, rename, then tidy up.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use burn::module::Module;
use optim_adaptive::AdaptiveOptimizer;

use super::{
    CheckpointError, Entry, FORMAT, MANIFEST, MODEL, Manifest, OPTIMIZER, PREFIX, RunState, STATE, UNFINISHED, read,
    sha256,
};
use crate::CheckpointPolicy;

/// Writes the checkpoint of `state.step`, then removes those that the policy no longer keeps.
pub(crate) fn write<M: Module>(
    policy: &CheckpointPolicy,
    model: &M,
    optimizer: &AdaptiveOptimizer,
    state: &RunState,
    parts: &[(String, Vec<u8>)],
    best: bool,
) -> Result<PathBuf, CheckpointError> {
    let encode = |what, message: String| CheckpointError::Encode { what, message };
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        (
            MODEL,
            model.clone().into_record().into_bytes().map_err(|error| encode("the model", error.to_string()))?.to_vec(),
        ),
        (OPTIMIZER, optimizer.to_bytes().map_err(|error| encode("the optimizer", error.to_string()))?),
        (STATE, serde_json::to_vec_pretty(state).map_err(|error| encode("the run's state", error.to_string()))?),
    ];
    files.extend(parts.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
    let manifest = Manifest {
        format: FORMAT,
        step: state.step,
        best,
        files: files
            .iter()
            .map(|(name, bytes)| Entry { name: (*name).to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) })
            .collect(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest).map_err(|error| encode("the manifest", error.to_string()))?;

    let name = format!("{PREFIX}{:08}", state.step);
    let (path, unfinished) = (policy.directory.join(&name), policy.directory.join(format!("{UNFINISHED}{name}")));
    fs::create_dir_all(&policy.directory).map_err(io(&policy.directory, "create it"))?;
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io(&unfinished, "remove it"))?;
    }
    fs::create_dir(&unfinished).map_err(io(&unfinished, "create it"))?;
    for (name, bytes) in files.iter().map(|(name, bytes)| (*name, bytes)).chain([(MANIFEST, &manifest)]) {
        write_durably(&unfinished.join(name), bytes)?;
    }
    flush_directory(&unfinished)?;
    if path.exists() {
        fs::remove_dir_all(&path).map_err(io(&path, "replace it"))?;
    }
    fs::rename(&unfinished, &path).map_err(io(&path, "move it into place"))?;
    flush_directory(&policy.directory)?;
    prune(policy)?;
    Ok(path)
}

/// Keeps the newest `keep_last` and the newest of those that were best when they were written.
fn prune(policy: &CheckpointPolicy) -> Result<(), CheckpointError> {
    let mut newest_first = read::list(&policy.directory)?;
    newest_first.reverse();
    let mut best_kept = policy.keep_best.is_none();
    for (i, (_, path)) in newest_first.iter().enumerate() {
        let is_best = !best_kept && read::manifest(path).is_ok_and(|manifest| manifest.best);
        best_kept |= is_best;
        if i >= policy.keep_last.max(1) && !is_best {
            fs::remove_dir_all(path).map_err(io(path, "remove it"))?;
        }
    }
    Ok(())
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let mut file = File::create(path).map_err(io(path, "create it"))?;
    file.write_all(bytes).map_err(io(path, "write it"))?;
    file.sync_all().map_err(io(path, "flush it to disk"))
}

/// A rename is on disk only once its directory is; systems that cannot open a directory order renames themselves.
fn flush_directory(path: &Path) -> Result<(), CheckpointError> {
    match File::open(path) {
        Ok(directory) if cfg!(unix) => directory.sync_all().map_err(io(path, "flush it to disk")),
        Err(error) if cfg!(unix) => Err(io(path, "flush it to disk")(error)),
        _ => Ok(()),
    }
}

pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { path, action, source }
}
