//! The folder that holds a data set's files.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::dataset::hex;
use crate::error::{DataError, FileProblem, LookedIn, Missing};
use crate::read;
use crate::sets::{DataFile, DatasetInfo};

/// A folder in which every file of a data set is.
pub(super) struct Folder(PathBuf);

/// A file's content and where it was read from.
pub(super) struct Content {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// The file itself or, first, its `.gz`.
fn locate(folder: &Path, file: &DataFile) -> Option<PathBuf> {
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
    Err(DataError::Missing(Box::new(Missing {
        name: info.name,
        folder: info.folder,
        files: info.files,
        downloads: info.downloads,
        looked_in,
        instead: instead.map(|part| part.name),
    })))
}

impl Folder {
    /// The content of a file; at most the bytes it should have are read.
    pub(super) fn read(&self, file: &DataFile) -> Result<Content, DataError> {
        // Gone since it was found: then opening the plain name says so.
        let path = locate(&self.0, file).unwrap_or_else(|| self.0.join(file.name));
        let bytes = read::content(&path, file.bytes)?;
        Ok(Content { path, bytes })
    }
}

impl Content {
    /// Refuses content that is not this file's, where its checksum is known. To be called after the format's own
    /// checks, which say more precisely what is wrong.
    pub(super) fn verify(&self, file: &DataFile) -> Result<(), DataError> {
        let found_bytes = self.bytes.len() as u64;
        if found_bytes != file.bytes {
            let reason = "as this file of the data set has".to_owned();
            let problem = FileProblem::Length { found: found_bytes, expected: file.bytes, reason };
            return Err(problem.in_file(&self.path));
        }
        let Some(expected) = file.sha256 else { return Ok(()) };
        let found = hex(&Sha256::digest(&self.bytes));
        if found == expected { Ok(()) } else { Err(FileProblem::Checksum { found, expected }.in_file(&self.path)) }
    }
}
