//! The config that most commands are given, and what the command line changes in it.

use std::path::{Path, PathBuf};

use clap::Args;
use strict_config::ConfigError;
use toml::Value;

use crate::{
    config::{self, Catalog, Config, ConfigFileError, Document, Origin},
    error::Error,
};

/// Which config, and what to change in it.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// A TOML file; without it, the embedded digits example
    pub config: Option<PathBuf>,
    /// Change a setting, as in schedule.gamma=0.5; may be repeated. A changed `type` drops the rest of its table; only the optimizer's lr stays
    #[arg(long = "set", value_name = "key.path=value")]
    pub set: Vec<String>,
    /// Where to run: cpu, gpu, flex, ndarray, wgpu, vulkan, metal, cuda, with :N for the N-th
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Where data sets are looked for first
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What a command's own flags set: flag, field, value.
    #[arg(skip)]
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// The config that the arguments name, with their changes.
pub(super) fn configured(args: &ConfigArgs, epochs: Option<u64>, catalog: &Catalog) -> Result<Config, ConfigFileError> {
    Config::from_document(&document(args, epochs)?, catalog)
}

/// Its document.
pub(super) fn document(args: &ConfigArgs, epochs: Option<u64>) -> Result<Document, ConfigFileError> {
    let mut document = match &args.config {
        Some(path) => Document::read(path)?,
        None => Document::parse(Origin::BuiltIn("the embedded example"), config::DEFAULT)?,
    };
    document.set(&args.set)?;
    if let Some(device) = &args.device {
        document.set_by_flag("--device", "run.device", &quoted(device))?;
    }
    if let Some(data_dir) = &args.data_dir {
        // Data that need a folder are then missing, with the places that were looked in; others need none.
        if !data_dir.exists() {
            tracing::warn!("--data-dir {}: there is no such folder", data_dir.display());
        } else if !data_dir.is_dir() {
            let (origin, error) = (document.origin().clone(), no_folder(data_dir).into());
            return Err(ConfigFileError { origin, line: None, from_command_line: true, error });
        }
        document.set_by_flag("--data-dir", "data.data_dir", &quoted(&data_dir.display().to_string()))?;
    }
    for (flag, field, value) in &args.flags {
        document.set_by_flag(flag, field, value)?;
    }
    if let Some(epochs) = epochs {
        if let Some(Value::Table(train)) = document.table.get_mut("train") {
            train.remove("steps");
        }
        // A TOML number is at most so large.
        let within = i64::try_from(epochs);
        document.set_by_flag("--epochs", "train.epochs", &within.unwrap_or(i64::MAX).to_string())?;
        if within.is_err() {
            let allowed = format!("at most {}", i64::MAX);
            return Err(document.locate(ConfigError::not_allowed("train.epochs", epochs, allowed)));
        }
    }
    Ok(document)
}

/// A place for data that is none.
pub(super) fn no_folder(data_dir: &Path) -> ConfigError {
    ConfigError::not_allowed("--data-dir", format!("{:?}", data_dir.display().to_string()), "a folder that is there")
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The error with the file and line of the setting that it is about.
pub(super) fn located(document: &Document, error: Error) -> Error {
    match error {
        Error::Setting(error) => document.locate(*error).into(),
        other => other,
    }
}
