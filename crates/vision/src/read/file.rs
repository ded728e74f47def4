//! The content of a file, gzip or not.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::error::{DataError, FileProblem};

/// The two bytes that a gzip file starts with (RFC 1952). No IDX file starts so, and a CIFAR record cannot: its first
/// byte is a label below 20.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a file to read it. Only a regular file (or a link to one) is opened: opening a pipe would wait for its other end,
/// and a device may have no end.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    let is_regular = std::fs::metadata(path)?.is_file();
    if is_regular { File::open(path) } else { Err(std::io::Error::other("it is no regular file")) }
}

/// The content of a file of at most `limit` bytes, unpacked where it starts as gzip does (the name does not matter).
///
/// # Errors
/// A file that cannot be read; a gzip container that ends early, is corrupt, fails its CRC or has bytes after its
/// end; content of more than `limit` bytes. Never more than `limit + 1` bytes are held, whatever the file claims.
pub fn content(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let unreadable = |source| DataError::Io { path: path.to_owned(), source };
    let file = open(path).map_err(unreadable)?;
    unpack(BufReader::with_capacity(1 << 16, file), limit).map_err(|failure| match failure {
        Failure::Io(source) => unreadable(source),
        Failure::Content(problem) => problem.in_file(path),
    })
}

/// The content of bytes already in memory, by the same rules.
pub(crate) fn content_of(bytes: &[u8], limit: u64) -> Result<Vec<u8>, FileProblem> {
    unpack(bytes, limit).map_err(|failure| match failure {
        // Reading a slice cannot fail, so the error is about the content.
        Failure::Io(source) => FileProblem::Gzip { reason: source.to_string() },
        Failure::Content(problem) => problem,
    })
}

enum Failure {
    Io(std::io::Error),
    Content(FileProblem),
}

fn unpack(mut reader: impl BufRead, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    if reader.fill_buf().map_err(Failure::Io)?.starts_with(&GZIP) {
        let mut decoder = GzDecoder::new(reader);
        decoder.by_ref().take(limit.saturating_add(1)).read_to_end(&mut content).map_err(|error| {
            match error.kind() {
                ErrorKind::UnexpectedEof => {
                    Failure::Content(FileProblem::Gzip { reason: "it ends before its end mark".to_owned() })
                }
                ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                    Failure::Content(FileProblem::Gzip { reason: error.to_string() })
                }
                _ => Failure::Io(error),
            }
        })?;
        if content.len() as u64 <= limit && !decoder.into_inner().fill_buf().map_err(Failure::Io)?.is_empty() {
            return Err(Failure::Content(FileProblem::AfterGzip));
        }
    } else {
        reader.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(Failure::Io)?;
    }
    if content.len() as u64 > limit {
        return Err(Failure::Content(FileProblem::TooLong { limit }));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        let text = b"pixels and labels".to_vec();
        assert_eq!(content_of(&text, 17), Ok(text.clone()));
        assert_eq!(content_of(&gzip(&text), 17), Ok(text));
        assert_eq!(content_of(&[], 17), Ok(vec![]));
    }

    #[test]
    fn damage_is_refused() {
        let text: Vec<u8> = (0..=255).cycle().take(4000).collect();
        let good = gzip(&text);
        let cut = content_of(&good[..good.len() - 3], 4000).unwrap_err();
        assert_eq!(cut.to_string(), "damaged gzip file: it ends before its end mark");
        let mut flipped = good.clone();
        let crc = flipped.len() - 6;
        flipped[crc] ^= 1;
        assert!(matches!(content_of(&flipped, 4000), Err(FileProblem::Gzip { .. })));
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(content_of(&longer, 4000), Err(FileProblem::AfterGzip));
    }

    #[test]
    fn a_small_file_that_unpacks_to_much_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![0; 10_000_000]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(content_of(&bomb, 1000), Err(FileProblem::TooLong { limit: 1000 }));
        assert_eq!(content_of(&[7; 1001], 1000), Err(FileProblem::TooLong { limit: 1000 }));
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nothing-here");
        let error = content(&path, 10).unwrap_err().to_string();
        assert!(error.contains("nothing-here: cannot be read"), "{error}");
    }
}
