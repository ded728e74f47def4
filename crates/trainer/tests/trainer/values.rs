//! Named values beside the loss: scalars of the steps, and what callbacks find out about the model.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use burn::{
    module::Module,
    train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep, metric::AccuracyMetric},
};
use lr_core::{Duration, Mode};
use trainer::{
    Callback, CallbackError, CheckpointPolicy, EarlyStopping, ModelEvent, Moment, OnNonFinite, ScalarOutput,
    StopReason, TrainConfig, TrainError, Trainer,
    callbacks::{Background, CallbackList, JsonLines, LogLine},
    checkpoint,
};

use crate::common::{Net, Points, StopAfter, alone, net, optimizer, schedule, train_data, valid_data};

const ADAM: &str = "type = 'adam'\nlr = 0.02";
const FIXED: &str = "type = 'fixed'";

/// `Net` whose steps give two scalars, one of them the loss again.
#[derive(Module, Debug)]
struct Measured {
    net: Net,
}

fn output(output: &ClassificationOutput) -> ScalarOutput {
    let confidence = output.output.clone().abs().mean_dim(1).flatten::<1>(0, 1);
    ScalarOutput::new(output.loss.clone()).with("again", output.loss.clone()).with("size", confidence)
}

impl TrainStep for Measured {
    type Input = Points;
    type Output = ScalarOutput;
    fn step(&self, batch: Points) -> TrainOutput<ScalarOutput> {
        let TrainOutput { grads, item } = TrainStep::step(&self.net, batch);
        TrainOutput { grads, item: output(&item) }
    }
}

impl InferenceStep for Measured {
    type Input = Points;
    type Output = ScalarOutput;
    fn step(&self, batch: Points) -> ScalarOutput {
        output(&InferenceStep::step(&self.net, batch))
    }
}

fn lines(path: &std::path::Path) -> Vec<LogLine> {
    let text = std::fs::read_to_string(path).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

#[test]
fn scalars_are_means_as_the_loss_is_and_everyone_knows_them() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("metrics.jsonl");
    let config = TrainConfig {
        accumulate: 2,
        log_every: Duration::Steps(1),
        early_stopping: Some(EarlyStopping {
            mode: Some(Mode::Min),
            patience: 99.into(),
            ..EarlyStopping::new("valid.again")
        }),
        checkpoint: Some(CheckpointPolicy {
            keep_best: "train.size".to_owned(),
            ..CheckpointPolicy::new(dir.path().join("checkpoints"))
        }),
        ..TrainConfig::epochs(3)
    };
    let plateau = schedule("type = 'reduce_on_plateau'\nmonitor = 'train.again'\npatience = 5");
    let report = Trainer::new(config)
        .scalars(["again", "size"])
        .callback(JsonLines::new(&log))
        .fit(Measured { net: net() }, optimizer(ADAM), plateau, &train_data(), Some(&valid_data()))
        .expect("trains")
        .report;
    for epoch in &report.epochs {
        assert!((epoch.values["train.again"] - epoch.values["train.loss"]).abs() < 1e-6, "{:?}", epoch.values);
        assert!((epoch.values["valid.again"] - epoch.values["valid.loss"]).abs() < 1e-6, "{:?}", epoch.values);
    }
    for line in lines(&log) {
        let again = line.metrics["again"].expect("a number");
        assert!((again - line.loss.expect("a loss")).abs() < 1e-6, "{line:?}");
        assert!(line.metrics["size"].is_some_and(f64::is_finite), "{line:?}");
    }
    let newest = checkpoint::newest(&dir.path().join("checkpoints")).expect("a checkpoint").checkpoint;
    assert!(newest.state().best.is_some() && newest.state().early_best.is_some());
}

#[test]
fn a_scalar_that_was_not_announced_and_a_name_that_is_taken_are_refused() {
    let _alone = alone();
    let fit = |names: &[&str]| {
        let trainer = Trainer::new(TrainConfig::epochs(1)).scalars(names.iter().copied());
        trainer.fit(Measured { net: net() }, optimizer(ADAM), schedule(FIXED), &train_data(), None)
    };
    let message = |names: &[&str]| fit(names).expect_err("refused").to_string();
    assert_eq!(message(&["again"]), "a step gives a scalar `size`, and `Trainer::scalars` announced again");
    assert_eq!(
        message(&["again", "size", "lr"]),
        "`lr`, a value of the steps, is the name of something else in the log"
    );
    assert_eq!(
        message(&["size", "again", "size"]),
        "`size`, a value of the steps, is the name of something else in the log"
    );
}

/// Measures the size of the first bias, and notes when it looked.
struct Norm {
    seen: Arc<Mutex<Vec<String>>>,
    values: Vec<&'static str>,
    gives: &'static str,
    /// The step at which it is no number; 0 for none.
    undefined_at: u64,
}

impl Norm {
    fn new() -> Self {
        Self {
            seen: Arc::default(),
            values: vec!["train.norm", "train.last", "valid.norm"],
            gives: "",
            undefined_at: 0,
        }
    }
}

fn norm(net: &Net) -> f64 {
    net.first_layer().weight.val().inner().powf_scalar(2.0).sum().into_scalar::<f32>().into()
}

impl Callback for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }
    fn values(&self) -> Vec<String> {
        self.values.iter().map(ToString::to_string).collect()
    }
    fn on_model(&mut self, event: &ModelEvent<'_>) -> Result<BTreeMap<String, f64>, CallbackError> {
        let net: &Net = event.model().ok_or_else(|| CallbackError::new("norm", "another model"))?;
        assert!(event.model::<Measured>().is_none());
        self.seen.lock().expect("the lock").push(format!("{:?} {}", event.moment, event.step));
        let name = match event.moment {
            Moment::Step { .. } => "train.norm",
            Moment::Validation => "valid.norm",
            Moment::Epoch => "train.last",
        };
        let name = if self.gives.is_empty() { name } else { self.gives };
        let value = if event.step == self.undefined_at { f64::NAN } else { norm(net) };
        Ok(BTreeMap::from([(name.to_owned(), value)]))
    }
}

#[test]
fn callbacks_see_the_model_and_what_they_find_is_in_the_log() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("metrics.jsonl");
    let config = TrainConfig {
        log_every: Duration::Steps(4),
        early_stopping: Some(EarlyStopping {
            mode: Some(Mode::Min),
            patience: 1.into(),
            ..EarlyStopping::new("valid.norm")
        }),
        ..TrainConfig::epochs(5)
    };
    let callback = Norm::new();
    let seen = Arc::clone(&callback.seen);
    let fitted = Trainer::new(config)
        .metric(AccuracyMetric::new())
        .callback(CallbackList::new("both").with(callback))
        .callback(Background::new(JsonLines::new(&log)))
        .fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), Some(&valid_data()))
        .expect("trains");
    let report = &fitted.report;
    assert_eq!(report.stopped, StopReason::EarlyStopping, "the norm grows");
    assert_eq!(report.last("train.last"), Some(norm(&fitted.model)));
    assert_eq!(report.last("valid.norm"), Some(norm(&fitted.model)));
    let lines = lines(&log);
    let of_steps: Vec<(u64, f64)> = lines
        .iter()
        .filter(|line| line.split == trainer::Split::Train && line.every == lr_core::Interval::Step)
        .map(|line| (line.step, line.metrics["norm"].expect("a number")))
        .collect();
    assert_eq!(of_steps.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 4, 8, 12]);
    let of_epochs: Vec<&LogLine> = lines.iter().filter(|line| line.every == lr_core::Interval::Epoch).collect();
    assert!(of_epochs.iter().all(|line| line.metrics.contains_key("norm")), "{of_epochs:?}");
    let mean = report.epochs[0].values["train.norm"];
    assert!(of_steps[0].1 < mean && mean < of_steps[2].1, "{mean} between {of_steps:?}");
    let seen = seen.lock().expect("the lock");
    assert_eq!(
        seen[..8],
        [
            "Step { is_logged: true } 1",
            "Step { is_logged: false } 2",
            "Step { is_logged: false } 3",
            "Step { is_logged: true } 4",
            "Step { is_logged: false } 5",
            "Step { is_logged: false } 6",
            "Validation 6",
            "Epoch 6",
        ]
    );
}

#[test]
fn the_mean_over_an_epoch_survives_a_resumption_and_a_value_that_is_no_number() {
    let _alone = alone();
    let fit = |directory: &std::path::Path, stop_after| {
        let callback = Norm { undefined_at: 2, ..Norm::new() };
        let trainer = Trainer::new(TrainConfig::epochs(2)).callback(callback).callback(StopAfter(stop_after));
        let trainer = trainer.checkpoints(directory).resume_if_any();
        trainer.fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), Some(&valid_data())).expect("trains").report
    };
    let (whole, cut) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = fit(whole.path(), None);
    assert_eq!(fit(cut.path(), Some(4)).steps, 4);
    let resumed = fit(cut.path(), None);
    assert_eq!(resumed.resumed_from, Some(4));
    for (one, other) in resumed.epochs.iter().zip(&expected.epochs) {
        assert_eq!(one.values, other.values);
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    let _alone = alone();
    let message = |values: &[&'static str], gives: &'static str| {
        let callback = Norm { values: values.to_vec(), gives, ..Norm::new() };
        let trainer = Trainer::new(TrainConfig::epochs(1)).metric(AccuracyMetric::new()).callback(callback);
        let fitted = trainer.fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), Some(&valid_data()));
        fitted.expect_err("refused").to_string()
    };
    let taken = "`valid.accuracy`, a value of the callback `norm`, is the name of something else in the log";
    assert_eq!(message(&["valid.accuracy"], ""), taken);
    let taken = "`train.loss`, a value of the callback `norm`, is the name of something else in the log";
    assert_eq!(message(&["train.loss"], ""), taken);
    let nowhere = "callback `norm`: its value `norm` begins neither with `train.` nor with `valid.`";
    assert_eq!(message(&["norm"], ""), nowhere);
    let unannounced = message(&["train.norm"], "train.form");
    assert!(
        unannounced.starts_with("callback `norm`: it gives `train.form` of Step { is_logged: true }"),
        "{unannounced}"
    );
    let elsewhere = message(&["valid.norm"], "valid.norm");
    assert!(elsewhere.starts_with("callback `norm`: it gives `valid.norm` of Step"), "{elsewhere}");
}

#[test]
fn a_monitor_that_nothing_gives_is_refused_and_one_of_a_callback_is_not() {
    let _alone = alone();
    let fit = |monitor: &str, validates: bool| {
        let early_stopping = Some(EarlyStopping::new(monitor));
        let trainer = Trainer::new(TrainConfig { early_stopping, ..TrainConfig::epochs(1) }).callback(Norm::new());
        let valid = valid_data();
        let valid: Option<&dyn trainer::data::Source<Points>> = if validates { Some(&valid) } else { None };
        trainer.fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), valid).map(drop)
    };
    assert!(fit("valid.norm", true).is_ok() && fit("train.last", false).is_ok());
    match (fit("valid.norm", false), fit("valid.form", true)) {
        (Err(TrainError::UnknownMonitor { known, .. }), Err(TrainError::UnknownMonitor { .. })) => {
            assert_eq!(known, ["train.loss", "train.norm", "train.last"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listener_on_a_thread_does_not_see_the_model() {
    let _alone = alone();
    let trainer = Trainer::new(TrainConfig::epochs(1)).callback(Background::new(Norm::new()));
    let refused = trainer.fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), None).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "callback `norm`: it gives `train.norm` of the model, which another thread does not see"
    );
}

#[test]
fn resuming_needs_a_folder_and_does_not_start_over_a_damaged_one() {
    let _alone = alone();
    let fit =
        |trainer: Trainer<Net>| trainer.fit(net(), optimizer(ADAM), schedule(FIXED), &train_data(), None).map(drop);
    let config = || TrainConfig { on_nonfinite: OnNonFinite::Stop, ..TrainConfig::epochs(1) };
    let refused = fit(Trainer::new(config()).resume_if_any()).expect_err("no folder").to_string();
    assert!(refused.starts_with("checkpoint: there is nothing to resume"), "{refused}");
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("not/there/yet");
    fit(Trainer::new(config()).checkpoints(&folder).resume_if_any()).expect("begins");
    fit(Trainer::new(config()).resume_if_any().checkpoints(&folder)).expect("has nothing left to do");
    let newest = checkpoint::newest(&folder).expect("a checkpoint").checkpoint.path().join("model.bpk");
    std::fs::write(newest, "damaged").expect("a file");
    match fit(Trainer::new(config()).checkpoints(&folder).resume_if_any()) {
        Err(TrainError::Checkpoint(checkpoint::CheckpointError::None { skipped, .. })) => assert_eq!(skipped.len(), 1),
        other => panic!("{other:?}"),
    }
}
