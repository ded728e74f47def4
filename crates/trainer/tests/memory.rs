//! A long run needs no more memory than a short one.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]
#![cfg(target_os = "linux")]

mod common;

use std::sync::{Arc, Mutex};

use common::{alone, device, net, newest_only, optimizer, points_of, schedule, valid_data};
use lr_core::Duration;
use trainer::{
    Callback, CallbackError, CheckpointPolicy, Flow, StepEvent, TrainConfig, Trainer,
    callbacks::{JsonLines, Progress},
    data::Loader,
};

/// KiB of this process in memory, after these steps.
#[derive(Clone, Default)]
struct Resident(Arc<Mutex<Vec<(u64, u64)>>>);

impl Callback for Resident {
    fn name(&self) -> &'static str {
        "resident memory"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        if event.step.is_multiple_of(1_000) {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
            let kib = line.trim().trim_end_matches(" kB").parse().expect("a number");
            self.0.lock().expect("unpoisoned").push((event.step, kib));
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn ten_thousand_steps_need_no_more_memory_than_one_thousand() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let device = device();
    let data = Loader::new(8_000, 16, move |indices, _| points_of(indices, &device)).shuffled(3).workers(2);
    let config = TrainConfig {
        log_every: Duration::Ticks(1),
        checkpoint: Some(CheckpointPolicy {
            every: Duration::Steps(250),
            keep_last: 2,
            keep_best: "valid.loss".to_owned(),
            k: 2,
            ..newest_only(dir.path().join("checkpoints"))
        }),
        ..TrainConfig::steps(10_000)
    };
    let resident = Resident::default();
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config)
        .metric(burn::train::metric::AccuracyMetric::new())
        .callback(resident.clone())
        .callback(Progress::new())
        .callback(JsonLines::new(&dir.path().join("metrics.jsonl")))
        .fit(net(), optimizer("type = 'adam'\nlr = 0.001"), schedule, &data, Some(&valid_data()))
        .expect("trains");
    let measured = resident.0.lock().expect("unpoisoned").clone();
    println!("VmRSS in KiB after so many steps: {measured:?}");
    let (first, last) = (measured[0], measured[measured.len() - 1]);
    assert_eq!((first.0, last.0), (1_000, 10_000));
    // A leak of 1 KiB a step would be 9 MiB.
    assert!(last.1 < first.1 + 4 * 1_024, "{measured:?}");
}
