//! Tables from the outside: what is read, what is refused and in which words, what is fitted, what a network does.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod bad_input;
mod model;
mod preprocessing;
mod reading;
mod real;
mod torch;

use std::path::PathBuf;

use tables::{Table, TableError, TableSettings};
use tempfile::TempDir;

/// A CSV file in a folder of its own.
pub(crate) struct Csv {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Csv {
    pub(crate) fn new(content: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.csv");
        std::fs::write(&path, content).expect("a file");
        Self { _dir: dir, path }
    }

    /// The settings of this file, target `y`.
    pub(crate) fn settings(&self) -> TableSettings {
        TableSettings::new(&self.path, "y")
    }

    pub(crate) fn read(&self) -> Result<Table, TableError> {
        Table::read(&self.settings())
    }
}

/// An error's message with the file's folder left out.
pub(crate) fn message(error: &TableError) -> String {
    let folder = error.path.parent().map(|folder| format!("{}/", folder.display())).unwrap_or_default();
    error.to_string().replace(&folder, "")
}
