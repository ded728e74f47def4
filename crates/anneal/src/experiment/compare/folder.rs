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
    run_dir::{
        Claim, Existing, FINDER, FolderKind, PLAN, REPORT, RunDir, RunDirError, io_error, mark_comparison, own_of_run,
        remove_empty, remove_mark, replaced_comparisons, restore_comparison, set_comparison_aside,
    },
};

/// All figures, in the folder of a comparison.
pub(crate) const FIGURES: &str = "compare.json";

/// The files of a comparison; no contender may have such a name.
pub(super) const FILES: [&str; 3] = [PLAN, FIGURES, REPORT];

/// The folder of a comparison, and what to do with one that it holds already.
pub(super) struct Folder {
    claim: Claim,
    name: String,
    existing: Existing,
}

impl Folder {
    /// Takes the folder that the options name, or the next `compare-NAME` below `[run] out_dir`.
    ///
    /// # Errors
    /// A folder that cannot take the comparison: nothing has been touched by then.
    pub(super) fn claim(options: &CompareOptions, run: &RunSection, plan: &Table) -> Result<Self, Error> {
        let (existing, name) = (options.existing, format!("compare-{}", run.name));
        let claimed = match &options.out {
            Some(path) => Claim::at(path, existing, FolderKind::Comparison),
            None => Claim::numbered(&run.out_dir, &name, existing, FolderKind::Comparison),
        };
        let claim = claimed.map_err(|error| match error {
            RunDirError::Holds { path, .. } => Error::Usage(format!(
                "{}: holds a comparison already; --resume continues it, --overwrite starts over, --out takes another \
                 folder",
                path.display()
            )),
            RunDirError::NotEmpty { .. } => Error::Usage(error.to_string()),
            other => other.into(),
        })?;
        let folder = Self { claim, name, existing };
        // One that a process was moving aside when it was killed is restored first.
        restore_comparison(folder.path(), own)?;
        if existing == Existing::Resume {
            let shown = folder.path().display();
            if !folder.claim.is_held() {
                tracing::warn!("{shown}: holds no comparison yet; starting it");
            } else if let Some(what) = difference(&folder.read_plan()?, plan) {
                return Err(Error::Usage(format!(
                    "{shown}: {what}; --overwrite starts over, --out takes another folder. (Seeds, schedules and \
                     --target may change between a comparison and its resumption)"
                )));
            }
        }
        Ok(folder)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.claim.folder()
    }

    /// The sweep that found a contender's rate before, where this resumes that comparison.
    pub(super) fn sweep(&self, name: &str) -> Option<RateSweep> {
        if self.existing != Existing::Resume || !self.claim.is_held() {
            return None;
        }
        let text = report::read_regular_text(&self.path().join(name).join(FINDER)).ok()?;
        RateSweep::read(serde_json::from_str(&text).ok()?)
    }

    /// Makes the folder ready and writes what is compared, and the sweeps.
    pub(super) fn start(&self, plan: &Table, sweeps: &BTreeMap<String, RateSweep>) -> Result<(), Error> {
        let dir = self.path();
        if self.existing == Existing::Overwrite && self.claim.is_held() {
            let old = self.read_plan()?;
            let runs = run_folders(dir, &old).len();
            set_comparison_aside(dir, &self.name, &own(dir)?)?;
            // The folders that are empty now.
            for run in run_folders(dir, &old) {
                remove_empty(&run);
            }
            clear(dir, &old)?;
            let shown = dir.display();
            tracing::warn!(
                "{shown}: starting over; the old comparison is removed once this one is complete, runs: {runs}"
            );
        }
        mark_comparison(dir, &self.name)?;
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

    /// Removes the comparisons that this one, which is whole now, has replaced.
    pub(super) fn settle(&self) -> Result<(), Error> {
        for aside in replaced_comparisons(self.path()) {
            clear(&aside, &read_plan(&aside)?)?;
            remove_mark(&aside)?;
        }
        Ok(())
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, contents: &str) -> Result<(), Error> {
        let path = self.path().join(name);
        Ok(report::atomic_write(&path, contents).map_err(|source| io_error(&path, "write it", source))?)
    }

    fn read_plan(&self) -> Result<Table, Error> {
        read_plan(self.path())
    }
}

fn read_plan(dir: &Path) -> Result<Table, Error> {
    let path = dir.join(PLAN);
    let text = report::read_regular_text(&path).map_err(|source| io_error(&path, "read it", source))?;
    text.parse()
        .map_err(|error: toml::de::Error| Error::Usage(format!("{}: is damaged: {}", path.display(), error.message())))
}

/// The folders of a comparison's runs. A name that is more than one folder was not written by this program.
fn run_folders(dir: &Path, plan: &Table) -> Vec<PathBuf> {
    let names = contenders(plan).filter(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.'));
    let parents = names.flat_map(|(name, _)| [(dir.join(name), "seed-"), (dir.join(name).join("tuning"), "lr-")]);
    let of_parent = |(parent, prefix): (PathBuf, &str)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path())
            .collect()
    };
    parents.flat_map(of_parent as fn(_) -> Vec<PathBuf>).collect()
}

/// What this program wrote of the comparison in a folder, below it; its plan last.
fn own(dir: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    let Ok(plan) = read_plan(dir) else { return Ok(Vec::new()) };
    let mut own = Vec::new();
    for run in run_folders(dir, &plan).iter().filter(|run| RunDir::holds_run(run)) {
        own.extend(own_of_run(dir, run)?);
    }
    let sweeps = contenders(&plan).map(|(name, _)| Path::new(name).join(FINDER));
    let files = sweeps.chain([FIGURES, REPORT, PLAN].map(PathBuf::from));
    own.extend(files.filter(|name| dir.join(name).is_file()));
    Ok(own)
}

/// Removes what an earlier comparison wrote, its plan last; other files stay. Gives how many runs it were.
fn clear(dir: &Path, old: &Table) -> Result<usize, Error> {
    let remove = |path: PathBuf| -> Result<(), RunDirError> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(&path, "remove it", error)),
            _ => Ok(()),
        }
    };
    let mut runs = 0;
    for run in run_folders(dir, old) {
        runs += usize::from(RunDir::remove(&run)?);
    }
    for (name, _) in contenders(old).filter(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.')) {
        let folder = dir.join(name);
        let tuning = folder.join("tuning");
        remove(folder.join(FINDER))?;
        // They stay if they hold anything else.
        let _ = fs::remove_dir(&tuning);
        let _ = fs::remove_dir(&folder);
    }
    for name in FILES.into_iter().rev() {
        remove(dir.join(name))?;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the moment at which the process is killed, the old comparison is there: in its place, or waiting.
    #[test]
    fn what_is_replaced_waits_aside_and_can_be_put_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        mark_comparison(dir, "old").expect("marked");
        let run = RunDir::new(&dir.join("a/seed-1"));
        fs::create_dir_all(run.root()).expect("made");
        run.begin("a seed-1", "[run]\n").expect("begun");
        let other = RunDir::new(&dir.join("a/seed-2"));
        fs::create_dir_all(other.path("plots")).expect("made");
        other.begin("a seed-2", "[run]\n").expect("begun");
        for (name, text) in
            [(PLAN, "[contenders.a]\n"), (FIGURES, "{}"), ("thesis.tex", "mine"), ("a/seed-1/mine", "mine")]
        {
            fs::write(dir.join(name), text).expect("written");
        }
        let is_there = |name: &str| dir.join(name).exists();
        let files = own(dir).expect("found");
        set_comparison_aside(dir, "old", &files).expect("moved");
        for run in ["a/seed-1", "a/seed-2"] {
            remove_empty(&dir.join(run));
        }
        assert!(!is_there(PLAN) && !is_there("a/seed-1/config.toml"), "{files:?}");
        assert!(is_there("thesis.tex") && is_there("a/seed-1/mine"), "what is not ours stays");
        assert!(!is_there("a/seed-2"), "what is empty then goes");
        // Killed here: the folder is the old comparison's still.
        restore_comparison(dir, own).expect("put back");
        assert!(is_there(PLAN) && is_there(FIGURES) && RunDir::holds_run(run.root()));
        assert_eq!(replaced_comparisons(dir), Vec::<PathBuf>::new());
        // And here it is the new one's.
        set_comparison_aside(dir, "old", &own(dir).expect("found")).expect("moved");
        mark_comparison(dir, "new").expect("marked");
        restore_comparison(dir, own).expect("nothing to put back");
        let waiting = replaced_comparisons(dir);
        assert_eq!(waiting.len(), 1);
        assert!(waiting[0].join(PLAN).is_file() && RunDir::holds_run(&waiting[0].join("a/seed-1")));
        clear(&waiting[0], &read_plan(&waiting[0]).expect("a plan")).expect("cleared");
        remove_mark(&waiting[0]).expect("removed");
        assert!(!waiting[0].exists() && is_there("thesis.tex") && is_there("a/seed-1/mine"));
    }

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
