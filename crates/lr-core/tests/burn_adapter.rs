//! The schedules inside burn: one call per optimizer step, in groups, saved and restored through burn's records.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use std::sync::{Arc, Mutex};

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::module::ParamGroup;
use lr_core::burn::BurnScheduler;
use lr_core::{Horizon, Registry, ScheduleConfig, Scheduler, StateError};

/// 4 steps per epoch, 10 epochs.
fn run() -> Horizon {
    Horizon::run(4, 40)
}

fn adapter(text: &str) -> BurnScheduler {
    let config = ScheduleConfig::from_toml_str(text).expect("a config");
    BurnScheduler::from_config(&config, &run(), 0.5).expect("an adapter")
}

/// Through bytes, as a checkpoint would hold it.
fn stored(record: LrSchedulerRecord) -> LrSchedulerRecord {
    LrSchedulerRecord::from_bytes(record.into_bytes().expect("bytes")).expect("a record")
}

#[test]
fn every_strategy_steps_as_the_scheduler_says() {
    for entry in Registry::standard().iter() {
        let config = ScheduleConfig::from_toml_str(entry.example()).expect(entry.name());
        let scheduler = Scheduler::from_config(&config, &run(), vec![0.5]).expect(entry.name());
        let mut adapter = BurnScheduler::from_config(&config, &run(), 0.5).expect(entry.name());
        let handle = adapter.handle();
        for step in 0..60 {
            assert_eq!(adapter.step(), scheduler.lr(0, step), "{} at {step}", entry.name());
            assert_eq!(handle.momentum(), scheduler.momentum(step), "{} at {step}", entry.name());
            assert_eq!((handle.steps(), handle.lr()), (step + 1, scheduler.lr(0, step)), "{}", entry.name());
            assert_eq!(handle.epoch(), scheduler.tick_of(step), "{}", entry.name());
        }
    }
}

#[test]
fn every_strategy_goes_on_from_its_record() {
    for entry in Registry::standard().iter() {
        let mut whole = adapter(entry.example());
        let heard = whole.handle();
        for step in 0..30 {
            whole.step();
            if step % 4 == 3 {
                heard.observe(1.0);
            }
        }
        let mut restored = adapter(entry.example());
        restored.try_load(&stored(whole.to_record())).expect(entry.name());
        let (a, b) = (whole.handle(), restored.handle());
        for step in 30..80 {
            assert_eq!(restored.step(), whole.step(), "{} at {step}", entry.name());
            if step % 4 == 3 {
                a.observe(1.0);
                b.observe(1.0);
            }
        }
    }
}

#[test]
fn metrics_reach_a_reactive_schedule_through_the_handle() {
    let mut scheduler = adapter("type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5");
    let handle = scheduler.handle();
    let mut epochs = Vec::new();
    for _ in 0..4 {
        let rates: Vec<f64> = (0..4).map(|_| scheduler.step()).collect();
        assert!(rates.iter().all(|lr| *lr == rates[0]), "one rate per epoch");
        epochs.push(rates[0]);
        handle.observe(1.0);
    }
    assert_eq!(epochs, [0.5, 0.5, 0.25, 0.125]);
}

#[test]
fn a_metric_not_yet_acted_on_is_in_the_record() {
    let text = "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5";
    let mut scheduler = adapter(text);
    let handle = scheduler.handle();
    for _ in 0..2 {
        for _ in 0..4 {
            scheduler.step();
        }
        handle.observe(1.0);
    }
    let mut restored = adapter(text);
    restored.try_load(&stored(scheduler.to_record())).expect("its own record");
    assert_eq!(restored.step(), 0.25);
}

#[test]
fn groups_have_their_own_schedules_and_are_restored_together() {
    let module = || {
        ModuleLrScheduler::new(adapter("type = 'exponential'\ngamma = 0.5"))
            .with_group(ParamGroup::from_predicate("head"), adapter("type = 'one_cycle'\nmax_lr = 1.0"))
    };
    let mut whole = module();
    for _ in 0..13 {
        whole.step();
    }
    let mut restored = module().load_record(stored(whole.to_record()));
    let id = burn::module::ParamId::new();
    for _ in 0..20 {
        let (a, b) = (restored.step(), whole.step());
        for path in ["head.weight", "body.weight"] {
            assert_eq!(a.lr_from_param(id, Some(path)), b.lr_from_param(id, Some(path)));
        }
        assert_ne!(a.lr_from_param(id, Some("head.weight")), a.lr_from_param(id, Some("body.weight")));
    }
}

#[test]
fn copies_count_their_own_steps_and_hear_all_metrics() {
    let mut one = adapter("type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\ninterval = 'step'");
    let handle = one.handle();
    let mut other = one.clone();
    for expected in [0.5, 0.5, 0.25] {
        assert_eq!((one.step(), other.step()), (expected, expected));
        handle.observe(1.0);
    }
}

#[test]
fn a_record_of_another_schedule_is_refused_with_the_reason() {
    let mut scheduler = adapter("type = 'step'\nstep_size = 3");
    scheduler.step();
    let other = stored(adapter("type = 'exponential'\ngamma = 0.5").to_record());
    assert_eq!(
        scheduler.try_load(&other).expect_err("another strategy").to_string(),
        "this state is of the schedule `exponential`, not of `step`"
    );
    let settings = stored(adapter("type = 'step'\nstep_size = 4").to_record());
    assert!(matches!(scheduler.try_load(&settings), Err(StateError::OtherConfig { .. })));
    let empty = scheduler.try_load(&LrSchedulerRecord::new());
    assert_eq!(empty, Err(StateError::Missing { key: "steps".to_owned() }));
    assert_eq!(scheduler.handle().steps(), 1, "a refused record changes nothing");
}

#[test]
fn burns_load_record_logs_a_wrong_record_and_leaves_it() {
    let log = Log::default();
    let mut scheduler = adapter("type = 'step'\nstep_size = 3");
    scheduler.step();
    let other = adapter("type = 'exponential'\ngamma = 0.5").to_record();
    tracing::subscriber::with_default(log.clone(), || scheduler.load_record(other));
    assert_eq!(scheduler.handle().steps(), 1);
    let lines = log.lines.lock().expect("the log").clone();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("not loaded: this state is of the schedule `exponential`, not of `step`"), "{lines:?}");
}

#[test]
fn a_per_epoch_schedule_must_know_the_epoch() {
    let config = ScheduleConfig::from_toml_str("type = 'exponential'\ngamma = 0.5").expect("a config");
    let error = BurnScheduler::from_config(&config, &Horizon::steps(100), 0.5).expect_err("no steps per epoch");
    assert_eq!(error.path, "interval");
}

/// The messages of events.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.lines.lock().expect("the log").push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
