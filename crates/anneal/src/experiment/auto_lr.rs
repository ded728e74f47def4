//! `lr = "auto"`: the finder before the training.

use std::{fs, path::Path};

use lr_core::Registry;
use trainer::{Callback, CallbackError, RunInfo};

use super::{Found, find_lr, record::Sweep};
use crate::{
    config::Config,
    error::Error,
    run_dir::{FINDER, PLOTS, RunDir},
};

/// A configuration whose rates are all numbers.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The configuration.
    pub config: Config,
    /// The sweep that its rates come from; `None` where there was nothing to find, or it had been found before.
    pub found: Option<Found>,
}

/// Finds the rates that a configuration leaves open (`"auto"`); one that leaves none open is returned as it is.
///
/// A run that goes on from a checkpoint takes what its folder (`resumed`) says was found, and searches again only if it
/// says nothing: the search is a function of the configuration.
///
/// # Errors
/// [`Error::NoSuggestion`] where the curve suggests nothing; nothing has been written by then.
pub fn tune(config: &Config, resumed: Option<&RunDir>) -> Result<Tuned, Error> {
    if config.auto.is_empty() {
        return Ok(Tuned { config: config.clone(), found: None });
    }
    for field in config.auto.kept() {
        tracing::warn!("{field} is a number and stays; write \"auto\" there for the rate that is found");
    }
    let registry = Registry::standard();
    if let Some(lr) = resumed.and_then(|dir| found_before(&dir.path(FINDER))) {
        return Ok(Tuned { config: config.with_found(lr, &registry)?, found: None });
    }
    let found = find_lr(config)?;
    let suggestion = found.suggestion.clone().map_err(Error::NoSuggestion)?;
    Ok(Tuned { config: config.with_found(suggestion.lr, &registry)?, found: Some(found) })
}

fn found_before(path: &Path) -> Option<f64> {
    let sweep: Sweep = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    Some(sweep.suggestion?.lr)
}

/// Writes `lr_finder.json` and `plots/lr_finder` once the run has started.
pub(super) struct KeepFound {
    dir: RunDir,
    found: Option<Found>,
}

impl KeepFound {
    pub(super) fn new(dir: &RunDir, found: Option<&Found>) -> Self {
        Self { dir: dir.clone(), found: found.cloned() }
    }

    fn keep(&self, found: &Found) -> Result<(), Error> {
        self.dir.write(FINDER, &format!("{}\n", found.to_json()))?;
        let folder = self.dir.path(PLOTS);
        fs::create_dir_all(&folder).map_err(|source| Error::File { path: folder.display().to_string(), source })?;
        for extension in ["svg", "png"] {
            found.chart().save(&folder.join(format!("lr_finder.{extension}")))?;
        }
        Ok(())
    }
}

impl Callback for KeepFound {
    fn name(&self) -> &'static str {
        FINDER
    }

    fn on_start(&mut self, _run: &RunInfo) -> Result<(), CallbackError> {
        match &self.found {
            None => Ok(()),
            Some(found) => {
                self.keep(found).map_err(|error| CallbackError { callback: FINDER.to_owned(), source: Box::new(error) })
            }
        }
    }
}
