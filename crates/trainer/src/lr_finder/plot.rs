//! The picture of a sweep.

use report::{Chart, Series};

use super::{LrCurve, StopReason, Suggestion};

impl LrCurve {
    /// Loss over the rate on a log axis: the raw losses faint, the smoothed ones in front, the suggestion and the end of
    /// a diverged sweep marked.
    pub fn chart(&self, suggestion: Option<&Suggestion>) -> Chart {
        let raw_is_smoothed = self.losses == self.smoothed;
        let mut chart = Chart::new("learning-rate finder").x("learning rate").y("loss").x_log();
        if !raw_is_smoothed {
            chart = chart.series(Series::line("loss", &self.lrs, &self.losses).faint());
        }
        let label = if raw_is_smoothed { "loss" } else { "smoothed loss" };
        chart = chart.series(Series::line(label, &self.lrs, &self.smoothed));
        if let Some((low, high)) = self.interesting_losses() {
            chart = chart.y_limits(low, high);
        }
        if let (StopReason::Diverged, Some(lr)) = (self.stopped, self.lrs.last()) {
            chart = chart.mark_x(*lr, "diverged");
        }
        match suggestion {
            Some(suggestion) => chart.mark_x(suggestion.lr, format!("{} {:.2e}", suggestion.rule, suggestion.lr)),
            None => chart,
        }
    }

    /// The range of losses that the picture is about: the blow-up at the end would flatten everything before it.
    fn interesting_losses(&self) -> Option<(f64, f64)> {
        let finite = |loss: &&f64| loss.is_finite();
        let before_the_end = &self.smoothed[..self.smoothed.len().saturating_sub(1)];
        let low = before_the_end.iter().chain(&self.losses).filter(finite).copied().reduce(f64::min)?;
        let high = before_the_end.iter().filter(finite).copied().reduce(f64::max)?;
        let margin = 0.08 * (high - low);
        (margin > 0.0).then_some((low - margin, high + margin))
    }
}
