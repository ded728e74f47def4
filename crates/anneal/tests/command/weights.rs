//! Weights out of a run and into the next: export, pretrained models, what a resume does with them.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::{SMALL, anneal, done, folder, json, parsed};
use anneal::{
    trainer::{
        self,
        weights::{self, LoadOptions, load},
    },
    vision::{
        ImageShape,
        models::{Classifier, MlpConfig},
    },
};
use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use serde_json::Value;

const LENET: &str = "[run]\nname = 'lenet'\n[model]\ntype = 'lenet'\n[optimizer]\ntype = 'adam'\nlr = 3e-3\n\
    [train]\nepochs = 1\n[train.checkpoint]\nkeep_last = 3\n";

/// Header and data of a safetensors file.
fn safetensors(path: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).expect("a header"), bytes[8 + length..].to_vec())
}

/// The bytes of one tensor.
fn tensor(path: &Path, name: &str) -> Vec<u8> {
    let (header, data) = safetensors(path);
    let offset = |i: usize| header[name]["data_offsets"][i].as_u64().expect("an offset") as usize;
    data[offset(0)..offset(1)].to_vec()
}

#[test]
fn lenet_made_by_torch_gives_torchs_logits() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights");
    let expected = json(golden.join("lenet.json"));
    let numbers = |name: &str| {
        let list = |field: &str| expected[name][field].as_array().expect("an array").clone();
        let shape: Vec<usize> = list("shape").iter().map(|size| size.as_u64().expect("a size") as usize).collect();
        let values: Vec<f32> = list("values").iter().map(|value| value.as_f64().expect("a number") as f32).collect();
        TensorData::new(values, shape)
    };
    let device = Device::flex();
    for file in ["lenet.safetensors", "lenet.pt"] {
        let model = Classifier::named("lenet", ImageShape::new(1, 8, 8), 10, &device);
        let (model, loaded) = load(model.expect("a model"), &golden.join(file), &LoadOptions::new()).expect("loaded");
        assert_eq!(loaded.loaded.len(), 10, "{loaded}");
        let logits = model.valid().forward(Tensor::from_data(numbers("inputs"), &device)).into_data();
        let (ours, torchs) = (logits.try_into_vec::<f32>().expect("floats"), numbers("logits"));
        let torchs = torchs.try_into_vec::<f32>().expect("floats");
        assert_eq!(ours.len(), 20);
        for (ours, torchs) in ours.iter().zip(&torchs) {
            assert!((ours - torchs).abs() < 1e-5, "{file}: {ours} against {torchs}");
        }
    }
}

#[test]
fn a_run_leaves_its_weights_and_any_checkpoint_can_be_exported() {
    let dir = folder(&[("lenet.toml", LENET)]);
    let at = |name: &str| dir.path().join(name);
    done(dir.path(), &["train", "lenet.toml", "--epochs", "3", "--out", "run", "--quiet"]);
    let (header, _) = safetensors(&at("run/model.safetensors"));
    let metadata: BTreeMap<String, String> = serde_json::from_value(header["__metadata__"].clone()).expect("strings");
    assert_eq!((metadata["format"].as_str(), metadata["model"].as_str()), ("pt", "lenet"));
    assert_eq!(metadata["dataset"], "digits");
    let last = metadata["step"].parse::<u64>().expect("a step");
    assert_eq!(header["fc3.weight"]["shape"], serde_json::json!([10, 84]));

    // The newest checkpoint is what the run ended with: the same file.
    let out = done(dir.path(), &["export", "run", "--to", "last.safetensors"]);
    assert_eq!(out, format!("last.safetensors: lenet at step {last}, for PyTorch (safetensors)\n"));
    assert!(fs::read(at("last.safetensors")).unwrap() == fs::read(at("run/model.safetensors")).unwrap());

    // Another step has other weights; the best is the one with the least validation loss.
    let first = last / 3;
    let out = done(dir.path(), &["export", "run", "--step", &first.to_string(), "--to", "first.safetensors", "--json"]);
    let exported = parsed(&out);
    assert_eq!(exported["step"], first);
    assert_eq!(exported["sha256"], weights::sha256(&at("first.safetensors")).expect("a checksum"));
    assert_ne!(tensor(&at("first.safetensors"), "fc3.weight"), tensor(&at("last.safetensors"), "fc3.weight"));
    let log = fs::read_to_string(at("run/metrics.jsonl")).expect("a log");
    let best = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["split"] == "valid")
        .min_by(|a, b| a["loss"].as_f64().partial_cmp(&b["loss"].as_f64()).expect("numbers"))
        .expect("validations");
    let out = done(dir.path(), &["export", "run", "--best", "--to", "best.safetensors", "--json"]);
    assert_eq!(parsed(&out)["step"], best["step"]);

    let refused = anneal(dir.path(), &["export", "run", "--step", "5"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains(&format!("no checkpoint of step 5 (there: {first}, ")), "{}", refused.err);
    assert_eq!(anneal(dir.path(), &["export", "run", "--best", "--last"]).code, 2);
    assert_eq!(anneal(dir.path(), &["export", "nowhere"]).code, 2);
}

#[test]
fn of_equal_checkpoints_export_takes_the_one_that_is_kept_as_the_best() {
    // A rate that changes no weight: every epoch validates the same.
    let config = SMALL.replace("lr = 1e-3", "lr = 1e-30");
    let dir = folder(&[("still.toml", &config)]);
    let best = |run: &str| {
        let out = done(dir.path(), &["export", run, "--best", "--to", "best.safetensors", "--json"]);
        parsed(&out)["step"].as_u64().expect("a step")
    };
    done(dir.path(), &["train", "still.toml", "--out", "all", "--quiet", "--set", "train.checkpoint.keep_last=3"]);
    done(dir.path(), &["train", "still.toml", "--out", "kept", "--quiet"]);
    let steps = |run: &str| trainer::checkpoint::steps(&dir.path().join(run).join("checkpoints")).expect("checkpoints");
    let (all, kept) = (steps("all"), steps("kept"));
    assert_eq!((all.len(), kept.len()), (3, 2));
    assert_eq!(kept, [all[0], all[2]], "the trainer keeps the oldest as the best, and the newest");
    assert_eq!((best("all"), best("kept")), (all[0], all[0]));
}

#[test]
fn fine_tuning_starts_from_the_runs_weights_with_a_new_head() {
    let tuned = |path: &str, more: &str| {
        format!(
            "{}[model.pretrained]\npath = '{path}'\n{more}",
            LENET
                .replace("'adam'\nlr = 3e-3", "'sgd'\nlr = 1e-12")
                .replace("name = 'lenet'", "name = 'lenet'\nseed = 5")
        )
    };
    let dir = folder(&[
        ("lenet.toml", LENET),
        ("same.toml", &tuned("run", "")),
        ("file.toml", &tuned("run/model.safetensors", "")),
        ("head.toml", &tuned("run", "except = 'fc3*'\n")),
    ]);
    let at = |name: &str| dir.path().join(name);
    done(dir.path(), &["train", "lenet.toml", "--out", "run", "--quiet"]);
    let test = |run: &str| json(at(run).join("summary.json"))["test"]["accuracy"].as_f64().expect("measured");
    for name in ["same", "file", "head"] {
        done(dir.path(), &["train", &format!("{name}.toml"), "--out", name, "--quiet"]);
    }
    // At a rate of 1e-12 a run ends where it began.
    assert!(test("run") > 60.0, "{}", test("run"));
    assert_eq!((test("same"), test("file")), (test("run"), test("run")));
    assert!(test("head") < 40.0, "an untrained head guesses: {}", test("head"));
    let first = |run: &str, name: &str| tensor(&at(run).join("model.safetensors"), name);
    assert_eq!(first("head", "conv1.weight"), first("run", "conv1.weight"));
    assert_ne!(first("head", "fc3.weight"), first("run", "fc3.weight"));

    // A checkpoint's folder does as well, and the sweep of the finder starts from there too.
    let checkpoint = fs::read_dir(at("run/checkpoints")).expect("checkpoints").next().expect("one").expect("an entry");
    fs::write(at("step.toml"), tuned(checkpoint.path().to_str().expect("a path"), "")).expect("written");
    done(dir.path(), &["train", "step.toml", "--out", "step", "--quiet"]);
    assert_eq!(test("step"), test("run"));
    let sweep = |config: &str| {
        let ran = anneal(dir.path(), &["find-lr", config, "--json", "-", "--set", "lr_finder.num_it=12"]);
        let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
        found["losses"][0].as_f64().expect("a loss")
    };
    assert!(sweep("same.toml") < 0.8 * sweep("head.toml"), "trained weights lose less than a fresh head");
}

#[test]
fn a_resume_neither_loads_again_nor_accepts_other_weights() {
    let config = SMALL.replace("hidden = [16]\n", "hidden = [16]\npretrained = 'start.safetensors'\n");
    let dir = folder(&[("plain.toml", SMALL), ("tuned.toml", &config)]);
    let at = |name: &str| dir.path().join(name);
    done(dir.path(), &["train", "plain.toml", "--epochs", "1", "--out", "first", "--quiet"]);
    done(dir.path(), &["train", "plain.toml", "--epochs", "2", "--out", "second", "--quiet"]);
    fs::copy(at("first/model.safetensors"), at("start.safetensors")).expect("copied");
    done(dir.path(), &["train", "tuned.toml", "--epochs", "3", "--out", "whole", "--quiet"]);
    done(dir.path(), &["train", "tuned.toml", "--epochs", "2", "--out", "run", "--quiet"]);
    // Resuming what has not begun is beginning: with the weights.
    done(dir.path(), &["train", "tuned.toml", "--epochs", "3", "--out", "begun", "--resume", "--quiet"]);
    let recorded = fs::read_to_string(at("run/config.toml")).expect("a config");
    let sha256 = weights::sha256(&at("start.safetensors")).expect("a checksum");
    assert!(recorded.contains(&format!("sha256 = \"{sha256}\"")), "{recorded}");

    // Other weights under the same name: another run; and the recorded configuration does not start with them.
    fs::copy(at("second/model.safetensors"), at("start.safetensors")).expect("copied");
    let before = fs::read(at("run/metrics.jsonl")).expect("a log");
    let refused = anneal(dir.path(), &["train", "tuned.toml", "--out", "run", "--resume", "--epochs", "3"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("belongs to another configuration"), "{}", refused.err);
    assert!(fs::read(at("run/metrics.jsonl")).expect("a log") == before);
    let refused = anneal(dir.path(), &["train", "run/config.toml", "--out", "again"]);
    assert_eq!(refused.code, 2);
    let expected = "start.safetensors: is another file: its SHA-256 is";
    assert!(refused.err.contains(expected), "{}", refused.err);

    // `resume` knows them by their checksum and does not need the file.
    fs::remove_file(at("start.safetensors")).expect("removed");
    done(dir.path(), &["resume", "run", "--epochs", "3", "--quiet"]);
    let end = |run: &str| fs::read(at(run).join("model.safetensors")).expect("weights");
    assert!(end("run") == end("whole"), "resumed and whole run differ");
    assert!(end("begun") == end("whole"), "a run that was begun by --resume differs");
}

#[test]
fn weights_that_do_not_fit_are_refused_before_anything_is_written() {
    let dir = folder(&[("small.toml", SMALL), ("broken.pt", "no weights")]);
    done(dir.path(), &["train", "small.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    let cases = [
        ("model.pretrained=nowhere.pt", "model.pretrained: nowhere.pt: cannot read it"),
        ("model.pretrained=broken.pt", "model.pretrained: broken.pt: no valid PyTorch file"),
        (
            "model.pretrained={ path = 'run', exept = [] }",
            "model.pretrained.exept: unknown field; did you mean `except`?",
        ),
        (
            "model.pretrained={ path = 'run', except = 'fc*' }",
            "model.pretrained: `fc*` matches no parameter of the model",
        ),
    ];
    for (setting, message) in cases {
        let ran = anneal(dir.path(), &["train", "small.toml", "--set", setting, "--out", "tuned"]);
        assert_eq!(ran.code, 2, "{setting}: {}", ran.err);
        assert!(ran.err.contains(message), "{setting}: {}", ran.err);
        assert!(!dir.path().join("tuned").exists(), "{setting}");
    }
    let more = ["--set", "model.hidden=[8]", "--set", "model.pretrained=run", "--out", "tuned"];
    let ran = anneal(dir.path(), &[&["train", "small.toml"], &more[..]].concat());
    let message = "`layers.0.weight` has shape [8, 64] in the model and [16, 64] in the file";
    assert!(ran.code == 2 && ran.err.contains(message), "{}", ran.err);
}

#[test]
fn a_schedule_free_run_leaves_the_weights_that_were_evaluated() {
    let config = SMALL.replace("type = 'adam'\nlr = 1e-3", "type = 'schedule_free_adamw'\nlr = 1e-2");
    let config = config.replace("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'fixed'");
    let dir = folder(&[("free.toml", &config), ("small.toml", SMALL)]);
    done(dir.path(), &["train", "free.toml", "--out", "free", "--quiet"]);
    let setting = "model.pretrained=free";
    done(
        dir.path(),
        &["train", "small.toml", "--set", setting, "--set", "optimizer.lr=1e-12", "--out", "on", "--quiet"],
    );
    let test = |run: &str| json(dir.path().join(run).join("summary.json"))["test"]["accuracy"].clone();
    assert_eq!(test("on"), test("free"));
    done(dir.path(), &["export", "free", "--to", "again.safetensors"]);
    let read = |name: &str| fs::read(dir.path().join(name)).expect("weights");
    assert!(read("again.safetensors") == read("free/model.safetensors"));
    // Not the parameters that were trained at the last step.
    let path = fs::read_dir(dir.path().join("free/checkpoints")).unwrap().last().expect("one").unwrap().path();
    let checkpoint = trainer::checkpoint::open(&path).expect("valid");
    let (config, shape) = (MlpConfig { hidden: vec![16] }, ImageShape::new(1, 8, 8));
    let fresh = || Classifier::new(config.clone(), shape, 10, &Device::flex()).expect("a model");
    weights::save(&checkpoint.model(fresh()).expect("its model"), &dir.path().join("trained.safetensors")).unwrap();
    let of = |name: &str| tensor(&dir.path().join(name), "layers.0.weight");
    assert_ne!(of("trained.safetensors"), of("free/model.safetensors"));
}
