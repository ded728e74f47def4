//! The figures of a comparison: what `compare.json` holds and the page shows.

use std::collections::BTreeMap;

use serde::Serialize;
use trainer::Phase;

use super::{CompareRequest, Entry, rates::Rated, runs::State};
use crate::{config::Config, experiment::RunRecord};

/// All figures of a comparison; `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
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
    pub rates: String,
    /// The validation accuracy that the time is taken to; `None` where no run has validated.
    pub target: Option<Target>,
    /// What the choice of the rates cost.
    pub tuning_cost: TuningCost,
    /// The contenders, best first: those whose runs have all ended well by their mean test accuracy, then the others.
    pub contenders: Vec<Standing>,
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
    /// Given before; else it was chosen from what was reached: the lowest, over all runs that finished, of the best
    /// validation accuracy, rounded down to a tenth. So every run has a time.
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

/// A contender's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its file; `None` for CONFIG itself.
    pub file: Option<String>,
    /// The optimizer.
    pub optimizer: String,
    /// The schedule.
    pub schedule: String,
    /// The rate that it was trained at.
    pub rate: Option<RateFigures>,
    /// Runs that came to their end.
    pub finished: usize,
    /// Runs whose numbers stopped being finite.
    pub failed: usize,
    /// Accuracy on the test set, in percent, at each run's end.
    pub test_accuracy: Option<Spread>,
    /// How far it is behind the first contender.
    pub behind_first: Option<Behind>,
    /// The best validation accuracy of each run, in percent.
    pub best_valid_accuracy: Option<Spread>,
    /// The mean training loss of each run's last epoch.
    pub final_train_loss: Option<Spread>,
    /// Steps and seconds to the target.
    pub to_target: Option<ToTarget>,
    /// Training items per second, the mean over the runs.
    pub items_per_second: Option<f64>,
    /// Each seed's run.
    pub runs: Vec<RunFigures>,
}

/// The rate that a contender was trained at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateFigures {
    /// `config`, `find` or `grid`.
    pub from: &'static str,
    /// `[optimizer] lr`; `None` where no rate of a grid could be trained at.
    pub lr: Option<f64>,
    /// The schedule's own `max_lr`, where it has one: then it sets the rate itself.
    pub max_lr: Option<f64>,
    /// Steps of the finder's sweeps.
    pub sweep_steps: Option<u64>,
    /// The runs of a grid.
    pub tried: Vec<Tried>,
}

/// A run at a rate of a grid.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Tried {
    /// The rate.
    pub lr: f64,
    /// Its folder, inside the comparison's.
    pub folder: String,
    /// `finished`, `failed`, `interrupted`, `missing`.
    pub state: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// The highest validation accuracy, in percent.
    pub best_valid_accuracy: Option<f64>,
    /// The lowest validation loss.
    pub best_valid_loss: Option<f64>,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds.
    pub seconds: f64,
    /// Whether this is the rate that was chosen.
    pub chosen: bool,
}

/// A run's figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RunFigures {
    /// The seed.
    pub seed: u64,
    /// Its folder, inside the comparison's.
    pub folder: String,
    /// `finished`, `failed`, `interrupted`, `missing`.
    pub state: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// Accuracy on the test set, in percent.
    pub test_accuracy: Option<f64>,
    /// Loss on the test set.
    pub test_loss: Option<f64>,
    /// The highest validation accuracy, in percent.
    pub best_valid_accuracy: Option<f64>,
    /// The step it was measured at.
    pub best_step: Option<u64>,
    /// The loss of the first logged step.
    pub first_train_loss: Option<f64>,
    /// The mean training loss of the last epoch.
    pub final_train_loss: Option<f64>,
    /// The step of the first validation at the target or above.
    pub target_step: Option<u64>,
    /// Seconds of training until then, as far as the log tells.
    pub target_seconds: Option<f64>,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of the whole run.
    pub seconds: Option<f64>,
    /// Training items per second.
    pub items_per_second: Option<f64>,
}

/// Values of several seeds, and how far they lie apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1 below the fraction); `None` of one value.
    pub std: Option<f64>,
    /// The values, in the order of the seeds.
    pub values: Vec<f64>,
}

/// How far a contender is behind the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Behind {
    /// The mean, over the seeds that both have ended with, of the first's test accuracy less this one's, in percentage
    /// points.
    pub mean: f64,
    /// The sample standard deviation of these differences; `None` of one seed.
    pub std: Option<f64>,
    /// How many seeds.
    pub seeds: usize,
}

/// Steps and seconds to the target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToTarget {
    /// How many runs reached it.
    pub reached: usize,
    /// Of how many.
    pub of: usize,
    /// The median step of the first validation at the target, a run that never reached it counted as never; `None` where
    /// the median is never.
    pub steps: Option<f64>,
    /// The same for seconds.
    pub seconds: Option<f64>,
}

impl Spread {
    /// Mean and sample standard deviation; `None` of no values.
    pub fn of(values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Some(Self { mean, std, values })
    }
}

/// The median, where what never happens is `None` and counts as later than everything else; `None` where the median is
/// never.
fn median(times: &[Option<f64>]) -> Option<f64> {
    let mut times: Vec<f64> = times.iter().map(|time| time.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    let (low, high) = (times.get(times.len().checked_sub(1)? / 2)?, times.get(times.len() / 2)?);
    Some(f64::midpoint(*low, *high)).filter(|median| median.is_finite())
}

/// Rounded down to a tenth; what is a tenth already stays one.
fn floor_to_tenth(value: f64) -> f64 {
    (value * 10.0 + 1e-9).floor() / 10.0
}

/// The first step at which a curve is at the target or above.
fn first_at(curve: &(Vec<f64>, Vec<f64>), target: f64) -> Option<u64> {
    let reached = |value: f64| value >= target - 1e-9;
    curve.0.iter().zip(&curve.1).find(|(_, value)| reached(**value)).map(|(step, _)| *step as u64)
}

fn lowest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::min)
}

impl Tried {
    pub(super) fn new(lr: f64, folder: String, state: &State, record: Option<&RunRecord>) -> Self {
        let run = RunFigures::new(0, folder, state, record, None);
        Self {
            lr,
            folder: run.folder,
            state: run.state,
            error: run.error,
            best_valid_accuracy: run.best_valid_accuracy,
            best_valid_loss: record.and_then(|run| lowest(&run.curve(Phase::Valid, None, "loss").1)),
            steps: run.steps,
            seconds: run.seconds.unwrap_or(0.0),
            chosen: false,
        }
    }
}

impl RunFigures {
    fn new(seed: u64, folder: String, state: &State, record: Option<&RunRecord>, target: Option<f64>) -> Self {
        let error = if let State::Failed(message) = state { Some(message.clone()) } else { None };
        let bare = Self { seed, folder, state: state.name(), error, ..Self::default() };
        let Some(run) = record else { return bare };
        let best = run.best("accuracy");
        let steps = run.curve(Phase::Train, Some("step"), "loss").1;
        let epochs = run.curve(Phase::Train, Some("epoch"), "loss").1;
        let target_step = target.and_then(|target| first_at(&run.curve(Phase::Valid, None, "accuracy"), target));
        let ended = run.ended.as_ref();
        Self {
            test_accuracy: run.test("accuracy"),
            test_loss: run.test("loss"),
            best_valid_accuracy: best.map(|(_, value)| value),
            best_step: best.map(|(step, _)| step),
            first_train_loss: steps.first().copied(),
            final_train_loss: epochs.last().or(steps.last()).copied(),
            target_step,
            target_seconds: target_step.and_then(|step| run.seconds_at(step)),
            steps: run.steps(),
            seconds: ended
                .map_or_else(|| run.seconds_at(run.steps()), |ended| Some(ended.elapsed.unwrap_or(ended.seconds))),
            items_per_second: ended.map(|ended| ended.items_per_second),
            ..bare
        }
    }
}

impl RateFigures {
    fn new(rated: &Rated) -> Self {
        let max_lr = rated.config.as_ref().and_then(|config| config.schedule.to_table().get("max_lr")?.as_float());
        Self {
            from: rated.from,
            lr: rated.config.as_ref().map(|config| config.optimizer.lr()),
            max_lr,
            sweep_steps: rated.swept.as_ref().map(super::rates::Swept::steps),
            tried: rated.tried.clone(),
        }
    }
}

impl Standing {
    fn new(entry: &Entry, target: Option<Target>) -> Self {
        let accuracy = target.map(|target| target.accuracy);
        let name = &entry.contender.name;
        let runs: Vec<RunFigures> = entry
            .runs
            .iter()
            .map(|(seed, state, record)| {
                RunFigures::new(*seed, format!("{name}/seed-{seed}"), state, record.as_ref(), accuracy)
            })
            .collect();
        let all = |figure: &dyn Fn(&RunFigures) -> Option<f64>| -> Vec<f64> {
            runs.iter().filter(|run| run.state == "finished").filter_map(figure).collect()
        };
        // A run that failed has had its time and did not get there; one that has not ended may yet.
        let over: Vec<&RunFigures> = runs.iter().filter(|run| ["finished", "failed"].contains(&run.state)).collect();
        let times = |figure: &dyn Fn(&RunFigures) -> Option<f64>| -> Option<f64> {
            median(&over.iter().map(|run| figure(run)).collect::<Vec<_>>())
        };
        let to_target = accuracy.filter(|_| !over.is_empty()).map(|_| ToTarget {
            reached: over.iter().filter(|run| run.target_step.is_some()).count(),
            of: over.len(),
            steps: times(&|run| run.target_step.map(|step| step as f64)),
            seconds: times(&|run| run.target_seconds),
        });
        let config = entry.rate.as_ref().and_then(|rate| rate.config.as_ref()).unwrap_or(&entry.contender.config);
        Self {
            name: name.clone(),
            file: entry.contender.file.as_ref().map(|file| file.display().to_string()),
            optimizer: config.optimizer.type_name().to_owned(),
            schedule: config.schedule.type_name().to_owned(),
            rate: entry.rate.as_ref().map(RateFigures::new),
            finished: runs.iter().filter(|run| run.state == "finished").count(),
            failed: runs.iter().filter(|run| run.state == "failed").count(),
            test_accuracy: Spread::of(all(&|run| run.test_accuracy)),
            behind_first: None,
            best_valid_accuracy: Spread::of(all(&|run| run.best_valid_accuracy)),
            final_train_loss: Spread::of(all(&|run| run.final_train_loss)),
            to_target,
            items_per_second: Spread::of(all(&|run| run.items_per_second)).map(|spread| spread.mean),
            runs,
        }
    }

    /// Sets how far it is behind another, seed by seed.
    fn set_behind(&mut self, first: &[RunFigures]) {
        let of = |runs: &[RunFigures]| -> BTreeMap<u64, f64> {
            let finished = runs.iter().filter(|run| run.state == "finished");
            finished.filter_map(|run| Some((run.seed, run.test_accuracy?))).collect()
        };
        let mine = of(&self.runs);
        let differences = of(first).into_iter().filter_map(|(seed, value)| Some(value - mine.get(&seed)?));
        self.behind_first = Spread::of(differences.collect()).map(|spread| Behind {
            mean: spread.mean,
            std: spread.std,
            seeds: spread.values.len(),
        });
    }

    /// What it is sorted by, the best first: without failures, then by mean test accuracy.
    fn rank(&self) -> (bool, f64) {
        let is_whole = self.finished == self.runs.len() && !self.runs.is_empty();
        (!is_whole, -self.test_accuracy.as_ref().map_or(f64::NEG_INFINITY, |spread| spread.mean))
    }
}

impl Figures {
    /// Of the runs that there are; sorts the entries as the contenders are.
    pub(super) fn of(request: &CompareRequest, base: &Config, seeds: &[u64], entries: &mut [Entry]) -> Self {
        let given = request.target.map(|accuracy| Target { accuracy, given: true });
        let target = given.or_else(|| {
            let without_target = entries.iter().map(|entry| Standing::new(entry, None));
            let best: Vec<f64> =
                without_target.filter_map(|of| Some(of.best_valid_accuracy?.values)).flatten().collect();
            lowest(&best).map(|accuracy| Target { accuracy: floor_to_tenth(accuracy), given: false })
        });
        let rank = |entry: &Entry| Standing::new(entry, None).rank();
        entries.sort_by(|a, b| {
            let ((a_lacks, a), (b_lacks, b)) = (rank(a), rank(b));
            a_lacks.cmp(&b_lacks).then(a.total_cmp(&b))
        });
        let mut contenders: Vec<Standing> = entries.iter().map(|entry| Standing::new(entry, target)).collect();
        if let Some((first, others)) = contenders.split_first_mut() {
            for other in others {
                other.set_behind(&first.runs);
            }
        }
        let states = || entries.iter().flat_map(|entry| entry.runs.iter().map(|(_, state, _)| state));
        let dataset = entries.iter().flat_map(|entry| &entry.runs).find_map(|(_, _, record)| {
            Some(record.as_ref()?.ended.as_ref()?.dataset.clone()).filter(|name| !name.is_empty())
        });
        Self {
            target,
            tuning_cost: TuningCost::of(entries),
            contenders,
            warnings: entries.iter().flat_map(|entry| entry.contender.warnings.clone()).collect(),
            complete: states().all(State::has_ended) && entries.iter().all(|entry| entry.rate.is_some()),
            dataset: dataset.unwrap_or_else(|| base.data.dataset.clone()),
            ..Self::none(request, base, seeds)
        }
    }

    /// Where nothing has been run.
    pub(super) fn none(request: &CompareRequest, base: &Config, seeds: &[u64]) -> Self {
        Self {
            config: request.base.origin().to_string(),
            model: base.model.name.clone(),
            dataset: base.data.dataset.clone(),
            device: base.run.device.to_string(),
            seeds: seeds.to_vec(),
            rates: request.rates.to_string(),
            target: None,
            tuning_cost: TuningCost::default(),
            contenders: Vec::new(),
            warnings: Vec::new(),
            complete: false,
        }
    }

    /// As pretty-printed JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys always have a JSON form; what is not finite is null.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl TuningCost {
    fn of(entries: &[Entry]) -> Self {
        let rates = || entries.iter().filter_map(|entry| entry.rate.as_ref());
        let tried = || rates().flat_map(|rate| &rate.tried).filter(|tried| tried.state != "missing");
        let swept = || rates().filter_map(|rate| rate.swept.as_ref());
        Self {
            runs: tried().count() as u64,
            steps: tried().map(|tried| tried.steps).sum::<u64>() + swept().map(super::rates::Swept::steps).sum::<u64>(),
            seconds: tried().map(|tried| tried.seconds).sum::<f64>()
                + swept().map(super::rates::Swept::seconds).sum::<f64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_standard_deviation() {
        // 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, over n - 1 = 2: 13.
        let spread = Spread::of(vec![2.0, 4.0, 9.0]).expect("values");
        assert_eq!((spread.mean, spread.std), (5.0, Some(13.0_f64.sqrt())));
        let one = Spread::of(vec![97.5]).expect("a value");
        assert_eq!((one.mean, one.std), (97.5, None), "no spread is known of one");
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0, 3.0]).and_then(|spread| spread.std), Some(0.0));
    }

    #[test]
    fn the_median_counts_what_never_happens() {
        let cases: [(&[Option<f64>], Option<f64>); 7] = [
            (&[Some(30.0), Some(10.0), Some(20.0)], Some(20.0)),
            (&[Some(30.0), Some(10.0)], Some(20.0)),
            (&[None, Some(10.0), Some(20.0)], Some(20.0)),
            (&[None, None, Some(20.0)], None),
            (&[None, Some(20.0)], None),
            (&[Some(1.0), Some(2.0), None, Some(4.0)], Some(3.0)),
            (&[], None),
        ];
        for (times, expected) in cases {
            assert_eq!(median(times), expected, "{times:?}");
        }
    }

    #[test]
    fn the_target_is_a_tenth_that_was_reached() {
        for (value, expected) in [(97.38, 97.3), (97.3, 97.3), (97.299_999, 97.2), (0.05, 0.0), (100.0, 100.0)] {
            assert_eq!(floor_to_tenth(value), expected, "{value}");
        }
    }

    #[test]
    fn the_time_to_the_target_is_that_of_the_first_validation_there() {
        let curve = (vec![10.0, 20.0, 30.0, 40.0], vec![50.0, 90.0, 89.0, 95.0]);
        assert_eq!(first_at(&curve, 90.0), Some(20), "though it falls below again");
        assert_eq!(first_at(&curve, 95.0), Some(40));
        assert_eq!(first_at(&curve, 95.1), None);
        assert_eq!(first_at(&curve, 0.0), Some(10));
    }

    fn run(seed: u64, state: &'static str, test: Option<f64>) -> RunFigures {
        RunFigures { seed, state, test_accuracy: test, ..RunFigures::default() }
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        let first = [run(1, "finished", Some(98.0)), run(2, "finished", Some(97.0)), run(3, "failed", None)];
        let mut standing = standing(vec![
            run(1, "finished", Some(97.0)),
            run(2, "finished", Some(94.0)),
            run(3, "finished", Some(99.0)),
        ]);
        standing.set_behind(&first);
        // 1 and 3: mean 2, deviations 1 and 1, over n - 1 = 1: the root of 2.
        assert_eq!(standing.behind_first, Some(Behind { mean: 2.0, std: Some(2.0_f64.sqrt()), seeds: 2 }));
    }

    #[test]
    fn one_with_failures_stands_behind_one_without() {
        let good = standing(vec![run(1, "finished", Some(50.0))]);
        let failed = standing(vec![run(1, "finished", Some(99.0)), run(2, "failed", None)]);
        assert!(good.rank() < failed.rank());
        let better = standing(vec![run(1, "finished", Some(60.0))]);
        assert!(better.rank() < good.rank());
    }

    fn standing(runs: Vec<RunFigures>) -> Standing {
        let test: Vec<f64> = runs.iter().filter_map(|run| run.test_accuracy).collect();
        Standing {
            name: "a".to_owned(),
            file: None,
            optimizer: "adam".to_owned(),
            schedule: "fixed".to_owned(),
            rate: None,
            finished: runs.iter().filter(|run| run.state == "finished").count(),
            failed: runs.iter().filter(|run| run.state == "failed").count(),
            test_accuracy: Spread::of(test),
            behind_first: None,
            best_valid_accuracy: None,
            final_train_loss: None,
            to_target: None,
            items_per_second: None,
            runs,
        }
    }
}
