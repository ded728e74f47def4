//! A task with its data, and a network of it, as the experiments see those of any task. A network is an [`AnyNetwork`] on
//! batches of any type, so that the trainer, the finder and the checkpoints are compiled once for all tasks, and not again
//! by a program with its own task.

use std::{
    any::Any,
    collections::BTreeMap,
    convert::identity,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use any_network::{AnyNetwork, HIGHEST_RANK, highest_rank};
use burn::{
    module::Module,
    tensor::Device,
    train::{InferenceStep, TrainOutput, TrainStep},
};
use lr_core::Horizon;
use optim_adaptive::{AdaptiveOptimizer, ParameterRow};
use strict_config::ConfigError;
use trainer::{
    AnyOutput, Callback, CallbackError, FitReport, Freeze, Metrics, ModelEvent, Moment, Rates, Schedules, Split,
    TrainConfig, TrainError, Trainer,
    checkpoint::Checkpoint,
    data::{Loader, Source},
    lr_finder::{LrFinder, LrSweeps, Subject},
    ranks::Communicator,
    weights::{self, LoadOptions, WeightsError},
};

use super::{Outputs, Prediction, Sampler, Sampling, Setup, Size, Task, TaskBatch, TaskError, TaskSettings, sampler};

/// A batch of any type.
pub(crate) struct AnyBatch(Box<dyn Any + Send>);

impl AnyBatch {
    fn new<B: Send + 'static>(batch: B) -> Self {
        Self(Box::new(batch))
    }

    fn open<B: 'static>(self) -> B {
        match self.0.downcast() {
            Ok(batch) => *batch,
            Err(_) => unreachable!("the loaders of a task make its batches"),
        }
    }
}

/// A network of any task.
type Network = AnyNetwork<AnyBatch, AnyOutput>;

/// The network of a task as that of any.
fn held<T: Task>(network: T::Network) -> Network {
    let train = |network: &T::Network, batch: AnyBatch| {
        let TrainOutput { grads, item } = TrainStep::step(network, batch.open());
        TrainOutput { grads, item: AnyOutput::new(item) }
    };
    let infer = |network: &T::Network, batch: AnyBatch| AnyOutput::new(InferenceStep::step(network, batch.open()));
    Network::with_steps(network, train, infer)
}

/// The same back.
fn opened<T: Task>(network: Network) -> T::Network {
    match network.downcast() {
        Ok(network) => network,
        Err(_) => unreachable!("it was made of this task's"),
    }
}

/// A task with its data loaded, and the settings of the run.
pub struct LoadedTask<T: Task> {
    task: Arc<T>,
    settings: Arc<TaskSettings<T>>,
    setup: Arc<Setup>,
    /// Of each training item, where they are drawn by them.
    weights: Option<Arc<[f64]>>,
}

impl<T: Task> Clone for LoadedTask<T> {
    fn clone(&self) -> Self {
        Self {
            task: Arc::clone(&self.task),
            settings: Arc::clone(&self.settings),
            setup: Arc::clone(&self.setup),
            weights: self.weights.clone(),
        }
    }
}

impl<T: Task> LoadedTask<T> {
    /// Loads the data.
    ///
    /// # Errors
    /// As [`Task::load`]; a sampler that these data do not have, weights of classes that are not there, no whole batch where
    /// the last partial one is left out.
    pub fn new(settings: TaskSettings<T>, setup: Setup) -> Result<Self, TaskError> {
        let task = Arc::new(T::load(&settings, &setup)?);
        let mut weights = None;
        // To predict takes no training data.
        if setup.kept.is_none() {
            let (items, data) = (task.items(Split::Train), &setup.data);
            if items > 0 && data.batches(items) == 0 {
                let allowed = format!("false: the {items} training items are less than a batch of {}", data.batch_size);
                return Err(ConfigError::not_allowed("data.drop_last", true, allowed).into());
            }
            weights = sampler::weights(data, T::NAME, || task.classes())?.map(Arc::from);
        }
        Ok(Self { task, settings: Arc::new(settings), setup: Arc::new(setup), weights })
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
        self.fresh_network(device).map(opened::<T>)
    }

    fn fresh_network(&self, device: &Device) -> Result<Network, TaskError> {
        device.seed(self.setup.seed);
        let network = self.task.network(&self.settings.model, device)?;
        let found = highest_rank(&network);
        if found > HIGHEST_RANK {
            let model = &self.settings.model_name;
            let message = format!("the model `{model}` has a parameter of rank {found}; at most {HIGHEST_RANK}");
            return Err(TaskError::other(message));
        }
        // burn draws a parameter where it is first looked at, which is here: in the order of the module.
        Ok(trainer::stable_ids(held::<T>(network)))
    }

    /// Training batches: in the order of the sampler, by (seed, epoch), drawn by (seed, epoch, item). Those of
    /// `overfit_batches` are as they are stored.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn train_loader(&self, device: &Device) -> Result<Loader<TaskBatch<T>>, TaskError> {
        self.train_loader_of(device, identity)
    }

    fn train_loader_of<B: Send + 'static>(
        &self,
        device: &Device,
        wrap: fn(TaskBatch<T>) -> B,
    ) -> Result<Loader<B>, TaskError> {
        let (setup, data, items) = (&self.setup, &self.setup.data, self.task.items(Split::Train));
        let assemble = self.task.assemble(Split::Train, items, Some(setup.seed), device)?;
        let assemble = move |items: &[usize], epoch| assemble(items, epoch).map(wrap);
        let loader = Loader::try_new(items, data.batch_size, assemble);
        let loader = loader.content(self.task.fingerprint()).workers(data.workers);
        let loader = if data.drop_last { loader.drop_last() } else { loader };
        Ok(match (&self.weights, data.sampler) {
            _ if setup.overfit_batches.is_some() => loader,
            (Some(weights), _) => loader.weighted(setup.seed, weights).map_err(|error| sampler::refused(&error))?,
            (None, Sampler::Random | Sampler::Weighted) => loader.shuffled(setup.seed),
            (None, Sampler::Sequential) => loader,
        })
    }

    /// Validation batches; `None` where nothing is held out. With `overfit_batches` the training items themselves.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn valid_loader(&self, device: &Device) -> Result<Option<Loader<TaskBatch<T>>>, TaskError> {
        self.valid_loader_of(device, identity)
    }

    fn valid_loader_of<B: Send + 'static>(
        &self,
        device: &Device,
        wrap: fn(TaskBatch<T>) -> B,
    ) -> Result<Option<Loader<B>>, TaskError> {
        match self.setup.overfit_batches {
            Some(batches) => self.still(Split::Train, Some(batches), device, wrap).map(Some),
            None if self.task.items(Split::Valid) == 0 => Ok(None),
            None => self.still(Split::Valid, None, device, wrap).map(Some),
        }
    }

    /// Test batches; of a `fast_dev_run` as many items as it trains on.
    ///
    /// # Errors
    /// As [`Task::assemble`].
    pub fn test_loader(&self, device: &Device) -> Result<Loader<TaskBatch<T>>, TaskError> {
        self.still(Split::Test, self.setup.fast_dev_run, device, identity)
    }

    /// Batches as they are, in order, for a model in inference mode; where they are limited, so many of the size of the
    /// training.
    fn still<B: Send + 'static>(
        &self,
        part: Split,
        batches: Option<usize>,
        device: &Device,
        wrap: fn(TaskBatch<T>) -> B,
    ) -> Result<Loader<B>, TaskError> {
        let (all, batch_size) = (self.task.items(part), self.setup.data.batch_size);
        let items = batches.map_or(all, |batches| batches.saturating_mul(batch_size).min(all));
        let assemble = self.task.assemble(part, items, None, &device.clone().inner())?;
        let assemble = move |items: &[usize], epoch| assemble(items, epoch).map(wrap);
        Ok(Loader::try_new(items, self.task.eval_batch_size(batch_size), assemble))
    }

    fn learner(&self, network: Network, device: &Device) -> Learner {
        Learner { data: Arc::new(self.clone()), device: device.clone(), network }
    }
}

/// [`LoadedTask`] data of any task.
pub(crate) trait AnyData: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn items(&self, part: Split) -> usize;
    /// See [`Task::fingerprint`].
    fn fingerprint(&self) -> String;
    /// See [`Task::kept`].
    fn kept(&self) -> Option<String>;
    /// See [`Task::check_pretrained`].
    fn check_pretrained(&self, kept: Option<&str>) -> Result<Option<String>, TaskError>;
    /// What reports call the data.
    fn description(&self) -> String;
    /// See [`Task::notes`].
    fn notes(&self) -> Vec<String>;
    /// See [`Task::size`].
    fn size(&self, device: &Device) -> Result<Option<Size>, TaskError>;
    /// A freshly initialised network.
    fn fresh(&self, device: &Device) -> Result<Learner, TaskError>;
    /// A fresh one with what it takes from the training data.
    fn prepared(&self, device: &Device) -> Result<Learner, TaskError>;
    fn metrics(&self) -> Metrics<Network>;
    fn train_batches(&self, device: &Device) -> Result<Loader<AnyBatch>, TaskError>;
    fn valid_batches(&self, device: &Device) -> Result<Option<Loader<AnyBatch>>, TaskError>;
    fn test_batches(&self, device: &Device) -> Result<Loader<AnyBatch>, TaskError>;
    /// See [`Task::show`].
    fn show(&self, network: Network, device: &Device) -> Result<Outputs, TaskError>;
    /// Shows outputs at each validation; `device` is without autodiff.
    fn shows(&self, device: Device, tell: OnShow) -> Box<dyn Callback>;
    /// See [`Task::predict`].
    fn predict(&self, network: Network, inputs: &[String], device: &Device) -> Result<Vec<Prediction>, TaskError>;
    /// See [`Task::sample`].
    fn sample(&self, network: Network, asked: &Sampling, device: &Device) -> Result<String, TaskError>;
}

impl<T: Task> AnyData for LoadedTask<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn items(&self, part: Split) -> usize {
        self.task.items(part)
    }

    fn fingerprint(&self) -> String {
        self.task.fingerprint()
    }

    fn kept(&self) -> Option<String> {
        self.task.kept()
    }

    fn check_pretrained(&self, kept: Option<&str>) -> Result<Option<String>, TaskError> {
        self.task.check_pretrained(kept)
    }

    fn description(&self) -> String {
        self.task.description()
    }

    fn notes(&self) -> Vec<String> {
        self.task.notes()
    }

    fn size(&self, device: &Device) -> Result<Option<Size>, TaskError> {
        self.task.size(&self.settings.model, device)
    }

    fn fresh(&self, device: &Device) -> Result<Learner, TaskError> {
        Ok(self.learner(self.fresh_network(device)?, device))
    }

    fn prepared(&self, device: &Device) -> Result<Learner, TaskError> {
        let network = self.task.prepared(self.network(device)?);
        Ok(self.learner(held::<T>(network), device))
    }

    fn metrics(&self) -> Metrics<Network> {
        T::metrics(&self.settings).of_any()
    }

    fn train_batches(&self, device: &Device) -> Result<Loader<AnyBatch>, TaskError> {
        self.train_loader_of(device, AnyBatch::new)
    }

    fn valid_batches(&self, device: &Device) -> Result<Option<Loader<AnyBatch>>, TaskError> {
        self.valid_loader_of(device, AnyBatch::new)
    }

    fn test_batches(&self, device: &Device) -> Result<Loader<AnyBatch>, TaskError> {
        self.still(Split::Test, self.setup.fast_dev_run, device, AnyBatch::new)
    }

    fn show(&self, network: Network, device: &Device) -> Result<Outputs, TaskError> {
        self.task.show(&opened::<T>(network), device)
    }

    fn shows(&self, device: Device, tell: OnShow) -> Box<dyn Callback> {
        Box::new(Show { task: Arc::clone(&self.task), device, tell })
    }

    fn predict(&self, network: Network, inputs: &[String], device: &Device) -> Result<Vec<Prediction>, TaskError> {
        self.task.predict(&opened::<T>(network), inputs, device)
    }

    fn sample(&self, network: Network, asked: &Sampling, device: &Device) -> Result<String, TaskError> {
        self.task.sample(&opened::<T>(network), asked, device)
    }
}

/// Receives what was shown at a step.
pub(crate) type OnShow = Box<dyn FnMut(u64, Outputs) -> Result<(), CallbackError> + Send>;

/// Shows outputs at each validation.
struct Show<T> {
    task: Arc<T>,
    /// Without autodiff.
    device: Device,
    tell: OnShow,
}

impl<T: Task> Callback for Show<T> {
    fn name(&self) -> &'static str {
        "outputs"
    }

    fn on_model(&mut self, event: &ModelEvent<'_>) -> Result<BTreeMap<String, f64>, CallbackError> {
        if event.moment == Moment::Validation
            && let Some(network) = event.model::<T::Network>()
        {
            let shown = self.task.show(network, &self.device);
            let shown = shown.map_err(|error| CallbackError::new(self.name(), error))?;
            (self.tell)(event.step, shown)?;
        }
        Ok(BTreeMap::new())
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
    /// What receives the outputs that the task shows at each validation.
    pub on_show: Option<OnShow>,
    pub ranks: Arc<dyn Communicator>,
}

/// A network of any task, with the task's data.
pub(crate) struct Learner {
    data: Arc<dyn AnyData>,
    /// With autodiff.
    device: Device,
    network: Network,
}

impl Learner {
    /// With pretrained weights put in.
    pub(crate) fn pretrained(self, path: &Path, options: &LoadOptions) -> Result<Self, TaskError> {
        let (network, report) = weights::load(self.network, path, options).map_err(TaskError::Pretrained)?;
        tracing::info!("pretrained: {report}");
        Ok(Self { network, ..self })
    }

    /// The network to evaluate of a checkpoint of its run; `optimizer` is a fresh one of the run.
    pub(crate) fn kept(
        self,
        checkpoint: &Checkpoint,
        optimizer: AdaptiveOptimizer,
        seed: u64,
    ) -> Result<Self, TaskError> {
        let train = self.data.train_batches(&self.device)?;
        let network = trainer::kept_model(checkpoint, self.network, optimizer, &train, seed)?;
        Ok(Self { network, ..self })
    }

    /// See [`Task::kept`].
    pub(crate) fn of_task(&self) -> Option<String> {
        self.data.kept()
    }

    /// Its trainable numbers.
    pub(crate) fn parameters(&self) -> usize {
        self.network.num_params()
    }

    /// See [`trainer::check_start`].
    pub(crate) fn check_start(
        &self,
        optimizer: &AdaptiveOptimizer,
        freeze: &[Freeze],
        run: &Horizon,
    ) -> Result<(), TrainError> {
        trainer::check_start(&self.network, optimizer, freeze, run)
    }

    /// Each parameter, and what steps it.
    pub(crate) fn rows(&self, optimizer: &AdaptiveOptimizer) -> Vec<ParameterRow> {
        optimizer.parameters(&self.network)
    }

    /// Sweeps over the training data; with `validate`, over so many validation batches at each rate.
    pub(crate) fn sweep(
        &self,
        finder: &LrFinder,
        optimizer: &AdaptiveOptimizer,
        rates: &Rates,
        validate: Option<usize>,
        repeats: usize,
    ) -> Result<LrSweeps, TaskError> {
        let train = self.data.train_batches(&self.device)?;
        tracing::debug!("sweeping over {}", Source::<AnyBatch>::fingerprint(&train));
        let valid = validate.map(|batches| Ok::<_, TaskError>((self.data.valid_batches(&self.device)?, batches)));
        let valid = valid.transpose()?;
        let mut subject = Subject::new(&self.network, optimizer, &train).groups(rates);
        if let Some((Some(valid), batches)) = &valid {
            subject = subject.validate(valid, *batches);
        }
        Ok(finder.repeat(&subject, repeats)?)
    }

    /// Trains it; the network to evaluate.
    pub(crate) fn fit(self, plan: FitPlan) -> Result<(FitReport, Self), TaskError> {
        let Self { data, device, network } = self;
        let (train, valid) = (data.train_batches(&device)?, data.valid_batches(&device)?);
        let mut trainer = Trainer::new(plan.settings)
            .metrics(data.metrics())
            .interrupt(plan.interrupt)
            .ranks(plan.ranks)
            .callbacks(plan.callbacks);
        // A callback of the program knows its own network.
        trainer = trainer.shown(Network::as_any);
        if let Some(tell) = plan.on_show {
            trainer = trainer.callbacks([data.shows(device.clone().inner(), tell)]);
        }
        if let Some(checkpoint) = plan.resume {
            trainer = trainer.resume(checkpoint);
        }
        let valid = valid.as_ref().map(|loader| loader as &dyn Source<AnyBatch>);
        let fitted = trainer.fit(network, plan.optimizer, plan.schedules, &train, valid)?;
        let network = fitted.eval_model().clone();
        Ok((fitted.report, Self { data, device, network }))
    }

    /// The loss and the metrics on the test part.
    pub(crate) fn test(&self) -> Result<BTreeMap<String, f64>, TaskError> {
        let test = self.data.test_batches(&self.device)?;
        Ok(trainer::evaluate_all(&self.network, &test, self.data.metrics())?)
    }

    /// Writes the weights as safetensors.
    pub(crate) fn save(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), WeightsError> {
        weights::save_with(&self.network, path, metadata)
    }

    /// See [`Task::show`].
    pub(crate) fn show(&self) -> Result<Outputs, TaskError> {
        self.data.show(self.network.valid(), &self.device.clone().inner())
    }

    /// See [`Task::predict`].
    pub(crate) fn predict(&self, inputs: &[String]) -> Result<Vec<Prediction>, TaskError> {
        self.data.predict(self.network.valid(), inputs, &self.device.clone().inner())
    }

    /// See [`Task::sample`].
    pub(crate) fn sample(&self, asked: &Sampling) -> Result<String, TaskError> {
        self.data.sample(self.network.valid(), asked, &self.device.clone().inner())
    }
}
