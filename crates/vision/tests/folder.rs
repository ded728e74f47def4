//! A folder of images by class: what is read, in what order, and what is refused by name.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

use std::fs;
use std::path::Path;

use vision::{DataError, FolderOptions, ImageShape, load, load_folder};

/// A file, with the folders that it is in.
fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A PNG of one colour.
fn put(root: &Path, path: &str, colour: u8, width: u32, height: u32) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels = [colour, colour / 2, 0].repeat((width * height) as usize);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    write(root, path, &bytes);
}

fn options(image_size: usize) -> FolderOptions {
    FolderOptions { image_size, ..FolderOptions::default() }
}

fn with_test() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    for (file, colour) in [("b/2.png", 20), ("Z/only.PNG", 99)] {
        put(path, &format!("train/{file}"), colour, 12, 8);
    }
    // Of the colours 10 and 200.
    write(path, "train/b/10.jpg", include_bytes!("pictures/dark.jpg"));
    write(path, "train/a/x.jpeg", include_bytes!("pictures/light.jpg"));
    put(path, "test/b/1.png", 30, 5, 5);
    // Passed over: another ending, a hidden file, a hidden folder, a file among the classes.
    fs::write(path.join("train/a/notes.txt"), "no image").unwrap();
    fs::write(path.join("train/a/.hidden.png"), "no image").unwrap();
    fs::create_dir(path.join("train/.cache")).unwrap();
    fs::write(path.join("train/readme.png"), "no image").unwrap();
    root
}

#[test]
fn classes_and_files_come_in_the_order_of_their_names() {
    let root = with_test();
    let data = load_folder(root.path(), &options(8)).unwrap();
    // Capitals before small letters, as torchvision's ImageFolder sorts; files too by name, not by number.
    assert_eq!(data.classes, ["Z", "a", "b"]);
    assert_eq!((data.train.len(), data.test.len(), data.shape()), (4, 1, ImageShape::new(3, 8, 8)));
    let labels: Vec<u8> = (0..4).map(|index| data.train.label(index)).collect();
    assert_eq!(labels, [0, 1, 2, 2]);
    assert_eq!(data.test.label(0), 2, "the class keeps its label where the others are missing");
    for (index, colour) in [99, 200, 10, 20].into_iter().enumerate() {
        let image = data.train.image(index);
        assert!(image[0].abs_diff(colour) < 6, "{index}: {} for {colour}", image[0]);
        assert!(image[64].abs_diff(colour / 2) < 6);
    }
    // By name, as a config gives it: 32x32 unless told otherwise.
    let named = load(&format!("folder:{}", root.path().display()), None).unwrap();
    assert_eq!(named.shape(), ImageShape::new(3, 32, 32));
    let grey = load_folder(root.path(), &FolderOptions { grey: true, ..options(8) }).unwrap();
    assert_eq!(grey.shape(), ImageShape::new(1, 8, 8));
}

#[test]
fn without_a_test_folder_a_part_of_each_class_is_held_out() {
    let root = tempfile::tempdir().unwrap();
    for (class, count) in [("x", 10), ("y", 5)] {
        for index in 0..count {
            put(root.path(), &format!("train/{class}/{index}.png"), index * 20, 4, 4);
        }
    }
    let load = |seed| load_folder(root.path(), &FolderOptions { split_seed: seed, ..options(4) }).unwrap();
    let data = load(0);
    assert_eq!((data.train.class_counts(), data.test.class_counts()), (vec![8, 4], vec![2, 1]));
    assert_eq!(data.fingerprint, load(0).fingerprint);
    assert!((1..5).any(|seed| load(seed).fingerprint != data.fingerprint));
}

/// What is there and is not used, or is missing and not refused, is said.
#[test]
fn what_may_have_been_meant_otherwise_is_noted() {
    let root = with_test();
    let notes = || load_folder(root.path(), &options(8)).unwrap().notes;
    assert_eq!(notes(), [""; 0]);
    put(root.path(), "val/a/1.png", 1, 2, 2);
    fs::create_dir_all(root.path().join("test/a")).unwrap();
    let said = notes();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("/val: is not read; of a folder of images `train` and `test` are"), "{said:#?}");
    assert!(said[1].contains("/test/a: holds no image (*.png, *.jpg, *.jpeg): nothing of that class"), "{said:#?}");

    let few = tempfile::tempdir().unwrap();
    put(few.path(), "train/a/1.png", 1, 2, 2);
    put(few.path(), "train/b/1.png", 1, 2, 2);
    let data = load_folder(few.path(), &options(8)).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.notes.len()), (2, 0, 1));
    assert!(
        data.notes[0].ends_with("no image to test on: each class of `train` has only one image"),
        "{:?}",
        data.notes
    );
}

/// Links that lead nowhere and what is called an image and is none: passed over, but not in silence.
#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_named() {
    use std::os::unix::fs::symlink;
    let root = with_test();
    let path = root.path();
    let notes = || load_folder(path, &options(8)).unwrap().notes;
    symlink("x.jpeg", path.join("train/a/same.jpeg")).unwrap();
    assert_eq!(notes(), [""; 0], "a link to an image is an image");
    assert_eq!(load_folder(path, &options(8)).unwrap().train.class_counts(), [1, 2, 2]);
    symlink("gone.png", path.join("train/b/broken.png")).unwrap();
    let said = notes();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].ends_with("train/b/broken.png: is not read: it is a link that leads nowhere"), "{said:#?}");
    symlink("nowhere", path.join("train/class")).unwrap();
    let said = notes();
    assert!(said[0].contains("broken.png (and 1 more): is not read"), "{said:#?}");
    let data = load_folder(path, &options(8)).unwrap();
    assert_eq!((data.train.len(), data.classes.len()), (5, 3));
    fs::remove_dir_all(path.join("test")).unwrap();
    symlink("nowhere", path.join("test")).unwrap();
    assert!(notes()[0].contains(" (and 2 more)"), "{:#?}", notes());
}

/// The bytes of a name are nobody's business, but for a class, which is shown.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (root, name) = (with_test(), |bytes: &'static [u8]| OsStr::from_bytes(bytes));
    let class = root.path().join("train/a");
    fs::write(class.join(name(b"caf\xe9.txt")), "no image").unwrap();
    fs::copy(class.join("x.jpeg"), class.join(name(b"caf\xe9.jpeg"))).unwrap();
    let data = load_folder(root.path(), &options(8)).unwrap();
    assert_eq!(data.train.class_counts(), [1, 2, 2]);
    fs::create_dir(root.path().join("train").join(name(b"caf\xe9"))).unwrap();
    let error = load_folder(root.path(), &options(8)).unwrap_err().to_string();
    assert!(error.ends_with("its name is not Unicode"), "{error}");
}

#[test]
fn images_that_stay_in_their_files_give_the_same_batches() {
    use burn::tensor::Device;
    use vision::Augment;
    let root = tempfile::tempdir().unwrap();
    for (class, count) in [("x", 300), ("y", 20)] {
        for index in 0..count {
            put(root.path(), &format!("train/{class}/{index}.png"), (index % 250) as u8, 6, 5);
        }
    }
    let load = |in_memory| load_folder(root.path(), &FolderOptions { in_memory, ..options(4) }).unwrap();
    let (here, there) = (load(true), load(false));
    assert_eq!((&here.mean, &here.std, &here.fingerprint), (&there.mean, &there.std, &there.fingerprint));
    let part: Vec<usize> = (0..here.train.len()).step_by(3).collect();
    let batcher = |data: &vision::Dataset| {
        data.batcher(data.train.subset(&part), Augment::parse("crop:1+flip+cutout:1").unwrap()).unwrap()
    };
    let (one, other) = (batcher(&here), batcher(&there));
    for epoch in 0..3 {
        let bits = |pixels: Vec<f32>| pixels.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let indices = [7, 0, 50, 7];
        let found = other.assemble(&indices, epoch, 9).unwrap();
        assert_eq!(bits(found), bits(one.assemble(&indices, epoch, 9).unwrap()), "epoch {epoch}");
        let batches = [&one, &other].map(|batcher| batcher.try_batch(&indices, epoch, 9, &Device::flex()).unwrap());
        let [one, other] = batches.map(|batch| (batch.images.to_data(), batch.targets.to_data()));
        assert_eq!(one, other);
    }
    assert_eq!(there.test.image(0), here.test.image(0));

    // A file that goes after it was read once is an error of its batch, by name.
    fs::remove_dir_all(root.path().join("train/x")).unwrap();
    let error = other.assemble(&[0], 0, 9).unwrap_err();
    assert!(error.path.starts_with(root.path().join("train/x")), "{error}");
    assert!(error.to_string().contains(".png: cannot be read: "), "{error}");
    assert!(other.on_device(&Device::flex()).is_err());
    assert!(one.assemble(&[0], 0, 9).is_ok());
}

#[test]
fn it_trains_a_model() {
    use burn::tensor::Device;
    use burn::train::TrainStep;
    use vision::{Augment, models::Classifier};
    let (root, device) = (with_test(), Device::flex().autodiff());
    let data = load_folder(root.path(), &options(16)).unwrap();
    let batcher = data.batcher(data.train.clone(), Augment::parse("crop+flip").unwrap()).unwrap();
    let model = Classifier::named("lenet", data.shape(), data.classes.len(), &device).unwrap();
    let loss: f32 = model.step(batcher.batch(&[0, 1, 2, 3], 0, 0, &device)).item.loss.into_scalar();
    assert!(loss.is_finite());
}

#[test]
fn what_is_not_laid_out_so_is_refused_by_name() {
    let refused = |change: &dyn Fn(&Path), expected: &str| {
        let root = with_test();
        change(root.path());
        let error = load_folder(root.path(), &options(8)).unwrap_err().to_string();
        let expected = expected.replace("ROOT", &root.path().display().to_string());
        assert!(error.contains(&expected), "{error}\nlacks: {expected}");
    };
    refused(&|root| fs::remove_dir_all(root.join("train")).unwrap(), "ROOT: has no folder `train`");
    refused(&|root| fs::remove_file(root.join("train/Z/only.PNG")).unwrap(), "ROOT/train/Z: holds no image");
    refused(
        &|root| ["a", "b"].iter().for_each(|class| fs::remove_dir_all(root.join("train").join(class)).unwrap()),
        "ROOT/train: has one class, `Z`: a classifier needs at least two",
    );
    refused(&|root| put(root, "test/c/1.png", 1, 2, 2), "ROOT/test/c: is not a class: `train` has Z, a, b");
    refused(&|root| fs::remove_dir_all(root.join("test/b")).unwrap(), "ROOT/test: has no folders in it");
    refused(&|root| fs::write(root.join("train/b/0.png"), "GIF89a").unwrap(), "ROOT/train/b/0.png: no image that can");
    refused(&|root| fs::write(root.join("test/b/0.jpg"), "").unwrap(), "ROOT/test/b/0.jpg: no image that can be read");
    refused(
        &|root| {
            let path = root.join("train/b/10.jpg");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        "ROOT/train/b/10.jpg: no image that can be read (PNG and JPEG can): the JPEG ends before its end mark",
    );
    refused(
        &|root| (0..300).for_each(|class| put(root, &format!("train/{class}/1.png"), 1, 1, 1)),
        "ROOT/train: 303 classes: a set holds 1 to 256",
    );
    let error = load_folder(Path::new("/nowhere"), &options(0)).unwrap_err().to_string();
    assert_eq!(error, "/nowhere: image_size: 0 is not allowed here; allowed: a whole number of at least 1");
    let test = FolderOptions { test: 1.0, ..options(8) };
    assert!(matches!(load_folder(Path::new("/nowhere"), &test), Err(DataError::Layout { .. })));
}
