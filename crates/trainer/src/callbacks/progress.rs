//! Progress: a bar with rate, loss, metrics and time left on a terminal, one plain line per epoch elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{Callback, CallbackError, EpochEvent, FitReport, Flow, RunInfo, StepEvent};

/// How often the text beside the bar is rebuilt; at every step it would cost a small model one percent.
const REFRESH: Duration = Duration::from_millis(100);

/// Shows how a run goes.
///
/// The bar goes to standard error, and only where that is a terminal; the line per epoch goes to standard output.
pub struct Progress {
    bar: Option<ProgressBar>,
    epochs: u64,
    shown: Option<Instant>,
    metrics: BTreeMap<String, f64>,
}

impl Progress {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn new() -> Self {
        Self { bar: None, epochs: 0, shown: None, metrics: BTreeMap::new() }
    }

    fn text(&self, event: &StepEvent) -> String {
        use std::fmt::Write;
        let mut text = format!("epoch {}/{} lr {:.3e}", event.epoch + 1, self.epochs, event.lr);
        if let Some(loss) = event.loss {
            let _ = write!(text, " loss {loss:.4}");
        }
        for (name, value) in &self.metrics {
            let _ = write!(text, " {name} {value:.2}");
        }
        text
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Callback for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.epochs = run.epochs;
        if stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(run.total_steps), ProgressDrawTarget::stderr_with_hz(10));
            // The template is a constant; if it were wrong, indicatif's default style would be used.
            if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len} {msg} {per_sec} ETA {eta}") {
                bar.set_style(style);
            }
            bar.set_position(run.steps_done);
            bar.reset_eta();
            self.bar = Some(bar);
        }
        Ok(())
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        if !event.metrics.is_empty() {
            self.metrics.clone_from(&event.metrics);
        }
        if let Some(bar) = &self.bar
            && self.shown.is_none_or(|shown| shown.elapsed() >= REFRESH)
        {
            bar.set_message(self.text(event));
            bar.set_position(event.step);
            self.shown = Some(Instant::now());
        }
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        use std::fmt::Write as _;
        let summary = event.summary;
        let mut line = format!("epoch {:>3}/{}  lr {:<10.4e}", summary.epoch + 1, self.epochs, summary.lr);
        for (name, value) in &summary.values {
            let _ = write!(line, "  {name} {value:.4}");
        }
        let _ = write!(line, "  {:.1} s", summary.seconds);
        match &self.bar {
            Some(bar) => bar.suspend(|| print(&line)),
            None => print(&line),
        }
        Ok(Flow::Continue)
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        Ok(())
    }
}

/// A reader that has gone away (`anneal train | head`) does not end the training.
fn print(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}
