//! The log of a run for TensorBoard.

use std::path::{Path, PathBuf};

use report::tensorboard::EventWriter;

use super::run_log::{LogFormat, Losses, PendingValidation, RunLog, of_split};
use crate::{CallbackError, RunInfo, StepEvent, report::EpochSummary};

/// Writes an event file into a folder: `tensorboard --logdir` shows it.
///
/// | tag | at |
/// |---|---|
/// | `train/loss`, `train/lr`, `train/momentum`, `train/<metric>` | each logged step |
/// | `train/loss_epoch` (the mean over the epoch), `time/epoch_seconds` | each epoch |
/// | `valid/loss`, `valid/<metric>` | each validation |
/// | the texts given to `TensorBoard::text` | step 0 |
///
/// A resumed run writes a new file, which says from which step on it supersedes those before it; TensorBoard
/// then forgets what they hold of these steps.
pub type TensorBoard = RunLog<EventFiles>;

/// The files of [`TensorBoard`].
pub struct EventFiles {
    folder: PathBuf,
    texts: Vec<(String, String)>,
    writer: Option<EventWriter>,
}

impl TensorBoard {
    /// Event files in this folder. Nothing is touched before the run starts.
    pub fn new(folder: &Path) -> Self {
        Self::of(EventFiles { folder: folder.to_owned(), texts: Vec::new(), writer: None })
    }

    /// Adds a text to be shown under this tag: the configuration, say. It is shown as it stands, not as Markdown.
    #[must_use]
    pub fn text(mut self, tag: impl Into<String>, text: &str) -> Self {
        // Four blanks before each line are Markdown's code block.
        let indented: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
        self.format.texts.push((tag.into(), indented.join("\n")));
        self
    }
}

impl EventFiles {
    fn tell<E>(&mut self, tell: impl FnOnce(&mut EventWriter) -> Result<(), E>) -> Result<(), CallbackError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let told = self.writer.as_mut().map_or(Ok(()), tell);
        told.map_err(|error| CallbackError::new(Self::NAME, error))
    }
}

fn tagged<'a>(
    prefix: &'a str,
    suffix: &'a str,
    values: impl IntoIterator<Item = (&'a String, &'a f64)> + 'a,
) -> impl Iterator<Item = (String, f64)> + 'a {
    values.into_iter().map(move |(name, value)| (format!("{prefix}{name}{suffix}"), *value))
}

impl LogFormat for EventFiles {
    const NAME: &'static str = "tensorboard";

    fn start(&mut self, run: &RunInfo, _losses: &mut Losses) -> Result<(), CallbackError> {
        if run.over {
            // Nothing will be added.
            return Ok(());
        }
        let created = EventWriter::create(&self.folder);
        self.writer = Some(created.map_err(|error| CallbackError::new(Self::NAME, error))?);
        if run.steps_done > 0 {
            return self.back_to(run.steps_done + 1);
        }
        for (tag, text) in std::mem::take(&mut self.texts) {
            self.tell(|writer| writer.text(0, &tag, &text))?;
        }
        self.flush()
    }

    fn back_to(&mut self, step: u64) -> Result<(), CallbackError> {
        self.tell(|writer| writer.restart(step))
    }

    fn step(&mut self, event: &StepEvent) -> Result<(), CallbackError> {
        let own = [("train/loss", event.loss), ("train/lr", Some(event.lr)), ("train/momentum", event.momentum)];
        let mut values: Vec<(String, f64)> =
            own.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
        values.extend(tagged("train/", "", &event.metrics));
        self.tell(|writer| writer.scalars(event.step, &values))
    }

    fn validation(&mut self, validation: PendingValidation) -> Result<(), CallbackError> {
        let values: Vec<_> = tagged("valid/", "", &validation.values).collect();
        self.tell(|writer| writer.scalars(validation.step, &values))
    }

    fn epoch(&mut self, summary: &EpochSummary) -> Result<(), CallbackError> {
        let (train, valid) = (of_split(&summary.values, "train."), of_split(&summary.values, "valid."));
        let mut values: Vec<_> = tagged("train/", "_epoch", &train).chain(tagged("valid/", "", &valid)).collect();
        values.push(("time/epoch_seconds".to_owned(), summary.seconds));
        self.tell(|writer| writer.scalars(summary.step, &values))
    }

    fn flush(&mut self) -> Result<(), CallbackError> {
        self.tell(EventWriter::flush)
    }
}
