//! Which way a monitored value gets better, where a configuration does not say it: what the task's metric says.

use lr_core::{Mode, Registry};
use toml::{Table, Value};
use trainer::MetricInfo;

/// Fills in the `mode` of early stopping and of the best checkpoints.
pub(super) fn of_training(train: &mut Table, metrics: &[MetricInfo]) {
    for (section, monitor) in [("early_stopping", "monitor"), ("checkpoint", "keep_best")] {
        if let Some(Value::Table(section)) = train.get_mut(section) {
            fill(section, monitor, metrics);
        }
    }
}

/// Fills in the `mode` of every schedule in a table that reacts to a value.
pub(super) fn of_schedules(table: &mut Table, metrics: &[MetricInfo], registry: &Registry) {
    let name = table.get("type").and_then(Value::as_str);
    let fields = name.and_then(|name| registry.get(name)).map(lr_core::StrategyInfo::fields);
    if fields.is_some_and(|fields| ["monitor", "mode"].iter().all(|field| fields.contains(field))) {
        fill(table, "monitor", metrics);
    }
    for (_, value) in table.iter_mut() {
        let inner: Vec<&mut Value> = match value {
            Value::Array(items) => items.iter_mut().collect(),
            other => vec![other],
        };
        for table in inner {
            if let Value::Table(table) = table {
                of_schedules(table, metrics, registry);
            }
        }
    }
}

/// Fills in the `mode` of a table, for the value that its field `monitor` names.
fn fill(table: &mut Table, monitor: &str, metrics: &[MetricInfo]) {
    let Some(name) = table.get(monitor).and_then(Value::as_str) else { return };
    let metric = name.split_once('.').map_or(name, |(_, metric)| metric);
    let Some(info) = metrics.iter().find(|info| info.name == metric) else { return };
    let mode = if info.mode == Mode::Min { "min" } else { "max" };
    table.entry("mode").or_insert_with(|| mode.into());
}
