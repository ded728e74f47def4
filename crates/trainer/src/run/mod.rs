//! A run under way: the state between two lines of the loop in [`fit`](crate::fit).
//!
//! Here: how a run starts and ends, and what it tells. `steps`: a batch, a window, an update. `validation`: when the
//! validation set is visited and what its values do. `non_finite`: stop, skip or roll back. `proof`: which states are
//! good. `saving`: to a checkpoint and from it. `fallback`: the state that is rolled back to. `together`: what is done with the
//! other processes of a job.

mod fallback;
mod non_finite;
mod proof;
mod saving;
mod seen;
mod steps;
mod together;
mod validation;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use burn::{optim::GradientsParams, tensor::Device};
use optim_adaptive::AdaptiveOptimizer;

use crate::{
    Callback, CallbackError, FitReport, Fitted, Flow, ModelEvent, Moment, Rates, RunInfo, StepEvent, StopReason,
    TrainError, Trainer,
    activations::{self, copy_to_train},
    averaging::{Apart, AveragePlan, with_measured_statistics},
    checkpoint::{Cadence, Checkpoint, HistoryLog, RunState, Writer},
    data::Source,
    eval_model::eval_model,
    finite::Judge,
    freeze::Frozen,
    memory::peak_memory,
    meter::Mean,
    report::TimeSpent,
    step::Window,
    timetable::Timetable,
    updates::{Made, Trainable, WithLoss},
};
use fallback::Fallback;
use seen::Seen;

/// An update that has failed is the only place that leaves a run without a model, and it ends the run.
const NO_MODEL: TrainError = TrainError::Internal("a run without a model");

/// What the batches of a window have measured.
#[derive(Default)]
struct WindowValues {
    /// Their mean loss.
    loss: Mean,
    /// Whether the loss of one was not read.
    is_unread: bool,
    /// Metrics over all of them, where the step is logged.
    metrics: BTreeMap<String, f64>,
    /// Their mean scalars, by name.
    scalars: BTreeMap<String, Mean>,
    /// What the updates of the model's own step have come to.
    made: Made,
}

/// What was measured last, and what that means for checkpoints.
#[derive(Default)]
struct Measured {
    /// After which step.
    step: u64,
    values: BTreeMap<String, f64>,
    /// Values that runs are judged by and that were no numbers: it has been said.
    no_numbers: BTreeSet<String>,
    /// Whether the value that checkpoints are chosen by is the best so far, and no checkpoint holds it yet.
    is_best: bool,
    /// Whether it is one of those that are kept, and no checkpoint holds it yet.
    is_kept: bool,
}

/// Where the time of this process goes.
struct Stopwatch {
    began: Instant,
    epoch_began: Instant,
    spent: TimeSpent,
    /// Items that were trained on.
    items: u64,
    /// Seconds that the processes before it have taken.
    before: f64,
}

impl Stopwatch {
    fn start() -> Self {
        let now = Instant::now();
        Self { began: now, epoch_began: now, spent: TimeSpent::default(), items: 0, before: 0.0 }
    }

    /// A phase begins, perhaps within another.
    fn begin(&self) -> Phase {
        Phase { began: Instant::now(), counted: self.spent.total() }
    }

    /// Seconds of a phase that ends, without what phases within it have counted as theirs.
    fn own(&self, phase: &Phase) -> f64 {
        (phase.began.elapsed().as_secs_f64() - (self.spent.total() - phase.counted)).max(0.0)
    }
}

/// A part of the loop whose time is measured.
struct Phase {
    began: Instant,
    /// Seconds that were counted when it began.
    counted: f64,
}

/// A run under way.
pub(crate) struct Run<'t, M: Trainable> {
    trainer: &'t mut Trainer<M>,
    model: Option<M>,
    /// Where the model is: what its random numbers are drawn on.
    device: Option<Device>,
    optimizer: AdaptiveOptimizer,
    rates: Rates,
    state: RunState,
    timetable: Timetable,
    window: Window,
    /// What this process's batches of the window have given.
    seen: Seen,
    /// The mean gradient of a window of several processes.
    summed: Option<GradientsParams>,
    /// Batch norm's statistics by batches, where several processes have a part of them.
    apart: Option<Apart>,
    /// What the window under way has measured.
    values: WindowValues,
    frozen: Frozen,
    judge: Judge,
    average: Option<M>,
    /// Early stopping's best model, where it is to be restored.
    best_model: Option<M>,
    /// The last good state, where the run may roll back.
    fallback: Option<Fallback>,
    /// The state that takes its place once something has shown it to be good.
    candidate: Option<Fallback>,
    /// Steps of checkpoints that the run has rolled back from, and that still exist.
    refuted: Vec<u64>,
    /// What is to be written of the epochs.
    history: HistoryLog,
    measured: Measured,
    parameters: usize,
    data_fingerprint: String,
    /// The names of the values of each callback.
    declared: Vec<Vec<String>>,
    /// Whether it was said that one of them is waited for and not given.
    is_told_of_missing: bool,
    stopped: Option<StopReason>,
    clock: Stopwatch,
    resumed_from: Option<u64>,
    saved_at: Option<u64>,
    writer: Option<Writer>,
}

impl<'t, M: WithLoss> Run<'t, M> {
    pub(crate) fn start(
        trainer: &'t mut Trainer<M>,
        model: M,
        optimizer: AdaptiveOptimizer,
        rates: Rates,
        train: &dyn Source<M::TrainBatch>,
        validates: bool,
        resume: Option<Checkpoint>,
    ) -> Result<Self, TrainError> {
        let declared = trainer.callbacks.iter().map(|callback| callback.values()).collect();
        let config = &trainer.config;
        let timetable = config.timetable(train.batches(), &optimizer)?;
        model.devices().iter().try_for_each(|device| config.precision.check(device))?;
        activations::check(config.activation_checkpointing, &model)?;
        // A lazy parameter is drawn when it is first read: now, so that nothing that reads it sooner or later (the
        // sanity validation) changes what is drawn.
        steps::bring_up_to_date(&model);
        rates.check_momentum(&optimizer)?;
        let judge = Judge {
            clip_value: config.clip_grad_value,
            clip_norm: config.clip_grad_norm,
            action: config.on_nonfinite,
            every_step: timetable.looks_at_every_step(),
        };
        let mut run = Self {
            trainer,
            parameters: model.num_params(),
            device: model.devices().into_iter().next(),
            model: None,
            optimizer,
            rates,
            state: RunState::default(),
            timetable,
            window: Window::default(),
            seen: Seen::default(),
            summed: None,
            apart: None,
            values: WindowValues::default(),
            judge,
            frozen: Frozen::default(),
            average: None,
            best_model: None,
            fallback: None,
            candidate: None,
            refuted: Vec::new(),
            history: HistoryLog::default(),
            measured: Measured::default(),
            data_fingerprint: train.fingerprint(),
            declared,
            is_told_of_missing: false,
            stopped: None,
            clock: Stopwatch::start(),
            resumed_from: None,
            saved_at: None,
            writer: None,
        };
        run.writer = run.trainer.config.checkpoint.clone().map(Writer::new);
        run.callbacks_state()?;
        match resume {
            None => run.model = Some(model),
            Some(checkpoint) => run.restore(model, &checkpoint)?,
        }
        run.check_ranks()?;
        if !run.is_alone() {
            run.apart = Apart::of(run.model()?, run.trainer.config.precision, train)?;
        }
        run.frozen = Frozen::of(&run.trainer.config.freeze, &run.timetable.freeze, run.model()?);
        if run.fallback.is_none() {
            run.fallback = run.remember()?;
        }
        let cadence = run.timetable.cadence(validates);
        if run.state.cadence.settings != cadence {
            run.state.cadence = Cadence { settings: cadence, since: run.state.step };
        }
        let info = RunInfo {
            epochs: run.timetable.epochs,
            total_steps: run.timetable.steps,
            steps_per_epoch: run.timetable.steps_per_epoch,
            items: train.items(),
            steps_done: run.state.step,
            over: !run.goes_on(),
            saved_in_turn: run.resumed_from.is_some_and(|step| run.timetable.saves_in_turn(step)),
            logged: run.timetable.logged(run.state.cadence.since, run.state.step, &run.state.history, validates),
            parameters: run.parameters,
        };
        run.tell(|callback| callback.on_start(&info))?;
        let leads = run.leads();
        if let (Some(step), Some(writer)) = (run.resumed_from, run.writer.as_mut().filter(|_| leads)) {
            writer.tidy(step, run.state.unproven.clone())?;
        }
        Ok(run)
    }

    /// Whether steps are left and nothing has ended the run.
    pub(crate) fn goes_on(&self) -> bool {
        self.stopped.is_none() && self.state.step < self.timetable.steps
    }

    pub(crate) fn enter_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        self.tell(|callback| callback.on_epoch_start(epoch))
    }

    /// Adds a value to its mean over the epoch. One that is not finite leaves no trace: checkpoints hold numbers.
    fn note_scalar(&mut self, name: &str, value: f64, items: usize) {
        if value.is_finite() {
            self.state.epoch_scalars.entry(name.to_owned()).or_default().add(value, items);
        }
    }

    pub(crate) fn tell_step(&mut self) -> Result<(), TrainError> {
        let WindowValues { loss, is_unread, mut metrics, scalars, .. } = std::mem::take(&mut self.values);
        let is_logged = self.timetable.is_logged(self.state.step);
        let values = self.values_of_callbacks(Moment::Step { is_logged }, None)?;
        for (name, value) in &values {
            self.note_scalar(name, *value, 1);
        }
        if is_logged {
            metrics.extend(scalars.into_iter().filter_map(|(name, mean)| Some((name, mean.value()?))));
            metrics.extend(values);
        }
        let event = StepEvent {
            step: self.state.step,
            epoch: self.state.epoch,
            lr: self.state.lr,
            momentum: self.state.momentum,
            loss: loss.value().filter(|_| !is_unread),
            metrics,
            logged: is_logged,
            skipped: self.state.skipped,
            seconds: self.clock.began.elapsed().as_secs_f64(),
            items: self.state.items,
        };
        self.ask(|callback| callback.on_step(&event))?;
        if !self.is_last_step() && self.trainer.config.max_time.is_some_and(|limit| self.elapsed() >= limit) {
            self.stopped = Some(StopReason::TimeLimit);
        }
        if self.trainer.interrupt.load(Ordering::Relaxed) {
            self.stopped = Some(StopReason::Interrupted);
        }
        self.agree()
    }

    /// The epoch is done, or the run has ended in it.
    pub(crate) fn leaves_epoch(&self) -> bool {
        self.epoch_is_done() || !self.goes_on()
    }

    /// All batches of the epoch are done, or the run's last step has been.
    pub(crate) fn epoch_is_done(&self) -> bool {
        self.state.batch >= self.timetable.batches || self.is_last_step()
    }

    fn is_last_step(&self) -> bool {
        self.state.step >= self.timetable.steps
    }

    /// The time that this run has taken, in this process and those before.
    fn elapsed(&self) -> Duration {
        Duration::try_from_secs_f64(self.clock.before).unwrap_or_default() + self.clock.began.elapsed()
    }

    /// The model between two updates. It is only ever absent inside [`update`](Self::update).
    fn model(&self) -> Result<&M, TrainError> {
        self.model.as_ref().ok_or(NO_MODEL)
    }

    fn take_model(&mut self) -> Result<M, TrainError> {
        self.model.take().ok_or(NO_MODEL)
    }

    /// What callbacks find out about the model that is trained, or `evaluated` in its place: by names without the set.
    fn values_of_callbacks(
        &mut self,
        moment: Moment,
        evaluated: Option<&M>,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        if !self.leads() {
            return Ok(BTreeMap::new());
        }
        let began = self.clock.begin();
        let model: &M = evaluated.or(self.model.as_ref()).ok_or(NO_MODEL)?;
        let event = ModelEvent::new(moment, self.state.step, self.state.epoch, (self.trainer.shown)(model));
        let mut values = BTreeMap::new();
        for (callback, declared) in self.trainer.callbacks.iter_mut().zip(&self.declared) {
            event.take_from(callback.as_mut(), declared, &mut values)?;
        }
        self.clock.spent.callbacks += self.clock.own(&began);
        Ok(values)
    }

    /// Tells every callback, on rank 0.
    fn tell(&mut self, mut what: impl FnMut(&mut dyn Callback) -> Result<(), CallbackError>) -> Result<(), TrainError> {
        if !self.leads() {
            return Ok(());
        }
        let began = self.clock.begin();
        let told = self.trainer.callbacks.iter_mut().try_for_each(|callback| what(callback.as_mut()));
        self.clock.spent.callbacks += self.clock.own(&began);
        Ok(told?)
    }

    /// Tells every callback what may end the run; on the other ranks once they [`agree`](Self::agree).
    fn ask(
        &mut self,
        mut what: impl FnMut(&mut dyn Callback) -> Result<Flow, CallbackError>,
    ) -> Result<(), TrainError> {
        if !self.leads() {
            return Ok(());
        }
        let began = self.clock.begin();
        for callback in &mut self.trainer.callbacks {
            if let Flow::Stop(reason) = what(callback.as_mut())? {
                self.stopped = Some(StopReason::Callback(reason));
            }
        }
        self.clock.spent.callbacks += self.clock.own(&began);
        Ok(())
    }

    pub(crate) fn finish(mut self, train: &dyn Source<M::TrainBatch>) -> Result<Fitted<M>, TrainError> {
        self.save_last(train)?;
        if let Some(mut writer) = self.writer.take() {
            let began = self.clock.begin();
            writer.finish()?;
            self.clock.spent.checkpoint += self.clock.own(&began);
        }
        let stopped = self.stopped.clone().unwrap_or(StopReason::Finished);
        // An interrupted run is resumed later: it keeps the model it trains.
        let best = self.best_model.take().filter(|_| stopped != StopReason::Interrupted);
        let TimeSpent { data, model, optimizer, ranks, .. } = self.clock.spent;
        let training = data + model + optimizer + ranks;
        let report = FitReport {
            parameters: self.parameters,
            steps: self.state.step,
            epochs: std::mem::take(&mut self.state.history),
            stopped,
            skipped_steps: self.state.skipped_steps,
            rollbacks: self.state.rollbacks,
            restored: best.as_ref().and(self.state.early_best_step),
            seconds: self.clock.began.elapsed().as_secs_f64(),
            elapsed: self.elapsed().as_secs_f64(),
            peak_memory: peak_memory(),
            items_per_second: if training > 0.0 { self.clock.items as f64 / training } else { 0.0 },
            times: self.clock.spent,
            resumed_from: self.resumed_from,
        };
        self.tell(|callback| callback.on_end(&report))?;
        let model = self.take_model()?;
        let (model, kept) = if let Some(best) = best {
            (copy_to_train(&best, self.device.as_ref()), None)
        } else {
            let kept = self.average_to_keep(&model, train)?;
            (model, kept)
        };
        Ok(Fitted::new(model, kept.as_ref(), self.optimizer, self.rates, report))
    }

    /// The model to evaluate at the end, where it is not the trained one.
    fn average_to_keep(&self, model: &M, train: &dyn Source<M::TrainBatch>) -> Result<Option<M>, TrainError> {
        match (&self.average, self.timetable.average) {
            (Some(average), Some(AveragePlan::Swa(_))) => {
                let copy = copy_to_train(average, self.device.as_ref());
                with_measured_statistics(copy, train, self.trainer.config.seed).map(Some)
            }
            (Some(average), _) => Ok(Some(average.valid())),
            (None, _) if self.optimizer.has_eval_params() => eval_model(model, &self.optimizer, train).map(Some),
            (None, _) => Ok(None),
        }
    }
}
