//! `lr = "auto"`: the finder before the training.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use trainer::{Callback, CallbackError, RunInfo};

use super::{
    FinderResult,
    find_lr::{at_work, find_lr_until},
    record::SweepRecord,
};
use crate::{
    config::Config,
    error::Error,
    run_dir::{FINDER, FINDER_PLOT, RunDir},
};

/// The configuration with a number for every rate that it leaves open (`"auto"`), and the finder's result that they come
/// from: `None` where no rate was open, or it had been found before.
///
/// A run that resumes from a checkpoint takes the rate from its folder (`resumed`). It searches again only if the folder
/// has none, and finds the same: the search is a function of the configuration. A terminal shows that it is going on, unless
/// `quiet`.
///
/// # Errors
/// [`Error::NoSuggestion`] where the curve suggests nothing; nothing has been written by then.
pub(super) fn with_found_rates(
    config: &Config,
    resumed: Option<&RunDir>,
    interrupt: &Arc<AtomicBool>,
    quiet: bool,
) -> Result<(Config, Option<FinderResult>), Error> {
    if config.auto.is_empty() {
        return Ok((config.clone(), None));
    }
    if let Some(lr) = resumed.and_then(|dir| found_before(&dir.path(FINDER))) {
        return Ok((config.with_found(lr)?, None));
    }
    let shown = at_work(config, quiet);
    let found = find_lr_until(config, interrupt);
    drop(shown);
    let found = found?;
    let suggestion = found.suggestion.clone().map_err(Error::NoSuggestion)?;
    Ok((config.with_found(suggestion.lr)?, Some(found)))
}

fn found_before(path: &Path) -> Option<f64> {
    let sweep: SweepRecord = serde_json::from_str(&report::read_regular_text(path).ok()?).ok()?;
    Some(sweep.suggestion?.lr)
}

/// Writes `lr_finder.json` and `plots/lr_finder` once the run has started.
pub(super) struct SaveSweep {
    dir: RunDir,
    found: Option<FinderResult>,
}

impl SaveSweep {
    pub(super) fn new(dir: &RunDir, found: Option<FinderResult>) -> Self {
        Self { dir: dir.clone(), found }
    }

    fn keep(&self, found: &FinderResult) -> Result<(), Error> {
        self.dir.write(FINDER, &format!("{}\n", found.to_json()))?;
        let folder = self.dir.plots()?;
        for extension in ["svg", "png"] {
            found.chart().save(&folder.join(format!("{FINDER_PLOT}.{extension}")))?;
        }
        Ok(())
    }
}

impl Callback for SaveSweep {
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
