//! The run folder: where it is, who may write into it, what it holds.
//!
//! ```text
//! anneal.json      says that this is a run of this program: its name, format, id
//! anneal.lock      which process works in it, while one does
//! config.toml      resolved: everything that ran
//! environment.json the machine and the program, for each process that worked on the run
//! preprocessing.json  what the task has learned from the training data beside the model's weights
//! metrics.jsonl    one object per logged step and per epoch
//! metrics.csv      the same as a table, where `[run] loggers` names it
//! events.out.tfevents.*  the same for TensorBoard
//! checkpoints/     see trainer::checkpoint
//! plots/           loss, accuracy, lr (and momentum): .svg and .png
//! lr_finder.json   curve and suggestion, where `lr = "auto"` was to be found; plots/lr_finder beside it
//! outputs.jsonl    what the task shows of its outputs, if it shows any; its charts as plots/outputs-N
//! report.html      all of it as a page
//! model.safetensors  the weights that were evaluated, for PyTorch (trainer::weights)
//! summary.json     the result
//! failure.txt      why it failed, where it is one of a comparison
//! *.damaged-N      a log as it was, where it could not be read
//! replaced-ID/     the run that was here before, until this one has a checkpoint that was due
//! ```
//!
//! Only a folder with the mark is touched (or one from before there were marks: see `mark`), and in it only what is named
//! here (`contents`). `claim` takes a folder for a process, `lock` keeps others out.

mod claim;
mod contents;
mod layout;
mod lock;
mod mark;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use claim::Existing;
pub(crate) use claim::{Claim, next_name};
pub(crate) use layout::{
    CHECKPOINTS, CONFIG, ENVIRONMENT, FAILURE, FINDER, FINDER_PLOT, KEPT, METRIC_PLOT, METRICS, METRICS_CSV,
    OUTPUT_PLOT, OUTPUTS, PLAN, PLOTS, PREPROCESSING, REPORT, RUN_PLOTS, SUMMARY, io_error,
};
pub use layout::{DamagedFile, RunDirError};
pub(crate) use mark::FolderKind;

use lock::Lock;
use mark::FolderMark;

/// What the run that wrote these weights has kept of its task, where that is known: the file holds it, or the run folder that it
/// lies in.
pub(crate) fn kept_with(path: &Path) -> Option<String> {
    let in_file = trainer::weights::metadata(path).ok().and_then(|mut metadata| metadata.remove(KEPT));
    in_file.or_else(|| {
        // At most RUN/checkpoints/CHECKPOINT/FILE.
        let run = path.ancestors().take(4).find(|folder| folder.join(CONFIG).is_file())?;
        report::read_regular_text(&run.join(PREPROCESSING)).ok()
    })
}

/// The folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run in this folder, to look at.
    ///
    /// # Errors
    /// [`RunDirError::NoRun`] where it holds none.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        // A process was killed while it moved the run aside; one that is doing so now has the lock.
        if contents::is_half_set_aside(path)
            && let Ok(_lock) = Lock::take(path)
        {
            contents::restore(path)?;
        }
        claim::configuration(path)?;
        Ok(Self(path.to_owned()))
    }

    /// That of a folder which this process has claimed.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder of the charts, made where it is missing. A link of that name gets another one, so that nothing outside of the
    /// run is written over.
    pub(crate) fn plots(&self) -> Result<PathBuf, RunDirError> {
        let folder = self.path(PLOTS);
        if folder.is_symlink() {
            let names = (1_u64..).map(|number| folder.with_file_name(format!("{PLOTS}.kept-{number}")));
            let kept = names.into_iter().find(|kept| fs::symlink_metadata(kept).is_err()).unwrap_or_default();
            fs::rename(&folder, &kept).map_err(|source| io_error(&folder, "move the link aside", source))?;
            tracing::warn!("{}: is a link; renamed to {}", folder.display(), kept.display());
        }
        fs::create_dir_all(&folder).map_err(|source| io_error(&folder, "create it", source))?;
        Ok(folder)
    }

    /// Begins a run in the claimed folder: it has its mark and its configuration then. A run that is there is moved aside,
    /// into a separate folder, until [`settle`](Self::settle) removes it. Gives what was moved, in words.
    pub(crate) fn begin(&self, name: &str, config: &str) -> Result<Option<String>, RunDirError> {
        contents::remove_leftovers(&self.0)?;
        let own = contents::own(&self.0)?;
        let mark = contents::marked(&self.0, name)?;
        if own.is_empty() {
            return self.write(CONFIG, config).map(|()| None);
        }
        let begun = contents::set_aside(&self.0, &mark, &own)
            .and_then(|()| self.write(CONFIG, config))
            // From here on the folder is the new run's: until now a killed process leaves the old one to be put back.
            .and_then(|()| contents::write_mark(&self.0, &FolderMark::new(FolderKind::Run, name)));
        if let Err(error) = begun {
            if let Err(restoring) = contents::restore(&self.0) {
                let aside = contents::aside(&self.0, &mark);
                tracing::warn!("{}: the previous run could not be put back ({restoring})", aside.display());
            }
            return Err(error);
        }
        Ok(Some(contents::described(&own)))
    }

    /// The runs that wait in this folder, replaced by the one in it.
    pub(crate) fn replaced(&self) -> Vec<PathBuf> {
        contents::replaced(&self.0)
    }

    /// Goes on with the run in the claimed folder: what killed processes left is cleared away.
    pub(crate) fn go_on(&self, name: &str) -> Result<(), RunDirError> {
        contents::marked(&self.0, name)?;
        contents::remove_leftovers(&self.0)
    }

    /// Removes the runs that this one replaces, where it has a checkpoint of step `since` or a later one.
    pub(crate) fn settle(&self, since: u64) -> Result<(), RunDirError> {
        let replaced = contents::replaced(&self.0);
        if replaced.is_empty() || mark::last_checkpoint(&self.0).is_none_or(|step| step < since) {
            return Ok(());
        }
        replaced.iter().try_for_each(|run| contents::remove_run(run))
    }

    /// Removes the run in a folder, and the folder if nothing else is in it. Gives whether there was one.
    pub(crate) fn remove(path: &Path) -> Result<bool, RunDirError> {
        match claim::State::of(path, FolderKind::Run)? {
            claim::State::Foreign => Ok(false),
            state => {
                for replaced in contents::replaced(path) {
                    contents::remove_run(&replaced)?;
                }
                contents::remove_run(path)?;
                Ok(state == claim::State::Held)
            }
        }
    }

    /// The files of a run that has ended.
    pub(crate) fn finished_work(&self) -> Vec<&'static str> {
        [SUMMARY, trainer::weights::FILE].into_iter().filter(|name| self.path(name).exists()).collect()
    }

    /// Whether a folder holds a run that has begun.
    pub(crate) fn holds_run(path: &Path) -> bool {
        claim::configuration(path).is_ok()
    }

    /// Writes a file of the run, whole or not at all.
    pub fn write(&self, name: &str, contents: &str) -> Result<(), RunDirError> {
        let path = self.path(name);
        report::atomic_write(&path, contents).map_err(|source| io_error(&path, "write it", source))
    }

    /// What a file inside holds; `None` where it is not there.
    pub(crate) fn read_if_there(&self, name: &str) -> Result<Option<String>, RunDirError> {
        let path = self.path(name);
        match report::read_regular_text(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, "read it", source)),
        }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0
    }
}

/// Marks the claimed folder as that of a comparison.
pub(crate) fn mark_comparison(folder: &Path, name: &str) -> Result<(), RunDirError> {
    contents::write_mark(folder, &FolderMark::new(FolderKind::Comparison, name))
}

/// The files of a run within a comparison, below the comparison's folder `root`.
pub(crate) fn own_of_run(root: &Path, run: &Path) -> Result<Vec<PathBuf>, RunDirError> {
    contents::own_within(root, run)
}

/// Moves these files of the comparison in the claimed folder into a separate folder there, until
/// [`replaced_comparisons`] has nothing more to wait for. The folder is the old one's until it is marked again.
pub(crate) fn set_comparison_aside(folder: &Path, name: &str, own: &[PathBuf]) -> Result<(), RunDirError> {
    if FolderMark::read(folder).is_none() {
        mark_comparison(folder, name)?;
    }
    let mark = contents::marked(folder, name)?;
    contents::set_aside(folder, &mark, own)
}

/// Restores a comparison that a process was moving aside when it was killed; `own` finds its files.
pub(crate) fn restore_comparison(
    folder: &Path,
    own: impl FnOnce(&Path) -> Result<Vec<PathBuf>, RunDirError>,
) -> Result<(), RunDirError> {
    contents::put_back(folder, own)
}

/// Removes the empty folders of a removed run.
pub(crate) fn remove_empty(run: &Path) {
    contents::remove_if_empty(run);
}

/// The comparisons that wait in this folder, replaced by the one in it.
pub(crate) fn replaced_comparisons(folder: &Path) -> Vec<PathBuf> {
    contents::replaced(folder)
}

/// Removes the mark of a removed comparison, and its folder if nothing else is in it.
pub(crate) fn remove_mark(folder: &Path) -> Result<(), RunDirError> {
    contents::remove_run(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Names and contents of all that is in a folder.
    fn all(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                found.push((name, fs::read(&path).ok()));
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// A run with files of ours and of others in every one of its folders.
    fn run() -> (tempfile::TempDir, RunDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = RunDir::new(folder.path());
        assert_eq!(dir.begin("a", "old").expect("begun"), None);
        for name in ["plots", "checkpoints/step-00000002"] {
            fs::create_dir_all(dir.path(name)).expect("made");
        }
        for ours in [SUMMARY, REPORT, "plots/loss.svg", "metrics.jsonl.damaged-1", "events.out.tfevents.1"] {
            fs::write(dir.path(ours), "ours").expect("written");
        }
        for theirs in
            ["thesis.tex", "plots/mine.svg", "checkpoints/step-00000002/weights.pt", "checkpoints/.tmp-x", ".a.tmp"]
        {
            fs::write(dir.path(theirs), "theirs").expect("written");
        }
        (folder, dir)
    }

    #[test]
    fn starting_over_moves_what_is_ours_and_nothing_else() {
        let (_folder, dir) = run();
        let before = all(dir.root());
        let moved = dir.begin("b", "new").expect("begun").expect("there was a run");
        let expected = "config.toml, event files, metrics.jsonl.damaged-1, plots, report.html, summary.json";
        assert_eq!(moved, expected);
        dir.settle(0).expect("no checkpoint yet");
        let waiting = dir.replaced();
        assert_eq!(waiting.len(), 1);
        assert!(RunDir::open(&waiting[0]).is_ok(), "it is a run folder by itself");
        assert_eq!(fs::read_to_string(waiting[0].join(CONFIG)).expect("a file"), "old");
        let after = all(dir.root());
        for theirs in before.iter().filter(|(_, content)| content.as_deref() == Some(b"theirs")) {
            assert!(after.contains(theirs), "{theirs:?}");
        }
        assert!(!dir.path("plots/loss.svg").exists() && !dir.path(SUMMARY).exists());
        contents::remove_run(&waiting[0]).expect("removed");
        assert!(!waiting[0].exists());
    }

    /// A process killed after each of its steps.
    #[test]
    fn a_run_that_was_half_set_aside_is_put_back() {
        let steps = {
            let (_folder, dir) = run();
            contents::own(dir.root()).expect("read").len()
        };
        for done in 1..=steps {
            let (_folder, dir) = run();
            let before = all(dir.root());
            let mark = contents::marked(dir.root(), "a").expect("marked");
            let own = contents::own(dir.root()).expect("read");
            contents::set_aside(dir.root(), &mark, &own[..done]).expect("moved");
            if done == steps {
                // The new configuration is written, and the new mark is not.
                dir.write(CONFIG, "new").expect("written");
            }
            RunDir::open(dir.root()).expect("a run");
            assert_eq!(all(dir.root()), before, "{done} of {steps}");
        }
    }

    /// Older versions copied the configuration in place, so a kill could leave half of it.
    #[test]
    fn a_torn_copy_of_the_configuration_is_never_put_back() {
        for moved in [0, 1] {
            let (_folder, dir) = run();
            let mark = contents::marked(dir.root(), "a").expect("marked");
            let aside = contents::aside(dir.root(), &mark);
            fs::create_dir(&aside).expect("made");
            fs::write(aside.join(CONFIG), "").expect("written");
            if moved == 1 {
                fs::rename(dir.path(SUMMARY), aside.join(SUMMARY)).expect("moved");
            }
            RunDir::open(dir.root()).expect("a run");
            assert_eq!(fs::read_to_string(dir.path(CONFIG)).expect("a file"), "old");
            assert!(dir.path(SUMMARY).exists() && !aside.exists());
        }
    }

    /// As where the disk is full.
    #[test]
    fn what_cannot_be_begun_is_put_back() {
        let (_folder, dir) = run();
        let mark = contents::marked(dir.root(), "a").expect("marked");
        // The last of the files cannot be moved to where this is.
        let in_the_way = contents::aside(dir.root(), &mark).join(SUMMARY);
        fs::create_dir_all(in_the_way.join("theirs")).expect("made");
        let before = all(dir.root());
        dir.begin("b", "new").expect_err("refused");
        assert_eq!(all(dir.root()), before);
    }

    #[test]
    fn a_run_of_a_newer_version_is_refused() {
        let (_folder, dir) = run();
        let mark = dir.path("anneal.json");
        let text = fs::read_to_string(&mark).expect("a mark").replace("\"format\": 1", "\"format\": 99");
        fs::write(&mark, &text).expect("written");
        let before = all(dir.root());
        for existing in [Existing::Refuse, Existing::Overwrite, Existing::Resume] {
            for kind in [FolderKind::Run, FolderKind::Comparison] {
                let refused = Claim::at(dir.root(), existing, kind).expect_err("refused").to_string();
                assert!(refused.contains("was written by a newer version of this program (format 99"), "{refused}");
            }
        }
        assert!(matches!(RunDir::open(dir.root()), Err(RunDirError::Newer { .. })));
        assert!(RunDir::remove(dir.root()).is_err());
        assert_eq!(all(dir.root()), before);
    }

    #[test]
    fn what_a_killed_process_was_writing_is_cleared_away() {
        let (_folder, dir) = run();
        let before = all(dir.root());
        for leftover in [".config.toml.x1.tmp", ".report.html.Ab.tmp", "plots/.lr.svg.x.tmp", ".anneal.json.x.tmp"] {
            fs::write(dir.path(leftover), "").expect("written");
        }
        dir.go_on("a").expect("goes on");
        assert_eq!(all(dir.root()), before);
    }
}
