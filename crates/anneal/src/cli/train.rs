//! `anneal train`, `resume`, `evaluate`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use report::page::decimal;
use trainer::StopReason;

use super::{
    config_args::{ConfigArgs, configured, document, located, no_folder},
    find_lr,
    output::{Exit, print, print_data},
};
use crate::{
    config::{Catalog, Config},
    error::Error,
    experiment::{self, FinderResult, RunRecord, TrainOptions, TrainOutcome},
    job::Job,
    run_dir::{CONFIG, Existing, REPORT, RunDir},
};

/// `anneal train`.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Clone, Default, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub config: ConfigArgs,
    /// The run folder itself; default runs/NAME, then runs/NAME-2, ...
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train for this many epochs
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// End in order after this long (30s, 10m, 1.5h), the time before a resumption counted
    #[arg(long, value_name = "TIME")]
    pub max_time: Option<String>,
    /// Try everything out: one epoch of N batches, a validation and a test of as many, no logs, no checkpoints
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub fast_dev_run: Option<String>,
    /// Train on the first N batches alone, over and over, and validate on them: can the model learn them by heart?
    #[arg(long, value_name = "N")]
    pub overfit_batches: Option<usize>,
    /// Multiply the rates by how many times as many items a step has as in the file, or by the root of that
    #[arg(long, value_name = "RULE")]
    pub scale_lr: Option<ScaleLr>,
    /// Go on with the run in the run folder
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Start over where the run folder holds a run
    #[arg(long)]
    pub overwrite: bool,
    /// No progress and no summary
    #[arg(long)]
    pub quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// How the rates follow a step that is larger than the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScaleLr {
    /// As many times (Goyal et al. 2017)
    Linear,
    /// The square root of as many times (Krizhevsky 2014)
    Sqrt,
}

/// `anneal resume`.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// Train until this many epochs in all
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// End in order after this long in all (30s, 10m, 1.5h)
    #[arg(long, value_name = "TIME")]
    pub max_time: Option<String>,
    /// Where data sets are looked for first, in place of the run's own
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// No progress and no summary
    #[arg(long)]
    pub quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// `anneal evaluate`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// Where data sets are looked for first, in place of the run's own
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn train(mut args: TrainArgs, catalog: &Catalog, job: &Job) -> Result<Exit, Error> {
    take_switches(&mut args);
    let document = document(&args.config, args.epochs)?;
    let mut config = Config::from_document(&document, catalog)?;
    let existing = Existing::from_flags(args.resume, args.overwrite);
    let quiet = args.quiet || args.json;
    if let Some(rule) = args.scale_lr {
        let (scaled, told) = scaled(&config, rule, &args, catalog)?;
        if !quiet {
            print(&told)?;
        }
        config = scaled;
    }
    let announce = (!quiet).then_some(find_lr::announce as fn(&FinderResult));
    let (interrupt, job) = (trainer::ctrl_c(), job.clone());
    let options = TrainOptions { out: args.out, existing, quiet, interrupt, announce, job };
    let outcome = experiment::train(&config, &options).map_err(|error| located(&document, error))?;
    finish(&outcome, catalog, args.quiet, args.json)
}

/// The rates of a step that the command line has made larger than the file's, and a line about them.
fn scaled(config: &Config, rule: ScaleLr, args: &TrainArgs, catalog: &Catalog) -> Result<(Config, String), Error> {
    let of_step = |setting: &String| {
        ["data.batch_size", "train.accumulate"].contains(&setting.split('=').next().unwrap_or_default().trim())
    };
    let mut own = args.config.clone();
    own.set.retain(|setting| !of_step(setting));
    let items = |config: &Config| config.data.batch_size.saturating_mul(config.train.accumulate.max(1));
    let (of_file, here) = (items(&configured(&own, args.epochs, catalog)?), items(config));
    if of_file == here {
        return Err(Error::Usage(format!(
            "--scale-lr: a step has the {here} items that it has in the file; `--set train.accumulate=N` or `--set \
             data.batch_size=N` makes it larger"
        )));
    }
    let times = here as f64 / of_file.max(1) as f64;
    let factor = if rule == ScaleLr::Sqrt { times.sqrt() } else { times };
    let (config, told) = config.with_scaled_rates(factor)?;
    Ok((config, format!("a step has {here} items, and {of_file} in the file: {told}\n")))
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
        ("--fast-dev-run", "train.fast_dev_run", args.fast_dev_run.take()),
        ("--overfit-batches", "train.overfit_batches", args.overfit_batches.map(|batches| batches.to_string())),
        ("--max-time", "train.max_time", args.max_time.take()),
    ];
    args.config.flags.extend(settings.into_iter().filter_map(|(flag, field, value)| Some((flag, field, value?))));
}

pub(super) fn resume(args: &ResumeArgs, catalog: &Catalog, job: &Job) -> Result<Exit, Error> {
    let max_time = args.max_time.iter().map(|time| ("--max-time", "train.max_time", time.clone())).collect();
    let config = of_run(&args.run_dir, args.data_dir.as_deref(), args.epochs, max_time, catalog)?;
    let options = TrainOptions {
        out: Some(args.run_dir.clone()),
        existing: Existing::Resume,
        quiet: args.quiet || args.json,
        interrupt: trainer::ctrl_c(),
        announce: None,
        job: job.clone(),
    };
    finish(&experiment::train(&config, &options)?, catalog, args.quiet, args.json)
}

pub(super) fn evaluate(args: &EvaluateArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let config = of_run(&args.run_dir, args.data_dir.as_deref(), None, Vec::new(), catalog)?;
    let dir = RunDir::open(&args.run_dir)?;
    let values = experiment::evaluate(&config, &dir)?;
    if args.json {
        print_data(&format!("{}\n", serde_json::json!(values)))?;
    } else {
        let units = experiment::units(&config);
        for (name, value) in &values {
            let unit = units.get(name).map(|unit| format!(" {unit}")).unwrap_or_default();
            print(&format!("test {name} {}{unit}\n", decimal(*value, 4)))?;
        }
    }
    Ok(Exit::Done)
}

/// The config that a run was started with, with changes.
pub(super) fn of_run(
    run_dir: &Path,
    data_dir: Option<&Path>,
    epochs: Option<u64>,
    flags: Vec<(&'static str, &'static str, String)>,
    catalog: &Catalog,
) -> Result<Config, Error> {
    let dir = RunDir::open(run_dir)?;
    // Where the data are now: not where they might come to be, as for a training that begins.
    if let Some(data_dir) = data_dir.filter(|data_dir| !data_dir.is_dir()) {
        return Err(no_folder(data_dir).into());
    }
    let args = ConfigArgs {
        config: Some(dir.path(CONFIG)),
        flags,
        data_dir: data_dir.map(Path::to_owned),
        ..ConfigArgs::default()
    };
    Ok(configured(&args, epochs, catalog)?)
}

/// The best checkpoint, the page, the folder, and how to go on with a run that has not come to its end.
fn whereabouts(outcome: &TrainOutcome, catalog: &Catalog) -> String {
    let (dir, mut text) = (outcome.dir.root().display(), String::new());
    if let Some(best) = RunRecord::read(outcome.dir.root(), catalog).ok().and_then(|run| run.best_checkpoint()) {
        let _ = writeln!(text, "best    {best}, at step {}", best.step);
    }
    let page = outcome.dir.path(REPORT);
    if page.exists() {
        let _ = writeln!(text, "report: {}", page.display());
    }
    // A trial has left none.
    if outcome.dir.root().exists() {
        let _ = writeln!(text, "run folder: {dir}");
    }
    if matches!(outcome.report.stopped, StopReason::Interrupted | StopReason::TimeLimit) {
        let _ = writeln!(text, "go on with: anneal resume {dir}");
    }
    text
}

fn finish(outcome: &TrainOutcome, catalog: &Catalog, quiet: bool, json: bool) -> Result<Exit, Error> {
    if json {
        print_data(&outcome.summary.to_json())?;
    } else if !quiet {
        print(&format!("{}{}", outcome.summary, whereabouts(outcome, catalog)))?;
    }
    Ok(if outcome.report.stopped == StopReason::Interrupted { Exit::Interrupted } else { Exit::Done })
}
