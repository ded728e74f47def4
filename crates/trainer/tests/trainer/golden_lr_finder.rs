//! The bare rules against what fastai, torch-lr-finder and their peers do on the same curves
//! (`../golden/lr_finder.jsonl`; rates are grid points, so the tolerance is relative 1e-9).

use serde_json::Value;
use trainer::lr_finder::{LrCurve, NoSuggestion, Rule, SweepEnd, suggest};

const TOLERANCE: f64 = 1e-9;

struct Case {
    id: String,
    num_it: usize,
    stopped: SweepEnd,
    lrs: Vec<f64>,
    losses: Vec<f64>,
    suggestions: Value,
    ill_conditioned: Vec<String>,
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or_else(|| panic!("{value} is no number")),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn cases() -> Vec<Case> {
    include_str!("../golden/lr_finder.jsonl")
        .lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let (lrs, losses) = (numbers(&case["lrs"]), numbers(&case["losses"]));
            let num_it = case["find"]["num_it"].as_u64().unwrap_or_default() as usize;
            // The recorded finder ends at the end of the ramp, of the loader, or above four times the best loss.
            let stopped = match (case["stopped_early"].as_bool(), lrs.len() > num_it) {
                (Some(true), _) => SweepEnd::Diverged,
                (_, true) => SweepEnd::Completed,
                _ => SweepEnd::OutOfData,
            };
            let ill = case["ill_conditioned"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Case {
                id: case["id"].as_str().unwrap_or_default().to_owned(),
                num_it,
                stopped,
                lrs,
                losses,
                suggestions: case["suggestions"].clone(),
                ill_conditioned: ill.map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// Compares where the reference suggests something, and asks for a refusal where it fails. True if compared.
fn agrees(case: &Case, key: &str, expected: &Value, found: &Result<f64, NoSuggestion>) -> bool {
    if case.ill_conditioned.iter().any(|ill| ill == key) {
        return false;
    }
    let id = &case.id;
    match (expected, found) {
        (Value::Number(_), Ok(lr)) => {
            let expected = number(expected);
            assert!((lr - expected).abs() <= TOLERANCE * expected, "{id}, {key}: {lr} instead of {expected}");
        }
        (Value::String(error), found) => {
            assert!(error.starts_with("error") && found.is_err(), "{id}, {key}: {found:?} instead of {error}");
        }
        _ => panic!("{id}, {key}: {found:?} instead of {expected}"),
    }
    true
}

#[test]
fn on_every_point_of_a_curve() {
    let mut compared = 0;
    for case in cases() {
        for rule in Rule::ALL {
            let (key, expected) = match rule {
                Rule::Steepest => ("steepest_no_skip".to_owned(), &case.suggestions["steepest_no_skip"]),
                _ => (format!("untrimmed.{rule}"), &case.suggestions["untrimmed"][rule.name()]),
            };
            // We cut at a NaN; the untrimmed reference lets it run through comparisons: it is the lowest loss, the
            // steepest slope, and ends the slide at once. `on_trimmed_curves_cut_at_the_first_nan` compares this curve where fastai cuts.
            if case.id == "finder/10-nan-end" && rule != Rule::Valley {
                let found = suggest(rule, &case.lrs, &case.losses).unwrap();
                assert!((found - number(expected)).abs() > TOLERANCE, "{key}: no longer a difference");
                continue;
            }
            compared += usize::from(agrees(&case, &key, expected, &suggest(rule, &case.lrs, &case.losses)));
        }
    }
    assert_eq!(compared, COMPARED_UNTRIMMED);
}

/// 19 curves by 4 rules, less the 6 ill-conditioned suggestions and the 3 that run through a NaN.
const COMPARED_UNTRIMMED: usize = 67;

#[test]
fn on_trimmed_curves_cut_at_the_first_nan() {
    let mut compared = 0;
    for case in cases() {
        let (start, end) = (case.num_it / 10, case.lrs.len().saturating_sub(5));
        let range = start.min(end)..end;
        for rule in [Rule::Valley, Rule::Minimum, Rule::Slide] {
            let expected = &case.suggestions[rule.name()];
            if expected.is_null() {
                continue;
            }
            let found = suggest(rule, &case.lrs[range.clone()], &case.losses[range.clone()]);
            compared += usize::from(agrees(&case, rule.name(), expected, &found));
        }
    }
    assert!(compared >= 40, "{compared}");
}

#[test]
fn the_layer_above_refuses_what_the_bare_rules_answer() {
    let mut wrong = Vec::new();
    for case in cases() {
        let curve = LrCurve::new(case.lrs, case.losses.clone(), case.losses, case.stopped, case.num_it);
        let found = match curve.suggestion(Rule::Valley) {
            Ok(_) => "suggests",
            Err(NoSuggestion::TooShort { .. }) => "too short",
            Err(NoSuggestion::Flat { .. }) => "flat",
            Err(NoSuggestion::OnlyRises { .. }) => "only rises",
            Err(NoSuggestion::OnlyFalls { .. }) => "only falls",
            Err(_) => "another reason",
        };
        let expected = match case.id.trim_start_matches("finder/") {
            "05-diverge-early" | "22-short-12" | "28-negative-losses" => "too short",
            "08-flat" => "flat",
            "15-mono-up" => "only rises",
            // The U-shaped ones too: the recorded sweep ends at rate 10 (or 2, 100, or with the loader) before they rise.
            "00-smooth-u"
            | "02-noisy-u"
            | "13-mono-down"
            | "20-tiny-scale"
            | "23-loader-too-short"
            | "25-linear-mode-noisy"
            | "30-wide-range" => "only falls",
            _ => "suggests",
        };
        if found != expected {
            wrong.push(format!("{}: {found} instead of {expected}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The grids of the references' own runs are settings of ours, or parts of one (the table at `LrFinderConfig`).
#[test]
fn the_grids_of_other_finders_are_settings() {
    use trainer::lr_finder::{LrFinderConfig, Ramp};
    let mut compared = 0;
    for line in include_str!("../golden/lr_finder.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let find = &case["find"];
        let (start_lr, end_lr) = (number(&find["start_lr"]), number(&find["end_lr"]));
        let n = find["num_it"].as_u64().unwrap() as usize;
        for (finder, run) in case["runs"].as_object().unwrap() {
            let lrs = numbers(&run["lrs"]);
            if run["options"]["mode"] != "exp" || lrs.len() < 3 {
                continue;
            }
            let num_it = if finder == "torch-lr-finder" { n - 1 } else { n };
            let ours =
                LrFinderConfig { start_lr, end_lr, num_it, mode: Ramp::Exponential, ..LrFinderConfig::default() };
            let point = |i: usize| match finder.as_str() {
                "lightning" if i > 0 => i + 1,
                "ignite" => i + 1,
                _ => i,
            };
            for (i, lr) in lrs.iter().enumerate().filter(|(i, _)| point(*i) <= num_it) {
                let expected = ours.lr(point(i));
                assert!((lr - expected).abs() <= 1e-12 * lr, "{}, {finder}, point {i}: {lr}, {expected}", case["id"]);
                compared += 1;
            }
        }
    }
    assert!(compared > 3000, "{compared}");
}
