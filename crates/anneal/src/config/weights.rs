//! What `[train]` says of the weights: averages (`ema`, `swa`) and which are left alone (`freeze`).

use lr_core::Duration;
use optim_adaptive::Pattern;
use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use trainer::{Averaging, Ema, Freeze, Swa};

use super::put;

/// Reads `ema` or `swa`; a run has at most one of them.
pub(super) fn read_averaging(fields: &Fields<'_>) -> Result<Option<Averaging>, ConfigError> {
    match (fields.value("ema"), fields.value("swa")) {
        (Some(_), Some(_)) => Err(ConfigError::conflict(
            fields.path_of("swa"),
            "a run has either `ema` or `swa`: one average is evaluated and kept",
        )),
        (Some(ema), None) => read_ema(fields, ema).map(|ema| Some(Averaging::Ema(ema))),
        (None, Some(swa)) => read_swa(fields, swa).map(|swa| Some(Averaging::Swa(swa))),
        (None, None) => Ok(None),
    }
}

/// `ema = 0.999` or `ema = { decay, warmup, every, start }`.
fn read_ema(fields: &Fields<'_>, value: &Value) -> Result<Ema, ConfigError> {
    const DECAY: &str = "a number from 0 to below 1";
    let is_decay = |decay: f64| (0.0..1.0).contains(&decay);
    match value {
        Value::Table(table) => {
            let own = Fields::open(table, &fields.path_of("ema"), &["decay", "warmup", "every", "start"])?;
            let defaults = Ema::new(0.999);
            Ok(Ema {
                decay: own.f64_where("decay", DECAY, is_decay)?.unwrap_or(defaults.decay),
                warmup: own.bool("warmup")?.unwrap_or(defaults.warmup),
                every: own.u64_from("every", 1)?.unwrap_or(defaults.every),
                start: own.u64("start")?.unwrap_or(defaults.start),
            })
        }
        Value::Float(_) | Value::Integer(_) => {
            fields.f64_where("ema", DECAY, is_decay).map(|decay| Ema::new(decay.unwrap_or(0.999)))
        }
        other => Err(fields.wrong_type("ema", "a decay such as 0.999, or { decay = 0.999, ... }", other)),
    }
}

/// `swa = { start, every }`.
fn read_swa(fields: &Fields<'_>, value: &Value) -> Result<Swa, ConfigError> {
    let Value::Table(table) = value else {
        return Err(fields.wrong_type("swa", "a table such as { start = \"75%\" }", value));
    };
    let own = Fields::open(table, &fields.path_of("swa"), &["start", "every"])?;
    let duration = |field: &str| own.value(field).map(|value| Duration::parse(value, &own.path_of(field))).transpose();
    let start = duration("start")?.unwrap_or(Duration::Percent(75.0));
    Ok(Swa { every: duration("every")?.unwrap_or(Swa::new(start).every), start })
}

/// Writes the average under its own name.
pub(super) fn put_averaging(table: &mut Table, averaging: Option<&Averaging>) {
    let mut own = Table::new();
    match averaging {
        None => {}
        Some(Averaging::Ema(ema)) => {
            put(&mut own, "decay", Some(ema.decay));
            put(&mut own, "warmup", Some(ema.warmup));
            put(&mut own, "every", Some(ema.every as i64));
            put(&mut own, "start", Some(ema.start as i64));
            put(table, "ema", Some(Value::Table(own)));
        }
        Some(Averaging::Swa(swa)) => {
            put(&mut own, "start", Some(swa.start.to_value()));
            put(&mut own, "every", Some(swa.every.to_value()));
            put(table, "swa", Some(Value::Table(own)));
        }
    }
}

/// `freeze = [{ params = "conv*", until_epoch = 3 }]`.
pub(super) fn read_freeze(fields: &Fields<'_>) -> Result<Vec<Freeze>, ConfigError> {
    let read = |(table, path): (&Table, String)| {
        let own = Fields::open(table, &path, &["params", "from_epoch", "until_epoch"])?;
        let text = own.need_str("params", "a pattern on parameter paths, such as \"conv*\"")?;
        let pattern = Pattern::new(text)
            .map_err(|error| ConfigError::not_allowed(own.path_of("params"), format!("{text:?}"), error.reason))?;
        let from = own.u64("from_epoch")?.unwrap_or(0);
        let mut rule = Freeze::new(pattern).from_epoch(from);
        rule.until_epoch = own.u64("until_epoch")?;
        match rule.until_epoch {
            Some(until) if until <= from => Err(ConfigError::not_allowed(
                own.path_of("until_epoch"),
                until,
                format!("an epoch after from_epoch, which is {from}"),
            )),
            _ => Ok(rule),
        }
    };
    fields.tables("freeze")?.unwrap_or_default().into_iter().map(read).collect()
}

/// Writes the rules, every setting explicit.
pub(super) fn put_freeze(table: &mut Table, rules: &[Freeze]) {
    let to_value = |rule: &Freeze| {
        let mut own = Table::new();
        put(&mut own, "params", Some(rule.params.as_str()));
        put(&mut own, "from_epoch", Some(rule.from_epoch as i64));
        put(&mut own, "until_epoch", rule.until_epoch.map(|epoch| epoch as i64));
        Value::Table(own)
    };
    if !rules.is_empty() {
        put(table, "freeze", Some(Value::Array(rules.iter().map(to_value).collect())));
    }
}
