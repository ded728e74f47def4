//! The learning-rate finder on a configuration.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use report::Chart;
use strict_config::ConfigError;
use trainer::{
    callbacks::Bar,
    lr_finder::{LrCurve, LrFinder, LrSweeps, NoSuggestion, Rule, Suggestion, Validate},
};

use super::Assembly;
use crate::{
    config::{AutoRates, Config},
    error::Error,
};

/// The sweeps of the learning-rate finder, and what they suggest.
#[derive(Debug, Clone)]
pub struct FinderResult {
    /// The sweeps; one, unless `[lr_finder] repeats` asks for more.
    pub sweeps: LrSweeps,
    /// The configured rule.
    pub rule: Rule,
    /// Its answer.
    pub suggestion: Result<Suggestion, NoSuggestion>,
    /// The rates that the configuration leaves open, which the suggestion is for.
    pub auto: AutoRates,
}

impl FinderResult {
    /// The curve; of several sweeps, the median.
    pub fn curve(&self) -> &LrCurve {
        self.sweeps.curve()
    }

    /// The picture, with the configured rule's suggestion.
    pub fn chart(&self) -> Chart {
        self.sweeps.chart(&self.suggestion.iter().copied().collect::<Vec<_>>())
    }

    /// What every rule suggests, the configured one first; empty where that suggests nothing.
    pub fn suggestions(&self) -> Vec<Suggestion> {
        let Ok(own) = &self.suggestion else { return Vec::new() };
        let others = Rule::ALL.into_iter().filter(|rule| *rule != self.rule);
        [*own].into_iter().chain(others.filter_map(|rule| self.sweeps.suggestion(rule).ok())).collect()
    }

    /// Curve and suggestion as `anneal find-lr --json` writes them: see [`LrSweeps::to_json`]; and who has written them.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = self.sweeps.to_json(self.rule);
        json["producer"] = format!("anneal {}", env!("CARGO_PKG_VERSION")).into();
        json
    }
}

/// Says on a terminal what takes its time, and how long it has taken so far.
pub(crate) fn at_work(config: &Config, quiet: bool) -> Option<Bar> {
    let bar = if quiet { None } else { Bar::new(None, "{spinner} {msg}, {elapsed} so far") }?;
    let sweep = &config.lr_finder;
    let sweeping = format!("sweeping {} rates from {:e} to {:e}", sweep.num_it + 1, sweep.start_lr, sweep.end_lr);
    bar.inner().set_message(sweeping);
    bar.inner().enable_steady_tick(Duration::from_millis(100));
    Some(bar)
}

/// Sweeps with the model, data, optimizer, groups and clipping of a configuration; nothing is written.
///
/// # Errors
/// Something that the configuration names is missing, or a sweep failed. A curve without a suggestion is not an error:
/// see [`FinderResult::suggestion`].
pub fn find_lr(config: &Config) -> Result<FinderResult, Error> {
    find_lr_until(config, &Arc::default())
}

/// [`find_lr`], which ends once `interrupt` is set.
///
/// # Errors
/// As [`find_lr`]; [`FinderError::Interrupted`](trainer::lr_finder::FinderError::Interrupted).
pub(crate) fn find_lr_until(config: &Config, interrupt: &Arc<AtomicBool>) -> Result<FinderResult, Error> {
    let assembly = Assembly::new(config)?;
    let (learner, optimizer) = (assembly.initial()?, assembly.optimizer());
    assembly.check_start(&learner)?;
    let rates = config.auto.groups().into_iter().fold(assembly.rates()?, trainer::Rates::with_open_group);
    let section = &config.lr_finder;
    let validate = match section.validate {
        Validate::Off => None,
        Validate::Batches(batches) => Some(batches),
        Validate::All => Some(usize::MAX),
    };
    if validate.is_some() && !assembly.validates() {
        let none = "it measures the validation loss at each point, and data.validation is 0";
        return Err(ConfigError::conflict("lr_finder.validate", none).into());
    }
    let finder = LrFinder::new(section.clone())
        .seed(config.run.seed)
        .clip(config.train.clip_grad_norm, config.train.clip_grad_value)
        .precision(config.train.precision)
        .freeze(config.train.freeze.clone(), assembly.horizon())
        .interrupt(Arc::clone(interrupt));
    let sweeps = learner.sweep(&finder, &optimizer, &rates, validate, section.repeats)?;
    let sweeps = sweeps.skip(section.skip_start, section.skip_end);
    let suggestion = sweeps.suggestion(section.rule);
    Ok(FinderResult { sweeps, rule: section.rule, suggestion, auto: config.auto.clone() })
}
