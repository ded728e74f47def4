//! One thing that a configuration can name, with the fields of its table and their defaults; and text that fits a terminal.

use std::fmt::Write;

use lr_core::ScheduleConfig;
use optim_adaptive::{ConfigError, OptimizerConfig};
use serde_json::{Map, Value, json};
use strict_config::Problem;
use toml::Table;
use vision::models::ModelConfig;

use crate::{
    config::Catalog,
    error::Error,
    task::{FOLDER, ListedModel, TaskEntry},
};

/// What is described: its name, a summary, a word on when it changes or what it holds, its fields.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) summary: String,
    notes: Vec<String>,
    fields: Vec<Field>,
}

/// A field of a table.
struct Field {
    name: String,
    /// What it holds where it is not given; `None` where that is nothing.
    default: Option<toml::Value>,
    /// Whether it has to be given: as `default` shows, where an example is known.
    is_required: bool,
}

impl Described {
    /// The schedule of this name.
    pub(super) fn schedule(name: &str, catalog: &Catalog) -> Result<Self, Error> {
        let Some(entry) = catalog.schedules.get(name) else {
            let names = catalog.schedules.iter().map(lr_core::StrategyInfo::name);
            return Err(ConfigError::unknown_name("list", "schedule", name, names).into());
        };
        // Its tests hold every example.
        let example: Table = entry.example().parse().unwrap_or_default();
        let read = |given: &Table| {
            let mut table = given.clone();
            table.insert("type".to_owned(), entry.name().into());
            ScheduleConfig::from_table_with(&table, "", &catalog.schedules).map(|config| config.to_table())
        };
        let mut notes = vec![format!(
            "ticks are {}s unless `interval` says otherwise; any schedule takes `warmup`",
            entry.interval().name()
        )];
        if !entry.aliases().is_empty() {
            notes.push(format!("also called {}", entry.aliases().join(", ")));
        }
        Ok(Self {
            name: entry.name().to_owned(),
            summary: entry.summary().to_owned(),
            notes,
            fields: fields(entry.fields().iter().copied(), &example, read),
        })
    }

    /// The optimizer of this name.
    pub(super) fn optimizer(name: &str, catalog: &Catalog) -> Result<Self, Error> {
        let known = || catalog.optimizers.iter();
        let Some((name, summary)) = known().find(|(known, _)| *known == name) else {
            return Err(ConfigError::unknown_name("list", "optimizer", name, known().map(|(name, _)| name)).into());
        };
        let read = |given: &Table| {
            let mut table = given.clone();
            table.insert("type".to_owned(), name.into());
            OptimizerConfig::from_table_with(&table, "", &catalog.optimizers).map(|config| config.to_table())
        };
        let (_, held) = filled(&Table::new(), read);
        let names = held.keys().map(String::as_str).filter(|field| *field != "type");
        let fields = fields(names, &Table::new(), read);
        Ok(Self { name: name.to_owned(), summary: summary.to_owned(), notes: Vec::new(), fields })
    }

    /// A model of a task.
    pub(super) fn task_model(task: &dyn TaskEntry, model: &ListedModel) -> Self {
        let read = |given: &Table| task.model(model.name, given);
        let mut fields = fields(model.fields.iter().copied(), &Table::new(), read);
        fields.push(Field { name: "pretrained".to_owned(), default: None, is_required: false });
        Self { name: model.name.to_owned(), summary: model.summary.to_owned(), notes: Vec::new(), fields }
    }

    /// A model of images.
    pub(super) fn model(model: &ModelConfig) -> Self {
        let info = model.info();
        let mut table = model.write();
        table.insert("label_smoothing".to_owned(), 0.0.into());
        Self::of_table(info.name, info.summary, &table, &["pretrained"])
    }

    /// The data set of this name.
    pub(super) fn dataset(name: &str, catalog: &Catalog) -> Result<Self, Error> {
        if name == FOLDER {
            let table = strict_config::write(&vision::FolderOptions::default());
            let mut of_folder = Self::of_table(name, FOLDER_SUMMARY, &table, &[]);
            let path = Field { name: "path".to_owned(), default: Some("/data/flowers".into()), is_required: true };
            of_folder.fields.insert(0, path);
            return Ok(of_folder);
        }
        if let Some(task) = catalog.tasks.iter().find(|task| task.name() == name) {
            let fields = fields(task.fields().into_iter(), &Table::new(), |given| task.data(given));
            let (name, summary) = (task.name().to_owned(), task.summary().to_owned());
            return Ok(Self { name, summary, notes: Vec::new(), fields });
        }
        let of_tasks = || catalog.tasks.iter().map(|task| task.name());
        let names = || catalog.datasets.iter().map(|info| info.name).chain([FOLDER]).chain(of_tasks());
        if !names().any(|known| known == name) {
            return Err(ConfigError::unknown_name("list", "data set", name, names()).into());
        }
        let info = catalog.datasets.info(name)?;
        let mut notes = vec![format!(
            "{}, {} training and {} test images, {} classes",
            info.shape,
            info.train,
            info.test,
            info.classes.len()
        )];
        notes.extend((!info.origin.is_empty()).then(|| format!("from {}", info.origin)));
        let fields = catalog.datasets.own(name).map_or_else(Vec::new, |own| {
            fields(own.fields.iter().copied(), &Table::new(), |given| Ok(own.read(given)?.write()))
        });
        Ok(Self { name: name.to_owned(), summary: info.summary.to_owned(), notes, fields })
    }

    /// What a table holds by itself, and the fields that it has not.
    fn of_table(name: &str, summary: &str, table: &Table, others: &[&str]) -> Self {
        let held = table.iter().filter(|(field, _)| *field != "type");
        let held =
            held.map(|(field, value)| Field { name: field.clone(), default: Some(value.clone()), is_required: false });
        let others = others.iter().map(|name| Field { name: (*name).to_owned(), default: None, is_required: false });
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            notes: Vec::new(),
            fields: held.chain(others).collect(),
        }
    }

    pub(super) fn to_text(&self, width: usize) -> String {
        let mut text = entry(&self.name, &self.summary, self.name.chars().count(), width);
        for note in &self.notes {
            text += &wrapped(note, 2, width);
        }
        let column = self.fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
        for field in &self.fields {
            let told = match (field.is_required, field.default.as_ref().map(shown)) {
                (true, Some(example)) => format!("required, as in {example}"),
                (true, None) => "required".to_owned(),
                (false, default) => default.unwrap_or_else(|| "none".to_owned()),
            };
            let lines = wrapped(&told, 4 + column, width);
            let _ = write!(text, "  {:<column$}  {}", field.name, lines.trim_start());
        }
        text
    }

    /// The names of the fields.
    pub(super) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.name.as_str()).collect()
    }

    /// The defaults of the fields that have one.
    pub(super) fn defaults(&self) -> Map<String, Value> {
        let held = self.fields.iter().filter(|field| !field.is_required);
        held.filter_map(|field| Some((field.name.clone(), json!(field.default.as_ref()?)))).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let fields = self.fields.iter().map(|field| {
            json!({ "name": field.name, "required": field.is_required, "default": field.default.as_ref().filter(|_| !field.is_required) })
        });
        json!({ "name": self.name, "summary": self.summary, "fields": fields.collect::<Vec<_>>() })
    }
}

/// What `folder` is, in a line.
pub(super) const FOLDER_SUMMARY: &str =
    "images of your own by class: train/CLASS/*.png or *.jpg in the folder that `path` names";

/// A value as a person writes it: `1e-8`, not its eight zeros.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(number) if *number != 0.0 && !(1e-3..1e6).contains(&number.abs()) => format!("{number:e}"),
        other => other.to_string(),
    }
}

/// The fields of a table with what `read` makes of one that lacks them.
fn fields<'f>(
    names: impl Iterator<Item = &'f str>,
    example: &Table,
    read: impl Fn(&Table) -> Result<Table, ConfigError>,
) -> Vec<Field> {
    let (given, held) = filled(example, read);
    let field = |name: &str| {
        let is_required = given.contains_key(name);
        let default = if is_required { example.get(name) } else { held.get(name) };
        Field { name: name.to_owned(), default: default.cloned(), is_required }
    };
    names.map(field).collect()
}

/// A table of what has to be given, as in the example or as something of its type, and what `read` makes of it.
fn filled(example: &Table, read: impl Fn(&Table) -> Result<Table, ConfigError>) -> (Table, Table) {
    let mut given = Table::new();
    loop {
        match read(&given) {
            Ok(held) => return (given, held),
            Err(ConfigError { path, problem: Problem::Missing { expected } }) if !given.contains_key(&path) => {
                let something = || match expected.as_str() {
                    whole if whole.contains("whole number") => 1.into(),
                    number if number.contains("number") => 1e-3.into(),
                    flag if flag.contains("true or false") => false.into(),
                    _ => "...".into(),
                };
                let value = example.get(&path).cloned().unwrap_or_else(something);
                given.insert(path, value);
            }
            Err(_) => return (given, example.clone()),
        }
    }
}

/// A name, and what is said of it beside it in a column from `column` on, in lines that fit. What has no room beside a long
/// name begins below it.
pub(super) fn entry(name: &str, text: &str, column: usize, width: usize) -> String {
    let indent = column + 2;
    let lines = wrapped(text, indent, width);
    if name.chars().count() > column {
        format!("{name}\n{lines}")
    } else {
        format!("{name:<column$}  {}", lines.trim_start())
    }
}

/// Words in lines of at most `width` characters, each after `indent` spaces. A word that is longer than a line has one of its
/// own.
pub(super) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if at > 0 && at + 1 + length > width {
            out.push('\n');
            at = 0;
        }
        if at == 0 {
            out.extend(std::iter::repeat_n(' ', indent));
            at = indent;
        } else {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_never_cut() {
        assert_eq!(wrapped("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(wrapped("a-word-of-its-own b", 4, 8), "    a-word-of-its-own\n    b\n");
        assert_eq!(entry("step", "down by gamma", 6, 14), "step    down\n        by\n        gamma\n");
        assert_eq!(entry("transformers/cosine", "down", 6, 80), "transformers/cosine\n        down\n");
    }

    #[test]
    fn fields_have_the_defaults_that_a_configuration_has() {
        let catalog = Catalog::standard();
        let text = |described: Result<Described, Error>| described.expect("it is there").to_text(80);
        let step = text(Described::schedule("step", &catalog));
        let adam = text(Described::optimizer("adam", &catalog));
        let folder = text(Described::dataset("folder", &catalog));
        let language = text(Described::dataset("text", &catalog));
        for (text, field, expected) in [
            (&step, "step_size", "required, as in "),
            (&step, "gamma", "0.1"),
            (&adam, "betas", "[0.9, 0.999]"),
            (&adam, "eps", "1e-8"),
            (&folder, "path", "required, as in \"/data/flowers\""),
            (&folder, "image_size", "32"),
            (&language, "path", "required"),
            (&language, "context", "128"),
        ] {
            let told = text.lines().find_map(|line| line.trim_start().strip_prefix(field));
            assert!(told.is_some_and(|told| told.trim_start().starts_with(expected)), "{field} in\n{text}");
        }
        let refusal = Described::schedule("setp", &catalog).err().expect("a refusal").to_string();
        assert!(refusal.contains("there is no schedule `setp`; did you mean `step`?"), "{refusal}");
    }

    #[test]
    fn everything_can_be_described_and_fits() {
        let catalog = Catalog::standard();
        let schedules = catalog.schedules.iter().map(|entry| Described::schedule(entry.name(), &catalog));
        let optimizers = catalog.optimizers.iter().map(|(name, _)| Described::optimizer(name, &catalog));
        let datasets = catalog.datasets.iter().map(|info| Described::dataset(info.name, &catalog));
        let tasks = catalog.tasks.iter().map(|task| Described::dataset(task.name(), &catalog));
        for described in schedules.chain(optimizers).chain(datasets).chain(tasks) {
            let described = described.expect("it is there");
            let text = described.to_text(80);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= 80, "{longest} columns:\n{text}");
        }
    }
}
