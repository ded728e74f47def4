//! `anneal train`, `resume`, `evaluate`.

use std::path::Path;

use lr_core::Registry;
use toml::Value;
use trainer::StopReason;

use super::{
    Ended,
    args::{ConfigArgs, EvaluateArgs, ResumeArgs, TrainArgs},
    find_lr, interrupt, print,
};
use crate::{
    config::{self, Config, ConfigFileError, Document, Origin},
    error::Error,
    experiment::{self, Found, Outcome, TrainOptions},
    run_dir::{CONFIG, Existing, RunDir},
};

/// The config that the arguments name, with their changes.
pub(super) fn configured(args: &ConfigArgs, epochs: Option<u64>) -> Result<Config, ConfigFileError> {
    Config::from_document(&document(args, epochs)?, &Registry::standard())
}

/// Its document.
pub(super) fn document(args: &ConfigArgs, epochs: Option<u64>) -> Result<Document, ConfigFileError> {
    let mut document = match &args.config {
        Some(path) => Document::read(path)?,
        None => Document::parse(Origin::BuiltIn("the embedded example"), config::DEFAULT)?,
    };
    document.set(&args.set)?;
    let text = |path: &Path| Value::String(path.display().to_string());
    let flags =
        [("run.device", args.device.clone().map(Value::String)), ("data.data_dir", args.data_dir.as_deref().map(text))];
    for (key, value) in flags {
        if let Some(value) = value {
            document.set(&[format!("{key}={value}")])?;
        }
    }
    if let Some(epochs) = epochs {
        if let Some(Value::Table(train)) = document.table.get_mut("train") {
            train.remove("steps");
        }
        document.set(&[format!("train.epochs={epochs}")])?;
    }
    Ok(document)
}

pub(super) fn train(mut args: TrainArgs) -> Result<Ended, Error> {
    take_switches(&mut args);
    let config = configured(&args.config, args.epochs)?;
    let existing = match (args.resume, args.overwrite) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Overwrite,
        _ => Existing::Refuse,
    };
    let quiet = args.quiet || args.json;
    let announce = (!quiet).then_some(find_lr::announce as fn(&Found));
    let options = TrainOptions { out: args.out, existing, quiet, interrupt: interrupt::flag(), announce };
    finish(&experiment::train(&config, &options)?, args.quiet, args.json)
}

/// Turns flags into settings.
fn take_switches(args: &mut TrainArgs) {
    // `--fast-dev-run config.toml` gives the flag no number: what follows it is the config.
    if let Some(text) = &args.fast_dev_run
        && text.parse::<usize>().is_err()
        && args.config.config.is_none()
    {
        args.config.config = Some(text.into());
        args.fast_dev_run = Some("1".to_owned());
    }
    let settings = [
        ("fast_dev_run", args.fast_dev_run.take()),
        ("overfit_batches", args.overfit_batches.map(|batches| batches.to_string())),
        ("max_time", args.max_time.take()),
    ];
    for (field, value) in settings {
        args.config.set.extend(value.map(|value| format!("train.{field}={value}")));
    }
}

pub(super) fn resume(args: &ResumeArgs) -> Result<Ended, Error> {
    let max_time = args.max_time.iter().map(|time| format!("train.max_time={time}")).collect();
    let config = of_run(&args.run_dir, args.epochs, max_time)?;
    let options = TrainOptions {
        out: Some(args.run_dir.clone()),
        existing: Existing::Resume,
        quiet: args.quiet || args.json,
        interrupt: interrupt::flag(),
        announce: None,
    };
    finish(&experiment::train(&config, &options)?, args.quiet, args.json)
}

pub(super) fn evaluate(args: &EvaluateArgs) -> Result<Ended, Error> {
    let config = of_run(&args.run_dir, None, Vec::new())?;
    let dir = RunDir::at(&args.run_dir, Existing::Resume)?;
    let values = experiment::evaluate(&config, &dir)?;
    if args.json {
        print(&format!("{}\n", serde_json::json!(values)))?;
    } else {
        for (name, value) in &values {
            print(&format!("test {name} {value:.4}\n"))?;
        }
    }
    Ok(Ended::Well)
}

/// The config that a run was started with, with changes.
pub(super) fn of_run(run_dir: &Path, epochs: Option<u64>, set: Vec<String>) -> Result<Config, Error> {
    let dir = RunDir::at(run_dir, Existing::Resume)?;
    let args = ConfigArgs { config: Some(dir.path(CONFIG)), set, ..ConfigArgs::default() };
    Ok(configured(&args, epochs)?)
}

fn finish(outcome: &Outcome, quiet: bool, json: bool) -> Result<Ended, Error> {
    if json {
        print(&outcome.summary.to_json())?;
    } else if !quiet {
        print(&format!("{}run folder: {}\n", outcome.summary, outcome.dir.root().display()))?;
    }
    Ok(if outcome.report.stopped == StopReason::Interrupted { Ended::Interrupted } else { Ended::Well })
}
