//! A check of each file of a data set.

use std::path::{Path, PathBuf};

use super::{DataFile, FOLDER_PREFIX, Reader, folder, load, row, search_dirs};
use crate::dataset::Dataset;
use crate::error::DataError;

/// What the checksum of a file's content was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The checksum of the published file, which is part of this program.
    Published,
    /// The checksum that was recorded when the file was fetched from an archive with a published checksum.
    Recorded,
    /// Nothing: no checksum of this file is known. Its size and its form were checked.
    Nothing,
}

/// A file that was checked.
#[derive(Debug)]
pub struct VerifiedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of its content, unpacked; 0 where it cannot be read.
    pub bytes: u64,
    /// SHA-256 of its content, unpacked, in hex; empty where it cannot be read.
    pub sha256: String,
    /// What that was compared with.
    pub against: Against,
    /// What is wrong with it.
    pub problem: Option<DataError>,
}

/// What [`verify`] found.
#[derive(Debug)]
pub struct Verified {
    /// Its files; none where the data set is part of the program or a folder of images.
    pub files: Vec<VerifiedFile>,
    /// The data set, where every file is right and all of them fit together.
    pub dataset: Result<Dataset, DataError>,
}

/// Reads every file of a data set (named as for [`load`]), reports the checksum of each and what it was compared with,
/// and then loads the whole, which checks form, sizes, range of labels and numbers of images.
///
/// # Errors
/// An unknown name, files that are missing. What is wrong with a file that is there is in the result.
pub fn verify(name: &str, data_dir: Option<&Path>) -> Result<Verified, DataError> {
    if name.starts_with(FOLDER_PREFIX) {
        return Ok(Verified { files: Vec::new(), dataset: load(name, data_dir) });
    }
    let row = row(name)?;
    let Reader::Folder(_) = row.read else {
        return Ok(Verified { files: Vec::new(), dataset: load(name, data_dir) });
    };
    let folder = folder::find(row.info, row.part, &search_dirs(data_dir))?;
    let files = row.info.files.iter().map(|file| check_file(&folder, file)).collect();
    Ok(Verified { files, dataset: load(name, data_dir) })
}

fn check_file(folder: &folder::Folder, file: &DataFile) -> VerifiedFile {
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
