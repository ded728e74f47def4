//! Clipping against torch's, on golden gradients, and what it promises beyond them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod common;

use std::fs;

use burn::tensor::{DType, Device};
use optim_adaptive::{ClipError, NormType, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
use serde_json::Value;

use common::{Two, devices, tensor, values};

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => value.as_f64().expect("a number"),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("numbers").iter().map(number).collect()
}

/// A model of zeros and these gradients.
fn model(before: &Value, dtype: DType, device: &Device) -> (Two, burn::optim::GradientsParams) {
    let model = Two::new(tensor(&[0.0; 12], [3, 4], dtype, device), tensor(&[0.0; 5], [5], dtype, device));
    let grads = model.grads(
        Some(tensor(&numbers(&before[0]), [3, 4], dtype, device)),
        Some(tensor(&numbers(&before[1]), [5], dtype, device)),
    );
    (model, grads)
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        assert!(
            same || (found - expected).abs() <= tolerance * expected.abs(),
            "{what}: {found:e}, torch {expected:e}"
        );
    }
}

#[test]
fn agrees_with_torch() {
    let text = fs::read_to_string("tests/golden/clipping.jsonl").expect("golden data");
    let mut cases = 0;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let (dtype, tolerance) = if case["dtype"] == "f64" { (DType::F64, 1e-13) } else { (DType::F32, 1e-6) };
        for (name, device) in devices() {
            let what = format!("{} {} on {name}", case["function"], case["kind"]);
            let (model, mut grads) = model(&case["before"], dtype, &device);
            if case["function"] == "value" {
                clip_grad_value(&model, &mut grads, number(&case["clip_value"])).expect("clips");
            } else {
                let norm_type = match number(&case["norm_type"]) {
                    1.0 => NormType::L1,
                    2.0 => NormType::L2,
                    _ => NormType::Inf,
                };
                let strict = case["error_if_nonfinite"] == true;
                let norm = clip_grad_norm_with(&model, &mut grads, number(&case["max_norm"]), norm_type, strict);
                if case.get("error").is_some() {
                    assert!(matches!(norm, Err(ClipError::NonFinite { .. })), "{what}: {norm:?}");
                    continue;
                }
                assert_close(&[norm.expect("clips")], &[number(&case["norm"])], tolerance, &what);
            }
            let weight = values(&grads.get::<2>(model.weight.id).expect("a gradient"));
            let bias = values(&grads.get::<1>(model.bias.id).expect("a gradient"));
            assert_close(&weight, &numbers(&case["after"][0]), tolerance, &what);
            assert_close(&bias, &numbers(&case["after"][1]), tolerance, &what);
        }
        cases += 1;
    }
    assert_eq!(cases, 222);
}

#[test]
fn a_non_finite_norm_is_an_error_that_names_the_parameter_and_changes_nothing() {
    for (_, device) in devices() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut bias = vec![1.0; 5];
            bias[3] = bad;
            let model =
                Two::new(tensor(&[0.0; 12], [3, 4], DType::F32, &device), tensor(&[0.0; 5], [5], DType::F32, &device));
            let mut grads = model.grads(
                Some(tensor(&[1.0; 12], [3, 4], DType::F32, &device)),
                Some(tensor(&bias, [5], DType::F32, &device)),
            );
            let error = clip_grad_norm(&model, &mut grads, 1.0).expect_err("not finite");
            assert!(matches!(&error, ClipError::NonFinite { path, .. } if path == "bias"), "{error}");
            assert_eq!(values(&grads.get::<2>(model.weight.id).expect("a gradient")), vec![1.0; 12]);
        }
    }
}

#[test]
fn finite_gradients_whose_f32_norm_would_overflow_are_clipped() {
    for (name, device) in devices() {
        let model =
            Two::new(tensor(&[0.0; 12], [3, 4], DType::F32, &device), tensor(&[0.0; 5], [5], DType::F32, &device));
        let mut grads = model.grads(Some(tensor(&[1e30; 12], [3, 4], DType::F32, &device)), None);
        let norm = clip_grad_norm(&model, &mut grads, 1.0).expect("finite");
        assert!((norm / (1e30 * 12f64.sqrt()) - 1.0).abs() < 1e-6, "{norm} on {name}");
        let clipped = values(&grads.get::<2>(model.weight.id).expect("a gradient"));
        let total: f64 = clipped.iter().map(|x| x * x).sum();
        assert!((total - 1.0).abs() < 1e-5, "{total} on {name}");
    }
}

#[test]
fn parameters_without_gradients_do_not_count() {
    let (_, device) = devices().remove(0);
    let model = Two::new(tensor(&[0.0; 12], [3, 4], DType::F32, &device), tensor(&[0.0; 5], [5], DType::F32, &device));
    let mut grads = model.grads(None, Some(tensor(&[3.0, 4.0, 0.0, 0.0, 0.0], [5], DType::F32, &device)));
    assert_eq!(clip_grad_norm(&model, &mut grads, 10.0), Ok(5.0));
    assert_eq!(values(&grads.get::<1>(model.bias.id).expect("a gradient")), [3.0, 4.0, 0.0, 0.0, 0.0]);
    let mut none = model.grads(None, None);
    assert_eq!(clip_grad_norm(&model, &mut none, 10.0), Ok(0.0));
}

#[test]
fn a_bound_must_be_a_positive_number() {
    let (_, device) = devices().remove(0);
    let model = Two::new(tensor(&[0.0; 12], [3, 4], DType::F32, &device), tensor(&[0.0; 5], [5], DType::F32, &device));
    for bound in [0.0, -1.0, f64::NAN] {
        let mut grads = model.grads(None, None);
        assert!(matches!(clip_grad_norm(&model, &mut grads, bound), Err(ClipError::Bound { .. })), "{bound}");
        assert!(matches!(clip_grad_value(&model, &mut grads, bound), Err(ClipError::Bound { .. })), "{bound}");
    }
}
