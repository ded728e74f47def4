//! The command line: arguments into typed options, options into the library's calls, results onto the terminal.

mod args;
mod compare;
mod data;
mod export;
mod find_lr;
mod interrupt;
mod list;
mod metrics_file;
mod report;
mod schedule;
mod train;

use std::{io::Write, process::ExitCode};

pub use args::{Cli, Command};

use crate::{config, error::Error};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Done.
    Well,
    /// The finder has no suggestion.
    WithoutSuggestion,
    /// Interrupted, after saving.
    Interrupted,
}

/// Runs a command and gives its exit code: 0 done, 1 failed while running, 2 bad usage or config, 3 finder without a
/// suggestion, 130 interrupted after saving.
pub fn run(cli: Cli) -> ExitCode {
    let ended = match cli.command.unwrap_or_default() {
        Command::Train(args) => train::train(args),
        Command::Resume(args) => train::resume(&args),
        Command::Evaluate(args) => train::evaluate(&args),
        Command::Report(args) => report::report(&args),
        Command::Export(args) => export::export(&args),
        Command::FindLr(args) => find_lr::find_lr(&args),
        Command::Compare(args) => compare::compare(args),
        Command::Schedule(args) => schedule::schedule(&args),
        Command::List(args) => list::list(&args),
        Command::Data(command) => data::data(&command),
        Command::New => print(config::DEFAULT).map(|()| Ended::Well),
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::WithoutSuggestion) => ExitCode::from(3),
        Ok(Ended::Interrupted) => ExitCode::from(130),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) ends the command quietly, as it does with `cat`.
fn print(text: &str) -> Result<(), Error> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::File { path: "standard output".to_owned(), source }),
        Ok(()) => Ok(()),
    }
}
