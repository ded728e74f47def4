//! Driving a sweep with a model.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use burn::train::{
    InferenceStep, TrainStep,
    metric::{Adaptor, LossInput},
};
use lr_core::Horizon;
use optim_adaptive::{AdaptiveOptimizer, ClipError};
use report::page::plural;
use strict_config::ConfigError;

use super::{LrCurve, LrFinderConfig, LrSweeps, Sweep};
use crate::{
    Freeze, Precision, Rates, TrainError,
    activations::copy_to_train,
    data::Source,
    freeze::Frozen,
    meter::Mean,
    metrics::loss_of,
    start::{check_frozen, check_start, idle_groups, never_trains},
    step::{LearnerModel, Window, clip, has_layer, seed_step},
};

/// The finder could not run.
#[derive(Debug, thiserror::Error)]
pub enum FinderError {
    /// A setting that cannot work.
    #[error(transparent)]
    Setting(Box<ConfigError>),
    /// The optimizer could not be rebuilt for the sweep.
    #[error("the optimizer could not be rebuilt for the sweep: {0}")]
    Optimizer(String),
    /// A step failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Asked to stop (Ctrl-C), after so many rates.
    #[error("interrupted after {} of the sweep", plural(*rates as u64, "rate"))]
    Interrupted {
        /// Rates that were swept.
        rates: usize,
    },
}

impl From<ConfigError> for FinderError {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}

/// What a validation loss is measured with: the model in, its mean loss out.
type Validate<'a, M> = Box<dyn Fn(&M) -> Result<f64, TrainError> + 'a>;

/// What is swept: a model, an optimizer, data, and the settings of the training that affect the sweep.
pub struct Subject<'a, M: LearnerModel> {
    model: &'a M,
    optimizer: &'a AdaptiveOptimizer,
    data: &'a dyn Source<<M as TrainStep>::Input>,
    rates: Option<&'a Rates>,
    validate: Option<Validate<'a, M>>,
}

impl<'a, M: LearnerModel> Subject<'a, M> {
    /// One rate for all parameters, no validation.
    pub fn new(model: &'a M, optimizer: &'a AdaptiveOptimizer, data: &'a dyn Source<<M as TrainStep>::Input>) -> Self {
        Self { model, optimizer, data, rates: None, validate: None }
    }

    /// With the groups of `rates`: the ramp is the base rate, and each group has what [`Rates::at_ramp`] says.
    #[must_use]
    pub fn groups(mut self, rates: &'a Rates) -> Self {
        self.rates = Some(rates);
        self
    }

    /// Measures at each point also the mean loss over the first `batches` batches of `source` (all, if there are fewer),
    /// on a copy in inference mode, of the same parameters as the training loss beside it. Suggestions are then read
    /// off these losses. They cost a forward pass over that many batches per point.
    #[must_use]
    pub fn validate(mut self, source: &'a dyn Source<<M as InferenceStep>::Input>, batches: usize) -> Self
    where
        <M as InferenceStep>::Output: Adaptor<LossInput>,
    {
        self.validate = Some(Box::new(move |model| {
            let model = model.valid();
            let mut loss = Mean::default();
            for batch in source.epoch(0, 0).take(batches) {
                let batch = batch?;
                loss.add(loss_of(&InferenceStep::step(&model, batch.input))?, batch.items);
            }
            loss.value().ok_or(TrainError::NoData("validation"))
        }));
        self
    }
}

/// Finds a learning rate for a model, an optimizer and data.
///
/// It works on a copy of the model (batch norm's running statistics included) and an optimizer rebuilt from config and
/// record, so both are as they were afterwards, also where the sweep ends by an error. The data are only read: a
/// [`Source`] whose epochs are functions of their number, as [`Loader`](crate::data::Loader)'s, gives a training that
/// follows the same batches with and without a finder before it.
///
/// The device's random generator is touched only if the model draws from it in training. Where the model has layers
/// that do (dropout, noise), or [`seed`](Self::seed) was called, each step is seeded as the trainer seeds its own; so a
/// [`Trainer`](crate::Trainer)'s run that follows draws what it would have drawn. burn offers no way to read the
/// generator's state, so what else is drawn afterwards, without seeding, does differ then.
///
/// ```
/// # use burn::{module::Module, nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}}, tensor::{Device, Tensor}};
/// # use burn::data::{dataloader::{DataLoaderBuilder, batcher::Batcher}, dataset::InMemDataset};
/// # use burn::train::{InferenceStep, RegressionOutput, TrainOutput, TrainStep};
/// use optim_adaptive::OptimizerConfig;
/// use trainer::{data::BurnSource, lr_finder::{LrFinder, LrFinderConfig, Rule}};
/// # #[derive(Module, Debug)]
/// # struct Net { linear: Linear }
/// # type Pair = (Tensor<2>, Tensor<2>);
/// # impl Net {
/// #     fn loss(&self, (x, y): Pair) -> RegressionOutput {
/// #         let output = self.linear.forward(x);
/// #         let loss = MseLoss::new().forward(output.clone(), y.clone(), Reduction::Mean);
/// #         RegressionOutput::new(loss, output, y)
/// #     }
/// # }
/// # impl TrainStep for Net {
/// #     type Input = Pair;
/// #     type Output = RegressionOutput;
/// #     fn step(&self, pair: Pair) -> TrainOutput<RegressionOutput> {
/// #         let output = self.loss(pair);
/// #         TrainOutput::new(self, output.loss.backward(), output)
/// #     }
/// # }
/// # impl InferenceStep for Net {
/// #     type Input = Pair;
/// #     type Output = RegressionOutput;
/// #     fn step(&self, pair: Pair) -> RegressionOutput { self.loss(pair) }
/// # }
/// # #[derive(Clone)]
/// # struct ToPairs(Device);
/// # impl Batcher<[f32; 2], Pair> for ToPairs {
/// #     fn batch(&self, items: Vec<[f32; 2]>, _device: &Device) -> Pair {
/// #         let x = Tensor::<1>::from_floats(items.as_flattened(), &self.0).reshape([items.len(), 2]);
/// #         (x.clone(), x.sum_dim(1) * 3.0 + 2.0)
/// #     }
/// # }
/// # let device = Device::flex().autodiff();
/// # device.seed(1);
/// # let batcher = ToPairs(device.clone());
/// # let dataset = || InMemDataset::new((0..64).map(|i| [(i % 7) as f32 / 3.0 - 1.0, (i % 5) as f32 / 2.0 - 1.0]).collect());
///
/// // A burn model that implements burn-train's steps, a burn data loader, one of our optimizers.
/// let model = Net { linear: LinearConfig::new(2, 1).init(&device) };
/// let optimizer = OptimizerConfig::from_toml_str("type = 'sgd'")?.init();
/// let loader = move |epoch| DataLoaderBuilder::new(batcher.clone()).batch_size(16).shuffle(epoch).build(dataset());
/// let loader = BurnSource::by_epoch(loader, 16);
/// let curve = LrFinder::new(LrFinderConfig { smoothing: 0.5, ..Default::default() }).run(&model, &optimizer, &loader)?;
/// let found = curve.suggestion(Rule::Steepest)?;
/// assert!((1e-3..1.0).contains(&found.lr), "{}", found.lr);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LrFinder {
    config: LrFinderConfig,
    seed: Option<u64>,
    clip_grad_norm: Option<f64>,
    clip_grad_value: Option<f64>,
    precision: Precision,
    freeze: Vec<Freeze>,
    run: Horizon,
    interrupt: Arc<AtomicBool>,
}

impl LrFinder {
    /// A finder with these settings.
    pub fn new(config: LrFinderConfig) -> Self {
        Self {
            config,
            seed: None,
            clip_grad_norm: None,
            clip_grad_value: None,
            precision: Precision::F32,
            freeze: Vec::new(),
            run: Horizon::unknown(),
            interrupt: Arc::default(),
        }
    }

    /// Seeds what each step draws at random, also for a model that shows no layer that draws. Without it, only a model
    /// with dropout or noise layers is seeded, with 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Clips as the training will: by global norm, by value.
    #[must_use]
    pub fn clip(mut self, norm: Option<f64>, value: Option<f64>) -> Self {
        self.clip_grad_norm = norm;
        self.clip_grad_value = value;
        self
    }

    /// Computes as the training will. Default f32.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Leaves alone what these rules freeze at the first step of a training of this length. Default none.
    #[must_use]
    pub fn freeze(mut self, rules: Vec<Freeze>, run: Horizon) -> Self {
        (self.freeze, self.run) = (rules, run);
        self
    }

    /// Ends the sweep at its next step once this is set, with [`FinderError::Interrupted`].
    #[must_use]
    pub fn interrupt(mut self, interrupt: Arc<AtomicBool>) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Sweeps, with one rate for all parameters.
    ///
    /// # Errors
    /// Settings that cannot work; what [`check_start`](crate::check_start) refuses; no data; a batch that could not be
    /// produced or a loss that could not be read. A loss or gradient that is not finite is not an error: it ends the sweep.
    pub fn run<M>(
        &self,
        model: &M,
        optimizer: &AdaptiveOptimizer,
        data: &dyn Source<<M as TrainStep>::Input>,
    ) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        self.run_on(&Subject::new(model, optimizer, data))
    }

    /// Sweeps with groups or validation.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_on<M>(&self, subject: &Subject<'_, M>) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        self.sweep(subject, 0)
    }

    /// Sweeps `repeats` times from the same model. Repeat `r` starts in the data where `r` sweeps would have ended (by
    /// whole epochs), so that it sees other batches and another augmentation, and draws (dropout, noise) with
    /// `seed + r`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn repeat<M>(&self, subject: &Subject<'_, M>, repeats: usize) -> Result<LrSweeps, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        let sweeps: Result<Vec<_>, _> = (0..repeats.max(1) as u64).map(|repeat| self.sweep(subject, repeat)).collect();
        Ok(LrSweeps::new(sweeps?))
    }

    /// Says what is surely not meant.
    fn warn<M: LearnerModel>(&self, subject: &Subject<'_, M>) {
        let rates = subject.rates.map(|rates| rates.at_ramp(self.config.end_lr));
        let is_zero = |group| rates.as_ref().is_some_and(|rates| rates.of(group) == 0.0);
        if never_trains(subject.model, subject.optimizer, is_zero) {
            tracing::warn!(
                "the learning rate of every parameter that is not frozen is 0 (groups): the sweep trains nothing"
            );
        }
        for warning in idle_groups(subject.model, subject.optimizer) {
            tracing::warn!("{warning}");
        }
    }

    fn sweep<M>(&self, subject: &Subject<'_, M>, repeat: u64) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        let mut sweep = Sweep::new(self.config.clone())?;
        let data = subject.data;
        if data.batches() == 0 {
            return Err(TrainError::NoData("training").into());
        }
        let (model, optimizer) = (subject.model, subject.optimizer);
        check_start(model, optimizer, &self.freeze, &self.run)?;
        check_frozen(model, optimizer, &self.freeze, &self.run, 0..1, "at the first step, as which the finder sweeps")?;
        if repeat == 0 {
            self.warn(subject);
        }
        let mut optimizer = subject.optimizer.rebuild().map_err(|error| FinderError::Optimizer(error.to_string()))?;
        // A clone shares batch norm's running statistics with its original; this way round they are copied.
        let mut model = copy_to_train(subject.model, subject.model.devices().first());
        let steps = self.freeze.iter().map(|rule| rule.steps(&self.run)).collect::<Result<Vec<_>, _>>()?;
        let frozen = Frozen::of(&self.freeze, &steps, &model);
        let seed = self
            .seed
            .or_else(|| has_layer(&model, &["Dropout", "Noise"]).then_some(0))
            .map(|seed| seed.wrapping_add(repeat));
        let mut window = Window::default();
        let mut loss = Mean::default();
        let mut step = 0;
        let epochs = self.config.points().saturating_mul(self.config.accumulate).div_ceil(data.batches());
        let mut epoch = repeat.wrapping_mul(epochs as u64);
        let mut batches = data.epoch(epoch, 0);
        let mut epoch_is_empty = true;
        while let Some(lr) = sweep.next_lr() {
            if self.interrupt.load(Ordering::Relaxed) {
                return Err(FinderError::Interrupted { rates: sweep.lrs().len() });
            }
            let batch = match batches.next() {
                Some(batch) => batch.map_err(TrainError::from)?,
                // A source may promise batches that it does not have.
                None if epoch_is_empty => return Err(TrainError::NoData("training").into()),
                None if self.config.recycle => {
                    epoch += 1;
                    batches = data.epoch(epoch, 0);
                    epoch_is_empty = true;
                    continue;
                }
                None => {
                    sweep.out_of_data();
                    break;
                }
            };
            epoch_is_empty = false;
            if let (Some(seed), Some(device)) = (seed, model.devices().first()) {
                seed_step(device, seed, step, window.batches());
            }
            let output = self.precision.step(&model, batch.input);
            window.add(&model, window.batches(), output.grads, batch.items);
            loss.add(loss_of(&output.item)?, batch.items);
            // The output holds the graph, and the graph the parameters: dropped here, so that the update can work in place.
            drop(output.item);
            if window.batches() < self.config.accumulate {
                continue;
            }
            let loss = std::mem::take(&mut loss).value().unwrap_or(f64::NAN);
            match &subject.validate {
                None => sweep.record(loss),
                Some(validate) => sweep.record_with_valid(loss, validate(&model)?),
            }
            if sweep.next_lr().is_some() {
                let mut grads = window.take_mean(&model);
                // The whole sweep is one step of the training: its first.
                frozen.drop_from(&model, &mut grads, 0);
                match clip(self.clip_grad_value, self.clip_grad_norm, &model, &mut grads) {
                    Ok(()) => {}
                    // A finite loss may have a gradient that is not: for the sweep that is an end like any other.
                    Err(ClipError::NonFinite { .. }) => {
                        sweep.non_finite();
                        break;
                    }
                    Err(error) => return Err(TrainError::Clip { step: step + 1, message: error.to_string() }.into()),
                }
                let rate = subject.rates.map_or_else(|| lr.into(), |rates| rates.at_ramp(lr));
                model = optimizer.step(rate, model, grads);
            }
            step += 1;
        }
        Ok(sweep.into_curve())
    }
}
