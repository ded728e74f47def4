//! The data sets themselves: their content, counts and statistics, and what happens to a damaged file.
//!
//! MNIST and CIFAR-10 are looked for where the program looks (`ANNEAL_DATA_DIR`); a test that does not find them
//! says `skipped`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::path::Path;

use sha2::{Digest, Sha256};
use vision::{DataError, Dataset, ImageSet, known, load};

/// The data set, or a line that says why its test did not run.
fn found(name: &str) -> Option<Dataset> {
    match load(name, None) {
        Ok(dataset) => Some(dataset),
        Err(DataError::Missing(missing)) => {
            println!("skipped: {missing}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn sha256(parts: impl IntoIterator<Item = Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The sums of the IDX files that this set was read from, rebuilt from what is in memory.
fn idx_sums(set: &ImageSet) -> (String, String) {
    let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes().to_vec();
    let (count, shape) = (set.len(), set.shape());
    let header = [2051, count, shape.height, shape.width].map(word).concat();
    let images = sha256([header].into_iter().chain((0..count).map(|index| set.image(index).to_vec())));
    let labels = sha256([[2049, count].map(word).concat(), (0..count).map(|index| set.label(index)).collect()]);
    (images, labels)
}

#[test]
fn digits_are_the_shipped_files_byte_for_byte() {
    let digits = load("digits", None).unwrap();
    assert_eq!(digits.train.class_counts(), [143, 146, 142, 146, 144, 145, 144, 143, 141, 143]);
    assert_eq!(digits.test.class_counts(), [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]);
    let (images, labels) = idx_sums(&digits.train);
    assert_eq!(images, "1192d80fb13b41bd405974e7276f8c82d0b32e4f26b229444c27b9e486971746");
    assert_eq!(labels, "f8a600b73e2c056aa42316260206e6643bd33e96bd71cfb8e32b94f76fac4f93");
    let (images, labels) = idx_sums(&digits.test);
    assert_eq!(images, "80510fc9162448f4c8666335357ea127bd14ff20c9a09e20a09f3b8d96ef1ca3");
    assert_eq!(labels, "cf2c8a23974df0c99eb3f36ff34c02acb9be1c84aca7280211ef04bea1135360");
    assert_eq!(digits.part, None);
    // Loaded twice, the same data.
    assert_eq!(digits.fingerprint, load("digits", None).unwrap().fingerprint);
}

#[test]
fn statistics_of_digits_agree_with_a_plain_loop() {
    let digits = load("digits", None).unwrap();
    let values: Vec<f64> = (0..digits.train.len())
        .flat_map(|index| digits.train.image(index).to_vec())
        .map(|pixel| f64::from(pixel) / 255.0)
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((f64::from(digits.mean[0]) - mean).abs() < 1e-6);
    assert!((f64::from(digits.std[0]) - variance.sqrt()).abs() < 1e-6);
}

#[test]
fn what_is_announced_is_what_is_loaded() {
    for info in known() {
        let Some(dataset) = found(info.name) else { continue };
        assert_eq!(dataset.name, info.name);
        assert_eq!((dataset.train.len(), dataset.test.len()), (info.train, info.test), "{}", info.name);
        assert_eq!(dataset.shape(), info.shape, "{}", info.name);
        assert_eq!(dataset.classes, info.classes, "{}", info.name);
        assert_eq!(dataset.part, info.part, "{}", info.name);
        assert_eq!((dataset.mean.len(), dataset.std.len()), (info.shape.channels, info.shape.channels));
    }
}

#[test]
fn mnist_has_its_published_counts_and_statistics() {
    let Some(mnist) = found("mnist") else { return };
    assert_eq!(mnist.train.class_counts(), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(mnist.test.class_counts(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert!((mnist.mean[0] - 0.1307).abs() < 5e-5, "{:?}", mnist.mean);
    assert!((mnist.std[0] - 0.3081).abs() < 5e-5, "{:?}", mnist.std);
}

#[test]
fn the_part_of_cifar10_is_called_a_part() {
    let Some(part) = found("cifar10-part") else { return };
    assert_eq!(part.part, Some("20,000 of 50,000 training images, the first 1,000 of 10,000 test images"));
    let counts = |classes: [usize; 10], more: [usize; 10]| classes.iter().zip(more).map(|(a, b)| a + b).collect();
    let expected: Vec<usize> = counts(
        [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981],
        [984, 1007, 1010, 995, 1010, 988, 1008, 1026, 987, 985],
    );
    assert_eq!(part.train.class_counts(), expected);
    assert_eq!(part.test.class_counts(), [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]);
}

#[test]
fn the_training_images_of_cifar10_are_all_there_with_a_part_of_the_test_images() {
    let Some(data) = found("cifar10-train") else { return };
    assert_eq!(data.part, Some("the first 1,000 of 10,000 test images"));
    assert_eq!(data.train.class_counts(), [5_000; 10]);
    assert_eq!(data.test.class_counts(), [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]);
    for (found, published) in data.mean.iter().zip([0.4914, 0.4822, 0.4465]) {
        assert!((found - published).abs() < 5e-5, "{:?}", data.mean);
    }
}

/// A data folder with MNIST in it, unpacked, to damage.
fn own_mnist() -> Option<tempfile::TempDir> {
    let mnist = found("mnist")?;
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mnist");
    std::fs::create_dir(&folder).unwrap();
    for (name, set) in [("train", &mnist.train), ("t10k", &mnist.test)] {
        let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes().to_vec();
        let mut images = [2051, set.len(), 28, 28].map(word).concat();
        (0..set.len()).for_each(|index| images.extend_from_slice(&set.image(index)));
        let mut labels = [2049, set.len()].map(word).concat();
        labels.extend((0..set.len()).map(|index| set.label(index)));
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    Some(data)
}

fn damage(data: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let path = data.join("mnist").join(file);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    change(&mut bad);
    std::fs::write(&path, bad).unwrap();
    let message = load("mnist", Some(data)).unwrap_err().to_string();
    std::fs::write(&path, good).unwrap();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
    message
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let Some(data) = own_mnist() else { return };
    let data = data.path();
    assert_eq!(load("mnist", Some(data)).unwrap().train.len(), 60_000);
    let images = "t10k-images-idx3-ubyte";
    let labels = "t10k-labels-idx1-ubyte";
    for (message, expected) in [
        (damage(data, images, |bytes| bytes[5_000] ^= 1), "SHA-256 of the content is"),
        (damage(data, labels, |bytes| bytes[5_000] ^= 1), "SHA-256 of the content is"),
        (damage(data, images, |bytes| bytes.truncate(7_000_000)), "6999984 bytes of content, expected 7840000"),
        (damage(data, images, |bytes| bytes.truncate(9)), "9 bytes are less than the header of 16 bytes"),
        (damage(data, images, |bytes| bytes.push(0)), "more than 7840016 bytes of content"),
        (damage(data, images, |bytes| bytes[3] = 1), "starts with 0x00000801 (2049)"),
        (damage(data, images, |bytes| (bytes[11], bytes[15]) = (14, 56)), "images of 14x56 pixels, expected 28x28"),
        (damage(data, labels, |bytes| bytes[100] = 10), "label 10 of image 92 is outside 0..10"),
        (damage(data, labels, |bytes| bytes[7] = 0), "10000 bytes of content, expected 9984"),
    ] {
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
}

#[test]
fn a_gzip_file_is_taken_whatever_its_name() {
    use std::io::Write;
    let Some(data) = own_mnist() else { return };
    let path = data.path().join("mnist/t10k-labels-idx1-ubyte");
    let content = std::fs::read(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&content).unwrap();
    let packed = encoder.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    assert_eq!(load("mnist", Some(data.path())).unwrap().test.len(), 10_000);
    std::fs::write(&path, &packed[..packed.len() - 4]).unwrap();
    let message = load("mnist", Some(data.path())).unwrap_err().to_string();
    assert!(message.contains("t10k-labels-idx1-ubyte: damaged gzip file"), "{message}");
}
