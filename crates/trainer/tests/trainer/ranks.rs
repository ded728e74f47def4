//! Several ranks end in the bits of one: every file of every checkpoint but the times.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use burn::{module::Module, train::metric::AccuracyMetric};
use lr_core::Duration;
use tempfile::tempdir;
use trainer::{
    Callback, CallbackError, CheckpointPolicy, EarlyStopping, Ema, Fitted, Flow, OnNonFinite, Precision, StepEvent,
    StopReason, Swa, TrainConfig, TrainError, Trainer, ValidationEvent, checkpoint,
    data::Loader,
    ranks::{Communicator, Reduce, Threads},
};

use crate::common::{
    Net, Points, StopAfter, alone, bits, device, net, optimizer_at, points_of, poisoned_data, schedule, valid_data,
};

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    optimizer: &'static str,
    schedule: &'static str,
    accumulate: usize,
    settings: fn(&mut TrainConfig),
    norm: bool,
    poisoned: bool,
}

const fn case(name: &'static str, optimizer: &'static str, schedule: &'static str) -> Case {
    Case { name, optimizer, schedule, accumulate: 4, settings: |_| {}, norm: false, poisoned: false }
}

impl Case {
    const fn with(self, settings: fn(&mut TrainConfig)) -> Self {
        Self { settings, ..self }
    }

    const fn norm(self) -> Self {
        Self { norm: true, ..self }
    }
}

const ADAM: &str = "type = 'adam'\nlr = 0.01";
const SGD: &str = "type = 'sgd'\nlr = 0.1\nmomentum = 0.9";
const FIXED: &str = "type = 'fixed'";
const PLATEAU: &str = "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.05";

/// 90 items in batches of 7 make 13 batches, the last of 6 items: with windows of 4 the last holds one batch, with windows of
/// 12 as well, and with 2 ranks of 6 batches each rank holds two nodes.
const CASES: &[Case] = &[
    case("adam", ADAM, "type = 'cosine_annealing'\nt_max = 'rest'"),
    case("adam, batch norm", ADAM, FIXED).norm(),
    case("sgd, batch norm, bf16", SGD, FIXED).norm().with(|config| config.precision = Precision::Bf16),
    Case { accumulate: 12, ..case("sgd, windows of 12, batch norm", SGD, FIXED).norm() },
    case("plateau, early stopping, the best restored", SGD, PLATEAU).norm().with(|config| {
        config.validate_every = Duration::Epochs(0.5);
        config.early_stopping =
            Some(EarlyStopping { patience: 3.into(), restore_best: true, ..EarlyStopping::new("valid.accuracy") });
    }),
    case("average of the weights, batch norm", ADAM, FIXED).norm().with(|config| config.ema = Some(Ema::new(0.9))),
    case("equal average", SGD, FIXED).norm().with(|config| {
        config.swa = Some(Swa { start: Duration::Epochs(2.0), every: Duration::Steps(3) });
    }),
    case("schedule-free, batch norm", "type = 'schedule_free_adamw'\nlr = 0.02", FIXED).norm(),
    case("prodigy", "type = 'prodigy'\nlr = 1.0", FIXED),
    case("clipping", ADAM, FIXED).with(|config| {
        (config.clip_grad_norm, config.clip_grad_value) = (Some(0.1), Some(0.05));
    }),
    Case {
        poisoned: true,
        ..case("skipping", ADAM, FIXED).norm().with(|config| {
            (config.on_nonfinite, config.max_skips) = (OnNonFinite::Skip, 1_000);
        })
    },
    Case {
        poisoned: true,
        ..case("going back", ADAM, FIXED).norm().with(|config| {
            (config.on_nonfinite, config.max_rollbacks) = (OnNonFinite::Rollback, 1_000);
        })
    },
];

fn model(norm: bool) -> Net {
    let model = net().freeze_dropout();
    let model = if norm { model.with_norm(&device()) } else { model };
    // Drawn now, and shared with no other.
    model.valid().train()
}

fn data(poisoned: bool) -> Loader<Points> {
    let device = device();
    if poisoned {
        poisoned_data()
    } else {
        Loader::new(90, 7, move |indices, _| points_of(indices, &device)).shuffled(3)
    }
}

fn config(case: Case, directory: &Path) -> TrainConfig {
    let mut config = TrainConfig {
        accumulate: case.accumulate,
        fingerprint: case.name.to_owned(),
        log_every: Duration::Ticks(2),
        checkpoint: Some(CheckpointPolicy {
            every: Duration::Steps(3),
            keep_last: 100,
            ..CheckpointPolicy::new(directory)
        }),
        ..TrainConfig::epochs(4)
    };
    (case.settings)(&mut config);
    config
}

type Ended = Result<Fitted<Net>, TrainError>;

/// Trains on so many ranks.
fn run(
    case: Case,
    ranks: usize,
    directory: &Path,
    change: impl Fn(Trainer<Net>, usize) -> Trainer<Net> + Sync,
) -> Vec<Ended> {
    Threads::run(
        ranks,
        |_| model(case.norm),
        |own, model| {
            let rank = own.rank();
            let trainer = Trainer::new(config(case, directory)).metric(AccuracyMetric::new()).ranks(Arc::new(own));
            let optimizer = optimizer_at(case.optimizer, if case.name == "prodigy" { 1.0 } else { 0.05 });
            let valid = valid_data();
            change(trainer, rank).fit(model, optimizer, schedule(case.schedule), &data(case.poisoned), Some(&valid))
        },
    )
}

/// Every file of every checkpoint but the times and the lines of the manifests about them.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for step in checkpoint::steps(directory).expect("a directory") {
        let folder = checkpoint::path_of(directory, step);
        for entry in fs::read_dir(&folder).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let bytes = fs::read(entry.path()).expect("a file");
            match name.as_str() {
                "times.json" | "manifest.json" => {}
                _ => drop(all.insert(format!("{step}/{name}"), bytes)),
            }
        }
    }
    assert!(all.len() > 3, "{}", directory.display());
    all
}

fn assert_same(name: &str, one: &BTreeMap<String, Vec<u8>>, several: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), several.keys().collect::<Vec<_>>(), "{name}");
    for (file, bytes) in one {
        assert!(*bytes == several[file], "{name}: {file} differs");
    }
}

#[test]
fn several_ranks_end_in_the_bits_of_one() {
    let _alone = alone();
    for case in CASES {
        let one = tempdir().expect("a folder");
        let fitted = run(*case, 1, one.path(), |trainer, _| trainer).remove(0).expect(case.name);
        let expected = files(one.path());
        for ranks in [2, 4] {
            let several = tempdir().expect("a folder");
            let ended = run(*case, ranks, several.path(), |trainer, _| trainer);
            let name = format!("{}, {ranks} ranks", case.name);
            for (rank, ended) in ended.into_iter().enumerate() {
                let ended = ended.unwrap_or_else(|error| panic!("{name}, rank {rank}: {error}"));
                assert_eq!(ended.report.steps, fitted.report.steps, "{name}");
                assert!(bits(&ended.model) == bits(&fitted.model), "{name}, rank {rank}");
            }
            assert_same(&name, &expected, &files(several.path()));
        }
    }
}

/// What a run has told its callbacks, without times.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Callback for Heard {
    fn name(&self) -> &'static str {
        "heard"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        let StepEvent { step, loss, metrics, items, skipped, .. } = event;
        self.0.lock().expect("the lock").push(format!("{step} {loss:?} {metrics:?} {items} {skipped}"));
        Ok(Flow::Continue)
    }
    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        self.0.lock().expect("the lock").push(format!("{} {:?}", event.step, event.values));
        Ok(Flow::Continue)
    }
}

/// Losses and metrics are those of the whole window and of the whole validation set, and rank 0 alone tells them.
#[test]
fn rank_0_speaks_for_all() {
    let _alone = alone();
    let case = CASES[1].with(|config| config.log_every = Duration::Ticks(1));
    let told = |ranks: usize| {
        let folder = tempdir().expect("a folder");
        let heard: Vec<Heard> = (0..ranks).map(|_| Heard::default()).collect();
        let ended = run(case, ranks, folder.path(), |trainer, rank| trainer.callback(heard[rank].clone()));
        assert!(ended.iter().all(Result::is_ok));
        heard.iter().map(|heard| heard.0.lock().expect("the lock").clone()).collect::<Vec<_>>()
    };
    let one = told(1).remove(0);
    assert!(one.len() > 16 && one.iter().any(|line| line.contains("accuracy")), "{one:?}");
    let several = told(4);
    assert_eq!(several[0], one);
    assert!(several[1..].iter().all(Vec::is_empty));
}

/// A run that was cut, wherever and however, goes on bit for bit in another number of ranks; only rank 0 reads the checkpoint.
#[test]
fn a_run_goes_on_in_another_number_of_ranks() {
    let _alone = alone();
    for case in [CASES[1], CASES[4], CASES[7]] {
        let whole = tempdir().expect("a folder");
        run(case, 1, whole.path(), |trainer, _| trainer).remove(0).expect(case.name);
        for (before, after) in [(4, 1), (1, 4), (4, 2)] {
            let cut = tempdir().expect("a folder");
            let ended = run(case, before, cut.path(), |trainer, _| trainer.callback(StopAfter(Some(7))));
            for ended in ended {
                let stopped = ended.expect(case.name).report.stopped;
                assert_eq!(stopped, StopReason::Callback("on purpose".to_owned()));
            }
            let ended = run(case, after, cut.path(), |trainer, rank| match rank {
                0 => trainer.resume(checkpoint::newest(cut.path()).expect("a checkpoint").checkpoint),
                _ => trainer,
            });
            assert!(ended.iter().all(Result::is_ok), "{}", case.name);
            let mut several = files(cut.path());
            // The cut has left a checkpoint of its own, and what it holds of callbacks.
            several.retain(|file, _| !file.starts_with("7/"));
            assert_same(&format!("{}, {before} then {after}", case.name), &files(whole.path()), &several);
        }
    }
}

/// An interrupt of one rank ends all of them after the same step.
#[test]
fn an_interrupt_of_one_is_one_of_all() {
    let _alone = alone();
    let folder = tempdir().expect("a folder");
    let ended =
        run(CASES[0], 4, folder.path(), |trainer, rank| trainer.interrupt(Arc::new(AtomicBool::new(rank == 2))));
    for ended in ended {
        let report = ended.expect("an orderly end").report;
        assert_eq!((report.stopped, report.steps), (StopReason::Interrupted, 1));
    }
    assert_eq!(checkpoint::steps(folder.path()).expect("a directory"), [1]);
}

#[test]
fn a_rank_that_would_do_something_else_is_refused() {
    let _alone = alone();
    let folder = tempdir().expect("a folder");
    let refused =
        |ranks: usize, case: Case, change: &(dyn Fn(&mut TrainConfig, usize) + Sync), items: usize, dropout: bool| {
            let ended = Threads::run(
                ranks,
                |_| if dropout { net().valid().train() } else { model(case.norm) },
                |own, model| {
                    let rank = own.rank();
                    let mut config = config(case, folder.path());
                    change(&mut config, rank);
                    let device = device();
                    let items = if rank == 1 { items } else { 90 };
                    let data = Loader::new(items, 7, move |indices, _| points_of(indices, &device)).shuffled(3);
                    let trainer = Trainer::new(config).ranks(Arc::new(own));
                    trainer.fit(
                        model,
                        optimizer_at(case.optimizer, 0.05),
                        schedule(case.schedule),
                        &data,
                        Some(&valid_data()),
                    )
                },
            );
            let messages: Vec<String> =
                ended.into_iter().map(|ended| ended.expect_err("a refusal").to_string()).collect();
            assert!(messages.windows(2).all(|pair| pair[0] == pair[1]), "{messages:?}");
            messages[0].clone()
        };
    let message = refused(4, case("", ADAM, FIXED), &|config, _| config.accumulate = 6, 90, false);
    assert_eq!(
        message,
        "accumulate: 6 is not allowed here; allowed: a multiple of 4, the number of processes: each takes as many batches of a \
         step"
    );
    let message = refused(2, CASES[0], &|config, rank| config.fingerprint = format!("a = 1\nlr = {rank}"), 90, false);
    assert_eq!(message, "process 1 has another configuration than process 0: `lr = 1`, and process 0 `lr = 0`");
    let message = refused(2, CASES[0], &|_, _| {}, 88, false);
    assert_eq!(message, "process 1 has another training data than process 0: `88 items`, and process 0 `90 items`");
    let message = refused(2, CASES[0], &|_, _| {}, 90, true);
    assert!(message.contains("a model with dropout or noise needs processes"), "{message}");
}

/// A rank whose data fail ends the others, with its reason.
#[test]
fn a_rank_that_fails_ends_the_job() {
    let _alone = alone();
    let folder = tempdir().expect("a folder");
    let ended = Threads::run(
        2,
        |_| model(false),
        |own, model| {
            let (rank, device) = (own.rank(), device());
            let data = Loader::new(90, 7, move |indices, epoch| {
                assert!(rank == 0 || epoch < 2, "on purpose");
                points_of(indices, &device)
            });
            let trainer = Trainer::new(config(CASES[0], folder.path())).ranks(Arc::new(own));
            trainer.fit(model, optimizer_at(ADAM, 0.05), schedule(FIXED), &data.workers(1), None)
        },
    );
    let messages: Vec<String> = ended.into_iter().map(|ended| ended.expect_err("a failure").to_string()).collect();
    assert!(messages[1].contains("the worker that assembles it has panicked"), "{messages:?}");
    assert!(messages[0].starts_with("the job was ended: process 1: batch"), "{messages:?}");
    assert!(checkpoint::newest(folder.path()).is_ok());
}

/// The fast sum rounds elsewhere.
#[test]
fn the_fast_sum_is_the_exact_one_but_for_rounding() {
    let _alone = alone();
    let case = case("fast", SGD, FIXED).norm();
    let exact = run(case, 1, tempdir().expect("a folder").path(), |trainer, _| trainer).remove(0).expect("trains");
    let folder = tempdir().expect("a folder");
    let fast = Threads::run(
        4,
        |_| model(true),
        |own, model| {
            let config = TrainConfig { reduce: Reduce::Fast, ..config(case, folder.path()) };
            let trainer = Trainer::new(config).ranks(Arc::new(own));
            trainer.fit(model, optimizer_at(case.optimizer, 0.05), schedule(FIXED), &data(false), Some(&valid_data()))
        },
    );
    let floats = |model: &Net| -> Vec<f32> {
        bits(model).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    for fitted in fast {
        for (a, b) in floats(&exact.model).into_iter().zip(floats(&fitted.expect("trains").model)) {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} and {b}");
        }
    }
}
