//! Schedules made of schedules: what each part sees of time, as tables of (config, tick, rate).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use lr_core::{
    ChainedSchedule, Clock, ConfigError, Exponential, Horizon, Interval, Lambda, Registry, ScaledSchedule, Schedule,
    ScheduleConfig, Scheduler, SequentialSchedule, Strategy, WarmUpKind, WarmedUp,
};
use serde::{Deserialize, Serialize};

/// 10 steps per epoch, 20 epochs.
const RUN: (u64, u64) = (10, 200);

fn build(text: &str, base_lr: f64) -> Scheduler {
    let config = ScheduleConfig::from_toml_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Scheduler::from_config(&config, &Horizon::run(RUN.0, RUN.1), vec![base_lr]).expect("a scheduler")
}

fn custom(schedule: impl Schedule + 'static, base_lr: f64) -> Scheduler {
    let config = ScheduleConfig::custom(schedule, Interval::Step);
    Scheduler::from_config(&config, &Horizon::unknown(), vec![base_lr]).expect("a scheduler")
}

#[track_caller]
fn rates(text: &str, base_lr: f64, expected: &[(u64, f64)]) {
    let scheduler = build(text, base_lr);
    for (tick, expected) in expected {
        let found = scheduler.lr_at_tick(0, *tick);
        assert!((found - expected).abs() < 1e-12, "tick {tick}: {found}, not {expected}\n{text}");
    }
}

#[test]
fn the_four_kinds_of_warm_up() {
    let cases: [(&str, [f64; 5]); 4] = [
        ("linear", [0.2, 0.4, 0.6, 0.8, 1.0]),
        ("cosine", [0.2, 0.2 + 0.8 * (1.0 - 0.5_f64.sqrt()) / 2.0, 0.6, 0.2 + 0.8 * (1.0 + 0.5_f64.sqrt()) / 2.0, 1.0]),
        ("exponential", [0.2, 0.2_f64.powf(0.75), 0.2_f64.sqrt(), 0.2_f64.powf(0.25), 1.0]),
        ("constant", [0.2, 0.2, 0.2, 0.2, 1.0]),
    ];
    for (kind, expected) in cases {
        let text = format!("type = 'fixed'\nwarmup = {{ duration = 4, kind = '{kind}', start_factor = 0.2 }}");
        let expected: Vec<(u64, f64)> = (0..).zip(expected.map(|factor| 3.0 * factor)).collect();
        rates(&text, 3.0, &expected);
    }
}

/// Without a `start_factor` the first tick is above 0 and the last at the full rate; a written 0 is a written 0.
#[test]
fn a_warm_up_without_a_start_trains_at_once() {
    let half = 0.5_f64.sqrt() / 2.0;
    let cases: [(&str, &str, [f64; 5]); 4] = [
        ("linear", "", [0.25, 0.5, 0.75, 1.0, 1.0]),
        ("cosine", "", [0.5 - half, 0.5, 0.5 + half, 1.0, 1.0]),
        ("linear", ", start_factor = 0", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("cosine", ", start_factor = 0.0", [0.0, 0.5 - half, 0.5, 0.5 + half, 1.0]),
    ];
    for (kind, start, expected) in cases {
        for prefix in [true, false] {
            let warmup = format!("{{ duration = 4, kind = '{kind}', prefix = {prefix}{start} }}");
            let expected: Vec<(u64, f64)> = (0..).zip(expected.map(|factor| 3.0 * factor)).collect();
            rates(&format!("type = 'fixed'\nwarmup = {warmup}"), 3.0, &expected);
        }
    }
    // A resolved table keeps what was left out, and what was written.
    let resolved = |warmup: &str| {
        let config = ScheduleConfig::from_toml_str(&format!("type = 'fixed'\nwarmup = {warmup}")).expect(warmup);
        let table = config.to_table();
        let again = ScheduleConfig::from_table(&table, "").expect("a resolved table reads back");
        assert_eq!(again.fingerprint(), config.fingerprint());
        table["warmup"].get("start_factor").and_then(toml::Value::as_float)
    };
    assert_eq!(resolved("4"), None);
    assert_eq!(resolved("{ duration = 4, start_factor = 0 }"), Some(0.0));
}

/// Runs from before a warm-up could begin above 0 have a written 0 in their resolved config: their state is theirs still.
#[test]
fn an_older_runs_warm_up_has_its_fingerprint() {
    let older = "type = 'fixed'\ninterval = 'epoch'\n[warmup]\nduration = 4\nkind = 'linear'\nstart_factor = 0.0\nprefix = true";
    let config = ScheduleConfig::from_toml_str(older).expect("a schedule");
    assert_eq!(config.fingerprint(), "b23b198d1996296a");
}

/// Several validations in an epoch: each acts from the next step on, whatever the interval, as torch's `step` does.
#[test]
fn a_metric_in_the_middle_of_an_epoch_acts_at_the_next_step() {
    let plateau = "type = 'reduce_on_plateau'\npatience = 0\nthreshold = 10\nthreshold_mode = 'abs'\nfactor = 0.5";
    let greedy = "type = 'transformers/greedy'\ninterval = 'epoch'\npatience = 0\nthreshold = 10\nfactor = 0.5\nmin_lr = 0\nmax_lr = 0.8";
    let whole =
        |part: &str| format!("type = 'sequential'\nmilestones = [5]\nschedules = [{part}, {{ type = 'fixed' }}]");
    let inline = |text: &str| format!("{{ {} }}", text.replace('\n', ", "));
    let interval = |interval: &str| format!("{plateau}\ninterval = '{interval}'");
    for text in [
        interval("epoch"),
        interval("step"),
        greedy.to_owned(),
        whole(&inline(plateau)),
        format!("interval = 'step'\n{}", whole(&inline(plateau)).replace("[5]", "['5ep']")),
        format!("type = 'scaled'\nfactor = 1\nschedule = {}", inline(plateau)),
        format!("type = 'chained'\nschedules = [{}]", inline(plateau)),
        "type = 'timm/PlateauLRScheduler'\nthreshold = 0.5\nmode = 'min'\ndecay_rate = 0.5\npatience_t = 0\nlr_min = 0"
            .to_owned(),
    ] {
        let config = ScheduleConfig::from_toml_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut scheduler = Scheduler::from_config(&config, &Horizon::run(21, 210), vec![0.8]).expect("a scheduler");
        let mut changes = Vec::new();
        let mut last = 0.8;
        for step in 0..30 {
            let now = scheduler.lr(0, step);
            if now != last {
                changes.push((step + 1, now));
                last = now;
            }
            if [5, 11, 16, 21].contains(&(step + 1)) {
                scheduler.observe(step, 1.0);
            }
        }
        assert_eq!(changes, [(12, 0.4), (17, 0.2), (22, 0.1)], "{text}");
    }
}

/// A length alone is a linear warm-up, wherever a schedule's table stands.
#[test]
fn a_warm_up_may_be_a_length_alone() {
    for (short, length) in [("5", "5"), ("'5ep'", "'5ep'"), ("'10%'", "'10%'")] {
        for text in [
            "type = 'fixed'\nwarmup = W",
            "type = 'sequential'\nmilestones = [9]\nschedules = [{ type = 'fixed', warmup = W }, { type = 'step', step_size = 3, warmup = W }]\nwarmup = W",
            "type = 'chained'\nschedules = [{ type = 'fixed', warmup = W }, { type = 'exponential', gamma = 0.9 }]",
            "type = 'scaled'\nfactor = 0.5\nschedule = { type = 'fixed', warmup = W }",
            "type = 'optax/join_schedules'\nboundaries = []\nschedules = [{ type = 'fixed', warmup = W }]",
            "type = 'ignite/LRScheduler'\nlr_scheduler = { type = 'fixed', warmup = W }",
            "type = 'transformers/linear'\nwarmup = W",
        ] {
            let config = |warmup: &str| ScheduleConfig::from_toml_str(&text.replace('W', warmup)).expect(text);
            let (short, long) = (config(short), config(&format!("{{ duration = {length} }}")));
            assert_eq!(short.to_table(), long.to_table(), "{text}: resolved in full");
            assert_eq!(short.fingerprint(), long.fingerprint());
        }
    }
    rates("type = 'fixed'\nwarmup = '20%'", 1.0, &[(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0)]);
    // greedy has a number of that name itself.
    let greedy = ScheduleConfig::from_toml_str("type = 'transformers/greedy'\nwarmup = 5").expect("a config");
    assert!(greedy.warmup().is_none());
}

#[test]
fn a_strategy_starts_behind_its_warm_up_or_runs_along_with_it() {
    let text = |prefix: bool| {
        format!("type = 'exponential'\ngamma = 0.5\nwarmup = {{ duration = 2, start_factor = 0.5, prefix = {prefix} }}")
    };
    rates(&text(true), 1.0, &[(0, 0.5), (1, 0.75), (2, 1.0), (3, 0.5)]);
    rates(&text(false), 1.0, &[(0, 0.5), (1, 0.375), (2, 0.25), (3, 0.125)]);
}

#[test]
fn the_rest_of_the_run_begins_where_the_part_begins() {
    // 20 epochs: 4 of warm-up, and a line to zero over the 16 that are left.
    let line = "type = 'linear'\nstart_factor = 1.0\nend_factor = 0.0\ntotal_iters = 'rest'\n";
    rates(
        &format!("{line}warmup = {{ duration = '20%' }}"),
        1.0,
        &[(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (12, 0.5), (20, 0.0)],
    );
    let parts = "type = 'sequential'\nmilestones = ['25%']\nschedules = [{ type = 'fixed' }, { type = 'polynomial', total_iters = 'rest' }]";
    rates(parts, 1.0, &[(4, 1.0), (5, 1.0), (10, 10.0 / 15.0), (20, 0.0)]);
}

#[test]
fn durations_have_units_in_either_interval() {
    let text = |interval: &str| {
        format!(
            "type = 'step'\nstep_size = '5ep'\ngamma = 0.5\ninterval = '{interval}'\nwarmup = {{ duration = '20it' }}"
        )
    };
    // 20 steps are 2 epochs of 10; 5 epochs are 50 steps.
    rates(&text("epoch"), 1.0, &[(0, 0.5), (1, 1.0), (6, 1.0), (7, 0.5)]);
    rates(&text("step"), 1.0, &[(9, 0.5), (19, 1.0), (69, 1.0), (70, 0.5)]);
}

#[test]
fn a_part_per_epoch_in_a_whole_per_step_is_told_the_epoch() {
    let text = "type = 'chained'\ninterval = 'step'\nschedules = [{ type = 'exponential', gamma = 0.5, interval = 'epoch' }, { type = 'linear', start_factor = 0.0, total_iters = '1ep' }]";
    rates(text, 1.0, &[(0, 0.0), (5, 0.5), (9, 0.9), (10, 0.5), (19, 0.5), (20, 0.25)]);
}

#[test]
fn a_per_epoch_schedule_holds_its_rate_over_the_steps_of_an_epoch() {
    let scheduler = build("type = 'exponential'\ngamma = 0.5", 1.0);
    assert_eq!(scheduler.interval(), Interval::Epoch);
    assert_eq!([0, 9, 10, 19, 20].map(|step| scheduler.lr(0, step)), [1.0, 1.0, 0.5, 0.5, 0.25]);
}

#[test]
fn compositions_nest() {
    let text = r"
        type = 'scaled'
        factor = 0.5
        [schedule]
        type = 'sequential'
        milestones = [2]
        [[schedule.schedules]]
        type = 'constant'
        factor = 0.5
        total_iters = 10
        [[schedule.schedules]]
        type = 'chained'
        schedules = [{ type = 'exponential', gamma = 0.5 }, { type = 'step', step_size = 2, gamma = 0.1 }]
    ";
    rates(text, 8.0, &[(0, 2.0), (1, 2.0), (2, 4.0), (3, 2.0), (4, 0.1), (5, 0.05)]);
}

#[test]
fn parts_between_equal_milestones_are_passed_over() {
    let text = "type = 'sequential'\nmilestones = [0, 3, 3]\nschedules = [{ type = 'scaled', factor = 9.0, schedule = { type = 'fixed' } }, { type = 'fixed' }, { type = 'scaled', factor = 7.0, schedule = { type = 'fixed' } }, { type = 'exponential', gamma = 0.5 }]";
    rates(text, 1.0, &[(0, 1.0), (2, 1.0), (3, 1.0), (4, 0.5)]);
}

/// Feeds the same metric after every tick.
fn stuck(text: &str, ticks: u64) -> Vec<f64> {
    let mut scheduler = build(text, 1.0);
    assert!(scheduler.is_reactive());
    let rates = (0..ticks).map(|tick| {
        let lr = scheduler.lr_at_tick(0, tick);
        scheduler.observe_tick(tick, 1.0);
        assert_eq!(scheduler.lr_at_tick(0, tick), lr, "a metric acts from the next tick on");
        lr
    });
    rates.collect()
}

#[test]
fn reactive_strategies_compose() {
    let plateau = "type = 'reduce_on_plateau', factor = 0.5, patience = 1";
    let top = plateau.replace(", ", "\n");
    assert_eq!(stuck(&top, 6), [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]);
    // Behind a prefix the metrics of the warm-up are not heard; beside it they are.
    let warmup = |prefix: bool| format!("{top}\nwarmup = {{ duration = 2, start_factor = 0.5, prefix = {prefix} }}");
    assert_eq!(stuck(&warmup(true), 6), [0.5, 0.75, 1.0, 1.0, 1.0, 0.5]);
    assert_eq!(stuck(&warmup(false), 6), [0.5, 0.75, 1.0, 0.5, 0.5, 0.25]);
    // A part hears only what is measured while it is in charge.
    let sequential =
        format!("type = 'sequential'\nmilestones = [3]\nschedules = [{{ type = 'fixed' }}, {{ {plateau} }}]");
    assert_eq!(stuck(&sequential, 8), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]);
    let chained = format!("type = 'chained'\nschedules = [{{ type = 'exponential', gamma = 0.5 }}, {{ {plateau} }}]");
    assert_eq!(stuck(&chained, 4), [1.0, 0.5, 0.25, 0.0625]);
    let config = ScheduleConfig::from_toml_str(&chained).expect("a config");
    assert_eq!(config.monitor(), Some("valid.loss"));
}

#[test]
fn momentum_comes_through_compositions() {
    let cycle = "{ type = 'cyclic', base_lr = 0.1, max_lr = 0.2, step_size_up = 2 }";
    let sequential =
        build(&format!("type = 'sequential'\nmilestones = [2]\nschedules = [{{ type = 'fixed' }}, {cycle}]"), 1.0);
    assert_eq!(sequential.momentum_at_tick(1), None);
    assert_eq!(sequential.momentum_at_tick(2), Some(0.9));
    let scaled = build(&format!("type = 'scaled'\nfactor = 2.0\nschedule = {cycle}"), 1.0);
    assert_eq!(scaled.interval(), Interval::Step, "scaled ticks as what it scales");
    assert_eq!((scaled.lr_at_tick(0, 2), scaled.momentum_at_tick(2)), (0.4, Some(0.8)));
}

/// A strategy of a user's own, with a config of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Harmonic {
    k: f64,
}

impl Default for Harmonic {
    fn default() -> Self {
        Self { k: 1.0 }
    }
}

impl Schedule for Harmonic {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr / (1.0 + self.k * tick as f64)
    }
}

impl Strategy for Harmonic {
    const NAME: &'static str = "acme/harmonic";
    const SUMMARY: &'static str = "one over time";
    const EXAMPLE: &'static str = "type = 'acme/harmonic'\nk = 1.0";

    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(self.clone()))
    }
}

#[test]
fn a_strategy_of_ones_own_composes_by_name() {
    let mut registry = Registry::standard();
    registry.register::<Harmonic>();
    let text = "type = 'sequential'\nmilestones = [2]\nschedules = [{ type = 'fixed' }, { type = 'acme/harmonic', warmup = { duration = 1, start_factor = 0.5 } }]";
    let table: toml::Table = text.parse().expect("TOML");
    let config = ScheduleConfig::from_table_with(&table, "schedule", &registry).expect("a config");
    let schedule = config.build(&Horizon::unknown(), "schedule").expect("a schedule");
    assert_eq!([0, 2, 3, 4, 6].map(|t| schedule.lr(1.0, t)), [1.0, 0.5, 1.0, 0.5, 0.25]);
    let again = ScheduleConfig::from_table_with(&config.to_table(), "schedule", &registry).expect("reads back");
    assert_eq!(again, config);
    assert!(ScheduleConfig::from_table(&table, "schedule").is_err(), "the standard registry does not know it");
}

#[test]
fn the_rate_that_a_schedule_sets_itself_comes_through_compositions() {
    let cases = [
        ("type = 'cosine_annealing'\nt_max = 3", None),
        ("type = 'cyclic'\nbase_lr = 0.1\nmax_lr = 0.2", Some(0.2)),
        ("type = 'one_cycle'\nmax_lr = 3", Some(3.0)),
        ("type = 'optax/cosine_onecycle_schedule'\ntransition_steps = 9\npeak_value = 0.3", Some(0.3)),
        ("type = 'scaled'\nfactor = 0.5\nschedule = { type = 'one_cycle', max_lr = 1.0 }", Some(0.5)),
        (
            "type = 'sequential'\nmilestones = [3]\nschedules = [{ type = 'fixed' }, { type = 'one_cycle', max_lr = 1.0 }]",
            Some(1.0),
        ),
        ("type = 'ignite/LRScheduler'\nlr_scheduler = { type = 'one_cycle', max_lr = 1.0 }", Some(1.0)),
    ];
    for (text, expected) in cases {
        assert_eq!(ScheduleConfig::from_toml_str(text).expect(text).peak(), expected, "{text}");
    }
}

/// What a table may hold is told to serde once, and the registry in force is put back when a table has been read.
#[test]
fn schedules_nest_to_a_limit_and_each_table_is_read_by_its_own_registry() {
    let nested = |depth: usize| {
        format!(
            "{}{{ type = 'fixed' }}{}",
            "{ type = 'scaled', factor = 1, schedule = ".repeat(depth),
            " }".repeat(depth)
        )
    };
    let read = |depth| format!("x = {}", nested(depth)).parse::<toml::Table>().map(|table| table["x"].clone());
    let config =
        |depth: usize| ScheduleConfig::from_table(read(depth).expect("TOML").as_table().expect("a table"), "s");
    assert!(config(32).is_ok());
    let error = config(33).expect_err("too deep").to_string();
    assert!(error.ends_with("schedules may nest 32 deep") && error.starts_with("s.schedule.schedule"), "{error}");
    assert!(config(32).is_ok(), "a refusal leaves no depth behind");
    let empty = Registry::empty();
    let table = "type = 'fixed'".parse().expect("TOML");
    assert!(ScheduleConfig::from_table_with(&table, "", &empty).is_err());
    assert!(ScheduleConfig::from_table(&table, "").is_ok());
}

#[test]
fn schedules_written_in_rust_compose_as_objects() {
    let half = || Box::new(Lambda::new("half", |_| 0.5)) as Box<dyn Schedule>;
    let decay = Exponential::new(0.5).build(&Clock::unknown()).expect("a schedule");
    let chained = ChainedSchedule::new(vec![half(), decay]).expect("two parts");
    let warm = WarmedUp::new(Box::new(chained), 2, WarmUpKind::Constant, Some(0.0), true);
    let whole = SequentialSchedule::new(vec![half(), Box::new(warm)], vec![1]).expect("two parts");
    let whole = ScaledSchedule::new(4.0, Box::new(whole));
    let scheduler = custom(whole, 1.0);
    assert_eq!([0, 1, 2, 3, 4].map(|step| scheduler.lr(0, step)), [2.0, 0.0, 0.0, 2.0, 1.0]);
}

#[test]
fn a_schedule_of_ones_own_cannot_harm_the_optimizer() {
    let wild = Lambda::new("wild", |t| [f64::NAN, -1.0, f64::INFINITY, 1.0][t as usize % 4]);
    let scheduler = custom(wild, 2.0);
    assert_eq!([0, 1, 2, 3].map(|step| scheduler.lr(0, step)), [0.0, 0.0, f64::MAX, 2.0]);
}
