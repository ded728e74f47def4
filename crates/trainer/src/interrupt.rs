//! Ctrl-C and SIGTERM: the first asks the run to end in order, a second ends the process at once.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::callbacks::above_bar;

/// A flag that the first Ctrl-C (or SIGTERM) of the process sets, with a line on standard error; the second ends the
/// process with exit code 130. A process has one such flag, which stays set: a loop over several runs ends with the run that
/// was interrupted, and the runs after it do a step each.
///
/// Where another handler is installed already, the flag is never set, and a warning says so.
pub fn ctrl_c() -> Arc<AtomicBool> {
    Arc::clone(FLAG.get_or_init(|| install(true)))
}

/// The same flag without the line: for a process that is one of several, of which another speaks.
pub fn ctrl_c_silently() -> Arc<AtomicBool> {
    Arc::clone(FLAG.get_or_init(|| install(false)))
}

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn install(speaks: bool) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    let installed = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            above_bar(|| std::process::exit(130));
        }
        if !speaks {
            return;
        }
        // Over the `^C` of the terminal.
        let clear = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
        let line = "interrupted: ends after this step; once more to stop at once";
        let _ = above_bar(|| writeln!(std::io::stderr(), "{clear}{line}"));
    });
    if let Err(error) = installed {
        tracing::warn!("Ctrl-C will not be caught: {error}");
    }
    flag
}
