//! Who takes part: CONFIG under the schedule (and optimizer, and groups) of each file, or with one other setting.

use std::path::{Path, PathBuf};

use lr_core::{Horizon, Scheduler};
use strict_config::ConfigError;
use toml::{Table, Value};

use super::request::CompareRequest;
use crate::{
    config::{Catalog, Config, Document, Origin, check_sections},
    error::Error,
    experiment::{
        Assembly,
        record::{differing, settings_of},
    },
};

/// What a schedule file may replace in CONFIG.
pub(super) const REPLACED: [&str; 3] = ["schedule", "optimizer", "groups"];

/// What may differ in `[data]`: how training batches are made.
const VARIED_DATA: [&str; 7] =
    ["augment", "batch_size", "class_weights", "drop_last", "resident", "sampler", "workers"];

/// One of those that are compared.
#[derive(Debug, Clone)]
pub(super) struct Contender {
    /// The file's name without its ending, or the setting that differs, as a folder can have it, and different from the
    /// others'.
    pub(super) name: String,
    /// Its file; `None` for CONFIG itself, perhaps with one other setting.
    pub(super) file: Option<PathBuf>,
    /// The setting that it has otherwise than CONFIG, `key.path=value`.
    pub(super) variation: Option<String>,
    /// CONFIG with this schedule, or this setting.
    pub(super) config: Config,
    /// What its file says that has no effect.
    pub(super) warnings: Vec<String>,
    source: Source,
    horizon: Horizon,
}

/// The documents that a contender's settings come from.
#[derive(Debug, Clone)]
struct Source {
    catalog: Catalog,
    base: Document,
    file: Option<(Document, Form)>,
}

/// What a schedule file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A schedule table: `type = ...` at the top.
    Bare,
    /// `[schedule]`, `[optimizer]`, `[[groups]]`, or some of them; CONFIG's stay for the others.
    Part,
    /// A whole configuration; what it leaves out of the three has its default.
    Whole,
}

/// Reads and checks all that take part. None gets a name that is `reserved`.
///
/// # Errors
/// What is wrong with a file, with its name and line: it cannot be read, has unknown fields, does not fit CONFIG's
/// optimizer or length, ...
pub(super) fn read(request: &CompareRequest, base: &Config, reserved: &[&str]) -> Result<Vec<Contender>, Error> {
    let mut contenders = Vec::new();
    let mut taken: Vec<String> = reserved.iter().map(|name| (*name).to_owned()).collect();
    if request.with_config || request.schedules.is_empty() {
        let stem = match request.base.origin() {
            Origin::File(path) => stem(path),
            Origin::BuiltIn(_) => base.run.name.clone(),
        };
        let source = Source { catalog: base.catalog().clone(), base: request.base.clone(), file: None };
        contenders.push(Contender::new(unlike(&stem, &mut taken), None, source)?);
    }
    for path in &request.schedules {
        let document = Document::read(path)?;
        let form = form(&document)?;
        let file = Some((document, form));
        let source = Source { catalog: base.catalog().clone(), base: request.base.clone(), file };
        let name = unlike(&stem(path), &mut taken);
        contenders.push(Contender::new(name, Some(path.clone()), source)?);
    }
    for variation in &request.variations {
        let (key, value) = check_varied(variation)?;
        let mut varied = request.base.clone();
        varied.set_by_flag(&format!("--vary {key}"), key, value)?;
        let source = Source { catalog: base.catalog().clone(), base: varied, file: None };
        let contender = Contender::new(unlike(variation, &mut taken), None, source)?;
        contenders.push(Contender { variation: Some(variation.clone()), ..contender });
    }
    Ok(contenders)
}

/// Key and value of a setting that may vary: one that changes what is learned or measured is refused, since contenders share
/// that.
fn check_varied(variation: &str) -> Result<(&str, &str), Error> {
    let Some((key, value)) = variation.split_once('=') else {
        return Err(Error::Usage(format!(
            "--vary {variation}: expected key.path=value, as in model.label_smoothing=0"
        )));
    };
    let (key, value) = (key.trim(), value.trim());
    let mut parts = key.split('.').map(str::trim);
    let may_vary = match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        ("data", field) => VARIED_DATA.contains(&field),
        ("train", field) => !["overfit_batches", "limit_valid_batches"].contains(&field),
        (section, _) => !["run", "lr_finder"].contains(&section),
    };
    if may_vary {
        return Ok((key, value));
    }
    Err(Error::Usage(format!(
        "--vary {key}: contenders share data, seeds and device; what may vary is [model], [optimizer], [schedule], \
         [[groups]], [train], [eval] and data.{}",
        VARIED_DATA.join(", data.")
    )))
}

impl Contender {
    fn new(name: String, file: Option<PathBuf>, source: Source) -> Result<Self, Error> {
        let located = |error| source.locate(error);
        let config = Config::from_table(&source.table(), &source.catalog).map_err(located)?;
        if config.train.fast_dev_run.is_some() {
            let message = "a trial writes no log, so there is nothing to compare";
            return Err(source.locate(ConfigError::conflict("train.fast_dev_run", message)));
        }
        let warnings = source.warnings()?;
        // Everything that can be checked without training, for the length of this run.
        let checked = Assembly::new(&config).and_then(|assembly| {
            assembly.check_start(&assembly.fresh()?)?;
            Ok(assembly.horizon())
        });
        let horizon = checked.map_err(|error| match error {
            Error::Setting(error) => source.locate(*error),
            other => other,
        })?;
        let config = config.pinned().map_err(Error::Pretrained)?;
        Ok(Self { name, file, variation: None, config, warnings, source, horizon })
    }

    /// Its configuration at a rate of a grid: see [`Config::at_rate`].
    pub(super) fn at_rate(&self, lr: f64) -> Result<Config, Error> {
        let config = self.config.at_rate(lr).map_err(|error| self.source.locate(error))?;
        Scheduler::from_config(&config.schedule, &self.horizon, vec![lr])
            .map_err(|error| self.source.locate(error.within("schedule")))?;
        Ok(config)
    }

    /// Its configuration with the rates left open that the finder is to choose: see [`Config::with_open_rates`].
    pub(super) fn with_open_rates(&self) -> Result<Config, Error> {
        self.config.with_open_rates().map_err(|error| self.source.locate(error))
    }

    /// Adds file and line to an error of its configuration.
    pub(super) fn locate(&self, error: ConfigError) -> Error {
        self.source.locate(error)
    }
}

impl Source {
    /// CONFIG's tables with those of the file.
    fn table(&self) -> Table {
        let mut table = self.base.table.clone();
        let Some((file, form)) = &self.file else { return table };
        if *form == Form::Bare {
            table.insert("schedule".to_owned(), Value::Table(file.table.clone()));
            return table;
        }
        for section in REPLACED {
            match file.table.get(section) {
                Some(value) => drop(table.insert(section.to_owned(), value.clone())),
                None if *form == Form::Whole => drop(table.remove(section)),
                None => {}
            }
        }
        table
    }

    fn replaces(&self, section: &str) -> bool {
        match &self.file {
            None => false,
            Some((_, Form::Bare)) => section == "schedule",
            Some((file, Form::Part)) => REPLACED.contains(&section) && file.table.contains_key(section),
            Some((_, Form::Whole)) => REPLACED.contains(&section),
        }
    }

    /// Adds file and line to an error: of the schedule file where the setting comes from it, else of CONFIG, naming the
    /// schedule file as well.
    fn locate(&self, mut error: ConfigError) -> Error {
        let section = error.path.split(['.', '[']).next().unwrap_or_default().to_owned();
        match &self.file {
            None => self.base.locate(error).into(),
            Some((file, form)) if self.replaces(&section) => {
                if *form == Form::Bare {
                    let inner = error.path.strip_prefix("schedule").unwrap_or_default();
                    error = ConfigError { path: inner.trim_start_matches('.').to_owned(), ..error };
                }
                file.locate(error).into()
            }
            Some((file, _)) => Error::Usage(format!("with {}: {}", file.origin(), self.base.locate(error))),
        }
    }

    /// What the file says that has no effect.
    fn warnings(&self) -> Result<Vec<String>, Error> {
        let Some((file, form)) = &self.file else { return Ok(Vec::new()) };
        let mut warnings = Vec::new();
        for key in self.base.overrides() {
            let section = key.split('.').next().unwrap_or_default();
            if self.replaces(section) {
                warnings.push(format!("--set {key} changes CONFIG; {} has its own [{section}]", file.origin()));
            }
        }
        if *form == Form::Whole {
            let differing = self.differing()?;
            if !differing.is_empty() {
                warnings.push(format!(
                    "{}: only its schedule, optimizer and groups are taken; CONFIG's {} differ and are those that run",
                    file.origin(),
                    differing.join(", ")
                ));
            }
        }
        Ok(warnings)
    }

    /// The settings of a whole configuration that are not taken and differ from CONFIG's.
    fn differing(&self) -> Result<Vec<String>, Error> {
        let Some((file, _)) = &self.file else { return Ok(Vec::new()) };
        let others = |table: &Table| {
            let mut table = table.clone();
            for section in ["run", "lr_finder"].iter().chain(&REPLACED) {
                table.remove(*section);
            }
            settings_of(&table)
        };
        // `[run]` is not used, so a device that this machine lacks is not an error.
        let mut without_run = file.table.clone();
        without_run.remove("run");
        let whole = Config::from_table(&without_run, &self.catalog).map_err(|error| file.locate(error))?;
        let base = Config::from_table(&self.base.table, &self.catalog).map_err(|error| self.base.locate(error))?;
        let (theirs, ours) = (others(&whole.to_table()), others(&base.to_table()));
        let is_free = |path: &str| path == "data.data_dir" || path == "data.workers";
        Ok(differing(&theirs, &ours).into_iter().filter(|path| !is_free(path)).cloned().collect())
    }
}

/// What a schedule file is.
fn form(document: &Document) -> Result<Form, Error> {
    let table = &document.table;
    if table.contains_key("type") {
        return Ok(Form::Bare);
    }
    check_sections(table).map_err(|error| document.locate(error))?;
    if table.keys().any(|section| !REPLACED.contains(&section.as_str())) {
        return Ok(Form::Whole);
    }
    if table.is_empty() {
        let expected = "`type = ...` at the top, or a [schedule], [optimizer] or [[groups]] table, or a whole config";
        return Err(document
            .locate(ConfigError::conflict("", format!("holds no schedule; expected {expected}")))
            .into());
    }
    Ok(Form::Part)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// The longest name of a contender's folder, in characters.
const LONGEST_NAME: usize = 60;

/// A name that a folder can have and that is not taken; case is ignored, since some file systems ignore it.
fn unlike(stem: &str, taken: &mut Vec<String>) -> String {
    let plain: String =
        stem.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '=') { c } else { '-' }).collect();
    // Longer names are no names of folders.
    let plain: String = plain.trim_start_matches('.').chars().take(LONGEST_NAME).collect();
    let plain = if plain.is_empty() { "schedule".to_owned() } else { plain };
    let mut name = plain.clone();
    let mut number = 2;
    while taken.contains(&name.to_lowercase()) {
        name = format!("{plain}-{number}");
        number += 1;
    }
    taken.push(name.to_lowercase());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_and_unlike_each_other() {
        let mut taken = vec!["compare.json".to_owned()];
        let stems = ["step", "step-2", "Step", "step", "a b/c", "..", "", "compare.json", "train.ema=0"];
        let names: Vec<String> = stems.iter().map(|stem| unlike(stem, &mut taken)).collect();
        let expected =
            ["step", "step-2", "Step-3", "step-4", "a-b-c", "schedule", "schedule-2", "compare.json-2", "train.ema=0"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_a_file_is() {
        let form_of = |text: &str| {
            let document = Document::parse(Origin::BuiltIn("a.toml"), text).expect("TOML");
            form(&document).map_err(|error| error.to_string())
        };
        assert_eq!(form_of("type = 'fixed'"), Ok(Form::Bare));
        assert_eq!(form_of("[schedule]\ntype = 'fixed'"), Ok(Form::Part));
        assert_eq!(form_of("[optimizer]\ntype = 'sgd'"), Ok(Form::Part));
        assert_eq!(form_of("[optimizer]\ntype = 'sgd'\n[train]\nepochs = 2"), Ok(Form::Whole));
        let refusal = |text| form_of(text).expect_err("a refusal");
        assert!(refusal("").starts_with("a.toml: holds no schedule; expected `type = ...`"), "{}", refusal(""));
        let unknown = refusal("\n[shedule]\ntype = 'fixed'");
        assert!(unknown.starts_with("a.toml:2: shedule: unknown field; did you mean `schedule`?"), "{unknown}");
    }
}
