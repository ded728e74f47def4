//! `anneal compare`: the same data and seeds under several schedules (or optimizers), or with one setting that differs.
//!
//! What lives here: who takes part (`contender`), at which rate (`rates`, `sweep`), each run into its own folder
//! (`runner`), and the folder of it all (`folder`, `plan`). Statistics, ranking and page are in [`study`]; training is
//! [`train`](fn@super::train)'s.

mod contender;
mod folder;
mod plan;
mod rates;
mod request;
mod runner;
mod sweep;

use std::path::PathBuf;

use study::{Run, RunLog, RunStatus, Study, StudySetup};

pub(crate) use folder::FIGURES;
pub(crate) use request::{CompareOptions, CompareRequest};

use crate::{
    config::{Catalog, Config},
    error::Error,
    experiment::measure::main_measure,
    run_dir::REPORT,
};
use contender::Contender;
use folder::Folder;
use rates::ChosenRate;
use runner::Runner;

/// A comparison that has ended, or was interrupted.
#[derive(Debug)]
pub(crate) struct CompareOutcome {
    /// Where it is; `None` where it was interrupted before anything was written.
    pub dir: Option<PathBuf>,
    /// The figures of the runs that there are.
    pub study: Study,
    /// Whether runs are missing.
    pub interrupted: bool,
}

impl CompareOutcome {
    /// Whether no run of any contender came to its end, and nothing is missing: there is nothing to compare.
    pub(crate) fn all_failed(&self) -> bool {
        let contenders = &self.study.contenders;
        !self.interrupted && !contenders.is_empty() && contenders.iter().all(|contender| contender.finished == 0)
    }
}

/// Trains every contender with every seed, and writes `compare.json` and `report.html`.
///
/// Everything is read and checked before any work: the files, each schedule for the run's length, each rate of a grid.
/// Runs go seed by seed, so that an interrupted comparison has as many runs of each contender. A run whose loss stops
/// being finite is noted as failed, and the others continue.
///
/// # Errors
/// A file, setting or folder that is refused; [`Error::NoSuggestion`] where the finder suggests no rate, before anything
/// is written; a run that fails other than by its numbers.
pub(crate) fn compare(
    request: &CompareRequest,
    options: &CompareOptions,
    catalog: &Catalog,
) -> Result<CompareOutcome, Error> {
    let base = Config::from_document(&request.base, catalog)?;
    let measure = main_measure(&base.task);
    if let Some(target) = request.target.filter(|target| measure.unit == "%" && !(*target > 0.0 && *target <= 100.0)) {
        return Err(Error::Usage(format!("--target {target}: a percentage above 0, up to 100, of {}", measure.name)));
    }
    let seeds = seeds(&base, request.seeds)?;
    let contenders = contender::read(request, &base, &folder::FILES)?;
    for warning in contenders.iter().flat_map(|contender| &contender.warnings) {
        tracing::warn!("{warning}");
    }
    rates::check(&request.rates, &contenders)?;
    let plan = plan::plan(&contenders, &seeds, &request.rates);
    let folder = Folder::claim(options, &base.run, &plan)?;

    let runs = contenders.len() * (request.rates.grid().len() + seeds.len());
    let mut runner = Runner::new(&folder, options, base.run.seed, runs);
    let Some(sweeps) = rates::sweeps(&request.rates, &contenders, &folder, &runner)? else {
        let study = Study::new(setup(request, &base, &seeds, None), Vec::new());
        return Ok(CompareOutcome { dir: None, study, interrupted: true });
    };
    folder.start(&plan, &sweeps)?;

    let mut participants = Vec::new();
    for contender in contenders {
        let sweep = sweeps.get(&contender.name);
        let rate = rates::chosen(&request.rates, &contender, sweep, &mut runner)?;
        participants.push(Participant { contender, rate, runs: Vec::new() });
    }
    for seed in &seeds {
        for participant in &mut participants {
            participant.train(*seed, &mut runner)?;
        }
    }

    let setup = setup(request, &base, &seeds, runner.dataset());
    let study = Study::new(setup, participants.into_iter().map(Participant::into_study).collect());
    folder.write(FIGURES, &study.to_json())?;
    study.page(common(&base, &request.variations)).save(&folder.path().join(REPORT))?;
    if study.complete {
        folder.settle()?;
    }
    Ok(CompareOutcome { dir: Some(folder.path().to_owned()), interrupted: !study.complete, study })
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

/// What was asked for. `dataset` is the data set as the runs name it, where one has finished.
fn setup(request: &CompareRequest, base: &Config, seeds: &[u64], dataset: Option<&str>) -> StudySetup {
    StudySetup {
        config: request.base.origin().to_string(),
        model: base.model.name.clone(),
        dataset: dataset.unwrap_or(&base.data.dataset).to_owned(),
        measure: main_measure(&base.task),
        device: base.run.device.to_string(),
        seeds: seeds.to_vec(),
        rates: request.rates.clone(),
        given_target: request.target,
    }
}

/// What no schedule file replaces and no variation changes.
fn common(base: &Config, variations: &[String]) -> String {
    let mut table = base.to_table();
    for section in contender::REPLACED {
        table.remove(section);
    }
    for variation in variations {
        let mut key = variation.split(['.', '=']).map(str::trim);
        let (section, field) = (key.next().unwrap_or_default(), key.next().unwrap_or_default());
        if field == "type" {
            table.remove(section);
        } else if let Some(toml::Value::Table(section)) = table.get_mut(section) {
            section.remove(field);
        }
    }
    // A table of plain values always has a TOML form.
    toml::to_string(&table).unwrap_or_default()
}

/// A contender with its rate and its runs so far.
struct Participant {
    contender: Contender,
    /// `None` where the comparison was interrupted before it was chosen.
    rate: Option<ChosenRate>,
    runs: Vec<Run>,
}

impl Participant {
    /// Its run with a seed.
    fn train(&mut self, seed: u64, runner: &mut Runner<'_>) -> Result<(), Error> {
        let name = format!("{}/seed-{seed}", self.contender.name);
        let not_run = |state, error| Run::new(seed, &name, state, error, RunLog::default());
        let run = match self.rate.as_ref().map(|rate| &rate.config) {
            Some(Some(config)) => runner.run(config.clone(), name, Some(seed))?,
            Some(None) => not_run(RunStatus::Failed, Some("no rate of the grid could be trained at".to_owned())),
            None => not_run(RunStatus::Missing, None),
        };
        self.runs.push(run);
        Ok(())
    }

    fn into_study(self) -> study::Contender {
        let Self { contender, rate, runs } = self;
        let (config, rate) = rate.map_or((None, None), |rate| (rate.config, Some(rate.figures)));
        let config = config.as_ref().unwrap_or(&contender.config);
        study::Contender {
            file: contender.file.as_ref().map(|file| file.display().to_string()),
            variation: contender.variation,
            optimizer: config.optimizer.type_name().to_owned(),
            schedule: config.schedule.type_name().to_owned(),
            rate,
            warnings: contender.warnings,
            ..study::Contender::new(contender.name, runs)
        }
    }
}
