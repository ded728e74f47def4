//! The study's files: `results.json`, `table.md`, the figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use anneal::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Measured, capped};

/// `results.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) measured: Vec<Measured>,
}

/// A rule over all tasks and seeds.
struct Summary {
    rule: String,
    /// Validation loss at the suggestion less the best of the grid, in nats, rising.
    regrets: Vec<f64>,
    /// The same as a ratio, rising.
    ratios: Vec<f64>,
    /// Suggestion over best rate of the grid, rising.
    distances: Vec<f64>,
    silent: usize,
}

impl Summary {
    fn mean(&self) -> f64 {
        self.regrets.iter().sum::<f64>() / self.regrets.len() as f64
    }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

fn summaries(measured: &[Measured]) -> Vec<Summary> {
    let mut rules: Vec<String> = Vec::new();
    for verdict in measured.iter().flat_map(|one| &one.verdicts) {
        if !rules.contains(&verdict.rule) {
            rules.push(verdict.rule.clone());
        }
    }
    rules
        .into_iter()
        .map(|rule| {
            let (mut regrets, mut ratios, mut distances, mut silent) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for one in measured {
                let (best_lr, best) = one.best();
                for verdict in one.verdicts.iter().filter(|verdict| verdict.rule == rule) {
                    let (Some(lr), Some(loss)) = (verdict.lr, verdict.loss) else {
                        silent += 1;
                        continue;
                    };
                    regrets.push(loss - best);
                    ratios.push(loss / best);
                    distances.push(lr / best_lr);
                }
            }
            for values in [&mut regrets, &mut ratios, &mut distances] {
                values.sort_by(f64::total_cmp);
            }
            Summary { rule, regrets, ratios, distances, silent }
        })
        .collect()
}

/// Writes everything that follows from the measurements so far.
pub(crate) fn write(out: &Path, measured: &[Measured]) -> Result<(), Box<dyn std::error::Error>> {
    let results = Results { measured: measured.to_vec() };
    fs::write(out.join("results.json"), serde_json::to_string(&results)? + "\n")?;
    let summaries = summaries(measured);
    fs::write(out.join("table.md"), table(measured, &summaries))?;
    regret_profile(&summaries).save(&out.join("regret.svg"))?;
    distance_profile(&summaries).save(&out.join("distance.svg"))?;
    losses(measured).save(&out.join("losses.svg"))?;
    Ok(())
}

fn table(measured: &[Measured], summaries: &[Summary]) -> String {
    let mut text = String::from("# Learning-rate finder study: figures\n\nWritten by `just lr-study`.\n\n");
    let seeds: BTreeSet<u64> = measured.iter().map(|one| one.seed).collect();
    let tasks: BTreeSet<&str> = measured.iter().map(|one| one.task.as_str()).collect();
    let _ = writeln!(
        text,
        "Regret: final validation loss at the suggestion less the best of 15 fixed rates, in nats, over {} tasks and \
         {} seeds ({} cases). A loss above ln 10 counts as ln 10.\n",
        tasks.len(),
        seeds.len(),
        measured.len()
    );
    text += "| rule | no suggestion | median | mean | 90 % | worst | median ratio | suggestion / best rate: median (10 % to 90 %) |\n";
    text += "|---|---|---|---|---|---|---|---|\n";
    for one in summaries {
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} ({:.3} to {:.1}) |",
            one.rule,
            one.silent,
            quantile(&one.regrets, 0.5),
            one.mean(),
            quantile(&one.regrets, 0.9),
            quantile(&one.regrets, 1.0),
            quantile(&one.ratios, 0.5),
            quantile(&one.distances, 0.5),
            quantile(&one.distances, 0.1),
            quantile(&one.distances, 0.9),
        );
    }
    text += "\n## Task by task\n\nBest of the grid, and the validation loss at each suggestion (mean over the seeds; - for none).\n\n";
    let shown: Vec<&str> = summaries.iter().map(|one| one.rule.as_str()).filter(|rule| is_shown(rule)).collect();
    let _ = writeln!(text, "| task | steps | best rate | best | {} |", shown.join(" | "));
    let _ = writeln!(text, "|---|---|---|---|{}", "---|".repeat(shown.len()));
    let mut tasks: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
    for one in measured {
        tasks.entry(&one.task).or_default().push(one);
    }
    for (name, runs) in tasks {
        let rates: Vec<String> = runs.iter().map(|one| format!("{:.1e}", one.best().0)).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let best = mean(&runs.iter().map(|one| one.best().1).collect::<Vec<_>>());
        let _ = write!(text, "| {name} | {} | {} | {best:.3} |", runs[0].steps, rates.join(", "));
        for rule in &shown {
            let losses: Vec<f64> = runs
                .iter()
                .flat_map(|one| &one.verdicts)
                .filter(|verdict| verdict.rule == *rule)
                .filter_map(|verdict| verdict.loss)
                .collect();
            let silent = runs.len() - losses.len();
            let cell = match (losses.is_empty(), silent) {
                (true, _) => "-".to_owned(),
                (false, 0) => format!("{:.3}", mean(&losses)),
                (false, _) => format!("{:.3} ({silent} -)", mean(&losses)),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// What the figures and the table by task show: our rules with one smoothing, and the others' defaults.
fn is_shown(rule: &str) -> bool {
    (rule.ends_with("smoothing 0.98") || ["fastai valley", "Lightning", "torch-lr-finder"].contains(&rule))
        && rule != "slide, smoothing 0.98"
}

/// Share of the cases at or below each value, as steps.
fn shares(sorted: &[f64], cases: usize, floor: f64) -> (Vec<f64>, Vec<f64>) {
    let mut xs = vec![floor];
    let mut ys = vec![0.0];
    for (i, value) in sorted.iter().enumerate() {
        xs.push(value.max(floor));
        ys.push(100.0 * (i + 1) as f64 / cases as f64);
    }
    (xs, ys)
}

fn regret_profile(summaries: &[Summary]) -> Chart {
    let chart = Chart::new("Validation loss at the suggestion, relative to the best of 15 rates")
        .x("loss / best loss of the grid")
        .y("share of the cases at or below, %")
        .x_log();
    summaries.iter().filter(|one| is_shown(&one.rule)).fold(chart, |chart, one| {
        let (xs, ys) = shares(&one.ratios, one.ratios.len() + one.silent, 1.0);
        chart.series(Series::steps(&one.rule, xs, ys))
    })
}

fn distance_profile(summaries: &[Summary]) -> Chart {
    let chart = Chart::new("Suggested rate, relative to the best of 15 rates")
        .x("suggestion / best rate of the grid")
        .y("share of the cases at or below, %")
        .x_log()
        .mark_x(1.0, "best");
    summaries.iter().filter(|one| is_shown(&one.rule)).fold(chart, |chart, one| {
        let floor = one.distances.first().copied().unwrap_or(1.0);
        let (xs, ys) = shares(&one.distances, one.distances.len() + one.silent, floor);
        chart.series(Series::steps(&one.rule, xs, ys))
    })
}

fn losses(measured: &[Measured]) -> Chart {
    let chart = Chart::new("Final validation loss over the rate, seed 1")
        .x("learning rate, constant")
        .y("validation loss")
        .x_log()
        .y_log()
        .size(900, 620);
    measured.iter().filter(|one| one.seed == 1).fold(chart, |chart, one| {
        let (xs, ys): (Vec<f64>, Vec<f64>) =
            one.grid.iter().map(|(lr, loss)| (*lr, capped(loss.unwrap_or(f64::INFINITY)))).unzip();
        chart.series(Series::line(&one.task, xs, ys))
    })
}
