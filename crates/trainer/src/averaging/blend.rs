//! Two models into one: `average + weight (newcomer - average)`, parameter by parameter.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

/// Moves `average` towards `model` by `weight`; without an average so far, a copy of `model`.
///
/// The result is in inference mode. What the model does not train (batch norm's running statistics) is copied, as
/// torch's `AveragedModel` copies buffers. `model` is left as it is.
pub(crate) fn blend<M: Module>(average: Option<M>, model: &M, weight: f64) -> M {
    // burn keeps an update of running statistics aside until they are next read; `valid` brings them in.
    let copy = model.valid();
    let Some(average) = average else { return copy };
    let mut newcomer = Newcomer::default();
    model.visit(&mut newcomer);
    average.map(&mut Blend { newcomer, weight })
}

/// The tensors of a model by id. burn's container of gradients is one of tensors of any rank by parameter.
#[derive(Default)]
struct Newcomer {
    tensors: GradientsParams,
    buffers: HashSet<ParamId>,
}

impl ModuleVisitor for Newcomer {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.base();
        if !tensor.is_require_grad() {
            self.buffers.insert(param.id);
        }
        self.tensors.register(param.id, tensor.without_autodiff());
    }
}

struct Blend {
    newcomer: Newcomer,
    weight: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.newcomer.tensors.get::<D>(param.id) else { return param };
        let weight = if self.newcomer.buffers.contains(&param.id) { 1.0 } else { self.weight };
        param.map(|average| lerp(average, new, weight))
    }
}

/// torch's `lerp`: measured from the nearer end.
fn lerp<const D: usize>(start: Tensor<D>, end: Tensor<D>, weight: f64) -> Tensor<D> {
    if weight >= 1.0 {
        end
    } else if weight < 0.5 {
        let way = (end - start.clone()).mul_scalar(weight);
        start + way
    } else {
        let way = (end.clone() - start).mul_scalar(1.0 - weight);
        end - way
    }
}
