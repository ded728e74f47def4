//! `manifest.json`: what a checkpoint's directory holds, with checksums to verify it.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::{CheckpointError, damaged, files::Files, io};

/// The file of a checkpoint that names the others.
pub const MANIFEST: &str = "manifest.json";
/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 2;
/// The most bytes of a manifest: some hundred bytes for each file.
const LARGEST: u64 = 16 << 20;

/// What a checkpoint directory holds.
///
/// Its text is a function of its content, and `sha256` is that of the text with this field empty. So a reader that
/// writes the text again and compares it with the file sees every changed bit, white space and its own checksum included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// Optimizer steps done.
    pub(super) step: u64,
    /// What was measured on exactly this state; empty where nothing was.
    pub(super) values: BTreeMap<String, f64>,
    pub(super) files: Vec<FileEntry>,
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    pub(super) name: String,
    bytes: u64,
    sha256: String,
}

/// What every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// JSON has no NaN and no infinity, and a checkpoint is never chosen for such a value: they are left out.
    pub(super) fn new(step: u64, values: BTreeMap<String, f64>) -> Self {
        let values = values.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Self { format: FORMAT, step, values, files: Vec::new(), sha256: String::new() }
    }

    pub(super) fn add(&mut self, name: String, bytes: &[u8]) {
        self.files.push(FileEntry { name, bytes: bytes.len() as u64, sha256: sha256(bytes) });
    }

    /// Whether a name in the checkpoint's directory is one of its files.
    pub(super) fn lists(&self, name: &str) -> bool {
        name == MANIFEST || self.files.iter().any(|entry| entry.name == name)
    }

    /// The file's content.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let text = |manifest: &Self| {
            serde_json::to_vec_pretty(manifest).map_err(|error| CheckpointError::encode(MANIFEST, &error))
        };
        let bare = Self { sha256: String::new(), ..self.clone() };
        text(&Self { sha256: sha256(&text(&bare)?), ..bare })
    }

    /// The manifest of the checkpoint in `directory`.
    pub(super) fn read(files: &dyn Files, directory: &Path) -> Result<Self, CheckpointError> {
        let path = directory.join(MANIFEST);
        let size = size(files, &path)?;
        if size > LARGEST {
            return Err(damaged(&path, format!("{size} bytes; no manifest is larger than {LARGEST}")));
        }
        let bytes = files.read(&path, size).map_err(io(&path, "read it"))?;
        let version: Version = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
        if version.format != FORMAT {
            return Err(damaged(&path, format!("format {}, this version reads {FORMAT}", version.format)));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
        if manifest.to_bytes()? != bytes {
            return Err(damaged(&path, "its content is not the one its SHA-256 is of"));
        }
        Ok(manifest)
    }
}

/// The size of a regular file: a device or a pipe might have no end.
fn size(files: &dyn Files, path: &Path) -> Result<u64, CheckpointError> {
    match files.size(path) {
        Ok(size) => Ok(size),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(damaged(path, "missing")),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Err(damaged(path, "not a regular file")),
        Err(error) => Err(io(path, "read it")(error)),
    }
}

impl FileEntry {
    /// The file in `directory`, refused where it is not what it was when it was written.
    pub(super) fn read(&self, files: &dyn Files, directory: &Path) -> Result<Vec<u8>, CheckpointError> {
        self.check_size(files, directory)?;
        let path = directory.join(&self.name);
        let bytes = files.read(&path, self.bytes).map_err(io(&path, "read it"))?;
        let found = sha256(&bytes);
        if found != self.sha256 {
            return Err(damaged(&path, format!("SHA-256 {found}, the manifest says {}", self.sha256)));
        }
        Ok(bytes)
    }

    /// Refuses a missing file and one of another size, without reading it.
    pub(super) fn check_size(&self, files: &dyn Files, directory: &Path) -> Result<(), CheckpointError> {
        let path = directory.join(&self.name);
        let is_plain = Path::new(&self.name).components().eq([Component::Normal(self.name.as_ref())]);
        if !is_plain {
            return Err(damaged(&directory.join(MANIFEST), format!("`{}` is no file name", self.name)));
        }
        let bytes = size(files, &path)?;
        if bytes == self.bytes {
            return Ok(());
        }
        Err(damaged(&path, format!("{bytes} bytes, the manifest says {}", self.bytes)))
    }
}

/// The SHA-256, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    HEXLOWER.encode(&Sha256::digest(bytes))
}
