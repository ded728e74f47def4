//! The `anneal` command: parse, run, exit.

use std::process::ExitCode;

use anneal::cli::{self, Cli};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Keeps freed pages: the default allocator returns them to the system and faults them in again at each step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    cli::run(Cli::parse())
}
