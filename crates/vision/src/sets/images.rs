//! A folder of images by class: `PATH/train/CLASS/*.png` (or `.jpg`, `.jpeg`), and `PATH/test/CLASS/...` or a seeded
//! split.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use splitmix::SplitMix64;
use strict_config::{ConfigError, Settings, check, settings};

use crate::dataset::Dataset;
use crate::error::{DataError, FileProblem};
use crate::image_set::{ImageReadError, ImageSet, ImageSetError, ImageShape};
use crate::read::{self, picture};

/// The start of the name of a data set that is a folder of images: `folder:/data/flowers`.
pub const FOLDER_PREFIX: &str = "folder:";

settings! {
    /// How a folder of images is read.
    pub struct FolderOptions {
        /// Height and width of the images, which are resampled to it: 1 to 1024. Default 32.
        pub image_size: usize = 32,
        /// One channel instead of three. Default: colours.
        pub grey: bool = false,
        /// Where there is no `test` folder: the part of each class that is held out for it, more than 0 and below 1; of a
        /// class with at least two images, at least one. Default 0.2.
        pub test: f64 = 0.2,
        /// The seed of that split. It does not depend on the seed of the run. Default 0.
        pub split_seed: u64 = 0,
        /// Whether all images are decoded once and kept in memory (a byte for each value). If not, each is decoded whenever a
        /// batch needs it, by the threads that assemble batches: for folders larger than memory. The batches are the same.
        /// Default true.
        pub in_memory: bool = true,
    }
}

/// The largest size of an image.
const LARGEST_SIZE: usize = 1024;

impl Settings for FolderOptions {
    fn check(&self) -> Result<(), ConfigError> {
        let size = self.image_size;
        check::at_least("image_size", size as u64, 1)?;
        check::is_allowed("image_size", size, &format!("at most {LARGEST_SIZE} pixels"), size <= LARGEST_SIZE)?;
        check::number("test", self.test, "a part of more than 0 and below 1", |part| part > 0.0 && part < 1.0)
    }
}

/// The largest size of an image file, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// A class by its place among the names, and its files in the order of their names.
type Files = Vec<(u8, PathBuf)>;

/// Loads a folder of images by class.
///
/// The classes are the folders in `path/train`, in the order of their names (of their bytes, as torchvision's
/// `ImageFolder` has them); their images are the files ending in `.png`, `.jpg` or `.jpeg`, in any case, directly in
/// them. Other files, and names that start with a dot, are ignored. Each image is cut to its middle square and
/// resampled (see [`picture::square`]). `path/test` has the same classes, or some of them; where it is missing, a part
/// of each class is held out by a split that depends on the names and [`FolderOptions::split_seed`] alone.
///
/// [`Dataset::notes`] names what may have been meant otherwise: folders beside `train` and `test`, links that lead nowhere, a
/// class of `test` without an image, no image to test on.
///
/// # Errors
/// A folder with another layout, fewer than two or more than 256 classes, a class of `train` without an image, a class of
/// `test` that `train` does not have, an image that cannot be decoded: each names the folder or the file. Options out of their ranges.
pub fn load_folder(path: &Path, options: &FolderOptions) -> Result<Dataset, DataError> {
    let name = format!("{FOLDER_PREFIX}{}", path.display());
    let layout = |problem: String| DataError::Layout { path: path.to_owned(), problem };
    options.check().map_err(|error| layout(error.to_string()))?;
    let train_folder = path.join("train");
    if !train_folder.is_dir() {
        return Err(layout("has no folder `train` (expected: train/CLASS/*.png, *.jpg or *.jpeg)".to_owned()));
    }
    let classes = class_names(&train_folder)?;
    if let [only] = classes.as_slice() {
        let problem = format!("has one class, `{only}`: a classifier needs at least two");
        return Err(DataError::Layout { path: train_folder, problem });
    }
    let mut unread = Unread::default();
    let (mut train, empty) = files(&train_folder, &classes, &mut unread)?;
    if let Some(path) = empty.into_iter().next() {
        return Err(DataError::Layout { path, problem: NO_IMAGE.to_owned() });
    }
    let mut notes = passed_over(path)?;
    // Among the folders and among the classes.
    for folder in [path, &train_folder, &path.join("test")] {
        unread.look_for_links(folder)?;
    }
    let test_folder = path.join("test");
    let test = if test_folder.is_dir() {
        let known: BTreeSet<&String> = classes.iter().collect();
        if let Some(other) = class_names(&test_folder)?.into_iter().find(|class| !known.contains(class)) {
            let problem = format!("is not a class: `train` has {}", classes.join(", "));
            return Err(DataError::Layout { path: test_folder.join(other), problem });
        }
        let (test, empty) = files(&test_folder, &classes, &mut unread)?;
        let note = |path: PathBuf| format!("{}: {NO_IMAGE}: nothing of that class is tested", path.display());
        notes.extend(empty.into_iter().map(note));
        test
    } else {
        hold_out(&mut train, options)
    };
    if test.is_empty() {
        let why = if test_folder.is_dir() { "`test` holds none" } else { "each class of `train` has only one image" };
        notes.push(format!("{}: there is no image to test on: {why}", path.display()));
    }
    notes.extend(unread.note());
    let side = options.image_size;
    let shape = ImageShape::new(if options.grey { 1 } else { 3 }, side, side);
    let set = |files: Files| {
        let labels = files.iter().map(|(class, _)| *class).collect();
        let set = if options.in_memory {
            ImageSet::new(pixels(&files, shape)?, labels, shape, classes.len())
        } else {
            ImageSet::read_by(move |at, out| decode(&files[at].1, shape, out), labels, shape, classes.len())
        };
        set.map_err(|problem| DataError::Set { name: name.clone(), problem })
    };
    let (train, test) = (set(train)?, set(test)?);
    Ok(Dataset { notes, ..Dataset::new(name.clone(), train, test, classes)? })
}

/// The entries of a folder that do not start with a dot, by name, whatever its bytes.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::Io { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    entries.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(entries)
}

/// The names of the folders in a folder, in their order.
fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => names.push(name.to_owned()),
            None => return Err(DataError::Layout { path, problem: "its name is not Unicode".to_owned() }),
        }
    }
    let problem = match names.len() {
        0 => "has no folders in it (expected: one for each class)".to_owned(),
        1..=256 => return Ok(names),
        found => ImageSetError::Classes { found }.to_string(),
    };
    Err(DataError::Layout { path: folder.to_owned(), problem })
}

/// Files that cannot be meant to be passed over: links that lead nowhere, and what is called an image and is no file.
#[derive(Default)]
struct Unread {
    paths: Vec<PathBuf>,
}

impl Unread {
    /// Adds the links in a folder that lead nowhere, whatever they are called. A folder that is not there has none.
    fn look_for_links(&mut self, folder: &Path) -> Result<(), DataError> {
        if folder.is_dir() {
            let links = entries(folder)?.into_iter().filter(|path| path.is_symlink() && !path.exists());
            self.paths.extend(links);
        }
        Ok(())
    }

    /// A line for all of them.
    fn note(&self) -> Option<String> {
        let first = self.paths.first()?;
        let others = match self.paths.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let what = if first.is_symlink() && !first.exists() { "a link that leads nowhere" } else { "no regular file" };
        Some(format!("{}{others}: is not read: it is {what}", first.display()))
    }
}

/// The images of all classes, and the folders of classes without any.
fn files(folder: &Path, classes: &[String], unread: &mut Unread) -> Result<(Files, Vec<PathBuf>), DataError> {
    let is_image = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
    };
    let (mut files, mut empty) = (Vec::new(), Vec::new());
    for (class, name) in (0..=u8::MAX).zip(classes) {
        let of_class = folder.join(name);
        if !of_class.is_dir() {
            continue;
        }
        let before = files.len();
        let (images, others): (Vec<_>, Vec<_>) =
            entries(&of_class)?.into_iter().filter(|path| is_image(path)).partition(|path| path.is_file());
        // A folder is none, whatever it is called.
        unread.paths.extend(others.into_iter().filter(|path| !path.is_dir()));
        files.extend(images.into_iter().map(|path| (class, path)));
        if files.len() == before {
            empty.push(of_class);
        }
    }
    Ok((files, empty))
}

/// What holds no image.
const NO_IMAGE: &str = "holds no image (*.png, *.jpg, *.jpeg)";

/// Folders beside `train` and `test`: nothing in them is read, whatever they are called elsewhere.
fn passed_over(path: &Path) -> Result<Vec<String>, DataError> {
    let others = entries(path)?.into_iter().filter(|path| path.is_dir());
    let others =
        others.filter(|path| !matches!(path.file_name().and_then(|name| name.to_str()), Some("train" | "test")));
    let note = |path: PathBuf| {
        format!(
            "{}: is not read; of a folder of images `train` and `test` are, and validation images are held out of `train` \
             (data.validation)",
            path.display()
        )
    };
    Ok(others.map(note).collect())
}

/// Takes a part of each class out of `train`. Both parts keep their order.
fn hold_out(train: &mut Files, options: &FolderOptions) -> Files {
    let mut held_out = BTreeSet::new();
    for class in 0..=u8::MAX {
        let mut of_class: Vec<usize> = (0..train.len()).filter(|&index| train[index].0 == class).collect();
        let out = (of_class.len() as f64 * options.test).round() as usize;
        let out = out.clamp(usize::from(of_class.len() > 1), of_class.len().saturating_sub(1));
        // The first steps of a shuffle: after `out` of them, the tail is a random choice.
        let mut random = SplitMix64::keyed([options.split_seed, u64::from(class), of_class.len() as u64]);
        for taken in 0..out {
            let last = of_class.len() - 1 - taken;
            of_class.swap(last, random.below(last + 1));
            held_out.insert(of_class[last]);
        }
    }
    let (mut kept, mut out) = (Files::new(), Files::new());
    for (index, file) in std::mem::take(train).into_iter().enumerate() {
        if held_out.contains(&index) { &mut out } else { &mut kept }.push(file);
    }
    *train = kept;
    out
}

/// The pixels of all files in one block, decoded on all cores. Of several bad files the first is named.
fn pixels(files: &Files, shape: ImageShape) -> Result<Vec<u8>, DataError> {
    let mut block = Vec::new();
    let wanted = files.len().saturating_mul(shape.pixels());
    block.try_reserve_exact(wanted).map_err(|_| DataError::Layout {
        path: files.first().map(|(_, path)| path.clone()).unwrap_or_default(),
        problem: format!("{} images of {shape} take {wanted} bytes, more than there is memory for", files.len()),
    })?;
    block.resize(wanted, 0);
    let results: Vec<Result<(), ImageReadError>> = block
        .par_chunks_exact_mut(shape.pixels())
        .zip(files.par_iter())
        .map(|(out, (_, path))| decode(path, shape, out))
        .collect();
    results.into_iter().collect::<Result<(), ImageReadError>>()?;
    Ok(block)
}

/// The pixels of a PNG or JPEG file as a square of this size, channels first: read as the images of a folder are
/// ([`picture::square`]).
///
/// # Errors
/// A file that cannot be read or is not such a picture, as for a folder's.
pub fn load_picture(path: &Path, shape: ImageShape) -> Result<Vec<u8>, DataError> {
    let mut pixels = vec![0; shape.pixels()];
    decode(path, shape, &mut pixels)?;
    Ok(pixels)
}

/// Reads a file and writes its middle square to `out`.
fn decode(path: &Path, shape: ImageShape, out: &mut [u8]) -> Result<(), ImageReadError> {
    let failed = |problem: String| ImageReadError { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    let read = read::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|source| failed(format!("cannot be read: {source}")))?;
    let decoded = if bytes.len() as u64 > LARGEST_FILE {
        Err(FileProblem::Image { reason: format!("a file of more than {LARGEST_FILE} bytes") })
    } else {
        picture::square(&bytes, shape, out)
    };
    decoded.map_err(|problem| failed(problem.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(counts: &[usize]) -> Files {
        let of_class =
            |(class, &count): (usize, &usize)| (0..count).map(move |i| (class as u8, format!("{class}/{i}").into()));
        counts.iter().enumerate().flat_map(of_class).collect()
    }

    #[test]
    fn the_split_takes_its_part_of_every_class_and_depends_on_the_seed() {
        let split = |test, split_seed| {
            let mut train = named(&[10, 1, 2, 40]);
            let out = hold_out(&mut train, &FolderOptions { test, split_seed, ..FolderOptions::default() });
            (train, out)
        };
        let (train, test) = split(0.2, 0);
        let of = |files: &Files, class| files.iter().filter(|(c, _)| *c == class).count();
        assert_eq!([0, 1, 2, 3].map(|class| of(&test, class)), [2, 0, 1, 8]);
        let mut all = [train.clone(), test.clone()].concat();
        all.sort();
        let mut expected = named(&[10, 1, 2, 40]);
        expected.sort();
        assert_eq!(all, expected, "each image is on one side");
        assert_eq!(split(0.2, 0), (train, test.clone()));
        assert_ne!(split(0.2, 1).1, test);
        // However large the part, a class keeps an image to train on.
        assert_eq!([0, 1, 2, 3].map(|class| of(&split(0.99, 0).0, class)), [1, 1, 1, 1]);
    }
}
