//! How a command ends, and its results on the terminal.

use std::io::Write;

use crate::error::Error;

/// How a command ended, where it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// The finder has no suggestion.
    WithoutSuggestion,
    /// Interrupted, after saving.
    Interrupted,
}

/// Writes to standard output. If its reader has gone away (`| head`), the command ends quietly, as `cat` does.
pub(super) fn print(text: &str) -> Result<(), Error> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::File { path: "standard output".to_owned(), source }),
        Ok(()) => Ok(()),
    }
}
