//! The result of a study: the ranking, and what `compare.json` holds.

use serde::Serialize;

use crate::{
    contender::Contender,
    rate::{RateChoice, Trial},
    run::{Run, RunState},
};

/// What a study was asked to do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Setup {
    /// CONFIG.
    pub config: String,
    /// The model.
    pub model: String,
    /// The data set; a part is called a part.
    pub dataset: String,
    /// The device.
    pub device: String,
    /// The seeds, the same for every contender.
    pub seeds: Vec<u64>,
    /// How the rates were chosen: `config`, `find`, or the grid as it was given.
    pub rates: RateChoice,
    /// The validation accuracy that the time is taken to, in percent; `None` chooses it from what was reached.
    #[serde(skip)]
    pub given_target: Option<f64>,
}

/// All figures of a study; `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// What was asked for.
    #[serde(flatten)]
    pub setup: Setup,
    /// The validation accuracy that the time is taken to; `None` where no run has validated.
    pub target: Option<Target>,
    /// What the choice of the rates cost.
    pub tuning_cost: TuningCost,
    /// The contenders, best first: those whose runs are all finished by their mean test accuracy, then the others.
    pub contenders: Vec<Contender>,
    /// What was said and had no effect.
    pub warnings: Vec<String>,
    /// Whether all runs have ended.
    pub complete: bool,
}

/// The accuracy that the time is taken to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Target {
    /// On the validation set, in percent.
    pub accuracy: f64,
    /// Whether it was given before the runs. Else it was chosen from what was reached: the lowest, over all runs that
    /// finished, of the best validation accuracy, rounded down to a tenth. So every run has a time, but for one whose best
    /// is below half of the best of all: it learnt nothing, and a target that it reached would say nothing of the others.
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
    pub fn new(setup: Setup, mut contenders: Vec<Contender>) -> Self {
        contenders.sort_by(|a, b| {
            let ((a_lacks, a), (b_lacks, b)) = (a.rank(), b.rank());
            a_lacks.cmp(&b_lacks).then(a.total_cmp(&b))
        });
        let given = setup.given_target.map(|accuracy| Target { accuracy, given: true });
        let target = given.or_else(|| Target::of(&contenders));
        if let Some(target) = target {
            for contender in &mut contenders {
                contender.time_to(target.accuracy);
            }
        }
        if let Some((first, others)) = contenders.split_first_mut() {
            for other in others {
                other.compare_with(first);
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
        // Strings, numbers and maps with string keys always have a JSON form; what is not finite is null.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The runs of all contenders.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.contenders.iter().flat_map(|contender| &contender.runs)
    }
}

impl Target {
    /// What every finished run has reached.
    fn of(contenders: &[Contender]) -> Option<Self> {
        let best = contenders.iter().filter_map(|contender| contender.best_valid_accuracy.as_ref());
        let reached: Vec<f64> = best.flat_map(|spread| &spread.values).copied().collect();
        let top = reached.iter().copied().reduce(f64::max)?;
        let lowest = reached.into_iter().filter(|accuracy| !is_hopeless(*accuracy, top)).reduce(f64::min)?;
        Some(Self { accuracy: floor_to_tenth(lowest), given: false })
    }
}

impl TuningCost {
    fn of(contenders: &[Contender]) -> Self {
        let rates = || contenders.iter().filter_map(|contender| contender.rate.as_ref());
        let trials: Vec<&Trial> =
            rates().flat_map(|rate| &rate.trials).filter(|trial| trial.state != RunState::Missing).collect();
        let sweeps = || rates().filter_map(|rate| rate.sweep.as_ref());
        Self {
            runs: trials.len() as u64,
            steps: trials.iter().map(|trial| trial.steps).sum::<u64>() + sweeps().map(|sweep| sweep.steps).sum::<u64>(),
            seconds: trials.iter().map(|trial| trial.seconds).sum::<f64>()
                + sweeps().map(|sweep| sweep.seconds).sum::<f64>(),
        }
    }
}

/// Whether a best accuracy is that of a run that learnt nothing, where the best of all runs is `top`.
pub(crate) fn is_hopeless(accuracy: f64, top: f64) -> bool {
    accuracy < 0.5 * top
}

/// Rounded down to a tenth; what is a tenth already stays one.
fn floor_to_tenth(value: f64) -> f64 {
    (value * 10.0 + 1e-9).floor() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunLog;

    #[test]
    fn the_target_is_a_tenth_that_was_reached() {
        for (value, expected) in [(97.38, 97.3), (97.3, 97.3), (97.299_999, 97.2), (0.05, 0.0), (100.0, 100.0)] {
            assert_eq!(floor_to_tenth(value), expected, "{value}");
        }
    }

    #[test]
    fn every_finished_run_reaches_the_chosen_target() {
        let run = |state, accuracy| {
            let log = RunLog { valid_accuracy: (vec![10.0], vec![accuracy]), ..RunLog::default() };
            Run::new(1, "", state, None, log)
        };
        let contenders = vec![
            Contender::new("a", vec![run(RunState::Finished, 97.38)]),
            Contender::new("b", vec![run(RunState::Finished, 98.0), run(RunState::Failed, 12.0)]),
            Contender::new("learnt nothing", vec![run(RunState::Finished, 12.5)]),
        ];
        let study = Study::new(Setup::default(), contenders);
        assert_eq!(study.target, Some(Target { accuracy: 97.3, given: false }));
        let reached: Vec<_> = study.contenders.iter().filter_map(|one| one.to_target.as_ref()).collect();
        assert_eq!((reached[0].reached, reached[0].of, reached[0].steps), (1, 1, Some(10.0)));
        assert_eq!((reached[1].reached, reached[1].of, reached[1].steps), (0, 1, None), "the one that learnt nothing");
        assert_eq!((reached[2].reached, reached[2].of, reached[2].steps), (1, 2, None));
        assert!(!study.complete, "no rate is known");
        assert!(!Study::new(Setup::default(), Vec::new()).complete);
    }
}
