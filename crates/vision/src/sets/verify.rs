//! A data set's files held against all that is known about them, one by one.

use std::path::{Path, PathBuf};

use super::{DataFile, FOLDER_PREFIX, Reader, folder, load, search_dirs, source};
use crate::dataset::Dataset;
use crate::error::DataError;

/// What the sum of a file's content was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The sum of the published file, which is part of this program.
    Published,
    /// The sum that was recorded when the file was fetched from an archive with a published sum.
    Recorded,
    /// Nothing: no sum of this file is known. Its size and its form were checked.
    Nothing,
}

/// A file that was looked at.
#[derive(Debug)]
pub struct VerifiedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of its content, unpacked; 0 where it cannot be read.
    pub bytes: u64,
    /// SHA-256 of its content, unpacked, in hex; empty where it cannot be read.
    pub sha256: String,
    /// What that was held against.
    pub against: Against,
    /// What is wrong with it.
    pub problem: Option<DataError>,
}

/// What [`verify`] found.
#[derive(Debug)]
pub struct Verified {
    /// Its files; none where the data set is part of the program or a folder of images.
    pub files: Vec<VerifiedFile>,
    /// The data set, where every file is as it should be and all of them make one.
    pub dataset: Result<Dataset, DataError>,
}

/// Reads every file of a data set (named as for [`load`]), says of each what its sum is and what it was held against,
/// and then loads the whole: form, sizes, range of labels, numbers of images.
///
/// # Errors
/// An unknown name, files that are missing. What is wrong with a file that is there is in the answer.
pub fn verify(name: &str, data_dir: Option<&Path>) -> Result<Verified, DataError> {
    if name.starts_with(FOLDER_PREFIX) {
        return Ok(Verified { files: Vec::new(), dataset: load(name, data_dir) });
    }
    let source = source(name)?;
    let Reader::Folder(_) = source.read else {
        return Ok(Verified { files: Vec::new(), dataset: load(name, data_dir) });
    };
    let folder = folder::find(source.info, source.part, &search_dirs(data_dir))?;
    let files = source.info.files.iter().map(|file| look_at(&folder, file)).collect();
    Ok(Verified { files, dataset: load(name, data_dir) })
}

fn look_at(folder: &folder::Folder, file: &DataFile) -> VerifiedFile {
    let path = folder::locate(folder.path(), file).unwrap_or_else(|| folder.path().join(file.name));
    let against = match file.sha256 {
        Some(_) => Against::Published,
        None if folder::recorded(folder.path(), file).is_some() => Against::Recorded,
        None => Against::Nothing,
    };
    match folder.read(file) {
        Err(problem) => VerifiedFile { path, bytes: 0, sha256: String::new(), against, problem: Some(problem) },
        Ok(content) => VerifiedFile {
            path,
            bytes: content.bytes.len() as u64,
            sha256: content.sha256(),
            against,
            problem: content.verify(file).err(),
        },
    }
}
