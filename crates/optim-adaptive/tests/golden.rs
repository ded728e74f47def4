//! The golden traces: every case of every class this crate offers, in f32 and f64, on each CPU backend, through the
//! public configuration. Made with torch 2.15.0, prodigyopt 1.1.2 and schedulefree 1.4.1; the tolerances are those of
//! the traces' README.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use burn::module::Module;
use burn::tensor::{DType, Device};
use optim_adaptive::OptimizerConfig;
use serde_json::Value;

use common::{Two, devices, tensor};

/// The classes offered, with their names here. torch's Adafactor is not: the one offered is burn's.
const CLASSES: &[(&str, &str)] = &[
    ("Adam", "adam"),
    ("AdamW", "adamw"),
    ("NAdam", "nadam"),
    ("RAdam", "radam"),
    ("Adamax", "adamax"),
    ("Adagrad", "adagrad"),
    ("RMSprop", "rmsprop"),
    ("Adadelta", "adadelta"),
    ("SGD", "sgd"),
    ("Prodigy", "prodigy"),
    ("AdamWScheduleFree", "schedule_free_adamw"),
    ("SGDScheduleFree", "schedule_free_sgd"),
];
const NOT_OFFERED: &[&str] = &["Adafactor", "RAdamScheduleFree", "ASGD", "Rprop"];

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            other => panic!("no number: {other}"),
        },
        other => other.as_f64().expect("a number"),
    }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array().map(|items| items.iter().map(number).collect())
}

/// The `[optimizer]` table of a case.
fn config_text(case: &Value) -> String {
    let class = case["class"].as_str().expect("class");
    let name = CLASSES.iter().find(|(known, _)| *known == class).expect("offered").1;
    let lr = case["lr"].as_array().and_then(|lr| lr.iter().map(number).find(|lr| *lr > 0.0)).expect("a rate");
    let kwargs = case["kwargs"].as_object().expect("kwargs");
    let fields = kwargs.iter().map(|(key, value)| format!("{key} = {value}\n"));
    format!("type = \"{name}\"\nlr = {lr:?}\n{}", fields.collect::<String>())
}

/// Absolute and relative tolerance.
fn tolerance(case: &Value, dtype: DType) -> (f64, f64) {
    let class = case["class"].as_str().expect("class");
    let centered = case["kwargs"].get("centered").is_some();
    match (dtype, class) {
        (DType::F64, "NAdam") => (1e-8, 1e-6),
        (DType::F64, _) => (1e-13, 1e-12),
        (_, "RMSprop") if centered => (1e-6, 5e-5),
        (_, "Prodigy") => (1e-6, 1e-3),
        (_, "Adagrad" | "Adadelta" | "RMSprop" | "SGD") => (2e-7, 2e-5),
        _ => (1e-7, 5e-6),
    }
}

/// Whether f32 overflows along the way on purpose: values are compared only where the reference is finite.
fn overflows(case: &Value) -> bool {
    matches!(case["grad_kind"].as_str(), Some("huge" | "spike" | "inf_once" | "nan_once"))
}

fn compare(found: &[f64], expected: &[f64], (atol, rtol): (f64, f64), loose: bool, what: &str) -> Result<(), String> {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = if expected.is_nan() || found.is_nan() {
            (loose && expected.is_nan()) || (expected.is_nan() && found.is_nan())
        } else if expected.is_infinite() {
            loose || found == expected
        } else {
            (found - expected).abs() <= atol + rtol * expected.abs()
        };
        if !close {
            return Err(format!("{what}, element {i}: {found:e}, reference {expected:e}"));
        }
    }
    Ok(())
}

fn run(case: &Value, dtype: DType, device: &Device) -> Result<(), String> {
    let config = OptimizerConfig::from_toml_str(&config_text(case)).map_err(|error| error.to_string())?;
    let mut optimizer = config.init();
    let shapes: Vec<Vec<usize>> = serde_json::from_value(case["shapes"].clone()).expect("shapes");
    let (&[rows, columns], &[length]) = (shapes[0].as_slice(), shapes[1].as_slice()) else { panic!("shapes") };
    let [weight, bias] = [0, 1].map(|i| numbers(&case["init"][i]).expect("init"));
    let mut model = Two::new(tensor(&weight, [rows, columns], dtype, device), tensor(&bias, [length], dtype, device));
    let key = |name: &str| if dtype == DType::F64 { format!("{name}_f64") } else { name.to_owned() };
    let tolerance = tolerance(case, dtype);
    let loose = overflows(case);
    for (step, lr) in case["lr"].as_array().expect("lr").iter().enumerate() {
        let grads = &case["grads"][step];
        let weight = numbers(&grads[0]).map(|grad| tensor(&grad, [rows, columns], dtype, device));
        let bias = numbers(&grads[1]).map(|grad| tensor(&grad, [length], dtype, device));
        let grads = model.grads(weight, bias);
        model = optimizer.step(number(lr), model, grads);
        assert_eq!(model.weight.val().dtype(), dtype, "the precision is kept");

        for (i, found) in model.values().iter().enumerate() {
            let expected = numbers(&case[key("params")][step][i]).expect("params");
            compare(found, &expected, tolerance, loose, &format!("step {step}, tensor {i}"))?;
        }
        if let Some(expected) = case.get(key("params_eval")) {
            for (i, found) in optimizer.eval_params(model.clone()).values().iter().enumerate() {
                let expected = numbers(&expected[step][i]).expect("params_eval");
                compare(found, &expected, tolerance, loose, &format!("step {step}, averaged tensor {i}"))?;
            }
        }
        if let Some(expected) = case.get(key("d")) {
            let found = optimizer.step_size_estimate().expect("Prodigy has an estimate");
            compare(&[found], &[number(&expected[step])], tolerance, loose, &format!("step {step}, d"))?;
        }
    }
    assert_eq!(model.num_params(), rows * columns + length);
    Ok(())
}

#[test]
fn every_case_of_every_class_offered_agrees_with_its_reference() {
    let text = fs::read_to_string("tests/golden/optimizers.jsonl").expect("golden data");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let class = case["class"].as_str().expect("class");
        let Some((class, _)) = CLASSES.iter().find(|(known, _)| *known == class) else {
            assert!(NOT_OFFERED.contains(&class), "a class this test does not know: {class}");
            continue;
        };
        *counts.entry(class).or_default() += 1;
        let id = case["id"].as_str().expect("id");
        if case.get("error").is_some() {
            if OptimizerConfig::from_toml_str(&config_text(&case)).is_ok() {
                failures.push(format!("{id}: the reference refuses these options"));
            }
            continue;
        }
        for (name, device) in devices() {
            for dtype in [DType::F32, DType::F64] {
                if let Err(error) = run(&case, dtype, &device) {
                    failures.push(format!("{id} on {name} in {dtype:?}: {error}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // Every class offered has cases, so that a misspelt name does not pass unnoticed.
    assert_eq!(counts.len(), CLASSES.len(), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 168, "{counts:?}");
}
