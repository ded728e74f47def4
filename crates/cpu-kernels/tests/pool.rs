//! Pooling beside burn's own: the greatest value bit for bit, averages to rounding.

mod common;

use burn::nn::PaddingConfig2d;
use burn::nn::pool::{AvgPool2dConfig, MaxPool2dConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{are_close, assert_same_for_every_number_of_threads, bits, error, tensor, values, with_gradients};
use cpu_kernels::{avg_pool2d, global_avg_pool, max_pool2d};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    dims: [usize; 4],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: PaddingConfig2d,
    dilation: [usize; 2],
    ceil_mode: bool,
    count_include_pad: bool,
}

impl Case {
    fn new(dims: [usize; 4], kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            dims,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
            dilation: [1; 2],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// With gradients: ours and burn's.
    fn max(&self) -> [Vec<Vec<f64>>; 2] {
        let pool = MaxPool2dConfig::new(self.kernel)
            .with_strides(self.stride)
            .with_padding(self.padding.clone())
            .with_dilation(self.dilation)
            .with_ceil_mode(self.ceil_mode)
            .init();
        let input = tensor(self.dims, 1, DType::F32, &Device::flex().autodiff());
        [
            with_gradients([input.clone()], [], |x, _| max_pool2d(&pool, x[0].clone())),
            with_gradients([input], [], |x, _| pool.forward(x[0].clone())),
        ]
    }

    fn average(&self) -> [Vec<Vec<f64>>; 2] {
        let pool = AvgPool2dConfig::new(self.kernel)
            .with_strides(self.stride)
            .with_padding(self.padding.clone())
            .with_count_include_pad(self.count_include_pad)
            .with_ceil_mode(self.ceil_mode)
            .init();
        let input = tensor(self.dims, 1, DType::F32, &Device::flex().autodiff());
        [
            with_gradients([input.clone()], [], |x, _| avg_pool2d(&pool, x[0].clone())),
            with_gradients([input], [], |x, _| pool.forward(x[0].clone())),
        ]
    }

    #[track_caller]
    fn check(&self) {
        let [ours, burns] = self.max();
        assert_eq!(ours[0], burns[0], "max, {self:?}");
        assert!(are_close(&ours[1], &burns[1], 1e-6), "max, {self:?}");
        let [ours, burns] = self.average();
        assert!(ours.iter().zip(&burns).all(|(ours, burns)| are_close(ours, burns, 2e-6)), "average, {self:?}");
    }
}

#[test]
fn the_usual_poolings_and_the_borders() {
    for case in [
        Case::new([2, 8, 28, 28], 2, 2, 0),
        Case::new([2, 3, 7, 9], 2, 2, 0),
        Case::new([2, 3, 2, 2], 2, 2, 0),
        Case::new([2, 3, 9, 9], 3, 2, 1),
        Case::new([2, 3, 5, 5], 3, 1, 1),
        Case::new([2, 3, 5, 5], 5, 5, 0),
        Case::new([1, 1, 1, 1], 1, 1, 0),
        Case::new([2, 3, 8, 8], 2, 3, 0),
        Case { ceil_mode: true, ..Case::new([2, 3, 7, 7], 2, 2, 0) },
        Case { count_include_pad: false, ..Case::new([2, 3, 7, 7], 3, 2, 1) },
        Case { padding: PaddingConfig2d::Same, ..Case::new([2, 3, 7, 8], 2, 2, 0) },
        Case { padding: PaddingConfig2d::Explicit(0, 1, 1, 0), ..Case::new([2, 3, 7, 8], 2, 2, 0) },
    ] {
        case.check();
    }
    let [ours, burns] = Case { dilation: [2, 1], ..Case::new([2, 3, 7, 7], 2, 1, 0) }.max();
    assert_eq!(ours, burns);
}

proptest! {
    #![proptest_config(common::cases(400))]

    #[test]
    fn they_are_burns(
        dims in [1..4_usize, 1..5_usize, 1..12_usize, 1..20_usize],
        (kernel, stride) in ([1..5_usize, 1..5_usize], [1..5_usize, 1..5_usize]),
        padding in [0..3_usize, 0..3_usize],
        count_include_pad in any::<bool>(),
    ) {
        // burn, as torch, takes at most half a kernel of padding.
        let padding = [padding[0].min(kernel[0] / 2), padding[1].min(kernel[1] / 2)];
        prop_assume!(dims[2] + 2 * padding[0] >= kernel[0] && dims[3] + 2 * padding[1] >= kernel[1]);
        let padding = PaddingConfig2d::Explicit(padding[0], padding[1], padding[0], padding[1]);
        Case { kernel, stride, padding, count_include_pad, ..Case::new(dims, 1, 1, 0) }.check();
    }
}

#[test]
fn the_average_of_maps() {
    let device = Device::flex().autodiff();
    for dims in [[2, 5, 8, 8], [3, 1, 7, 5], [1, 4, 1, 1]] {
        let input = tensor(dims, 1, DType::F32, &device);
        let ours = with_gradients([input.clone()], [], |x, _| global_avg_pool(x[0].clone()));
        let burns = with_gradients([input], [], |x, _| x[0].clone().flatten::<3>(2, 3).mean_dim(2).squeeze_dim::<2>(2));
        assert!(ours.iter().zip(&burns).all(|(ours, burns)| error(ours, burns) < 1e-6), "{dims:?}");
    }
    assert_eq!(global_avg_pool(Tensor::zeros([0, 3, 4, 4], &device)).dims(), [0, 3]);
    let half = tensor([2, 3, 4, 4], 1, DType::BF16, &device);
    assert_eq!(global_avg_pool(half).dims(), [2, 3]);
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1)] {
        let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
        let config = MaxPool2dConfig::new([kernel, kernel]).with_strides([stride, stride]);
        let pool = config.with_padding(padding.clone()).init();
        common::assert_slopes("max", [2, 2, 5, 6], |input| max_pool2d(&pool, input));
        let config = AvgPool2dConfig::new([kernel, kernel]).with_strides([stride, stride]);
        for counted in [true, false] {
            let pool = config.clone().with_padding(padding.clone()).with_count_include_pad(counted).init();
            common::assert_slopes("average", [2, 2, 5, 6], |input| avg_pool2d(&pool, input));
        }
    }
    common::assert_slopes("the average of maps", [2, 2, 5, 6], global_avg_pool);
}

/// Of equal values the first gets the gradient; NaN is the greatest.
#[test]
fn ties_and_nan_are_torchs() {
    let device = Device::flex().autodiff();
    let nan = f32::NAN;
    for (kernel, values_in, place, greatest) in [
        (2, [1.0, 1.0, 1.0, 1.0], 0, 1.0),
        (2, [0.0, 2.0, 2.0, 1.0], 1, 2.0),
        (2, [5.0, nan, 7.0, 9.0], 1, nan),
        (2, [nan, 8.0, nan, 9.0], 2, nan),
        (2, [f32::NEG_INFINITY; 4], 0, f32::NEG_INFINITY),
    ] {
        for padding in [0, 1] {
            // With padding the general loop, whose second window has the values.
            let pool = MaxPool2dConfig::new([kernel + padding, kernel + padding])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(padding, padding, 0, 0))
                .init();
            let input =
                Tensor::<4>::from_data(TensorData::new(values_in.to_vec(), [1, 1, 2, 2]), &device).require_grad();
            let output = max_pool2d(&pool, input.clone());
            assert_eq!(bits(&values(output.clone())), bits(&values(pool.forward(input.clone()))));
            assert_eq!(values(output.clone())[0].is_nan(), greatest.is_nan());
            let gradients = output.sum().backward();
            let mut expected = vec![0.0; 4];
            expected[place] = 1.0;
            assert_eq!(values(input.grad(&gradients).expect("a gradient")), expected, "{values_in:?}");
        }
    }
}

#[test]
fn views_and_threads() {
    let device = Device::flex().autodiff();
    let pool = MaxPool2dConfig::new([2, 2]).init();
    let view = tensor([3, 9, 10, 4], 1, DType::F32, &device).permute([0, 3, 1, 2]);
    let ours = with_gradients([view.clone()], [], |x, _| max_pool2d(&pool, x[0].clone()));
    let burns = with_gradients([view], [], |x, _| pool.forward(x[0].clone()));
    assert_eq!(ours, burns);
    assert_same_for_every_number_of_threads(|| {
        let case = Case::new([20, 6, 19, 21], 3, 2, 1);
        [case.max()[0].clone(), case.average()[0].clone()].concat()
    });
}
