//! The command line: arguments into typed options, options into the library's calls, results onto the terminal. A file
//! for each command, with its arguments.

mod checkpoint_args;
mod compare;
mod config_args;
mod data;
mod described;
mod export;
mod find_lr;
mod launch;
mod list;
mod metrics_file;
mod output;
mod predict;
mod report;
mod sample;
mod schedule;
mod train;

use std::io::Write;

use clap::{Parser, Subcommand};

pub(crate) use self::output::{Messages, has_colours};
use self::{
    compare::CompareArgs,
    data::DataCommand,
    export::ExportArgs,
    find_lr::FindLrArgs,
    launch::{LaunchArgs, Launched},
    list::ListArgs,
    output::{Exit, print},
    predict::PredictArgs,
    report::ReportArgs,
    sample::SampleArgs,
    schedule::ScheduleArgs,
    train::{EvaluateArgs, ResumeArgs, TrainArgs},
};

use crate::{
    config::{self, Catalog},
    error::Error,
    job::Job,
};

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
    /// Predict with a run's model: a class and its probability for each picture, or what the run's task gives
    Predict(PredictArgs),
    /// Write text with a run's model, after a prompt
    Sample(SampleArgs),
    /// Write a page with the figures of a run, or of several beside each other
    Report(ReportArgs),
    /// Write a run's weights as safetensors, which PyTorch opens
    Export(ExportArgs),
    /// Find a learning rate: a sweep of rising rates on a copy of the model
    FindLr(FindLrArgs),
    /// Train under several schedules, or with a setting that differs, on the same data and seeds; write one report
    Compare(CompareArgs),
    /// Run a command as several processes on this machine, which train together
    Launch(LaunchArgs),
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

/// Runs a command and gives its exit code: 0 done, 1 failed while running, 2 bad usage or config, 3 finder without a
/// suggestion, 130 interrupted after saving.
pub(crate) fn run(cli: Cli, catalog: &Catalog, job: &Job) -> u8 {
    let exit = match cli.command.unwrap_or_default() {
        Command::Train(args) => train::train(args, catalog, job),
        Command::Resume(args) => train::resume(&args, catalog, job),
        Command::Evaluate(args) => train::evaluate(&args, catalog),
        Command::Predict(args) => predict::predict(&args, catalog),
        Command::Sample(args) => sample::sample(&args, catalog),
        Command::Report(args) => report::report(&args, catalog),
        Command::Export(args) => export::export(&args, catalog),
        Command::FindLr(args) => find_lr::find_lr(&args, catalog),
        Command::Compare(args) => compare::compare(args, catalog, job),
        Command::Launch(args) => launched(&args).and_then(|launched| launch::launch(&args, &launched, catalog)),
        Command::Schedule(args) => schedule::schedule(&args, catalog),
        Command::List(args) => list::list(&args, catalog),
        Command::Data(command) => data::data(&command, catalog),
        Command::New => print(config::DEFAULT).map(|()| Exit::Done),
    };
    match exit {
        Ok(Exit::Done) => 0,
        Ok(Exit::Failed) => 1,
        Ok(Exit::WithoutSuggestion) => 3,
        Ok(Exit::Interrupted) => 130,
        Ok(Exit::Launched(code)) => code,
        Err(error) => failed(&error),
    }
}

/// What is to be launched, read as each of the processes will read it.
fn launched(args: &LaunchArgs) -> Result<Launched, Error> {
    let arguments = std::iter::once(std::ffi::OsString::from("anneal")).chain(args.command.clone());
    let cli = Cli::try_parse_from(arguments).map_err(|error| Error::Usage(error.to_string()))?;
    match cli.command.unwrap_or_default() {
        Command::Train(train) => Ok(Launched::Train(Box::new(train))),
        Command::Compare(compare) => Ok(Launched::Compare(Box::new(compare))),
        Command::Launch(_) => Err(Error::Usage("`launch` starts a command, and not itself".to_owned())),
        _ => Ok(Launched::Other),
    }
}

/// Tells an error, and gives the exit code for it.
pub(crate) fn failed(error: &Error) -> u8 {
    let text = ::report::plain(&error.to_string());
    let message = if error.is_interrupt() {
        format!("{text}; nothing was written\n")
    } else {
        format!("{} {text}\n", output::error_word())
    };
    let _ = Messages.write_all(message.as_bytes());
    error.exit_code()
}
