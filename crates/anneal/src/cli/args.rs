//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::experiment::compare::RateChoice;

/// Choose, combine and trust a learning rate: train, look at schedules, find rates.
#[derive(Debug, Parser)]
#[command(name = "anneal", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, `train`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model; with no CONFIG the embedded digits example
    Train(TrainArgs),
    /// Go on with a run from its newest valid checkpoint
    Resume(ResumeArgs),
    /// Measure a run's newest checkpoint on the test set
    Evaluate(EvaluateArgs),
    /// Write a page with the figures of a run, or of several beside each other
    Report(ReportArgs),
    /// Write a run's weights as safetensors, which PyTorch opens
    Export(ExportArgs),
    /// Find a learning rate: a sweep of rising rates on a copy of the model
    FindLr(FindLrArgs),
    /// Train under several schedules, with the same model, data and seeds, and write one report
    Compare(CompareArgs),
    /// Show what the rate will be, without training
    Schedule(ScheduleArgs),
    /// List what there is
    List(ListArgs),
    /// Fetch a data set, or check one that is there
    #[command(subcommand)]
    Data(DataCommand),
    /// Print a commented starter config
    New,
}

impl Default for Command {
    fn default() -> Self {
        Self::Train(TrainArgs::default())
    }
}

/// Which config, and what to change in it.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// A TOML file; without it, the embedded digits example
    pub config: Option<PathBuf>,
    /// Change a setting, as in schedule.gamma=0.5; may be repeated. A changed `type` starts its table anew
    #[arg(long = "set", value_name = "key.path=value")]
    pub set: Vec<String>,
    /// Where to run: cpu, gpu, flex, ndarray, wgpu, vulkan, metal, cuda, with :N for the N-th
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Where data sets are looked for first
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

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
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// `anneal report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Run folders; several are compared
    #[arg(required = true, value_name = "RUN_DIR")]
    pub run_dirs: Vec<PathBuf>,
    /// The page; default report.html in the run folder, or in the current one for several
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// `anneal export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// The file to write; default model.safetensors in the run folder
    #[arg(long, value_name = "FILE.safetensors")]
    pub to: Option<PathBuf>,
    /// The newest valid checkpoint (the default)
    #[arg(long, conflicts_with_all = ["best", "step"])]
    pub last: bool,
    /// The checkpoint that is best by the config's `checkpoint.keep_best`
    #[arg(long, conflicts_with = "step")]
    pub best: bool,
    /// The checkpoint of this step
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

/// `anneal find-lr`.
#[derive(Debug, Clone, Args)]
pub struct FindLrArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub config: ConfigArgs,
    /// Draw the curve, on a log axis, into this file; may be repeated
    #[arg(long, value_name = "FILE.svg|.png")]
    pub plot: Vec<PathBuf>,
    /// Write curve and suggestion into this file; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a copy of CONFIG with the found rate in place, comments kept; default CONFIG's name with .found.toml
    #[allow(clippy::option_option, reason = "not asked for, asked for, asked for by name: clap's own form of it")]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub apply: Option<Option<PathBuf>>,
    /// Let --apply replace a file that exists
    #[arg(long, requires = "apply")]
    pub overwrite: bool,
    /// Print the suggestion alone
    #[arg(long)]
    pub quiet: bool,
}

/// `anneal compare`.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub config: ConfigArgs,
    /// A schedule table, a file with [schedule], [optimizer] and [[groups]], or a whole config of which these are taken;
    /// may be repeated
    #[arg(long = "schedule", value_name = "FILE.toml", num_args = 1..)]
    pub schedules: Vec<PathBuf>,
    /// CONFIG's own schedule takes part too, as it does where there is no --schedule
    #[arg(long)]
    pub with_config: bool,
    /// Train each with this many seeds: run.seed and those after it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// The rate of each: as written, as the finder suggests, or the best of these by validation accuracy
    #[arg(long, value_name = "config|find|X,Y,...", default_value_t)]
    pub rates: RateChoice,
    /// Take the time to this validation accuracy; default: the one that every run reached, rounded down to a tenth
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub target: Option<f64>,
    /// The folder of the comparison; default runs/compare-NAME, then runs/compare-NAME-2, ...
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train for this many epochs
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Go on with the comparison in the folder: runs that have ended are not run again
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Start over where the folder holds a comparison
    #[arg(long)]
    pub overwrite: bool,
    /// No progress and no table
    #[arg(long)]
    pub quiet: bool,
    /// Print all figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// A percentage above 0.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim().trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 100.0 => Ok(value),
        _ => Err("a percentage above 0, up to 100".to_owned()),
    }
}

/// `anneal schedule`.
#[derive(Debug, Clone, Args)]
pub struct ScheduleArgs {
    /// A whole config, or a bare schedule table (`type = ...` at top level); several are overlaid in the plot
    #[arg(required = true, value_name = "FILE.toml")]
    pub files: Vec<PathBuf>,
    /// Base rate; several are several parameter groups. Default: the config's optimizer rate, or 1 for a bare table
    #[arg(long, value_name = "X")]
    pub base_lr: Vec<f64>,
    /// Optimizer steps of the run
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Epochs of the run
    #[arg(long, value_name = "E")]
    pub epochs: Option<u64>,
    /// Optimizer steps in an epoch
    #[arg(long, value_name = "K")]
    pub steps_per_epoch: Option<u64>,
    /// For a reactive schedule: one number per line, fed after each tick
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// How the rows are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Draw the schedule into this file; may be repeated
    #[arg(long, value_name = "FILE.svg|.png")]
    pub plot: Vec<PathBuf>,
    /// Change a setting, as in schedule.gamma=0.5 (gamma=0.5 for a bare table); may be repeated
    #[arg(long = "set", value_name = "key.path=value")]
    pub set: Vec<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// A plot drawn in the terminal, and aligned columns
    #[default]
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per row
    Jsonl,
}

/// `anneal list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub what: Listed,
    /// For `models`: this one alone, with the table of its layers
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// For `models`: count for the images and classes of this data set
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// For `parameters`: whose model and groups
    #[command(flatten)]
    pub config: ConfigArgs,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `anneal data`.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Download a data set, check it, and put it into place
    Fetch(FetchArgs),
    /// Hold every file of a data set against all that is known about it
    Verify(VerifyArgs),
}

/// `anneal data fetch`.
#[derive(Debug, Clone, Args)]
pub struct FetchArgs {
    /// A name from `anneal list datasets`
    pub name: String,
    /// The data folder that gets it; default: ANNEAL_DATA_DIR, then the cache folder
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// From here alone: the address of a folder that has the files
    #[arg(long, value_name = "BASE")]
    pub url: Option<String>,
    /// No progress and no summary
    #[arg(long)]
    pub quiet: bool,
}

/// `anneal data verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A name from `anneal list datasets`, or folder:PATH
    pub name: String,
    /// Where it is looked for first
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Strategies for `[schedule] type`
    Schedules,
    /// Optimizers for `[optimizer] type`
    Optimizers,
    /// Models for `[model] type`
    Models,
    /// Data sets for `[data] dataset`
    Datasets,
    /// Devices for `[run] device`
    Devices,
    /// The parameters of a config's model, and the group of each
    Parameters,
}
