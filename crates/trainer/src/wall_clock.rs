//! Lengths of wall-clock time in a config: `"30s"`, `"10m"`, `"1.5h"`, or a number of seconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};
use strict_config::{ConfigError, raise, show};
use toml::Value;

#[allow(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&format!("{}s", time.as_secs_f64())),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let time = match &value {
        Value::String(text) => parse(text),
        Value::Integer(seconds) => of_seconds(*seconds as f64),
        Value::Float(seconds) => of_seconds(*seconds),
        other => return Err(raise(ConfigError::wrong_type("", EXPECTED, other))),
    };
    match time {
        Some(time) => Ok(Some(time)),
        None => Err(raise(ConfigError::not_allowed("", show(&value), EXPECTED))),
    }
}

const EXPECTED: &str = "a time above 0: seconds, or with a unit \"30s\", \"10m\", \"1.5h\"";

/// `None` for what is not above 0, and for what is longer than a clock counts.
fn of_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

/// A length of time as text: a number of seconds, or one with the unit `s`, `m` or `h`. `None` for what is none, is not above
/// 0, or is longer than a clock counts.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.char_indices().next_back()?.0);
    let unit = match unit {
        digit if digit.starts_with(|c: char| c.is_ascii_digit()) => return of_seconds(text.parse().ok()?),
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    of_seconds(number.trim().parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_need_no_unit() {
        for (text, seconds) in [("30", 30.0), ("1.5", 1.5), ("30s", 30.0), (" 10m ", 600.0), ("1.5h", 5400.0)] {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "0", "-1", "s", "30x", "1e300h", "nan"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
