//! Several sweeps of one model: the median curve, the band around it, and how far the suggestion moves.

use serde::Serialize;

use super::{LrCurve, NoSuggestion, Rule, Suggestion};

/// Below this number the band is the whole range: quartiles of fewer values are made up of them.
const QUARTILES_FROM: usize = 5;

/// Sweeps of the same model over the same rates.
#[derive(Debug, Clone, PartialEq)]
pub struct LrSweeps {
    sweeps: Vec<LrCurve>,
    median: LrCurve,
    band: Option<LossBand>,
}

/// The band of the smoothed losses around the median, one value per point of the median curve.
#[derive(Debug, Clone, PartialEq)]
pub struct LossBand {
    /// Lower quartile; the lowest for fewer than 5 sweeps.
    pub low: Vec<f64>,
    /// Upper quartile; the highest for fewer than 5 sweeps. Infinite where a sweep that counts there has ended.
    pub high: Vec<f64>,
    /// Whether these are quartiles.
    pub quartiles: bool,
}

/// How far a rule's suggestion moves from sweep to sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SuggestionSpread {
    /// Sweeps.
    pub of: usize,
    /// Sweeps that suggest a rate by themselves.
    pub found: usize,
    /// Lower quartile of their rates; the lowest for fewer than 5.
    pub low: f64,
    /// The median rate, in the logarithm.
    pub median: f64,
    /// Upper quartile; the highest for fewer than 5.
    pub high: f64,
    /// `high / low`: 1 is perfect agreement, 10 a whole decade.
    pub ratio: f64,
}

impl LrSweeps {
    /// Puts sweeps of one ramp together.
    ///
    /// The median is taken rate by rate, of the losses as measured, the smoothed and the validation losses. A sweep that
    /// has ended counts as infinitely high from there on, so that the median does not become one of the survivors; it
    /// ends where it would be infinite itself, for the reason for which that sweep ended.
    pub fn new(sweeps: Vec<LrCurve>) -> Self {
        let median = median_curve(&sweeps);
        let band = (sweeps.len() > 1).then(|| band(&sweeps, median.lrs.len()));
        Self { sweeps, median, band }
    }

    /// Sets how many points are left out at the start and at the end of every sweep; `None` leaves the default.
    #[must_use]
    pub fn skip(self, start: Option<usize>, end: Option<usize>) -> Self {
        let skipped = self.sweeps.into_iter().map(|sweep| {
            let (default_start, default_end) = (sweep.skip_start, sweep.skip_end);
            sweep.skip(start.unwrap_or(default_start), end.unwrap_or(default_end))
        });
        Self::new(skipped.collect())
    }

    /// The median curve; of one sweep, the sweep itself.
    pub fn curve(&self) -> &LrCurve {
        &self.median
    }

    /// The sweeps.
    pub fn sweeps(&self) -> &[LrCurve] {
        &self.sweeps
    }

    /// The band around the median; `None` for a single sweep.
    pub fn band(&self) -> Option<&LossBand> {
        self.band.as_ref()
    }

    /// What the median curve suggests, or why it suggests nothing.
    ///
    /// # Errors
    /// As [`LrCurve::suggestion`].
    pub fn suggestion(&self, rule: Rule) -> Result<Suggestion, NoSuggestion> {
        self.median.suggestion(rule)
    }

    /// How far the single sweeps' suggestions lie apart; `None` for fewer than two of them.
    pub fn spread(&self, rule: Rule) -> Option<SuggestionSpread> {
        let mut logs: Vec<f64> =
            self.sweeps.iter().filter_map(|sweep| Some(sweep.suggestion(rule).ok()?.lr.ln())).collect();
        if logs.len() < 2 {
            return None;
        }
        logs.sort_by(f64::total_cmp);
        let [low, high] = ends(logs.len());
        let at = |part| quantile(&logs, part).exp();
        let (low, high) = (at(low), at(high));
        Some(SuggestionSpread {
            of: self.sweeps.len(),
            found: logs.len(),
            low,
            median: at(0.5),
            high,
            ratio: high / low,
        })
    }

    /// As [`LrCurve::to_json`] of the median curve, and for several sweeps `repeats` (each sweep's own `losses`,
    /// `smoothed`, `stopped`, `suggestion`, `reason`), `band` (`{"low", "high", "quartiles"}`; null where a sweep has
    /// ended) and `spread` (of the rule's suggestions; null for fewer than two).
    pub fn to_json(&self, rule: Rule) -> serde_json::Value {
        let mut json = self.median.to_json(rule);
        if let Some(band) = &self.band {
            let repeats: Vec<serde_json::Value> = self
                .sweeps
                .iter()
                .map(|sweep| {
                    let mut one = sweep.to_json(rule);
                    if let Some(fields) = one.as_object_mut() {
                        fields.remove("lrs");
                    }
                    one
                })
                .collect();
            json["repeats"] = repeats.into();
            json["band"] = serde_json::json!({ "low": band.low, "high": band.high, "quartiles": band.quartiles });
            json["spread"] = serde_json::json!(self.spread(rule));
        }
        json
    }
}

/// The lower and upper share that a band of `n` values shows.
fn ends(n: usize) -> [f64; 2] {
    if n < QUARTILES_FROM { [0.0, 1.0] } else { [0.25, 0.75] }
}

fn median_curve(sweeps: &[LrCurve]) -> LrCurve {
    let mut by_length: Vec<&LrCurve> = sweeps.iter().collect();
    by_length.sort_by_key(|sweep| sweep.lrs.len());
    // Beyond its end more than half of the sweeps (half of an even number) have ended.
    let Some(deciding) = by_length.get(sweeps.len().saturating_sub(1) / 2) else {
        return LrCurve::new(Vec::new(), Vec::new(), Vec::new(), super::SweepEnd::OutOfData, 0);
    };
    if let [only] = sweeps {
        return only.clone();
    }
    let points = deciding.lrs.len();
    let of = |losses: fn(&LrCurve) -> &[f64]| -> Vec<f64> {
        (0..points).map(|i| quantile(&sorted_at(sweeps, i, losses), 0.5)).collect()
    };
    let (losses, smoothed) = (of(|sweep| &sweep.losses), of(|sweep| &sweep.smoothed));
    let valid = sweeps.iter().all(|sweep| sweep.valid.is_some());
    let mut median = LrCurve::new(deciding.lrs.clone(), losses, smoothed, deciding.stopped, 0)
        .skip(deciding.skip_start, deciding.skip_end);
    if valid {
        median.valid = Some(of(|sweep| sweep.valid.as_deref().unwrap_or_default()));
    }
    median
}

fn band(sweeps: &[LrCurve], points: usize) -> LossBand {
    let [low, high] = ends(sweeps.len());
    let of = |part| (0..points).map(|i| quantile(&sorted_at(sweeps, i, |sweep| &sweep.smoothed), part)).collect();
    LossBand { low: of(low), high: of(high), quartiles: sweeps.len() >= QUARTILES_FROM }
}

/// The losses at point `i` in rising order; ended and not finite ones are infinite.
fn sorted_at(sweeps: &[LrCurve], i: usize, losses: fn(&LrCurve) -> &[f64]) -> Vec<f64> {
    let finite = |loss: &f64| loss.is_finite();
    let mut values: Vec<f64> =
        sweeps.iter().map(|sweep| losses(sweep).get(i).copied().filter(finite).unwrap_or(f64::INFINITY)).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The quantile `part` of sorted values, linear between neighbours (numpy's default). Infinite where either neighbour
/// that counts is.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    if below == above { below } else { below + (above - below) * at.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lr_finder::{LrFinderConfig, Sweep, SweepEnd};

    /// A sweep over a scripted loss, raw.
    fn sweep(loss: impl Fn(f64) -> f64) -> LrCurve {
        let config = LrFinderConfig { smoothing: 0.0, ..LrFinderConfig::default() };
        let mut sweep = Sweep::new(config).unwrap();
        while let Some(lr) = sweep.next_lr() {
            sweep.record(loss(lr));
        }
        sweep.into_curve()
    }

    /// A valley whose fall lies at `at`.
    fn valley(at: f64) -> LrCurve {
        sweep(move |lr| 0.4 + 1.9 / (1.0 + (lr / at).powf(1.2)) + 0.2 * lr * lr / at / 1e3)
    }

    #[test]
    fn of_one_sweep_the_median_is_the_sweep() {
        let one = valley(1e-3);
        let sweeps = LrSweeps::new(vec![one.clone()]);
        assert_eq!((sweeps.curve(), sweeps.band()), (&one, None));
        assert_eq!(sweeps.to_json(Rule::Valley), one.to_json(Rule::Valley));
        assert_eq!(sweeps.spread(Rule::Valley), None);
    }

    #[test]
    fn the_median_is_taken_rate_by_rate_and_one_wild_sweep_does_not_move_it() {
        let wild = sweep(|lr| if ((lr * 1e9) as u64).is_multiple_of(2) { 50.0 } else { 0.1 });
        let (a, b) = (valley(1e-3), valley(1.5e-3));
        let sweeps = LrSweeps::new(vec![a.clone(), wild, b.clone()]);
        let curve = sweeps.curve();
        for (i, loss) in curve.losses.iter().enumerate().take(60) {
            let between = a.losses[i].min(b.losses[i])..=a.losses[i].max(b.losses[i]);
            assert!(between.contains(loss), "point {i}");
        }
        let found = sweeps.suggestion(Rule::Steepest).unwrap().lr;
        assert!((8e-4..2e-3).contains(&found), "{found:e}");
    }

    #[test]
    fn a_sweep_that_has_ended_counts_as_high() {
        // Ends at points 40, 60 and 80 by divergence; the median ends with the second of them.
        let ends = |at: usize| {
            let mut curve = valley(1e-3);
            curve.stopped = SweepEnd::Diverged;
            for values in [&mut curve.lrs, &mut curve.losses, &mut curve.smoothed] {
                values.truncate(at);
            }
            curve
        };
        for (lengths, expected) in [(vec![40, 60, 80], 60), (vec![40, 80], 40), (vec![30, 40, 60, 80], 40)] {
            let sweeps = LrSweeps::new(lengths.iter().map(|n| ends(*n)).collect());
            assert_eq!(sweeps.curve().lrs.len(), expected, "{lengths:?}");
            assert_eq!(sweeps.curve().stopped, SweepEnd::Diverged);
            assert!(sweeps.curve().losses.iter().all(|loss| loss.is_finite()), "{lengths:?}");
        }
        // Where two of three are left, the median is the higher of them, not their mean.
        let sweeps = LrSweeps::new(vec![ends(40), ends(60), sweep(|_| 5.0)]);
        assert_eq!(sweeps.curve().losses[50], 5.0);
        let band = sweeps.band().unwrap();
        assert!(band.high[30].is_finite() && band.high[50].is_infinite());
        assert!(sweeps.to_json(Rule::Valley)["band"]["high"][50].is_null());
    }

    #[test]
    fn the_band_is_the_range_of_few_and_the_quartiles_of_many() {
        let levels = |n: usize| LrSweeps::new((1..=n).map(|level| sweep(move |_| level as f64)).collect());
        for (n, low, high, quartiles) in [(2, 1.0, 2.0, false), (4, 1.0, 4.0, false), (5, 2.0, 4.0, true)] {
            let sweeps = levels(n);
            let band = sweeps.band().unwrap();
            assert_eq!((band.low[7], band.high[7], band.quartiles), (low, high, quartiles), "{n} sweeps");
        }
    }

    #[test]
    fn the_spread_says_how_far_the_suggestion_moves() {
        let agreed = LrSweeps::new((0..5).map(|_| valley(1e-3)).collect());
        let spread = agreed.spread(Rule::Steepest).unwrap();
        assert_eq!((spread.of, spread.found, spread.ratio), (5, 5, 1.0));

        let apart = LrSweeps::new([1e-4, 1e-3, 1e-2].map(valley).to_vec());
        let spread = apart.spread(Rule::Steepest).unwrap();
        assert!((50.0..200.0).contains(&spread.ratio), "{spread:?}");
        assert!((5e-4..2e-3).contains(&spread.median), "{spread:?}");

        // Sweeps without a suggestion are counted, not averaged in.
        let flat = LrSweeps::new(vec![valley(1e-3), sweep(|_| 1.0), valley(1e-3)]);
        let spread = flat.spread(Rule::Steepest).unwrap();
        assert_eq!((spread.of, spread.found), (3, 2));
        assert_eq!(LrSweeps::new(vec![sweep(|_| 1.0), valley(1e-3)]).spread(Rule::Steepest), None);
    }

    #[test]
    fn json_keeps_the_keys_of_one_sweep_and_adds_the_repeats() {
        let json = LrSweeps::new([1e-3, 2e-3, 3e-3].map(valley).to_vec()).to_json(Rule::Valley);
        let points = json["lrs"].as_array().unwrap().len();
        for key in ["losses", "smoothed"] {
            assert_eq!(json[key].as_array().unwrap().len(), points, "{key}");
        }
        assert_eq!(json["repeats"].as_array().unwrap().len(), 3);
        assert!(json["repeats"][0]["suggestion"]["lr"].is_f64() && json["repeats"][0].get("lrs").is_none());
        assert_eq!(json["band"]["low"].as_array().unwrap().len(), points);
        assert_eq!(json["band"]["quartiles"], false);
        assert!(json["spread"]["ratio"].as_f64().unwrap() >= 1.0);
        assert_eq!(json["stopped"], "diverged");
    }

    #[test]
    fn no_sweep_at_all_is_no_curve() {
        let none = LrSweeps::new(Vec::new());
        assert!(matches!(none.suggestion(Rule::Valley), Err(NoSuggestion::TooShort { .. })));
    }
}
