//! One optimizer step: forward and backward over a window of batches, the mean of their gradients, clipping, the update.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor},
    train::{InferenceStep, TrainStep},
};
use optim_adaptive::ClipError;
use splitmix::SplitMix64;

/// A model that the trainer can train: a burn module that implements burn-train's two step traits.
///
/// The outputs of both steps must adapt to burn-train's `LossInput`, which is how the loss is read; the bounds on
/// [`Trainer`](crate::Trainer) ask for it.
pub trait LearnerModel: Module + TrainStep + InferenceStep + 'static {}

impl<M: Module + TrainStep + InferenceStep + 'static> LearnerModel for M {}

/// The gradients of the batches of one optimizer step.
pub(crate) struct Window<M> {
    sum: GradientsAccumulator<M>,
    only: Option<GradientsParams>,
    batches: usize,
    /// Items of the first batch, and of all.
    items: (usize, usize),
}

impl<M: Module> Window<M> {
    pub(crate) fn new() -> Self {
        Self { sum: GradientsAccumulator::new(), only: None, batches: 0, items: (0, 0) }
    }

    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Adds the gradients of one batch of so many items.
    pub(crate) fn add(&mut self, model: &M, grads: GradientsParams, items: usize) {
        self.batches += 1;
        self.items.1 += items;
        // The usual window holds one batch: its gradients pass through untouched.
        if self.batches == 1 {
            self.only = Some(grads);
            self.items.0 = items;
            return;
        }
        // Weights relative to the first batch: that of a batch of equal size is 1.
        let grads =
            if items == self.items.0 { grads } else { scaled(model, grads, items as f64 / self.items.0.max(1) as f64) };
        if let Some(first) = self.only.take() {
            self.sum.accumulate(model, first);
        }
        self.sum.accumulate(model, grads);
    }

    /// The mean of the gradients over the items: that of the mean loss of one batch that holds them all. The window is
    /// empty afterwards.
    pub(crate) fn take_mean(&mut self, model: &M) -> GradientsParams {
        self.batches = 0;
        let (first, all) = std::mem::take(&mut self.items);
        match self.only.take() {
            Some(grads) => grads,
            None => scaled(model, self.sum.grads(), first.max(1) as f64 / all.max(1) as f64),
        }
    }
}

/// Every gradient of a module times a factor.
fn scaled<M: Module>(model: &M, grads: GradientsParams, factor: f64) -> GradientsParams {
    let mut scale = Scale { grads, factor };
    model.visit(&mut scale);
    scale.grads
}

/// Clips by value, then by global norm, where there are limits.
pub(crate) fn clip<M: Module>(
    value: Option<f64>,
    norm: Option<f64>,
    model: &M,
    grads: &mut GradientsParams,
) -> Result<(), ClipError> {
    if let Some(limit) = value {
        optim_adaptive::clip_grad_value(model, grads, limit)?;
    }
    if let Some(limit) = norm {
        optim_adaptive::clip_grad_norm(model, grads, limit)?;
    }
    Ok(())
}

/// Whether a module holds a layer whose type is one of these, by a part of its name.
pub(crate) fn has_layer<M: Module>(model: &M, types: &[&str]) -> bool {
    struct Find<'a>(&'a [&'a str], bool);
    impl ModuleVisitor for Find<'_> {
        fn enter_module(&mut self, _name: &str, container_type: &str) {
            self.1 |= self.0.iter().any(|part| container_type.contains(part));
        }
    }
    let mut find = Find(types, false);
    model.visit(&mut find);
    find.1
}

/// Multiplies every gradient of a module by a factor.
struct Scale {
    grads: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads.register(param.id, grad.mul_scalar(self.factor));
        }
    }
}

/// Seeds what a step draws on the device (dropout, noise) as a function of (seed, step, batch of the window), so that
/// a resumed run draws what the uninterrupted one would have drawn.
pub(crate) fn seed_step(device: &Device, seed: u64, step: u64, batch: usize) {
    let mix = |word: u64| SplitMix64::new(word).bits();
    device.seed(mix(mix(seed) ^ mix(step.wrapping_mul(0x9E37_79B9).wrapping_add(batch as u64))));
}
