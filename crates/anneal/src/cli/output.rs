//! How a command ends, and its results on the terminal.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use report::{page::fold, plain};
use trainer::callbacks::above_bar;

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

/// Writes to standard output, as [`plain`] text. If its reader has closed its end (`| head`), the command ends quietly, as
/// `cat` does.
pub(super) fn print(text: &str) -> Result<(), Error> {
    print_on(text).map(drop)
}

/// [`print`], of something that goes on: gives whether its reader is still there.
fn print_on(text: &str) -> Result<bool, Error> {
    write_out(&plain(text))
}

/// What a program reads, JSON say: as it is, but for a terminal, which shows it as [`print`] does.
pub(super) fn print_data(text: &str) -> Result<(), Error> {
    print_data_on(text).map(drop)
}

/// [`print_data`], of something that goes on: gives whether its reader is still there.
pub(super) fn print_data_on(text: &str) -> Result<bool, Error> {
    if std::io::stdout().is_terminal() { print_on(text) } else { write_out(text) }
}

fn write_out(text: &str) -> Result<bool, Error> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Error::File { path: "standard output".to_owned(), source }),
        Ok(()) => Ok(true),
    }
}

/// Refuses to write where a file is that this program did not write, unless `overwrite` says so, and where no file can be: the
/// rule of every command that writes where its user says, before any work.
pub(super) fn refuse_replacing<'p>(paths: impl IntoIterator<Item = &'p PathBuf>, overwrite: bool) -> Result<(), Error> {
    paths.into_iter().try_for_each(|path| {
        refuse_place(path)?;
        if overwrite || report::is_replaceable(path) { Ok(()) } else { Err(exists(path)) }
    })
}

/// Refuses to write where no file can be.
pub(super) fn refuse_place(path: &Path) -> Result<(), Error> {
    report::refuse_place(path).map_err(|source| Error::File { path: path.display().to_string(), source })
}

/// A file is in the way.
pub(super) fn exists(path: &Path) -> Error {
    Error::Usage(format!("{}: exists already; --overwrite replaces it, or name another file", path.display()))
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

/// Standard error, above a progress bar that is shown. On a terminal its lines are cut at spaces, where the terminal would cut
/// words; elsewhere a message stays on its line. What is written at once is a message; of control characters only the colours
/// of a terminal pass, which whoever writes a name has taken out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut out = std::io::stderr();
        let text = String::from_utf8_lossy(bytes);
        let mut text =
            if has_colours() { text.split('\x1b').map(plain).collect::<Vec<_>>().join("\x1b") } else { plain(&text) };
        if let Some((width, _)) = terminal_size::terminal_size_of(&out) {
            let lines = text.split('\n').map(|line| fold(line, usize::from(width.0).max(40)).join("\n"));
            text = lines.collect::<Vec<_>>().join("\n");
        }
        above_bar(|| out.write_all(text.as_bytes()))?;
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
