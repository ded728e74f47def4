//! Batches, windows, updates.

use std::time::Instant;

use burn::{
    module::Module,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput},
    },
};

use super::{NO_MODEL, Run};
use crate::{
    TrainError,
    averaging::blend,
    data::Batch,
    metrics,
    step::{LearnerModel, seed_step},
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
        self.clock.spent.data += waited.elapsed().as_secs_f64();
        batch
    }

    pub(crate) fn forward_backward(&mut self, batch: Batch<<M as TrainStep>::Input>) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        let model = self.model.as_ref().ok_or(NO_MODEL)?;
        if let Some(device) = &self.device {
            seed_step(device, self.trainer.config.seed, step, self.window.batches());
        }
        let output = self.trainer.config.precision.step(model, batch.input);
        self.window.add(model, output.grads, batch.items);
        self.state.batch += 1;
        self.state.items += batch.items;
        self.clock.items += batch.items as u64;
        if self.timetable.is_looked_at(step + 1) {
            let loss = metrics::loss_of(&output.item)?;
            self.values.loss.add(loss, batch.items);
            // A skipped step leaves no trace in the epoch's mean.
            if loss.is_finite() {
                self.state.epoch_loss.add(loss, batch.items);
            }
        } else {
            self.values.is_unread = true;
        }
        if self.timetable.is_logged(step + 1) {
            let is_full = self.window_is_full();
            for meter in &mut self.trainer.train_meters {
                meter.add(&output.item)?;
                if is_full {
                    self.values.metrics.insert(meter.key().to_owned(), meter.finish()?);
                }
            }
        }
        // The output holds the graph, and the graph the parameters: gone now, the update can work in place.
        drop(output.item);
        self.clock.spent.model += began.elapsed().as_secs_f64();
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
        let model = self.take_model()?;
        let mut grads = self.window.take_mean(&model);
        self.frozen.drop_from(&model, &mut grads, step);
        let is_looked_at = self.timetable.is_looked_at(step + 1);
        let fault = match self.judge.clip(self.values.loss.value(), is_looked_at, &model, &mut grads) {
            Ok(None) => {
                self.rates.set_momentum(step, &self.optimizer);
                let rates = self.rates.at_base(step, self.state.lr);
                let (model, fault) = self.judge.update(&mut self.optimizer, rates, model, grads);
                if fault.is_none() {
                    self.average_in(&model);
                }
                self.model = Some(model);
                fault
            }
            Ok(fault) => {
                drop(grads);
                self.model = Some(model);
                fault
            }
            Err(error) => return Err(TrainError::Clip { step: step + 1, message: error.to_string() }),
        };
        if fault.is_none() && is_looked_at {
            self.state.skipped_in_a_row = 0;
            if let Some(loss) = self.values.loss.value() {
                self.note_loss(loss);
            }
        }
        if let Some(fault) = fault {
            self.recover(fault)?;
            self.state.skipped = true;
            self.state.skipped_steps += 1;
        }
        self.state.step += 1;
        self.clock.spent.optimizer += began.elapsed().as_secs_f64();
        Ok(())
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
pub(super) fn bring_up_to_date<M: Module>(model: &M) {
    let _ = model.valid();
}
