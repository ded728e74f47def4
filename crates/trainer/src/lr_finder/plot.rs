//! The picture of a sweep, or of several.

use report::{Chart, Series};

use super::{LrCurve, LrSweeps, Suggestion, SweepEnd};

impl LrCurve {
    /// Loss over the rate on a log axis: the raw losses faint, the smoothed ones in front, the validation losses where
    /// they were measured, the suggestions and the end of a sweep that went too far marked.
    pub fn chart(&self, suggestions: &[Suggestion]) -> Chart {
        self.chart_with(None, suggestions)
    }

    fn chart_with(&self, sweeps: Option<&LrSweeps>, suggestions: &[Suggestion]) -> Chart {
        let mut chart = Chart::new("learning-rate finder").x("learning rate").y("loss").x_log();
        let of = sweeps.map_or(String::new(), |sweeps| format!(", median of {}", sweeps.sweeps().len()));
        if let Some((sweeps, band)) = sweeps.and_then(|sweeps| Some((sweeps, sweeps.band()?))) {
            let until = band.high.iter().position(|high| !high.is_finite()).unwrap_or(band.high.len());
            let label =
                if band.quartiles { "quartiles".to_owned() } else { format!("range of {}", sweeps.sweeps().len()) };
            chart = chart.band(label, &self.lrs[..until], &band.low[..until], &band.high[..until]);
        }
        let raw_is_smoothed = self.losses == self.smoothed;
        if !raw_is_smoothed {
            chart = chart.series(Series::line(format!("loss{of}"), &self.lrs, &self.losses).faint());
        }
        let label = if raw_is_smoothed { "loss" } else { "smoothed loss" };
        chart = chart.series(Series::line(format!("{label}{of}"), &self.lrs, &self.smoothed));
        if let Some(valid) = &self.valid {
            chart = chart.series(Series::line(format!("validation loss{of}"), &self.lrs, valid));
        }
        if let Some((low, high)) = self.interesting_losses(sweeps) {
            chart = chart.y_limits(low, high);
        }
        let end = match self.stopped {
            SweepEnd::Diverged => Some("diverged"),
            SweepEnd::NonFinite => Some("not finite"),
            SweepEnd::Completed | SweepEnd::OutOfData => None,
        };
        if let (Some(label), Some(lr)) = (end, self.lrs.last()) {
            chart = chart.mark_x(*lr, label);
        }
        suggestions.iter().fold(chart, |chart, suggestion| {
            chart.mark_x(suggestion.lr, format!("{} {:.2e}", suggestion.rule.reads(), suggestion.lr))
        })
    }

    /// The range of losses that the picture is about: the blow-up at the end would flatten everything before it. Up to
    /// where the curve leaves the range it had until its lowest point by half of that range.
    fn interesting_losses(&self, sweeps: Option<&LrSweeps>) -> Option<(f64, f64)> {
        let main = self.valid.as_ref().unwrap_or(&self.smoothed);
        let lowest = (0..main.len()).filter(|i| main[*i].is_finite()).min_by(|a, b| main[*a].total_cmp(&main[*b]))?;
        let low = main[lowest];
        let fallen_from = main[..=lowest].iter().filter(|loss| loss.is_finite()).copied().fold(low, f64::max);
        let risen_to = main[lowest..].iter().filter(|loss| loss.is_finite()).copied().fold(low, f64::max);
        let range = if fallen_from > low { 1.5 * (fallen_from - low) } else { risen_to - low };
        let mut raw: Vec<f64> = self.losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        raw.sort_by(f64::total_cmp);
        // Where nothing stands out, the losses as measured do.
        let most_of_them = raw.get(raw.len() * 9 / 10).copied().unwrap_or(low).min(low + 3.0 * range);
        let high = (low + range).min(fallen_from.max(risen_to)).max(most_of_them);
        let lowest_of_all = [&self.losses, &self.smoothed]
            .into_iter()
            .flatten()
            .chain(sweeps.and_then(LrSweeps::band).into_iter().flat_map(|band| &band.low))
            .filter(|loss| loss.is_finite())
            .copied()
            .fold(low, f64::min);
        let margin = 0.08 * (high - lowest_of_all);
        // A loss that is never negative, as a cross-entropy, has no negative part of an axis.
        let floor = if lowest_of_all >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        (margin > 0.0).then_some(((lowest_of_all - margin).max(floor), high + margin))
    }
}

impl LrSweeps {
    /// As [`LrCurve::chart`] of the median curve, with the band of the sweeps behind it.
    pub fn chart(&self, suggestions: &[Suggestion]) -> Chart {
        let several = (self.sweeps().len() > 1).then_some(self);
        self.curve().chart_with(several, suggestions)
    }
}

#[cfg(test)]
mod tests {
    use report::Mark;

    use super::*;
    use crate::lr_finder::Rule;

    fn curve(stopped: SweepEnd) -> LrCurve {
        let lrs: Vec<f64> = (0..60).map(|i| 1e-5 * 1.25_f64.powi(i)).collect();
        let losses: Vec<f64> = (0..60).map(|i| 2.0 - 0.03 * f64::from(i)).collect();
        let mut smoothed = losses.clone();
        smoothed[59] = 80.0;
        LrCurve::new(lrs, losses, smoothed, stopped, 60)
    }

    fn marks(chart: &Chart) -> Vec<String> {
        let label = |mark: &Mark| match mark {
            Mark::X { label, .. } | Mark::Y { label, .. } | Mark::Point { label, .. } => label.clone(),
        };
        chart.marks.iter().map(label).collect()
    }

    #[test]
    fn suggestions_and_the_end_are_marked() {
        let found = [Suggestion { rule: Rule::Valley, lr: 1e-3 }, Suggestion { rule: Rule::Steepest, lr: 2e-3 }];
        for (stopped, expected) in [
            (SweepEnd::Diverged, vec!["diverged", "valley 1.00e-3", "steepest 2.00e-3"]),
            (SweepEnd::NonFinite, vec!["not finite", "valley 1.00e-3", "steepest 2.00e-3"]),
            (SweepEnd::Completed, vec!["valley 1.00e-3", "steepest 2.00e-3"]),
        ] {
            assert_eq!(marks(&curve(stopped).chart(&found)), expected);
        }
    }

    #[test]
    fn a_loss_that_is_never_negative_has_no_negative_axis() {
        let mut one = curve(SweepEnd::Completed);
        one.losses = (0..60).map(|i| 0.01 + 3.0 * 0.8_f64.powi(i)).collect();
        one.smoothed.clone_from(&one.losses);
        let (low, _) = one.chart(&[]).y_limits.expect("limits");
        assert_eq!(low, 0.0);
        one.losses.iter_mut().for_each(|loss| *loss -= 2.0);
        one.smoothed.clone_from(&one.losses);
        let (low, _) = one.chart(&[]).y_limits.expect("limits");
        assert!(low < -1.9, "{low}");
        let found = [Suggestion { rule: Rule::Minimum, lr: 1e-3 }];
        assert_eq!(marks(&one.chart(&found)), ["minimum / 10 1.00e-3"], "it stands a factor of ten below the minimum");
    }

    #[test]
    fn the_blow_up_does_not_flatten_the_picture() {
        let (low, high) = curve(SweepEnd::Diverged).chart(&[]).y_limits.expect("limits");
        assert!((0.0..0.3).contains(&low) && (2.0..4.0).contains(&high), "{low} to {high}");
        // Of a curve that only rises all is shown.
        let mut rising = curve(SweepEnd::Completed);
        rising.smoothed = (0..60).map(|i| 1.0 + f64::from(i)).collect();
        rising.losses.clone_from(&rising.smoothed);
        let (_, high) = rising.chart(&[]).y_limits.expect("limits");
        assert!(high >= 60.0, "{high}");
    }

    #[test]
    fn several_sweeps_have_a_band_up_to_where_the_first_ends() {
        let mut short = curve(SweepEnd::Diverged);
        for values in [&mut short.lrs, &mut short.losses, &mut short.smoothed] {
            values.truncate(40);
        }
        let long = curve(SweepEnd::Diverged);
        let chart = LrSweeps::new(vec![short, long.clone(), long]).chart(&[]);
        assert_eq!(chart.bands.len(), 1);
        assert_eq!((chart.bands[0].xs.len(), chart.bands[0].label.as_str()), (40, "range of 3"));
        assert!(chart.series[0].label.contains("median of 3"));
        assert!(curve(SweepEnd::Completed).chart(&[]).bands.is_empty());
    }
}
