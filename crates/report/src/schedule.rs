//! Pictures of schedules: rates, and momenta where they are cycled, over ticks.

use crate::{Chart, Series};

/// What one schedule (or one parameter group of it) does.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleCurve {
    /// Name in the legend.
    pub label: String,
    /// Ticks: steps or epochs.
    pub ticks: Vec<f64>,
    /// The rate in force at each tick.
    pub lrs: Vec<f64>,
    /// The momentum in force at each tick, if the schedule cycles it.
    pub momenta: Option<Vec<f64>>,
}

impl ScheduleCurve {
    /// A curve of rates.
    #[must_use]
    pub fn new(label: impl Into<String>, ticks: impl AsRef<[f64]>, lrs: impl AsRef<[f64]>) -> Self {
        Self { label: label.into(), ticks: ticks.as_ref().to_vec(), lrs: lrs.as_ref().to_vec(), momenta: None }
    }

    /// Adds the momenta.
    #[must_use]
    pub fn with_momenta(mut self, momenta: impl AsRef<[f64]>) -> Self {
        self.momenta = Some(momenta.as_ref().to_vec());
        self
    }
}

/// The chart of one or more schedules: rates on the left axis, momenta dashed on the right one in the colour of their
/// schedule, and a labelled vertical line where each phase begins (`phases`: tick and name). The x axis is labelled
/// `tick`; [`Chart::x`] renames it.
#[must_use]
pub fn schedule_chart(title: impl Into<String>, curves: &[ScheduleCurve], phases: &[(f64, String)]) -> Chart {
    let mut chart = Chart::new(title).x("tick").y("learning rate");
    for (number, curve) in curves.iter().enumerate() {
        chart = chart.series(Series::held(&curve.label, &curve.ticks, &curve.lrs).colour(number));
    }
    if curves.iter().any(|curve| curve.momenta.is_some()) {
        chart = chart.right("momentum");
    }
    for (number, curve) in curves.iter().enumerate() {
        if let Some(momenta) = &curve.momenta {
            let label =
                if curve.label.is_empty() { "momentum".to_owned() } else { format!("{} momentum", curve.label) };
            chart = chart.series(Series::held(&label, &curve.ticks, momenta).on_right().colour(number));
        }
    }
    phases.iter().fold(chart, |chart, (tick, name)| chart.mark_x(*tick, name))
}

/// Up to this many parts a function of time is kept as it is, tick by tick, or as the ends and extremes of each part.
const PARTS: u64 = 4096;

/// More ticks than this are looked at one in so many: a picture of them takes a second otherwise.
const LOOKED_AT: u64 = 1 << 24;

/// The curve of a function of ticks `0..ticks`: ticks and values. Up to 4096 ticks all of them; of more, from each of at
/// most 4096 parts of equal length the first, the lowest, the highest and the last. So a cycle that is shorter than a
/// pixel is wide shows as the area that it covers, and a jump stays a jump. The parts depend on `ticks` alone.
pub fn function_curve(ticks: u64, mut value: impl FnMut(u64) -> f64) -> (Vec<f64>, Vec<f64>) {
    let every = ticks.div_ceil(LOOKED_AT).max(1) as usize;
    let part = ticks.div_ceil(PARTS).max(1);
    let mut points: Vec<(u64, f64)> = Vec::new();
    for start in (0..ticks).step_by(part as usize) {
        let end = (start + part).min(ticks);
        let first = (start, value(start));
        let (mut low, mut high, mut last) = (first, first, first);
        for tick in (start..end).step_by(every).skip(1).chain((end - 1 > start).then_some(end - 1)) {
            last = (tick, value(tick));
            low = if last.1 < low.1 { last } else { low };
            high = if last.1 > high.1 { last } else { high };
        }
        let mut kept = [first, low, high, last];
        kept.sort_by_key(|(tick, _)| *tick);
        points.extend(kept);
    }
    points.dedup_by_key(|(tick, _)| *tick);
    points.into_iter().map(|(tick, value)| (tick as f64, value)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momenta_bring_the_second_axis_and_phases_their_marks() {
        let ticks: Vec<f64> = (0..10).map(f64::from).collect();
        let rates: Vec<f64> = ticks.iter().map(|t| 0.1 + t).collect();
        let plain = ScheduleCurve::new("one", &ticks, &rates);
        let chart = schedule_chart("s", std::slice::from_ref(&plain), &[]);
        assert!(chart.right.is_none() && chart.marks.is_empty());

        let chart = schedule_chart("s", &[plain.with_momenta(&rates)], &[(5.0, "annealing".to_owned())]);
        assert_eq!(chart.series.len(), 2);
        assert!(chart.series[1].right && chart.right.is_some());
        assert!(chart.to_svg().unwrap().contains("annealing"));
    }

    #[test]
    fn momenta_have_their_schedules_colour_and_another_dash() {
        let curve = |name: &str| ScheduleCurve::new(name, [0.0, 1.0], [0.1, 0.2]).with_momenta([0.9, 0.8]);
        let curves: Vec<ScheduleCurve> = (0..9).map(|number| curve(&format!("run {number}"))).collect();
        let chart = schedule_chart("s", &curves, &[]);
        for number in 0..9 {
            let (rate, momentum) = (&chart.series[number], &chart.series[9 + number]);
            assert_eq!((rate.colour, momentum.colour), (Some(number), Some(number)));
            assert!(!rate.right && momentum.right);
        }
    }

    #[test]
    fn a_function_keeps_every_extreme_and_every_jump() {
        let all = function_curve(300, |tick| tick as f64);
        assert_eq!((all.0.len(), all.1[299]), (300, 299.0));
        // A triangle of ten ticks over a hundred thousand: sampled every 50th tick it would be flat.
        let triangle = |tick: u64| (tick % 10).min(10 - tick % 10) as f64;
        let (ticks, values) = function_curve(100_000, triangle);
        assert!(ticks.len() <= 4 * 4096 && ticks.windows(2).all(|pair| pair[0] < pair[1]), "{}", ticks.len());
        assert!(ticks.iter().zip(&values).all(|(tick, value)| triangle(*tick as u64) == *value));
        for window in values.windows(8) {
            assert!(window.contains(&0.0) && window.contains(&5.0), "{window:?}");
        }
        // A jump lies between ticks that are no further apart than a part is long.
        let (ticks, values) = function_curve(1_000_000, |tick| f64::from(u8::from(tick >= 123_456)));
        let at = values.iter().position(|value| *value == 1.0).unwrap();
        assert!(ticks[at] == 123_456.0 && ticks[at] - ticks[at - 1] <= 245.0, "{} {}", ticks[at - 1], ticks[at]);
        assert_eq!(function_curve(0, |_| 1.0), (vec![], vec![]));
    }
}
