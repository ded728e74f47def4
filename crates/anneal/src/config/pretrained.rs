//! `[model] pretrained`: weights to start from.

use std::path::PathBuf;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::weights::{self, Layout, LoadOptions, WeightsError};

use super::put;

const FIELDS: &[&str] = &["path", "strict", "remap", "only", "except", "layout", "sha256"];
const LAYOUTS: &[(&str, Layout)] = &[("pytorch", Layout::PyTorch), ("burn", Layout::Burn)];

/// `[model] pretrained`: a path, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainedSection {
    /// A file (burnpack, safetensors, PyTorch), a checkpoint's folder or a run's folder.
    pub path: PathBuf,
    /// Whether every selected parameter must be in it. Default true.
    pub strict: bool,
    /// Renames what is in the file: pairs of a regular expression and its replacement. Default none.
    pub remap: Vec<(String, String)>,
    /// Patterns: only these parameters of the model. Default: all.
    pub only: Vec<String>,
    /// Patterns: not these parameters of the model, which start as the seed draws them. Default none.
    pub except: Vec<String>,
    /// The layout of the file, where it is not the one its format usually has.
    pub layout: Option<Layout>,
    /// The SHA-256 of the weights: another file is refused. A run records it here when it starts.
    pub sha256: Option<String>,
}

impl PretrainedSection {
    /// Reads the field `pretrained` of `[model]`.
    pub(super) fn from_fields(model: &Fields<'_>) -> Result<Option<Self>, ConfigError> {
        let path = model.path_of("pretrained");
        let section = match model.value("pretrained") {
            None => return Ok(None),
            Some(Value::String(file)) => Self::whole(file, &path)?,
            Some(Value::Table(table)) => Self::from_table(table, &path)?,
            Some(other) => return Err(model.wrong_type("pretrained", "a path or a table with a `path`", other)),
        };
        Ok(Some(section))
    }

    fn whole(file: &str, path: &str) -> Result<Self, ConfigError> {
        if file.is_empty() {
            return Err(ConfigError::not_allowed(path, "\"\"", "a file, a checkpoint's folder or a run's folder"));
        }
        Ok(Self {
            path: file.into(),
            strict: true,
            remap: Vec::new(),
            only: Vec::new(),
            except: Vec::new(),
            layout: None,
            sha256: None,
        })
    }

    fn from_table(table: &Table, path: &str) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, path, FIELDS)?;
        let file = fields.need_str("path", "a file, a checkpoint's folder or a run's folder")?;
        let sha256 = fields.str("sha256")?;
        if let Some(sha256) = sha256.filter(|text| text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit())) {
            let allowed = "64 hexadecimal digits";
            return Err(ConfigError::not_allowed(fields.path_of("sha256"), format!("{sha256:?}"), allowed));
        }
        let section = Self {
            strict: fields.bool("strict")?.unwrap_or(true),
            remap: pairs(&fields)?,
            only: patterns(&fields, "only")?,
            except: patterns(&fields, "except")?,
            layout: fields.choice("layout", LAYOUTS)?,
            sha256: sha256.map(str::to_ascii_lowercase),
            ..Self::whole(file, &fields.path_of("path"))?
        };
        section.options().map_err(|(field, error)| ConfigError::conflict(fields.path_of(&field), error.to_string()))?;
        Ok(section)
    }

    /// Every setting explicit.
    pub(super) fn to_table(&self) -> Table {
        let strings = |texts: &[String]| texts.iter().cloned().map(Value::String).collect::<Vec<_>>();
        let mut table = Table::new();
        put(&mut table, "path", Some(self.path.display().to_string()));
        put(&mut table, "strict", Some(self.strict));
        let pairs = self.remap.iter().map(|(from, to)| Value::Array(vec![from.clone().into(), to.clone().into()]));
        put(&mut table, "remap", Some(pairs.collect::<Vec<_>>()));
        put(&mut table, "only", Some(strings(&self.only)));
        put(&mut table, "except", Some(strings(&self.except)));
        let layout = LAYOUTS.iter().find(|(_, layout)| Some(*layout) == self.layout);
        put(&mut table, "layout", layout.map(|(name, _)| (*name).to_owned()));
        put(&mut table, "sha256", self.sha256.clone());
        table
    }

    /// The same, with the SHA-256 of what is there now, where none is recorded yet. So a run's configuration names the
    /// weights that it started from, and not only where they were.
    pub(super) fn pin(&mut self) -> Result<(), WeightsError> {
        if self.sha256.is_none() {
            self.sha256 = Some(weights::sha256(&self.path)?);
        }
        Ok(())
    }

    /// The settings as the trainer takes them.
    ///
    /// # Errors
    /// A pattern that cannot be read, with its field.
    pub fn options(&self) -> Result<LoadOptions, (String, WeightsError)> {
        let mut options = LoadOptions::new().strict(self.strict);
        for (i, (from, to)) in self.remap.iter().enumerate() {
            options = options.remap(from, to).map_err(|error| (format!("remap[{i}]"), error))?;
        }
        for (i, pattern) in self.only.iter().enumerate() {
            options = options.only(pattern).map_err(|error| (format!("only[{i}]"), error))?;
        }
        for (i, pattern) in self.except.iter().enumerate() {
            options = options.except(pattern).map_err(|error| (format!("except[{i}]"), error))?;
        }
        if let Some(layout) = self.layout {
            options = options.layout(layout);
        }
        if let Some(sha256) = &self.sha256 {
            options = options.expect_sha256(sha256);
        }
        Ok(options)
    }
}

/// A pattern, or an array of patterns.
fn patterns(fields: &Fields<'_>, field: &str) -> Result<Vec<String>, ConfigError> {
    if let Some(Value::String(pattern)) = fields.value(field) {
        return Ok(vec![pattern.clone()]);
    }
    let items = fields.array(field)?.unwrap_or_default().iter().enumerate();
    items
        .map(|(i, item)| text(item, &format!("{}[{i}]", fields.path_of(field)), "a pattern on parameter paths"))
        .collect()
}

/// `[["^backbone\\.", ""]]`.
fn pairs(fields: &Fields<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    const EXPECTED: &str = "a pair of a regular expression and its replacement, as in [\"^backbone\\\\.\", \"\"]";
    let items = fields.array("remap")?.unwrap_or_default().iter().enumerate();
    items
        .map(|(i, item)| {
            let path = format!("{}[{i}]", fields.path_of("remap"));
            match item.as_array().map(Vec::as_slice) {
                Some([from, to]) => Ok((text(from, &path, EXPECTED)?, text(to, &path, EXPECTED)?)),
                _ => Err(wrong_type(&path, EXPECTED, item)),
            }
        })
        .collect()
}

fn text(value: &Value, path: &str, expected: &str) -> Result<String, ConfigError> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(path, expected, value))
}

fn wrong_type(path: &str, expected: &str, found: &Value) -> ConfigError {
    let problem =
        strict_config::Problem::WrongType { expected: expected.to_owned(), found: strict_config::show(found) };
    ConfigError::new(path, problem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
mod tests {
    use super::*;
    use crate::config::ModelSection;

    fn read(text: &str) -> Result<Option<PretrainedSection>, ConfigError> {
        ModelSection::from_table(&text.parse().unwrap()).map(|section| section.pretrained)
    }

    #[test]
    fn a_path_alone_is_the_table_of_defaults() {
        let section = read("pretrained = 'a.pt'").unwrap();
        assert_eq!(section, read("pretrained = { path = 'a.pt', strict = true, remap = [], only = [] }").unwrap());
        assert_eq!(read("type = 'lenet'").unwrap(), None);
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let sha = "ab".repeat(32);
        let text = format!(
            "pretrained = {{ path = 'a.pt', strict = false, remap = [['^x\\.', ''], ['a', 'b']], except = 'fc*', \
             only = ['conv*', 'fc*'], layout = 'burn', sha256 = '{sha}' }}"
        );
        let section = ModelSection::from_table(&text.parse().unwrap()).unwrap();
        assert_eq!(section.pretrained.as_ref().unwrap().except, ["fc*"]);
        assert_eq!(ModelSection::from_table(&section.to_table()).unwrap(), section);
    }

    #[test]
    fn a_refusal_names_the_field() {
        let cases = [
            ("pretrained = 3", "model.pretrained: expected a path or a table with a `path`, found 3"),
            ("pretrained = ''", "model.pretrained: \"\" is not allowed here; allowed: a file, a checkpoint's folder"),
            ("pretrained = { pat = 'a' }", "model.pretrained.pat: unknown field; did you mean `path`?"),
            ("pretrained = { strict = true }", "model.pretrained.path: missing; expected a file"),
            ("pretrained = { path = 'a', remap = ['x'] }", "model.pretrained.remap[0]: expected a pair of a regular"),
            ("pretrained = { path = 'a', remap = [['(', '']] }", "model.pretrained.remap[0]: `(` is no pattern"),
            ("pretrained = { path = 'a', except = ['/(/'] }", "model.pretrained.except[0]: `/(/` is no pattern"),
            ("pretrained = { path = 'a', only = [1] }", "model.pretrained.only[0]: expected a pattern"),
            ("pretrained = { path = 'a', layout = 'torch' }", "there is no layout `torch`; did you mean `pytorch`?"),
            ("pretrained = { path = 'a', sha256 = 'x' }", "model.pretrained.sha256: \"x\" is not allowed here"),
        ];
        for (text, message) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
