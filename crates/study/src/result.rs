//! The result of a study: the ranking, and what `compare.json` holds.

use serde::Serialize;

use crate::{
    contender::Contender,
    measure::Measure,
    rate::{RateChoice, Trial},
    run::{Run, RunStatus},
};

/// What a study was asked to do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StudySetup {
    /// CONFIG.
    pub config: String,
    /// The model.
    pub model: String,
    /// The data set; a part is called a part.
    pub dataset: String,
    /// What runs are compared by.
    pub measure: Measure,
    /// The device.
    pub device: String,
    /// The seeds, the same for every contender.
    pub seeds: Vec<u64>,
    /// How the rates were chosen: `config`, `find`, or the grid as it was given.
    pub rates: RateChoice,
    /// The measure on the validation set that the time is taken to; `None` chooses it from what was reached.
    #[serde(skip)]
    pub given_target: Option<f64>,
}

/// All figures of a study; `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// What was asked for.
    #[serde(flatten)]
    pub setup: StudySetup,
    /// The measure on the validation set that the time is taken to; `None` where no run has validated.
    pub target: Option<TimeTarget>,
    /// What the choice of the rates cost.
    pub tuning_cost: TuningCost,
    /// The contenders, best first: those whose runs are all finished by their mean on the test set, then the others.
    pub contenders: Vec<Contender>,
    /// What was said and had no effect.
    pub warnings: Vec<String>,
    /// Whether all runs have ended.
    pub complete: bool,
}

/// The value that the time is taken to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimeTarget {
    /// Of the measure, on the validation set; in JSON `accuracy`, or whatever it is called.
    #[serde(rename = "MEASURE")]
    pub value: f64,
    /// Whether it was given before the runs. Else it was chosen from what was reached: the worst, over all runs that
    /// finished, of the best value, rounded to a tenth of a percent or to three digits so that it was reached. So every run
    /// has a time, but for one whose best is below half of the best of all (above twice, where the lowest is the best): it
    /// learnt nothing, and a target that it reached would say nothing of the others.
    pub given: bool,
}

/// What the choice of the rates cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct TuningCost {
    /// Runs of the grids.
    pub runs: u64,
    /// Optimizer steps, those of the finder's sweeps included.
    pub steps: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Study {
    /// Ranks the contenders and compares each with the first.
    pub fn new(setup: StudySetup, mut contenders: Vec<Contender>) -> Self {
        contenders.sort_by(|a, b| {
            let ((a_lacks, a), (b_lacks, b)) = (a.rank(&setup.measure), b.rank(&setup.measure));
            a_lacks.cmp(&b_lacks).then(a.total_cmp(&b))
        });
        let given = setup.given_target.map(|value| TimeTarget { value, given: true });
        let target = given.or_else(|| TimeTarget::of(&contenders, &setup.measure));
        if let Some(target) = target {
            for contender in &mut contenders {
                contender.time_to(target.value);
            }
        }
        if let Some((first, others)) = contenders.split_first_mut() {
            for other in others {
                other.compare_with(first, &setup.measure);
            }
        }
        let mut runs = contenders.iter().flat_map(|contender| &contender.runs);
        let have_rates = !contenders.is_empty() && contenders.iter().all(|contender| contender.rate.is_some());
        Self {
            setup,
            target,
            tuning_cost: TuningCost::of(&contenders),
            warnings: contenders.iter().flat_map(|contender| contender.warnings.clone()).collect(),
            complete: have_rates && runs.all(|run| run.state.has_ended()),
            contenders,
        }
    }

    /// As pretty-printed JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys always have a JSON form; what is not finite is null. The fields that
        // hold the measure bear its name; in a text there is a backslash before a quotation mark.
        let json = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        json.replace("MEASURE\":", &format!("{}\":", self.setup.measure.name))
    }

    /// The contenders with the best mean on the test set; none where all are equal, or none has finished.
    pub(crate) fn best(&self) -> Vec<&Contender> {
        let rank = |one: &Contender| one.rank(&self.setup.measure);
        let Some(first) = self.contenders.first().filter(|first| first.test.is_some()) else { return Vec::new() };
        let best: Vec<&Contender> = self.contenders.iter().filter(|one| rank(one) == rank(first)).collect();
        self.unless_all(best)
    }

    /// The contenders with the fewest steps to the target, and these; none where all are equal.
    pub(crate) fn quickest(&self) -> (Vec<&Contender>, Option<f64>) {
        let steps = |one: &Contender| one.to_target.as_ref()?.steps;
        let least = self.contenders.iter().filter_map(steps).reduce(f64::min);
        let quickest = self.contenders.iter().filter(|one| least.is_some() && steps(one) == least).collect();
        (self.unless_all(quickest), least)
    }

    /// What is true of all of several contenders sets none of them apart.
    fn unless_all<'s>(&self, some: Vec<&'s Contender>) -> Vec<&'s Contender> {
        if some.len() > 1 && some.len() == self.contenders.len() { Vec::new() } else { some }
    }

    /// How many runs have failed.
    pub(crate) fn failed(&self) -> usize {
        self.contenders.iter().map(|contender| contender.failed).sum()
    }

    /// The runs of all contenders.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.contenders.iter().flat_map(|contender| &contender.runs)
    }
}

impl TimeTarget {
    /// What every finished run has reached.
    fn of(contenders: &[Contender], measure: &Measure) -> Option<Self> {
        let best = contenders.iter().filter_map(|contender| contender.best_valid.as_ref());
        let reached: Vec<f64> = best.flat_map(|spread| &spread.values).copied().collect();
        let top = reached.iter().copied().reduce(|a, b| measure.better(a, b))?;
        let hopeful = reached.into_iter().filter(|value| !measure.is_hopeless(*value, top));
        let worst = hopeful.reduce(|a, b| if measure.is_better(a, b) { b } else { a })?;
        Some(Self { value: measure.just_short_of(worst), given: false })
    }
}

impl TuningCost {
    fn of(contenders: &[Contender]) -> Self {
        let rates = || contenders.iter().filter_map(|contender| contender.rate.as_ref());
        let trials: Vec<&Trial> =
            rates().flat_map(|rate| &rate.trials).filter(|trial| trial.state != RunStatus::Missing).collect();
        let sweeps = || rates().filter_map(|rate| rate.sweep.as_ref());
        Self {
            runs: trials.len() as u64,
            steps: trials.iter().map(|trial| trial.steps).sum::<u64>() + sweeps().map(|sweep| sweep.steps).sum::<u64>(),
            seconds: trials.iter().map(|trial| trial.seconds).sum::<f64>()
                + sweeps().map(|sweep| sweep.seconds).sum::<f64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunLog;

    #[test]
    fn equals_share_a_place_and_where_all_are_equal_there_is_none() {
        use RunStatus::{Failed, Finished};
        let study = |of: &[(&'static str, RunStatus, f64)]| {
            let contender = |(name, state, accuracy): &(&'static str, RunStatus, f64)| {
                let test = (*state == Finished).then_some(*accuracy);
                let log = RunLog { valid: (vec![10.0], vec![*accuracy]), test, ..RunLog::default() };
                let error = (*state == Failed).then(|| "the loss became NaN".to_owned());
                let (source, lr) = (crate::RateSource::Config, Some(0.1));
                Contender {
                    rate: Some(crate::Rate { source, lr, max_lr: None, sweep: None, trials: Vec::new() }),
                    ..Contender::new(*name, vec![Run::new(1, *name, *state, error, log)])
                }
            };
            Study::new(StudySetup { seeds: vec![1], ..StudySetup::default() }, of.iter().map(contender).collect())
        };
        let equal = study(&[("a", Finished, 97.0), ("b", Finished, 97.0)]);
        assert_eq!((equal.results_table().marked, equal.speeds_table().marked), (vec![], vec![]));
        let html = equal.page(String::new()).to_html().expect("a page");
        assert!(!html.contains("First at") && !html.contains("Best on the test set"), "{html}");
        assert!(html.contains(">finished</span>") && html.contains("2 of 2 finished"), "{html}");

        let one_failed = study(&[("a", Finished, 97.0), ("b", Finished, 97.0), ("c", Failed, 12.0)]);
        assert_eq!((one_failed.results_table().marked, one_failed.speeds_table().marked), (vec![0, 1], vec![0, 1]));
        let html = one_failed.page(String::new()).to_html().expect("a page");
        for part in ["finished, 1 run failed</span>", "2 of 3 finished", "<dd>a, b</dd>", "1 run failed (loss"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        // Why stands below the table, not in its column.
        assert!(html.contains("<td class=\"text\">failed</td>"), "{html}");
        assert!(html.contains("<dt>c</dt><dd>the loss became NaN</dd>"), "{html}");

        let all_failed = study(&[("a", Failed, 12.0), ("b", Failed, 11.0)]);
        assert!(all_failed.results_table().marked.is_empty());
        assert!(all_failed.page(String::new()).to_html().expect("a page").contains(">failed</span>"));
    }

    #[test]
    fn every_finished_run_reaches_the_chosen_target() {
        let run = |state, accuracy| {
            let log = RunLog { valid: (vec![10.0], vec![accuracy]), ..RunLog::default() };
            Run::new(1, "", state, None, log)
        };
        let contenders = vec![
            Contender::new("a", vec![run(RunStatus::Finished, 97.38)]),
            Contender::new("b", vec![run(RunStatus::Finished, 98.0), run(RunStatus::Failed, 12.0)]),
            Contender::new("learnt nothing", vec![run(RunStatus::Finished, 12.5)]),
        ];
        let study = Study::new(StudySetup::default(), contenders);
        assert_eq!(study.target, Some(TimeTarget { value: 97.3, given: false }));
        let reached: Vec<_> = study.contenders.iter().filter_map(|one| one.to_target.as_ref()).collect();
        assert_eq!((reached[0].reached, reached[0].of, reached[0].steps), (1, 1, Some(10.0)));
        assert_eq!((reached[1].reached, reached[1].of, reached[1].steps), (0, 1, None), "the one that learnt nothing");
        assert_eq!((reached[2].reached, reached[2].of, reached[2].steps), (1, 2, None));
        assert!(!study.complete, "no rate is known");
        assert_eq!(study.failed(), 1);
        assert!(!Study::new(StudySetup::default(), Vec::new()).complete);
    }
}
