//! What language models call, beside burn's own operations and in double precision.

mod common;

use burn::module::Param;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData, activation};
use common::{assert_as_exact, assert_same_for_every_number_of_threads, cases, tensor, values, with_gradients};
use proptest::prelude::*;

const EPSILON: f64 = 1e-5;

/// An operation on the rows of a matrix, with two vectors as parameters.
type Rows = fn(Tensor<2>, &[Tensor<1>]) -> Tensor<2>;

/// The result, and the gradients of the matrix, times `spread`, and of the vectors.
fn run(operation: Rows, [rows, width]: [usize; 2], spread: f32, dtype: DType) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let parameters = [4, 5].map(|seed| tensor([width], seed, dtype, &device));
    with_gradients([tensor([1, 1, rows, width], 1, dtype, &device)], parameters, |inputs, parameters| {
        operation(inputs[0].clone().reshape([rows, width]).mul_scalar(spread), parameters)
    })
}

fn norm_of(parameters: &[Tensor<1>], with_beta: bool) -> LayerNorm {
    let [gamma, beta] = [0, 1].map(|at| Param::from_tensor(parameters[at].clone()));
    let mut layer = LayerNormConfig::new(gamma.dims()[0]).with_epsilon(EPSILON).init(&gamma.device());
    (layer.gamma, layer.beta) = (gamma, with_beta.then_some(beta));
    layer
}

/// Uses both parameters, so that each has a gradient.
fn with_parameters(result: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    result + (parameters[0].clone() * parameters[1].clone()).mean().unsqueeze()
}

fn norm(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    cpu_kernels::layer_norm(&norm_of(parameters, true), EPSILON, input)
}

fn burns_norm(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    norm_of(parameters, true).forward(input)
}

fn norm_without_beta(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(cpu_kernels::layer_norm(&norm_of(parameters, false), EPSILON, input), parameters)
}

fn burns_norm_without_beta(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(norm_of(parameters, false).forward(input), parameters)
}

fn gelu(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(cpu_kernels::gelu(input), parameters)
}

fn burns_gelu(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(activation::gelu(input), parameters)
}

fn targets(rows: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let targets: Vec<i64> = (0..rows).map(|row| (row * 7 % classes) as i64).collect();
    Tensor::from_data(TensorData::new(targets, [rows]), device)
}

fn loss(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    let [rows, classes] = input.dims();
    let targets = targets(rows, classes, &input.device());
    with_parameters(cpu_kernels::cross_entropy(input, targets).unsqueeze(), parameters)
}

fn burns_loss(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    let [rows, classes] = input.dims();
    let targets = targets(rows, classes, &input.device());
    let loss = CrossEntropyLossConfig::new().init(&input.device()).forward(input, targets);
    with_parameters(loss.unsqueeze(), parameters)
}

/// Windows of `W`, `H` heads.
fn attention<const W: usize, const H: usize>(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(cpu_kernels::causal_attention(input, W, H), parameters)
}

fn attention_of_burn(qkv: Tensor<2>, windows: usize, heads: usize) -> Tensor<2> {
    let [rows, triple] = qkv.dims();
    let (context, width) = (rows / windows, triple / 3);
    let parts = qkv.reshape([windows, context, 3, heads, width / heads]).permute([2, 0, 3, 1, 4]);
    let [query, key, value] = [0, 1, 2].map(|at| parts.clone().narrow(0, at, 1).squeeze_dim::<4>(0));
    let scores = query.matmul(key.swap_dims(2, 3)).div_scalar(((width / heads) as f64).sqrt());
    let later = Tensor::<2, Bool>::tril_mask([context, context], 0, &scores.device());
    let weights = activation::softmax(scores.mask_fill(later.unsqueeze::<4>(), f32::NEG_INFINITY), 3);
    weights.matmul(value).swap_dims(1, 2).reshape([rows, width])
}

fn burns_attention<const W: usize, const H: usize>(input: Tensor<2>, parameters: &[Tensor<1>]) -> Tensor<2> {
    with_parameters(attention_of_burn(input, W, H), parameters)
}

#[test]
fn they_are_as_exact_as_burns() {
    let shapes: &[[usize; 2]] = &[[4, 16], [17, 9], [64, 128], [130, 65], [300, 16]];
    let operations: [(&str, Rows, Rows, &[[usize; 2]]); 7] = [
        ("layer norm", norm, burns_norm, shapes),
        ("layer norm without beta", norm_without_beta, burns_norm_without_beta, shapes),
        ("gelu", gelu, burns_gelu, shapes),
        ("cross entropy", loss, burns_loss, shapes),
        ("attention", attention::<1, 1>, burns_attention::<1, 1>, &[[8, 12], [64, 96], [129, 24], [200, 9]]),
        ("attention, windows", attention::<3, 1>, burns_attention::<3, 1>, &[[15, 12], [192, 96], [387, 24]]),
        ("attention, heads", attention::<2, 4>, burns_attention::<2, 4>, &[[10, 24], [128, 96], [260, 120]]),
    ];
    for (what, ours, burns, shapes) in operations {
        for &shape in shapes {
            for spread in [0.1, 1.0, 8.0] {
                let exact = run(burns, shape, spread, DType::F64);
                let burns = run(burns, shape, spread, DType::F32);
                assert_as_exact(
                    &format!("{what} {shape:?}, {spread}"),
                    &run(ours, shape, spread, DType::F32),
                    &burns,
                    &exact,
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn attention_is_burns(windows in 1..5_usize, context in 1..150_usize, heads in 1..4_usize, of_head in 1..40_usize) {
        let device = Device::flex().autodiff();
        let dims = [1, 1, windows * context, 3 * heads * of_head];
        let of = |call: fn(Tensor<2>, usize, usize) -> Tensor<2>, dtype| {
            with_gradients([tensor(dims, 1, dtype, &device)], [], |inputs, _| {
                call(inputs[0].clone().reshape([dims[2], dims[3]]).mul_scalar(3.0), windows, heads)
            })
        };
        let (ours, exact) = (of(cpu_kernels::causal_attention, DType::F32), of(attention_of_burn, DType::F64));
        for (part, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
            prop_assert!(common::are_close(ours, exact, 2e-5), "part {part}");
        }
    }

    #[test]
    fn rows_are_burns(rows in 1..300_usize, width in 3..150_usize, which in 0..4_usize) {
        let (ours, burns): (Rows, Rows) =
            [(norm as Rows, burns_norm as Rows), (norm_without_beta, burns_norm_without_beta), (gelu, burns_gelu), (loss, burns_loss)][which];
        let (ours, exact) = (run(ours, [rows, width], 2.0, DType::F32), run(burns, [rows, width], 2.0, DType::F64));
        for (part, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
            prop_assert!(common::are_close(ours, exact, 5e-5), "part {part}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    assert_same_for_every_number_of_threads(|| {
        let mut all = run(attention::<6, 3>, [6 * 70, 72], 1.0, DType::F32);
        for operation in [norm as Rows, gelu, loss] {
            all.extend(run(operation, [700, 130], 1.0, DType::F32));
        }
        all
    });
}

#[test]
fn what_comes_later_may_be_anything() {
    let device = Device::flex();
    let mut numbers = common::numbers(4 * 6, 3);
    let of = |numbers: &[f32]| {
        let qkv = Tensor::<2>::from_data(TensorData::new(numbers.to_vec(), [4, 6]), &device);
        values(cpu_kernels::causal_attention(qkv, 1, 1))
    };
    let before = of(&numbers);
    numbers[3 * 6 + 4] = 1e30;
    assert_eq!(before[..6], of(&numbers)[..6]);
    numbers[3 * 6] = f32::NAN;
    let with_nan = of(&numbers);
    assert_eq!(before[..6], with_nan[..6]);
    assert!(with_nan[6..].iter().all(|value| value.is_nan()), "{with_nan:?}");
}

#[test]
fn gradients_are_taken_only_where_they_are_wanted() {
    let device = Device::flex().autodiff();
    let input = tensor::<2>([6, 12], 1, DType::F32, &device);
    let parameters = [4, 5].map(|seed| tensor::<1>([12], seed, DType::F32, &device).require_grad());
    let grads = norm(input.clone(), &parameters).sum().backward();
    assert!(input.grad(&grads).is_none() && parameters[0].grad(&grads).is_some());
    let frozen = [4, 5].map(|seed| tensor::<1>([12], seed, DType::F32, &device));
    let input = input.require_grad();
    let grads = attention::<1, 1>(norm(input.clone(), &frozen), &frozen).sum().backward();
    assert!(input.grad(&grads).is_some() && frozen[0].grad(&grads).is_none());
}
