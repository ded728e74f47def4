//! PyTorch and we: the same logits from the same weights, and the same names. `python/torch_language.py` made the files of
//! `golden`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use serde_json::{Map, Value};
use text::models::{LanguageModel, LanguageModelConfig};

const NAMES: [&str; 3] = ["gpt", "gpt-untied", "gru"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The model that a file of torch's describes, and the file.
fn described(name: &str, device: &Device) -> (LanguageModel, Value) {
    let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let mut settings: toml::Table = serde_json::from_value(json["settings"].clone()).unwrap();
    let mut take = |field: &str| settings.remove(field).unwrap();
    let (model, vocabulary, context) = (take("model"), take("vocabulary"), take("context"));
    let config = LanguageModelConfig::read(model.as_str().unwrap(), &settings).unwrap();
    let size = |value: toml::Value| value.as_integer().unwrap() as usize;
    (LanguageModel::new(&config, size(vocabulary), size(context), device).unwrap(), json)
}

#[test]
fn the_same_weights_give_the_logits_of_torch() {
    let device = Device::flex();
    for name in NAMES {
        let (mut model, json) = described(name, &device);
        let mut store = SafetensorsStore::from_file(golden(&format!("{name}.safetensors")))
            .with_from_adapter(PyTorchToBurnAdapter)
            .skip_enum_variants(true);
        let loaded = model.load_from(&mut store).unwrap();
        assert!(loaded.unused.is_empty() && loaded.missing.is_empty(), "{name}: {loaded:?}");

        let rows: Vec<Vec<i32>> = serde_json::from_value(json["tokens"].clone()).unwrap();
        let shape = [rows.len(), rows[0].len()];
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(rows.concat(), shape), &device);
        let ours = model.forward(tokens).into_data().try_into_vec::<f32>().unwrap();
        let torchs: Vec<f32> = serde_json::from_value(json["logits"]["values"].clone()).unwrap();
        assert_eq!(ours.len(), torchs.len(), "{name}");
        let largest = ours.iter().zip(&torchs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let scale = torchs.iter().map(|value| value.abs()).fold(0.0, f32::max);
        println!("{name}: logits up to {scale:.3}, largest difference {largest:.1e}");
        assert!(scale > 0.5, "{name}: logits that say nothing");
        assert!(largest < 2e-6 * scale.max(1.0), "{name}: {largest} of {scale}");
    }
}

#[test]
fn a_written_file_has_the_names_and_shapes_of_torchs_state_dict() {
    let header = |bytes: &[u8]| -> Map<String, Value> {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        header.remove("__metadata__");
        header.values_mut().for_each(|entry| drop(entry.as_object_mut().unwrap().remove("data_offsets")));
        header
    };
    for name in NAMES {
        let (model, _) = described(name, &Device::flex());
        let mut store =
            SafetensorsStore::from_bytes(None).with_to_adapter(BurnToPyTorchAdapter).skip_enum_variants(true);
        model.valid().save_into(&mut store).unwrap();
        let expected = std::fs::read(golden(&format!("{name}.safetensors"))).unwrap();
        assert_eq!(header(&store.get_bytes().unwrap()), header(&expected), "{name}");
    }
}
