//! The curves of a study: for each contender the mean over its seeds, and a band from the lowest to the highest.

use std::collections::BTreeMap;

use report::{Chart, Scale, Series};

use crate::{
    contender::Contender,
    curve::Curve,
    measure::Measure,
    result::{Study, TimeTarget},
    run::RunLog,
};

/// From this many epochs on the training loss is drawn as the means of epochs; below, as that of the logged batches.
const FEW_EPOCHS: usize = 3;

/// Rates that differ by more than this factor are drawn on a logarithmic axis.
const FAR_APART: f64 = 20.0;

/// The same curve of several runs: mean and range at each step.
struct CurveBand {
    steps: Vec<f64>,
    mean: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl CurveBand {
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

/// Where the values of a curve come from.
#[derive(Clone, Copy)]
enum Kind {
    /// They were measured at these steps.
    Measured,
    /// A schedule set them, and they held until it set others.
    Set,
}

/// The chart of one curve of all contenders, and their bands; `None` where no run has it. A contender has the same colour
/// in every chart.
fn chart(
    title: &str,
    y: &str,
    contenders: &[Contender],
    curve: fn(&RunLog) -> &Curve,
    kind: Kind,
) -> Option<(Chart, Vec<CurveBand>)> {
    let band = |contender: &Contender| {
        let curves = contender.runs.iter().map(|run| curve(&run.log)).filter(|(steps, _)| !steps.is_empty());
        CurveBand::of(&curves.collect::<Vec<_>>())
    };
    let bands: Vec<CurveBand> = contenders.iter().map(band).collect();
    if bands.iter().all(|band| band.steps.is_empty()) {
        return None;
    }
    let mut chart = Chart::new(title).x("step").y(y);
    for (contender, band) in contenders.iter().zip(&bands) {
        // A contender without points is not in the legend, but keeps its place in the order of the colours.
        let label = if band.steps.is_empty() { "" } else { contender.name.as_str() };
        // What a schedule sets holds until it changes it.
        let series = match kind {
            Kind::Set => Series::held(label, &band.steps, &band.mean),
            Kind::Measured => Series::line(label, &band.steps, &band.mean),
        };
        chart = chart.series(series);
        chart = if band.has_width() {
            chart.band("", &band.steps, &band.low, &band.high)
        } else {
            chart.band("", [], [], [])
        };
    }
    Some((chart, bands))
}

impl Study {
    /// Rate, momentum, training and validation loss, the measure on the validation set.
    pub(crate) fn charts(&self) -> Vec<Chart> {
        let all = &self.contenders;
        let has_epochs = self.runs().any(|run| run.log.epoch_train_loss.0.len() >= FEW_EPOCHS);
        let train = if has_epochs {
            chart("training loss (mean of each epoch)", "loss", all, |log| &log.epoch_train_loss, Kind::Measured)
        } else {
            chart("training loss (batches)", "loss", all, |log| &log.train_loss, Kind::Measured)
        };
        let measure = &self.setup.measure;
        let title = format!("validation {}", measure.name);
        let valid = chart("validation loss", "loss", all, |log| &log.valid_loss, Kind::Measured);
        let failed: Vec<bool> = all.iter().map(|contender| contender.finished == 0).collect();
        let charts = [
            chart("learning rate", "learning rate", all, |log| &log.lr, Kind::Set)
                .map(|(chart, bands)| on_fit_axis(chart, &bands, &failed)),
            chart("momentum", "momentum", all, |log| &log.momentum, Kind::Set).map(|(chart, _)| chart),
            train.map(|(chart, _)| without_diverged(chart)),
            valid.map(|(chart, _)| without_diverged(chart)),
            chart(&title, &measure.head(&measure.name), all, |log| &log.valid, Kind::Measured)
                .filter(|_| !measure.is_loss())
                .map(|(chart, bands)| with_target(chart, &bands, self.target, measure)),
        ];
        charts.into_iter().flatten().collect()
    }
}

/// The rates on a logarithmic axis where the highest rates of the contenders that did not fail are far apart.
fn on_fit_axis(chart: Chart, bands: &[CurveBand], failed: &[bool]) -> Chart {
    let ended = |at: usize| failed.iter().all(|failed| *failed) || !failed.get(at).is_some_and(|failed| *failed);
    let bands = || bands.iter().enumerate().filter(|(at, _)| ended(*at));
    let peaks = || bands().filter_map(|(_, band)| band.high.iter().copied().reduce(f64::max));
    let apart = peaks().fold(0.0, f64::max) / peaks().fold(f64::INFINITY, f64::min);
    without_failed(if apart > FAR_APART && apart.is_finite() { chart.y_log() } else { chart }, failed)
}

/// A chart of rates, one curve for each run, whose axis no failed run sets (`failed`, in the order of the curves): it ends at the
/// highest rate of the others, and a curve that leaves it says in the legend how far it goes.
pub fn without_failed(mut chart: Chart, failed: &[bool]) -> Chart {
    let has_failed = |at: usize| failed.get(at).is_some_and(|failed| *failed);
    let peak = |series: &Series| series.ys.iter().copied().filter(|y| y.is_finite()).reduce(f64::max);
    let others = || chart.series.iter().enumerate().filter(|(at, _)| !has_failed(*at)).map(|(_, series)| series);
    let Some(top) = others().filter_map(peak).reduce(f64::max).filter(|top| *top > 0.0) else { return chart };
    let is_log = chart.y_scale == Scale::Log;
    let rates = others().flat_map(|series| &series.ys).copied().filter(|rate| rate.is_finite());
    let low = rates.filter(|rate| *rate > 0.0 || !is_log).fold(top, f64::min);
    let mut leaves = false;
    for (at, series) in chart.series.iter_mut().enumerate() {
        if let Some(peak) = peak(series).filter(|peak| has_failed(at) && *peak > top) {
            series.label = format!("{} (up to {peak:.1e})", series.label);
            leaves = true;
        }
    }
    match (leaves, is_log) {
        (false, _) => chart,
        (true, true) => chart.y_limits(low / MARGIN_OF_LOG, top * MARGIN_OF_LOG),
        (true, false) => {
            let margin = 0.06 * if top > low { top - low } else { top };
            chart.y_limits((low - margin).max(0.0), top + margin)
        }
    }
}

/// What a logarithmic axis has above the highest value and below the lowest.
const MARGIN_OF_LOG: f64 = 1.5;

/// A curve that goes this many times above the highest point of the best-behaved one has diverged.
const DIVERGED: f64 = 4.0;

/// A chart of losses, one curve for each run, whose axis no diverged run sets: it ends at the highest point of the others,
/// and a curve that leaves it says in the legend how far it goes.
pub fn without_diverged(mut chart: Chart) -> Chart {
    let finite = |series: &Series| series.ys.iter().copied().filter(|y| y.is_finite()).collect::<Vec<_>>();
    let highest: Vec<Option<f64>> = chart.series.iter().map(|one| finite(one).into_iter().reduce(f64::max)).collect();
    let Some(lowest_peak) = highest.iter().flatten().copied().reduce(f64::min).filter(|peak| *peak > 0.0) else {
        return chart;
    };
    let has_diverged = |peak: f64| peak > DIVERGED * lowest_peak;
    if !highest.iter().flatten().any(|peak| has_diverged(*peak)) {
        return chart;
    }
    let top = highest.iter().flatten().copied().filter(|peak| !has_diverged(*peak)).fold(lowest_peak, f64::max);
    let low = chart.series.iter().flat_map(finite).fold(lowest_peak, f64::min);
    for (series, peak) in chart.series.iter_mut().zip(highest) {
        if let Some(peak) = peak.filter(|peak| has_diverged(*peak)) {
            series.label = format!("{} (up to {peak:.1e})", series.label);
        }
    }
    let margin = 0.06 * (top - low);
    if margin > 0.0 { chart.y_limits(low - margin, top + margin) } else { chart }
}

/// The part of the measure that is worth looking at, with the target marked.
fn with_target(chart: Chart, bands: &[CurveBand], target: Option<TimeTarget>, measure: &Measure) -> Chart {
    let chart = match limits(bands, measure) {
        _ if measure.lower_is_better => without_diverged(chart),
        Some((low, high)) => chart.y_limits(low, high),
        None => chart,
    };
    match target {
        Some(target) => chart.mark_y(target.value, format!("target {}", measure.with_unit(target.value))),
        None => chart,
    }
}

/// The range of a measure that rises, from where the slowest contender is after a quarter of its curve. With the first steps in
/// it, the differences that matter would be a line at the top.
fn limits(bands: &[CurveBand], measure: &Measure) -> Option<(f64, f64)> {
    let peak = |band: &CurveBand| band.high.iter().copied().reduce(f64::max);
    let top = bands.iter().filter_map(peak).reduce(f64::max)?;
    // One that learnt nothing must not set the axis of the others.
    let bands: Vec<&CurveBand> =
        bands.iter().filter(|band| peak(band).is_some_and(|own| !measure.is_hopeless(own, top))).collect();
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
        let band = CurveBand::of(&[&one, &other]);
        assert_eq!(band.steps, [1.0, 2.0]);
        assert_eq!((band.mean, band.low, band.high), (vec![3.0, 7.0], vec![2.0, 6.0], vec![4.0, 8.0]));
        assert!(!CurveBand::of(&[&one]).has_width());
        assert!(CurveBand::of(&[]).steps.is_empty());
    }

    #[test]
    fn one_that_diverged_sets_no_axis() {
        let of = |curves: &[(&str, [f64; 3])]| {
            let series = |(name, ys): &(&str, [f64; 3])| Series::line(*name, [1.0, 2.0, 3.0], ys);
            without_diverged(curves.iter().map(series).fold(Chart::new("loss"), Chart::series))
        };
        let chart = of(&[("good", [2.0, 1.0, 0.5]), ("slow", [2.5, 2.4, 2.3]), ("bad", [2.3, 1e3, 4e8])]);
        let (low, high) = chart.y_limits.expect("limits");
        assert!((0.3..0.5).contains(&low) && (2.5..2.7).contains(&high), "{low} to {high}");
        let names: Vec<&str> = chart.series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(names, ["good", "slow", "bad (up to 4.0e8)"]);
        // Equal values, no finite value, no value: as they are.
        assert_eq!(of(&[("a", [2.0, 1.0, 0.5]), ("b", [3.0; 3])]).y_limits, None);
        assert_eq!(of(&[("a", [f64::NAN; 3])]).y_limits, None);
        assert_eq!(of(&[]).y_limits, None);
    }

    #[test]
    fn one_that_failed_sets_no_axis_of_rates() {
        let chart = |curves: &[(&str, [f64; 2])]| {
            let series = |(name, ys): &(&str, [f64; 2])| Series::held(*name, [1.0, 2.0], ys);
            curves.iter().map(series).fold(Chart::new("learning rate"), Chart::series)
        };
        let curves = [("good", [0.1, 0.02]), ("bad", [1e10, 1e10]), ("other", [0.2, 0.1])];
        let bands = curves.map(|(_, ys)| CurveBand {
            steps: vec![1.0, 2.0],
            mean: ys.to_vec(),
            low: ys.to_vec(),
            high: ys.to_vec(),
        });
        let shown = on_fit_axis(chart(&curves), &bands, &[false, true, false]);
        assert_eq!(shown.y_scale, Scale::Linear);
        let (low, high) = shown.y_limits.expect("limits");
        assert!((0.0..0.02).contains(&low) && (0.2..0.22).contains(&high), "{low} to {high}");
        let names: Vec<&str> = shown.series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(names, ["good", "bad (up to 1.0e10)", "other"]);
        // On a logarithmic axis; one that failed within the range of the others; none left to set it.
        let low_and_high =
            without_failed(chart(&[("a", [1e-4, 0.0]), ("bad", [1e10; 2]), ("b", [1.0; 2])]).y_log(), &[false, true]);
        let (low, high) = low_and_high.y_limits.expect("limits");
        assert!(low > 0.0 && low < 1e-4 && high > 1.0 && high < 2.0, "{low} to {high}");
        assert_eq!(without_failed(chart(&[("a", [0.1; 2]), ("bad", [0.05; 2])]), &[false, true]).y_limits, None);
        assert_eq!(without_failed(chart(&[("bad", [1e10; 2])]), &[true]).y_limits, None);
    }

    #[test]
    fn the_accuracies_begin_where_the_slowest_is_after_a_quarter() {
        let limits = |bands: &[CurveBand]| limits(bands, &Measure::default());
        let band = |values: &[f64]| {
            let steps = (0..values.len()).map(|step| step as f64).collect();
            CurveBand { steps, mean: values.to_vec(), low: values.to_vec(), high: values.to_vec() }
        };
        let bands = [band(&[10.0, 80.0, 90.0, 95.0]), band(&[20.0, 60.0, 80.0, 100.0])];
        // From 60 to 100, and a twentieth of that on both sides.
        assert_eq!(limits(&bands), Some((58.0, 102.0)));
        let [a, b] = bands;
        assert_eq!(limits(&[a, b, band(&[12.5, 12.5, 12.5, 12.5])]), Some((58.0, 102.0)), "one that learnt nothing");
        assert_eq!(limits(&[band(&[50.0, 50.0])]), None);
        assert_eq!(limits(&[band(&[])]), None);
    }
}
