//! Runs of the `anneal` command on a GPU: as good as flex's, resumable, their checkpoints at home on either device; and
//! what is said about devices that are not there.
//!
//! Runs where a GPU backend is compiled in, on `gpu` or on the device that `ANNEAL_GPU` names: `just gpu-test`.

#![cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use std::{fs, path::Path};

use common::{Ran, anneal, folder, same_checkpoint};
use serde_json::Value;

fn gpu() -> String {
    std::env::var("ANNEAL_GPU").unwrap_or_else(|_| "gpu".to_owned())
}

/// Digits under a lenet: batches of 32 and a rate that learns fast.
const DIGITS: &str = "[run]\nname = 'digits'\nseed = 3\n[data]\nbatch_size = 32\n[optimizer]\ntype = 'adam'\nlr = 3e-3\n\
    [model]\ntype = 'lenet'\n[schedule]\ntype = 'step'\nstep_size = 2\ngamma = 0.5\n[train]\nepochs = 4\n";

fn train(dir: &Path, args: &[&str]) {
    let ran = anneal(dir, &[&["train", "digits.toml", "--quiet"], args].concat());
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
}

fn summary(dir: &Path, run: &str) -> Value {
    let text = fs::read_to_string(dir.join(run).join("summary.json")).expect("a summary");
    serde_json::from_str(&text).expect("JSON")
}

fn accuracy(dir: &Path, run: &str) -> f64 {
    summary(dir, run)["test"]["accuracy"].as_f64().expect("measured")
}

/// From the same weights, in the same order of the data, four epochs of digits end where flex's do.
#[test]
fn epochs_of_digits_reach_what_they_reach_on_flex() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let dir = dir.path();
    // Each device draws other initial weights from a seed: both runs start from what one step on flex leaves.
    train(dir, &["--device", "flex", "--epochs", "1", "--set", "train.limit_train_batches=1", "--out", "start"]);
    let gpu = gpu();
    for (device, out) in [("flex", "flex"), (gpu.as_str(), "gpu")] {
        train(dir, &["--device", device, "--out", out, "--set", "model.pretrained=start/model.safetensors"]);
    }
    let (expected, found) = (accuracy(dir, "flex"), accuracy(dir, "gpu"));
    println!("accuracy {expected:.2} on flex, {found:.2} here");
    // A test set of 360: three images.
    assert!((expected - found).abs() <= 0.9, "{expected} on flex, {found} here");
    assert!(found > 80.0, "{found}");
    let losses = |run: &str| -> Vec<f64> {
        let text = fs::read_to_string(dir.join(run).join("metrics.jsonl")).expect("a log");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["split"] == "valid").map(|line| line["loss"].as_f64().expect("a loss")).collect()
    };
    let (expected, found) = (losses("flex"), losses("gpu"));
    println!("validation losses {expected:?} on flex, {found:?} here");
    assert_eq!((expected.len(), found.len()), (4, 4));
    assert!((expected[0] - found[0]).abs() <= 0.02 * expected[0], "{expected:?} on flex, {found:?} here");
}

/// A run that ended and goes on in another process is the run that was never interrupted, bit for bit: batches, weights,
/// moments and history. (On a driver whose sums depend on timing this cannot hold; see docs/gpu.md.)
///
/// Every step is looked at here: the last of a run always is, so the first half's mean loss would otherwise be taken
/// over one step more.
#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let dir = dir.path();
    let gpu = gpu();
    let every = ["--device", &gpu, "--set", "train.log_every=1"];
    train(dir, &[&every[..], &["--out", "whole"]].concat());
    train(dir, &[&every[..], &["--out", "parts", "--epochs", "2"]].concat());
    let resumed = anneal(dir, &["resume", "parts", "--epochs", "4", "--quiet"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert!(summary(dir, "parts")["resumed_from"].as_u64().is_some_and(|step| step > 0));
    same_checkpoint(&dir.join("whole/checkpoints"), &dir.join("parts/checkpoints"), "whole and parts");
}

/// A checkpoint is at home on either device: a run begun on one goes on on the other and learns on.
#[test]
fn a_run_moves_between_devices() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let dir = dir.path();
    let gpu = gpu();
    for (from, to, out) in [(gpu.as_str(), "flex", "down"), ("flex", gpu.as_str(), "up")] {
        train(dir, &["--device", from, "--out", out, "--epochs", "2"]);
        let loss = |run: &str| summary(dir, run)["last"]["valid.loss"].as_f64().expect("a loss");
        let (halfway, steps) = (loss(out), summary(dir, out)["steps"].clone());
        train(dir, &["--device", to, "--out", out, "--epochs", "4", "--resume"]);
        assert_eq!(summary(dir, out)["resumed_from"], steps, "{out}");
        assert!(loss(out) < halfway, "{out}: {} after {halfway}", loss(out));
        // What was exported after the training on one device says the same on the other.
        let evaluated = anneal(dir, &["evaluate", out, "--json"]);
        let values = common::parsed(&evaluated.out);
        assert_eq!(values["accuracy"].as_f64().expect("measured"), accuracy(dir, out), "{out}");
    }
}

#[test]
fn the_finder_runs_from_the_command_line() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let found = anneal(dir.path(), &["find-lr", "digits.toml", "--device", &gpu(), "--json", "lr.json"]);
    assert_eq!(found.code, 0, "{}", found.err);
    let text = fs::read_to_string(dir.path().join("lr.json")).expect("a file");
    let curve: Value = serde_json::from_str(&text).expect("JSON");
    let lr = curve["suggestion"]["lr"].as_f64().expect("a suggestion");
    assert!((1e-4..1.0).contains(&lr), "{lr}");
}

#[test]
fn adapters_are_listed_by_name() {
    let dir = folder(&[]);
    let listed = anneal(dir.path(), &["list", "devices", "--json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    let rows = common::parsed(&listed.out);
    let adapters: Vec<&str> = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["adapters"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert!(adapters.iter().any(|adapter| adapter.contains(":0 (")), "{adapters:?}");
    println!("{adapters:?}");
}

/// Refused before any work: exit code 2, one line that says what is wrong, no run folder. (Libraries that look for a
/// display may complain beside it.)
fn refused(ran: &Ran, dir: &Path, expected: &str) {
    assert_eq!(ran.code, 2, "{}", ran.err);
    let said = ran.err.lines().filter(|line| line.starts_with("error: run.device: ")).collect::<Vec<_>>();
    assert!(matches!(said[..], [line] if line.contains(expected)), "{}", ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert!(!dir.join("runs").exists(), "a run folder was made");
}

#[test]
fn an_adapter_that_does_not_exist_is_refused_before_any_work() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let gpu = gpu();
    let gpu = gpu.split(':').next().expect("a kind");
    let missing = format!("{gpu}:97");
    let ran = anneal(dir.path(), &["train", "digits.toml", "--device", &missing]);
    refused(&ran, dir.path(), &format!("there is no `{missing}`; this machine has {gpu}:0"));
}

/// wgpu on a machine without a driver. Only Linux lets a test take the drivers away.
#[cfg(all(target_os = "linux", feature = "wgpu"))]
#[test]
fn a_machine_without_a_gpu_is_told_so_before_any_work() {
    let dir = folder(&[("digits.toml", DIGITS)]);
    let without = |args: &[&str]| {
        // No Vulkan driver, and no OpenGL one either.
        let nowhere = "/nonexistent";
        let variables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LIBGL_DRIVERS_PATH", "__EGL_VENDOR_LIBRARY_FILENAMES"];
        let output = common::command(dir.path()).args(args).envs(variables.map(|name| (name, nowhere))).output();
        common::ran(&output.expect("the command starts"))
    };
    for device in ["wgpu", "wgpu:0"] {
        let ran = without(&["train", "digits.toml", "--device", device]);
        refused(&ran, dir.path(), "this machine has no adapter for it");
        let ran = without(&["find-lr", "digits.toml", "--device", device]);
        refused(&ran, dir.path(), "this machine has no adapter for it");
    }
    let listed = without(&["list", "devices"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(listed.out.contains("adapters: none found"), "{}", listed.out);
    // The CPU is still there.
    assert_eq!(without(&["train", "digits.toml", "--epochs", "1", "--quiet"]).code, 0);
}
