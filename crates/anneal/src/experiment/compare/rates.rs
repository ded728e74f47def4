//! At which rate each contender is trained: as written, as the finder suggests, or the best of a grid.

use std::{fmt, str::FromStr, time::Instant};

use lr_core::Registry;
use serde_json::Value;

use super::{Contender, Tried};
use crate::{
    config::Config,
    error::Error,
    experiment::{Found, record::Sweep, tune},
};

/// How the rate of each contender is chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RateChoice {
    /// As it is written; where `"auto"` is written, by the finder.
    #[default]
    Config,
    /// The learning-rate finder's suggestion, from a sweep with the first seed.
    Find,
    /// The best of these by the validation accuracy of a run with the first seed; where two are equal, by validation
    /// loss.
    Grid(Vec<f64>),
}

impl RateChoice {
    /// Runs that it takes for each contender.
    pub(super) fn tries(&self) -> u64 {
        if let Self::Grid(grid) = self { grid.len() as u64 } else { 0 }
    }

    /// Refuses a grid that cannot be tried: without a validation set, or with a rate that a contender cannot have.
    pub(super) fn check(&self, contenders: &[Contender], registry: &Registry) -> Result<(), Error> {
        let Self::Grid(grid) = self else { return Ok(()) };
        for contender in contenders {
            if contender.config.data.validation == 0.0 && contender.config.train.overfit_batches.is_none() {
                let what = "the best of a grid of rates is told by the validation accuracy, and this is 0";
                return Err(contender.locate(strict_config::ConfigError::conflict("data.validation", what)));
            }
            for lr in grid {
                contender.at_rate(*lr, registry)?;
            }
        }
        Ok(())
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
                Ok(lr) if grid.contains(&lr) => return Err(format!("{lr} stands there twice")),
                Ok(lr) => return Err(format!("{lr} is no rate: a number above 0 is one")),
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

/// A contender at the rate that it is trained at.
#[derive(Debug, Clone)]
pub(super) struct Rated {
    /// `None` where no rate of a grid could be trained at.
    pub(super) config: Option<Config>,
    /// `config`, `find` or `grid`.
    pub(super) from: &'static str,
    /// The sweep.
    pub(super) swept: Option<Swept>,
    /// The runs of a grid.
    pub(super) tried: Vec<Tried>,
}

/// A sweep, as the finder's JSON and as far as a picture needs it.
#[derive(Debug, Clone)]
pub(super) struct Swept {
    pub(super) json: Value,
    pub(super) sweep: Sweep,
    pub(super) lr: f64,
}

impl Swept {
    /// Of a file's content; `None` where it holds no suggestion.
    pub(super) fn of(json: Value) -> Option<Self> {
        let sweep: Sweep = serde_json::from_value(json.clone()).ok()?;
        let lr = sweep.suggestion.as_ref()?.lr;
        Some(Self { json, sweep, lr })
    }

    /// Training steps that the sweep took.
    pub(super) fn steps(&self) -> u64 {
        self.json["steps"].as_u64().unwrap_or(self.sweep.lrs.len() as u64)
    }

    pub(super) fn seconds(&self) -> f64 {
        self.json["seconds"].as_f64().unwrap_or(0.0)
    }
}

/// The contender's configuration with its rates to be found, where they are.
pub(super) fn open(contender: &Contender, choice: &RateChoice, registry: &Registry) -> Result<Option<Config>, Error> {
    match choice {
        RateChoice::Config if contender.config.auto.is_empty() => Ok(None),
        RateChoice::Config => Ok(Some(contender.config.clone())),
        RateChoice::Find => {
            contender.config.with_open_rates(registry).map(Some).map_err(|error| contender.locate(error))
        }
        RateChoice::Grid(_) => Ok(None),
    }
}

/// Sweeps.
///
/// # Errors
/// [`Error::NoSuggestion`].
pub(super) fn sweep(open: &Config) -> Result<Swept, Error> {
    let began = Instant::now();
    let found = tune(open, None)?.found;
    let sweeps = found.iter().flat_map(|found| found.sweeps.sweeps());
    let steps: usize = sweeps.map(|sweep| sweep.lrs.len()).sum();
    let mut json = found.as_ref().map(Found::to_json).unwrap_or_default();
    json["steps"] = steps.into();
    json["seconds"] = began.elapsed().as_secs_f64().into();
    Swept::of(json).ok_or_else(|| Error::Usage("there is no rate to be found".to_owned()))
}

impl Rated {
    pub(super) fn as_written(contender: &Contender) -> Self {
        Self { config: Some(contender.config.clone()), from: "config", swept: None, tried: Vec::new() }
    }

    pub(super) fn found(
        contender: &Contender,
        swept: Swept,
        choice: &RateChoice,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let open = open(contender, choice, registry)?.unwrap_or_else(|| contender.config.clone());
        let config = open.with_found(swept.lr, registry).map_err(|error| contender.locate(error))?;
        Ok(Self { config: Some(config), from: "find", swept: Some(swept), tried: Vec::new() })
    }

    /// The best of runs that have all ended.
    pub(super) fn best(contender: &Contender, mut tried: Vec<Tried>, registry: &Registry) -> Result<Self, Error> {
        let best = best_of(&tried);
        for (at, one) in tried.iter_mut().enumerate() {
            one.chosen = Some(at) == best;
        }
        let config = best.map(|at| contender.at_rate(tried[at].lr, registry)).transpose()?;
        Ok(Self { config, from: "grid", swept: None, tried })
    }
}

/// The run with the highest validation accuracy; of equal ones that with the lowest validation loss, and then the first.
/// One that failed is none of them.
fn best_of(tried: &[Tried]) -> Option<usize> {
    let worth = |one: &Tried| {
        let accuracy = one.best_valid_accuracy.filter(|_| one.state == "finished")?;
        Some((accuracy, -one.best_valid_loss.unwrap_or(f64::INFINITY)))
    };
    let mut best: Option<(usize, (f64, f64))> = None;
    for (at, one) in tried.iter().enumerate() {
        if let Some(worth) = worth(one)
            && best.is_none_or(|(_, so_far)| worth > so_far)
        {
            best = Some((at, worth));
        }
    }
    best.map(|(at, _)| at)
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
            ("0.1,0", "0 is no rate"),
            ("nan", "NaN is no rate"),
            ("0.1,1e-1", "0.1 stands there twice"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_best_rate_is_the_one_that_validates_best() {
        let tried = |state: &'static str, accuracy: Option<f64>, loss: f64| Tried {
            state,
            best_valid_accuracy: accuracy,
            best_valid_loss: Some(loss),
            ..Tried::default()
        };
        let of = |runs: &[(&'static str, Option<f64>, f64)]| {
            best_of(&runs.iter().map(|(state, accuracy, loss)| tried(state, *accuracy, *loss)).collect::<Vec<_>>())
        };
        assert_eq!(of(&[("finished", Some(90.0), 0.1), ("finished", Some(95.0), 0.9)]), Some(1));
        assert_eq!(of(&[("finished", Some(95.0), 0.2), ("finished", Some(95.0), 0.1)]), Some(1), "the lower loss");
        assert_eq!(of(&[("finished", Some(95.0), 0.1), ("finished", Some(95.0), 0.1)]), Some(0), "the first");
        assert_eq!(of(&[("finished", Some(20.0), 2.0), ("failed", Some(95.0), 0.1)]), Some(0), "not one that failed");
        assert_eq!(of(&[("failed", None, 1.0), ("finished", None, 1.0)]), None);
    }
}
