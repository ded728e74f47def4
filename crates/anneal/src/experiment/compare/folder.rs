//! The folder of a comparison: where it is, what makes it one, and whether what it holds is what is asked for.
//!
//! ```text
//! compare.toml               what is compared: seeds, rates, each contender's whole configuration
//! compare.json               all figures
//! report.html                the page
//! NAME/seed-S/               a contender's run with a seed: an ordinary run folder
//! NAME/tuning/lr-X/          its runs of a grid of rates
//! NAME/lr_finder.json        the sweep that its rate was found by
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::Table;

use super::{
    plan::{contenders, difference},
    request::CompareOptions,
    sweep::RateSweep,
};
use crate::{
    config::RunSection,
    error::Error,
    run_dir::{Existing, FINDER, REPORT, RunDirError, io_error, numbered},
};

/// All figures, in the folder of a comparison.
pub(crate) const FIGURES: &str = "compare.json";

/// What is compared; a folder that has it holds a comparison.
const PLAN: &str = "compare.toml";

/// The files of a comparison; no contender may have such a name.
pub(super) const FILES: [&str; 3] = [PLAN, FIGURES, REPORT];

/// The folder of a comparison, and what to do with one that it holds already.
pub(super) struct Folder {
    path: PathBuf,
    existing: Existing,
}

impl Folder {
    /// The folder that the options name, or the next `compare-NAME` below `[run] out_dir`: see [`numbered`].
    pub(super) fn choose(options: &CompareOptions, run: &RunSection) -> Self {
        let existing = options.existing;
        let default = || numbered(&run.out_dir, &format!("compare-{}", run.name), existing, holds);
        Self { path: options.out.clone().unwrap_or_else(default), existing }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a folder that cannot take the comparison: nothing has been touched by then.
    pub(super) fn check(&self, plan: &Table) -> Result<(), Error> {
        let usage = |message: String| Err(Error::Usage(format!("{}: {message}", self.path.display())));
        match (holds(&self.path), self.existing) {
            (true, Existing::Refuse) => usage(
                "holds a comparison already; --resume continues it, --overwrite starts over, --out takes another \
                 folder"
                    .to_owned(),
            ),
            (true, Existing::Resume) => match difference(&self.read_plan()?, plan) {
                None => Ok(()),
                Some(what) => usage(format!(
                    "{what}; --overwrite starts over, --out takes another folder. (Seeds, schedules and --target may \
                     change between a comparison and its resumption)"
                )),
            },
            (true, Existing::Overwrite) => Ok(()),
            (false, existing) => match fs::read_dir(&self.path).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(()),
                Ok(false) => usage(format!("is not empty and holds no comparison (no {PLAN}); choose another folder")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if existing == Existing::Resume {
                        tracing::warn!("{}: holds no comparison yet; starting it", self.path.display());
                    }
                    Ok(())
                }
                Err(error) => Err(io_error(&self.path, "read it", error).into()),
            },
        }
    }

    /// The sweep that found a contender's rate before, where this resumes that comparison.
    pub(super) fn sweep(&self, name: &str) -> Option<RateSweep> {
        if self.existing != Existing::Resume || !holds(&self.path) {
            return None;
        }
        let text = fs::read_to_string(self.path.join(name).join(FINDER)).ok()?;
        RateSweep::read(serde_json::from_str(&text).ok()?)
    }

    /// Makes the folder ready and writes what is compared, and the sweeps.
    pub(super) fn start(&self, plan: &Table, sweeps: &BTreeMap<String, RateSweep>) -> Result<(), Error> {
        let dir = &self.path;
        fs::create_dir_all(dir).map_err(|source| io_error(dir, "create it", source))?;
        if self.existing == Existing::Overwrite && holds(dir) {
            clear(dir, &self.read_plan()?)?;
        }
        let header = "# What is compared: seeds, rates, and each contender's whole configuration before its rate was chosen.\n\n";
        // A table of plain values always has a TOML form.
        self.write(PLAN, &format!("{header}{}", toml::to_string(plan).unwrap_or_default()))?;
        for (name, sweep) in sweeps {
            let folder = dir.join(name);
            fs::create_dir_all(&folder).map_err(|source| io_error(&folder, "create it", source))?;
            self.write(&format!("{name}/{FINDER}"), &format!("{}\n", sweep.json))?;
        }
        Ok(())
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, contents: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        Ok(report::atomic_write(&path, contents).map_err(|source| io_error(&path, "write it", source))?)
    }

    fn read_plan(&self) -> Result<Table, Error> {
        let path = self.path.join(PLAN);
        let text = fs::read_to_string(&path).map_err(|source| io_error(&path, "read it", source))?;
        text.parse().map_err(|error: toml::de::Error| {
            Error::Usage(format!("{}: is damaged: {}", path.display(), error.message()))
        })
    }
}

fn holds(dir: &Path) -> bool {
    dir.join(PLAN).exists()
}

/// Removes what an earlier comparison wrote; other files stay.
fn clear(dir: &Path, old: &Table) -> Result<(), Error> {
    let remove = |path: PathBuf| -> Result<(), RunDirError> {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(&path, "remove it", error)),
            _ => Ok(()),
        }
    };
    for name in FILES {
        remove(dir.join(name))?;
    }
    // A name that is more than one folder was not written by this program.
    for (name, _) in contenders(old).filter(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.')) {
        let folder = dir.join(name);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with("seed-") || file == "tuning" || file == FINDER {
                remove(entry.path())?;
            }
        }
        // It stays if it holds anything else.
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_over_leaves_what_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        for name in ["a/seed-1", "a/tuning/lr-1e-1", "b/seed-1", "c/seed-1"] {
            fs::create_dir_all(dir.join(name)).expect("made");
        }
        for name in ["a/lr_finder.json", "b/notes.md", FIGURES, PLAN, "thesis.tex"] {
            fs::write(dir.join(name), "").expect("written");
        }
        let plan = "[contenders.a]\n[contenders.b]\n[contenders.'../x']".parse().expect("TOML");
        clear(dir, &plan).expect("cleared");
        let is_there = |name: &str| dir.join(name).exists();
        assert!(!is_there("a") && !is_there("b/seed-1") && !is_there(PLAN) && !is_there(FIGURES));
        assert!(is_there("b/notes.md") && is_there("thesis.tex") && is_there("c/seed-1"));
    }
}
