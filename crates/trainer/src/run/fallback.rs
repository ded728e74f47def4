//! The last good state of a run: what it rolls back to.

use burn::{module::Module, store::ModuleRecord, tensor::Bytes};

use crate::{
    TrainError,
    checkpoint::{AVERAGES, BEST, Checkpoint, CheckpointError, Contents, MODEL, OPTIMIZER, Part, RunState, STATE},
};

/// A state in memory, made of the files of a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Fallback {
    pub(super) state: RunState,
    /// Model, optimizer, then average and best model where there are such; by their names in a checkpoint.
    parts: Vec<(String, Vec<u8>)>,
}

impl Fallback {
    pub(super) fn new(state: RunState, parts: impl Iterator<Item = Part>) -> Result<Self, TrainError> {
        let bytes = |part: Part| Ok::<_, CheckpointError>((part.name, part.contents.into_bytes()?));
        let parts = parts.map(bytes).collect::<Result<_, _>>()?;
        Ok(Self { state, parts })
    }

    /// The one that a checkpoint holds under this prefix, if any.
    pub(super) fn of(checkpoint: &Checkpoint, prefix: &str) -> Result<Option<Self>, TrainError> {
        let file = |name: &str| checkpoint.part(&format!("{prefix}{name}"));
        let Some(state) = file(STATE) else { return Ok(None) };
        let state = serde_json::from_slice(state).map_err(|error| cannot("restored", &error))?;
        let names = [MODEL, OPTIMIZER].into_iter().chain(AVERAGES).chain([BEST]);
        let parts = names.filter_map(|name| Some((name.to_owned(), file(name)?.to_vec()))).collect();
        Ok(Some(Self { state, parts }))
    }

    /// Its files in a checkpoint of a later step, under this prefix.
    pub(super) fn files(&self, prefix: &str) -> Result<Vec<Part>, TrainError> {
        let state = serde_json::to_vec_pretty(&self.state).map_err(|error| cannot("made", &error))?;
        let parts = self.parts.iter().map(|(name, bytes)| (name.as_str(), bytes));
        let part = |(name, bytes): (&str, &Vec<u8>)| Part {
            name: format!("{prefix}{name}"),
            contents: Contents::Bytes(bytes.clone()),
        };
        Ok([(STATE, &state)].into_iter().chain(parts).map(part).collect())
    }

    pub(super) fn part(&self, name: &str) -> Option<&[u8]> {
        self.parts.iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// `model` with the parameters of this part, where there is such a part.
    pub(super) fn module<M: Module>(&self, name: &str, model: M) -> Result<Option<M>, TrainError> {
        let Some(bytes) = self.part(name) else { return Ok(None) };
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()));
        let record = record.map_err(|error| cannot("restored", &error))?;
        model.try_load_record(record).map(Some).map_err(|error| cannot("restored", &error))
    }
}

pub(super) fn cannot(action: &'static str, error: &dyn std::fmt::Display) -> TrainError {
    TrainError::Fallback { action, message: error.to_string() }
}
