//! The line at the bottom of a terminal that shows how far something is.

use std::{
    io::{self, IsTerminal, stderr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// The bar that is shown, and its number.
static SHOWN: Mutex<Option<(u64, ProgressBar)>> = Mutex::new(None);

/// How many bars there have been.
static BARS: AtomicU64 = AtomicU64::new(0);

fn shown() -> MutexGuard<'static, Option<(u64, ProgressBar)>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to the terminal above the bar, where one is shown: it is taken away first, and drawn again afterwards. Whatever is
/// written while a [`Bar`] may be there goes through this.
pub fn above_bar<T>(write: impl FnOnce() -> T) -> T {
    let bar = shown().clone();
    match bar {
        Some((_, bar)) => bar.suspend(write),
        None => write(),
    }
}

/// A progress bar on standard error; one at a time, the newest. Dropped, it takes itself away.
#[derive(Debug)]
pub struct Bar {
    number: u64,
    bar: ProgressBar,
}

impl Bar {
    /// A bar in indicatif's `template`, of `length` steps where that is known; `None` where standard error is no terminal.
    pub fn new(length: Option<u64>, template: &str) -> Option<Self> {
        if !stderr().is_terminal() {
            return None;
        }
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrow(Term::stderr())), 10);
        let bar = ProgressBar::with_draw_target(length, target);
        // Templates are constants; were one wrong, indicatif's own style would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let number = BARS.fetch_add(1, Ordering::Relaxed);
        *shown() = Some((number, bar.clone()));
        Some(Self { number, bar })
    }

    /// What it is drawn with.
    pub fn inner(&self) -> &ProgressBar {
        &self.bar
    }

    /// The characters that fit into the line of one.
    pub(super) fn columns() -> usize {
        usize::from(Narrow(Term::stderr()).width())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // Another one, of another thread, may have taken its place.
        drop(shown().take_if(|(number, _)| *number == self.number));
        self.bar.finish_and_clear();
    }
}

/// A terminal with room for the `^C` that it writes behind the bar: on the next line it would keep the bar's from being
/// cleared.
#[derive(Debug)]
struct Narrow(Term);

const ROOM: u16 = 4;

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(ROOM).max(1)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
