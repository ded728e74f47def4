//! What can be wrong with a data set's files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use strict_config::did_you_mean;

use crate::image_set::{ImageReadError, ImageSetError};
use crate::sets::dataset_info::{DataFile, Download};

/// Why a data set could not be loaded. Every message names the file (or the name asked for), what was found and
/// what was expected.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No data set has this name.
    #[error("no data set is called `{name}`{} (known: {}, folder:PATH)", did_you_mean(*.nearest), known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// The data set's files are in none of the folders.
    #[error(transparent)]
    Missing(Box<MissingFiles>),
    /// The operating system refused to read a file.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Images and labels that do not form a set and do not come from a single file.
    #[error("data set `{name}`: {problem}")]
    Set {
        /// The data set.
        name: String,
        /// What is wrong.
        problem: ImageSetError,
    },
    /// An image of a folder could not be read.
    #[error(transparent)]
    Image(#[from] ImageReadError),
    /// A folder of images does not have the layout of one.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The folder in question.
        path: PathBuf,
        /// What is wrong with it, and what is expected.
        problem: String,
    },
    /// Training and test images differ in shape or in the number of classes, or the names of the classes do not
    /// match their number.
    #[error("data set `{name}`: {what}: found {found}, expected {expected}")]
    Mismatch {
        /// The data set.
        name: String,
        /// What does not match.
        what: &'static str,
        /// What was found.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// What is wrong with the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// The gzip container is damaged: it ends early, a block is corrupt, or the CRC does not match.
    #[error("damaged gzip file: {reason}")]
    Gzip {
        /// What the decompressor said.
        reason: String,
    },
    /// Bytes follow the end of the gzip container.
    #[error("bytes follow the end of the gzip data")]
    AfterGzip,
    /// The file is shorter than its header.
    #[error("{found} bytes are less than the header of {expected} bytes")]
    Header {
        /// Bytes found.
        found: usize,
        /// Bytes of the header.
        expected: usize,
    },
    /// The file does not start with the number that marks its kind.
    #[error("starts with {found:#010x} ({found}), expected {expected:#010x} ({expected}, {kind})")]
    Magic {
        /// What was found.
        found: u32,
        /// What it should be.
        expected: u32,
        /// What that number marks.
        kind: &'static str,
    },
    /// The header declares images without pixels, or more than can be addressed.
    #[error("the header declares {count} images of {rows}x{columns} pixels, which is not possible")]
    Dimensions {
        /// Declared images.
        count: u32,
        /// Declared rows.
        rows: u32,
        /// Declared columns.
        columns: u32,
    },
    /// The content is shorter or longer than its header or its format says.
    #[error("{found} bytes of content, expected {expected} ({reason})")]
    Length {
        /// Bytes found.
        found: u64,
        /// Bytes expected.
        expected: u64,
        /// Where the expectation comes from.
        reason: String,
    },
    /// The content is longer than this data set's file is; reading stopped there.
    #[error("more than {limit} bytes of content: this file of the data set has exactly {limit}")]
    TooLong {
        /// Bytes that the file should have.
        limit: u64,
    },
    /// Images have another size than this data set's.
    #[error("images of {found} pixels, expected {expected}")]
    ImageSize {
        /// Rows and columns found.
        found: String,
        /// Rows and columns expected.
        expected: String,
    },
    /// The number of labels is not the number of images.
    #[error("{found} labels for the {expected} images of {images}")]
    Count {
        /// Labels found.
        found: usize,
        /// Images in the other file.
        expected: usize,
        /// The file of the images.
        images: String,
    },
    /// A label is not a class.
    #[error("label {found} of image {index} is outside 0..{classes}")]
    Label {
        /// Which image.
        index: usize,
        /// Its label.
        found: u8,
        /// The number of classes.
        classes: usize,
    },
    /// The content has the right form but another checksum.
    #[error("SHA-256 of the content is {found}, expected {expected}: the file is damaged or another")]
    Checksum {
        /// What was computed.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The file cannot be decoded: it is not a PNG or JPEG, or it is damaged.
    #[error("no image that can be read (PNG and JPEG can): {reason}")]
    Image {
        /// What the decoder said.
        reason: String,
    },
    /// The header declares more pixels than the file's bytes can hold, or than an image of a data set may have.
    #[error("declares {width}x{height} pixels: {reason}")]
    ImageDimensions {
        /// Declared width.
        width: u32,
        /// Declared height.
        height: u32,
        /// Why that is refused.
        reason: String,
    },
}

impl ImageSetError {
    /// This problem, in the data set of that name.
    pub(crate) fn in_set(self, name: impl Into<String>) -> DataError {
        DataError::Set { name: name.into(), problem: self }
    }
}

impl FileProblem {
    /// This problem, in that file.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> DataError {
        DataError::File { path: path.into(), problem: self }
    }
}

/// A folder that was searched, and why the data set is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedIn {
    /// The folder.
    pub folder: PathBuf,
    /// Files that are missing in it; `None` where the folder does not exist.
    pub lacks: Option<Vec<&'static str>>,
}

/// A data set whose files are in none of the folders: the message says which files to put where, and which folders were
/// searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFiles {
    /// The data set.
    pub name: &'static str,
    /// The name of its folder inside a data folder.
    pub folder: &'static str,
    /// The files that belong there, each as it is or with `.gz`.
    pub files: &'static [DataFile],
    /// What to download by hand.
    pub downloads: &'static [Download],
    /// The folders that were searched.
    pub looked_in: Vec<LookedIn>,
    /// A data set whose files are there and that may be meant instead.
    pub instead: Option<&'static str>,
}

/// What to download by hand, in lines of 80 characters as far as the address allows.
pub(crate) fn write_download(out: &mut fmt::Formatter<'_>, download: &Download) -> fmt::Result {
    let Download { bytes, md5, sha256, .. } = download;
    let (url, bytes) = (download.url(), format!("({bytes} bytes)"));
    let between = if url.len() + bytes.len() + 3 <= 80 { " " } else { "\n    " };
    writeln!(out, "  {url}{between}{bytes}\n    MD5 {md5}\n    SHA-256 {sha256}")
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "data set `{}`: its files were not found.", self.name)?;
        writeln!(out, "Wanted, each as it is or as a .gz, in <data folder>/{}/ :", self.folder)?;
        for file in self.files {
            writeln!(out, "  {} ({} bytes uncompressed)", file.name, file.bytes)?;
        }
        if !self.downloads.is_empty() {
            writeln!(out, "To download by hand:")?;
        }
        for download in self.downloads {
            write_download(out, download)?;
        }
        if let Some(instead) = self.instead {
            writeln!(out, "`{instead}` is there: if you mean that one, ask for it by its name.")?;
        }
        write!(out, "Looked in (--data-dir, ANNEAL_DATA_DIR, the cache folder):")?;
        if self.looked_in.is_empty() {
            write!(out, " nowhere, for none of them is known here")?;
        }
        for place in &self.looked_in {
            write!(out, "\n  {}: ", place.folder.display())?;
            match &place.lacks {
                None => write!(out, "no such folder")?,
                Some(lacks) => write!(out, "lacks {}", lacks.join(", "))?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for MissingFiles {}
