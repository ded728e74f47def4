//! The log of a run for TensorBoard.

use std::path::{Path, PathBuf};

use report::tensorboard::EventWriter;

use super::position::{Position, of_split};
use crate::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, FitReport, Flow, RunInfo, StepEvent, ValidationEvent,
};

/// Writes an event file into a folder: `tensorboard --logdir` shows it.
///
/// | tag | at |
/// |---|---|
/// | `train/loss`, `train/lr`, `train/momentum`, `train/<metric>` | each logged step |
/// | `train/loss_epoch` (the mean over the epoch), `time/epoch_seconds` | each epoch |
/// | `valid/loss`, `valid/<metric>` | each validation |
/// | the texts given to [`text`](Self::text) | step 0 |
///
/// A resumed run writes a new file, which says from which step on it supersedes those before it; TensorBoard
/// then forgets what they hold of these steps.
pub struct TensorBoard {
    folder: PathBuf,
    texts: Vec<(String, String)>,
    writer: Option<EventWriter>,
    position: Position,
}

impl TensorBoard {
    /// Event files in this folder. Nothing is touched before the run starts.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), texts: Vec::new(), writer: None, position: Position::new(0) }
    }

    /// Adds a text to be shown under this tag: the configuration, say. It is shown as it stands, not as Markdown.
    #[must_use]
    pub fn text(mut self, tag: impl Into<String>, text: &str) -> Self {
        // Four blanks before each line are Markdown's code block.
        let indented: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
        self.texts.push((tag.into(), indented.join("\n")));
        self
    }

    fn tell<E>(&mut self, tell: impl FnOnce(&mut EventWriter) -> Result<(), E>) -> Result<(), CallbackError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let told = self.writer.as_mut().map_or(Ok(()), tell);
        told.map_err(|error| CallbackError::new(self.name(), error))
    }

    fn settle(&mut self) -> Result<(), CallbackError> {
        let Some(validation) = self.position.settled() else { return Ok(()) };
        let values: Vec<_> = tagged("valid/", "", &validation.values).collect();
        self.tell(|writer| writer.scalars(validation.step, &values))
    }
}

fn tagged<'a>(
    prefix: &'a str,
    suffix: &'a str,
    values: impl IntoIterator<Item = (&'a String, &'a f64)> + 'a,
) -> impl Iterator<Item = (String, f64)> + 'a {
    values.into_iter().map(move |(name, value)| (format!("{prefix}{name}{suffix}"), *value))
}

impl Callback for TensorBoard {
    fn name(&self) -> &'static str {
        "tensorboard"
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        if run.over {
            // Nothing will be added.
            return Ok(());
        }
        let created = EventWriter::create(&self.folder);
        self.writer = Some(created.map_err(|error| CallbackError::new(self.name(), error))?);
        self.position = Position::new(run.steps_done);
        if run.steps_done > 0 {
            return self.tell(|writer| writer.restart(run.steps_done + 1));
        }
        for (tag, text) in std::mem::take(&mut self.texts) {
            self.tell(|writer| writer.text(0, &tag, &text))?;
        }
        self.tell(EventWriter::flush)
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.settle()?;
        if self.position.step(event) {
            self.tell(|writer| writer.restart(event.step))?;
        }
        if event.logged || event.skipped {
            let own = [("train/loss", event.loss), ("train/lr", Some(event.lr)), ("train/momentum", event.momentum)];
            let mut values: Vec<(String, f64)> =
                own.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
            values.extend(tagged("train/", "", &event.metrics));
            self.tell(|writer| writer.scalars(event.step, &values))?;
            if self.position.is_stale() {
                self.tell(EventWriter::flush)?;
            }
        }
        Ok(Flow::Continue)
    }

    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        self.settle()?;
        self.position.validation(event);
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.position.epoch(event);
        self.settle()?;
        let summary = event.summary;
        let (train, valid) = (of_split(&summary.values, "train."), of_split(&summary.values, "valid."));
        let mut values: Vec<_> = tagged("train/", "_epoch", &train).chain(tagged("valid/", "", &valid)).collect();
        values.push(("time/epoch_seconds".to_owned(), summary.seconds));
        self.tell(|writer| writer.scalars(summary.step, &values))?;
        self.tell(EventWriter::flush)?;
        Ok(Flow::Continue)
    }

    fn on_checkpoint(&mut self, _event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        self.settle()?;
        self.tell(EventWriter::flush)
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.settle()?;
        self.tell(EventWriter::flush)
    }
}
