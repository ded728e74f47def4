//! CIFAR-10, whole, and two named parts of it.

use super::dataset_info::{DataFile, DatasetInfo, Download, Packing};
use super::folder::Folder;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::image_set::ImageSet;
use crate::read::cifar::{self, Form};

const CLASSES: &[&str] = &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const ORIGIN: &str = "A. Krizhevsky, V. Nair, G. Hinton, CIFAR-10, 2009; no licence stated, citation asked for";

const fn batch(name: &'static str, records: usize, sha256: Option<&'static str>) -> DataFile {
    DataFile { name, bytes: (records * Form::CIFAR10.record()) as u64, sha256 }
}

const BATCH_1: DataFile =
    batch("data_batch_1.bin", 10_000, Some("cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"));
const BATCH_2: DataFile =
    batch("data_batch_2.bin", 10_000, Some("a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"));
const BATCH_3: DataFile =
    batch("data_batch_3.bin", 10_000, Some("bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"));
const BATCH_4: DataFile =
    batch("data_batch_4.bin", 10_000, Some("014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"));
const BATCH_5: DataFile =
    batch("data_batch_5.bin", 10_000, Some("755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"));
const FIRST_1000: DataFile =
    batch("test_batch-first1000.bin", 1_000, Some("8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5"));

static ARCHIVE: [Download; 1] = [Download {
    file: "cifar-10-binary.tar.gz",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    bytes: 170_052_171,
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    packing: Packing::TarGzip { folder: "cifar-10-batches-bin" },
}];

/// The publishers give a checksum of the archive only; the checksums of files known here are those of the reference data.
pub(super) static WHOLE: DatasetInfo = DatasetInfo {
    name: "cifar10",
    summary: "small photographs of ten kinds of things, 32x32 RGB",
    shape: cifar::SHAPE,
    classes: CLASSES,
    train: 50_000,
    test: 10_000,
    origin: ORIGIN,
    part: None,
    folder: "cifar10",
    files: &[BATCH_1, BATCH_2, BATCH_3, BATCH_4, BATCH_5, batch("test_batch.bin", 10_000, None)],
    downloads: &ARCHIVE,
};

pub(super) static PART: DatasetInfo = DatasetInfo {
    name: "cifar10-part",
    summary: "a part of CIFAR-10: 20,000 of 50,000 training images, the first 1,000 of 10,000 test images",
    shape: cifar::SHAPE,
    classes: CLASSES,
    train: 20_000,
    test: 1_000,
    origin: ORIGIN,
    part: Some("20,000 of 50,000 training images, the first 1,000 of 10,000 test images"),
    folder: "cifar10",
    files: &[BATCH_1, BATCH_2, FIRST_1000],
    downloads: &ARCHIVE,
};

pub(super) static TRAINING: DatasetInfo = DatasetInfo {
    name: "cifar10-train",
    summary: "a part of CIFAR-10: all training images, the first 1,000 of 10,000 test images",
    shape: cifar::SHAPE,
    classes: CLASSES,
    train: 50_000,
    test: 1_000,
    origin: ORIGIN,
    part: Some("the first 1,000 of 10,000 test images"),
    folder: "cifar10",
    files: &[BATCH_1, BATCH_2, BATCH_3, BATCH_4, BATCH_5, FIRST_1000],
    downloads: &ARCHIVE,
};

pub(super) fn read(info: &'static DatasetInfo, folder: &Folder) -> Result<Dataset, DataError> {
    let set = |prefix| set(info, folder, Form::CIFAR10, prefix);
    Dataset::new(info.name, set("data_batch")?, set("test_batch")?, info.class_names())
}

/// The images of all files whose name starts so, in their order.
pub(super) fn set(info: &DatasetInfo, folder: &Folder, form: Form, prefix: &str) -> Result<ImageSet, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in info.files.iter().filter(|file| file.name.starts_with(prefix)) {
        let content = folder.read(file)?;
        cifar::records(&content.bytes, form, &mut pixels, &mut labels)
            .map_err(|problem| problem.in_file(&content.path))?;
        content.verify(file)?;
    }
    ImageSet::new(pixels, labels, info.shape, info.classes.len()).map_err(|problem| problem.in_set(info.name))
}
