//! Ctrl-C and SIGTERM: the first asks the run to end in order, a second ends the process at once.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A flag that the first signal sets.
pub(super) fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    let installed = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // Over the bar, which is drawn again below.
        let clear = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
        let _ =
            writeln!(std::io::stderr(), "{clear}interrupted: finishing the step and saving; once more to stop at once");
    });
    if let Err(error) = installed {
        tracing::warn!("Ctrl-C will not be caught: {error}");
    }
    flag
}
