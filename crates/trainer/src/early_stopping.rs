//! Stopping when a validation value no longer improves.

use lr_core::{Duration, Horizon, Interval};
use strict_config::{ConfigError, Settings, check, settings};

use crate::{Mode, every};

settings! {
    /// Lightning's `EarlyStopping`, and Keras' where it restores the best weights.
    pub struct EarlyStopping {
        /// The value watched. Default `valid.loss`.
        pub monitor: String = "valid.loss".to_owned(),
        /// The run ends at this many validations in a row without improvement, or (`"5ep"`, `"500it"`, `"20%"`) at the first
        /// validation that long after the best one. Above 0; default 3.
        pub patience: Duration = Duration::Ticks(3),
        /// An improvement must be larger than this. Default 0.
        pub min_delta: f64 = 0.0,
        /// Whether lower (`min`) or higher (`max`) is better. Default: [`Mode::of`] the monitored value.
        pub mode: Option<Mode> = None,
        /// Whether the model of the run is the best one by this value, as Keras' `restore_best_weights`: however the run
        /// ends, unless it was interrupted. The best model so far is kept in every checkpoint (`best.bpk`), so a resumed
        /// run restores the same one. Default false.
        pub restore_best: bool = false,
    }
}

impl Settings for EarlyStopping {
    fn resolve(&mut self) {
        self.mode = Some(self.mode());
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self.patience {
            Duration::Ticks(validations) => check::at_least("patience", validations, 1)?,
            length => every::check_every("patience", length)?,
        }
        check::number("min_delta", self.min_delta, "a number of at least 0", |delta| delta >= 0.0)
    }
}

impl EarlyStopping {
    /// The defaults (Lightning's), for this value.
    pub fn new(monitor: impl Into<String>) -> Self {
        Self { monitor: monitor.into(), ..Self::default() }
    }

    /// Whether lower or higher is better.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or_else(|| Mode::of(&self.monitor))
    }

    /// Takes note of a value, given the best so far and the values in a row that did not improve on it; true where it
    /// is the best.
    pub(crate) fn note(&self, value: f64, best: &mut Option<f64>, bad: &mut u64) -> bool {
        let improves = self.mode().improves(value, *best, self.min_delta);
        if improves {
            (*best, *bad) = (Some(value), 0);
        } else {
            *bad += 1;
        }
        improves
    }

    /// The patience in a run.
    ///
    /// # Errors
    /// A length of time that comes to no step of this run.
    pub(crate) fn patience(&self, run: &Horizon) -> Result<Patience, ConfigError> {
        match self.patience {
            Duration::Ticks(validations) => Ok(Patience::Validations(validations)),
            length => every::steps("early_stopping.patience", length, Interval::Step, run).map(Patience::Steps),
        }
    }
}

/// [`EarlyStopping::patience`] in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Validations in a row.
    Validations(u64),
    /// Optimizer steps since the best validation.
    Steps(u64),
}

impl Patience {
    /// Whether the run ends: `bad` validations in a row, and `steps` steps, without improvement.
    pub(crate) fn is_over(self, bad: u64, steps: u64) -> bool {
        match self {
            Self::Validations(most) => bad >= most,
            Self::Steps(most) => steps >= most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_when_it_is_over() {
        let rule = |min_delta, mode| EarlyStopping {
            patience: Duration::Ticks(2),
            min_delta,
            mode: Some(mode),
            ..EarlyStopping::new("valid.loss")
        };
        let cases: [(&str, EarlyStopping, &[f64], Option<usize>); 5] = [
            ("improving", rule(0.0, Mode::Min), &[3.0, 2.0, 1.0, 0.5], None),
            ("two bad in a row", rule(0.0, Mode::Min), &[3.0, 2.0, 2.5, 1.0, 1.0, 1.0], Some(5)),
            ("too little", rule(0.5, Mode::Min), &[3.0, 2.8, 2.6], Some(2)),
            ("upwards", rule(0.0, Mode::Max), &[1.0, 2.0, 1.5, 1.9], Some(3)),
            ("no number never improves", rule(0.0, Mode::Min), &[f64::NAN, f64::NAN], Some(1)),
        ];
        for (name, rule, values, expected) in cases {
            let (mut best, mut bad) = (None, 0);
            let over = values.iter().position(|value| {
                rule.note(*value, &mut best, &mut bad);
                rule.patience(&Horizon::unknown()).expect(name).is_over(bad, 0)
            });
            assert_eq!(over, expected, "{name}");
        }
    }

    #[test]
    fn patience_may_be_a_length_of_time() {
        // 10 epochs of 20 steps; the best validation was at step 40.
        let run = Horizon::run(20, 200);
        for (patience, over_at) in [("2ep", 80), ("25it", 65), ("10%", 60)] {
            let rule: EarlyStopping =
                strict_config::read(&format!("patience = '{patience}'").parse().expect("TOML"), "").expect(patience);
            let first = (41..200).find(|step| rule.patience(&run).expect(patience).is_over(1, step - 40));
            assert_eq!(first, Some(over_at), "{patience}");
        }
        for patience in ["0", "'0ep'", "'rest'"] {
            let table = format!("patience = {patience}").parse().expect("TOML");
            let refusal =
                strict_config::read::<EarlyStopping>(&table, "early_stopping").expect_err(patience).to_string();
            assert!(refusal.starts_with("early_stopping.patience: "), "{refusal}");
        }
    }
}
