//! What a run's task shows of its outputs: `outputs.jsonl`, a line for each time that it showed some.

use serde::{Deserialize, Serialize};
use trainer::CallbackError;

use crate::{
    error::Error,
    run_dir::{OUTPUTS, RunDir},
    task::{OnShow, Outputs},
};

/// What was shown at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShownOutputs {
    /// Optimizer steps done.
    pub step: u64,
    /// What was shown; charts are kept of the last time alone.
    #[serde(flatten)]
    pub outputs: Outputs,
}

/// Keeps what is shown while a run trains.
pub(super) fn keeper(dir: &RunDir) -> OnShow {
    let dir = dir.clone();
    Box::new(move |step, outputs| add(&dir, step, outputs).map_err(|error| CallbackError::new("outputs", error)))
}

/// Adds what is shown at a step; nothing, where there is nothing. What was shown at this step or later, by a process that
/// was killed, is dropped.
pub(super) fn add(dir: &RunDir, step: u64, outputs: Outputs) -> Result<(), Error> {
    if outputs == Outputs::default() {
        return Ok(());
    }
    let before = dir.read_if_there(OUTPUTS)?.unwrap_or_default();
    let before = before.lines().filter_map(|line| serde_json::from_str::<ShownOutputs>(line).ok());
    let mut lines: Vec<ShownOutputs> = before.filter(|line| line.step < step).collect();
    for line in &mut lines {
        line.outputs.charts.clear();
    }
    lines.push(ShownOutputs { step, outputs });
    // Texts, numbers and lists of them always have a JSON form.
    let text = |line: &ShownOutputs| serde_json::to_string(line).unwrap_or_default() + "\n";
    Ok(dir.write(OUTPUTS, &lines.iter().map(text).collect::<String>())?)
}
