//! The pictures of runs, drawn from their logs.

use std::fs;

use lr_core::{Interval, Registry, ScheduleConfig};
use report::{Chart, Series};
use study::Curve;
use toml::Value;
use trainer::Split;

use super::{
    Preview, PreviewLength,
    record::{RunRecord, SweepRecord},
};
use crate::{
    config::Config,
    error::Error,
    run_dir::{PLOTS, RUN_PLOTS, io_error},
};

/// Draws `plots/loss`, `plots/accuracy` and `plots/lr` as SVG and PNG.
pub(super) fn draw(run: &RunRecord) -> Result<(), Error> {
    let folder = run.dir.path(PLOTS);
    fs::create_dir_all(&folder).map_err(|source| io_error(&folder, "create it", source))?;
    for (name, chart) in RUN_PLOTS.into_iter().zip([loss(run), metric(run, "accuracy"), rate(run)]) {
        for extension in ["svg", "png"] {
            chart.save(&folder.join(format!("{name}.{extension}")))?;
        }
    }
    Ok(())
}

fn add(chart: Chart, label: &str, (xs, ys): Curve, faint: bool) -> Chart {
    if xs.is_empty() {
        return chart;
    }
    let series = Series::line(label, xs, ys);
    chart.series(if faint { series.faint() } else { series })
}

/// Training and validation loss.
pub(super) fn loss(run: &RunRecord) -> Chart {
    let chart = Chart::new("loss").x("step").y("loss");
    let chart = add(chart, "train (batch)", run.curve(Split::Train, Some(Interval::Step), "loss"), true);
    let chart = add(chart, "train (epoch)", run.curve(Split::Train, Some(Interval::Epoch), "loss"), false);
    add(chart, "validation", run.curve(Split::Valid, None, "loss"), false)
}

/// A metric on training batches and on the validation set.
pub(super) fn metric(run: &RunRecord, name: &str) -> Chart {
    let chart = Chart::new(name).x("step").y(labelled(name));
    let chart = add(chart, "train (batch)", run.curve(Split::Train, Some(Interval::Step), name), true);
    add(chart, "validation", run.curve(Split::Valid, None, name), false)
}

fn labelled(metric: &str) -> String {
    if metric == "accuracy" { "accuracy, %".to_owned() } else { metric.to_owned() }
}

/// The rate, and the momentum where the schedule sets it. Where the run ended early, the planned rate is behind them.
pub(super) fn rate(run: &RunRecord) -> Chart {
    let mut chart = Chart::new("learning rate").x("step").y("learning rate");
    let planned = PlannedRates::of(run);
    if let Some(planned) = planned.as_ref().filter(|planned| planned.steps > run.steps()) {
        chart = chart.series(Series::steps("planned", &planned.curve.0, &planned.curve.1).faint());
    }
    let mut chart = add(chart, "learning rate", run.of_steps(|line| Some(line.lr)), false);
    for (step, label) in planned.into_iter().flat_map(|planned| planned.marks) {
        chart = chart.mark_x(step, label);
    }
    let momentum = run.of_steps(|line| line.momentum);
    if momentum.0.is_empty() {
        return chart;
    }
    chart.right("momentum").series(Series::line("momentum", momentum.0, momentum.1).on_right())
}

/// The schedule of a run over its whole planned length.
struct PlannedRates {
    steps: u64,
    curve: Curve,
    marks: Vec<(f64, String)>,
}

impl PlannedRates {
    /// `None` where it cannot be known: no epoch has been finished, or the schedule reacts to what is measured.
    fn of(run: &RunRecord) -> Option<Self> {
        let config = Config::from_table(&run.config.1, &Registry::standard()).ok()?;
        let whole = |name| run.setting("train", name).and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
        let steps_per_epoch = run.steps_per_epoch()?;
        let steps = whole("steps").or_else(|| Some(whole("epochs")? * steps_per_epoch))?;
        let length = PreviewLength { steps: Some(steps), epochs: None, steps_per_epoch: Some(steps_per_epoch) };
        let schedule: &ScheduleConfig = &config.schedule;
        let preview = Preview::new("planned", schedule, "schedule", vec![config.optimizer.lr()], length, None).ok()?;
        let scale = if schedule.interval() == Interval::Epoch { steps_per_epoch } else { 1 };
        // The log counts steps from 1.
        let at = |tick: u64| (tick * scale + 1) as f64;
        let curve = preview.rows.iter().filter_map(|row| Some((at(row.tick), *row.lr.first()?))).unzip();
        let marks = preview.marks.iter().filter(|mark| mark.tick > 0).map(|mark| (at(mark.tick), mark.label.clone()));
        Some(Self { steps, curve, marks: marks.collect() })
    }
}

/// The sweep of a learning-rate finder.
pub(super) fn finder(sweep: &SweepRecord) -> Chart {
    let values = |losses: &[Option<f64>]| -> Vec<f64> { losses.iter().map(|loss| loss.unwrap_or(f64::NAN)).collect() };
    let (losses, smoothed) = (values(&sweep.losses), values(&sweep.smoothed));
    let mut chart = Chart::new("learning-rate finder").x("learning rate").y("loss").x_log();
    if sweep.losses != sweep.smoothed {
        chart = chart.series(Series::line("loss", &sweep.lrs, losses).faint());
    }
    chart = chart.series(Series::line("smoothed loss", &sweep.lrs, &smoothed));
    // The blow-up at the end would flatten everything before it.
    let before_the_end = smoothed[..smoothed.len().saturating_sub(1)].iter().copied().filter(|loss| loss.is_finite());
    let (low, high) =
        before_the_end.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), loss| (l.min(loss), h.max(loss)));
    if low < high {
        let margin = 0.08 * (high - low);
        chart = chart.y_limits(low - margin, high + margin);
    }
    match &sweep.suggestion {
        Some(suggestion) => chart.mark_x(suggestion.lr, format!("{} {:.2e}", suggestion.rule, suggestion.lr)),
        None => chart,
    }
}

/// One curve per run.
pub(super) fn overlay(title: &str, y: &str, curves: Vec<(String, Curve)>) -> Option<Chart> {
    if curves.iter().all(|(_, (xs, _))| xs.is_empty()) {
        return None;
    }
    let chart = Chart::new(title).x("step").y(y);
    Some(curves.into_iter().fold(chart, |chart, (label, points)| add(chart, &label, points, false)))
}

/// What several runs are compared by: validation loss and metrics, training loss, rate.
pub(super) fn overlays(runs: &[(String, RunRecord)]) -> Vec<Chart> {
    let each = |points: &dyn Fn(&RunRecord) -> Curve| -> Vec<(String, Curve)> {
        runs.iter().map(|(label, run)| (label.clone(), points(run))).collect()
    };
    let mut charts = vec![overlay("validation loss", "loss", each(&|run| run.curve(Split::Valid, None, "loss")))];
    let mut names: Vec<String> = runs.iter().flat_map(|(_, run)| run.metrics()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let title = format!("validation {name}");
        charts.push(overlay(&title, &labelled(&name), each(&|run| run.curve(Split::Valid, None, &name))));
    }
    let training = each(&|run| run.curve(Split::Train, Some(Interval::Epoch), "loss"));
    charts.push(overlay("training loss (mean of each epoch)", "loss", training));
    let rates = each(&|run| run.of_steps(|line| Some(line.lr)));
    charts.push(overlay("learning rate", "learning rate", rates));
    charts.into_iter().flatten().collect()
}
