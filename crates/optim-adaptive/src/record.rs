//! An optimizer's saved state: burnpack, a superset of what burn's own optimizer records hold.
//!
//! Tensors and scalars are named `<parameter id>.<field>`, and the metadata map parameter ids to paths: burn's
//! `ModuleOptimizer` can read such a file. For a strict load it also says which optimizer made it, under which settings,
//! and holds what all parameters share and the momentum that a schedule had set.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::RecordError;
use burn::tensor::{Bytes, TensorData};
use burn_pack::{Reader, Scalar, Writer};

/// Metadata key: the optimizer and the options its state depends on.
const FINGERPRINT: &str = "anneal.optimizer";
/// Metadata key: the settings, as TOML.
const CONFIG: &str = "anneal.config";
/// Prefix of metadata keys: the fingerprint of a parameter whose group has its own.
const PARAM: &str = "anneal.param.";
/// Prefix of scalars that all parameters share.
const SHARED: &str = "anneal.shared.";
/// Scalar: the momentum that a schedule had set.
const MOMENTUM: &str = "anneal.momentum";
/// Prefix of scalars: the momentum that a group's own schedule had set.
const GROUP_MOMENTUM: &str = "anneal.momentum.";

/// A saved optimizer state.
#[derive(Debug, Clone, Default)]
pub struct AdaptiveRecord {
    pub(crate) fingerprint: String,
    pub(crate) config: String,
    /// By parameter id.
    pub(crate) params: BTreeMap<u64, ParamRecord>,
    /// What all parameters share.
    pub(crate) shared: BTreeMap<String, f64>,
    pub(crate) momentum: Option<f64>,
    /// By index of the group.
    pub(crate) group_momenta: BTreeMap<usize, f64>,
}

/// The saved state of one parameter.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParamRecord {
    pub(crate) path: String,
    pub(crate) rank: usize,
    pub(crate) fingerprint: String,
    /// By full name, `<id>.<field>`.
    pub(crate) tensors: Vec<(String, TensorData)>,
    pub(crate) scalars: BTreeMap<String, Scalar>,
}

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordMismatch {
    /// The bytes are not a burnpack record.
    #[error("the optimizer record cannot be read: {0}")]
    Unreadable(String),
    /// The record was not made by this crate, so it does not say which optimizer's it is.
    #[error("the record does not say which optimizer made it; expected one of `{expected}`")]
    Foreign {
        /// The optimizer that was to be loaded.
        expected: String,
    },
    /// The record is another optimizer's, or the same one's under options that need other state.
    #[error("the record is of `{found}`, the optimizer is `{expected}`")]
    Optimizer {
        /// The optimizer that was to be loaded.
        expected: String,
        /// The one that made the record.
        found: String,
    },
    /// One parameter's state belongs to another optimizer: its group changed.
    #[error("the record's state of parameter `{path}` is of `{found}`, its optimizer is `{expected}`")]
    Param {
        /// The parameter's path.
        path: String,
        /// The optimizer that its group has now.
        expected: String,
        /// The one that made its state.
        found: String,
    },
    /// A state that burn would read back in another precision than it was saved in.
    #[error("the state of parameter `{path}` is not f32, and burn's own `{optimizer}` reads states as f32 only")]
    Precision {
        /// The parameter's path.
        path: String,
        /// The optimizer.
        optimizer: String,
    },
    /// A part of a parameter's state is missing.
    #[error("the record's state of parameter `{path}` is incomplete")]
    Incomplete {
        /// The parameter's path.
        path: String,
    },
}

impl AdaptiveRecord {
    /// The optimizer that made the record, with the options that its state depends on.
    pub fn made_by(&self) -> &str {
        &self.fingerprint
    }

    /// How many parameters it holds state for.
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether it holds no parameter's state.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// As burnpack bytes: the same state gives the same bytes.
    ///
    /// # Errors
    ///
    /// What the burnpack writer refuses.
    pub fn into_bytes(self) -> Result<Vec<u8>, RecordError> {
        Ok(self.into_writer().into_bytes()?.to_vec())
    }

    /// As [`into_bytes`](Self::into_bytes), in place of what `buffer` holds: its memory is reused. Each tensor is
    /// released once it is written.
    ///
    /// # Errors
    ///
    /// What the burnpack writer refuses; `buffer` then holds nothing useful.
    pub fn write_into(self, buffer: &mut Vec<u8>) -> Result<(), RecordError> {
        let writer = self.into_writer();
        buffer.resize(writer.size()?, 0);
        Ok(writer.write_into(buffer)?)
    }

    /// From burnpack bytes.
    ///
    /// # Errors
    ///
    /// [`RecordMismatch::Unreadable`] for bytes that are not burnpack, [`RecordMismatch::Foreign`] for a record that
    /// does not say which optimizer made it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordMismatch> {
        let unreadable = |error: &dyn std::fmt::Display| RecordMismatch::Unreadable(error.to_string());
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).map_err(|e| unreadable(&e))?;
        Self::from_reader(reader)
    }

    /// Writes a burnpack file.
    ///
    /// # Errors
    ///
    /// What the file system or the burnpack writer refuses.
    pub fn save(self, path: impl AsRef<Path>) -> Result<(), RecordError> {
        self.into_writer().write_to_file(path)?;
        Ok(())
    }

    /// Reads a burnpack file.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes); a file that cannot be read is [`RecordMismatch::Unreadable`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RecordMismatch> {
        let reader = Reader::from_file(path).map_err(|error| RecordMismatch::Unreadable(error.to_string()))?;
        Self::from_reader(reader)
    }

    fn into_writer(self) -> Writer {
        let mut tensors = Vec::new();
        let mut scalars = BTreeMap::new();
        let mut metadata =
            BTreeMap::from([(FINGERPRINT.to_owned(), self.fingerprint), (CONFIG.to_owned(), self.config)]);
        for (id, param) in self.params {
            scalars.insert(format!("{id}.__rank"), Scalar::from(param.rank));
            scalars.extend(param.scalars);
            metadata.insert(id.to_string(), param.path);
            metadata.insert(format!("{PARAM}{id}"), param.fingerprint);
            for (name, data) in param.tensors {
                let (bytes, shape, dtype) = data.into_parts();
                tensors.push(burn_pack::Tensor::new(name, dtype, shape, Some(id), bytes));
            }
        }
        for (name, value) in self.shared {
            scalars.insert(format!("{SHARED}{name}"), Scalar::from(value));
        }
        if let Some(momentum) = self.momentum {
            scalars.insert(MOMENTUM.to_owned(), Scalar::from(momentum));
        }
        for (group, momentum) in self.group_momenta {
            scalars.insert(format!("{GROUP_MOMENTUM}{group}"), Scalar::from(momentum));
        }
        let mut writer = Writer::new(tensors);
        for (key, value) in scalars {
            writer = writer.with_scalar(&key, value);
        }
        for (key, value) in metadata {
            writer = writer.with_metadata(&key, &value);
        }
        writer
    }

    fn from_reader(reader: Reader) -> Result<Self, RecordMismatch> {
        let mut record = Self::default();
        let metadata = reader.metadata().clone();
        let Some(fingerprint) = metadata.get(FINGERPRINT) else {
            return Err(RecordMismatch::Foreign { expected: "this crate's optimizers".to_owned() });
        };
        record.fingerprint.clone_from(fingerprint);
        record.config = metadata.get(CONFIG).cloned().unwrap_or_default();
        for (key, value) in &metadata {
            if let Ok(id) = key.parse::<u64>() {
                record.params.entry(id).or_default().path.clone_from(value);
            } else if let Some(id) = key.strip_prefix(PARAM).and_then(|id| id.parse::<u64>().ok()) {
                record.params.entry(id).or_default().fingerprint.clone_from(value);
            }
        }
        for (key, value) in reader.scalars() {
            if let Some(name) = key.strip_prefix(SHARED) {
                if let Ok(value) = f64::try_from(*value) {
                    record.shared.insert(name.to_owned(), value);
                }
            } else if key == MOMENTUM {
                record.momentum = f64::try_from(*value).ok();
            } else if let Some(group) = key.strip_prefix(GROUP_MOMENTUM).and_then(|group| group.parse().ok()) {
                if let Ok(momentum) = f64::try_from(*value) {
                    record.group_momenta.insert(group, momentum);
                }
            } else if let Some((id, field)) = key.split_once('.') {
                let Some(param) = id.parse::<u64>().ok().and_then(|id| record.params.get_mut(&id)) else { continue };
                if field == "__rank" {
                    param.rank = usize::try_from(*value).unwrap_or_default();
                } else {
                    param.scalars.insert(key.clone(), *value);
                }
            }
        }
        let unreadable = |error: burn_pack::Error| RecordMismatch::Unreadable(error.to_string());
        for tensor in reader.into_tensors().map_err(unreadable)? {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(unreadable)?;
            if let Some(param) = id.and_then(|id| record.params.get_mut(&id)) {
                param.tensors.push((name, TensorData::from_bytes(bytes, shape, dtype)));
            }
        }
        Ok(record)
    }
}
