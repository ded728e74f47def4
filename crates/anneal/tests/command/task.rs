//! A task of a program's own: every verb works with it.

use std::{fs, path::Path, process::Command};

use anneal::{
    strict_config::Settings,
    vision::{DataError, DataSource, Dataset, DatasetInfo, ImageSet, ImageShape},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    curve::Curve,
    data::png,
    own_parts::{SignSgd, Squeezed, Weight},
};
use crate::common::{Ran, folder, parsed, ran, read, same_checkpoint};

/// The environment variable that makes this test program the command: its arguments, with line feeds between them.
const ARGUMENTS: &str = "ANNEAL_TEST_OWN_COMMAND";

/// Not a test: what [`own`] starts.
#[test]
fn the_command() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let app = anneal::App::new("mine")
        .task::<Curve>()
        .task::<Squeezed>()
        .dataset::<TwoPlanes>()
        .optimizer::<SignSgd>()
        .callback(|_| Weight);
    let code = app.run_from(arguments.split('\n'));
    let number = (0..=u8::MAX).find(|number| std::process::ExitCode::from(*number) == code);
    std::process::exit(number.map_or(-1, i32::from));
}

/// Runs the command in `folder`.
fn own(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", "task::the_command", "--nocapture", "--test-threads=1", "-q"])
        .env(ARGUMENTS, [&["mine"], args].concat().join("\n"))
        .env("HOME", folder)
        .current_dir(folder)
        .output()
        .unwrap();
    let mut ran = ran(&output);
    // What the test program says first.
    ran.out = ran.out.trim_start_matches("\nrunning 1 test\n").to_owned();
    ran
}

/// Images of two channels, which no picture has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TwoPlanes {}

impl Settings for TwoPlanes {}

impl DataSource for TwoPlanes {
    const INFO: DatasetInfo = DatasetInfo {
        shape: ImageShape::new(2, 4, 4),
        classes: &["dark", "light"],
        train: 40,
        test: 40,
        ..DatasetInfo::named("two_planes")
    };

    fn load(&self, _: Option<&Path>) -> Result<Dataset, DataError> {
        let labels: Vec<u8> = (0..40).map(|image| image % 2).collect();
        let pixels = labels.iter().flat_map(|label| [*label * 200; 32]).collect();
        let set = ImageSet::new(pixels, labels, Self::INFO.shape, 2)
            .map_err(|problem| DataError::Set { name: "two_planes".to_owned(), problem })?;
        Dataset::new("two_planes", set.clone(), set, Self::INFO.class_names())
    }
}

const CURVE: &str = "[run]\nname = 'curve'\nloggers = []\n[data]\ndataset = 'curve'\nitems = 400\nbatch_size = 20\n\
    [model]\nhidden = 16\n[optimizer]\ntype = 'adam'\nlr = 0.01\n[schedule]\ntype = 'cosine_annealing'\nt_max = 'rest'\n\
    [train]\nepochs = 6\ncheckpoint = { keep_best = 'valid.rmse' }\n\
    early_stopping = { monitor = 'valid.rmse', patience = 50 }\n";

fn done(folder: &Path, args: &[&str]) -> String {
    let ran = own(folder, args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran.out
}

#[test]
fn every_verb_works_with_it() {
    let dir = folder(&[("curve.toml", CURVE), ("step.toml", "type = 'step'\nstep_size = 2\ngamma = 0.3\n")]);
    let dir = dir.path();
    let table = done(dir, &["train", "curve.toml", "--out", "whole"]);
    assert!(table.contains("net on curve: 49 parameters, adam, cosine_annealing schedule"), "{table}");
    assert!(table.contains("best    lowest valid.rmse, "), "the metric's own direction: {table}");

    // What ran, every setting explicit, in the order of the sections.
    let config = read(dir.join("whole/config.toml"));
    let data =
        "[data]\ndataset = \"curve\"\nitems = 400\nnoise = 0.0\nbatch_size = 20\nvalidation = 0.1\nworkers = 1\n";
    for part in
        [data, "[model]\ntype = \"net\"\nhidden = 16\n", "monitor = \"valid.rmse\"", "mode = \"min\"", "[eval]\n"]
    {
        assert!(config.contains(part), "{config}\nlacks {part}");
    }
    assert!(!config.contains("augment"), "{config}");
    let summary = parsed(&read(dir.join("whole/summary.json")));
    assert_eq!((summary["dataset"].as_str(), summary["model"].as_str()), (Some("curve"), Some("net")));
    let measured = summary["test"]["rmse"].as_f64().unwrap();
    let loss = summary["test"]["loss"].as_f64().unwrap();
    assert!(measured < 0.45 && (measured - loss.sqrt()).abs() < 1e-4, "{summary:#}");
    assert!(dir.join("whole/plots/metric-rmse.svg").exists());

    let shown: Vec<Value> = read(dir.join("whole/outputs.jsonl")).lines().map(parsed).collect();
    let steps: Vec<u64> = shown.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [18, 36, 54, 72, 90, 108], "at each validation");
    assert_eq!(shown.last().unwrap()["texts"].as_array().unwrap().len(), 4);
    assert!(dir.join("whole/plots/outputs-1.png").exists());
    let page = read(dir.join("whole/report.html"));
    assert!(page.contains("Of the model at step 108") && page.contains("f(-1.00) = -0."), "{page}");

    // Resumed, bit for bit.
    done(dir, &["train", "curve.toml", "--out", "parts", "--epochs", "2", "--quiet", "--set", "schedule.t_max=6"]);
    done(dir, &["train", "curve.toml", "--out", "one", "--quiet", "--set", "schedule.t_max=6"]);
    done(dir, &["resume", "parts", "--epochs", "6", "--quiet"]);
    same_checkpoint(&dir.join("one/checkpoints"), &dir.join("parts/checkpoints"), "resumed");
    assert_eq!(read(dir.join("one/outputs.jsonl")), read(dir.join("parts/outputs.jsonl")));

    let evaluated = parsed(&done(dir, &["evaluate", "whole", "--json"]));
    assert!((evaluated["rmse"].as_f64().unwrap() - measured).abs() < 1e-6, "{evaluated}");
    let exported = parsed(&done(dir, &["export", "whole", "--to", "w.safetensors", "--json"]));
    assert_eq!(exported["step"].as_u64(), summary["steps"].as_u64());
    let lines = done(dir, &["predict", "whole", "0.5", "-1", "--json"]);
    let guesses: Vec<Value> = lines.lines().map(parsed).collect();
    assert_eq!((guesses.len(), guesses[0]["input"].as_str()), (2, Some("0.5")));
    assert!((guesses[0]["y"].as_f64().unwrap() - 1.5_f64.sin()).abs() < 0.6, "{lines}");
    assert!(done(dir, &["predict", "whole", "0.5"]).starts_with("input"));

    assert_eq!(own(dir, &["find-lr", "curve.toml", "--quiet"]).code, 0);
    done(dir, &["train", "curve.toml", "--set", "optimizer.lr=auto", "--out", "auto", "--quiet"]);
    assert!(dir.join("auto/lr_finder.json").exists());
    assert_eq!(done(dir, &["schedule", "curve.toml", "--format", "csv"]).lines().count(), 7);

    // Compared by the root of the mean square, the lowest first.
    let args = ["compare", "curve.toml", "--schedule", "step.toml", "--with-config", "--seeds", "2", "--out", "both"];
    let figures = parsed(&done(dir, &[&args[..], &["--json"]].concat()));
    assert_eq!((&figures["measure"]["name"], &figures["measure"]["lower_is_better"]), (&"rmse".into(), &true.into()));
    let of: Vec<f64> = figures["contenders"].as_array().unwrap().iter().map(mean).collect();
    assert!(of[0] <= of[1] && figures["contenders"][1]["behind_first"]["mean"].as_f64().unwrap() >= 0.0, "{figures:#}");
    let target = figures["target"]["rmse"].as_f64().unwrap();
    assert!(target > 0.0, "{figures:#}");
    let grid = ["compare", "curve.toml", "--rates", "0.001,0.03", "--out", "grid", "--json"];
    let grid = parsed(&done(dir, &grid));
    assert_eq!(grid["contenders"][0]["rate"]["lr"], 0.03, "the lower error: {grid:#}");

    let report = parsed(&done(dir, &["report", "whole", "parts", "--json"]));
    assert_eq!(report["runs"][0]["best"]["metric"], "valid.rmse");
    let curve: Vec<f64> = read(dir.join("whole/metrics.jsonl"))
        .lines()
        .map(parsed)
        .filter(|line| line["split"] == "valid")
        .filter_map(|line| line["rmse"].as_f64())
        .collect();
    let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(report["runs"][0]["best"]["value"].as_f64(), Some(lowest));
    assert!(read(dir.join("whole/report.html")).contains("Lowest validation rmse"));

    let listed = done(dir, &["list", "datasets"]);
    assert!(listed.contains("points on a curve, to be found again"), "{listed}");
    assert!(done(dir, &["list", "models", "--model", "net"]).contains("one hidden layer"));
    let parameters = parsed(&done(dir, &["list", "parameters", "curve.toml", "--json"]));
    assert_eq!(parameters.as_array().unwrap().len(), 4);
}

/// An optimizer and a callback of the program's own: in a run, and resumed.
#[test]
fn its_own_optimizer_and_callback_train_too() {
    let text = CURVE.replace("'adam'", "'sign_sgd'").replace("monitor = 'valid.rmse'", "monitor = 'valid.weight'");
    let dir = folder(&[("own.toml", &text.replace("lr = 0.01", "lr = 0.003").replace("'rest'", "6"))]);
    let dir = dir.path();
    done(dir, &["train", "own.toml", "--out", "whole", "--quiet"]);
    done(dir, &["train", "own.toml", "--out", "parts", "--epochs", "2", "--quiet"]);
    done(dir, &["resume", "parts", "--epochs", "6", "--quiet"]);
    same_checkpoint(&dir.join("whole/checkpoints"), &dir.join("parts/checkpoints"), "resumed");
    let summary = parsed(&read(dir.join("whole/summary.json")));
    assert!(summary["last"]["valid.weight"].as_f64().unwrap() > 0.0, "{summary:#}");
    assert!(dir.join("whole/plots/metric-weight.svg").exists());
    let listed = done(dir, &["list", "optimizers", "sign_sgd"]);
    assert!(listed.contains("steps of one size") && listed.contains("lr  required"), "{listed}");
    let ran = own(dir, &["train", "own.toml", "--out", "no", "--set", "optimizer.lr=-1"]);
    assert!(ran.code == 2 && ran.err.contains("optimizer.lr: -1 is not allowed here"), "{}", ran.err);
    // What it announces it does not give for another network, and that is said.
    fs::write(dir.join("images.toml"), crate::common::SMALL).unwrap();
    let planes = ["train", "images.toml", "--out", "planes", "--quiet", "--set", "data.dataset=two_planes"];
    let ran = own(dir, &[&planes[..], &["--set", "train.early_stopping.monitor=valid.weight"]].concat());
    assert!(ran.code == 0 && ran.err.matches("`valid.weight` is waited for, and nothing").count() == 1, "{}", ran.err);
    // A command that lacks the callback.
    let ran = crate::common::anneal(dir, &["resume", "whole", "--epochs", "7"]);
    assert!(ran.code == 2 && ran.err.contains("there is no optimizer `sign_sgd`"), "{}", ran.err);
}

/// Numbers that its steps give beside the loss are in the log, monitored and tested.
#[test]
fn its_steps_give_named_numbers() {
    let text = "[data]\ndataset = 'squeezed'\nbatch_size = 16\nsampler = 'weighted'\nclass_weights = { left = 2 }\n\
        [optimizer]\ntype = 'adam'\nlr = 0.03\n[train]\nepochs = 4\n\
        early_stopping = { monitor = 'train.size', mode = 'min', patience = 9 }\n\
        checkpoint = { keep_best = 'valid.size', mode = 'max' }\n";
    let dir = folder(&[("squeezed.toml", text)]);
    let dir = dir.path();
    done(dir, &["train", "squeezed.toml", "--out", "run", "--quiet"]);
    let summary = parsed(&read(dir.join("run/summary.json")));
    for value in [&summary["last"]["train.size"], &summary["last"]["valid.size"], &summary["test"]["size"]] {
        assert!(value.as_f64().is_some_and(|size| size > 0.0), "{summary:#}");
    }
    assert!(read(dir.join("run/metrics.jsonl")).lines().map(parsed).all(|line| line["size"].is_f64()));
    let ran = own(dir, &["train", "squeezed.toml", "--out", "no", "--set", "train.early_stopping.monitor=valid.sise"]);
    assert!(ran.code == 2 && ran.err.contains("did you mean `valid.size`?"), "{}", ran.err);
    let ran = own(dir, &["predict", "run", "1"]);
    assert!(ran.code == 2 && ran.err.contains("the task `squeezed` has no prediction"), "{}", ran.err);
}

fn mean(contender: &Value) -> f64 {
    contender["test_rmse"]["mean"].as_f64().unwrap()
}

#[test]
fn a_schedule_that_reacts_takes_the_metrics_direction() {
    let plateau = "type = 'reduce_on_plateau'\nmonitor = 'valid.rmse'\npatience = 1";
    let dir = folder(&[("curve.toml", &CURVE.replace("type = 'cosine_annealing'\nt_max = 'rest'", plateau))]);
    done(dir.path(), &["train", "curve.toml", "--out", "run", "--quiet"]);
    let config = read(dir.path().join("run/config.toml"));
    assert_eq!(config.matches("mode = \"min\"").count(), 3, "schedule, checkpoint, early stopping: {config}");
    // An accuracy rises, and so does what reacts to it, unless it is told otherwise.
    let images =
        "[optimizer]\ntype = 'sgd'\nlr = 0.1\n[schedule]\ntype = 'reduce_on_plateau'\nmonitor = 'valid.accuracy'\n";
    let mode = |text: &str| {
        let config = anneal::config::Config::from_table(&text.parse().unwrap(), anneal::config::Catalog::standard());
        config.unwrap().to_table()["schedule"]["mode"].as_str().unwrap().to_owned()
    };
    assert_eq!((mode(images).as_str(), mode(&format!("{images}mode = 'min'")).as_str()), ("max", "min"));
}

#[test]
fn what_is_wrong_is_named() {
    let dir = folder(&[("curve.toml", CURVE), ("images.toml", crate::common::SMALL)]);
    let dir = dir.path();
    let refused = |args: &[&str], expected: &str| {
        let ran = own(dir, args);
        assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.err, ran.out);
        assert!(ran.err.contains(expected), "{args:?}: {}\nlacks: {expected}", ran.err);
    };
    let train = |set: &'static str| ["train", "curve.toml", "--out", "no", "--set", set];
    refused(&train("data.itms=3"), "--set data.itms: unknown field; did you mean `items`?");
    refused(&train("data.items=3"), "--set data.items: 3 is not allowed here; allowed: a whole number of at least 10");
    refused(&train("data.augment=flip"), "--set data.augment: unknown field");
    refused(&train("model.hiden=3"), "--set model.hiden: unknown field; did you mean `hidden`?");
    refused(&train("model.type=nett"), "--set model.type: there is no model `nett`; did you mean `net`?");
    refused(&train("eval.tta=flip"), "--set eval.tta: unknown field");
    refused(&train("data.dataset=curv"), "--set data.dataset: there is no dataset `curv`; did you mean `curve`?");
    refused(&train("train.early_stopping.monitor=valid.accuracy"), "valid.accuracy");
    refused(&train("train.early_stopping.monitor=valid.accuracy"), "valid.rmse");
    assert!(!dir.join("no").exists(), "nothing half-written");

    done(dir, &["train", "curve.toml", "--out", "run", "--quiet", "--epochs", "1"]);
    refused(&["predict", "run", "0.5", "x"], "x: is no number");
    let args =
        ["train", "images.toml", "--set", "data.dataset=two_planes", "--out", "planes", "--epochs", "1", "--quiet"];
    done(dir, &args);
    fs::write(dir.join("a.png"), png(4, 9)).unwrap();
    refused(&["predict", "planes", "a.png"], "a.png: the model takes images of 2x4x4");
    // A checkpoint of another model, and of another task.
    let resumed = |args: &[&str]| {
        let ran = own(dir, &[&["train"], args, &["--out", "run", "--resume", "--epochs", "3"]].concat());
        assert_ne!(ran.code, 0);
        ran.err
    };
    let error = resumed(&["curve.toml", "--set", "model.hidden=8"]);
    assert!(error.contains("model.hidden"), "{error}");
    let error = resumed(&["curve.toml", "--set", "data.noise=0.5"]);
    assert!(error.contains("data.noise"), "{error}");
    let error = resumed(&["images.toml"]);
    assert!(error.contains("task = \"curve\""), "{error}");
    // Checkpoints of another model in its folder: no verb that takes its weights does.
    done(dir, &["train", "curve.toml", "--out", "wide", "--quiet", "--epochs", "1", "--set", "model.hidden=8"]);
    fs::remove_dir_all(dir.join("wide/checkpoints")).unwrap();
    fs::create_dir_all(dir.join("wide/checkpoints")).unwrap();
    for file in fs::read_dir(dir.join("run/checkpoints")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::rename(&file, dir.join("wide/checkpoints").join(file.file_name().unwrap())).unwrap();
    }
    for args in [&["evaluate", "wide"][..], &["predict", "wide", "1"], &["export", "wide", "--to", "w.safetensors"]] {
        let ran = own(dir, args);
        let expected = "another model: it was written with `model.hidden = 16`, this run has `model.hidden = 8`";
        assert!(ran.code == 1 && ran.err.contains(expected), "{args:?}: {} {}", ran.code, ran.err);
    }
    assert!(!dir.join("w.safetensors").exists());
    // A command that does not know the task.
    let ran = crate::common::anneal(dir, &["evaluate", "run"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("data.dataset: there is no dataset `curve`"), "{}", ran.err);
    let report = crate::common::anneal(dir, &["report", "run"]);
    assert_eq!(report.code, 0, "its log can be read: {}", report.err);
}

#[test]
fn names_that_are_taken_are_refused() {
    use anneal::config::Catalog;
    let twice = Catalog::standard().with_task::<Curve>().and_then(Catalog::with_task::<Curve>);
    let error = twice.expect_err("refused").to_string();
    assert_eq!(error, "the task `curve` exists already: give yours another name");
}
