//! The example, run as a user runs it: two optimizers train, and a run that is started again goes on to the bit.

#![allow(clippy::expect_used, reason = "tests may fail loudly")]

use std::{path::Path, process::Command};

/// Runs the example for so many epochs in all; gives the figures of its epochs.
fn run(epochs: u64, folder: &Path) -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_example-gan"))
        .arg(epochs.to_string())
        .arg(folder)
        .output()
        .expect("the example starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // 1,437 images in batches of 32.
    let state = folder.join(format!("step-{:08}/state.json", epochs * 45));
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(state).expect("a checkpoint of the last step")).expect("JSON");
    state["history"].as_array().expect("a history").clone()
}

#[test]
fn two_optimizers_learn_digits_and_resume_to_the_bit() {
    let (whole, cut) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = run(6, whole.path());
    assert_eq!(run(3, cut.path()), expected[..3]);
    assert_eq!(run(6, cut.path()), expected, "from the checkpoint of epoch 3");
    let of = |epoch: usize, name: &str| expected[epoch]["values"][name].as_f64().expect("a number");
    // Two images that are told apart by a coin cost 2 ln 2 = 1.386 together; both parts have learned something.
    assert!(of(0, "train.d_loss") < 1.38 && of(5, "train.d_loss") < 1.38, "{expected:?}");
    assert!(of(5, "train.g_loss") < of(0, "train.g_loss") * 3.0, "{expected:?}");
}

#[test]
fn a_wrong_number_is_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-gan")).arg("many").output().expect("the example starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: invalid digit found in string\n");
}
