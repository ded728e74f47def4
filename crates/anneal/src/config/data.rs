//! `[data]`: what is trained on, and how it is cut into batches.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Settings, check};
use toml::{Table, Value};
use vision::{DataError, Dataset, DatasetRegistry, FOLDER_PREFIX, FolderOptions, OwnDataset};

/// The name of a data set that is a folder of images.
pub(super) const FOLDER: &str = "folder";

/// `resident`: whether the images live on the device, where batches are then assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resident {
    /// `"auto"`: on a GPU, where the data set is not too large.
    #[default]
    Auto,
    /// `true`: on any device; a data set that does not fit there is refused.
    Always,
    /// `false`: batches are assembled on the host.
    Never,
}

/// The fields that `dataset = "folder"` adds.
pub(crate) fn folder_fields() -> Vec<&'static str> {
    [&["path"], strict_config::fields_of::<FolderOptions>()].concat()
}

/// The fields that the table has for every data set.
pub(super) fn shared_fields() -> Vec<&'static str> {
    strict_config::fields_of::<DataSection>().to_vec()
}

impl Serialize for Resident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Resident {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "auto" => Ok(Self::Auto),
            Value::Boolean(true) => Ok(Self::Always),
            Value::Boolean(false) => Ok(Self::Never),
            other => Err(strict_config::raise(ConfigError::wrong_type("", "true, false or \"auto\"", &other))),
        }
    }
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// A name from `anneal list datasets`, or `folder` for a folder of images by class. Default `digits`.
    pub dataset: String,
    /// `folder` only: `path`, where the images are, and how they are read. `dataset = "folder:PATH"` is short for both.
    #[serde(skip)]
    pub folder: Option<(PathBuf, FolderOptions)>,
    /// The settings of a data set of the program's own.
    #[serde(skip)]
    pub own: Option<OwnDataset>,
    /// Where data sets are looked for first; then `ANNEAL_DATA_DIR`, then the user's cache folder.
    pub data_dir: Option<PathBuf>,
    /// Items in a batch. Default 64.
    pub batch_size: usize,
    /// The fraction of the training set held out for validation, by a split seeded with the run. Default 0.1.
    pub validation: f64,
    /// Augmentation of training images: `none`, or pieces joined by `+`. Default `none`.
    pub augment: String,
    /// Threads that assemble batches ahead. Default 1.
    pub workers: usize,
    /// Whether the images live on the device. Default `auto`.
    pub resident: Resident,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            dataset: "digits".to_owned(),
            folder: None,
            own: None,
            data_dir: None,
            batch_size: 64,
            validation: 0.1,
            augment: "none".to_owned(),
            workers: 1,
            resident: Resident::default(),
        }
    }
}

impl Settings for DataSection {
    fn check(&self) -> Result<(), ConfigError> {
        vision::Augment::parse(&self.augment).map_err(|error| ConfigError::conflict("augment", error.to_string()))?;
        check::at_least("batch_size", self.batch_size as u64, 1)?;
        let allowed = "a fraction of at least 0 and below 1";
        check::number("validation", self.validation, allowed, |part| (0.0..1.0).contains(&part))
    }
}

impl DataSection {
    /// Reads the table, which may name the built-in data sets.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        Self::from_table_with(table, &DatasetRegistry::standard())
    }

    /// Reads the table, which may name these data sets.
    pub fn from_table_with(table: &Table, datasets: &DatasetRegistry) -> Result<Self, ConfigError> {
        Self::read(table, datasets).map_err(|error| error.within("data"))
    }

    fn read(table: &Table, datasets: &DatasetRegistry) -> Result<Self, ConfigError> {
        let name = table.get("dataset").and_then(Value::as_str).unwrap_or_default();
        let short = name.strip_prefix(FOLDER_PREFIX);
        if let Some(entry) = datasets.own(name) {
            let (own, shared): (Table, Table) =
                table.clone().into_iter().partition(|(field, _)| !shared_fields().contains(&field.as_str()));
            let own = entry.read(&own).map_err(|error| error.with_known(&shared_fields()))?;
            return Ok(Self { own: Some(own), ..strict_config::read(&shared, "")? });
        }
        if short.is_none() && name != FOLDER {
            let names: Vec<&str> = datasets.iter().map(|info| info.name).chain([FOLDER]).collect();
            // Before its fields: those of a misspelt data set are no mistakes of their own.
            if table.get("dataset").is_some_and(Value::is_str) && !names.contains(&name) {
                return Err(ConfigError::unknown_name("dataset", "dataset", name, names));
            }
            return strict_config::read(table, "");
        }
        let of_folder = folder_fields();
        let (mut folder, mut table): (Table, Table) =
            table.clone().into_iter().partition(|(field, _)| of_folder.contains(&field.as_str()));
        table.insert("dataset".to_owned(), FOLDER.into());
        let path = match (short, folder.remove("path")) {
            (Some(path), None) => path.into(),
            (None, Some(Value::String(path))) => path.into(),
            (None, Some(other)) => return Err(ConfigError::wrong_type("path", "a string", &other)),
            (Some(_), Some(_)) => return Err(ConfigError::conflict("path", "the path stands in `dataset` already")),
            (None, None) => {
                return Err(ConfigError::missing("path", "the folder that holds train/CLASS/*.png or *.jpg"));
            }
        };
        let section: Self = strict_config::read(&table, "").map_err(|error| error.with_known(&of_folder))?;
        Ok(Self { folder: Some((path, strict_config::read(&folder, "")?)), ..section })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        for (field, value) in strict_config::write(self) {
            table.insert(field, value);
            // What belongs to this data set follows its name, which is the first field.
            if table.len() == 1 {
                if let Some((path, options)) = &self.folder {
                    table.insert("path".to_owned(), path.display().to_string().into());
                    table.extend(strict_config::write(options));
                }
                table.extend(self.own.iter().flat_map(OwnDataset::write));
            }
        }
        table
    }

    /// Loads the data set that is named.
    pub fn load(&self) -> Result<Dataset, DataError> {
        match (&self.folder, &self.own) {
            (_, Some(own)) => own.load(self.data_dir.as_deref()),
            (Some((path, options)), None) => vision::load_folder(path, options),
            (None, None) => vision::load(&self.dataset, self.data_dir.as_deref()),
        }
    }
}
