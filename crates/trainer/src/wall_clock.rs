//! Lengths of wall-clock time in a config: `"30s"`, `"10m"`, `"1.5h"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};
use strict_config::{ConfigError, raise};

#[allow(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&format!("{}s", time.as_secs_f64())),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match parse(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(raise(ConfigError::not_allowed(
            "",
            format!("{text:?}"),
            "a time above 0 with its unit: \"30s\", \"10m\", \"1.5h\"",
        ))),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.char_indices().next_back()?.0);
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.trim().parse::<f64>().ok().filter(|number| *number > 0.0)? * unit;
    // It refuses what is longer than a clock counts.
    Duration::try_from_secs_f64(seconds).ok()
}
