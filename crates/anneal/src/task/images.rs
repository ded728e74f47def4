//! Image classification.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::{
    tensor::{Device, activation::softmax},
    train::{InferenceStep, metric::AccuracyMetric},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Settings, by_value, check};
use toml::{Table, Value};
use trainer::{Metrics, Split, data::split};
use vision::{
    Augment, Batcher, Dataset, DatasetRegistry, FOLDER_PREFIX, FolderOptions, ImageBatch, ImageSet, ImageShape,
    OnDeviceError, OwnDataset,
    models::{Classifier, Layer, ModelConfig, ModelError, ModelRegistry, Tta, total_parameters},
};

use super::{
    Assemble, ChosenTask, Classes, DataSection, Draw, ModelRow, Prediction, Setup, Size, Tables, Task, TaskBatch,
    TaskError, TaskSettings, kept,
};

/// The name of a data set that is a folder of images.
pub(crate) const FOLDER: &str = "folder";

/// The most bytes of a data set that `resident = "auto"` puts on a GPU: 1 GiB.
const RESIDENT_MOST: u64 = 1 << 30;

/// The model where `[model] type` names none.
const DEFAULT_MODEL: &str = "mlp";

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
        by_value(deserializer, "true, false or \"auto\"", |value| match value {
            Value::String(text) if text == "auto" => Some(Ok(Self::Auto)),
            Value::Boolean(true) => Some(Ok(Self::Always)),
            Value::Boolean(false) => Some(Ok(Self::Never)),
            _ => None,
        })
    }
}

/// The fields that `dataset = "folder"` adds.
pub(crate) fn folder_fields() -> Vec<&'static str> {
    [&["path"], strict_config::fields_of::<FolderOptions>()].concat()
}

/// The fields of `[data]` that images have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageData {
    /// `folder` only: `path`, where the images are, and how they are read. `dataset = "folder:PATH"` is short for both.
    #[serde(skip)]
    pub folder: Option<(PathBuf, FolderOptions)>,
    /// The settings of a data set of the program's own.
    #[serde(skip)]
    pub own: Option<OwnDataset>,
    /// Augmentation of training images: `none`, or pieces joined by `+`. Default `none`.
    pub augment: String,
    /// Whether the images live on the device. Default `auto`.
    pub resident: Resident,
}

impl Default for ImageData {
    fn default() -> Self {
        Self { folder: None, own: None, augment: "none".to_owned(), resident: Resident::default() }
    }
}

impl Settings for ImageData {
    fn check(&self) -> Result<(), ConfigError> {
        Augment::parse(&self.augment).map_err(|error| ConfigError::conflict("augment", error.to_string())).map(drop)
    }
}

impl Serialize for ImageData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = Table::new();
        if let Some((path, options)) = &self.folder {
            table.insert("path".to_owned(), path.display().to_string().into());
            table.extend(strict_config::write(options));
        }
        table.extend(self.own.iter().flat_map(OwnDataset::write));
        table.insert("augment".to_owned(), self.augment.clone().into());
        table.insert("resident".to_owned(), Value::try_from(self.resident).map_err(serde::ser::Error::custom)?);
        table.serialize(serializer)
    }
}

/// The settings of a model of images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageModel {
    /// `type`, a name from `anneal list models`, and the settings of that model. Default `mlp`.
    pub settings: ModelConfig,
    /// Smoothing of the target distribution in the training loss, from 0 to below 1. Default 0.
    pub label_smoothing: f64,
}

/// What every model of images has.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Smoothing {
    label_smoothing: f64,
}

impl Settings for Smoothing {
    fn check(&self) -> Result<(), ConfigError> {
        check::below_one("label_smoothing", self.label_smoothing)
    }
}

impl Serialize for ImageModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = self.settings.write();
        table.insert("label_smoothing".to_owned(), self.label_smoothing.into());
        table.serialize(serializer)
    }
}

impl ImageModel {
    /// The fields that every model of images has, `type` and `pretrained` among them.
    pub(crate) const SHARED: [&str; 3] = ["type", "label_smoothing", "pretrained"];

    /// Reads the fields of a model of this name; paths in errors begin at the table.
    fn read(name: &str, table: Table, models: &ModelRegistry) -> Result<Self, ConfigError> {
        let (common, own): (Table, Table) = table.into_iter().partition(|(field, _)| field == "label_smoothing");
        let Smoothing { label_smoothing } = strict_config::read(&common, "")?;
        let settings = ModelConfig::read_with(name, &own, models).map_err(|error| error.with_known(&Self::SHARED))?;
        if matches!(settings, ModelConfig::Own(_)) && label_smoothing > 0.0 {
            let allowed = format!("0: `{name}` computes its own loss");
            return Err(ConfigError::not_allowed("label_smoothing", label_smoothing, allowed));
        }
        Ok(Self { settings, label_smoothing })
    }

    /// The model, with parameters that are drawn from the generator of `device`.
    ///
    /// # Errors
    /// Images that are too small for the model, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Classifier, ModelError> {
        let model = Classifier::new(self.settings.clone(), shape, classes, device)?;
        model.with_label_smoothing(self.label_smoothing as f32)
    }
}

/// `[eval]` of images: for validation, the test at the end, `anneal evaluate` and `anneal predict`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageEval {
    /// Test-time augmentation: `none`, `flip` or `flip+shift`. Default `none`.
    pub tta: Tta,
}

impl Settings for ImageEval {}

/// Image classification: what every data set of images is for.
pub struct ImageClassification {
    dataset: Dataset,
    /// The images that are trained on, augmented, and the same as they are.
    augmented: Batcher,
    train: Batcher,
    valid: Batcher,
    test: Batcher,
    resident: Resident,
    on_gpu: bool,
    tta: Tta,
}

impl ImageClassification {
    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    fn batcher(&self, part: Split, is_drawn: bool) -> &Batcher {
        match part {
            Split::Train if is_drawn => &self.augmented,
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }

    /// Whether these images live on the device.
    fn is_resident(&self, batcher: &Batcher) -> bool {
        match self.resident {
            Resident::Always => true,
            Resident::Never => false,
            Resident::Auto => {
                let images = (self.dataset.train.len() + self.dataset.test.len()) as u64;
                let each = batcher.bytes_on_device() / batcher.set().len().max(1) as u64;
                self.on_gpu && batcher.fits_on_device().is_ok() && images * each <= RESIDENT_MOST
            }
        }
    }
}

/// What a run keeps of it: what its images are turned into, and what outputs stand for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The data set.
    name: String,
    /// The SHA-256 of its images.
    images: String,
    /// Channels, rows, columns.
    shape: [usize; 3],
    /// Their names, in the order of the outputs.
    classes: Vec<String>,
    /// Of each channel, pixels scaled to 0..1.
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Kept {
    fn of(dataset: &Dataset) -> Self {
        let ImageShape { channels, height, width } = dataset.shape();
        Self {
            name: dataset.name.clone(),
            images: dataset.fingerprint.clone(),
            shape: [channels, height, width],
            classes: dataset.classes.clone(),
            mean: dataset.mean.clone(),
            std: dataset.std.clone(),
        }
    }

    /// The data set without its images.
    fn dataset(self) -> Result<Dataset, vision::DataError> {
        let [channels, height, width] = self.shape;
        let none = ImageSet::new(Vec::new(), Vec::new(), ImageShape::new(channels, height, width), self.classes.len());
        let none = none.map_err(|problem| vision::DataError::Set { name: self.name.clone(), problem })?;
        Ok(Dataset {
            fingerprint: self.images,
            mean: self.mean,
            std: self.std,
            ..Dataset::new(self.name, none.clone(), none, self.classes)?
        })
    }
}

fn not_resident(error: &OnDeviceError) -> ConfigError {
    ConfigError::conflict("data.resident", format!("{error}; set resident = false or \"auto\""))
}

impl Task for ImageClassification {
    const NAME: &'static str = "images";
    const SUMMARY: &'static str = "images, each of one class";

    type Data = ImageData;
    type Model = ImageModel;
    type Eval = ImageEval;
    type Network = Classifier;

    fn models() -> Vec<ModelRow<ImageModel>> {
        // Its entry reads them by a registry.
        Vec::new()
    }

    fn metrics(_: &TaskSettings<Self>) -> Metrics<Classifier> {
        Metrics::new().with(AccuracyMetric::new())
    }

    fn paths(data: &mut ImageData) -> Vec<&mut PathBuf> {
        data.folder.iter_mut().map(|(path, _)| path).collect()
    }

    /// What a checkpoint notes was named before there were tasks; which images they are is in the fingerprint.
    fn noted_as(field: &str) -> Option<String> {
        (field == "augment").then(|| field.to_owned())
    }

    fn load(settings: &TaskSettings<Self>, setup: &Setup) -> Result<Self, TaskError> {
        let (data, data_dir) = (&settings.data, setup.data.data_dir.as_deref());
        let dataset = match (&setup.kept, &data.folder, &data.own) {
            (Some(kept), ..) => kept::read::<Kept>(kept)?.dataset(),
            (None, _, Some(own)) => own.load(data_dir),
            (None, Some((path, options)), None) => vision::load_folder(path, options),
            (None, None, None) => vision::load(&setup.data.dataset, data_dir),
        }?;
        let (train, valid) = split(dataset.train.len(), setup.data.validation, setup.seed);
        let (train, valid) = (dataset.train.subset(&train), dataset.train.subset(&valid));
        // The text was checked when it was read.
        let augmented = dataset.batcher(train.clone(), Augment::parse(&data.augment).unwrap_or_default());
        let augmented = augmented.map_err(|error| ConfigError::conflict("data.augment", error.to_string()))?;
        if data.resident == Resident::Always {
            augmented.fits_on_device().map_err(|error| not_resident(&error))?;
        }
        let still = |set| dataset.batcher(set, Augment::NONE);
        Ok(Self {
            augmented,
            train: still(train)?,
            valid: still(valid)?,
            test: still(dataset.test.clone())?,
            resident: data.resident,
            on_gpu: setup.on_gpu,
            tta: settings.eval.tta,
            dataset,
        })
    }

    fn items(&self, part: Split) -> usize {
        self.batcher(part, false).set().len()
    }

    fn classes(&self) -> Option<Classes> {
        let images = self.train.set();
        let of_items = (0..images.len()).map(|image| images.label(image).into()).collect();
        Some(Classes { names: self.dataset.classes.clone(), of_items })
    }

    fn batch(&self, part: Split, items: &[usize], draw: Option<Draw>, device: &Device) -> ImageBatch {
        let Draw { seed, epoch } = draw.unwrap_or(Draw { seed: 0, epoch: 0 });
        self.batcher(part, draw.is_some()).batch(items, epoch, seed, device)
    }

    fn network(&self, model: &ImageModel, device: &Device) -> Result<Classifier, TaskError> {
        Ok(model.init(self.dataset.shape(), self.dataset.classes.len(), device)?.with_tta(self.tta))
    }

    fn prepared(&self, network: Classifier) -> Classifier {
        network.init_from(&self.train)
    }

    /// Batches assembled on the device, where the images live there, or on the host. They are the same.
    fn assemble(
        self: &Arc<Self>,
        part: Split,
        items: usize,
        seed: Option<u64>,
        device: &Device,
    ) -> Result<Assemble<TaskBatch<Self>>, TaskError> {
        let batcher = self.batcher(part, seed.is_some());
        if self.is_resident(batcher) {
            let chosen = if items < batcher.set().len() {
                self.dataset.batcher(batcher.set().take(items), Augment::NONE)?
            } else {
                batcher.clone()
            };
            let there = chosen.on_device(device).map_err(|error| not_resident(&error))?;
            return Ok(Box::new(move |indices, epoch| Ok(there.batch(indices, epoch, seed.unwrap_or(0)))));
        }
        let (batcher, device) = (batcher.clone(), device.clone());
        Ok(Box::new(move |indices, epoch| {
            let batch = batcher.try_batch(indices, epoch, seed.unwrap_or(0), &device);
            batch.map_err(|error| vision::DataError::from(error).into())
        }))
    }

    /// Inference holds no graph, so larger batches cost little memory.
    fn eval_batch_size(&self, batch_size: usize) -> usize {
        batch_size.max(256)
    }

    fn fingerprint(&self) -> String {
        self.dataset.fingerprint.clone()
    }

    fn kept(&self) -> Option<String> {
        kept::write(&Kept::of(&self.dataset))
    }

    /// A folder by its own name, wherever it lies.
    fn description(&self) -> String {
        let Dataset { name, part, .. } = &self.dataset;
        let folder = name.strip_prefix(FOLDER_PREFIX).and_then(|path| Path::new(path).file_name());
        let name = folder.map_or_else(|| name.clone(), |own| format!("{FOLDER_PREFIX}{}", own.to_string_lossy()));
        part.map_or_else(|| name.clone(), |part| format!("{name} ({part})"))
    }

    fn notes(&self) -> Vec<String> {
        self.dataset.notes.clone()
    }

    fn size(&self, model: &ImageModel, device: &Device) -> Result<Option<Size>, TaskError> {
        let shape = self.dataset.shape();
        let layers = model.settings.layers(shape, self.dataset.classes.len(), device)?;
        Ok(Some(size_of(&layers, shape)))
    }

    /// Pictures (PNG, JPEG), each cut to its middle square and resampled to the size of the training images, as those of a
    /// folder are.
    fn predict(&self, network: &Classifier, inputs: &[String], device: &Device) -> Result<Vec<Prediction>, TaskError> {
        let shape = self.dataset.shape();
        let ImageShape { channels, height, width } = shape;
        if height != width || !matches!(channels, 1 | 3) {
            let problem = format!("the model takes images of {shape}; pictures become squares with 1 or 3 channels");
            return Err(TaskError::input(inputs.first().cloned().unwrap_or_default(), problem));
        }
        let mut predictions = Vec::new();
        for inputs in inputs.chunks(256) {
            let mut pixels = Vec::with_capacity(inputs.len() * shape.pixels());
            for input in inputs {
                pixels.extend(vision::load_picture(Path::new(input), shape)?);
            }
            let labels = vec![0; inputs.len()];
            let name = || inputs.first().cloned().unwrap_or_default();
            let set = ImageSet::new(pixels, labels, shape, self.dataset.classes.len())
                .map_err(|problem| vision::DataError::Set { name: name(), problem })?;
            let all: Vec<usize> = (0..inputs.len()).collect();
            let batch = self.dataset.batcher(set, Augment::NONE)?.batch(&all, 0, 0, device);
            let logits = InferenceStep::step(network, batch).output;
            let probabilities = softmax(logits, 1).into_data_as::<f64>().try_to_vec::<f64>();
            let probabilities = probabilities.map_err(|error| TaskError::other(error.to_string()))?;
            let classes = &self.dataset.classes;
            let rows = inputs.iter().zip(probabilities.chunks_exact(classes.len()));
            predictions.extend(rows.map(|(input, row)| Prediction::of_classes(input, classes, row)));
        }
        Ok(predictions)
    }
}

/// The size of a network of these layers, for images of this shape.
pub(crate) fn size_of(layers: &[Layer], shape: ImageShape) -> Size {
    let outputs = layers.iter().map(|layer| layer.output.iter().copied().fold(1, usize::saturating_mul));
    let made = outputs.fold(0, usize::saturating_add);
    Size { parameters: total_parameters(layers), item: shape.pixels(), made }
}

/// Image classification with these models and data sets.
pub(crate) struct ImageEntry<'r> {
    pub models: &'r ModelRegistry,
    pub datasets: &'r DatasetRegistry,
}

impl ImageEntry<'_> {
    /// The names that `[data] dataset` may have.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = &'static str> {
        self.datasets.iter().map(|info| info.name).chain([FOLDER])
    }

    /// Whether it knows a data set of this name.
    pub(crate) fn knows(&self, dataset: &str) -> bool {
        dataset.starts_with(FOLDER_PREFIX) || self.datasets().any(|name| name == dataset)
    }

    fn data(&self, shared: &mut DataSection, table: Table) -> Result<ImageData, ConfigError> {
        if let Some(entry) = self.datasets.own(&shared.dataset) {
            let own_fields = strict_config::fields_of::<ImageData>();
            let (common, own): (Table, Table) =
                table.into_iter().partition(|(field, _)| own_fields.contains(&field.as_str()));
            let own = entry.read(&own).map_err(|error| error.with_known(own_fields))?;
            return Ok(ImageData { own: Some(own), ..strict_config::read(&common, "")? });
        }
        let short = shared.dataset.strip_prefix(FOLDER_PREFIX).map(str::to_owned);
        if short.is_none() && shared.dataset != FOLDER {
            return strict_config::read(&table, "");
        }
        FOLDER.clone_into(&mut shared.dataset);
        let of_folder = folder_fields();
        let (mut folder, common): (Table, Table) =
            table.into_iter().partition(|(field, _)| of_folder.contains(&field.as_str()));
        let path = match (short, folder.remove("path")) {
            (Some(path), None) | (None, Some(Value::String(path))) => path.into(),
            (None, Some(other)) => return Err(ConfigError::wrong_type("path", "a string", &other)),
            (Some(_), Some(_)) => return Err(ConfigError::conflict("path", "`dataset` holds the path already")),
            (None, None) => {
                return Err(ConfigError::missing("path", "the folder that holds train/CLASS/*.png or *.jpg"));
            }
        };
        let data: ImageData = strict_config::read(&common, "").map_err(|error| error.with_known(&of_folder))?;
        Ok(ImageData { folder: Some((path, strict_config::read(&folder, "")?)), ..data })
    }

    /// Reads the settings; paths in errors begin at the configuration.
    pub(crate) fn read(&self, tables: Tables<'_>) -> Result<ChosenTask, ConfigError> {
        let data = self.data(tables.shared, tables.data);
        let data = data.map_err(|error| error.with_known(DataSection::fields()).within("data"))?;
        let model_name = tables.model_name.unwrap_or_else(|| DEFAULT_MODEL.to_owned());
        let model = ImageModel::read(&model_name, tables.model, self.models);
        let model = model.map_err(|error| error.within("model"))?;
        let eval = strict_config::read(tables.eval, "eval")?;
        Ok(ChosenTask::new(TaskSettings::<ImageClassification> { data, model_name, model, eval }))
    }
}

#[cfg(test)]
mod tests {
    use vision::models::{ConvNetConfig, LeNetConfig, MlpConfig};

    use super::*;

    fn read(text: &str) -> Result<ImageModel, ConfigError> {
        let mut table: Table = text.parse().expect("a table");
        let name = table.remove("type").and_then(|name| name.as_str().map(str::to_owned));
        let entry = ImageEntry { models: &ModelRegistry::standard(), datasets: &DatasetRegistry::standard() };
        let (mut shared, data, eval) = (DataSection::default(), Table::new(), &Table::new());
        let chosen = entry.read(Tables { shared: &mut shared, data, model_name: name, model: table, eval })?;
        Ok(chosen.settings::<ImageClassification>().expect("images").model.clone())
    }

    #[test]
    fn each_model_has_its_own_fields_and_their_defaults() {
        let mlp = |hidden: &[usize]| MlpConfig { hidden: hidden.to_vec() }.into();
        let convnet = |channels: &[usize], residual| ConvNetConfig { channels: channels.to_vec(), residual }.into();
        let cases: [(&str, ModelConfig); 5] = [
            ("type = 'mlp'", mlp(&[256, 128])),
            ("type = 'mlp'\nhidden = []", mlp(&[])),
            ("type = 'lenet'", LeNetConfig {}.into()),
            ("type = 'convnet'", convnet(&[32, 64, 128], false)),
            ("type = 'convnet'\nchannels = [8, 16]\nresidual = true", convnet(&[8, 16], true)),
        ];
        for (text, settings) in cases {
            let model = read(text).expect(text);
            assert_eq!(model.settings, settings, "{text}");
            let written = strict_config::write(&model);
            let written = format!("type = '{}'\n{written}", model.settings.info().name);
            assert_eq!(read(&written).expect(text), model, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let cases = [
            ("type = 'convent'", "did you mean `convnet`?"),
            ("type = 'lenet'\nchannels = [8]", "model.channels"),
            ("type = 'resnet8'\nresidual = true", "model.residual"),
            ("type = 'convnet'\nchannels = []", "model.channels: 0 stages is not allowed here; allowed: 1 to 8 stages"),
            ("type = 'convnet'\nchannels = [8, 0]", "model.channels[1]: 0 is not allowed here"),
            ("type = 'mlp'\nhidden = [0]", "model.hidden[0]: 0 is not allowed here; allowed: a width of at least 1"),
            ("type = 'convnet'\nresidual = 1", "model.residual: expected true or false"),
        ];
        for (text, expected) in cases {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
