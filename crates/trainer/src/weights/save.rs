//! A model's weights as a safetensors file that PyTorch opens.

use std::{collections::BTreeMap, fs::File, path::Path};

use burn::module::Module;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};
use serde_json::{Map, Value};

use super::{WeightsError, error::io};

/// Writes the parameters and buffers of `model` as safetensors, under PyTorch's names and in its layouts.
///
/// `safetensors.torch.load_file` reads the file, and `load_state_dict` with `strict = True` accepts it where the module
/// in torch has the same names: `num_batches_tracked` of a batch norm may be absent, torch then starts it at 0. Equal
/// weights give equal files, byte for byte. The file is replaced whole or not at all.
///
/// # Errors
/// What the file system refuses; a parameter in a type that safetensors does not have (quantized).
pub fn save<M: Module>(model: &M, path: &Path) -> Result<(), WeightsError> {
    save_with(model, path, &BTreeMap::new())
}

/// As [`save`], with entries for the file's metadata beside `format = "pt"` (which transformers asks for) and
/// `producer = "anneal VERSION"`.
///
/// # Errors
/// As [`save`].
pub fn save_with<M: Module>(model: &M, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), WeightsError> {
    let bytes = encode(model, metadata).map_err(|what| WeightsError::Encode { path: path.to_owned(), what })?;
    report::atomic_write(path, &bytes).map_err(io(path, "write it"))?;
    flush_directory(path)
}

/// A rename is on disk only once its directory is; systems that cannot open a directory order renames themselves.
fn flush_directory(path: &Path) -> Result<(), WeightsError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !cfg!(unix) {
        return Ok(());
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory, "flush it to disk"))
}

fn encode<M: Module>(model: &M, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, String> {
    // burn's running statistics take in the last update of training only when they are asked for in inference mode.
    let model = model.valid();
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(BurnToPyTorchAdapter)
        .skip_enum_variants(true)
        .clear_metadata();
    model.save_into(&mut store).map_err(|error| error.to_string())?;
    let written = store.get_bytes().map_err(|error| error.to_string())?;
    let own = [("format", "pt".to_owned()), ("producer", format!("anneal {}", env!("CARGO_PKG_VERSION")))];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let metadata = metadata.clone().into_iter().chain(own).map(|(name, value)| (name, Value::String(value)));
    with_metadata(&written, metadata.collect())
}

/// Rewrites the header with its keys in order: safetensors keeps metadata in a hash map, in another order each time.
///
/// A file is the header's length (8 bytes, least significant first), the header (JSON, padded with spaces to a multiple
/// of 8) and the data, which offsets in the header count from.
fn with_metadata(file: &[u8], metadata: Map<String, Value>) -> Result<Vec<u8>, String> {
    const LENGTH: usize = size_of::<u64>();
    let parts = || {
        let (length, rest) = file.split_first_chunk::<LENGTH>()?;
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    };
    let (header, data) = parts().ok_or("safetensors wrote no header")?;
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    let mut header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    let mut bytes = Vec::with_capacity(LENGTH + header.len() + data.len());
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}
