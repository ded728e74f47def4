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
    Ok(model.map(&mut Set { place: Place::default(), before, sums, momentum, batches: batches.max(1) as f64 }))
}

/// Where a visitor is: inside batch norm's running statistics or not.
#[derive(Default)]
pub(super) struct Place(Vec<bool>);

impl Place {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.0.push(container.contains("BatchNorm") && name.starts_with("running_"));
    }

    pub(super) fn exit(&mut self) {
        self.0.pop();
    }

    pub(super) fn is_statistics(&self) -> bool {
        self.0.last().is_some_and(|found| *found)
    }
}

/// The running statistics of a model, by id.
#[derive(Default)]
struct Statistics {
    tensors: GradientsParams,
}

impl Statistics {
    fn plus<M: Module>(self, model: &M, other: Self) -> Self {
        let mut sum = Sum { place: Place::default(), left: self, right: other, total: Self::default() };
        model.visit(&mut sum);
        sum.total
    }

    fn put<const D: usize>(&mut self, id: ParamId, tensor: Tensor<D>) {
        self.tensors.register(id, tensor);
    }
}

struct Sum {
    place: Place,
    left: Statistics,
    right: Statistics,
    total: Statistics,
}

impl ModuleVisitor for Sum {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let id = param.id;
        if let (Some(left), Some(right)) = (self.left.tensors.get::<D>(id), self.right.tensors.get::<D>(id)) {
            self.total.put(id, left + right);
        }
    }
}

/// The statistics as they are, an update that burn still keeps aside included.
fn read<M: Module>(model: &M) -> Statistics {
    struct Read(Place, Statistics);
    impl ModuleVisitor for Read {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.0.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.is_statistics() {
                self.1.put(param.id, param.base().without_autodiff());
            }
        }
    }
    let _ = model.valid();
    let mut read = Read(Place::default(), Statistics::default());
    model.visit(&mut read);
    read.1
}

/// The mean of each statistic over its channels.
fn means<M: Module>(model: &M) -> HashMap<ParamId, f64> {
    struct Means(Place, HashMap<ParamId, f64>);
    impl ModuleVisitor for Means {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.0.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.is_statistics() {
                let values: Vec<f64> = param.base().without_autodiff().into_data().iter::<f64>().collect();
                self.1.insert(param.id, values.iter().sum::<f64>() / values.len().max(1) as f64);
            }
        }
    }
    let _ = model.valid();
    let mut means = Means(Place::default(), HashMap::new());
    model.visit(&mut means);
    means.1
}

/// Sets the statistics that `which` names to one number. The returned model shares its statistics with no other.
pub(super) fn fill<M: Module>(model: &M, value: f64, which: impl Fn(ParamId) -> bool) -> M {
    struct Fill<W>(Place, f64, W);
    impl<W: Fn(ParamId) -> bool> ModuleMapper for Fill<W> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.0.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.0.is_statistics() && (self.2)(param.id) {
                let value = self.1;
                return param.map(|tensor| tensor.full_like(value));
            }
            param
        }
    }
    // Drops the update that burn holds back, which would overwrite the number.
    let model = copy_to_train(model, model.devices().first());
    model.map(&mut Fill(Place::default(), value, which))
}

/// Puts the means in.
struct Set {
    place: Place,
    before: Statistics,
    sums: Statistics,
    momentum: HashMap<ParamId, f64>,
    batches: f64,
}

impl ModuleMapper for Set {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.place.is_statistics() {
            return param;
        }
        let id = param.id;
        let momentum = self.momentum.get(&id).copied().unwrap_or(0.0);
        let measured = (momentum.abs() > NO_MOMENTUM).then(|| self.sums.tensors.get::<D>(id)).flatten();
        let value = match measured {
            Some(sum) => Some(sum.div_scalar(self.batches * momentum)),
            None => self.before.tensors.get::<D>(id),
        };
        match value {
            Some(value) => param.map(|tensor| if tensor.is_autodiff() { Tensor::from_inner(value) } else { value }),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_running_statistics() {
        let mut place = Place::default();
        place.enter("norm", "Struct:Net");
        place.enter("gamma", "Struct:BatchNorm");
        assert!(!place.is_statistics());
        place.exit();
        place.enter("running_mean", "Struct:BatchNorm");
        assert!(place.is_statistics());
        assert_eq!(f64::from(PROBE as f32), PROBE, "exact in f32");
    }
}
