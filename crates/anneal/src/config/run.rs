//! `[run]`: what the run is called, where it runs, where it writes.

use std::path::PathBuf;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use strict_config::{ConfigError, Problem, Settings, check, raise, settings};
use toml::Value;

use crate::device::DeviceName;

/// A log that a run can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logger {
    /// `metrics.jsonl`, which every run writes: plots, reports and resuming read it.
    #[serde(rename = "jsonl")]
    JsonLines,
    /// `metrics.csv`.
    Csv,
    /// TensorBoard's event files.
    TensorBoard,
}

/// Reads `loggers`: each at most once; `jsonl` is among them, named or not.
fn loggers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Logger>, D::Error> {
    let mut seen: Vec<Logger> = Vec::new();
    for (number, value) in Vec::<Value>::deserialize(deserializer)?.iter().enumerate() {
        let path = format!("[{number}]");
        let Some(name) = value.as_str() else {
            return Err(raise(ConfigError::not_allowed(path, strict_config::show(value), "the name of a logger")));
        };
        let logger = Logger::deserialize(name.into_deserializer()).map_err(|mut error: ConfigError| {
            if let Problem::UnknownName { kind, .. } = &mut error.problem {
                "logger".clone_into(kind);
            }
            raise(error.within(&path))
        })?;
        if seen.contains(&logger) {
            return Err(raise(ConfigError::not_allowed(path, format!("{name:?} a second time"), "each logger once")));
        }
        seen.push(logger);
    }
    if !seen.contains(&Logger::JsonLines) {
        seen.push(Logger::JsonLines);
    }
    seen.sort_unstable();
    Ok(seen)
}

settings! {
    /// `[run]`.
    pub struct RunSection {
        /// Names the run folder. Default `run`.
        pub name: String = "run".to_owned(),
        /// Seeds initialisation, split, shuffle, dropout and augmentation. Default 42.
        pub seed: u64 = 42,
        /// Where it runs: `cpu`, `gpu`, `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, with `:N`. Default `cpu`.
        pub device: DeviceName = DeviceName::CPU,
        /// The folder that run folders are made in. Default `runs`.
        pub out_dir: PathBuf = "runs".into(),
        /// The logs that are written: `jsonl` (always, named or not), `csv`, `tensorboard`. Default
        /// `["jsonl", "tensorboard"]`.
        #[serde(deserialize_with = "loggers")]
        pub loggers: Vec<Logger> = vec![Logger::JsonLines, Logger::TensorBoard],
    }
}

impl Settings for RunSection {
    fn check(&self) -> Result<(), ConfigError> {
        let name = self.name.as_str();
        let is_folder = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
        check::is_allowed("name", format!("{name:?}"), "a name for a folder", is_folder)
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    fn loggers(text: &str) -> Result<Vec<Logger>, String> {
        let table: Table = text.parse().expect("TOML");
        strict_config::read::<RunSection>(&table, "run")
            .map(|section| section.loggers)
            .map_err(|error| error.to_string())
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
        let section = strict_config::read::<RunSection>(&table, "run").expect("read");
        assert_eq!(
            strict_config::read::<RunSection>(&strict_config::write(&section), "run").expect("read back"),
            section
        );
    }
}
