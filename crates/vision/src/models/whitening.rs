//! Filters that whiten the patches of images. They are computed from training images and not trained.

use rayon::prelude::*;

use crate::batch::Batcher;
use crate::image_set::ImageSet;

/// The images that the covariance of patches is taken over: the first ones of the training images.
const IMAGES: usize = 5_000;

/// What is added to the eigenvalues, of pixels with mean 0 and deviation 1: patches hardly vary along the last
/// eigenvectors, and noise would be blown up there. K. Jordan's value.
const EPSILON: f64 = 5e-4;

/// The filters of a convolution of `side x side`, in the order of its weights: `(filter, channel, row, column)`.
///
/// With eigenvalues `l_i`, largest first, and eigenvectors `v_i` of the covariance of the normalised patches, filter `i` is
/// `v_i / sqrt(l_i + 5e-4)`, and filter `d + i` its negative: `2 d` filters for `d = channels * side^2`. What the first `d`
/// give has about the identity as covariance. The negatives are there because an activation function follows.
///
/// Images are taken as they are, not augmented; `side` is at most their height and width.
pub(super) fn whitening_filters(images: &Batcher, side: usize) -> Vec<f32> {
    let slopes: Vec<f64> = images.normalise.iter().map(|normalise| f64::from(normalise.slope)).collect();
    let pairs = eigen(covariance(&images.set().take(IMAGES), &slopes, side));
    let scaled = pairs.iter().flat_map(|(value, vector)| {
        let scale = 1.0 / (value.max(0.0) + EPSILON).sqrt();
        vector.iter().map(move |entry| (entry * scale) as f32)
    });
    let filters: Vec<f32> = scaled.collect();
    filters.iter().copied().chain(filters.iter().map(|weight| -weight)).collect()
}

/// The covariance (of the population) of all patches of `side x side`: a row for each of `channels * side^2` values.
///
/// Sums of bytes are whole numbers, so the result does not depend on threads.
fn covariance(images: &ImageSet, slopes: &[f64], side: usize) -> Vec<Vec<f64>> {
    let shape = images.shape();
    let (rows, columns) = (shape.height + 1 - side, shape.width + 1 - side);
    let starts: Vec<usize> = (0..shape.channels)
        .flat_map(|channel| (0..side * side).map(move |at| (channel, at / side, at % side)))
        .map(|(channel, down, right)| channel * shape.plane() + down * shape.width + right)
        .collect();
    let size = starts.len();
    // Sums of values, then of products of two values.
    let sums_of = |index: usize| {
        let image = images.image(index);
        let mut sums = vec![0_u64; size * (size + 1)];
        for y in 0..rows {
            let row = |value: usize| &image[starts[value] + y * shape.width..][..columns];
            for a in 0..size {
                sums[a] += row(a).iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
                for b in 0..=a {
                    let products = row(a).iter().zip(row(b)).map(|(&x, &y)| u64::from(u16::from(x) * u16::from(y)));
                    sums[size * (a + 1) + b] += products.sum::<u64>();
                }
            }
        }
        sums
    };
    let none = || vec![0_u64; size * (size + 1)];
    let add = |mut sums: Vec<u64>, others: Vec<u64>| {
        sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        sums
    };
    let sums = (0..images.len()).into_par_iter().map(sums_of).reduce(none, add);
    let count = (images.len() * rows * columns).max(1) as f64;
    let mean = |value: usize| sums[value] as f64 / count;
    let covariance = |a: usize, b: usize| {
        let product = sums[size * (a.max(b) + 1) + a.min(b)] as f64 / count;
        let slope = |value: usize| slopes[value / (side * side)];
        (product - mean(a) * mean(b)) * slope(a) * slope(b)
    };
    (0..size).map(|a| (0..size).map(|b| covariance(a, b)).collect()).collect()
}

/// Passes over all pairs; fewer than ten are needed.
const SWEEPS: usize = 60;

/// Eigenvalues, largest first, each with its eigenvector of length 1, of a symmetric matrix: the cyclic method of Jacobi
/// (Golub and Van Loan, *Matrix computations*, section 8.5).
fn eigen(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let size = matrix.len();
    let unit = |at: usize| (0..size).map(move |entry| f64::from(u8::from(entry == at)));
    let mut vectors: Vec<Vec<f64>> = (0..size).map(|at| unit(at).collect()).collect();
    for _ in 0..SWEEPS {
        let pairs = || (0..size).flat_map(|p| (p + 1..size).map(move |q| (p, q)));
        let (off, on) = (
            pairs().map(|(p, q)| matrix[p][q].powi(2)).sum::<f64>(),
            (0..size).map(|at| matrix[at][at].powi(2)).sum::<f64>(),
        );
        if off <= on * 1e-30 {
            break;
        }
        for (p, q) in pairs().filter(|&(p, q)| matrix[p][q] != 0.0).collect::<Vec<_>>() {
            if matrix[p][q] == 0.0 {
                continue;
            }
            let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
            let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let cosine = 1.0 / tangent.hypot(1.0);
            let sine = tangent * cosine;
            let turn = |x: &mut f64, y: &mut f64| (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
            for row in &mut matrix {
                let (left, right) = row.split_at_mut(q);
                turn(&mut left[p], &mut right[0]);
            }
            for rows in [&mut matrix, &mut vectors] {
                let (above, below) = rows.split_at_mut(q);
                above[p].iter_mut().zip(&mut below[0]).for_each(|(x, y)| turn(x, y));
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(at, vector)| (matrix[at][at], vector)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augment;
    use crate::image_set::ImageShape;

    #[test]
    fn eigenvectors_are_orthonormal_and_give_the_matrix_back() {
        let size = 12;
        let entry = |a: usize, b: usize| ((a * b + a + b) % 7) as f64 - 2.5 + if a == b { 3.0 } else { 0.0 };
        let matrix: Vec<Vec<f64>> = (0..size).map(|a| (0..size).map(|b| entry(a, b)).collect()).collect();
        let pairs = eigen(matrix.clone());
        assert!(pairs.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for (a, (value, vector)) in pairs.iter().enumerate() {
            for (b, (_, other)) in pairs.iter().enumerate() {
                assert!((dot(vector, other) - f64::from(u8::from(a == b))).abs() < 1e-12, "{a} {b}");
            }
            for (row, entry) in matrix.iter().zip(vector) {
                assert!((dot(row, vector) - value * entry).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn whitened_patches_have_the_identity_as_covariance() {
        // Neighbours and channels that are like each other, as in photographs.
        let shape = ImageShape::new(3, 9, 7);
        let noise = |i: usize| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        let pixel = |i: usize| (i % shape.plane() * 2) as u64 + noise(i / shape.pixels()) * 2 % 60 + noise(i) / 3;
        let pixels: Vec<u8> = (0..40 * shape.pixels()).map(|i| pixel(i) as u8).collect();
        let set = ImageSet::new(pixels, vec![0; 40], shape, 2).unwrap();
        let (mean, std) = set.statistics().unwrap();
        let images = Batcher::new(set, &mean, &std, Augment::NONE).unwrap();
        let (filters, size) = (whitening_filters(&images, 2), 12);
        assert_eq!(filters.len(), 2 * size * size);
        assert!((0..size * size).all(|at| filters[size * size + at] == -filters[at]));

        // By hand: every patch of the normalised images through every filter.
        let pixels = images.assemble(&(0..40).collect::<Vec<_>>(), 0, 0).unwrap();
        let mut outputs: Vec<Vec<f64>> = vec![vec![]; size];
        for image in pixels.chunks_exact(shape.pixels()) {
            for (y, x) in (0..8).flat_map(|y| (0..6).map(move |x| (y, x))) {
                let place = |k: usize| k / 4 * shape.plane() + (y + k % 4 / 2) * shape.width + x + k % 2;
                for (filter, outputs) in filters.chunks_exact(size).zip(&mut outputs) {
                    let value = |k: usize| f64::from(filter[k]) * f64::from(image[place(k)]);
                    outputs.push((0..size).map(value).sum());
                }
            }
        }
        let count = outputs[0].len() as f64;
        let means: Vec<f64> = outputs.iter().map(|values| values.iter().sum::<f64>() / count).collect();
        let (slopes, set) = ([0, 1, 2].map(|c| f64::from(images.normalise[c].slope)), images.set());
        let eigenvalues: Vec<f64> = eigen(covariance(set, &slopes, 2)).into_iter().map(|(value, _)| value).collect();
        for a in 0..size {
            for b in 0..size {
                let products = outputs[a].iter().zip(&outputs[b]).map(|(x, y)| (x - means[a]) * (y - means[b]));
                let expected = if a == b { eigenvalues[a] / (eigenvalues[a] + EPSILON) } else { 0.0 };
                let found = products.sum::<f64>() / count;
                assert!((found - expected).abs() < 1e-3, "{a} {b}: {found} {expected}");
            }
        }
        assert!(eigenvalues[0] > 1e3 * eigenvalues[11], "{eigenvalues:?}: they were not white before");
    }
}
