//! Whether the loss, gradients and parameters of a step are finite.
//!
//! [`Judge`] answers this for each optimizer step, where it can in a pass over the gradients that happens anyway: an extra
//! pass costs up to 1.6 % of a small model's step.
//!
//! | settings | what checks the gradients |
//! |---|---|
//! | clipping by norm is on, by value off | the norm; an infinity clipped by value would be hidden |
//! | neither is on, every step is looked at, a bad step stops the run or rolls it back | the update itself; its result is discarded |
//! | otherwise, every step is looked at | an extra pass on the host |
//! | otherwise | one number for all gradients, read from the device on the steps that are looked at |
//!
//! Parameters are checked when a checkpoint or a rollback state is due.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use optim_adaptive::{AdaptiveOptimizer, ClipError, NormType, StepRates, clip_grad_norm_with, is_zero, zero_if_finite};
use serde::{Deserialize, Serialize};

use crate::step::clip;

/// What to do about a loss, a gradient or a parameter that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNonFinite {
    /// End the run with an error before the optimizer sees the gradient.
    #[default]
    Stop,
    /// Drop the gradient, leave model and optimizer alone, count the step and continue, up to
    /// [`max_skips`](crate::TrainConfig::max_skips) times in a row. Parameters that are not finite themselves cannot be
    /// skipped: they stop the run.
    Skip,
    /// Drop the gradient and restore the last good state, up to [`max_rollbacks`](crate::TrainConfig::max_rollbacks) times.
    ///
    /// A state is taken at the start, with each scheduled checkpoint, and at the end of each epoch where there are none. It
    /// counts as good once its own validation or a later loss is finite and at most 1,000 times the largest loss before. Restored are the weights, the optimizer's state, averages of the weights, and what reactive
    /// schedules, early stopping and callbacks remember. Time does not go back: the step counts as skipped, and the
    /// run continues with the batch after the offending window, which it therefore does not meet again in this epoch;
    /// logs hold each step once and the schedule's length stays what it was.
    Rollback,
}

/// What is not finite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The loss of the window.
    Loss(f64),
    /// The gradient of this parameter, under a finite (or unread) loss.
    Gradient(String),
    /// This parameter itself.
    Parameter(String),
    /// The loss of the weights that the run ends with.
    Weights(f64),
}

impl Fault {
    /// Whether it is the model that is broken, which no left-out update cures.
    pub(crate) fn is_of_the_weights(&self) -> bool {
        matches!(self, Self::Parameter(_) | Self::Weights(_))
    }
}

/// How the steps of a run are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    pub(crate) clip_value: Option<f64>,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) action: OnNonFinite,
    /// Whether every step is looked at, as on a CPU, where reading a number is cheap.
    pub(crate) every_step: bool,
}

impl Judge {
    /// Clips by value, then by norm. Judges the loss, where it was read, and the gradients of a step that is looked at,
    /// unless [`update`](Self::update) does.
    ///
    /// # Errors
    /// What clipping refuses.
    pub(crate) fn clip<M: Module>(
        &self,
        loss: Option<f64>,
        is_looked_at: bool,
        model: &M,
        grads: &mut GradientsParams,
    ) -> Result<Option<Fault>, ClipError> {
        if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
            return Ok(Some(Fault::Loss(loss)));
        }
        let norm_sees_it = self.clip_norm.is_some() && self.clip_value.is_none();
        if is_looked_at && !norm_sees_it && !self.update_sees_it() {
            let is_bad = self.every_step || !gradients_on_device(model, grads);
            if let Some(parameter) = is_bad.then(|| first_bad_gradient(model, grads)).flatten() {
                return Ok(Some(Fault::Gradient(parameter)));
            }
        }
        match clip(self.clip_value, self.clip_norm, model, grads) {
            Ok(()) => Ok(None),
            Err(ClipError::NonFinite { path, .. }) => Ok(Some(Fault::Gradient(path))),
            Err(error) => Err(error),
        }
    }

    /// Updates the model; judges the gradients where nothing has before.
    pub(crate) fn update<M: Module>(
        &self,
        optimizer: &mut AdaptiveOptimizer,
        rates: StepRates,
        model: M,
        grads: GradientsParams,
    ) -> (M, Option<Fault>) {
        if self.update_sees_it() {
            let (model, bad) = optimizer.step_watched(rates, model, grads);
            (model, bad.map(Fault::Gradient))
        } else {
            (optimizer.step(rates, model, grads), None)
        }
    }

    /// [`first_bad_parameter`]. Where not every step is looked at, one number is read from the device for all parameters.
    pub(crate) fn first_bad_parameter<M: Module>(&self, model: &M) -> Option<String> {
        let is_bad = self.every_step || !gradients_on_device(model, &values(model));
        is_bad.then(|| first_bad_parameter(model)).flatten()
    }

    fn update_sees_it(&self) -> bool {
        let is_clipped = self.clip_norm.is_some() || self.clip_value.is_some();
        self.every_step && !is_clipped && self.action != OnNonFinite::Skip
    }
}

/// The first parameter whose gradient is not finite.
///
/// One pass over the gradients, in f64, which a sum of finite f32 numbers cannot leave: on a CPU a fraction of what
/// the update costs. On a GPU it reads a number per parameter; [`gradients_on_device`] reads one in all.
fn first_bad_gradient<M: Module>(model: &M, grads: &mut GradientsParams) -> Option<String> {
    // A bound that no norm reaches: nothing is scaled.
    match clip_grad_norm_with(model, grads, f64::MAX, NormType::L1, true) {
        Err(ClipError::NonFinite { path, .. }) => Some(path),
        _ => None,
    }
}

/// Whether every gradient is finite, summed up on the device and read once.
fn gradients_on_device<M: Module>(model: &M, grads: &GradientsParams) -> bool {
    struct Zeros<'a> {
        grads: &'a GradientsParams,
        sum: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Zeros<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(grad) = self.grads.get::<D>(param.id) else { return };
            let zero = zero_if_finite(grad);
            self.sum = Some(match self.sum.take() {
                None => zero,
                Some(sum) => sum + zero,
            });
        }
    }
    let mut zeros = Zeros { grads, sum: None };
    model.visit(&mut zeros);
    zeros.sum.is_none_or(is_zero)
}

/// The first parameter (or running statistic) that is not finite.
pub(crate) fn first_bad_parameter<M: Module>(model: &M) -> Option<String> {
    first_bad_gradient(model, &mut values(model))
}

/// Parameters and running statistics, in the container of gradients.
fn values<M: Module>(model: &M) -> GradientsParams {
    struct Values(GradientsParams);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.register(param.id, param.base().without_autodiff());
        }
    }
    let mut values = Values(GradientsParams::new());
    model.visit(&mut values);
    values.0
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    fn grads(model: &Linear, value: f32) -> GradientsParams {
        let mut grads = GradientsParams::new();
        grads.register(model.weight.id, Tensor::<2>::full([3, 2], 1e38, &Device::flex()));
        if let Some(bias) = &model.bias {
            grads.register(bias.id, Tensor::<1>::full([2], value, &Device::flex()));
        }
        grads
    }

    #[test]
    fn both_ways_agree() {
        let model = LinearConfig::new(3, 2).init(&Device::flex());
        for (value, finite) in [(1.0, true), (3e38, true), (f32::NAN, false), (f32::NEG_INFINITY, false)] {
            let mut grads = grads(&model, value);
            assert_eq!(gradients_on_device(&model, &grads), finite, "{value}");
            assert_eq!(first_bad_gradient(&model, &mut grads), (!finite).then(|| "bias".to_owned()), "{value}");
        }
        let broken = Linear { weight: model.weight.clone().map(|weight| weight / 0.0), ..model.clone() };
        for every_step in [true, false] {
            let judge = Judge { clip_value: None, clip_norm: None, action: OnNonFinite::Stop, every_step };
            assert_eq!(judge.first_bad_parameter(&model), None);
            assert_eq!(judge.first_bad_parameter(&broken), Some("weight".to_owned()));
        }
    }
}
