//! Logs: what they hold, what a resumed run leaves of them, and that they can be written on a thread of their own.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use crate::common::{ITEMS, alone, net, newest_only, optimizer, schedule, train_data, valid_data};
use burn::train::metric::{AccuracyMetric, LossMetric};
use lr_core::Duration;
use report::tensorboard::{Happening, read_events, read_scalars};
use trainer::{
    Callback, CallbackError, CheckpointEvent, CheckpointPolicy, EpochEvent, EpochSummary, FitReport, Flow, Logged,
    RunInfo, StepEvent, TrainConfig, TrainError, Trainer, ValidationEvent,
    callbacks::{Background, CallbackList, Csv, JsonLines, LogLine, TensorBoard},
    checkpoint,
};

const ADAM: &str = "type = 'adam'\nlr = 0.01";

fn run_info(steps_done: u64) -> RunInfo {
    RunInfo {
        epochs: 2,
        total_steps: 12,
        steps_per_epoch: 6,
        items: ITEMS,
        steps_done,
        over: false,
        saved_in_turn: true,
        logged: logged(steps_done),
        parameters: 1,
    }
}

/// What [`tell`] tells up to a step.
fn logged(done: u64) -> Logged {
    let multiples = |of: u64| (1..=done / of).map(|count| count * of).collect();
    Logged { steps: multiples(1), epochs: multiples(6), validations: multiples(3) }
}

fn step(step: u64) -> StepEvent {
    StepEvent {
        step,
        epoch: (step - 1) / 6,
        lr: 0.1 / step as f64,
        momentum: step.is_multiple_of(2).then_some(0.9),
        loss: Some(1.0 / step as f64),
        metrics: BTreeMap::from([("accuracy".to_owned(), step as f64)]),
        logged: true,
        skipped: false,
        seconds: step as f64,
        items: 1,
    }
}

fn epoch(step: u64) -> EpochSummary {
    let values = [("train.loss", 0.5), ("valid.loss", 0.25 * step as f64), ("valid.accuracy", step as f64)];
    EpochSummary {
        epoch: step / 6 - 1,
        step,
        lr: 0.1 / step as f64,
        momentum: None,
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        seconds: 2.0,
    }
}

fn fit_report() -> FitReport {
    let report = serde_json::json!({
        "parameters": 1, "steps": 12, "epochs": [], "stopped": { "kind": "finished" }, "skipped_steps": 0,
        "rollbacks": 0, "restored": null, "seconds": 1.0, "elapsed": 1.0, "peak_memory": null, "items_per_second": 1.0,
        "times": trainer::TimeSpent::default(), "resumed_from": null,
    });
    serde_json::from_value(report).unwrap()
}

/// The three logs of a folder.
fn logs(folder: &Path) -> CallbackList {
    CallbackList::new("logs")
        .with(JsonLines::new(&folder.join("metrics.jsonl")))
        .with(Csv::new(&folder.join("metrics.csv")))
        .with(TensorBoard::new(folder).text("config", "[run]\nseed = 1"))
}

/// Tells steps `from..=to`, with the epochs that end there; a validation in the middle of each epoch, at its third step.
fn tell(log: &mut dyn Callback, from: u64, to: u64) {
    for number in from..=to {
        log.on_step(&step(number)).unwrap();
        let is_end = number % 6 == 0;
        if number % 6 == 3 || is_end {
            let summary = epoch(if is_end { number } else { number + 3 });
            let values: BTreeMap<String, f64> =
                summary.values.into_iter().filter(|(name, _)| name.starts_with("valid.")).collect();
            let epoch = (number - 1) / 6;
            log.on_validation(&ValidationEvent { step: number, epoch, values: &values, best: true, seconds: 0.5 })
                .unwrap();
        }
        if is_end {
            log.on_epoch(&EpochEvent { summary: &epoch(number), best: false }).unwrap();
        }
    }
}

fn lines(folder: &Path) -> Vec<LogLine> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines, the table, and TensorBoard's scalars by tag.
type Contents = (Vec<LogLine>, String, BTreeMap<String, Vec<(u64, f32)>>);

/// What each log of a folder holds, times left out.
fn contents(folder: &Path) -> Contents {
    let lines = lines(folder).into_iter().map(|line| LogLine { seconds: 0.0, ..line }).collect();
    (lines, fs::read_to_string(folder.join("metrics.csv")).unwrap(), read_scalars(folder).unwrap())
}

#[test]
fn three_logs_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = logs(folder.path());
    log.on_start(&run_info(0)).unwrap();
    tell(&mut log, 1, 12);
    log.on_end(&fit_report()).unwrap();

    let (lines, csv, events) = contents(folder.path());
    let valid: Vec<(u64, &str, Option<f64>)> = lines
        .iter()
        .filter(|line| line.split == trainer::Split::Valid)
        .map(|line| (line.step, line.every.name(), line.loss))
        .collect();
    // The third step's validation tells what the sixth's does, see `tell`; at an epoch's end it is told once.
    assert_eq!(
        valid,
        [(3, "step", Some(1.5)), (6, "epoch", Some(1.5)), (9, "step", Some(3.0)), (12, "epoch", Some(3.0))]
    );
    let expected = "\
step,epoch,seconds,lr,train.loss,train.accuracy,momentum,valid.accuracy,valid.loss,epoch_seconds,train.loss_epoch
1,0,1,0.1,1,1,,,,,
2,0,2,0.05,0.5,2,0.9,,,,
3,0,3,0.03333333333333333,0.3333333333333333,3,,,,,
3,0,,0.03333333333333333,,,,6,1.5,,
4,0,4,0.025,0.25,4,0.9,,,,
5,0,5,0.02,0.2,5,,,,,
6,0,6,0.016666666666666666,0.16666666666666666,6,0.9,,,,
6,0,,0.016666666666666666,,,,6,1.5,2,0.5
";
    assert!(csv.starts_with(expected), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 2 * 8);
    let all: Vec<(u64, f32)> = (1..=12).map(|step| (step, 1.0 / step as f32)).collect();
    assert_eq!(events["train/loss"], all);
    assert_eq!(events["valid/loss"], [(3, 1.5), (6, 1.5), (9, 3.0), (12, 3.0)]);
    assert_eq!(events["train/loss_epoch"], [(6, 0.5), (12, 0.5)]);
    assert_eq!(events["train/momentum"].len(), 6);
    let mut files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.to_string_lossy().contains("tfevents")).unwrap();
    let texts = read_events(&file).unwrap().into_iter().filter(|event| matches!(event.what, Happening::Text(..)));
    let texts: Vec<Happening> = texts.map(|event| event.what).collect();
    assert_eq!(texts, [Happening::Text("config".to_owned(), "    [run]\n    seed = 1".to_owned())]);
}

/// A run of `steps = 9` ends inside its second epoch, and is resumed to the end of it.
#[test]
fn an_epoch_that_was_gone_on_with_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = logs(folder.path());
    log.on_start(&run_info(0)).unwrap();
    tell(&mut log, 1, 9);
    let part = EpochSummary { epoch: 1, ..epoch(9) };
    log.on_epoch(&EpochEvent { summary: &part, best: false }).unwrap();
    log.on_end(&fit_report()).unwrap();
    drop(log);
    let epochs = |folder: &Path| -> Vec<(u64, u64)> {
        let epochs = lines(folder).into_iter().filter(|line| line.every == lr_core::Interval::Epoch);
        epochs.filter(|line| line.split == trainer::Split::Train).map(|line| (line.epoch, line.step)).collect()
    };
    assert_eq!(epochs(folder.path()), [(0, 6), (1, 9)]);

    let mut log = logs(folder.path());
    log.on_start(&run_info(9)).unwrap();
    tell(&mut log, 10, 12);
    log.on_end(&fit_report()).unwrap();
    assert_eq!(epochs(folder.path()), [(0, 6), (1, 12)]);
    // What was measured there stays, as what it was: a validation in the middle of an epoch.
    let valid = lines(folder.path()).into_iter().filter(|line| line.split == trainer::Split::Valid);
    let valid: Vec<(u64, &str)> = valid.map(|line| (line.step, line.every.name())).collect();
    assert_eq!(valid, [(3, "step"), (6, "epoch"), (9, "step"), (12, "epoch")]);
    let (_, csv, _) = contents(folder.path());
    let of_epochs = csv.lines().skip(1).filter(|row| !row.split(',').nth(9).unwrap_or_default().is_empty());
    assert_eq!(of_epochs.map(|row| row.split(',').next().unwrap()).collect::<Vec<_>>(), ["6", "12"], "{csv}");
}

/// Whatever the moment of the crash, and wherever the checkpoint is that the run goes on from.
#[test]
fn a_resumed_log_is_that_of_an_uninterrupted_run() {
    let whole = tempfile::tempdir().unwrap();
    let mut log = logs(whole.path());
    log.on_start(&run_info(0)).unwrap();
    tell(&mut log, 1, 12);
    log.on_end(&fit_report()).unwrap();
    let expected = contents(whole.path());

    for checkpoint in 1..=11 {
        for crash in checkpoint..=12 {
            let folder = tempfile::tempdir().unwrap();
            let mut first = logs(folder.path());
            first.on_start(&run_info(0)).unwrap();
            tell(&mut first, 1, checkpoint);
            let path = folder.path().join("step");
            first.on_checkpoint(&CheckpointEvent { step: checkpoint, path: &path, in_turn: true }).unwrap();
            tell(&mut first, checkpoint + 1, crash);
            drop(first);
            for name in ["metrics.jsonl", "metrics.csv"] {
                let torn = fs::read_to_string(folder.path().join(name)).unwrap() + "{\"step\": 1";
                fs::write(folder.path().join(name), torn).unwrap();
            }
            let mut second = logs(folder.path());
            second.on_start(&run_info(checkpoint)).unwrap();
            tell(&mut second, checkpoint + 1, 12);
            second.on_end(&fit_report()).unwrap();
            let found = contents(folder.path());
            assert_eq!(found.0, expected.0, "checkpoint {checkpoint}, crash {crash}");
            // A column may have come up in another order.
            assert_eq!(found.1, expected.1, "checkpoint {checkpoint}, crash {crash}");
            assert_eq!(found.2, expected.2, "checkpoint {checkpoint}, crash {crash}");
        }
    }
}

/// A checkpoint taken at the last step of an epoch, before its validation: the resumed run tells the epoch's end again.
#[test]
fn an_epoch_that_is_told_again_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = logs(folder.path());
    first.on_start(&run_info(0)).unwrap();
    tell(&mut first, 1, 7);
    drop(first);
    let before = contents(folder.path());
    let mut second = logs(folder.path());
    second.on_start(&run_info(6)).unwrap();
    second.on_epoch(&EpochEvent { summary: &epoch(6), best: false }).unwrap();
    tell(&mut second, 7, 7);
    second.on_end(&fit_report()).unwrap();
    let after = contents(folder.path());
    assert_eq!((after.0, after.1), (before.0, before.1));
}

/// `on_nonfinite = "rollback"`: the run goes back within one process.
#[test]
fn a_run_that_goes_back_leaves_one_history() {
    let (straight, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = logs(straight.path());
    log.on_start(&run_info(0)).unwrap();
    tell(&mut log, 1, 12);
    log.on_end(&fit_report()).unwrap();
    let mut log = logs(back.path());
    log.on_start(&run_info(0)).unwrap();
    tell(&mut log, 1, 10);
    tell(&mut log, 5, 12);
    log.on_end(&fit_report()).unwrap();
    assert_eq!(contents(back.path()), contents(straight.path()));
}

/// Writes down what it hears, after a token for each event has come.
struct Slow {
    heard: Arc<Mutex<Vec<String>>>,
    tokens: Receiver<()>,
    fails_at: u64,
}

impl Slow {
    fn hears(&self, what: String) {
        let _ = self.tokens.recv();
        self.heard.lock().unwrap().push(what);
    }
}

impl Callback for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.hears(format!("step {}", event.step));
        match event.step == self.fails_at {
            true if event.metrics.is_empty() => panic!("no metrics"),
            true => Err(CallbackError::new("slow", "the disk is full")),
            false if event.step == 100 => Ok(Flow::Stop("enough".to_owned())),
            false => Ok(Flow::Continue),
        }
    }
    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.hears(format!("epoch {}", event.summary.epoch));
        Ok(Flow::Continue)
    }
    fn on_checkpoint(&mut self, event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        self.hears(format!("checkpoint {}", event.step));
        Ok(())
    }
    fn on_end(&mut self, report: &FitReport) -> Result<(), CallbackError> {
        self.hears(format!("end {}", report.steps));
        Ok(())
    }
    fn state(&self) -> Option<serde_json::Value> {
        Some(self.heard.lock().unwrap().len().into())
    }
}

fn slow(fails_at: u64) -> (Background<Slow>, Arc<Mutex<Vec<String>>>, Sender<()>) {
    let (token, tokens) = channel();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut background = Background::new(Slow { heard: Arc::clone(&heard), tokens, fails_at });
    background.on_start(&run_info(0)).unwrap();
    (background, heard, token)
}

fn checkpoint_at(step: u64) -> CheckpointEvent<'static> {
    CheckpointEvent { step, path: Path::new("checkpoints/here"), in_turn: true }
}

#[test]
fn a_background_listener_does_not_hold_up_steps_and_is_waited_for_at_a_checkpoint() {
    let (mut background, heard, token) = slow(0);
    for number in 1..=3 {
        // No token yet: a listener on this thread would wait for ever.
        assert_eq!(background.on_step(&step(number)).unwrap(), Flow::Continue);
    }
    background.on_epoch(&EpochEvent { summary: &epoch(6), best: false }).unwrap();
    assert!(heard.lock().unwrap().is_empty());
    for _ in 0..6 {
        token.send(()).unwrap();
    }
    background.on_checkpoint(&checkpoint_at(3)).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["step 1", "step 2", "step 3", "epoch 0", "checkpoint 3"]);
    assert_eq!(background.state(), Some(5.into()), "the state belongs to the checkpoint");
    background.on_end(&fit_report()).unwrap();
    assert_eq!(heard.lock().unwrap().last().unwrap(), "end 12");
}

#[test]
fn what_a_background_listener_answers_comes_back() {
    let feed = |token: &Sender<()>| (0..10).for_each(|_| token.send(()).unwrap());
    // An error, at the next event that waits; then it is told nothing more.
    let (mut background, heard, token) = slow(2);
    feed(&token);
    for number in 1..=4 {
        background.on_step(&step(number)).unwrap();
    }
    let error = background.on_checkpoint(&checkpoint_at(4)).unwrap_err().to_string();
    assert_eq!(error, "callback `slow`: the disk is full");
    assert_eq!(*heard.lock().unwrap(), ["step 1", "step 2"]);

    // An error, at the next step.
    let (mut background, _, token) = slow(1);
    feed(&token);
    let answered = (1..10_000).find_map(|number| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        background.on_step(&step(number)).err()
    });
    assert_eq!(answered.expect("it comes back").to_string(), "callback `slow`: the disk is full");

    // The wish to stop.
    let (mut background, _, token) = slow(0);
    feed(&token);
    background.on_step(&step(100)).unwrap();
    background.on_checkpoint(&checkpoint_at(100)).unwrap();
    assert_eq!(background.on_step(&step(101)).unwrap(), Flow::Stop("enough".to_owned()));

    // A panic.
    let (mut background, _, token) = slow(1);
    feed(&token);
    background.on_step(&StepEvent { metrics: BTreeMap::new(), ..step(1) }).unwrap();
    let error = background.on_checkpoint(&checkpoint_at(1)).unwrap_err().to_string();
    assert_eq!(error, "callback `slow`: its thread panicked: no metrics");
    assert!(background.on_step(&step(2)).is_err(), "it is gone");
}

#[test]
fn a_background_listener_that_is_dropped_has_heard_everything() {
    let (mut background, heard, token) = slow(0);
    (0..3).for_each(|_| token.send(()).unwrap());
    for number in 1..=3 {
        background.on_step(&step(number)).unwrap();
    }
    drop(background);
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn a_log_that_cannot_be_opened_refuses_the_start() {
    let mut background = Background::new(logs(Path::new("/nowhere")));
    let error = background.on_start(&run_info(0)).unwrap_err().to_string();
    assert!(error.contains("/nowhere/metrics.jsonl"), "{error}");
}

/// Stops the run at a step as a failure does.
struct Fails(u64);
impl Callback for Fails {
    fn name(&self) -> &'static str {
        "fails"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        if event.step == self.0 { Err(CallbackError::new("fails", "on purpose")) } else { Ok(Flow::Continue) }
    }
}

/// A real run that fails after a checkpoint and goes on from it: its logs, written in the background, are those of a
/// run that never failed.
#[test]
fn background_logs_of_a_failed_and_resumed_run_are_whole() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let fit = |name: &str, fails_at: Option<u64>, resume: bool| {
        let out = folder.path().join(name);
        fs::create_dir_all(&out).unwrap();
        let policy = CheckpointPolicy { keep_last: 2, ..newest_only(out.join("checkpoints")) };
        let directory = policy.directory.clone();
        let config = TrainConfig { log_every: Duration::Ticks(1), checkpoint: Some(policy), ..TrainConfig::epochs(4) };
        let schedule = schedule("type = 'one_cycle'\nmax_lr = 0.1");
        let mut trainer = Trainer::new(config).metric(AccuracyMetric::new()).callback(Background::new(logs(&out)));
        if let Some(step) = fails_at {
            trainer = trainer.callback(Fails(step));
        }
        if resume {
            trainer = trainer.resume(checkpoint::newest(&directory).unwrap().checkpoint);
        }
        trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data())).map(|_| ())
    };
    fit("whole", None, false).expect("trains");
    assert!(matches!(fit("parts", Some(17), false), Err(TrainError::Callback(_))));
    let log = lines(&folder.path().join("parts"));
    assert_eq!(log.last().unwrap().step, 17, "the log holds what came before the failure");
    fit("parts", None, true).expect("goes on");

    let (whole, parts) = (contents(&folder.path().join("whole")), contents(&folder.path().join("parts")));
    assert_eq!(parts.0, whole.0);
    let untimed = |mut events: BTreeMap<String, Vec<(u64, f32)>>| {
        events.remove("time/epoch_seconds");
        events
    };
    assert_eq!(untimed(parts.2), untimed(whole.2));
    let steps = |csv: &str| -> Vec<String> {
        csv.lines().map(|row| row.split(',').take(2).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(steps(&parts.1), steps(&whole.1));
    assert_eq!(steps(&whole.1).len(), 1 + 24 + 4);
}

/// A metric that is called as something else in a log gets a key of its own: every line can be read, and a resumed log
/// holds each step once.
#[test]
fn a_metric_may_be_called_as_the_loss_or_as_another() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let fit = |epochs: u64, resume: bool| {
        let policy = newest_only(folder.path().join("checkpoints"));
        let directory = policy.directory.clone();
        let log_every = Duration::Ticks(1);
        let config = TrainConfig { log_every, checkpoint: Some(policy), ..TrainConfig::epochs(epochs) };
        let schedule = schedule("type = 'fixed'");
        let (loss, accuracy) = (LossMetric::new(), AccuracyMetric::new());
        let mut trainer =
            Trainer::new(config).metric(loss.clone()).metric(loss).metric(accuracy.clone()).metric(accuracy);
        trainer = trainer.callback(logs(folder.path()));
        if resume {
            trainer = trainer.resume(checkpoint::newest(&directory).unwrap().checkpoint);
        }
        trainer.fit(net(), optimizer(ADAM), schedule, &train_data(), Some(&valid_data())).map(|_| ()).expect("trains");
    };
    fit(2, false);
    fit(4, true);
    let lines = lines(folder.path());
    let steps: Vec<u64> = lines.iter().filter(|line| line.every.name() == "step").map(|line| line.step).collect();
    assert_eq!(steps, (1..=24).collect::<Vec<u64>>());
    for line in lines.iter().filter(|line| line.split == trainer::Split::Valid) {
        let keys: Vec<&str> = line.metrics.keys().map(String::as_str).collect();
        assert_eq!(keys, ["accuracy", "accuracy_2", "loss_2", "loss_3"]);
        let (loss, metric) = (line.loss.unwrap(), line.metrics["loss_2"].unwrap());
        assert!((loss - metric).abs() < 0.1 * loss.abs(), "{loss} and {metric}");
    }
    let csv = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let mut unique = header.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), header.len(), "{header:?}");
    assert!(!folder.path().join("metrics.jsonl.damaged-1").exists());
}
