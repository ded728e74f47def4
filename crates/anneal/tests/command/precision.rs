//! `[train] precision`: training in bf16 through the command.

use std::fs;

use crate::common::{SMALL, anneal, folder};
use serde_json::Value;

/// The test accuracy of a run on digits.
fn accuracy(model: &str, precision: &str, epochs: &str) -> f64 {
    let dir = folder(&[("small.toml", SMALL)]);
    let settings = [
        format!("model={{type=\"{model}\"}}"),
        format!("train.precision={precision}"),
        "optimizer.lr=3e-3".to_owned(),
        "schedule={type=\"one_cycle\",max_lr=3e-3}".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let args = [&["train", "small.toml", "--quiet", "--out", "run", "--epochs", epochs][..], &settings].concat();
    let ran = anneal(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let summary = fs::read_to_string(dir.path().join("run/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    summary["test"]["accuracy"].as_f64().expect("an accuracy")
}

#[test]
fn networks_learn_in_bf16_what_they_learn_in_f32() {
    for (model, epochs) in [("mlp", "6"), ("lenet", "6"), ("convnet", "4"), ("resnet8", "2")] {
        let (whole, half) = (accuracy(model, "f32", epochs), accuracy(model, "bf16", epochs));
        println!("{model}: f32 {whole:.2} %, bf16 {half:.2} %");
        assert!(whole > 80.0 && (whole - half).abs() < 4.0, "{model}: f32 {whole}, bf16 {half}");
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn a_device_without_bf16_refuses_before_any_work() {
    let dir = folder(&[("small.toml", SMALL)]);
    for set in ["train.precision=bf16", "train.precision=bf16-mixed"] {
        let ran = anneal(dir.path(), &["train", "small.toml", "--device", "ndarray", "--set", set, "--out", "no"]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("train.precision: \"bf16\" is not allowed here; allowed: \"f32\""), "{}", ran.err);
        assert!(!dir.path().join("no").exists());
    }
}

#[test]
fn a_run_is_resumed_in_its_own_precision() {
    let dir = folder(&[("small.toml", SMALL)]);
    let train = |precision: &str, more: &[&str]| {
        let precision = format!("train.precision={precision}");
        let args = ["train", "small.toml", "--out", "run", "--quiet", "--set", &precision];
        anneal(dir.path(), &[&args, more].concat())
    };
    assert_eq!(train("bf16", &["--epochs", "1"]).code, 0);
    let other = train("f32", &["--epochs", "2", "--resume"]);
    assert_eq!(other.code, 1);
    assert!(other.err.contains("belongs to another configuration"), "{}", other.err);
    assert_eq!(train("bf16-mixed", &["--epochs", "2", "--resume"]).code, 0);
}
