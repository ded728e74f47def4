//! A training step: what a model does with a batch, and the updates that follow from it.

use burn::{
    module::Module,
    optim::GradientsParams,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput},
    },
};
use optim_adaptive::{AdaptiveOptimizer, ClipError, StepRates};

use crate::{
    Precision,
    finite::{Fault, Judge},
    freeze::Frozen,
    step::seed_step,
};

/// What the trainer trains. A model with burn-train's two steps ([`LearnerModel`](crate::LearnerModel)) is one already:
/// its gradients are averaged over a window of batches and update it once. A model that updates itself several times
/// with a batch, part by part, implements this in place of `TrainStep` (Lightning's manual optimization).
///
/// The parts of a GAN, say, have an optimizer each: one for all parameters, and a
/// [`Group`](optim_adaptive::Group) with a pattern on their paths for each other part, its schedule given by
/// [`Schedules::with_group`](crate::Schedules::with_group). An update steps the parameters that it is given gradients of, and
/// leaves the others and their optimizer's state alone. So which optimizer steps when is the step's own decision:
///
/// ```
/// # use burn::{module::Module, nn::Linear, optim::GradientsParams, tensor::Tensor, train::InferenceStep};
/// use trainer::{ScalarOutput, Trainable, Updates};
/// # #[derive(Module, Debug)]
/// # struct Gan { generator: Linear, discriminator: Linear }
/// # impl Gan {
/// #     fn discriminator_loss(&self, real: &Tensor<2>) -> Tensor<1> { self.discriminator.forward(real.clone()).mean() }
/// #     fn generator_loss(&self, real: &Tensor<2>) -> Tensor<1> {
/// #         self.discriminator.forward(self.generator.forward(real.clone())).mean()
/// #     }
/// # }
/// # impl InferenceStep for Gan {
/// #     type Input = Tensor<2>;
/// #     type Output = ScalarOutput;
/// #     fn step(&self, real: Tensor<2>) -> ScalarOutput { ScalarOutput::new(self.generator_loss(&real)) }
/// # }
/// impl Trainable for Gan {
///     type TrainBatch = Tensor<2>;
///     type TrainItem = ScalarOutput;
///     fn train_step(self, real: Tensor<2>, updates: &mut Updates<'_, Self>) -> (Self, ScalarOutput) {
///         let d_loss = self.discriminator_loss(&real);
///         let grads = GradientsParams::from_grads(d_loss.backward(), &self.discriminator);
///         let gan = updates.step(self, grads);
///         let g_loss = gan.generator_loss(&real);
///         let grads = GradientsParams::from_grads(g_loss.backward(), &gan.generator);
///         let gan = updates.step(gan, grads);
///         (gan, ScalarOutput::new(g_loss).with("d_loss", d_loss))
///     }
/// }
/// ```
///
/// All of the updates of a batch are one optimizer step of the run: schedules, logs and checkpoints count it once. A run
/// of such a model is refused with `accumulate` above 1 or a `precision` other than f32, which are its own step's business.
pub trait Trainable: Module + InferenceStep + 'static {
    /// A batch of the training data.
    type TrainBatch: Send + 'static;
    /// What a step gives; it adapts to burn-train's `LossInput`, which is how the loss is read.
    type TrainItem: 'static;

    /// Trains on a batch.
    fn train_step(self, batch: Self::TrainBatch, updates: &mut Updates<'_, Self>) -> (Self, Self::TrainItem);
}

impl<M: Module + TrainStep + InferenceStep + 'static> Trainable for M {
    type TrainBatch = <M as TrainStep>::Input;
    type TrainItem = <M as TrainStep>::Output;

    fn train_step(self, batch: Self::TrainBatch, updates: &mut Updates<'_, Self>) -> (Self, Self::TrainItem) {
        let output = updates.precision.step(&self, batch);
        updates.left = Some(output.grads);
        (self, output.item)
    }
}

/// A model whose loss can be read off the outputs of both its steps, as the loop does.
pub(crate) trait WithLoss:
    Trainable<TrainItem: Adaptor<LossInput>> + InferenceStep<Output: Adaptor<LossInput>>
{
}

impl<M: Trainable<TrainItem: Adaptor<LossInput>> + InferenceStep<Output: Adaptor<LossInput>>> WithLoss for M {}

/// The optimizer in the hands of a [training step](Trainable::train_step).
pub struct Updates<'a, M> {
    /// Absent where a batch is only looked at.
    optimization: Option<Optimization<'a>>,
    precision: Precision,
    /// Gradients that the step leaves to the window it is in.
    left: Option<GradientsParams>,
    made: Made,
    model: std::marker::PhantomData<fn(M) -> M>,
}

/// What the updates of a step have come to.
#[derive(Debug)]
pub(crate) struct Made {
    /// How many there were.
    pub(crate) updates: usize,
    /// `Ok(None)`, or why they were broken off.
    pub(crate) outcome: Result<Option<Fault>, ClipError>,
}

impl Default for Made {
    fn default() -> Self {
        Self { updates: 0, outcome: Ok(None) }
    }
}

impl<'a, M: Module> Updates<'a, M> {
    pub(crate) fn new(optimization: Optimization<'a>, precision: Precision) -> Self {
        Self { optimization: Some(optimization), ..Self::none(precision) }
    }

    /// Leaves a model as it is.
    pub(crate) fn none(precision: Precision) -> Self {
        Self { optimization: None, precision, left: None, made: Made::default(), model: std::marker::PhantomData }
    }

    /// The optimizer step of the run that this is, from 0.
    pub fn number(&self) -> u64 {
        self.optimization.as_ref().map_or(0, |optimization| optimization.step)
    }

    /// Updates the parameters that have a gradient here, clipped as the run says, at their schedule's rate of this step.
    ///
    /// A gradient that is not finite is the business of `on_nonfinite`: this update and those after it in the same
    /// step are left out.
    #[must_use]
    pub fn step(&mut self, model: M, grads: GradientsParams) -> M {
        let Some(optimization) = &mut self.optimization else { return model };
        self.made.updates += 1;
        if !matches!(self.made.outcome, Ok(None)) {
            return model;
        }
        let (model, outcome) = optimization.apply(None, model, grads);
        self.made.outcome = outcome;
        model
    }

    /// The gradients that the step has left, and what its own updates have come to.
    pub(crate) fn conclude(self) -> (Option<GradientsParams>, Made) {
        (self.left, self.made)
    }
}

/// What a training step makes of a batch whose model stays as it is: running statistics change, weights do not. What it
/// draws is a function of `seed` and `step`, as in a step of a run, and not of what was drawn before.
pub(crate) fn look_at<M: Trainable>(
    model: &M,
    batch: M::TrainBatch,
    precision: Precision,
    (seed, step): (u64, u64),
) -> M::TrainItem {
    if let Some(device) = model.devices().first() {
        seed_step(device, seed, step, 0);
    }
    // A clone shares running statistics with its original.
    model.clone().train_step(batch, &mut Updates::none(precision)).1
}

/// How one optimizer step of a run updates.
pub(crate) struct Optimization<'a> {
    pub(crate) optimizer: &'a mut AdaptiveOptimizer,
    pub(crate) rates: StepRates,
    pub(crate) judge: Judge,
    pub(crate) frozen: &'a Frozen,
    /// The step, from 0.
    pub(crate) step: u64,
    pub(crate) is_looked_at: bool,
}

impl Optimization<'_> {
    /// One update, unless the loss or a gradient is not finite.
    pub(crate) fn apply<M: Module>(
        &mut self,
        loss: Option<f64>,
        model: M,
        mut grads: GradientsParams,
    ) -> (M, Result<Option<Fault>, ClipError>) {
        self.frozen.drop_from(&model, &mut grads, self.step);
        match self.judge.clip(loss, self.is_looked_at, &model, &mut grads) {
            Ok(None) => {
                let (model, fault) = self.judge.update(self.optimizer, self.rates.clone(), model, grads);
                (model, Ok(fault))
            }
            outcome => (model, outcome),
        }
    }
}
