//! The command line: arguments into typed options, options into the library's calls, results onto the terminal. A file
//! for each command, with its arguments.

mod checkpoint_args;
mod compare;
mod config_args;
mod data;
mod described;
mod export;
mod find_lr;
mod list;
mod metrics_file;
mod output;
mod predict;
mod report;
mod sample;
mod schedule;
mod train;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

pub(crate) use self::output::{Messages, has_colours};
use self::{
    compare::CompareArgs,
    data::DataCommand,
    export::ExportArgs,
    find_lr::FindLrArgs,
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

/// Runs a command and gives its exit code: 0 done, 1 failed while running, 2 bad usage or config, 3 finder without a
/// suggestion, 130 interrupted after saving.
pub fn run(cli: Cli, catalog: &Catalog) -> ExitCode {
    let exit = match cli.command.unwrap_or_default() {
        Command::Train(args) => train::train(args, catalog),
        Command::Resume(args) => train::resume(&args, catalog),
        Command::Evaluate(args) => train::evaluate(&args, catalog),
        Command::Predict(args) => predict::predict(&args, catalog),
        Command::Sample(args) => sample::sample(&args, catalog),
        Command::Report(args) => report::report(&args, catalog),
        Command::Export(args) => export::export(&args, catalog),
        Command::FindLr(args) => find_lr::find_lr(&args, catalog),
        Command::Compare(args) => compare::compare(args, catalog),
        Command::Schedule(args) => schedule::schedule(&args, catalog),
        Command::List(args) => list::list(&args, catalog),
        Command::Data(command) => data::data(&command, catalog),
        Command::New => print(config::DEFAULT).map(|()| Exit::Done),
    };
    match exit {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::FAILURE,
        Ok(Exit::WithoutSuggestion) => ExitCode::from(3),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        Err(error) => failed(&error),
    }
}

/// Tells an error, and gives the exit code for it.
pub(crate) fn failed(error: &Error) -> ExitCode {
    let message = if error.is_interrupt() {
        format!("{error}; nothing was written\n")
    } else {
        format!("{} {error}\n", output::error_word())
    };
    let _ = Messages.write_all(message.as_bytes());
    ExitCode::from(error.exit_code())
}
