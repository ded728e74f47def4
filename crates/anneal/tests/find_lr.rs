//! `anneal find-lr`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use common::{SMALL, anneal, folder};
use serde_json::Value;

#[test]
fn the_curve_and_a_suggestion_come_out() {
    let dir = folder(&[]);
    let config = common::root().join("examples/strategies/08-find-lr.toml");
    let ran = anneal(
        dir.path(),
        &["find-lr", config.to_str().expect("a path"), "--plot", "lr.svg", "--plot", "lr.png", "--json", "lr.json"],
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("suggestion (valley): lr = "), "{}", ran.out);
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("lr.json")).expect("written")).expect("JSON");
    let lrs = json["lrs"].as_array().expect("rates");
    assert_eq!(lrs[0], 1e-7);
    for other in ["losses", "smoothed"] {
        assert_eq!(json[other].as_array().expect("numbers").len(), lrs.len());
    }
    let suggested = json["suggestion"]["lr"].as_f64().expect("a rate");
    assert!((1e-5..1.0).contains(&suggested), "{suggested}");
    assert_eq!(json["suggestion"]["rule"], "valley");
    assert!(std::fs::read_to_string(dir.path().join("lr.svg")).expect("written").contains("valley"));
    assert!(std::fs::metadata(dir.path().join("lr.png")).expect("written").len() > 1_000);
    assert!(!dir.path().join("runs").exists(), "the finder makes no run folder");
}

#[test]
fn no_suggestion_is_exit_code_3_with_the_reason() {
    let dir = folder(&[("small.toml", SMALL)]);
    let set = ["--set", "lr_finder.start_lr=1e-12", "--set", "lr_finder.end_lr=1e-11"];
    let ran = anneal(dir.path(), &[&["find-lr", "small.toml", "--json", "-"], &set[..]].concat());
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    let json: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(json["suggestion"], Value::Null);
    assert!(json["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
}

#[test]
fn it_changes_nothing() {
    let dir = folder(&[("small.toml", SMALL)]);
    let train = |out: &str| {
        assert_eq!(anneal(dir.path(), &["train", "small.toml", "--out", out, "--quiet"]).code, 0);
        std::fs::read(dir.path().join(out).join("checkpoints/step-00000063/model.bpk")).expect("a checkpoint")
    };
    let before = train("before");
    anneal(dir.path(), &["find-lr", "small.toml"]);
    assert!(train("after") == before);
}

#[test]
fn bad_settings_are_named() {
    let dir = folder(&[]);
    for (setting, message) in [
        ("lr_finder.start_lr=0", "lr_finder.start_lr: 0 is not allowed here"),
        ("lr_finder.rule=valey", "did you mean `valley`?"),
        ("lr_finder.end_lr=1e-9", "above start_lr"),
    ] {
        let ran = anneal(dir.path(), &["find-lr", "--set", setting]);
        assert_eq!(ran.code, 2, "{setting}");
        assert!(ran.err.contains(message), "{setting}: {}", ran.err);
    }
}
