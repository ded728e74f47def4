//! `[train.checkpoint]`: when checkpoints are written, which are kept, what a failed write does.

use std::path::Path;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::{CheckpointPolicy, Every, KeepBest, Mode, OnWriteError};

use super::{
    put,
    train::{MODES, mode_name, usual_mode},
};

/// `[train.checkpoint]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointSection {
    /// How often one is written: a number of epochs, or of steps as `"500it"`. Default 1.
    pub every: Every,
    /// The newest so many are kept. Default 1.
    pub keep_last: usize,
    /// The best by the value of this name are kept too. Default `valid.loss`; `""` for none.
    pub keep_best: String,
    /// `min` or `max`. Default: `min` for a loss, else `max`.
    pub mode: Mode,
    /// How many of the best are kept. Default 1.
    pub k: usize,
    /// Whether they are written while training goes on. Default `true`.
    pub background: bool,
    /// `stop` or `continue`: what a failed write does to the run. Default `stop`.
    pub on_error: OnWriteError,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self {
            every: Every::Epochs(1),
            keep_last: 1,
            keep_best: "valid.loss".to_owned(),
            mode: Mode::Min,
            k: 1,
            background: true,
            on_error: OnWriteError::Stop,
        }
    }
}

const PATH: &str = "train.checkpoint";
const KNOWN: [&str; 7] = ["every", "keep_last", "keep_best", "mode", "k", "background", "on_error"];
const ON_ERROR: [(&str, OnWriteError); 2] = [("stop", OnWriteError::Stop), ("continue", OnWriteError::Continue)];

impl CheckpointSection {
    /// The field `checkpoint` of `[train]`: a table, `true` (the default) or `false` for none.
    pub(super) fn of(train: &Fields<'_>) -> Result<Option<Self>, ConfigError> {
        match train.value("checkpoint") {
            None | Some(Value::Boolean(true)) => Ok(Some(Self::default())),
            Some(Value::Boolean(false)) => Ok(None),
            Some(Value::Table(table)) => Self::from_table(table).map(Some),
            Some(other) => Err(train.wrong_type("checkpoint", "a table, true or false", other)),
        }
    }

    fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, PATH, &KNOWN)?;
        let keep_best = fields.str("keep_best")?.unwrap_or("valid.loss");
        Ok(Self {
            every: every(&fields)?,
            keep_last: fields.u64_from("keep_last", 1)?.unwrap_or(1) as usize,
            keep_best: keep_best.to_owned(),
            mode: fields.choice("mode", &MODES)?.unwrap_or_else(|| usual_mode(keep_best)),
            k: fields.u64_from("k", 1)?.unwrap_or(1) as usize,
            background: fields.bool("background")?.unwrap_or(true),
            on_error: fields.choice("on_error", &ON_ERROR)?.unwrap_or_default(),
        })
    }

    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::new();
        let every = match self.every {
            Every::Epochs(epochs) => Value::Integer(epochs as i64),
            Every::Steps(steps) => Value::String(format!("{steps}it")),
        };
        put(&mut table, "every", Some(every));
        put(&mut table, "keep_last", Some(self.keep_last as i64));
        put(&mut table, "keep_best", Some(self.keep_best.clone()));
        put(&mut table, "mode", Some(mode_name(self.mode)));
        put(&mut table, "k", Some(self.k as i64));
        put(&mut table, "background", Some(self.background));
        put(&mut table, "on_error", Some(if self.on_error == OnWriteError::Stop { "stop" } else { "continue" }));
        table
    }

    /// The trainer's policy, in this folder. The best can be told only where there is a validation set.
    pub(crate) fn policy(&self, directory: &Path, validates: bool) -> CheckpointPolicy {
        CheckpointPolicy {
            directory: directory.to_owned(),
            every: self.every,
            keep_last: self.keep_last,
            keep_best: self.best().filter(|_| validates),
            background: self.background,
            on_error: self.on_error,
        }
    }

    /// Which checkpoints are the best; `None` where none is kept for its value.
    pub(crate) fn best(&self) -> Option<KeepBest> {
        let best = KeepBest { monitor: self.keep_best.clone(), mode: self.mode, k: self.k };
        (!self.keep_best.is_empty()).then_some(best)
    }
}

/// `every = 2` or `"2ep"`: epochs; `every = "500it"`: steps.
fn every(fields: &Fields<'_>) -> Result<Every, ConfigError> {
    let Some(Value::String(text)) = fields.value("every") else {
        return Ok(Every::Epochs(fields.u64_from("every", 1)?.unwrap_or(1)));
    };
    let count = |unit| text.strip_suffix(unit)?.trim_end().parse::<u64>().ok().filter(|count| *count > 0);
    match (count("it"), count("ep")) {
        (Some(steps), _) => Ok(Every::Steps(steps)),
        (_, Some(epochs)) => Ok(Every::Epochs(epochs)),
        _ => Err(ConfigError::not_allowed(
            fields.path_of("every"),
            format!("{text:?}"),
            "a number of epochs from 1 on, such as 2 or \"2ep\", or of steps, such as \"500it\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(checkpoint: &str) -> Result<Option<CheckpointSection>, ConfigError> {
        let table: Table = toml::from_str(&format!("checkpoint = {checkpoint}")).expect("TOML");
        CheckpointSection::of(&Fields::open(&table, "train", &["checkpoint"])?)
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "true",
            "{ every = 3 }",
            "{ every = \"2ep\", k = 3, keep_best = \"valid.accuracy\" }",
            "{ every = \"500it\", keep_last = 2, background = false, on_error = \"continue\" }",
        ] {
            let section = read(text).expect(text).expect("on");
            assert_eq!(CheckpointSection::from_table(&section.to_table()).as_ref(), Ok(&section), "{text}");
        }
        assert_eq!(read("false"), Ok(None));
        assert_eq!(read("{ every = \"500it\" }").expect("good").expect("on").every, Every::Steps(500));
        assert_eq!(read("{ keep_best = \"valid.accuracy\" }").expect("good").expect("on").mode, Mode::Max);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, path) in [
            ("{ every = 0 }", "train.checkpoint.every"),
            ("{ every = \"0it\" }", "train.checkpoint.every"),
            ("{ every = \"5 steps\" }", "train.checkpoint.every"),
            ("{ k = 0 }", "train.checkpoint.k"),
            ("{ on_error = \"ignore\" }", "train.checkpoint.on_error"),
            ("{ keep_lasts = 2 }", "train.checkpoint.keep_lasts"),
            ("3", "train.checkpoint"),
        ] {
            assert_eq!(read(text).expect_err(text).path, path, "{text}");
        }
    }
}
