//! What is known about a data set without loading it: its files, where they come from, its shape and its classes.

use crate::image_set::ImageShape;

/// A file that belongs to a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name, without `.gz`.
    pub name: &'static str,
    /// Bytes of its content, uncompressed.
    pub bytes: u64,
    /// SHA-256 of its content, uncompressed, where it is known here; then another content is refused.
    pub sha256: Option<&'static str>,
}

/// What a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One data file, packed with gzip; it is kept so. Its name is that of the data file and `.gz`.
    Gzip,
    /// A tar archive packed with gzip, from which the data files are taken.
    TarGzip {
        /// The folder inside the archive that holds them.
        folder: &'static str,
    },
}

/// A file to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its name.
    pub file: &'static str,
    /// Addresses of folders that have it, each ending in `/`, in the order in which they are tried.
    pub mirrors: &'static [&'static str],
    /// Its size.
    pub bytes: u64,
    /// Its MD5, as its publishers (or torchvision) give it, to check a manual download.
    pub md5: &'static str,
    /// Its SHA-256; anything else is refused.
    pub sha256: &'static str,
    /// What it is.
    pub packing: Packing,
}

impl Download {
    /// Its first address.
    pub fn url(&self) -> String {
        format!("{}{}", self.mirrors.first().copied().unwrap_or_default(), self.file)
    }

    /// Whether it contains this data file.
    pub fn holds(&self, file: &DataFile) -> bool {
        match self.packing {
            Packing::Gzip => self.file.strip_suffix(".gz") == Some(file.name),
            Packing::TarGzip { .. } => true,
        }
    }
}

/// What is known about a data set without loading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetInfo {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// The shape of its images.
    pub shape: ImageShape,
    /// The names of its classes, label 0 first.
    pub classes: &'static [&'static str],
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Who made it, and under what terms.
    pub origin: &'static str,
    /// What part of a data set it is, where it is not the whole.
    pub part: Option<&'static str>,
    /// Its folder inside a data folder; empty where it is embedded.
    pub folder: &'static str,
    /// Its files; none where it is embedded.
    pub files: &'static [DataFile],
    /// Where its files come from.
    pub downloads: &'static [Download],
}

impl DatasetInfo {
    /// A name, and nothing else: for `..` at the end of the description of a data set of a program's own.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            summary: "",
            shape: ImageShape::new(1, 1, 1),
            classes: &[],
            train: 0,
            test: 0,
            origin: "",
            part: None,
            folder: "",
            files: &[],
            downloads: &[],
        }
    }

    /// The names of its classes, label 0 first.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|&name| name.to_owned()).collect()
    }
}

pub(super) const TEN_DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
