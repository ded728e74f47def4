//! The pictures of a run, drawn from its log.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
};

use report::{Chart, Series};
use trainer::{Phase, callbacks::LogLine};

use crate::{
    error::Error,
    run_dir::{METRICS, PLOTS, RunDir, io_error},
};

/// Points of a series: x and y.
type Points = (Vec<f64>, Vec<f64>);

/// Draws `plots/loss`, `plots/accuracy` and `plots/lr` as SVG and PNG.
pub(super) fn draw(dir: &RunDir) -> Result<(), Error> {
    let lines = read(dir)?;
    let folder = dir.path(PLOTS);
    fs::create_dir_all(&folder).map_err(|source| io_error(&folder, "create it", source))?;
    for (name, chart) in [("loss", loss(&lines)), ("accuracy", accuracy(&lines)), ("lr", rate(&lines))] {
        for extension in ["svg", "png"] {
            chart.save(&folder.join(format!("{name}.{extension}")))?;
        }
    }
    Ok(())
}

fn read(dir: &RunDir) -> Result<Vec<LogLine>, Error> {
    let path = dir.path(METRICS);
    let failed = |source| io_error(&path, "read it", source);
    let file = File::open(&path).map_err(failed)?;
    let mut lines = Vec::new();
    for line in BufReader::new(file).lines() {
        // The log is ours and was flushed; a line torn by a crash of an earlier process is passed over.
        lines.extend(serde_json::from_str::<LogLine>(&line.map_err(failed)?).ok());
    }
    Ok(lines)
}

/// The values of one set over steps.
fn over_steps(lines: &[LogLine], split: Phase, every: &str, value: impl Fn(&LogLine) -> Option<f64>) -> Points {
    lines
        .iter()
        .filter(|line| line.split == split && line.every == every)
        .filter_map(|line| Some((line.step as f64, value(line)?)))
        .unzip()
}

fn add(chart: Chart, label: &str, (xs, ys): Points, faint: bool) -> Chart {
    if xs.is_empty() {
        return chart;
    }
    let series = Series::line(label, xs, ys);
    chart.series(if faint { series.faint() } else { series })
}

fn loss(lines: &[LogLine]) -> Chart {
    let chart = Chart::new("loss").x("step").y("loss");
    let chart = add(chart, "train (batch)", over_steps(lines, Phase::Train, "step", |line| line.loss), true);
    let chart = add(chart, "train (epoch)", over_steps(lines, Phase::Train, "epoch", |line| line.loss), false);
    add(chart, "validation", over_steps(lines, Phase::Valid, "epoch", |line| line.loss), false)
}

fn accuracy(lines: &[LogLine]) -> Chart {
    let of = |line: &LogLine| line.metrics.get("accuracy").copied().flatten();
    let chart = Chart::new("accuracy").x("step").y("accuracy, %");
    let chart = add(chart, "train (batch)", over_steps(lines, Phase::Train, "step", of), true);
    add(chart, "validation", over_steps(lines, Phase::Valid, "epoch", of), false)
}

fn rate(lines: &[LogLine]) -> Chart {
    let chart = Chart::new("learning rate").x("step").y("learning rate");
    let chart = add(chart, "learning rate", over_steps(lines, Phase::Train, "step", |line| Some(line.lr)), false);
    let (xs, ys) = over_steps(lines, Phase::Train, "step", |line| line.momentum);
    if xs.is_empty() {
        return chart;
    }
    chart.right("momentum").series(Series::line("momentum", xs, ys).on_right())
}
