//! A task with its data, and a network of it, as the experiments see those of any task: the one place where code is
//! compiled for each task.

use std::{
    any::Any,
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use burn::{module::Module, tensor::Device};
use optim_adaptive::{AdaptiveOptimizer, ParameterRow};
use trainer::{
    Callback, FitReport, Freeze, Rates, Schedules, Split, TrainConfig, TrainError, Trainer,
    checkpoint::Checkpoint,
    data::{Loader, Source},
    lr_finder::{LrFinder, LrSweeps, Subject},
    weights::{self, LoadOptions, WeightsError},
};

use super::{Batch, Prediction, Setup, Task, TaskError, TaskSettings};

/// A task with its data loaded, and the settings of the run.
pub struct Loaded<T: Task> {
    task: Arc<T>,
    settings: Arc<TaskSettings<T>>,
    setup: Arc<Setup>,
}

impl<T: Task> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        Self { task: Arc::clone(&self.task), settings: Arc::clone(&self.settings), setup: Arc::clone(&self.setup) }
    }
}

impl<T: Task> Loaded<T> {
    /// Loads the data.
    ///
    /// # Errors
    /// As [`Task::load`].
    pub fn new(settings: TaskSettings<T>, setup: Setup) -> Result<Self, TaskError> {
        let task = Arc::new(T::load(&settings, &setup)?);
        Ok(Self { task, settings: Arc::new(settings), setup: Arc::new(setup) })
    }

    /// The task.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// A freshly initialised network: a function of the seed.
    ///
    /// # Errors
    /// As [`Task::network`].
    pub fn network(&self, device: &Device) -> Result<T::Network, TaskError> {
        device.seed(self.setup.seed);
        // burn draws a parameter where it is first looked at, which is here: in the order of the module.
        Ok(trainer::stable_ids(self.task.network(&self.settings.model, device)?))
    }

    /// Training batches: shuffled by (seed, epoch), drawn by (seed, epoch, item). Those of `overfit_batches` are not
    /// shuffled.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn train_loader(&self, device: &Device) -> Result<Loader<Batch<T>>, TaskError> {
        let (setup, items) = (&self.setup, self.task.items(Split::Train));
        let assemble = self.task.assemble(Split::Train, items, Some(setup.seed), device)?;
        let loader = Loader::new(items, setup.data.batch_size, assemble);
        let loader = loader.content(self.task.fingerprint()).workers(setup.data.workers);
        Ok(if setup.overfit_batches.is_some() { loader } else { loader.shuffled(setup.seed) })
    }

    /// Validation batches; `None` where nothing is held out. With `overfit_batches` the training items themselves.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn valid_loader(&self, device: &Device) -> Result<Option<Loader<Batch<T>>>, TaskError> {
        match self.setup.overfit_batches {
            Some(batches) => self.still(Split::Train, Some(batches), device).map(Some),
            None if self.task.items(Split::Valid) == 0 => Ok(None),
            None => self.still(Split::Valid, None, device).map(Some),
        }
    }

    /// Test batches; of a `fast_dev_run` as many items as it trains on.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn test_loader(&self, device: &Device) -> Result<Loader<Batch<T>>, TaskError> {
        self.still(Split::Test, self.setup.fast_dev_run, device)
    }

    /// Batches as they are, in order, for a model in inference mode; where they are limited, so many of the size of the
    /// training.
    fn still(&self, part: Split, batches: Option<usize>, device: &Device) -> Result<Loader<Batch<T>>, TaskError> {
        let (all, batch_size) = (self.task.items(part), self.setup.data.batch_size);
        let items = batches.map_or(all, |batches| batches.saturating_mul(batch_size).min(all));
        let assemble = self.task.assemble(part, items, None, &device.clone().inner())?;
        Ok(Loader::new(items, self.task.eval_batch_size(batch_size), assemble))
    }

    fn learner(&self, network: T::Network, device: &Device) -> Box<dyn AnyLearner> {
        Box::new(Learner { data: self.clone(), device: device.clone(), network })
    }
}

/// [`Loaded`] data of any task.
pub(crate) trait AnyData {
    fn as_any(&self) -> &dyn Any;
    fn items(&self, part: Split) -> usize;
    /// What reports call the data.
    fn description(&self) -> String;
    /// A freshly initialised network.
    fn fresh(&self, device: &Device) -> Result<Box<dyn AnyLearner>, TaskError>;
    /// The network that a run starts from: fresh, with what it takes from the training data and with pretrained weights.
    fn initial(
        &self,
        device: &Device,
        pretrained: Option<(&Path, &LoadOptions)>,
    ) -> Result<Box<dyn AnyLearner>, TaskError>;
    /// The network to evaluate of a checkpoint; `optimizer` is a fresh one of the run.
    fn kept(
        &self,
        device: &Device,
        checkpoint: &Checkpoint,
        optimizer: AdaptiveOptimizer,
    ) -> Result<Box<dyn AnyLearner>, TaskError>;
}

impl<T: Task> AnyData for Loaded<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn items(&self, part: Split) -> usize {
        self.task.items(part)
    }

    fn description(&self) -> String {
        self.task.description()
    }

    fn fresh(&self, device: &Device) -> Result<Box<dyn AnyLearner>, TaskError> {
        Ok(self.learner(self.network(device)?, device))
    }

    fn initial(
        &self,
        device: &Device,
        pretrained: Option<(&Path, &LoadOptions)>,
    ) -> Result<Box<dyn AnyLearner>, TaskError> {
        let mut network = self.task.prepared(self.network(device)?);
        if let Some((path, options)) = pretrained {
            let (loaded, report) = weights::load(network, path, options).map_err(TaskError::Pretrained)?;
            tracing::info!("pretrained: {report}");
            network = loaded;
        }
        Ok(self.learner(network, device))
    }

    fn kept(
        &self,
        device: &Device,
        checkpoint: &Checkpoint,
        optimizer: AdaptiveOptimizer,
    ) -> Result<Box<dyn AnyLearner>, TaskError> {
        let (network, train) = (self.network(device)?, self.train_loader(device)?);
        let network = trainer::kept_model(checkpoint, network, optimizer, &train, self.setup.seed)?;
        Ok(self.learner(network, device))
    }
}

/// How a network is trained.
pub(crate) struct FitPlan {
    pub settings: TrainConfig,
    pub optimizer: AdaptiveOptimizer,
    pub schedules: Schedules,
    pub callbacks: Vec<Box<dyn Callback>>,
    pub interrupt: Arc<AtomicBool>,
    pub resume: Option<Checkpoint>,
}

/// A network of any task, with the task's data.
pub(crate) trait AnyLearner {
    /// Its trainable numbers.
    fn parameters(&self) -> usize;
    /// See [`trainer::check_start`].
    fn check_start(&self, optimizer: &AdaptiveOptimizer, freeze: &[Freeze]) -> Result<(), TrainError>;
    /// Each parameter, and what steps it.
    fn rows(&self, optimizer: &AdaptiveOptimizer) -> Vec<ParameterRow>;
    /// Sweeps over the training data; with `validate`, over so many validation batches at each rate.
    fn sweep(
        &self,
        finder: &LrFinder,
        optimizer: &AdaptiveOptimizer,
        rates: &Rates,
        validate: Option<usize>,
        repeats: usize,
    ) -> Result<LrSweeps, TaskError>;
    /// Trains it; the network to evaluate.
    fn fit(self: Box<Self>, plan: FitPlan) -> Result<(FitReport, Box<dyn AnyLearner>), TaskError>;
    /// The loss and the metrics on the test part.
    fn test(&self) -> Result<BTreeMap<String, f64>, TaskError>;
    /// Writes the weights as safetensors.
    fn save(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), WeightsError>;
    /// See [`Task::predict`].
    fn predict(&self, inputs: &[String]) -> Result<Vec<Prediction>, TaskError>;
}

struct Learner<T: Task> {
    data: Loaded<T>,
    /// With autodiff.
    device: Device,
    network: T::Network,
}

impl<T: Task> AnyLearner for Learner<T> {
    fn parameters(&self) -> usize {
        self.network.num_params()
    }

    fn check_start(&self, optimizer: &AdaptiveOptimizer, freeze: &[Freeze]) -> Result<(), TrainError> {
        trainer::check_start(&self.network, optimizer, freeze)
    }

    fn rows(&self, optimizer: &AdaptiveOptimizer) -> Vec<ParameterRow> {
        optimizer.parameters(&self.network)
    }

    fn sweep(
        &self,
        finder: &LrFinder,
        optimizer: &AdaptiveOptimizer,
        rates: &Rates,
        validate: Option<usize>,
        repeats: usize,
    ) -> Result<LrSweeps, TaskError> {
        let train = self.data.train_loader(&self.device)?;
        tracing::debug!("sweeping over {}", Source::<Batch<T>>::fingerprint(&train));
        let valid = validate.map(|batches| Ok::<_, TaskError>((self.data.valid_loader(&self.device)?, batches)));
        let valid = valid.transpose()?;
        let mut subject = Subject::new(&self.network, optimizer, &train).groups(rates);
        if let Some((Some(valid), batches)) = &valid {
            subject = subject.validate(valid, *batches);
        }
        Ok(finder.repeat(&subject, repeats)?)
    }

    fn fit(self: Box<Self>, plan: FitPlan) -> Result<(FitReport, Box<dyn AnyLearner>), TaskError> {
        let Self { data, device, network } = *self;
        let (train, valid) = (data.train_loader(&device)?, data.valid_loader(&device)?);
        let mut trainer = Trainer::new(plan.settings)
            .metrics(T::metrics(&data.settings))
            .interrupt(plan.interrupt)
            .callbacks(plan.callbacks);
        if let Some(checkpoint) = plan.resume {
            trainer = trainer.resume(checkpoint);
        }
        let valid = valid.as_ref().map(|loader| loader as &dyn Source<Batch<T>>);
        let fitted = trainer.fit(network, plan.optimizer, plan.schedules, &train, valid)?;
        let network = fitted.eval_model().clone();
        Ok((fitted.report, data.learner(network, &device)))
    }

    fn test(&self) -> Result<BTreeMap<String, f64>, TaskError> {
        let (test, metrics) = (self.data.test_loader(&self.device)?, T::metrics(&self.data.settings));
        Ok(trainer::evaluate_all(&self.network, &test, metrics)?)
    }

    fn save(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), WeightsError> {
        weights::save_with(&self.network, path, metadata)
    }

    fn predict(&self, inputs: &[String]) -> Result<Vec<Prediction>, TaskError> {
        self.data.task.predict(&self.network.valid(), inputs, &self.device.clone().inner())
    }
}
