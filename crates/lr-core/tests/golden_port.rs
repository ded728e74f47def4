//! The porting layer, number by number: every transformers, timm, optax and ignite case of the golden file is written as
//! the TOML of a user, read, built, and compared at every recorded tick, the reactive ones with their metrics.
#![allow(clippy::expect_used, clippy::panic)]

mod common;

use common::{Case, build, cases, number, toml_document};
use lr_core::{Horizon, Interval, Registry, ScheduleConfig, Scheduler};
use serde_json::{Map, Value};

/// The cases that differ from their reference on purpose (`docs/schedules/porting.md` says why): none of those recorded.
/// The differences there are concern settings that no case has.
const DIFFERENCES: &[&str] = &[];

fn ported() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.class.contains(':'))
}

/// The name and fields of a case in a config.
fn translate(class: &str, kwargs: &Map<String, Value>) -> (String, Map<String, Value>) {
    let (prefix, name) = class.split_once(':').expect("a framework");
    let framework = if prefix == "hf" { "transformers" } else { prefix };
    let mut fields = Map::new();
    for (key, value) in kwargs {
        match (key.as_str(), value) {
            // get_scheduler's first argument is the type; what it passes on stands flat.
            ("name", _) if prefix == "hf" => {}
            ("scheduler_specific_kwargs", Value::Object(specific)) => fields.extend(specific.clone()),
            ("schedules", Value::Array(parts)) => {
                let part = |part: &Value| {
                    let class = format!("{prefix}:{}", part["name"].as_str().expect("a name"));
                    let (name, mut fields) = translate(&class, part["kwargs"].as_object().expect("kwargs"));
                    fields.insert("type".to_owned(), name.into());
                    Value::Object(fields)
                };
                fields.insert(key.clone(), parts.iter().map(part).collect());
            }
            (_, Value::Null) => {}
            _ => drop(fields.insert(key.clone(), value.clone())),
        }
    }
    (format!("{framework}/{name}"), fields)
}

fn text(case: &Case) -> String {
    let (name, fields) = translate(&case.class, &case.kwargs);
    toml_document(&name, &fields)
}

/// The scheduler of a case; optax's functions know no base rate.
fn scheduler(case: &Case) -> Scheduler {
    let base_lrs = if case.base_lr.is_empty() { vec![1.0] } else { case.base_lr.clone() };
    let text = text(case);
    build(&text, &Horizon::unknown(), base_lrs).unwrap_or_else(|error| panic!("{}: {error}\n{text}", case.id))
}

fn compare(case: &Case) -> Result<(), String> {
    let mut scheduler = scheduler(case);
    let Some(metrics) = case.metrics.clone() else {
        return case.compare(u64::MAX, |group, tick| scheduler.lr_at_tick(group, tick));
    };
    let mut rates = vec![Vec::new(); case.lr.len()];
    for (tick, metric) in (0..).zip(metrics) {
        for (group, rates) in rates.iter_mut().enumerate() {
            rates.push(scheduler.lr_at_tick(group, tick));
        }
        scheduler.observe_tick(tick, metric);
    }
    case.compare(u64::MAX, |group, tick| rates[group][tick as usize])
}

#[test]
fn every_case_of_the_four_frameworks_agrees() {
    let mut count = 0;
    let mut differing = Vec::new();
    for case in ported() {
        count += 1;
        if let Err(difference) = compare(&case) {
            differing.push((case.id.clone(), difference));
        }
    }
    assert_eq!(count, 116, "the golden file has lost or gained cases");
    let unlisted: Vec<_> = differing.iter().filter(|(id, _)| !DIFFERENCES.contains(&id.as_str())).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let ids: Vec<&str> = differing.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, DIFFERENCES, "the listed differences are exactly those there are");
}

#[test]
fn a_tick_is_what_the_framework_counts() {
    for case in ported() {
        let epochs = case.class.starts_with("timm:") && case.kwargs.get("t_in_epochs") != Some(&Value::Bool(false));
        let expected = if epochs { Interval::Epoch } else { Interval::Step };
        assert_eq!(scheduler(&case).interval(), expected, "{}", case.id);
    }
}

#[test]
fn resolved_configs_give_the_same_rates() {
    for case in ported() {
        let config = ScheduleConfig::from_toml_str(&text(&case)).expect(&case.id);
        let resolved = toml::to_string(&config.to_table()).expect("TOML");
        let again = ScheduleConfig::from_toml_str(&resolved).unwrap_or_else(|e| panic!("{}: {e}", case.id));
        assert_eq!(again.fingerprint(), config.fingerprint(), "{}", case.id);
    }
}

/// Cut anywhere, saved, loaded into a fresh one: nothing changes.
#[test]
fn reactive_schedules_go_on_where_they_were() {
    for case in ported().filter(|case| case.metrics.is_some()) {
        let metrics = case.metrics.clone().expect("metrics");
        let whole = feed(scheduler(&case), 0, &metrics);
        for cut in [1, metrics.len() / 3, metrics.len() - 1] {
            let mut first = scheduler(&case);
            for (tick, metric) in (0..).zip(&metrics[..cut]) {
                first.observe_tick(tick, *metric);
            }
            let json = serde_json::to_string(&first.state()).expect("JSON");
            let mut second = scheduler(&case);
            second.try_load(&serde_json::from_str(&json).expect("a state")).expect(&case.id);
            assert_eq!(feed(second, cut as u64, &metrics[cut..]), whole[cut..], "{} cut at {cut}", case.id);
        }
    }
}

fn feed(mut scheduler: Scheduler, from: u64, metrics: &[f64]) -> Vec<Vec<u64>> {
    let groups = scheduler.base_lrs().len();
    let mut seen = Vec::new();
    for (tick, metric) in (from..).zip(metrics) {
        seen.push((0..groups).map(|group| scheduler.lr_at_tick(group, tick).to_bits()).collect());
        scheduler.observe_tick(tick, *metric);
    }
    seen
}

/// Recorded by `tests/golden/port_extra.py` from the reference packages on settings drawn at random: every schedule they
/// offer, also those the golden file has no case of. `ANNEAL_PORT_EXTRA` names another recording to compare with.
#[test]
fn settings_drawn_at_random_agree() {
    let text = match std::env::var_os("ANNEAL_PORT_EXTRA") {
        Some(path) => std::fs::read_to_string(path).expect("a recording"),
        None => include_str!("golden/port_extra.jsonl").to_owned(),
    };
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert!(lines.len() >= 100, "only {} recordings", lines.len());
    let wrong: Vec<String> = lines.iter().filter_map(|line| agrees(line).err()).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

fn agrees(line: &Value) -> Result<(), String> {
    let text = line["toml"].as_str().expect("a config");
    let base_lrs = common::numbers(&line["base_lr"]);
    let id = &line["id"];
    let mut scheduler = build(text, &Horizon::unknown(), base_lrs).map_err(|error| format!("{id}: {error}\n{text}"))?;
    let recorded: Vec<Vec<f64>> = line["lr"].as_array().expect("rates").iter().map(common::numbers).collect();
    let largest = recorded.iter().flatten().fold(0.0_f64, |max, lr| max.max(*lr));
    let metrics = line.get("metrics").and_then(Value::as_array);
    for tick in 0..recorded[0].len() {
        for (group, rates) in recorded.iter().enumerate() {
            let (found, expected) = (scheduler.lr_at_tick(group, tick as u64), rates[tick]);
            if (found - expected).abs() > 1e-12 * largest {
                return Err(format!("{id}: group {group}, tick {tick}: {found:e}, not {expected:e}\n{text}"));
            }
        }
        if let Some(metrics) = metrics {
            scheduler.observe_tick(tick as u64, number(&metrics[tick]));
        }
    }
    // What no recording shows: the stated bounds hold, also far behind the end.
    let far = [1_000, 1 << 20, 1 << 32, 1 << 53, u64::MAX - 1, u64::MAX];
    for (group, base_lr) in scheduler.base_lrs().iter().enumerate() {
        let (low, high) = scheduler.schedule().bounds(*base_lr).unwrap_or((0.0, f64::MAX));
        for tick in (0..300).chain(far) {
            let lr = scheduler.schedule().lr(*base_lr, tick);
            if !(lr >= low - 1e-12 * high && lr - high <= 1e-12 * high) {
                return Err(format!("{id}: group {group}, tick {tick}: {lr:e} is not in {low:e}..{high:e}\n{text}"));
            }
        }
    }
    Ok(())
}

fn page(name: &str) -> String {
    let path = format!("{}/../../docs/schedules/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A field of a page's table is named alone or with its default: `lr_min` or `lr_min = 0.0`.
fn mentions(text: &str, field: &str) -> bool {
    ["`", " =", ":"].iter().any(|end| text.contains(&format!("`{field}{end}")))
}

#[test]
fn each_frameworks_page_names_its_schedules_and_their_fields() {
    for entry in Registry::standard().iter() {
        let Some((framework, _)) = entry.name().split_once('/') else { continue };
        let text = page(framework);
        assert!(text.contains(&format!("`{}`", entry.name())), "{framework}.md has no `{}`", entry.name());
        for field in entry.fields() {
            assert!(mentions(&text, field), "{framework}.md has no field `{field}` of `{}`", entry.name());
        }
    }
}

/// What the pages show as TOML are configs that work.
#[test]
fn the_examples_in_the_porting_page_build() {
    let text = page("porting");
    let blocks: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        let table: toml::Table = block.parse().expect(block);
        let schedule = table["schedule"].as_table().expect("[schedule]");
        let config = ScheduleConfig::from_table(schedule, "schedule").unwrap_or_else(|e| panic!("{e}\n{block}"));
        config.build(&Horizon::run(100, 100_000), "schedule").unwrap_or_else(|e| panic!("{e}\n{block}"));
    }
}
