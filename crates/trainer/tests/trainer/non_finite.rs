//! Losses, gradients and parameters that are not finite: stop, skip, go back.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::common::{
    Net, Points, alone, bits, net, newest_only, optimizer, poisoned_data, schedule, steep_data, train_data, valid_data,
};
use lr_core::Duration;
use trainer::{
    Callback, CallbackError, CheckpointPolicy, Ema, Fitted, Flow, NonFiniteEvent, OnNonFinite, StepEvent, TrainConfig,
    TrainError, Trainer, checkpoint,
    data::{Loader, Source},
};

const ADAM: &str = "type = 'adam'\nlr = 0.01";

fn finite(model: &Net) -> bool {
    bits(model).chunks_exact(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite())
}

/// A fault: step, whether the loss is finite, parameter, action.
type Heard = (u64, bool, Option<String>, OnNonFinite);

/// What was heard: the steps, and the faults.
#[derive(Clone, Default)]
struct Ears {
    steps: Arc<Mutex<Vec<StepEvent>>>,
    faults: Arc<Mutex<Vec<Heard>>>,
}

impl Callback for Ears {
    fn name(&self) -> &'static str {
        "ears"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.steps.lock().expect("the lock").push(event.clone());
        Ok(Flow::Continue)
    }
    fn on_non_finite(&mut self, event: &NonFiniteEvent<'_>) -> Result<(), CallbackError> {
        let parameter = event.parameter.map(str::to_owned);
        self.faults.lock().expect("the lock").push((event.step, event.loss.is_finite(), parameter, event.action));
        Ok(())
    }
}

fn fit(config: TrainConfig, data: &Loader<Points>, ears: &Ears) -> Result<Fitted<Net>, TrainError> {
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config).callback(ears.clone()).fit(net(), optimizer(ADAM), schedule, data, Some(&valid_data()))
}

/// The step (from 1) of the first epoch whose batch holds item 5.
fn bad_step(data: &Loader<Points>) -> u64 {
    bad_step_of(data, 0)
}

/// The step (from 1, within its epoch) whose batch holds item 5.
fn bad_step_of(data: &Loader<Points>, epoch: u64) -> u64 {
    let bad = |batch: Points| batch.scale.is_infinite() || batch.steep;
    let at = data.epoch(epoch, 0).position(|batch| bad(batch.expect("a batch").input));
    at.expect("one is bad") as u64 + 1
}

#[test]
fn it_stops_within_the_step() {
    let _alone = alone();
    // A loss; a gradient under a finite loss, seen by clipping or without it.
    for (name, data, clip_grad_norm, clip_grad_value) in [
        ("loss", poisoned_data(), None, None),
        ("gradient", steep_data(), None, None),
        ("gradient, clipped by norm", steep_data(), Some(1.0), None),
        ("gradient, clipped by value", steep_data(), None, Some(1.0)),
        ("gradient, clipped by both", steep_data(), Some(1.0), Some(1.0)),
    ] {
        let ears = Ears::default();
        let config = TrainConfig { clip_grad_norm, clip_grad_value, ..TrainConfig::epochs(2) };
        let expected = bad_step(&data);
        match (fit(config, &data, &ears), name) {
            (Err(TrainError::NonFinite { step, epoch: 0, loss, .. }), "loss") => {
                assert!(loss.is_infinite());
                assert_eq!(step, expected);
            }
            (Err(TrainError::NonFiniteGradient { step, epoch: 0, parameter, loss, .. }), name) if name != "loss" => {
                assert!(loss.is_finite());
                assert_eq!((step, parameter.as_str()), (expected, "first.weight"), "{name}");
            }
            (Err(other), _) => panic!("{name}: {other}"),
            (Ok(_), _) => panic!("{name}: went on"),
        }
        assert_eq!(ears.steps.lock().expect("the lock").len() as u64, expected - 1, "{name}");
        let faults = ears.faults.lock().expect("the lock");
        let gradient = (name != "loss").then(|| "first.weight".to_owned());
        assert_eq!(*faults, [(expected, name != "loss", gradient, OnNonFinite::Stop)], "{name}");
    }
}

#[test]
fn it_skips_the_step_and_goes_on() {
    let _alone = alone();
    for (name, data, clip_grad_norm) in
        [("loss", poisoned_data(), None), ("gradient", steep_data(), None), ("clipped", steep_data(), Some(1.0))]
    {
        let ears = Ears::default();
        let config = TrainConfig { on_nonfinite: OnNonFinite::Skip, clip_grad_norm, ..TrainConfig::epochs(2) };
        let fitted = fit(config, &data, &ears).expect("goes on");
        assert_eq!((fitted.report.skipped_steps, fitted.report.steps), (2, 12), "{name}: one per epoch");
        assert!(finite(&fitted.model), "{name}");
        assert!(fitted.report.last("train.loss").is_some_and(f64::is_finite), "{name}");
        let skipped = ears.steps.lock().expect("the lock").iter().filter(|event| event.skipped).count();
        assert_eq!(skipped, 2, "{name}");
    }
}

/// A checkpoint behind a step that was left out knows the rate to blame, so that a resumed run blames what a whole one does.
#[test]
fn a_checkpoint_knows_the_rate_to_blame() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let policy = CheckpointPolicy { every: Duration::Steps(1), keep_last: 100, ..newest_only(dir.path()) };
    let config = TrainConfig { on_nonfinite: OnNonFinite::Skip, checkpoint: Some(policy), ..TrainConfig::epochs(2) };
    let fitted = fit(config, &poisoned_data(), &Ears::default()).expect("goes on");
    let bad = fitted.report.steps / 2 + bad_step_of(&poisoned_data(), 1);
    let checkpoint = checkpoint::open(&checkpoint::path_of(dir.path(), bad)).expect("a checkpoint");
    let state = checkpoint.state();
    assert_eq!((state.step, state.skipped, state.suspect), (bad, true, Some(0.01)));
}

/// Where not every step is looked at, one of the next that is ends the run: the weights are no longer finite.
#[test]
fn it_stops_within_check_every_steps() {
    let _alone = alone();
    let ears = Ears::default();
    let config =
        TrainConfig { check_every: Duration::Ticks(4), log_every: Duration::Ticks(1_000), ..TrainConfig::epochs(3) };
    let expected = bad_step(&steep_data());
    match fit(config, &steep_data(), &ears) {
        // In one of the steps looked at, or at the epoch's end, where the weights are.
        Err(
            TrainError::NonFinite { step, .. }
            | TrainError::NonFiniteGradient { step, .. }
            | TrainError::NonFiniteParameter { step, .. },
        ) => assert!((expected..expected + 4).contains(&step), "{step}, bad was {expected}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("went on"),
    }
}

fn rollback(max: u64, lr_factor: f64) -> TrainConfig {
    TrainConfig {
        on_nonfinite: OnNonFinite::Rollback,
        max_rollbacks: max,
        rollback_lr_factor: lr_factor,
        ..TrainConfig::epochs(2)
    }
}

#[test]
fn it_goes_back_to_the_last_good_state() {
    let _alone = alone();
    // A gradient under a finite loss shows in the update itself, which has then spoilt weights and moments.
    for (name, data) in [("loss", poisoned_data as fn() -> Loader<Points>), ("gradient", steep_data)] {
        let bad = bad_step(&data());
        assert!(bad > 1, "there is something to go back from");
        // Without checkpoints the state is that of the start: a run that ends with the bad step ends where it began,
        // moments and average included.
        let config = TrainConfig { epochs: Some(Duration::Steps(bad)), ema: Some(Ema::new(0.5)), ..rollback(3, 1.0) };
        let ears = Ears::default();
        let fitted = fit(config, &data(), &ears).expect("goes back");
        assert!(bits(&fitted.model) == bits(&net()), "{name}");
        assert!(bits(fitted.eval_model()) == bits(&net()), "{name}: there is no average yet");
        let fresh = optimizer(ADAM).to_bytes().expect("bytes");
        assert_eq!(fitted.optimizer.to_bytes().expect("bytes"), fresh, "{name}");
        assert_eq!((fitted.report.rollbacks, fitted.report.skipped_steps, fitted.report.steps), (1, 1, bad), "{name}");
        let faults = ears.faults.lock().expect("the lock");
        let gradient = (name != "loss").then(|| "first.weight".to_owned());
        assert_eq!(*faults, [(bad, name != "loss", gradient, OnNonFinite::Rollback)], "{name}");

        // In the second epoch it goes back to the end of the first.
        let first =
            fit(TrainConfig { epochs: Some(Duration::Epochs(1.0)), ..rollback(3, 1.0) }, &data(), &Ears::default())
                .expect("trains");
        let config = TrainConfig { epochs: Some(Duration::Steps(6 + bad_step_of(&data(), 1))), ..rollback(3, 1.0) };
        let second = fit(config, &data(), &Ears::default()).expect("goes back");
        assert!(bits(&second.model) == bits(&first.model), "{name}");
        assert_eq!(second.report.rollbacks, 2, "{name}");
    }
}

/// The bad step leaves nothing behind: neither a checkpoint of what it has made of the weights, nor an average.
#[test]
fn what_stops_a_run_is_in_no_checkpoint() {
    let _alone = alone();
    for data in [poisoned_data as fn() -> Loader<Points>, steep_data] {
        let dir = tempfile::tempdir().expect("a folder");
        let bad = bad_step(&data());
        let config = TrainConfig {
            ema: Some(Ema::new(0.5)),
            checkpoint: Some(CheckpointPolicy { every: Duration::Steps(1), ..newest_only(dir.path()) }),
            ..TrainConfig::epochs(2)
        };
        fit(config.clone(), &data(), &Ears::default()).expect_err("stops");
        let last = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        assert_eq!(last.state().step, bad - 1);
        assert!(finite(&last.model(net()).expect("a model")));
        assert!(finite(&last.module("ema.bpk", net()).expect("an average")));
        // And it is the one that a run leaves that ends there.
        let there = tempfile::tempdir().expect("a folder");
        let config = TrainConfig {
            epochs: Some(Duration::Steps(bad - 1)),
            checkpoint: Some(newest_only(there.path())),
            ..config
        };
        fit(config, &data(), &Ears::default()).expect("trains");
        let expected = checkpoint::newest(there.path()).expect("a checkpoint").checkpoint;
        for name in ["model.bpk", "optimizer.bpk", "ema.bpk"] {
            assert!(last.part(name).is_some() && last.part(name) == expected.part(name), "{name}");
        }
    }
}

#[test]
fn each_time_the_rate_falls_and_at_last_it_gives_up() {
    let _alone = alone();
    let ears = Ears::default();
    fit(rollback(3, 0.5), &poisoned_data(), &ears).expect("goes back twice");
    let lrs: Vec<f64> = ears.steps.lock().expect("the lock").iter().map(|event| event.lr).collect();
    let bad: Vec<usize> = ears
        .steps
        .lock()
        .expect("the lock")
        .iter()
        .enumerate()
        .filter(|(_, event)| event.skipped)
        .map(|(i, _)| i)
        .collect();
    assert_eq!(bad.len(), 2);
    for (i, lr) in lrs.iter().enumerate() {
        let gone_back = bad.iter().filter(|bad| i > **bad).count();
        assert_eq!(*lr, 0.01 * 0.5_f64.powi(gone_back as i32), "step {}", i + 1);
    }
    match fit(rollback(1, 1.0), &poisoned_data(), &Ears::default()) {
        Err(TrainError::TooManyRollbacks { rollbacks: 1, source }) => {
            assert!(matches!(*source, TrainError::NonFinite { epoch: 1, .. }), "{source}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("went on"),
    }
}

/// Weights that overflow in an update are not saved over good ones.
#[test]
fn a_checkpoint_of_broken_weights_is_not_written() {
    let _alone = alone();
    let train = |directory: &Path, on_nonfinite, epochs| {
        let config = TrainConfig {
            on_nonfinite,
            sanity_batches: 0,
            checkpoint: Some(newest_only(directory)),
            ..TrainConfig::epochs(epochs)
        };
        // The last step of the second epoch has a rate that no weight survives.
        let huge = "type = 'expression'\ninterval = 'step'\nexpression = 'if(t == 11, 1e300, 1)'";
        let schedule = schedule(huge);
        Trainer::new(config).fit(net(), optimizer("type = 'sgd'\nlr = 0.01"), schedule, &train_data(), None)
    };
    for action in [OnNonFinite::Stop, OnNonFinite::Skip] {
        let dir = tempfile::tempdir().expect("a folder");
        match train(dir.path(), action, 3) {
            Err(TrainError::NonFiniteParameter { step: 12, parameter, lr }) => {
                assert_eq!((parameter.as_str(), lr), ("first.weight", Some(0.01 * 1e300)));
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("saved"),
        }
        assert_eq!(checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint.state().step, 6);
    }
    let dir = tempfile::tempdir().expect("a folder");
    let fitted = train(dir.path(), OnNonFinite::Rollback, 3).expect("goes back");
    assert!(finite(&fitted.model));
    assert_eq!((fitted.report.rollbacks, fitted.report.steps), (1, 18));
}
