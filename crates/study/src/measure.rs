//! The value that runs are compared by.

use report::page::decimal;
use serde::Serialize;

use crate::curve::{Curve, highest, lowest};

/// The value that runs are compared by: an accuracy in percent, unless it is said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Its name in logs, as in `accuracy`.
    pub name: String,
    /// Its unit, as in `%`; empty for none.
    pub unit: String,
    /// Whether the lowest is the best.
    pub lower_is_better: bool,
}

impl Default for Measure {
    fn default() -> Self {
        Self { name: "accuracy".to_owned(), unit: "%".to_owned(), lower_is_better: false }
    }
}

impl Measure {
    /// The loss.
    pub fn loss() -> Self {
        Self { name: "loss".to_owned(), unit: String::new(), lower_is_better: true }
    }

    /// Whether it is the loss.
    pub fn is_loss(&self) -> bool {
        *self == Self::loss()
    }

    /// The best value of a curve and its step; of equal values the first.
    pub fn best(&self, curve: &Curve) -> Option<(u64, f64)> {
        if self.lower_is_better { lowest(curve) } else { highest(curve) }
    }

    /// Whether one value is better than another.
    pub fn is_better(&self, value: f64, than: f64) -> bool {
        if self.lower_is_better { value < than } else { value > than }
    }

    /// The better of two values.
    pub(crate) fn better(&self, a: f64, b: f64) -> f64 {
        if self.is_better(b, a) { b } else { a }
    }

    /// How far a value is behind another: positive where it is worse.
    pub(crate) fn behind(&self, value: f64, other: f64) -> f64 {
        if self.lower_is_better { value - other } else { other - value }
    }

    /// The first step at which a curve is at the target or beyond it.
    pub(crate) fn first_at(&self, (steps, values): &Curve, target: f64) -> Option<u64> {
        let reached = |value: f64| self.behind(value, target) <= 1e-9;
        steps.iter().zip(values).find(|(_, value)| reached(**value)).map(|(step, _)| *step as u64)
    }

    /// What a value is sorted by, the best first.
    pub(crate) fn rank(&self, value: Option<f64>) -> f64 {
        value.map_or(f64::INFINITY, |value| if self.lower_is_better { value } else { -value })
    }

    /// Whether a best value is that of a run that learnt nothing, where the best of all runs is `top`: below half of it, or
    /// of what should be low above twice of it.
    pub(crate) fn is_hopeless(&self, value: f64, top: f64) -> bool {
        if self.lower_is_better { value > 2.0 * top.abs() } else { top > 0.0 && value < 0.5 * top }
    }

    /// The round value just short of this one: a tenth of a percent, or three digits.
    pub(crate) fn just_short_of(&self, value: f64) -> f64 {
        if value == 0.0 || !value.is_finite() {
            return value;
        }
        let digits = if self.unit == "%" { 1 } else { 2 - value.abs().log10().floor() as i32 };
        // Dividing by a power of ten, unlike multiplying with its inverse, gives the decimal number itself.
        let (scale, up) = (10_f64.powi(digits.abs()), self.lower_is_better);
        let scaled = if digits < 0 { value / scale } else { value * scale };
        let whole = if up { (scaled - 1e-9).ceil() } else { (scaled + 1e-9).floor() };
        if digits < 0 { whole * scale } else { whole / scale }
    }

    /// Digits behind the point.
    pub(crate) fn digits(&self) -> usize {
        if self.unit == "%" { 2 } else { 4 }
    }

    /// A value with its unit, rounded for people: `97.33 %`, `0.1235`.
    pub fn show(&self, value: f64) -> String {
        let digits = self.digits();
        let value = decimal(value, digits);
        if self.unit.is_empty() { value } else { format!("{value} {}", self.unit) }
    }

    /// A value with its unit, as it is: `97.3 %`.
    pub(crate) fn with_unit(&self, value: f64) -> String {
        if self.unit.is_empty() { value.to_string() } else { format!("{value} {}", self.unit) }
    }

    /// The head of a column: `test accuracy, %`.
    pub fn head(&self, what: &str) -> String {
        if self.unit.is_empty() { what.to_owned() } else { format!("{what}, {}", self.unit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_value_just_short_of_another() {
        let percent = Measure::default();
        for (value, expected) in [(97.38, 97.3), (97.3, 97.3), (97.299_999, 97.2), (0.05, 0.0), (100.0, 100.0)] {
            assert_eq!(percent.just_short_of(value), expected, "{value}");
        }
        let loss = Measure::loss();
        for (value, expected) in [(0.087_31, 0.0874), (0.0873, 0.0873), (2.301, 2.31), (1234.0, 1240.0), (0.0, 0.0)] {
            assert_eq!(loss.just_short_of(value), expected, "{value}");
        }
        let r2 = Measure { name: "r2".to_owned(), unit: String::new(), lower_is_better: false };
        for (value, expected) in [(0.9319, 0.931), (-0.2511, -0.252)] {
            assert_eq!(r2.just_short_of(value), expected, "{value}");
        }
    }

    #[test]
    fn an_accuracy_is_a_percentage() {
        assert_eq!(
            (Measure::default().show(98.333), Measure::loss().show(0.123_45)),
            ("98.33 %".into(), "0.1235".into())
        );
    }

    #[test]
    fn the_best_comes_first() {
        for (measure, best, worse) in [(Measure::default(), 98.0, 97.0), (Measure::loss(), 0.1, 0.2)] {
            assert!(measure.is_better(best, worse) && measure.better(worse, best) == best);
            assert!(measure.rank(Some(best)) < measure.rank(Some(worse)) && measure.behind(worse, best) > 0.0);
            assert!(measure.rank(Some(worse)) < measure.rank(None));
        }
        assert!(Measure::default().is_hopeless(12.5, 97.0) && !Measure::default().is_hopeless(60.0, 97.0));
        assert!(Measure::loss().is_hopeless(2.3, 0.2) && !Measure::loss().is_hopeless(0.3, 0.2));
    }

    #[test]
    fn the_time_to_the_target_is_that_of_the_first_validation_there() {
        let curve = (vec![10.0, 20.0, 30.0, 40.0], vec![50.0, 90.0, 89.0, 95.0]);
        let first = |target| Measure::default().first_at(&curve, target);
        assert_eq!(first(90.0), Some(20), "though it falls below again");
        assert_eq!(first(95.0), Some(40));
        assert_eq!(first(95.1), None);
        assert_eq!(first(0.0), Some(10));
        let loss = (vec![10.0, 20.0, 30.0], vec![2.0, 0.5, 0.7]);
        assert_eq!(Measure::loss().first_at(&loss, 0.6), Some(20));
        assert_eq!(Measure::loss().first_at(&loss, 0.4), None);
    }
}
