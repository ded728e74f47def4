//! Axes: scales, ranges, ticks and their labels.

use serde::{Deserialize, Serialize};

/// How an axis maps numbers to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Scale {
    /// Equal differences are equal distances.
    #[default]
    Linear,
    /// Equal ratios are equal distances; shows positive numbers only.
    Log,
}

/// Beyond this, differences of two numbers overflow.
pub(crate) const LARGEST: f64 = 1e300;

impl Scale {
    /// Where a number lies on the axis: itself, or its decimal logarithm. `None` if the axis cannot show it.
    pub(crate) fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => (value.abs() <= LARGEST).then_some(value),
            Self::Log => (value > 0.0 && value <= LARGEST).then(|| value.log10()),
        }
    }

    /// The number at a place.
    pub(crate) fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => 10_f64.powf(place),
        }
    }
}

/// A tick: where (on the scale), and its label, if it is one of the labelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) place: f64,
    pub(crate) label: Option<String>,
}

impl Tick {
    fn labelled(place: f64, label: String) -> Self {
        Self { place, label: Some(label) }
    }
}

/// The part of a scale that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub(crate) scale: Scale,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Window {
    /// A window around places on the scale, with a margin of `pad` times their range. No places at all, or all the
    /// same, still make a window one can draw in.
    pub(crate) fn around(scale: Scale, places: impl Iterator<Item = f64>, pad: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for place in places {
            low = low.min(place);
            high = high.max(place);
        }
        if low > high {
            return Self { scale, low: 0.0, high: 1.0 };
        }
        let largest = low.abs().max(high.abs());
        // Differences below this are rounding, and their labels could not be told apart.
        if high - low <= 1e-12 * largest || high == low {
            let around = match scale {
                Scale::Log => 0.5,
                Scale::Linear if largest == 0.0 => 1.0,
                Scale::Linear => largest / 2.0,
            };
            return Self { scale, low: low - around, high: high + around };
        }
        let margin = (high - low) * pad;
        Self { scale, low: low - margin, high: high + margin }
    }

    /// Position of a place in the window: 0 at its low end, 1 at its high end.
    pub(crate) fn share(&self, place: f64) -> f64 {
        (place - self.low) / (self.high - self.low)
    }

    /// Ticks, with about `wanted` labels. `whole`: only whole numbers are labelled, where there are enough of them.
    pub(crate) fn ticks(&self, wanted: usize, whole: bool) -> Vec<Tick> {
        let wanted = wanted.max(2);
        match self.scale {
            Scale::Linear => linear(self.low, self.high, wanted, whole),
            Scale::Log if self.high - self.low < 0.35 => {
                // Less than about a doubling: round numbers, at their logarithmic places.
                linear(10_f64.powf(self.low), 10_f64.powf(self.high), wanted, false)
                    .into_iter()
                    .filter(|tick| tick.place > 0.0)
                    .map(|tick| Tick { place: tick.place.log10(), ..tick })
                    .collect()
            }
            Scale::Log => decades(self.low, self.high, wanted),
        }
    }
}

/// A step of 1, 2 or 5 (or 2.5) times a power of ten that cuts `range` into at most about `wanted` parts.
fn round_step(range: f64, wanted: usize) -> f64 {
    let rough = range / wanted as f64;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power)
}

fn linear(low: f64, high: f64, wanted: usize, whole: bool) -> Vec<Tick> {
    let mut step = round_step(high - low, wanted);
    if whole && step < 5.0 {
        step = step.ceil();
    }
    if !step.is_normal() {
        return Vec::new();
    }
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 1000.0) as usize;
    (0..=count)
        .map(|i| {
            // Adding 0.0 turns -0 into 0.
            let place = (first + i as f64) * step + 0.0;
            Tick::labelled(place, number(place, step))
        })
        .filter(|tick| tick.place <= high + step * 1e-6)
        .collect()
}

/// A tick's number, with the digits that its distance to the next tick calls for.
fn number(value: f64, step: f64) -> String {
    if value == 0.0 || value.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    // The place of the step's first digit; a step of 2.5 has one digit more than one of 2.
    let finest = (step * (1.0 + 1e-9)).log10().floor();
    let first = step / 10_f64.powf(finest);
    let halves = (first - first.round()).abs() > 1e-6;
    if value.abs() >= 1e7 || (step < 1e-4 && value.abs() < 1e-1) {
        let digits = ((magnitude - finest).max(0.0) as usize + usize::from(halves)).min(14);
        return trimmed(&format!("{value:.digits$e}"));
    }
    let digits = (-finest).max(0.0) as usize + usize::from(halves && finest <= 0.0);
    format!("{value:.*}", digits.min(17))
}

/// Ticks at powers of ten; between them 2 to 9 unlabelled, or 2 and 5 labelled where there are few decades.
fn decades(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let span = high - low;
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let every = (span / wanted as f64).ceil().max(1.0) as i32;
    let between: &[i32] = match (span < 1.0, span < 2.0 && wanted >= 4) {
        (true, _) => &[2, 3, 4, 5, 6, 7, 8, 9],
        (false, true) => &[2, 5],
        (false, false) => &[],
    };
    let mut ticks = Vec::new();
    for decade in first..=last {
        let place = f64::from(decade);
        ticks.push(Tick { place, label: (decade.rem_euclid(every) == 0).then(|| power_of_ten(decade)) });
        if every > 1 {
            continue;
        }
        for m in 2..=9 {
            let place = place + f64::from(m).log10();
            let label = between.contains(&m).then(|| multiple_of_power(m, decade));
            ticks.push(Tick { place, label });
        }
    }
    ticks.retain(|tick| tick.place >= low - 1e-9 && tick.place <= high + 1e-9);
    ticks
}

/// A power of ten as one would type it: 0.001 to 1000 in full, the others as 1e-7.
fn power_of_ten(exponent: i32) -> String {
    multiple_of_power(1, exponent)
}

fn multiple_of_power(m: i32, exponent: i32) -> String {
    match exponent {
        0..=3 => format!("{}", i64::from(m) * 10_i64.pow(exponent.unsigned_abs())),
        -3..=-1 => format!("{:.*}", exponent.unsigned_abs() as usize, f64::from(m) * 10_f64.powi(exponent)),
        _ => format!("{m}e{exponent}"),
    }
}

/// `1.50e-7` as `1.5e-7`, `2.0e8` as `2e8`.
fn trimmed(scientific: &str) -> String {
    match scientific.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => scientific.to_owned(),
    }
}

/// A number for a reader: four significant digits, in full between 0.001 and 100 000.
pub(crate) fn readable(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{}", value + 0.0);
    }
    let magnitude = value.abs().log10().floor();
    if (-3.0..5.0).contains(&magnitude) {
        let decimals = (3.0 - magnitude).max(0.0) as usize;
        let full = format!("{value:.decimals$}");
        if full.contains('.') { full.trim_end_matches('0').trim_end_matches('.').to_owned() } else { full }
    } else {
        trimmed(&format!("{value:.3e}"))
    }
}

/// A number for a reader, with the digits that tell it from another one at this distance.
pub(crate) fn precise(value: f64, distance: f64) -> String {
    let step = distance / 10.0;
    if step.is_normal() { number(value, step) } else { readable(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, low: f64, high: f64, wanted: usize, whole: bool) -> Vec<String> {
        Window { scale, low, high }.ticks(wanted, whole).into_iter().filter_map(|t| t.label).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        for (low, high, wanted, expected) in [
            (0.0, 1.0, 5, vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (0.0, 100.0, 5, vec!["0", "20", "40", "60", "80", "100"]),
            (-1.0, 1.0, 4, vec!["-1.0", "-0.5", "0", "0.5", "1.0"]),
            (0.0, 1.0, 4, vec!["0.00", "0.25", "0.50", "0.75", "1.00"]),
            (0.0, 5e-5, 5, vec!["0", "1e-5", "2e-5", "3e-5", "4e-5", "5e-5"]),
            (0.0, 1e9, 4, vec!["0", "2.5e8", "5e8", "7.5e8", "1e9"]),
            (0.30001, 0.30004, 3, vec!["0.30001", "0.30002", "0.30003", "0.30004"]),
        ] {
            let expected: Vec<String> =
                expected.into_iter().map(|l| if l == "0.0" || l == "0.00" { "0" } else { l }.to_owned()).collect();
            assert_eq!(labels(Scale::Linear, low, high, wanted, false), expected, "{low}..{high}");
        }
    }

    #[test]
    fn counts_are_labelled_with_whole_numbers() {
        assert_eq!(labels(Scale::Linear, 0.0, 3.0, 8, true), ["0", "1", "2", "3"]);
        assert_eq!(labels(Scale::Linear, 0.0, 3.0, 8, false)[1], "0.5");
    }

    #[test]
    fn logarithmic_ticks_are_decades() {
        assert_eq!(
            labels(Scale::Log, -7.0, 1.0, 10, false),
            ["1e-7", "1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1", "10"]
        );
        // Many decades: every n-th.
        assert_eq!(labels(Scale::Log, -30.0, 0.0, 4, false), ["1e-24", "1e-16", "1e-8", "1"]);
        // Few decades: multiples too.
        assert_eq!(labels(Scale::Log, -1.0, 0.5, 6, false), ["0.1", "0.2", "0.5", "1", "2"]);
        // Part of a decade, and less than a doubling.
        assert_eq!(labels(Scale::Log, 0.25, 0.75, 6, false), ["2", "3", "4", "5"]);
        assert_eq!(labels(Scale::Log, 1.0, 1.1, 4, false), ["10", "11", "12"]);
    }

    #[test]
    fn any_range_has_few_finite_ticks() {
        for (low, high) in
            [(0.0, 1e-300), (-1e300, 1e300), (1.0, 1.0 + 1e-11), (1e17, 1e17 + 1e6), (-5e-324, 5e-324), (0.0, 1e300)]
        {
            let window = Window::around(Scale::Linear, [low, high].into_iter(), 0.05);
            let ticks = window.ticks(6, false);
            assert!(ticks.len() <= 20, "{low}..{high}: {}", ticks.len());
            assert!(ticks.iter().all(|t| t.place.is_finite()));
            assert!(ticks.iter().filter_map(|t| t.label.as_ref()).all(|l| l.chars().count() < 24), "{ticks:?}");
        }
        let window = Window::around(Scale::Log, [-323.3, 300.0].into_iter(), 0.02);
        assert!(window.ticks(8, false).iter().filter(|t| t.label.is_some()).count() <= 9);
    }

    #[test]
    fn one_value_or_none_still_makes_a_window() {
        assert_eq!(
            Window::around(Scale::Linear, std::iter::empty(), 0.05),
            Window { scale: Scale::Linear, low: 0.0, high: 1.0 }
        );
        assert!((Window::around(Scale::Linear, [0.1, 0.1].into_iter(), 0.05).share(0.1) - 0.5).abs() < 1e-12);
        assert_eq!(Window::around(Scale::Linear, [0.0].into_iter(), 0.05).share(0.0), 0.5);
        assert_eq!(Window::around(Scale::Log, [-3.0].into_iter(), 0.05).share(-3.0), 0.5);
    }

    #[test]
    fn readable_numbers() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1234.5678, "1235"),
            (1.2345e-3, "0.001234"),
            (1e-7, "1e-7"),
            (1.2345e-7, "1.235e-7"),
            (123_456.0, "1.235e5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(readable(value), expected);
        }
    }

    #[test]
    fn an_axis_says_what_it_cannot_show() {
        assert_eq!(Scale::Linear.place(f64::NAN), None);
        assert_eq!(Scale::Linear.place(f64::NEG_INFINITY), None);
        assert_eq!(Scale::Linear.place(-3.0), Some(-3.0));
        assert_eq!(Scale::Log.place(0.0), None);
        assert_eq!(Scale::Log.place(-1.0), None);
        assert_eq!(Scale::Log.place(0.01), Some(-2.0));
    }
}
