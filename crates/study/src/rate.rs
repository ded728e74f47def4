//! The rate of a contender: how it is chosen, and the best of a grid.

use std::{fmt, str::FromStr};

use report::Chart;
use serde::{Serialize, Serializer};

use crate::{
    curve::lowest,
    measure::Measure,
    run::{Run, RunStatus},
};

/// How the rate of each contender is chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RateChoice {
    /// As it is written; where `"auto"` is written, by the finder.
    #[default]
    Config,
    /// The learning-rate finder's suggestion, from a sweep with the first seed.
    Find,
    /// The best of these by the measure on the validation set of a run with the first seed; where two are equal, by
    /// validation loss.
    Grid(Vec<f64>),
}

impl RateChoice {
    /// The rates to try; none unless it is a grid.
    pub fn grid(&self) -> &[f64] {
        if let Self::Grid(grid) = self { grid } else { &[] }
    }
}

impl fmt::Display for RateChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Find => f.write_str("find"),
            Self::Grid(grid) => {
                let rates: Vec<String> = grid.iter().map(|lr| format!("{lr:e}")).collect();
                f.write_str(&rates.join(","))
            }
        }
    }
}

impl FromStr for RateChoice {
    type Err = String;

    /// `config`, `find`, or rates with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "config" => return Ok(Self::Config),
            "find" => return Ok(Self::Find),
            _ => {}
        }
        let mut grid = Vec::new();
        for part in text.split(',') {
            match part.trim().parse::<f64>() {
                Ok(lr) if lr.is_finite() && lr > 0.0 && !grid.contains(&lr) => grid.push(lr),
                Ok(lr) if grid.contains(&lr) => return Err(format!("{lr} is listed twice")),
                Ok(lr) => return Err(format!("{lr} is not a rate: give a number above 0")),
                Err(_) => {
                    let part = part.trim();
                    return Err(format!(
                        "{part:?} is not allowed here; allowed: config, find, or rates such as 0.01,0.1"
                    ));
                }
            }
        }
        Ok(Self::Grid(grid))
    }
}

impl Serialize for RateChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the rate of a contender comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateSource {
    /// The configuration.
    Config,
    /// The learning-rate finder.
    Find,
    /// The best of a grid.
    Grid,
}

/// The rate that a contender was trained at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// Where it comes from.
    #[serde(rename = "from")]
    pub source: RateSource,
    /// `[optimizer] lr`; `None` where training failed at every rate of the grid.
    pub lr: Option<f64>,
    /// The schedule's own `max_lr`, where it has one: then it sets the rate itself.
    pub max_lr: Option<f64>,
    /// The finder's sweep; in JSON its steps, as `sweep_steps`.
    #[serde(rename = "sweep_steps", serialize_with = "steps_of")]
    pub sweep: Option<FinderSweep>,
    /// The runs of a grid.
    #[serde(rename = "tried")]
    pub trials: Vec<Trial>,
}

/// A sweep of the learning-rate finder.
#[derive(Debug, Clone, PartialEq)]
pub struct FinderSweep {
    /// Training steps that it took, over all its repeats.
    pub steps: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Its curve, with the suggestion.
    pub chart: Chart,
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn steps_of<S: Serializer>(sweep: &Option<FinderSweep>, serializer: S) -> Result<S::Ok, S::Error> {
    sweep.as_ref().map(|sweep| sweep.steps).serialize(serializer)
}

/// A run at a rate of a grid.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Trial {
    /// The rate.
    pub lr: f64,
    /// Its folder, inside the study's.
    pub folder: String,
    /// How it ended.
    pub state: RunStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// The best measure on the validation set.
    #[serde(rename = "best_valid_MEASURE")]
    pub best_valid: Option<f64>,
    /// The lowest validation loss, where that is not the measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_valid_loss: Option<f64>,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds.
    pub seconds: f64,
    /// Whether this is the rate that was chosen.
    pub chosen: bool,
}

impl Trial {
    /// A run at this rate.
    pub fn new(lr: f64, run: Run) -> Self {
        Self {
            lr,
            best_valid_loss: lowest(&run.log.valid_loss).map(|(_, loss)| loss).filter(|_| !run.log.measure.is_loss()),
            folder: run.folder,
            state: run.state,
            error: run.error,
            best_valid: run.best_valid,
            steps: run.steps,
            seconds: run.seconds.unwrap_or(0.0),
            chosen: false,
        }
    }
}

/// Chooses the rate with the best measure on the validation set, marks its trial and returns it. Of equal ones the lower
/// validation loss decides, then the order. A trial that failed is never chosen; `None` where all did.
pub fn choose(trials: &mut [Trial], measure: &Measure) -> Option<f64> {
    let mut best: Option<(&mut Trial, (f64, f64))> = None;
    for trial in trials {
        let value = trial.best_valid.filter(|_| trial.state == RunStatus::Finished);
        let Some(value) = value else { continue };
        let figures = (measure.rank(Some(value)), trial.best_valid_loss.unwrap_or(f64::INFINITY));
        if best.as_ref().is_none_or(|(_, so_far)| figures < *so_far) {
            best = Some((trial, figures));
        }
    }
    let (trial, _) = best?;
    trial.chosen = true;
    Some(trial.lr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_word_or_numbers() {
        let read = |text: &str| text.parse::<RateChoice>();
        assert_eq!(read("config"), Ok(RateChoice::Config));
        assert_eq!(read(" find"), Ok(RateChoice::Find));
        assert_eq!(read("0.01, 1e-1,3"), Ok(RateChoice::Grid(vec![0.01, 0.1, 3.0])));
        assert_eq!(read("0.01,0.1").map(|grid| grid.to_string()), Ok("1e-2,1e-1".to_owned()));
        for (text, expected) in [
            ("0.1,", "\"\" is not allowed here; allowed: config, find, or rates"),
            ("auto", "\"auto\" is not allowed here"),
            ("0.1,0", "0 is not a rate"),
            ("nan", "NaN is not a rate"),
            ("0.1,1e-1", "0.1 is listed twice"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_best_rate_is_the_one_that_validates_best() {
        use RunStatus::{Failed, Finished};
        // The index of the trial that is chosen, and marked.
        let chosen = |runs: &[(RunStatus, Option<f64>, f64)]| {
            let trial = |(at, (state, accuracy, loss)): (usize, &(RunStatus, Option<f64>, f64))| Trial {
                lr: at as f64,
                state: *state,
                best_valid: *accuracy,
                best_valid_loss: Some(*loss),
                ..Trial::default()
            };
            let mut trials: Vec<Trial> = runs.iter().enumerate().map(trial).collect();
            let lr = choose(&mut trials, &Measure::default());
            assert_eq!(trials.iter().find(|trial| trial.chosen).map(|trial| trial.lr), lr);
            lr
        };
        assert_eq!(chosen(&[(Finished, Some(90.0), 0.1), (Finished, Some(95.0), 0.9)]), Some(1.0));
        assert_eq!(chosen(&[(Finished, Some(95.0), 0.2), (Finished, Some(95.0), 0.1)]), Some(1.0), "the lower loss");
        assert_eq!(chosen(&[(Finished, Some(95.0), 0.1), (Finished, Some(95.0), 0.1)]), Some(0.0), "the first");
        assert_eq!(chosen(&[(Finished, Some(20.0), 2.0), (Failed, Some(95.0), 0.1)]), Some(0.0), "not one that failed");
        assert_eq!(chosen(&[(Failed, None, 1.0), (Finished, None, 1.0)]), None);
    }
}
