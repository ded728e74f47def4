//! The laws that every schedule keeps, over thousands of randomly generated configs, nested compositions included.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use lr_core::{Horizon, Registry, ScheduleConfig, ScheduleState, Scheduler};
use proptest::prelude::*;
use proptest::sample::select;
use toml::{Table, Value};

const CASES: u32 = 2_000;

/// How far a config with a running product is followed: it has to walk to any tick once.
const WALK: u64 = 20_000;
const MILLION: u64 = 1_000_000;

fn table(fields: Vec<(&str, Value)>) -> Table {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A duration of at least one tick: mostly bare, sometimes with a unit.
fn duration() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (1..400_i64).prop_map(Value::Integer),
        1 => (1..200_u32).prop_map(|n| Value::String(format!("{n}it"))),
        1 => (1..20_u32).prop_map(|n| Value::String(format!("{n}ep"))),
        1 => (5..100_u32).prop_map(|n| Value::String(format!("{n}%"))),
        1 => Just(Value::String("rest".to_owned())),
    ]
}

fn rate() -> impl Strategy<Value = Value> {
    prop_oneof![4 => 1e-6..10.0_f64, 1 => Just(0.0), 1 => 1e-14..1e-8_f64, 1 => 10.0..1e4_f64].prop_map(Value::Float)
}

/// A factor per tick: mostly shrinking, sometimes growing.
fn gamma() -> impl Strategy<Value = Value> {
    prop_oneof![6 => 0.0..1.0_f64, 1 => 1.0..1.5_f64, 1 => Just(1.0)].prop_map(Value::Float)
}

fn momentum() -> impl Strategy<Value = Value> {
    (0.0..0.999_f64).prop_map(Value::Float)
}

fn formula() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 9] = [
        "0.95 ^ t",
        "if(t < 5, (t + 1) / 5, 1 / (1 + 0.1 * (t - 5)))",
        "1 + sin(t)",
        "max(0, 1 - t / 100)",
        "1 - t / 50",
        "1.01 ^ t",
        "min(1, lr * 10)",
        "if(t > 20 && t % 3 == 0, sqrt(20 - t), 0.5)",
        "exp(-t / 30)",
    ];
    select(TEXTS.as_slice()).prop_map(|text| Value::String(text.to_owned()))
}

/// One strategy: any registered one as in its example, or one of this crate's own with drawn settings.
fn leaf() -> impl Strategy<Value = Table> {
    let example = |text: &str| text.parse::<Table>().expect(text);
    let examples: Vec<Table> = Registry::standard().iter().map(|entry| example(entry.example())).collect();
    prop_oneof![1 => select(examples), 4 => drawn()]
}

fn drawn() -> impl Strategy<Value = Table> {
    let kind = |name: &str| ("type", Value::String(name.to_owned()));
    let string = |choices: &'static [&'static str]| select(choices).prop_map(|text| Value::String(text.to_owned()));
    let flag = || any::<bool>().prop_map(Value::Boolean);
    prop_oneof![
        Just(table(vec![kind("fixed")])),
        (rate(), duration()).prop_map(move |(f, n)| table(vec![kind("constant"), ("factor", f), ("total_iters", n)])),
        (duration(), gamma()).prop_map(move |(n, g)| table(vec![kind("step"), ("step_size", n), ("gamma", g)])),
        (prop::collection::vec(duration(), 0..5), gamma()).prop_map(move |(m, g)| table(vec![
            kind("multi_step"),
            ("milestones", Value::Array(m)),
            ("gamma", g)
        ])),
        gamma().prop_map(move |g| table(vec![kind("exponential"), ("gamma", g)])),
        (rate(), rate(), duration()).prop_map(move |(a, b, n)| {
            table(vec![kind("linear"), ("start_factor", a), ("end_factor", b), ("total_iters", n)])
        }),
        (duration(), 0.0..5.0_f64).prop_map(move |(n, p)| table(vec![
            kind("polynomial"),
            ("total_iters", n),
            ("power", p.into())
        ])),
        (duration(), rate()).prop_map(move |(n, e)| table(vec![
            kind("cosine_annealing"),
            ("t_max", n),
            ("eta_min", e)
        ])),
        (duration(), 1..4_i64, rate()).prop_map(move |(n, m, e)| {
            let fields = vec![("t_0", n), ("t_mult", m.into()), ("eta_min", e)];
            table([vec![kind("cosine_annealing_warm_restarts")], fields].concat())
        }),
        (
            (rate(), rate(), duration(), duration()),
            (string(&["triangular", "triangular2", "exp_range"]), gamma(), flag(), momentum(), momentum())
        )
            .prop_map(move |((a, b, up, down), (mode, g, cycle, m, n))| {
                table(vec![
                    kind("cyclic"),
                    ("base_lr", a),
                    ("max_lr", b),
                    ("step_size_up", up),
                    ("step_size_down", down),
                    ("mode", mode),
                    ("gamma", g),
                    ("cycle_momentum", cycle),
                    ("base_momentum", m),
                    ("max_momentum", n),
                ])
            }),
        (
            (rate(), duration(), 0.0..=1.0_f64, string(&["cos", "linear"])),
            (flag(), momentum(), momentum(), 0.5..100.0_f64, 0.5..1e5_f64, flag())
        )
            .prop_map(move |((max, n, pct, shape), (cycle, m, k, div, last, three))| {
                table(vec![
                    kind("one_cycle"),
                    ("max_lr", max),
                    ("total_steps", n),
                    ("pct_start", pct.into()),
                    ("anneal_strategy", shape),
                    ("cycle_momentum", cycle),
                    ("base_momentum", m),
                    ("max_momentum", k),
                    ("div_factor", div.into()),
                    ("final_div_factor", last.into()),
                    ("three_phase", three),
                ])
            }),
        formula().prop_map(move |f| table(vec![kind("expression"), ("expression", f)])),
        formula().prop_map(move |f| table(vec![kind("multiplicative"), ("expression", f)])),
        (string(&["min", "max"]), 0.0..0.99_f64, 0..4_i64, 0..3_i64, rate()).prop_map(move |(mode, f, p, c, min)| {
            table(vec![
                kind("reduce_on_plateau"),
                ("mode", mode),
                ("factor", f.into()),
                ("patience", p.into()),
                ("cooldown", c.into()),
                ("min_lr", min),
            ])
        }),
        (rate(), duration(), string(&["cos", "linear"])).prop_map(move |(lr, n, shape)| {
            table(vec![kind("swa"), ("swa_lr", lr), ("anneal_epochs", n), ("anneal_strategy", shape)])
        }),
        (1..2_000_i64, duration()).prop_map(move |(d, n)| table(vec![
            kind("noam"),
            ("model_size", d.into()),
            ("warmup_steps", n)
        ])),
        (prop::collection::vec((0..100_i64, rate()), 1..6), string(&["step", "linear", "cosine"])).prop_map(
            move |(steps, shape)| {
                let mut when = 0;
                let points = steps.into_iter().map(|(gap, factor)| {
                    when += gap;
                    Value::Array(vec![when.into(), factor])
                });
                table(vec![kind("piecewise"), ("points", Value::Array(points.collect())), ("interpolation", shape)])
            }
        ),
    ]
}

fn warmed_up(inner: impl Strategy<Value = Table>) -> impl Strategy<Value = Table> {
    let kinds = select(["linear", "cosine", "exponential", "constant"].as_slice());
    let start = prop::option::of(0.001..2.0_f64);
    let warmup = (duration(), kinds, start, any::<bool>()).prop_map(|(n, kind, start, prefix)| {
        let mut warmup =
            table(vec![("duration", n), ("kind", Value::String(kind.to_owned())), ("prefix", prefix.into())]);
        // Exponential and constant warm-ups have no start of their own.
        let start = start.or_else(|| ["exponential", "constant"].contains(&kind).then_some(0.1));
        warmup.extend(start.map(|start| ("start_factor".to_owned(), Value::Float(start))));
        warmup
    });
    (inner, prop::option::weighted(0.3, warmup)).prop_map(|(mut inner, warmup)| {
        if let Some(warmup) = warmup {
            inner.insert("warmup".to_owned(), Value::Table(warmup));
        }
        inner
    })
}

fn tables(parts: Vec<Table>) -> Value {
    Value::Array(parts.into_iter().map(Value::Table).collect())
}

/// Any config: a strategy or a composition of them, up to three deep, each possibly behind a warm-up.
fn config() -> impl Strategy<Value = Table> {
    let kind = |name: &str| ("type", Value::String(name.to_owned()));
    let nested = warmed_up(leaf()).prop_recursive(3, 12, 3, move |inner| {
        let parts = prop::collection::vec((inner.clone(), 0..200_i64), 1..4);
        let sequential = parts.prop_map(move |parts| {
            let (parts, gaps): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let milestones = gaps[1..].iter().scan(0, |tick, gap| {
                *tick += gap;
                Some(Value::Integer(*tick))
            });
            table(vec![
                kind("sequential"),
                ("milestones", Value::Array(milestones.collect())),
                ("schedules", tables(parts)),
            ])
        });
        let chained = prop::collection::vec(inner.clone(), 1..4)
            .prop_map(move |parts| table(vec![kind("chained"), ("schedules", tables(parts))]));
        let scaled = (rate(), inner)
            .prop_map(move |(f, inner)| table(vec![kind("scaled"), ("factor", f), ("schedule", Value::Table(inner))]));
        prop_oneof![warmed_up(sequential), warmed_up(chained), warmed_up(scaled)]
    });
    let interval = prop::option::of(select(["step", "epoch"].as_slice()));
    (nested, interval).prop_map(|(mut config, interval)| {
        if let Some(interval) = interval {
            config.insert("interval".to_owned(), Value::String(interval.to_owned()));
        }
        config
    })
}

fn horizon() -> impl Strategy<Value = Horizon> {
    (1..20_u64, 500..5_000_u64).prop_map(|(steps_per_epoch, total)| Horizon::run(steps_per_epoch, total))
}

fn base_lr() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 1e-5..10.0_f64, 1 => 1e-14..1e-8_f64, 1 => 10.0..1e3_f64, 1 => Just(0.0)]
}

fn metrics() -> impl Strategy<Value = Vec<f64>> {
    let metric = prop_oneof![10 => -2.0..2.0_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
    prop::collection::vec(metric, 1..120)
}

/// Some generated configs make no sense on some horizons (a part that starts behind the end has no `"rest"`, two
/// parts both cycle the momentum); refusing them is right, and they are passed over.
fn build(table: &Table, horizon: &Horizon, base_lr: f64) -> Result<Scheduler, TestCaseError> {
    let scheduler = ScheduleConfig::from_table(table, "schedule")
        .and_then(|config| Scheduler::from_config(&config, horizon, vec![base_lr, base_lr * 0.5]));
    scheduler.map_err(|error| TestCaseError::reject(error.to_string()))
}

fn walks(table: &Table) -> bool {
    table.to_string().contains("multiplicative")
}

/// Ticks from 0 to `last`: the first ones, then ever further apart.
fn spread(last: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0_u64), |tick| Some(tick + 1 + tick / 16)).take_while(move |tick| *tick <= last)
}

fn settings() -> ProptestConfig {
    ProptestConfig { cases: CASES, max_global_rejects: 50 * CASES, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn stepping_equals_random_access(
        table in config(), horizon in horizon(), base in base_lr(), order in prop::collection::vec(0..300_usize, 40),
    ) {
        let stepped = build(&table, &horizon, base)?;
        let trace: Vec<(u64, Option<f64>)> =
            (0..300).map(|tick| (stepped.lr_at_tick(0, tick).to_bits(), stepped.momentum_at_tick(tick))).collect();
        let jumped = build(&table, &horizon, base)?;
        for tick in order {
            let found = (jumped.lr_at_tick(0, tick as u64).to_bits(), jumped.momentum_at_tick(tick as u64));
            prop_assert_eq!(found, trace[tick], "tick {} of\n{}", tick, table);
        }
    }

    #[test]
    fn a_split_run_goes_on_as_if_it_had_not_been_split(
        table in config(), horizon in horizon(), base in base_lr(), metrics in metrics(), split in 0.0..1.0_f64,
    ) {
        let mut whole = build(&table, &horizon, base)?;
        let split = (split * metrics.len() as f64) as usize;
        let mut fresh = None;
        for (tick, metric) in metrics.iter().enumerate() {
            let tick = tick as u64;
            if tick == split as u64 {
                // Through text, as a checkpoint would hold it.
                let saved = serde_json::to_string(&whole.state()).expect("JSON");
                let state: ScheduleState = serde_json::from_str(&saved).expect("reads back");
                let mut restored = build(&table, &horizon, base)?;
                restored.try_load(&state).expect("its own state");
                prop_assert_eq!(restored.state(), whole.state());
                fresh = Some(restored);
            }
            if let Some(fresh) = &mut fresh {
                for group in 0..2 {
                    prop_assert_eq!(fresh.lr_at_tick(group, tick).to_bits(), whole.lr_at_tick(group, tick).to_bits());
                }
                prop_assert_eq!(fresh.momentum_at_tick(tick), whole.momentum_at_tick(tick));
                fresh.observe_tick(tick, *metric);
            }
            whole.observe_tick(tick, *metric);
        }
    }

    #[test]
    fn every_rate_is_finite_and_not_negative_for_a_million_ticks(
        table in config(), horizon in horizon(), base in base_lr(), metrics in metrics(),
    ) {
        let mut scheduler = build(&table, &horizon, base)?;
        let last = if walks(&table) { WALK } else { MILLION };
        for (i, tick) in spread(last).enumerate() {
            // The schedule itself, without the scheduler's last line of defence.
            let lr = scheduler.schedule().lr(base, tick);
            prop_assert!(lr.is_finite() && lr >= 0.0, "{lr} at {tick} of\n{table}");
            if let Some(momentum) = scheduler.momentum_at_tick(tick) {
                prop_assert!((0.0..=1.0).contains(&momentum), "momentum {momentum} at {tick} of\n{table}");
            }
            scheduler.observe_tick(tick, metrics[i % metrics.len()]);
        }
        if !walks(&table) {
            prop_assert!(scheduler.schedule().lr(base, u64::MAX).is_finite());
        }
    }

    #[test]
    fn bounded_schedules_stay_within_their_bounds(
        table in config(), horizon in horizon(), base in base_lr(), metrics in metrics(),
    ) {
        let mut scheduler = build(&table, &horizon, base)?;
        let Some((low, high)) = scheduler.schedule().bounds(base) else { return Ok(()) };
        // Rounding: a few units in the last place of the largest rate.
        let slack = 1e-13 * high;
        for (i, tick) in spread(if walks(&table) { WALK } else { MILLION }).enumerate() {
            let lr = scheduler.lr_at_tick(0, tick);
            prop_assert!(low - slack <= lr && lr <= high + slack, "{lr} at {tick}, not in {low}..{high}, of\n{table}");
            scheduler.observe_tick(tick, metrics[i % metrics.len()]);
        }
    }

    #[test]
    fn chained_is_commutative(
        parts in prop::collection::vec(config(), 2..6), turn in 0..6_usize, horizon in horizon(), base in base_lr(),
    ) {
        let chain = |parts: Vec<Table>| {
            table(vec![("type", Value::String("chained".to_owned())), ("schedules", tables(parts))])
        };
        let mut other = parts.clone();
        let by = turn % parts.len();
        other.rotate_left(by);
        other.swap(0, parts.len() - 1);
        let (one, other) = (build(&chain(parts), &horizon, base)?, build(&chain(other), &horizon, base)?);
        for tick in spread(2_000) {
            prop_assert_eq!(one.lr_at_tick(0, tick).to_bits(), other.lr_at_tick(0, tick).to_bits(), "tick {}", tick);
            prop_assert_eq!(one.momentum_at_tick(tick), other.momentum_at_tick(tick));
        }
    }

    #[test]
    fn a_config_survives_toml_and_json(table in config(), horizon in horizon(), base in base_lr()) {
        let scheduler = build(&table, &horizon, base)?;
        let config = ScheduleConfig::from_table(&table, "").expect("it was built");
        let toml: ScheduleConfig = toml::from_str(&toml::to_string(&config).expect("TOML")).expect("reads back");
        let json: ScheduleConfig =
            serde_json::from_str(&serde_json::to_string(&config).expect("JSON")).expect("reads back");
        for again in [toml, json] {
            prop_assert_eq!(&again, &config);
            prop_assert_eq!(again.fingerprint(), config.fingerprint());
            prop_assert_eq!(again.interval(), config.interval());
            let again = Scheduler::from_config(&again, &horizon, vec![base]).expect("it was built before");
            for tick in spread(2_000) {
                prop_assert_eq!(again.lr_at_tick(0, tick).to_bits(), scheduler.lr_at_tick(0, tick).to_bits());
            }
        }
    }

    #[test]
    fn a_step_has_the_rate_of_its_tick(table in config(), horizon in horizon(), base in base_lr(), step in 0..5_000_u64) {
        let scheduler = build(&table, &horizon, base)?;
        prop_assert_eq!(scheduler.lr(0, step), scheduler.lr_at_tick(0, scheduler.tick_of(step)));
    }
}

/// Every strategy that can be named, at every one of a million ticks.
#[test]
fn every_named_strategy_is_finite_at_each_of_a_million_ticks() {
    for entry in Registry::standard().iter() {
        let config = ScheduleConfig::from_toml_str(entry.example()).expect(entry.name());
        let scheduler = Scheduler::from_config(&config, &Horizon::run(10, 1_000), vec![0.1]).expect(entry.name());
        for tick in 0..=MILLION {
            let lr = scheduler.schedule().lr(0.1, tick);
            assert!(lr.is_finite() && lr >= 0.0, "{}: {lr} at {tick}", entry.name());
        }
    }
}

/// The closed form for `t_mult = 2` against the definition, cycle by cycle.
#[test]
fn warm_restarts_begin_where_the_lengths_add_up() {
    for (t_0, t_mult) in [(1_u64, 2_u64), (3, 2), (10, 2), (7, 3), (4, 1)] {
        let text = format!("type = 'cosine_annealing_warm_restarts'\nt_0 = {t_0}\nt_mult = {t_mult}");
        let config = ScheduleConfig::from_toml_str(&text).expect("a config");
        let schedule = config.build(&Horizon::unknown(), "").expect("a schedule");
        let (mut start, mut length) = (0, t_0);
        while start < 100_000 {
            assert_eq!(schedule.lr(1.0, start), 1.0, "a cycle of {length} begins at {start}\n{text}");
            let last = 1.0_f64.midpoint((std::f64::consts::PI * (length - 1) as f64 / length as f64).cos());
            assert!((schedule.lr(1.0, start + length - 1) - last).abs() < 1e-12, "its end\n{text}");
            (start, length) = (start + length, length * t_mult);
        }
    }
}
