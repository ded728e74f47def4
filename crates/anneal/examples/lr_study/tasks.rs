//! The tasks: a config each, a budget of steps, and training at one rate.

use std::collections::HashMap;

use anneal::{
    Error,
    config::{Config, Document, Origin},
    experiment::Assembly,
    lr_core::Duration,
    lr_core::Registry,
    prelude::*,
    task::{ImageClassification, LoadedTask},
    trainer::lr_finder::SweepEnd,
};

use crate::Measured;

/// One task: what is trained, on what, with what, for how long.
pub(crate) struct Task {
    pub(crate) dataset: &'static str,
    pub(crate) model: &'static str,
    pub(crate) optimizer: &'static str,
    pub(crate) batch_size: usize,
    pub(crate) steps: u64,
}

const fn task(
    dataset: &'static str,
    model: &'static str,
    optimizer: &'static str,
    batch_size: usize,
    steps: u64,
) -> Task {
    Task { dataset, model, optimizer, batch_size, steps }
}

const ADAM: &str = "type = 'adam'";
const SGD: &str = "type = 'sgd'";
const MOMENTUM: &str = "type = 'sgd'\nmomentum = 0.9";
const RMSPROP: &str = "type = 'rmsprop'";

/// Two data sets, three models, four optimizers, batches of 32 and 128.
pub(crate) const TASKS: [Task; 12] = [
    task("digits", "mlp", ADAM, 32, 300),
    task("digits", "mlp", MOMENTUM, 32, 300),
    task("digits", "mlp", RMSPROP, 128, 150),
    task("digits", "lenet", ADAM, 128, 150),
    task("digits", "lenet", SGD, 32, 300),
    task("digits", "resnet8", ADAM, 32, 100),
    task("digits", "resnet8", MOMENTUM, 32, 100),
    task("mnist", "mlp", ADAM, 128, 200),
    task("mnist", "mlp", SGD, 32, 300),
    task("mnist", "mlp", RMSPROP, 32, 300),
    task("mnist", "lenet", ADAM, 32, 150),
    task("mnist", "lenet", MOMENTUM, 32, 150),
];

impl Task {
    pub(crate) fn name(&self) -> String {
        let optimizer = match self.optimizer {
            MOMENTUM => "SGD 0.9",
            SGD => "SGD",
            RMSPROP => "RMSprop",
            _ => "Adam",
        };
        format!("{} {}, {optimizer}, batch {}", self.dataset, self.model, self.batch_size)
    }

    /// Its configuration: a constant rate, and a validation set of a few hundred to 1800 items.
    pub(crate) fn config(&self, seed: u64) -> Result<Config, Error> {
        let validation = if self.dataset == "mnist" { 0.03 } else { 0.2 };
        let text = format!(
            "[run]\nseed = {seed}\n[data]\ndataset = '{}'\nbatch_size = {}\nvalidation = {validation}\nworkers = 0\n\
             [model]\ntype = '{}'\n[optimizer]\n{}\n[train]\nsteps = {}\ncheckpoint = false\n",
            self.dataset, self.batch_size, self.model, self.optimizer, self.steps
        );
        let document = Document::parse(Origin::BuiltIn("the study"), text)?;
        Ok(Config::from_document(&document, &Registry::standard())?)
    }
}

/// A task with one seed: its data loaded, its trainings remembered.
pub(crate) struct Bench<'c> {
    assembly: Assembly<'c>,
    seed: u64,
    validate_at: u64,
    trained: HashMap<u64, f64>,
}

impl<'c> Bench<'c> {
    pub(crate) fn new(config: &'c Config, steps: u64) -> Result<Self, Error> {
        let assembly = Assembly::new(config)?;
        Ok(Self { assembly, seed: config.run.seed, validate_at: steps, trained: HashMap::new() })
    }

    fn images(&self) -> Result<&LoadedTask<ImageClassification>, Error> {
        self.assembly.data().ok_or_else(|| Error::Usage("the study is of images".to_owned()))
    }

    /// The validation loss after the budget at this constant rate; infinite where the loss was not finite on the way.
    pub(crate) fn train(&mut self, lr: f64) -> Result<f64, Error> {
        if let Some(loss) = self.trained.get(&lr.to_bits()) {
            return Ok(*loss);
        }
        let optimizer = self.assembly.optimizer();
        let optimizer = optimizer.config().clone().with_lr(lr).init_with_groups(optimizer.groups().to_vec());
        let (images, device) = (self.images()?, self.assembly.device());
        let (model, schedules) = (images.network(device)?, self.assembly.schedules());
        let (train, valid) = (images.train_loader(device)?, images.valid_loader(device)?);
        // One validation, at the end.
        let validate_every = Duration::Ticks(self.validate_at);
        let config = TrainConfig { validate_every, sanity_batches: 0, ..self.assembly.train_config(None) };
        let valid = valid.as_ref().map(|loader| loader as &dyn Source<ImageBatch>);
        let loss = match Trainer::new(config).fit(model, optimizer, schedules, &train, valid) {
            Ok(fitted) => fitted.report.epochs.last().and_then(|epoch| epoch.values.get("valid.loss").copied()),
            Err(TrainError::NonFinite { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let loss = loss.filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY);
        self.trained.insert(lr.to_bits(), loss);
        Ok(loss)
    }

    /// Takes over trainings that were done with the same settings.
    pub(crate) fn remember(&mut self, known: &Measured) {
        let grid = known.grid.iter().map(|(lr, loss)| (*lr, loss.unwrap_or(f64::INFINITY)));
        let verdicts = known.verdicts.iter().filter_map(|verdict| Some((verdict.lr?, verdict.loss?)));
        self.trained.extend(grid.chain(verdicts).map(|(lr, loss)| (lr.to_bits(), loss)));
    }

    /// The sweeps that were done with the same settings.
    pub(crate) fn remembered_sweeps(known: &Measured, config: &LrFinderConfig) -> Vec<LrCurve> {
        let curve = |losses: &Vec<Option<f64>>| {
            let losses: Vec<f64> = losses.iter().map(|loss| loss.unwrap_or(f64::NAN)).collect();
            let lrs = (0..losses.len()).map(|i| config.lr(i)).collect();
            LrCurve::new(lrs, losses.clone(), losses, SweepEnd::Completed, config.num_it)
        };
        known.sweeps.iter().map(curve).collect()
    }

    /// The raw losses of sweeps with these settings, to the end of the ramp or the first loss that is not finite.
    pub(crate) fn sweeps(&self, config: &LrFinderConfig, repeats: usize) -> Result<Vec<LrCurve>, Error> {
        let whole = LrFinderConfig { smoothing: 0.0, diverge_factor: f64::INFINITY, ..config.clone() };
        let (images, device) = (self.images()?, self.assembly.device());
        let (model, optimizer, rates) = (images.network(device)?, self.assembly.optimizer(), self.assembly.rates()?);
        let loader = images.train_loader(device)?;
        let subject = Subject::new(&model, &optimizer, &loader).groups(&rates);
        Ok(LrFinder::new(whole).seed(self.seed).repeat(&subject, repeats)?.sweeps().to_vec())
    }
}
