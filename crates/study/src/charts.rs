//! The curves of a study: for each contender the mean over its seeds, and a band from the lowest to the highest.

use std::collections::BTreeMap;

use report::{Chart, Series};

use crate::{
    contender::Contender,
    curve::Curve,
    result::{Study, Target},
    run::RunLog,
};

/// From this many epochs on the training loss is drawn as the means of epochs; below, as that of the logged batches.
const FEW_EPOCHS: usize = 3;

/// Rates that differ by more than this factor are drawn on a logarithmic axis.
const FAR_APART: f64 = 20.0;

/// The same curve of several runs: mean and range at each step.
struct Band {
    steps: Vec<f64>,
    mean: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Band {
    /// At the steps that all curves have; a run that ended earlier than the others ends them all.
    fn of(curves: &[&Curve]) -> Self {
        let mut values: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (steps, ys) in curves {
            // A step that was logged twice counts once.
            let curve: BTreeMap<u64, f64> = steps.iter().map(|step| *step as u64).zip(ys.iter().copied()).collect();
            for (step, value) in curve {
                values.entry(step).or_default().push(value);
            }
        }
        values.retain(|_, values| values.len() == curves.len());
        let over = |fold: fn(&[f64]) -> f64| values.values().map(|values| fold(values)).collect();
        Self {
            steps: values.keys().map(|step| *step as f64).collect(),
            mean: over(|values| values.iter().sum::<f64>() / values.len() as f64),
            low: over(|values| values.iter().copied().fold(f64::INFINITY, f64::min)),
            high: over(|values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        }
    }

    fn has_width(&self) -> bool {
        self.low != self.high
    }
}

/// The chart of one curve of all contenders, and their bands; `None` where no run has it. A contender has the same colour
/// in every chart.
fn chart(title: &str, y: &str, contenders: &[Contender], curve: fn(&RunLog) -> &Curve) -> Option<(Chart, Vec<Band>)> {
    let band = |contender: &Contender| {
        let curves = contender.runs.iter().map(|run| curve(&run.log)).filter(|(steps, _)| !steps.is_empty());
        Band::of(&curves.collect::<Vec<_>>())
    };
    let bands: Vec<Band> = contenders.iter().map(band).collect();
    if bands.iter().all(|band| band.steps.is_empty()) {
        return None;
    }
    let mut chart = Chart::new(title).x("step").y(y);
    for (contender, band) in contenders.iter().zip(&bands) {
        // A contender without points is not in the legend, but keeps its place in the order of the colours.
        let label = if band.steps.is_empty() { "" } else { contender.name.as_str() };
        chart = chart.series(Series::line(label, &band.steps, &band.mean));
        chart = if band.has_width() {
            chart.band("", &band.steps, &band.low, &band.high)
        } else {
            chart.band("", [], [], [])
        };
    }
    Some((chart, bands))
}

impl Study {
    /// Rate, momentum, training and validation loss, validation accuracy.
    pub(crate) fn charts(&self) -> Vec<Chart> {
        let all = &self.contenders;
        let has_epochs = self.runs().any(|run| run.log.epoch_train_loss.0.len() >= FEW_EPOCHS);
        let train = if has_epochs {
            chart("training loss (mean of each epoch)", "loss", all, |log| &log.epoch_train_loss)
        } else {
            chart("training loss (batches)", "loss", all, |log| &log.train_loss)
        };
        let charts = [
            chart("learning rate", "learning rate", all, |log| &log.lr)
                .map(|(chart, bands)| on_fit_axis(chart, &bands)),
            chart("momentum", "momentum", all, |log| &log.momentum).map(|(chart, _)| chart),
            train.map(|(chart, _)| chart),
            chart("validation loss", "loss", all, |log| &log.valid_loss).map(|(chart, _)| chart),
            chart("validation accuracy", "accuracy, %", all, |log| &log.valid_accuracy)
                .map(|(chart, bands)| with_target(chart, &bands, self.target)),
        ];
        charts.into_iter().flatten().collect()
    }
}

/// The rates on a logarithmic axis where the contenders' highest rates are far apart.
fn on_fit_axis(chart: Chart, bands: &[Band]) -> Chart {
    let peaks = || bands.iter().filter_map(|band| band.high.iter().copied().reduce(f64::max));
    let apart = peaks().fold(0.0, f64::max) / peaks().fold(f64::INFINITY, f64::min);
    if apart > FAR_APART && apart.is_finite() { chart.y_log() } else { chart }
}

/// The part of the accuracies that is worth looking at, with the target marked.
fn with_target(chart: Chart, bands: &[Band], target: Option<Target>) -> Chart {
    let chart = match limits(bands) {
        Some((low, high)) => chart.y_limits(low, high),
        None => chart,
    };
    match target {
        Some(target) => chart.mark_y(target.accuracy, format!("target {} %", target.accuracy)),
        None => chart,
    }
}

/// The range of the accuracies from where the slowest contender is after a quarter of its curve. With the first steps in
/// it, the differences that matter would be a line at the top.
fn limits(bands: &[Band]) -> Option<(f64, f64)> {
    let all = || bands.iter().flat_map(|band| band.low.iter().chain(&band.high).copied());
    let (lowest, highest) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
    let after_a_quarter = bands.iter().filter_map(|band| band.low.get(band.low.len() / 4).copied()).reduce(f64::min)?;
    let low = after_a_quarter.max(lowest);
    let margin = 0.05 * (highest - low);
    (highest > low).then_some((low - margin, highest + margin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_the_mean_and_the_range_where_all_seeds_have_a_value() {
        let one = (vec![1.0, 2.0, 3.0], vec![4.0, 6.0, 1.0]);
        // A step logged twice, and a run that ended earlier.
        let other = (vec![1.0, 2.0, 2.0], vec![2.0, 9.0, 8.0]);
        let band = Band::of(&[&one, &other]);
        assert_eq!(band.steps, [1.0, 2.0]);
        assert_eq!((band.mean, band.low, band.high), (vec![3.0, 7.0], vec![2.0, 6.0], vec![4.0, 8.0]));
        assert!(!Band::of(&[&one]).has_width());
        assert!(Band::of(&[]).steps.is_empty());
    }

    #[test]
    fn the_accuracies_begin_where_the_slowest_is_after_a_quarter() {
        let band = |values: &[f64]| {
            let steps = (0..values.len()).map(|step| step as f64).collect();
            Band { steps, mean: values.to_vec(), low: values.to_vec(), high: values.to_vec() }
        };
        let bands = [band(&[10.0, 80.0, 90.0, 95.0]), band(&[20.0, 60.0, 80.0, 100.0])];
        // From 60 to 100, and a twentieth of that on both sides.
        assert_eq!(limits(&bands), Some((58.0, 102.0)));
        assert_eq!(limits(&[band(&[50.0, 50.0])]), None);
        assert_eq!(limits(&[band(&[])]), None);
    }
}
