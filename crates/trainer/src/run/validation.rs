//! When the validation set is visited, and what its values do: reactive schedules, early stopping, best checkpoints.

use std::{borrow::Cow, collections::BTreeMap, time::Instant};

use burn::train::InferenceStep;

use super::{NO_MODEL, Run};
use crate::{
    EpochEvent, EpochSummary, Moment, StopReason, TrainError, ValidationEvent,
    activations::copy_to_train,
    averaging::{AveragePlan, with_measured_statistics},
    data::{Limited, Source},
    eval_model::eval_model,
    meter::Mean,
    metrics,
    updates::WithLoss,
};

/// What is looked at of a validation to tell whether the weights are good.
pub(super) const LOSS: &str = "valid.loss";

/// A model and what it measured.
struct Validation<M> {
    model: M,
    values: BTreeMap<String, f64>,
    seconds: f64,
}

impl<M: WithLoss> Run<'_, M> {
    /// Runs a fresh run's model over the first batches of the validation set, so that a mistake there shows now and
    /// not after an epoch. Nothing remains of it.
    pub(crate) fn try_validation(
        &mut self,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<(), TrainError> {
        let batches = self.trainer.config.sanity_batches;
        if let Some(valid) = valid.filter(|_| batches > 0 && self.resumed_from.is_none()) {
            let began = self.clock.begin();
            let few = Limited::new(valid, Some(batches), true);
            metrics::measure(self.model.as_ref().ok_or(NO_MODEL)?, &few, &mut self.trainer.metrics.valid)?;
            self.clock.spent.validation += self.clock.own(&began);
        }
        Ok(())
    }

    /// What is due after a step that does not end its epoch: a validation, a checkpoint.
    pub(crate) fn between_steps(
        &mut self,
        train: &dyn Source<M::TrainBatch>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<(), TrainError> {
        if let Some(measured) = self.measure(train, valid)? {
            self.feed(&measured.values, Some(&measured.model), train)?;
            self.tell_validation(&measured)?;
        }
        self.checkpoint_if_due(false, train)
    }

    /// Ends an epoch, or the part of one that the run's last step has left.
    pub(crate) fn end_epoch(
        &mut self,
        train: &dyn Source<M::TrainBatch>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<(), TrainError> {
        let mut measured = self.measure(train, valid)?;
        if self
            .goes_back_at_the_end(measured.as_ref().and_then(|measured| measured.values.get(LOSS).copied()), train)?
        {
            measured = self.measure(train, valid)?;
        }
        let mut values = measured.as_ref().map(|measured| measured.values.clone()).unwrap_or_default();
        if let Some(loss) = self.state.epoch_loss.value() {
            values.insert("train.loss".to_owned(), loss);
        }
        let scalars = self.state.epoch_scalars.iter().filter_map(|(name, mean)| Some((name.clone(), mean.value()?)));
        let mut of_epoch: BTreeMap<String, f64> = scalars.collect();
        of_epoch.extend(self.values_of_callbacks(Moment::Epoch, None)?);
        values.extend(of_epoch.into_iter().map(|(name, value)| (format!("train.{name}"), value)));
        let values = self.as_on_rank_0(values)?;
        self.feed(&values, measured.as_ref().map(|measured| &measured.model), train)?;
        self.tell_of_missing(&values, measured.is_some());
        if let Some(measured) = &measured {
            self.tell_validation(measured)?;
        }
        let summary = EpochSummary {
            epoch: self.state.epoch,
            step: self.state.step,
            lr: self.state.lr,
            momentum: self.state.momentum,
            values,
            seconds: self.clock.epoch_began.elapsed().as_secs_f64(),
        };
        self.clock.epoch_began = Instant::now();
        let event = EpochEvent { summary: &summary, best: self.measured.is_best };
        self.ask(|callback| callback.on_epoch(&event))?;
        self.agree()?;
        // A run that ended inside this epoch and was resumed has an entry for its beginning.
        if self.state.history.last().is_some_and(|earlier| earlier.epoch == summary.epoch) {
            self.state.history.pop();
        }
        self.state.history.push(summary);
        let is_whole = self.state.batch >= self.timetable.batches;
        if is_whole {
            self.state.epoch += 1;
            self.state.batch = 0;
            self.state.items = 0;
            self.state.epoch_loss = Mean::default();
            self.state.epoch_scalars.clear();
        }
        self.checkpoint_if_due(is_whole, train)
    }

    /// Visits the validation set where that is due.
    fn measure(
        &mut self,
        train: &dyn Source<M::TrainBatch>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<Option<Validation<M>>, TrainError> {
        let is_due = self.is_last_step() || self.timetable.validation.is_due(self.state.step);
        let Some(valid) = valid.filter(|_| is_due) else { return Ok(None) };
        let began = self.clock.begin();
        let model = self.model_to_evaluate(train)?.into_owned();
        let mut measured = self.measure_together(&model, valid)?;
        measured.extend(self.values_of_callbacks(Moment::Validation, Some(&model))?);
        let measured = self.as_on_rank_0(measured)?;
        let values = measured.into_iter().map(|(name, value)| (format!("valid.{name}"), value)).collect();
        let seconds = began.began.elapsed().as_secs_f64();
        self.clock.spent.validation += self.clock.own(&began);
        Ok(Some(Validation { model, values, seconds }))
    }

    /// The model that is validated now: the exponential average where there is one, the equal average in the last
    /// validation of the run, Schedule-Free's average, or else the trained model.
    fn model_to_evaluate(&self, train: &dyn Source<M::TrainBatch>) -> Result<Cow<'_, M>, TrainError> {
        match (&self.average, self.timetable.average) {
            (Some(average), Some(AveragePlan::Ema(..))) => Ok(Cow::Borrowed(average)),
            (Some(average), Some(AveragePlan::Swa(_))) if self.is_last_step() => {
                let copy = copy_to_train(average, self.device.as_ref());
                with_measured_statistics(copy, train, self.trainer.config.seed).map(Cow::Owned)
            }
            _ => eval_model(self.model()?, &self.optimizer, train).map(Cow::Owned),
        }
    }

    /// Feeds values to schedules, early stopping and the choice of the best checkpoints.
    fn feed(
        &mut self,
        values: &BTreeMap<String, f64>,
        evaluated: Option<&M>,
        train: &dyn Source<M::TrainBatch>,
    ) -> Result<(), TrainError> {
        // A value is absent where it was not measured this time, or where what has announced it does not give it:
        // `check_monitors` has refused every other case.
        for monitor in self.rates.monitors() {
            if let Some(value) = values.get(&monitor) {
                self.rates.observe(&monitor, self.state.step.saturating_sub(1), *value);
            }
        }
        let config = &self.trainer.config;
        let waited_for = config.early_stopping.iter().map(|rule| &rule.monitor);
        for monitor in waited_for.chain(config.checkpoint.iter().map(|policy| &policy.keep_best)) {
            if let Some(value) = values.get(monitor).filter(|value| !value.is_finite())
                && self.measured.no_numbers.insert(monitor.clone())
            {
                tracing::warn!(
                    "step {}: {monitor} is {value}, no number that could improve: early stopping counts it as no improvement, \
                     and no checkpoint is the best by it",
                    self.state.step
                );
            }
        }
        if let Some(policy) = &config.checkpoint
            && let Some(&value) = values.get(&policy.keep_best)
        {
            self.measured.is_kept |= policy.admits(&mut self.state.kept_best, value);
            if policy.mode().improves(value, self.state.best, 0.0) {
                self.state.best = Some(value);
                self.measured.is_best = true;
            }
        }
        (self.measured.step, self.measured.values) = (self.state.step, values.clone());
        if let Some(rule) = &config.early_stopping
            && let Some(&value) = values.get(&rule.monitor)
        {
            let restore = rule.restore_best;
            let improved = rule.note(value, &mut self.state.early_best, &mut self.state.early_bad);
            if improved {
                self.state.early_best_step = Some(self.state.step);
            }
            if self.patience_is_over() {
                let is_number = value.is_finite();
                let reason = || StopReason::NoNumber(rule.monitor.clone());
                self.stopped = Some(if is_number { StopReason::EarlyStopping } else { reason() });
            }
            if improved && restore {
                let model = match evaluated {
                    Some(model) => model.valid(),
                    None => self.model_to_evaluate(train)?.valid(),
                };
                self.best_model = Some(model);
            }
        }
        Ok(())
    }

    /// Says, once, that nothing has given a value that the run waits for, though a step or a callback has announced it.
    fn tell_of_missing(&mut self, values: &BTreeMap<String, f64>, is_validated: bool) {
        let own = self.trainer.config.monitors(is_validated).map(|(_, monitor)| monitor.to_owned());
        let is_missing = |monitor: &String| {
            let is_due = is_validated || !monitor.starts_with("valid.");
            is_due && !["train.loss", "valid.loss"].contains(&monitor.as_str()) && !values.contains_key(monitor)
        };
        if self.leads()
            && !self.is_told_of_missing
            && let Some(monitor) = self.rates.monitors().into_iter().chain(own).find(is_missing)
        {
            tracing::warn!("`{monitor}` is waited for, and nothing has given it in epoch {}", self.state.epoch + 1);
            self.is_told_of_missing = true;
        }
    }

    /// Whether early stopping has seen no improvement for long enough.
    pub(super) fn patience_is_over(&self) -> bool {
        let state = &self.state;
        let since = state.step - state.early_best_step.unwrap_or(0).min(state.step);
        self.timetable.patience.is_some_and(|patience| patience.is_over(state.early_bad, since))
    }

    fn tell_validation(&mut self, measured: &Validation<M>) -> Result<(), TrainError> {
        let event = ValidationEvent {
            step: self.state.step,
            epoch: self.state.epoch,
            values: &measured.values,
            best: self.measured.is_best,
            seconds: measured.seconds,
        };
        self.ask(|callback| callback.on_validation(&event))?;
        self.agree()
    }
}
