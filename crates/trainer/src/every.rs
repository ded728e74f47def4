//! Lengths of time in optimizer steps: one answer to "is it due?" for validations, checkpoints, logs, looks at the
//! gradient and averages of the weights.

use std::fmt;

use lr_core::{Clock, Duration, Horizon, Interval};
use strict_config::{ConfigError, check, show};

/// How often something happens, in optimizer steps of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Every {
    /// After every `every` steps that follow step `start`.
    Steps {
        /// At least 1.
        every: u64,
        /// 0 counts from the beginning of the run.
        start: u64,
    },
    /// Within each `of` steps (an epoch, the run) after `length` of them, twice that, and so on, each rounded to a whole
    /// step.
    Parts {
        /// Above 0.
        length: f64,
        /// At least 1.
        of: u64,
    },
}

impl Every {
    /// What `every` comes to, where a bare number counts `unit`s: a part of an epoch or of the run falls on the steps
    /// nearest to its multiples; every other length is a whole number of steps.
    ///
    /// # Errors
    /// A length that comes to no step, or needs what `run` does not know. The error names `field`.
    pub(crate) fn new(field: &str, every: Duration, unit: Interval, run: &Horizon) -> Result<Self, ConfigError> {
        let parts = |part: f64, of: Option<u64>| of.map(|of| Self::Parts { length: part * of as f64, of });
        let parts = match every.counting(unit) {
            Duration::Epochs(part) if part < 1.0 => parts(part, run.steps_per_epoch()),
            Duration::Percent(percent) => parts(percent / 100.0, run.total_ticks(Interval::Step)),
            _ => None,
        };
        match parts {
            Some(parts) => Ok(parts),
            None => Self::after(0, field, every, unit, run),
        }
    }

    /// Every so many whole steps after step `start`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn after(
        start: u64,
        field: &str,
        every: Duration,
        unit: Interval,
        run: &Horizon,
    ) -> Result<Self, ConfigError> {
        Ok(Self::Steps { every: steps(field, every, unit, run)?.max(1), start })
    }

    /// Whether it falls on step `step` (done; from 1).
    pub(crate) fn is_due(&self, step: u64) -> bool {
        match *self {
            Self::Steps { every, start } => step > start && (step - start).is_multiple_of(every),
            Self::Parts { length, of } => {
                let within = (step.saturating_sub(1) % of + 1) as f64;
                // The multiple nearest to this step, and its neighbours, since rounding may move one here.
                let nearest = (within / length).round().max(1.0);
                [nearest - 1.0, nearest, nearest + 1.0]
                    .into_iter()
                    .any(|count| count >= 1.0 && (count * length).round() == within)
            }
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps { every, start: 0 } => write!(f, "{every} steps"),
            Self::Steps { every, start } => write!(f, "{every} steps after {start}"),
            Self::Parts { length, of } => write!(f, "{length} of {of} steps"),
        }
    }
}

/// A length of time in whole optimizer steps of a run, where a bare number counts `unit`s.
///
/// # Errors
/// A length above zero that rounds to no step, or needs what `run` does not know. The error names `field`.
pub(crate) fn steps(field: &str, length: Duration, unit: Interval, run: &Horizon) -> Result<u64, ConfigError> {
    length.counting(unit).resolve(field, &Clock::new(*run, Interval::Step))
}

/// Refuses a length that no run can use as "every so often".
pub(crate) fn check_every(field: &str, every: Duration) -> Result<(), ConfigError> {
    every.check(field, 1)?;
    let is_above_0 = match every {
        Duration::Ticks(count) | Duration::Steps(count) => count > 0,
        Duration::Epochs(number) | Duration::Percent(number) => number > 0.0,
        Duration::Rest => false,
    };
    let allowed = "a length above 0, as a number or as \"2ep\", \"200it\", \"10%\"";
    check::is_allowed(field, show(&every.to_value()), allowed, is_above_0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 3 epochs of 10 steps.
    fn due(every: &Every) -> Vec<u64> {
        (1..=30).filter(|step| every.is_due(*step)).collect()
    }

    fn parse(text: &str) -> Duration {
        Duration::parse(&text.parse().expect("TOML"), "every").expect(text)
    }

    #[test]
    fn it_is_due_when_the_text_says() {
        // A bare number counts epochs.
        let cases: [(&str, Vec<u64>); 13] = [
            ("1", vec![10, 20, 30]),
            ("2", vec![20]),
            ("'1ep'", vec![10, 20, 30]),
            ("'2ep'", vec![20]),
            ("'1.5ep'", vec![15, 30]),
            ("'7it'", vec![7, 14, 21, 28]),
            ("'0.25ep'", vec![3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30]),
            ("'0.5ep'", vec![5, 10, 15, 20, 25, 30]),
            // More often than there are steps.
            ("'0.01ep'", (1..=30).collect()),
            // What does not divide an epoch starts again with the next.
            ("'0.4ep'", vec![4, 8, 14, 18, 24, 28]),
            ("'20%'", vec![6, 12, 18, 24, 30]),
            ("'35%'", vec![11, 21]),
            ("'1%'", (1..=30).collect()),
        ];
        let run = Horizon::run(10, 30);
        for (text, expected) in cases {
            let every = parse(text);
            check_every("every", every).expect(text);
            assert_eq!(due(&Every::new("every", every, Interval::Epoch, &run).expect(text)), expected, "{text}");
        }
        let steps = Every::new("every", parse("4"), Interval::Step, &run).expect("4 steps");
        assert_eq!(due(&steps), [4, 8, 12, 16, 20, 24, 28]);
        let late = Every::after(12, "every", parse("'0.4ep'"), Interval::Step, &run).expect("after");
        assert_eq!(due(&late), [16, 20, 24, 28]);
    }

    #[test]
    fn what_is_never_due_is_refused() {
        for text in ["0", "'0it'", "'0ep'", "'0%'", "'rest'"] {
            let error = check_every("every", parse(text)).expect_err(text).to_string();
            assert!(error.starts_with("every: "), "{error}");
        }
        let unknown = Every::new("every", parse("2"), Interval::Epoch, &Horizon::unknown()).expect_err("unknown");
        assert!(unknown.to_string().contains("needs the number of steps per epoch"), "{unknown}");
    }
}
