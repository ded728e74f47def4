//! The folder that holds a data set's files, and the record of their checksums that a fetch leaves there.

use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::dataset_info::{DataFile, DatasetInfo};
use crate::error::{DataError, FileProblem, LookedIn, MissingFiles};
use crate::read;

/// The file beside the data that records the SHA-256 of the unpacked content of each file after its download passed its
/// check: for files without a published checksum.
pub(crate) const RECORDED: &str = "contents.sha256";

/// A folder in which files of a data set are.
pub(crate) struct Folder(PathBuf);

/// A file's content and where it was read from.
pub(crate) struct Content {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// The file itself or, first, its `.gz`.
pub(crate) fn locate(folder: &Path, file: &DataFile) -> Option<PathBuf> {
    [format!("{}.gz", file.name), file.name.to_owned()]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn lacks(folder: &Path, info: &DatasetInfo) -> Option<Vec<&'static str>> {
    folder
        .is_dir()
        .then(|| info.files.iter().filter(|file| locate(folder, file).is_none()).map(|file| file.name).collect())
}

/// The first of the data folders whose folder for this data set holds all its files.
pub(super) fn find(
    info: &'static DatasetInfo,
    part: Option<&'static DatasetInfo>,
    data_folders: &[PathBuf],
) -> Result<Folder, DataError> {
    let mut looked_in = Vec::new();
    let mut instead = None;
    for data_folder in data_folders {
        let folder = data_folder.join(info.folder);
        let lacks_of = |info| lacks(&folder, info);
        let missing = lacks_of(info);
        if missing.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Folder(folder));
        }
        instead = instead.or(part.filter(|part| lacks_of(part).is_some_and(|lacks| lacks.is_empty())));
        looked_in.push(LookedIn { folder, lacks: missing });
    }
    Err(DataError::Missing(Box::new(MissingFiles {
        name: info.name,
        folder: info.folder,
        files: info.files,
        downloads: info.downloads,
        looked_in,
        instead: instead.map(|part| part.name),
    })))
}

/// The checksum of a file's content that was recorded beside it.
pub(crate) fn recorded(folder: &Path, file: &DataFile) -> Option<String> {
    let mut text = String::new();
    read::open(&folder.join(RECORDED)).ok()?.read_to_string(&mut text).ok()?;
    text.lines()
        .find_map(|line| line.split_once("  ").filter(|(_, name)| *name == file.name))
        .map(|(sum, _)| sum.to_owned())
}

impl Folder {
    /// For `fetch`, which fills it.
    #[cfg(feature = "fetch")]
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The content of a file; at most the bytes it should have are read.
    pub(crate) fn read(&self, file: &DataFile) -> Result<Content, DataError> {
        // If the file was removed meanwhile, opening its plain name gives the error.
        let path = locate(&self.0, file).unwrap_or_else(|| self.0.join(file.name));
        let bytes = read::content(&path, file.bytes)?;
        Ok(Content { path, bytes })
    }
}

impl Content {
    /// Refuses content with another checksum than the known or recorded one. Call it after the format's own checks, whose
    /// errors are more precise.
    pub(crate) fn verify(&self, file: &DataFile) -> Result<(), DataError> {
        let beside = || self.path.parent().and_then(|folder| recorded(folder, file));
        self.verify_sum(file, file.sha256.map(str::to_owned).or_else(beside)).map(drop)
    }

    /// Refuses content of another length or, where a checksum is expected, with another one; returns the checksum then.
    pub(crate) fn verify_sum(&self, file: &DataFile, expected: Option<String>) -> Result<Option<String>, DataError> {
        let found = self.bytes.len() as u64;
        if found != file.bytes {
            let reason = "as this file of the data set has".to_owned();
            return Err(FileProblem::Length { found, expected: file.bytes, reason }.in_file(&self.path));
        }
        let Some(expected) = expected else { return Ok(None) };
        let found = self.sha256();
        if found == expected {
            Ok(Some(found))
        } else {
            Err(FileProblem::Checksum { found, expected }.in_file(&self.path))
        }
    }

    /// The SHA-256 of the content, in hex.
    pub(crate) fn sha256(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.bytes))
    }
}
