//! `[run]`: what the run is called, where it runs, where it writes.

use std::path::PathBuf;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use super::put;
use crate::device::DeviceName;

/// A log that a run can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Logger {
    /// `metrics.jsonl`, which every run writes: plots, reports and resuming read it.
    JsonLines,
    /// `metrics.csv`.
    Csv,
    /// TensorBoard's event files.
    TensorBoard,
}

impl Logger {
    const ALL: [Self; 3] = [Self::JsonLines, Self::Csv, Self::TensorBoard];

    /// Its name in a config: `jsonl`, `csv`, `tensorboard`.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::TensorBoard => "tensorboard",
        }
    }

    /// Reads `loggers`: each at most once; `jsonl` is among them, named or not.
    fn read(fields: &Fields<'_>) -> Result<Vec<Self>, ConfigError> {
        let Some(names) = fields.array("loggers")? else { return Ok(vec![Self::JsonLines, Self::TensorBoard]) };
        let mut loggers = vec![Self::JsonLines];
        let mut seen: Vec<&str> = Vec::new();
        for (number, value) in names.iter().enumerate() {
            let path = format!("{}[{number}]", fields.path_of("loggers"));
            let Some(name) = value.as_str() else {
                return Err(ConfigError::not_allowed(path, strict_config::show(value), "the name of a logger"));
            };
            let Some(logger) = Self::ALL.into_iter().find(|logger| logger.name() == name) else {
                return Err(ConfigError::unknown_name(path, "logger", name, Self::ALL.map(Self::name)));
            };
            if seen.contains(&name) {
                return Err(ConfigError::not_allowed(path, format!("{name:?} a second time"), "each logger once"));
            }
            seen.push(name);
            if logger != Self::JsonLines {
                loggers.push(logger);
            }
        }
        loggers.sort_unstable();
        Ok(loggers)
    }
}

/// `[run]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSection {
    /// Names the run folder. Default `run`.
    pub name: String,
    /// Seeds initialisation, split, shuffle, dropout and augmentation. Default 42.
    pub seed: u64,
    /// Where it runs: `cpu`, `gpu`, `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, with `:N`. Default `cpu`.
    pub device: DeviceName,
    /// The folder that run folders are made in. Default `runs`.
    pub out_dir: PathBuf,
    /// The logs that are written: `jsonl` (always, named or not), `csv`, `tensorboard`. Default
    /// `["jsonl", "tensorboard"]`.
    pub loggers: Vec<Logger>,
}

impl RunSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, "run", &["name", "seed", "device", "out_dir", "loggers"])?;
        let name = fields.str("name")?.unwrap_or("run");
        if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
            return Err(ConfigError::not_allowed(fields.path_of("name"), format!("{name:?}"), "a name for a folder"));
        }
        let device = fields.str("device")?.unwrap_or("cpu");
        Ok(Self {
            name: name.to_owned(),
            seed: fields.u64("seed")?.unwrap_or(42),
            device: DeviceName::parse(device, &fields.path_of("device"))?,
            out_dir: fields.str("out_dir")?.unwrap_or("runs").into(),
            loggers: Logger::read(&fields)?,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "name", Some(self.name.clone()));
        put(&mut table, "seed", Some(self.seed as i64));
        put(&mut table, "device", Some(self.device.to_string()));
        put(&mut table, "out_dir", Some(self.out_dir.display().to_string()));
        let loggers: Vec<Value> = self.loggers.iter().map(|logger| Value::from(logger.name())).collect();
        put(&mut table, "loggers", Some(loggers));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loggers(text: &str) -> Result<Vec<Logger>, String> {
        let table: Table = text.parse().expect("TOML");
        RunSection::from_table(&table).map(|section| section.loggers).map_err(|error| error.to_string())
    }

    #[test]
    fn loggers_are_named_once_and_the_log_is_always_written() {
        use Logger::{Csv, JsonLines, TensorBoard};
        for (text, expected) in [
            ("", vec![JsonLines, TensorBoard]),
            ("loggers = []", vec![JsonLines]),
            ("loggers = ['csv']", vec![JsonLines, Csv]),
            ("loggers = ['tensorboard', 'csv', 'jsonl']", vec![JsonLines, Csv, TensorBoard]),
        ] {
            assert_eq!(loggers(text).expect(text), expected);
        }
        for (text, expected) in [
            (
                "loggers = ['tensorbord']",
                "run.loggers[0]: there is no logger `tensorbord`; did you mean `tensorboard`?",
            ),
            ("loggers = ['csv', 'csv']", "run.loggers[1]: \"csv\" a second time is not allowed here"),
            ("loggers = [1]", "run.loggers[0]: 1 is not allowed here"),
            ("loggers = 'csv'", "run.loggers: expected"),
        ] {
            let error = loggers(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_resolved_section_reads_back() {
        let table: Table = "name = 'a'\nloggers = ['csv']".parse().expect("TOML");
        let section = RunSection::from_table(&table).expect("read");
        assert_eq!(RunSection::from_table(&section.to_table()).expect("read back"), section);
    }
}
