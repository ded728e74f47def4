//! Several processes, as far as one can tell without MPI (`tests/mpi.rs` starts real ones), and steps enlarged for them.

use std::fs;

use toml::Table;

use crate::common::{SMALL, anneal, folder};

/// A program without the feature says what is missing, and does not train the same several times.
#[cfg(not(feature = "mpi"))]
#[test]
fn without_the_feature_several_processes_are_refused() {
    use crate::common::{command, ran};

    let dir = folder(&[("small.toml", SMALL)]);
    let train = ["train", "small.toml", "--out", "run"];
    let started = [
        command(dir.path()).args(train).env("OMPI_COMM_WORLD_SIZE", "4").output(),
        command(dir.path()).args(train).env("PMI_SIZE", "2").output(),
        command(dir.path()).args(["launch", "-n", "2", "--"]).args(train).output(),
    ];
    for output in started {
        let refused = ran(&output.expect("the command starts"));
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains("built with the cargo feature `mpi`"), "{}", refused.err);
        assert!(!dir.path().join("run").exists());
    }
    // A job of one process needs nothing.
    let one = command(dir.path()).args(train).env("OMPI_COMM_WORLD_SIZE", "1").output().expect("the command starts");
    assert_eq!(ran(&one).code, 0);
}

#[test]
fn rates_follow_a_larger_step_where_that_is_asked_for() {
    let one_cycle = SMALL.replace("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'one_cycle'\nmax_lr = 1e-2");
    let auto = SMALL.replace("lr = 1e-3", "lr = 'auto'");
    let dir = folder(&[("small.toml", SMALL), ("one-cycle.toml", &one_cycle), ("auto.toml", &auto)]);
    let train = |config: &str, args: &[&str]| anneal(dir.path(), &[&["train", config, "--epochs", "1"], args].concat());
    let rates = |run: &str| {
        let config: Table =
            fs::read_to_string(dir.path().join(run).join("config.toml")).expect("a file").parse().expect("TOML");
        (config["optimizer"]["lr"].as_float(), config["schedule"].get("max_lr").and_then(toml::Value::as_float))
    };
    let larger = ["--set", "train.accumulate=4"];
    let cases = [
        ("small.toml", "none", &[][..], (1e-3, None)),
        ("small.toml", "linear", &["--scale-lr", "linear"], (4e-3, None)),
        ("small.toml", "root", &["--scale-lr", "sqrt"], (2e-3, None)),
        ("one-cycle.toml", "cycle", &["--scale-lr", "linear"], (4e-3, Some(4e-2))),
    ];
    for (config, run, rule, (lr, max_lr)) in cases {
        let ran = train(config, &[&larger[..], rule, &["--out", run]].concat());
        assert_eq!(ran.code, 0, "{run}: {}", ran.err);
        assert_eq!(rates(run), (Some(lr), max_lr), "{run}");
        assert_eq!(
            ran.out.contains("a step has 256 items, and 64 in the file: optimizer.lr = "),
            !rule.is_empty(),
            "{run}: {}",
            ran.out
        );
    }
    let same = train("small.toml", &["--scale-lr", "linear", "--out", "same"]);
    assert_eq!(same.code, 2, "{}", same.err);
    assert!(same.err.contains("a step has the 64 items that it has in the file"), "{}", same.err);
    let open = train("auto.toml", &[&larger[..], &["--scale-lr", "linear", "--out", "open"]].concat());
    assert_eq!(open.code, 2, "{}", open.err);
    assert!(open.err.contains("optimizer.lr"), "{}", open.err);
    assert!(!dir.path().join("same").exists() && !dir.path().join("open").exists());
}
