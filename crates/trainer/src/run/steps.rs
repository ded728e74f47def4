//! Batches, windows, updates.

use burn::module::Module;
use strict_config::ConfigError;

use super::{
    Run,
    seen::{Number, SeenBatch},
};
use crate::{
    Precision, TrainError,
    averaging::blend,
    data::Batch,
    metrics,
    ranks::encode,
    step::seed_step,
    updates::{Made, Optimization, Updates, WithLoss},
};

impl<M: WithLoss> Run<'_, M> {
    /// This rank's next batch of the window under way.
    pub(crate) fn next_batch<T>(&mut self, batches: &mut dyn Iterator<Item = T>) -> Option<T> {
        if self.window.batches() >= self.share().own().len() {
            return None;
        }
        let waited = self.clock.begin();
        let batch = batches.next();
        self.clock.spent.data += self.clock.own(&waited);
        batch
    }

    pub(crate) fn forward_backward(&mut self, batch: Batch<M::TrainBatch>) -> Result<(), TrainError> {
        let began = self.clock.begin();
        let step = self.state.step;
        let index = self.share().own().start + self.window.batches();
        if let Some(device) = &self.device {
            seed_step(device, self.trainer.config.seed, step, index);
        }
        let model = self.take_model()?;
        let precision = self.trainer.config.precision;
        // A copy with the same parameters, whose statistics are this batch's alone.
        let copy = self.apart.as_ref().map(|apart| apart.copy(&model));
        let mut updates = Updates::new(self.optimization(), precision);
        let (model, copy, output) = match copy {
            None => {
                let (model, output) = model.train_step(batch.input, &mut updates);
                (model, None, output)
            }
            Some(copy) => {
                let (copy, output) = copy.train_step(batch.input, &mut updates);
                (model, Some(copy), output)
            }
        };
        let (left, made) = updates.conclude();
        self.note_updates(made)?;
        self.window.add(&model, index, left.unwrap_or_default(), batch.items);
        self.model = Some(model);
        if let (Some(apart), Some(copy)) = (&self.apart, copy) {
            self.seen.changes.push(apart.change(&copy));
        }
        let mut seen = SeenBatch { items: batch.items, loss: None, scalars: Vec::new() };
        if self.timetable.is_looked_at(step + 1) {
            seen.loss = Some(Number(metrics::loss_of(&output)?));
            if let Some(scalars) = &self.trainer.metrics.scalars {
                seen.scalars.extend(scalars.read(&output)?.into_iter().map(|(name, value)| (name, Number(value))));
            }
        }
        self.seen.batches.push(seen);
        if self.timetable.is_logged(step + 1) {
            if self.leads() {
                self.trainer.metrics.train.iter_mut().try_for_each(|meter| meter.add(&output, batch.items))?;
            } else if let Some(output) = encode(&output) {
                self.seen.outputs.push((batch.items, output));
            }
        }
        // The output holds the graph, and the graph the parameters: dropped here, so that the update can work in place.
        drop(output);
        self.clock.spent.model += self.clock.own(&began);
        Ok(())
    }

    /// One optimizer step: the mean of the window's gradients, clipped, at the schedule's rate; or, where something is
    /// not finite, what the run is configured to do about it.
    pub(crate) fn update(&mut self) -> Result<(), TrainError> {
        let began = self.clock.begin();
        let step = self.state.step;
        self.state.skipped = false;
        let model = self.take_model()?;
        let grads = match self.summed.take() {
            Some(mean) => mean,
            None => self.window.take_mean(&model),
        };
        let loss = self.values.loss.value();
        let made = std::mem::take(&mut self.values.made);
        let (model, outcome) = match made.outcome {
            Ok(None) => self.optimization().apply(loss, model, grads),
            broken_off => (model, broken_off),
        };
        let fault = outcome.map_err(|error| TrainError::Clip { step: step + 1, message: error.to_string() })?;
        if fault.is_none() {
            self.average_in(&model);
            self.note_update(loss);
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
        self.clock.spent.optimizer += self.clock.own(&began);
        Ok(())
    }

    /// How the step under way updates: at its rates, which are noted, with its momentum.
    fn optimization(&mut self) -> Optimization<'_> {
        let step = self.state.step;
        let rates = self.rates.scaled(step, self.rate_factor());
        self.state.lr = rates.base();
        self.state.group_lrs = rates.groups().collect();
        self.state.momentum = self.rates.momentum(step);
        self.rates.set_momentum(step, &self.optimizer);
        Optimization {
            rates,
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
            return refuse("accumulate", "leaves no gradients to accumulate, or to share among processes");
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
