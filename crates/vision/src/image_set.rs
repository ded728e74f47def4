//! Images with a label for each: in memory, one contiguous block of bytes; or read each time they are asked for.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

/// The size of one image: channels first, as burn and torch lay it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Colour planes: 1 for grey, 3 for RGB.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

impl ImageShape {
    /// A shape from its three extents.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Bytes of one plane: `height * width`.
    pub const fn plane(self) -> usize {
        self.height * self.width
    }

    /// Bytes of one image: `channels * height * width`.
    pub const fn pixels(self) -> usize {
        self.channels * self.plane()
    }
}

impl fmt::Display for ImageShape {
    /// `1x28x28`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Why bytes and labels do not form an [`ImageSet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageSetError {
    /// An extent of the shape is zero, or their product does not fit.
    #[error("an image shape of {found} is not possible: every extent must be at least 1")]
    Shape {
        /// The shape that was given.
        found: ImageShape,
    },
    /// The number of bytes does not match the number of labels.
    #[error("{labels} images of {shape} need {expected} bytes of pixels, found {found}")]
    Pixels {
        /// How many labels were given.
        labels: usize,
        /// The shape of an image.
        shape: ImageShape,
        /// Bytes that were given.
        found: usize,
        /// Bytes that it takes.
        expected: usize,
    },
    /// The number of classes is zero or more than 256, the most that a byte can name.
    #[error("{found} classes: a set holds 1 to 256")]
    Classes {
        /// The number that was given.
        found: usize,
    },
    /// A label is not below the number of classes.
    #[error("label {found} of image {index} is outside 0..{classes}")]
    Label {
        /// Which image.
        index: usize,
        /// Its label.
        found: u8,
        /// The number of classes.
        classes: usize,
    },
}

/// An image of a set that is not in memory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ImageReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Writes the bytes of the image at a position.
type ReadImage = dyn Fn(usize, &mut [u8]) -> Result<(), ImageReadError> + Send + Sync;

enum Pixels {
    Memory(Vec<u8>),
    Elsewhere(Box<ReadImage>),
}

/// Images that are read together where a whole set is visited that is not in memory.
const AT_ONCE: usize = 256;

struct Block {
    pixels: Pixels,
    labels: Vec<u8>,
    shape: ImageShape,
    classes: usize,
}

/// Images of one shape with their labels, or a chosen part of such a block.
///
/// Pixels are bytes, 0 to 255, in one block of `(image, channel, row, column)`. A clone and a [`subset`](Self::subset)
/// share the block: splitting a training set copies no pixels. The images of a folder may stay in their files
/// ([`FolderOptions::in_memory`](crate::FolderOptions::in_memory)): then each is decoded when it is asked for.
#[derive(Clone)]
pub struct ImageSet {
    block: Arc<Block>,
    /// Positions in the block, where this is a part of it.
    chosen: Option<Arc<[u32]>>,
}

impl ImageSet {
    /// A set from its pixels (`(image, channel, row, column)`, bytes) and labels.
    ///
    /// # Errors
    /// An impossible shape, a number of bytes or classes that does not fit, a label that is not below `classes`.
    ///
    /// ```
    /// use vision::{ImageSet, ImageShape};
    /// let set = ImageSet::new(vec![0, 255, 128, 7], vec![1, 0], ImageShape::new(1, 1, 2), 2)?;
    /// assert_eq!((set.len(), &*set.image(1), set.label(0)), (2, &[128, 7][..], 1));
    /// # Ok::<(), vision::ImageSetError>(())
    /// ```
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>, shape: ImageShape, classes: usize) -> Result<Self, ImageSetError> {
        let per_image = [shape.height, shape.width].into_iter().try_fold(shape.channels, usize::checked_mul);
        let Some(per_image) = per_image.filter(|&bytes| bytes > 0) else {
            return Err(ImageSetError::Shape { found: shape });
        };
        let expected = labels.len().saturating_mul(per_image);
        if pixels.len() != expected {
            return Err(ImageSetError::Pixels { labels: labels.len(), shape, found: pixels.len(), expected });
        }
        Self::of(Pixels::Memory(pixels), labels, shape, classes)
    }

    /// A set whose images are read each time they are asked for: `read(position, out)` fills the bytes of one.
    ///
    /// # Errors
    /// A number of classes that does not fit, a label that is not below `classes`.
    pub(crate) fn read_by(
        read: impl Fn(usize, &mut [u8]) -> Result<(), ImageReadError> + Send + Sync + 'static,
        labels: Vec<u8>,
        shape: ImageShape,
        classes: usize,
    ) -> Result<Self, ImageSetError> {
        Self::of(Pixels::Elsewhere(Box::new(read)), labels, shape, classes)
    }

    fn of(pixels: Pixels, labels: Vec<u8>, shape: ImageShape, classes: usize) -> Result<Self, ImageSetError> {
        if !(1..=256).contains(&classes) {
            return Err(ImageSetError::Classes { found: classes });
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(ImageSetError::Label { index, found: labels[index], classes });
        }
        Ok(Self { block: Arc::new(Block { pixels, labels, shape, classes }), chosen: None })
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.block.labels.len(), |chosen| chosen.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape that every image has.
    pub fn shape(&self) -> ImageShape {
        self.block.shape
    }

    /// How many classes labels can name.
    pub fn classes(&self) -> usize {
        self.block.classes
    }

    fn position(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index] as usize)
    }

    /// The label of image `index`.
    ///
    /// # Panics
    /// As a slice does, where `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> u8 {
        self.block.labels[self.position(index)]
    }

    /// The bytes of image `index`: its planes one after the other, each by rows.
    ///
    /// # Panics
    /// As a slice does, where `index` is not below [`len`](Self::len); where [`try_image`](Self::try_image) fails, as no
    /// set in memory does.
    pub fn image(&self, index: usize) -> Cow<'_, [u8]> {
        match self.try_image(index) {
            Ok(image) => image,
            #[expect(clippy::panic, reason = "said above; nothing in memory fails so")]
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, of any set.
    ///
    /// # Errors
    /// The set is not in memory, and the image cannot be read any more.
    ///
    /// # Panics
    /// As a slice does, where `index` is not below [`len`](Self::len).
    pub fn try_image(&self, index: usize) -> Result<Cow<'_, [u8]>, ImageReadError> {
        let (bytes, position) = (self.block.shape.pixels(), self.position(index));
        match &self.block.pixels {
            Pixels::Memory(pixels) => Ok(Cow::Borrowed(&pixels[position * bytes..][..bytes])),
            Pixels::Elsewhere(read) => {
                assert!(position < self.block.labels.len(), "an index is not below {}", self.len());
                let mut image = vec![0; bytes];
                read(position, &mut image)?;
                Ok(Cow::Owned(image))
            }
        }
    }

    /// Gives the bytes of all images, in their order, some at a time. What is not in memory is decoded on all cores.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&[u8])) -> Result<(), ImageReadError> {
        match &self.block.pixels {
            Pixels::Memory(_) => (0..self.len()).try_for_each(|index| self.try_image(index).map(|image| visit(&image))),
            Pixels::Elsewhere(read) => {
                let bytes = self.block.shape.pixels();
                let mut images = vec![0; bytes * AT_ONCE.min(self.len())];
                for first in (0..self.len()).step_by(AT_ONCE) {
                    let images = &mut images[..bytes * AT_ONCE.min(self.len() - first)];
                    let decoded: Vec<Result<(), ImageReadError>> = images
                        .par_chunks_exact_mut(bytes)
                        .enumerate()
                        .map(|(at, image)| read(self.position(first + at), image))
                        .collect();
                    decoded.into_iter().collect::<Result<(), _>>()?;
                    visit(images);
                }
                Ok(())
            }
        }
    }

    /// The images at these positions, in this order; the pixels stay where they are.
    ///
    /// ```
    /// # use vision::{ImageSet, ImageShape};
    /// let set = ImageSet::new(vec![10, 20, 30], vec![0, 1, 0], ImageShape::new(1, 1, 1), 2)?;
    /// let part = set.subset(&[2, 0]);
    /// assert_eq!((part.len(), &*part.image(0), &*part.image(1)), (2, &[30][..], &[10][..]));
    /// # Ok::<(), vision::ImageSetError>(())
    /// ```
    ///
    /// # Panics
    /// As a slice does, where an index is not below [`len`](Self::len).
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        assert!(indices.iter().all(|&index| index < self.len()), "an index is not below {}", self.len());
        let chosen = indices.iter().map(|&index| self.position(index) as u32).collect();
        Self { block: Arc::clone(&self.block), chosen: Some(chosen) }
    }

    /// The first `n` images (all, where there are fewer).
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        self.subset(&(0..n.min(self.len())).collect::<Vec<_>>())
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for index in 0..self.len() {
            counts[usize::from(self.label(index))] += 1;
        }
        counts
    }

    /// Mean and standard deviation (of the population, as torchvision's constants) of each channel, pixels scaled
    /// to 0..1. Sums are whole numbers, so the result does not depend on their order. A constant channel has
    /// deviation 0; an empty set has mean 0 and deviation 0.
    ///
    /// # Errors
    /// As [`try_image`](Self::try_image).
    pub fn statistics(&self) -> Result<(Vec<f32>, Vec<f32>), ImageReadError> {
        let mut sums = Sums::of(self.shape());
        self.visit(|images| sums.add(images))?;
        Ok(sums.conclude(self.len()))
    }
}

/// The sums of the values of each channel and of their squares.
pub(crate) struct Sums {
    shape: ImageShape,
    sums: Vec<(u64, u64)>,
}

impl Sums {
    pub(crate) fn of(shape: ImageShape) -> Self {
        Self { shape, sums: vec![(0, 0); shape.channels] }
    }

    pub(crate) fn add(&mut self, images: &[u8]) {
        for (at, plane) in images.chunks_exact(self.shape.plane()).enumerate() {
            let (mut plane_sum, mut plane_squares) = (0_u64, 0_u64);
            for &pixel in plane {
                plane_sum += u64::from(pixel);
                plane_squares += u64::from(pixel) * u64::from(pixel);
            }
            let (sum, squares) = &mut self.sums[at % self.shape.channels];
            *sum += plane_sum;
            *squares += plane_squares;
        }
    }

    /// Mean and deviation of each channel over so many images.
    pub(crate) fn conclude(self, images: usize) -> (Vec<f32>, Vec<f32>) {
        let count = (images * self.shape.plane()).max(1) as f64;
        self.sums
            .into_iter()
            .map(|(sum, squares)| {
                let mean = sum as f64 / count;
                let variance = (squares as f64 / count - mean * mean).max(0.0);
                ((mean / 255.0) as f32, (variance.sqrt() / 255.0) as f32)
            })
            .unzip()
    }
}

impl fmt::Debug for ImageSet {
    /// Its extents, not its pixels.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ImageSet({} images of {}, {} classes)", self.len(), self.shape(), self.classes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::new(2, 1, 2);

    #[test]
    fn what_does_not_fit_is_refused_with_its_numbers() {
        let refusal = |pixels: Vec<u8>, labels: Vec<u8>, shape, classes| {
            ImageSet::new(pixels, labels, shape, classes).unwrap_err().to_string()
        };
        for (found, expected) in [
            (refusal(vec![], vec![], ImageShape::new(1, 0, 3), 2), "1x0x3 is not possible"),
            (refusal(vec![], vec![], ImageShape::new(usize::MAX, 2, 3), 2), "is not possible"),
            (refusal(vec![1, 2, 3], vec![0], SHAPE, 2), "1 images of 2x1x2 need 4 bytes of pixels, found 3"),
            (refusal(vec![0; 8], vec![0, 2], SHAPE, 2), "label 2 of image 1 is outside 0..2"),
            (refusal(vec![0; 4], vec![0], SHAPE, 0), "0 classes"),
            (refusal(vec![0; 4], vec![0], SHAPE, 257), "257 classes"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn a_subset_of_a_subset_names_images_of_the_block() {
        let set = ImageSet::new((0..20).collect(), vec![0, 1, 2, 3, 4], SHAPE, 5).unwrap();
        let part = set.subset(&[4, 2, 0]).subset(&[2, 0]);
        assert_eq!((part.label(0), part.label(1)), (0, 4));
        assert_eq!(part.image(1), set.image(4));
        assert_eq!(part.class_counts(), [1, 0, 0, 0, 1]);
        assert!(Arc::ptr_eq(&part.block, &set.block));
    }

    #[test]
    fn statistics_are_those_of_each_channel() {
        // Channel 0: 0 and 255 in equal parts; channel 1: always 51.
        let set = ImageSet::new(vec![0, 255, 51, 51, 255, 0, 51, 51], vec![0, 0], SHAPE, 1).unwrap();
        assert_eq!(set.statistics(), Ok((vec![0.5, 0.2], vec![0.5, 0.0])));
        assert_eq!(set.subset(&[]).statistics(), Ok((vec![0.0, 0.0], vec![0.0, 0.0])));
    }
}
