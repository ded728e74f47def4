//! What fastai, Lightning and torch-lr-finder make of a curve of raw losses: their smoothing, their end, their rule.
//!
//! The formulas are those that reproduce the packages' recorded runs (`crates/trainer/tests/golden/lr_finder.jsonl`:
//! fastai 2.8.12, Lightning 2.6.6, torch-lr-finder 0.2.2); the test below compares them.

use anneal::trainer::lr_finder::{Rule, suggest};

/// A finder of another framework, with the rule it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// fastai's smoothing (0.98, bias-corrected), end (4 times the best) and trimming (a tenth and 5), under one of its
    /// rules; `valley` is its default.
    Fastai(Rule),
    /// Lightning: the same smoothing with its bias correction one step ahead, the same end; the steepest gradient with
    /// respect to the rate itself, without the first 10 points and the last.
    Lightning,
    /// torch-lr-finder: a smoothing of 0.95 without bias correction, end at 5 times the best; the steepest gradient per
    /// point, without the first 10 points and the last 5.
    TorchLrFinder,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Fastai(Rule::Valley),
        Self::Fastai(Rule::Minimum),
        Self::Fastai(Rule::Slide),
        Self::Lightning,
        Self::TorchLrFinder,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Fastai(rule) => format!("fastai {rule}"),
            Self::Lightning => "Lightning".to_owned(),
            Self::TorchLrFinder => "torch-lr-finder".to_owned(),
        }
    }

    /// The rate it suggests; `None` where it refuses or fails.
    pub(crate) fn suggest(self, lrs: &[f64], raw: &[f64]) -> Option<f64> {
        let smoothed = self.smoothed(raw);
        let points = smoothed.len();
        let (start, end) = match self {
            Self::Fastai(_) => (lrs.len() / 10, points.saturating_sub(5)),
            Self::Lightning => (10, points.saturating_sub(1)),
            Self::TorchLrFinder => (10, points.saturating_sub(5)),
        };
        let losses = smoothed.get(start..end)?;
        let lrs = &lrs[start..end];
        match self {
            // The rules are fastai's, and cut at the first NaN as it does.
            Self::Fastai(rule) => suggest(rule, lrs, losses).ok(),
            Self::Lightning => {
                let (lrs, losses): (Vec<f64>, Vec<f64>) =
                    lrs.iter().zip(losses).filter(|(_, loss)| loss.is_finite()).unzip();
                (losses.len() > 1).then(|| lrs[steepest(&gradient(&losses, &lrs))])
            }
            Self::TorchLrFinder => {
                let index: Vec<f64> = (0..losses.len()).map(|i| i as f64).collect();
                (losses.len() > 1).then(|| lrs[steepest(&gradient(losses, &index))])
            }
        }
    }

    /// Its losses, up to where it stops.
    fn smoothed(self, raw: &[f64]) -> Vec<f64> {
        let (mut out, mut average, mut best) = (Vec::new(), 0.0, f64::INFINITY);
        for (i, loss) in raw.iter().enumerate() {
            let (smoothed, factor) = match self {
                Self::TorchLrFinder => {
                    average = if i == 0 { *loss } else { 0.05 * loss + 0.95 * average };
                    (average, 5.0)
                }
                Self::Fastai(_) | Self::Lightning => {
                    average = 0.98 * average + 0.02 * loss;
                    let ahead = if self == Self::Lightning { 2 } else { 1 };
                    (average / (1.0 - 0.98_f64.powi(i as i32 + ahead)), 4.0)
                }
            };
            out.push(smoothed);
            if smoothed < best {
                best = smoothed;
            }
            if smoothed > factor * best {
                break;
            }
        }
        out
    }
}

/// numpy's gradient: second-order on uneven spacing inside, one-sided at the ends.
fn gradient(y: &[f64], x: &[f64]) -> Vec<f64> {
    let last = y.len() - 1;
    (0..=last)
        .map(|i| match i {
            0 => (y[1] - y[0]) / (x[1] - x[0]),
            _ if i == last => (y[last] - y[last - 1]) / (x[last] - x[last - 1]),
            _ => {
                let (before, after) = (x[i] - x[i - 1], x[i + 1] - x[i]);
                let weighted =
                    before * before * y[i + 1] + (after * after - before * before) * y[i] - after * after * y[i - 1];
                weighted / (before * after * (before + after))
            }
        })
        .collect()
}

/// Index of the lowest slope, or of the first that is no number, as numpy's argmin.
fn steepest(slopes: &[f64]) -> usize {
    if let Some(nan) = slopes.iter().position(|slope| slope.is_nan()) {
        return nan;
    }
    (0..slopes.len()).min_by(|a, b| slopes[*a].total_cmp(&slopes[*b])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn numbers(value: &Value) -> Vec<f64> {
        let number = |value: &Value| match value.as_str() {
            Some("NaN") => f64::NAN,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            _ => value.as_f64().expect("a number"),
        };
        value.as_array().expect("an array").iter().map(number).collect()
    }

    /// On the packages' own grids, with their own options.
    #[test]
    fn they_say_what_the_packages_said() {
        let golden = include_str!("../../../trainer/tests/golden/lr_finder.jsonl");
        let mut compared = 0;
        for line in golden.lines() {
            let case: Value = serde_json::from_str(line).expect("JSON");
            // Curves that stop at once, or that cannot be compared, are passed over.
            let raw = numbers(&case["raw_losses"]);
            for peer in Peer::ALL {
                let package = match peer {
                    Peer::Fastai(_) => "fastai",
                    Peer::Lightning => "lightning",
                    Peer::TorchLrFinder => "torch-lr-finder",
                };
                let run = &case["runs"][package];
                let options = &run["options"];
                let smooth = &options["smooth_f"];
                if raw.iter().any(|loss| !loss.is_finite() || *loss < 0.0) || *smooth != Value::Null && *smooth != 0.05
                {
                    continue;
                }
                let expected = match peer {
                    Peer::Fastai(rule) => &run["suggestion"][rule.name()],
                    _ => &run["suggestion"],
                };
                let ill = run["ill_conditioned"].as_array().is_some_and(|ill| !ill.is_empty());
                let Some(expected) = expected.as_f64().filter(|_| !ill) else { continue };
                let all = numbers(&run["lrs"]);
                let n = case["find"]["num_it"].as_u64().expect("a number") as usize;
                // The rates of the whole grid: the trimming follows from their number.
                let mut lrs = all.clone();
                lrs.resize(n.max(all.len()), f64::NAN);
                let found = peer.suggest(&lrs, &raw[..lrs.len().min(raw.len())]);
                let agrees = found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-9);
                assert!(agrees, "{} {}: {found:?} instead of {expected}", case["id"], peer.name());
                compared += 1;
            }
        }
        assert!(compared > 50, "{compared}");
    }
}
