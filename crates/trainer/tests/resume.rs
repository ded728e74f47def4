//! A run resumed from a saved step is bit-identical to one never interrupted.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use std::path::Path;

use burn::train::metric::AccuracyMetric;
use common::{Net, alone, bits, net, optimizer, rates, train_data, valid_data};
use trainer::{
    Callback, CallbackError, CheckpointPolicy, EarlyStopping, Every, Fitted, Flow, Mode, StepEvent, TrainConfig,
    TrainError, Trainer, checkpoint,
};

/// What is trained: optimizer, schedule, further settings.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    optimizer: &'static str,
    schedule: &'static str,
    accumulate: usize,
    early_stopping: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "adam under a cosine with warm-up",
        optimizer: "type = 'adam'\nlr = 0.01",
        schedule: "type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = { duration = 2 }",
        accumulate: 1,
        early_stopping: false,
    },
    Case {
        name: "sgd under one-cycle with momentum cycling, accumulating",
        optimizer: "type = 'sgd'\nlr = 0.1\nmomentum = 0.9",
        schedule: "type = 'one_cycle'\nmax_lr = 0.3",
        accumulate: 4,
        early_stopping: false,
    },
    Case {
        name: "rmsprop under reduce_on_plateau, with early stopping counting",
        optimizer: "type = 'rmsprop'\nlr = 0.01",
        schedule: "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.05",
        accumulate: 1,
        early_stopping: true,
    },
    Case {
        name: "adagrad under a multiplicative formula",
        optimizer: "type = 'adagrad'\nlr = 0.1",
        schedule: "type = 'multiplicative'\nexpression = '0.9'\ninterval = 'step'",
        accumulate: 2,
        early_stopping: false,
    },
    Case {
        name: "schedule-free adamw",
        optimizer: "type = 'schedule_free_adamw'\nlr = 0.02",
        schedule: "type = 'fixed'\nwarmup = { duration = 5, start_factor = 0.1 }\ninterval = 'step'",
        accumulate: 1,
        early_stopping: true,
    },
    Case {
        name: "prodigy",
        optimizer: "type = 'prodigy'\nlr = 1.0",
        schedule: "type = 'cosine_annealing'\nt_max = 'rest'",
        accumulate: 1,
        early_stopping: false,
    },
];

/// Ends the run in order after a step.
struct StopAfter(u64);

impl Callback for StopAfter {
    fn name(&self) -> &'static str {
        "stop after"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        Ok(if event.step == self.0 { Flow::Stop("on purpose".to_owned()) } else { Flow::Continue })
    }
}

fn run(case: Case, directory: &Path, stop_after: Option<u64>, resume: bool) -> Result<Fitted<Net>, TrainError> {
    let config = TrainConfig {
        accumulate: case.accumulate,
        clip_grad_norm: Some(1.0),
        seed: 11,
        fingerprint: case.name.to_owned(),
        early_stopping: case.early_stopping.then(|| EarlyStopping {
            monitor: "valid.loss".to_owned(),
            patience: 3,
            min_delta: 0.02,
            mode: Mode::Min,
        }),
        checkpoint: Some(CheckpointPolicy {
            every: Every::Epochs(3),
            keep_last: 2,
            ..CheckpointPolicy::new(directory)
        }),
        ..TrainConfig::epochs(8)
    };
    let rates = rates(case.schedule, &config, 0.05);
    let mut trainer = Trainer::new(config).metric(AccuracyMetric::new());
    if let Some(step) = stop_after {
        trainer = trainer.callback(StopAfter(step));
    }
    if resume {
        trainer = trainer.resume(checkpoint::newest(directory)?.checkpoint);
    }
    trainer.fit(net(), optimizer(case.optimizer), rates, &train_data(), Some(&valid_data()))
}

#[test]
fn resumed_equals_uninterrupted() {
    let _alone = alone();
    for case in CASES {
        let whole_dir = tempfile::tempdir().expect("a folder");
        let whole = run(case, whole_dir.path(), None, false).expect("trains");
        let last = checkpoint::newest(whole_dir.path()).expect("a checkpoint").checkpoint;
        // At an epoch's end, in the middle of one, after the first step, one before the last.
        let per_epoch = 6_u64.div_ceil(case.accumulate as u64);
        for stop_after in [per_epoch, per_epoch + 1, 1, whole.report.steps - 1] {
            let dir = tempfile::tempdir().expect("a folder");
            let first = run(case, dir.path(), Some(stop_after), false).expect("trains");
            assert_eq!(first.report.steps, stop_after, "{}", case.name);
            let second = run(case, dir.path(), None, true).expect("resumes");
            let context = format!("{}, stopped after step {stop_after}", case.name);
            assert_eq!(second.report.resumed_from, Some(stop_after), "{context}");
            assert_eq!(second.report.steps, whole.report.steps, "{context}");
            assert!(bits(&second.model) == bits(&whole.model), "{context}: the parameters differ");
            let resumed = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
            let without_times = |state: &trainer::checkpoint::RunState| {
                let mut state = state.clone();
                state.history.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
                state
            };
            assert_eq!(without_times(resumed.state()), without_times(last.state()), "{context}");
            for file in ["model.bpk", "optimizer.bpk"] {
                let read = |path: &Path| std::fs::read(path.join(file)).expect("a file");
                let same = read(resumed.path()) == read(last.path());
                assert!(same, "{context}: {file} differs");
            }
        }
    }
}

#[test]
fn another_runs_checkpoint_is_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    run(CASES[0], dir.path(), Some(2), false).expect("trains");
    let renamed = |optimizer, schedule| Case { optimizer, schedule, ..CASES[0] };
    let cases = [
        ("optimizer", renamed("type = 'sgd'\nlr = 0.01\nmomentum = 0.9", CASES[0].schedule)),
        ("schedule", renamed(CASES[0].optimizer, "type = 'step'\nstep_size = 2")),
        ("configuration", Case { name: "another", ..CASES[0] }),
    ];
    for (what, case) in cases {
        match run(case, dir.path(), None, true) {
            Err(TrainError::Checkpoint(checkpoint::CheckpointError::Mismatch { what: found, .. })) => {
                assert_eq!(found, what);
            }
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: accepted"),
        }
    }
}
