//! The run folder: who may write into it, and what happens to what is in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant, SystemTime},
};

use crate::common::{Ran, SMALL, anneal, command, copied, folder, json, parsed, ran, seed};
use serde_json::Value;

/// Everything in a folder: contents, and when they were written.
fn all(folder: &Path) -> BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), (fs::read(&path).ok(), metadata.modified().unwrap()));
            }
        }
    }
    found
}

/// Trains [`SMALL`] into `run`.
fn trained() -> (tempfile::TempDir, PathBuf) {
    let dir = folder(&[("small.toml", SMALL)]);
    let run = dir.path().join("run");
    assert_eq!(anneal(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]).code, 0);
    (dir, run)
}

/// Starts training for so long that it is stopped sooner, and waits until it is under way.
fn under_way(dir: &Path) -> Child {
    let mut start = command(dir);
    start.args(["train", "small.toml", "--out", "run", "--epochs", "100000", "--quiet"]);
    let child = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let began = Instant::now();
    let is_on = || fs::read_dir(dir.join("run/checkpoints")).is_ok_and(|mut entries| entries.next().is_some());
    while !is_on() {
        assert!(began.elapsed() < Duration::from_mins(2), "the run does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// What looks like a run and is none: nothing in it is touched, whatever is asked for.
#[test]
fn a_hostile_folder_is_left_alone() {
    let dir = folder(&[("c.toml", SMALL)]);
    let project = dir.path().join("proj");
    for name in ["checkpoints/epoch_10", "checkpoints/step-00000021", "plots", "replaced-00"] {
        fs::create_dir_all(project.join(name)).unwrap();
    }
    for (name, text) in [
        // Their own, commented; and files that are called as a run's.
        ("config.toml", format!("# Mine.\n{SMALL}").as_str()),
        ("checkpoints/epoch_10/weights.pt", "w"),
        ("checkpoints/step-00000021/weights.pt", "w"),
        ("checkpoints/step-00000021/manifest.json", "{\"format\": 2}"),
        ("plots/loss.svg", "theirs"),
        ("environment.json", "{\"python\": \"3.13\"}"),
        ("anneal.json", "{\"schedule\": \"simulated annealing\"}"),
        ("report.html", "theirs"),
        ("model.safetensors", "theirs"),
        ("summary.json", "{}"),
        (".report.html.x.tmp", "theirs"),
    ] {
        fs::write(project.join(name), text).unwrap();
    }
    let before = all(&project);
    for args in [
        &["train", "c.toml", "--out", "proj"][..],
        &["train", "c.toml", "--out", "proj", "--resume"],
        &["train", "c.toml", "--out", "proj", "--overwrite"],
        &["train", "proj/config.toml", "--out", "proj", "--resume"],
        &["resume", "proj"],
        &["resume", "proj", "--epochs", "1000"],
        &["evaluate", "proj"],
        &["report", "proj"],
        &["export", "proj"],
        &["compare", "c.toml", "--out", "proj", "--overwrite"],
        &["compare", "c.toml", "--out", "proj", "--resume"],
    ] {
        let ran = anneal(dir.path(), args);
        assert!(ran.code == 1 || ran.code == 2, "{args:?}: {}", ran.code);
        assert!(ran.err.contains("proj: ") && ran.err.contains("holds no "), "{args:?}: {}", ran.err);
        assert!(all(&project) == before, "{args:?}");
    }
}

/// In a run's folder, what is not the run's stays, and is in nobody's way.
#[test]
fn what_others_put_into_a_run_folder_stays() {
    let (dir, run) = trained();
    fs::create_dir_all(run.join("checkpoints/step-00000002")).unwrap();
    fs::create_dir_all(run.join("checkpoints/step-00000084")).unwrap();
    fs::create_dir_all(run.join("report.html.d")).unwrap();
    let theirs = [
        "checkpoints/step-00000002/weights.pt",
        "checkpoints/.tmp-x",
        "checkpoints/.tmp-step-x",
        "checkpoints/notes.md",
        "plots/mine.svg",
        ".notes.tmp",
        "notes.md",
        "report.html.d/a",
    ];
    // A plain file where the next checkpoint is to be written, a folder where it is to be.
    let in_the_way = ["checkpoints/.tmp-step-00000084", "checkpoints/step-00000084/weights.pt"];
    for name in theirs.iter().chain(&in_the_way) {
        fs::write(run.join(name), "theirs").unwrap();
    }
    let is_theirs = |name: &str| fs::read_to_string(run.join(name)).is_ok_and(|text| text == "theirs");
    let ran = anneal(dir.path(), &["resume", "run", "--epochs", "4", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(run.join("checkpoints/step-00000084/manifest.json").exists());
    let moved = ["checkpoints/.tmp-step-00000084.kept-1", "checkpoints/step-00000084.kept-1/weights.pt"];
    for name in theirs.iter().chain(&moved) {
        assert!(is_theirs(name), "{name}: {}", ran.err);
    }
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--overwrite", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let goes = "removed once there is a checkpoint: checkpoints, config.toml, environment.json, event files (2), metrics.jsonl, model.safetensors, plots (6), preprocessing.json, report.html, summary.json";
    assert!(ran.err.contains(goes), "{}", ran.err);
    for name in theirs.iter().chain(&moved) {
        assert!(is_theirs(name), "{name}");
    }
    assert_eq!(json(run.join("summary.json"))["epochs"], 3);
    let is_replaced = |path: &PathBuf| path.to_string_lossy().contains("replaced-");
    assert!(!all(&run).keys().any(is_replaced), "what was replaced is gone once there is a checkpoint");
}

/// A finished run whose checkpoints are elsewhere is not started over by a resumption.
#[test]
fn finished_work_is_not_lost_for_want_of_a_checkpoint() {
    let (dir, run) = trained();
    let checkpoints = run.join("checkpoints");
    fs::rename(&checkpoints, dir.path().join("elsewhere")).unwrap();
    let refused = || {
        let before = all(&run);
        for args in [&["resume", "run", "--epochs", "1000"][..], &["train", "small.toml", "--out", "run", "--resume"]] {
            let ran = anneal(dir.path(), args);
            assert_eq!(ran.code, 1, "{args:?}");
            let expected = "run: has no checkpoint to go on from, and finished work (summary.json, model.safetensors)";
            assert!(ran.err.contains(expected), "{}", ran.err);
            assert!(all(&run) == before, "{args:?}");
        }
    };
    refused();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &checkpoints).unwrap();
        refused();
        // Starting over replaces the link, and not what a link leads to.
        fs::remove_file(&checkpoints).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &checkpoints).unwrap();
        let before = all(&dir.path().join("elsewhere"));
        let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--overwrite", "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(all(&dir.path().join("elsewhere")) == before && !checkpoints.is_symlink());
    }
}

/// Runs from before there were marks.
#[test]
fn older_runs_are_known_by_their_checkpoint_or_their_environment() {
    for gone in ["environment.json", "checkpoints"] {
        let (dir, run) = trained();
        fs::remove_file(run.join("anneal.json")).unwrap();
        let path = run.join(gone);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        assert_eq!(anneal(dir.path(), &["report", "run"]).code, 0, "without {gone}");
        if gone == "environment.json" {
            let ran = anneal(dir.path(), &["resume", "run", "--epochs", "4", "--quiet"]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert_eq!(json(run.join("anneal.json"))["program"], "anneal", "it has a mark now");
            fs::remove_file(run.join("anneal.json")).unwrap();
        }
        let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--overwrite", "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

/// A plain file where the runs were to go is an error, not a search for another name.
#[test]
fn a_file_in_the_place_of_the_runs_is_named() {
    let dir = folder(&[("small.toml", SMALL), ("runs", "theirs")]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--quiet"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("error: runs: cannot create it: "), "{}", ran.err);
}

#[test]
fn twenty_at_once_get_a_folder_each() {
    let dir = folder(&[("small.toml", SMALL)]);
    let at_once = |args: &[&str]| -> Vec<Ran> {
        let start = |seed: u64| {
            let mut command = command(dir.path());
            command.args(["train", "small.toml", "--quiet", "--epochs", "1", "--set", &format!("run.seed={seed}")]);
            command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        };
        let processes: Vec<Child> = (0..20).map(start).collect();
        processes.into_iter().map(|process| ran(&process.wait_with_output().unwrap())).collect()
    };
    for ran in at_once(&[]) {
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let mut seeds = Vec::new();
    for number in 1..=20 {
        let name = if number == 1 { "small".to_owned() } else { format!("small-{number}") };
        let run = dir.path().join("runs").join(name);
        let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
        let seed = config["run"]["seed"].as_integer().unwrap();
        assert_eq!(json(run.join("summary.json"))["seed"].as_i64(), Some(seed), "of one process");
        let names: Vec<String> = fs::read_dir(&run)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("events.")).count(), 1, "{names:?}");
        assert!(!names.iter().any(|name| name == "anneal.lock" || name.contains(".tmp")), "{names:?}");
        seeds.push(seed);
    }
    seeds.sort_unstable();
    assert_eq!(seeds, (0..20).collect::<Vec<i64>>());

    // One folder for all: one gets it, the others are told who has it.
    let all = at_once(&["--out", "one"]);
    let refused: Vec<&Ran> = all.iter().filter(|ran| ran.code != 0).collect();
    assert_eq!(refused.len(), 19);
    for ran in refused {
        let is_named = ran.err.contains("one: in use by process") && ran.err.contains(" on this host since 20");
        let is_held = ran.code == 2 && ran.err.contains("one: holds a run already");
        assert!((ran.code == 1 && is_named) || is_held, "{}", ran.err);
    }
    let config: toml::Table = fs::read_to_string(dir.path().join("one/config.toml")).unwrap().parse().unwrap();
    assert_eq!(json(dir.path().join("one/summary.json"))["seed"].as_i64(), config["run"]["seed"].as_integer());
}

#[test]
fn a_run_in_use_is_refused_by_name_until_its_process_is_gone() {
    let dir = folder(&[("small.toml", SMALL)]);
    let mut child = under_way(dir.path());
    let config = fs::read(dir.path().join("run/config.toml")).unwrap();
    for args in [
        &["train", "small.toml", "--out", "run", "--overwrite"][..],
        &["train", "small.toml", "--out", "run", "--resume"],
        &["resume", "run"],
    ] {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 1, "{args:?}");
        let expected = format!("run: in use by process {} on this host since 20", child.id());
        assert!(ran.err.contains(&expected), "{args:?}: {}", ran.err);
    }
    assert_eq!(fs::read(dir.path().join("run/config.toml")).unwrap(), config);
    // Looking at it is allowed.
    assert_eq!(anneal(dir.path(), &["report", "run"]).code, 0);
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(dir.path().join("run/anneal.lock").exists(), "what it says is only text now");
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--overwrite", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!dir.path().join("run/anneal.lock").exists());
}

/// SIGKILL while a run is being replaced, at random instants: the folder works, and nothing unfinished stays.
#[test]
fn a_kill_while_starting_over_leaves_a_run_that_works() {
    let seed = seed();
    println!("ANNEAL_SEED={seed} repeats this");
    let (dir, run) = trained();
    // A run like another: what is resumed ends with these weights, whichever of the two it is.
    let weights = fs::read(run.join("model.safetensors")).unwrap();
    for trial in 0..12 {
        let mut start = command(dir.path());
        start.args(["train", "small.toml", "--out", "run", "--overwrite", "--quiet"]);
        let mut child = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_micros((seed / 7 + trial * 7919) % 12 * 25_000));
        let _ = child.kill();
        child.wait().expect("gone");
        if trial % 3 == 0 {
            let ran = anneal(dir.path(), &["report", "run"]);
            assert!(ran.code == 0 || ran.err.contains("the run has not begun"), "trial {trial}: {}", ran.err);
        }
        let args: &[&str] = match trial % 2 {
            0 => &["resume", "run", "--quiet"],
            _ => &["train", "small.toml", "--out", "run", "--resume", "--quiet"],
        };
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 0, "trial {trial}: {}", ran.err);
        assert!(fs::read(run.join("model.safetensors")).unwrap() == weights, "trial {trial}");
        let left: Vec<PathBuf> = all(&run).into_keys().collect();
        let is_left = |path: &PathBuf| {
            let text = path.to_string_lossy();
            text.ends_with(".tmp") || text.contains(".tmp-") || text.contains("replaced-") || text.ends_with(".lock")
        };
        assert!(!left.iter().any(is_left), "trial {trial}: {left:?}");
        assert!(!run.join("checkpoints/step-00000021").exists(), "one checkpoint is kept: {left:?}");
    }
}

#[test]
fn leftovers_of_a_killed_process_go_at_the_next_start() {
    let (dir, run) = trained();
    fs::create_dir_all(run.join("checkpoints/.tmp-step-00000063")).unwrap();
    fs::write(run.join("checkpoints/.tmp-step-00000063/model.bpk"), "half").unwrap();
    // Killed between writing a checkpoint and pruning the one before.
    let copy = run.join("checkpoints/step-00000042");
    assert_eq!(anneal(dir.path(), &["train", "small.toml", "--epochs", "2", "--out", "two", "--quiet"]).code, 0);
    fs::rename(dir.path().join("two/checkpoints/step-00000042"), &copy).unwrap();
    for leftover in [".report.html.Ab1.tmp", ".metrics.jsonl.Ab1.tmp", "plots/.loss.svg.Ab1.tmp"] {
        fs::write(run.join(leftover), "half").unwrap();
    }
    let ran = anneal(dir.path(), &["resume", "run", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let below = |path: PathBuf| path.strip_prefix(&run).unwrap().display().to_string();
    let left: Vec<String> = all(&run).into_keys().map(below).collect();
    assert!(!left.iter().any(|path| path.contains(".tmp") || path.contains("step-00000042")), "{left:?}");
}

#[test]
fn a_finished_run_that_is_resumed_keeps_its_summary() {
    let (dir, run) = trained();
    let read = || ["summary.json", "model.safetensors", "report.html"].map(|name| fs::read(run.join(name)).unwrap());
    let before = read();
    for args in [&["resume", "run", "--json"][..], &["resume", "run", "--json", "--epochs", "3"]] {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let printed = parsed(&ran.out);
        assert_eq!((&printed["steps"], &printed["resumed_from"]), (&Value::from(63), &Value::Null), "it is the run's");
        assert!(printed["items_per_second"].as_f64() > Some(0.0));
        assert!(read() == before);
    }
    // What is done cannot be undone.
    let before = all(&run);
    fs::write(dir.path().join("steps.toml"), SMALL.replace("epochs = 3", "steps = 62")).unwrap();
    let more = ["train", "steps.toml", "--out", "run", "--resume"];
    for (args, expected) in [
        (&["resume", "run", "--epochs", "2"][..], "train.epochs: 2 is not allowed here; allowed: at least 3"),
        (&more, "train.steps: 62 is not allowed here; allowed: at least 63"),
    ] {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(expected), "{}", ran.err);
        assert!(all(&run) == before, "{args:?}");
    }
}

/// A checkpoint of another run was swapped in.
#[test]
fn a_refused_resume_touches_nothing() {
    let (dir, run) = trained();
    let other = ["train", "small.toml", "--out", "other", "--epochs", "4", "--set", "model.hidden=[8]", "--quiet"];
    assert_eq!(anneal(dir.path(), &other).code, 0);
    fs::rename(dir.path().join("other/checkpoints/step-00000084"), run.join("checkpoints/step-00000084")).unwrap();
    let before = all(&run);
    for args in [&["resume", "run", "--epochs", "5"][..], &["train", "small.toml", "--out", "run", "--resume"]] {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(ran.err.contains("belongs to another configuration"), "{}", ran.err);
        assert!(all(&run) == before, "{args:?}");
    }
}

/// A log that cannot be read whole costs a warning, and what it was is kept.
#[test]
fn a_damaged_log_is_kept_aside_and_the_run_goes_on() {
    type Damage = fn(&[u8]) -> Vec<u8>;
    let halved: Damage = |log| log[..log.len() / 2].to_vec();
    let cases: [(&str, Damage, Option<&str>); 5] = [
        (
            "a line",
            |log| log.iter().enumerate().filter(|(at, _)| *at != 3).map(|(_, byte)| *byte).collect(),
            Some("line 1 cannot be read"),
        ),
        ("a byte", |log| [b"\xff\n", log].concat(), Some("line 1 cannot be read")),
        ("half of it", halved, Some("its lines of the steps ")),
        ("emptied", |_| Vec::new(), Some("its lines of the steps 1 to 60 are gone")),
        ("torn by a kill", |log| [log, b"{\"step\": 64, \"ep"].concat(), None),
    ];
    let (whole, run) = trained();
    for (case, damage, says) in cases {
        let dir = folder(&[]);
        let copy = dir.path().join("run");
        copied(&run, &copy);
        let (log, aside) = (copy.join("metrics.jsonl"), copy.join("metrics.jsonl.damaged-1"));
        let damaged = damage(&fs::read(&log).unwrap());
        fs::write(&log, &damaged).unwrap();
        let ran = anneal(dir.path(), &["resume", "run", "--epochs", "4", "--quiet"]);
        assert_eq!(ran.code, 0, "{case}: {}", ran.err);
        match says {
            Some(says) => {
                let names_it = ran.err.contains("metrics.jsonl.damaged-1");
                assert!(ran.err.contains(says) && names_it, "{case}: {}", ran.err);
                assert_eq!(fs::read(&aside).unwrap(), damaged, "{case}");
            }
            None => assert!(!ran.err.contains("metrics.jsonl") && !aside.exists(), "{case}: {}", ran.err),
        }
        let lines = fs::read_to_string(&log).unwrap();
        assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{case}");
        assert!(lines.contains("{\"step\":84,"), "{case}: it goes on");
        // Once is enough.
        assert!(!anneal(dir.path(), &["resume", "run", "--epochs", "5"]).err.contains("damaged"), "{case}");
    }
    drop(whole);
}

/// A config with relative paths gives a run that can be read from anywhere.
#[test]
fn a_run_does_not_depend_on_the_folder_it_was_started_in() {
    let text = SMALL.replace("hidden = [16]", "hidden = [16]\npretrained = 'run/model.safetensors'");
    let (dir, _) = trained();
    fs::write(dir.path().join("tuned.toml"), text).unwrap();
    let args = ["train", "tuned.toml", "--out", "tuned", "--data-dir", "data", "--epochs", "1", "--quiet"];
    let ran = anneal(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let elsewhere = folder(&[]);
    let run = dir.path().join("tuned");
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    for (found, expected) in [
        (&config["data"]["data_dir"], dir.path().join("data")),
        (&config["model"]["pretrained"]["path"], dir.path().join("run/model.safetensors")),
    ] {
        assert_eq!(found.as_str(), expected.to_str());
    }
    let run = run.to_str().unwrap();
    for args in [&["evaluate", run][..], &["resume", run, "--epochs", "2"], &["export", run]] {
        let ran = anneal(elsewhere.path(), args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    }
    // The weights are known by what they are, not by where they were.
    fs::rename(dir.path().join("run/model.safetensors"), dir.path().join("weights.safetensors")).unwrap();
    let path = "model.pretrained=weights.safetensors";
    let args = ["train", "tuned.toml", "--out", "tuned", "--resume", "--epochs", "3", "--set", path, "--quiet"];
    let ran = anneal(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
}
