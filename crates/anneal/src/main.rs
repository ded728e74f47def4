//! The `anneal` command.

use std::process::ExitCode;

/// Keeps freed pages: the default allocator returns them to the system and faults them in again at each step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    anneal::App::new("anneal").run()
}
