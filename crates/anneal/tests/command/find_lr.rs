//! `anneal find-lr`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::common::{self, SMALL, anneal, folder, json, parsed};
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
    assert!(ran.out.contains("suggestion (minimum): lr = "), "{}", ran.out);
    let json = json(dir.path().join("lr.json"));
    let lrs = json["lrs"].as_array().expect("rates");
    assert_eq!(lrs[0], 1e-7);
    for other in ["losses", "smoothed"] {
        assert_eq!(json[other].as_array().expect("numbers").len(), lrs.len());
    }
    let suggested = json["suggestion"]["lr"].as_f64().expect("a rate");
    assert!((1e-5..1.0).contains(&suggested), "{suggested}");
    assert_eq!(json["suggestion"]["rule"], "minimum");
    assert!(std::fs::read_to_string(dir.path().join("lr.svg")).expect("written").contains("minimum"));
    assert!(std::fs::metadata(dir.path().join("lr.png")).expect("written").len() > 1_000);
    assert!(!dir.path().join("runs").exists(), "the finder makes no run folder");
}

#[test]
fn no_suggestion_is_exit_code_3_with_the_reason() {
    let dir = folder(&[("small.toml", SMALL)]);
    let set = ["--set", "lr_finder.start_lr=1e-12", "--set", "lr_finder.end_lr=1e-11"];
    let ran = anneal(dir.path(), &[&["find-lr", "small.toml", "--json", "-"], &set[..]].concat());
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    let json = parsed(&ran.out);
    assert_eq!(json["suggestion"], Value::Null);
    assert!(json["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
}

/// Every file below a folder, with its content; the folder of the run that is compared is left out.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).expect("a file");
                found.insert(path, content);
            }
        }
    }
    found
}

#[test]
fn it_changes_nothing() {
    // Batch norm, augmentation, workers, cycled momentum; a sweep with everything on, and one that ends without a result.
    let config = "[run]\nname = 'small'\n[data]\naugment = 'shift'\nworkers = 2\nbatch_size = 16\nvalidation = 0.9\n\
        [model]\ntype = 'resnet8'\n[optimizer]\ntype = 'adam'\nlr = 1e-3\n\
        [schedule]\ntype = 'one_cycle'\nmax_lr = 1e-2\n[train]\nsteps = 8\n[lr_finder]\nnum_it = 12\n";
    let dir = folder(&[("small.toml", config)]);
    let train = |out: &str| {
        let ran = anneal(dir.path(), &["train", "small.toml", "--out", out, "--quiet"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let run = dir.path().join(out);
        let log = std::fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
        let numbers: Vec<Value> = log
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).expect("JSON");
                line.as_object_mut().expect("an object").remove("seconds");
                line
            })
            .collect();
        let optimizer =
            files(&run).into_iter().find(|(path, _)| path.ends_with("optimizer.bpk")).expect("a checkpoint").1;
        (numbers, optimizer)
    };
    let before = train("before");
    let there = files(dir.path());
    for more in [
        &["--set", "lr_finder.repeats=2", "--set", "lr_finder.validate=1", "--set", "lr_finder.accumulate=2"][..],
        &["--set", "lr_finder.start_lr=1e-12", "--set", "lr_finder.end_lr=1e-11"],
        &["--set", "lr_finder.end_lr=1e30", "--set", "train.clip_grad_norm=1.0"],
    ] {
        let ran = anneal(dir.path(), &[&["find-lr", "small.toml"], more].concat());
        assert!([0, 3].contains(&ran.code), "{more:?}: {}", ran.err);
        assert!(files(dir.path()) == there, "{more:?}: a file has changed");
    }
    assert!(train("after") == before);
}

#[test]
fn repeats_and_validation_are_in_the_json() {
    let dir = folder(&[("small.toml", SMALL)]);
    let set = ["--set", "lr_finder.repeats=3", "--set", "lr_finder.validate=2", "--set", "lr_finder.smoothing=0.9"];
    let ran =
        anneal(dir.path(), &[&["find-lr", "small.toml", "--json", "a.json", "--plot", "a.svg"], &set[..]].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("median of 3 sweeps") && ran.out.contains("other rules: valley"), "{}", ran.out);
    assert!(ran.out.contains("of 3 sweeps suggest a rate by themselves"), "{}", ran.out);
    let json = json(dir.path().join("a.json"));
    let points = json["lrs"].as_array().expect("rates").len();
    for key in ["losses", "smoothed", "valid"] {
        assert_eq!(json[key].as_array().expect("numbers").len(), points, "{key}");
    }
    assert_eq!(json["repeats"].as_array().expect("sweeps").len(), 3);
    assert!(json["spread"]["ratio"].as_f64().expect("a ratio") >= 1.0);
    let svg = std::fs::read_to_string(dir.path().join("a.svg")).expect("written");
    assert!(svg.contains("range of 3") && svg.contains("validation loss"));
}

#[test]
fn the_rate_is_found_before_a_run() {
    let auto = SMALL.replace("lr = 1e-3", "lr = 'auto'");
    let dir = folder(&[("auto.toml", &auto)]);
    let ran = anneal(dir.path(), &["train", "auto.toml", "--out", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("suggestion (") && ran.out.contains("learning-rate finder"), "{}", ran.out);
    let run = dir.path().join("run");
    let found = json(run.join("lr_finder.json"));
    let lr = found["suggestion"]["lr"].as_f64().expect("a rate");
    for plot in ["svg", "png"] {
        assert!(run.join(format!("plots/lr_finder.{plot}")).exists(), "{plot}");
    }
    // The config that ran has the number, so nothing is searched for again.
    let resolved = std::fs::read_to_string(run.join("config.toml")).expect("a config");
    let table: toml::Table = resolved.parse().expect("TOML");
    assert_eq!(table["optimizer"]["lr"].as_float(), Some(lr));
    assert_eq!(table["lr_finder"]["found"].as_float(), Some(lr));
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    let first: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["lr"].as_f64(), Some(lr), "the run trains at it");
    let again = anneal(dir.path(), &["train", "run/config.toml", "--out", "again"]);
    assert!(again.code == 0 && !again.out.contains("learning-rate finder"), "{}{}", again.out, again.err);
    // The run is the one with that number in the config.
    let number = SMALL.replace("lr = 1e-3", &format!("lr = {lr:e}"));
    std::fs::write(dir.path().join("number.toml"), number).expect("written");
    assert_eq!(anneal(dir.path(), &["train", "number.toml", "--out", "number", "--quiet"]).code, 0);
    let last = |run: &str| {
        let text = std::fs::read_to_string(dir.path().join(run).join("summary.json")).expect("a summary");
        let summary: Value = serde_json::from_str(&text).expect("JSON");
        (summary["last"].clone(), summary["test"].clone())
    };
    assert_eq!(last("run"), last("number"));
    assert_eq!(last("run"), last("again"));
    // Going on takes the rate that was found, from the run's config or from the file with "auto" in it.
    for args in [&["resume", "run"][..], &["train", "auto.toml", "--out", "run", "--resume"]] {
        let ran = anneal(dir.path(), &[args, &["--epochs", "4", "--quiet"]].concat());
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_schedule_that_sets_the_rate_itself_gets_the_found_one() {
    let base = SMALL.replace("lr = 1e-3", "lr = 'auto'").replace("epochs = 3", "steps = 4");
    let step = "[schedule]\ntype = 'step'\nstep_size = 1\ngamma = 0.5\n";
    for (schedule, fields) in [
        ("type = 'one_cycle'", &[("max_lr", 1.0)][..]),
        ("type = 'cyclic'\nstep_size_up = 2", &[("max_lr", 1.0), ("base_lr", 0.25)]),
        ("type = 'cyclic'\nmax_lr = 'auto'\nbase_lr = 1e-5", &[("max_lr", 1.0)]),
        ("type = 'optax/cosine_onecycle_schedule'\ntransition_steps = 4", &[("peak_value", 1.0)]),
    ] {
        assert!(base.contains(step));
        let dir = folder(&[("a.toml", &base.replace(step, &format!("[schedule]\n{schedule}\n")))]);
        let ran = anneal(dir.path(), &["train", "a.toml", "--out", "run", "--quiet"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{schedule}: {}", ran.err);
        let text = std::fs::read_to_string(dir.path().join("run/config.toml")).expect("a config");
        let table: toml::Table = text.parse().expect("TOML");
        let lr = table["lr_finder"]["found"].as_float().expect("found");
        for (field, part) in fields {
            assert_eq!(table["schedule"][*field].as_float(), Some(lr * part), "{schedule}: {field}");
        }
    }
}

/// One rule: the found rate is the one that is trained at, whatever number the schedule has, and `--apply` writes the same.
#[test]
fn a_found_rate_replaces_a_peak_that_is_a_number() {
    let step = "[schedule]\ntype = 'step'\nstep_size = 1\ngamma = 0.5\n";
    let base =
        SMALL.replace("epochs = 3", "steps = 4").replace(step, "[schedule]\ntype = 'one_cycle'\nmax_lr = 0.25\n");
    let open = base.replace("lr = 1e-3", "lr = 'auto'");
    let dir = folder(&[("open.toml", &open), ("numbers.toml", &base)]);
    let rates = |file: &str| {
        let text = std::fs::read_to_string(dir.path().join(file)).expect(file);
        let table: toml::Table = text.parse().expect("TOML");
        let of = |section: &str, field: &str| table[section][field].as_float().expect(field);
        (of("optimizer", "lr"), of("schedule", "max_lr"))
    };
    let trained = anneal(dir.path(), &["train", "open.toml", "--out", "run"]);
    assert_eq!(trained.code, 0, "{}", trained.err);
    assert!(
        trained.out.contains("trained at: optimizer.lr = ") && trained.out.contains("(was 2.500e-1)"),
        "{}",
        trained.out
    );
    let (lr, peak) = rates("run/config.toml");
    assert!(lr == peak && peak != 0.25, "{lr} {peak}");
    for file in ["open", "numbers"] {
        let applied =
            anneal(dir.path(), &["find-lr", &format!("{file}.toml"), "--apply", &format!("{file}.found.toml")]);
        assert_eq!(applied.code, 0, "{}", applied.err);
        assert!(
            applied.out.contains("schedule.max_lr = ") && applied.out.contains("(was 2.500e-1)"),
            "{}",
            applied.out
        );
    }
    assert_eq!(rates("open.found.toml"), (lr, peak), "what the run was trained at");
    let (lr, peak) = rates("numbers.found.toml");
    assert!(lr == peak && peak != 0.25, "{lr} {peak}");
}

#[test]
fn a_rate_that_cannot_be_found_is_exit_code_3_and_nothing_is_left_behind() {
    let auto = SMALL.replace("lr = 1e-3", "lr = 'auto'") + "[lr_finder]\nstart_lr = 1e-12\nend_lr = 1e-11\n";
    let dir = folder(&[("auto.toml", &auto)]);
    let ran = anneal(dir.path(), &["train", "auto.toml"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("no suggestion: the loss") && ran.err.contains("number"), "{}", ran.err);
    assert!(!dir.path().join("runs").exists(), "nothing is written");
    // What the rate will be cannot be shown either.
    let ran = anneal(dir.path(), &["schedule", "auto.toml", "--epochs", "3"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("auto.toml:5: optimizer.lr") && ran.err.contains("--apply"), "{}", ran.err);
}

#[test]
fn a_copy_of_the_config_gets_the_rate() {
    let text = format!("# My run.\n{}", SMALL.replace("lr = 1e-3", "lr = 1e-3 # a guess"));
    let dir = folder(&[("small.toml", &text)]);
    let find = |more: &[&str]| anneal(dir.path(), &[&["find-lr", "small.toml", "--json", "a.json"], more].concat());
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a file");
    let ran = find(&["--apply"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("written to small.found.toml: optimizer.lr = "), "{}", ran.out);
    let json = parsed(&read("a.json"));
    let lr = json["suggestion"]["lr"].as_f64().expect("a rate");
    let copy = read("small.found.toml");
    assert!(copy.starts_with("# My run.\n") && copy.contains("# a guess"), "{copy}");
    let table: toml::Table = copy.parse().expect("TOML");
    assert_eq!(table["optimizer"]["lr"].as_float(), Some(lr));
    assert_eq!(read("small.toml"), text, "the original stays");

    for name in ["small.found.toml", "small.toml"] {
        let refused = find(&["--apply", name]);
        assert_eq!(refused.code, 2, "{name}");
        assert!(refused.err.contains(&format!("{name}: exists already; --overwrite")), "{}", refused.err);
    }
    assert_eq!(read("small.toml"), text);
    assert_eq!(find(&["--apply", "small.found.toml", "--overwrite"]).code, 0);
    assert_eq!(read("small.found.toml"), copy);
    // Without a suggestion there is no copy.
    let set = ["--set", "lr_finder.start_lr=1e-12", "--set", "lr_finder.end_lr=1e-11"];
    assert_eq!(find(&[&["--apply", "none.toml"], &set[..]].concat()).code, 3);
    assert!(!dir.path().join("none.toml").exists());
}

#[test]
fn bad_settings_are_named() {
    let dir = folder(&[]);
    for (setting, message) in [
        ("lr_finder.start_lr=0", "lr_finder.start_lr: 0 is not allowed here"),
        ("lr_finder.rule=valey", "did you mean `valley`?"),
        ("lr_finder.end_lr=1e-9", "above start_lr"),
        ("lr_finder.validate=0", "lr_finder.validate: 0 is not allowed here"),
        ("schedule.max_lr=auto", "schedule.max_lr: unknown field"),
    ] {
        let ran = anneal(dir.path(), &["find-lr", "--set", setting]);
        assert_eq!(ran.code, 2, "{setting}");
        assert!(ran.err.contains(message), "{setting}: {}", ran.err);
    }
}
