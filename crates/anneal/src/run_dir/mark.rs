//! `anneal.json`: what makes a folder a run (or a comparison) of this program.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use toml::Table;
use trainer::checkpoint;

use super::layout::{CHECKPOINTS, CONFIG, ENVIRONMENT, MARK, PLAN};

/// What the file says of who wrote it.
const PROGRAM: &str = "anneal";
const FORMAT: u32 = 1;

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FolderKind {
    /// A run.
    Run,
    /// A comparison of several.
    Comparison,
}

/// The mark of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderMark {
    program: String,
    format: u32,
    pub(super) kind: FolderKind,
    /// Another for each run that is begun.
    pub(super) id: String,
    name: String,
    /// When it was begun, in UTC (RFC 3339).
    begun: String,
}

impl FolderMark {
    /// That of a run (or comparison) which begins now.
    pub(super) fn new(kind: FolderKind, name: &str) -> Self {
        // The standard library seeds each of its hashers with random numbers of the system's.
        let id = RandomState::new().build_hasher().finish();
        let (program, name) = (PROGRAM.to_owned(), name.to_owned());
        Self { program, format: FORMAT, kind, id: format!("{id:016x}"), name, begun: now() }
    }

    /// The mark in this folder; `None` where there is none, or a file of that name which is none that this version knows.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let mark: Self = serde_json::from_value(value_in(folder)?).ok()?;
        (mark.program == PROGRAM && mark.format <= FORMAT).then_some(mark)
    }

    /// The number of the mark's format in this folder, where only a newer version of this program knows it.
    pub(super) fn newer_format(folder: &Path) -> Option<u64> {
        let mark = value_in(folder).filter(|mark| mark["program"] == PROGRAM)?;
        mark["format"].as_u64().filter(|format| *format > u64::from(FORMAT))
    }

    pub(super) fn to_json(&self) -> String {
        // Strings and numbers always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn value_in(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_str(&report::read_regular_text(&folder.join(MARK)).ok()?).ok()
}

impl FolderKind {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Comparison => "comparison",
        }
    }

    /// Whether the folder holds one that was begun before there were marks: a run's checkpoint or `environment.json`
    /// stands beside its configuration; the plan of a comparison.
    pub(super) fn is_old_in(self, folder: &Path) -> bool {
        match self {
            Self::Run => folder.join(CONFIG).is_file() && (has_environment(folder) || has_checkpoint(folder)),
            Self::Comparison => has_plan(folder),
        }
    }
}

/// Whether there is a checkpoint of this program.
fn has_checkpoint(folder: &Path) -> bool {
    checkpoint::own_folders(&folder.join(CHECKPOINTS)).is_ok_and(|found| !found.is_empty())
}

/// The step of the last checkpoint there.
pub(super) fn last_checkpoint(folder: &Path) -> Option<u64> {
    let folder = folder.join(CHECKPOINTS);
    let own = checkpoint::own_folders(&folder).ok()?;
    let steps = checkpoint::steps(&folder).ok()?;
    steps.into_iter().rfind(|step| own.contains(&checkpoint::path_of(&folder, *step)))
}

fn has_environment(folder: &Path) -> bool {
    let sessions = report::read_regular_text(&folder.join(ENVIRONMENT)).ok();
    let sessions = sessions.and_then(|text| serde_json::from_str::<Vec<serde_json::Value>>(&text).ok());
    // What every version has written of a process.
    let is_ours = |session: &serde_json::Value| {
        ["started", "anneal", "burn"].iter().all(|field| session[*field].is_string()) && session["from_step"].is_u64()
    };
    sessions.is_some_and(|sessions| !sessions.is_empty() && sessions.iter().all(is_ours))
}

fn has_plan(folder: &Path) -> bool {
    let plan = report::read_regular_text(&folder.join(PLAN)).ok().and_then(|text| text.parse::<Table>().ok());
    plan.is_some_and(|plan| ["seeds", "rates", "contenders"].iter().all(|field| plan.contains_key(*field)))
}

/// The time, in UTC (RFC 3339), to the second.
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    // The current time always has an RFC 3339 form.
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
