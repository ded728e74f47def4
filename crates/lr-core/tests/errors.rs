//! Refusals: what a user reads when a config or a state is wrong.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use lr_core::{ConfigError, Horizon, ScheduleConfig, ScheduleState, Scheduler, StateError};
use strict_config::Problem;

fn refusal(text: &str, horizon: &Horizon) -> ConfigError {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    ScheduleConfig::from_table(&table, "schedule")
        .and_then(|config| config.build(horizon, "schedule"))
        .err()
        .unwrap_or_else(|| panic!("not refused:\n{text}"))
}

/// 100 steps per epoch, 10 epochs.
fn run() -> Horizon {
    Horizon::run(100, 1_000)
}

#[test]
fn each_names_its_place_the_value_and_what_is_right() {
    let nested =
        |part: &str| format!("type = 'sequential'\nmilestones = [5]\nschedules = [{{ type = 'fixed' }}, {part}]");
    let cases: [(String, &str); 33] = [
        ("step_size = 3".to_owned(), "schedule.type: missing; expected the name of a schedule"),
        ("type = 3".to_owned(), "schedule.type: expected a string, found 3"),
        ("type = 'cosin_annealing'".to_owned(), "schedule.type: there is no schedule `cosin_annealing`; did you mean `cosine_annealing`? (known: fixed, "),
        ("type = 'step'\nstep_size = 3\ngama = 0.1".to_owned(), "schedule.gama: unknown field; did you mean `gamma`? (known: type, interval, warmup, step_size, gamma)"),
        ("type = 'step'".to_owned(), "schedule.step_size: missing; expected a duration"),
        ("type = 'step'\nstep_size = 0".to_owned(), "schedule.step_size: 0 is not allowed here; allowed: a duration of at least 1"),
        ("type = 'step'\nstep_size = 1.5".to_owned(), "schedule.step_size: expected a duration"),
        ("type = 'step'\nstep_size = '3 epochs'".to_owned(), "schedule.step_size: \"3 epochs\" is not allowed here; allowed: a number with a unit"),
        ("type = 'step'\nstep_size = 3\ngamma = -0.1".to_owned(), "schedule.gamma: -0.1 is not allowed here; allowed: a finite number of at least 0"),
        ("type = 'step'\nstep_size = 3\ngamma = inf".to_owned(), "schedule.gamma: inf is not allowed here"),
        ("type = 'step'\nstep_size = '10it'".to_owned(), "schedule.step_size: \"10it\" is 0.100 ticks of one epoch each"),
        ("type = 'fixed'\ninterval = 'batch'".to_owned(), "schedule.interval: there is no interval `batch` (known: step, epoch)"),
        ("type = 'fixed'\nwarmup = '5 epochs'".to_owned(), "schedule.warmup: \"5 epochs\" is not allowed here; allowed: a number with a unit"),
        ("type = 'fixed'\nwarmup = true".to_owned(), "schedule.warmup: expected a duration, such as \"10%\", or a table with a `duration`, found true"),
        ("type = 'fixed'\nwarmup = { }".to_owned(), "schedule.warmup.duration: missing"),
        ("type = 'fixed'\nwarmup = { duration = 5, kind = 'linaer' }".to_owned(), "schedule.warmup.kind: there is no kind `linaer`; did you mean `linear`?"),
        ("type = 'fixed'\nwarmup = { duration = 5, kind = 'exponential' }".to_owned(), "schedule.warmup.start_factor: missing; expected the factor that this kind of warm-up begins at"),
        ("type = 'polynomial'\ntotal_iters = 'rest'\nwarmup = { duration = '11ep' }".to_owned(), "schedule.total_iters: nothing is left of the run: it has 10 ticks, and this starts at 11"),
        (nested("{ type = 'cosine_annealing' }"), "schedule.schedules[1].t_max: missing"),
        (nested("{ type = 'cosine_annealing', t_max = 0 }"), "schedule.schedules[1].t_max: 0 is not allowed here"),
        (nested("{ type = 'cosine_annealing', t_max = '1it' }"), "schedule.schedules[1].t_max: \"1it\" is 0.010 ticks"),
        (nested("{ type = 'cosine_annealing', t_max = 5, interval = 'step' }"), "schedule.schedules[1].interval: a part cannot change at each step"),
        (nested("{ type = 'chained', schedules = [{ type = 'stepp' }] }"), "schedule.schedules[1].schedules[0].type: there is no schedule `stepp`; did you mean `step`?"),
        (nested("{ type = 'scaled', factor = 1, schedule = { type = 'fixed', warmup = { duration = -1 } } }"), "schedule.schedules[1].schedule.warmup.duration: -1 is not allowed here"),
        (nested("'fixed'"), "schedule.schedules[1]: expected a table, found \"fixed\""),
        ("type = 'sequential'\nmilestones = []\nschedules = []".to_owned(), "schedule.schedules: an empty array is not allowed here"),
        ("type = 'sequential'\nmilestones = [1, 2]\nschedules = [{ type = 'fixed' }]".to_owned(), "schedule.milestones: 1 schedules need 0 milestones, not 2"),
        ("type = 'sequential'\nmilestones = [9, '50%']\nschedules = [{ type = 'fixed' }, { type = 'fixed' }, { type = 'fixed' }]".to_owned(), "schedule.milestones[1]: 5 is not allowed here; allowed: at least the milestone before, 9"),
        ("type = 'expression'\nexpression = '1 + sqr(t)'".to_owned(), "schedule.expression: line 1, column 5: there is no function `sqr`; did you mean `sqrt`?"),
        ("type = 'lambda'\nexpression = '1 / t'".to_owned(), "schedule.expression: the formula gives inf at tick 0; a factor must be finite and at least 0"),
        ("type = 'one_cycle'\nmax_lr = 1\ntotal_steps = 5\nepochs = 3\nsteps_per_epoch = 2".to_owned(), "schedule.total_steps: either `total_steps`, or `epochs` and `steps_per_epoch`, not both"),
        ("type = 'reduce_on_plateau'\nfactor = 1.0".to_owned(), "schedule.factor: 1 is not allowed here; allowed: at least 0 and below 1"),
        ("type = 'piecewise'\npoints = [[0, 1], [5]]".to_owned(), "schedule.points[1]: expected pairs of a duration and a factor"),
    ];
    for (text, expected) in cases {
        let error = refusal(&text, &run()).to_string();
        assert!(error.starts_with(expected), "expected: {expected}\n   found: {error}\n{text}");
    }
}

#[test]
fn what_the_run_does_not_know_is_said() {
    let cases = [
        ("type = 'one_cycle'\nmax_lr = 1.0", "schedule.total_steps: \"rest\" needs the length of the run"),
        (
            "type = 'step'\nstep_size = 3\nwarmup = { duration = '20%' }",
            "schedule.warmup.duration: \"20%\" needs the length",
        ),
        (
            "type = 'step'\ninterval = 'step'\nstep_size = '3ep'",
            "schedule.step_size: \"3ep\" needs the number of steps per epoch",
        ),
        ("type = 'expression'\nexpression = 't / total'", "schedule.expression: `total` needs the length of the run"),
        ("type = 'expression'\nexpression = 'step'", "schedule.expression: `step` needs the number of steps per epoch"),
    ];
    for (text, expected) in cases {
        let error = refusal(text, &Horizon::unknown()).to_string();
        assert!(error.starts_with(expected), "expected: {expected}\n   found: {error}");
    }
}

#[test]
fn errors_are_data() {
    let error = refusal("type = 'step'\nstep_size = 3\ngama = 0.1", &run());
    assert_eq!(error.path, "schedule.gama");
    assert!(matches!(error.problem, Problem::UnknownField { nearest: Some(name), .. } if name == "gamma"));
}

#[test]
fn text_that_is_no_toml_is_placed() {
    let error = ScheduleConfig::from_toml_str("type = 'step'\nstep_size = = 3").expect_err("no TOML");
    assert!(matches!(error.problem, Problem::Syntax { line: Some(2), .. }), "{error}");
}

#[test]
fn base_rates_must_be_rates() {
    let config = ScheduleConfig::from_toml_str("type = 'fixed'").expect("a config");
    for rates in [vec![], vec![0.1, -0.1], vec![f64::NAN], vec![f64::INFINITY]] {
        assert!(Scheduler::from_config(&config, &run(), rates).is_err());
    }
}

fn scheduler(text: &str) -> Scheduler {
    let config = ScheduleConfig::from_toml_str(text).expect("a config");
    Scheduler::from_config(&config, &run(), vec![1.0]).expect("a scheduler")
}

#[test]
fn a_state_of_another_schedule_is_refused_and_changes_nothing() {
    let mut plateau = scheduler("type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5");
    for tick in 0..4 {
        plateau.observe_tick(tick, 1.0);
    }
    let before = plateau.state();
    let with = |change: &dyn Fn(&mut ScheduleState)| {
        let mut state = before.clone();
        change(&mut state);
        state
    };
    let other = scheduler("type = 'fixed'").state();
    assert!(matches!(plateau.try_load(&other), Err(StateError::OtherStrategy { .. })));
    let settings = scheduler("type = 'reduce_on_plateau'\npatience = 1\nfactor = 0.5").state();
    assert!(matches!(plateau.try_load(&settings), Err(StateError::OtherConfig { .. })));
    let missing = with(&|state| {
        let _ = state.scalars.remove("since");
    });
    assert_eq!(plateau.try_load(&missing), Err(StateError::Missing { key: "since".to_owned() }));
    let unknown = with(&|state| {
        let _ = state.scalars.insert("sinse".to_owned(), 1_u64.into());
    });
    assert_eq!(plateau.try_load(&unknown), Err(StateError::Unknown { key: "sinse".to_owned() }));
    let fraction = with(&|state| {
        let _ = state.scalars.insert("reductions".to_owned(), 1.5.into());
    });
    assert!(matches!(plateau.try_load(&fraction), Err(StateError::Invalid { .. })));
    let nan = with(&|state| {
        let _ = state.scalars.insert("best".to_owned(), f64::NAN.into());
    });
    assert!(matches!(plateau.try_load(&nan), Err(StateError::Invalid { .. })));
    assert_eq!(plateau.state(), before, "a refused state changes nothing");
    assert_eq!(plateau.lr_at_tick(0, 4), 0.125);
}

#[test]
fn a_state_says_where_in_a_composition_it_is_wrong() {
    let text =
        "type = 'sequential'\nmilestones = [3]\nschedules = [{ type = 'fixed' }, { type = 'reduce_on_plateau' }]";
    let mut nested = scheduler(text);
    let mut state = nested.state();
    state.scalars.remove("1.best");
    assert_eq!(nested.try_load(&state).expect_err("incomplete").to_string(), "the state lacks `1.best`");
}

/// Every factor on the way is multiplied: of more ticks than that takes in a moment, there is no product.
#[test]
fn a_product_of_more_ticks_than_are_formed_is_refused() {
    let text = "type = 'multiplicative'\ninterval = 'step'\nexpression = '1'";
    let error = refusal(text, &Horizon::steps(1 << 30)).to_string();
    let expected = "a running product of 1073741824 ticks: at most 16777216 are formed; `expression` needs none";
    assert!(error.ends_with(expected), "{error}");
}
