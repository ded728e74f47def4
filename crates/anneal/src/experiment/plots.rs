//! The pictures of runs, drawn from their logs.

use lr_core::{Horizon, Interval, ScheduleMark, Scheduler};
use report::{Chart, Series, function_curve};
use study::{Curve, Measure, without_diverged, without_failed};
use trainer::{Split, lr_finder::Rule};

use super::record::{RunRecord, SweepRecord};
use crate::{
    config::Config,
    error::Error,
    run_dir::{METRIC_PLOT, OUTPUT_PLOT, RUN_PLOTS},
};

/// Draws `plots/loss`, `plots/lr` and each metric, such as `plots/accuracy`, as SVG and PNG.
pub(super) fn draw(run: &RunRecord) -> Result<(), Error> {
    let folder = run.dir.plots()?;
    let [of_loss, accuracy, lr] = RUN_PLOTS;
    let mut charts = vec![(of_loss.to_owned(), loss(run)), (lr.to_owned(), rate(run))];
    for name in run.measured() {
        let chart = metric(run, &name);
        charts.push((if name == accuracy { name } else { format!("{METRIC_PLOT}{}", name.replace('/', "_")) }, chart));
    }
    let shown = run.outputs.iter().flat_map(|shown| &shown.outputs.charts);
    charts.extend(shown.enumerate().map(|(at, chart)| (format!("{OUTPUT_PLOT}{}", at + 1), chart.clone())));
    for (name, chart) in charts {
        for extension in ["svg", "png"] {
            chart.save(&folder.join(format!("{name}.{extension}")))?;
        }
    }
    Ok(())
}

// One colour for one thing, in every chart of a run.
const TRAIN: usize = 0;
const VALID: usize = 1;
const RATE: usize = 2;

fn add(chart: Chart, label: &str, (xs, ys): Curve, colour: usize, faint: bool) -> Chart {
    if xs.is_empty() {
        return chart;
    }
    let series = Series::line(label, xs, ys).colour(colour);
    chart.series(if faint { series.faint() } else { series })
}

/// Training and validation loss.
pub(super) fn loss(run: &RunRecord) -> Chart {
    curves(Chart::new("loss").x("step").y("loss"), run, "loss")
}

/// A metric, or another value of the log.
pub(super) fn metric(run: &RunRecord, name: &str) -> Chart {
    curves(Chart::new(name).x("step").y(labelled(&run.measure_of(name))), run, name)
}

/// A value of training batches and epochs, and of the validation set.
fn curves(chart: Chart, run: &RunRecord, name: &str) -> Chart {
    let chart = add(chart, "train (batch)", run.curve(Split::Train, Some(Interval::Step), name), TRAIN, true);
    let chart = add(chart, "train (epoch)", run.curve(Split::Train, Some(Interval::Epoch), name), TRAIN, false);
    add(chart, "validation", run.curve(Split::Valid, None, name), VALID, false)
}

fn labelled(measure: &Measure) -> String {
    measure.head(&measure.name)
}

/// The rate, and the momentum where the schedule sets it. Where the run ended early, the planned rate is behind them.
pub(super) fn rate(run: &RunRecord) -> Chart {
    let mut chart = Chart::new("learning rate").x("step").y("learning rate");
    let planned = Planned::of(run);
    if let Some(planned) = planned.as_ref().filter(|planned| planned.total > run.steps()) {
        chart = chart.series(Series::held("planned", &planned.lr.0, &planned.lr.1).faint().colour(RATE));
    }
    let rates = rates(run);
    chart = held(chart, "learning rate", rates.lr, RATE);
    // The log does not have the rates of the groups: where it says otherwise of the base rate, they are not known.
    let known = planned.as_ref().filter(|planned| planned.agrees_with(&run.of_steps(|line| Some(line.lr))));
    for (number, (label, lr)) in known.into_iter().flat_map(|planned| &planned.groups).enumerate() {
        chart = held(chart, label, until(lr.clone(), run.steps()), RATE + 1 + number);
    }
    for (step, label) in planned.into_iter().flat_map(|planned| planned.marks) {
        chart = chart.mark_x(step, label);
    }
    let (steps, momenta) = rates.momentum;
    if steps.is_empty() {
        return chart;
    }
    chart.right("momentum").series(Series::held("momentum", steps, momenta).on_right().colour(RATE))
}

fn held(chart: Chart, label: &str, (xs, ys): Curve, colour: usize) -> Chart {
    if xs.is_empty() { chart } else { chart.series(Series::held(label, xs, ys).colour(colour)) }
}

/// What the schedule set at the steps that were done.
pub(crate) struct RunRates {
    /// The rate.
    pub lr: Curve,
    /// The momentum; empty where the schedule does not set it.
    pub momentum: Curve,
}

/// The schedule of a run as it ran: of a function of time the function itself, wherever the steps between the logged ones
/// went; of a schedule that reacts to what is measured, and where the log says otherwise (a run that was resumed with
/// another schedule, a rollback that lowered the rate), what was logged, of epochs too.
pub(crate) fn rates(run: &RunRecord) -> RunRates {
    match Planned::of(run) {
        Some(planned) if planned.agrees_with(&run.of_steps(|line| Some(line.lr))) => {
            RunRates { lr: until(planned.lr, run.steps()), momentum: until(planned.momentum, run.steps()) }
        }
        _ => RunRates { lr: run.in_training(|line| Some(line.lr)), momentum: run.in_training(|line| line.momentum) },
    }
}

/// A curve up to a step.
fn until((steps, values): Curve, done: u64) -> Curve {
    steps.into_iter().zip(values).filter(|(step, _)| *step <= done as f64).unzip()
}

/// The schedule of a run over its whole planned length.
struct Planned {
    total: u64,
    lr: Curve,
    /// Of the groups with schedules of their own that are functions of time.
    groups: Vec<(String, Curve)>,
    momentum: Curve,
    marks: Vec<(f64, String)>,
    scheduler: Scheduler,
}

impl Planned {
    /// `None` where it cannot be known: the run's length is not, or the schedule reacts to what is measured.
    fn of(run: &RunRecord) -> Option<Self> {
        let config = Config::from_table(&run.config.1, &run.catalog).ok()?;
        let (total, steps_per_epoch) = (run.total_steps()?, run.steps_per_epoch());
        let horizon = steps_per_epoch.map_or_else(|| Horizon::steps(total), |steps| Horizon::run(steps, total));
        let scheduler = Scheduler::from_config(&config.schedule, &horizon, vec![config.optimizer.lr()]).ok()?;
        if scheduler.is_reactive() {
            return None;
        }
        // The log counts steps from 1.
        let from_one = |(mut steps, values): Curve| {
            for step in &mut steps {
                *step += 1.0;
            }
            (steps, values)
        };
        let lr = from_one(function_curve(total, |step| scheduler.lr(0, step)));
        let mut groups = Vec::new();
        for (number, (group, own)) in config.groups.iter().enumerate() {
            let scheduler = own.and_then(|own| Scheduler::from_config(own, &horizon, vec![config.optimizer.lr()]).ok());
            if let Some(scheduler) = scheduler.filter(|scheduler| !scheduler.is_reactive()) {
                let lr = function_curve(total, |step| scheduler.lr(0, step) * group.lr_scale);
                groups.push((format!("groups[{number}] {}", group.params.as_str()), from_one(lr)));
            }
        }
        let momentum = match scheduler.momentum(0) {
            Some(first) => from_one(function_curve(total, |step| scheduler.momentum(step).unwrap_or(first))),
            None => Curve::default(),
        };
        let scale = match scheduler.interval() {
            Interval::Epoch => steps_per_epoch?.max(1),
            Interval::Step => 1,
        };
        let at = |mark: &ScheduleMark| (mark.tick.saturating_mul(scale) + 1) as f64;
        let marks = scheduler.marks_within(total.div_ceil(scale)).into_iter().filter(|mark| mark.tick > 0);
        let marks = marks.map(|mark| (at(&mark), mark.label)).collect();
        Some(Self { total, lr, groups, momentum, marks, scheduler })
    }

    /// Whether the logged steps had these rates.
    fn agrees_with(&self, (steps, lrs): &Curve) -> bool {
        steps.iter().zip(lrs).all(|(step, lr)| {
            let planned = self.scheduler.lr(0, (*step as u64).saturating_sub(1));
            (planned - lr).abs() <= 1e-9 * planned.abs().max(lr.abs())
        })
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
        // A loss that is never negative has no negative part of an axis.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        chart = chart.y_limits((low - margin).max(floor), high + margin);
    }
    let Some(suggestion) = &sweep.suggestion else { return chart };
    let rule = suggestion.rule.parse().map_or(suggestion.rule.as_str(), |rule: Rule| rule.reads());
    chart.mark_x(suggestion.lr, format!("{rule} {:.2e}", suggestion.lr))
}

/// One curve per run.
pub(super) fn overlay(title: &str, y: &str, curves: Vec<(String, Curve)>) -> Option<Chart> {
    if curves.iter().all(|(_, (xs, _))| xs.is_empty()) {
        return None;
    }
    let chart = Chart::new(title).x("step").y(y);
    // A run has the same colour in every chart, also where one before it has no curve.
    let numbered = curves.into_iter().enumerate();
    Some(numbered.fold(chart, |chart, (number, (label, points))| add(chart, &label, points, number, false)))
}

/// What several runs are compared by: validation loss and metrics, training loss, rate.
pub(super) fn overlays(runs: &[(String, RunRecord)]) -> Vec<Chart> {
    let each = |points: &dyn Fn(&RunRecord) -> Curve| -> Vec<(String, Curve)> {
        runs.iter().map(|(label, run)| (label.clone(), points(run))).collect()
    };
    let valid = overlay("validation loss", "loss", each(&|run| run.curve(Split::Valid, None, "loss")));
    let mut charts = vec![valid.map(without_diverged)];
    let mut names: Vec<String> = runs.iter().flat_map(|(_, run)| run.metrics()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let title = format!("validation {name}");
        let measure = runs.first().map(|(_, run)| run.measure_of(&name)).unwrap_or_default();
        charts.push(overlay(&title, &labelled(&measure), each(&|run| run.curve(Split::Valid, None, &name))));
    }
    let training = each(&|run| run.curve(Split::Train, Some(Interval::Epoch), "loss"));
    charts.push(overlay("training loss (mean of each epoch)", "loss", training).map(without_diverged));
    let curves = each(&|run| rates(run).lr);
    let failed = |run: &RunRecord| run.summary.as_ref().is_some_and(|summary| summary.failure.is_some());
    let failed = curves.iter().zip(runs).filter(|((_, (xs, _)), _)| !xs.is_empty()).map(|(_, (_, run))| failed(run));
    let failed: Vec<bool> = failed.collect();
    let chart = Chart::new("learning rate").x("step").y("learning rate");
    let drawn = curves.into_iter().enumerate();
    let chart = drawn.fold(chart, |chart, (number, (label, points))| held(chart, &label, points, number));
    charts.push(Some(without_failed(chart, &failed)).filter(|chart| !chart.series.is_empty()));
    charts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::run_dir::{METRICS, RunDir};

    /// A run of 100 steps an epoch that logged every 50th, at the rates that `lr` gives.
    fn run(schedule: &str, epochs: u64, lr: impl Fn(u64) -> f64) -> (tempfile::TempDir, RunRecord) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[data]\ndataset = 'digits'\n[model]\ntype = 'mlp'\n[optimizer]\ntype = 'sgd'\nlr = 0.1\n[schedule]\n{schedule}\n\
             [train]\nepochs = {epochs}\nlog_every = 50\n"
        );
        let mut log = String::new();
        for step in (50..=epochs * 100).step_by(50) {
            let line = |every: &str| {
                format!(
                    "{{\"step\":{step},\"epoch\":{},\"split\":\"train\",\"every\":\"{every}\",\"lr\":{:?},\"momentum\":null,\
                     \"loss\":1.0,\"seconds\":0.1}}",
                    (step - 1) / 100,
                    lr(step - 1)
                )
            };
            let _ = writeln!(log, "{}", line("step"));
            if step % 100 == 0 {
                let _ = writeln!(log, "{}", line("epoch"));
            }
        }
        let dir = RunDir::new(folder.path());
        dir.begin("small", &config).expect("begun");
        dir.write(METRICS, &log).expect("written");
        let record = RunRecord::read(folder.path(), &crate::config::Catalog::standard()).expect("a run");
        (folder, record)
    }

    #[test]
    fn the_rate_is_drawn_from_the_schedule_and_not_from_the_logged_steps() {
        // A cycle of 50 steps: every logged step has the same rate.
        let cyclic = "type = 'cyclic'\nbase_lr = 0.01\nmax_lr = 0.11\nstep_size_up = 25\ncycle_momentum = false";
        let at = |step: u64| 0.01 + 0.1 * (1.0 - ((step % 50) as f64 / 25.0 - 1.0).abs());
        let (_folder, record) = run(cyclic, 4, at);
        let (steps, lrs) = rates(&record).lr;
        assert_eq!((steps.len(), steps[0], steps[399]), (400, 1.0, 400.0));
        for (step, lr) in steps.iter().zip(&lrs) {
            assert!((lr - at(*step as u64 - 1)).abs() < 1e-12, "{step}: {lr}");
        }
        let highest = lrs.iter().copied().fold(0.0, f64::max);
        assert!((highest - 0.11).abs() < 1e-12, "{highest}");

        // A step is a step, not a ramp between two logged values.
        let (_folder, record) =
            run("type = 'step'\nstep_size = 2\ngamma = 0.1", 4, |s| if s < 200 { 0.1 } else { 0.01 });
        let (steps, lrs) = rates(&record).lr;
        let jump = lrs.iter().position(|lr| *lr < 0.05).expect("a jump");
        assert_eq!((steps[jump - 1], steps[jump]), (200.0, 201.0));
        let chart = rate(&record);
        assert_eq!(chart.series.iter().map(|one| one.label.as_str()).collect::<Vec<_>>(), ["learning rate"]);
    }

    #[test]
    fn the_schedules_of_groups_are_drawn() {
        let groups = "type = 'fixed'\n[[groups]]\nparams = 'layers.0.*'\nlr_scale = 0.5\nschedule = { type = 'step', \
                      step_size = 1, gamma = 0.1 }\n[[groups]]\nparams = '*.bias'\nlr_scale = 2.0";
        let (_folder, record) = run(groups, 2, |_| 0.1);
        let chart = rate(&record);
        let labels: Vec<&str> = chart.series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(labels, ["learning rate", "groups[0] layers.0.*"]);
        let ys = &chart.series[1].ys;
        assert!((ys[0] - 0.05).abs() < 1e-12 && (ys[199] - 0.005).abs() < 1e-12, "{} {}", ys[0], ys[199]);
    }

    #[test]
    fn where_the_log_says_otherwise_the_log_is_drawn() {
        let halved = |step: u64| if step < 100 { 0.1 } else { 0.05 };
        let (_folder, record) = run("type = 'fixed'", 2, halved);
        assert_eq!(rates(&record).lr, (vec![50.0, 100.0, 101.0, 150.0, 200.0], vec![0.1, 0.1, 0.05, 0.05, 0.05]));
    }

    #[test]
    fn one_thing_has_one_colour() {
        let (_folder, record) = run("type = 'fixed'", 2, |_| 0.1);
        let colours = |chart: &Chart, label: &str| {
            let of = chart.series.iter().filter(|series| series.label.starts_with(label));
            of.map(|series| series.colour).collect::<Vec<_>>()
        };
        assert_eq!(colours(&loss(&record), "train"), [Some(TRAIN), Some(TRAIN)]);
        assert_eq!(colours(&rate(&record), "learning rate"), [Some(RATE)]);
        let add = |chart| add(chart, "validation", (vec![1.0], vec![1.0]), VALID, false);
        assert_eq!(
            colours(&add(loss(&record)), "validation"),
            colours(&add(metric(&record, "accuracy")), "validation")
        );
    }
}
