//! Draws one chart for each thing that charts can do, as SVG and PNG, into the folder given as the argument, and prints
//! them as terminal plots: to look at after a change of the drawing code.

use std::path::PathBuf;

use report::{Chart, ReportError, ScheduleCurve, Series, schedule_chart};

fn finder() -> Chart {
    let lrs: Vec<f64> = (0..100).map(|i| 1e-7 * 1e8_f64.powf(f64::from(i) / 99.0)).collect();
    let smooth: Vec<f64> =
        lrs.iter().map(|lr| 2.3 - 1.9 / (1.0 + (1e-3 / lr).powf(1.2)) + (lr / 0.8).powi(2) * 0.4).collect();
    let wobble = |i: usize| ((i * 7919) % 97) as f64 / 97.0 - 0.5;
    let raw: Vec<f64> = smooth.iter().enumerate().map(|(i, l)| l + 0.35 * wobble(i)).collect();
    let low: Vec<f64> = smooth.iter().map(|l| l - 0.12).collect();
    let high: Vec<f64> = smooth.iter().map(|l| l + 0.15).collect();
    Chart::new("Learning-rate finder: digits, mlp, adam")
        .x("learning rate")
        .y("training loss")
        .x_log()
        .y_limits(0.0, 4.0)
        .series(Series::line("smoothed, median of 5", &lrs, &smooth))
        .series(Series::line("raw", &lrs, &raw).faint())
        .band("25 % to 75 %", &lrs, low, high)
        .mark_x(1.2e-3, "valley 1.2e-3")
        .mark_x(2.1e-3, "steepest 2.1e-3")
        .mark_x(2.0, "diverged")
}

fn schedule() -> Chart {
    let ticks: Vec<f64> = (0..1000).map(f64::from).collect();
    let phase = |t: f64| if t < 300.0 { t / 300.0 } else { 1.0 - (t - 300.0) / 700.0 };
    let wave = |p: f64| (1.0 - (std::f64::consts::PI * p).cos()) / 2.0;
    let lrs: Vec<f64> = ticks.iter().map(|t| 0.004 + 0.096 * wave(phase(*t))).collect();
    let momenta: Vec<f64> = ticks.iter().map(|t| 0.95 - 0.1 * wave(phase(*t))).collect();
    let curve = ScheduleCurve::new("one_cycle", &ticks, lrs).with_momenta(momenta);
    schedule_chart("one_cycle: max_lr = 0.1", &[curve], &[(0.0, "warm-up".into()), (300.0, "annealing".into())])
        .x("step")
}

fn steps() -> Chart {
    let ticks: Vec<f64> = (0..100).map(f64::from).collect();
    let step: Vec<f64> = ticks.iter().map(|t| 0.1 * 0.5_f64.powf((t / 10.0).floor())).collect();
    let exponential: Vec<f64> = ticks.iter().map(|t| 0.1 * 0.9_f64.powf(*t)).collect();
    let curves = [ScheduleCurve::new("step", &ticks, step), ScheduleCurve::new("exponential", &ticks, exponential)];
    schedule_chart("step against exponential", &curves, &[]).x("epoch").y_log()
}

fn many() -> Chart {
    let xs: Vec<f64> = (0..200).map(f64::from).collect();
    (0..12).fold(Chart::new("Twelve runs").x("step").y("loss"), |chart, k| {
        let ys: Vec<f64> = xs
            .iter()
            .map(|x| (-x / (20.0 + 12.0 * f64::from(k))).exp() + 0.05 * (x / 7.0 + f64::from(k)).sin())
            .collect();
        chart.series(Series::line(format!("run {k}: lr = {:.0e}", 1e-4 * 2_f64.powi(k)), &xs, ys))
    })
}

fn broken() -> Chart {
    let xs: Vec<f64> = (0..40).map(f64::from).collect();
    let mut ys: Vec<f64> = xs.iter().map(|x| 10_f64.powf(-x / 8.0)).collect();
    ys[10] = f64::NAN;
    ys[11] = f64::INFINITY;
    ys[20] = 0.0;
    ys[21] = -1.0;
    let title = "A long title, as one gets from a run's name and its overrides: examples/strategies/04-cosine.toml \
                 --set schedule.type=step --set schedule.step_size=3 --set optimizer.lr=0.003 (with gaps in the data)";
    Chart::new(title)
        .x("step")
        .y("loss & <more>")
        .y_log()
        .series(Series::line("train", &xs, ys))
        .mark_y(1e-3, "target 0.001")
        .mark_point(30.0, 10_f64.powf(-30.0 / 8.0), "best 1.8e-4")
}

fn main() -> Result<(), ReportError> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/gallery".to_owned()));
    let charts = [
        ("finder", finder()),
        ("one-cycle", schedule()),
        ("steps", steps()),
        ("many", many()),
        ("broken", broken()),
        ("empty", Chart::new("Nothing yet").x("step").y("loss")),
        ("point", Chart::new("One point").x("step").y("loss").series(Series::line("train", [3.0], [0.5]))),
        ("constant", schedule_chart("fixed", &[ScheduleCurve::new("fixed", [0.0, 1.0, 2.0], [0.1, 0.1, 0.1])], &[])),
        (
            "tiny",
            Chart::new("Tiny differences").series(Series::line("", [0.0, 1.0, 2.0], [1.0, 1.0 + 1e-9, 1.0 + 3e-9])),
        ),
        ("huge", Chart::new("Huge range").series(Series::line("", [-1e300, 1e300], [-1e250, 1e300])).size(500, 320)),
    ];
    for (name, chart) in charts {
        for extension in ["svg", "png"] {
            chart.save(&folder.join(name).with_extension(extension))?;
        }
        println!("{}", chart.terminal(78, 14));
    }
    Ok(())
}
