//! Batches, windows, updates.

use std::time::Instant;

use burn::{
    module::Module,
    train::{
        InferenceStep,
        metric::{Adaptor, LossInput},
    },
};

use strict_config::ConfigError;

use super::Run;
use crate::{
    Precision, TrainError,
    averaging::blend,
    data::Batch,
    metrics,
    step::seed_step,
    updates::{Made, Optimization, Trainable, Updates},
};

impl<M> Run<'_, M>
where
    M: Trainable,
    M::TrainItem: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    pub(crate) fn next_batch<T>(&mut self, batches: &mut dyn Iterator<Item = T>) -> Option<T> {
        let waited = Instant::now();
        let batch = batches.next();
        self.clock.spent.data += waited.elapsed().as_secs_f64();
        batch
    }

    pub(crate) fn forward_backward(&mut self, batch: Batch<M::TrainBatch>) -> Result<(), TrainError> {
        let began = Instant::now();
        let step = self.state.step;
        if let Some(device) = &self.device {
            seed_step(device, self.trainer.config.seed, step, self.window.batches());
        }
        let model = self.take_model()?;
        let precision = self.trainer.config.precision;
        let mut updates = Updates::new(self.optimization(), precision);
        let (model, output) = model.train_step(batch.input, &mut updates);
        let (left, made) = updates.conclude();
        self.note_updates(made)?;
        self.window.add(&model, left.unwrap_or_default(), batch.items);
        self.model = Some(model);
        self.state.batch += 1;
        self.state.items += batch.items;
        self.clock.items += batch.items as u64;
        if self.timetable.is_looked_at(step + 1) {
            let loss = metrics::loss_of(&output)?;
            self.values.loss.add(loss, batch.items);
            // A skipped step leaves no trace in the epoch's mean.
            if loss.is_finite() {
                self.state.epoch_loss.add(loss, batch.items);
            }
            if let Some(scalars) = &self.trainer.scalars {
                for (name, value) in scalars.read(&output)? {
                    self.note_scalar(&name, value, batch.items);
                    self.values.scalars.entry(name).or_default().add(value, batch.items);
                }
            }
        } else {
            self.values.is_unread = true;
        }
        if self.timetable.is_logged(step + 1) {
            let is_full = self.window_is_full();
            for meter in &mut self.trainer.train_meters {
                meter.add(&output, batch.items)?;
                if is_full {
                    self.values.metrics.extend(meter.finish()?);
                }
            }
        }
        // The output holds the graph, and the graph the parameters: gone now, the update can work in place.
        drop(output);
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
        self.state.skipped = false;
        let model = self.take_model()?;
        let grads = self.window.take_mean(&model);
        let loss = self.values.loss.value();
        let made = std::mem::take(&mut self.values.made);
        let (model, outcome) = match made.outcome {
            Ok(None) => self.optimization().apply(loss, model, grads),
            broken_off => (model, broken_off),
        };
        let fault = outcome.map_err(|error| TrainError::Clip { step: step + 1, message: error.to_string() })?;
        if fault.is_none() {
            self.average_in(&model);
        }
        self.model = Some(model);
        if fault.is_none() && self.timetable.is_looked_at(step + 1) {
            self.state.skipped_in_a_row = 0;
            if let Some(loss) = loss {
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

    /// How the step under way updates: at its rates, which are noted, with its momentum.
    fn optimization(&mut self) -> Optimization<'_> {
        let step = self.state.step;
        let factor = self.rate_factor();
        self.state.lr = self.rates.base(step) * factor;
        self.state.group_lrs = self.rates.of_groups(step).into_iter().map(|lr| lr * factor).collect();
        self.state.momentum = self.rates.momentum(step);
        self.rates.set_momentum(step, &self.optimizer);
        Optimization {
            rates: self.rates.scaled(step, factor),
            optimizer: &mut self.optimizer,
            judge: self.judge,
            frozen: &self.frozen,
            step,
            is_looked_at: self.timetable.is_looked_at(step + 1),
        }
    }

    /// Takes note of the updates that the model's own step has made of a batch.
    fn note_updates(&mut self, made: Made) -> Result<(), ConfigError> {
        if made.updates == 0 {
            return Ok(());
        }
        let config = &self.trainer.config;
        let refuse = |field, needs| {
            Err(ConfigError::conflict(field, format!("the model updates itself in each of its steps, which {needs}")))
        };
        if config.accumulate > 1 {
            return refuse("accumulate", "leaves no gradients to accumulate");
        }
        if config.precision != Precision::F32 {
            return refuse("precision", "decides itself what it computes in");
        }
        self.values.made = made;
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
