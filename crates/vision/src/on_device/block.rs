//! The bytes of all images in one tensor: their layout, and how they are read.

use burn::tensor::{DType, Device, Int, IntDType, Tensor, TensorData};

use crate::batch::Batcher;
use crate::image_set::{ImageReadError, ImageShape};

/// The bytes of all images, in one block on a device.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// An element for each byte.
    Bytes(Tensor<1, Int>),
    /// An element for four bytes, the first in the lowest bits: for devices without 8-bit integers, as in WGSL.
    Words(Tensor<1, Int>),
}

impl Block {
    pub(super) fn new(bytes: Vec<u8>, bytewise: bool, device: &Device) -> Self {
        if bytewise {
            let count = bytes.len();
            return Self::Bytes(Tensor::from_data(TensorData::new(bytes, [count]), (device, DType::U8)));
        }
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | i32::from(byte));
        let words: Vec<i32> = bytes.chunks(4).map(word).collect();
        let count = words.len();
        Self::Words(Tensor::from_data(TensorData::new(words, [count]), (device, DType::I32)))
    }

    /// The bytes at these positions.
    pub(super) fn at(&self, positions: Tensor<4, Int>) -> Tensor<4, Int> {
        let shape = positions.shape();
        let positions = positions.reshape([shape.num_elements()]);
        let bytes = match self {
            Self::Bytes(block) => block.clone().select(0, positions).cast(IntDType::I32),
            Self::Words(block) => {
                let words = block.clone().select(0, positions.clone().bitwise_right_shift_scalar(2));
                let shift = positions.bitwise_and_scalar(3).bitwise_left_shift_scalar(3);
                // The shift of a negative word brings ones from the left; the mask drops them.
                words.bitwise_right_shift(shift).bitwise_and_scalar(255)
            }
        };
        bytes.reshape(shape)
    }
}

/// The layout of an image in the block: as it is, or with a border of one black pixel around each plane where positions
/// outside the image may be read. Every position outside is clamped to that border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) shape: ImageShape,
    pub(super) border: usize,
}

impl Layout {
    pub(super) fn of(batcher: &Batcher) -> Self {
        let border = usize::from(batcher.plan.is_some_and(|plan| plan.crop > 0 || plan.resamples()));
        Self { shape: batcher.set().shape(), border }
    }

    pub(super) fn height(self) -> usize {
        self.shape.height + 2 * self.border
    }

    pub(super) fn width(self) -> usize {
        self.shape.width + 2 * self.border
    }

    pub(super) fn plane(self) -> usize {
        self.height() * self.width()
    }

    pub(super) fn image(self) -> usize {
        self.shape.channels * self.plane()
    }

    /// The images of a set, one after the other.
    pub(super) fn block(self, batcher: &Batcher) -> Result<Vec<u8>, ImageReadError> {
        let set = batcher.set();
        let mut block = vec![0; set.len() * self.image()];
        for (index, image) in block.chunks_exact_mut(self.image()).enumerate() {
            let bytes = set.try_image(index)?;
            let planes = bytes.chunks_exact(self.shape.plane());
            for (plane, out) in planes.zip(image.chunks_exact_mut(self.plane())) {
                let rows = out.chunks_exact_mut(self.width()).skip(self.border);
                for (row, out) in plane.chunks_exact(self.shape.width).zip(rows) {
                    out[self.border..][..row.len()].copy_from_slice(row);
                }
            }
        }
        Ok(block)
    }
}
