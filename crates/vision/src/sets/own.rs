//! A data set that this crate does not know: its settings, and how it is loaded, behind a trait object.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use strict_config::{ConfigError, Settings};
use toml::Table;

use super::{DATASETS, DatasetInfo};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::image_set::ImageSet;

/// The settings of a data set of a program's own, and the data set that they describe.
///
/// ```
/// use std::path::Path;
/// use serde::{Deserialize, Serialize};
/// use strict_config::Settings;
/// use vision::{DataError, DataSource, Dataset, DatasetInfo, ImageShape};
///
/// /// Grey squares: dark ones and bright ones.
/// #[derive(Clone, Debug, Default, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Squares {}
///
/// impl Settings for Squares {}
///
/// impl DataSource for Squares {
///     const INFO: DatasetInfo = DatasetInfo {
///         summary: "grey squares",
///         shape: ImageShape::new(1, 2, 2),
///         classes: &["dark", "bright"],
///         train: 8,
///         test: 8,
///         ..DatasetInfo::named("squares")
///     };
///
///     fn load(&self, _: Option<&Path>) -> Result<Dataset, DataError> {
///         Self::INFO.generated(|image| {
///             let class = (image % 2) as u8;
///             (vec![class * 200; 4], class)
///         })
///     }
/// }
///
/// let registry = vision::DatasetRegistry::standard().with::<Squares>();
/// assert_eq!(registry.iter().last().map(|info| info.name), Some("squares"));
/// assert_eq!(Squares {}.load(None)?.train.len(), 8);
/// # Ok::<(), DataError>(())
/// ```
pub trait DataSource: Settings + Default + Clone + Debug + Send + Sync + 'static {
    /// What lists say about it, without reading a file.
    const INFO: DatasetInfo;

    /// Loads it. `data_dir` is what the user named as the data folder ([`search_dirs`](super::search_dirs) adds the usual
    /// ones).
    ///
    /// # Errors
    /// Files that are missing or are not this data set's.
    fn load(&self, data_dir: Option<&Path>) -> Result<Dataset, DataError>;
}

/// The settings of a data set of a program's own, read from a table. Equal where name and settings are.
#[derive(Debug)]
pub struct OwnDataset(Box<dyn AnySource>);

impl OwnDataset {
    /// Loads it; see [`DataSource::load`].
    ///
    /// # Errors
    /// As [`DataSource::load`].
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
        self.0.load(data_dir)
    }

    /// The table of the settings, each explicit.
    pub fn write(&self) -> Table {
        self.0.table()
    }
}

impl Clone for OwnDataset {
    fn clone(&self) -> Self {
        Self(self.0.boxed())
    }
}

impl PartialEq for OwnDataset {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name() && self.0.table() == other.0.table()
    }
}

trait AnySource: Debug + Send + Sync {
    fn boxed(&self) -> Box<dyn AnySource>;
    fn name(&self) -> &'static str;
    fn table(&self) -> Table;
    fn load(&self, data_dir: Option<&Path>) -> Result<Dataset, DataError>;
}

impl<D: DataSource> AnySource for D {
    fn boxed(&self) -> Box<dyn AnySource> {
        Box::new(self.clone())
    }

    fn name(&self) -> &'static str {
        D::INFO.name
    }

    fn table(&self) -> Table {
        strict_config::write(self)
    }

    fn load(&self, data_dir: Option<&Path>) -> Result<Dataset, DataError> {
        DataSource::load(self, data_dir)
    }
}

/// A data set of a program's own that can be named.
#[derive(Clone, Debug)]
pub struct OwnDatasetEntry {
    /// What is known about it.
    pub info: DatasetInfo,
    /// The fields of its settings.
    pub fields: &'static [&'static str],
    read: fn(&Table) -> Result<OwnDataset, ConfigError>,
}

impl OwnDatasetEntry {
    /// Reads its settings; paths in errors begin at the table.
    ///
    /// # Errors
    /// An unknown or missing field, a wrong type, a value out of its range.
    pub fn read(&self, table: &Table) -> Result<OwnDataset, ConfigError> {
        (self.read)(table)
    }
}

/// The data sets that a table may name: this crate's ([`known`](super::known)), and those that a program adds [`with`](Self::with).
#[derive(Clone, Debug)]
pub struct DatasetRegistry {
    own: Vec<OwnDatasetEntry>,
}

impl DatasetRegistry {
    /// This crate's data sets.
    pub fn standard() -> Self {
        Self { own: Vec::new() }
    }

    /// With one more data set. It replaces one of the same name.
    #[must_use]
    pub fn with<D: DataSource>(mut self) -> Self {
        self.own.retain(|entry| entry.info.name != D::INFO.name);
        let read = |table: &Table| Ok(OwnDataset(Box::new(strict_config::read::<D>(table, "")?)));
        self.own.push(OwnDatasetEntry { info: D::INFO, fields: strict_config::fields_of::<D>(), read });
        self
    }

    /// What is known about each, this crate's first.
    pub fn iter(&self) -> impl Iterator<Item = &DatasetInfo> {
        let known = DATASETS.iter().map(|row| row.info);
        known.filter(|info| self.own(info.name).is_none()).chain(self.own.iter().map(|entry| &entry.info))
    }

    /// The data set of the program's own of this name.
    pub fn own(&self, name: &str) -> Option<&OwnDatasetEntry> {
        self.own.iter().find(|entry| entry.info.name == name)
    }

    /// What is known about the data set of this name.
    ///
    /// # Errors
    /// [`DataError::Unknown`], with the nearest known name.
    pub fn info(&self, name: &str) -> Result<&DatasetInfo, DataError> {
        self.iter().find(|info| info.name == name).ok_or_else(|| DataError::Unknown {
            name: name.to_owned(),
            nearest: strict_config::nearest(name, self.iter().map(|info| info.name)),
            known: self.iter().map(|info| info.name).collect(),
        })
    }
}

/// For the [`load`](DataSource::load) of a data set of a program's own.
impl DatasetInfo {
    /// A part of it, from its pixels (`(image, channel, row, column)`, bytes) and labels.
    ///
    /// # Errors
    /// As [`ImageSet::new`].
    pub fn set(&self, pixels: Vec<u8>, labels: Vec<u8>) -> Result<ImageSet, DataError> {
        let set = ImageSet::new(pixels, labels, self.shape, self.classes.len());
        set.map_err(|problem| DataError::Set { name: self.name.to_owned(), problem })
    }

    /// The whole, from its parts.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn dataset(&self, train: ImageSet, test: ImageSet) -> Result<Dataset, DataError> {
        Dataset::new(self.name, train, test, self.class_names())
    }

    /// The whole, each image made from its number: `make` gives its pixels (`(channel, row, column)`, bytes) and its label.
    /// The first `train` numbers are those of the training images, the `test` ones after them those of the test.
    ///
    /// # Errors
    /// As [`ImageSet::new`].
    pub fn generated(&self, make: impl Fn(usize) -> (Vec<u8>, u8)) -> Result<Dataset, DataError> {
        let set = |images: Range<usize>| {
            let (pixels, labels): (Vec<Vec<u8>>, Vec<u8>) = images.map(&make).unzip();
            self.set(pixels.concat(), labels)
        };
        self.dataset(set(0..self.train)?, set(self.train..self.train + self.test)?)
    }
}
