//! Whether gradients and parameters are finite.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use optim_adaptive::{ClipError, NormType, clip_grad_norm_with, is_zero, zero_if_finite};

/// The first parameter whose gradient is not finite.
///
/// One pass over the gradients, in f64, which a sum of finite f32 numbers cannot leave: on a CPU a fraction of what
/// the update costs. On a GPU it reads a number per parameter; [`gradients_on_device`] reads one in all.
pub(crate) fn first_bad_gradient<M: Module>(model: &M, grads: &mut GradientsParams) -> Option<String> {
    // A bound that no norm reaches: nothing is scaled.
    match clip_grad_norm_with(model, grads, f64::MAX, NormType::L1, true) {
        Err(ClipError::NonFinite { path, .. }) => Some(path),
        _ => None,
    }
}

/// Whether every gradient is finite, summed up on the device and read once.
pub(crate) fn gradients_on_device<M: Module>(model: &M, grads: &GradientsParams) -> bool {
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
    struct Values(GradientsParams);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.register(param.id, param.base().without_autodiff());
        }
    }
    let mut values = Values(GradientsParams::new());
    model.visit(&mut values);
    first_bad_gradient(model, &mut values.0)
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
        assert_eq!(first_bad_parameter(&model), None);
        let broken = Linear { weight: model.weight.clone().map(|weight| weight / 0.0), ..model };
        assert_eq!(first_bad_parameter(&broken), Some("weight".to_owned()));
    }
}
