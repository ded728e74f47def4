//! The command of the example has every verb of `anneal`, and its names are as good as the built-in ones.

#![allow(clippy::expect_used, reason = "tests may fail loudly")]

use std::{fs, path::Path, process::Command};

use anneal::config::{Catalog, Config, Document};

const RINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rings.toml");

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_own-command")).args(arguments).output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn done(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

fn refused(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!(code, 2, "{arguments:?}: {out}{err}");
    err
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn its_names_stand_beside_the_built_in_ones() {
    for (what, own, built_in) in
        [("models", "two_layers", "resnet18"), ("schedules", "inverse_time", "step"), ("datasets", "rings", "mnist")]
    {
        let list = done(&["list", what]);
        assert!(list.contains(own) && list.contains(built_in), "{list}");
    }
    let model = done(&["list", "models", "--model", "two_layers"]);
    for expected in ["  label_smoothing  0.0", "2179 parameters for rings (1x8x8, 3 classes)", "hidden.weight"] {
        assert!(model.contains(expected), "{model}");
    }
    assert!(done(&["list", "parameters", RINGS]).contains("hidden.weight"));
    assert!(done(&["schedule", RINGS]).contains("epoch"));
    assert!(done(&["data", "verify", "rings"]).contains("600 training and 150 test images of 1x8x8, 3 classes"));
    assert!(done(&["--help"]).contains("own-command"));
}

#[test]
fn a_run_is_trained_resumed_evaluated_and_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    done(&["train", RINGS, "--quiet", "--out", text(&whole)]);
    done(&["train", RINGS, "--quiet", "--epochs", "2", "--out", text(&cut)]);
    done(&["resume", text(&cut), "--epochs", "4", "--quiet"]);
    let bytes = |run: &Path| fs::read(run.join("model.safetensors")).expect("weights");
    assert!(bytes(&whole) == bytes(&cut), "a resumed run ends as one that was never interrupted");

    let config = fs::read_to_string(whole.join("config.toml")).expect("a config");
    for line in
        ["dataset = \"rings\"", "noise = 90", "type = \"two_layers\"", "hidden = 24", "dropout = 0.1", "k = 0.2"]
    {
        assert!(config.contains(line), "{config}");
    }
    let evaluated = done(&["evaluate", text(&whole)]);
    let accuracy = evaluated.lines().find_map(|line| line.strip_prefix("test accuracy ")).expect("an accuracy");
    assert!(accuracy.trim_end_matches(" %").parse::<f64>().expect("a number") > 80.0, "{evaluated}");
    let report = folder.path().join("report.html");
    done(&["report", text(&whole), "--out", text(&report)]);
    assert!(fs::read_to_string(report).expect("a report").contains("two_layers"));

    let (code, found, _) = run(&["find-lr", RINGS, "--quiet"]);
    assert!(code == 3 || (code == 0 && found.trim().parse::<f64>().is_ok_and(|lr| lr > 0.0)), "{code}: {found}");
    let compared = folder.path().join("compared");
    let step = folder.path().join("step.toml");
    fs::write(&step, "type = 'step'\nstep_size = 1").expect("written");
    done(&[
        "compare",
        RINGS,
        "--with-config",
        "--schedule",
        text(&step),
        "--epochs",
        "1",
        "--quiet",
        "--out",
        text(&compared),
    ]);
    assert!(fs::read_to_string(compared.join("compare.json")).expect("figures").contains("two_layers"));

    // Another model's run: by its fingerprint, and in a command that does not know the model.
    let before = fs::read_to_string(whole.join("config.toml")).expect("a config");
    let (code, _, error) =
        run(&["train", RINGS, "--set", "model.hidden=16", "--epochs", "5", "--resume", "--out", text(&whole)]);
    assert!(code != 0 && error.contains("model.hidden"), "{code}: {error}");
    assert_eq!(fs::read_to_string(whole.join("config.toml")).expect("a config"), before, "nothing was written");
    let document = Document::read(&whole.join("config.toml")).expect("TOML");
    let error = Config::from_document(&document, Catalog::standard()).expect_err("refused").to_string();
    assert!(error.contains("there is no schedule `inverse_time`"), "{error}");
}

#[test]
fn bad_input_is_refused_with_its_field() {
    let cases = [
        ("model.hiden=3", "model.hiden: unknown field; did you mean `hidden`?"),
        ("model.hidden=0", "model.hidden: 0 is not allowed here"),
        ("model.dropout=1", "model.dropout: 1 is not allowed here; allowed: a number from 0 to below 1"),
        ("model.type=two_layer", "model.type: there is no model `two_layer`; did you mean `two_layers`?"),
        ("model.label_smoothing=0.1", "model.label_smoothing: 0.1 is not allowed here; allowed: 0"),
        ("schedule.k=-1", "schedule.k: -1 is not allowed here"),
        ("schedule.type=inverse_tim", "did you mean `inverse_time`?"),
        ("data.noise=300", "data.noise"),
        ("data.nois=3", "data.nois: unknown field; did you mean `noise`?"),
        ("data.dataset=ring", "did you mean `rings`?"),
    ];
    for (setting, expected) in cases {
        let error = refused(&["train", RINGS, "--quiet", "--set", setting]);
        assert!(error.contains(expected), "{error}");
    }
}
