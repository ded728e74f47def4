//! torch's schedulers, number by number: every torch case of the golden file is translated into the TOML that a user
//! would write, parsed, built, and compared at every recorded tick, momentum and plateau counters included.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

mod common;

use common::{Case, by_id, number, numbers, toml_document, torch_cases};
use lr_core::{Clock, CosineAnnealingWarmRestarts, Duration, Horizon, Scalar, Scheduler};
use serde_json::{Map, Value, json};

/// The cases that do not agree with torch in full, and what is done instead (`docs/schedules/differences.md` says
/// why). The test below fails both if a case that is not listed differs and if one that is listed does not.
const DIFFERENCES: &[(&str, Difference)] = &[
    ("torch/ChainedScheduler/088", Difference::Product),
    ("torch/ChainedScheduler/283", Difference::Product),
    ("torch/ChainedScheduler/293", Difference::Product),
    ("torch/CyclicLR/118", Difference::BuildsWithoutOptimizer),
    ("torch/OneCycleLR/140", Difference::BuildsWithoutOptimizer),
    ("torch/OneCycleLR/131", Difference::EmptyPhaseIsOver),
    ("torch/OneCycleLR/120", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/122", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/123", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/125", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/127", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/128", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/130", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/132", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/134", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/135", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/136", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/137", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/139", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/175", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/197", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/208", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/230", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/252", Difference::HeldPastTheEnd),
    ("torch/OneCycleLR/263", Difference::HeldPastTheEnd),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// torch chains recurrences; ours is the product of the parts.
    Product,
    /// torch asks the optimizer for a momentum at construction; a schedule of ours knows no optimizer.
    BuildsWithoutOptimizer,
    /// torch divides by zero in a phase of no length.
    EmptyPhaseIsOver,
    /// torch extrapolates at `total_steps` and refuses to go on; ours holds the last rate.
    HeldPastTheEnd,
}

/// A torch case as the TOML of each of its groups: one table for all, or, where torch takes a list, one per group.
fn tables(case: &Case) -> Vec<String> {
    (0..case.base_lr.len()).map(|group| document(&case.class, &case.kwargs, group)).collect()
}

fn document(class: &str, kwargs: &Map<String, Value>, group: usize) -> String {
    let (name, fields) = translate(class, kwargs, group);
    toml_document(name, &fields)
}

fn translate(class: &str, kwargs: &Map<String, Value>, group: usize) -> (&'static str, Map<String, Value>) {
    let name = match class {
        "LambdaLR" => "expression",
        "MultiplicativeLR" => "multiplicative",
        "StepLR" => "step",
        "MultiStepLR" => "multi_step",
        "ConstantLR" => "constant",
        "LinearLR" => "linear",
        "ExponentialLR" => "exponential",
        "PolynomialLR" => "polynomial",
        "CosineAnnealingLR" => "cosine_annealing",
        "CosineAnnealingWarmRestarts" => "cosine_annealing_warm_restarts",
        "ChainedScheduler" => "chained",
        "SequentialLR" => "sequential",
        "CyclicLR" => "cyclic",
        "OneCycleLR" => "one_cycle",
        "ReduceLROnPlateau" => "reduce_on_plateau",
        "SWALR" => "swa",
        other => panic!("no translation of {other}"),
    };
    let mut fields = Map::new();
    for (key, value) in kwargs {
        let (key, value) = match (key.as_str(), value) {
            // torch's own way of saying "from the start".
            ("last_epoch", value) if *value == json!(-1) => continue,
            ("schedulers", Value::Array(parts)) => ("schedules".to_owned(), parts.iter().map(part).collect()),
            ("lr_lambda", Value::Array(functions)) => ("expression".to_owned(), formula(&functions[group], "t").into()),
            ("lr_lambda", function) => ("expression".to_owned(), formula(function, "t").into()),
            ("scale_fn", function) => ("scale_fn".to_owned(), formula(function, "x").into()),
            ("milestones", value) => (key.to_lowercase(), value.clone()),
            (_, Value::Array(per_group)) => (key.to_lowercase(), per_group[group].clone()),
            (_, value) => (key.to_lowercase(), value.clone()),
        };
        fields.insert(key, value);
    }
    (name, fields)
}

fn part(part: &Value) -> Value {
    let class = part["class"].as_str().expect("a class");
    let (name, mut fields) = translate(class, part["kwargs"].as_object().expect("kwargs"), 0);
    fields.insert("type".to_owned(), name.into());
    Value::Object(fields)
}

/// The named functions of the golden README as formulas in `x`.
fn formula(function: &Value, x: &str) -> String {
    let of = |field: &str| function[field].clone();
    match function["name"].as_str().expect("a name") {
        "warmup_then_decay" => {
            let (warmup, total) = (of("warmup_epochs"), of("total_epochs"));
            format!("if({x} < {warmup}, ({x} + 1) / {warmup}, 0.1 ^ (({x} - {warmup}) / ({total} - {warmup})))")
        }
        "pow" => format!("{} ^ {x}", of("base")),
        "floor_div" => format!("floor({x} / {})", of("div")),
        "inv_time" => format!("1 / (1 + {} * {x})", of("k")),
        "const" => of("value").to_string(),
        "alternate" => format!("if({x} % 2 == 0, {}, {})", of("even"), of("odd")),
        "log_decay" => format!("1 - 0.01 * ln(1 + {x}) * {}", of("scale")),
        "half_power" => format!("1 / 2 ^ ({x} - 1)"),
        "sin" => format!("0.5 * (1 + sin({x} * pi / 2))"),
        other => panic!("no formula for {other}"),
    }
}

/// One scheduler per group, through the config path.
fn schedulers(case: &Case) -> Vec<Scheduler> {
    let groups = tables(case).into_iter().zip(&case.base_lr);
    let build = |(text, base_lr): (String, &f64)| {
        common::build(&text, &Horizon::unknown(), vec![*base_lr])
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", case.id))
    };
    groups.map(build).collect()
}

fn compare(case: &Case, until: u64) -> Result<(), String> {
    if case.line.get("epoch").is_some() {
        return compare_fractional(case);
    }
    let mut groups = schedulers(case);
    if case.metrics.is_some() {
        return compare_reactive(case, &mut groups);
    }
    if case.line["error_at"] == json!("construction") {
        return Err(format!("{}: torch refuses to construct it", case.id));
    }
    case.compare(until, |group, tick| groups[group].lr_at_tick(0, tick))?;
    case.compare_momentum(until, |group, tick| groups[group].momentum_at_tick(tick))
}

/// Feeds `metrics[i]` after tick `i`, as the recording did, and compares the counters after each too.
fn compare_reactive(case: &Case, groups: &mut [Scheduler]) -> Result<(), String> {
    let metrics = case.metrics.as_ref().expect("metrics");
    let counters = ["num_bad_epochs", "cooldown_counter"].map(|name| (name, numbers(&case.line[name])));
    let mut seen = vec![Vec::new(); groups.len()];
    for (i, metric) in metrics.iter().enumerate() {
        for (rates, scheduler) in seen.iter_mut().zip(groups.iter_mut()) {
            rates.push(scheduler.lr_at_tick(0, i as u64));
            scheduler.observe_tick(i as u64, *metric);
            for (name, recorded) in &counters {
                let found = scheduler.state().scalars[*name];
                if found != Scalar::Count(recorded[i] as u64) {
                    return Err(format!("{}: {name} after {i}: {found:?}, not {}", case.id, recorded[i]));
                }
            }
        }
    }
    case.compare(u64::MAX, |group, tick| seen[group][tick as usize])
}

/// torch's `step(epoch)` with fractions of an epoch, which is a function of the time given.
fn compare_fractional(case: &Case) -> Result<(), String> {
    let whole = |name: &str| case.kwargs.get(name).and_then(Value::as_u64);
    let restarts = CosineAnnealingWarmRestarts {
        t_0: Duration::Ticks(whole("T_0").expect("T_0")),
        t_mult: whole("T_mult").unwrap_or(1),
        eta_min: case.kwargs.get("eta_min").map_or(0.0, number),
    };
    let times = numbers(&case.line["epoch"]);
    case.compare(u64::MAX, |group, k| {
        restarts.lr_at(case.base_lr[group], times[k as usize], &Clock::unknown()).expect("a rate")
    })
}

#[test]
fn every_case_agrees_except_the_listed_differences() {
    let cases = torch_cases();
    assert_eq!(cases.len(), 194, "the golden file holds another number of torch cases than when this was written");
    let differing: Vec<String> = cases.iter().filter_map(|case| compare(case, u64::MAX).err()).collect();
    let ids: Vec<&str> = differing.iter().map(|error| error.split(':').next().expect("an id")).collect();
    let unlisted: Vec<&String> = differing
        .iter()
        .filter(|error| DIFFERENCES.iter().all(|(id, _)| !error.starts_with(&format!("{id}:"))))
        .collect();
    assert!(unlisted.is_empty(), "{} cases differ and are not listed:\n{unlisted:#?}", unlisted.len());
    for (id, difference) in DIFFERENCES {
        assert!(ids.contains(id), "{id} is listed as {difference:?} but agrees in full");
    }
}

fn ids_of(difference: Difference) -> impl Iterator<Item = &'static str> {
    DIFFERENCES.iter().filter(move |(_, listed)| *listed == difference).map(|(id, _)| *id)
}

#[test]
fn one_cycle_agrees_until_its_end_and_holds_its_last_rate_and_momentum_there() {
    for id in ids_of(Difference::HeldPastTheEnd) {
        let case = by_id(id);
        // torch refuses the step after `total_steps`.
        let end = case.line["error_at"].as_u64().expect("where torch refuses") - 1;
        compare(&case, end).expect(id);
        for scheduler in schedulers(&case) {
            for tick in [end, end + 1, 10 * end, u64::MAX] {
                assert_eq!(scheduler.lr_at_tick(0, tick), scheduler.lr_at_tick(0, end - 1), "{id} at {tick}");
                assert_eq!(scheduler.momentum_at_tick(tick), scheduler.momentum_at_tick(end - 1), "{id} at {tick}");
            }
        }
    }
}

#[test]
fn a_one_cycle_phase_of_no_length_is_over_at_once() {
    for id in ids_of(Difference::EmptyPhaseIsOver) {
        let case = by_id(id);
        let scheduler = schedulers(&case).remove(0);
        assert_eq!(scheduler.lr_at_tick(0, 0), number(&case.kwargs["max_lr"]), "{id}: the rise is over at tick 0");
        assert!((1..100).all(|tick| scheduler.lr_at_tick(0, tick) <= scheduler.lr_at_tick(0, tick - 1)), "{id}");
    }
}

#[test]
fn a_schedule_that_cycles_momentum_builds_without_an_optimizer_and_says_that_it_does() {
    for id in ids_of(Difference::BuildsWithoutOptimizer) {
        let case = by_id(id);
        assert!(case.line["error"].as_str().expect("torch's words").contains("must support momentum"), "{id}");
        let config = lr_core::ScheduleConfig::from_toml_str(&tables(&case)[0]).expect(id);
        assert!(config.sets_momentum(), "{id}: whoever joins it to an optimizer can see that it needs a momentum");
    }
}

#[test]
fn chained_is_the_product_of_its_parts() {
    for id in ids_of(Difference::Product) {
        let case = by_id(id);
        let whole = schedulers(&case).remove(0);
        let base = case.base_lr[0];
        let parts = case.kwargs["schedulers"].as_array().expect("parts").iter().map(|part| {
            let class = part["class"].as_str().expect("a class");
            let text = document(class, part["kwargs"].as_object().expect("kwargs"), 0);
            common::build(&text, &Horizon::unknown(), vec![base]).expect(id)
        });
        let parts: Vec<Scheduler> = parts.collect();
        for tick in 0..200 {
            let product = parts.iter().map(|part| part.lr_at_tick(0, tick) / base).product::<f64>() * base;
            assert!((whole.lr_at_tick(0, tick) - product).abs() <= case.tolerance(), "{id} at {tick}");
        }
    }
}

/// The worked examples that the strategies are named after, as a user would write them.
fn worked_example(id: &str, base_lr: f64, text: &str) {
    let case = by_id(id);
    let scheduler = common::build(text, &Horizon::run(1, 10_000), vec![base_lr]).expect(id);
    case.compare(u64::MAX, |_, tick| scheduler.lr_at_tick(0, tick)).expect(id);
    case.compare_momentum(u64::MAX, |_, tick| scheduler.momentum_at_tick(tick)).expect(id);
}

#[test]
fn doc_step() {
    worked_example("doc/step", 0.1, "type = 'step'\nstep_size = 10\ngamma = 0.5");
}

#[test]
fn doc_exponential() {
    worked_example("doc/exponential", 0.1, "type = 'exponential'\ngamma = 0.9");
}

#[test]
fn doc_cosine() {
    worked_example("doc/cosine", 0.1, "type = 'cosine_annealing'\nt_max = 10");
}

#[test]
fn doc_cyclic_no_momentum() {
    let text = "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.006\nmode = 'triangular'\ncycle_momentum = false";
    worked_example("doc/cyclic_no_momentum", 0.001, text);
}

#[test]
fn doc_cyclic_as_written() {
    let text = "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.006\nstep_size_up = 2000\nmode = 'triangular'";
    worked_example("doc/cyclic_as_written", 0.001, text);
}

#[test]
fn doc_warmup_lambda() {
    let text = "type = 'lambda'\nexpression = 'if(t < 5, (t + 1) / 5, 0.1 ^ ((t - 5) / 95))'";
    worked_example("doc/warmup_lambda", 0.001, text);
}

#[test]
fn the_docs_list_every_difference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schedules/differences.md");
    let text = std::fs::read_to_string(path).expect(path);
    for (id, difference) in DIFFERENCES {
        assert!(text.contains(&format!("`{id}`")), "{path} does not list {id} ({difference:?})");
    }
}
