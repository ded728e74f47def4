//! PyTorch and we: the same logits from the same weights, both ways, for each reference model. Runs where ANNEAL_PYTHON
//! names a Python that can import torch and safetensors; the committed files of `golden/weights` (`command/weights.rs`) stand
//! in for it elsewhere.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anneal::{
    trainer::weights::{LoadOptions, load, save},
    vision::{
        ImageShape,
        models::{Classifier, LeNetConfig, MlpConfig, ModelConfig, ResNet8Config},
    },
};
use burn::{
    module::Module,
    tensor::{Device, Distribution, Tensor, TensorData},
};
use serde_json::{Value, json};

const TOLERANCE: f32 = 1e-5;

/// The interpreter, where there is one that can do what is asked of it.
fn python() -> Option<PathBuf> {
    let imports = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", "import torch, safetensors.torch"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let python = std::env::var_os("ANNEAL_PYTHON").map(PathBuf::from).filter(imports);
    if python.is_none() {
        println!("skipped: ANNEAL_PYTHON names no Python with torch and safetensors");
    }
    python
}

fn script(python: &Path, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/torch_weights.py");
    let output = Command::new(python).arg(script).args(args).env("OMP_NUM_THREADS", "1").output().expect("it starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn numbers(json: &Value) -> TensorData {
    let list = |field: &str| json[field].as_array().expect("an array").clone();
    let shape: Vec<usize> = list("shape").iter().map(|size| size.as_u64().expect("a size") as usize).collect();
    let values: Vec<f32> = list("values").iter().map(|value| value.as_f64().expect("a number") as f32).collect();
    TensorData::new(values, shape)
}

fn as_json<const D: usize>(tensor: Tensor<D>) -> Value {
    let shape = tensor.dims().to_vec();
    json!({ "shape": shape, "values": tensor.into_data().try_into_vec::<f32>().expect("floats") })
}

fn agree(what: &str, ours: Tensor<2>, torchs: &Value) {
    let torchs = numbers(torchs).try_into_vec::<f32>().expect("floats");
    let ours = ours.into_data().try_into_vec::<f32>().expect("floats");
    assert_eq!(ours.len(), torchs.len(), "{what}");
    let largest = ours.iter().zip(&torchs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let scale = torchs.iter().map(|value| value.abs()).fold(0.0, f32::max);
    println!("{what}: logits up to {scale:.3}, largest difference {largest:.1e}");
    assert!(largest < TOLERANCE, "{what}: {ours:?} against {torchs:?}");
    assert!(scale > 0.05, "{what}: logits that say nothing");
}

#[test]
fn the_same_weights_give_the_same_logits() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let text = |name: &str| folder.path().join(name).display().to_string();
    let device = Device::flex();
    let models: [(ModelConfig, usize, usize); 3] = [
        (MlpConfig { hidden: vec![32, 16] }.into(), 1, 8),
        (LeNetConfig {}.into(), 1, 28),
        (ResNet8Config {}.into(), 3, 32),
    ];
    for (config, channels, size) in models {
        let (name, shape) = (config.info().name, ImageShape::new(channels, size, size));
        let model = |device: &Device| Classifier::new(config.clone(), shape, 10, device).expect("a model");
        let random = |images: usize, device: &Device| {
            Tensor::<4>::random([images, channels, size, size], Distribution::Normal(0.5, 1.5), device)
        };

        // Ours, with running statistics that have seen data, into torch.
        device.seed(3);
        let training = device.clone().autodiff();
        let ours = model(&training);
        for _ in 0..3 {
            let _ = ours.forward(random(16, &training));
        }
        let inputs = random(2, &device);
        save(&ours, &folder.path().join("ours.safetensors")).expect("written");
        fs::write(folder.path().join("inputs.json"), as_json(inputs.clone()).to_string()).expect("written");
        let logits = script(&python, &["logits", name, &text("ours.safetensors"), &text("inputs.json")]);
        let logits = serde_json::from_str(&logits).expect("JSON");
        agree(&format!("{name}, ours in torch"), ours.valid().forward(inputs), &logits);

        // Torch's into ours, from each of its formats.
        script(&python, &["make", name, &channels.to_string(), &size.to_string(), &text("")]);
        let made = fs::read_to_string(folder.path().join(format!("{name}.json"))).expect("a file");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        for file in [format!("{name}.safetensors"), format!("{name}.pt"), format!("{name}-legacy.pt")] {
            let (theirs, loaded) =
                load(model(&device), &folder.path().join(&file), &LoadOptions::new()).expect("loaded");
            assert!(loaded.unused.is_empty(), "{loaded}");
            let inputs = Tensor::<4>::from_data(numbers(&made["inputs"]), &device);
            agree(&format!("{file}, torch's in ours"), theirs.valid().forward(inputs), &made["logits"]);
        }
    }
}
