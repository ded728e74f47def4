//! Why a data set was not fetched.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{DataError, write_download};
use crate::sets::{Download, Packing};

/// Why a data set was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No data set has this name.
    #[error(transparent)]
    Name(#[from] DataError),
    /// The data set is a part of another and is not published by itself.
    #[error("`{name}` is a part of `{whole}` and is not published by itself: fetch `{whole}`")]
    Part {
        /// The name asked for.
        name: &'static str,
        /// The data set that it is a part of.
        whole: &'static str,
    },
    /// No address provided the file.
    #[error(transparent)]
    NotFetched(Box<NotFetched>),
    /// A file cannot be written, moved or read back: the disk is full, the folder may not be written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another file is in the place of one of the data set's. It is left as it is.
    #[error("{0}\nIt is in the place of a file of the data set: move it away or delete it, then fetch again.")]
    InTheWay(#[source] DataError),
    /// A download has the right checksum but not the content that the data set needs.
    #[error("{0}")]
    Content(#[source] DataError),
    /// An archive has the right checksum but a wrong or missing file.
    #[error("{}: {problem}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another fetch of the same data set is running.
    #[error("{}: another fetch of this data set is running there", path.display())]
    Busy {
        /// The folder that it has locked.
        path: PathBuf,
    },
}

impl FetchError {
    /// For `map_err`: an error of the operating system, at this path.
    pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { path, source }
    }
}

/// One address that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address.
    pub url: String,
    /// Why it did not provide the file.
    pub reason: String,
}

/// A file that no address provided: what was tried, and what to put where by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFetched {
    /// The data set.
    pub name: &'static str,
    /// The file that could not be fetched.
    pub file: &'static str,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
    /// Where the data set's files belong.
    pub folder: PathBuf,
    /// All downloads of the data set.
    pub downloads: &'static [Download],
    /// All files of the data set.
    pub files: Vec<&'static str>,
}

impl fmt::Display for NotFetched {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "data set `{}`: {} could not be fetched.", self.name, self.file)?;
        for Attempt { url, reason } in &self.attempts {
            writeln!(out, "  {url}\n    {reason}")?;
        }
        writeln!(out, "To do it by hand, download:")?;
        for download in self.downloads {
            write_download(out, download)?;
        }
        for download in self.downloads {
            if let Packing::TarGzip { folder } = download.packing {
                writeln!(out, "Unpack {}; the files are in its folder {folder}/.", download.file)?;
            }
        }
        writeln!(out, "Then put these files there:")?;
        let packed = self.downloads.iter().filter(|download| download.packing == Packing::Gzip);
        let from_archives = self.downloads.iter().any(|download| download.packing != Packing::Gzip);
        let unpacked = self.files.iter().copied().filter(|_| from_archives);
        let names = packed.map(|download| download.file).chain(unpacked);
        let paths = names.map(|name| format!("  {}", self.folder.join(name).display()));
        out.write_str(&paths.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for NotFetched {}
