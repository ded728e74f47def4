//! `[data]`: what is trained on, and how it is cut into batches.

use std::path::PathBuf;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};
use vision::{DataError, Dataset, FOLDER_PREFIX, FolderOptions};

use super::put;

/// The name of a data set that is a folder of images.
const FOLDER: &str = "folder";

/// `resident`: whether the images live on the device, where batches are then assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resident {
    /// On a GPU, where the data set is not too large.
    #[default]
    Auto,
    /// On any device; what cannot be reached there is refused.
    Always,
    /// Batches are assembled on the host.
    Never,
}

impl Resident {
    fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        match fields.value("resident") {
            None => Ok(Self::Auto),
            Some(Value::String(text)) if text == "auto" => Ok(Self::Auto),
            Some(Value::Boolean(true)) => Ok(Self::Always),
            Some(Value::Boolean(false)) => Ok(Self::Never),
            Some(other) => Err(fields.wrong_type("resident", "true, false or \"auto\"", other)),
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::Auto => "auto".into(),
            Self::Always => true.into(),
            Self::Never => false.into(),
        }
    }
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSection {
    /// A name from `anneal list datasets`, or `folder` for a folder of images by class. Default `digits`.
    pub dataset: String,
    /// `folder` only: where the images are, and how they are read. `dataset = "folder:PATH"` says the path at once.
    pub folder: Option<(PathBuf, FolderOptions)>,
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

impl DataSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let usual = ["dataset", "data_dir", "batch_size", "validation", "augment", "workers", "resident"];
        let of_folder = ["path", "image_size", "grey", "test", "split_seed"];
        let any = Fields::open_any(table, "data");
        let name = any.str("dataset")?.unwrap_or("digits");
        let short = name.strip_prefix(FOLDER_PREFIX);
        let is_folder = short.is_some() || name == FOLDER;
        let known: Vec<&str> = usual.into_iter().chain(of_folder.into_iter().filter(|_| is_folder)).collect();
        let fields = Fields::open(table, "data", &known)?;
        let names: Vec<&str> = vision::known().map(|info| info.name).chain([FOLDER]).collect();
        if !is_folder && !names.contains(&name) {
            return Err(ConfigError::unknown_name(fields.path_of("dataset"), "dataset", name, names));
        }
        let folder = if is_folder { Some(folder(&fields, short)?) } else { None };
        let augment = fields.str("augment")?.unwrap_or("none");
        vision::Augment::parse(augment)
            .map_err(|error| ConfigError::conflict(fields.path_of("augment"), error.to_string()))?;
        Ok(Self {
            dataset: if is_folder { FOLDER } else { name }.to_owned(),
            folder,
            data_dir: fields.str("data_dir")?.map(PathBuf::from),
            batch_size: fields.u64_from("batch_size", 1)?.unwrap_or(64) as usize,
            validation: fields
                .f64_where("validation", "a fraction of at least 0 and below 1", |part| (0.0..1.0).contains(&part))?
                .unwrap_or(0.1),
            augment: augment.to_owned(),
            workers: fields.u64("workers")?.unwrap_or(1) as usize,
            resident: Resident::read(&fields)?,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "dataset", Some(self.dataset.clone()));
        if let Some((path, options)) = &self.folder {
            put(&mut table, "path", Some(path.display().to_string()));
            put(&mut table, "image_size", Some(options.image_size as i64));
            put(&mut table, "grey", Some(options.grey));
            put(&mut table, "test", Some(options.test));
            put(&mut table, "split_seed", Some(options.split_seed as i64));
        }
        put(&mut table, "data_dir", self.data_dir.as_ref().map(|path| path.display().to_string()));
        put(&mut table, "batch_size", Some(self.batch_size as i64));
        put(&mut table, "validation", Some(self.validation));
        put(&mut table, "augment", Some(self.augment.clone()));
        put(&mut table, "workers", Some(self.workers as i64));
        put(&mut table, "resident", Some(self.resident.to_value()));
        table
    }

    /// Loads the data set that is named.
    pub fn load(&self) -> Result<Dataset, DataError> {
        match &self.folder {
            Some((path, options)) => vision::load_folder(path, options),
            None => vision::load(&self.dataset, self.data_dir.as_deref()),
        }
    }
}

/// The path of a folder of images (`short`, where the data set's name says it) and how it is read.
fn folder(fields: &Fields<'_>, short: Option<&str>) -> Result<(PathBuf, FolderOptions), ConfigError> {
    let path = match (short, fields.str("path")?) {
        (Some(path), None) | (None, Some(path)) => PathBuf::from(path),
        (Some(_), Some(_)) => {
            return Err(ConfigError::conflict(
                fields.path_of("path"),
                "the path stands in `dataset` already".to_owned(),
            ));
        }
        (None, None) => return Err(fields.missing("path", "the folder that holds train/CLASS/*.png or *.jpg")),
    };
    let usual = FolderOptions::default();
    let most = FolderOptions::LARGEST_SIZE;
    let image_size = fields.u64_from("image_size", 1)?.map_or(usual.image_size, |size| size as usize);
    if image_size > most {
        return Err(ConfigError::not_allowed(
            fields.path_of("image_size"),
            image_size,
            format!("at most {most} pixels"),
        ));
    }
    let options = FolderOptions {
        image_size,
        grey: fields.bool("grey")?.unwrap_or(usual.grey),
        test: fields
            .f64_where("test", "a part of more than 0 and below 1", |part| part > 0.0 && part < 1.0)?
            .unwrap_or(usual.test),
        split_seed: fields.u64("split_seed")?.unwrap_or(usual.split_seed),
    };
    Ok((path, options))
}
