//! What the tests share: numbers, and a function's result with its gradients, in either precision.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test may fail loudly")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::ProptestConfig;

/// So many random cases, or what the environment variable `PROPTEST_CASES` says.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if asked { default.cases } else { usual }, ..default }
}

/// Numbers in -1 to 1 that depend on `seed`.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) fn tensor<const D: usize>(dims: [usize; D], seed: u64, dtype: DType, device: &Device) -> Tensor<D> {
    let data = TensorData::new(numbers(dims.iter().product(), seed), dims);
    Tensor::<D>::from_data(data, (device, DType::F32)).cast(dtype)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.cast(DType::F64).into_data().iter::<f64>().collect()
}

/// The bits of single-precision numbers.
pub(crate) fn bits(values: &[f64]) -> Vec<u32> {
    values.iter().map(|&value| (value as f32).to_bits()).collect()
}

/// Whether the greatest difference is at most such a part of the greatest value, or of 1: a lone sum may be near 0.
pub(crate) fn are_close(found: &[f64], exact: &[f64], part: f64) -> bool {
    let greatest = exact.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    error(found, exact) * greatest <= part * greatest.max(1.0)
}

/// The greatest difference, as a part of the greatest value; NaN must stand in the same places.
pub(crate) fn error(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let greatest = exact.iter().fold(1e-30_f64, |most, value| most.max(value.abs()));
    found.iter().zip(exact).fold(0.0_f64, |most, (found, exact)| {
        assert_eq!(found.is_nan(), exact.is_nan(), "{found} where {exact} should be");
        if found.is_nan() || found == exact { most } else { most.max((found - exact).abs() / greatest) }
    })
}

/// The root mean square of the differences, as a part of that of the values.
pub(crate) fn typical_error(found: &[f64], exact: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(exact).map(|(found, exact)| found - exact)) / norm(&mut exact.iter().copied()).max(1e-30)
}

/// That results are as near to those in double precision as burn's own, within a factor of two (and half a rounding).
#[track_caller]
pub(crate) fn assert_as_exact(what: &str, ours: &[Vec<f64>], burns: &[Vec<f64>], exact: &[Vec<f64>]) {
    // One rounding; three on a processor without multiply-add, where each product of a polynomial is rounded too.
    let slack = if cpu_kernels::instruction_set() == cpu_kernels::InstructionSet::Portable { 1.8e-7 } else { 6e-8 };
    for (part, ((ours, burns), exact)) in ours.iter().zip(burns).zip(exact).enumerate() {
        let (ours, burns) = (typical_error(ours, exact), typical_error(burns, exact));
        assert!(ours <= 2.0 * burns + slack, "{what}, part {part}: error {ours:e}, burn's own {burns:e}");
    }
}

/// The result of a function of tensors of four dimensions and its parameters, and the gradients of
/// `sum(result * weights)` for fixed weights.
pub(crate) fn with_gradients<const D: usize>(
    inputs: impl IntoIterator<Item = Tensor<4>>,
    parameters: impl IntoIterator<Item = Tensor<1>>,
    call: impl Fn(&[Tensor<4>], &[Tensor<1>]) -> Tensor<D>,
) -> Vec<Vec<f64>> {
    let inputs: Vec<_> = inputs.into_iter().map(Tensor::require_grad).collect();
    let parameters: Vec<_> = parameters.into_iter().map(Tensor::require_grad).collect();
    let result = call(&inputs, &parameters);
    let weights = tensor(result.dims(), 99, result.dtype(), &result.device());
    let mut found = vec![values(result.clone())];
    let gradients = (result * weights).sum().backward();
    found.extend(inputs.iter().map(|input| values(input.grad(&gradients).expect("a gradient"))));
    found.extend(parameters.iter().map(|parameter| values(parameter.grad(&gradients).expect("a gradient"))));
    found
}

/// Calls a function in pools of 1, 2, 3 and 8 threads and says whether all results are the same bits.
#[track_caller]
pub(crate) fn assert_same_for_every_number_of_threads(call: impl Fn() -> Vec<Vec<f64>> + Sync) {
    let results: Vec<Vec<Vec<u32>>> = [1, 2, 3, 8, 2]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(&call).iter().map(|part| bits(part)).collect()
        })
        .collect();
    for result in &results[1..] {
        assert!(*result == results[0], "bits depend on the number of threads");
    }
}

/// That the gradient of the input agrees with how `sum(result * weights)` changes in double precision, for fixed weights.
/// `call` takes tensors of either precision.
#[track_caller]
pub(crate) fn assert_slopes<const D: usize>(what: &str, dims: [usize; 4], call: impl Fn(Tensor<4>) -> Tensor<D>) {
    let device = Device::flex().autodiff();
    let input = tensor(dims, 1, DType::F32, &device);
    let found = with_gradients([input.clone()], [], |inputs, _| call(inputs[0].clone()));
    let numbers = values(input);
    let objective = |numbers: &[f64]| -> f64 {
        let data = TensorData::new(numbers.to_vec(), dims);
        let result = call(Tensor::<4>::from_data(data, (&device, DType::F64)));
        let weights = values(tensor(result.dims(), 99, DType::F64, &device));
        values(result).iter().zip(&weights).map(|(value, weight)| value * weight).sum()
    };
    let step = 1e-4;
    for (at, gradient) in found[1].iter().enumerate() {
        let mut moved = numbers.clone();
        moved[at] += step;
        let above = objective(&moved);
        moved[at] -= 2.0 * step;
        let slope = (above - objective(&moved)) / (2.0 * step);
        assert!((slope - gradient).abs() < 2e-5, "{what}, {at}: {slope} and {gradient}");
    }
}
