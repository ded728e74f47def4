//! A training about to start: its settings, metrics and listeners.

use std::{
    any::Any,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use burn::train::{
    InferenceStep,
    metric::{Adaptor, LossInput, Metric, Numeric},
};

use strict_config::ConfigError;

use crate::{
    Callback, CallbackError, Rates, TrainConfig, TrainError,
    checkpoint::{self, Checkpoint, CheckpointError},
    interrupt::ctrl_c,
    metrics::{Metrics, is_taken},
    ranks::{Alone, Communicator},
    scalars::Scalars,
    updates::Trainable,
};

/// What a run begins with.
#[derive(Default)]
pub(crate) enum Resume {
    #[default]
    No,
    From(Box<Checkpoint>),
    /// The newest checkpoint, if there is one.
    IfAny,
}

/// Trains models.
///
/// ```text
/// for each epoch
///     for each batch: forward and backward, accumulate
///         when the window is full: clip, ask the schedule, update, tell the callbacks
///             validate and checkpoint where that falls in the middle of an epoch
///     validate, feed the reactive schedules, tell the callbacks, checkpoint
/// ```
pub struct Trainer<M: Trainable> {
    /// The settings as given.
    pub(crate) planned: TrainConfig,
    /// The settings in force.
    pub(crate) config: TrainConfig,
    pub(crate) metrics: Metrics<M>,
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
    /// What callbacks see of a model.
    pub(crate) shown: fn(&M) -> &dyn Any,
    pub(crate) interrupt: Arc<AtomicBool>,
    pub(crate) resume: Resume,
    pub(crate) ranks: Arc<dyn Communicator>,
}

impl<M> Trainer<M>
where
    M: Trainable,
    M::TrainItem: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    /// A trainer without callbacks, which measures the loss alone.
    pub fn new(config: TrainConfig) -> Self {
        Self {
            config: config.clone().in_force(),
            planned: config,
            metrics: Metrics::new(),
            callbacks: Vec::new(),
            shown: |model| model,
            interrupt: Arc::default(),
            resume: Resume::No,
            ranks: Arc::new(Alone),
        }
    }

    /// Measures a burn-train metric: over the batches of each logged step, and over the whole validation set. See
    /// [`Metrics::with`].
    #[must_use]
    pub fn metric<Me>(mut self, metric: Me) -> Self
    where
        Me: Metric + Numeric + 'static,
        M::TrainItem: Adaptor<Me::Input>,
        <M as InferenceStep>::Output: Adaptor<Me::Input>,
    {
        self.metrics = self.metrics.with(metric);
        self
    }

    /// Logs named scalars that the steps give: see [`Metrics::with_scalars`].
    #[must_use]
    pub fn scalars<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        M::TrainItem: Adaptor<Scalars>,
        <M as InferenceStep>::Output: Adaptor<Scalars>,
    {
        self.metrics = self.metrics.with_scalars(names);
        self
    }

    /// Measures these metrics, and no others.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics<M>) -> Self {
        self.metrics = metrics;
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

    /// Shows callbacks this of the model ([`ModelEvent::model`](crate::ModelEvent::model)), where it is a shell around the one
    /// that they know. Default: the model itself.
    #[must_use]
    pub fn shown(mut self, model: fn(&M) -> &dyn Any) -> Self {
        self.shown = model;
        self
    }

    /// Ends the run cleanly (finish the step, checkpoint, report) once this flag is set, for example by a signal handler.
    #[must_use]
    pub fn interrupt(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Ends the run cleanly at Ctrl-C (or SIGTERM), as [`interrupt`](Self::interrupt) does; a second one ends the process at
    /// once. See [`ctrl_c`](crate::ctrl_c).
    #[must_use]
    pub fn stop_on_ctrl_c(self) -> Self {
        self.interrupt(ctrl_c())
    }

    /// Trains as one of several processes, which all call `fit` with the same model, settings and data, and end with the
    /// same bits as one process would. Each takes its part of the batches of every step, so `accumulate` must be a
    /// multiple of their number. Process 0 alone tells its callbacks, writes checkpoints and needs one to
    /// [`resume`](Self::resume) from.
    #[must_use]
    pub fn ranks(mut self, ranks: Arc<dyn Communicator>) -> Self {
        self.ranks = ranks;
        self
    }

    /// Continues from a checkpoint: `fit` restores model, optimizer, schedules and position from it.
    #[must_use]
    pub fn resume(mut self, checkpoint: Checkpoint) -> Self {
        self.resume = Resume::From(Box::new(checkpoint));
        self
    }

    /// Continues from the newest checkpoint that is whole, where there is one; else `fit` starts from the beginning. For
    /// a program that is started again until its run is done. It needs [checkpoints](Self::checkpoints).
    #[must_use]
    pub fn resume_if_any(mut self) -> Self {
        self.resume = Resume::IfAny;
        self
    }

    /// Keeps checkpoints in this folder, as the settings' policy says.
    #[must_use]
    pub fn checkpoints(mut self, directory: impl Into<PathBuf>) -> Self {
        self.planned.checkpoint.get_or_insert_default().directory = directory.into();
        self.config = self.planned.clone().in_force();
        self
    }
}

impl<M: Trainable> Trainer<M> {
    /// The keys of what a validation measures beside the loss.
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.metrics.valid.iter().flat_map(|meter| meter.keys()).map(String::as_str)
    }

    /// Refuses two values of one name.
    pub(crate) fn check_names(&self) -> Result<(), TrainError> {
        let taken = |name: &str, of: String| Err(TrainError::NameTaken { name: name.to_owned(), of });
        let mut keys: Vec<&str> = Vec::new();
        for meter in &self.metrics.valid {
            for key in meter.keys() {
                if is_taken(key, keys.iter().copied()) {
                    return taken(key, "the steps".to_owned());
                }
                keys.push(key);
            }
        }
        let mut own: Vec<String> = Vec::new();
        for callback in &self.callbacks {
            let of = format!("the callback `{}`", callback.name());
            for name in callback.values() {
                match name.split_once('.') {
                    Some(("train" | "valid", bare))
                        if !own.contains(&name) && !is_taken(bare, keys.iter().copied()) => {}
                    Some(("train" | "valid", _)) => return taken(&name, of),
                    _ => {
                        let message = format!("its value `{name}` begins neither with `train.` nor with `valid.`");
                        return Err(CallbackError::new(callback.name(), message).into());
                    }
                }
                own.push(name);
            }
        }
        Ok(())
    }

    /// The checkpoint to continue from.
    pub(crate) fn resumed(&mut self) -> Result<Option<Checkpoint>, TrainError> {
        match std::mem::take(&mut self.resume) {
            Resume::No => Ok(None),
            Resume::From(checkpoint) => Ok(Some(*checkpoint)),
            Resume::IfAny => {
                let Some(policy) = &self.config.checkpoint else {
                    let message = "there is nothing to resume in a run that keeps no checkpoints: name their folder with \
                                   `Trainer::checkpoints`";
                    return Err(ConfigError::conflict("checkpoint", message).into());
                };
                match checkpoint::newest(&policy.directory) {
                    Ok(found) => Ok(Some(found.checkpoint)),
                    Err(CheckpointError::None { skipped, .. }) if skipped.is_empty() => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Refuses, before any work, to wait for a value that no epoch of this run can give.
    pub(crate) fn check_monitors(&self, rates: &Rates, validates: bool) -> Result<(), TrainError> {
        let mut known = vec!["train.loss".to_owned()];
        if validates {
            known.push("valid.loss".to_owned());
            known.extend(self.keys().map(|key| format!("valid.{key}")));
        }
        known.extend(self.metrics.scalars().iter().map(|name| format!("train.{name}")));
        let of_callbacks = self.callbacks.iter().flat_map(|callback| callback.values());
        known.extend(of_callbacks.filter(|name| validates || !name.starts_with("valid.")));
        let own = self.config.monitors(validates).map(|(_, monitor)| monitor.to_owned());
        let wanted = rates.monitors().into_iter().chain(own);
        match wanted.into_iter().find(|monitor| !known.contains(monitor)) {
            Some(monitor) => Err(TrainError::UnknownMonitor { monitor, known }),
            None => Ok(()),
        }
    }
}
