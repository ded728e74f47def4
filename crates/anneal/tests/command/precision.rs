//! `[train] precision`: training in bf16 through the command.

use std::{fs, path::Path};

use crate::common::{SMALL, anneal, folder};
use serde_json::Value;

/// The test accuracy of a run, in percent.
fn accuracy(precision: &str, settings: &[&str]) -> f64 {
    let dir = folder(&[("small.toml", SMALL)]);
    let precision = format!("train.precision={precision}");
    let common = [precision.as_str(), "optimizer.lr=3e-3", "schedule={type=\"one_cycle\",max_lr=3e-3}"];
    let settings: Vec<&str> = common.iter().chain(settings).flat_map(|setting| ["--set", *setting]).collect();
    let ran = anneal(dir.path(), &[&["train", "small.toml", "--quiet", "--out", "run"][..], &settings].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let summary = fs::read_to_string(dir.path().join("run/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    summary["test"]["accuracy"].as_f64().expect("an accuracy")
}

#[test]
fn networks_learn_in_bf16_what_they_learn_in_f32() {
    for (model, epochs) in [("mlp", "6"), ("lenet", "6"), ("convnet", "4"), ("resnet8", "2"), ("airbench", "4")] {
        let widths = if model == "airbench" { ",widths=[16,32]" } else { "" };
        let settings = [format!("model={{type=\"{model}\"{widths}}}"), format!("train.epochs={epochs}")];
        let [whole, half] = ["f32", "bf16"].map(|precision| accuracy(precision, &[&settings[0], &settings[1]]));
        println!("{model}: f32 {whole:.2} %, bf16 {half:.2} %");
        assert!(whole > 80.0 && (whole - half).abs() < 4.0, "{model}: f32 {whole}, bf16 {half}");
    }
}

/// Mean and variance of a mean, from three values.
fn mean(values: [f64; 3]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / 3.0;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 6.0)
}

/// Three seeds each: the means are no farther apart than seeds explain (three standard errors of the difference).
#[test]
fn bf16_reaches_the_accuracy_of_f32_within_noise_on_three_tasks() {
    let data_dir = std::env::var("ANNEAL_DATA_DIR").unwrap_or_default();
    let digits = ["data.dataset=digits", "train.epochs=4", "model={type=\"mlp\",hidden=[64]}"];
    let mnist = ["data.dataset=mnist", "train.limit_train_batches=80", "model={type=\"lenet\"}"];
    let cifar10 =
        ["data.dataset=cifar10-part", "train.limit_train_batches=80", "model={type=\"convnet\",channels=[8,16,32]}"];
    for (task, settings, folder, least) in
        [("digits", digits, "", 80.0), ("mnist", mnist, "mnist", 85.0), ("cifar10-part", cifar10, "cifar10", 25.0)]
    {
        if !folder.is_empty() && !Path::new(&data_dir).join(folder).is_dir() {
            eprintln!("skipped: {task}, which is not here");
            continue;
        }
        let dir = format!("data.data_dir={data_dir}");
        let at_seed = |precision, seed| {
            let seed = format!("run.seed={seed}");
            let own = if folder.is_empty() { vec![] } else { vec![dir.as_str(), "train.epochs=1"] };
            accuracy(precision, &[&settings[..], &own, &[&seed]].concat())
        };
        let [(whole, of_whole), (half, of_half)] =
            ["f32", "bf16"].map(|precision| mean([1, 2, 3].map(|seed| at_seed(precision, seed))));
        let error = (of_whole + of_half).sqrt();
        println!("{task}: f32 {whole:.2} %, bf16 {half:.2} %, standard error of the difference {error:.2}");
        assert!(whole > least, "{task}: {whole}");
        assert!((whole - half).abs() < 3.0 * error, "{task}: f32 {whole}, bf16 {half}, standard error {error}");
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
