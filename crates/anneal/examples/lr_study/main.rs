//! What is a suggested learning rate worth? `just lr-study` runs this and writes `docs/lr-finder-study/`.
//!
//! For each task and seed: train at 15 fixed rates for a short budget and take the lowest final validation loss; sweep
//! once (three times for the medians); read every rule off the sweep; train at what each says. The regret of a rule is
//! the validation loss at its suggestion less the lowest of the grid.
//!
//! `cargo run --release -p anneal --example lr_study -- OUT_DIR [--seeds 1,2] [--tasks WORD]
//! [--reuse FILE]... [--assemble]`; `--tasks` does those with the word in their name, `--reuse` takes the
//! trainings and sweeps of an earlier `results.json`, so that seeds can be done by processes side by side and put
//! together afterwards, and rules tried again without training; `--assemble` leaves out what is not there yet.

#![allow(
    clippy::expect_used,
    clippy::result_large_err,
    reason = "a study may fail loudly, and ends at its first error"
)]

mod output;
mod peers;
mod tasks;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anneal::{Error, prelude::*, trainer::lr_finder::Sweep};
use serde::{Deserialize, Serialize};

use peers::Peer;
use tasks::{Bench, TASKS};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 15 rates from 1e-5 to 3.2, equal ratios.
const GRID: usize = 15;
fn grid(i: usize) -> f64 {
    10_f64.powf(-5.0 + 5.5 * i as f64 / (GRID - 1) as f64)
}

/// A run that ends worse than guessing among ten classes counts as guessing: how far it blew up says nothing.
pub(crate) fn capped(loss: f64) -> f64 {
    if loss.is_finite() { loss.min(std::f64::consts::LN_10) } else { std::f64::consts::LN_10 }
}

/// Smoothings that our rules are tried with.
const SMOOTHINGS: [f64; 3] = [0.98, 0.9, 0.0];

/// What one rule said about one sweep, and what training there gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) rule: String,
    pub(crate) lr: Option<f64>,
    pub(crate) reason: Option<String>,
    /// The final validation loss there.
    pub(crate) loss: Option<f64>,
}

/// One task with one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) task: String,
    pub(crate) steps: u64,
    pub(crate) seed: u64,
    /// Rate and final validation loss; null where the loss was not finite on the way.
    pub(crate) grid: Vec<(f64, Option<f64>)>,
    pub(crate) verdicts: Vec<Verdict>,
    /// The raw losses of the sweeps.
    pub(crate) sweeps: Vec<Vec<Option<f64>>>,
    pub(crate) seconds: f64,
}

impl Measured {
    /// The best rate of the grid and its loss.
    pub(crate) fn best(&self) -> (f64, f64) {
        let best = self.grid.iter().map(|(lr, loss)| (*lr, capped(loss.unwrap_or(f64::INFINITY))));
        best.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((f64::NAN, f64::NAN))
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut out, mut seeds) = (PathBuf::from("docs/lr-finder-study"), vec![1, 2]);
    let mut before: Vec<Measured> = Vec::new();
    let (mut word, mut assemble) = (String::new(), false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seeds" => seeds = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--tasks" => word = value()?,
            "--assemble" => assemble = true,
            "--reuse" => {
                before.extend(serde_json::from_str::<output::Results>(&std::fs::read_to_string(value()?)?)?.measured);
            }
            dir => out = dir.into(),
        }
    }
    std::fs::create_dir_all(&out)?;
    let mut results = Vec::new();
    for seed in seeds {
        for task in TASKS.iter().filter(|task| task.name().contains(&word)) {
            let known = before.iter().find(|m| m.task == task.name() && m.seed == seed && m.steps == task.steps);
            if known.is_none() && assemble {
                continue;
            }
            let measured = measure(task, seed, known)?;
            let (lr, loss) = measured.best();
            eprintln!("{}, seed {seed}: best {loss:.4} at {lr:.2e}, {:.0} s", measured.task, measured.seconds);
            results.push(measured);
            output::write(&out, &results)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    anneal::exit_code(run())
}

fn measure(task: &tasks::Task, seed: u64, known: Option<&Measured>) -> Result<Measured, Error> {
    let began = Instant::now();
    let config = task.config(seed)?;
    let mut bench = Bench::new(&config, task.steps)?;
    if let Some(known) = known {
        bench.remember(known);
    }
    let grid: Vec<(f64, Option<f64>)> = (0..GRID)
        .map(|i| Ok((grid(i), Some(bench.train(grid(i))?).filter(|loss| loss.is_finite()))))
        .collect::<Result<_, Error>>()?;
    let sweep = LrFinderConfig::default();
    let sweeps = match known {
        Some(known) => Bench::remembered_sweeps(known, &sweep),
        None => bench.sweeps(&sweep, 3)?,
    };
    let mut verdicts = Vec::new();
    for (rule, said) in suggestions(&sweeps) {
        let loss = match said {
            Ok(lr) => Some(bench.train(lr)?),
            Err(_) => None,
        };
        let (lr, reason) = (said.as_ref().ok().copied(), said.err());
        verdicts.push(Verdict { rule, lr, reason, loss: loss.map(capped) });
    }
    let finite = |losses: &Vec<f64>| losses.iter().map(|loss| Some(*loss).filter(|loss| loss.is_finite())).collect();
    Ok(Measured {
        task: task.name(),
        steps: task.steps,
        seed,
        grid,
        verdicts,
        sweeps: sweeps.iter().map(|sweep| finite(&sweep.losses)).collect(),
        seconds: known.map_or_else(|| began.elapsed().as_secs_f64(), |known| known.seconds),
    })
}

/// What every rule says: ours on the first sweep with each smoothing and on the median of the three, the others' on the
/// first.
fn suggestions(sweeps: &[LrCurve]) -> Vec<(String, Result<f64, String>)> {
    let mut said = Vec::new();
    let read = |curve: &LrCurve, rule: Rule| curve.suggestion(rule).map(|found| found.lr).map_err(|e| e.to_string());
    for smoothing in SMOOTHINGS {
        let curve = smoothed(&sweeps[0], smoothing);
        said.extend(Rule::ALL.map(|rule| (format!("{rule}, smoothing {smoothing}"), read(&curve, rule))));
    }
    let median = LrSweeps::new(sweeps.iter().map(|sweep| smoothed(sweep, 0.9)).collect());
    for rule in [Rule::Valley, Rule::Steepest] {
        said.push((format!("{rule}, smoothing 0.9, median of 3"), read(median.curve(), rule)));
    }
    said.extend(Peer::ALL.map(|peer| {
        let answer = peer.suggest(&sweeps[0].lrs, &sweeps[0].losses);
        (peer.name(), answer.ok_or_else(|| "none".to_owned()))
    }));
    said
}

/// The sweep as our finder would have ended it with this smoothing: the losses do not depend on it, only the end does.
fn smoothed(whole: &LrCurve, smoothing: f64) -> LrCurve {
    let config = LrFinderConfig { smoothing, ..LrFinderConfig::default() };
    let mut sweep = Sweep::new(config).expect("the default settings");
    whole.losses.iter().for_each(|loss| sweep.record(*loss));
    sweep.into_curve()
}
