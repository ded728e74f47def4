//! Batch norm's running statistics for weights that were never trained at: torch's `swa_utils.update_bn`.
//!
//! torch sets the layer's momentum to "cumulative" and passes over the data once, so that the statistics become the
//! plain mean of every batch's. burn's momentum is a plain field of the layer that no visitor reaches, so here the
//! statistics are set to 0 before each batch, after which they are `momentum` times the batch's, and the sum is divided
//! by the number of batches and the momentum. The momentum is measured: a batch is seen twice, the second time with
//! the statistics at a large number, of which `1 - momentum` is left.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

use crate::{
    Precision, TrainError,
    activations::copy_to_train,
    data::Source,
    updates::{Trainable, look_at},
};

/// The large number: what a batch adds to it is far below it, and f32 has it exactly.
const PROBE: f64 = 1_048_576.0;

/// A momentum below this is taken for 0: such statistics never change.
const NO_MOMENTUM: f64 = 1e-4;

/// `model` (in training mode) with batch norm's running statistics the mean over the batches of one pass of `data`,
/// in the order of epoch 0. A model without batch norm comes back as it is.
///
/// # Errors
/// A batch that `data` could not produce; no batch at all.
pub(crate) fn with_measured_statistics<M: Trainable>(
    model: M,
    data: &dyn Source<M::TrainBatch>,
    seed: u64,
) -> Result<M, TrainError> {
    let before = read(&model);
    if before.tensors.is_empty() {
        return Ok(model);
    }
    // The forward pass of training updates the statistics; the gradients are dropped.
    let see = |model: &M, batch: M::TrainBatch, at: u64| {
        drop(look_at(model, batch, Precision::F32, (seed, u64::MAX - at)));
    };
    // The probe: the same batch from 0 and from the large number.
    let first = || data.epoch(0, 0).next().transpose();
    let (Some(one), Some(other)) = (first()?, first()?) else { return Err(TrainError::NoData("training")) };
    let mut model = fill(&model, 0.0, |_| true);
    see(&model, one.input, 0);
    let low = means(&model);
    model = fill(&model, PROBE, |_| true);
    see(&model, other.input, 0);
    let momentum: HashMap<ParamId, f64> =
        means(&model).into_iter().map(|(id, high)| (id, 1.0 - (high - low.get(&id).unwrap_or(&0.0)) / PROBE)).collect();

    let mut sums: Option<Statistics> = None;
    let mut batches = 0_u64;
    for batch in data.epoch(0, 0) {
        model = fill(&model, 0.0, |_| true);
        see(&model, batch?.input, batches);
        let seen = read(&model);
        sums = Some(match sums {
            None => seen,
            Some(sums) => sums.plus(&model, seen),
        });
        batches += 1;
    }
    let Some(sums) = sums else { return Ok(model) };
    Ok(changed(model, Set { before, sums, momentum, batches: batches.max(1) as f64 }))
}

/// What is done with each running statistic of batch norm.
pub(super) trait See {
    fn see<const D: usize>(&mut self, statistic: &Param<Tensor<D>>);
}

/// What is made of each running statistic of batch norm.
pub(super) trait Change {
    fn change<const D: usize>(&mut self, statistic: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// `to` after it has seen the running statistics of a model, in the model's order.
pub(super) fn shown<M: Module, S: See>(model: &M, to: S) -> S {
    let mut walk = Walk { inside: Vec::new(), to };
    model.visit(&mut walk);
    walk.to
}

/// A model with its running statistics changed.
pub(super) fn changed<M: Module>(model: M, by: impl Change) -> M {
    model.map(&mut Walk { inside: Vec::new(), to: by })
}

/// A walk over a module that knows which tensors are running statistics.
struct Walk<T> {
    /// Of each module entered, whether it is one.
    inside: Vec<bool>,
    to: T,
}

impl<T> Walk<T> {
    fn enter(&mut self, name: &str, container: &str) {
        self.inside.push(container.contains("BatchNorm") && name.starts_with("running_"));
    }

    fn is_statistic(&self) -> bool {
        self.inside.last().is_some_and(|found| *found)
    }
}

impl<S: See> ModuleVisitor for Walk<S> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.inside.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.is_statistic() {
            self.to.see(param);
        }
    }
}

impl<C: Change> ModuleMapper for Walk<C> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.inside.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.is_statistic() { self.to.change(param) } else { param }
    }
}

/// The running statistics of a model, by id.
#[derive(Default)]
struct Statistics {
    tensors: GradientsParams,
}

impl Statistics {
    fn plus<M: Module>(self, model: &M, other: Self) -> Self {
        shown(model, Sum { left: self, right: other, total: Self::default() }).total
    }

    fn put<const D: usize>(&mut self, id: ParamId, tensor: Tensor<D>) {
        self.tensors.register(id, tensor);
    }
}

struct Sum {
    left: Statistics,
    right: Statistics,
    total: Statistics,
}

impl See for Sum {
    fn see<const D: usize>(&mut self, statistic: &Param<Tensor<D>>) {
        let id = statistic.id;
        if let (Some(left), Some(right)) = (self.left.tensors.get::<D>(id), self.right.tensors.get::<D>(id)) {
            self.total.put(id, left + right);
        }
    }
}

impl See for Statistics {
    fn see<const D: usize>(&mut self, statistic: &Param<Tensor<D>>) {
        self.put(statistic.id, statistic.base().without_autodiff());
    }
}

/// The statistics as they are, an update that burn still keeps aside included.
fn read<M: Module>(model: &M) -> Statistics {
    let _ = model.valid();
    shown(model, Statistics::default())
}

/// The mean of each statistic over its channels.
fn means<M: Module>(model: &M) -> HashMap<ParamId, f64> {
    struct Means(HashMap<ParamId, f64>);
    impl See for Means {
        fn see<const D: usize>(&mut self, statistic: &Param<Tensor<D>>) {
            let values: Vec<f64> = statistic.base().without_autodiff().into_data().iter::<f64>().collect();
            self.0.insert(statistic.id, values.iter().sum::<f64>() / values.len().max(1) as f64);
        }
    }
    let _ = model.valid();
    shown(model, Means(HashMap::new())).0
}

/// Sets the statistics that `which` names to one number. The returned model shares its statistics with no other.
pub(super) fn fill<M: Module>(model: &M, value: f64, which: impl Fn(ParamId) -> bool) -> M {
    struct Fill<W>(f64, W);
    impl<W: Fn(ParamId) -> bool> Change for Fill<W> {
        fn change<const D: usize>(&mut self, statistic: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = self.0;
            if (self.1)(statistic.id) { statistic.map(|tensor| tensor.full_like(value)) } else { statistic }
        }
    }
    // Drops the update that burn holds back, which would overwrite the number.
    let model = copy_to_train(model, model.devices().first());
    changed(model, Fill(value, which))
}

/// Puts the means in.
struct Set {
    before: Statistics,
    sums: Statistics,
    momentum: HashMap<ParamId, f64>,
    batches: f64,
}

impl Change for Set {
    fn change<const D: usize>(&mut self, statistic: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = statistic.id;
        let momentum = self.momentum.get(&id).copied().unwrap_or(0.0);
        let measured = (momentum.abs() > NO_MOMENTUM).then(|| self.sums.tensors.get::<D>(id)).flatten();
        let value = match measured {
            Some(sum) => Some(sum.div_scalar(self.batches * momentum)),
            None => self.before.tensors.get::<D>(id),
        };
        match value {
            Some(value) => statistic.map(|tensor| if tensor.is_autodiff() { Tensor::from_inner(value) } else { value }),
            None => statistic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_knows_running_statistics() {
        let mut walk = Walk { inside: Vec::new(), to: () };
        walk.enter("norm", "Struct:Net");
        walk.enter("gamma", "Struct:BatchNorm");
        assert!(!walk.is_statistic());
        walk.inside.pop();
        walk.enter("running_mean", "Struct:BatchNorm");
        assert!(walk.is_statistic());
        assert_eq!(f64::from(PROBE as f32), PROBE, "exact in f32");
    }
}
