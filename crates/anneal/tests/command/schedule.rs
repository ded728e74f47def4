//! `anneal schedule`: rows, formats, lengths.

use crate::common::{self, anneal, folder};
use serde_json::{Value, json};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a row of JSON")).collect()
}

#[test]
fn jsonl_rows() {
    let dir = folder(&[
        ("step.toml", "type = 'step'\nstep_size = 2\n"),
        ("cyclic.toml", "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.005\nstep_size_up = 2\n"),
        ("plateau.toml", "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\n"),
        ("metrics.txt", "1.0\n2.0\nNaN\n"),
        ("scaled.toml", "type = 'scaled'\nfactor = 0.25\n[schedule]\ntype = 'fixed'\n"),
    ]);
    let cases: [(&[&str], Vec<Value>); 5] = [
        // A strategy's own `schedule` is not the section of that name.
        (&["schedule", "scaled.toml", "--epochs", "1"], vec![json!({"tick": 0, "lr": [0.25], "momentum": null})]),
        (
            &["schedule", "step.toml", "--base-lr", "0.1", "--epochs", "3", "--steps-per-epoch", "7"],
            vec![
                json!({"tick": 0, "lr": [0.1], "momentum": null}),
                json!({"tick": 1, "lr": [0.1], "momentum": null}),
                json!({"tick": 2, "lr": [0.1 * 0.1], "momentum": null}),
            ],
        ),
        (
            &["schedule", "step.toml", "--base-lr", "2", "--base-lr", "4", "--epochs", "1"],
            vec![json!({"tick": 0, "lr": [2.0, 4.0], "momentum": null})],
        ),
        (
            &["schedule", "cyclic.toml", "--steps", "2"],
            vec![
                json!({"tick": 0, "lr": [0.001], "momentum": [0.9]}),
                json!({"tick": 1, "lr": [0.003], "momentum": [0.85]}),
            ],
        ),
        (
            &["schedule", "plateau.toml", "--epochs", "4", "--metrics", "metrics.txt"],
            vec![
                json!({"tick": 0, "lr": [1.0], "momentum": null}),
                json!({"tick": 1, "lr": [1.0], "momentum": null}),
                json!({"tick": 2, "lr": [0.5], "momentum": null}),
                json!({"tick": 3, "lr": [0.25], "momentum": null}),
            ],
        ),
    ];
    for (args, expected) in cases {
        let ran = anneal(dir.path(), &[args, &["--format", "jsonl"]].concat());
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        let found = rows(&ran.out);
        assert_eq!(found.len(), expected.len(), "{args:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found["tick"], expected["tick"], "{args:?}");
            for field in ["lr", "momentum"] {
                match (found[field].as_array(), expected[field].as_array()) {
                    (Some(found), Some(expected)) => {
                        assert_eq!(found.len(), expected.len(), "{args:?}");
                        for (a, b) in found.iter().zip(expected) {
                            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
                            assert!((a - b).abs() <= 1e-15, "{args:?} {field}: {a}, expected {b}");
                        }
                    }
                    (None, None) => {}
                    _ => panic!("{args:?} {field}: {found}, expected {expected}"),
                }
            }
        }
    }
}

/// A run of any length: rows come one by one, the picture has every so many, a table is refused.
#[test]
fn a_length_that_nobody_holds() {
    use std::io::{BufRead, BufReader};
    let dir = folder(&[
        ("cosine.toml", "type = 'cosine_annealing'\nt_max = 'rest'\n"),
        ("cycle.toml", "type = 'one_cycle'\nmax_lr = 0.1\n"),
        ("plateau.toml", "type = 'reduce_on_plateau'\n"),
    ]);
    for length in ["10000000000", "9007199254740992"] {
        for (format, first) in [("jsonl", "{\"lr\":[1.0],"), ("csv", "tick,lr,momentum")] {
            let mut command = common::command(dir.path());
            command.args(["schedule", "cosine.toml", "--epochs", length, "--format", format]);
            let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("started");
            let mut lines = BufReader::new(child.stdout.take().expect("standard output")).lines();
            let line = lines.next().expect("a line").expect("text");
            assert!(line.starts_with(first), "{line}");
            // Its reader is gone.
            drop(lines);
            assert!(child.wait().expect("ends").success(), "{length} {format}");
        }
        let plot = anneal(dir.path(), &["schedule", "cycle.toml", "--steps", length]);
        assert_eq!(plot.code, 0, "{}", plot.err);
        let table = anneal(dir.path(), &["schedule", "cycle.toml", "--steps", length, "--format", "table"]);
        assert_eq!(table.code, 2, "{}", table.err);
        assert!(table.err.contains(&format!("a table of {length} rows is more than anybody reads")), "{}", table.err);
    }
    let most = anneal(dir.path(), &["schedule", "cosine.toml", "--epochs", "9223372036854775807"]);
    assert!([0, 2].contains(&most.code) && !most.err.contains("panicked"), "{}", most.err);
    if cfg!(target_os = "linux") {
        let args = ["schedule", "plateau.toml", "--epochs", "3", "--metrics", "/dev/zero"];
        let endless = anneal(dir.path(), &args);
        assert_eq!(endless.code, 2, "{}", endless.err);
        assert!(endless.err.contains("/dev/zero: cannot be read: it is a device or a socket"), "{}", endless.err);
    }
}

#[test]
fn lengths_that_do_not_say_enough() {
    let dir = folder(&[
        ("epoch.toml", "type = 'exponential'\ngamma = 0.9\n"),
        ("step.toml", "type = 'one_cycle'\nmax_lr = 0.1\n"),
        ("plateau.toml", "type = 'reduce_on_plateau'\n"),
        ("metrics.txt", "1.0\n"),
    ]);
    let cases: [(&[&str], &str); 7] = [
        (&["epoch.toml", "--steps", "5"], "add --steps-per-epoch K"),
        (&["epoch.toml"], "say --epochs E"),
        (&["step.toml"], "Say --steps N"),
        (&["step.toml", "--epochs", "5"], "--epochs needs --steps-per-epoch K"),
        (&["epoch.toml", "--epochs", "0"], "at least 1"),
        (&["plateau.toml", "--epochs", "3"], "--metrics FILE"),
        (&["plateau.toml", "--epochs", "3", "--metrics", "metrics.txt"], "need at least 2"),
    ];
    for (args, message) in cases {
        let ran = anneal(dir.path(), &[&["schedule"], args].concat());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains(message), "{args:?}: {}", ran.err);
    }
}

#[test]
fn tables_csv_and_pictures() {
    let dir = folder(&[
        ("e.toml", "type = 'exponential'\ngamma = 0.5\n"),
        ("c.toml", "type = 'cosine_annealing'\nt_max = 4\n"),
        ("section.toml", "[schedule]\ntype = 'exponential'\ngamma = 0.5\n"),
    ]);
    let ran = anneal(
        dir.path(),
        &[
            "schedule", "e.toml", "c.toml", "--epochs", "5", "--format", "table", "--plot", "both.svg", "--plot",
            "both.png",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("# e\n") && ran.out.contains("# c\n"), "{}", ran.out);
    assert!(ran.out.ends_with("A e   B c\n"), "the plot, with its legend, is last: {}", ran.out);
    // A person counts from 1, as every message does.
    let table = anneal(dir.path(), &["schedule", "e.toml", "--epochs", "3", "--format", "table"]).out;
    let row = |at: usize| table.lines().nth(at).expect("a row").split_whitespace().collect::<Vec<_>>();
    assert_eq!((row(1), row(3)), (vec!["1", "1.00000000e0"], vec!["3", "2.50000000e-1"]), "{table}");
    // Rows come only when they are asked for.
    let plot = anneal(dir.path(), &["schedule", "e.toml", "c.toml", "--epochs", "600"]).out;
    assert!(plot.lines().count() < 30 && plot.lines().all(|line| line.chars().count() <= 80), "{plot}");
    let svg = std::fs::read_to_string(dir.path().join("both.svg")).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("learning rate"), "{svg}");
    assert!(std::fs::read(dir.path().join("both.png")).expect("a picture").starts_with(b"\x89PNG"));

    for file in ["e.toml", "section.toml"] {
        let ran = anneal(dir.path(), &["schedule", file, "--epochs", "3", "--format", "csv"]);
        assert_eq!(ran.out, "tick,lr,momentum\n0,1.0,\n1,0.5,\n2,0.25,\n", "{file}: {}", ran.err);
    }
    let ran = anneal(dir.path(), &["schedule", "e.toml", "--epochs", "3", "--format", "csv"]);
    assert_eq!(ran.out, "tick,lr,momentum\n0,1.0,\n1,0.5,\n2,0.25,\n");
}

#[test]
fn epochs_and_steps_share_an_axis_of_steps_or_none() {
    let dir = folder(&[
        ("cosine.toml", "type = 'cosine_annealing'\nt_max = 10\n"),
        ("cycle.toml", "type = 'one_cycle'\nmax_lr = 0.1\n"),
    ]);
    // Ten epochs of twenty steps: both reach from step 0 to step 200.
    let run = ["schedule", "cosine.toml", "cycle.toml", "--epochs", "10", "--steps-per-epoch", "20"];
    let ran = anneal(dir.path(), &[&run[..], &["--plot", "both.svg"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let axis = ran.out.lines().rev().find(|line| line.contains("step")).expect("an axis").trim();
    assert!(axis.starts_with('0') && axis.ends_with("200"), "{axis}");
    let svg = std::fs::read_to_string(dir.path().join("both.svg")).expect("a picture");
    assert!(svg.contains("\nstep\n") && !svg.contains("\ntick\n") && !svg.contains("\nepoch\n"), "{svg}");
    // With the steps in an epoch unknown, nothing fits.
    let ran = anneal(dir.path(), &["schedule", "cosine.toml", "cycle.toml", "--epochs", "10"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("--steps-per-epoch K"), "{}", ran.err);
    // Epochs alone are drawn as epochs.
    let ran = anneal(dir.path(), &["schedule", "cosine.toml", "--epochs", "10"]);
    let axis = ran.out.lines().rev().find(|line| line.contains("epoch")).expect("an axis").trim();
    assert!(axis.starts_with('0') && axis.ends_with("10"), "{axis}");
}

#[test]
fn a_whole_config_knows_its_own_length_and_rate() {
    let dir = folder(&[]);
    let config = common::root().join("examples/strategies/04-cosine.toml");
    let ran = anneal(dir.path(), &["schedule", config.to_str().expect("a path"), "--format", "jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = rows(&ran.out);
    assert_eq!((rows.len(), &rows[0]["lr"]), (30, &json!([0.1])));
    assert!((rows[15]["lr"][0].as_f64().expect("a rate") - 0.05).abs() < 1e-15);
}

#[test]
fn groups_are_columns() {
    let text = common::SMALL.to_owned()
        + "[[groups]]\nparams = '*.bias'\nlr_scale = 2.0\n\
           [[groups]]\nparams = 'fc1.*'\nschedule = { type = 'exponential', gamma = 0.1 }\n";
    let dir = folder(&[("groups.toml", &text)]);
    let ran = anneal(dir.path(), &["schedule", "groups.toml", "--format", "jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = rows(&ran.out);
    let expected = [[1e-3, 2e-3, 1e-3], [5e-4, 1e-3, 1e-4], [2.5e-4, 5e-4, 1e-5]];
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        for (lr, expected) in row["lr"].as_array().expect("rates").iter().zip(expected) {
            assert!((lr.as_f64().expect("a rate") - expected).abs() < 1e-15, "{row}");
        }
        assert_eq!(row["lr"].as_array().map(Vec::len), Some(3));
    }
}
