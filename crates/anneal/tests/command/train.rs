//! `anneal train`, `resume`, `evaluate`: what a run leaves behind.

use std::{fs, path::Path};

use crate::common::{SMALL, anneal, folder, json, parsed, strategies};
use serde_json::Value;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn a_run_folder_holds_everything() {
    let dir = folder(&[("small.toml", SMALL)]);
    let ran = anneal(dir.path(), &["train", "small.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("run folder: runs/small\n"), "{}", ran.out);
    let run = dir.path().join("runs/small");
    for file in ["config.toml", "metrics.jsonl", "summary.json", "checkpoints"] {
        assert!(run.join(file).exists(), "{file}");
    }
    for plot in ["loss", "accuracy", "lr"] {
        for extension in ["svg", "png"] {
            let size = fs::metadata(run.join(format!("plots/{plot}.{extension}"))).expect("a plot").len();
            assert!(size > 1_000, "{plot}.{extension}: {size} bytes");
        }
    }
    let summary = json(run.join("summary.json"));
    assert_eq!(summary["stopped"]["kind"], "finished");
    assert_eq!(summary["epochs"], 3);
    assert!(summary["test"]["accuracy"].as_f64().expect("measured") > 30.0, "{summary}");
    let log = lines(&run.join("metrics.jsonl"));
    let epochs: Vec<&Value> = log.iter().filter(|line| line["every"] == "epoch" && line["split"] == "valid").collect();
    let lrs: Vec<f64> = epochs.iter().map(|line| line["lr"].as_f64().expect("a rate")).collect();
    assert_eq!(lrs, [1e-3, 5e-4, 2.5e-4], "the schedule of the config ran");

    // A second run takes the next folder; the resolved config runs as it is and gives the same numbers.
    let resolved = run.join("config.toml");
    let ran = anneal(dir.path(), &["train", resolved.to_str().expect("a path"), "--quiet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    let again = json(dir.path().join("runs/small-2/summary.json"));
    assert_eq!(again["test"], summary["test"]);
    let read = |run: &str| fs::read_to_string(dir.path().join(run).join("config.toml")).expect("a config");
    assert_eq!(read("runs/small-2"), read("runs/small"));
}

#[test]
fn a_run_is_not_overwritten_by_accident() {
    let dir = folder(&[("small.toml", SMALL)]);
    let train = |more: &[&str]| {
        let args = [&["train", "small.toml", "--epochs", "1", "--out", "here"], more].concat();
        anneal(dir.path(), &args)
    };
    assert_eq!(train(&[]).code, 0);
    let refused = train(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("here: holds a run already; use --resume"), "{}", refused.err);
    assert_eq!(train(&["--overwrite"]).code, 0);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let dir = folder(&[("small.toml", SMALL)]);
    let train = |args: &[&str]| {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 0, "{}", ran.err);
    };
    // The schedule does not depend on the length of the run, so training on is the same as training longer.
    train(&["train", "small.toml", "--epochs", "4", "--out", "whole", "--quiet"]);
    train(&["train", "small.toml", "--epochs", "2", "--out", "parts", "--quiet"]);
    train(&["resume", "parts", "--epochs", "4", "--quiet"]);
    let (whole, parts) = (json(dir.path().join("whole/summary.json")), json(dir.path().join("parts/summary.json")));
    assert_eq!(parts["test"], whole["test"]);
    assert_eq!(parts["resumed_from"], 42);
    let steps = |run: &str| -> Vec<u64> {
        let log = lines(&dir.path().join(run).join("metrics.jsonl"));
        log.iter().filter(|line| line["split"] == "valid").map(|line| line["step"].as_u64().expect("a step")).collect()
    };
    assert_eq!(steps("parts"), steps("whole"), "the log holds every epoch once");
    let file = |run: &str| fs::read(dir.path().join(run).join("checkpoints/step-00000084/model.bpk")).expect("a file");
    assert!(file("whole") == file("parts"), "the parameters differ");
    let evaluated = anneal(dir.path(), &["evaluate", "parts", "--json"]);
    let values = parsed(&evaluated.out);
    assert_eq!(values["accuracy"], whole["test"]["accuracy"]);
}

/// The run's own configuration says the interval; the one that it was started with need not.
#[test]
fn a_warm_up_without_an_interval_is_resumed() {
    let warm_up = SMALL.replace("gamma = 0.5\n", "gamma = 0.5\nwarmup = { duration = 1, start_factor = 0.1 }\n");
    let dir = folder(&[("small.toml", &warm_up)]);
    assert_eq!(anneal(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]).code, 0);
    let resumed = anneal(dir.path(), &["resume", "run", "--epochs", "4", "--quiet"]);
    assert_eq!(resumed.code, 0, "{}", resumed.err);
}

#[test]
fn a_refused_resume_leaves_the_run_as_it_was() {
    let dir = folder(&[("small.toml", SMALL)]);
    assert_eq!(anneal(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]).code, 0);
    let read = |file: &str| fs::read(dir.path().join("run").join(file)).expect("a file");
    let before = (read("config.toml"), read("metrics.jsonl"), read("summary.json"));
    for (setting, what) in [
        ("optimizer.type=sgd", "another configuration"),
        ("schedule.gamma=0.9", "another configuration"),
        ("model.hidden=[17]", "another configuration"),
        ("data.batch_size=50", "other training data"),
    ] {
        let ran =
            anneal(dir.path(), &["train", "small.toml", "--out", "run", "--resume", "--epochs", "5", "--set", setting]);
        assert_eq!(ran.code, 1, "{setting}");
        assert!(ran.err.contains(&format!("belongs to {what}")), "{setting}: {}", ran.err);
        assert!((read("config.toml"), read("metrics.jsonl"), read("summary.json")) == before, "{setting}");
    }
}

#[test]
fn every_strategy_of_the_examples_trains_as_it_stands() {
    let files = strategies();
    assert_eq!(files.len(), 8);
    let dir = folder(&[]);
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let ran = anneal(dir.path(), &["train", file.to_str().expect("a path"), "--out", &name, "--quiet"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let accuracy = json(dir.path().join(&name).join("summary.json"))["test"]["accuracy"].as_f64();
        assert!(accuracy.expect("measured") > 90.0, "{name}: {accuracy:?}");
    }
}

#[test]
fn one_word_swaps_the_strategy() {
    let dir = folder(&[]);
    let cosine = &strategies()[3];
    let ran = anneal(
        dir.path(),
        &[
            "train",
            cosine.to_str().expect("a path"),
            "--set",
            "schedule.type=step",
            "--set",
            "schedule.step_size=3",
            "--epochs",
            "4",
            "--out",
            "swapped",
            "--quiet",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let log = lines(&dir.path().join("swapped/metrics.jsonl"));
    let lrs: Vec<f64> =
        log.iter().filter(|line| line["split"] == "valid").map(|line| line["lr"].as_f64().expect("a rate")).collect();
    assert_eq!(lrs.len(), 4);
    for (lr, expected) in lrs.iter().zip([0.1, 0.1, 0.1, 0.01]) {
        assert!((lr - expected).abs() < 1e-12, "{lrs:?}");
    }
}

/// The default config's interval and warm-up are its cosine's: another strategy begins without them, and a line says so.
#[test]
fn a_changed_type_drops_the_rest_of_its_table() {
    let dir = folder(&[]);
    let set = ["--set", "schedule.type=step", "--set", "schedule.step_size=3", "--set", "model.type=mlp"];
    let ran = anneal(dir.path(), &[&["train", "--epochs", "7", "--out", "run", "--quiet"], &set[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said = "schedule.type = \"step\" drops interval, t_max, warmup, which belonged to \"cosine_annealing\"";
    assert!(ran.err.contains(said), "{}", ran.err);
    let log = lines(&dir.path().join("run/metrics.jsonl"));
    let lrs: Vec<f64> =
        log.iter().filter(|line| line["split"] == "valid").map(|line| line["lr"].as_f64().expect("a rate")).collect();
    let expected = [5e-3, 5e-3, 5e-3, 5e-4, 5e-4, 5e-4, 5e-5];
    assert!(lrs.len() == 7 && lrs.iter().zip(expected).all(|(lr, expected)| (lr - expected).abs() < 1e-12), "{lrs:?}");
    assert!(!ran.err.contains("the learning rate"), "nothing else is said: {}", ran.err);
}

/// What is legal and surely not meant is said in one line, by every command that has the schedule.
#[test]
fn what_is_surely_not_meant_is_said_before_training() {
    let warm = SMALL.replace("gamma = 0.5", "gamma = 0.5\nwarmup = { duration = 2, start_factor = 0 }");
    let groups = "[[groups]]\nparams = '*.bias'\nschedule = { type = 'fixed', warmup = '30ep' }\n";
    let dir = folder(&[
        ("warm.toml", &warm),
        ("zero.toml", &SMALL.replace("lr = 1e-3", "lr = 0")),
        ("groups.toml", &format!("{SMALL}{groups}")),
        (
            "cosine.toml",
            &SMALL.replace(
                "type = 'step'\nstep_size = 1\ngamma = 0.5",
                "type = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'",
            ),
        ),
    ]);
    let cases = [
        ("warm.toml", "the learning rate is 0 for the whole of epoch 1 of 3"),
        ("zero.toml", "the learning rate is 0 in the whole run: nothing is trained"),
        ("groups.toml", "groups[0].schedule: the learning rate still rises when the run ends"),
    ];
    for (file, said) in cases {
        let out = format!("run-{file}");
        for command in [&["train", file, "--out", &out, "--quiet"][..], &["schedule", file]] {
            let ran = anneal(dir.path(), command);
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert_eq!(ran.err.matches(said).count(), 1, "{command:?}: {}", ran.err);
        }
    }
    // A longer run stretches the cosine.
    let train = |args: &[&str]| {
        let ran = anneal(dir.path(), &[args, &["--quiet"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.err
    };
    assert_eq!(train(&["train", "cosine.toml", "--out", "run"]), "");
    let jumps = train(&["resume", "run", "--epochs", "9"]);
    assert!(jumps.contains("the learning rate jumps at the resume: step ") && jumps.lines().count() == 1, "{jumps}");
}

#[test]
fn warm_up_as_a_formula() {
    let dir = folder(&[]);
    let warmup = &strategies()[6];
    let formula = "schedule.expression=if(t < 5, (t + 1) / 5, 0.1 ^ ((t - 5) / (total - 5)))";
    let ran = anneal(
        dir.path(),
        &[
            "schedule",
            warmup.to_str().expect("a path"),
            "--set",
            "schedule.type=expression",
            "--set",
            formula,
            "--format",
            "jsonl",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(rows.len(), 30);
    for (tick, factor) in [(0, 0.2), (4, 1.0), (5, 1.0), (29, 0.1_f64.powf(24.0 / 25.0))] {
        let lr = rows[tick]["lr"][0].as_f64().expect("a rate");
        assert!((lr - 3e-3 * factor).abs() < 1e-15, "tick {tick}: {lr}");
    }
}

#[test]
fn groups_have_rates_and_decay_of_their_own() {
    let text = SMALL.to_owned().replace("'adam'", "'adamw'")
        + "[[groups]]\nparams = '*.weight'\nlr_scale = 0.0\n[[groups]]\nparams = '*.bias'\nweight_decay = 0.1\n";
    let dir = folder(&[("small.toml", SMALL), ("frozen.toml", &text)]);
    for (config, out) in [("small.toml", "free"), ("frozen.toml", "frozen")] {
        let ran = anneal(dir.path(), &["train", config, "--out", out, "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let loss =
        |run: &str| json(dir.path().join(run).join("summary.json"))["last"]["train.loss"].as_f64().expect("a loss");
    // With the weights at a rate of 0 only the biases learn, which is worth little.
    assert!(loss("frozen") > loss("free") + 0.2, "{} and {}", loss("frozen"), loss("free"));
}

/// Ranks and schedules of groups go together: in an mlp the biases are what has rank 1.
#[test]
fn a_group_by_rank_may_have_a_schedule() {
    let group = |params: &str| {
        format!("{SMALL}[[groups]]\n{params}\nlr_scale = 2.0\nschedule = {{ type = 'exponential', gamma = 0.1 }}\n")
    };
    let by_rank = group("params = '*'\nmax_rank = 1");
    let dir = folder(&[("rank.toml", &by_rank), ("path.toml", &group("params = '*.bias'")), ("none.toml", SMALL)]);
    let loss = |config: &str| {
        let ran = anneal(dir.path(), &["train", config, "--out", &format!("{config}-run"), "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        json(dir.path().join(format!("{config}-run/summary.json")))["last"]["train.loss"].as_f64().expect("a loss")
    };
    let (rank, path, none) = (loss("rank.toml"), loss("path.toml"), loss("none.toml"));
    assert_eq!(rank.to_bits(), path.to_bits(), "{rank} and {path}");
    assert!((rank - none).abs() > 1e-6, "{rank} and {none}");
}

#[test]
fn list_parameters_says_which_rate_each_has_and_why() {
    let text = SMALL.to_owned().replace("'adam'", "'adamw'")
        + "[[groups]]\nparams = '*.bias'\nmax_rank = 1\nlr_scale = 0.5\nweight_decay = 0.0\n\
             schedule = { type = 'exponential', gamma = 0.1, interval = 'step' }\n\
             [[groups]]\nparams = '/^layers.0/'\nfrozen = true\n\
             [[groups]]\nparams = '/^layers.1.weight/'\noptimizer = { type = 'sgd' }\n";
    let dir = folder(&[("groups.toml", &text)]);
    let expected = |bias: f64| {
        [
            ("layers.0.weight", 0.0, "groups[1].frozen", "adamw", 0.01),
            ("layers.0.bias", 0.0, "groups[1].frozen", "adamw", 0.01),
            ("layers.1.weight", 1e-3, "schedule `step`", "sgd", 0.0),
            ("layers.1.bias", bias, "groups[0].schedule `exponential` * groups[0].lr_scale 0.5", "adamw", 0.0),
        ]
    };
    for (step, bias) in [("0", 5e-4), ("2", 5e-6)] {
        let ran = anneal(dir.path(), &["list", "parameters", "groups.toml", "--step", step, "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let rows: Vec<Value> = serde_json::from_str(&ran.out).expect("rows");
        assert_eq!(rows.len(), 4);
        for (row, (path, lr, from, optimizer, decay)) in rows.iter().zip(expected(bias)) {
            assert!((row["lr"].as_f64().expect("a rate") - lr).abs() < 1e-18, "{row}");
            let texts = ["name", "lr_from", "optimizer"].map(|field| row[field].as_str().expect("a text"));
            assert_eq!(texts, [path, from, optimizer]);
            assert_eq!((&row["weight_decay"], &row["frozen"]), (&Value::from(decay), &Value::from(lr == 0.0)), "{row}");
        }
    }
    // A rule of `[train] freeze` shows in the steps in which it holds.
    let freeze = "train.freeze=[{ params = 'layers.1.weight', until_epoch = 1 }]";
    for (step, from) in [("0", "train.freeze[0]"), ("100000", "schedule `step`")] {
        let ran = anneal(dir.path(), &["list", "parameters", "groups.toml", "--set", freeze, "--step", step, "--json"]);
        let rows: Vec<Value> = serde_json::from_str(&ran.out).expect("rows");
        assert_eq!((&rows[2]["lr_from"], &rows[2]["frozen"]), (&Value::from(from), &Value::from(step == "0")));
    }
    // A rate that is to be found is not made up.
    let ran = anneal(dir.path(), &["list", "parameters", "groups.toml", "--set", "optimizer.lr=auto", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&ran.out).expect("rows");
    assert!(rows.iter().all(|row| row["lr"].is_null()), "{rows:?}");
}

#[test]
fn mnist_is_read_where_it_is() {
    let Some(data) = std::env::var_os("ANNEAL_DATA_DIR").filter(|dir| Path::new(dir).join("mnist").exists()) else {
        println!("skipped: ANNEAL_DATA_DIR holds no mnist folder");
        return;
    };
    let config = "[data]\ndataset = 'mnist'\n[optimizer]\ntype = 'adam'\nlr = 1e-3\n[train]\nsteps = 20\n";
    let dir = folder(&[("mnist.toml", config)]);
    let data = data.to_str().expect("a path");
    let ran = anneal(dir.path(), &["train", "mnist.toml", "--out", "run", "--data-dir", data, "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let summary = json(dir.path().join("run/summary.json"));
    assert_eq!((&summary["dataset"], &summary["steps"]), (&Value::from("mnist"), &Value::from(20)));
    assert!(summary["test"]["accuracy"].as_f64().expect("measured") > 40.0);
}
