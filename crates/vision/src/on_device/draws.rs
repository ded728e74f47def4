//! The numbers that a batch sends to the device: the index of each image, and what was drawn for it.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::augment::Plan;
use crate::batch::Batcher;

/// Rows to add; step and start of the columns.
const MOVED: usize = 3;
/// The square to cut out: rows and columns from and to.
const CUT: usize = 4;
/// Where a resampled pixel comes from: the maps of rows and of columns.
const WARPED: usize = 6;

/// Which numbers there are for an image, and where they begin: `None` where the augmentation has no such piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Offsets {
    pub(super) moved: Option<usize>,
    pub(super) cut: Option<usize>,
    pub(super) warped: Option<usize>,
    pub(super) count: usize,
}

impl Offsets {
    pub(super) fn of(plan: Option<&Plan>) -> Self {
        let mut offsets = Self { count: 1, ..Self::default() };
        let Some(plan) = plan else { return offsets };
        let mut block = |is_there: bool, numbers: usize| {
            let begin = offsets.count;
            offsets.count += if is_there { numbers } else { 0 };
            is_there.then_some(begin)
        };
        let moved = block(plan.crop > 0 || plan.flip.is_some() || plan.resamples(), MOVED);
        let cut = block(plan.cutout > 0, CUT);
        let warped = block(plan.resamples(), WARPED);
        Self { moved, cut, warped, ..offsets }
    }
}

/// The numbers of a batch on the device: each number of all images, then the next.
pub(super) struct Draws {
    numbers: Tensor<2, Int>,
    images: usize,
}

impl Draws {
    /// Draws for these images of the batcher's set and sends the numbers to the device.
    pub(super) fn draw(
        host: &Batcher,
        offsets: Offsets,
        indices: &[usize],
        epoch: u64,
        seed: u64,
        device: &Device,
    ) -> Self {
        let (images, most) = (indices.len(), host.set().len());
        let mut numbers = vec![0; images * offsets.count];
        for (i, &index) in indices.iter().enumerate() {
            // A device would read past the end of the block without an error.
            assert!(index < most, "index {index} is not below {most}");
            let mut put = |begin: usize, values: &[i64]| {
                for (number, &value) in values.iter().enumerate() {
                    // Positions are computed modulo 2^32, and so may be these.
                    numbers[(begin + number) * images + i] = value as i32;
                }
            };
            put(0, &[index as i64]);
            let Some(plan) = host.plan.filter(|_| offsets.count > 1) else { continue };
            let draw = plan.draw(seed, epoch, index);
            if let Some(begin) = offsets.moved {
                let (step, first) = if draw.flip { (-1, plan.shape.width as i64 - 1) } else { (1, 0) };
                put(begin, &[draw.crop.0 as i64, step, first + draw.crop.1 as i64]);
            }
            if let Some((begin, square)) = offsets.cut.zip(draw.cutout) {
                put(begin, &square.map(|edge| edge as i64));
            }
            if let Some((begin, affine)) = offsets.warped.zip(draw.affine) {
                put(begin, affine.fixed().as_flattened());
            }
        }
        let numbers = TensorData::new(numbers, [offsets.count, images]);
        Self { numbers: Tensor::from_data(numbers, (device, DType::I32)), images }
    }

    /// One number of each image, along the first axis.
    pub(super) fn number(&self, number: usize) -> Tensor<4, Int> {
        self.numbers.clone().narrow(0, number, 1).reshape([self.images, 1, 1, 1])
    }

    /// As many numbers as are asked for, from `begin` on.
    pub(super) fn numbers<const N: usize>(&self, begin: usize) -> [Tensor<4, Int>; N] {
        std::array::from_fn(|number| self.number(begin + number))
    }

    /// The index of each image.
    pub(super) fn indices(&self) -> Tensor<1, Int> {
        self.number(0).reshape([self.images])
    }
}
