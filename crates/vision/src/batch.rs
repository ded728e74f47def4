//! From images as bytes to a batch of tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::augment::{Augment, AugmentError, Normalise, Plan};
use crate::image_set::{ImageReadError, ImageSet, ImageShape};

/// Images and their classes as tensors.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    /// Normalised pixels: `(image, channel, row, column)`.
    pub images: Tensor<4>,
    /// The class of each image.
    pub targets: Tensor<1, Int>,
}

impl ImageBatch {
    /// How many images.
    pub fn len(&self) -> usize {
        self.targets.dims()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a [`Batcher`] cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BatcherError {
    /// Mean and deviation are not one finite number for each channel, or a deviation is not above zero.
    #[error(
        "normalisation with mean {mean:?} and standard deviation {std:?}: {channels} channels need one finite \
             number each, and a deviation above 0"
    )]
    Normalisation {
        /// The means that were given.
        mean: Vec<f32>,
        /// The deviations that were given.
        std: Vec<f32>,
        /// Channels of the images.
        channels: usize,
    },
    /// The augmentation does not fit the images.
    #[error(transparent)]
    Augment(#[from] AugmentError),
}

/// Assembles batches of a set of images: normalised as they are copied, and augmented.
///
/// A pixel `v` becomes `(v / 255 - mean) / std` of its channel, by a table of 256 entries. A batch takes one
/// allocation, whatever its size. What happens to an image depends on (seed, epoch, index) alone, where the index
/// is its position in the set, so batches can be assembled on any number of threads in any order.
#[derive(Clone, Debug)]
pub struct Batcher {
    set: ImageSet,
    pub(crate) normalise: Vec<Normalise>,
    pub(crate) augment: Augment,
    /// `None`: images are copied as they are.
    pub(crate) plan: Option<Plan>,
}

impl Batcher {
    /// A batcher over `set`, with the mean and the standard deviation of each channel (pixels scaled to 0..1).
    ///
    /// # Errors
    /// Not one mean and deviation for each channel, or one that is not finite; a deviation of 0 or less; an
    /// augmentation whose amounts are too large for the images.
    pub fn new(set: ImageSet, mean: &[f32], std: &[f32], augment: Augment) -> Result<Self, BatcherError> {
        let channels = set.shape().channels;
        let finite = mean.iter().chain(std).all(|value| value.is_finite()) && std.iter().all(|&std| std > 0.0);
        if !finite || mean.len() != channels || std.len() != channels {
            return Err(BatcherError::Normalisation { mean: mean.to_vec(), std: std.to_vec(), channels });
        }
        let normalise = mean.iter().zip(std).map(|(&mean, &std)| {
            let (mean, std) = (f64::from(mean), f64::from(std));
            Normalise {
                table: std::array::from_fn(|value| ((value as f64 / 255.0 - mean) / std) as f32),
                slope: (1.0 / (255.0 * std)) as f32,
                offset: (-mean / std) as f32,
            }
        });
        let plan = if augment.is_none() { None } else { Some(augment.plan(set.shape())?) };
        Ok(Self { normalise: normalise.collect(), augment, plan, set })
    }

    /// The images that batches are made of.
    pub fn set(&self) -> &ImageSet {
        &self.set
    }

    /// The pixels of a batch, in the layout of [`ImageBatch::images`], without a tensor.
    ///
    /// # Errors
    /// As [`try_batch`](Self::try_batch).
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of images.
    pub fn assemble(&self, indices: &[usize], epoch: u64, seed: u64) -> Result<Vec<f32>, ImageReadError> {
        let shape = self.set.shape();
        let mut out = vec![0.0; indices.len() * shape.pixels()];
        for (&index, out) in indices.iter().zip(out.chunks_exact_mut(shape.pixels())) {
            self.write(index, epoch, seed, shape, out)?;
        }
        Ok(out)
    }

    fn write(
        &self,
        index: usize,
        epoch: u64,
        seed: u64,
        shape: ImageShape,
        out: &mut [f32],
    ) -> Result<(), ImageReadError> {
        let image = self.set.try_image(index)?;
        let draw = self.plan.as_ref().map(|plan| plan.draw(seed, epoch, index));
        let planes = image.chunks_exact(shape.plane()).zip(out.chunks_exact_mut(shape.plane()));
        for ((plane, out), normalise) in planes.zip(&self.normalise) {
            match &draw {
                Some(draw) => draw.write_plane(plane, shape, normalise, out),
                None => {
                    for (out, &pixel) in out.iter_mut().zip(plane) {
                        *out = normalise.table[usize::from(pixel)];
                    }
                }
            }
        }
        Ok(())
    }

    /// As [`try_batch`](Self::try_batch), of a set in memory.
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of images; where the set is not in memory and a file of it
    /// cannot be read any more.
    pub fn batch(&self, indices: &[usize], epoch: u64, seed: u64, device: &Device) -> ImageBatch {
        match self.try_batch(indices, epoch, seed, device) {
            Ok(batch) => batch,
            #[expect(clippy::panic, reason = "said above; nothing in memory fails so")]
            Err(error) => panic!("{error}"),
        }
    }

    /// The images at these positions of the set, as tensors on `device`.
    ///
    /// # Errors
    /// The set is not in memory, and a file of it cannot be read any more.
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of images.
    pub fn try_batch(
        &self,
        indices: &[usize],
        epoch: u64,
        seed: u64,
        device: &Device,
    ) -> Result<ImageBatch, ImageReadError> {
        let ImageShape { channels, height, width } = self.set.shape();
        let pixels = self.assemble(indices, epoch, seed)?;
        let targets: Vec<i32> = indices.iter().map(|&index| i32::from(self.set.label(index))).collect();
        Ok(ImageBatch {
            images: Tensor::from_data(TensorData::new(pixels, [indices.len(), channels, height, width]), device),
            targets: Tensor::from_data(TensorData::new(targets, [indices.len()]), device),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> ImageSet {
        let pixels = (0..4 * 2 * 3 * 5).map(|i| (i * 37 % 256) as u8).collect();
        ImageSet::new(pixels, vec![2, 0, 1, 2], ImageShape::new(2, 3, 5), 3).unwrap()
    }

    const MEAN: [f32; 2] = [0.25, 0.5];
    const STD: [f32; 2] = [0.5, 2.0];

    #[test]
    fn a_batch_is_what_a_naive_loop_gives() {
        let set = set();
        let batcher = Batcher::new(set.clone(), &MEAN, &STD, Augment::NONE).unwrap();
        let indices = [3, 0, 3];
        let mut expected = Vec::new();
        for index in indices {
            for channel in 0..2 {
                for pixel in &set.image(index)[channel * 15..][..15] {
                    expected.push((f32::from(*pixel) / 255.0 - MEAN[channel]) / STD[channel]);
                }
            }
        }
        let batch = batcher.batch(&indices, 0, 0, &Device::flex());
        assert_eq!((batch.images.dims(), batch.len()), ([3, 2, 3, 5], 3));
        assert_eq!(batch.targets.to_data_as::<i64>().try_to_vec::<i64>().unwrap(), [2, 2, 2]);
        let found = batch.images.to_data().try_to_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
        }
        assert_eq!(Ok(found), batcher.assemble(&indices, 9, 9));
    }

    #[test]
    fn augmentation_depends_on_seed_epoch_and_index_alone() {
        let augment = Augment::parse("crop:1_flip_cutout:1_rotate_shift:1").unwrap();
        let batcher = Batcher::new(set(), &MEAN, &STD, augment).unwrap();
        let whole = batcher.assemble(&[0, 1, 2, 3], 5, 42).unwrap();
        for index in 0..4 {
            // Alone, in another order, from a clone, on another thread: the same image.
            let alone = batcher.assemble(&[index], 5, 42).unwrap();
            assert_eq!(alone, whole[index * 30..][..30]);
            let clone = batcher.clone();
            let elsewhere = std::thread::spawn(move || clone.assemble(&[3, index], 5, 42).unwrap()).join().unwrap();
            assert_eq!(alone, elsewhere[30..]);
        }
        for (epoch, seed) in [(6, 42), (5, 43)] {
            assert_ne!(whole, batcher.assemble(&[0, 1, 2, 3], epoch, seed).unwrap());
        }
    }

    #[test]
    fn resampling_normalises_as_the_table_does() {
        // A rotation by almost nothing moves no pixel, and takes the path of values between bytes.
        let augment = Augment { rotate: Some(1e-6), ..Augment::NONE };
        let resampled = Batcher::new(set(), &MEAN, &STD, augment).unwrap().assemble(&[0, 1], 0, 0).unwrap();
        let copied = Batcher::new(set(), &MEAN, &STD, Augment::NONE).unwrap().assemble(&[0, 1], 0, 0).unwrap();
        // The outermost pixels may lose a trace to the black outside.
        assert!(resampled.iter().zip(&copied).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn normalisation_that_does_not_fit_is_refused() {
        for (mean, std) in [(&[0.5][..], &[1.0][..]), (&MEAN, &[1.0, 0.0]), (&MEAN, &[1.0, f32::NAN]), (&MEAN, &[1.0])]
        {
            let error = Batcher::new(set(), mean, std, Augment::NONE).unwrap_err().to_string();
            assert!(error.contains("2 channels need one finite number each"), "{error}");
        }
    }
}
