//! Batches assembled on the device, from images that stay there.
//!
//! What lives here: [`DeviceBatcher`], the copy of a [`Batcher`]'s images, labels and normalised values on a device.
//! What it may know: the batcher and its draws. What it must not know: which device is worth it, a loop, a config.
//!
//! A batch is the host's, bit for bit. The draws are the batcher's, made on the host; where a pixel is taken from is
//! computed in whole numbers; and its value is looked up in the batcher's table. A resampled pixel is interpolated from
//! four others by the host's operations on f32, in the host's order.

mod block;
mod draws;
#[cfg(test)]
mod tests;

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

use self::block::{Block, Layout};
use self::draws::{Draws, Offsets};
use crate::augment::{Augment, ONE_BITS};
use crate::batch::{Batcher, ImageBatch};
use crate::image_set::{ImageReadError, ImageShape};

/// Why the batches of a [`Batcher`] cannot be assembled on a device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnDeviceError {
    /// Positions of bytes do not fit the device's 32-bit integers.
    #[error("the images take {bytes} bytes on the device, at most {most} can be reached there")]
    TooLarge {
        /// What they take, a border included where there is one.
        bytes: u64,
        /// The most that 32-bit positions reach.
        most: u64,
    },
    /// Positions within an image, in parts of a pixel, do not fit the device's 32-bit integers.
    #[error("the augmentation `{augment}` reaches too far from images of {shape} for the device's 32-bit integers")]
    TooFar {
        /// The augmentation.
        augment: Augment,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// An image is not in memory and cannot be read any more.
    #[error(transparent)]
    Image(#[from] ImageReadError),
}

/// The most bytes that positions of 32 bits with a sign reach.
const MOST: u64 = i32::MAX as u64;

/// A [`Batcher`] whose images and labels live on a device.
///
/// Made by [`Batcher::on_device`]. What happens to an image is drawn on the host from (seed, epoch, index), as
/// [`Batcher::batch`] draws it, and applied on the device. Each image of a batch sends 4 bytes there (its index), 12 more
/// where it may be cropped, mirrored or resampled, 16 more where a square is cut out and 24 more where it is resampled.
/// An image of a batch that is assembled on the host sends `4 * channels * height * width + 4`.
#[derive(Clone, Debug)]
pub struct DeviceBatcher {
    host: Batcher,
    device: Device,
    layout: Layout,
    offsets: Offsets,
    block: Block,
    labels: Tensor<1, Int>,
    /// The normalised value of each byte, 256 for each channel.
    table: Tensor<1>,
    /// `0..height`, along the third axis.
    rows: Tensor<4, Int>,
    /// `0..width`, along the fourth axis.
    columns: Tensor<4, Int>,
    /// Where the plane of each channel begins in an image, along the second axis.
    planes: Tensor<4, Int>,
    /// Where the table of each channel begins, along the second axis.
    tables: Tensor<4, Int>,
    /// Slope and offset of a value between bytes, and black, of each channel, along the second axis.
    between: [Tensor<4>; 3],
}

impl Batcher {
    /// The bytes that the images and labels take on a device.
    pub fn bytes_on_device(&self) -> u64 {
        self.set().len() as u64 * (Layout::of(self).image() as u64 + size_of::<i32>() as u64)
    }

    /// Whether [`on_device`](Self::on_device) would succeed; nothing is copied.
    ///
    /// # Errors
    /// As there.
    pub fn fits_on_device(&self) -> Result<(), OnDeviceError> {
        let bytes = self.set().len() as u64 * Layout::of(self).image() as u64;
        if bytes > MOST {
            return Err(OnDeviceError::TooLarge { bytes, most: MOST });
        }
        match &self.plan {
            Some(plan) if plan.resamples() && plan.reach() >= f64::from(1_u32 << (31 - ONE_BITS)) => {
                Err(OnDeviceError::TooFar { augment: self.augment, shape: plan.shape })
            }
            _ => Ok(()),
        }
    }

    /// Copies the images and labels to `device`, where batches are then assembled.
    ///
    /// # Errors
    /// More bytes than 32-bit positions reach (2 GiB); an augmentation that takes pixels from further than 32768 pixels
    /// away, which only huge images with strong scaling do.
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
        let labels: Vec<i32> = (0..set.len()).map(|index| i32::from(set.label(index))).collect();
        let table: Vec<f32> = self.normalise.iter().flat_map(|normalise| normalise.table).collect();
        let steps = |count: usize, step: usize| {
            Tensor::<1, Int>::arange(0..count as i64, (device, DType::I32)).mul_scalar(step as i32)
        };
        let of_channels = |value: fn(&crate::augment::Normalise) -> f32| {
            let values: Vec<f32> = self.normalise.iter().map(value).collect();
            Tensor::from_data(TensorData::new(values, [1, channels, 1, 1]), device)
        };
        Ok(DeviceBatcher {
            host: self.clone(),
            device: device.clone(),
            layout,
            offsets: Offsets::of(self.plan.as_ref()),
            block: Block::new(layout.block(self)?, bytewise, device),
            labels: Tensor::from_data(TensorData::new(labels, [set.len()]), device),
            table: Tensor::from_data(TensorData::new(table, [channels * 256]), device),
            rows: steps(height, 1).reshape([1, 1, height, 1]),
            columns: steps(width, 1).reshape([1, 1, 1, width]),
            planes: steps(channels, layout.plane()).reshape([1, channels, 1, 1]),
            tables: steps(channels, 256).reshape([1, channels, 1, 1]),
            between: [of_channels(|n| n.slope), of_channels(|n| n.offset), of_channels(|n| n.table[0])],
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
        self.offsets.count * size_of::<i32>()
    }

    /// The images at these positions of the set, as tensors on the device: bit for bit what [`Batcher::batch`] gives.
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of images.
    pub fn batch(&self, indices: &[usize], epoch: u64, seed: u64) -> ImageBatch {
        let draws = Draws::draw(&self.host, self.offsets, indices, epoch, seed, &self.device);
        let (mut rows, mut columns) = (self.rows.clone(), self.columns.clone());
        if let Some(begin) = self.offsets.moved {
            let [down, step, start] = draws.numbers(begin);
            rows = rows.add(down);
            columns = columns.mul(step).add(start);
        }
        let start = draws.number(0).mul_scalar(self.layout.image() as i32);
        let mut images = match self.offsets.warped {
            None => self.copied(rows, columns, start),
            Some(begin) => self.resampled(&rows, &columns, &start, &draws.numbers(begin)),
        };
        if let Some(begin) = self.offsets.cut {
            let [top, bottom, left, right] = draws.numbers(begin);
            let square = within(&self.rows, top, bottom).bool_and(within(&self.columns, left, right));
            // The normalised mean is 0.
            images = images.clone().mask_fill(square.expand(images.shape()), 0.0);
        }
        ImageBatch { images, targets: self.labels.clone().select(0, draws.indices()) }
    }

    /// Positions in the block of rows and columns of images. Outside an image they point to its black border.
    fn positions(&self, rows: Tensor<4, Int>, columns: Tensor<4, Int>, start: Tensor<4, Int>) -> Tensor<4, Int> {
        let (mut rows, mut columns) = (rows, columns);
        if self.layout.border > 0 {
            rows = rows.add_scalar(1).clamp(0, self.layout.height() as i32 - 1);
            columns = columns.add_scalar(1).clamp(0, self.layout.width() as i32 - 1);
        }
        rows.mul_scalar(self.layout.width() as i32).add(start).add(self.planes.clone()).add(columns)
    }

    /// The normalised pixels at whole rows and columns.
    fn copied(&self, rows: Tensor<4, Int>, columns: Tensor<4, Int>, start: Tensor<4, Int>) -> Tensor<4> {
        let mut values = self.block.at(self.positions(rows, columns, start));
        if self.layout.shape.channels > 1 {
            values = values.add(self.tables.clone());
        }
        let shape = values.shape();
        self.table.clone().select(0, values.reshape([shape.num_elements()])).reshape(shape)
    }

    /// The normalised values at the positions that the affine maps of rows and columns give, by bilinear interpolation.
    fn resampled(
        &self,
        rows: &Tensor<4, Int>,
        columns: &Tensor<4, Int>,
        start: &Tensor<4, Int>,
        maps: &[Tensor<4, Int>; 6],
    ) -> Tensor<4> {
        let lead = |from: &Tensor<4, Int>, of_row: &Tensor<4, Int>, of_column: &Tensor<4, Int>| {
            let along_rows = rows.clone().mul(of_row.clone()).add(from.clone());
            along_rows.add(columns.clone().mul(of_column.clone()))
        };
        let [row, column] = [lead(&maps[0], &maps[1], &maps[2]), lead(&maps[3], &maps[4], &maps[5])];
        let [down, right] = [&row, &column].map(|position| {
            position.clone().bitwise_and_scalar((1 << ONE_BITS) - 1).float().mul_scalar(0.5_f32.powi(ONE_BITS as i32))
        });
        let [top, left] = [row, column].map(|position| position.bitwise_right_shift_scalar(ONE_BITS as i32));
        let pixels = |down: i32, right: i32| {
            let (rows, columns) = (top.clone().add_scalar(down), left.clone().add_scalar(right));
            self.block.at(self.positions(rows, columns, start.clone())).float()
        };
        let blend = |from: Tensor<4>, to: Tensor<4>, part: Tensor<4>| from.clone().add(to.sub(from).mul(part));
        let above = blend(pixels(0, 0), pixels(0, 1), right.clone());
        let below = blend(pixels(1, 0), pixels(1, 1), right);
        let [slope, offset, black] = self.between.clone();
        let images = blend(above, below, down).mul(slope).add(offset);
        if self.host.plan.is_none_or(|plan| plan.crop == 0) {
            return images;
        }
        // Outside the image a crop shows black, whatever the map gives.
        let ImageShape { height, width, .. } = self.layout.shape;
        let inside = |positions: &Tensor<4, Int>, extent: usize| {
            positions.clone().greater_equal_scalar(0).bool_and(positions.clone().lower_scalar(extent as i32))
        };
        let outside = inside(rows, height).bool_and(inside(columns, width)).bool_not();
        let shape = images.shape();
        images.mask_where(outside.expand(shape.clone()), black.expand(shape))
    }
}

/// Where `from <= positions < to`.
fn within(positions: &Tensor<4, Int>, from: Tensor<4, Int>, to: Tensor<4, Int>) -> Tensor<4, Bool> {
    positions.clone().greater_equal(from).bool_and(positions.clone().lower(to))
}
