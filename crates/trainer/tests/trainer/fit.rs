//! The loop: what it computes, when it stops, what it tells.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::common::{
    self, BATCH, ITEMS, alone, bits, device, net, optimizer, optimizer_at, points_of, schedule, train_data, valid_data,
};
use burn::train::metric::AccuracyMetric;
use lr_core::{Duration, Interval, Lambda, ScheduleConfig};
use trainer::{
    Callback, CallbackError, EarlyStopping, EpochEvent, Flow, Mode, RunInfo, StepEvent, StopReason, TrainConfig,
    TrainError, Trainer,
    callbacks::{JsonLines, LogLine},
    data::{Batches, Loader, Source},
};

const ADAM: &str = "type = 'adam'\nlr = 0.02";

/// Keeps every event.
#[derive(Clone, Default)]
struct Recorder {
    steps: Arc<Mutex<Vec<StepEvent>>>,
    epochs: Arc<Mutex<Vec<u64>>>,
}

impl Callback for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.steps.lock().expect("the lock").push(event.clone());
        Ok(Flow::Continue)
    }
    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.epochs.lock().expect("the lock").push(event.summary.epoch);
        Ok(Flow::Continue)
    }
}

#[test]
fn it_learns_and_reports() {
    let _alone = alone();
    let config = TrainConfig::epochs(40);
    let schedule = schedule("type = 'cosine_annealing'\nt_max = 40");
    let recorder = Recorder::default();
    let fitted = Trainer::new(config)
        .metric(AccuracyMetric::new())
        .callback(recorder.clone())
        .fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    let report = fitted.report;
    assert_eq!((report.steps, report.epochs.len(), report.stopped.clone()), (240, 40, StopReason::Finished));
    assert!(report.last("valid.accuracy").expect("measured") > 85.0, "{report}");
    assert!(report.last("train.loss") < Some(report.epochs[0].values["train.loss"] / 2.0), "{report}");
    let steps = recorder.steps.lock().expect("the lock");
    assert_eq!(steps.iter().map(|event| event.step).collect::<Vec<_>>(), (1..=240).collect::<Vec<_>>());
    assert_eq!(steps[0].lr, 0.02, "the first step has the base rate");
    assert!(steps[6].lr < 0.02, "the second epoch has the next");
    assert!(steps.iter().all(|event| event.loss.is_some_and(f64::is_finite)));
    assert_eq!(recorder.epochs.lock().expect("the lock").len(), 40);
}

#[test]
fn steps_end_a_run_in_the_middle_of_an_epoch() {
    let _alone = alone();
    let config = TrainConfig::steps(8);
    let schedule = schedule("type = 'fixed'");
    let fitted = Trainer::new(config)
        .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    assert_eq!(fitted.report.steps, 8);
    assert_eq!(fitted.report.epochs.len(), 2, "the partial epoch is validated");
    assert!(fitted.report.epochs[1].values.contains_key("valid.loss"));
}

/// Accumulation over k batches of equal size is the gradient of their union: the mean, not the sum.
#[test]
fn accumulation_is_a_mean() {
    let _alone = alone();
    let train = |batch_size: usize, accumulate: usize| {
        let config = TrainConfig { accumulate, ..TrainConfig::epochs(1) };
        let schedule = schedule("type = 'fixed'");
        let device = common::device();
        let data = Loader::new(64, batch_size, move |indices, _| points_of(indices, &device));
        let without_dropout = net().freeze_dropout();
        Trainer::new(config)
            .fit(without_dropout, optimizer("type = 'sgd'\nlr = 0.1"), schedule, &data, None)
            .expect("trains")
    };
    let (whole, parts) = (train(32, 1), train(8, 4));
    assert_eq!(whole.report.steps, parts.report.steps);
    let floats = |bits: Vec<u8>| -> Vec<f32> {
        bits.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    for (a, b) in floats(bits(&whole.model)).into_iter().zip(floats(bits(&parts.model))) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

/// What a step of several batches logs is what a step of one batch with all their items logs, metrics and loss, and the
/// gradient is of that loss: of the 90 items in batches of 16 the last window holds one of 16 and one of 10.
#[test]
fn a_window_is_one_batch_of_its_items() {
    let _alone = alone();
    let train = |batch_size: usize, accumulate: usize| {
        let config = TrainConfig { accumulate, log_every: Duration::Ticks(1), ..TrainConfig::epochs(2) };
        let schedule = schedule("type = 'fixed'");
        let device = common::device();
        let data = Loader::new(ITEMS, batch_size, move |indices, _| points_of(indices, &device));
        let recorder = Recorder::default();
        let fitted = Trainer::new(config)
            .metric(AccuracyMetric::new())
            .callback(recorder.clone())
            .fit(net().freeze_dropout(), optimizer("type = 'sgd'\nlr = 0.1"), schedule, &data, None)
            .expect("trains");
        let steps = recorder.steps.lock().expect("the lock").clone();
        (steps, fitted)
    };
    let floats = |bits: Vec<u8>| -> Vec<f32> {
        bits.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (whole, one) = train(64, 1);
    let (parts, several) = train(16, 4);
    assert_eq!((whole.len(), parts.len()), (4, 4));
    for (whole, parts) in whole.iter().zip(&parts) {
        let step = whole.step;
        assert_eq!(whole.metrics, parts.metrics, "step {step}");
        let (a, b) = (whole.loss.expect("a loss"), parts.loss.expect("a loss"));
        assert!((a - b).abs() < 1e-6, "step {step}: {a} and {b}");
    }
    assert!(whole.iter().any(|event| event.metrics["accuracy"] > 0.0));
    for (a, b) in floats(bits(&one.model)).into_iter().zip(floats(bits(&several.model))) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
}

#[test]
fn a_last_partial_window_makes_a_step() {
    let _alone = alone();
    // 6 batches in windows of 4: one full, one of 2.
    let config = TrainConfig { accumulate: 4, ..TrainConfig::epochs(3) };
    assert_eq!(config.total_steps(ITEMS.div_ceil(BATCH)), 6);
    let schedule = schedule("type = 'fixed'");
    let fitted =
        Trainer::new(config).fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), None).expect("trains");
    assert_eq!(fitted.report.steps, 6);
}

#[test]
fn it_stops_early_when_asked() {
    let _alone = alone();
    let early = |patience: u64| TrainConfig {
        early_stopping: Some(EarlyStopping {
            monitor: "valid.loss".to_owned(),
            patience: patience.into(),
            min_delta: 1e9,
            mode: Some(Mode::Min),
            restore_best: false,
        }),
        ..TrainConfig::epochs(20)
    };
    for patience in [1, 3] {
        let schedule = schedule("type = 'fixed'");
        let fitted = Trainer::new(early(patience))
            .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), Some(&valid_data()))
            .expect("trains");
        assert_eq!(fitted.report.stopped, StopReason::EarlyStopping);
        assert_eq!(fitted.report.epochs.len() as u64, patience + 1);
    }
}

/// Asks for the end during a step.
struct Interrupt(Arc<AtomicBool>);
impl Callback for Interrupt {
    fn name(&self) -> &'static str {
        "interrupt"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.0.store(event.step == 4, Ordering::Relaxed);
        Ok(Flow::Continue)
    }
}

#[test]
fn an_interrupt_ends_it_after_the_step() {
    let _alone = alone();
    let flag = Arc::new(AtomicBool::new(false));
    let config = TrainConfig::epochs(5);
    let schedule = schedule("type = 'fixed'");
    let fitted = Trainer::new(config)
        .interrupt(Arc::clone(&flag))
        .callback(Interrupt(flag))
        .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), None)
        .expect("ends in order");
    assert_eq!((fitted.report.stopped, fitted.report.steps), (StopReason::Interrupted, 4));
}

#[test]
fn what_nobody_measures_cannot_be_waited_for() {
    let _alone = alone();
    let config = TrainConfig::epochs(1);
    let plateau = schedule("type = 'reduce_on_plateau'");
    match Trainer::new(config).fit(net(), optimizer_at(ADAM, 0.01), plateau, &train_data(), None) {
        Err(TrainError::UnknownMonitor { monitor, known }) => {
            assert_eq!((monitor.as_str(), known), ("valid.loss", vec!["train.loss".to_owned()]));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("waited for nothing"),
    }
}

#[test]
fn the_plateau_is_fed_and_acts() {
    let _alone = alone();
    let config = TrainConfig::epochs(6);
    // No improvement is ever large enough, so the rate halves after every epoch but the first.
    let plateau = schedule("type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.999");
    let fitted = Trainer::new(config)
        .fit(net(), optimizer_at(ADAM, 0.01), plateau, &train_data(), Some(&valid_data()))
        .expect("trains");
    let lrs: Vec<f64> = fitted.report.epochs.iter().map(|epoch| epoch.lr).collect();
    assert_eq!(lrs, [0.01, 0.01, 0.005, 0.0025, 0.00125, 0.000_625]);
}

/// 21 steps per epoch, a validation every quarter: torch's scheduler, stepped at each of them, changes the rate at these
/// steps, whatever the interval.
#[test]
fn the_plateau_acts_after_each_validation_of_an_epoch() {
    let _alone = alone();
    let place = device();
    let data = Loader::new(42, 2, move |indices, _| points_of(indices, &place));
    for interval in [Interval::Epoch, Interval::Step] {
        let config = TrainConfig { validate_every: Duration::Epochs(0.25), ..TrainConfig::epochs(2) };
        let never = "type = 'reduce_on_plateau'\npatience = 0\nthreshold = 10\nthreshold_mode = 'abs'\nfactor = 0.5";
        let recorder = Recorder::default();
        Trainer::new(config)
            .callback(recorder.clone())
            .fit(net(), optimizer_at(ADAM, 0.08), schedule(never).with_interval(interval), &data, Some(&valid_data()))
            .expect("trains");
        let steps = recorder.steps.lock().expect("the lock");
        let lrs: Vec<f64> = steps.iter().map(|event| event.lr).collect();
        let changes: Vec<usize> = (1..lrs.len()).filter(|i| lrs[*i] != lrs[i - 1]).map(|i| i + 1).collect();
        assert_eq!((changes[0], changes[1], changes[2]), (12, 17, 22), "{interval}");
        assert_eq!([lrs[10], lrs[11], lrs[16], lrs[21]], [0.08, 0.04, 0.02, 0.01], "{interval}");
    }
}

/// The trainer knows the steps of an epoch: a tick is what the schedule says it is.
#[test]
fn a_schedule_counts_in_what_it_says() {
    let _alone = alone();
    let halving = |tick: u64| 0.5_f64.powi(tick as i32);
    let custom = |interval| ScheduleConfig::custom(Lambda::new("halving", halving), interval);
    let steps = |schedule: ScheduleConfig| {
        let recorder = Recorder::default();
        let trainer = Trainer::new(TrainConfig::epochs(3)).callback(recorder.clone());
        trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), None).expect("trains");
        let steps = recorder.steps.lock().expect("the lock");
        steps.iter().map(|event| event.lr).collect::<Vec<f64>>()
    };
    // 6 steps in an epoch.
    let per_epoch: Vec<f64> = (0..18).map(|step| 0.02 * halving(step / 6)).collect();
    assert_eq!(steps(custom(Interval::Epoch)), per_epoch);
    assert_eq!(steps(schedule("type = 'step'\nstep_size = 1\ngamma = 0.5")), per_epoch);
    assert_eq!(steps(custom(Interval::Step)), (0..18).map(|step| 0.02 * halving(step)).collect::<Vec<f64>>());
    assert_eq!(
        steps(schedule("type = 'fixed'\nwarmup = 3")),
        (0..18).map(|step| 0.02 * (f64::from(step / 6 + 1) / 3.0)).collect::<Vec<f64>>()
    );
    // A trial of one batch has the schedule of the whole run: a tenth of 18 steps is longer than the trial.
    let trial = Trainer::new(TrainConfig { fast_dev_run: Some(1), ..TrainConfig::epochs(3) });
    let ramp = schedule("type = 'fixed'\ninterval = 'step'\nwarmup = '50%'");
    let tried = trial.fit(net(), optimizer(ADAM), ramp, &train_data(), None).expect("trains");
    assert_eq!(tried.report.epochs[0].lr, 0.02 * (1.0 / 9.0));
    // What does not fit this run is refused before the first step.
    let long = schedule("type = 'linear'\ntotal_iters = 'rest'\nwarmup = '4ep'");
    match Trainer::new(TrainConfig::epochs(3)).fit(net(), optimizer(ADAM), long, &train_data(), None) {
        Err(TrainError::Setting(error)) => {
            assert!(error.to_string().starts_with("schedule.total_iters: nothing is left"), "{error}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("trained"),
    }
}

#[test]
fn the_log_tells_it_all_and_resumes() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("metrics.jsonl");
    let config = TrainConfig { log_every: Duration::Ticks(4), ..TrainConfig::epochs(2) };
    let schedule = schedule("type = 'one_cycle'\nmax_lr = 0.1");
    Trainer::new(config)
        .metric(AccuracyMetric::new())
        .callback(JsonLines::new(&path))
        .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    let lines = || -> Vec<LogLine> {
        let text = std::fs::read_to_string(&path).expect("a log");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    };
    let steps: Vec<u64> = lines().iter().filter(|line| line.every == Interval::Step).map(|line| line.step).collect();
    assert_eq!(steps, [1, 4, 8, 12]);
    assert!(lines().iter().all(|line| line.momentum.is_some() && line.loss.is_some()));
    assert!(
        lines().iter().filter(|line| line.every == Interval::Step).all(|line| line.metrics.contains_key("accuracy"))
    );
    assert_eq!(lines().iter().filter(|line| line.every == Interval::Epoch).count(), 4);
    let before = lines().len();
    std::fs::write(&path, std::fs::read_to_string(&path).expect("a log") + "{\"step\": 13, \"ep").expect("torn");
    let resumed = RunInfo {
        epochs: 2,
        total_steps: 12,
        steps_per_epoch: 6,
        items: ITEMS,
        steps_done: 6,
        over: false,
        saved_in_turn: true,
        logged: trainer::Logged { steps: vec![1, 4], epochs: vec![6], validations: vec![6] },
        parameters: 1,
    };
    JsonLines::new(&path).on_start(&resumed).expect("resumes");
    assert!(lines().len() < before && lines().iter().all(|line| line.step <= 6));
}

/// A source that has fewer batches than it says: an error in the epoch that it cuts short, and no loop without an end.
#[test]
fn a_source_that_ends_early_is_an_error() {
    struct Short(Loader<common::Points>, usize);
    impl Source<common::Points> for Short {
        fn items(&self) -> usize {
            self.0.items()
        }
        fn batches(&self) -> usize {
            self.0.batches()
        }
        fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, common::Points> {
            Box::new(self.0.epoch(epoch, first).take(self.1.saturating_sub(first)))
        }
    }
    let _alone = alone();
    for (held, accumulate, batch) in [(0, 1, 1), (4, 1, 5), (4, 3, 5), (5, 4, 6)] {
        let config = TrainConfig { accumulate, ..TrainConfig::epochs(2) };
        let source = Short(train_data(), held);
        let ended = Trainer::new(config).fit(net(), optimizer(ADAM), schedule("type = 'fixed'"), &source, None);
        let error = ended.expect_err("an error").to_string();
        assert!(error.contains("the source says it has 6 batches, and has ended"), "{error}");
        assert!(error.contains(&format!("batch {batch} of epoch 1")), "{held} batches, {accumulate}: {error}");
    }
    let optimizer = optimizer("type = 'schedule_free_sgd'\nlr = 1.0");
    trainer::eval_model(&net().with_norm(&device()), &optimizer, &Short(train_data(), 0)).expect("a model");
}
