//! Every file in `examples/` that a command takes is read and put together, so that none of them rots.
//!
//! Whole configs are assembled as `anneal train` assembles them. A bare schedule, and a file that only names an optimizer
//! or a schedule, goes into the `base.toml` beside its folder first. What needs data that is not on this machine is put
//! together up to the data, and says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anneal::{
    Error,
    config::{Config, Document},
    experiment::{Assembly, horizon},
    lr_core::{Registry, ScheduleConfig},
    task::{ImageClassification, TaskError},
    vision::{self, DataError},
};
use burn::tensor::Device;
use toml::{Table, Value};

use crate::common;

/// All TOML files below `examples/` but the crates' own, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "src" && name != "runs") {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("Cargo.toml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The table of a whole config: of the file itself, or of the base that it changes.
fn whole(path: &Path) -> Table {
    let mut whole = as_written(path);
    // A path is one from the root of the checkout.
    if let Some(Value::String(path)) = whole["data"].get("path") {
        let there = common::root().join(path).display().to_string();
        whole["data"]["path"] = Value::String(there);
    }
    whole
}

fn as_written(path: &Path) -> Table {
    let table: Table = fs::read_to_string(path).unwrap().parse().unwrap();
    if table.contains_key("data") {
        return table;
    }
    let base = path.parent().and_then(Path::parent).unwrap().join("base.toml");
    let mut whole: Table = fs::read_to_string(base).unwrap().parse().unwrap();
    if table.contains_key("type") {
        whole.insert("schedule".to_owned(), Value::Table(table));
    } else {
        for key in table.keys() {
            assert!(["optimizer", "schedule", "groups"].contains(&key.as_str()), "{}: {key}", path.display());
        }
        whole.extend(table);
    }
    whole
}

/// Puts everything together that needs no data: the schedule for a run of that many images, the model, the optimizer.
fn assemble_without_data(config: &Config, name: &str) {
    let items = match config.task.settings::<ImageClassification>() {
        None => 680,
        Some(settings) => {
            let info = vision::known().find(|info| info.name == config.data.dataset).expect(name);
            settings.model.init(info.shape, info.classes.len(), &Device::flex()).expect(name);
            info.train
        }
    };
    drop(config.schedule.build(&horizon(config, items), "schedule").expect(name));
    assert!(!config.schedule.sets_momentum() || config.optimizer.supports_momentum(), "{name}");
    drop(config.optimizer.init_with_groups(config.groups.groups()));
}

#[test]
fn every_config_of_the_examples_is_put_together() {
    let root = common::root().join("examples");
    // What `own-command` reads, this command does not know; that example has a test of its own.
    let files: Vec<_> = files(&root).into_iter().filter(|path| !path.starts_with(root.join("own-command"))).collect();
    // 8 strategies; 8 schedules, 4 optimizers, a base and recipes for each of MNIST, CIFAR-10 and tables.
    assert!(files.len() >= 8 + 3 * (8 + 4 + 1 + 1), "{files:?}");
    let mut without_data = Vec::new();
    for path in &files {
        let name = path.display().to_string();
        let config = Config::from_table(&whole(path), &Registry::standard()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = Config::from_table(&config.to_table(), &Registry::standard()).unwrap();
        assert_eq!(again.to_table(), config.to_table(), "{name}");
        assemble_without_data(&config, &name);
        let is_whole = path
            .parent()
            .and_then(Path::file_name)
            .is_some_and(|folder| folder != "schedules" && folder != "optimizers");
        if !is_whole {
            continue;
        }
        match Assembly::new(&config) {
            Ok(assembly) => {
                if let Some(images) = assembly.data::<ImageClassification>() {
                    images.network(assembly.device()).expect(&name);
                }
                assembly.rates().expect(&name);
            }
            // A text of one's own is named by each who trains on it.
            Err(Error::Data(DataError::Missing(_)) | Error::Task(TaskError::Nowhere { .. })) => {
                without_data.push(config.data.dataset.clone());
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    without_data.sort();
    without_data.dedup();
    if !without_data.is_empty() {
        eprintln!("skipped: loading the data of {}, which is not here", without_data.join(", "));
    }
}

#[test]
fn the_same_schedules_and_optimizers_are_there_for_all_data() {
    let names = |folder: &str| -> Vec<String> {
        let folder = common::root().join("examples").join(folder);
        files(&folder).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let schedules = ["cosine", "cyclic", "exponential", "fixed", "one-cycle", "plateau", "step", "warmup-cosine"];
    for data in ["mnist", "cifar10", "tables"] {
        assert_eq!(names(&format!("{data}/schedules")), schedules, "{data}");
        assert_eq!(names(&format!("{data}/optimizers")), ["adagrad", "adam", "rmsprop", "sgd"], "{data}");
    }
}

#[test]
fn every_schedule_is_the_strategy_that_its_file_is_named_after() {
    for data in ["mnist", "cifar10", "tables"] {
        for (file, strategy) in [
            ("cosine", "cosine_annealing"),
            ("cyclic", "cyclic"),
            ("exponential", "exponential"),
            ("fixed", "fixed"),
            ("one-cycle", "one_cycle"),
            ("plateau", "reduce_on_plateau"),
            ("step", "step"),
            ("warmup-cosine", "cosine_annealing"),
        ] {
            let path = common::root().join(format!("examples/{data}/schedules/{file}.toml"));
            let text = fs::read_to_string(&path).unwrap();
            let schedule = ScheduleConfig::from_toml_str(&text).unwrap();
            assert_eq!(schedule.type_name(), strategy, "{}", path.display());
            assert!(text.starts_with("# "), "{}: a line that says what it does", path.display());
        }
    }
}

#[test]
fn a_whole_config_of_the_examples_is_what_the_command_reads() {
    for path in [
        "mnist/one-epoch.toml",
        "mnist/best.toml",
        "cifar10/part-30min.toml",
        "cifar10/full.toml",
        "cifar10/speedrun.toml",
        "tables/base.toml",
        "tables/sold.toml",
    ] {
        let document = Document::read(&common::root().join("examples").join(path)).unwrap();
        Config::from_document(&document, &Registry::standard()).unwrap_or_else(|error| panic!("{error}"));
    }
}
