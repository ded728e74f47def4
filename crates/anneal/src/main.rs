//! The `anneal` command: parse, run, exit.

use std::process::ExitCode;

use anneal::cli::{self, Cli};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Page faults of the default allocator cost a fifth of the training speed (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    cli::run(Cli::parse())
}
