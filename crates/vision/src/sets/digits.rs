//! UCI optical digits, 8x8: small enough to be part of the program.

use std::path::PathBuf;

use super::dataset_info::{DatasetInfo, TEN_DIGITS};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::image_set::{ImageSet, ImageShape};
use crate::read::{content_of, idx};

pub(super) static INFO: DatasetInfo = DatasetInfo {
    name: "digits",
    summary: "optical digits (UCI), 8x8 grey, embedded in the program",
    shape: ImageShape::new(1, 8, 8),
    classes: TEN_DIGITS,
    train: 1437,
    test: 360,
    origin: "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998; CC BY 4.0",
    part: None,
    folder: "",
    files: &[],
    downloads: &[],
};

/// More than any of the files holds.
const LIMIT: u64 = 1 << 20;

macro_rules! embedded {
    ($name:literal) => {
        (concat!("datasets/digits/", $name), include_bytes!(concat!("../../../../datasets/digits/", $name)))
    };
}

pub(super) fn read() -> Result<Dataset, DataError> {
    let train = set(embedded!("train-images-idx3-ubyte.gz"), embedded!("train-labels-idx1-ubyte.gz"))?;
    let test = set(embedded!("t10k-images-idx3-ubyte.gz"), embedded!("t10k-labels-idx1-ubyte.gz"))?;
    Dataset::new(INFO.name, train, test, INFO.class_names())
}

fn set(images: (&str, &[u8]), labels: (&str, &[u8])) -> Result<ImageSet, DataError> {
    let classes = INFO.classes.len();
    let image_bytes = content_of(images.1, LIMIT).map_err(|problem| problem.in_file(PathBuf::from(images.0)))?;
    let label_bytes = content_of(labels.1, LIMIT).map_err(|problem| problem.in_file(PathBuf::from(labels.0)))?;
    let found = idx::images(&image_bytes).map_err(|problem| problem.in_file(PathBuf::from(images.0)))?;
    let found_labels =
        idx::labels(&label_bytes, classes).map_err(|problem| problem.in_file(PathBuf::from(labels.0)))?;
    ImageSet::new(found.pixels.to_vec(), found_labels.to_vec(), INFO.shape, classes)
        .map_err(|problem| DataError::Set { name: INFO.name.to_owned(), problem })
}
