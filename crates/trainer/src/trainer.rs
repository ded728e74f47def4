//! A training about to start: its settings, metrics and listeners.

use std::sync::{Arc, atomic::AtomicBool};

use burn::train::{
    InferenceStep, TrainStep,
    metric::{Adaptor, LossInput, Metric, Numeric},
};

use crate::{
    Callback, Rates, TrainConfig, TrainError,
    checkpoint::Checkpoint,
    metrics::{Meters, MetricMeter, Metrics},
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
    /// The settings as given.
    pub(crate) planned: TrainConfig,
    /// The settings in force.
    pub(crate) config: TrainConfig,
    pub(crate) train_meters: Meters<<M as TrainStep>::Output>,
    pub(crate) valid_meters: Meters<<M as InferenceStep>::Output>,
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
    pub(crate) interrupt: Arc<AtomicBool>,
    pub(crate) resume: Option<Checkpoint>,
}

impl<M> Trainer<M>
where
    M: LearnerModel,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    /// A trainer without callbacks, which measures the loss alone.
    pub fn new(config: TrainConfig) -> Self {
        Self {
            config: config.clone().in_force(),
            planned: config,
            train_meters: Vec::new(),
            valid_meters: Vec::new(),
            callbacks: Vec::new(),
            interrupt: Arc::default(),
            resume: None,
        }
    }

    /// Measures a burn-train metric: over the batches of each logged step, and over the whole validation set. Its key in logs
    /// is burn's name for it in lower snake case (`accuracy`); where that is taken, by another metric or by what every
    /// log holds (`loss`, `lr`, ...), a number follows (`loss_2`).
    #[must_use]
    pub fn metric<Me>(mut self, metric: Me) -> Self
    where
        Me: Metric + Numeric + 'static,
        <M as TrainStep>::Output: Adaptor<Me::Input>,
        <M as InferenceStep>::Output: Adaptor<Me::Input>,
    {
        let meter = MetricMeter::new(metric, self.valid_meters.iter().map(|meter| meter.key()));
        self.train_meters.push(Box::new(meter.clone()));
        self.valid_meters.push(Box::new(meter));
        self
    }

    /// Measures these metrics, and no others.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics<M>) -> Self {
        (self.train_meters, self.valid_meters) = (metrics.train, metrics.valid);
        self
    }

    /// Adds listeners.
    #[must_use]
    pub fn callbacks(mut self, callbacks: impl IntoIterator<Item = Box<dyn Callback>>) -> Self {
        self.callbacks.extend(callbacks);
        self
    }

    /// Adds a listener.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Ends the run cleanly (finish the step, checkpoint, report) once this flag is set, for example by a signal handler.
    #[must_use]
    pub fn interrupt(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Continues from a checkpoint: `fit` restores model, optimizer, schedules and position from it.
    #[must_use]
    pub fn resume(mut self, checkpoint: Checkpoint) -> Self {
        self.resume = Some(checkpoint);
        self
    }
}

impl<M: LearnerModel> Trainer<M> {
    /// Refuses, before any work, to wait for a value that no epoch of this run can give.
    pub(crate) fn check_monitors(&self, rates: &Rates, validates: bool) -> Result<(), TrainError> {
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
