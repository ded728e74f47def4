//! What a run leaves to look at: logs, plots, `report.html`; and `anneal report`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::common::{SMALL, anneal, command, folder, json, parsed, read};
use anneal::report::tensorboard::read_scalars;
use serde_json::Value;

fn train(dir: &Path, args: &[&str]) {
    let ran = anneal(dir, &[&["train"], args, &["--quiet"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
}

fn event_files(run: &Path) -> usize {
    let entries = fs::read_dir(run).unwrap();
    entries
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("events.out.tfevents."))
        .count()
}

#[test]
fn a_run_leaves_the_logs_it_was_asked_for_and_a_page() {
    let dir = folder(&[("small.toml", SMALL)]);
    train(dir.path(), &["small.toml", "--out", "default", "--set", "run.name=<script>alert(1)"]);
    let run = dir.path().join("default");
    assert_eq!((event_files(&run), run.join("metrics.csv").exists()), (1, false), "Lightning's habit");
    let scalars = read_scalars(&run).unwrap();
    let tags: Vec<&str> = scalars.keys().map(String::as_str).collect();
    let expected = [
        "time/epoch_seconds",
        "train/accuracy",
        "train/loss",
        "train/loss_epoch",
        "train/lr",
        "valid/accuracy",
        "valid/loss",
    ];
    assert_eq!(tags, expected);
    assert_eq!(scalars["valid/loss"].len(), 3);

    let page = read(run.join("report.html"));
    assert!(page.contains("<h1>&lt;script&gt;alert(1)") && !page.contains("<script"), "the name is text");
    for part in ["finished</span>", "Test accuracy", "Where the time went", "Environment", "[schedule]", "Processor"] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 3, "loss, accuracy, rate");
    let sessions = json(run.join("environment.json"));
    assert_eq!(sessions[0]["from_step"], 0);
    // A process that finds nothing to do has no part in the run.
    assert_eq!(anneal(dir.path(), &["resume", "default", "--quiet"]).code, 0);
    let sessions = json(run.join("environment.json"));
    assert_eq!((event_files(&run), sessions.as_array().map(Vec::len)), (1, Some(1)));

    let all = "run.loggers=['csv', 'tensorboard']";
    train(dir.path(), &["small.toml", "--out", "all", "--set", all]);
    let run = dir.path().join("all");
    assert_eq!(event_files(&run), 1);
    let csv = read(run.join("metrics.csv"));
    assert!(csv.starts_with("step,epoch,seconds,lr,train.loss,"), "{csv}");
    // Starting over leaves nothing of the earlier run.
    train(dir.path(), &["small.toml", "--out", "all", "--overwrite", "--set", "run.loggers=[]"]);
    assert_eq!((event_files(&run), run.join("metrics.csv").exists()), (0, false));
    assert!(run.join("metrics.jsonl").exists() && run.join("report.html").exists());
}

/// The weights that a run leaves need not be those of its last step.
#[test]
fn the_page_says_which_steps_model_the_run_leaves() {
    let dir = folder(&[("small.toml", SMALL)]);
    let stop = "train.early_stopping={ monitor = 'valid.loss', patience = 1, min_delta = 9.0, restore_best = true }";
    train(dir.path(), &["small.toml", "--out", "run", "--epochs", "9", "--set", stop]);
    let summary = json(dir.path().join("run/summary.json"));
    let step = summary["restored"].as_u64().expect("a step");
    assert!(step < summary["steps"].as_u64().expect("steps"), "{summary}");
    let page = read(dir.path().join("run/report.html"));
    let expected = format!("<dt>Restored model</dt><dd>step {step}</dd>");
    assert!(page.contains(&expected), "{expected}");
}

#[test]
fn several_runs_are_compared() {
    let dir = folder(&[("small.toml", SMALL)]);
    train(dir.path(), &["small.toml", "--out", "a"]);
    train(dir.path(), &["small.toml", "--out", "b", "--set", "schedule.type=fixed", "--set", "optimizer.lr=1e-2"]);
    let ran = anneal(dir.path(), &["report", "a", "b"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("\nrun  accuracy  accuracy  step  state"), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert!(ran.out.ends_with("report: report.html\n"), "{}", ran.out);
    let page = read(dir.path().join("report.html"));
    assert!(page.contains("Comparison of 2 runs") && page.contains("<td class=\"text\">optimizer.lr</td>"));
    assert_eq!(page.matches("<svg").count(), 4, "validation loss and accuracy, training loss, rate");

    let ran = anneal(dir.path(), &["report", "a", "b", "--json", "--out", "other.html"]);
    let figures = parsed(&ran.out);
    assert_eq!(figures["page"], "other.html");
    assert!(dir.path().join("other.html").exists());
    let differing: Vec<&String> = figures["differences"].as_object().unwrap().keys().collect();
    assert_eq!(differing, ["optimizer.lr", "schedule.gamma", "schedule.step_size", "schedule.type"]);
    assert_eq!(figures["differences"]["schedule.gamma"], serde_json::json!(["0.5", null]));
    let summary = json(dir.path().join("a/summary.json"));
    assert_eq!(figures["runs"][0]["test"], summary["test"]);
    assert_eq!(figures["runs"][0]["steps"], 63);

    // One run: its own page, in its folder; and what the page says is what the log says.
    fs::remove_file(dir.path().join("a/report.html")).unwrap();
    let ran = anneal(dir.path(), &["report", "a"]);
    assert!(ran.out.ends_with("report: a/report.html\n"), "{}", ran.out);
    let accuracy = format!("<dd>{:.2} %</dd>", summary["test"]["accuracy"].as_f64().unwrap());
    assert!(read(dir.path().join("a/report.html")).contains(&accuracy));
}

/// Names of folders, runs and classes may have anything in them.
#[test]
fn no_control_characters_reach_the_terminal_or_a_page() {
    let dir = folder(&[("small.toml", SMALL)]);
    let odd = "a\x1b[31m\x07b";
    train(dir.path(), &["small.toml", "--out", odd, "--set", &format!("run.name={odd}"), "--set", "train.epochs=1"]);
    train(dir.path(), &["small.toml", "--out", "c", "--set", "train.epochs=1"]);
    for args in [
        &["train", "small.toml", "--out", odd, "--overwrite"][..],
        &["report", odd, "c"],
        &["report", odd, "--json"],
        &["evaluate", odd],
        &["resume", "no\x1b[31m"],
    ] {
        let ran = anneal(dir.path(), args);
        let said = ran.out + &ran.err;
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {said:?}");
    }
    // A program reads names as they are.
    let next_line = "d\u{85}";
    train(dir.path(), &["small.toml", "--out", next_line, "--set", "train.epochs=1"]);
    assert!(anneal(dir.path(), &["report", next_line, "--json"]).out.contains(next_line));
    for page in [dir.path().join("report.html"), dir.path().join(odd).join("report.html")] {
        let page = read(page);
        assert!(page.contains("a\u{fffd}[31m\u{fffd}b"), "{page}");
        assert!(!page.contains(|c: char| c.is_control() && c != '\n'));
    }
}

#[test]
fn a_trial_is_not_reported() {
    let dir = folder(&[("small.toml", SMALL)]);
    train(dir.path(), &["small.toml", "--fast-dev-run", "--out", "trial"]);
    let ran = anneal(dir.path(), &["report", "trial"]);
    assert!(ran.code == 2 && ran.err.contains("trial: was a trial (train.fast_dev_run = 1)"), "{}", ran.err);
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let dir = folder(&[("small.toml", SMALL)]);
    train(dir.path(), &["small.toml", "--out", "run"]);
    let run = dir.path().join("run");
    let refused = |name: &str, contents: Option<&[u8]>, expected: &str| {
        let path = run.join(name);
        let kept = fs::read(&path).ok();
        match contents {
            Some(contents) => fs::write(&path, contents).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let ran = anneal(dir.path(), &["report", "run", "--out", "page.html"]);
        // A config that is no config, and a folder without one, is bad usage, as everywhere.
        assert_eq!(ran.code, if name == "config.toml" { 2 } else { 1 }, "{name}");
        assert!(ran.err.contains(expected), "{name}: {}", ran.err);
        assert!(!dir.path().join("page.html").exists(), "{name}");
        match kept {
            Some(kept) => fs::write(&path, kept).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    };
    let log = read(run.join("metrics.jsonl"));
    let damaged = log.replacen('\n', "\n{\"step\": 7, \"ep\n", 1);
    refused("metrics.jsonl", Some(damaged.as_bytes()), "run/metrics.jsonl:2: is damaged: ");
    refused("metrics.jsonl", Some(b"{\"a\": 1}\n\xff\n"), "run/metrics.jsonl:2: is no text");
    refused("metrics.jsonl", None, "run/metrics.jsonl: is missing");
    refused("summary.json", Some(b"{\n\"seconds\": 1,\n"), "run/summary.json:3: is damaged: ");
    refused("lr_finder.json", Some(b"[]x"), "run/lr_finder.json:1: is damaged: ");
    refused("config.toml", None, "run: holds no run");
    refused("config.toml", Some(b"[run\n"), "run/config.toml: line 1");

    // Cut off while it was being written: what a killed process leaves is no damage. Without a summary it has not ended.
    fs::write(run.join("metrics.jsonl"), log + "{\"step\": 99, \"ep").unwrap();
    fs::remove_file(run.join("summary.json")).unwrap();
    let ran = anneal(dir.path(), &["report", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(read(run.join("report.html")).contains("not finished</span>"));
}

#[test]
fn a_sweep_in_the_run_folder_is_shown() {
    let dir = folder(&[("small.toml", SMALL)]);
    train(dir.path(), &["small.toml", "--out", "run"]);
    let sweep = r#"{"lrs": [1e-3, 1e-2, 1e-1], "losses": [2.3, 2.0, null], "smoothed": [2.3, 2.1, null],
        "stopped": "non_finite", "suggestion": {"rule": "valley", "lr": 0.01}, "reason": null}"#;
    fs::write(dir.path().join("run/lr_finder.json"), sweep).unwrap();
    assert_eq!(anneal(dir.path(), &["report", "run"]).code, 0);
    assert!(read(dir.path().join("run/report.html")).contains("valley 1.00e-2"));
}

#[test]
fn a_run_that_fails_leaves_its_plots_and_its_page() {
    let dir = folder(&[("small.toml", SMALL)]);
    let ran = anneal(
        dir.path(),
        &[
            "train",
            "small.toml",
            "--out",
            "run",
            "--quiet",
            "--set",
            "optimizer.type=sgd",
            "--set",
            "optimizer.lr=1e30",
        ],
    );
    assert_eq!(ran.code, 1, "{}", ran.err);
    // The page and the summary say what, where, at which rate, and what to do.
    let page = read(dir.path().join("run/report.html"));
    for part in ["failed: not finite</span>", "What went wrong", "at step 2, in epoch 1", "1.000e30", "a warm-up"] {
        assert!(page.contains(part), "{part}");
    }
    let summary = json(dir.path().join("run/summary.json"));
    assert_eq!(summary["stopped"]["kind"], "not_finite");
    let failure = &summary["failure"];
    assert_eq!((&failure["step"], &failure["epoch"], &failure["lr"]), (&2.into(), &1.into(), &1e30.into()));
    // A tenth of that rate is no advice.
    assert!(failure["advice"].as_str().unwrap().contains("train with a lower rate, with a warm-up"), "{failure}");
    assert_eq!((&summary["steps"], &summary["test"]), (&1.into(), &Value::Null));
    let ran = anneal(dir.path(), &["report", "run", "--json"]);
    let figures = parsed(&ran.out);
    assert_eq!(
        (&figures["runs"][0]["state"], &figures["runs"][0]["failure"]["step"]),
        (&"failed: not finite".into(), &2.into())
    );
    assert!(dir.path().join("run/plots/loss.png").exists());
    // The one step that was logged is a dot.
    let loss = read(dir.path().join("run/plots/loss.svg"));
    assert!(loss.contains("<circle"), "{loss}");
}

/// A long run of many checkpoints, every step of it logged.
const LONG: &str = "[run]\nname = 'long'\nloggers = ['csv', 'tensorboard']\n[optimizer]\ntype = 'adam'\nlr = 1e-3\n\
    [model]\ntype = 'mlp'\nhidden = [16]\n[schedule]\ntype = 'cosine_annealing'\nt_max = 'rest'\n[train]\nepochs = 40\nlog_every = 1\n";

fn start(dir: &Path, args: &[&str]) -> Child {
    command(dir).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Waits until the run has written this many lines of its log (and, with it, some checkpoints).
fn wait_for_lines(run: &Path, lines: usize) {
    let began = Instant::now();
    let count = || fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    let has_checkpoint = || {
        fs::read_dir(run.join("checkpoints")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("step-"))
        })
    };
    while !(has_checkpoint() && count() >= lines) {
        assert!(began.elapsed() < Duration::from_mins(2), "the run does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Step, set, kind and loss of each line; step and epoch of each row; the scalars that are no times.
type Logged = (Vec<String>, Vec<String>, BTreeMap<String, Vec<(u64, f32)>>);

fn logged(run: &Path) -> Logged {
    let lines = read(run.join("metrics.jsonl"))
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a whole line");
            format!("{} {} {} {}", line["step"], line["split"], line["every"], line["loss"])
        })
        .collect();
    let rows = read(run.join("metrics.csv"));
    let rows = rows.lines().map(|row| row.splitn(3, ',').take(2).collect::<Vec<_>>().join(",")).collect();
    let mut scalars = read_scalars(run).unwrap();
    scalars.remove("time/epoch_seconds");
    (lines, rows, scalars)
}

/// `kill -9` again and again, wherever it falls: the logs of the run that goes on are those of one never killed.
#[test]
fn logs_of_a_run_that_was_killed_hold_each_step_once() {
    let dir = folder(&[("long.toml", LONG)]);
    train(dir.path(), &["long.toml", "--out", "whole"]);
    let parts = dir.path().join("parts");
    for lines in [60, 190, 420, 610] {
        let mut child = if lines == 60 {
            start(dir.path(), &["train", "long.toml", "--out", "parts", "--quiet"])
        } else {
            start(dir.path(), &["resume", "parts", "--quiet"])
        };
        wait_for_lines(&parts, lines);
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    let ran = anneal(dir.path(), &["resume", "parts", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (whole, parts_logged) = (logged(&dir.path().join("whole")), logged(&parts));
    assert_eq!(whole.0.len(), 40 * 21 + 2 * 40, "each step, and two sets each epoch");
    assert_eq!(parts_logged.0, whole.0, "metrics.jsonl");
    assert_eq!(parts_logged.1, whole.1, "metrics.csv");
    assert_eq!(parts_logged.2, whole.2, "events");
    assert_eq!(event_files(&parts), 5, "one for each process");
    let sessions = json(parts.join("environment.json"));
    assert_eq!(sessions.as_array().map(Vec::len), Some(5));
    assert_eq!(read(parts.join("report.html")).matches("from step").count(), 4);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_its_plots_and_its_page() {
    let dir = folder(&[("long.toml", LONG)]);
    let run: PathBuf = dir.path().join("run");
    let mut child = start(dir.path(), &["train", "long.toml", "--out", "run", "--epochs", "4000", "--quiet"]);
    wait_for_lines(&run, 30);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    let page = read(run.join("report.html"));
    assert!(page.contains("interrupted</span>"));
    assert!(page.contains("planned"), "what it did not get to is shown");
    assert!(run.join("plots/lr.svg").exists());
}
