//! Parameters that are not trained for some time.

use std::{collections::HashSet, ops::Range};

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};
use lr_core::{Duration, Horizon, Interval};
use optim_adaptive::{Pattern, for_each_parameter};
use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, Settings};

use crate::every::steps;

/// Parameters that are frozen from one time to another: their gradients are dropped before clipping, so that they get
/// no update, no weight decay and no moments, and weigh in no gradient norm.
///
/// Running statistics of batch norm keep following the data, as in torch, where `requires_grad = False` leaves the
/// layer in training mode too. The backward pass is as long as before.
///
/// ```
/// # fn example() -> Result<(), optim_adaptive::PatternError> {
/// use optim_adaptive::Pattern;
/// use trainer::Freeze;
/// let warm_up = Freeze::new(Pattern::new("conv*")?).until_epoch(3); // epochs 0, 1 and 2
/// let settle = Freeze::new(Pattern::new("*.bias")?).from_epoch(10); // from epoch 10 to the end
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Which parameters, by path.
    pub params: Pattern,
    /// When they stop training; a bare number is an epoch, from 0. Default 0.
    #[serde(default = "at_once")]
    pub from_epoch: Duration,
    /// When they train again; a bare number is an epoch. Default: never.
    #[serde(default)]
    pub until_epoch: Option<Duration>,
}

fn at_once() -> Duration {
    Duration::Ticks(0)
}

impl Settings for Freeze {
    fn check(&self) -> Result<(), ConfigError> {
        self.from_epoch.check("from_epoch", 0)?;
        match (self.from_epoch, self.until_epoch) {
            (Duration::Ticks(from), Some(Duration::Ticks(until))) if until <= from => {
                let allowed = format!("an epoch after from_epoch, which is {from}");
                Err(ConfigError::not_allowed("until_epoch", until, allowed))
            }
            (_, until) => until.map_or(Ok(()), |until| until.check("until_epoch", 0)),
        }
    }
}

impl Freeze {
    /// Frozen for the whole run.
    pub fn new(params: Pattern) -> Self {
        Self { params, from_epoch: at_once(), until_epoch: None }
    }

    /// Frozen from this epoch (or other time) on.
    #[must_use]
    pub fn from_epoch(mut self, epoch: impl Into<Duration>) -> Self {
        self.from_epoch = epoch.into();
        self
    }

    /// Trained again from this epoch (or other time) on.
    #[must_use]
    pub fn until_epoch(mut self, epoch: impl Into<Duration>) -> Self {
        self.until_epoch = Some(epoch.into());
        self
    }

    /// The optimizer steps (from 0) that leave these parameters alone.
    ///
    /// # Errors
    /// An end that is not after the beginning.
    pub fn steps(&self, run: &Horizon) -> Result<Range<u64>, ConfigError> {
        let from = steps("from_epoch", self.from_epoch, Interval::Epoch, run)?;
        let Some(end) = self.until_epoch else { return Ok(from..u64::MAX) };
        let until = steps("until_epoch", end, Interval::Epoch, run)?;
        if until > from {
            return Ok(from..until);
        }
        let allowed = format!("a time after from_epoch: it is step {until} of this run, and from_epoch step {from}");
        Err(ConfigError::not_allowed("until_epoch", end, allowed))
    }
}

/// The parameters of a model that rules freeze, each with the optimizer steps (from 0) in which they do.
#[derive(Debug, Default)]
pub(crate) struct Frozen(Vec<(Range<u64>, HashSet<ParamId>)>);

impl Frozen {
    /// Those of `model`; `steps` are those of each of the `rules`.
    pub(crate) fn of<M: Module>(rules: &[Freeze], steps: &[Range<u64>], model: &M) -> Self {
        let paths = if rules.is_empty() { Vec::new() } else { paths(model) };
        let ids = |rule: &Freeze| {
            paths.iter().filter(|(path, _)| rule.params.matches(path)).map(|(_, id)| *id).collect::<HashSet<_>>()
        };
        Self(steps.iter().cloned().zip(rules.iter().map(ids)).collect())
    }

    /// Drops the gradients of the parameters that optimizer step `step` (from 0) leaves alone.
    pub(crate) fn drop_from<M: Module>(&self, model: &M, grads: &mut GradientsParams, step: u64) {
        struct Remove<'a>(&'a HashSet<ParamId>, &'a mut GradientsParams);
        impl ModuleVisitor for Remove<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.0.contains(&param.id) {
                    self.1.remove::<D>(param.id);
                }
            }
        }
        for (_, ids) in self.0.iter().filter(|(steps, _)| steps.contains(&step)) {
            model.visit(&mut Remove(ids, grads));
        }
    }
}

/// The float parameters of a model with their dotted paths.
fn paths<M: Module>(model: &M) -> Vec<(String, ParamId)> {
    let mut paths = Vec::new();
    for_each_parameter(model, |path, id, _| paths.push((path.to_owned(), id)));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_count_from_0_and_the_end_is_not_in() {
        let all = || Freeze::new(Pattern::new("*").expect("a pattern"));
        let cases = [
            (all(), [true, true, true, true]),
            (all().until_epoch(2), [true, true, false, false]),
            (all().from_epoch(1), [false, true, true, true]),
            (all().from_epoch(1).until_epoch(3), [false, true, true, false]),
            (all().until_epoch(Duration::Percent(50.0)), [true, true, false, false]),
            (all().from_epoch(Duration::Steps(20)), [false, false, true, true]),
        ];
        for (rule, expected) in cases {
            let steps = rule.steps(&Horizon::run(10, 40)).expect("steps");
            assert_eq!([0, 10, 20, 30].map(|step| steps.contains(&step)), expected, "{rule:?}");
            assert_eq!([9, 19, 29, 39].map(|step| steps.contains(&step)), expected, "{rule:?}");
        }
        let nothing = all().from_epoch(3).until_epoch(Duration::Steps(30));
        let error = nothing.steps(&Horizon::run(10, 40)).expect_err("nothing is left").to_string();
        assert!(error.contains("it is step 30 of this run, and from_epoch step 30"), "{error}");
    }
}
