//! Reading checkpoints: verify everything, then restore.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::{module::Module, store::ModuleRecord, tensor::Bytes};
use optim_adaptive::AdaptiveOptimizer;

use super::{
    CheckpointError, FORMAT, MANIFEST, MODEL, Manifest, OPTIMIZER, PREFIX, RunState, STATE, sha256, write::io,
};
use crate::Rates;

/// A verified checkpoint, in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    state: RunState,
    model: Vec<u8>,
    optimizer: Vec<u8>,
}

/// The newest valid checkpoint, and the newer ones that were not accepted.
#[derive(Debug)]
pub struct Found {
    /// The one to go on from.
    pub checkpoint: Checkpoint,
    /// Newer directories that were passed over, each with the reason.
    pub passed_over: Vec<CheckpointError>,
}

/// The newest valid checkpoint below `directory`.
///
/// # Errors
/// [`CheckpointError::None`] with every reason where there is none.
pub fn newest(directory: &Path) -> Result<Found, CheckpointError> {
    let mut passed_over = Vec::new();
    for (_, path) in list(directory)?.into_iter().rev() {
        match open(&path) {
            Ok(checkpoint) => return Ok(Found { checkpoint, passed_over }),
            Err(error) => passed_over.push(error),
        }
    }
    Err(CheckpointError::None {
        directory: directory.to_owned(),
        skipped: passed_over.iter().map(ToString::to_string).collect(),
    })
}

/// The checkpoint in this directory, with every checksum verified.
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let manifest = manifest(path)?;
    let file = |name: &'static str| {
        let path = path.join(name);
        let Some(entry) = manifest.files.iter().find(|entry| entry.name == name) else {
            return Err(damaged(&path, "the manifest does not list it"));
        };
        let bytes = fs::read(&path).map_err(io(&path, "read it"))?;
        if bytes.len() as u64 != entry.bytes {
            return Err(damaged(&path, format!("{} bytes, the manifest says {}", bytes.len(), entry.bytes)));
        }
        let found = sha256(&bytes);
        if found != entry.sha256 {
            return Err(damaged(&path, format!("SHA-256 {found}, the manifest says {}", entry.sha256)));
        }
        Ok(bytes)
    };
    let state_path = path.join(STATE);
    let state: RunState =
        serde_json::from_slice(&file(STATE)?).map_err(|error| damaged(&state_path, error.to_string()))?;
    if state.step != manifest.step {
        return Err(damaged(&state_path, format!("step {}, the manifest says {}", state.step, manifest.step)));
    }
    Ok(Checkpoint { path: path.to_owned(), state, model: file(MODEL)?, optimizer: file(OPTIMIZER)? })
}

impl Checkpoint {
    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Position, schedules, history.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The content of one of its files.
    pub fn part(&self, name: &str) -> Option<&[u8]> {
        match name {
            MODEL => Some(&self.model),
            OPTIMIZER => Some(&self.optimizer),
            _ => None,
        }
    }

    /// The parameters, put into a model of the same form.
    pub fn model<M: Module>(&self, model: M) -> Result<M, CheckpointError> {
        let path = self.path.join(MODEL);
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(self.model.clone()))
            .map_err(|error| damaged(&path, error.to_string()))?;
        model.try_load_record(record).map_err(|error| CheckpointError::Mismatch {
            path,
            what: "model",
            saved: error.to_string(),
            here: "the configured model".to_owned(),
        })
    }

    /// The optimizer's state, put into an optimizer of the same kind.
    pub fn optimizer(&self, optimizer: &mut AdaptiveOptimizer) -> Result<(), CheckpointError> {
        optimizer.try_load_bytes(&self.optimizer).map_err(|error| CheckpointError::Mismatch {
            path: self.path.join(OPTIMIZER),
            what: "optimizer",
            saved: error.to_string(),
            here: optimizer.config().type_name().to_owned(),
        })
    }

    pub(crate) fn rates(&self, rates: &mut Rates) -> Result<(), CheckpointError> {
        rates.try_load(&self.state.schedules).map_err(|error| CheckpointError::Mismatch {
            path: self.path.join(STATE),
            what: "schedule",
            saved: error.to_string(),
            here: "the configured schedule".to_owned(),
        })
    }

    pub(crate) fn check(
        &self,
        what: &'static str,
        here: &str,
        saved: impl Fn(&RunState) -> &String,
    ) -> Result<(), CheckpointError> {
        let saved = saved(&self.state);
        if saved == here {
            return Ok(());
        }
        Err(CheckpointError::Mismatch { path: self.path.clone(), what, saved: saved.clone(), here: here.to_owned() })
    }
}

/// The checkpoint directories below `directory`, oldest first.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io(directory, "list it"))? {
        let entry = entry.map_err(io(directory, "list it"))?;
        let step = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        if let Some(step) = step {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn manifest(path: &Path) -> Result<Manifest, CheckpointError> {
    let path = path.join(MANIFEST);
    let bytes = fs::read(&path).map_err(io(&path, "read it"))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(damaged(&path, format!("format {}, this version reads {FORMAT}", manifest.format)));
    }
    Ok(manifest)
}

fn damaged(path: &Path, what: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), what: what.into() }
}
