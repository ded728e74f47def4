//! `[run]`: what the run is called, where it runs, where it writes.

use std::path::PathBuf;

use strict_config::{ConfigError, Fields};
use toml::Table;

use super::put;
use crate::device::DeviceName;

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
}

impl RunSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, "run", &["name", "seed", "device", "out_dir"])?;
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
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "name", Some(self.name.clone()));
        put(&mut table, "seed", Some(self.seed as i64));
        put(&mut table, "device", Some(self.device.to_string()));
        put(&mut table, "out_dir", Some(self.out_dir.display().to_string()));
        table
    }
}
