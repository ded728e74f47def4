//! A contender: its runs, one for each seed, and their statistics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    measure::Measure,
    rate::Rate,
    run::{Run, RunStatus},
    spread::{Spread, median},
};

/// One of those that are compared, with its figures.
///
/// [`new`](Self::new) computes what its own runs tell; what depends on the others ([`behind_first`](Self::behind_first),
/// [`to_target`](Self::to_target)) is set by [`Study::new`](crate::Study::new).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// Its file; `None` for CONFIG itself, perhaps with one other setting.
    pub file: Option<String>,
    /// The setting that it has otherwise than CONFIG.
    pub variation: Option<String>,
    /// The optimizer.
    pub optimizer: String,
    /// The schedule.
    pub schedule: String,
    /// The rate that it was trained at; `None` where it has not been chosen yet.
    pub rate: Option<Rate>,
    /// Runs that came to their end.
    pub finished: usize,
    /// Runs whose numbers stopped being finite.
    pub failed: usize,
    /// The measure on the test set at each run's end; in JSON `test_accuracy`, or whatever it is called.
    #[serde(rename = "test_MEASURE")]
    pub test: Option<Spread>,
    /// How far it is behind the first contender.
    pub behind_first: Option<Gap>,
    /// The best measure of each run on the validation set.
    #[serde(rename = "best_valid_MEASURE")]
    pub best_valid: Option<Spread>,
    /// The mean training loss of each run's last epoch.
    pub final_train_loss: Option<Spread>,
    /// Steps and seconds to the target.
    pub to_target: Option<TimeToTarget>,
    /// Training items per second, the mean over the runs.
    pub items_per_second: Option<f64>,
    /// Each seed's run.
    pub runs: Vec<Run>,
    /// What its file says that has no effect.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// How far a contender is behind the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// By how much the first's measure on the test set is better (of an accuracy in percentage points): the mean over the
    /// seeds that both have finished.
    pub mean: f64,
    /// The sample standard deviation of these differences; `None` for one seed.
    pub std: Option<f64>,
    /// How many seeds.
    pub seeds: usize,
}

/// Steps and seconds to the target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeToTarget {
    /// How many runs reached it.
    pub reached: usize,
    /// Of how many.
    pub of: usize,
    /// The median step of the first validation at the target; a run that never reached it counts as later than all
    /// others. `None` where the median is such a run.
    pub steps: Option<f64>,
    /// The same for seconds.
    pub seconds: Option<f64>,
}

impl Contender {
    /// A contender with the statistics of its runs; file, variation, optimizer, schedule, rate and warnings are left empty.
    pub fn new(name: impl Into<String>, runs: Vec<Run>) -> Self {
        let count = |state: RunStatus| runs.iter().filter(|run| run.state == state).count();
        let spread = |figure: fn(&Run) -> Option<f64>| {
            Spread::of(runs.iter().filter(|run| run.state == RunStatus::Finished).filter_map(figure).collect())
        };
        Self {
            name: name.into(),
            file: None,
            variation: None,
            optimizer: String::new(),
            schedule: String::new(),
            rate: None,
            finished: count(RunStatus::Finished),
            failed: count(RunStatus::Failed),
            test: spread(|run| run.test),
            behind_first: None,
            best_valid: spread(|run| run.best_valid),
            final_train_loss: spread(|run| run.final_train_loss),
            to_target: None,
            items_per_second: spread(|run| run.items_per_second).map(|spread| spread.mean),
            runs,
            warnings: Vec::new(),
        }
    }

    /// Sets the time to a value of the measure on the validation set, of each run and of all. A run that failed had its chance and did not get
    /// there; one that has not ended still may, so it does not count.
    pub(crate) fn time_to(&mut self, target: f64) {
        for run in &mut self.runs {
            run.time_to(target);
        }
        let ended: Vec<&Run> = self.runs.iter().filter(|run| run.state.has_ended()).collect();
        let of_all = |time: fn(&Run) -> Option<f64>| median(&ended.iter().map(|run| time(run)).collect::<Vec<_>>());
        self.to_target = (!ended.is_empty()).then(|| TimeToTarget {
            reached: ended.iter().filter(|run| run.target_step.is_some()).count(),
            of: ended.len(),
            steps: of_all(|run| run.target_step.map(|step| step as f64)),
            seconds: of_all(|run| run.target_seconds),
        });
    }

    /// Sets how far it is behind the first, seed by seed.
    pub(crate) fn compare_with(&mut self, first: &Self, measure: &Measure) {
        let (first, own) = (first.test_by_seed(), self.test_by_seed());
        let differences = first.into_iter().filter_map(|(seed, value)| Some(measure.behind(*own.get(&seed)?, value)));
        self.behind_first = Spread::of(differences.collect()).map(|spread| Gap {
            mean: spread.mean,
            std: spread.std,
            seeds: spread.values.len(),
        });
    }

    fn test_by_seed(&self) -> BTreeMap<u64, f64> {
        let finished = self.runs.iter().filter(|run| run.state == RunStatus::Finished);
        finished.filter_map(|run| Some((run.seed, run.test?))).collect()
    }

    /// What contenders are sorted by, ascending: those with all runs finished first, then by the mean of the measure on
    /// the test set.
    pub(crate) fn rank(&self, measure: &Measure) -> (bool, f64) {
        let is_whole = self.finished == self.runs.len() && !self.runs.is_empty();
        (!is_whole, measure.rank(self.test.as_ref().map(|spread| spread.mean)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(runs: &[(u64, RunStatus, Option<f64>)]) -> Contender {
        let run = |(seed, state, test_accuracy): &(u64, RunStatus, Option<f64>)| Run {
            seed: *seed,
            state: *state,
            test: *test_accuracy,
            ..Run::default()
        };
        Contender::new("a", runs.iter().map(run).collect())
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        use RunStatus::{Failed, Finished};
        let first = contender(&[(1, Finished, Some(98.0)), (2, Finished, Some(97.0)), (3, Failed, None)]);
        let mut other = contender(&[(1, Finished, Some(97.0)), (2, Finished, Some(94.0)), (3, Finished, Some(99.0))]);
        other.compare_with(&first, &Measure::default());
        // 1 and 3: mean 2, deviations 1 and 1, over n - 1 = 1: the root of 2.
        assert_eq!(other.behind_first, Some(Gap { mean: 2.0, std: Some(2.0_f64.sqrt()), seeds: 2 }));
    }

    #[test]
    fn one_with_failures_stands_behind_one_without() {
        use RunStatus::{Failed, Finished};
        let good = contender(&[(1, Finished, Some(50.0))]);
        let failed = contender(&[(1, Finished, Some(99.0)), (2, Failed, None)]);
        let rank = |one: &Contender| one.rank(&Measure::default());
        assert!(rank(&good) < rank(&failed));
        let better = contender(&[(1, Finished, Some(60.0))]);
        assert!(rank(&better) < rank(&good));
        assert!(better.rank(&Measure::loss()) > good.rank(&Measure::loss()));
    }
}
