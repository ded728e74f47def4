//! A run resumed in a new process from a saved step is bit-identical to one never interrupted.
//!
//! This program starts itself: each part of a run (all of it; up to a step; from a checkpoint on) is a process of its
//! own, in which only the test `resume::child` runs. `ANNEAL_SEED` repeats the random steps.

use std::{
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::common::{
    Net, StopAfter, alone, device, net, newest_only, optimizer_at, poisoned_data, schedule, train_data, valid_data,
};
use burn::train::metric::AccuracyMetric;
use lr_core::Duration;
use optim_adaptive::Pattern;
use trainer::{
    CheckpointPolicy, EarlyStopping, Ema, Fitted, Freeze, Mode, OnNonFinite, Precision, Swa, TrainConfig, TrainError,
    Trainer, checkpoint,
};

/// What is trained.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    optimizer: &'static str,
    schedule: &'static str,
    /// Further settings of the trainer.
    settings: fn(&mut TrainConfig),
    /// With batch norm.
    norm: bool,
    /// With a batch whose loss is infinite.
    poisoned: bool,
}

const fn case(name: &'static str, optimizer: &'static str, schedule: &'static str) -> Case {
    Case { name, optimizer, schedule, settings: |_| {}, norm: false, poisoned: false }
}

impl Case {
    const fn with(self, settings: fn(&mut TrainConfig)) -> Self {
        Self { settings, ..self }
    }

    const fn norm(self) -> Self {
        Self { norm: true, ..self }
    }

    const fn poisoned(self) -> Self {
        Self { poisoned: true, ..self }
    }
}

const ADAM: &str = "type = 'adam'\nlr = 0.01";
const SGD: &str = "type = 'sgd'\nlr = 0.1\nmomentum = 0.9";
const COSINE: &str = "type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = { duration = 2 }";
const ONE_CYCLE: &str = "type = 'one_cycle'\nmax_lr = 0.3";
const PLATEAU: &str = "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.05";
const RAMP: &str = "type = 'fixed'\nwarmup = { duration = 5, start_factor = 0.1 }\ninterval = 'step'";
const PRODUCT: &str = "type = 'multiplicative'\nexpression = '0.9'\ninterval = 'step'";

/// All with dropout and clipping by norm.
const CASES: &[Case] = &[
    case("adam, cosine with warm-up", ADAM, COSINE),
    case("adam, cosine with warm-up, batch norm", ADAM, COSINE).norm(),
    case("adam, bf16, batch norm", ADAM, COSINE).norm().with(|config| config.precision = Precision::Bf16),
    case("sgd, one-cycle with momentum cycling, accumulating", SGD, ONE_CYCLE).with(|config| config.accumulate = 4),
    case("rmsprop, reduce_on_plateau, early stopping", "type = 'rmsprop'\nlr = 0.01", PLATEAU).with(stop_early),
    case("adagrad, multiplicative, accumulating", "type = 'adagrad'\nlr = 0.1", PRODUCT)
        .with(|config| config.accumulate = 2),
    case("schedule-free adamw, early stopping", "type = 'schedule_free_adamw'\nlr = 0.02", RAMP).with(stop_early),
    case("schedule-free sgd, batch norm", "type = 'schedule_free_sgd'\nlr = 0.1", RAMP).norm(),
    case("prodigy, cosine", "type = 'prodigy'\nlr = 1.0", "type = 'cosine_annealing'\nt_max = 'rest'"),
    case("nadam, skipping", "type = 'nadam'\nlr = 0.01", RAMP).with(|config| {
        config.on_nonfinite = OnNonFinite::Skip;
        config.clip_grad_value = Some(0.05);
    }),
    case("adam, average of the weights, batch norm", ADAM, COSINE).norm().with(|config| {
        config.ema = Some(Ema { warmup: true, ..Ema::new(0.9) });
    }),
    case("sgd, stochastic weight averaging, batch norm", SGD, "type = 'swa'\nswa_lr = 0.05\nanneal_epochs = 2")
        .norm()
        .with(|config| {
            config.swa = Some(Swa { start: Duration::Epochs(2.0), every: Duration::Steps(4) });
        }),
    case("adam, frozen and thawed, batch norm", ADAM, COSINE).norm().with(|config| {
        config.freeze = vec![Freeze::new(Pattern::new("first.*").expect("a pattern")).from_epoch(1).until_epoch(4)];
    }),
    case("adam, going back, average of the weights", ADAM, COSINE).norm().poisoned().with(|config| {
        config.on_nonfinite = OnNonFinite::Rollback;
        (config.max_rollbacks, config.rollback_lr_factor) = (9, 0.7);
        config.ema = Some(Ema::new(0.9));
    }),
    case("sgd, validated inside epochs, plateau, restoring the best", SGD, PLATEAU).norm().with(|config| {
        config.validate_every = Duration::Epochs(0.3);
        config.early_stopping =
            Some(EarlyStopping { patience: 9.into(), restore_best: true, ..EarlyStopping::new("valid.loss") });
    }),
];

fn stop_early(config: &mut TrainConfig) {
    config.early_stopping = Some(EarlyStopping {
        monitor: "valid.loss".to_owned(),
        patience: 3.into(),
        min_delta: 0.02,
        mode: Some(Mode::Min),
        restore_best: false,
    });
}

fn run(case: Case, directory: &Path, stop_after: Option<u64>, resume: bool) -> Result<Fitted<Net>, TrainError> {
    let mut config = TrainConfig {
        clip_grad_norm: Some(1.0),
        seed: 11,
        fingerprint: case.name.to_owned(),
        checkpoint: Some(CheckpointPolicy { every: Duration::Epochs(3.0), keep_last: 2, ..newest_only(directory) }),
        ..TrainConfig::epochs(8)
    };
    (case.settings)(&mut config);
    let schedule = schedule(case.schedule);
    let mut trainer = Trainer::new(config).metric(AccuracyMetric::new());
    if let Some(step) = stop_after {
        trainer = trainer.callback(StopAfter(Some(step)));
    }
    if resume {
        trainer = trainer.resume(checkpoint::newest(directory)?.checkpoint);
    }
    let model = if case.norm { net().with_norm(&device()) } else { net() };
    let data = if case.poisoned { poisoned_data() } else { train_data() };
    trainer.fit(model, optimizer_at(case.optimizer, 0.05), schedule, &data, Some(&valid_data()))
}

/// Not a test: what a process that was started by [`in_a_process`] does.
#[test]
#[ignore = "started by other tests, in a process of its own"]
fn child() {
    let Ok(task) = std::env::var("ANNEAL_RESUME_TASK") else { return };
    let [case, directory, stop_after, resume] = task.split('\n').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let case = CASES[case.parse::<usize>().expect("a case")];
    run(case, Path::new(directory), stop_after.parse().ok(), resume == "true").expect("trains");
}

/// Runs a part of a case's run in a new process; gives the steps done at its end.
fn in_a_process(case: usize, directory: &Path, stop_after: Option<u64>, resume: bool) -> u64 {
    let stop_after = stop_after.map(|step| step.to_string()).unwrap_or_default();
    let task = format!("{case}\n{}\n{stop_after}\n{resume}", directory.display());
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["resume::child", "--exact", "--ignored", "--nocapture"])
        .env("ANNEAL_RESUME_TASK", &task)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{task}: {}", String::from_utf8_lossy(&output.stderr));
    checkpoint::newest(directory).expect("a checkpoint").checkpoint.state().step
}

/// The files of the newest checkpoint in a folder that equal runs have in common.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let newest = checkpoint::newest(directory).expect("a checkpoint").checkpoint;
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(newest.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), std::fs::read(path).expect("a file"))
        })
        .collect();
    // The manifest last: what differs in it differs in a file first.
    files.sort_by_key(|(name, _)| (name == "manifest.json", name.clone()));
    for (name, bytes) in &mut files {
        if name == "manifest.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
            manifest["sha256"].take();
            manifest["files"].as_array_mut().expect("files").retain(|file| file["name"] != "times.json");
            *bytes = serde_json::to_vec(&manifest).expect("JSON");
        }
    }
    files.retain(|(name, _)| name != "times.json");
    files
}

fn assert_same(one: &[(String, Vec<u8>)], other: &[(String, Vec<u8>)], context: &str) {
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{context}");
    assert!(names(one).contains(&"model.bpk".to_owned()) && names(one).len() >= 4, "{:?}", names(one));
    for ((name, one), (_, other)) in one.iter().zip(other) {
        assert!(one == other, "{context}: {name} differs");
    }
}

#[test]
fn resumed_in_a_new_process_equals_uninterrupted() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    let seed: u64 = std::env::var("ANNEAL_SEED").map_or(now, |seed| seed.parse().expect("a seed"));
    println!("ANNEAL_SEED={seed} repeats the steps drawn here");
    for (i, case) in CASES.iter().enumerate() {
        let whole = tempfile::tempdir().expect("a folder");
        let steps = in_a_process(i, whole.path(), None, false);
        let expected = files(whole.path());
        // At an epoch's end, in the middle of one, after the first step, before the last, and at two drawn steps.
        let accumulate = {
            let mut config = TrainConfig::epochs(1);
            (case.settings)(&mut config);
            config.accumulate as u64
        };
        let per_epoch = 6_u64.div_ceil(accumulate);
        let drawn = |n: u64| 1 + (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n) >> 33) % (steps - 1);
        for stop_after in [per_epoch, per_epoch + 1, 1, steps - 1, drawn(i as u64), drawn(i as u64 + (1 << 40))] {
            let context = format!("{}, stopped after step {stop_after} of {steps}", case.name);
            let dir = tempfile::tempdir().expect("a folder");
            assert_eq!(in_a_process(i, dir.path(), Some(stop_after), false), stop_after, "{context}");
            assert_eq!(in_a_process(i, dir.path(), None, true), steps, "{context}");
            assert_same(&files(dir.path()), &expected, &context);
        }
    }
}

#[test]
fn a_run_cut_into_many_processes_is_the_same_run() {
    let whole = tempfile::tempdir().expect("a folder");
    let steps = in_a_process(1, whole.path(), None, false);
    let dir = tempfile::tempdir().expect("a folder");
    in_a_process(1, dir.path(), Some(4), false);
    for stop_after in (8..steps).step_by(7) {
        assert_eq!(in_a_process(1, dir.path(), Some(stop_after), true), stop_after);
    }
    in_a_process(1, dir.path(), None, true);
    assert_same(&files(dir.path()), &files(whole.path()), "in pieces");
}

#[test]
fn another_runs_checkpoint_is_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    run(CASES[0], dir.path(), Some(2), false).expect("trains");
    let renamed = |optimizer, schedule| Case { optimizer, schedule, ..CASES[0] };
    let cases = [
        ("optimizer", renamed(SGD, CASES[0].schedule)),
        ("schedule", renamed(CASES[0].optimizer, "type = 'step'\nstep_size = 2")),
        ("configuration", Case { name: "another", ..CASES[0] }),
        ("model", CASES[0].norm()),
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
