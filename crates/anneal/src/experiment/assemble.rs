//! From a configuration to the things it names: data, model, optimizer, schedules.

use burn::tensor::Device;
use lr_core::Horizon;
use optim_adaptive::{AdaptiveOptimizer, ConfigError};
use trainer::{Callback, Rates, Schedules, Split, TrainConfig, TrainError, checkpoint::Checkpoint};

use super::fits;
use crate::{
    config::Config,
    error::Error,
    run_dir::{self, CHECKPOINTS, PREPROCESSING, RunDir},
    task::{AnyData, Learner, LoadedTask, Task},
};

/// A configuration with its data loaded, ready to be trained or swept.
pub struct Assembly<'c> {
    config: &'c Config,
    data: Box<dyn AnyData>,
    device: Device,
}

/// The run that a configuration describes, of `items` items to train on. A `fast_dev_run` tries the beginning of that run:
/// its schedule is the whole run's, or a warm-up of a tenth of it would have no step left.
pub fn horizon(config: &Config, items: usize) -> Horizon {
    let batches = config.data.batches(items);
    Horizon::run(config.train.steps_per_epoch(batches), config.train.total_steps(batches))
}

impl<'c> Assembly<'c> {
    /// Opens the device, loads the data and checks everything that can be checked without training: monitors, schedules,
    /// settings that do not fit the data.
    pub fn new(config: &'c Config) -> Result<Self, Error> {
        fits::check_start()?;
        let device = config.run.device.open()?;
        let device = if config.train.activation_checkpointing { device.gradient_checkpointing() } else { device };
        let assembly = Self { config, data: config.load(None)?, device };
        for note in assembly.data.notes() {
            tracing::warn!("{note}");
        }
        let (train, valid) = (assembly.items(Split::Train), assembly.items(Split::Valid));
        let refused = |allowed: String| ConfigError::not_allowed("data.validation", config.data.validation, allowed);
        if train == 0 {
            return Err(refused(format!("a fraction that leaves some of the {valid} training items")).into());
        }
        if valid == 0 && config.data.validation > 0.0 && config.train.overfit_batches.is_none() {
            let allowed = format!("0, or a fraction that holds out at least one of the {train} training items");
            return Err(refused(allowed).into());
        }
        assembly.check_monitors()?;
        assembly.check_fits()?;
        let in_train = |error: ConfigError| error.within("train");
        config.train.check_run(assembly.batches(), &assembly.optimizer()).map_err(in_train)?;
        assembly.rates()?.check_momentum(&assembly.optimizer())?;
        config.train.precision.check(&assembly.device).map_err(in_train)?;
        Ok(assembly)
    }

    /// What it takes to use the model of a run, where nothing is trained or measured: what the run has kept of its task, or
    /// else all of the data.
    ///
    /// # Errors
    /// As [`new`](Self::new); what the run has kept is damaged.
    pub(super) fn to_use(config: &'c Config, dir: &RunDir) -> Result<Self, Error> {
        match dir.read_if_there(PREPROCESSING)? {
            None => Self::new(config),
            kept => Ok(Self { config, data: config.load(kept)?, device: config.run.device.open()? }),
        }
    }

    /// What the run folder keeps of the task.
    pub(super) fn to_keep(&self) -> Option<String> {
        self.data.kept()
    }

    /// The loaded data, where the task is this one.
    pub fn data<T: Task>(&self) -> Option<&LoadedTask<T>> {
        self.data.as_any().downcast_ref()
    }

    /// The device, with autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What reports call the data.
    pub fn description(&self) -> String {
        self.data.description()
    }

    /// The run in steps and epochs.
    pub fn horizon(&self) -> Horizon {
        horizon(self.config, self.items(Split::Train))
    }

    /// The network that a run starts from: freshly initialised, with what it takes from the training data and with the
    /// pretrained weights of the configuration put in. A resumed run takes a [`fresh`](Self::fresh) one: its parameters
    /// come from the checkpoint.
    ///
    /// # Errors
    /// As [`fresh`](Self::fresh); weights that are not there, are damaged or do not fit.
    pub(super) fn initial(&self) -> Result<Learner, Error> {
        let learner = self.data.prepared(&self.device)?;
        let Some(section) = &self.config.model.pretrained else { return Ok(learner) };
        let learner = learner.pretrained(&section.path, &section.options)?;
        let path = section.path.display();
        match self.data.check_pretrained(run_dir::kept_with(&section.path).as_deref()) {
            Ok(note) => note.into_iter().for_each(|note| tracing::warn!("{path}: {note}")),
            // With a new head, or another part left out, it may be meant.
            Err(error) if section.options.is_partial() => tracing::warn!("{path}: {error}"),
            Err(error) => {
                let problem = format!("{path}: {error}; `except` leaves out the parameters that this concerns");
                return Err(ConfigError::conflict("model.pretrained", problem).into());
            }
        }
        Ok(learner)
    }

    /// A freshly initialised network: a function of the seed.
    ///
    /// # Errors
    /// A model that does not fit the data.
    pub(crate) fn fresh(&self) -> Result<Learner, Error> {
        Ok(self.data.fresh(&self.device)?)
    }

    /// Refuses a network that cannot be trained as it is, and rules that no parameter of it fits or that freeze all of it.
    ///
    /// # Errors
    /// Fields as they are written in the configuration.
    pub(crate) fn check_start(&self, learner: &Learner) -> Result<(), Error> {
        let checked = learner.check_start(&self.optimizer(), &self.config.train.freeze, &self.horizon());
        checked.map_err(|error| refused(self.config, error))
    }

    /// Refuses patterns that no parameter fits.
    ///
    /// # Errors
    /// Fields as they are written in the configuration.
    pub(crate) fn check_patterns(&self, learner: &Learner) -> Result<(), Error> {
        match learner.check_start(&self.optimizer(), &self.config.train.freeze, &self.horizon()) {
            Err(error @ TrainError::NoSuchParameter { .. }) => Err(refused(self.config, error)),
            _ => Ok(()),
        }
    }

    /// The network to evaluate of a checkpoint: with the averaged or the restored best weights, where the run keeps them.
    ///
    /// # Errors
    /// A checkpoint of another model or optimizer, or of other data.
    pub(super) fn kept(&self, checkpoint: &Checkpoint) -> Result<Learner, Error> {
        let step = checkpoint.state().step;
        if checkpoint.state().unproven.contains(&step) {
            tracing::warn!(
                "step {step}: when this checkpoint was written, no later loss had shown its weights to be good"
            );
        }
        self.check_data(checkpoint)?;
        // Settings that change no shape, such as a transformer's `heads`, are part of the model too; and so is what of `[data]`
        // its inputs depend on, such as a text's `context`.
        let model = |settings: &str| {
            let of_model = ["model.", "data.", "task = "];
            let lines = settings.lines().filter(|line| of_model.iter().any(|start| line.starts_with(start)));
            lines.filter(|line| !line.starts_with("model.pretrained")).collect::<Vec<_>>().join("\n")
        };
        checkpoint.check("model", &model(&checkpoint.state().config), &model(&self.config.fingerprint()))?;
        Ok(self.fresh()?.kept(checkpoint, self.optimizer(), self.config.run.seed)?)
    }

    /// Refuses a checkpoint of other data than these.
    fn check_data(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let (here, saved) = (self.data.fingerprint(), &checkpoint.state().data);
        if saved.contains(&here) {
            return Ok(());
        }
        // As the source of the training batches says it; what a run keeps of its task has no items.
        let (items, content) = (saved.split(", ").next(), saved.rsplit_once("content ").map(|(_, content)| content));
        let of = |items: Option<String>, content: &str| {
            items.into_iter().chain([format!("content {content}")]).collect::<Vec<_>>().join(", ")
        };
        let items = items.filter(|items| self.items(Split::Train) > 0 && items.ends_with(" items")).map(str::to_owned);
        let here = of(items.as_ref().map(|_| format!("{} items", self.items(Split::Train))), &here);
        let checked = checkpoint.check("training data", &of(items, content.unwrap_or(saved)), &here);
        checked.map_err(|error| Error::from(error).within(&self.description()))
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

    /// Whether there is anything to validate on.
    pub(super) fn validates(&self) -> bool {
        self.items(Split::Valid) > 0 || self.config.train.overfit_batches.is_some()
    }

    pub(super) fn items(&self, part: Split) -> usize {
        self.data.items(part)
    }

    /// Batches in an epoch of the whole training part.
    fn batches(&self) -> usize {
        self.config.data.batches(self.items(Split::Train))
    }

    /// Refuses what this machine cannot hold.
    fn check_fits(&self) -> Result<(), Error> {
        let size = self.data.size(&self.device)?;
        Ok(fits::check(self.config, size, self.items(Split::Train))?)
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
        let of_callbacks = self.config.catalog().callbacks(self.config).values();
        let (metrics, scalars) = (self.config.task.any().metrics(), self.config.task.any().scalars());
        let mut known = vec!["train.loss".to_owned()];
        known.extend(scalars.iter().map(|name| format!("train.{name}")));
        if self.validates() {
            known.push("valid.loss".to_owned());
            let metrics = metrics.iter().map(|metric| &metric.name);
            known.extend(metrics.chain(&scalars).map(|name| format!("valid.{name}")));
        }
        known.extend(of_callbacks.into_iter().filter(|name| self.validates() || !name.starts_with("valid.")));
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
            if !known.iter().any(|known| known == monitor) {
                let mut error =
                    ConfigError::unknown_name(path, "monitored value", monitor, known.iter().map(String::as_str));
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

/// An error of the trainer before the first step. What no parameter fits, or what freezes all of them, is an error of that
/// setting: by its place in the configuration, with file and line where it was read from a file.
fn refused(config: &Config, error: TrainError) -> Error {
    let fields = match &error {
        TrainError::NoSuchParameter { field, .. } => std::slice::from_ref(field),
        TrainError::AllFrozen { fields, .. } => fields.as_slice(),
        _ => return error.into(),
    };
    let mut fields = fields.iter().map(|field| config.place_of(field));
    let (first, beside) = (fields.next().unwrap_or_default(), fields.collect::<Vec<_>>());
    let beside = if beside.is_empty() { String::new() } else { format!(" (with {})", beside.join(", ")) };
    let refused = ConfigError::conflict(first, format!("{}{beside}", error.without_field()));
    match config.source() {
        Some(document) => document.locate(refused).into(),
        None => refused.into(),
    }
}
