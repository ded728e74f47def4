//! `[data] sampler` and `drop_last`: every verb takes them, a run resumes with them, and what is wrong is named.

use std::fs;

use anneal::tables::generated::houses;

use crate::common::{SMALL, anneal, done, folder, json, same_checkpoint};

/// 1293 digits are trained on, in 20 batches and 13 images.
const DROPPED: &str = "[data]\nbatch_size = 64\nsampler = 'weighted'\ndrop_last = true\naugment = 'shift_rotate'\n";

const TABLE: &str = "[run]\nloggers = []\n[data]\ndataset = 'table'\npath = 'houses.csv'\ntarget = 'sold'\n\
    missing = { numbers = 'mean' }\nbatch_size = 20\nsampler = 'weighted'\nclass_weights = { fast = 3, slow = 1 }\n\
    [model]\nhidden = [8]\n[optimizer]\ntype = 'adam'\nlr = 0.01\n[train]\nepochs = 2\n";

const TEXT: &str = "[data]\ndataset = 'text'\npath = 'rhyme.txt'\ncontext = 12\nbatch_size = 8\nsampler = 'sequential'\n\
    [model]\ntype = 'gru'\nlayers = 1\nwidth = 8\n[optimizer]\ntype = 'adam'\nlr = 0.01\n[train]\nepochs = 1\n";

fn files() -> tempfile::TempDir {
    let (mut csv, rhyme) = (Vec::new(), "row, row, row your boat, gently down the stream\n".repeat(40));
    houses(200, 3, &mut csv).expect("written");
    let csv = String::from_utf8(csv).expect("UTF-8");
    let small = format!("{DROPPED}{SMALL}");
    folder(&[
        ("small.toml", &small),
        ("table.toml", TABLE),
        ("text.toml", TEXT),
        ("houses.csv", &csv),
        ("rhyme.txt", &rhyme),
        ("step.toml", "type = 'step'\nstep_size = 2\n"),
    ])
}

#[test]
fn every_verb_works_with_a_sampler_and_a_run_resumes_with_it() {
    let dir = files();
    let dir = dir.path();
    done(dir, &["train", "small.toml", "--out", "whole", "--quiet"]);
    done(dir, &["train", "small.toml", "--out", "parts", "--epochs", "2", "--set", "data.workers=3", "--quiet"]);
    done(dir, &["resume", "parts", "--epochs", "3", "--quiet"]);
    same_checkpoint(&dir.join("whole/checkpoints"), &dir.join("parts/checkpoints"), "resumed");
    assert_eq!(json(dir.join("whole/summary.json"))["steps"], 60, "20 whole batches in each of 3 epochs");
    assert_eq!(
        done(dir, &["schedule", "small.toml", "--set", "schedule.interval=step", "--format", "csv"]).lines().count(),
        61
    );
    let resolved = fs::read_to_string(dir.join("whole/config.toml")).expect("a config");
    assert!(resolved.contains("workers = 1\nsampler = \"weighted\"\ndrop_last = true\n"), "{resolved}");
    done(dir, &["train", "whole/config.toml", "--out", "again", "--quiet"]);
    same_checkpoint(&dir.join("whole/checkpoints"), &dir.join("again/checkpoints"), "its own config");

    done(dir, &["evaluate", "whole"]);
    assert_eq!(anneal(dir, &["find-lr", "small.toml", "--quiet"]).code, 0);
    let compared = ["compare", "small.toml", "--schedule", "step.toml", "--epochs", "1", "--out", "both", "--quiet"];
    done(dir, &compared);
    let memorised = ["train", "small.toml", "--overfit-batches", "2", "--out", "memorised", "--quiet"];
    done(dir, &memorised);

    // Other orders are other data.
    for (setting, expected) in [
        ("data.sampler=random", "Shuffled"),
        ("data.sampler=sequential", "Sequential"),
        ("data.class_weights={ 3 = 2.0 }", "weights: 1293 of checksum"),
        ("data.drop_last=false", "the last partial batch left out"),
    ] {
        let ran =
            anneal(dir, &["train", "small.toml", "--out", "whole", "--resume", "--epochs", "5", "--set", setting]);
        assert_eq!(ran.code, 1, "{setting}");
        assert!(ran.err.contains("belongs to other training data") && ran.err.contains(expected), "{}", ran.err);
    }
}

#[test]
fn tables_have_classes_and_texts_have_an_order() {
    let dir = files();
    let dir = dir.path();
    done(dir, &["train", "table.toml", "--out", "table", "--quiet"]);
    let resolved = fs::read_to_string(dir.join("table/config.toml")).expect("a config");
    assert!(resolved.contains("[data.class_weights]\nfast = 3.0\nslow = 1.0\n"), "{resolved}");
    done(dir, &["predict", "table", "houses.csv"]);
    done(dir, &["train", "text.toml", "--out", "text", "--quiet"]);
    done(dir, &["train", "text.toml", "--out", "shuffled", "--quiet", "--set", "data.sampler=random"]);
    let loss = |run: &str| json(dir.join(run).join("summary.json"))["last"]["train.loss"].as_f64().expect("a loss");
    assert!((loss("text") - loss("shuffled")).abs() > 1e-9, "windows in turn, and windows that are drawn");
}

#[test]
fn what_cannot_be_drawn_is_refused_before_any_work() {
    let dir = files();
    let dir = dir.path();
    for (config, setting, expected) in [
        ("small.toml", "data.sampler=weihgted", "data.sampler: "),
        ("small.toml", "data.sampler=weihgted", "did you mean `weighted`?"),
        ("small.toml", "data.drop_lats=true", "data.drop_lats: unknown field; did you mean `drop_last`?"),
        (
            "small.toml",
            "data.class_weights={ 33 = 1.0 }",
            "data.class_weights: there is no class `33`; did you mean `3`?",
        ),
        ("small.toml", "data.class_weights={ 3 = -1.0 }", "data.class_weights.3: -1 is not allowed here"),
        ("small.toml", "data.batch_size=2000", "data.drop_last: true is not allowed here; allowed: false: the 1293 "),
        ("table.toml", "data.sampler=random", "data.class_weights: weighs nothing without `sampler = \"weighted\"`"),
        ("table.toml", "data.class_weights={ fsat = 1.0 }", "there is no class `fsat`; did you mean `fast`?"),
        (
            "table.toml",
            "data.class_weights={ fast = 0, slow = 0 }",
            "data.class_weights: the weights of all items come to 0",
        ),
        (
            "text.toml",
            "data.sampler=weighted",
            "data.sampler: weighted is not allowed here; allowed: random or sequential: `text`",
        ),
    ] {
        let ran = anneal(dir, &["train", config, "--out", "run", "--set", setting]);
        assert_eq!(ran.code, 2, "{setting}: {}", ran.err);
        assert!(ran.err.contains(expected), "{setting}: {}\nlacks {expected}", ran.err);
        assert!(!dir.join("run").exists(), "{setting}: nothing half-written");
    }
    let number = TABLE.replace("'sold'", "'price'").replace("class_weights = { fast = 3, slow = 1 }\n", "");
    fs::write(dir.join("number.toml"), number).expect("written");
    let ran = anneal(dir, &["train", "number.toml", "--out", "run"]);
    assert!(ran.code == 2 && ran.err.contains("`table` has no classes to weigh here"), "{}", ran.err);
}
