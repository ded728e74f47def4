//! Bad input: a message that names file, field, value and what is allowed; the right exit code; nothing left behind.

use std::fs;

use crate::common::{self, SMALL, anneal, folder};

/// A config like `SMALL` with one thing changed.
fn with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replace(from, to)
}

#[test]
fn a_bad_config_is_refused_whole_before_any_work() {
    let cases: [(&str, String, &[&str]); 29] = [
        ("unknown field", with("gamma", "gama"), &["bad.toml:12: schedule.gama: unknown field; did you mean `gamma`?"]),
        ("unknown section", SMALL.to_owned() + "[trian]\n", &["trian: unknown field; did you mean `train`?"]),
        ("unknown strategy", with("'step'", "'setp'"), &["schedule.type", "`setp`; did you mean `step`?"]),
        ("unknown optimizer", with("'adam'", "'adm'"), &["optimizer.type", "`adm`; did you mean `adam`?"]),
        ("unknown model", with("'mlp'", "'mpl'"), &["model.type: there is no model `mpl`; did you mean `mlp`?"]),
        (
            "unknown data set",
            SMALL.to_owned() + "[data]\ndataset = 'minst'\n",
            &["data.dataset", "did you mean `mnist`?"],
        ),
        (
            "wrong type",
            with("epochs = 3", "epochs = 'three'"),
            &["bad.toml:14: train.epochs: expected a whole number, or a length such as \"5ep\", found \"three\""],
        ),
        ("negative rate", with("lr = 1e-3", "lr = -1e-3"), &["bad.toml:5: optimizer.lr: -0.001 is not allowed here"]),
        ("a rate that is no number", with("lr = 1e-3", "lr = nan"), &["optimizer.lr: NaN is not allowed here"]),
        (
            "zero epochs",
            with("epochs = 3", "epochs = 0"),
            &["train.epochs: 0 is not allowed here; allowed: a whole number of at least 1"],
        ),
        (
            "zero t_max",
            with("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'cosine_annealing'\nt_max = 0"),
            &["schedule.t_max", "0"],
        ),
        ("a duration that makes no tick", with("step_size = 1", "step_size = '1%'"), &["schedule.step_size", "1%"]),
        ("a duration that is none", with("step_size = 1", "step_size = '3 weeks'"), &["schedule.step_size", "3 weeks"]),
        ("a field of another type", with("gamma = 0.5", "t_max = 5"), &["schedule.t_max: unknown field"]),
        (
            "nested",
            with(
                "type = 'step'\nstep_size = 1\ngamma = 0.5",
                "type = 'sequential'\nmilestones = [1]\nschedules = [{ type = 'fixed' }, { type = 'exponential', gama = 0.9 }]",
            ),
            &["schedule.schedules[1].gama"],
        ),
        (
            "an unknown device",
            SMALL.replace("name = 'small'", "device = 'gpux'"),
            &["run.device: there is no device `gpux`"],
        ),
        (
            "a device that is not compiled in",
            SMALL.replace("name = 'small'", "device = 'cuda'"),
            &["`cuda` is not compiled in", "cpu, flex", "--features cuda"],
        ),
        (
            "a value nobody measures",
            SMALL.to_owned() + "early_stopping = { monitor = 'valid.acuracy' }\n",
            &["train.early_stopping.monitor", "did you mean `valid.accuracy`?"],
        ),
        (
            "a momentum that is not there",
            with("'adam'", "'adagrad'")
                .replace("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'one_cycle'\nmax_lr = 0.1"),
            &["schedule.cycle_momentum", "`adagrad` has none", "cycle_momentum = false"],
        ),
        (
            "a momentum that is not there, in a group",
            with("'adam'", "'adagrad'") + "[[groups]]\nparams = '*'\nschedule = { type = 'one_cycle', max_lr = 0.1 }\n",
            &["groups[0].schedule.cycle_momentum", "`adagrad` has none", "cycle_momentum = false"],
        ),
        (
            "a group of nothing",
            SMALL.to_owned() + "[[groups]]\nparams = 'layer.0.*'\nlr_scale = 0.1\n",
            &["groups[0].params: no parameter is called `layer.0.*`; the model has layers.0."],
        ),
        (
            "a validation of nobody",
            SMALL.to_owned() + "[data]\nvalidation = 1e-9\n",
            &[
                "data.validation: 0.000000001 is not allowed here; allowed: 0, or a fraction that holds out at least one",
            ],
        ),
        (
            "a rollback that raises the rate",
            SMALL.to_owned() + "rollback_lr_factor = 1e308\n",
            &["train.rollback_lr_factor: ", "allowed: a factor above 0, at most 1"],
        ),
        (
            "a model larger than the machine",
            with("hidden = [16]", "hidden = [1000000000000]"),
            &["bad.toml:8: model.hidden: the run takes at least", "parameters x 4 bytes x 4 (weights, gradients,"],
        ),
        (
            "a width that is a slip",
            with("hidden = [16]", "hidden = [9223372036854775807]"),
            &["bad.toml:8: model.hidden: the run takes at least"],
        ),
        (
            "channels too",
            with("'mlp'\nhidden = [16]", "'convnet'\nchannels = [1000000000]"),
            &["bad.toml:8: model.channels: the run takes at least"],
        ),
        (
            "more threads than a machine has",
            SMALL.to_owned() + "[data]\nworkers = 9223372036854775807\n",
            &[
                "bad.toml:16: data.workers: 9223372036854775807 is not allowed here; allowed: at most",
                "threads on this",
            ],
        ),
        (
            "a crop larger than the image",
            SMALL.to_owned() + "[data]\naugment = 'crop:99'\n",
            &["bad.toml:16: data.augment: augmentation `crop`: 99 pixels are too many for images of 1x8x8"],
        ),
        ("no TOML", with("[train]", "[train"), &["bad.toml", "line 13"]),
    ];
    for (name, text, messages) in cases {
        if name.contains("not compiled in") && cfg!(feature = "cuda") {
            continue;
        }
        let dir = folder(&[("bad.toml", &text)]);
        let ran = anneal(dir.path(), &["train", "bad.toml"]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {}", ran.err);
        for message in messages {
            assert!(ran.err.contains(message), "{name}: expected {message:?} in {}", ran.err);
        }
        assert!(!ran.err.contains("panicked"), "{name}: {}", ran.err);
        assert!(!dir.path().join("runs").exists(), "{name}: a run folder was left");
    }
}

/// Values, names and keys of megabytes, and keys of any depth: a short message, at once.
#[test]
fn what_is_long_is_cut() {
    let long = "x".repeat(10_000_000);
    let dir = folder(&[
        ("type.toml", &with("'step'", &format!("'{long}'"))),
        ("field.toml", &format!("{SMALL}{long} = 1\n")),
        ("value.toml", &with("epochs = 3", &format!("epochs = '{long}'"))),
        ("small.toml", SMALL),
    ]);
    let deep = format!("x{}=1", ".a".repeat(20_000));
    let endless: &[&str] = if cfg!(target_os = "linux") { &["train", "/dev/zero"] } else { &["train", "type.toml"] };
    for args in [
        &["train", "type.toml"][..],
        &["train", "field.toml"],
        &["train", "value.toml"],
        &["train", "small.toml", "--set", &deep],
        endless,
    ] {
        let began = std::time::Instant::now();
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, 2, "{}", &ran.err[..ran.err.len().min(500)]);
        assert!(ran.err.len() < 3_000, "{} bytes: {}", ran.err.len(), &ran.err[..500]);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}

/// Whatever whole number a config says, the run is put together or refused: nothing is allocated for it.
#[test]
fn no_number_of_a_config_ends_the_process() {
    fn numbers(path: &str, value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(field, value)| numbers(&format!("{path}.{field}"), value, found));
            }
            toml::Value::Integer(_) => found.push(path.to_owned()),
            _ => {}
        }
    }
    let more = "ema = { decay = 0.9, start = 1 }\nearly_stopping = { patience = 3 }\n[data]\nworkers = 1\n";
    let dir = folder(&[("small.toml", &format!("{SMALL}{more}"))]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--fast-dev-run", "--quiet", "--out", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let resolved = fs::read_to_string(dir.path().join("run/config.toml")).expect("the resolved config");
    let mut found = Vec::new();
    for (section, value) in resolved.parse::<toml::Table>().expect("TOML") {
        numbers(&section, &value, &mut found);
    }
    assert!(found.len() > 12, "{found:?}");
    for path in found {
        let set = format!("{path}=9223372036854775807");
        let ran = anneal(dir.path(), &["list", "parameters", "run/config.toml", "--set", &set]);
        assert!([0, 2].contains(&ran.code) && !ran.err.contains("panicked"), "{path}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn a_missing_config_is_named() {
    let dir = folder(&[]);
    let ran = anneal(dir.path(), &["train", "nowhere.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("nowhere.toml: cannot be read"), "{}", ran.err);
}

#[test]
fn settings_of_the_command_line_are_named_as_such() {
    let dir = folder(&[]);
    let ran = anneal(dir.path(), &["train", "--set", "optimizer.lr=fast"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--set optimizer.lr: expected a number, found \"fast\""), "{}", ran.err);
    let ran = anneal(dir.path(), &["train", "--set", "optimizer.lr=autoo"]);
    assert!(ran.err.contains("expected a number, found \"autoo\"; did you mean `auto`?"), "{}", ran.err);
    let ran = anneal(dir.path(), &["train", "--set", "groups=[{ params = '/(/' }]"]);
    assert!(ran.code == 2 && ran.err.contains("between slashes (unclosed group)"), "{}", ran.err);
}

#[test]
fn a_place_for_data_that_is_none_is_not_passed_over() {
    let dir = folder(&[("file", "")]);
    let trial = |data_dir| anneal(dir.path(), &["train", "--fast-dev-run", "--quiet", "--data-dir", data_dir]);
    let ran = trial("file");
    assert!(ran.code == 2 && ran.err.contains("--data-dir: \"file\" is not allowed here"), "{} {}", ran.code, ran.err);
    // The embedded data set needs none.
    let ran = trial("nowhere");
    assert!(ran.code == 0 && ran.err.contains("--data-dir nowhere: there is no such folder"), "{}", ran.err);
    let gone = ["--set", "data.dataset=folder", "--set", "data.path=rel/im"];
    let ran = anneal(dir.path(), &[&["train"][..], &gone].concat());
    assert!(ran.err.contains("rel/im: has no folder `train`") && ran.err.contains("--data-dir DIR"), "{}", ran.err);
}

#[test]
fn missing_and_corrupt_data_are_named() {
    let dir = folder(&[]);
    let train = |more: &[&str]| {
        anneal(
            dir.path(),
            &[&["train", "--set", "data.dataset=mnist", "--set", "data.augment=none", "--data-dir", "data"], more]
                .concat(),
        )
    };
    let ran = train(&[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("train-images-idx3-ubyte") && ran.err.contains("data"), "{}", ran.err);

    let mnist = dir.path().join("data/mnist");
    fs::create_dir_all(&mnist).expect("a folder");
    let digits = common::root().join("datasets/digits");
    for entry in fs::read_dir(digits).expect("the digits") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            fs::copy(&path, mnist.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let file = mnist.join("train-labels-idx1-ubyte.gz");
    fs::write(&file, b"not a gzip file").expect("written");
    let ran = train(&[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("train-labels-idx1-ubyte.gz") || ran.err.contains("train-images-idx3-ubyte.gz"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = folder(&[("file", "")]);
    let ran = anneal(dir.path(), &["train", "--epochs", "1", "--out", "file/run"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("file/run: cannot"), "{}", ran.err);
    let ran = anneal(dir.path(), &["train", "--epochs", "1", "--out", ".", "--overwrite"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("is not empty and holds no run"), "{}", ran.err);
    assert!(dir.path().join("file").exists());
}

#[test]
fn a_diverging_run_says_so_and_is_not_called_finished() {
    let dir = folder(&[("small.toml", SMALL)]);
    let set = ["--set", "optimizer.type=sgd", "--set", "optimizer.lr=1e30", "--set", "schedule.type=fixed"];
    let ran = anneal(dir.path(), &[&["train", "small.toml", "--out", "run", "--quiet"], &set[..]].concat());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the loss became") && ran.err.contains("optimizer step"), "{}", ran.err);
    let summary = fs::read_to_string(dir.path().join("run/summary.json")).expect("a summary says what went wrong");
    assert!(summary.contains("\"kind\": \"not_finite\""), "{summary}");
}

#[test]
fn nothing_to_resume() {
    let dir = folder(&[("file", "")]);
    std::fs::create_dir(dir.path().join("empty")).expect("made");
    for args in
        [&["resume"][..], &["report"], &["evaluate"], &["export"], &["predict", "a.png"], &["sample", "--prompt", "a"]]
    {
        let (verb, more) = (args[0], &args[1..]);
        let no_folder = "there is no such folder";
        for (folder, why) in [("nowhere", no_folder), ("file", no_folder), ("empty", "holds no run (it takes")] {
            let ran = anneal(dir.path(), &[&[verb, folder], more].concat());
            assert_eq!(ran.code, 2, "{verb}");
            assert!(ran.err.contains(&format!("{folder}: {why}")), "{verb}: {}", ran.err);
        }
    }
}

#[test]
fn unknown_arguments_are_usage() {
    let dir = folder(&[]);
    for args in [&["train", "--epoch", "3"][..], &["trian"], &["list", "schedulers"], &["schedule"]] {
        assert_eq!(anneal(dir.path(), args).code, 2, "{args:?}");
    }
}

/// A process that may hardly allocate says so, where it would be ended in the middle of something.
#[cfg(target_os = "linux")]
#[test]
fn little_memory_is_said() {
    let dir = folder(&[("small.toml", SMALL)]);
    let program = common::command(dir.path()).get_program().to_string_lossy().into_owned();
    let with = |kib: u32| {
        let mut command = std::process::Command::new("bash");
        let line = format!("ulimit -v {kib}; exec '{program}' train small.toml --quiet --out run --overwrite");
        common::ran(&command.args(["-c", &line]).current_dir(dir.path()).output().expect("bash"))
    };
    for kib in [60_000, 70_000] {
        let ran = with(kib);
        assert!(ran.code == 1, "{kib}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains("of memory are left to this process; the least that it takes is"), "{}", ran.err);
        assert!(!dir.path().join("run").exists());
    }
    // Somewhere between there is enough to begin and not enough to end: an error all the same, and no signal.
    for kib in (80_000..320_000).step_by(8_000) {
        let ran = with(kib);
        let is_said = ["out of memory", "of memory are left to this process", "gives no thread", "this machine has"]
            .iter()
            .any(|said| ran.err.contains(said));
        assert!(ran.code == 0 || (ran.code <= 2 && ran.code > 0 && is_said), "{kib}: {} {}", ran.code, ran.err);
        assert!(!ran.err.contains("panicked"), "{kib}: {}", ran.err);
    }
    assert_eq!(with(400_000).code, 0);
}
