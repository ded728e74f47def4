//! Stopping when a validation value no longer improves.

use crate::Mode;

/// The best model in a checkpoint.
pub(crate) const BEST: &str = "best.bpk";

/// Lightning's `EarlyStopping`, and Keras' where it restores the best weights.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    /// The value watched, e.g. `valid.loss`.
    pub monitor: String,
    /// The run ends at this many validations in a row without improvement; at least 1.
    pub patience: u64,
    /// An improvement must be larger than this.
    pub min_delta: f64,
    /// Whether lower or higher is better.
    pub mode: Mode,
    /// Whether the model of the run is the best one by this value, as Keras' `restore_best_weights`: however the run
    /// ends, unless it was interrupted. The best model so far is kept in every checkpoint (`best.bpk`), so a resumed
    /// run restores the same one. Default false.
    pub restore_best: bool,
}

impl EarlyStopping {
    /// Lightning's defaults: patience 3, no smallest improvement, lower is better.
    pub fn new(monitor: impl Into<String>) -> Self {
        Self { monitor: monitor.into(), patience: 3, min_delta: 0.0, mode: Mode::Min, restore_best: false }
    }
}

/// What early stopping remembers: a part of the run's state.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Watch {
    pub(crate) best: Option<f64>,
    pub(crate) bad: u64,
}

impl Watch {
    /// Takes note of a value; true where it is the best so far.
    pub(crate) fn note(&mut self, rule: &EarlyStopping, value: f64) -> bool {
        let improves = rule.mode.improves(value, self.best, rule.min_delta);
        if improves {
            *self = Self { best: Some(value), bad: 0 };
        } else {
            self.bad += 1;
        }
        improves
    }

    /// Whether patience is at an end.
    pub(crate) fn is_over(&self, rule: &EarlyStopping) -> bool {
        self.bad >= rule.patience.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_when_it_is_over() {
        let rule = |min_delta, mode| EarlyStopping { patience: 2, min_delta, mode, ..EarlyStopping::new("valid.loss") };
        let cases: [(&str, EarlyStopping, &[f64], Option<usize>); 5] = [
            ("improving", rule(0.0, Mode::Min), &[3.0, 2.0, 1.0, 0.5], None),
            ("two bad in a row", rule(0.0, Mode::Min), &[3.0, 2.0, 2.5, 1.0, 1.0, 1.0], Some(5)),
            ("too little", rule(0.5, Mode::Min), &[3.0, 2.8, 2.6], Some(2)),
            ("upwards", rule(0.0, Mode::Max), &[1.0, 2.0, 1.5, 1.9], Some(3)),
            ("no number never improves", rule(0.0, Mode::Min), &[f64::NAN, f64::NAN], Some(1)),
        ];
        for (name, rule, values, expected) in cases {
            let mut watch = Watch::default();
            let over = values.iter().position(|value| {
                watch.note(&rule, *value);
                watch.is_over(&rule)
            });
            assert_eq!(over, expected, "{name}");
        }
    }
}
