//! Squares of RGB pixels in another size, by a triangle filter as wide as the scale (PIL calls it bilinear): enlarged, a
//! pixel lies between its two neighbours on a line; made smaller, it is a weighted mean of all that it covers.

/// The pixels of a square of this side, three bytes each by rows, in `width` times `height` of them. Columns are filtered
/// first, then rows, in single precision.
pub(super) fn resample(pixels: Vec<u8>, side: usize, width: usize, height: usize) -> Vec<u8> {
    if (side, side) == (width, height) {
        return pixels;
    }
    let columns = weights(side, width);
    let mut out = Vec::with_capacity(3 * width * height);
    let mut row = vec![0.0; 3 * side];
    for (first, weights) in weights(side, height) {
        row.fill(0.0);
        for (source, weight) in pixels.chunks_exact(3 * side).skip(first).zip(weights) {
            for (sum, sample) in row.iter_mut().zip(source) {
                *sum += f32::from(*sample) * weight;
            }
        }
        let row = row.as_chunks::<3>().0;
        for (first, weights) in &columns {
            let mut sum = [0.0; 3];
            for (pixel, weight) in row.iter().skip(*first).zip(weights) {
                for (sum, sample) in sum.iter_mut().zip(pixel) {
                    *sum += sample * weight;
                }
            }
            out.extend(sum.map(|sum| sum.clamp(0.0, 255.0).round() as u8));
        }
    }
    out
}

/// For each of `to` places, which of `from` it is made of: the first one, and the weight of each from there on.
fn weights(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let ratio = from as f32 / to as f32;
    // Half the width of the triangle.
    let reach = ratio.max(1.0);
    let of = |place: usize| {
        let centre = (place as f32 + 0.5) * ratio;
        let first = ((centre - reach).floor().max(0.0) as usize).min(from - 1);
        let end = ((centre + reach).ceil() as usize).clamp(first + 1, from);
        // A pixel's centre lies half a pixel behind its number.
        let height = |at: usize| (1.0 - ((at as f32 - (centre - 0.5)) / reach).abs()).max(0.0);
        let mut weights: Vec<f32> = (first..end).map(height).collect();
        let sum: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        (first, weights)
    };
    (0..to).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_a_triangle() {
        assert_eq!(
            weights(4, 4),
            [0, 1, 2, 3].map(|at: usize| {
                // The neighbours lie where the triangle ends.
                let first = at.saturating_sub(1);
                let weights = (first..(at + 2).min(4)).map(|other| if other == at { 1.0 } else { 0.0 }).collect();
                (first, weights)
            })
        );
        // Twice as large: three quarters of the nearer pixel, but at the edge all of it.
        assert_eq!(weights(2, 4), [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]].map(|both| (0, both.to_vec())));
        // Half as large: four pixels, an eighth, three, three and one of them; at the edge the first is missing.
        let (first, inner) = &weights(8, 4)[1];
        assert_eq!((*first, inner.as_slice()), (1, &[0.125, 0.375, 0.375, 0.125][..]));
        assert_eq!(weights(8, 4)[0].1, [3.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0]);
    }
}
