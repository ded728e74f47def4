//! `[lr_finder]`: the sweep and the rule that reads it.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::lr_finder::{LrFinderConfig, Ramp, Rule};

use super::put;

/// `[lr_finder]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FinderSection {
    /// `start_lr`, `end_lr`, `num_it`, `mode`, `smoothing`, `diverge_factor`, `min_points`, `recycle`, `accumulate`.
    pub sweep: LrFinderConfig,
    /// `rule`: `minimum`, `valley`, `steepest` or `slide`. Default `minimum`.
    pub rule: Rule,
    /// `repeats`: sweeps over as many seeds. Default 1.
    pub repeats: usize,
    /// `validate`: also measure the validation loss at each point, on all of the validation set (`true`) or on this many
    /// batches of it. Default `false`.
    pub validate: Validate,
    /// `skip_start`, `skip_end`: points left out when a suggestion is read. Defaults: a tenth of `num_it`, and 5.
    pub skip: (Option<usize>, Option<usize>),
    /// `found`: the rate that `lr = "auto"` came out as. It is written into a run's own config and read by no one else.
    pub found: Option<f64>,
}

/// How much of the validation set is looked at, at each point of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validate {
    /// Nothing.
    #[default]
    Off,
    /// This many batches.
    Batches(usize),
    /// All.
    All,
}

const RULES: [(&str, Rule); 4] =
    [("valley", Rule::Valley), ("steepest", Rule::Steepest), ("minimum", Rule::Minimum), ("slide", Rule::Slide)];
const RAMPS: [(&str, Ramp); 2] = [("exponential", Ramp::Exponential), ("linear", Ramp::Linear)];
const KNOWN: [&str; 15] = [
    "start_lr",
    "end_lr",
    "num_it",
    "mode",
    "smoothing",
    "diverge_factor",
    "min_points",
    "recycle",
    "accumulate",
    "validate",
    "repeats",
    "rule",
    "skip_start",
    "skip_end",
    "found",
];

impl FinderSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open(table, "lr_finder", &KNOWN)?;
        let default = LrFinderConfig::default();
        let count = |field| fields.u64(field).map(|count| count.map(|count| count as usize));
        let sweep = LrFinderConfig {
            start_lr: fields.f64("start_lr")?.unwrap_or(default.start_lr),
            end_lr: fields.f64("end_lr")?.unwrap_or(default.end_lr),
            num_it: count("num_it")?.unwrap_or(default.num_it),
            mode: fields.choice("mode", &RAMPS)?.unwrap_or(default.mode),
            smoothing: fields.f64("smoothing")?.unwrap_or(default.smoothing),
            diverge_factor: fields.f64("diverge_factor")?.unwrap_or(default.diverge_factor),
            min_points: count("min_points")?.unwrap_or(default.min_points),
            recycle: fields.bool("recycle")?.unwrap_or(default.recycle),
            accumulate: count("accumulate")?.unwrap_or(default.accumulate),
        };
        sweep
            .check()
            .map_err(|error| ConfigError::not_allowed(fields.path_of(error.field), error.value, error.allowed))?;
        Ok(Self {
            sweep,
            rule: fields.choice("rule", &RULES)?.unwrap_or_default(),
            repeats: fields.u64_from("repeats", 1)?.unwrap_or(1) as usize,
            validate: validate(&fields)?,
            skip: (count("skip_start")?, count("skip_end")?),
            found: fields.f64_where("found", "a rate above 0", |lr| lr > 0.0)?,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        let sweep = &self.sweep;
        put(&mut table, "start_lr", Some(sweep.start_lr));
        put(&mut table, "end_lr", Some(sweep.end_lr));
        put(&mut table, "num_it", Some(sweep.num_it as i64));
        put(&mut table, "mode", name_of(&RAMPS, sweep.mode));
        put(&mut table, "smoothing", Some(sweep.smoothing));
        put(&mut table, "diverge_factor", Some(sweep.diverge_factor));
        put(&mut table, "min_points", Some(sweep.min_points as i64));
        put(&mut table, "recycle", Some(sweep.recycle));
        put(&mut table, "accumulate", Some(sweep.accumulate as i64));
        put(
            &mut table,
            "validate",
            Some(match self.validate {
                Validate::Off => Value::Boolean(false),
                Validate::All => Value::Boolean(true),
                Validate::Batches(batches) => Value::Integer(batches as i64),
            }),
        );
        put(&mut table, "repeats", Some(self.repeats as i64));
        put(&mut table, "rule", name_of(&RULES, self.rule));
        put(&mut table, "skip_start", self.skip.0.map(|points| points as i64));
        put(&mut table, "skip_end", self.skip.1.map(|points| points as i64));
        put(&mut table, "found", self.found);
        table
    }
}

fn validate(fields: &Fields<'_>) -> Result<Validate, ConfigError> {
    match fields.value("validate") {
        Some(Value::Integer(_)) => {
            Ok(fields.u64_from("validate", 1)?.map_or(Validate::Off, |batches| Validate::Batches(batches as usize)))
        }
        None | Some(Value::Boolean(false)) => Ok(Validate::Off),
        Some(Value::Boolean(true)) => Ok(Validate::All),
        Some(other) => Err(fields.wrong_type("validate", "true, false or a number of batches", other)),
    }
}

fn name_of<T: PartialEq + Copy>(names: &[(&'static str, T)], value: T) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == value).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FinderSection, ConfigError> {
        FinderSection::from_table(&text.parse().expect("TOML"))
    }

    #[test]
    fn every_setting_is_written_and_read_back() {
        for text in [
            "",
            "start_lr = 1e-6\nend_lr = 1\nnum_it = 50\nmode = 'linear'\nsmoothing = 0\ndiverge_factor = 5\n\
             min_points = 0\nrecycle = false\naccumulate = 2\nvalidate = 4\nrepeats = 3\nrule = 'slide'\n\
             skip_start = 0\nskip_end = 1\nfound = 0.01",
            "validate = true",
        ] {
            let section = read(text).expect("good settings");
            assert_eq!(FinderSection::from_table(&section.to_table()).as_ref(), Ok(&section));
        }
        let section = read("validate = 4\nrepeats = 3").expect("good settings");
        assert_eq!((section.validate, section.repeats), (Validate::Batches(4), 3));
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (text, message) in [
            ("validate = 0", "lr_finder.validate: 0 is not allowed here; allowed: a whole number of at least 1"),
            ("validate = 'all'", "lr_finder.validate: expected true, false or a number of batches, found \"all\""),
            ("repeats = 0", "lr_finder.repeats: 0 is not allowed here"),
            ("found = -1", "lr_finder.found: -1 is not allowed here; allowed: a rate above 0"),
            ("repeat = 3", "lr_finder.repeat: unknown field; did you mean `repeats`?"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
