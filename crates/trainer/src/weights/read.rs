//! From a path to named tensors whose bytes are not drawn yet.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use burn::tensor::Bytes;
use burn_pack::Tensor;
use burn_store::{ModuleStore, SafetensorsStore, bridge, pytorch_reader::PytorchReader};
use serde::Deserialize;

use super::{FILE, Format, WeightsError, error::io};
use crate::checkpoint::{self, Checkpoint, MANIFEST};

/// A file of weights, its tensors named as in the file.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) sha256: String,
    /// By name.
    pub(super) tensors: Vec<Tensor>,
}

/// The SHA-256, in hexadecimal, of the weights at a path: of the file itself; of `model.bpk` for a
/// checkpoint; for a run folder of its `model.safetensors`, or, before it exists, of its newest valid checkpoint.
///
/// # Errors
/// A path that does not exist or holds no weights.
pub fn sha256(path: &Path) -> Result<String, WeightsError> {
    Ok(checkpoint::sha256(&resolve(path)?.1))
}

/// The metadata of a safetensors file, as [`save_with`](super::save_with) writes it; none of a file of another format. Only the
/// header is read.
///
/// # Errors
/// A path that cannot be read; a header that is damaged.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    #[derive(Default, Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: BTreeMap<String, String>,
    }
    if !fs::metadata(path).map_err(io(path, "read it"))?.is_file() {
        return Ok(BTreeMap::new());
    }
    let mut file = File::open(path).map_err(io(path, "read it"))?;
    let mut head = Vec::new();
    file.by_ref().take(9).read_to_end(&mut head).map_err(io(path, "read it"))?;
    let Some((length, first @ [_])) = head.split_first_chunk() else { return Ok(BTreeMap::new()) };
    if Format::of(path, &head) != Some(Format::Safetensors) {
        return Ok(BTreeMap::new());
    }
    let length = u64::from_le_bytes(*length).min(LONGEST_HEADER);
    let header = serde_json::from_reader(BufReader::new(first.chain(file).take(length)));
    let header: Header = header.map_err(|error| WeightsError::Damaged {
        path: path.to_owned(),
        format: Format::Safetensors,
        what: error.to_string(),
    })?;
    Ok(header.metadata)
}

/// Reads names, shapes and kinds; bytes are drawn tensor by tensor, when they are asked for.
pub(super) fn open(path: &Path) -> Result<Source, WeightsError> {
    let (path, bytes) = resolve(path)?;
    let sha256 = checkpoint::sha256(&bytes);
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

/// The file or checkpoint that a path names, and its bytes.
fn resolve(path: &Path) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    if !fs::metadata(path).map_err(io(path, "read it"))?.is_dir() {
        return file(path);
    }
    if path.join(MANIFEST).exists() {
        return parameters(&checkpoint::open(path)?);
    }
    let exported = path.join(FILE);
    if exported.is_file() {
        return file(&exported);
    }
    let checkpoints = path.join("checkpoints");
    if checkpoints.is_dir() {
        return parameters(&checkpoint::newest_good(&checkpoints)?.checkpoint);
    }
    Err(WeightsError::NoWeights(path.to_owned()))
}

fn file(path: &Path) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    Ok((path.to_owned(), report::read_regular(path).map_err(io(path, "read it"))?))
}

/// The parameters of a checkpoint, whose checksums have been verified.
fn parameters(checkpoint: &Checkpoint) -> Result<(PathBuf, Vec<u8>), WeightsError> {
    let path = checkpoint.path().to_owned();
    match checkpoint.part("model.bpk") {
        Some(bytes) => Ok((path, bytes.to_vec())),
        None => Err(WeightsError::NoWeights(path)),
    }
}

fn burnpack(bytes: Vec<u8>) -> Result<Vec<Tensor>, String> {
    burn_pack::Reader::from_bytes(Bytes::from_bytes_vec(bytes))
        .and_then(burn_pack::Reader::into_tensors)
        .map_err(|error| error.to_string())
}

/// The most bytes of the header of a safetensors file: some hundred thousand tensors. Each takes about a kilobyte of
/// memory once it is read.
const LONGEST_HEADER: u64 = 16 << 20;

fn safetensors(bytes: Vec<u8>) -> Result<Vec<Tensor>, String> {
    let header = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if header > LONGEST_HEADER {
        return Err(format!("its header claims {header} bytes, and at most {LONGEST_HEADER} are read"));
    }
    let mut store = SafetensorsStore::from_bytes(Some(bytes));
    let tensors = store.get_all_tensors().map_err(|error| error.to_string())?;
    Ok(tensors.values().cloned().collect())
}

fn pytorch(path: &Path) -> Result<Vec<Tensor>, String> {
    let reader = PytorchReader::new(path).map_err(|error| error.to_string())?;
    Ok(reader.into_tensors().into_values().map(bridge::from_pytorch).collect())
}
