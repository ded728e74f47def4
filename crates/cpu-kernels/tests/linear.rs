//! Linear layers beside burn's own.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod common;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig, LinearLayout};
use burn::tensor::{DType, Device, Tensor};
use common::{assert_as_exact, assert_same_for_every_number_of_threads, bits, tensor, values};
use cpu_kernels::linear;
use proptest::prelude::*;

type Forward = fn(&Linear, Tensor<2>) -> Tensor<2>;

const OURS: Forward = linear;
const BURNS: Forward = |layer, input| layer.forward(input);

/// Result and gradients of input, weight and bias.
fn run(forward: Forward, [rows, inputs, outputs]: [usize; 3], bias: bool, dtype: DType) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let input = tensor([rows, inputs], 1, dtype, &device).require_grad();
    let weight = tensor([inputs, outputs], 2, dtype, &device).require_grad();
    let bias = bias.then(|| tensor::<1>([outputs], 3, dtype, &device).require_grad());
    let layer = Linear { weight: Param::from_tensor(weight.clone()), bias: bias.clone().map(Param::from_tensor) };
    let result = forward(&layer, input.clone());
    let mut found = vec![values(result.clone())];
    let gradients = (result * tensor([rows, outputs], 99, dtype, &device)).sum().backward();
    found.push(values(input.grad(&gradients).expect("a gradient")));
    found.push(values(weight.grad(&gradients).expect("a gradient")));
    found.extend(bias.map(|bias| values(bias.grad(&gradients).expect("a gradient"))));
    found
}

#[test]
fn it_is_as_exact_as_burns() {
    for size in [
        [64, 784, 256],
        [64, 256, 128],
        [128, 128, 10],
        [1, 300, 40],
        [3, 300, 64],
        [300, 33, 65],
        [5, 1000, 16],
        [40, 1, 17],
    ] {
        for bias in [false, true] {
            let [ours, burns] = [OURS, BURNS].map(|forward| run(forward, size, bias, DType::F32));
            assert_as_exact(&format!("{size:?}"), &ours, &burns, &run(BURNS, size, bias, DType::F64));
        }
    }
}

proptest! {
    #![proptest_config(common::cases(300))]

    #[test]
    fn it_is_burns_linear(size in [1..70_usize, 1..90_usize, 1..90_usize], bias in any::<bool>()) {
        let ours = run(OURS, size, bias, DType::F32);
        let exact = run(BURNS, size, bias, DType::F64);
        for (part, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
            prop_assert!(common::are_close(ours, exact, 5e-6), "part {part}");
        }
    }
}

#[test]
fn views_other_ranks_and_layouts() {
    let device = Device::flex().autodiff();
    let rows = LinearConfig::new(12, 20).init(&device);
    let columns = LinearConfig::new(12, 20).with_layout(LinearLayout::Col).init(&device);
    let view = tensor([5, 12, 7], 1, DType::F32, &device).permute([2, 0, 1]);
    for layer in [rows, columns] {
        let [ours, burns] = [linear(&layer, view.clone()), layer.forward(view.clone())].map(values);
        assert!(common::are_close(&ours, &burns, 1e-6));
    }
}

#[test]
fn what_is_not_covered_is_burns() {
    let device = Device::flex().autodiff();
    assert_eq!(run(OURS, [3, 5, 7], true, DType::F64), run(BURNS, [3, 5, 7], true, DType::F64));
    let layer = LinearConfig::new(5, 7).init(&device);
    assert_eq!(linear(&layer, Tensor::<2>::zeros([0, 5], &device)).dims(), [0, 7]);
}

#[test]
fn gradients_exist_where_they_are_needed() {
    let device = Device::flex().autodiff();
    let input = tensor([3, 5], 1, DType::F32, &device);
    let layer = LinearConfig::new(5, 7).init(&device);
    let gradients = linear(&layer, input.clone()).sum().backward();
    assert!(input.grad(&gradients).is_none() && layer.weight.val().grad(&gradients).is_some());
    let frozen = layer.no_grad();
    let input = input.require_grad();
    let gradients = linear(&frozen, input.clone()).sum().backward();
    assert!(input.grad(&gradients).is_some() && frozen.weight.val().grad(&gradients).is_none());
}

#[test]
fn bits_do_not_depend_on_threads_or_autodiff() {
    assert_same_for_every_number_of_threads(|| run(OURS, [50, 200, 70], true, DType::F32));
    let (plain, tracked) = (Device::flex(), Device::flex().autodiff());
    let layer = LinearConfig::new(40, 30).init(&plain);
    let input = tensor([20, 40], 1, DType::F32, &plain);
    let output = values(linear(&layer, input.clone()));
    let input = Tensor::<2>::from_data(input.into_data(), &tracked);
    assert_eq!(bits(&values(linear(&layer.to_device(&tracked), input))), bits(&output));
}
