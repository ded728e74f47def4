//! What runs are measured by: the metrics of their task, with units and directions.

use lr_core::Mode;
use study::Measure;
use trainer::MetricInfo;

use crate::task::ChosenTask;

/// What runs of a task are compared by: its first metric, or the loss.
pub(super) fn main_measure(task: &ChosenTask) -> Measure {
    task.any().metrics().first().map_or_else(Measure::loss, of)
}

/// A metric.
pub(super) fn of(metric: &MetricInfo) -> Measure {
    Measure {
        name: metric.name.clone(),
        unit: metric.unit.clone().unwrap_or_default(),
        lower_is_better: metric.mode == Mode::Min,
    }
}

/// The metric of this name, among those of a task. Of another, as in runs of a program that knows other tasks, the name
/// has to say it.
pub(super) fn named(name: &str, metrics: &[MetricInfo]) -> Measure {
    match metrics.iter().find(|metric| metric.name == name) {
        Some(metric) => of(metric),
        None if name == "accuracy" => Measure::default(),
        None => Measure { name: name.to_owned(), unit: String::new(), lower_is_better: Mode::of(name) == Mode::Min },
    }
}
