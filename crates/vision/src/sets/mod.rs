//! The data sets that can be named: where their files are searched and how they are read; and a folder of images.
//!
//! Adding one here: a file with its [`DatasetInfo`] and a function that reads it, and a line in [`DATASETS`]. A program adds
//! its own, a [`DataSource`], to a [`DatasetRegistry`].

mod cifar10;
mod cifar100;
pub(crate) mod dataset_info;
mod digits;
pub(crate) mod folder;
mod images;
mod mnist;
mod own;
mod verify;

use std::path::{Path, PathBuf};

pub use dataset_info::{DataFile, DatasetInfo, Download, Packing};
use folder::Folder;
pub use images::{FOLDER_PREFIX, FolderOptions, load_folder, load_picture};
pub use own::{DataSource, DatasetRegistry, OwnDataset, OwnDatasetEntry};
pub use verify::{Against, Verified, VerifiedFile, verify};

use crate::dataset::Dataset;
use crate::error::DataError;

/// A data set that can be named, and how it is read.
struct Row {
    info: &'static DatasetInfo,
    read: Reader,
    /// A data set that may be meant where this one is missing.
    part: Option<&'static DatasetInfo>,
}

enum Reader {
    Embedded(fn() -> Result<Dataset, DataError>),
    Folder(fn(&'static DatasetInfo, &Folder) -> Result<Dataset, DataError>),
}

static DATASETS: &[Row] = &[
    Row { info: &digits::INFO, read: Reader::Embedded(digits::read), part: None },
    Row { info: &mnist::MNIST, read: Reader::Folder(mnist::read), part: None },
    Row { info: &mnist::FASHION, read: Reader::Folder(mnist::read), part: None },
    Row { info: &cifar10::WHOLE, read: Reader::Folder(cifar10::read), part: Some(&cifar10::PART) },
    Row { info: &cifar10::PART, read: Reader::Folder(cifar10::read), part: None },
    Row { info: &cifar10::TRAINING, read: Reader::Folder(cifar10::read), part: Some(&cifar10::PART) },
    Row { info: &cifar100::FINE, read: Reader::Folder(cifar100::read), part: None },
    Row { info: &cifar100::COARSE, read: Reader::Folder(cifar100::read), part: None },
];

/// The data sets that [`load`] knows by name.
///
/// ```
/// assert!(vision::known().any(|info| info.name == "cifar100"));
/// ```
pub fn known() -> impl Iterator<Item = &'static DatasetInfo> {
    DATASETS.iter().map(|row| row.info)
}

fn row(name: &str) -> Result<&'static Row, DataError> {
    DATASETS.iter().find(|row| row.info.name == name).ok_or_else(|| DataError::Unknown {
        name: name.to_owned(),
        nearest: strict_config::nearest(name, known().map(|info| info.name)),
        known: known().map(|info| info.name).collect(),
    })
}

/// What is known about the data set of this name, without reading a file.
///
/// # Errors
/// [`DataError::Unknown`], with the nearest known name.
///
/// ```
/// assert_eq!(vision::info("cifar10")?.shape.to_string(), "3x32x32");
/// assert!(vision::info("minst").unwrap_err().to_string().contains("did you mean `mnist`?"));
/// # Ok::<(), vision::DataError>(())
/// ```
pub fn info(name: &str) -> Result<&'static DatasetInfo, DataError> {
    row(name).map(|row| row.info)
}

/// Loads the data set of this name: `digits` from the program itself, the others from the first of the
/// [`search_dirs`] that holds all their files, `folder:PATH` from that folder by [`load_folder`] with the default options.
///
/// # Errors
/// An unknown name; files that are missing, unreadable, damaged or not this data set's. See [`DataError`].
///
/// ```
/// let digits = vision::load("digits", None)?;
/// assert_eq!((digits.train.len(), digits.test.len()), (1437, 360));
/// # Ok::<(), vision::DataError>(())
/// ```
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
    load_from(name, &search_dirs(data_dir))
}

/// [`load`], from these data folders alone.
fn load_from(name: &str, data_folders: &[PathBuf]) -> Result<Dataset, DataError> {
    if let Some(path) = name.strip_prefix(FOLDER_PREFIX) {
        return load_folder(Path::new(path), &FolderOptions::default());
    }
    let row = row(name)?;
    let mut dataset = match row.read {
        Reader::Embedded(read) => read()?,
        Reader::Folder(read) => read(row.info, &folder::find(row.info, row.part, data_folders)?)?,
    };
    dataset.part = row.info.part;
    Ok(dataset)
}

/// The data folders that are searched, first to last: `data_dir` (the command line's `--data-dir`), the environment
/// variable `ANNEAL_DATA_DIR`, and `anneal/datasets` in the user's cache folder.
pub fn search_dirs(data_dir: Option<&Path>) -> Vec<PathBuf> {
    let from_environment = std::env::var_os("ANNEAL_DATA_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = dirs::cache_dir().map(|cache| cache.join("anneal").join("datasets"));
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in data_dir.map(Path::to_owned).into_iter().chain(from_environment).chain(cache) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = load("minst", None).unwrap_err().to_string();
        let known: Vec<&str> = known().map(|info| info.name).collect();
        let known = known.join(", ");
        assert_eq!(
            error,
            format!("no data set is called `minst`; did you mean `mnist`? (known: {known}, folder:PATH)")
        );
    }

    #[test]
    fn the_folder_that_was_given_is_searched_first() {
        let given = Path::new("/given");
        assert_eq!(search_dirs(Some(given))[0], given);
    }

    #[test]
    fn a_missing_data_set_says_which_files_to_put_where() {
        let empty = tempfile::tempdir().unwrap();
        let partly = tempfile::tempdir().unwrap();
        std::fs::create_dir(partly.path().join("mnist")).unwrap();
        for name in ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"] {
            std::fs::write(partly.path().join("mnist").join(name), "").unwrap();
        }
        let folders = [empty.path().to_owned(), partly.path().to_owned()];
        let message = load_from("mnist", &folders).unwrap_err().to_string();
        for expected in [
            "data set `mnist`: its files were not found.".to_owned(),
            "in <data folder>/mnist/ :\n  train-images-idx3-ubyte (47040016 bytes uncompressed)".to_owned(),
            "train-images-idx3-ubyte.gz\n    (9912422 bytes)\n    MD5 f68b3c2dcbeaaa9fbdd348bbdeb94873\n    SHA-256 440f".to_owned(),
            format!("{}: no such folder", empty.path().join("mnist").display()),
            format!("{}: lacks t10k-labels-idx1-ubyte", partly.path().join("mnist").display()),
        ] {
            assert!(message.contains(&expected), "{message}\nlacks: {expected}");
        }
    }

    #[test]
    fn a_part_is_not_taken_for_the_whole_but_named() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("cifar10")).unwrap();
        for file in cifar10::PART.files {
            std::fs::write(data.path().join("cifar10").join(file.name), "").unwrap();
        }
        let message = load_from("cifar10", &[data.path().to_owned()]).unwrap_err().to_string();
        assert!(message.contains("`cifar10-part` is there"), "{message}");
        assert!(message.contains("lacks data_batch_3.bin, data_batch_4.bin"), "{message}");
    }
}
