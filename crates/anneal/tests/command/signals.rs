//! Ctrl-C and SIGTERM on a real process: once ends the run in order, saved and resumable; twice ends it at once.

#![cfg(unix)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Stdio},
    time::{Duration, Instant},
};

use crate::common::{SMALL, anneal, command, folder, json};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Long enough that no machine ends it before the signal comes.
const EPOCHS: &str = "100000";

fn start(folder: &Path, out: &str, more: &[&str]) -> Child {
    let mut command = command(folder);
    command.args(["train", "small.toml", "--epochs", EPOCHS, "--out", out]).args(more);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

/// Waits for the first checkpoint: then the run is well under way.
fn under_way(run: &Path) {
    let began = Instant::now();
    let checkpoints = run.join("checkpoints");
    let has_one = || {
        fs::read_dir(&checkpoints).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("step-")))
        })
    };
    while !has_one() {
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), signal).expect("sent");
}

/// Waits for the notice that the first signal was heard.
fn heard(child: &mut Child) -> BufReader<ChildStderr> {
    let mut err = BufReader::new(child.stderr.take().expect("standard error"));
    let mut line = String::new();
    while !line.contains("once more to stop at once") {
        line.clear();
        assert!(err.read_line(&mut line).expect("a line") > 0, "it ended without a word");
    }
    err
}

#[test]
fn the_first_signal_ends_the_run_in_order() {
    for (signal, out) in [(Signal::SIGINT, "int"), (Signal::SIGTERM, "term")] {
        let dir = folder(&[("small.toml", SMALL)]);
        let run = dir.path().join(out);
        let mut child = start(dir.path(), out, &[]);
        under_way(&run);
        send(&child, signal);
        assert_eq!(child.wait().expect("ends").code(), Some(130), "{signal}");
        let summary = json(run.join("summary.json"));
        assert_eq!(summary["stopped"]["kind"], "interrupted", "{signal}");
        let steps = summary["steps"].as_u64().expect("steps");
        assert!(run.join(format!("checkpoints/step-{steps:08}")).exists(), "{signal}: saved after its last step");
        let epochs = (steps / 21 + 1).to_string();
        let resumed = anneal(dir.path(), &["resume", out, "--epochs", &epochs, "--quiet"]);
        assert_eq!(resumed.code, 0, "{signal}: {}", resumed.err);
    }
}

/// A sweep has nothing to save: it ends at its next step, and leaves nothing.
#[test]
fn a_sweep_ends_in_order_too() {
    let sweep = ["--set", "lr_finder.num_it=100000", "--set", "lr_finder.diverge_factor=1e30"];
    let auto = ["--set", "optimizer.lr=auto", "--out", "run"];
    for args in [
        [&["find-lr", "small.toml"][..], &sweep].concat(),
        [&["train", "small.toml"][..], &sweep, &auto].concat(),
        [&["compare", "small.toml", "--rates", "find", "--out", "run"][..], &sweep].concat(),
    ] {
        let dir = folder(&[("small.toml", SMALL)]);
        let mut command = command(dir.path());
        command.args(&args).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        // Until the handler is there, a signal ends the process without a word.
        std::thread::sleep(Duration::from_millis(1500));
        let began = Instant::now();
        send(&child, Signal::SIGINT);
        assert_eq!(child.wait().expect("ends").code(), Some(130), "{args:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{args:?}: {:?}", began.elapsed());
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "{args:?}: nothing but the config is there");
    }
}

#[test]
fn the_second_ends_it_at_once() {
    let dir = folder(&[("small.toml", SMALL)]);
    // A validation of many batches holds the step up, so that the second signal comes before the run's orderly end.
    let mut child = start(dir.path(), "run", &["--set", "model.hidden=[1500,1500]", "--set", "data.batch_size=500"]);
    under_way(&dir.path().join("run"));
    send(&child, Signal::SIGINT);
    let _err = heard(&mut child);
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    // At once: without the summary of an orderly end; the checkpoint written before is whole.
    assert!(!dir.path().join("run/summary.json").exists());
    let evaluated = anneal(dir.path(), &["evaluate", "run", "--json"]);
    assert_eq!(evaluated.code, 0, "{}", evaluated.err);
}
