//! The curves of a comparison: for each contender the mean over its seeds, and a band from the lowest to the highest.

use std::collections::BTreeMap;

use report::{Chart, Series};
use trainer::Phase;

use super::{Entry, Target};
use crate::experiment::{
    RunRecord,
    plots::{Points, labelled},
};

/// Epochs from which on the training loss is shown as the means of epochs; below, as that of the logged batches.
const FEW_EPOCHS: u64 = 3;

/// Rates that lie further apart than this are shown on a logarithmic axis.
const FAR_APART: f64 = 20.0;

/// A curve of each of a contender's runs, together.
struct Fan {
    steps: Vec<f64>,
    mean: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Fan {
    /// At the steps that all curves have; a run that ended earlier than the others ends them all.
    fn of(curves: &[Points]) -> Self {
        let mut values: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (steps, ys) in curves {
            // What is told twice of a step counts once.
            let curve: BTreeMap<u64, f64> = steps.iter().map(|step| *step as u64).zip(ys.iter().copied()).collect();
            for (step, value) in curve {
                values.entry(step).or_default().push(value);
            }
        }
        values.retain(|_, values| values.len() == curves.len());
        let over = |fold: &dyn Fn(&[f64]) -> f64| values.values().map(|values| fold(values)).collect();
        Self {
            steps: values.keys().map(|step| *step as f64).collect(),
            mean: over(&|values| values.iter().sum::<f64>() / values.len() as f64),
            low: over(&|values| values.iter().copied().fold(f64::INFINITY, f64::min)),
            high: over(&|values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        }
    }

    fn has_width(&self) -> bool {
        self.low != self.high
    }
}

/// The chart of one curve of all contenders; `None` where no run has it. Each contender has the same colour in every
/// chart.
fn fans(title: &str, y: &str, entries: &[Entry], curve: &dyn Fn(&RunRecord) -> Points) -> Option<(Chart, Vec<Fan>)> {
    let fan = |entry: &Entry| {
        let curves: Vec<Points> = entry
            .runs
            .iter()
            .filter_map(|(_, _, record)| record.as_ref().map(curve))
            .filter(|(steps, _)| !steps.is_empty())
            .collect();
        Fan::of(&curves)
    };
    let fans: Vec<Fan> = entries.iter().map(fan).collect();
    if fans.iter().all(|fan| fan.steps.is_empty()) {
        return None;
    }
    let mut chart = Chart::new(title).x("step").y(y);
    for (entry, fan) in entries.iter().zip(&fans) {
        // Without points no place in the legend, and yet one in the order of the colours.
        let label = if fan.steps.is_empty() { "" } else { entry.contender.name.as_str() };
        chart = chart.series(Series::line(label, &fan.steps, &fan.mean));
        chart =
            if fan.has_width() { chart.band("", &fan.steps, &fan.low, &fan.high) } else { chart.band("", [], [], []) };
    }
    Some((chart, fans))
}

/// All of them: rate, momentum, training and validation loss, accuracy.
pub(super) fn charts(entries: &[Entry], target: Option<Target>) -> Vec<Chart> {
    let records = || entries.iter().flat_map(|entry| entry.runs.iter().filter_map(|(_, _, record)| record.as_ref()));
    let steps = |value: fn(&trainer::callbacks::LogLine) -> Option<f64>| {
        move |run: &RunRecord| -> Points {
            let lines = run.log.iter().filter(|line| line.split == Phase::Train && line.every == "step");
            lines.filter_map(|line| Some((line.step as f64, value(line)?))).unzip()
        }
    };
    let rate = fans("learning rate", "learning rate", entries, &steps(|line| Some(line.lr))).map(|(chart, fans)| {
        let peaks = || fans.iter().filter_map(|fan| fan.high.iter().copied().reduce(f64::max));
        let apart = peaks().fold(0.0, f64::max) / peaks().fold(f64::INFINITY, f64::min);
        if apart > FAR_APART && apart.is_finite() { chart.y_log() } else { chart }
    });
    let momentum = fans("momentum", "momentum", entries, &steps(|line| line.momentum)).map(|(chart, _)| chart);
    let by_epoch = records().map(RunRecord::epochs).max().unwrap_or(0) >= FEW_EPOCHS;
    let (title, every) =
        if by_epoch { ("training loss (mean of each epoch)", "epoch") } else { ("training loss (batches)", "step") };
    let train = fans(title, "loss", entries, &|run| run.curve(Phase::Train, Some(every), "loss"));
    let valid = fans("validation loss", "loss", entries, &|run| run.curve(Phase::Valid, None, "loss"));
    let accuracy =
        fans("validation accuracy", &labelled("accuracy"), entries, &|run| run.curve(Phase::Valid, None, "accuracy"));
    let accuracy = accuracy.map(|(chart, fans)| {
        let chart = match limits(&fans) {
            Some((low, high)) => chart.y_limits(low, high),
            None => chart,
        };
        match target {
            Some(target) => chart.mark_y(target.accuracy, format!("target {} %", target.accuracy)),
            None => chart,
        }
    });
    let losses = [train, valid].map(|chart| chart.map(|(chart, _)| chart));
    [rate, momentum].into_iter().chain(losses).chain([accuracy]).flatten().collect()
}

/// The part of the accuracies that is worth looking at: from where the slowest contender is after a quarter of its
/// curve. Below, the first steps would press what matters into a line at the top.
fn limits(fans: &[Fan]) -> Option<(f64, f64)> {
    let all = || fans.iter().flat_map(|fan| fan.low.iter().chain(&fan.high).copied());
    let (lowest, highest) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
    let settled = fans.iter().filter_map(|fan| fan.low.get(fan.low.len() / 4).copied()).reduce(f64::min)?;
    let low = settled.max(lowest);
    let margin = 0.05 * (highest - low);
    (highest > low).then_some((low - margin, highest + margin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fan_is_the_mean_and_the_range_where_all_seeds_have_a_value() {
        let curves = [
            (vec![1.0, 2.0, 3.0], vec![4.0, 6.0, 1.0]),
            // A step told twice, and a run that ended earlier.
            (vec![1.0, 2.0, 2.0], vec![2.0, 9.0, 8.0]),
        ];
        let fan = Fan::of(&curves);
        assert_eq!(fan.steps, [1.0, 2.0]);
        assert_eq!((fan.mean, fan.low, fan.high), (vec![3.0, 7.0], vec![2.0, 6.0], vec![4.0, 8.0]));
        assert!(!Fan::of(&curves[..1]).has_width());
        assert!(Fan::of(&[]).steps.is_empty());
    }

    #[test]
    fn the_accuracies_begin_where_the_slowest_is_after_a_quarter() {
        let fan = |values: &[f64]| {
            let steps = (0..values.len()).map(|step| step as f64).collect();
            Fan { steps, mean: values.to_vec(), low: values.to_vec(), high: values.to_vec() }
        };
        let fans = [fan(&[10.0, 80.0, 90.0, 95.0]), fan(&[20.0, 60.0, 80.0, 100.0])];
        // From 60 to 100, and a twentieth of that on both sides.
        assert_eq!(limits(&fans), Some((58.0, 102.0)));
        assert_eq!(limits(&[fan(&[50.0, 50.0])]), None);
        assert_eq!(limits(&[fan(&[])]), None);
    }
}
