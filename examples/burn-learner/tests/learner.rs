//! Our schedules and optimizers inside burn's own Learner: the rate of each update is the schedule's, in groups, under
//! accumulation, and in a training that goes on from burn's checkpoint as if it had never stopped.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

mod common;

use std::path::Path;

use anneal::{
    lr_core::{Horizon, Registry, ScheduleConfig, Scheduler, StateError, burn::BurnScheduler},
    optim_adaptive::{AdamWConfig, MomentumHandle, OptimizerConfig, OptimizerRegistry, OptimizerSettings, SgdConfig},
};
use burn::{
    lr_scheduler::{LrScheduler, LrSchedulerRecord, module_lr_scheduler::ModuleLrScheduler},
    module::ParamGroup,
    optim::{LearningRate, ModuleOptimizer},
    tensor::TensorData,
};
use common::{Event, Log, Recorded, STEPS_PER_EPOCH, Training, carry};

const EPOCHS: usize = 8;
/// The epoch after which trainings are taken up again.
const CUT: usize = 5;
const BASE_LR: f64 = 0.5;

/// Reactive schedules that react within a few epochs: a loss that is not at once reduced to almost nothing is bad.
const REACTIVE: [&str; 7] = [
    "type = 'reduce_on_plateau'\nfactor = 0.5\npatience = 0\nthreshold = 0.99",
    "type = 'reduce_on_plateau'\nfactor = 0.8\npatience = 0\nthreshold = 0.99\nwarmup = { duration = '1ep' }",
    "type = 'timm/PlateauLRScheduler'\nmode = 'min'\ndecay_rate = 0.5\npatience_t = 0\nthreshold = 0.99\nwarmup_t = 1",
    "type = 'transformers/reduce_lr_on_plateau'\nfactor = 0.5\npatience = 1\nthreshold = 0.99",
    "type = 'ignite/ReduceLROnPlateauScheduler'\nmetric_name = 'loss'\nfactor = 0.5\npatience = 1\nthreshold = 0.99",
    "type = 'transformers/greedy'\nfactor = 0.9\npatience = 1\nsmooth = true\nwindow_size = 3",
    "type = 'chained'\nschedules = [{ type = 'reduce_on_plateau', patience = 0, threshold = 0.99 }, \
     { type = 'exponential', gamma = 0.9 }]",
];

fn config(text: &str) -> ScheduleConfig {
    ScheduleConfig::from_toml_str(text).expect(text)
}

fn horizon() -> Horizon {
    Horizon::run(STEPS_PER_EPOCH, STEPS_PER_EPOCH * EPOCHS as u64)
}

fn schedule(text: &str) -> BurnScheduler {
    BurnScheduler::from_config(&config(text), &horizon(), BASE_LR).expect(text)
}

/// AdamW, which bears any rate, writing down what it is given.
fn recorded(log: &Log) -> ModuleOptimizer {
    let momentum = MomentumHandle::new(Some(0.9));
    let optimizer = AdamWConfig::default().with_momentum(momentum.clone());
    Recorded { optimizer, momentum, log: log.clone() }.into()
}

/// Trains under the schedule, which hears the validation loss: what happened and what came out.
fn train(dir: &Path, resume: Option<usize>, schedule: BurnScheduler) -> (Vec<Event>, Vec<TensorData>) {
    let log = Log::default();
    let schedules = vec![schedule.handle()];
    let training = Training { dir, epochs: EPOCHS, resume, accumulate: None, schedules, log: log.clone() };
    let trained = training.run(recorded(&log), schedule);
    (log.events(), trained)
}

/// What happened after that many epochs.
fn after(events: &[Event], epochs: usize) -> &[Event] {
    let mut ends = events.iter().enumerate().filter(|(_, event)| matches!(event, Event::Metric(_)));
    let (end, _) = ends.nth(epochs - 1).expect("the end of an epoch");
    &events[end + 1..]
}

/// Every update had the rate that the schedule, told the same losses, gives for its step.
fn assert_rates(name: &str, events: &[Event], schedule: &str) {
    let mut scheduler = Scheduler::from_config(&config(schedule), &horizon(), vec![BASE_LR]).expect(name);
    let mut steps = [0; 3];
    for event in events {
        match *event {
            Event::Update { rank, lr, .. } => {
                assert_eq!(lr, scheduler.lr(0, steps[rank]), "{name}, rank {rank}, step {}", steps[rank]);
                steps[rank] += 1;
            }
            Event::Metric(loss) => scheduler.observe(steps[2] - 1, loss),
        }
    }
    assert_eq!(steps, [0, STEPS_PER_EPOCH * EPOCHS as u64, STEPS_PER_EPOCH * EPOCHS as u64], "{name}");
}

#[test]
fn every_strategy_gives_each_update_its_rate_and_goes_on_from_a_checkpoint() {
    let registry = Registry::standard();
    let examples = registry.iter().map(|entry| (entry.name(), entry.example()));
    for (name, text) in examples.chain(REACTIVE.map(|text| (text, text))) {
        let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let (events, trained) = train(dir.path(), None, schedule(text));
        assert_rates(name, &events, text);

        carry(dir.path(), CUT, fresh.path());
        let (resumed, trained_too) = train(fresh.path(), Some(CUT), schedule(text));
        assert_eq!(resumed, after(&events, CUT), "{name}");
        assert_eq!(trained_too, trained, "{name}");
    }
}

/// So that the test above compares rates that the losses have changed, before the checkpoint and after it.
#[test]
fn the_reactive_schedules_react() {
    let kinds = Registry::standard();
    let kinds = kinds.iter().filter(|entry| {
        let scheduler = Scheduler::from_config(&config(entry.example()), &horizon(), vec![BASE_LR]);
        scheduler.expect(entry.name()).is_reactive()
    });
    for entry in kinds {
        assert!(REACTIVE.iter().any(|text| text.contains(&format!("'{}'", entry.name()))), "{}", entry.name());
    }
    for text in REACTIVE {
        let dir = tempfile::tempdir().expect("a directory");
        let (events, _) = train(dir.path(), None, schedule(text));
        let deaf = Scheduler::from_config(&config(text), &horizon(), vec![BASE_LR]).expect(text);
        let mut ratios: Vec<f64> = Vec::new();
        for event in events {
            if let Event::Update { rank: 2, lr, .. } = event {
                ratios.push(lr / deaf.lr(0, ratios.len() as u64));
            }
        }
        let cut = CUT * STEPS_PER_EPOCH as usize;
        assert_ne!(ratios[cut - 1], 1.0, "{text}");
        assert_ne!(ratios[cut], *ratios.last().expect("a rate"), "{text}");
    }
}

#[test]
fn a_training_goes_on_from_any_of_its_checkpoints() {
    let dir = tempfile::tempdir().expect("a directory");
    let (events, trained) = train(dir.path(), None, schedule(REACTIVE[0]));
    for epoch in 1..EPOCHS {
        let fresh = tempfile::tempdir().expect("a directory");
        carry(dir.path(), epoch, fresh.path());
        let (resumed, trained_too) = train(fresh.path(), Some(epoch), schedule(REACTIVE[0]));
        assert_eq!((&resumed[..], trained_too), (after(&events, epoch), trained.clone()), "{epoch}");
    }
}

#[test]
fn groups_have_their_own_schedules_and_go_on_together() {
    let (weight, bias) = (REACTIVE[0], "type = 'one_cycle'\nmax_lr = 2.0");
    let train = |dir: &Path, resume| {
        let log = Log::default();
        let parts = [schedule(weight), schedule(bias)];
        let schedules = parts.each_ref().map(BurnScheduler::handle).to_vec();
        let [of_weight, of_bias] = parts;
        let groups = ModuleLrScheduler::new(of_weight).with_group(ParamGroup::from_path("linear.bias"), of_bias);
        let training = Training { dir, epochs: EPOCHS, resume, accumulate: None, schedules, log: log.clone() };
        let trained = training.run(recorded(&log), groups);
        (log.events(), trained)
    };
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let (events, trained) = train(dir.path(), None);

    let mut schedulers = [weight, bias]
        .map(|text| Scheduler::from_config(&config(text), &horizon(), vec![BASE_LR]).expect("a scheduler"));
    let mut steps = [0; 2];
    for event in &events {
        match *event {
            Event::Update { rank, lr, .. } => {
                let group = 2 - rank;
                assert_eq!(lr, schedulers[group].lr(0, steps[group]), "group {group}, step {}", steps[group]);
                steps[group] += 1;
            }
            Event::Metric(loss) => schedulers.iter_mut().for_each(|one| one.observe(steps[0] - 1, loss)),
        }
    }
    assert_eq!(steps, [STEPS_PER_EPOCH * EPOCHS as u64; 2]);

    carry(dir.path(), CUT, fresh.path());
    let (resumed, trained_too) = train(fresh.path(), Some(CUT));
    assert_eq!((&resumed[..], trained_too), (after(&events, CUT), trained));
}

#[test]
fn with_accumulation_an_epoch_has_fewer_steps() {
    // Three batches, two to a step: the last step of an epoch has one, and two steps make an epoch.
    let config = config("type = 'exponential'\ngamma = 0.5");
    let schedule = BurnScheduler::from_config(&config, &Horizon::run(2, 6), BASE_LR).expect("a schedule");
    let (log, dir) = (Log::default(), tempfile::tempdir().expect("a directory"));
    let (dir, schedules) = (dir.path(), Vec::new());
    Training { dir, epochs: 3, resume: None, accumulate: Some(2), schedules, log: log.clone() }
        .run(recorded(&log), schedule);
    for rank in [1, 2] {
        assert_eq!(log.rates(rank), [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    }
}

/// A schedule that hands its momentum to the optimizer with each rate.
#[derive(Clone)]
struct WithMomentum {
    schedule: BurnScheduler,
    momentum: MomentumHandle,
}

impl LrScheduler for WithMomentum {
    fn step(&mut self) -> LearningRate {
        let lr = self.schedule.step();
        if let Some(momentum) = self.schedule.handle().momentum() {
            self.momentum.set(momentum);
        }
        lr
    }

    fn to_record(&self) -> LrSchedulerRecord {
        self.schedule.to_record()
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        self.schedule.load_record(record);
    }
}

#[test]
fn momentum_goes_by_the_handles() {
    let text = "type = 'one_cycle'\nmax_lr = 0.1";
    let scheduler = Scheduler::from_config(&config(text), &horizon(), vec![BASE_LR]).expect("a scheduler");
    let train = |dir: &Path, resume| {
        let (log, momentum) = (Log::default(), MomentumHandle::new(Some(0.9)));
        let optimizer = SgdConfig { momentum: 0.9, ..SgdConfig::default() }.with_momentum(momentum.clone());
        let optimizer = Recorded { optimizer, momentum: momentum.clone(), log: log.clone() };
        let training = Training { dir, epochs: EPOCHS, resume, accumulate: None, schedules: vec![], log: log.clone() };
        let trained = training.run(optimizer.into(), WithMomentum { schedule: schedule(text), momentum });
        (log.events(), trained)
    };
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let (events, trained) = train(dir.path(), None);
    let used = |event: &Event| match *event {
        Event::Update { rank: 2, momentum, .. } => Some(momentum),
        _ => None,
    };
    let used: Vec<_> = events.iter().filter_map(used).collect();
    let expected: Vec<_> = (0..STEPS_PER_EPOCH * EPOCHS as u64).map(|step| scheduler.momentum(step)).collect();
    assert!(expected.iter().any(|momentum| *momentum != expected[0]) && expected[0].is_some(), "it cycles");
    assert_eq!(used, expected);

    carry(dir.path(), CUT, fresh.path());
    let (resumed, trained_too) = train(fresh.path(), Some(CUT));
    assert_eq!((&resumed[..], trained_too), (after(&events, CUT), trained));
}

/// Trains with an optimizer by name; the parameters that come out.
fn train_with(dir: &Path, resume: Option<usize>, optimizer: ModuleOptimizer) -> Vec<TensorData> {
    Training { dir, epochs: EPOCHS, resume, accumulate: None, schedules: Vec::new(), log: Log::default() }
        .run(optimizer, schedule("type = 'one_cycle'\nmax_lr = 0.05"))
}

fn optimizer(text: &str) -> ModuleOptimizer {
    let config = OptimizerConfig::from_toml_str(text).expect(text);
    config.init().into_module_optimizer().expect(text)
}

#[test]
fn every_optimizer_goes_on_from_a_checkpoint_or_says_that_it_cannot_run_there() {
    let mut refused = Vec::new();
    for (name, _) in OptimizerRegistry::standard().iter() {
        let text = format!("type = '{name}'\nlr = 0.05");
        let config = OptimizerConfig::from_toml_str(&text).expect(name);
        if let Err(error) = config.init().into_module_optimizer() {
            refused.push(error.to_string());
            continue;
        }
        let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let trained = train_with(dir.path(), None, optimizer(&text));
        carry(dir.path(), CUT, fresh.path());
        assert_eq!(train_with(fresh.path(), Some(CUT), optimizer(&text)), trained, "{name}");
    }
    refused.sort();
    assert_eq!(
        refused,
        [
            "`muon` cannot become a burn ModuleOptimizer: it takes matrices only, and burn's groups cannot tell ranks \
             apart",
            "`prodigy` cannot become a burn ModuleOptimizer: its estimate needs all gradients before any parameter \
             moves",
        ]
    );
}

#[test]
fn another_optimizers_record_leaves_fresh_state_or_is_taken_where_the_names_agree() {
    let adamw = || optimizer("type = 'adamw'");
    for (of, taken) in [("type = 'sgd'\nmomentum = 0.9", false), ("type = 'adagrad'", false), ("type = 'adam'", true)] {
        let [dir, wrong, empty] = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
        train_with(dir.path(), None, optimizer(of));
        carry(dir.path(), CUT, wrong.path());
        carry(dir.path(), CUT, empty.path());
        adamw()
            .to_record()
            .save(empty.path().join(format!("checkpoint/optim-{CUT}.bpk")))
            .expect("a record of nothing");
        let [resumed, fresh] = [&wrong, &empty].map(|dir| train_with(dir.path(), Some(CUT), adamw()));
        assert_eq!(resumed != fresh, taken, "a record of {of}");
    }
}

#[test]
fn a_wrong_record_leaves_the_fresh_schedule_is_logged_and_refused_by_try_load() {
    let text = "type = 'step'\nstep_size = 2\ngamma = 0.5";
    for other in ["type = 'exponential'\ngamma = 0.5", "type = 'step'\nstep_size = 3\ngamma = 0.5"] {
        let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        train(dir.path(), None, schedule(other));
        carry(dir.path(), CUT, fresh.path());

        // Whoever wants to know beforehand reads burn's file; its groups are numbered, and a lone schedule is group 0.
        let record =
            LrSchedulerRecord::load(fresh.path().join(format!("checkpoint/scheduler-{CUT}.bpk"))).expect("a record");
        let error = schedule(text).try_load(&record.record("0")).expect_err(other);
        if other.contains("exponential") {
            assert!(matches!(error, StateError::OtherStrategy { .. }), "{error}");
        } else {
            assert!(matches!(error, StateError::OtherConfig { .. }), "{error}");
        }

        let log = fresh.path().join("errors.log");
        let file = std::fs::File::create(&log).expect("a file");
        let subscriber = tracing_subscriber::fmt().with_writer(file).with_ansi(false).finish();
        let (events, _) =
            tracing::subscriber::with_default(subscriber, || train(fresh.path(), Some(CUT), schedule(text)));
        let scheduler = Scheduler::from_config(&config(text), &horizon(), vec![BASE_LR]).expect("a scheduler");
        let from_tick_0: Vec<f64> =
            (0..(EPOCHS - CUT) as u64 * STEPS_PER_EPOCH).map(|step| scheduler.lr(0, step)).collect();
        let rate = |event: &Event| match *event {
            Event::Update { rank: 2, lr, .. } => Some(lr),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(rate).collect::<Vec<_>>(), from_tick_0);
        let lines = std::fs::read_to_string(log).expect("text");
        assert!(lines.contains(&format!("schedule `step` was not loaded: {error}")), "{lines}");
    }
}

#[test]
fn a_group_that_the_record_lacks_starts_fresh_and_the_others_go_on() {
    let text = "type = 'exponential'\ngamma = 0.5";
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    train(dir.path(), None, schedule(text));
    carry(dir.path(), CUT, fresh.path());
    let (log, dir) = (Log::default(), fresh.path());
    let groups =
        ModuleLrScheduler::new(schedule(text)).with_group(ParamGroup::from_path("linear.bias"), schedule(text));
    Training { dir, epochs: CUT + 1, resume: Some(CUT), accumulate: None, schedules: Vec::new(), log: log.clone() }
        .run(recorded(&log), groups);
    assert_eq!(log.rates(2), [BASE_LR * 0.5_f64.powi(CUT as i32); 3]);
    assert_eq!(log.rates(1), [BASE_LR; 3]);
}

#[test]
fn an_error_is_printed_as_a_person_reads_it() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_example-burn-learner")).arg("many").output();
    let program = program.expect("it starts");
    assert_eq!(program.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&program.stderr), "error: invalid digit found in string\n");
}
