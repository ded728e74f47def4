//! The curve that a sweep leaves, and the judgement whether it suggests a rate at all.

use serde::{Deserialize, Serialize};

use super::{
    NoSuggestion, Rule, SweepEnd,
    judge::{LEAST_POINTS, Range, judge},
    suggest,
};

/// A rate, and the rule that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The rule.
    pub rule: Rule,
    /// The rate.
    pub lr: f64,
}

/// Losses over rates, as a sweep recorded them.
#[derive(Debug, Clone, PartialEq)]
pub struct LrCurve {
    /// The rate of each point, rising.
    pub lrs: Vec<f64>,
    /// The training loss at each point, as it was.
    pub losses: Vec<f64>,
    /// The same, smoothed; equal to `losses` where the sweep does not smooth.
    pub smoothed: Vec<f64>,
    /// The validation loss at each point, if it was measured. Suggestions are then read off these.
    pub valid: Option<Vec<f64>>,
    /// Why the sweep ended.
    pub stopped: SweepEnd,
    /// Points left out at the start of the curve when a suggestion is read: the first losses of an untrained model say
    /// little. Default: a tenth of `num_it`, as fastai.
    pub skip_start: usize,
    /// Points left out at the end: there the loss shoots up. Default 5, as fastai.
    pub skip_end: usize,
}

impl LrCurve {
    /// A curve with the default trimming for a ramp of `num_it` steps: a tenth of `num_it` at the start, 5 points at
    /// the end.
    pub fn new(lrs: Vec<f64>, losses: Vec<f64>, smoothed: Vec<f64>, stopped: SweepEnd, num_it: usize) -> Self {
        Self { lrs, losses, smoothed, valid: None, stopped, skip_start: num_it / 10, skip_end: 5 }
    }

    /// Adds the validation losses, off which suggestions are then read.
    #[must_use]
    pub fn with_valid(mut self, losses: Vec<f64>) -> Self {
        self.valid = Some(losses);
        self
    }

    /// Sets how many points are left out at the start and at the end.
    #[must_use]
    pub fn skip(mut self, start: usize, end: usize) -> Self {
        (self.skip_start, self.skip_end) = (start, end);
        self
    }

    /// The rate that this curve suggests by `rule`, or why it suggests none.
    ///
    /// The curve is trimmed (`skip_start`, `skip_end`) and cut at the first loss that is not finite. What is left is
    /// judged by its unsmoothed losses, since a smoothed curve looks orderly whatever it is made of. With `w` an eighth
    /// of the points (at least 3), changes are differences between the means of `w` neighbouring losses, and count if
    /// they exceed both a hundredth of the level at the start and 6 standard errors `noise / sqrt(w)`; `noise` is the
    /// standard deviation of single losses, estimated from the median second difference, which neither a trend nor a
    /// few spikes disturb. Then the bare rule ([`suggest`]) reads the smoothed losses (or the validation losses, where
    /// there are any).
    ///
    /// # Errors
    ///
    /// - [`NoSuggestion::TooShort`]: fewer than 10 points are left, or fewer than the rule needs.
    /// - [`NoSuggestion::NonFinite`]: the same because of a loss that is not finite.
    /// - [`NoSuggestion::Flat`]: the loss neither falls nor rises by an amount that counts.
    /// - [`NoSuggestion::OnlyRises`]: it rises, but never falls.
    /// - [`NoSuggestion::OnlyFalls`]: it falls and never rises again, and the sweep ended neither by divergence nor at a
    ///   loss that is not finite: the rate that is too high, against which the rules measure, was not reached. The points trimmed
    ///   off the end count here.
    /// - [`NoSuggestion::Unequal`], [`NoSuggestion::Rate`]: the fields do not make a curve.
    pub fn suggestion(&self, rule: Rule) -> Result<Suggestion, NoSuggestion> {
        let (raw, read) = match &self.valid {
            Some(valid) => (valid, valid),
            None => (&self.losses, &self.smoothed),
        };
        let recorded = self.lrs.len();
        for losses in [raw, read] {
            if losses.len() != recorded {
                return Err(NoSuggestion::Unequal { lrs: recorded, losses: losses.len() });
            }
        }
        let finite = raw.iter().zip(read).take_while(|(a, b)| a.is_finite() && b.is_finite()).count();
        let start = self.skip_start.min(finite);
        let end = finite.min(recorded.saturating_sub(self.skip_end)).max(start);
        let points = end - start;
        if points < LEAST_POINTS {
            return Err(match raw.get(finite) {
                Some(loss) => {
                    // Where the training loss is finite the validation loss or the smoothed one is not.
                    let loss = if loss.is_finite() { read[finite] } else { *loss };
                    NoSuggestion::NonFinite { index: finite, lr: self.lrs[finite], loss, points, least: LEAST_POINTS }
                }
                None => NoSuggestion::TooShort { points, recorded, least: LEAST_POINTS, stopped: Some(self.stopped) },
            });
        }
        let bounded = finite < recorded || matches!(self.stopped, SweepEnd::Diverged | SweepEnd::NonFinite);
        judge(&raw[start..end], &raw[start..finite]).refuse(bounded, || Range {
            start_lr: self.lrs[start],
            end_lr: self.lrs[recorded - 1],
            stopped: self.stopped,
        })?;
        let lr = suggest(rule, &self.lrs[start..end], &read[start..end]).map_err(|reason| match reason {
            NoSuggestion::TooShort { points, least, .. } => {
                NoSuggestion::TooShort { points, recorded, least, stopped: Some(self.stopped) }
            }
            other => other,
        })?;
        Ok(Suggestion { rule, lr })
    }

    /// The curve and what it suggests, as `anneal find-lr --json` writes it: `lrs`, `losses`, `smoothed` (`valid` where
    /// measured), `stopped`, `suggestion` (`{"rule", "lr"}` or null), `reason` (null or why there is none) and `rules`
    /// (what each rule suggests, or null). A loss
    /// that is not finite is null, since JSON has no such numbers.
    pub fn to_json(&self, rule: Rule) -> serde_json::Value {
        let suggestion = self.suggestion(rule);
        let mut json = serde_json::json!({
            "lrs": self.lrs,
            "losses": self.losses,
            "smoothed": self.smoothed,
            "stopped": self.stopped,
            "suggestion": suggestion.as_ref().ok(),
            "reason": suggestion.as_ref().err().map(ToString::to_string),
            "rules": self.by_every_rule(),
        });
        if let Some(valid) = &self.valid {
            json["valid"] = serde_json::json!(valid);
        }
        json
    }

    /// What each rule suggests, by its name.
    fn by_every_rule(&self) -> serde_json::Value {
        let found = |rule: Rule| serde_json::json!(self.suggestion(rule).ok().map(|found| found.lr));
        Rule::ALL
            .into_iter()
            .map(|rule| (rule.name().to_owned(), found(rule)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use splitmix::SplitMix64;

    use super::*;

    /// 101 points of the default ramp.
    fn ramp(n: usize) -> Vec<f64> {
        (0..n).map(|i| 1e-7 * 10_f64.powf(0.08 * i as f64)).collect()
    }

    fn raw(losses: Vec<f64>, stopped: SweepEnd) -> LrCurve {
        LrCurve::new(ramp(losses.len()), losses.clone(), losses, stopped, 100)
    }

    /// A valley: 2.3 at low rates, 0.4 around 0.1, shooting up above 1.
    fn valley_at(lr: f64) -> f64 {
        0.4 + 1.9 / (1.0 + (lr / 1e-3).powf(1.2)) + 0.2 * lr * lr
    }

    fn valley(n: usize) -> Vec<f64> {
        ramp(n).into_iter().map(valley_at).collect()
    }

    /// Nearly Gaussian noise of unit standard deviation.
    fn noisy(n: usize, seed: u64) -> Vec<f64> {
        let mut random = SplitMix64::new((seed + 1).wrapping_mul(0xd134_2543_de82_ef95));
        let mut uniform = || random.bits() as f64 / u64::MAX as f64;
        // Twelve uniform numbers add up to a nearly Gaussian one of variance 1.
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn a_valley_gets_a_suggestion_by_every_rule_from_the_trimmed_points() {
        let curve = raw(valley(101), SweepEnd::Completed);
        for rule in Rule::ALL {
            let found = curve.suggestion(rule).unwrap();
            assert_eq!(found.rule, rule);
            assert_eq!(found.lr, suggest(rule, &curve.lrs[10..96], &curve.losses[10..96]).unwrap());
            // Slide's absolute threshold takes it past the valley on this curve: the rule's own weakness, kept.
            assert!(rule == Rule::Slide || (1e-4..1.0).contains(&found.lr), "{rule}: {}", found.lr);
        }
        let untrimmed = curve.clone().skip(0, 0).suggestion(Rule::Slide).unwrap();
        assert_eq!(untrimmed.lr, suggest(Rule::Slide, &curve.lrs, &curve.losses).unwrap());
    }

    #[test]
    fn rules_read_the_smoothed_losses_and_the_judgement_the_raw_ones() {
        let mut curve = raw(valley(101), SweepEnd::Completed);
        curve.smoothed.rotate_right(4);
        let expected = suggest(Rule::Minimum, &curve.lrs[10..96], &curve.smoothed[10..96]).unwrap();
        assert_eq!(curve.suggestion(Rule::Minimum).unwrap().lr, expected);
        // Orderly once smoothed, flat as measured.
        curve.losses = vec![2.3; 101];
        assert!(matches!(curve.suggestion(Rule::Minimum), Err(NoSuggestion::Flat { .. })));
    }

    /// The first table under "What smoothing does" in docs/notes/lr-finder.md.
    #[test]
    fn smoothing_shifts_suggestions_to_higher_rates() {
        use crate::lr_finder::{LrFinderConfig, Sweep};
        for (smoothing, expected, stopped) in [
            (0.0, [2.3e-4, 1.0e-3, 1.2e-2], SweepEnd::Diverged),
            (0.5, [2.3e-4, 1.2e-3, 1.4e-2], SweepEnd::Diverged),
            (0.9, [4.8e-4, 2.5e-3, 6.3e-2], SweepEnd::Diverged),
            (0.98, [8.3e-4, 4.4e-3, 1.6e-1], SweepEnd::Completed),
        ] {
            let mut sweep = Sweep::new(LrFinderConfig { smoothing, ..LrFinderConfig::default() }).unwrap();
            while let Some(lr) = sweep.next_lr() {
                sweep.record(valley_at(lr));
            }
            let curve = sweep.into_curve();
            assert_eq!(curve.stopped, stopped, "smoothing {smoothing}");
            for (rule, expected) in [Rule::Valley, Rule::Steepest, Rule::Minimum].into_iter().zip(expected) {
                let lr = curve.suggestion(rule).unwrap().lr;
                assert!((lr / expected - 1.0).abs() < 0.05, "smoothing {smoothing}, {rule}: {lr:e}");
            }
        }
    }

    #[test]
    fn validation_losses_are_what_counts_where_they_were_measured() {
        let flat = vec![2.3; 101];
        let curve = LrCurve::new(ramp(101), flat.clone(), flat, SweepEnd::Completed, 100).with_valid(valley(101));
        let expected = suggest(Rule::Valley, &curve.lrs[10..96], &valley(101)[10..96]).unwrap();
        assert_eq!(curve.suggestion(Rule::Valley).unwrap().lr, expected);
    }

    #[test]
    fn noise_does_not_hide_a_valley() {
        for seed in 0..200 {
            let losses = valley(101).iter().zip(noisy(101, seed)).map(|(l, n)| l + 0.15 * n).collect();
            let found = raw(losses, SweepEnd::Completed).suggestion(Rule::Valley);
            assert!(found.is_ok(), "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn flat_curves_have_no_suggestion() {
        // The loss of guessing among ten classes.
        let guessing = std::f64::consts::LN_10;
        let constant = raw(vec![guessing; 101], SweepEnd::Completed).suggestion(Rule::Valley);
        let reason = constant.unwrap_err();
        let NoSuggestion::Flat { fall, threshold, noise } = reason else { panic!("{reason}") };
        assert!(fall.abs() < 1e-12 && noise == 0.0 && (threshold - 0.01 * guessing).abs() < 1e-12, "{reason}");
        // Half a percent in all is nothing, however smooth.
        let hardly = (0..101).map(|i| 2.3 - 0.0001 * f64::from(i)).collect();
        assert!(matches!(raw(hardly, SweepEnd::Completed).suggestion(Rule::Valley), Err(NoSuggestion::Flat { .. })));
    }

    #[test]
    fn pure_noise_is_called_flat_all_but_always() {
        // Neither the level nor the size of the noise matters.
        for (level, size) in [(2.3, 0.3), (0.0, 1.0), (-5.0, 10.0)] {
            let suggested = (0..2000)
                .filter(|seed| {
                    let losses = noisy(101, *seed).iter().map(|n| level + size * n).collect();
                    raw(losses, SweepEnd::Diverged).suggestion(Rule::Valley).is_ok()
                })
                .count();
            assert!(suggested <= 60, "{suggested} of 2000 curves of noise around {level} got a suggestion");
        }
    }

    #[test]
    fn monotone_curves_have_no_suggestion_and_say_which_end_to_move() {
        let rising = raw((0..101).map(|i| 0.5 + 0.01 * f64::from(i)).collect(), SweepEnd::Completed);
        let reason = rising.suggestion(Rule::Valley).unwrap_err();
        assert!(matches!(reason, NoSuggestion::OnlyRises { rise, .. } if rise > 0.5), "{reason:?}");
        assert!(reason.to_string().contains("start at a lower rate"), "{reason}");

        let falling = (0..101).map(|i| 3.0 - 0.02 * f64::from(i)).collect::<Vec<_>>();
        let reason = raw(falling.clone(), SweepEnd::Completed).suggestion(Rule::Valley).unwrap_err();
        assert!(matches!(reason, NoSuggestion::OnlyFalls { .. }), "{reason:?}");
        assert!(reason.to_string().contains("raise end_lr"), "{reason}");
        // Where the sweep ended by divergence, the bound was reached, although the trimmed curve only falls.
        assert!(raw(falling.clone(), SweepEnd::Diverged).suggestion(Rule::Valley).is_ok());
        let mut ended = falling;
        ended.push(f64::NAN);
        assert!(raw(ended.clone(), SweepEnd::NonFinite).suggestion(Rule::Valley).is_ok());
        // A NaN is a bound even where the sweep did not stop at it.
        assert!(raw(ended, SweepEnd::Completed).suggestion(Rule::Valley).is_ok());
    }

    #[test]
    fn a_rise_within_the_points_trimmed_off_the_end_counts() {
        let mut losses: Vec<f64> = (0..101).map(|i| 3.0 - 0.02 * f64::from(i)).collect();
        losses[97..].copy_from_slice(&[2.0, 3.0, 5.0, 9.0]);
        assert!(raw(losses, SweepEnd::Completed).suggestion(Rule::Valley).is_ok());
    }

    #[test]
    fn short_and_non_finite_curves_say_how_many_points_are_left() {
        let reason = raw(valley(24), SweepEnd::Diverged).suggestion(Rule::Valley).unwrap_err();
        assert_eq!(
            reason,
            NoSuggestion::TooShort { points: 9, recorded: 24, least: 10, stopped: Some(SweepEnd::Diverged) }
        );
        let reason = raw(Vec::new(), SweepEnd::OutOfData).suggestion(Rule::Valley).unwrap_err();
        assert_eq!(
            reason,
            NoSuggestion::TooShort { points: 0, recorded: 0, least: 10, stopped: Some(SweepEnd::OutOfData) }
        );

        let mut losses = valley(101);
        losses[15] = f64::NAN;
        let curve = raw(losses, SweepEnd::NonFinite);
        let reason = curve.suggestion(Rule::Valley).unwrap_err();
        assert!(matches!(reason, NoSuggestion::NonFinite { index: 15, points: 5, least: 10, .. }), "{reason:?}");
        assert!(reason.to_string().starts_with("the loss is NaN at point 15 (rate 1.58e-6)"), "{reason}");
        // Enough for the judgement, not for the rule.
        let steep: Vec<f64> = (0..27).map(|i| 3.0 - 0.1 * f64::from(i)).collect();
        let reason = raw(steep, SweepEnd::Diverged).suggestion(Rule::Slide).unwrap_err();
        assert_eq!(
            reason,
            NoSuggestion::TooShort { points: 12, recorded: 27, least: 16, stopped: Some(SweepEnd::Diverged) }
        );
    }

    /// What the judgement is for: curves on which a rule finds a number, whatever it is worth.
    #[test]
    fn the_judgement_on_curves_of_every_kind() {
        use SweepEnd::{Completed, Diverged, NonFinite, OutOfData};
        let points = |loss: &dyn Fn(f64) -> f64| (0..101).map(|i| loss(f64::from(i))).collect::<Vec<f64>>();
        let with_noise = |losses: Vec<f64>, size: f64| -> Vec<f64> {
            losses.iter().zip(noisy(101, 11)).map(|(loss, noise)| loss + size * noise).collect()
        };
        let until_nan = |at: usize| {
            let mut losses = valley(at);
            losses.push(f64::NAN);
            losses
        };
        let two_valleys = points(&|i| {
            2.3 - 0.8 * (-(i - 35.0).powi(2) / 60.0).exp() - 1.4 * (-(i - 70.0).powi(2) / 60.0).exp()
                + 0.02 * (i - 80.0).max(0.0).powi(2)
        });
        let flat_then_diverging = points(&|i| 2.3 + if i > 80.0 { 0.1 * (i - 80.0).powi(2) } else { 0.0 });
        let cases: [(&str, Vec<f64>, SweepEnd, &str); 17] = [
            ("flat", vec![2.3; 101], Completed, "is flat"),
            ("flat with noise", with_noise(vec![2.3; 101], 0.2), Completed, "is flat"),
            ("a fall that drowns in noise", with_noise(points(&|i| 2.3 - 0.002 * i), 0.5), Diverged, "is flat"),
            ("only falling", points(&|i| 3.0 - 0.02 * i), Completed, "only falls"),
            ("only falling, with noise", with_noise(points(&|i| 3.0 - 0.02 * i), 0.1), Completed, "only falls"),
            ("only falling, data at an end", points(&|i| 3.0 - 0.02 * i), OutOfData, "only falls"),
            ("only rising", points(&|i| 0.5 + 0.01 * i), Completed, "does not fall before it rises"),
            ("constant, then diverging", flat_then_diverging, Diverged, "does not fall before it rises"),
            ("three points", valley(3), Diverged, "0 of 3 points"),
            ("NaN at point 2", until_nan(2), NonFinite, "is NaN at point 2 (rate 1.45e-7)"),
            ("NaN at once", until_nan(0), NonFinite, "is NaN at point 0 (rate 1.00e-7)"),
            ("NaN everywhere", vec![f64::NAN; 101], NonFinite, "is NaN at point 0"),
            ("NaN after a whole valley", until_nan(90), NonFinite, ""),
            ("negative losses", points(&|i| valley_at(ramp(101)[i as usize]) - 9.0), Completed, ""),
            ("losses around zero", points(&|i| valley_at(ramp(101)[i as usize]) - 0.5), Completed, ""),
            ("two valleys", two_valleys, Diverged, ""),
            ("noisy, but a valley", with_noise(valley(101), 0.3), Diverged, ""),
        ];
        for (name, losses, stopped, expected) in cases {
            let curve = raw(losses, stopped);
            for rule in Rule::ALL {
                match curve.suggestion(rule) {
                    Ok(found) => assert!(expected.is_empty() && found.lr > 0.0, "{name}, {rule}: {}", found.lr),
                    Err(reason) => {
                        let text = reason.to_string();
                        assert!(!expected.is_empty() && text.contains(expected), "{name}, {rule}: {text}");
                        // A reason says what to do.
                        let advice =
                            ["take more steps", "start at a lower rate", "raise end_lr", "start them over", "look for"];
                        assert!(advice.iter().any(|words| text.contains(words)), "{name}, {rule}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn fields_that_make_no_curve_are_refused() {
        let mut curve = raw(valley(101), SweepEnd::Completed);
        curve.smoothed.pop();
        assert_eq!(curve.suggestion(Rule::Valley), Err(NoSuggestion::Unequal { lrs: 101, losses: 100 }));
    }

    #[test]
    fn negative_losses_are_judged_like_others() {
        let losses: Vec<f64> = valley(101).iter().map(|loss| loss - 5.0).collect();
        let (shifted, plain) = (raw(losses, SweepEnd::Completed), raw(valley(101), SweepEnd::Completed));
        for rule in [Rule::Valley, Rule::Minimum] {
            assert_eq!(shifted.suggestion(rule), plain.suggestion(rule));
        }
    }

    #[test]
    fn no_curve_makes_it_panic() {
        let numbers = [0.0, -1.0, 1.0, 2.5, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 5e-324];
        for seed in 0..5000_u64 {
            let n = seed as usize % 60;
            let pick =
                |i: usize, k: u64| numbers[((seed * 31 + i as u64 * k + (i as u64 * i as u64) % 7) % 9) as usize];
            let losses: Vec<f64> =
                (0..n).map(|i| if seed % 3 == 0 { pick(i, 5) } else { (i as f64 * 0.3).sin() }).collect();
            let lrs = if seed % 5 == 0 { (0..n).map(|i| pick(i, 3)).collect() } else { ramp(n) };
            let curve =
                LrCurve::new(lrs, losses.clone(), losses, SweepEnd::Completed, 20).skip(n / 3, seed as usize % 70);
            for rule in Rule::ALL {
                if let Ok(found) = curve.suggestion(rule) {
                    assert!(curve.lrs.iter().any(|lr| *lr == found.lr || lr / 10.0 == found.lr));
                }
                assert!(curve.to_json(rule).is_object());
            }
        }
    }

    #[test]
    fn json_has_the_documented_shape() {
        let json = raw(valley(101), SweepEnd::Completed).to_json(Rule::Valley);
        assert_eq!(json["lrs"].as_array().unwrap().len(), 101);
        assert_eq!(json["smoothed"], json["losses"]);
        assert_eq!((&json["stopped"], &json["reason"]), (&"completed".into(), &serde_json::Value::Null));
        assert_eq!(json["suggestion"]["rule"], "valley");
        assert!(json["suggestion"]["lr"].is_f64() && json.get("valid").is_none());

        let mut losses = vec![1.0; 20];
        losses[19] = f64::NAN;
        let json = raw(losses, SweepEnd::NonFinite).to_json(Rule::Steepest);
        assert_eq!((&json["stopped"], &json["suggestion"]), (&"non_finite".into(), &serde_json::Value::Null));
        assert_eq!(json["losses"][19], serde_json::Value::Null);
        assert!(json["reason"].as_str().unwrap().contains("points"));
    }
}
