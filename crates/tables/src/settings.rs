//! The settings of a table, as its section of a config holds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, Settings, check};

use crate::read::{CsvFile, Format, Kind};

/// Which file is read, what its columns are and which of them is to be predicted.
///
/// ```
/// use tables::{Fill, TableSettings, TargetKind};
///
/// let text = r#"
///     path = "houses.csv"
///     target = "price"
///     categories = ["postcode"]
///     missing = { numbers = "median", columns = { garden = { value = "no" } } }
/// "#;
/// let settings: TableSettings = strict_config::read(&text.parse()?, "data")?;
/// assert_eq!((settings.task, settings.missing.numbers, settings.test), (TargetKind::Auto, Fill::Median, 0.2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// The CSV file: UTF-8, the first line names the columns.
    pub path: PathBuf,
    /// The column to predict.
    pub target: String,
    /// Whether the target is a class or a number. By default texts are classes, and so are at most 20 different whole
    /// numbers; everything else is a number.
    #[serde(default)]
    pub task: TargetKind,
    /// Columns that must hold numbers. A column that is named nowhere holds numbers where every cell of it is one, and
    /// categories otherwise.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Columns of categories, such as ids written as numbers.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Columns that are not looked at.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// What a cell without a value holds. Default: nothing, `NA`, `N/A`, `NaN`, `nan`, `null`, `NULL`.
    #[serde(default = "missing_values")]
    pub missing_values: Vec<String>,
    /// What fills missing values. Default: they are refused.
    #[serde(default)]
    pub missing: Missing,
    /// What separates cells: one ASCII character. Default: a comma.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The part of the rows that is held out for the one test at the end, from 0 to below 1. Default: 0.2.
    #[serde(default = "fifth")]
    pub test: f64,
    /// The seed of that part. It is not the run's, so that runs of several seeds are tested on the same rows. Default: 0.
    #[serde(default)]
    pub split_seed: u64,
}

/// What a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// What the column looks like.
    #[default]
    Auto,
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
}

/// What fills missing values. Means, medians and most frequent values are those of the training part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Missing {
    /// In columns of numbers. Default: `"refuse"`.
    pub numbers: Fill,
    /// In columns of categories. Default: `"refuse"`.
    pub categories: Fill,
    /// In single columns, by name.
    pub columns: BTreeMap<String, Fill>,
}

/// What fills a missing value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: it is an error.
    #[default]
    Refuse,
    /// The mean of the column, numbers only.
    Mean,
    /// The median of the column, numbers only.
    Median,
    /// The most frequent value of the column; of several the smallest.
    MostFrequent,
    /// This value.
    Value(FillValue),
}

/// A value that fills a missing one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FillValue {
    /// A number.
    Number(f64),
    /// A category.
    Text(String),
}

fn missing_values() -> Vec<String> {
    ["", "NA", "N/A", "NaN", "nan", "null", "NULL"].map(str::to_owned).to_vec()
}

fn comma() -> char {
    ','
}

fn fifth() -> f64 {
    0.2
}

impl TableSettings {
    /// The defaults for this file and target.
    pub fn new(path: impl AsRef<Path>, target: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            target: target.into(),
            task: TargetKind::Auto,
            numbers: Vec::new(),
            categories: Vec::new(),
            ignore: Vec::new(),
            missing_values: missing_values(),
            missing: Missing::default(),
            delimiter: comma(),
            test: fifth(),
            split_seed: 0,
        }
    }

    /// How cells are written.
    pub(crate) fn format(&self) -> Format {
        Format { delimiter: self.delimiter, missing_values: self.missing_values.clone() }
    }

    /// What the target is: as it is said, or as it looks, which takes a pass over the file. `None` where the file cannot
    /// tell, as [`Table::read`](crate::Table::read) then says.
    pub fn kind(&self) -> Option<TargetKind> {
        if self.task != TargetKind::Auto {
            return Some(self.task);
        }
        let file = CsvFile::open(&self.path, &self.format()).ok()?;
        let is_target: Vec<bool> = file.header.iter().map(|name| *name == self.target).collect();
        let at = is_target.iter().position(|is_target| *is_target)?;
        let (_, guesses) = file.scan(&is_target).ok()?;
        let guess = guesses.get(at).filter(|guess| guess.values > 0)?;
        Some(match guess.target(&self.target).ok()? {
            Kind::Numbers => TargetKind::Regression,
            Kind::Categories | Kind::Skipped => TargetKind::Classification,
        })
    }

    /// The columns that settings name, each with the setting.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &String)> {
        let list = |field: &'static str, names: &'_ [String]| {
            (0..names.len()).map(move |at| format!("{field}[{at}]")).collect::<Vec<_>>()
        };
        let lists = [("numbers", &self.numbers), ("categories", &self.categories), ("ignore", &self.ignore)];
        let lists = lists.into_iter().flat_map(move |(field, names)| list(field, names).into_iter().zip(names));
        let filled = self.missing.columns.keys().map(|name| (format!("missing.columns.{name}"), name));
        std::iter::once(("target".to_owned(), &self.target)).chain(lists).chain(filled)
    }
}

impl Settings for TableSettings {
    fn check(&self) -> Result<(), ConfigError> {
        check::is_allowed("path", "\"\"", "the path of a CSV file", !self.path.as_os_str().is_empty())?;
        check::below_one("test", self.test)?;
        let is_separator = self.delimiter.is_ascii() && !matches!(self.delimiter, '"' | '\n' | '\r');
        check::is_allowed("delimiter", self.delimiter, "one ASCII character, no quote and no newline", is_separator)?;
        let mut seen = BTreeMap::new();
        for (field, name) in self.named().filter(|(field, _)| !field.starts_with("missing.")) {
            if let Some(other) = seen.insert(name, field.clone()) {
                return Err(ConfigError::conflict(field, format!("`{name}` stands in `{other}` too")));
            }
        }
        for (field, fill) in self.missing.named() {
            if let Fill::Value(FillValue::Number(number)) = fill {
                check::number(&format!("{field}.value"), *number, "a finite number", |_| true)?;
            }
        }
        if let fill @ (Fill::Mean | Fill::Median) = &self.missing.categories {
            let allowed = "\"refuse\", \"most_frequent\" or { value = \"text\" }";
            return Err(ConfigError::not_allowed("missing.categories", fill.name(), allowed));
        }
        if self.missing.columns.contains_key(&self.target) {
            let field = format!("missing.columns.{}", self.target);
            return Err(ConfigError::conflict(field, "a target is not filled in"));
        }
        Ok(())
    }
}

impl Missing {
    /// What fills, each with its field.
    fn named(&self) -> impl Iterator<Item = (String, &Fill)> {
        let kinds = [("missing.numbers", &self.numbers), ("missing.categories", &self.categories)];
        let columns = self.columns.iter().map(|(name, fill)| (format!("missing.columns.{name}"), fill));
        kinds.into_iter().map(|(field, fill)| (field.to_owned(), fill)).chain(columns)
    }
}

impl Fill {
    /// As a config says it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Refuse => "\"refuse\"".to_owned(),
            Self::Mean => "\"mean\"".to_owned(),
            Self::Median => "\"median\"".to_owned(),
            Self::MostFrequent => "\"most_frequent\"".to_owned(),
            Self::Value(FillValue::Number(number)) => number.to_string(),
            Self::Value(FillValue::Text(text)) => format!("{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TableSettings, ConfigError> {
        strict_config::read(&text.parse().expect("TOML"), "data")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"path = "a.csv"
target = "y"
missing = { numbers = { value = 3 }, categories = { value = "none" }, columns = { a = "mean" } }
delimiter = ";""#;
        let settings = read(text).unwrap();
        assert_eq!(settings.missing.numbers, Fill::Value(FillValue::Number(3.0)));
        assert_eq!(settings.missing.columns["a"], Fill::Mean);
        let written = strict_config::write(&settings);
        assert_eq!(strict_config::read::<TableSettings>(&written, "").unwrap(), settings);
    }

    #[test]
    fn what_the_target_is_is_seen_or_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let settings = |target: &str| read(&format!("path = {path:?}\ntarget = {target:?}")).unwrap();
        for (cells, kind) in [("no\nyes", TargetKind::Classification), ("0.5\n2", TargetKind::Regression)] {
            std::fs::write(&path, format!("y\n{cells}\n")).unwrap();
            assert_eq!(settings("y").kind(), Some(kind));
            assert_eq!(
                TableSettings { task: TargetKind::Regression, ..settings("y") }.kind(),
                Some(TargetKind::Regression)
            );
        }
        assert_eq!(settings("z").kind(), None);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_field() {
        let cases = [
            ("", "data.path: missing; expected a string"),
            ("path = \"\"\ntarget = \"y\"", "data.path: \"\" is not allowed here; allowed: the path of a CSV file"),
            (
                "path = \"a\"\ntarget = \"y\"\ntest = 1.0",
                "data.test: 1 is not allowed here; allowed: a number from 0 to below 1",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\ndelimiter = \"ab\"",
                "data.delimiter: \"ab\" is not allowed here; allowed: a character",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\nnumbers = [\"a\"]\ncategories = [\"b\", \"a\"]",
                "data.categories[1]: `a` stands in `numbers[0]` too",
            ),
            ("path = \"a\"\ntarget = \"y\"\nignore = [\"y\"]", "data.ignore[0]: `y` stands in `target` too"),
            (
                "path = \"a\"\ntarget = \"y\"\nmissing = { categories = \"mean\" }",
                "data.missing.categories: \"mean\" is not allowed here; allowed: \"refuse\", \"most_frequent\" or { value = \"text\" }",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\nmissing = { columns = { y = \"mean\" } }",
                "data.missing.columns.y: a target is not filled in",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\nmissing = { columns = { a = { value = nan } } }",
                "data.missing.columns.a.value: NaN is not allowed here; allowed: a finite number",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\nmissing = { numbers = { value = -inf } }",
                "data.missing.numbers.value: -inf is not allowed here; allowed: a finite number",
            ),
            (
                "path = \"a\"\ntarget = \"y\"\ntask = \"regresion\"",
                "data.task: there is no task `regresion`; did you mean `regression`? (known: auto, classification, regression)",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
    }
}
