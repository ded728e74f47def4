//! `anneal compare`: what is compared with what, at which rate, what it leaves, and what it refuses.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use crate::common::{self, Ran, SMALL, anneal, command, folder, parsed, read};
use serde_json::Value;

/// 42 steps of a small model, every one of them logged.
const BASE: &str = "[run]\nname = 'small'\nseed = 7\nloggers = []\n[optimizer]\ntype = 'adam'\nlr = 3e-3\n\
    [model]\ntype = 'mlp'\nhidden = [16]\n[schedule]\ntype = 'exponential'\ngamma = 0.9\n\
    [train]\nepochs = 2\nlog_every = 1\nvalidate_every = '7it'\n";
const COSINE: &str = "type = 'cosine_annealing'\nt_max = 'rest'\ninterval = 'step'\n";
const SGD: &str = "[optimizer]\ntype = 'sgd'\nlr = 0.1\nmomentum = 0.9\n[schedule]\ntype = 'one_cycle'\nmax_lr = 0.3\n";

fn three() -> tempfile::TempDir {
    folder(&[("base.toml", BASE), ("cosine.toml", COSINE), ("sgd.toml", SGD)])
}

/// Runs it and gives the figures.
fn compared(dir: &Path, args: &[&str]) -> Value {
    let ran = anneal(dir, &[&["compare", "base.toml", "--json"], args].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    parsed(&ran.out)
}

fn contender<'v>(figures: &'v Value, name: &str) -> &'v Value {
    let all = figures["contenders"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {figures:#}"))
}

fn close(a: &Value, b: f64) -> bool {
    (a.as_f64().unwrap() - b).abs() < 1e-9
}

/// Each file of a run that says that it was trained, with the time it was written.
fn written(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    fn visit(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.file_name().is_some_and(|name| name == "summary.json" || name == "metrics.jsonl") {
                found.insert(path.clone(), fs::metadata(&path).unwrap().modified().unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(out, &mut found);
    found
}

#[test]
fn the_same_model_data_and_seeds_under_each() {
    let dir = three();
    let args = ["--schedule", "cosine.toml", "sgd.toml", "--with-config", "--seeds", "2", "--target", "30"];
    let figures = compared(dir.path(), &args);
    let out = dir.path().join("runs/compare-small");
    assert_eq!(parsed(&read(out.join("compare.json"))), figures, "what is printed is what is written");
    assert_eq!((&figures["seeds"], &figures["complete"]), (&serde_json::json!([7, 8]), &Value::Bool(true)));
    assert_eq!((figures["target"]["accuracy"].as_f64(), &figures["target"]["given"]), (Some(30.0), &Value::Bool(true)));

    // Before the first update the loss depends on model, data and seed alone.
    let first = |name: &str, run: usize| contender(&figures, name)["runs"][run]["first_train_loss"].as_f64().unwrap();
    for run in 0..2 {
        assert_eq!(first("base", run), first("cosine", run));
        assert_eq!(first("base", run), first("sgd", run));
    }
    assert!(first("base", 0) != first("base", 1), "another seed is another run");

    let settings = |name: &str| ["optimizer", "schedule"].map(|what| contender(&figures, name)[what].clone());
    assert_eq!(settings("base"), ["adam", "exponential"]);
    assert_eq!(settings("cosine"), ["adam", "cosine_annealing"]);
    assert_eq!(settings("sgd"), ["sgd", "one_cycle"]);
    assert_eq!(contender(&figures, "sgd")["rate"]["max_lr"].as_f64(), Some(0.3));

    // The figures are those of the runs, which are run folders like any other.
    for name in ["base", "cosine", "sgd"] {
        let of = contender(&figures, name);
        let mut tests = Vec::new();
        for (at, seed) in [7, 8].into_iter().enumerate() {
            let run = &of["runs"][at];
            assert_eq!(run["folder"], format!("{name}/seed-{seed}"));
            let path = out.join(format!("{name}/seed-{seed}"));
            let summary = parsed(&read(path.join("summary.json")));
            assert_eq!(run["test_accuracy"], summary["test"]["accuracy"]);
            assert_eq!((&summary["seed"], summary["steps"].as_u64()), (&Value::from(seed), run["steps"].as_u64()));
            tests.push(run["test_accuracy"].as_f64().unwrap());
            let lines: Vec<Value> = read(path.join("metrics.jsonl")).lines().map(parsed).collect();
            let valid = lines.iter().filter(|line| line["split"] == "valid");
            let valid: Vec<(u64, f64)> =
                valid.map(|line| (line["step"].as_u64().unwrap(), line["accuracy"].as_f64().unwrap())).collect();
            let best = valid.iter().map(|(_, accuracy)| *accuracy).fold(0.0, f64::max);
            assert_eq!(run["best_valid_accuracy"].as_f64(), Some(best));
            let there = valid.iter().find(|(_, accuracy)| *accuracy >= 30.0).map(|(step, _)| *step);
            assert_eq!(run["target_step"].as_u64(), there, "{name} {seed}");
        }
        let mean = f64::midpoint(tests[0], tests[1]);
        // Of two values the sample standard deviation is their difference over the root of two.
        let std = (tests[0] - tests[1]).abs() / 2.0_f64.sqrt();
        assert!(close(&of["test_accuracy"]["mean"], mean) && close(&of["test_accuracy"]["std"], std), "{of:#}");
    }
    let means: Vec<f64> = figures["contenders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["test_accuracy"]["mean"].as_f64().unwrap())
        .collect();
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");

    let page = read(out.join("report.html"));
    assert!(page.contains("Comparison of 3 schedules on digits") && page.contains("finished</span>"));
    assert_eq!(page.matches("<svg").count(), 5, "rate, momentum, two losses, accuracy");
    assert!(!page.contains("<script") && page.contains("over 2 seeds"));
    let report = anneal(dir.path(), &["report", "runs/compare-small/sgd/seed-7"]);
    assert_eq!(report.code, 0, "{}", report.err);
}

#[test]
fn a_target_is_chosen_reached_or_never_reached() {
    let dir = three();
    let figures = compared(dir.path(), &["--schedule", "cosine.toml", "--schedule", "sgd.toml"]);
    let means =
        ["cosine", "sgd"].map(|name| contender(&figures, name)["best_valid_accuracy"]["values"][0].as_f64().unwrap());
    let target = figures["target"]["accuracy"].as_f64().unwrap();
    let lowest = means[0].min(means[1]);
    assert!(target <= lowest && target > lowest - 0.1 && !figures["target"]["given"].as_bool().unwrap(), "{target}");
    for name in ["cosine", "sgd"] {
        let to = &contender(&figures, name)["to_target"];
        assert_eq!((to["reached"].as_u64(), to["of"].as_u64()), (Some(1), Some(1)), "{name}");
        assert!(to["steps"].as_f64().unwrap() % 7.0 == 0.0 && to["seconds"].as_f64().unwrap() > 0.0, "{to}");
        assert_eq!(contender(&figures, name)["test_accuracy"]["std"], Value::Null, "no spread is known of one seed");
    }
    // Another target is another look at the same runs.
    let out = dir.path().join("runs/compare-small");
    let before = written(&out);
    let args = ["--schedule", "cosine.toml", "sgd.toml", "--resume", "--target", "100"];
    let figures = compared(dir.path(), &args);
    assert_eq!(written(&out), before, "nothing is trained again");
    let to = &contender(&figures, "cosine")["to_target"];
    assert_eq!((to["reached"].as_u64(), &to["steps"], &to["seconds"]), (Some(0), &Value::Null, &Value::Null));
    let text = anneal(dir.path(), &[&["compare", "base.toml"], &args[..]].concat());
    assert!(text.out.contains("steps to 100 %") && text.out.contains("0 of 1"), "{}", text.out);
    assert!(text.out.contains("One seed each: no spread is known"), "{}", text.out);
    assert!(text.err.contains("[1/2] cosine/seed-7: test "), "{}", text.err);
}

#[test]
fn a_single_contender_is_config_itself() {
    let dir = folder(&[("base.toml", BASE)]);
    let ran = anneal(dir.path(), &["compare", "base.toml", "--epochs", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("base ") && ran.out.contains("nothing to compare it with"), "{}", ran.out);
    assert!(ran.out.ends_with("figures: runs/compare-small/compare.json\n"), "{}", ran.out);
    // The next one takes the next number.
    let ran = anneal(dir.path(), &["compare", "base.toml", "--epochs", "1", "--quiet"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    assert!(dir.path().join("runs/compare-small-2/base/seed-7/summary.json").exists());
    // Going on with what never began is beginning.
    let ran = anneal(dir.path(), &["compare", "base.toml", "--epochs", "1", "--quiet", "--resume", "--out", "new"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("new: holds no comparison yet; starting it"), "{}", ran.err);
}

#[test]
fn one_setting_is_varied_at_a_time() {
    let dir = folder(&[("base.toml", BASE)]);
    let figures = compared(dir.path(), &["--epochs", "1", "--vary", "model.hidden=[8]", "--vary", "train.ema=0.9"]);
    let config = |name: &str| -> toml::Table {
        let path = dir.path().join("runs/compare-small").join(name).join("seed-7/config.toml");
        read(path).parse().unwrap()
    };
    let settings = |name: &str| {
        let config = config(name);
        (config["model"]["hidden"][0].as_integer(), config["train"].get("ema").is_some())
    };
    assert_eq!(settings("base"), (Some(16), false));
    assert_eq!(settings("model.hidden=-8-"), (Some(8), false));
    assert_eq!(settings("train.ema=0.9"), (Some(16), true));
    assert_eq!(figures["contenders"].as_array().map(Vec::len), Some(3));
    let page = read(dir.path().join("runs/compare-small/report.html"));
    assert!(page.contains("Comparison of 3 contenders") && page.contains("the same data and seeds under each"));
    assert!(page.contains("CONFIG with model.hidden=[8]") && page.contains("CONFIG with train.ema=0.9"));
    let common = page.split("<code>").nth(1).unwrap();
    assert!(common.contains("batch_size") && !common.contains("hidden"), "{common}");
}

#[test]
fn names_come_from_the_files_and_differ() {
    let dir = folder(&[("base.toml", BASE)]);
    for (name, gamma) in [("a", "0.5"), ("b", "0.6")] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("base.toml"), format!("type = 'exponential'\ngamma = {gamma}\n")).unwrap();
    }
    let args = ["--epochs", "1", "--with-config", "--schedule", "a/base.toml", "b/base.toml"];
    let figures = compared(dir.path(), &args);
    for (name, file) in [("base", Value::Null), ("base-2", "a/base.toml".into()), ("base-3", "b/base.toml".into())] {
        assert_eq!(contender(&figures, name)["file"], file, "{name}");
    }
}

#[test]
fn the_best_of_a_grid_is_taken_for_all_seeds() {
    let dir = three();
    let args = ["--schedule", "cosine.toml", "sgd.toml", "--rates", "1e-6,0.01,1e30", "--seeds", "2"];
    let figures = compared(dir.path(), &args);
    let out = dir.path().join("runs/compare-small");
    for (name, field) in [("cosine", "lr"), ("sgd", "max_lr")] {
        let rate = &contender(&figures, name)["rate"];
        let tried = rate["tried"].as_array().unwrap();
        let best = tried.iter().max_by(|a, b| {
            let worth = |run: &Value| {
                run["best_valid_accuracy"].as_f64().filter(|_| run["state"] == "finished").unwrap_or(-1.0)
            };
            worth(a).total_cmp(&worth(b))
        });
        let best = best.unwrap();
        assert_eq!((&best["lr"], &best["chosen"]), (&rate[field], &Value::Bool(true)), "{rate:#}");
        assert_eq!(rate["lr"], rate[field], "the base rate goes along with the top");
        assert_eq!(tried.iter().filter(|run| run["chosen"] == true).count(), 1);
        let worst = &tried[2];
        assert!(worst["state"] == "failed" && worst["error"].as_str().unwrap().contains("step"), "{worst:#}");
        for run in tried {
            assert!(out.join(run["folder"].as_str().unwrap()).join("config.toml").exists());
        }
        for seed in [7, 8] {
            let config: toml::Table = read(out.join(format!("{name}/seed-{seed}/config.toml"))).parse().unwrap();
            assert_eq!(config["optimizer"]["lr"].as_float(), rate["lr"].as_f64());
        }
    }
    let steps = |name: &str| {
        let tried = contender(&figures, name)["rate"]["tried"].as_array().unwrap();
        tried.iter().map(|run| run["steps"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(figures["tuning_cost"]["steps"].as_u64(), Some(steps("cosine") + steps("sgd")));
    assert_eq!(figures["tuning_cost"]["runs"].as_u64(), Some(6));
    assert!(read(out.join("report.html")).contains("tuning&#x2f;lr-1e-2"));

    // What failed has ended, too.
    let before = written(&out);
    assert_eq!(compared(dir.path(), &[&args[..], &["--resume"]].concat()), figures);
    assert_eq!(written(&out), before);
}

#[test]
fn a_contender_that_diverges_stands_last_and_the_others_go_on() {
    let dir = folder(&[
        ("base.toml", BASE),
        ("wild.toml", "[optimizer]\ntype = 'sgd'\nlr = 1e30\n[schedule]\ntype = 'fixed'\n"),
        ("tame.toml", "type = 'fixed'\n"),
    ]);
    let figures = compared(dir.path(), &["--schedule", "wild.toml", "tame.toml"]);
    let names: Vec<&str> =
        figures["contenders"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tame", "wild"]);
    let wild = contender(&figures, "wild");
    assert_eq!(
        (wild["failed"].as_u64(), wild["finished"].as_u64(), &wild["test_accuracy"]),
        (Some(1), Some(0), &Value::Null)
    );
    assert_eq!(wild["to_target"]["reached"].as_u64(), Some(0), "it had its time and did not get there");
    assert_eq!(figures["complete"], true);
    let page = read(dir.path().join("runs/compare-small/report.html"));
    assert!(page.contains("1 run failed"), "it is said on the page");
    assert!(page.contains("Comparison of 2 optimizers"), "what they differ in");
}

#[test]
fn the_finder_is_asked_once_for_each() {
    let dir = three();
    let long = ["--set", "lr_finder.num_it=40", "--epochs", "1"];
    let args = [&["--schedule", "cosine.toml", "sgd.toml", "--rates", "find", "--seeds", "2"], &long[..]].concat();
    let figures = compared(dir.path(), &args);
    let out = dir.path().join("runs/compare-small");
    for name in ["cosine", "sgd"] {
        let sweep = parsed(&read(out.join(name).join("lr_finder.json")));
        let lr = sweep["suggestion"]["lr"].as_f64();
        let rate = &contender(&figures, name)["rate"];
        assert_eq!((rate["from"].as_str(), rate["lr"].as_f64()), (Some("find"), lr));
        let config =
            |seed| -> toml::Table { read(out.join(format!("{name}/seed-{seed}/config.toml"))).parse().unwrap() };
        for seed in [7, 8] {
            assert_eq!(config(seed)["optimizer"]["lr"].as_float(), lr);
            assert_eq!(config(seed)["lr_finder"]["found"].as_float(), lr);
        }
    }
    assert_eq!(contender(&figures, "sgd")["rate"]["max_lr"], contender(&figures, "sgd")["rate"]["lr"]);
    assert!(figures["tuning_cost"]["steps"].as_u64().unwrap() > 20);
    assert!(read(out.join("report.html")).contains("learning-rate finder: sgd"));

    // A suggestion that there is not ends it before anything is written, with whose it is.
    let flat = ["--set", "lr_finder.start_lr=1e-12", "--set", "lr_finder.end_lr=1e-11", "--out", "flat"];
    let ran = anneal(dir.path(), &[&["compare", "base.toml"], &args[..], &flat[..]].concat());
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("error: cosine: lr = \"auto\""), "{}", ran.err);
    assert!(!dir.path().join("flat").exists());
}

#[test]
fn an_automatic_rate_is_found_once_and_used_for_all_seeds() {
    let auto = "[optimizer]\ntype = 'adam'\nlr = 'auto'\n[schedule]\ntype = 'fixed'\n";
    let dir = folder(&[("base.toml", BASE), ("auto.toml", auto)]);
    let args =
        ["--schedule", "auto.toml", "--with-config", "--seeds", "2", "--epochs", "1", "--set", "lr_finder.num_it=40"];
    let figures = compared(dir.path(), &args);
    let out = dir.path().join("runs/compare-small");
    let lr = contender(&figures, "auto")["rate"]["lr"].as_f64().unwrap();
    let ran: toml::Table = read(out.join("auto/seed-8/config.toml")).parse().unwrap();
    assert_eq!(ran["optimizer"]["lr"].as_float(), Some(lr));
    assert_eq!(contender(&figures, "base")["rate"]["from"], "config");
    // A resumption reads what was found.
    fs::remove_file(out.join("auto/seed-8/summary.json")).unwrap();
    let again = compared(dir.path(), &[&args[..], &["--resume"]].concat());
    assert_eq!(contender(&again, "auto")["rate"], contender(&figures, "auto")["rate"]);
}

/// Starts a comparison of long runs and waits until the first run has ended and the second is under way.
#[cfg(unix)]
fn interrupted(dir: &Path, args: &[&str]) -> Ran {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let child = command(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let out = dir.join("out");
    let began = Instant::now();
    let has_checkpoint = |run: &str| {
        fs::read_dir(out.join(run).join("checkpoints")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("step-")))
        })
    };
    while !has_checkpoint("sgd/seed-7") {
        assert!(began.elapsed() < Duration::from_mins(2), "the second run does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    common::ran(&child.wait_with_output().unwrap())
}

#[cfg(unix)]
#[test]
fn an_interrupted_comparison_is_gone_on_with() {
    let dir = three();
    let long = [
        "compare",
        "base.toml",
        "--schedule",
        "cosine.toml",
        "sgd.toml",
        "--seeds",
        "2",
        "--epochs",
        "30",
        "--out",
        "out",
    ];
    let ran = interrupted(dir.path(), &long);
    assert_eq!(ran.code, 130, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("the same command with --resume continues"), "{}", ran.out);
    let out = dir.path().join("out");
    let halfway = parsed(&read(out.join("compare.json")));
    assert_eq!(halfway["complete"], false);
    let state = |figures: &Value, name: &str, run: usize| contender(figures, name)["runs"][run]["state"].clone();
    assert_eq!([state(&halfway, "cosine", 0), state(&halfway, "sgd", 0)], ["finished", "interrupted"]);
    assert_eq!([state(&halfway, "cosine", 1), state(&halfway, "sgd", 1)], ["missing", "missing"]);
    assert!(read(out.join("report.html")).contains("not finished</span>"));

    // Without --resume nothing is touched; with other settings neither.
    let before = written(&out);
    let refused = |args: &[&str], expected: &str| {
        let ran = anneal(dir.path(), args);
        assert!(ran.code == 2 && ran.err.contains(expected), "{} {}", ran.code, ran.err);
        assert_eq!(written(&out), before);
    };
    refused(&long, "out: holds a comparison already; --resume continues it");
    let other = [&long[..], &["--resume", "--set", "optimizer.lr=0.5"]].concat();
    refused(&other, "holds runs of `cosine` with other settings: optimizer.lr (0.003 there, 0.5 now)");
    refused(&[&long[..], &["--resume", "--rates", "0.1"]].concat(), "was started with --rates config");

    let ran = anneal(dir.path(), &[&long[..], &["--resume", "--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let whole = parsed(&ran.out);
    assert_eq!(whole["complete"], true);
    let first = out.join("cosine/seed-7/summary.json");
    assert_eq!(written(&out)[&first], before[&first], "a run that has ended is not run again");
    let summary = parsed(&read(out.join("sgd/seed-7/summary.json")));
    assert!(summary["resumed_from"].as_u64().unwrap() > 0, "one that was interrupted continues from where it was");

    // The same as one that was never interrupted.
    let straight: Vec<&str> = long.iter().map(|arg| if *arg == "out" { "straight" } else { arg }).collect();
    let ran = anneal(dir.path(), &[&straight[..], &["--json"]].concat());
    let straight = parsed(&ran.out);
    for name in ["cosine", "sgd"] {
        for figure in ["test_accuracy", "best_valid_accuracy", "final_train_loss", "rate"] {
            assert_eq!(contender(&whole, name)[figure], contender(&straight, name)[figure], "{name} {figure}");
        }
    }

    // More seeds may be added to it; starting over clears it.
    let more: Vec<&str> = long.iter().map(|arg| if *arg == "2" { "3" } else { arg }).collect();
    let before = written(&out);
    let ran = anneal(dir.path(), &[&more[..], &["--resume", "--json"]].concat());
    assert_eq!(parsed(&ran.out)["seeds"], serde_json::json!([7, 8, 9]));
    assert!(before.iter().all(|(path, time)| written(&out)[path] == *time));
    let over = anneal(
        dir.path(),
        &[
            "compare",
            "base.toml",
            "--schedule",
            "cosine.toml",
            "--epochs",
            "1",
            "--out",
            "out",
            "--overwrite",
            "--quiet",
        ],
    );
    assert_eq!(over.code, 0, "{}", over.err);
    assert!(!out.join("sgd").exists() && !out.join("cosine/seed-8").exists() && out.join("cosine/seed-7").exists());
}

/// A comparison of nothing but failures is one, and its figures are there all the same.
#[test]
fn where_every_run_has_failed_the_command_has() {
    let sgd = BASE.replace("'adam'\nlr = 3e-3", "'sgd'\nlr = 1e30");
    let dir = folder(&[("base.toml", &sgd), ("cosine.toml", COSINE)]);
    let ran = anneal(dir.path(), &["compare", "base.toml", "--schedule", "cosine.toml", "--out", "out", "--quiet"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(contender(&parsed(&read(dir.path().join("out/compare.json"))), "cosine")["failed"], 1);
}

#[test]
fn what_is_wrong_is_named_before_any_work() {
    let files = [
        ("base.toml", BASE),
        ("cosine.toml", COSINE),
        ("unknown.toml", "type = 'cosine_annealing'\nt_max = 3\neta_mim = 0.1\n"),
        ("section.toml", "[shedule]\ntype = 'fixed'\n"),
        ("no_type.toml", "[schedule]\ngamma = 0.5\n"),
        ("empty.toml", ""),
        ("broken.toml", "type = \n"),
        ("adagrad.toml", "[optimizer]\ntype = 'adagrad'\nlr = 0.1\n"),
        ("cyclic.toml", "[schedule]\ntype = 'cyclic'\nbase_lr = 0.1\nmax_lr = 0.5\n"),
        (
            "adagrad_cyclic.toml",
            "[optimizer]\ntype = 'adagrad'\nlr = 0.1\n[schedule]\ntype = 'cyclic'\nbase_lr = 0.1\nmax_lr = 0.5\n",
        ),
        ("too_long.toml", "type = 'one_cycle'\nmax_lr = 0.1\ntotal_steps = 0\n"),
        ("group.toml", "[[groups]]\nparams = 'a'\nlr_scal = 2\n"),
    ];
    let dir = folder(&files);
    let refused = |args: &[&str], expected: &str| {
        let ran = anneal(dir.path(), &[&["compare", "base.toml", "--schedule", "cosine.toml"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(expected), "{args:?}: {}", ran.err);
        assert!(!dir.path().join("runs").exists(), "{args:?}");
    };
    let cases = [
        ("nowhere.toml", "nowhere.toml: cannot be read"),
        ("unknown.toml", "unknown.toml:3: eta_mim: unknown field; did you mean `eta_min`?"),
        ("section.toml", "section.toml:1: shedule: unknown field; did you mean `schedule`?"),
        ("no_type.toml", "no_type.toml:1: schedule.type: missing"),
        ("empty.toml", "empty.toml: holds no schedule"),
        ("broken.toml", "broken.toml: line 1"),
        ("too_long.toml", "too_long.toml:3: total_steps"),
        ("adagrad_cyclic.toml", "adagrad_cyclic.toml"),
        ("group.toml", "group.toml:3: groups[0].lr_scal: unknown field"),
    ];
    for (file, expected) in cases {
        refused(&["--schedule", file], expected);
    }
    // What does not fit CONFIG is told with both files.
    let set = [
        "--schedule",
        "adagrad.toml",
        "--set",
        "schedule.type=cyclic",
        "--set",
        "schedule.base_lr=0.1",
        "--set",
        "schedule.max_lr=1",
    ];
    refused(&set, "with adagrad.toml: ");
    refused(&["--vary", "data.validation=0.3"], "--vary data.validation: contenders share data");
    refused(&["--vary", "run.seed=3"], "--vary run.seed: contenders share data");
    refused(&["--vary", "model.hiden=[8]"], "--vary model.hiden: unknown field");
    refused(&["--vary", "train.fast_dev_run=1"], "nothing to compare");
    refused(&["--vary", "train.overfit_batches=1"], "contenders share data");
    refused(&["--vary", "model"], "expected key.path=value");
    refused(&["--rates", "0.1,x"], "\"x\" is not allowed here");
    refused(&["--rates", "0.1", "--set", "data.validation=0"], "data.validation");
    refused(&["--set", "train.fast_dev_run=1"], "nothing to compare");
    refused(&["--seeds", "0"], "--seeds");
    refused(&["--target", "120"], "a percentage above 0");
    refused(&["--resume", "--overwrite"], "cannot be used with");
    let ran = anneal(dir.path(), &["compare", "--schedule", "cosine.toml"]);
    assert!(ran.code == 2 && ran.err.contains("which CONFIG?"), "{}", ran.err);
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/thesis.tex"), "").unwrap();
    refused(&["--out", "full", "--overwrite"], "full: is not empty and holds no comparison");
}

#[test]
fn of_a_whole_config_the_schedule_is_taken_and_the_rest_is_said() {
    let whole = SMALL.replace("hidden = [16]", "hidden = [99]").replace("lr = 1e-3", "lr = 2e-3");
    let dir = folder(&[("base.toml", BASE), ("whole.toml", &whole)]);
    let ran = anneal(
        dir.path(),
        &["compare", "base.toml", "--schedule", "whole.toml", "--json", "--epochs", "1", "--set", "optimizer.lr=0.5"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let figures = parsed(&ran.out);
    let of = contender(&figures, "whole");
    assert_eq!((of["schedule"].as_str(), of["rate"]["lr"].as_f64()), (Some("step"), Some(2e-3)));
    let config: toml::Table = read(dir.path().join("runs/compare-small/whole/seed-7/config.toml")).parse().unwrap();
    assert_eq!(config["model"]["hidden"].as_array().map(Vec::len), Some(1));
    assert_eq!(config["model"]["hidden"][0].as_integer(), Some(16));
    let warnings: Vec<&str> =
        figures["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(warnings[0], "--set optimizer.lr changes CONFIG; whole.toml has its own [optimizer]");
    assert!(
        warnings[1].starts_with(
            "whole.toml: only its schedule, optimizer and groups are taken; CONFIG's model.hidden, train.epochs"
        ),
        "{}",
        warnings[1]
    );
    assert!(ran.err.contains("model.hidden"), "{}", ran.err);
}
