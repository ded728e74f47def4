//! Convolution beside burn's own: results, gradients, exactness, reproducibility, what is left to burn.

mod common;

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{DType, Device, Tensor};
use common::{assert_as_exact, assert_same_for_every_number_of_threads, bits, tensor, values, with_gradients};
use cpu_kernels::conv2d;
use proptest::prelude::*;

/// A convolution and the input it gets.
#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: PaddingConfig2d,
    dilation: [usize; 2],
    groups: usize,
    bias: bool,
}

impl Case {
    /// Square, without bias, with padding on all sides.
    fn square(batch: usize, channels: [usize; 2], size: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            batch,
            channels,
            size: [size; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
            dilation: [1; 2],
            groups: 1,
            bias: false,
        }
    }

    /// The layer without its parameters.
    fn layer(&self, device: &Device) -> Conv2d {
        Conv2dConfig::new(self.channels, self.kernel)
            .with_stride(self.stride)
            .with_padding(self.padding.clone())
            .with_dilation(self.dilation)
            .with_groups(self.groups)
            .with_bias(self.bias)
            .init(device)
    }

    /// Result and gradients of input, weight and bias.
    fn run(&self, forward: fn(&Conv2d, Tensor<4>) -> Tensor<4>, dtype: DType) -> Vec<Vec<f64>> {
        let device = Device::flex().autodiff();
        let layer = self.layer(&device);
        let [inputs, outputs] = self.channels;
        let input = tensor([self.batch, inputs, self.size[0], self.size[1]], 1, dtype, &device);
        let weight = tensor([outputs, inputs / self.groups, self.kernel[0], self.kernel[1]], 2, dtype, &device);
        let bias: Vec<_> = self.bias.then(|| tensor([outputs], 3, dtype, &device)).into_iter().collect();
        with_gradients([input, weight], bias, |tensors, bias| {
            let mut layer = layer.clone();
            layer.weight = Param::from_tensor(tensors[1].clone());
            layer.bias = bias.first().map(|bias| Param::from_tensor(bias.clone()));
            forward(&layer, tensors[0].clone())
        })
    }

    #[track_caller]
    fn check(&self) {
        let ours = self.run(conv2d, DType::F32);
        let burns = self.run(Conv2d::forward, DType::F32);
        let exact = self.run(Conv2d::forward, DType::F64);
        assert_as_exact(&format!("{self:?}"), &ours, &burns, &exact);
    }
}

/// `Param::from_tensor` of a tracked tensor keeps it in the graph: or the gradients above would not be there.
#[test]
fn the_usual_layers() {
    for (batch, channels, size, kernel, stride, padding) in [
        (3, [1, 8], 12, 5, 1, 2),
        (2, [8, 16], 14, 5, 1, 2),
        (2, [16, 16], 32, 3, 1, 1),
        (2, [16, 32], 16, 3, 2, 1),
        (2, [16, 32], 16, 1, 2, 0),
        (2, [64, 64], 8, 3, 1, 1),
        (3, [1, 32], 28, 5, 2, 2),
        (2, [3, 20], 17, 7, 2, 3),
        (2, [32, 7], 9, 1, 1, 0),
        (2, [24, 48], 7, 3, 1, 1),
        // As wide as networks for larger images are: long sums.
        (1, [256, 40], 4, 3, 1, 1),
        (2, [40, 256], 4, 3, 1, 1),
        (2, [96, 48], 9, 3, 2, 1),
    ] {
        Case::square(batch, channels, size, kernel, stride, padding).check();
    }
}

#[test]
fn the_borders_of_what_is_covered() {
    let plain = Case::square(2, [3, 5], 6, 3, 1, 1);
    for case in [
        // One pixel; a kernel as large as the image; one image; many more channels than lanes, and fewer.
        Case::square(2, [3, 5], 1, 1, 1, 0),
        Case::square(2, [3, 5], 1, 3, 1, 1),
        Case::square(1, [2, 2], 5, 5, 1, 0),
        Case::square(1, [1, 1], 3, 3, 3, 0),
        Case::square(2, [1, 65], 5, 3, 1, 1),
        Case::square(2, [65, 1], 5, 3, 1, 1),
        // Rows that no window reaches, padding wider than the kernel.
        Case::square(2, [2, 3], 8, 3, 4, 0),
        Case::square(2, [2, 3], 4, 2, 1, 4),
        Case::square(2, [2, 3], 5, 2, 3, 3),
        Case { bias: true, ..plain.clone() },
        Case { dilation: [2, 3], size: [9, 11], ..plain.clone() },
        Case { dilation: [3, 2], size: [9, 12], stride: [2, 2], ..plain.clone() },
        Case { padding: PaddingConfig2d::Same, kernel: [4, 2], ..plain.clone() },
        Case { padding: PaddingConfig2d::Same, stride: [2, 3], ..plain.clone() },
        Case { padding: PaddingConfig2d::Valid, ..plain.clone() },
        Case { padding: PaddingConfig2d::Explicit(0, 1, 2, 3), ..plain.clone() },
        Case { kernel: [1, 7], size: [3, 20], stride: [1, 2], bias: true, ..plain.clone() },
        // A map that takes several strips.
        Case { size: [70, 90], channels: [16, 4], ..plain.clone() },
        Case { size: [90, 70], channels: [16, 4], stride: [2, 2], ..plain.clone() },
    ] {
        case.check();
    }
}

/// What burn does itself comes out bit for bit.
#[test]
fn groups_and_other_precisions_are_burns() {
    let plain = Case::square(2, [4, 8], 6, 3, 1, 1);
    let same = |case: &Case, dtype| {
        let [ours, burns] = [conv2d, Conv2d::forward].map(|forward| case.run(forward, dtype));
        assert_eq!(ours, burns, "{case:?}");
    };
    same(&Case { groups: 2, ..plain.clone() }, DType::F32);
    same(&Case { groups: 4, bias: true, ..plain.clone() }, DType::F32);
    same(&plain, DType::F64);
    same(&plain, DType::BF16);
}

/// Few channels, or more than a block of lanes.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..20_usize, 1 => 20..70_usize]
}

proptest! {
    #![proptest_config(common::cases(400))]

    #[test]
    fn it_is_burns_convolution(
        (batch, channels, size) in (1..4_usize, [channels(), channels()], [1..14_usize, 1..30_usize]),
        (kernel, stride, dilation) in ([1..8_usize, 1..8_usize], [1..4_usize, 1..4_usize], [1..3_usize, 1..3_usize]),
        [above, below, left, right] in [0..4_usize, 0..4_usize, 0..4_usize, 0..4_usize],
        bias in any::<bool>(),
    ) {
        let fits = |length, padding, kernel: usize, dilation| length + padding > (kernel - 1) * dilation;
        prop_assume!(fits(size[0], above + below, kernel[0], dilation[0]));
        prop_assume!(fits(size[1], left + right, kernel[1], dilation[1]));
        let padding = PaddingConfig2d::Explicit(above, left, below, right);
        let case = Case { batch, channels, size, kernel, stride, padding, dilation, groups: 1, bias };
        let [ours, burns] = [conv2d, Conv2d::forward].map(|forward| case.run(forward, DType::F32));
        let exact = case.run(Conv2d::forward, DType::F64);
        for (part, ((ours, burns), exact)) in ours.iter().zip(&burns).zip(&exact).enumerate() {
            prop_assert!(common::are_close(ours, exact, 5e-6), "part {part}");
            // Of a few numbers, some come out without any error by luck; and small layers are short sums in burn: hence
            // some roundings beside the factor.
            if exact.len() >= 50 {
                let [ours, burns] = [ours, burns].map(|found| common::typical_error(found, exact));
                prop_assert!(ours <= 2.0 * burns + 2e-7, "part {part}: error {ours:e}, burn's own {burns:e}");
            }
        }
    }
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    let device = Device::flex().autodiff();
    let layer = Case::square(0, [3, 5], 6, 3, 2, 1).layer(&device);
    let input = Tensor::<4>::zeros([0, 3, 6, 6], &device).require_grad();
    let output = conv2d(&layer, input.clone());
    assert_eq!(output.dims(), [0, 5, 3, 3]);
    let gradients = output.sum().backward();
    assert_eq!(input.grad(&gradients).expect("a gradient").dims(), [0, 3, 6, 6]);
    let of_weight = values(layer.weight.val().grad(&gradients).expect("a gradient"));
    assert_eq!(of_weight, vec![0.0; 5 * 3 * 9]);
}

#[test]
fn inputs_may_be_views() {
    let device = Device::flex().autodiff();
    let layer = Case::square(2, [3, 5], 6, 3, 1, 1).layer(&device);
    let big = tensor([4, 7, 8, 5], 5, DType::F32, &device);
    for view in [
        big.clone().slice([1..3, 2..5, 0..8, 0..5]),
        big.clone().slice([0..2, 0..3, 1..7, 1..4]),
        big.clone().permute([0, 2, 3, 1]).slice([0..4, 0..3, 0..5, 0..7]),
        big.clone().flip([2]).slice([0..4, 4..7, 0..8, 0..5]),
        big.slice([0..1, 0..3, 0..8, 0..5]).expand([2, 3, 8, 5]),
    ] {
        let copy = Tensor::<4>::from_data(view.to_data(), &device);
        let of_view = with_gradients([view], [], |inputs, _| conv2d(&layer, inputs[0].clone()));
        let of_copy = with_gradients([copy], [], |inputs, _| conv2d(&layer, inputs[0].clone()));
        assert_eq!(of_view, of_copy);
    }
    // A gradient that arrives as a view: `flip` hands one on.
    let input = tensor([2, 3, 6, 6], 6, DType::F32, &device);
    let ours = with_gradients([input.clone()], [], |inputs, _| conv2d(&layer, inputs[0].clone()).flip([3]));
    let burns = with_gradients([input], [], |inputs, _| layer.forward(inputs[0].clone()).flip([3]));
    assert!(ours.iter().zip(&burns).all(|(ours, burns)| common::error(ours, burns) < 1e-6));
}

#[test]
fn gradients_exist_where_they_are_needed() {
    let device = Device::flex().autodiff();
    let input = tensor([2, 3, 6, 6], 1, DType::F32, &device);
    for bias in [false, true] {
        let layer = Case { bias, ..Case::square(2, [3, 5], 6, 3, 1, 1) }.layer(&device);
        let gradients = conv2d(&layer, input.clone()).sum().backward();
        assert!(input.grad(&gradients).is_none());
        assert!(layer.weight.val().grad(&gradients).is_some());
        let frozen = layer.no_grad();
        let input = input.clone().require_grad();
        let gradients = conv2d(&frozen, input.clone()).sum().backward();
        assert!(input.grad(&gradients).is_some());
        assert!(frozen.weight.val().grad(&gradients).is_none());
    }
}

#[test]
fn without_autodiff_it_is_the_same_result() {
    let (plain, tracked) = (Device::flex(), Device::flex().autodiff());
    let layer = Case { bias: true, ..Case::square(2, [3, 5], 6, 3, 1, 1) }.layer(&plain);
    let input = tensor([2, 3, 6, 6], 1, DType::F32, &plain);
    let output = values(conv2d(&layer, input.clone()));
    let layer = layer.to_device(&tracked);
    let input = Tensor::from_data(input.into_data(), &tracked);
    assert_eq!(bits(&values(conv2d(&layer, input))), bits(&output));
}

/// burn's strategy that computes activations again in the backward pass.
#[test]
fn with_gradient_checkpointing_the_gradients_are_the_same() {
    let gradients = |device: Device| {
        let layer = Case::square(2, [3, 3], 6, 3, 1, 1).layer(&device);
        let weight = tensor([3, 3, 3, 3], 2, DType::F32, &device);
        let input = tensor([2, 3, 6, 6], 1, DType::F32, &device);
        with_gradients([input, weight], [], |tensors, _| {
            let mut layer = layer.clone();
            layer.weight = Param::from_tensor(tensors[1].clone());
            let flow = burn::tensor::activation::relu(conv2d(&layer, tensors[0].clone()));
            conv2d(&layer, flow)
        })
    };
    assert_eq!(gradients(Device::flex().autodiff()), gradients(Device::flex().autodiff().gradient_checkpointing()));
}

#[test]
fn gradients_agree_with_finite_differences() {
    let device = Device::flex().autodiff();
    let case = Case::square(2, [2, 3], 5, 3, 2, 1);
    let layer = case.layer(&device);
    let (input, weight) = (tensor([2, 2, 5, 5], 1, DType::F32, &device), tensor([3, 2, 3, 3], 2, DType::F32, &device));
    let call = |tensors: &[Tensor<4>], _: &[Tensor<1>]| {
        let mut layer = layer.clone();
        layer.weight = Param::from_tensor(tensors[1].clone());
        conv2d(&layer, tensors[0].clone())
    };
    let found = with_gradients([input.clone(), weight.clone()], [], call);
    let weights = common::numbers(found[0].len(), 99);
    let objective = |input: &Tensor<4>, weight: &Tensor<4>| -> f64 {
        let result = values(call(&[input.clone(), weight.clone()], &[]));
        result.iter().zip(&weights).map(|(value, &weight)| value * f64::from(weight)).sum()
    };
    let moved = |tensor: &Tensor<4>, at: usize, by: f32| {
        let mut values: Vec<f32> = tensor.to_data().iter::<f32>().collect();
        values[at] += by;
        Tensor::<4>::from_data(burn::tensor::TensorData::new(values, tensor.dims()), &device)
    };
    // The function is linear in each of the two: a wide step has no error but rounding.
    for (at, gradient) in found[1].iter().enumerate() {
        let slope = objective(&moved(&input, at, 0.5), &weight) - objective(&moved(&input, at, -0.5), &weight);
        assert!((slope - gradient).abs() < 1e-5, "input {at}: {slope} and {gradient}");
    }
    for (at, gradient) in found[2].iter().enumerate() {
        let slope = objective(&input, &moved(&weight, at, 0.5)) - objective(&input, &moved(&weight, at, -0.5));
        assert!((slope - gradient).abs() < 1e-5, "weight {at}: {slope} and {gradient}");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    for case in [
        Case::square(37, [6, 10], 13, 3, 1, 1),
        Case { bias: true, ..Case::square(19, [16, 24], 12, 5, 2, 2) },
        // Sums too large for a block of images to each thread.
        Case::square(9, [128, 130], 4, 3, 1, 1),
    ] {
        assert_same_for_every_number_of_threads(|| case.run(conv2d, DType::F32));
    }
}

/// A value that is not finite reaches what a convolution computes from it, and nothing else.
#[test]
fn what_is_not_finite_passes() {
    let device = Device::flex();
    let layer = Case::square(1, [2, 3], 6, 3, 1, 1).layer(&device);
    for value in [f32::NAN, f32::INFINITY] {
        let input = tensor([1, 2, 6, 6], 1, DType::F32, &device);
        let one = Tensor::<4>::full([1, 1, 1, 1], value, &device);
        let input = input.slice_assign([0..1, 1..2, 2..3, 2..3], one);
        let output = values(conv2d(&layer, input));
        for (at, value) in output.iter().enumerate() {
            let (row, column) = (at / 6 % 6, at % 6);
            let reached = (1..=3).contains(&row) && (1..=3).contains(&column);
            assert_eq!(value.is_finite(), !reached, "row {row}, column {column}");
        }
    }
}
