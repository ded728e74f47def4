//! Parameter ids that are a function of the model's structure.

use std::collections::HashMap;

use burn::{
    module::{Module, Param, ParamId, ParameterValue},
    tensor::{Bool, Int, Tensor},
};
use lr_core::fnv1a;
use optim_adaptive::{ParamMapper, map_parameters};

/// Gives every parameter an id that depends on its path alone.
///
/// burn draws ids at random, so two fresh models of the same form, equal in every number, are written to different
/// files. With stable ids equal runs leave equal checkpoints, byte for byte. Call it on a fresh model, before an
/// optimizer has seen it: an optimizer's state is kept by id. Parameters that are shared (one id at several paths) stay
/// shared. Running statistics (batch norm) keep burn's random ids here, which identify nothing; a checkpoint writes an
/// id that follows from their path in place of them.
#[must_use]
pub fn stable_ids<M: Module>(model: M) -> M {
    map_parameters(model, &mut StableIds { renamed: HashMap::new() })
}

struct StableIds {
    renamed: HashMap<ParamId, ParamId>,
}

impl StableIds {
    fn rename<T: ParameterValue>(&mut self, path: &str, param: Param<T>) -> Param<T> {
        let (id, value, mapper) = param.consume();
        let stable = *self.renamed.entry(id).or_insert_with(|| ParamId::from(fnv1a(path)));
        Param::from_mapped_value(stable, value, mapper)
    }
}

impl ParamMapper for StableIds {
    fn float<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.rename(path, param)
    }

    fn int<const D: usize>(&mut self, path: &str, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        self.rename(path, param)
    }

    fn bool<const D: usize>(&mut self, path: &str, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        self.rename(path, param)
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    #[test]
    fn ids_follow_the_structure() {
        let device = Device::flex();
        let model = || -> Vec<Linear> { (0..2).map(|_| LinearConfig::new(2, 2).init(&device)).collect() };
        let ids = |model: &[Linear]| model.iter().map(|layer| layer.weight.id).collect::<Vec<_>>();
        let (one, two) = (stable_ids(model()), stable_ids(model()));
        assert_eq!(ids(&one), ids(&two));
        assert_ne!(one[0].weight.id, one[1].weight.id);
        assert_ne!(ids(&model()), ids(&model()), "burn's own are random");
        let shared = model();
        let shared = stable_ids(vec![shared[0].clone(), shared[0].clone()]);
        assert_eq!(shared[0].weight.id, shared[1].weight.id);
    }
}
