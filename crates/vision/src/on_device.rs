//! Batches assembled on the device, from images that stay there.
//!
//! What lives here: [`DeviceBatcher`], the copy of a [`Batcher`]'s images, labels and normalised values on a device.
//! What it may know: the batcher and its draws. What it must not know: which device is worth it, a loop, a config.
//!
//! A batch is the host's, bit for bit. The draws are the batcher's, made on the host; where a pixel is taken from is
//! computed in whole numbers; and what it becomes is looked up in the batcher's table, not computed anew. Nothing is
//! left that could round differently.

use burn::tensor::{Bool, DType, Device, Int, IntDType, Tensor, TensorData};

use crate::augment::Augment;
use crate::batch::{Batcher, ImageBatch};
use crate::image_set::ImageShape;

/// Why the batches of a [`Batcher`] cannot be assembled on a device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnDeviceError {
    /// The augmentation computes values between the pixels.
    #[error(
        "the augmentation `{augment}` resamples the images, which is done on the host only (on the device: crop, \
         flip, cutout)"
    )]
    Resamples {
        /// The augmentation.
        augment: Augment,
    },
    /// Positions do not fit the device's 32-bit integers.
    #[error("the images take {bytes} bytes on the device, at most {most} can be reached there")]
    TooLarge {
        /// What they take, the border of a crop included.
        bytes: u64,
        /// The most that 32-bit positions reach.
        most: u64,
    },
}

/// The bytes of all images, in one block on a device.
#[derive(Clone, Debug)]
enum Block {
    /// An element for each byte.
    Bytes(Tensor<1, Int>),
    /// An element for four bytes, the first in the lowest bits: for devices without 8-bit integers, as in WGSL.
    Words(Tensor<1, Int>),
}

impl Block {
    fn bytes(bytes: Vec<u8>, device: &Device) -> Self {
        let count = bytes.len();
        Self::Bytes(Tensor::from_data(TensorData::new(bytes, [count]), (device, DType::U8)))
    }

    fn words(bytes: &[u8], device: &Device) -> Self {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | i32::from(byte));
        let words: Vec<i32> = bytes.chunks(4).map(word).collect();
        let count = words.len();
        Self::Words(Tensor::from_data(TensorData::new(words, [count]), (device, DType::I32)))
    }

    /// The bytes at these positions.
    fn at(&self, positions: Tensor<1, Int>) -> Tensor<1, Int> {
        match self {
            Self::Bytes(block) => block.clone().select(0, positions).cast(IntDType::I32),
            Self::Words(block) => {
                let words = block.clone().select(0, positions.clone().bitwise_right_shift_scalar(2));
                let shift = positions.bitwise_and_scalar(3).bitwise_left_shift_scalar(3);
                // The shift of a negative word brings ones from the left; the mask drops them.
                words.bitwise_right_shift(shift).bitwise_and_scalar(255)
            }
        }
    }
}

/// The most bytes that positions of 32 bits with a sign reach.
const MOST: u64 = i32::MAX as u64;

/// What is said of an image besides its index, where it is moved: rows to add, and `step, start` of its columns.
const MOVED: usize = 3;
/// What is said of the square that is cut out: rows and columns from and to.
const CUT: usize = 4;

/// A [`Batcher`] whose images and labels live on a device.
///
/// Made by [`Batcher::on_device`]. Crop, flip and cutout run on the device; what they do to an image is drawn on the
/// host from (seed, epoch, index) as [`Batcher::batch`] draws it, and a batch equals that one's bit for bit. For each
/// image of a batch 4 bytes go to the device (its index), 16 where it may be moved, 32 where a square is cut out;
/// beside the `4 * channels * height * width + 4` of a batch that is assembled on the host.
#[derive(Clone, Debug)]
pub struct DeviceBatcher {
    host: Batcher,
    device: Device,
    block: Block,
    labels: Tensor<1, Int>,
    /// The normalised value of each byte, 256 for each channel.
    table: Tensor<1>,
    layout: Layout,
    /// `0..height`, along the third axis.
    rows: Tensor<4, Int>,
    /// `0..width`, along the fourth axis.
    columns: Tensor<4, Int>,
    /// Where the plane of each channel begins in an image, along the second axis.
    planes: Tensor<4, Int>,
    /// Where the table of each channel begins, along the second axis.
    tables: Tensor<4, Int>,
}

/// How an image lies in the block: as it is, or with one black pixel around each plane where it may be cropped. Every
/// position outside of the image is taken to that border.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Layout {
    shape: ImageShape,
    border: usize,
}

impl Layout {
    fn of(batcher: &Batcher) -> Self {
        let border = usize::from(batcher.plan.is_some_and(|plan| plan.crop > 0));
        Self { shape: batcher.set().shape(), border }
    }

    fn height(self) -> usize {
        self.shape.height + 2 * self.border
    }

    fn width(self) -> usize {
        self.shape.width + 2 * self.border
    }

    fn plane(self) -> usize {
        self.height() * self.width()
    }

    fn image(self) -> usize {
        self.shape.channels * self.plane()
    }

    /// The images of a set, one after the other.
    fn block(self, batcher: &Batcher) -> Vec<u8> {
        let set = batcher.set();
        let mut block = vec![0; set.len() * self.image()];
        for (index, image) in block.chunks_exact_mut(self.image()).enumerate() {
            let planes = set.image(index).chunks_exact(self.shape.plane());
            for (plane, out) in planes.zip(image.chunks_exact_mut(self.plane())) {
                let rows = out.chunks_exact_mut(self.width()).skip(self.border);
                for (row, out) in plane.chunks_exact(self.shape.width).zip(rows) {
                    out[self.border..][..row.len()].copy_from_slice(row);
                }
            }
        }
        block
    }
}

impl Batcher {
    /// The bytes that the images and labels take on a device.
    pub fn bytes_on_device(&self) -> u64 {
        self.set().len() as u64 * (Layout::of(self).image() as u64 + size_of::<i32>() as u64)
    }

    /// Whether augmentation computes values between the pixels (shear, scaling, rotation, shift), which is done on the
    /// host only.
    fn resamples(&self) -> bool {
        self.plan.is_some_and(|plan| plan.resamples())
    }

    /// Whether [`on_device`](Self::on_device) would succeed; nothing is copied.
    ///
    /// # Errors
    /// As there.
    pub fn fits_on_device(&self) -> Result<(), OnDeviceError> {
        if self.resamples() {
            return Err(OnDeviceError::Resamples { augment: self.augment });
        }
        match self.set().len() as u64 * Layout::of(self).image() as u64 {
            bytes if bytes > MOST => Err(OnDeviceError::TooLarge { bytes, most: MOST }),
            _ => Ok(()),
        }
    }

    /// Copies the images and labels to `device`, where batches are then assembled.
    ///
    /// # Errors
    /// An augmentation that resamples (shear, scaling, rotation, shift); more bytes than 32-bit positions reach (2 GiB).
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use vision::{Augment, Batcher, load};
    ///
    /// let digits = load("digits", None)?;
    /// let batcher = Batcher::new(digits.train.clone(), &digits.mean, &digits.std, Augment::parse("crop:1+flip")?)?;
    /// let resident = batcher.on_device(&Device::flex())?;
    /// let (seed, epoch) = (42, 3);
    /// let here = batcher.batch(&[7, 0, 1], epoch, seed, &Device::flex());
    /// assert_eq!(resident.batch(&[7, 0, 1], epoch, seed).images.to_data(), here.images.to_data());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_device(&self, device: &Device) -> Result<DeviceBatcher, OnDeviceError> {
        self.laid_out_on(device, device.supports_dtype(DType::U8))
    }

    fn laid_out_on(&self, device: &Device, bytewise: bool) -> Result<DeviceBatcher, OnDeviceError> {
        self.fits_on_device()?;
        let (set, layout) = (self.set(), Layout::of(self));
        let ImageShape { channels, height, width } = layout.shape;
        let block = layout.block(self);
        let block = if bytewise { Block::bytes(block, device) } else { Block::words(&block, device) };
        let labels: Vec<i32> = (0..set.len()).map(|index| i32::from(set.label(index))).collect();
        let table: Vec<f32> = self.normalise.iter().flat_map(|normalise| normalise.table).collect();
        let steps = |count: usize, step: usize| {
            Tensor::<1, Int>::arange(0..count as i64, (device, DType::I32)).mul_scalar(step as i32)
        };
        Ok(DeviceBatcher {
            host: self.clone(),
            device: device.clone(),
            block,
            labels: Tensor::from_data(TensorData::new(labels, [set.len()]), device),
            table: Tensor::from_data(TensorData::new(table, [channels * 256]), device),
            layout,
            rows: steps(height, 1).reshape([1, 1, height, 1]),
            columns: steps(width, 1).reshape([1, 1, 1, width]),
            planes: steps(channels, layout.plane()).reshape([1, channels, 1, 1]),
            tables: steps(channels, 256).reshape([1, channels, 1, 1]),
        })
    }
}

impl DeviceBatcher {
    /// The batcher that the images came from.
    pub fn host(&self) -> &Batcher {
        &self.host
    }

    /// The bytes that go to the device for each image of a batch.
    pub fn bytes_per_image(&self) -> usize {
        self.told() * size_of::<i32>()
    }

    /// How many numbers the device is told of each image.
    fn told(&self) -> usize {
        let plan = self.host.plan.filter(|plan| plan.crop > 0 || plan.flip || plan.cutout > 0);
        plan.map_or(1, |plan| 1 + MOVED + if plan.cutout > 0 { CUT } else { 0 })
    }

    /// What the device is told of the images of a batch: the indices of all, then each further number of all.
    fn orders(&self, indices: &[usize], epoch: u64, seed: u64) -> Vec<i32> {
        let (images, told, most) = (indices.len(), self.told(), self.host.set().len());
        let mut orders = vec![0; images * told];
        for (i, &index) in indices.iter().enumerate() {
            // A device would read what lies there without a word.
            assert!(index < most, "index {index} is not below {most}");
            let mut tell = |number: usize, value: isize| orders[number * images + i] = value as i32;
            tell(0, index as isize);
            let Some(plan) = self.host.plan.filter(|_| told > 1) else { continue };
            let (draw, border) = (plan.draw(seed, epoch, index), self.layout.border as isize);
            let (step, first) = if draw.flip { (-1, plan.shape.width as isize - 1) } else { (1, 0) };
            tell(1, draw.crop.0 + border);
            tell(2, step);
            tell(3, first + draw.crop.1 + border);
            for (number, edge) in draw.cutout.into_iter().flatten().enumerate() {
                tell(1 + MOVED + number, edge as isize);
            }
        }
        orders
    }

    /// The images at these positions of the set, as tensors on the device: bit for bit what [`Batcher::batch`] gives.
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of images.
    pub fn batch(&self, indices: &[usize], epoch: u64, seed: u64) -> ImageBatch {
        let ImageShape { channels, height, width } = self.layout.shape;
        let (images, told) = (indices.len(), self.told());
        let orders = TensorData::new(self.orders(indices, epoch, seed), [told, images]);
        let orders = Tensor::<2, Int>::from_data(orders, (&self.device, DType::I32));
        let order = |number: usize| orders.clone().narrow(0, number, 1).reshape([images, 1, 1, 1]);

        let (mut rows, mut columns) = (self.rows.clone(), self.columns.clone());
        if told > 1 {
            rows = rows.add(order(1));
            columns = columns.mul(order(2)).add(order(3));
        }
        if self.layout.border > 0 {
            rows = rows.clamp(0, self.layout.height() as i32 - 1);
            columns = columns.clamp(0, self.layout.width() as i32 - 1);
        }
        let start = order(0).mul_scalar(self.layout.image() as i32);
        let rows = rows.mul_scalar(self.layout.width() as i32).add(start);
        let positions = rows.add(self.planes.clone()).add(columns);

        let (shape, pixels) = ([images, channels, height, width], images * channels * height * width);
        let mut values = self.block.at(positions.reshape([pixels]));
        if channels > 1 {
            values = values.reshape(shape).add(self.tables.clone()).reshape([pixels]);
        }
        let pixels = self.table.clone().select(0, values).reshape(shape);
        let pixels = if told > 1 + MOVED {
            let edges = [0, 1, 2, 3].map(|edge| order(1 + MOVED + edge));
            pixels.mask_fill(self.square(edges).expand(shape), 0.0)
        } else {
            pixels
        };
        ImageBatch { images: pixels, targets: self.labels.clone().select(0, order(0).reshape([images])) }
    }

    /// Where a square lies: rows from and to, columns from and to.
    fn square(&self, [top, bottom, left, right]: [Tensor<4, Int>; 4]) -> Tensor<4, Bool> {
        let rows = self.rows.clone().greater_equal(top).bool_and(self.rows.clone().lower(bottom));
        let columns = self.columns.clone().greater_equal(left).bool_and(self.columns.clone().lower(right));
        rows.bool_and(columns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::augment::Amount;
    use crate::image_set::ImageSet;

    fn batcher(shape: ImageShape, images: usize, salt: u64, augment: Augment) -> Batcher {
        let mix = |i: u64| (i + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        let pixels = (0..(images * shape.pixels()) as u64).map(|i| mix(i) as u8).collect();
        let labels = (0..images as u64).map(|i| (mix(i * 31) % 7) as u8).collect();
        let set = ImageSet::new(pixels, labels, shape, 7).unwrap();
        // A part of a larger set, in another order, is what a training set is.
        let part = set.subset(&(0..images).rev().step_by(2).collect::<Vec<_>>());
        let (mean, std) = ([0.49, 0.25, 0.13], [0.2, 0.31, 1.0]);
        Batcher::new(part, &mean[..shape.channels], &std[..shape.channels], augment).unwrap()
    }

    fn bits(batch: &ImageBatch) -> (Vec<u32>, Vec<i64>) {
        let pixels: Vec<f32> = batch.images.to_data().try_to_vec().unwrap();
        (pixels.into_iter().map(f32::to_bits).collect(), batch.targets.to_data_as::<i64>().try_to_vec().unwrap())
    }

    fn amount(pixels: usize) -> Option<Amount> {
        (pixels > 0).then_some(Amount::Pixels(pixels))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_batch_is_the_hosts_bit_for_bit(
            (channels, height, width) in (1_usize..=3, 1_usize..=9, 1_usize..=9),
            (images, salt) in (1_usize..=12, any::<u64>()),
            (crop, flip, cutout) in (0_usize..=8, any::<bool>(), 0_usize..=9),
            (seed, epoch) in (any::<u64>(), any::<u64>()),
            chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
            bytewise in any::<bool>(),
        ) {
            let side = height.min(width);
            let augment = Augment {
                crop: amount(crop.min(side - 1)),
                flip,
                cutout: amount(cutout.min(side)),
                ..Augment::NONE
            };
            let host = batcher(ImageShape::new(channels, height, width), images, salt % 1000, augment);
            let indices: Vec<usize> = chosen.iter().map(|index| index.index(host.set().len())).collect();
            let device = Device::flex();
            let resident = host.laid_out_on(&device, bytewise).unwrap();
            let (found, expected) = (resident.batch(&indices, epoch, seed), host.batch(&indices, epoch, seed, &device));
            prop_assert_eq!(found.images.dims(), expected.images.dims());
            prop_assert_eq!((found.images.dtype(), found.targets.dtype()),
                (expected.images.dtype(), expected.targets.dtype()));
            prop_assert_eq!(bits(&found), bits(&expected), "{}", augment);
        }
    }

    #[test]
    fn every_piece_at_the_size_of_cifar() {
        let shape = ImageShape::new(3, 32, 32);
        let device = Device::flex().autodiff();
        for (augment, told) in [("none", 4), ("flip", 16), ("crop", 16), ("crop+flip", 16), ("crop+flip+cutout", 32)] {
            let host = batcher(shape, 60, 5, Augment::parse(augment).unwrap());
            let indices: Vec<usize> = (0..30).collect();
            for bytewise in [true, false] {
                let resident = host.laid_out_on(&device, bytewise).unwrap();
                assert_eq!(resident.bytes_per_image(), told, "{augment}");
                let found = resident.batch(&indices, 3, 9);
                assert_eq!(bits(&found), bits(&host.batch(&indices, 3, 9, &device)), "{augment}");
                // As a batch from the host: on the training device, and nothing to differentiate.
                assert!(found.images.device().is_autodiff() && !found.images.is_tracked());
            }
        }
    }

    #[test]
    fn what_is_done_on_the_host_only_is_refused_by_name() {
        let shape = ImageShape::new(1, 8, 8);
        for (augment, resamples) in
            [("shear", true), ("scale", true), ("rotate", true), ("shift", true), ("crop+flip+cutout", false)]
        {
            let host = batcher(shape, 4, 0, Augment::parse(augment).unwrap());
            assert_eq!(host.resamples(), resamples, "{augment}");
            let refusal = host.on_device(&Device::flex()).err().map(|error| error.to_string());
            assert_eq!(refusal.is_some(), resamples, "{augment}");
            if let Some(refusal) = refusal {
                assert!(refusal.starts_with(&format!("the augmentation `{augment}")), "{refusal}");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_images_border_and_labels() {
        let shape = ImageShape::new(3, 32, 32);
        let bytes = |augment| batcher(shape, 20, 0, Augment::parse(augment).unwrap()).bytes_on_device();
        assert_eq!(bytes("flip"), 10 * (3 * 32 * 32 + 4));
        assert_eq!(bytes("crop"), 10 * (3 * 34 * 34 + 4));
    }

    #[test]
    #[should_panic(expected = "index 2 is not below 2")]
    fn an_index_past_the_end_is_not_read() {
        batcher(ImageShape::new(1, 2, 2), 4, 0, Augment::NONE).on_device(&Device::flex()).unwrap().batch(&[2], 0, 0);
    }
}
