//! What callbacks hear and in which order, what they keep, and how they end a run.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::common::{alone, net, newest_only, optimizer, poisoned_data, schedule, train_data, valid_data};
use lr_core::Duration;
use serde_json::json;
use trainer::{
    Callback, CallbackError, CheckpointEvent, CheckpointPolicy, EpochEvent, FitReport, Flow, OnNonFinite, RunInfo,
    StepEvent, StopReason, TrainConfig, TrainError, Trainer, ValidationEvent, checkpoint,
};

const ADAM: &str = "type = 'adam'\nlr = 0.02";

/// Writes down what it hears.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().expect("the lock").push(text.into());
    }
    fn read(&self) -> Vec<String> {
        self.0.lock().expect("the lock").clone()
    }
}

impl Callback for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }
    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.note(format!("start at {}", run.steps_done));
        Ok(())
    }
    fn on_epoch_start(&mut self, epoch: u64) -> Result<(), CallbackError> {
        self.note(format!("epoch {epoch} begins"));
        Ok(())
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.note(format!("step {}", event.step));
        Ok(Flow::Continue)
    }
    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        self.note(format!("validation {}", event.step));
        Ok(Flow::Continue)
    }
    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.note(format!("epoch {} ends", event.summary.epoch));
        Ok(Flow::Continue)
    }
    fn on_checkpoint(&mut self, event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        assert!(!event.path.exists(), "before it is written");
        self.note(format!("checkpoint {}", event.path.file_name().expect("a name").to_string_lossy()));
        Ok(())
    }
    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.note("end");
        Ok(())
    }
}

/// Counts steps over the processes of a run, and ends it after one of them.
struct Counter {
    name: &'static str,
    steps: u64,
    stop_at: Option<u64>,
    loads: Arc<Mutex<Vec<u64>>>,
}

impl Counter {
    fn new(name: &'static str, stop_at: Option<u64>) -> Self {
        Self { name, steps: 0, stop_at, loads: Arc::default() }
    }
}

impl Callback for Counter {
    fn name(&self) -> &str {
        self.name
    }
    fn on_step(&mut self, _event: &StepEvent) -> Result<Flow, CallbackError> {
        self.steps += 1;
        Ok(if self.stop_at == Some(self.steps) { Flow::Stop("enough".to_owned()) } else { Flow::Continue })
    }
    fn state(&self) -> Option<serde_json::Value> {
        Some(json!({ "steps": self.steps }))
    }
    fn load_state(&mut self, state: serde_json::Value) -> Result<(), CallbackError> {
        let steps = state["steps"].as_u64().ok_or_else(|| CallbackError::new(self.name, "no number of steps"))?;
        self.loads.lock().expect("the lock").push(steps);
        self.steps = steps;
        Ok(())
    }
}

fn config(directory: &Path) -> TrainConfig {
    TrainConfig {
        checkpoint: Some(CheckpointPolicy { keep_last: 9, ..newest_only(directory) }),
        ..TrainConfig::epochs(2)
    }
}

#[test]
fn events_come_in_order() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let diary = Diary::default();
    let config = TrainConfig { validate_every: Duration::Epochs(0.5), accumulate: 3, ..config(dir.path()) };
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config)
        .callback(diary.clone())
        .fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data()))
        .expect("trains");
    let expected = [
        "start at 0",
        "epoch 0 begins",
        "step 1",
        "validation 1",
        "step 2",
        "validation 2",
        "epoch 0 ends",
        "checkpoint step-00000002",
        "epoch 1 begins",
        "step 3",
        "validation 3",
        "step 4",
        "validation 4",
        "epoch 1 ends",
        "checkpoint step-00000004",
        "end",
    ];
    assert_eq!(diary.read(), expected);
}

#[test]
fn a_state_is_kept_over_processes() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let fit = |counter: Counter, resume: bool| {
        let config = config(dir.path());
        let schedule = schedule("type = 'fixed'");
        let mut trainer = Trainer::new(config).callback(counter).callback(Diary::default());
        if resume {
            trainer = trainer.resume(checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint);
        }
        trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), None).expect("trains").report
    };
    let first = fit(Counter::new("counter", Some(4)), false);
    assert_eq!((first.stopped, first.steps), (StopReason::Callback("enough".to_owned()), 4));
    let second = Counter::new("counter", Some(9));
    let loads = Arc::clone(&second.loads);
    let second = fit(second, true);
    assert_eq!(*loads.lock().expect("the lock"), [4]);
    assert_eq!((second.stopped, second.steps), (StopReason::Callback("enough".to_owned()), 9), "4 and 5 more");
    // A callback of another name is no heir.
    let other = Counter::new("another", None);
    let loads = Arc::clone(&other.loads);
    fit(other, true);
    assert!(loads.lock().expect("the lock").is_empty());
}

#[test]
fn going_back_takes_the_callbacks_along() {
    let _alone = alone();
    let config = TrainConfig { on_nonfinite: OnNonFinite::Rollback, ..TrainConfig::epochs(1) };
    let schedule = schedule("type = 'fixed'");
    let counter = Counter::new("counter", None);
    let loads = Arc::clone(&counter.loads);
    Trainer::new(config)
        .callback(counter)
        .fit(net(), optimizer(ADAM), schedule, &poisoned_data(), None)
        .expect("goes back");
    assert_eq!(*loads.lock().expect("the lock"), [0], "the state at the start");
}

#[test]
fn two_states_of_one_name_are_refused() {
    let _alone = alone();
    let config = TrainConfig::epochs(1);
    let schedule = schedule("type = 'fixed'");
    let trainer = Trainer::new(config).callback(Counter::new("twin", None)).callback(Counter::new("twin", None));
    match trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), None) {
        Err(TrainError::DuplicateCallback { name }) => assert_eq!(name, "twin"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}
