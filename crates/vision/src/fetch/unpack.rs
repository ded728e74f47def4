//! Files out of a tar archive: those that are asked for, and no others.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use tar::Archive;

use super::FetchError;
use crate::sets::DataFile;

/// Takes `wanted` out of the folder `inside` of a `.tar.gz` into `into`; gives their paths, in the order of `wanted`.
///
/// No path of the archive is followed: an entry whose path is exactly `inside/NAME` of a wanted file, and which is a
/// regular file of the right size, is written to `into/NAME`. Every other entry is ignored. Never more bytes are written
/// than these files have.
pub(super) fn unpack(
    archive: &Path,
    inside: &str,
    wanted: &[&DataFile],
    into: &Path,
) -> Result<Vec<PathBuf>, FetchError> {
    let refuse = |problem: String| FetchError::Archive { path: archive.to_owned(), problem };
    // The archive has passed its check: what goes wrong in reading it is in its form or in the disk.
    let unreadable = |error: io::Error| refuse(error.to_string());
    let opened = File::open(archive).map_err(FetchError::disk(archive))?;
    let mut entries = Archive::new(GzDecoder::new(BufReader::with_capacity(1 << 16, opened)));
    let mut found = vec![None; wanted.len()];
    for entry in entries.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let Some(at) = wanted.iter().position(|file| path == Path::new(inside).join(file.name)) else { continue };
        let file = wanted[at];
        if !entry.header().entry_type().is_file() || entry.size() != file.bytes || found[at].is_some() {
            let problem = "is no regular file of that size, or stands twice";
            return Err(refuse(format!("{} ({} bytes expected) {problem}", file.name, file.bytes)));
        }
        let to = into.join(file.name);
        write(&mut entry, &to, file.bytes)?;
        found[at] = Some(to);
    }
    found
        .into_iter()
        .zip(wanted)
        .map(|(path, file)| path.ok_or_else(|| refuse(format!("lacks {inside}/{}", file.name))))
        .collect()
}

fn write(entry: &mut impl Read, to: &Path, bytes: u64) -> Result<(), FetchError> {
    let mut copy = || -> io::Result<u64> {
        super::refuse_link(to)?;
        let mut file = File::create(to)?;
        let copied = io::copy(&mut entry.take(bytes), &mut file)?;
        file.sync_all()?;
        Ok(copied)
    };
    copy().map(|_| ()).map_err(FetchError::disk(to))
}
