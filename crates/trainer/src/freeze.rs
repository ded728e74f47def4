//! Parameters that are left alone for some epochs.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};
use optim_adaptive::{Pattern, for_each_parameter};

use crate::TrainError;

/// Parameters that are frozen from one epoch to another: their gradients are dropped before clipping, so that they get
/// no update, no weight decay and no moments, and weigh in no gradient norm.
///
/// Running statistics of batch norm go on following the data, as in torch, where `requires_grad = False` leaves the
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
#[derive(Debug, Clone, PartialEq)]
pub struct Freeze {
    /// Which parameters, by path.
    pub params: Pattern,
    /// The first epoch, from 0. Default 0.
    pub from_epoch: u64,
    /// The first epoch in which they train again. Default: never.
    pub until_epoch: Option<u64>,
}

impl Freeze {
    /// Frozen for the whole run.
    pub fn new(params: Pattern) -> Self {
        Self { params, from_epoch: 0, until_epoch: None }
    }

    /// Frozen from this epoch on (from 0).
    #[must_use]
    pub fn from_epoch(mut self, epoch: u64) -> Self {
        self.from_epoch = epoch;
        self
    }

    /// Trained again from this epoch on (from 0).
    #[must_use]
    pub fn until_epoch(mut self, epoch: u64) -> Self {
        self.until_epoch = Some(epoch);
        self
    }

    fn covers(&self, epoch: u64) -> bool {
        epoch >= self.from_epoch && self.until_epoch.is_none_or(|until| epoch < until)
    }
}

/// The parameters that are frozen in the epoch under way.
#[derive(Debug, Default)]
pub(crate) struct Frozen(HashSet<ParamId>);

impl Frozen {
    /// Those of `model` that `rules` freeze in `epoch`.
    pub(crate) fn of<M: Module>(rules: &[Freeze], model: &M, epoch: u64) -> Self {
        let rules: Vec<&Freeze> = rules.iter().filter(|rule| rule.covers(epoch)).collect();
        if rules.is_empty() {
            return Self::default();
        }
        let is_frozen = |path: &str| rules.iter().any(|rule| rule.params.matches(path));
        Self(paths(model).into_iter().filter(|(path, _)| is_frozen(path)).map(|(_, id)| id).collect())
    }

    /// Drops the gradients of the frozen parameters.
    pub(crate) fn drop_from<M: Module>(&self, model: &M, grads: &mut GradientsParams) {
        struct Remove<'a>(&'a HashSet<ParamId>, &'a mut GradientsParams);
        impl ModuleVisitor for Remove<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.0.contains(&param.id) {
                    self.1.remove::<D>(param.id);
                }
            }
        }
        if !self.0.is_empty() {
            model.visit(&mut Remove(&self.0, grads));
        }
    }
}

/// Refuses a rule that no parameter of `model` fits: a misspelt one would freeze nothing, silently.
///
/// # Errors
/// [`TrainError::NoSuchParameter`].
pub fn check_freeze<M: Module>(rules: &[Freeze], model: &M) -> Result<(), TrainError> {
    let paths = if rules.is_empty() { Vec::new() } else { paths(model) };
    match rules.iter().find(|rule| !paths.iter().any(|(path, _)| rule.params.matches(path))) {
        None => Ok(()),
        Some(rule) => Err(TrainError::NoSuchParameter {
            pattern: rule.params.as_str().to_owned(),
            known: paths.into_iter().map(|(path, _)| path).collect(),
        }),
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
        let pattern = || Pattern::new("*").expect("a pattern");
        let cases = [
            (Freeze::new(pattern()), [true, true, true, true]),
            (Freeze::new(pattern()).until_epoch(2), [true, true, false, false]),
            (Freeze::new(pattern()).from_epoch(1), [false, true, true, true]),
            (Freeze::new(pattern()).from_epoch(1).until_epoch(3), [false, true, true, false]),
        ];
        for (rule, expected) in cases {
            assert_eq!([0, 1, 2, 3].map(|epoch| rule.covers(epoch)), expected, "{rule:?}");
        }
    }
}
