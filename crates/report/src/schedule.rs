//! Pictures of schedules: rates, and momenta where they are cycled, over ticks.

use crate::{Chart, Scale, Series};

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

/// Up to this many ticks each rate is drawn as the level that it is; more would look the same as a line.
const STEPS_UP_TO: usize = 300;

/// The chart of one or more schedules: rates on the left axis, momenta dashed on the right one, and a labelled vertical
/// line where each phase begins (`phases`: tick and name). The x axis is labelled `tick`; [`Chart::x`] renames it.
#[must_use]
pub fn schedule_chart(title: impl Into<String>, curves: &[ScheduleCurve], phases: &[(f64, String)]) -> Chart {
    let mut chart = Chart::new(title).x("tick").y("learning rate");
    let draw = |label: &str, ticks: &[f64], values: &[f64]| {
        if ticks.len() <= STEPS_UP_TO {
            Series::steps(label, ticks, values)
        } else {
            Series::line(label, ticks, values)
        }
    };
    for curve in curves {
        chart = chart.series(draw(&curve.label, &curve.ticks, &curve.lrs));
    }
    if curves.iter().any(|curve| curve.momenta.is_some()) {
        chart = chart.right("momentum");
    }
    for curve in curves {
        if let Some(momenta) = &curve.momenta {
            let label =
                if curve.label.is_empty() { "momentum".to_owned() } else { format!("{} momentum", curve.label) };
            chart = chart.series(draw(&label, &curve.ticks, momenta).on_right());
        }
    }
    phases.iter().fold(chart, |chart, (tick, name)| chart.mark_x(*tick, name))
}

impl Chart {
    /// Makes the left y axis logarithmic if the positive values on it span more than three decades, as those of an
    /// exponential decay do; otherwise leaves it.
    #[must_use]
    pub fn y_log_if_wide(mut self) -> Self {
        let values = || self.series.iter().filter(|s| !s.right).flat_map(|s| &s.ys).copied().filter(|y| y.is_finite());
        let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
        if low > 0.0 && low.is_finite() && high / low > 1e3 {
            self.y_scale = Scale::Log;
        }
        self
    }
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
    fn only_wide_positive_rates_become_logarithmic() {
        let chart = |rates: [f64; 3]| {
            schedule_chart("", &[ScheduleCurve::new("", [0.0, 1.0, 2.0], rates)], &[]).y_log_if_wide()
        };
        assert_eq!(chart([1.0, 1e-2, 1e-4]).y_scale, Scale::Log);
        assert_eq!(chart([1.0, 0.5, 0.1]).y_scale, Scale::Linear);
        assert_eq!(chart([1.0, 0.5, 0.0]).y_scale, Scale::Linear);
        assert_eq!(chart([f64::NAN; 3]).y_scale, Scale::Linear);
    }
}
