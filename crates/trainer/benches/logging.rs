//! What a logged step costs the training loop, with the logs written in place and on a thread of their own.
//!
//! `cargo bench -p trainer --bench logging`. Every step is logged; between the steps the loop is busy for half a
//! millisecond, about as long as a small network trains on a batch. Only the time inside `on_step` is counted.

#![allow(clippy::expect_used, missing_docs, reason = "a measurement")]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use trainer::{
    Callback, RunInfo, StepEvent,
    callbacks::{Background, CallbackList, Csv, JsonLines, TensorBoard},
};

const STEPS: u64 = 4000;
const BETWEEN: Duration = Duration::from_micros(500);

fn logs(folder: &Path) -> CallbackList {
    CallbackList::new("logs")
        .with(JsonLines::new(&folder.join("metrics.jsonl")))
        .with(Csv::new(&folder.join("metrics.csv")))
        .with(TensorBoard::new(folder))
}

fn step(step: u64) -> StepEvent {
    StepEvent {
        step,
        epoch: 0,
        lr: 1e-3,
        momentum: Some(0.9),
        loss: Some(1.0 / step as f64),
        metrics: BTreeMap::from([("accuracy".to_owned(), 97.5)]),
        logged: true,
        skipped: false,
        seconds: step as f64,
        items: 64,
    }
}

fn measure(name: &str, log: &mut dyn Callback) {
    let run = RunInfo {
        epochs: 1,
        total_steps: STEPS,
        steps_per_epoch: STEPS,
        items: 1,
        steps_done: 0,
        over: false,
        saved_in_turn: false,
        logged: trainer::Logged::default(),
        parameters: 1,
    };
    log.on_start(&run).expect("opens");
    let mut costs: Vec<Duration> = (1..=STEPS)
        .map(|number| {
            let event = step(number);
            let began = Instant::now();
            log.on_step(&event).expect("logs");
            let cost = began.elapsed();
            while began.elapsed() < BETWEEN {
                std::hint::spin_loop();
            }
            cost
        })
        .collect();
    costs.sort_unstable();
    let micros = |at: usize| costs[at].as_secs_f64() * 1e6;
    let mean = costs.iter().sum::<Duration>().as_secs_f64() * 1e6 / costs.len() as f64;
    let last = costs.len() - 1;
    println!(
        "{name:<28} mean {mean:>6.2} us   median {:>6.2}   99 % below {:>6.2}   worst {:>8.2}",
        micros(last / 2),
        micros(last * 99 / 100),
        micros(last)
    );
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..2 {
        let here = folder.path().join(format!("{round}"));
        std::fs::create_dir(&here).expect("a folder");
        measure("jsonl, in place", &mut JsonLines::new(&here.join("alone.jsonl")));
        measure("three logs, in place", &mut logs(&here));
        measure("three logs, in background", &mut Background::new(logs(&here)));
    }
}
