//! The logs that a configuration asks for, together on one thread beside the training.

use trainer::callbacks::{Background, Csv, JsonLines, TensorBoard, Together};

use crate::{
    config::{Config, Logger},
    run_dir::{METRICS, METRICS_CSV, RunDir},
};

/// The logs of a run in `dir`; `resolved` is the text of its configuration, which TensorBoard shows.
pub(super) fn of(config: &Config, dir: &RunDir, resolved: &str) -> Background<Together> {
    let logs = config.run.loggers.iter().fold(Together::new("logs"), |logs, logger| match logger {
        Logger::JsonLines => logs.with(JsonLines::new(&dir.path(METRICS))),
        Logger::Csv => logs.with(Csv::new(&dir.path(METRICS_CSV))),
        Logger::TensorBoard => logs.with(TensorBoard::new(dir.root()).text("config", resolved)),
    });
    Background::new(logs)
}
