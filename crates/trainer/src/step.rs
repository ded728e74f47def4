//! One optimizer step: forward and backward over a window of batches, the mean of their gradients, clipping, the update.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor},
    train::{InferenceStep, TrainStep},
};
use optim_adaptive::ClipError;
use splitmix::SplitMix64;

use crate::tree::{Node, Tree};

/// A model that the trainer can train: a burn module that implements burn-train's two step traits.
///
/// The outputs of both steps must adapt to burn-train's `LossInput`, which is how the loss is read; the bounds on
/// [`Trainer`](crate::Trainer) ask for it.
pub trait LearnerModel: Module + TrainStep + InferenceStep + 'static {}

impl<M: Module + TrainStep + InferenceStep + 'static> LearnerModel for M {}

/// The gradients of the batches of one optimizer step, summed in the order of [`Tree`].
///
/// Each gradient weighs as many items as its batch has. So that batches of equal size are a plain sum, the weights of a sum are
/// relative to the items of its first batch; a sum depends on nothing but its own batches.
#[derive(Default)]
pub(crate) struct Window {
    tree: Tree<Part>,
    batches: usize,
}

/// A weighted sum of gradients.
pub(crate) struct Part {
    pub(crate) grads: GradientsParams,
    /// Items of its first batch: the unit of its weights.
    unit: usize,
    /// Items of all its batches.
    items: usize,
}

impl Window {
    /// Batches added so far.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Adds the gradients of batch `index` of the window, of so many items. The usual window holds one batch: its gradients
    /// pass through untouched.
    pub(crate) fn add<M: Module>(&mut self, model: &M, index: usize, grads: GradientsParams, items: usize) {
        self.batches += 1;
        self.tree.push(Node::leaf(index, Part { grads, unit: items, items }), |left, right| add(model, left, right));
    }

    /// The mean of the gradients over the items: that of the mean loss of one batch that holds them all. The window is
    /// empty afterwards.
    pub(crate) fn take_mean<M: Module>(&mut self, model: &M) -> GradientsParams {
        self.take_mean_and_items(model).0
    }

    /// The mean, and over how many items it is.
    pub(crate) fn take_mean_and_items<M: Module>(&mut self, model: &M) -> (GradientsParams, usize) {
        let window = std::mem::take(self);
        match window.tree.into_sum(|left, right| add(model, left, right)) {
            None => (GradientsParams::new(), 0),
            Some(Part { grads, unit, items }) => match weight(unit, items) {
                Some(factor) => (scaled(model, grads, factor), items),
                None => (grads, items),
            },
        }
    }

    /// Whether some batch has a gradient of this parameter.
    pub(crate) fn has<const D: usize>(&self, id: ParamId) -> bool {
        self.tree.sums().any(|part| part.grads.get::<D>(id).is_some())
    }

    /// The sums of neighbouring batches. The window is empty afterwards.
    pub(crate) fn take_nodes(&mut self) -> Vec<Node<Part>> {
        std::mem::take(self).tree.into_nodes()
    }
}

/// What `items` weigh in units of `unit` items; `None` for 1.
pub(crate) fn weight(items: usize, unit: usize) -> Option<f64> {
    (items != unit).then(|| items as f64 / unit.max(1) as f64)
}

fn add<M: Module>(model: &M, left: Part, right: Part) -> Part {
    let grads = match weight(right.unit, left.unit) {
        Some(factor) => scaled(model, right.grads, factor),
        None => right.grads,
    };
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(model, left.grads);
    sum.accumulate(model, grads);
    Part { grads: sum.grads(), unit: left.unit, items: left.items + right.items }
}

/// Every gradient of a module times a factor.
fn scaled<M: Module>(model: &M, grads: GradientsParams, factor: f64) -> GradientsParams {
    let mut scale = Scale { grads, factor, seen: HashSet::new() };
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
    /// A parameter may stand at several places of a model.
    seen: HashSet<ParamId>,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.seen.insert(param.id)
            && let Some(grad) = self.grads.remove::<D>(param.id)
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter that stands at two places of a model (tied weights) has one gradient.
    #[test]
    fn a_tied_gradient_is_averaged_once() {
        let device = Device::flex();
        let param = Param::from_tensor(Tensor::<1>::from_floats([1.0, 2.0], &device.clone().autodiff()));
        let model = vec![param.clone(), param.clone()];
        let mut window = Window::default();
        for index in 0..4 {
            let mut grads = GradientsParams::new();
            grads.register(param.id, Tensor::<1>::from_floats([8.0, index as f32], &device));
            window.add(&model, index, grads, 10);
        }
        let mean = window.take_mean(&model).get::<1>(param.id).expect("a gradient");
        assert_eq!(mean.into_data().try_into_vec::<f32>().expect("floats"), [8.0, 1.5]);
        assert_eq!(window.batches(), 0);
    }
}
