//! `[model] pretrained`: weights to start from.

use std::path::PathBuf;

use strict_config::ConfigError;
use toml::{Table, Value};
use trainer::weights::{self, LoadOptions, WeightsError};

use super::put;

/// `[model] pretrained`: a path, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainedSection {
    /// A file (burnpack, safetensors, PyTorch), a checkpoint's folder or a run's folder.
    pub path: PathBuf,
    /// What of it goes where. The SHA-256 is recorded when a run starts.
    pub options: LoadOptions,
}

const PATH: &str = "a file, a checkpoint's folder or a run's folder";

impl PretrainedSection {
    /// Reads the value of the field; errors name their fields relative to it.
    pub(super) fn read(value: &Value) -> Result<Self, ConfigError> {
        match value {
            Value::String(path) => Self::of("", path, LoadOptions::new()),
            Value::Table(table) => {
                let mut own = table.clone();
                let path = own.remove("path");
                let options = strict_config::read(&own, "").map_err(|error| error.with_known(&["path"]))?;
                match path {
                    Some(Value::String(path)) => Self::of("path", &path, options),
                    Some(other) => Err(ConfigError::wrong_type("path", "a string", &other)),
                    None => Err(ConfigError::missing("path", PATH)),
                }
            }
            other => Err(ConfigError::wrong_type("", "a path or a table with a `path`", other)),
        }
    }

    fn of(field: &str, path: &str, options: LoadOptions) -> Result<Self, ConfigError> {
        strict_config::check::is_allowed(field, format!("{path:?}"), PATH, !path.is_empty())?;
        Ok(Self { path: path.into(), options })
    }

    /// Every setting explicit.
    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "path", Some(self.path.display().to_string()));
        table.extend(strict_config::write(&self.options));
        table
    }

    /// The same, with the SHA-256 of what is there now, where none is recorded yet. So a run's configuration names the
    /// weights that it started from, and not only where they were.
    pub(super) fn pin(&mut self) -> Result<(), WeightsError> {
        if self.options.expected_sha256().is_none() {
            self.options = std::mem::take(&mut self.options).expect_sha256(weights::sha256(&self.path)?);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
mod tests {
    use super::*;
    use crate::config::{Catalog, Config};

    fn model(text: &str) -> Result<Config, ConfigError> {
        let text = format!("[optimizer]\ntype = 'sgd'\nlr = 1\n[model]\n{text}");
        Config::from_table(&text.parse().unwrap(), Catalog::standard())
    }

    fn read(text: &str) -> Result<Option<PretrainedSection>, ConfigError> {
        model(text).map(|config| config.model.pretrained)
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
        let (config, catalog) = (model(&text).unwrap(), Catalog::standard());
        assert_eq!(config.to_table()["model"]["pretrained"]["except"], toml::Value::from(vec!["fc*"]));
        assert_eq!(Config::from_table(&config.to_table(), &catalog).unwrap().model, config.model);
    }

    #[test]
    fn a_refusal_names_the_field() {
        let cases = [
            ("pretrained = 3", "model.pretrained: expected a path or a table with a `path`, found 3"),
            ("pretrained = ''", "model.pretrained: \"\" is not allowed here; allowed: a file, a checkpoint's folder"),
            ("pretrained = { pat = 'a' }", "model.pretrained.pat: unknown field; did you mean `path`?"),
            ("pretrained = { strict = true }", "model.pretrained.path: missing; expected a file"),
            ("pretrained = { path = 'a', remap = ['x'] }", "model.pretrained.remap[0]: expected a pair of a regular"),
            ("pretrained = { path = 'a', remap = [['(', '']] }", "model.pretrained.remap[0]: `(` is not a pattern"),
            ("pretrained = { path = 'a', except = ['/(/'] }", "model.pretrained.except[0]: `/(/` is not a pattern"),
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
