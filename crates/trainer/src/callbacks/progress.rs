//! Progress: a bar with rate, loss, metrics and time left on a terminal, one plain line per epoch elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write, stdout},
    time::{Duration, Instant},
};

use report::page::decimal;

use super::bar::{Bar, above_bar};
use crate::{Callback, CallbackError, EpochEvent, EpochSummary, FitReport, Flow, RunInfo, StepEvent};

/// How often the text beside the bar is rebuilt; at every step it would cost a small model one percent.
const REFRESH: Duration = Duration::from_millis(100);

/// From then on the speed is measured over enough steps to be shown: the first ones are not like the others.
const SETTLED: Duration = Duration::from_secs(1);

/// Its template, and the characters of what stands before the text.
const BAR: &str = "{bar:16.cyan/dim} {msg}";
const BEFORE_TEXT: usize = 17;

/// The width that lines for a terminal fit into.
const COLUMNS: usize = 80;

/// Shows how a run goes.
///
/// The bar goes to standard error, and only where that is a terminal; the line per epoch goes to standard output. Dropped
/// in the middle of a run that has failed, it takes its bar away. What else writes to the terminal meanwhile does so through
/// [`above_bar`].
pub struct Progress {
    bar: Option<Bar>,
    run: Option<RunInfo>,
    began: Instant,
    shown: Option<Instant>,
    metrics: BTreeMap<String, f64>,
}

impl Progress {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn new() -> Self {
        Self { bar: None, run: None, began: Instant::now(), shown: None, metrics: BTreeMap::new() }
    }

    fn epochs(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.epochs)
    }

    /// What stands beside the bar, what matters most first: as much of it as fits into so many characters.
    fn text(&self, event: &StepEvent, elapsed: Duration, columns: usize) -> String {
        let (total, done) = self.run.as_ref().map_or((0, 0), |run| (run.total_steps, run.steps_done));
        let text = format!("step {}/{total}", event.step);
        let mut more = Vec::new();
        if elapsed >= SETTLED && event.step > done {
            let per_second = (event.step - done) as f64 / elapsed.as_secs_f64();
            let left = total.saturating_sub(event.step) as f64 / per_second;
            more.push(format!(", {} left", time(left)));
        }
        more.push(format!("  epoch {}/{}", event.epoch + 1, self.epochs()));
        more.push(format!(" lr {:.2e}", event.lr));
        more.extend(event.loss.map(|loss| format!(" loss {}", decimal(loss, 4))));
        more.extend(self.metrics.iter().map(|(name, value)| format!(" {name} {}", decimal(*value, 2))));
        with_what_fits(text, more, columns)
    }
}

/// A text with those of these parts, whole, that fit into so many characters.
fn with_what_fits(mut text: String, parts: Vec<String>, columns: usize) -> String {
    for part in parts {
        if text.chars().count() + part.chars().count() <= columns {
            text += &part;
        }
    }
    text
}

/// Seconds as `45 s`, `3 min`, `1 h 20 min`.
fn time(seconds: f64) -> String {
    let seconds = seconds.min(1e9).round() as u64;
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {:02} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

/// The line of an epoch. `columns`: with fewer digits, and in the end with less in it, where it would not fit.
fn epoch_line(summary: &EpochSummary, epochs: u64, columns: Option<usize>) -> String {
    let each = |digits: usize, spaces: &str| -> Vec<String> {
        let text = |(name, value): (&String, &f64)| {
            let digits = if name.ends_with("accuracy") && digits < 4 { 1 } else { digits };
            format!("{spaces}{name} {}", decimal(*value, digits))
        };
        summary.values.iter().map(text).collect()
    };
    let values = |digits, spaces| each(digits, spaces).concat();
    let (epoch, lr, seconds) = (summary.epoch + 1, summary.lr, summary.seconds);
    let full = format!("epoch {epoch:>3}/{epochs}  lr {lr:<10.4e}{}  {seconds:.1} s", values(4, "  "));
    let Some(columns) = columns else { return full };
    let shorter = [
        format!("epoch {epoch}/{epochs}  lr {lr:.2e}{}  {seconds:.1} s", values(3, "  ")),
        format!("epoch {epoch}/{epochs} lr {lr:.1e}{} {seconds:.0} s", values(3, " ")),
        format!("epoch {epoch}/{epochs}{}", values(3, " ")),
    ];
    let fits = |line: &String| line.chars().count() <= columns;
    [full]
        .into_iter()
        .chain(shorter)
        .find(fits)
        .unwrap_or_else(|| with_what_fits(format!("epoch {epoch}/{epochs}"), each(2, " "), columns))
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
        self.run = Some(run.clone());
        self.began = Instant::now();
        if run.steps_done > 0 && !run.over {
            let epoch = run.steps_done / run.steps_per_epoch.max(1) + 1;
            let (done, total) = (run.steps_done, run.total_steps);
            print(&format!(
                "continues after step {done} of {total}, in epoch {} of {}",
                epoch.min(run.epochs),
                run.epochs
            ));
        }
        self.bar = None;
        self.bar = Bar::new(Some(run.total_steps), BAR);
        if let Some(bar) = &self.bar {
            bar.inner().set_position(run.steps_done);
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
            let columns = Bar::columns().saturating_sub(BEFORE_TEXT);
            bar.inner().set_message(self.text(event, self.began.elapsed(), columns));
            bar.inner().set_position(event.step);
            self.shown = Some(Instant::now());
        }
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        let columns = stdout().is_terminal().then_some(COLUMNS);
        print(&epoch_line(event.summary, self.epochs(), columns));
        Ok(Flow::Continue)
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.bar = None;
        Ok(())
    }
}

/// A reader that has closed its end (`anneal train | head`) does not end the training.
fn print(line: &str) {
    let write = || writeln!(stdout(), "{line}");
    // A pipe that nobody reads must not hold the bar, which Ctrl-C asks for.
    let _ = if stdout().is_terminal() { above_bar(write) } else { write() };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[(&str, f64)]) -> EpochSummary {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        EpochSummary { epoch: 99, step: 2100, lr: 1.2345e-3, momentum: None, values, seconds: 123.4 }
    }

    #[test]
    fn an_epoch_fits_into_eighty_columns() {
        let three = summary(&[("train.loss", 0.12345), ("valid.accuracy", 97.123_45), ("valid.loss", 0.2345)]);
        let full =
            "epoch 100/100  lr 1.2345e-3   train.loss 0.1235  valid.accuracy 97.1235  valid.loss 0.2345  123.4 s";
        assert_eq!(epoch_line(&three, 100, None), full, "where it is no terminal");
        let short = "epoch 100/100 lr 1.2e-3 train.loss 0.123 valid.accuracy 97.1 valid.loss 0.234 123 s";
        assert_eq!(epoch_line(&three, 100, Some(83)), short);
        assert_eq!(
            epoch_line(&three, 100, Some(80)),
            "epoch 100/100 train.loss 0.123 valid.accuracy 97.1 valid.loss 0.234"
        );
        let many: Vec<(String, f64)> = (0..9).map(|n| (format!("valid.metric{n}"), 1e6)).collect();
        let many: Vec<(&str, f64)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let line = epoch_line(&summary(&many), 100, Some(80));
        assert_eq!(line, "epoch 100/100 valid.metric0 1000000.00 valid.metric1 1000000.00", "no half of a value");
    }

    #[test]
    fn the_time_left_is_said_once_the_speed_is_known() {
        let mut progress = Progress::new();
        let run = RunInfo {
            epochs: 4,
            total_steps: 400,
            steps_per_epoch: 100,
            items: 1,
            steps_done: 200,
            over: false,
            saved_in_turn: false,
            logged: crate::Logged::default(),
            parameters: 1,
        };
        progress.run = Some(run);
        let event = StepEvent {
            step: 220,
            epoch: 2,
            lr: 0.1,
            momentum: None,
            loss: Some(0.5),
            metrics: BTreeMap::new(),
            logged: true,
            skipped: false,
            seconds: 1.0,
            items: 1,
        };
        let text = |after, columns| progress.text(&event, after, columns);
        assert_eq!(text(Duration::from_millis(9), 80), "step 220/400  epoch 3/4 lr 1.00e-1 loss 0.5000");
        // 20 steps in 2 s: 180 steps take 18. The 200 before the resumption took none of this time.
        let settled = Duration::from_secs(2);
        assert_eq!(text(settled, 80), "step 220/400, 18 s left  epoch 3/4 lr 1.00e-1 loss 0.5000");
        // What does not fit is left out whole.
        assert_eq!(text(settled, 56), "step 220/400, 18 s left  epoch 3/4 lr 1.00e-1");
        assert_eq!(text(settled, 1), "step 220/400");
        for (seconds, text) in
            [(45.2, "45 s"), (185.0, "3 min 05 s"), (4800.0, "1 h 20 min"), (f64::INFINITY, "277777 h 46 min")]
        {
            assert_eq!(time(seconds), text);
        }
    }
}
