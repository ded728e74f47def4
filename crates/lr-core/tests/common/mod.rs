//! Reads the golden traces (`tests/golden/schedulers.jsonl`) and compares schedules with them.
//!
//! Each test file uses its own part of this module.
#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fmt::Write as _;

use lr_core::{Horizon, ScheduleConfig, Scheduler};
use serde_json::{Map, Value};

/// One recorded run of a reference implementation.
pub struct Case {
    pub id: String,
    /// The short class name; `hf:`, `timm:`, `optax:`, `ignite:` prefixes, none for torch.
    pub class: String,
    pub kwargs: Map<String, Value>,
    pub base_lr: Vec<f64>,
    /// `lr[group][k]`, in force at tick `at[k]` (`k` itself where `at` is absent).
    pub lr: Vec<Vec<f64>>,
    pub at: Option<Vec<u64>>,
    /// `momentum[group][k]`.
    pub momentum: Option<Vec<Vec<f64>>>,
    pub metrics: Option<Vec<f64>>,
    /// The whole line, for what only some cases have.
    pub line: Value,
}

impl Case {
    /// The tick of the `k`-th recorded value.
    pub fn tick(&self, k: usize) -> u64 {
        self.at.as_ref().map_or(k as u64, |at| at[k])
    }

    /// The tolerance that the golden README gives: 1e-12 of the largest rate of the case.
    pub fn tolerance(&self) -> f64 {
        1e-12 * self.lr.iter().flatten().fold(0.0_f64, |max, lr| max.max(lr.abs()))
    }

    /// Compares every recorded rate below tick `until` with `lr(group, tick)`; the first difference is the error.
    pub fn compare(&self, until: u64, mut lr: impl FnMut(usize, u64) -> f64) -> Result<(), String> {
        for (group, recorded) in self.lr.iter().enumerate() {
            for (k, expected) in recorded.iter().enumerate() {
                let tick = self.tick(k);
                let found = lr(group, tick);
                if tick < until && !near(found, *expected, self.tolerance()) {
                    return Err(format!("{}: group {group}, tick {tick}: {found:e}, not {expected:e}", self.id));
                }
            }
        }
        Ok(())
    }

    /// Compares every recorded momentum below tick `until` with `momentum(group, tick)`.
    pub fn compare_momentum(
        &self,
        until: u64,
        mut momentum: impl FnMut(usize, u64) -> Option<f64>,
    ) -> Result<(), String> {
        for (group, recorded) in self.momentum.iter().flatten().enumerate() {
            for (k, expected) in recorded.iter().enumerate() {
                let tick = self.tick(k);
                // A schedule that does not cycle it leaves the optimizer's own, which is then constant.
                let found = momentum(group, tick).unwrap_or(recorded[0]);
                if tick < until && !near(found, *expected, 1e-12) {
                    return Err(format!("{}: momentum {group} at {tick}: {found:e}, not {expected:e}", self.id));
                }
            }
        }
        Ok(())
    }
}

fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    found == expected || (found - expected).abs() <= tolerance
}

/// All cases of the file.
pub fn cases() -> Vec<Case> {
    let text = include_str!("../golden/schedulers.jsonl");
    text.lines().map(|line| case(serde_json::from_str(line).expect("a JSON line"))).collect()
}

/// torch's cases.
pub fn torch_cases() -> Vec<Case> {
    cases().into_iter().filter(|case| !case.class.contains(':')).collect()
}

/// The case of that id.
pub fn by_id(id: &str) -> Case {
    cases().into_iter().find(|case| case.id == id).unwrap_or_else(|| panic!("no case {id}"))
}

fn case(line: Value) -> Case {
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let grid = |field: &str| line[field].as_array().map(|groups| groups.iter().map(numbers).collect());
    Case {
        id: text("id"),
        class: text("class"),
        kwargs: line["kwargs"].as_object().cloned().unwrap_or_default(),
        base_lr: numbers(&line["base_lr"]),
        lr: grid("lr").unwrap_or_default(),
        at: line["at"].as_array().map(|at| at.iter().map(|t| t.as_u64().expect("a tick")).collect()),
        momentum: grid("momentum"),
        metrics: line.get("metrics").map(numbers),
        line,
    }
}

/// An array of numbers; those that JSON cannot hold are strings.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|items| items.iter().map(number).collect()).unwrap_or_default()
}

pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            other => panic!("{other} is no number"),
        },
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

/// A JSON value as a user would write it in TOML, inline.
pub fn toml_text(value: &Value) -> String {
    match value {
        Value::Null => panic!("TOML has no null: leave the field out"),
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| format!("{} = {}", toml_key(name), toml_text(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

fn toml_key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { format!("{name:?}") }
}

/// A config file's text: `type` and fields, one a line.
pub fn toml_document(type_name: &str, fields: &Map<String, Value>) -> String {
    let mut text = format!("type = {type_name:?}\n");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        writeln!(text, "{} = {}", toml_key(name), toml_text(value)).expect("writing to a string");
    }
    text
}

/// Builds what a user wrote, for groups of these base rates, one tick per step.
pub fn build(text: &str, horizon: &Horizon, base_lrs: Vec<f64>) -> Result<Scheduler, lr_core::ConfigError> {
    let config = ScheduleConfig::from_toml_str(text)?;
    Scheduler::from_config(&config, horizon, base_lrs)
}
