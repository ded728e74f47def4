//! `[lr_finder]`: the sweep and the rule that reads it.

use strict_config::{ConfigError, Fields};
use toml::Table;
use trainer::lr_finder::{LrFinderConfig, Ramp, Rule};

use super::put;

/// `[lr_finder]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FinderSection {
    /// `start_lr`, `end_lr`, `num_it`, `mode`, `smoothing`, `diverge_factor`, `recycle`, `accumulate`.
    pub sweep: LrFinderConfig,
    /// `rule`: `valley`, `steepest`, `minimum` or `slide`. Default `valley`.
    pub rule: Rule,
}

const RULES: [(&str, Rule); 4] =
    [("valley", Rule::Valley), ("steepest", Rule::Steepest), ("minimum", Rule::Minimum), ("slide", Rule::Slide)];
const RAMPS: [(&str, Ramp); 2] = [("exponential", Ramp::Exponential), ("linear", Ramp::Linear)];

impl FinderSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let known =
            ["start_lr", "end_lr", "num_it", "mode", "smoothing", "diverge_factor", "recycle", "accumulate", "rule"];
        let fields = Fields::open(table, "lr_finder", &known)?;
        let default = LrFinderConfig::default();
        let sweep = LrFinderConfig {
            start_lr: fields.f64("start_lr")?.unwrap_or(default.start_lr),
            end_lr: fields.f64("end_lr")?.unwrap_or(default.end_lr),
            num_it: fields.u64("num_it")?.map_or(default.num_it, |num_it| num_it as usize),
            mode: fields.choice("mode", &RAMPS)?.unwrap_or(default.mode),
            smoothing: fields.f64("smoothing")?.unwrap_or(default.smoothing),
            diverge_factor: fields.f64("diverge_factor")?.unwrap_or(default.diverge_factor),
            recycle: fields.bool("recycle")?.unwrap_or(default.recycle),
            accumulate: fields.u64("accumulate")?.map_or(default.accumulate, |count| count as usize),
        };
        sweep
            .check()
            .map_err(|error| ConfigError::not_allowed(fields.path_of(error.field), error.value, error.allowed))?;
        Ok(Self { sweep, rule: fields.choice("rule", &RULES)?.unwrap_or(Rule::Valley) })
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
        put(&mut table, "recycle", Some(sweep.recycle));
        put(&mut table, "accumulate", Some(sweep.accumulate as i64));
        put(&mut table, "rule", name_of(&RULES, self.rule));
        table
    }
}

fn name_of<T: PartialEq + Copy>(names: &[(&'static str, T)], value: T) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == value).map(|(name, _)| *name)
}
