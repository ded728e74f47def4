//! The bare rules: which rate a loss curve suggests. Pure functions of the points given; no judgement.
//!
//! Whether a curve deserves a suggestion at all is decided a layer above, by [`LrCurve::suggestion`].
//!
//! [`LrCurve::suggestion`]: super::LrCurve::suggestion

use std::{fmt, str::FromStr};

use report::page::plural;
use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use super::SweepEnd;

/// How a rate is read off a loss curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A point halfway along the longest decreasing subsequence of the losses: where the loss falls for longest, and
    /// well before it turns. With that subsequence ending at index `e` and `n` points long, the point has the index
    /// `e - n + floor(n/3) + floor(n/6)`. As fastai's `valley`.
    Valley,
    /// Where the loss falls most steeply against the logarithm of the rate: the most negative central difference
    /// `(L[i+1] - L[i-1]) / (ln lr[i+1] - ln lr[i-1])`, one-sided at both ends; the first of equal ones. The axis
    /// matters: differentiated by the rate itself, any curve is steepest at its smallest rates.
    Steepest,
    /// A tenth of the rate at the lowest loss (the first of equal ones). As fastai's `minimum`. The default, for having
    /// the least regret in the study in `docs/lr-finder.md`.
    #[default]
    Minimum,
    /// From the highest rate down, as long as the losses' slopes per point, 15 points apart, differ by more than 0.005:
    /// the last lower one of such a pair of points. As fastai's `slide`, with its defaults.
    Slide,
}

impl Rule {
    /// All rules, in the order of their documentation.
    pub const ALL: [Self; 4] = [Self::Valley, Self::Steepest, Self::Minimum, Self::Slide];

    /// The rule's name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valley => "valley",
            Self::Steepest => "steepest",
            Self::Minimum => "minimum",
            Self::Slide => "slide",
        }
    }

    /// What the suggested rate is, in a picture: the name, but for `minimum`, which stands a factor of ten below the lowest
    /// loss.
    pub fn reads(self) -> &'static str {
        if self == Self::Minimum { "minimum / 10" } else { self.name() }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rule {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| {
            ConfigError::unknown_name("rule", "learning-rate rule", name, Self::ALL.into_iter().map(Self::name))
        })
    }
}

/// Why there is no suggestion.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSuggestion {
    /// Rates and losses are not as many.
    #[error("{lrs} rates and {losses} losses do not make a curve: there must be one loss per rate")]
    Unequal {
        /// How many rates.
        lrs: usize,
        /// How many losses.
        losses: usize,
    },
    /// A rate that cannot be one, or, for a slope, one that does not rise.
    #[error("rate {index} is {rate:e}: rates must be finite, above 0 and rising")]
    Rate {
        /// Its index.
        index: usize,
        /// Its value.
        rate: f64,
    },
    /// The loss stopped being a number before there were enough points.
    #[error(
        "the loss is {loss} at point {index} (rate {lr:.2e}), so that {} can be read where at least {least} are needed: {}",
        plural(*points as u64, "point"), cause(*index)
    )]
    NonFinite {
        /// Index of the first loss that is not finite.
        index: usize,
        /// The rate there.
        lr: f64,
        /// The loss there.
        loss: f64,
        /// Points left to read.
        points: usize,
        /// Points needed.
        least: usize,
    },
    /// Too few points.
    #[error("{points} of {recorded} points are left to read where at least {least} are needed{}", more_points(*stopped))]
    TooShort {
        /// Points left to read.
        points: usize,
        /// Points recorded.
        recorded: usize,
        /// Points needed.
        least: usize,
        /// Why the sweep ended, where it is known.
        stopped: Option<SweepEnd>,
    },
    /// The loss does not change by more than its noise, or by less than a hundredth.
    #[error(
        "the loss is flat: it falls by {fall:.3e} at most, where {threshold:.3e} would stand out (noise {noise:.3e} per \
         point): average more (accumulate, a larger batch), take more steps (num_it), or raise end_lr"
    )]
    Flat {
        /// Largest fall between means over a window.
        fall: f64,
        /// What it had to exceed.
        threshold: f64,
        /// Standard deviation of single losses around the curve.
        noise: f64,
    },
    /// The loss rises without having fallen: at once, or after a level stretch.
    #[error(
        "the loss does not fall before it rises, by {rise:.3e}: no rate from {start_lr:.2e} on lowers it by more than its \
         noise. Take more steps (num_it), so that each rate has time to act, or average more (accumulate, a larger \
         batch); if it rises from the first points on, start at a lower rate, and see whether the model is trained \
         already or does not learn at all"
    )]
    OnlyRises {
        /// Largest rise between means over a window.
        rise: f64,
        /// First rate that was read.
        start_lr: f64,
    },
    /// The loss falls up to the end of the range: the highest usable rate has not been reached.
    #[error(
        "the loss only falls, by {fall:.3e}, up to the last rate, {end_lr:.2e} ({stopped}): the rates that are too high \
         were not reached; raise end_lr, or let the finder recycle a short loader"
    )]
    OnlyFalls {
        /// Largest fall between means over a window.
        fall: f64,
        /// Last rate that was tried.
        end_lr: f64,
        /// Why the sweep ended there.
        stopped: SweepEnd,
    },
}

/// Why a loss is not finite at a point of the sweep.
fn cause(index: usize) -> &'static str {
    if index == 0 {
        "a lower start does not help: no update had been made; look for huge or wrong values in the data and in the weights"
    } else {
        "start at a lower rate, or look for the cause if this rate is already low"
    }
}

/// What to do about a curve that is too short.
fn more_points(stopped: Option<SweepEnd>) -> &'static str {
    match stopped {
        Some(SweepEnd::Diverged) => {
            ": the loss diverged too soon; start at a lower rate, or take more steps (num_it) so that more of them lie \
             below the divergence"
        }
        Some(SweepEnd::OutOfData) => {
            ": the data ended; start them over (recycle = true), use a smaller batch, or take fewer steps (num_it)"
        }
        _ => ": take more steps (num_it), or skip fewer points (skip_start, skip_end)",
    }
}

/// The rate that `rule` reads off exactly these points, cut at the first loss that is not finite.
///
/// No trimming, no judgement: a flat or monotone curve gets an answer too. One of the given rates, or for
/// [`Rule::Minimum`] a tenth of one.
///
/// ```
/// use trainer::lr_finder::{Rule, suggest};
///
/// let lrs = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// let losses = [2.3, 2.2, 1.0, 0.6, f64::NAN];
/// assert_eq!(suggest(Rule::Steepest, &lrs, &losses), Ok(1e-2));
/// assert_eq!(suggest(Rule::Minimum, &lrs, &losses), Ok(1e-1 / 10.0));
/// ```
///
/// # Errors
///
/// [`NoSuggestion::Unequal`] and [`NoSuggestion::Rate`] for what is not a curve; [`NoSuggestion::TooShort`] or, after a
/// cut, [`NoSuggestion::NonFinite`] below the number of points that a rule needs: 1 for valley and minimum, 2 for
/// steepest, 16 for slide.
pub fn suggest(rule: Rule, lrs: &[f64], losses: &[f64]) -> Result<f64, NoSuggestion> {
    if lrs.len() != losses.len() {
        return Err(NoSuggestion::Unequal { lrs: lrs.len(), losses: losses.len() });
    }
    let cut = losses.iter().position(|loss| !loss.is_finite());
    let points = cut.unwrap_or(losses.len());
    let (kept_lrs, kept_losses) = (&lrs[..points], &losses[..points]);
    if let Some(index) = kept_lrs.iter().position(|lr| !(lr.is_finite() && *lr > 0.0)) {
        return Err(NoSuggestion::Rate { index, rate: lrs[index] });
    }
    let least = match rule {
        Rule::Valley | Rule::Minimum => 1,
        Rule::Steepest => 2,
        Rule::Slide => SLIDE_APART + 1,
    };
    if points < least {
        return Err(match cut {
            Some(index) => NoSuggestion::NonFinite { index, lr: lrs[index], loss: losses[index], points, least },
            None => NoSuggestion::TooShort { points, recorded: losses.len(), least, stopped: None },
        });
    }
    Ok(match rule {
        Rule::Valley => kept_lrs[valley(kept_losses)],
        Rule::Steepest => kept_lrs[steepest(kept_lrs, kept_losses)?],
        Rule::Minimum => kept_lrs[lowest(kept_losses)] / 10.0,
        Rule::Slide => kept_lrs[slide(kept_losses)],
    })
}

/// Index of the first of the smallest values.
fn lowest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value < values[best] {
            best = i;
        }
    }
    best
}

fn valley(losses: &[f64]) -> usize {
    let (end, length) = longest_fall(losses);
    // With a single point nothing falls and the point itself is meant.
    let before = if length == 1 { 0 } else { end as isize - length as isize };
    let index = before + (length / 3) as isize + (length / 6) as isize;
    // -1 comes out where the whole fall is the first two points. fastai then counts from the end and means the last
    // point; so does this rule, being the same by contract. `LrCurve::suggestion` refuses such curves.
    usize::try_from(index).unwrap_or(losses.len() - 1)
}

/// End and length of the longest strictly decreasing subsequence; of equally long ones, the one that ends first.
///
/// `tails[k]` is the highest loss in which a subsequence of `k + 1` points can end, so `tails` decreases and a binary
/// search finds how long a subsequence the next loss prolongs: n log n in all (M. L. Fredman, *On computing the length
/// of longest increasing subsequences*, 1975).
fn longest_fall(losses: &[f64]) -> (usize, usize) {
    let mut tails: Vec<f64> = Vec::new();
    let mut end = 0;
    for (i, loss) in losses.iter().enumerate() {
        let length = tails.partition_point(|tail| tail > loss);
        if length == tails.len() {
            tails.push(*loss);
            end = i;
        } else {
            tails[length] = *loss;
        }
    }
    (end, tails.len())
}

fn steepest(lrs: &[f64], losses: &[f64]) -> Result<usize, NoSuggestion> {
    if let Some(i) = lrs.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(NoSuggestion::Rate { index: i + 1, rate: lrs[i + 1] });
    }
    let last = lrs.len() - 1;
    let slopes: Vec<f64> = (0..=last)
        .map(|i| {
            let (from, to) = (i.saturating_sub(1), (i + 1).min(last));
            // Halves, so that the difference of two large losses stays finite.
            let fall = losses[to] / 2.0 - losses[from] / 2.0;
            fall / ((lrs[to].ln() - lrs[from].ln()) / 2.0)
        })
        .collect();
    Ok(lowest(&slopes))
}

/// fastai's `lr_diff` and `thresh`.
const SLIDE_APART: usize = 15;
const SLIDE_THRESHOLD: f64 = 0.005;

/// Expects more than [`SLIDE_APART`] losses.
fn slide(losses: &[f64]) -> usize {
    let last = losses.len() - 1;
    // Slope per point, central, one-sided at the ends.
    let slope = |i: usize| match i {
        0 => losses[1] - losses[0],
        _ if i == last => losses[last] - losses[last - 1],
        _ => losses[i + 1] / 2.0 - losses[i - 1] / 2.0,
    };
    let mut left = last - SLIDE_APART;
    let mut found = left;
    while (slope(left + SLIDE_APART) - slope(left)).abs() > SLIDE_THRESHOLD {
        found = left;
        let Some(lower) = left.checked_sub(1) else { break };
        left = lower;
    }
    found
}

#[cfg(test)]
mod tests {
    use splitmix::SplitMix64;

    use super::*;

    fn ramp(n: usize) -> Vec<f64> {
        (0..n).map(|i| 1e-7 * 1e8_f64.powf(i as f64 / n as f64)).collect()
    }

    /// The definition, point by point: what the fast search must agree with.
    fn longest_fall_by_definition(losses: &[f64]) -> (usize, usize) {
        let mut lengths = vec![1; losses.len()];
        for i in 0..losses.len() {
            for j in 0..i {
                if losses[i] < losses[j] {
                    lengths[i] = lengths[i].max(lengths[j] + 1);
                }
            }
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        (lengths.iter().position(|l| *l == longest).unwrap_or(0), longest)
    }

    #[test]
    fn names_are_the_configs_and_a_wrong_one_gets_the_nearest() {
        for rule in Rule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("\"{rule}\""));
        }
        let error = "steepst".parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains("steepst") && error.contains("steepest"), "{error}");
    }

    #[test]
    fn small_curves_by_hand() {
        let lrs = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2];
        for (rule, losses, expected) in [
            // A fall of 4 points ending at index 3: 3 - 4 + 1 + 0 = 0.
            (Rule::Valley, [4., 3., 2., 1., 5., 6.], 0.1),
            // All six: 5 - 6 + 2 + 1 = 2.
            (Rule::Valley, [6., 5., 4., 3., 2., 1.], 0.4),
            // Equal losses do not fall: one point.
            (Rule::Valley, [1., 1., 1., 1., 1., 1.], 0.1),
            // The fall is not contiguous: 6 5 4 3 ends at index 4: 4 - 4 + 1 + 0 = 1.
            (Rule::Valley, [6., 5., 9., 4., 3., 8.], 0.2),
            (Rule::Minimum, [3., 2., 1., 1., 5., 6.], 0.04),
            // Central differences: at 0.4 (1 - 5)/2 is the most negative.
            (Rule::Steepest, [6., 5., 4., 1., 0.5, 6.], 0.4),
            // One-sided at the ends.
            (Rule::Steepest, [9., 1., 1., 1., 1., 1.], 0.1),
            (Rule::Steepest, [1., 1., 1., 1., 1., 0.], 3.2),
        ] {
            let found = suggest(rule, &lrs, &losses).unwrap();
            assert!((found - expected).abs() < 1e-15, "{rule} of {losses:?}: {found} instead of {expected}");
        }
    }

    #[test]
    fn a_fall_of_the_first_two_points_counts_from_the_end_as_in_the_reference() {
        assert_eq!(suggest(Rule::Valley, &[1.0, 2.0, 3.0], &[2.0, 1.0, 5.0]), Ok(3.0));
    }

    #[test]
    fn slope_is_taken_against_the_log_rate_whatever_the_grid() {
        // Falls by 1 from rate 1 to 2 and again from 100 to 101: the second is far steeper per factor.
        let lrs = [1.0, 2.0, 50.0, 100.0, 101.0];
        assert_eq!(suggest(Rule::Steepest, &lrs, &[3.0, 2.0, 2.0, 2.0, 1.0]), Ok(101.0));
    }

    #[test]
    fn slide_stops_where_slopes_agree() {
        let lrs = ramp(40);
        // A parabola: slopes 15 points apart always differ by 15 * 0.02.
        let parabola: Vec<f64> = (0..40).map(|i| f64::from((i - 20) * (i - 20)) * 0.01).collect();
        assert_eq!(suggest(Rule::Slide, &lrs, &parabola), Ok(lrs[0]));
        // A line: they never do.
        let line: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(suggest(Rule::Slide, &lrs, &line), Ok(lrs[24]));
    }

    #[test]
    fn what_is_no_curve_is_refused_with_figures() {
        let three = [1e-3, 1e-2, 1e-1];
        for rule in Rule::ALL {
            assert_eq!(suggest(rule, &three, &[1.0]), Err(NoSuggestion::Unequal { lrs: 3, losses: 1 }));
            assert!(matches!(suggest(rule, &[], &[]), Err(NoSuggestion::TooShort { points: 0, recorded: 0, .. })));
            let bad = suggest(rule, &[1e-3, 0.0, 1.0], &[3.0, 2.0, 1.0]);
            assert_eq!(bad, Err(NoSuggestion::Rate { index: 1, rate: 0.0 }));
            let nan = suggest(rule, &three, &[f64::NAN, 1.0, 2.0]);
            assert!(matches!(nan, Err(NoSuggestion::NonFinite { index: 0, points: 0, .. })), "{nan:?}");
        }
        let falling_rates = suggest(Rule::Steepest, &[1e-1, 1e-2, 1e-3], &[3.0, 2.0, 1.0]);
        assert_eq!(falling_rates, Err(NoSuggestion::Rate { index: 1, rate: 1e-2 }));
        let short = suggest(Rule::Slide, &ramp(15), &[1.0; 15]).unwrap_err();
        assert_eq!(short, NoSuggestion::TooShort { points: 15, recorded: 15, least: 16, stopped: None });
    }

    #[test]
    fn what_follows_a_non_finite_loss_plays_no_part() {
        let lrs = ramp(30);
        let losses: Vec<f64> = (0..30).map(|i| f64::from((i - 12) * (i - 12))).collect();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut spoilt = losses.clone();
            spoilt[20] = bad;
            spoilt[25] = -1e9;
            for rule in Rule::ALL {
                assert_eq!(suggest(rule, &lrs, &spoilt), suggest(rule, &lrs[..20], &losses[..20]), "{rule}, {bad}");
            }
        }
    }

    /// Drawn from a seed, so that a failure can be repeated.
    struct Draw(SplitMix64);

    impl Draw {
        fn next(&mut self) -> u64 {
            self.0.bits()
        }

        /// Any bits at all, ordinary numbers, few distinct ones, or special ones.
        fn number(&mut self) -> f64 {
            const SPECIAL: [f64; 8] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 5e-324, -1.0];
            match self.next() % 8 {
                0 => f64::from_bits(self.next()),
                1 => SPECIAL[self.next() as usize % SPECIAL.len()],
                2 | 3 => (self.next() % 4) as f64,
                _ => self.next() as f64 / u64::MAX as f64,
            }
        }
    }

    #[test]
    fn any_input_gives_a_given_rate_or_a_reason_and_no_panic() {
        let mut draw = Draw(SplitMix64::new(1));
        let mut suggested = 0;
        for case in 0..20_000 {
            let n = draw.next() as usize % 40;
            let wild = case % 2 == 0;
            let lrs: Vec<f64> = if wild { (0..n).map(|_| draw.number()).collect() } else { ramp(n) };
            let losses: Vec<f64> = (0..n)
                .map(|_| if case % 3 == 0 { draw.number() } else { draw.next() as f64 / u64::MAX as f64 })
                .collect();
            for rule in Rule::ALL {
                match suggest(rule, &lrs, &losses) {
                    Ok(lr) => {
                        let tenth = rule == Rule::Minimum;
                        assert!(lrs.iter().any(|given| if tenth { lr == given / 10.0 } else { lr == *given }));
                        suggested += 1;
                    }
                    Err(reason) => assert!(!reason.to_string().is_empty()),
                }
            }
        }
        assert!(suggested > 20_000, "{suggested}");
    }

    #[test]
    fn the_search_for_the_longest_fall_agrees_with_its_definition() {
        let mut draw = Draw(SplitMix64::new(2));
        for case in 0..5000 {
            let n = 1 + draw.next() as usize % 60;
            let distinct = if case % 2 == 0 { 8 } else { 1_000_000 };
            let losses: Vec<f64> = (0..n).map(|_| (draw.next() % distinct) as f64).collect();
            assert_eq!(longest_fall(&losses), longest_fall_by_definition(&losses), "{losses:?}");
        }
    }
}
