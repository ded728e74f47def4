//! The learning-rate finder's sweep for a contender.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use serde_json::Value;

use crate::{
    config::Config,
    error::Error,
    experiment::{FinderResult, auto_lr::with_found_rates, plots, record::SweepRecord},
};

/// A sweep that suggests a rate.
#[derive(Debug, Clone)]
pub(super) struct RateSweep {
    /// As it is kept in the contender's folder.
    pub(super) json: Value,
    /// The rate that it suggests.
    pub(super) lr: f64,
    sweep: SweepRecord,
}

impl RateSweep {
    /// From the content of a file; `None` where it holds no suggestion.
    pub(super) fn read(json: Value) -> Option<Self> {
        let sweep: SweepRecord = serde_json::from_value(json.clone()).ok()?;
        let lr = sweep.suggestion.as_ref()?.lr;
        Some(Self { json, lr, sweep })
    }

    /// Sweeps with a configuration that leaves its rate open.
    ///
    /// # Errors
    /// [`Error::NoSuggestion`].
    pub(super) fn run(config: &Config, interrupt: &Arc<AtomicBool>, quiet: bool) -> Result<Self, Error> {
        let began = Instant::now();
        let (_, found) = with_found_rates(config, None, interrupt, quiet)?;
        let sweeps = found.iter().flat_map(|found| found.sweeps.sweeps());
        let steps: usize = sweeps.map(|sweep| sweep.lrs.len()).sum();
        let mut json = found.as_ref().map(FinderResult::to_json).unwrap_or_default();
        json["steps"] = steps.into();
        json["seconds"] = began.elapsed().as_secs_f64().into();
        Self::read(json).ok_or_else(|| Error::Usage("there is no rate to be found".to_owned()))
    }

    /// Its cost and its curve.
    pub(super) fn figures(&self) -> study::FinderSweep {
        study::FinderSweep {
            steps: self.sweep.steps.unwrap_or(self.sweep.lrs.len() as u64),
            seconds: self.sweep.seconds.unwrap_or(0.0),
            chart: plots::finder(&self.sweep),
        }
    }
}
