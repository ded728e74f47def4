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

use toml::{Table, Value};

use super::{Contender, FIGURES, RateChoice, rates::Swept};
use crate::{
    config::RunSection,
    error::Error,
    experiment::record::settings_of,
    run_dir::{Existing, FINDER, REPORT, RunDirError, io_error},
};

/// What is compared; a folder that has it holds a comparison.
const PLAN: &str = "compare.toml";

/// Settings that may differ between a comparison and its resumption: they change no figure.
const FREE: [&str; 5] = ["run.name", "run.out_dir", "run.loggers", "data.data_dir", "data.workers"];

fn holds(dir: &Path) -> bool {
    dir.join(PLAN).exists()
}

/// The folder that `--out` names, or `compare-NAME`, `compare-NAME-2`, ... below `[run] out_dir`: to resume, the last
/// that holds a comparison; to overwrite, the first.
pub(super) fn choose(out: Option<&Path>, run: &RunSection, existing: Existing) -> PathBuf {
    if let Some(out) = out {
        return out.to_owned();
    }
    let numbered = |number: u64| {
        let name = format!("compare-{}", run.name);
        run.out_dir.join(if number == 1 { name } else { format!("{name}-{number}") })
    };
    let taken = (1..).take_while(|number| numbered(*number).exists());
    match existing {
        Existing::Refuse => numbered(taken.last().unwrap_or(0) + 1),
        Existing::Overwrite => numbered(1),
        Existing::Resume => numbered(taken.filter(|number| holds(&numbered(*number))).last().unwrap_or(1)),
    }
}

/// What is compared, as tables.
pub(super) fn plan(contenders: &[Contender], seeds: &[u64], rates: &RateChoice) -> Table {
    let mut named = Table::new();
    for contender in contenders {
        let mut entry = Table::new();
        if let Some(file) = &contender.file {
            entry.insert("file".to_owned(), Value::String(file.display().to_string()));
        }
        entry.insert("config".to_owned(), Value::Table(contender.config.to_table()));
        named.insert(contender.name.clone(), Value::Table(entry));
    }
    let mut plan = Table::new();
    plan.insert("seeds".to_owned(), Value::Array(seeds.iter().map(|seed| Value::Integer(*seed as i64)).collect()));
    plan.insert("rates".to_owned(), Value::String(rates.to_string()));
    plan.insert("contenders".to_owned(), Value::Table(named));
    plan
}

/// Refuses a folder that cannot take the comparison: nothing has been touched by then.
pub(super) fn check(dir: &Path, plan: &Table, existing: Existing) -> Result<(), Error> {
    let usage = |message: String| Err(Error::Usage(format!("{}: {message}", dir.display())));
    match (holds(dir), existing) {
        (true, Existing::Refuse) => usage(
            "holds a comparison already; --resume goes on with it, --overwrite starts over, --out takes another folder"
                .to_owned(),
        ),
        (true, Existing::Resume) => {
            let old = read(dir)?;
            match difference(&old, plan) {
                None => Ok(()),
                Some(what) => usage(format!(
                    "{what}; --overwrite starts over, --out takes another folder. (Seeds, schedules and --target may \
                     change between a comparison and its resumption)"
                )),
            }
        }
        (true, Existing::Overwrite) => Ok(()),
        (false, _) => match fs::read_dir(dir) {
            Ok(mut entries) => match entries.next() {
                Some(_) => usage(format!("is not empty and holds no comparison (no {PLAN}); choose another folder")),
                None => Ok(()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if existing == Existing::Resume {
                    tracing::warn!("{}: holds no comparison yet; starting it", dir.display());
                }
                Ok(())
            }
            Err(error) => Err(io_error(dir, "read it", error).into()),
        },
    }
}

fn read(dir: &Path) -> Result<Table, Error> {
    let path = dir.join(PLAN);
    let text = fs::read_to_string(&path).map_err(|source| io_error(&path, "read it", source))?;
    text.parse()
        .map_err(|error: toml::de::Error| Error::Usage(format!("{}: is damaged: {}", path.display(), error.message())))
}

/// What a comparison that is to be gone on with was started with, and is asked for otherwise now.
fn difference(old: &Table, new: &Table) -> Option<String> {
    let rates = |plan: &Table| plan.get("rates").and_then(Value::as_str).unwrap_or_default().to_owned();
    if rates(old) != rates(new) {
        return Some(format!("was started with --rates {}, and this is --rates {}", rates(old), rates(new)));
    }
    for (name, entry) in contenders(new) {
        let settings = |entry: &Value| entry.get("config").and_then(Value::as_table).map(settings_of);
        let Some(before) = contenders(old).find(|(other, _)| *other == name).and_then(|(_, entry)| settings(entry))
        else {
            continue;
        };
        let now = settings(entry).unwrap_or_default();
        let show = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), Clone::clone);
        let mut paths: Vec<&String> = before.keys().chain(now.keys()).collect();
        paths.sort();
        paths.dedup();
        let changed: Vec<String> = paths
            .into_iter()
            .filter(|path| !FREE.contains(&path.as_str()) && before.get(*path) != now.get(*path))
            .map(|path| format!("{path} ({} there, {} now)", show(before.get(path)), show(now.get(path))))
            .collect();
        if !changed.is_empty() {
            return Some(format!("holds runs of `{name}` with other settings: {}", changed.join(", ")));
        }
    }
    None
}

fn contenders(plan: &Table) -> impl Iterator<Item = (&String, &Value)> {
    plan.get("contenders").and_then(Value::as_table).into_iter().flatten()
}

/// The sweep that a contender's rate was found by before, where this goes on with it.
pub(super) fn sweep(dir: &Path, name: &str, existing: Existing) -> Option<Swept> {
    if existing != Existing::Resume || !holds(dir) {
        return None;
    }
    let text = fs::read_to_string(dir.join(name).join(FINDER)).ok()?;
    Swept::of(serde_json::from_str(&text).ok()?)
}

/// Makes the folder ready and writes down what is compared, and the sweeps.
pub(super) fn start(
    dir: &Path,
    plan: &Table,
    found: &BTreeMap<String, Swept>,
    existing: Existing,
) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| io_error(dir, "create it", source))?;
    if existing == Existing::Overwrite && holds(dir) {
        clear(dir, &read(dir)?)?;
    }
    let header =
        "# What is compared: seeds, rates, and each contender's whole configuration before its rate was chosen.\n\n";
    // A table of plain values always has a TOML form.
    write(dir, PLAN, &format!("{header}{}", toml::to_string(plan).unwrap_or_default()))?;
    for (name, swept) in found {
        let folder = dir.join(name);
        fs::create_dir_all(&folder).map_err(|source| io_error(&folder, "create it", source))?;
        write(&folder, FINDER, &format!("{}\n", swept.json))?;
    }
    Ok(())
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
    for name in [PLAN, FIGURES, REPORT] {
        remove(dir.join(name))?;
    }
    // A name that is no single folder is none that this program wrote.
    for (name, _) in contenders(old).filter(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.')) {
        let folder = dir.join(name);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with("seed-") || file == "tuning" || file == FINDER {
                remove(entry.path())?;
            }
        }
        // Stays where it holds anything else.
        let _ = fs::remove_dir(&folder);
    }
    Ok(())
}

/// Writes a file, whole or not at all.
pub(super) fn write(dir: &Path, name: &str, contents: &str) -> Result<(), Error> {
    let (path, unfinished) = (dir.join(name), dir.join(format!(".{name}.tmp")));
    fs::write(&unfinished, contents).map_err(|source| io_error(&unfinished, "write it", source))?;
    Ok(fs::rename(&unfinished, &path).map_err(|source| io_error(&path, "write it", source))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(text: &str) -> Table {
        text.parse().expect("TOML")
    }

    #[test]
    fn a_resumption_may_add_and_may_not_change() {
        let old = plan_of(
            "seeds = [1]\nrates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1\n[contenders.a.config.data]\nworkers = 1",
        );
        let cases = [
            (
                "the same with more seeds",
                "seeds = [1, 2]\nrates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1",
                None,
            ),
            (
                "another contender, other workers",
                "rates = 'config'\n[contenders.b.config.optimizer]\nlr = 0.3\n[contenders.a.config]\noptimizer = { lr = 0.1 }\ndata = { workers = 2 }",
                None,
            ),
            (
                "another rate",
                "rates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.2",
                Some("holds runs of `a` with other settings: optimizer.lr (0.1 there, 0.2 now)"),
            ),
            (
                "another setting",
                "rates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1\nnesterov = true",
                Some("holds runs of `a` with other settings: optimizer.nesterov (not set there, true now)"),
            ),
            (
                "another choice of rates",
                "rates = 'find'\n[contenders.a.config.optimizer]\nlr = 0.1",
                Some("was started with --rates config, and this is --rates find"),
            ),
        ];
        for (case, new, expected) in cases {
            assert_eq!(difference(&old, &plan_of(new)).as_deref(), expected, "{case}");
        }
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
        clear(dir, &plan_of("[contenders.a]\n[contenders.b]\n[contenders.'../x']")).expect("cleared");
        let is_there = |name: &str| dir.join(name).exists();
        assert!(!is_there("a") && !is_there("b/seed-1") && !is_there(PLAN) && !is_there(FIGURES));
        assert!(is_there("b/notes.md") && is_there("thesis.tex") && is_there("c/seed-1"));
    }
}
