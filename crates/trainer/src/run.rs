//! A run under way: the state between two lines of the loop in [`fit`](crate::fit).

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Instant};

use burn::{
    optim::GradientsParams,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput},
    },
};
use optim_adaptive::{AdaptiveOptimizer, ClipError};

use crate::{
    CheckpointEvent, EarlyStopping, EpochEvent, EpochSummary, FitReport, Fitted, Flow, OnNonFinite, Rates, RunInfo,
    StepEvent, StopReason, TrainConfig, TrainError, Trainer,
    checkpoint::{Checkpoint, MODEL, OPTIMIZER, Part, RunState, STATE, Snapshot, TIMES, Times, Writer},
    data::{Batch, Source},
    eval_model::eval_model,
    metrics::{self, Mean},
    report::PhaseTimes,
    step::{LearnerModel, Window, seed_step},
};

/// A run under way.
pub(crate) struct Run<'t, M: LearnerModel> {
    trainer: &'t mut Trainer<M>,
    model: Option<M>,
    optimizer: AdaptiveOptimizer,
    rates: Rates,
    pub(crate) state: RunState,
    window: Window<M>,
    window_loss: Mean,
    window_unread: bool,
    last_metrics: BTreeMap<String, f64>,
    batches: usize,
    pub(crate) total_steps: u64,
    total_epochs: u64,
    parameters: usize,
    data_fingerprint: String,
    pub(crate) stopped: Option<StopReason>,
    times: PhaseTimes,
    began: Instant,
    epoch_began: Instant,
    items_here: u64,
    resumed_from: Option<u64>,
    saved_at: Option<u64>,
    writer: Option<Writer>,
    /// Seconds of the processes that this one resumed from.
    earlier_seconds: f64,
}

impl<'t, M> Run<'t, M>
where
    M: LearnerModel,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    pub(crate) fn start(
        trainer: &'t mut Trainer<M>,
        model: M,
        optimizer: AdaptiveOptimizer,
        rates: Rates,
        train: &dyn Source<<M as TrainStep>::Input>,
        resume: Option<Checkpoint>,
    ) -> Result<Self, TrainError> {
        let batches = train.batches();
        if batches == 0 {
            return Err(TrainError::NoData);
        }
        let mut run = Self {
            total_steps: trainer.config.total_steps(batches),
            total_epochs: trainer.config.total_epochs(batches),
            trainer,
            model: None,
            optimizer,
            rates,
            state: RunState::default(),
            window: Window::new(),
            window_loss: Mean::default(),
            window_unread: false,
            last_metrics: BTreeMap::new(),
            parameters: model.num_params(),
            batches,
            data_fingerprint: train.fingerprint(),
            stopped: None,
            times: PhaseTimes::default(),
            began: Instant::now(),
            epoch_began: Instant::now(),
            items_here: 0,
            resumed_from: None,
            saved_at: None,
            writer: None,
            earlier_seconds: 0.0,
        };
        run.writer = run.trainer.config.checkpoint.clone().map(Writer::new);
        let model = match resume {
            None => model,
            Some(checkpoint) => run.restore(model, &checkpoint)?,
        };
        let info = RunInfo {
            epochs: run.total_epochs,
            total_steps: run.total_steps,
            steps_per_epoch: run.trainer.config.steps_per_epoch(batches),
            items: train.items(),
            steps_done: run.state.step,
            parameters: run.parameters,
        };
        run.model = Some(model);
        for callback in &mut run.trainer.callbacks {
            callback.on_start(&info)?;
        }
        Ok(run)
    }

    fn restore(&mut self, model: M, checkpoint: &Checkpoint) -> Result<M, TrainError> {
        checkpoint.check("configuration", &self.trainer.config.fingerprint, |state| &state.config)?;
        checkpoint.check("training data", &self.data_fingerprint, |state| &state.data)?;
        let model = checkpoint.model(model)?;
        checkpoint.optimizer(&mut self.optimizer)?;
        checkpoint.rates(&mut self.rates)?;
        self.state = checkpoint.state().clone();
        self.resumed_from = Some(self.state.step);
        self.saved_at = Some(self.state.step);
        self.earlier_seconds = checkpoint.times().elapsed;
        Ok(model)
    }

    pub(crate) fn next_batch<T>(&mut self, batches: &mut dyn Iterator<Item = T>) -> Option<T> {
        let waited = Instant::now();
        let batch = batches.next();
        self.times.data += waited.elapsed().as_secs_f64();
        batch
    }

    /// The model between two updates. It is only ever absent inside [`update`](Self::update).
    fn model(&self) -> Result<&M, TrainError> {
        self.model.as_ref().ok_or(TrainError::NoData)
    }

    pub(crate) fn forward_backward(&mut self, batch: Batch<<M as TrainStep>::Input>) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        let model = self.model.as_ref().ok_or(TrainError::NoData)?;
        if let Some(device) = model.devices().first() {
            seed_step(device, self.trainer.config.seed, step, self.window.batches());
        }
        let output = TrainStep::step(model, batch.input);
        self.window.add(model, output.grads);
        self.state.batch += 1;
        self.state.items += batch.items;
        self.items_here += batch.items as u64;
        let looked_at = (step + 1).is_multiple_of(self.trainer.config.check_every.max(1)) || self.is_logged(step + 1);
        if looked_at {
            let loss = metrics::loss_of(&output.item)?;
            self.window_loss.add(loss, batch.items);
            // A skipped step leaves no trace in the epoch's mean.
            if loss.is_finite() {
                self.state.epoch_loss.add(loss, batch.items);
            }
        } else {
            self.window_unread = true;
        }
        if self.window_is_full() && self.is_logged(step + 1) {
            for meter in &mut self.trainer.train_meters {
                let value = meter.once(&output.item)?;
                self.last_metrics.insert(meter.key().to_owned(), value);
            }
        }
        // The output holds the graph, and the graph the parameters: gone now, the update can work in place.
        drop(output.item);
        self.times.model += began.elapsed().as_secs_f64();
        Ok(())
    }

    pub(crate) fn window_is_full(&self) -> bool {
        self.window.batches() >= self.trainer.config.accumulate.max(1) || self.state.batch >= self.batches
    }

    fn is_logged(&self, step: u64) -> bool {
        step.is_multiple_of(self.trainer.config.log_every.max(1)) || step == self.total_steps || step == 1
    }

    pub(crate) fn update(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        let config = &self.trainer.config;
        let loss = self.window_loss.value();
        self.state.lr = self.rates.base(step);
        self.state.momentum = self.rates.momentum(step);
        self.state.skipped = loss.is_some_and(|loss| !loss.is_finite());
        if let (true, Some(loss)) = (self.state.skipped, loss) {
            if config.on_nonfinite == OnNonFinite::Stop {
                return Err(TrainError::NonFinite { step: step + 1, epoch: self.state.epoch, loss, lr: self.state.lr });
            }
            tracing::warn!("step {}: the loss is {loss}; the update is left out", step + 1);
            self.state.skipped_steps += 1;
            self.window.clear();
        } else if let Some(model) = self.model.take() {
            let mut grads = self.window.take_mean(&model);
            match clip(config, &model, &mut grads) {
                Ok(()) => {
                    if let Some(momentum) = self.state.momentum {
                        self.optimizer.momentum().set(momentum);
                    }
                    self.model = Some(self.optimizer.step(self.rates.of_module(step), model, grads));
                }
                // A finite loss may have a gradient that is not.
                Err(error @ ClipError::NonFinite { .. }) if config.on_nonfinite == OnNonFinite::Skip => {
                    tracing::warn!("step {}: {error}; the update is left out", step + 1);
                    self.state.skipped = true;
                    self.state.skipped_steps += 1;
                    self.model = Some(model);
                }
                Err(error) => return Err(TrainError::Clip { step: step + 1, message: error.to_string() }),
            }
        }
        self.state.step += 1;
        self.times.optimizer += began.elapsed().as_secs_f64();
        Ok(())
    }

    pub(crate) fn tell_step(&mut self) -> Result<(), TrainError> {
        let loss = std::mem::take(&mut self.window_loss);
        let unread = std::mem::take(&mut self.window_unread);
        let event = StepEvent {
            step: self.state.step,
            epoch: self.state.epoch,
            lr: self.state.lr,
            momentum: self.state.momentum,
            loss: loss.value().filter(|_| !unread),
            metrics: std::mem::take(&mut self.last_metrics),
            logged: self.is_logged(self.state.step),
            skipped: self.state.skipped,
            seconds: self.began.elapsed().as_secs_f64(),
            items: self.state.items,
        };
        for callback in &mut self.trainer.callbacks {
            if let Flow::Stop(reason) = callback.on_step(&event)? {
                self.stopped = Some(StopReason::Callback(reason));
            }
        }
        if self.trainer.interrupt.load(Ordering::Relaxed) {
            self.stopped = Some(StopReason::Interrupted);
        }
        Ok(())
    }

    pub(crate) fn should_leave_epoch(&self) -> bool {
        self.stopped.is_some() || self.state.step >= self.total_steps
    }

    /// All batches of the epoch are done, or the run's last step has been.
    pub(crate) fn epoch_is_done(&self) -> bool {
        self.state.batch >= self.batches || (self.stopped.is_none() && self.state.step >= self.total_steps)
    }

    pub(crate) fn validate(
        &mut self,
        train: &dyn Source<<M as TrainStep>::Input>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        let began = Instant::now();
        let mut values = BTreeMap::new();
        if let Some(loss) = self.state.epoch_loss.value() {
            values.insert("train.loss".to_owned(), loss);
        }
        let due = (self.state.epoch + 1).is_multiple_of(self.trainer.config.validate_every.max(1));
        let last = self.state.step >= self.total_steps;
        if let Some(valid) = valid.filter(|_| due || last) {
            let model = self.model.as_ref().ok_or(TrainError::NoData)?;
            let evaluated = eval_model(model, &self.optimizer, train)?;
            let measured = metrics::measure(&evaluated, valid, &mut self.trainer.valid_meters)?;
            values.extend(measured.into_iter().map(|(name, value)| (format!("valid.{name}"), value)));
        }
        self.times.validation += began.elapsed().as_secs_f64();
        Ok(values)
    }

    pub(crate) fn end_epoch(&mut self, values: BTreeMap<String, f64>) -> Result<(), TrainError> {
        // A value is absent only in an epoch without a validation: `check_monitors` has refused every other case.
        for monitor in self.rates.monitors() {
            if let Some(value) = values.get(&monitor) {
                self.rates.observe(&monitor, self.state.step.saturating_sub(1), *value);
            }
        }
        let best = self.judge(&values);
        let summary = EpochSummary {
            epoch: self.state.epoch,
            step: self.state.step,
            lr: self.state.lr,
            momentum: self.state.momentum,
            values,
            seconds: self.epoch_began.elapsed().as_secs_f64(),
        };
        self.epoch_began = Instant::now();
        let event = EpochEvent { summary: &summary, best };
        for callback in &mut self.trainer.callbacks {
            if let Flow::Stop(reason) = callback.on_epoch(&event)? {
                self.stopped = Some(StopReason::Callback(reason));
            }
        }
        self.state.history.push(summary);
        self.state.epoch += 1;
        self.state.batch = 0;
        self.state.items = 0;
        self.state.epoch_loss = Mean::default();
        self.checkpoint_if_due(best)
    }

    /// Early stopping, and whether the value that checkpoints are chosen by is the best so far.
    fn judge(&mut self, values: &BTreeMap<String, f64>) -> bool {
        let config = &self.trainer.config;
        let keep_best = config.checkpoint.as_ref().and_then(|policy| policy.keep_best.as_ref());
        let best = keep_best.and_then(|best| {
            values.get(&best.monitor).copied().filter(|value| best.mode.improves(*value, self.state.best, 0.0))
        });
        if best.is_some() {
            self.state.best = best;
        }
        if let Some(EarlyStopping { monitor, patience, min_delta, mode }) = &config.early_stopping
            && let Some(&value) = values.get(monitor)
        {
            if mode.improves(value, self.state.early_best, *min_delta) {
                self.state.early_best = Some(value);
                self.state.early_bad = 0;
            } else {
                self.state.early_bad += 1;
                if self.state.early_bad >= *patience {
                    self.stopped = Some(StopReason::EarlyStopping);
                }
            }
        }
        best.is_some()
    }

    /// At the end of an epoch, or of a validation that gave a best value.
    fn checkpoint_if_due(&mut self, best: bool) -> Result<(), TrainError> {
        let Some(policy) = self.writer.as_ref().map(|writer| writer.policy().clone()) else { return Ok(()) };
        let value = policy.keep_best.as_ref().and_then(|best| self.values_here()?.get(&best.monitor).copied());
        let admitted = policy.keep_best.as_ref().zip(value);
        let admitted = admitted.is_some_and(|(best, value)| best.admits(&mut self.state.kept_best, value));
        let due = best || admitted || policy.every.is_due_after_epoch(self.state.epoch, self.state.step);
        if due { self.save() } else { Ok(()) }
    }

    /// After a step in the middle of an epoch; where it ends the epoch, the checkpoint waits for the validation. Also
    /// learns of a write that has failed meanwhile.
    pub(crate) fn checkpoint_within_epoch(&mut self) -> Result<(), TrainError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.poll()?;
        let due = writer.policy().every.is_due_within_epoch(self.state.step);
        if due && !self.epoch_is_done() { self.save() } else { Ok(()) }
    }

    /// What was measured on the present state, if something was.
    fn values_here(&self) -> Option<&BTreeMap<String, f64>> {
        self.state.history.last().filter(|epoch| epoch.step == self.state.step).map(|epoch| &epoch.values)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let began = Instant::now();
        let path = writer.policy().directory.join(format!("step-{:08}", self.state.step));
        for callback in &mut self.trainer.callbacks {
            callback.on_checkpoint(&CheckpointEvent { step: self.state.step, path: &path })?;
        }
        self.state.config.clone_from(&self.trainer.config.fingerprint);
        self.state.data.clone_from(&self.data_fingerprint);
        self.state.schedules = self.rates.state();
        let times = Times {
            elapsed: self.earlier_seconds + self.began.elapsed().as_secs_f64(),
            epochs: self.state.history.iter().map(|epoch| epoch.seconds).collect(),
        };
        let record = self.optimizer.to_record();
        let snapshot = Snapshot {
            step: self.state.step,
            values: self.values_here().cloned().unwrap_or_default(),
            parts: vec![
                Part::module(MODEL, self.model()?),
                Part::encode(OPTIMIZER, move || record.into_bytes()),
                Part::json(STATE, &self.state)?,
                Part::json(TIMES, &times)?,
            ],
        };
        if let Some(writer) = &mut self.writer {
            writer.save(snapshot)?;
        }
        self.saved_at = Some(self.state.step);
        self.times.checkpoint += began.elapsed().as_secs_f64();
        Ok(())
    }

    pub(crate) fn finish(mut self, train: &dyn Source<<M as TrainStep>::Input>) -> Result<Fitted<M>, TrainError> {
        if self.saved_at != Some(self.state.step) {
            self.save()?;
        }
        if let Some(mut writer) = self.writer.take() {
            let began = Instant::now();
            writer.finish()?;
            self.times.checkpoint += began.elapsed().as_secs_f64();
        }
        let training = self.times.data + self.times.model + self.times.optimizer;
        let report = FitReport {
            parameters: self.parameters,
            steps: self.state.step,
            epochs: self.state.history.clone(),
            stopped: self.stopped.clone().unwrap_or(StopReason::Finished),
            skipped_steps: self.state.skipped_steps,
            seconds: self.began.elapsed().as_secs_f64(),
            items_per_second: if training > 0.0 { self.items_here as f64 / training } else { 0.0 },
            times: self.times,
            resumed_from: self.resumed_from,
        };
        for callback in &mut self.trainer.callbacks {
            callback.on_end(&report)?;
        }
        let model = self.model.ok_or(TrainError::NoData)?;
        let averaged =
            if self.optimizer.has_eval_params() { Some(eval_model(&model, &self.optimizer, train)?) } else { None };
        Ok(Fitted::new(model, averaged, self.optimizer, self.rates, report))
    }
}

/// Clips by value, then by norm, where the run is configured to.
fn clip<M: LearnerModel>(config: &TrainConfig, model: &M, grads: &mut GradientsParams) -> Result<(), ClipError> {
    if let Some(limit) = config.clip_grad_value {
        optim_adaptive::clip_grad_value(model, grads, limit)?;
    }
    if let Some(limit) = config.clip_grad_norm {
        optim_adaptive::clip_grad_norm(model, grads, limit)?;
    }
    Ok(())
}
