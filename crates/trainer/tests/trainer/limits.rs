//! How long, how often, how much: time, validation inside epochs, the sanity pass, parts of the data.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time,
};

use crate::common::{
    self, BATCH, ITEMS, Points, alone, bits, device, net, newest_only, optimizer, optimizer_at, points_of, schedule,
    train_data, valid_data,
};
use burn::train::metric::AccuracyMetric;
use lr_core::Duration;
use trainer::{
    Callback, CallbackError, CheckpointPolicy, EarlyStopping, FitReport, Flow, StopReason, TrainConfig, TrainError,
    Trainer, ValidationEvent, checkpoint,
    data::{Loader, Source},
};

const ADAM: &str = "type = 'adam'\nlr = 0.02";

/// The steps after which a validation came, and the epochs it was in.
#[derive(Clone, Default)]
struct Validations(Arc<Mutex<Vec<(u64, u64)>>>);

impl Callback for Validations {
    fn name(&self) -> &'static str {
        "validations"
    }
    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        assert!(event.values.contains_key("valid.loss") && event.values.contains_key("valid.accuracy"));
        assert!(!event.values.contains_key("train.loss"));
        self.0.lock().expect("the lock").push((event.step, event.epoch));
        Ok(Flow::Continue)
    }
}

#[test]
fn validations_come_when_they_are_due_and_at_the_end() {
    let _alone = alone();
    // 6 steps an epoch.
    let cases: [(&str, Duration, Duration, &[u64]); 6] = [
        ("every epoch", Duration::Epochs(1.0), Duration::Epochs(3.0), &[6, 12, 18]),
        ("every second epoch, and the last", Duration::Epochs(2.0), Duration::Epochs(3.0), &[12, 18]),
        ("steps over epochs, and the last", Duration::Steps(4), Duration::Epochs(3.0), &[4, 8, 12, 16, 18]),
        ("halves", Duration::Epochs(0.5), Duration::Epochs(2.0), &[3, 6, 9, 12]),
        ("rarely, and the last step inside an epoch", Duration::Steps(100), Duration::Steps(8), &[8]),
        ("the last step is due anyway", Duration::Steps(4), Duration::Steps(8), &[4, 8]),
    ];
    for (name, validate_every, limit, expected) in cases {
        let heard = Validations::default();
        let config = TrainConfig { validate_every, epochs: Some(limit), ..TrainConfig::default() };
        let schedule = schedule("type = 'fixed'");
        Trainer::new(config)
            .metric(AccuracyMetric::new())
            .callback(heard.clone())
            .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), Some(&valid_data()))
            .expect("trains");
        let heard = heard.0.lock().expect("the lock").clone();
        assert_eq!(heard.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected, "{name}");
        assert!(heard.iter().all(|(step, epoch)| *epoch == (step - 1) / 6), "{name}: {heard:?}");
    }
}

/// What watches a value is told in the middle of an epoch too.
#[test]
fn plateau_early_stopping_and_best_checkpoints_hear_of_every_validation() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let base = TrainConfig { validate_every: Duration::Steps(2), ..TrainConfig::epochs(4) };
    let plateau = "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.999\ninterval = 'step'";
    let fixed = schedule(plateau);
    let fitted = Trainer::new(base.clone())
        .fit(net(), optimizer_at(ADAM, 0.01), fixed, &train_data(), Some(&valid_data()))
        .expect("trains");
    // 12 validations: the first sets the best, each other one halves the rate of the next step.
    assert_eq!(fitted.report.epochs[0].lr, 0.01 * 0.5, "after steps 2 and 4");
    assert_eq!(fitted.report.epochs[1].lr, 0.01 * 0.5_f64.powi(4));

    let early = EarlyStopping { patience: 2.into(), min_delta: 1e9, ..EarlyStopping::new("valid.loss") };
    let policy = CheckpointPolicy {
        every: Duration::Epochs(100.0),
        keep_last: 10,
        keep_best: "valid.loss".to_owned(),
        ..newest_only(dir.path())
    };
    let config = TrainConfig { early_stopping: Some(early), checkpoint: Some(policy), ..base };
    let schedule = schedule("type = 'fixed'");
    let stopped = Trainer::new(config)
        .fit(net(), optimizer_at(ADAM, 0.01), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    assert_eq!((stopped.report.stopped, stopped.report.steps), (StopReason::EarlyStopping, 6));
    let names: Vec<bool> = [2, 4, 6].map(|step| dir.path().join(format!("step-{step:08}")).exists()).to_vec();
    assert_eq!(names, [true, true, true], "the loss fell three times");
}

/// Counts steps.
struct Count(Arc<Mutex<u64>>);
impl Callback for Count {
    fn name(&self) -> &'static str {
        "count"
    }
    fn on_step(&mut self, _event: &trainer::StepEvent) -> Result<Flow, CallbackError> {
        *self.0.lock().expect("the lock") += 1;
        Ok(Flow::Continue)
    }
}

/// The pass before the first step shows a mistake at once and leaves nothing behind.
#[test]
fn the_sanity_pass_changes_nothing() {
    let _alone = alone();
    let fit = |sanity_batches| {
        let config = TrainConfig { sanity_batches, ..TrainConfig::epochs(2) };
        let schedule = schedule("type = 'reduce_on_plateau'\npatience = 0");
        let fitted = Trainer::new(config)
            .metric(AccuracyMetric::new())
            .fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data()))
            .expect("trains");
        let values: Vec<_> = fitted.report.epochs.iter().map(|epoch| epoch.values.clone()).collect();
        (bits(&fitted.model), fitted.optimizer.to_bytes().expect("bytes"), values)
    };
    assert!(fit(2) == fit(0));

    let device = device().inner();
    let broken = Loader::new(40, 16, move |indices, _| {
        assert!(indices.is_empty(), "a batch that cannot be made");
        points_of(indices, &device)
    })
    .workers(1);
    let steps = Arc::new(Mutex::new(0));
    let config = TrainConfig::epochs(2);
    let schedule = schedule("type = 'fixed'");
    let failed = Trainer::new(config).callback(Count(Arc::clone(&steps))).fit(
        net(),
        optimizer(ADAM),
        schedule,
        &train_data(),
        Some(&broken),
    );
    assert!(matches!(failed, Err(TrainError::Source(_))));
    assert_eq!(*steps.lock().expect("the lock"), 0, "before the first step");
}

fn timed(directory: &Path, max_time: time::Duration, resume: bool) -> FitReport {
    let config = TrainConfig {
        max_time: Some(max_time),
        checkpoint: Some(CheckpointPolicy { every: Duration::Epochs(100.0), ..newest_only(directory) }),
        ..TrainConfig::epochs(3)
    };
    let schedule = schedule("type = 'fixed'");
    let mut trainer = Trainer::new(config);
    if resume {
        trainer = trainer.resume(checkpoint::newest(directory).expect("a checkpoint").checkpoint);
    }
    trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), None).expect("ends in order").report
}

#[test]
fn time_ends_a_run_in_order_and_is_counted_over_processes() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    // A time that is over after any step.
    let first = timed(dir.path(), time::Duration::from_nanos(1), false);
    assert_eq!((first.stopped, first.steps), (StopReason::TimeLimit, 1));
    let saved = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
    assert_eq!(saved.state().step, 1);
    assert!(saved.times().elapsed > 0.0);
    // What the first process took is gone: a limit of just that leaves the second a single step.
    let limit = time::Duration::from_secs_f64(saved.times().elapsed);
    let second = timed(dir.path(), limit, true);
    assert_eq!((second.stopped, second.steps), (StopReason::TimeLimit, 2));
    assert!(second.elapsed > second.seconds);
    // With time enough the run ends as it would have.
    let third = timed(dir.path(), time::Duration::from_hours(1), true);
    assert_eq!((third.stopped, third.steps), (StopReason::Finished, 18));
}

#[test]
fn a_fast_dev_run_runs_through_everything_once() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let heard = Validations::default();
    let config =
        TrainConfig { checkpoint: Some(newest_only(dir.path().join("checkpoints"))), ..TrainConfig::epochs(50) };
    let config = config.fast_dev_run(2);
    let schedule = schedule("type = 'fixed'");
    let fitted = Trainer::new(config)
        .metric(AccuracyMetric::new())
        .callback(heard.clone())
        .fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    assert_eq!((fitted.report.steps, fitted.report.epochs.len()), (2, 1));
    assert_eq!(*heard.0.lock().expect("the lock"), [(2, 0)]);
    assert!(!dir.path().join("checkpoints").exists());
}

/// The same few batches again and again are learnt by heart.
#[test]
fn overfitting_sees_the_same_batches_in_every_epoch() {
    let _alone = alone();
    let seen: Arc<Mutex<Vec<Vec<usize>>>> = Arc::default();
    let (record, device) = (Arc::clone(&seen), device());
    let data = Loader::new(ITEMS, BATCH, move |indices, _| {
        record.lock().expect("the lock").push(indices.to_vec());
        points_of(indices, &device)
    })
    .shuffled(3);
    let plain_device = common::device().inner();
    let same = Loader::new(ITEMS, BATCH, move |indices, _| points_of(indices, &plain_device)).shuffled(3);
    let config = TrainConfig { overfit_batches: Some(2), sanity_batches: 0, ..TrainConfig::epochs(60) };
    let schedule = schedule("type = 'fixed'");
    let model = net().freeze_dropout();
    let fitted = Trainer::new(config)
        .metric(AccuracyMetric::new())
        .fit(model, optimizer("type = 'adam'\nlr = 0.02"), schedule, &data, Some(&same))
        .expect("trains");
    let seen = seen.lock().expect("the lock");
    assert_eq!((fitted.report.steps, seen.len()), (120, 120));
    assert!(seen.chunks(2).all(|epoch| *epoch == seen[..2]));
    assert_eq!(fitted.report.last("valid.accuracy"), Some(100.0), "{}", fitted.report);
    let valid: Vec<Points> = same.epoch(0, 0).take(2).map(|batch| batch.expect("a batch").input).collect();
    assert_eq!(valid[0].x.dims()[0], BATCH);
}
