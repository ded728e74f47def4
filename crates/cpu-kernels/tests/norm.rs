//! Batch norm, with and without ReLU, and the sum with ReLU, beside burn's own.

mod common;

use burn::module::{Module, Param, RunningState};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Tensor};
use common::{assert_as_exact, assert_same_for_every_number_of_threads, bits, tensor, values, with_gradients};
use cpu_kernels::{add_relu, batch_norm, batch_norm_relu};
use proptest::prelude::*;

type Forward = fn(&BatchNorm, Tensor<4>) -> Tensor<4>;

const BOTH: [(Forward, Forward); 2] =
    [(batch_norm, |norm, input| norm.forward(input)), (batch_norm_relu, |norm, input| relu(norm.forward(input)))];

/// Result, gradients of input, gamma and beta, running mean and variance after two batches, of `input * spread + mean`.
fn run(forward: Forward, dims: [usize; 4], [mean, spread]: [f32; 2], dtype: DType) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(dims[1]).init(&device);
    let norm = BatchNorm {
        running_mean: RunningState::new(Tensor::zeros([dims[1]], (&device, dtype))),
        running_var: RunningState::new(Tensor::ones([dims[1]], (&device, dtype))),
        ..norm
    };
    let input = |seed| tensor(dims, seed, dtype, &device).mul_scalar(spread).add_scalar(mean);
    let parameters = [4, 5].map(|seed| tensor([dims[1]], seed, dtype, &device));
    let mut found = with_gradients([input(1)], parameters, |inputs, parameters| {
        let [gamma, beta] = [0, 1].map(|at| Param::from_tensor(parameters[at].clone()));
        let norm = BatchNorm { gamma, beta, ..norm.clone() };
        // The statistics after a second batch are looked at below.
        forward(&norm, input(2));
        forward(&norm, inputs[0].clone())
    });
    found.push(values(norm.running_mean.value_sync()));
    found.push(values(norm.running_var.value_sync()));
    found
}

#[test]
fn it_is_as_exact_as_burns() {
    for (ours, burns) in BOTH {
        for dims in [[4, 16, 16, 16], [3, 5, 7, 7], [8, 13, 1, 1], [2, 32, 4, 4], [1, 12, 5, 40], [5, 16, 1, 3]] {
            for scale in [[0.0, 1.0], [3.0, 0.1], [-1e3, 20.0]] {
                let result = |forward, dtype| run(forward, dims, scale, dtype);
                let what = format!("{dims:?}, {scale:?}");
                let exact = result(burns, DType::F64);
                assert_as_exact(&what, &result(ours, DType::F32), &result(burns, DType::F32), &exact);
            }
        }
    }
}

proptest! {
    #![proptest_config(common::cases(300))]

    #[test]
    fn it_is_burns_batch_norm(
        dims in [1..6_usize, 1..20_usize, 1..12_usize, 1..12_usize],
        with_relu in any::<bool>(),
    ) {
        // The variance of a single value is 0 and its gradient a difference of equal numbers.
        prop_assume!(dims[0] * dims[2] * dims[3] > 3);
        let (ours, burns) = BOTH[usize::from(with_relu)];
        let ours = run(ours, dims, [0.5, 2.0], DType::F32);
        let burns = run(burns, dims, [0.5, 2.0], DType::F64);
        for (part, (ours, burns)) in ours.iter().zip(&burns).enumerate() {
            prop_assert!(common::are_close(ours, burns, 2e-5), "part {part}");
        }
    }
}

/// Of the normalisation as burn computes it in double precision, where our layer is burn's own.
#[test]
fn gradients_agree_with_finite_differences() {
    let device = Device::flex().autodiff();
    let norm = |dtype| {
        let norm = BatchNormConfig::new(3).init(&device);
        let [gamma, beta] = [4, 5].map(|seed| Param::from_tensor(tensor([3], seed, dtype, &device)));
        let [running_mean, running_var] =
            [0.0, 1.0].map(|of| RunningState::new(Tensor::full([3], of, (&device, dtype))));
        BatchNorm { gamma, beta, running_mean, running_var, ..norm }
    };
    for (ours, _) in BOTH {
        common::assert_slopes("batch norm", [2, 3, 3, 4], |input| ours(&norm(input.dtype()), input));
    }
    common::assert_slopes("sum and relu", [2, 3, 3, 4], |input| add_relu(input.clone(), input.flip([3])));
}

#[test]
fn a_variance_of_nothing_divides_by_epsilon() {
    for (ours, burns) in BOTH {
        let constant = |forward| run(forward, [3, 2, 2, 2], [2.0, 0.0], DType::F32);
        let (ours, burns) = (constant(ours), constant(burns));
        assert!(ours.iter().zip(&burns).all(|(ours, burns)| common::error(ours, burns) < 1e-6));
    }
}

#[test]
fn inference_and_frozen_layers_are_burns() {
    let device = Device::flex().autodiff();
    let input = tensor([3, 4, 5, 5], 1, DType::F32, &device);
    for (ours, burns) in BOTH {
        let norm = BatchNormConfig::new(4).init(&device);
        ours(&norm, input.clone());
        let trained = values(norm.running_mean.value_sync());
        let plain = norm.clone().valid();
        assert_eq!(values(ours(&plain, input.clone().inner())), values(burns(&plain, input.clone().inner())));
        let frozen = norm.freeze();
        let results =
            [ours, burns].map(|forward| with_gradients([input.clone()], [], |x, _| forward(&frozen, x[0].clone())));
        assert_eq!(results[0], results[1]);
        assert_eq!(values(frozen.running_mean.value_sync()), trained, "statistics of a frozen layer stay");
    }
}

#[test]
fn views_and_other_precisions() {
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(3).init(&device);
    let view = tensor([4, 5, 6, 3], 1, DType::F32, &device).permute([0, 3, 1, 2]);
    for (ours, burns) in BOTH {
        let [ours, burns] =
            [ours, burns].map(|forward| with_gradients([view.clone()], [], |x, _| forward(&norm, x[0].clone())));
        assert!(ours.iter().zip(&burns).all(|(ours, burns)| common::error(ours, burns) < 2e-6));
        for dtype in [DType::F64, DType::BF16] {
            let [ours, burns] = BOTH[0].into();
            assert_eq!(run(ours, [2, 3, 4, 4], [0.0, 1.0], dtype), run(burns, [2, 3, 4, 4], [0.0, 1.0], dtype));
        }
    }
}

/// The gradient of the sum goes two ways, so no buffer of it may be written over.
#[test]
fn a_gradient_that_is_shared_stays_as_it_is() {
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(3).init(&device);
    let inputs = [1, 2].map(|seed| tensor([2, 3, 5, 5], seed, DType::F32, &device));
    let block = |norm_of: Forward, sum: fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
        with_gradients(inputs.clone(), [], |x, _| {
            let flow = sum(norm_of(&norm, x[0].clone()), x[1].clone());
            sum(norm_of(&norm, flow.clone()), flow + x[0].clone())
        })
    };
    for (norm, norm_of_burn) in BOTH {
        let ours = block(norm, add_relu);
        let burns = block(norm_of_burn, |x, y| relu(x + y));
        for (ours, burns) in ours.iter().zip(&burns) {
            assert!(common::error(ours, burns) < 2e-5);
        }
    }
}

#[test]
fn the_sum_with_relu_is_burns_bit_for_bit() {
    let device = Device::flex().autodiff();
    let inputs = [1, 2].map(|seed| tensor([3, 5, 37, 91], seed, DType::F32, &device));
    let ours = with_gradients(inputs.clone(), [], |x, _| add_relu(x[0].clone(), x[1].clone()));
    let burns = with_gradients(inputs.clone(), [], |x, _| relu(x[0].clone() + x[1].clone()));
    assert_eq!(ours, burns);
    // The same tensor twice; shapes that broadcast.
    let twice = with_gradients(inputs[..1].to_vec(), [], |x, _| add_relu(x[0].clone(), x[0].clone()));
    let burns = with_gradients(inputs[..1].to_vec(), [], |x, _| relu(x[0].clone() + x[0].clone()));
    assert_eq!(twice, burns);
    let one = tensor([1, 5, 1, 1], 3, DType::F32, &device);
    assert_eq!(values(add_relu(inputs[0].clone(), one.clone())), values(relu(inputs[0].clone() + one)));
}

#[test]
fn bits_do_not_depend_on_threads() {
    for (ours, _) in BOTH {
        assert_same_for_every_number_of_threads(|| run(ours, [20, 7, 13, 13], [1.0, 3.0], DType::F32));
    }
}

#[test]
fn nan_passes_relu() {
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(2).init(&device);
    let input = tensor([2, 2, 3, 3], 1, DType::F32, &device);
    let nan = Tensor::<4>::full([1, 1, 1, 1], f32::NAN, &device);
    let input = input.slice_assign([1..2, 0..1, 0..1, 0..1], nan);
    let output = values(batch_norm_relu(&norm, input.clone()));
    for (at, value) in output.iter().enumerate() {
        assert_eq!(value.is_nan(), at / 9 % 2 == 0, "a channel with NaN has the mean NaN");
    }
    let sum = values(add_relu(input.clone(), input.clone()));
    assert_eq!(bits(&sum), bits(&values(relu(input.clone() + input))));
}
