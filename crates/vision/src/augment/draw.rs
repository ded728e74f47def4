//! Augmentation of one image: random numbers drawn from a key, and the pixels that they move.

use splitmix::SplitMix64;

use super::Flip;
use crate::image_set::ImageShape;

/// An augmentation with its amounts: 0 where a piece is off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: ImageShape,
    pub(super) rotate: f32,
    /// As the tangent of the angle.
    pub(super) shear: f32,
    pub(super) scale: f32,
    pub(super) shift: usize,
    pub(crate) crop: usize,
    pub(crate) flip: Option<Flip>,
    pub(crate) cutout: usize,
}

/// The place of the epoch in the key of what is drawn once for all epochs.
const NO_EPOCH: u64 = u64::MAX;

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Draw {
    /// The map from a pixel of the result to its position in the image, where the image is resampled.
    pub(crate) affine: Option<Affine>,
    /// Rows and columns by which the window of the crop is off the middle.
    pub(crate) crop: (isize, isize),
    pub(crate) flip: bool,
    /// The square to cut out: rows and columns from and to, within the image.
    pub(crate) cutout: Option<[usize; 4]>,
}

/// The inverse map of a shear, scaling, rotation and shift about the centre: `row = r0 + ry*y + rx*x`, and so the column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    row: [f32; 3],
    column: [f32; 3],
}

impl Plan {
    /// Whether values between the pixels are computed: shear, scaling, rotation, shift.
    pub(crate) fn resamples(&self) -> bool {
        self.rotate > 0.0 || self.shear > 0.0 || self.scale > 0.0 || self.shift > 0
    }

    /// The largest distance from the image, in its pixels, at which a resampled pixel may be read.
    pub(crate) fn reach(&self) -> f64 {
        let ImageShape { height, width, .. } = self.shape;
        let far = (height + width + 2 * self.shift + 2 * self.crop) as f64;
        far * (1.0 + f64::from(self.shear)) / (1.0 - f64::from(self.scale))
    }

    /// The draw for an image. Every number is drawn whether its piece is on or off, so switching one piece does not
    /// change the others.
    pub(crate) fn draw(&self, seed: u64, epoch: u64, index: usize) -> Draw {
        let ImageShape { height, width, .. } = self.shape;
        let mut random = SplitMix64::keyed([seed, epoch, index as u64]);
        let angle = random.symmetric() * self.rotate;
        let factor = 1.0 + random.symmetric() * self.scale;
        let shift = [random.symmetric(), random.symmetric()].map(|share| share * self.shift as f32);
        let crop = (random.within(self.crop), random.within(self.crop));
        let coin = random.coin();
        let flip = match self.flip {
            None => false,
            Some(Flip::Random) => coin,
            // One coin for all epochs.
            Some(Flip::Alternating) => SplitMix64::keyed([seed, NO_EPOCH, index as u64]).coin() != (epoch % 2 == 1),
        };
        let centre = (random.below(height), random.below(width));
        let slant = random.symmetric() * self.shear;
        Draw {
            affine: self.resamples().then(|| Affine::inverse(self.shape, angle, slant, factor, shift)),
            crop,
            flip,
            cutout: (self.cutout > 0).then(|| {
                let span = |centre: usize, most: usize| {
                    let from = centre as isize - self.cutout as isize / 2;
                    (from.max(0) as usize, ((from + self.cutout as isize) as usize).min(most))
                };
                let ((top, bottom), (left, right)) = (span(centre.0, height), span(centre.1, width));
                [top, bottom, left, right]
            }),
        }
    }
}

/// A pixel in [`Affine::fixed`] is `2^16`.
pub(crate) const ONE_BITS: u32 = 16;
const ONE: i64 = 1 << ONE_BITS;

impl Affine {
    /// The map of rows and that of columns, in whole numbers of 2^-16 pixels.
    pub(crate) fn fixed(&self) -> [[i64; 3]; 2] {
        [self.row, self.column].map(|map| map.map(|value| (f64::from(value) * ONE as f64).round() as i64))
    }

    /// The inverse of: slanted by `slant` columns a row, scaled by `factor`, rotated by `angle`, moved by `shift`.
    fn inverse(shape: ImageShape, angle: f32, slant: f32, factor: f32, shift: [f32; 2]) -> Self {
        let (sine, cosine) = (angle.sin() / factor, angle.cos() / factor);
        let centre = [(shape.height - 1) as f32 / 2.0, (shape.width - 1) as f32 / 2.0];
        // The point that the origin of the output comes from, seen from the centre.
        let (y, x) = (-centre[0] - shift[0], -centre[1] - shift[1]);
        let row = [cosine * y - sine * x, cosine, -sine];
        let column = [sine * y + cosine * x, sine, cosine];
        let unslanted: [f32; 3] = std::array::from_fn(|i| column[i] - slant * row[i]);
        Self {
            row: [centre[0] + row[0], row[1], row[2]],
            column: [centre[1] + unslanted[0], unslanted[1], unslanted[2]],
        }
    }

    /// Writes output columns `first..` of output row `y`, from a plane of bytes: bilinear, black outside.
    ///
    /// Positions are whole numbers of 2^-16 pixels: rounding takes no branch, and the result is the same on every
    /// processor.
    fn write_row(
        &self,
        plane: &[u8],
        shape: ImageShape,
        y: usize,
        first: usize,
        out: &mut [f32],
        normalise: &Normalise,
    ) {
        let [row, column] = self.fixed();
        let start = |map: [i64; 3]| map[0] + map[1] * y as i64 + map[2] * first as i64;
        let (row_step, column_step) = (row[2], column[2]);
        let (mut row, mut column) = (start(row), start(column));
        let (height, width) = (shape.height as i64, shape.width as i64);
        for out in out {
            let (top, left) = (row >> ONE_BITS, column >> ONE_BITS);
            let (down, right) = ((row & (ONE - 1)) as f32 / ONE as f32, (column & (ONE - 1)) as f32 / ONE as f32);
            let [[a, b], [c, d]] = if top >= 0 && left >= 0 && top + 1 < height && left + 1 < width {
                let at = (top * width + left) as usize;
                let (above, below) = (&plane[at..at + 2], &plane[at + width as usize..]);
                [[above[0], above[1]], [below[0], below[1]]]
            } else {
                let pixel = |row: i64, column: i64| {
                    let inside = (0..height).contains(&row) && (0..width).contains(&column);
                    if inside { plane[(row * width + column) as usize] } else { 0 }
                };
                [[pixel(top, left), pixel(top, left + 1)], [pixel(top + 1, left), pixel(top + 1, left + 1)]]
            }
            .map(|pair| pair.map(f32::from));
            let (above, below) = (a + (b - a) * right, c + (d - c) * right);
            *out = (above + (below - above) * down) * normalise.slope + normalise.offset;
            row += row_step;
            column += column_step;
        }
    }
}

/// The normalisation of one channel: of bytes, and of values between bytes.
#[derive(Clone, Debug)]
pub(crate) struct Normalise {
    /// `(v / 255 - mean) / std` for each byte.
    pub(crate) table: [f32; 256],
    /// The same as `v * slope + offset`, for values between bytes.
    pub(crate) slope: f32,
    /// See `slope`.
    pub(crate) offset: f32,
}

impl Draw {
    /// Writes one plane of the image, augmented and normalised, to `out`.
    pub(crate) fn write_plane(&self, plane: &[u8], shape: ImageShape, normalise: &Normalise, out: &mut [f32]) {
        let ImageShape { height, width, .. } = shape;
        let black = normalise.table[0];
        for (y, row) in out.chunks_exact_mut(width).enumerate() {
            match y.checked_add_signed(self.crop.0).filter(|&y| y < height) {
                None => row.fill(black),
                Some(from_y) => self.write_row(plane, shape, from_y, normalise, row),
            }
            if self.flip {
                row.reverse();
            }
        }
        if let Some([top, bottom, left, right]) = self.cutout {
            for row in out.chunks_exact_mut(width).take(bottom).skip(top) {
                // The normalised mean is 0.
                row[left..right].fill(0.0);
            }
        }
    }

    fn write_row(&self, plane: &[u8], shape: ImageShape, y: usize, normalise: &Normalise, out: &mut [f32]) {
        let offset = self.crop.1;
        let width = shape.width;
        // Output columns `from..to` lie over the image; the crop's border left and right of them is black.
        let from = width.min((-offset).max(0) as usize);
        let to = width - width.min(offset.max(0) as usize);
        out[..from].fill(normalise.table[0]);
        out[to..].fill(normalise.table[0]);
        let first = (from as isize + offset) as usize;
        if let Some(affine) = &self.affine {
            affine.write_row(plane, shape, y, first, &mut out[from..to], normalise);
        } else {
            for (out, &pixel) in out[from..to].iter_mut().zip(&plane[y * width + first..]) {
                *out = normalise.table[usize::from(pixel)];
            }
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augment;

    const SHAPE: ImageShape = ImageShape::new(1, 6, 6);

    /// A table that leaves bytes as they are.
    fn plain() -> Normalise {
        Normalise { table: std::array::from_fn(|v| v as f32), slope: 1.0, offset: 0.0 }
    }

    fn ramp() -> Vec<u8> {
        (1..=36).collect()
    }

    fn write(draw: &Draw) -> Vec<f32> {
        let mut out = vec![f32::NAN; 36];
        draw.write_plane(&ramp(), SHAPE, &plain(), &mut out);
        out
    }

    const STILL: Draw = Draw { affine: None, crop: (0, 0), flip: false, cutout: None };

    /// The pixel of the ramp at a position, black outside.
    fn at(y: isize, x: isize) -> f32 {
        if (0..6).contains(&y) && (0..6).contains(&x) { (y * 6 + x + 1) as f32 } else { 0.0 }
    }

    #[test]
    fn a_crop_is_a_window_of_the_image_in_black() {
        for crop in [(0, 0), (2, -1), (-5, 5), (3, 3)] {
            let found = write(&Draw { crop, ..STILL });
            let expected: Vec<f32> = (0..36).map(|i| at(i / 6 + crop.0, i % 6 + crop.1)).collect();
            assert_eq!(found, expected, "{crop:?}");
        }
    }

    #[test]
    fn a_flip_mirrors_what_the_crop_shows() {
        let found = write(&Draw { crop: (1, 2), flip: true, ..STILL });
        let expected: Vec<f32> = (0..36).map(|i| at(i / 6 + 1, 5 - i % 6 + 2)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn cutout_sets_its_square_to_the_mean() {
        let found = write(&Draw { cutout: Some([1, 3, 4, 6]), ..STILL });
        for (i, &value) in found.iter().enumerate() {
            let cut = (1..3).contains(&(i / 6)) && (4..6).contains(&(i % 6));
            assert_eq!(value, if cut { 0.0 } else { (i + 1) as f32 });
        }
    }

    #[test]
    fn resampling_by_whole_pixels_and_right_angles_moves_pixels() {
        let affine = |angle, factor, shift| Some(Affine::inverse(SHAPE, angle, 0.0, factor, shift));
        let close = |draw: Draw, expected: &dyn Fn(isize, isize) -> f32| {
            for (i, &value) in write(&draw).iter().enumerate() {
                let (y, x) = (i as isize / 6, i as isize % 6);
                assert!((value - expected(y, x)).abs() < 2e-2, "({y}, {x}): {value}, expected {}", expected(y, x));
            }
        };
        close(Draw { affine: affine(0.0, 1.0, [0.0, 0.0]), ..STILL }, &at);
        close(Draw { affine: affine(0.0, 1.0, [2.0, -1.0]), ..STILL }, &|y, x| at(y - 2, x + 1));
        close(Draw { affine: affine(0.0, 1.0, [0.0, 0.5]), ..STILL }, &|y, x| f32::midpoint(at(y, x - 1), at(y, x)));
        close(Draw { affine: affine(std::f32::consts::PI, 1.0, [0.0, 0.0]), ..STILL }, &|y, x| at(5 - y, 5 - x));
        let quarter = Draw { affine: affine(std::f32::consts::FRAC_PI_2, 1.0, [0.0, 0.0]), ..STILL };
        close(quarter, &|y, x| at(5 - x, y));
        // Two columns a row about the centre: row 2 lies half a row above it and moves by one column to the left.
        let slanted = Draw { affine: Some(Affine::inverse(SHAPE, 0.0, 2.0, 1.0, [0.0, 0.0])), ..STILL };
        close(slanted, &|y, x| at(y, x - (2 * y - 5)));
    }

    #[test]
    fn draws_stay_within_their_amounts_and_reach_them() {
        let plan = Augment::parse("crop:2_flip_cutout:3").unwrap().plan(SHAPE).unwrap();
        let draws: Vec<Draw> = (0..2000).map(|index| plan.draw(1, 0, index)).collect();
        for wanted in -2..=2 {
            assert!(draws.iter().any(|draw| draw.crop.0 == wanted) && draws.iter().any(|draw| draw.crop.1 == wanted));
        }
        assert!(draws.iter().all(|draw| draw.crop.0.abs() <= 2 && draw.crop.1.abs() <= 2));
        let flips = draws.iter().filter(|draw| draw.flip).count();
        assert!(flips.abs_diff(1000) < 120, "{flips}");
        for [top, bottom, left, right] in draws.iter().filter_map(|draw| draw.cutout) {
            assert!(top < bottom && bottom <= 6 && bottom - top <= 3, "{top}..{bottom}");
            assert!(left < right && right <= 6 && right - left <= 3, "{left}..{right}");
        }
    }

    #[test]
    fn an_alternating_flip_shows_every_image_both_ways_in_two_epochs() {
        let plan = Augment::parse("flip:alternating").unwrap().plan(SHAPE).unwrap();
        let flips = |epoch| -> Vec<bool> { (0..2000).map(|index| plan.draw(7, epoch, index).flip).collect() };
        let first = flips(0);
        let mirrored = first.iter().filter(|flip| **flip).count();
        assert!(mirrored.abs_diff(1000) < 120, "{mirrored}");
        let others: Vec<bool> = first.iter().map(|flip| !flip).collect();
        for epoch in 1..6 {
            assert_eq!(flips(epoch), if epoch % 2 == 0 { &first[..] } else { &others[..] }, "epoch {epoch}");
        }
        assert_ne!(first, (0..2000).map(|index| plan.draw(8, 0, index).flip).collect::<Vec<bool>>(), "another seed");
    }

    #[test]
    fn switching_one_piece_leaves_the_others_as_they_were() {
        let plan = |text: &str| Augment::parse(text).unwrap().plan(SHAPE).unwrap();
        let alone = plan("crop:2");
        for both in [plan("crop:2+flip+rotate"), plan("crop:2+flip:alternating")] {
            assert!((0..100).all(|index| alone.draw(5, 3, index).crop == both.draw(5, 3, index).crop));
        }
    }
}
