//! Every kernel on small shapes under every instruction set, beside plain loops in double precision. They need no burn, so
//! Miri and the address sanitizer can run them: `just kernel-miri`, `just kernel-asan`.
#![allow(clippy::expect_used, reason = "a test may fail loudly")]

use super::add_relu::{AddRelu, ReluGradient, in_place, made};
use super::attention::Attention;
use super::batch_norm::{BatchNorm, Gradient};
use super::conv::{Conv, output_length};
use super::memory::filled;
use super::pool::{Divisor, Windows};
use super::product::{Matrix, column_sums, product, turned};
use super::set::{InstructionSet, Kernel};
use super::vector::Vector;
use super::{cross_entropy, gelu, layer_norm};

/// Numbers in -1 to 1 that depend on `seed`.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Calls `test` with each set, with three threads to share work among.
fn with_each_set(test: impl Fn(InstructionSet) + Send + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
    pool.install(|| InstructionSet::available().for_each(test));
}

/// All cases, of which the last one is large enough to be shared among threads: under Miri without it, where parts are
/// slices of their own, for it is slow.
fn cases<T, const N: usize>(all: [T; N]) -> impl Iterator<Item = T> {
    all.into_iter().take(if cfg!(miri) { N - 1 } else { N })
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], exact: &[f64]) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for (at, (&found, exact)) in found.iter().zip(exact).enumerate() {
        // Not `>`, which would let NaN pass.
        let is_close = (f64::from(found) - exact).abs() < 1e-4 * exact.abs().max(1.0);
        assert!(is_close, "{what}, {at}: {found}, not {exact}");
    }
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}

struct Move<'a> {
    from: &'a [f32],
    rows: usize,
    columns: usize,
    pitch: usize,
}

impl Kernel for Move<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    /// A copy of the first numbers, and the matrix turned.
    #[inline(always)]
    fn run<V: Vector>(self) -> (Vec<f32>, Vec<f32>) {
        let Self { from, rows, columns, pitch } = self;
        let (rows, columns) = (rows.min(V::LANES), columns.min(V::LANES));
        let from = &from[..(rows - 1) * pitch + columns];
        let mut copied = vec![0.0; from.len()];
        let mut out = vec![0.0; columns * V::LANES];
        V::prefetch(from.as_ptr().wrapping_add(1 << 20));
        // SAFETY: `copied` is as long as `from`, which has these rows and columns; `out` has a register for each column.
        unsafe {
            V::copy(from.as_ptr(), copied.as_mut_ptr(), from.len());
            V::transpose(from.as_ptr(), rows, columns, pitch, out.as_mut_ptr(), V::LANES);
        }
        (copied, out)
    }
}

/// Nothing beyond the matrix is read, which a sanitizer sees: it ends where its memory ends.
#[test]
fn registers_are_turned_and_copied() {
    for set in InstructionSet::available() {
        let lanes = set.lanes();
        for rows in 1..=lanes {
            for columns in 1..=lanes {
                let pitch = columns + rows % 3;
                let from = numbers((rows - 1) * pitch + columns, 1);
                let (copied, turned) = set.run(Move { from: &from, rows, columns, pitch });
                assert_eq!(copied, from);
                for (at, &value) in turned.iter().enumerate() {
                    let (column, row) = (at / lanes, at % lanes);
                    assert_eq!(
                        value,
                        if row < rows { from[row * pitch + column] } else { 0.0 },
                        "{set}, {rows}x{columns}"
                    );
                }
            }
        }
    }
}

/// Result and gradients of input and weights, term by term.
fn plain_conv(conv: &Conv, input: &[f32], weight: &[f32], bias: &[f32], grad: &[f32]) -> [Vec<f64>; 3] {
    let [down, across] = conv.kernel;
    let [height, width] = conv.output;
    let mut output = vec![0.0; grad.len()];
    let (mut of_input, mut of_weight) = (vec![0.0; input.len()], vec![0.0; weight.len()]);
    for at in 0..grad.len() {
        let (image, lane) = (at / (conv.outputs * height * width), at / (height * width) % conv.outputs);
        let (y, x) = (at / width % height, at % width);
        output[at] += f64::from(bias[lane]);
        for term in 0..conv.inputs * down * across {
            let (channel, tap) = (term / (down * across), [term / across % down, term % across]);
            let place = [(0, y), (1, x)].map(|(axis, at)| {
                let place = at * conv.stride[axis] + tap[axis] * conv.dilation[axis];
                place.checked_sub(conv.padding[axis]).filter(|&place| place < conv.size[axis])
            });
            let [Some(row), Some(column)] = place else { continue };
            let from = ((image * conv.inputs + channel) * conv.size[0] + row) * conv.size[1] + column;
            let of = lane * conv.inputs * down * across + term;
            output[at] += f64::from(input[from]) * f64::from(weight[of]);
            of_input[from] += f64::from(grad[at]) * f64::from(weight[of]);
            of_weight[of] += f64::from(input[from]) * f64::from(grad[at]);
        }
    }
    [output, of_input, of_weight]
}

fn check_conv(set: InstructionSet, channels: [usize; 3], size: [usize; 2], kernel: [usize; 2], of: [[usize; 2]; 3]) {
    let ([batch, inputs, outputs], [stride, padding, dilation]) = (channels, of);
    let length = |axis: usize| {
        let padding = (padding[axis], padding[axis]);
        output_length(size[axis], kernel[axis], stride[axis], padding, dilation[axis]).expect("it fits")
    };
    let output = [length(0), length(1)];
    let conv = Conv { batch, inputs, outputs, size, kernel, stride, padding, dilation, output };
    let [input, weight, bias, grad] = [
        (batch * inputs * size[0] * size[1], 1),
        (outputs * inputs * kernel[0] * kernel[1], 2),
        (outputs, 3),
        (batch * outputs * output[0] * output[1], 4),
    ]
    .map(|(count, seed)| numbers(count, seed));
    let [result, of_input, of_weight] = plain_conv(&conv, &input, &weight, &bias, &grad);
    let what = |part: &str| format!("{part}, {set}, {conv:?}");
    assert_close(&what("forward"), &conv.forward(set, &input, &weight, Some(&bias)), &result);
    assert_close(&what("input"), &conv.input_gradient(set, &weight, &grad), &of_input);
    assert_close(&what("weight"), &conv.weight_gradient(set, &input, &grad), &of_weight);
    let maps = wide(&grad);
    let maps = maps.chunks_exact(output[0] * output[1]).map(|map| map.iter().sum::<f64>());
    let mut of_bias = vec![0.0; outputs];
    maps.enumerate().for_each(|(at, sum)| of_bias[at % outputs] += sum);
    assert_close(&what("bias"), &conv.bias_gradient(&grad), &of_bias);
}

#[test]
fn convolutions() {
    let plain = |stride, padding| [[stride; 2], [padding; 2], [1; 2]];
    with_each_set(|set| {
        check_conv(set, [1, 1, 1], [1, 1], [1, 1], plain(1, 0));
        check_conv(set, [2, 3, 7], [7, 5], [3, 3], plain(1, 1));
        check_conv(set, [1, 2, 17], [9, 9], [5, 5], plain(2, 2));
        check_conv(set, [2, 13, 3], [3, 5], [1, 1], plain(1, 0));
        check_conv(set, [1, 7, 20], [6, 7], [1, 1], plain(2, 0));
        check_conv(set, [1, 2, 3], [10, 8], [3, 2], [[3, 1], [0, 1], [1, 1]]);
        check_conv(set, [1, 3, 9], [9, 9], [3, 3], [[1; 2], [2; 2], [2; 2]]);
        // Taps and whole windows beyond the image, and phases without taps.
        check_conv(set, [1, 2, 5], [4, 4], [3, 3], plain(1, 3));
        check_conv(set, [2, 2, 4], [5, 6], [2, 2], plain(3, 1));
        check_conv(set, [1, 2, 33], [3, 15], [7, 7], plain(1, 3));
        // Shared among threads.
        check_conv(set, [2, 4, 16], [8, 8], [3, 3], plain(1, 1));
    });
}

/// Each number of positions in a tile, one and two registers wide, and each number of channels in those of the weights.
#[test]
fn tiles_of_convolutions() {
    with_each_set(|set| {
        for width in (1..=15).step_by(if cfg!(miri) { 4 } else { 1 }) {
            for stride in 1..=3 {
                for registers in 1..=2 {
                    let outputs = registers * set.lanes();
                    check_conv(set, [1, 2, outputs], [2, width], [1, 3], [[1, stride], [0, 1], [1; 2]]);
                }
            }
        }
        for kernel in 1..=6 {
            for inputs in [1, 5, 13] {
                check_conv(set, [1, inputs, 9], [1, 6], [1, kernel], [[1; 2], [0, kernel / 2], [1; 2]]);
            }
        }
    });
}

fn plain_product(rows: usize, columns: usize, terms: usize, term: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let of = |at: usize| (0..terms).map(|t| term(at / columns, t, at % columns)).sum();
    (0..rows * columns).map(of).collect()
}

#[test]
fn products() {
    with_each_set(|set| {
        for [rows, terms, columns] in [
            [1, 1, 1],
            [3, 5, 7],
            [9, 130, 17],
            [15, 4, 33],
            [2, 3, 65],
            [33, 7, 3],
            [140, 3, 20],
            [3, 2, 16],
            [13, 300, 10],
        ] {
            let [left, right, bias] =
                [(rows * terms, 1), (terms * columns, 2), (columns, 3)].map(|(count, seed)| numbers(count, seed));
            let [l, r] = [&left, &right].map(|numbers| wide(numbers));
            let what = format!("{set}, {rows} x {terms} x {columns}");
            let matrix = |values, size: [usize; 2]| Matrix::new(values, size, size[1]);
            let exact = plain_product(rows, columns, terms, |y, t, x| l[y * terms + t] * r[t * columns + x]);
            let [turned_left, turned_right] = [turned(set, &left, rows, terms), turned(set, &right, terms, columns)];
            let of_left = [matrix(&left, [rows, terms]), matrix(&turned_left, [terms, rows]).turned()];
            let of_right = [matrix(&right, [terms, columns]), matrix(&turned_right, [columns, terms]).turned()];
            for left in of_left {
                for right in of_right {
                    assert_close(&what, &product(set, left, right, None), &exact);
                }
            }
            let with_bias: Vec<f64> =
                exact.iter().enumerate().map(|(at, value)| value + f64::from(bias[at % columns])).collect();
            assert_close(&what, &product(set, of_left[0], of_right[0], Some(&bias)), &with_bias);
            let sums = plain_product(1, columns, terms, |_, t, x| r[t * columns + x]);
            assert_close(&what, &column_sums(set, &right, columns), &sums);
        }
        // Shared among threads.
        let (x, y) = (numbers(130 * 8, 1), numbers(8 * 40, 2));
        let exact = plain_product(130, 40, 8, |row, t, x_| f64::from(x[row * 8 + t]) * f64::from(y[t * 40 + x_]));
        assert_close(
            "threads",
            &product(set, Matrix::new(&x, [130, 8], 8), Matrix::new(&y, [8, 40], 40), None),
            &exact,
        );
    });
}

#[test]
fn batch_norms() {
    with_each_set(|set| {
        // The last one is shared among threads.
        for (batch, channels, positions) in
            [(1, 1, 2), (3, 2, 7), (2, 3, 70), (5_000, 1, 1), (600, 2, 9), (2, 4, 2_100)]
        {
            for relu in [false, true] {
                let norm = BatchNorm { batch, channels, positions, epsilon: 1e-5, relu };
                let count = batch * channels * positions;
                let [x, grad, gamma, beta] =
                    [(count, 1), (count, 2), (channels, 3), (channels, 4)].map(|(count, seed)| numbers(count, seed));
                let channel_of = |at: usize| at / positions % channels;
                let (output, by) = norm.forward(set, &x, &gamma, &beta);
                let (mut y, mut of_x) = (vec![0.0; count], vec![0.0; count]);
                let (mut means, mut variances) = (Vec::new(), Vec::new());
                let (mut of_gamma, mut of_beta) = (Vec::new(), Vec::new());
                for channel in 0..channels {
                    let places: Vec<usize> = (0..count).filter(|&at| channel_of(at) == channel).collect();
                    let mean_of = |term: &dyn Fn(usize) -> f64| {
                        places.iter().map(|&at| term(at)).sum::<f64>() / places.len() as f64
                    };
                    let mean = mean_of(&|at| f64::from(x[at]));
                    let variance = mean_of(&|at| (f64::from(x[at]) - mean).powi(2));
                    let deviation = (variance + norm.epsilon).sqrt();
                    let normal = |at: usize| (f64::from(x[at]) - mean) / deviation;
                    let value = |at: usize| normal(at) * f64::from(gamma[channel]) + f64::from(beta[channel]);
                    let before = |at: usize| if relu && value(at) <= 0.0 { 0.0 } else { f64::from(grad[at]) };
                    let (of_mean, of_product) = (mean_of(&before), mean_of(&|at| before(at) * normal(at)));
                    for &at in &places {
                        y[at] = if relu { value(at).max(0.0) } else { value(at) };
                        of_x[at] =
                            f64::from(gamma[channel]) / deviation * (before(at) - of_mean - normal(at) * of_product);
                    }
                    means.push(mean);
                    variances.push(variance);
                    of_gamma.push(of_product * places.len() as f64);
                    of_beta.push(of_mean * places.len() as f64);
                }
                let what = format!("{set}, {norm:?}");
                assert_close(&what, &output, &y);
                assert_close(&what, &by.iter().map(|channel| channel.mean).collect::<Vec<_>>(), &means);
                assert_close(&what, &by.iter().map(|channel| channel.variance).collect::<Vec<_>>(), &variances);
                let mut in_place = grad.clone();
                let parameters = norm.backward(set, &x, &by, Gradient::InPlace(&mut in_place));
                assert_close(&what, &in_place, &of_x);
                assert_close(&what, &parameters.iter().map(|of| of.0).collect::<Vec<_>>(), &of_gamma);
                assert_close(&what, &parameters.iter().map(|of| of.1).collect::<Vec<_>>(), &of_beta);
                let elsewhere = filled(count, |out| {
                    assert_eq!(parameters, norm.backward(set, &x, &by, Gradient::Into(&grad, out)), "{what}");
                });
                assert_eq!(elsewhere, in_place, "{what}");
                let mut fixed = x.clone();
                let [mean, variance] =
                    [&means, &variances].map(|numbers| numbers.iter().map(|&number| number as f32).collect::<Vec<_>>());
                norm.fixed(set, &mut fixed, [&gamma, &beta, &mean, &variance]);
                assert_close(&what, &fixed, &y);
            }
        }
    });
}

#[test]
fn sums_with_relu() {
    with_each_set(|set| {
        for count in cases([0, 1, 37, 33_000]) {
            let (x, y) = (numbers(count, 1), numbers(count, 2));
            let sums: Vec<f32> = x.iter().zip(&y).map(|(x, y)| (x + y).max(0.0)).collect();
            assert_eq!(made(AddRelu, set, &x, &y), sums);
            let slopes: Vec<f32> = x.iter().zip(&sums).map(|(&x, &sum)| if sum > 0.0 { x } else { 0.0 }).collect();
            let mut found = x.clone();
            in_place(ReluGradient, set, &mut found, &sums);
            assert_eq!(found, slopes);
        }
    });
}

#[test]
fn pooling() {
    with_each_set(|set| {
        for (planes, size, kernel, stride, padding) in [
            (3, [1, 1], [1, 1], [1, 1], [0, 0]),
            (2, [5, 7], [2, 2], [2, 2], [0, 0]),
            (2, [6, 5], [3, 2], [2, 1], [1, 1]),
            // Shared among threads.
            (5, [64, 65], [2, 2], [2, 2], [0, 0]),
        ] {
            let length = |axis: usize| {
                let both = (padding[axis], padding[axis]);
                output_length(size[axis], kernel[axis], stride[axis], both, 1).expect("it fits")
            };
            let windows = Windows { planes, size, kernel, stride, padding, output: [length(0), length(1)] };
            let [plane, map] = [size, windows.output].map(|size| size[0] * size[1]);
            let (x, grad) = (numbers(planes * plane, 1), numbers(planes * map, 2));
            // Places in the input of each window's values.
            let of_window = |at: usize| -> Vec<usize> {
                let (y, x) = (at % map / windows.output[1], at % windows.output[1]);
                let inside = |axis: usize, at: usize| {
                    let all = at * stride[axis]..at * stride[axis] + kernel[axis];
                    all.filter_map(move |place| place.checked_sub(padding[axis]).filter(|&place| place < size[axis]))
                };
                inside(0, y)
                    .flat_map(|row| inside(1, x).map(move |column| at / map * plane + row * size[1] + column))
                    .collect()
            };
            let (greatest, places) = windows.max(set, &x);
            let [mut of_max, mut of_kernel, mut of_values] = [(); 3].map(|()| vec![0.0; x.len()]);
            let [mut max, mut by_kernel, mut by_values] = [(); 3].map(|()| Vec::new());
            for (at, &grad) in grad.iter().enumerate() {
                let of = of_window(at);
                let best =
                    of.iter().copied().reduce(|best, at| if x[at] > x[best] { at } else { best }).expect("values");
                max.push(f64::from(x[best]));
                assert_eq!(at / map * plane + places[at] as usize, best);
                of_max[best] += f64::from(grad);
                let sum: f64 = of.iter().map(|&at| f64::from(x[at])).sum();
                let divisors = [(kernel[0] * kernel[1]) as f64, of.len() as f64];
                by_kernel.push(sum / divisors[0]);
                by_values.push(sum / divisors[1]);
                for at in of {
                    of_kernel[at] += f64::from(grad) / divisors[0];
                    of_values[at] += f64::from(grad) / divisors[1];
                }
            }
            let what = format!("{set}, {windows:?}");
            assert_close(&what, &greatest, &max);
            assert_close(&what, &windows.max_gradient(set, &grad, &places), &of_max);
            for (divisor, y, of_x) in [(Divisor::Kernel, by_kernel, of_kernel), (Divisor::Values, by_values, of_values)]
            {
                assert_close(&what, &windows.average(&x, divisor), &y);
                assert_close(&what, &windows.average_gradient(&grad, divisor), &of_x);
            }
        }
    });
}

/// Output and gradient of one head of one window of `(place, query | key | value)`, for a head as wide as the window.
fn plain_attention(context: usize, of_head: usize, qkv: &[f32], grad: &[f32]) -> [Vec<f64>; 2] {
    let part = |part: usize, place: usize| wide(&qkv[(3 * place + part) * of_head..][..of_head]);
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let scale = 1.0 / (of_head as f64).sqrt();
    let (mut output, mut of_qkv) = (vec![0.0; grad.len()], vec![0.0; qkv.len()]);
    for place in 0..context {
        let query = part(0, place);
        let weights: Vec<f64> = (0..=place).map(|key| (scale * dot(&query, &part(1, key))).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let grad = wide(&grad[place * of_head..][..of_head]);
        let slopes: Vec<f64> = (0..=place).map(|key| dot(&grad, &part(2, key))).collect();
        let mean = dot(&weights, &slopes) / sum;
        for (key, (weight, slope)) in weights.iter().zip(&slopes).enumerate() {
            let weight = weight / sum;
            let slope = scale * weight * (slope - mean);
            for at in 0..of_head {
                output[place * of_head + at] += weight * part(2, key)[at];
                of_qkv[3 * place * of_head + at] += slope * part(1, key)[at];
                of_qkv[(3 * key + 1) * of_head + at] += slope * query[at];
                of_qkv[(3 * key + 2) * of_head + at] += weight * grad[at];
            }
        }
    }
    [output, of_qkv]
}

#[test]
fn attention() {
    with_each_set(|set| {
        // 67 places are more than a block.
        for (windows, context, of_head) in cases([(1, 1, 1), (2, 5, 3), (1, 67, 1), (2, 67, 8)]) {
            let of = Attention { windows, context, heads: 1, of_head };
            let each = context * of_head;
            let (qkv, grad) = (numbers(windows * 3 * each, 1), numbers(windows * each, 2));
            let (output, rows) = of.forward(set, &qkv);
            let of_qkv = of.backward(set, &qkv, &rows, &grad);
            for window in 0..windows {
                let [qkv, of_qkv] = [&qkv, &of_qkv].map(|numbers| &numbers[window * 3 * each..][..3 * each]);
                let [grad, output] = [&grad, &output].map(|numbers| &numbers[window * each..][..each]);
                let [y, of_x] = plain_attention(context, of_head, qkv, grad);
                assert_close(&format!("{set}, {of:?}"), output, &y);
                assert_close(&format!("gradient, {set}, {of:?}"), of_qkv, &of_x);
            }
        }
        // Heads lie side by side.
        let of = Attention { windows: 1, context: 4, heads: 3, of_head: 2 };
        let (qkv, grad) = (numbers(72, 1), numbers(24, 2));
        let (output, rows) = of.forward(set, &qkv);
        let of_qkv = of.backward(set, &qkv, &rows, &grad);
        for head in 0..3 {
            let of_head = |all: &[f32]| all.chunks_exact(6).flat_map(|row| row[2 * head..][..2].to_vec()).collect();
            let [qkv, grad, output, of_qkv]: [Vec<f32>; 4] = [&qkv, &grad, &output, &of_qkv].map(|all| of_head(all));
            let [y, of_x] = plain_attention(4, 2, &qkv, &grad);
            assert_close(&format!("{set}, head {head}"), &output, &y);
            assert_close(&format!("gradient, {set}, head {head}"), &of_qkv, &of_x);
        }
    });
}

#[test]
fn layer_norms() {
    with_each_set(|set| {
        for (rows, width) in cases([(1, 1), (3, 5), (70, 40), (70, 480)]) {
            let [x, grad, gamma, beta] = [(rows * width, 1), (rows * width, 2), (width, 3), (width, 4)]
                .map(|(count, seed)| numbers(count, seed));
            let (output, kept) = layer_norm::forward(set, &x, &gamma, Some(&beta), 1e-5);
            let without = layer_norm::forward(set, &x, &gamma, None, 1e-5).0;
            let (mut y, mut of_x) = (Vec::new(), Vec::new());
            let [mut of_gamma, mut of_beta] = [(); 2].map(|()| vec![0.0; width]);
            for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
                let mean_of = |term: &dyn Fn(usize) -> f64| (0..width).map(term).sum::<f64>() / width as f64;
                let mean = mean_of(&|at| f64::from(x[at]));
                let deviation = (mean_of(&|at| (f64::from(x[at]) - mean).powi(2)) + 1e-5).sqrt();
                let normal = |at: usize| (f64::from(x[at]) - mean) / deviation;
                let scaled = |at: usize| f64::from(grad[at]) * f64::from(gamma[at]);
                let (of_mean, of_product) = (mean_of(&scaled), mean_of(&|at| scaled(at) * normal(at)));
                for at in 0..width {
                    y.push(normal(at) * f64::from(gamma[at]) + f64::from(beta[at]));
                    of_x.push((scaled(at) - of_mean - normal(at) * of_product) / deviation);
                    of_gamma[at] += f64::from(grad[at]) * normal(at);
                    of_beta[at] += f64::from(grad[at]);
                }
            }
            let what = format!("{set}, {rows} x {width}");
            assert_close(&what, &output, &y);
            let y: Vec<f64> = y.iter().enumerate().map(|(at, y)| y - f64::from(beta[at % width])).collect();
            assert_close(&what, &without, &y);
            let mut found = grad.clone();
            let (gammas, betas) = layer_norm::backward(set, &x, &gamma, &kept, &mut found);
            // A row of one number has no deviation: its gradient is nearly 0, times a great factor.
            if width > 1 {
                assert_close(&what, &found, &of_x);
            }
            assert_close(&what, &gammas, &of_gamma);
            assert_close(&what, &betas, &of_beta);
        }
    });
}

/// `gelu(x) - gelu(-x) = x`, and the slopes of both add up to 1.
fn normal_density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The probability of less than `x`: `1/2 + density(x) * (x + x^3 / 3 + x^5 / (3 * 5) + ...)`.
fn normal_below(x: f64) -> f64 {
    let terms = std::iter::successors(Some((x, 1.0)), |&(term, odd)| Some((term * x * x / (odd + 2.0), odd + 2.0)));
    0.5 + normal_density(x) * terms.take(100).map(|(term, _)| term).sum::<f64>()
}

#[test]
fn gelus() {
    with_each_set(|set| {
        for count in cases([1, 37, 16_400]) {
            let x: Vec<f32> = numbers(count, 1).iter().map(|x| 4.0 * x).collect();
            let exact = |term: fn(f64) -> f64| wide(&x).into_iter().map(term).collect::<Vec<_>>();
            assert_close("gelu", &gelu::forward(set, &x), &exact(|x| x * normal_below(x)));
            let mut slopes = vec![1.0; count];
            gelu::backward(set, &x, &mut slopes);
            assert_close("its slope", &slopes, &exact(|x| normal_below(x) + x * normal_density(x)));
        }
    });
}

#[test]
fn cross_entropies() {
    with_each_set(|set| {
        for (rows, classes) in cases([(1, 1), (3, 5), (130, 130)]) {
            let x = numbers(rows * classes, 1);
            let targets: Vec<usize> = (0..rows).map(|row| row * 7 % classes).collect();
            let (loss, log_sums) = cross_entropy::forward(set, &x, classes, &targets);
            let (mut exact, mut slopes) = (0.0, Vec::new());
            for (x, &target) in wide(&x).chunks_exact(classes).zip(&targets) {
                let sum: f64 = x.iter().map(|x| x.exp()).sum();
                exact += (sum.ln() - x[target]) / rows as f64;
                let own = |class: usize| if class == target { 1.0 } else { 0.0 };
                slopes.extend(x.iter().enumerate().map(|(class, x)| 2.0 * (x.exp() / sum - own(class))));
            }
            let what = format!("{set}, {rows} x {classes}");
            assert_close(&what, &[loss], &[exact]);
            let mut found = x.clone();
            cross_entropy::backward(set, &mut found, classes, &targets, &log_sums, 2.0);
            assert_close(&what, &found, &slopes);
        }
    });
}
