//! PyTorch and we: the same outputs from the same weights, and the same names. `tests/python/torch_tables.py` made the files
//! of `golden`.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use serde_json::{Map, Value};
use tables::models::{Features, TableMlp, TableMlpConfig};

use crate::model::alone;

const NAMES: [&str; 3] = ["classes", "number", "ids"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The network that a file of torch's describes, and the file.
fn described(name: &str, device: &Device) -> (TableMlp, Value) {
    let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let settings = &json["settings"];
    let size = |field: &str| settings[field].as_u64().unwrap() as usize;
    let sizes = |field: &str| serde_json::from_value::<Vec<usize>>(settings[field].clone()).unwrap();
    let features = Features { numbers: size("numbers"), categories: sizes("categories"), outputs: size("outputs") };
    let config =
        TableMlpConfig { hidden: sizes("hidden"), embedding: Some(size("embedding")), ..TableMlpConfig::default() };
    (config.init(&features, device).unwrap(), json)
}

fn numbers(json: &Value) -> TensorData {
    let shape: Vec<usize> = serde_json::from_value(json["shape"].clone()).unwrap();
    let values: Vec<f32> = serde_json::from_value(json["values"].clone()).unwrap();
    TensorData::new(values, shape)
}

#[test]
fn the_same_weights_give_the_outputs_of_torch() {
    let _alone = alone();
    let device = Device::flex();
    for name in NAMES {
        let (mut model, json) = described(name, &device);
        let mut store =
            SafetensorsStore::from_file(golden(&format!("{name}.safetensors"))).with_from_adapter(PyTorchToBurnAdapter);
        let loaded = model.load_from(&mut store).unwrap();
        assert!(loaded.unused.is_empty() && loaded.missing.is_empty(), "{name}: {loaded:?}");

        let inputs = Tensor::<2>::from_data(numbers(&json["numbers"]), &device);
        let rows: Vec<Vec<i32>> = serde_json::from_value(json["codes"].clone()).unwrap();
        let shape = [rows.len(), rows[0].len()];
        let codes = Tensor::<2, Int>::from_data(TensorData::new(rows.concat(), shape), &device);
        let ours = model.forward(inputs, codes).into_data().try_into_vec::<f32>().unwrap();
        let torchs = numbers(&json["outputs"]).try_into_vec::<f32>().unwrap();
        assert_eq!(ours.len(), torchs.len(), "{name}");
        let largest = ours.iter().zip(&torchs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let scale = torchs.iter().map(|value| value.abs()).fold(0.0, f32::max);
        println!("{name}: outputs up to {scale:.3}, largest difference {largest:.1e}");
        assert!(scale > 0.3, "{name}: outputs that say nothing");
        assert!(largest < 2e-6 * scale.max(1.0), "{name}: {largest} of {scale}");
    }
}

#[test]
fn a_written_file_has_the_names_and_shapes_of_torchs_state_dict() {
    let _alone = alone();
    let header = |bytes: &[u8]| -> Map<String, Value> {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        header.remove("__metadata__");
        header.values_mut().for_each(|entry| drop(entry.as_object_mut().unwrap().remove("data_offsets")));
        header
    };
    for name in NAMES {
        let (model, _) = described(name, &Device::flex());
        let mut store = SafetensorsStore::from_bytes(None).with_to_adapter(BurnToPyTorchAdapter);
        model.valid().save_into(&mut store).unwrap();
        let expected = std::fs::read(golden(&format!("{name}.safetensors"))).unwrap();
        assert_eq!(header(&store.get_bytes().unwrap()), header(&expected), "{name}");
    }
}
