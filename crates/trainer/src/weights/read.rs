//! From a path to named tensors whose bytes are not drawn yet.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use burn::tensor::Bytes;
use burn_pack::Tensor;
use burn_store::{ModuleStore, SafetensorsStore, bridge, pytorch_reader::PytorchReader};

use super::{FILE, Layout, WeightsError};
use crate::checkpoint::{self, Checkpoint};

/// A format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// burn's own, `.bpk`; checkpoints hold it.
    Burnpack,
    /// `.safetensors`.
    Safetensors,
    /// What `torch.save` writes, `.pt` or `.pth`: zip archives, the older pickle streams and tar archives. A state dict,
    /// a checkpoint that holds one beside other things (`model.fc.weight`: use `remap`), or a whole module. Nothing in
    /// the pickle is executed.
    PyTorch,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Burnpack => "burnpack",
            Self::Safetensors => "safetensors",
            Self::PyTorch => "PyTorch",
        })
    }
}

impl Format {
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Burnpack => Layout::Burn,
            Self::Safetensors | Self::PyTorch => Layout::PyTorch,
        }
    }

    /// By the first bytes, and by the extension where they do not tell.
    fn of(path: &Path, bytes: &[u8]) -> Option<Self> {
        /// burnpack's magic number, least significant byte first.
        const BURNPACK: &[u8] = b"NRUB";
        const ZIP: &[u8] = b"PK\x03\x04";
        // A safetensors file is the length of its header (8 bytes) and then the header, a JSON object.
        if bytes.starts_with(BURNPACK) {
            return Some(Self::Burnpack);
        }
        if bytes.starts_with(ZIP) {
            return Some(Self::PyTorch);
        }
        if bytes.get(8) == Some(&b'{') {
            return Some(Self::Safetensors);
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("bpk") => Some(Self::Burnpack),
            Some("safetensors") => Some(Self::Safetensors),
            Some("pt" | "pth" | "bin" | "ckpt" | "pkl") => Some(Self::PyTorch),
            _ => None,
        }
    }
}

/// A file of weights, its tensors named as in the file.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) sha256: String,
    /// By name.
    pub(super) tensors: Vec<Tensor>,
}

/// The SHA-256, in hexadecimal, of the weights that a path stands for: of the file itself; of `model.bpk` for a
/// checkpoint; for a run folder of its `model.safetensors`, or while there is none of its newest valid checkpoint.
///
/// # Errors
/// A path that does not exist, or stands for no weights.
pub fn sha256(path: &Path) -> Result<String, WeightsError> {
    Ok(digest(&resolve(path)?.1))
}

/// Reads names, shapes and kinds; bytes are drawn tensor by tensor, when they are asked for.
pub(super) fn open(path: &Path) -> Result<Source, WeightsError> {
    let (path, bytes) = resolve(path)?;
    let sha256 = digest(&bytes);
    let format = Format::of(&path, &bytes).ok_or_else(|| WeightsError::UnknownFormat(path.clone()))?;
    let tensors = match format {
        Format::Burnpack => burnpack(bytes),
        Format::Safetensors => safetensors(bytes),
        Format::PyTorch => {
            drop(bytes);
            pytorch(&path)
        }
    };
    match tensors {
        Ok(mut tensors) => {
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(Source { path, format, sha256, tensors })
        }
        Err(what) => Err(WeightsError::Damaged { path, format, what }),
    }
}

/// The file or checkpoint that a path stands for, and its bytes.
fn resolve(path: &Path) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    if !fs::metadata(path).map_err(io(path, "read it"))?.is_dir() {
        return file(path);
    }
    if path.join("manifest.json").exists() {
        return parameters(&checkpoint::open(path)?);
    }
    let exported = path.join(FILE);
    if exported.is_file() {
        return file(&exported);
    }
    let checkpoints = path.join("checkpoints");
    if checkpoints.is_dir() {
        return parameters(&checkpoint::newest(&checkpoints)?.checkpoint);
    }
    Err(WeightsError::NoWeights(path.to_owned()))
}

fn file(path: &Path) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    Ok((path.to_owned(), bytes_of(path)?))
}

/// The parameters of a checkpoint, whose checksums have been verified.
fn parameters(checkpoint: &Checkpoint) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    let path = checkpoint.path().to_owned();
    match checkpoint.part("model.bpk") {
        Some(bytes) => Ok((path, bytes.to_vec())),
        None => Err(WeightsError::NoWeights(path)),
    }
}

/// The content of a regular file; a device or a pipe might have no end.
fn bytes_of(path: &Path) -> Result<Vec<u8>, WeightsError> {
    if !fs::metadata(path).map_err(io(path, "read it"))?.is_file() {
        return Err(io(path, "read it")(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")));
    }
    fs::read(path).map_err(io(path, "read it"))
}

pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> WeightsError {
    let path = path.to_owned();
    move |source| WeightsError::Io { path, action, source }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hex: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

fn burnpack(bytes: Vec<u8>) -> Result<Vec<Tensor>, String> {
    burn_pack::Reader::from_bytes(Bytes::from_bytes_vec(bytes))
        .and_then(burn_pack::Reader::into_tensors)
        .map_err(|error| error.to_string())
}

fn safetensors(bytes: Vec<u8>) -> Result<Vec<Tensor>, String> {
    let mut store = SafetensorsStore::from_bytes(Some(bytes));
    let tensors = store.get_all_tensors().map_err(|error| error.to_string())?;
    Ok(tensors.values().cloned().collect())
}

fn pytorch(path: &Path) -> Result<Vec<Tensor>, String> {
    let reader = PytorchReader::new(path).map_err(|error| error.to_string())?;
    Ok(reader.into_tensors().into_values().map(bridge::from_pytorch).collect())
}
