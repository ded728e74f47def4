//! `anneal compare`: one model, one data set and the same seeds under several schedules (or optimizers).
//!
//! What lives here: who takes part (`contender`), at which rate (`rates`), each run into a folder of its own (`runs`), the
//! figures (`figures`), the page (`page`, `curves`), and the folder of it all (`folder`). It trains with
//! [`train`](fn@super::train) and reads with [`RunRecord`]; it has no loop and no mathematics of training.

mod contender;
mod curves;
mod figures;
mod folder;
mod page;
mod rates;
mod runs;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lr_core::Registry;

pub use contender::Contender;
pub use figures::{Behind, Figures, RateFigures, RunFigures, Spread, Standing, Target, ToTarget, Tried, TuningCost};
pub use rates::RateChoice;

use super::RunRecord;
use crate::{
    config::{Config, Document},
    error::Error,
    run_dir::{Existing, REPORT},
};
use rates::{Rated, Swept};
use runs::State;

/// All figures, in the folder of a comparison.
pub const FIGURES: &str = "compare.json";

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct CompareRequest {
    /// CONFIG, with what the command line changed: model, data, length, and whatever a schedule file does not replace.
    pub base: Document,
    /// The schedule files.
    pub schedules: Vec<PathBuf>,
    /// CONFIG's own schedule takes part too. It does anyway where there are no files.
    pub with_config: bool,
    /// How many seeds: CONFIG's, and those after it.
    pub seeds: u64,
    /// At which rate each is trained.
    pub rates: RateChoice,
    /// The validation accuracy, in percent, that the time is taken to; by default chosen from what was reached.
    pub target: Option<f64>,
}

/// How a comparison is run.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// The folder; by default the next free `compare-NAME` below `[run] out_dir`.
    pub out: Option<PathBuf>,
    /// What to do where it holds a comparison.
    pub existing: Existing,
    /// No progress of the runs.
    pub quiet: bool,
    /// Set by whoever wants it to end in order: the run under way is saved, the others are left for a resumption.
    pub interrupt: Arc<AtomicBool>,
    /// Told of each run as it begins and ends, a line at a time.
    pub announce: Option<fn(&str)>,
}

/// A comparison that has ended, or was interrupted.
#[derive(Debug)]
pub struct Compared {
    /// Where it is; `None` where it was interrupted before anything was written.
    pub dir: Option<PathBuf>,
    /// The figures of the runs that there are.
    pub figures: Figures,
    /// Whether runs are missing.
    pub interrupted: bool,
}

/// One contender's runs read back.
struct Entry {
    contender: Contender,
    rate: Option<Rated>,
    runs: Vec<(u64, State, Option<RunRecord>)>,
}

/// Trains every contender with every seed, and writes `compare.json` and `report.html`.
///
/// Everything is read and checked before any work: the files, each schedule for the run's length, each rate of a grid.
/// Runs go seed by seed, so that one that is interrupted has treated all alike. A run whose loss stops being finite is
/// noted as failed, and the others go on.
///
/// # Errors
/// A file, setting or folder that is refused; [`Error::NoSuggestion`] where a rate is to be found and cannot be, before
/// anything is written; a run that fails otherwise than by its numbers.
pub fn compare(request: &CompareRequest, options: &CompareOptions) -> Result<Compared, Error> {
    let registry = Registry::standard();
    let base = Config::from_document(&request.base, &registry)?;
    let seeds = seeds(&base, request.seeds)?;
    let contenders = contender::read(request, &base, &registry)?;
    for warning in contenders.iter().flat_map(|contender| &contender.warnings) {
        tracing::warn!("{warning}");
    }
    request.rates.check(&contenders, &registry)?;
    let dir = folder::choose(options.out.as_deref(), &base.run, options.existing);
    let plan = folder::plan(&contenders, &seeds, &request.rates);
    folder::check(&dir, &plan, options.existing)?;

    let job = Job { dir: &dir, options, first_seed: base.run.seed };
    let Some(found) = job.found(&contenders, &request.rates, &registry)? else {
        let figures = Figures::none(request, &base, &seeds);
        return Ok(Compared { dir: None, figures, interrupted: true });
    };
    folder::start(&dir, &plan, &found, options.existing)?;

    let runs = contenders.len() as u64 * (request.rates.tries() + seeds.len() as u64);
    let mut count = Count { done: 0, of: runs };
    let mut entries = job.rated(contenders, found, &request.rates, &mut count, &registry)?;
    for seed in &seeds {
        for entry in &mut entries {
            let (state, record) = job.run(entry, *seed, &mut count)?;
            entry.runs.push((*seed, state, record));
        }
    }
    let figures = Figures::of(request, &base, &seeds, &mut entries);
    let interrupted = !figures.complete;
    folder::write(&dir, FIGURES, &figures.to_json())?;
    page::page(&figures, &entries, &base).save(&dir.join(REPORT))?;
    Ok(Compared { dir: Some(dir), figures, interrupted })
}

/// CONFIG's seed and those after it.
fn seeds(base: &Config, count: u64) -> Result<Vec<u64>, Error> {
    let first = base.run.seed;
    let largest = i64::MAX as u64;
    match first.checked_add(count.saturating_sub(1)).filter(|last| count > 0 && *last <= largest) {
        Some(last) => Ok((first..=last).collect()),
        None => Err(Error::Usage(format!("--seeds {count}: from run.seed {first} on there are not that many"))),
    }
}

/// How far it is.
struct Count {
    done: u64,
    of: u64,
}

/// What all runs share.
struct Job<'a> {
    dir: &'a Path,
    options: &'a CompareOptions,
    first_seed: u64,
}

impl Job<'_> {
    fn interrupted(&self) -> bool {
        self.options.interrupt.load(Ordering::Relaxed)
    }

    fn say(&self, text: &str) {
        if let Some(announce) = self.options.announce {
            announce(text);
        }
    }

    /// The sweeps of the contenders whose rate is to be found, by name. `None` where they were interrupted.
    fn found(
        &self,
        contenders: &[Contender],
        choice: &RateChoice,
        registry: &Registry,
    ) -> Result<Option<BTreeMap<String, Swept>>, Error> {
        let mut found = BTreeMap::new();
        for contender in contenders {
            let Some(open) = rates::open(contender, choice, registry)? else { continue };
            if let Some(sweep) = folder::sweep(self.dir, &contender.name, self.options.existing) {
                found.insert(contender.name.clone(), sweep);
                continue;
            }
            if self.interrupted() {
                return Ok(None);
            }
            let sweep = rates::sweep(&open).map_err(|error| error.within(&contender.name))?;
            self.say(&format!("{}: the finder suggests {:.2e}", contender.name, sweep.lr));
            found.insert(contender.name.clone(), sweep);
        }
        Ok((!self.interrupted()).then_some(found))
    }

    /// Each contender with its rate; the runs of a grid are trained for it.
    fn rated(
        &self,
        contenders: Vec<Contender>,
        mut found: BTreeMap<String, Swept>,
        choice: &RateChoice,
        count: &mut Count,
        registry: &Registry,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for contender in contenders {
            let rate = match (choice, found.remove(&contender.name)) {
                (RateChoice::Grid(grid), _) => self.tuned(&contender, grid, count, registry)?,
                (_, Some(sweep)) => Some(Rated::found(&contender, sweep, choice, registry)?),
                (_, None) => Some(Rated::as_written(&contender)),
            };
            entries.push(Entry { contender, rate, runs: Vec::new() });
        }
        Ok(entries)
    }

    /// The best rate of a grid, by a run with the first seed at each; `None` where not all have ended.
    fn tuned(
        &self,
        contender: &Contender,
        grid: &[f64],
        count: &mut Count,
        registry: &Registry,
    ) -> Result<Option<Rated>, Error> {
        let mut tried = Vec::new();
        let mut is_whole = true;
        for lr in grid {
            let name = format!("{}/tuning/lr-{lr:e}", contender.name);
            let config = contender.at_rate(*lr, registry)?;
            let (state, record) = self.train(config, &name, self.first_seed, count)?;
            is_whole &= state.has_ended();
            tried.push(Tried::new(*lr, name, &state, record.as_ref()));
        }
        if is_whole { Rated::best(contender, tried, registry).map(Some) } else { Ok(None) }
    }

    /// A contender's run with a seed.
    fn run(&self, entry: &Entry, seed: u64, count: &mut Count) -> Result<(State, Option<RunRecord>), Error> {
        match entry.rate.as_ref().map(|rate| &rate.config) {
            Some(Some(config)) => {
                self.train(config.clone(), &format!("{}/seed-{seed}", entry.contender.name), seed, count)
            }
            Some(None) => Ok((State::Failed("no rate of the grid could be trained at".to_owned()), None)),
            None => Ok((State::Missing, None)),
        }
    }

    /// One run into its folder, unless it has ended there before.
    fn train(
        &self,
        mut config: Config,
        name: &str,
        seed: u64,
        count: &mut Count,
    ) -> Result<(State, Option<RunRecord>), Error> {
        let dir = self.dir.join(name);
        config.run.seed = seed;
        config.run.name = name.replace('/', " ");
        count.done += 1;
        let place = format!("[{}/{}] {name}", count.done, count.of);
        let state = match runs::ended(&dir)? {
            Some(state) => state,
            None if self.interrupted() => State::Missing,
            None => {
                self.say(&place);
                runs::train(&config, &dir, self.options).map_err(|error| error.within(name))?
            }
        };
        let record = if state == State::Missing { None } else { Some(RunRecord::read(&dir)?) };
        if state != State::Missing {
            self.say(&format!("{place}: {}", runs::describe(&state, record.as_ref())));
        }
        Ok((state, record))
    }
}
