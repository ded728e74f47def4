//! A data set: training and test images, the names of the classes, and what identifies and normalises them.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::augment::Augment;
use crate::batch::{Batcher, BatcherError};
use crate::error::DataError;
use crate::image_set::{ImageReadError, ImageSet, ImageShape, Sums};

/// A data set; its images are in memory or on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The name it was asked for by.
    pub name: String,
    /// The images to train on (validation images are held out of these by the caller).
    pub train: ImageSet,
    /// The images for the one test at the end.
    pub test: ImageSet,
    /// The names of the classes, label 0 first.
    pub classes: Vec<String>,
    /// Mean of each channel over the training images, pixels scaled to 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel over the training images, pixels scaled to 0..1; 1 for a constant channel.
    pub std: Vec<f32>,
    /// SHA-256 of shape, pixels and labels of both parts, in hex: a resumed run refuses another data set.
    pub fingerprint: String,
    /// Which part of the data set this is, where it is not the whole. Reports name it beside every figure.
    pub part: Option<&'static str>,
    /// What of its files was passed over, or is missing, that a person may have meant otherwise: a line each.
    pub notes: Vec<String>,
}

impl Dataset {
    /// A data set from its parts; statistics and fingerprint are computed here.
    ///
    /// # Errors
    /// Training and test images of different shapes or numbers of classes; a number of class names that is not
    /// the number of classes.
    pub fn new(
        name: impl Into<String>,
        train: ImageSet,
        test: ImageSet,
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let mismatch = |what, found: String, expected: String| {
            Err(DataError::Mismatch { name: name.clone(), what, found, expected })
        };
        if test.shape() != train.shape() {
            return mismatch("shape of the test images", test.shape().to_string(), train.shape().to_string());
        }
        if test.classes() != train.classes() {
            return mismatch("classes of the test images", test.classes().to_string(), train.classes().to_string());
        }
        if classes.len() != train.classes() {
            return mismatch("names of classes", classes.len().to_string(), train.classes().to_string());
        }
        let mut sums = Sums::of(train.shape());
        let mut hash = Sha256::new();
        fingerprint(&mut hash, &train, |images| sums.add(images))?;
        fingerprint(&mut hash, &test, |_| {})?;
        let fingerprint = HEXLOWER.encode(&hash.finalize());
        let (mean, mut std) = sums.conclude(train.len());
        // A constant channel has no deviation to divide by; minus its mean it is 0 everywhere.
        std.iter_mut().filter(|std| **std == 0.0).for_each(|std| *std = 1.0);
        Ok(Self { name, train, test, classes, mean, std, fingerprint, part: None, notes: Vec::new() })
    }

    /// The shape that every image has.
    pub fn shape(&self) -> ImageShape {
        self.train.shape()
    }

    /// A batcher over `set` (a part of this data set) with this data set's normalisation.
    ///
    /// # Errors
    /// An augmentation that does not fit the images; see [`Batcher::new`].
    pub fn batcher(&self, set: ImageSet, augment: Augment) -> Result<Batcher, BatcherError> {
        Batcher::new(set, &self.mean, &self.std, augment)
    }
}

/// Adds the shape, the number of images and classes, the pixels and the labels of a set; gives `see` the pixels too, so
/// that a set that is not in memory is read once.
fn fingerprint(hash: &mut Sha256, set: &ImageSet, mut see: impl FnMut(&[u8])) -> Result<(), ImageReadError> {
    let shape = set.shape();
    for extent in [shape.channels, shape.height, shape.width, set.classes(), set.len()] {
        hash.update((extent as u64).to_le_bytes());
    }
    set.visit(|images| {
        hash.update(images);
        see(images);
    })?;
    for index in 0..set.len() {
        hash.update([set.label(index)]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixels: &[u8], labels: &[u8]) -> ImageSet {
        ImageSet::new(pixels.to_vec(), labels.to_vec(), ImageShape::new(1, 1, 2), 2).unwrap()
    }

    fn dataset(train: ImageSet, test: ImageSet) -> Dataset {
        Dataset::new("own", train, test, vec!["a".into(), "b".into()]).unwrap()
    }

    #[test]
    fn the_fingerprint_depends_on_content_alone() {
        let base = dataset(set(&[0, 1, 2, 3], &[0, 1]), set(&[4, 5], &[0])).fingerprint;
        assert_eq!(base.len(), 64);
        // The same images seen through a subset are the same data.
        let through_subset = set(&[2, 3, 0, 1], &[1, 0]).subset(&[1, 0]);
        assert_eq!(base, dataset(through_subset, set(&[4, 5], &[0])).fingerprint);
        for (train, test) in [
            (set(&[0, 1, 2, 4], &[0, 1]), set(&[4, 5], &[0])),
            (set(&[0, 1, 2, 3], &[0, 0]), set(&[4, 5], &[0])),
            (set(&[2, 3, 0, 1], &[1, 0]), set(&[4, 5], &[0])),
            (set(&[0, 1], &[0]), set(&[2, 3, 4, 5], &[1, 0])),
        ] {
            assert_ne!(base, dataset(train, test).fingerprint);
        }
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let other = ImageSet::new(vec![0; 3], vec![0], ImageShape::new(1, 1, 3), 2).unwrap();
        let error = Dataset::new("own", set(&[0, 1], &[0]), other, vec!["a".into(), "b".into()]).unwrap_err();
        assert_eq!(error.to_string(), "data set `own`: shape of the test images: found 1x1x3, expected 1x1x2");
        let error = Dataset::new("own", set(&[0, 1], &[0]), set(&[0, 1], &[0]), vec!["a".into()]).unwrap_err();
        assert_eq!(error.to_string(), "data set `own`: names of classes: found 1, expected 2");
    }

    #[test]
    fn a_constant_channel_is_not_divided_by_zero() {
        assert_eq!(dataset(set(&[9, 9], &[0]), set(&[9, 9], &[1])).std, [1.0]);
    }
}
