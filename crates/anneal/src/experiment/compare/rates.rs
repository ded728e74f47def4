//! The rate that each contender is trained at: as written, as the finder suggests, or the best of a grid.

use std::collections::BTreeMap;

use strict_config::ConfigError;
use study::{Rate, RateChoice, RateSource, Trial, choose};

use super::{contender::Contender, folder::Folder, runner::Runner, sweep::RateSweep};
use crate::{config::Config, error::Error, experiment::measure::main_measure};

/// A contender's configuration with the chosen rate.
pub(super) struct ChosenRate {
    /// `None` where training failed at every rate of the grid.
    pub(super) config: Option<Config>,
    /// How it was chosen.
    pub(super) figures: Rate,
}

/// Refuses a grid that cannot be tried: without a validation set, or with a rate that a contender cannot have.
pub(super) fn check(choice: &RateChoice, contenders: &[Contender]) -> Result<(), Error> {
    let RateChoice::Grid(grid) = choice else { return Ok(()) };
    for contender in contenders {
        if contender.config.data.validation == 0.0 && contender.config.train.overfit_batches.is_none() {
            let what = "the best of a grid of rates is chosen by what validation measures, and this is 0";
            return Err(contender.locate(ConfigError::conflict("data.validation", what)));
        }
        for lr in grid {
            contender.at_rate(*lr)?;
        }
    }
    Ok(())
}

/// The sweeps of the contenders whose rate the finder chooses, by name; those that the folder has are not repeated.
/// `None` where they were interrupted.
pub(super) fn sweeps(
    choice: &RateChoice,
    contenders: &[Contender],
    folder: &Folder,
    runner: &Runner<'_>,
) -> Result<Option<BTreeMap<String, RateSweep>>, Error> {
    let mut sweeps = BTreeMap::new();
    for contender in contenders {
        let Some(open) = with_open_rates(choice, contender)? else { continue };
        let name = &contender.name;
        let sweep = match folder.sweep(name) {
            Some(sweep) => sweep,
            None if runner.is_interrupted() => return Ok(None),
            None => {
                let sweep = match RateSweep::run(&open, runner.interrupt(), runner.quiet()) {
                    Err(error) if error.is_interrupt() => return Ok(None),
                    sweep => sweep.map_err(|error| error.within(name))?,
                };
                runner.say(&format!("{name}: the finder suggests {:.2e}", sweep.lr));
                sweep
            }
        };
        sweeps.insert(name.clone(), sweep);
    }
    Ok((!runner.is_interrupted()).then_some(sweeps))
}

/// The configuration that the finder is given; `None` where it has no rate to choose.
fn with_open_rates(choice: &RateChoice, contender: &Contender) -> Result<Option<Config>, Error> {
    match choice {
        RateChoice::Config if contender.config.auto.is_empty() => Ok(None),
        RateChoice::Config => Ok(Some(contender.config.clone())),
        RateChoice::Find => contender.with_open_rates().map(Some),
        RateChoice::Grid(_) => Ok(None),
    }
}

/// Chooses a contender's rate. For a grid, trains a run with the first seed at each rate; `None` where one of them has not
/// ended.
pub(super) fn chosen(
    choice: &RateChoice,
    contender: &Contender,
    sweep: Option<&RateSweep>,
    runner: &mut Runner<'_>,
) -> Result<Option<ChosenRate>, Error> {
    if let RateChoice::Grid(grid) = choice {
        return best_of_grid(grid, contender, runner);
    }
    let (source, config) = match (sweep, with_open_rates(choice, contender)?) {
        (Some(sweep), Some(open)) => {
            let found = open.with_found(sweep.lr);
            (RateSource::Find, found.map_err(|error| contender.locate(error))?)
        }
        _ => (RateSource::Config, contender.config.clone()),
    };
    let figures = Rate { sweep: sweep.map(RateSweep::figures), ..rate(source, Some(&config)) };
    Ok(Some(ChosenRate { config: Some(config), figures }))
}

fn best_of_grid(grid: &[f64], contender: &Contender, runner: &mut Runner<'_>) -> Result<Option<ChosenRate>, Error> {
    let mut trials = Vec::new();
    for lr in grid {
        let config = contender.at_rate(*lr)?;
        let run = runner.run(config, format!("{}/tuning/lr-{lr:e}", contender.name), None)?;
        trials.push(Trial::new(*lr, run));
    }
    if trials.iter().any(|trial| !trial.state.has_ended()) {
        return Ok(None);
    }
    let config =
        choose(&mut trials, &main_measure(&contender.config.task)).map(|lr| contender.at_rate(lr)).transpose()?;
    let figures = Rate { trials, ..rate(RateSource::Grid, config.as_ref()) };
    Ok(Some(ChosenRate { config, figures }))
}

/// The rates of a configuration.
fn rate(source: RateSource, config: Option<&Config>) -> Rate {
    Rate {
        source,
        lr: config.map(|config| config.optimizer.lr()),
        max_lr: config.and_then(|config| config.schedule.peak()),
        sweep: None,
        trials: Vec::new(),
    }
}
