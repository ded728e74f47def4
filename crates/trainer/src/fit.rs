//! The loop.

use std::sync::{Arc, atomic::AtomicBool};

use burn::{
    module::Module,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput, Metric, Numeric},
    },
};
use optim_adaptive::AdaptiveOptimizer;

use crate::{
    Callback, FitReport, Rates, TrainConfig, TrainError,
    checkpoint::Checkpoint,
    data::{Limited, Source},
    metrics::{Meters, Plugged},
    run::Run,
    step::LearnerModel,
};

/// Trains models.
///
/// ```text
/// for each epoch
///     for each batch: forward and backward, accumulate
///         when the window is full: clip, ask the schedule, update, tell the callbacks
///             validate and checkpoint where that falls in the middle of an epoch
///     validate, feed the reactive schedules, tell the callbacks, checkpoint
/// ```
pub struct Trainer<M: LearnerModel> {
    pub(crate) config: TrainConfig,
    pub(crate) train_meters: Meters<<M as TrainStep>::Output>,
    pub(crate) valid_meters: Meters<<M as InferenceStep>::Output>,
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
    pub(crate) interrupt: Arc<AtomicBool>,
    resume: Option<Checkpoint>,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Fitted<M> {
    /// The model at the end of the run, ready to train on: the weights of the last step, or early stopping's best where
    /// it restores them. [`eval_model`](Self::eval_model) is the one to evaluate.
    pub model: M,
    averaged: Option<M>,
    /// The optimizer, with its state.
    pub optimizer: AdaptiveOptimizer,
    /// The schedules, with their state.
    pub rates: Rates,
    /// The figures.
    pub report: FitReport,
}

impl<M: Module> Fitted<M> {
    pub(crate) fn new(
        model: M,
        averaged: Option<M>,
        optimizer: AdaptiveOptimizer,
        rates: Rates,
        report: FitReport,
    ) -> Self {
        Self { model, averaged, optimizer, rates, report }
    }

    /// The model with the parameters to evaluate, keep and export: early stopping's best where it restores them; else
    /// the average of the weights where one is taken ([`Ema`](crate::Ema), [`Swa`](crate::Swa)), or Schedule-Free's, batch norm's
    /// statistics measured anew where the average needs it; else the trained ones.
    pub fn eval_model(&self) -> &M {
        self.averaged.as_ref().unwrap_or(&self.model)
    }
}

impl<M> Trainer<M>
where
    M: LearnerModel,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    /// A trainer without metrics (besides the loss) and callbacks.
    pub fn new(config: TrainConfig) -> Self {
        Self {
            config: config.in_force(),
            train_meters: Vec::new(),
            valid_meters: Vec::new(),
            callbacks: Vec::new(),
            interrupt: Arc::default(),
            resume: None,
        }
    }

    /// Measures a burn-train metric: on the batch of each logged step, and over the whole validation set.
    #[must_use]
    pub fn metric<Me>(mut self, metric: Me) -> Self
    where
        Me: Metric + Numeric + 'static,
        <M as TrainStep>::Output: Adaptor<Me::Input>,
        <M as InferenceStep>::Output: Adaptor<Me::Input>,
    {
        self.train_meters.push(Box::new(Plugged::new(metric.clone())));
        self.valid_meters.push(Box::new(Plugged::new(metric)));
        self
    }

    /// Adds a listener.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Ends the run in order (finish the step, checkpoint, report) once this flag is set, by a signal handler say.
    #[must_use]
    pub fn interrupt(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Goes on from a checkpoint: `fit` restores model, optimizer, schedules and position from it.
    #[must_use]
    pub fn resume(mut self, checkpoint: Checkpoint) -> Self {
        self.resume = Some(checkpoint);
        self
    }

    /// Trains `model` on `train`, validating on `valid` where there is one.
    ///
    /// # Errors
    /// [`TrainError`]; checkpoints already written stay.
    pub fn fit(
        mut self,
        model: M,
        optimizer: AdaptiveOptimizer,
        rates: Rates,
        train: &dyn Source<<M as TrainStep>::Input>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<Fitted<M>, TrainError> {
        let resume = self.resume.take();
        let train = Limited::new(train, self.config.train_limit(), self.config.overfit_batches.is_some());
        let train: &dyn Source<_> = &train;
        let valid = valid.map(|valid| Limited::new(valid, self.config.valid_limit(), false));
        let valid = valid.as_ref().map(|valid| valid as &dyn Source<_>);
        self.check_monitors(&rates, valid.is_some())?;
        let mut run = Run::start(&mut self, model, optimizer, rates, train, resume)?;
        run.try_validation(valid)?;
        while run.goes_on() {
            run.enter_epoch()?;
            let (epoch, first) = run.position();
            let mut batches = train.epoch(epoch, first);
            while let Some(batch) = run.next_batch(&mut batches) {
                run.forward_backward(batch?)?;
                if run.window_is_full() {
                    run.update()?;
                    run.tell_step()?;
                    if !run.epoch_is_done() {
                        run.between_steps(train, valid)?;
                    }
                    if run.leaves_epoch() {
                        break;
                    }
                }
            }
            drop(batches);
            if run.epoch_is_done() {
                run.end_epoch(train, valid)?;
            }
        }
        run.finish(train)
    }
}

impl<M: LearnerModel> Trainer<M> {
    /// Refuses, before any work, to wait for a value that no epoch of this run can give.
    fn check_monitors(&self, rates: &Rates, validates: bool) -> Result<(), TrainError> {
        let mut known = vec!["train.loss".to_owned()];
        if validates {
            known.push("valid.loss".to_owned());
            known.extend(self.valid_meters.iter().map(|meter| format!("valid.{}", meter.key())));
        }
        let own = self.config.monitors(validates).map(|(_, monitor)| monitor.to_owned());
        let wanted = rates.monitors().into_iter().chain(own);
        match wanted.into_iter().find(|monitor| !known.contains(monitor)) {
            Some(monitor) => Err(TrainError::UnknownMonitor { monitor, known }),
            None => Ok(()),
        }
    }
}
