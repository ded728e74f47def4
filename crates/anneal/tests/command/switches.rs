//! `--fast-dev-run`, `--overfit-batches`, `--max-time`, and what `[train]` says of averages and frozen parameters.

use std::{fs, path::Path};

use crate::common::{SMALL, anneal, folder, json, parsed};
use serde_json::Value;

fn summary(run: &Path) -> Value {
    json(run.join("summary.json"))
}

#[test]
fn a_fast_dev_run_leaves_no_logs_and_no_checkpoints() {
    let dir = folder(&[("small.toml", SMALL)]);
    // Without a folder of its own it leaves none.
    for _ in 0..2 {
        let ran = anneal(dir.path(), &["train", "small.toml", "--fast-dev-run"]);
        assert_eq!((ran.code, ran.out.contains("run folder")), (0, false), "{}{}", ran.out, ran.err);
        assert_eq!(fs::read_dir(dir.path().join("runs")).map_or(0, Iterator::count), 0);
    }
    // The number may be left out, and the config may follow the flag.
    for (args, out, steps) in [
        (vec!["train", "small.toml", "--fast-dev-run", "--out", "one"], "one", 1),
        (vec!["train", "small.toml", "--fast-dev-run", "3", "--out", "three"], "three", 3),
        (vec!["train", "--out", "follows", "--fast-dev-run", "small.toml"], "follows", 1),
        // The embedded example warms up over a tenth of its run: more than a trial of one step has.
        (vec!["train", "--fast-dev-run", "--out", "embedded"], "embedded", 1),
    ] {
        let ran = anneal(dir.path(), &args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        let run = dir.path().join(out);
        let summary = summary(&run);
        assert_eq!((&summary["steps"], &summary["epochs"]), (&Value::from(steps), &Value::from(1)), "{args:?}");
        assert!(summary["last"]["valid.loss"].is_number() && summary["test"]["loss"].is_number(), "{args:?}");
        for left_out in ["checkpoints", "metrics.jsonl", "plots"] {
            let path = run.join(left_out);
            let empty = !path.exists() || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            assert!(empty, "{args:?}: {left_out}");
        }
    }
}

#[test]
fn a_few_batches_are_learnt_by_heart() {
    let dir = folder(&[("small.toml", &SMALL.replace("gamma = 0.5", "gamma = 1.0").replace("1e-3", "1e-2"))]);
    let args = ["train", "small.toml", "--overfit-batches", "2", "--epochs", "60", "--out", "run", "--quiet"];
    let ran = anneal(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let summary = summary(&dir.path().join("run"));
    assert_eq!(summary["steps"], 120);
    assert_eq!(summary["last"]["valid.accuracy"], 100.0, "validated on what it was trained on: {summary}");
}

#[test]
fn time_is_a_limit_and_a_resumption_goes_on() {
    let dir = folder(&[("small.toml", SMALL)]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--max-time", "0.000001s", "--out", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("out of time"), "{}", ran.out);
    let run = dir.path().join("run");
    assert_eq!(
        (summary(&run)["stopped"]["kind"].as_str(), summary(&run)["steps"].as_u64()),
        (Some("time_limit"), Some(1))
    );
    let ran = anneal(dir.path(), &["resume", "run", "--max-time", "1h", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let after = summary(&run);
    assert_eq!((&after["stopped"]["kind"], &after["steps"]), (&Value::from("finished"), &Value::from(63)));
    assert!(after["elapsed"].as_f64() > after["seconds"].as_f64());
    let refused = anneal(dir.path(), &["train", "small.toml", "--max-time", "soon"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("error: --max-time: "), "{}", refused.err);
}

#[test]
fn costs_are_in_the_summary() {
    let dir = folder(&[("small.toml", SMALL)]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("\ntime    data ") && ran.out.contains("(stalled "), "{}", ran.out);
    let summary = summary(&dir.path().join("run"));
    for phase in ["data", "model", "optimizer", "validation", "checkpoint", "callbacks"] {
        assert!(summary["times"][phase].as_f64().is_some_and(|seconds| seconds >= 0.0), "{phase}: {summary}");
    }
    if cfg!(target_os = "linux") {
        assert!(summary["peak_memory"].as_u64() > Some(10 << 20), "{summary}");
        assert!(ran.out.contains("peak memory"), "{}", ran.out);
    }
}

#[test]
fn averages_are_evaluated_and_frozen_parameters_named() {
    let with = |more: &str| SMALL.to_owned() + more;
    let dir = folder(&[
        ("plain.toml", SMALL),
        ("ema.toml", &with("ema = { decay = 0.9, warmup = true }\n")),
        ("swa.toml", &with("swa = { start = 1, every = '5it' }\n")),
        ("frozen.toml", &with("freeze = [{ params = 'layers.*' }]\n")),
        ("late.toml", &with("swa = { start = '99%' }\n")),
        ("misspelt.toml", &with("freeze = [{ params = 'laers.*' }]\n")),
    ]);
    let mut tests = Vec::new();
    for name in ["plain", "ema", "swa"] {
        let ran = anneal(dir.path(), &["train", &format!("{name}.toml"), "--out", name, "--quiet"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let evaluated = anneal(dir.path(), &["evaluate", name, "--json"]);
        let values = parsed(&evaluated.out);
        let test = summary(&dir.path().join(name))["test"].clone();
        assert_eq!(values["loss"], test["loss"], "{name}: the checkpoint holds the model that was tested");
        tests.push(test["loss"].as_f64().expect("a loss"));
    }
    assert!(tests[0] != tests[1] && tests[0] != tests[2] && tests[1] != tests[2], "{tests:?}");
    for (config, expected) in
        [("late.toml", "train.swa.start: 99%"), ("misspelt.toml", "no parameter is called `laers.*`; the model has")]
    {
        let refused = anneal(dir.path(), &["train", config, "--out", "refused"]);
        assert_eq!(refused.code, 2, "{config}: {}", refused.err);
        assert!(refused.err.contains(expected), "{config}: {}", refused.err);
        assert!(!dir.path().join("refused").exists(), "{config}");
    }
    // A resume under another average is refused with what differs.
    let ran = anneal(dir.path(), &["train", "ema.toml", "--out", "ema", "--resume", "--set", "train.ema.decay=0.8"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("`ema.decay = 0.9`, this run has `ema.decay = 0.8`"), "{}", ran.err);
}
