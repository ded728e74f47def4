//! The logs that a configuration asks for, together on one thread beside the training.

use trainer::callbacks::{Background, CallbackList, Csv, JsonLines, TensorBoard};

use crate::{
    config::{Config, Logger},
    run_dir::{METRICS, METRICS_CSV, RunDir},
};

/// The logs of a run in `dir`; `resolved` is the text of its configuration, which TensorBoard shows.
pub(super) fn of(config: &Config, dir: &RunDir, resolved: &str) -> Background<CallbackList> {
    let logs = config.run.loggers.iter().fold(CallbackList::new("logs"), |logs, logger| match logger {
        Logger::JsonLines => logs.with(JsonLines::new(&dir.path(METRICS))),
        Logger::Csv => logs.with(Csv::new(&dir.path(METRICS_CSV))),
        Logger::TensorBoard => logs.with(TensorBoard::new(dir.root()).text("config", resolved)),
    });
    Background::new(logs)
}
