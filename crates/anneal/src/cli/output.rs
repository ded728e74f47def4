//! How a command ends, and its results on the terminal.

use std::io::{IsTerminal, Write};

use report::page::fold;

use crate::error::Error;

/// How a command ended, where it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// Done, and there is nothing good in it; the command has said what.
    Failed,
    /// The finder has no suggestion.
    WithoutSuggestion,
    /// Interrupted, after saving.
    Interrupted,
    /// Processes that were started have failed, and have said why.
    Launched(u8),
}

/// Writes to standard output. If its reader has closed its end (`| head`), the command ends quietly, as `cat` does.
pub(super) fn print(text: &str) -> Result<(), Error> {
    print_on(text).map(drop)
}

/// [`print`], of something that goes on: gives whether its reader is still there.
pub(super) fn print_on(text: &str) -> Result<bool, Error> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Error::File { path: "standard output".to_owned(), source }),
        Ok(()) => Ok(true),
    }
}

/// `error:`, in red where standard error has colours.
pub(super) fn error_word() -> &'static str {
    if has_colours() { "\x1b[1;31merror:\x1b[0m" } else { "error:" }
}

/// Whether standard error is a terminal and `NO_COLOR` (no-color.org) is not set.
pub(crate) fn has_colours() -> bool {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_plain
}

/// Standard error. On a terminal its lines are cut at spaces, where the terminal would cut words; elsewhere a message stays
/// on its line. What is written at once is a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut out = std::io::stderr();
        match terminal_size::terminal_size_of(&out) {
            None => out.write_all(bytes)?,
            Some((width, _)) => {
                let text = String::from_utf8_lossy(bytes);
                let lines = text.split('\n').map(|line| fold(line, usize::from(width.0).max(40)).join("\n"));
                out.write_all(lines.collect::<Vec<_>>().join("\n").as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Columns of the terminal that standard output goes to, from 40 to 160; 80 where it is none.
pub(super) fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0).clamp(40, 160))
}
