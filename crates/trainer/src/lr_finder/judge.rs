//! Whether a curve has a valley at all. Pure functions of losses; which rate is suggested is another file's subject.

use super::{NoSuggestion, SweepEnd};

/// The curve is judged only with at least this many points.
pub(super) const LEAST_POINTS: usize = 10;
/// A change stands out from the noise if it exceeds this many standard errors of a window's mean. The largest fall of
/// pure Gaussian noise over 86 points does so in about 2 of 100 curves (a test below counts).
const STANDARD_ERRORS: f64 = 6.0;
/// A change below this share of the loss's level at the start is none, even without noise.
const LEAST_CHANGE: f64 = 0.01;

/// What the losses of a curve do.
pub(super) struct Verdict {
    fall: f64,
    rise: f64,
    rises_again: f64,
    threshold: f64,
    noise: f64,
}

/// The rates of a curve, for messages.
pub(super) struct Range {
    pub(super) start_lr: f64,
    pub(super) end_lr: f64,
    pub(super) stopped: SweepEnd,
}

/// Measures a curve: `trimmed` as it will be read, `whole` with the points trimmed off the end. Both must hold at least
/// [`LEAST_POINTS`] finite losses.
pub(super) fn judge(trimmed: &[f64], whole: &[f64]) -> Verdict {
    let width = (trimmed.len() / 8).max(3);
    let means = window_means(trimmed, width);
    let whole_means = window_means(whole, width);
    let noise = noise(trimmed);
    let level = means.first().map_or(0.0, |mean| mean.abs());
    Verdict {
        fall: largest_fall(&means, width),
        rise: largest_fall(&whole_means.iter().map(|mean| -mean).collect::<Vec<_>>(), width),
        rises_again: rise_after_the_lowest(&whole_means),
        threshold: (LEAST_CHANGE * level).max(STANDARD_ERRORS * noise / (width as f64).sqrt()),
        noise,
    }
}

impl Verdict {
    /// Refuses what has no valley. `bounded`: the sweep ended by divergence or at a loss that is not finite.
    pub(super) fn refuse(&self, bounded: bool, range: impl Fn() -> Range) -> Result<(), NoSuggestion> {
        let Self { fall, rise, rises_again, threshold, noise } = *self;
        if fall <= threshold {
            return Err(if rise > threshold {
                NoSuggestion::OnlyRises { rise, start_lr: range().start_lr }
            } else {
                NoSuggestion::Flat { fall, threshold, noise }
            });
        }
        if !bounded && rises_again <= threshold {
            let Range { end_lr, stopped, .. } = range();
            return Err(NoSuggestion::OnlyFalls { fall, end_lr, stopped });
        }
        Ok(())
    }
}

/// Means over `width` neighbouring values, one per place.
fn window_means(values: &[f64], width: usize) -> Vec<f64> {
    // Dividing first keeps sums of huge losses finite.
    values.windows(width).map(|window| window.iter().map(|value| value / width as f64).sum()).collect()
}

/// The largest fall from one window to a later one that does not overlap it; negative if all rise.
fn largest_fall(means: &[f64], width: usize) -> f64 {
    let mut highest = f64::NEG_INFINITY;
    let mut fall = f64::NEG_INFINITY;
    for (before, later) in means.iter().zip(means.iter().skip(width)) {
        highest = highest.max(*before);
        fall = fall.max(highest - later);
    }
    fall
}

/// How far the means rise again after the lowest of them.
fn rise_after_the_lowest(means: &[f64]) -> f64 {
    let lowest = means.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    lowest.map_or(0.0, |(i, low)| means[i..].iter().fold(0.0, |rise: f64, mean| rise.max(mean - low)))
}

/// Standard deviation of single values around a smooth curve: the median absolute second difference, divided by what
/// it is for unit Gaussian noise (0.6745 times the standard deviation sqrt(6) of a second difference).
fn noise(values: &[f64]) -> f64 {
    let mut second: Vec<f64> = values.windows(3).map(|w| ((w[2] - w[1]) - (w[1] - w[0])).abs()).collect();
    second.sort_by(f64::total_cmp);
    let middle = second.len() / 2;
    let median = match second.len() {
        0 => return 0.0,
        n if n % 2 == 1 => second[middle],
        _ => f64::midpoint(second[middle - 1], second[middle]),
    };
    median / (0.6745 * 6.0_f64.sqrt())
}
