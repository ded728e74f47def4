//! From a configuration to the things it names: data, model, optimizer, schedules.

use burn::tensor::Device;
use lr_core::Horizon;
use optim_adaptive::{AdaptiveOptimizer, ConfigError};
use trainer::{
    Rates, Schedules, TrainConfig,
    data::{Loader, split},
    weights,
};
use vision::{Augment, Batcher, Dataset, ImageBatch, ImageSet, OnDeviceError, models::Classifier};

use crate::{
    config::{Config, Resident},
    error::Error,
    run_dir::{CHECKPOINTS, RunDir},
};

/// A configuration with its data loaded, ready to be trained or swept.
pub struct Assembly<'c> {
    config: &'c Config,
    dataset: Dataset,
    device: Device,
    train: ImageSet,
    valid: ImageSet,
}

/// The most bytes of a data set that `resident = "auto"` puts on a GPU: 1 GiB.
const RESIDENT_MOST: u64 = 1 << 30;

/// The run that a configuration describes, for a training set of `items` items. A `fast_dev_run` tries the beginning of
/// that run: its schedule is the whole run's, or a warm-up of a tenth of it would have no step left.
pub fn horizon(config: &Config, items: usize) -> Horizon {
    let held_out = (items as f64 * config.data.validation).round() as usize;
    let batches = items.saturating_sub(held_out).div_ceil(config.data.batch_size.max(1));
    Horizon::run(config.train.steps_per_epoch(batches), config.train.total_steps(batches))
}

impl<'c> Assembly<'c> {
    /// Opens the device, loads the data set and checks everything that can be checked without training: monitors,
    /// schedules, the model.
    pub fn new(config: &'c Config) -> Result<Self, Error> {
        let device = config.run.device.open()?;
        let dataset = config.data.load()?;
        let (train, valid) = split(dataset.train.len(), config.data.validation, config.run.seed);
        let assembly =
            Self { config, device, train: dataset.train.subset(&train), valid: dataset.train.subset(&valid), dataset };
        if assembly.train.is_empty() {
            return Err(ConfigError::not_allowed(
                "data.validation",
                config.data.validation,
                format!("a fraction that leaves some of the {} training items", assembly.dataset.train.len()),
            )
            .into());
        }
        if assembly.valid.is_empty() && config.data.validation > 0.0 && config.train.overfit_batches.is_none() {
            let items = assembly.dataset.train.len();
            return Err(ConfigError::not_allowed(
                "data.validation",
                config.data.validation,
                format!("0, or a fraction that holds out at least one of the {items} training items"),
            )
            .into());
        }
        assembly.check_monitors()?;
        let in_train = |error: ConfigError| error.within("train");
        config.train.check_run(assembly.batches(), &assembly.optimizer()).map_err(in_train)?;
        assembly.rates()?.check_momentum(&assembly.optimizer())?;
        assembly.check_data()?;
        config.train.precision.check(&assembly.device).map_err(in_train)?;
        Ok(assembly)
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The device, with autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The run in steps and epochs.
    pub fn horizon(&self) -> Horizon {
        horizon(self.config, self.dataset.train.len())
    }

    /// The model that a run starts from: freshly initialised, with what it takes from the training images and with the
    /// pretrained weights of the configuration put in. A resumed run takes [`model`](Self::model): its parameters come from the checkpoint.
    ///
    /// # Errors
    /// As [`model`](Self::model); weights that are not there, are damaged or do not fit.
    pub fn initial_model(&self) -> Result<Classifier, Error> {
        let images = self.dataset.batcher(self.train.clone(), Augment::NONE)?;
        let model = self.model()?.init_from(&images);
        let Some(pretrained) = &self.config.model.pretrained else { return Ok(model) };
        let loaded = weights::load(model, &pretrained.path, &pretrained.options);
        let (model, loaded) = loaded.map_err(Error::Pretrained)?;
        tracing::info!("pretrained: {loaded}");
        Ok(model)
    }

    /// A freshly initialised model: a function of the seed.
    pub fn model(&self) -> Result<Classifier, Error> {
        self.device.seed(self.config.run.seed);
        let model = self.config.model.init(self.dataset.shape(), self.dataset.classes.len(), &self.device)?;
        Ok(trainer::stable_ids(model.with_tta(self.config.eval.tta)))
    }

    /// A fresh optimizer, with the groups.
    pub fn optimizer(&self) -> AdaptiveOptimizer {
        self.config.optimizer.init_with_groups(self.config.groups.groups())
    }

    /// What the rates follow.
    pub fn schedules(&self) -> Schedules {
        let own = self.config.groups.iter().enumerate().filter_map(|(i, (_, schedule))| Some((i, schedule?.clone())));
        own.fold(self.config.schedule.clone().into(), |schedules: Schedules, (i, own)| schedules.with_group(i, own))
    }

    /// The rates of the run, at the optimizer's rate.
    pub fn rates(&self) -> Result<Rates, ConfigError> {
        self.schedules().rates(&self.horizon(), self.config.optimizer.lr())
    }

    /// Training batches: shuffled by (seed, epoch), augmented by (seed, epoch, index). Those of `overfit_batches` are not
    /// shuffled.
    pub fn train_loader(&self) -> Result<Loader<ImageBatch>, Error> {
        let loader = self.loader(self.training_batcher()?, self.config.data.batch_size, &self.device)?;
        let loader = loader.content(self.dataset.fingerprint.clone()).workers(self.config.data.workers);
        let in_order = self.config.train.overfit_batches.is_some();
        Ok(if in_order { loader } else { loader.shuffled(self.config.run.seed) })
    }

    /// Validation batches; `None` where nothing is held out. With `overfit_batches` the training images themselves.
    pub fn valid_loader(&self) -> Result<Option<Loader<ImageBatch>>, Error> {
        match self.config.train.overfit_batches {
            Some(batches) => self.still(&self.first_batches(&self.train, batches)).map(Some),
            None if self.valid.is_empty() => Ok(None),
            None => self.still(&self.valid).map(Some),
        }
    }

    /// Test batches; of a `fast_dev_run` as many items as it trains on.
    pub fn test_loader(&self) -> Result<Loader<ImageBatch>, Error> {
        match self.config.train.fast_dev_run {
            Some(batches) => self.still(&self.first_batches(&self.dataset.test, batches)),
            None => self.still(&self.dataset.test),
        }
    }

    /// Whether there is anything to validate on.
    fn validates(&self) -> bool {
        !self.valid.is_empty() || self.config.train.overfit_batches.is_some()
    }

    /// Batches in an epoch of the whole training set.
    fn batches(&self) -> usize {
        self.train.len().div_ceil(self.config.data.batch_size.max(1))
    }

    /// The images of the first training-sized batches of a set.
    fn first_batches(&self, set: &ImageSet, batches: usize) -> ImageSet {
        let items = batches.saturating_mul(self.config.data.batch_size).min(set.len());
        set.subset(&(0..items).collect::<Vec<usize>>())
    }

    /// Batches as they are, in order, for a model in inference mode.
    fn still(&self, set: &ImageSet) -> Result<Loader<ImageBatch>, Error> {
        let batcher = self.dataset.batcher(set.clone(), Augment::NONE)?;
        // Inference holds no graph, so larger batches cost little memory.
        self.loader(batcher, self.config.data.batch_size.max(256), &self.device.clone().inner())
    }

    /// What makes batches of the training images, augmented.
    fn training_batcher(&self) -> Result<Batcher, Error> {
        let augment = Augment::parse(&self.config.data.augment).unwrap_or_default();
        Ok(self.dataset.batcher(self.train.clone(), augment)?)
    }

    /// Batches assembled on the device, where the images live there, or on the host. They are the same.
    fn loader(&self, batcher: Batcher, batch_size: usize, device: &Device) -> Result<Loader<ImageBatch>, Error> {
        let (items, seed) = (batcher.set().len(), self.config.run.seed);
        if self.is_resident(&batcher) {
            let batcher = batcher.on_device(device).map_err(|error| not_resident(&error))?;
            return Ok(Loader::new(items, batch_size, move |indices, epoch| batcher.batch(indices, epoch, seed)));
        }
        let device = device.clone();
        Ok(Loader::new(items, batch_size, move |indices, epoch| batcher.batch(indices, epoch, seed, &device)))
    }

    /// Whether these images live on the device.
    fn is_resident(&self, batcher: &Batcher) -> bool {
        match self.config.data.resident {
            Resident::Always => true,
            Resident::Never => false,
            Resident::Auto => {
                let images = (self.dataset.train.len() + self.dataset.test.len()) as u64;
                let each = batcher.bytes_on_device() / batcher.set().len().max(1) as u64;
                self.config.run.device.is_gpu() && batcher.fits_on_device().is_ok() && images * each <= RESIDENT_MOST
            }
        }
    }

    /// Refuses an augmentation that does not fit the images, and images that are to live on the device and cannot.
    fn check_data(&self) -> Result<(), Error> {
        let train = self.training_batcher()?;
        if self.config.data.resident == Resident::Always {
            train.fits_on_device().map_err(|error| not_resident(&error))?;
        }
        Ok(())
    }

    /// The trainer's settings for a run in `dir`; without one nothing is kept.
    pub fn train_config(&self, dir: Option<&RunDir>) -> TrainConfig {
        let config = self.config;
        let mut train =
            TrainConfig { seed: config.run.seed, fingerprint: config.fingerprint(), ..config.train.clone() };
        if config.run.device.is_gpu() {
            train.check_every = train.log_every;
        }
        if let (Some(dir), Some(policy)) = (dir, &mut train.checkpoint) {
            policy.directory = dir.path(CHECKPOINTS);
        }
        train
    }

    /// Refuses to wait for a value that no validation of this run gives, with the field that asks for it.
    fn check_monitors(&self) -> Result<(), ConfigError> {
        let mut known = vec!["train.loss"];
        if self.validates() {
            known.extend(["valid.loss", "valid.accuracy"]);
        }
        let train = self.config.train.monitors(self.validates());
        let train = train.map(|(field, monitor)| (format!("train.{field}"), monitor));
        let base = self.config.schedule.monitor().map(|monitor| ("schedule.monitor".to_owned(), monitor));
        let groups = self
            .config
            .groups
            .iter()
            .enumerate()
            .filter_map(|(i, (_, schedule))| Some((format!("groups[{i}].schedule.monitor"), schedule?.monitor()?)));
        for (path, monitor) in train.chain(base).chain(groups) {
            if !known.contains(&monitor) {
                let mut error = ConfigError::unknown_name(path, "monitored value", monitor, known.iter().copied());
                if !self.validates() && monitor.starts_with("valid.") {
                    error = ConfigError::conflict(
                        error.path,
                        format!("`{monitor}` needs a validation set, and data.validation is 0"),
                    );
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

fn not_resident(error: &OnDeviceError) -> ConfigError {
    ConfigError::conflict("data.resident", format!("{error}; set resident = false or \"auto\""))
}
