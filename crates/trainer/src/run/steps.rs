//! Batches, windows, updates.

use std::time::Instant;

use burn::{
    module::Module,
    optim::GradientsParams,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput},
    },
};
use optim_adaptive::ClipError;

use super::{Run, non_finite::Fault};
use crate::{
    OnNonFinite, TrainError,
    averaging::blend,
    data::Batch,
    finite, metrics, precision,
    step::{LearnerModel, clip, seed_step},
};

impl<M> Run<'_, M>
where
    M: LearnerModel,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    pub(crate) fn next_batch<T>(&mut self, batches: &mut dyn Iterator<Item = T>) -> Option<T> {
        let waited = Instant::now();
        let batch = batches.next();
        self.times.data += waited.elapsed().as_secs_f64();
        batch
    }

    pub(crate) fn forward_backward(&mut self, batch: Batch<<M as TrainStep>::Input>) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        let model = self.model.as_ref().ok_or(TrainError::NoData)?;
        if let Some(device) = &self.device {
            seed_step(device, self.trainer.config.seed, step, self.window.batches());
        }
        let output = precision::step(self.trainer.config.precision, model, batch.input);
        self.window.add(model, output.grads);
        self.state.batch += 1;
        self.state.items += batch.items;
        self.items_here += batch.items as u64;
        if self.timetable.is_looked_at(step + 1) {
            let loss = metrics::loss_of(&output.item)?;
            self.window_loss.add(loss, batch.items);
            // A skipped step leaves no trace in the epoch's mean.
            if loss.is_finite() {
                self.state.epoch_loss.add(loss, batch.items);
            }
        } else {
            self.window_unread = true;
        }
        if self.window_is_full() && self.timetable.is_logged(step + 1) {
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
        self.window.batches() >= self.trainer.config.accumulate.max(1) || self.state.batch >= self.timetable.batches
    }

    /// One optimizer step: the mean of the window's gradients, clipped, at the schedule's rate; or, where something is
    /// not finite, what the run is configured to do about it.
    pub(crate) fn update(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        let factor = self.rate_factor();
        self.state.lr = self.rates.base(step) * factor;
        self.state.momentum = self.rates.momentum(step);
        self.state.skipped = false;
        let model = self.model.take().ok_or(TrainError::NoData)?;
        let mut grads = self.window.take_mean(&model);
        self.frozen.drop_from(&model, &mut grads, step);
        let fault = match self.clip(&model, &mut grads) {
            Ok(None) => {
                if let Some(momentum) = self.state.momentum {
                    self.optimizer.momentum().set(momentum);
                }
                let rates = self.rates.at_base(step, self.state.lr);
                let (model, bad) = if self.update_sees_gradients() {
                    self.optimizer.step_watched(rates, model, grads)
                } else {
                    (self.optimizer.step(rates, model, grads), None)
                };
                if bad.is_none() {
                    self.average_in(&model);
                }
                self.model = Some(model);
                bad.map(Fault::Gradient)
            }
            Ok(Some(fault)) => {
                drop(grads);
                self.model = Some(model);
                Some(fault)
            }
            Err(error) => return Err(TrainError::Clip { step: step + 1, message: error.to_string() }),
        };
        if let Some(fault) = fault {
            self.recover(fault)?;
            self.state.skipped = true;
            self.state.skipped_steps += 1;
        }
        self.state.step += 1;
        self.times.optimizer += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Clips by value, then by norm, where the run is configured to; first sees whether the loss is finite, and the
    /// gradients where the update comes too late for it.
    fn clip(&self, model: &M, grads: &mut GradientsParams) -> Result<Option<Fault>, ClipError> {
        let config = &self.trainer.config;
        if let Some(loss) = self.window_loss.value().filter(|loss| !loss.is_finite()) {
            return Ok(Some(Fault::Loss(loss)));
        }
        let looks = self.timetable.is_looked_at(self.state.step + 1) && !self.norm_sees_gradients();
        if looks && !self.update_sees_gradients() && !self.gradients_are_finite(model, grads) {
            return Ok(finite::first_bad_gradient(model, grads).map(Fault::Gradient));
        }
        match clip(config.clip_grad_value, config.clip_grad_norm, model, grads) {
            Ok(()) => Ok(None),
            Err(ClipError::NonFinite { path, .. }) => Ok(Some(Fault::Gradient(path))),
            Err(error) => Err(error),
        }
    }

    /// Clipping by norm sees in its own pass whether the gradients are finite, unless clipping by value has hidden an
    /// infinity before.
    fn norm_sees_gradients(&self) -> bool {
        let config = &self.trainer.config;
        config.clip_grad_norm.is_some() && config.clip_grad_value.is_none()
    }

    /// The update sees in its own pass whether the gradients of this step are finite. That is soon enough where the run
    /// ends or goes back: what the update has made of them is thrown away. Where not every step is looked at (a GPU), the
    /// update would read a number per parameter, and one for all is read before it instead.
    fn update_sees_gradients(&self) -> bool {
        let config = &self.trainer.config;
        let is_clipped = config.clip_grad_norm.is_some() || config.clip_grad_value.is_some();
        config.on_nonfinite != OnNonFinite::Skip && !is_clipped && self.timetable.looks_at_every_step()
    }

    fn gradients_are_finite(&self, model: &M, grads: &mut GradientsParams) -> bool {
        // Where not every step is looked at, reading is dear: once then, for all parameters.
        if self.timetable.looks_at_every_step() {
            finite::first_bad_gradient(model, grads).is_none()
        } else {
            finite::gradients_on_device(model, grads)
        }
    }

    /// Takes the weights into the average, where this step is one to.
    fn average_in(&mut self, model: &M) {
        if let Some(plan) = self.timetable.average.filter(|plan| plan.takes(self.state.step + 1)) {
            let weight = plan.weight(self.state.averaged);
            self.average = Some(blend(self.average.take(), model, weight));
            self.state.averaged += 1;
        }
    }
}

/// Batch norm's statistics brought up to date, and lazy parameters drawn: burn keeps the last update of a forward pass
/// aside until the statistics are read, and a parameter's initial values until it is.
pub(super) fn settle<M: Module>(model: &M) {
    let _ = model.valid();
}
