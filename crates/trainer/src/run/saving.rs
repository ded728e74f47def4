//! To a checkpoint and from it, and to the last good state, which is made of the same parts.

use std::collections::BTreeMap;

use report::page::plural;
use strict_config::ConfigError;

use super::{
    Measured, Run,
    fallback::{Fallback, cannot},
};
use crate::{
    CheckpointEvent, OnNonFinite, StopReason, TrainError,
    activations::copy_to_train,
    checkpoint::{
        self, BEST, CANDIDATE, Checkpoint, CheckpointError, Contents, FALLBACK, MODEL, OPTIMIZER, Part, STATE,
        Snapshot, TIMES, Times,
    },
    data::Source,
    updates::WithLoss,
};

impl<M: WithLoss> Run<'_, M> {
    /// Takes over a checkpoint, and refuses one of another run.
    pub(super) fn restore(&mut self, model: M, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let config = &self.trainer.config;
        checkpoint.check("configuration", &checkpoint.state().config, &config.fingerprint)?;
        checkpoint.check("training data", &checkpoint.state().data, &self.data_fingerprint)?;
        let model = checkpoint.model(model)?;
        checkpoint.optimizer(&mut self.optimizer)?;
        checkpoint.rates(&mut self.rates)?;
        self.state = checkpoint.state().clone();
        // The data are the same, so an epoch has as many batches; after the last of them comes the next epoch.
        if self.state.batch > 0 && self.state.batch >= self.timetable.batches {
            let what = format!("batch: {} of an epoch of {}", self.state.batch, self.timetable.batches);
            return Err(CheckpointError::Damaged { path: checkpoint.path().join(STATE), what }.into());
        }
        let step = self.state.step;
        self.refuse_past_end()?;
        let factor = self.rate_factor();
        let of_groups: Vec<f64> = self.state.group_lrs.iter().map(|lr| lr / factor).collect();
        for jump in self.rates.jumps(step, self.state.lr / factor, &of_groups) {
            tracing::warn!("{jump}");
        }
        if let Some(plan) = self.timetable.average.filter(|_| self.state.averaged > 0) {
            self.average = Some(checkpoint.module(plan.file(), model.valid())?);
        }
        let restores = self.trainer.config.early_stopping.as_ref().is_some_and(|rule| rule.restore_best);
        if restores && checkpoint.part(BEST).is_some() {
            self.best_model = Some(checkpoint.module(BEST, model.valid())?);
        }
        self.history = checkpoint.history_log();
        self.fallback = Fallback::of(checkpoint, FALLBACK)?;
        self.candidate = Fallback::of(checkpoint, CANDIDATE)?;
        self.model = Some(model);
        self.load_callbacks(self.state.callbacks.clone())?;
        if self.state.is_candidate {
            self.candidate = self.remember()?;
        }
        // A run that has stopped early stays stopped, unless its patience is now larger. One that is to be longer than it was
        // goes on, as in Lightning: the next validation stops it again, if that is no improvement.
        if self.state.early_bad > 0 && self.patience_is_over() && !self.is_last_step() {
            let was_to_be = self.state.total_steps;
            if was_to_be > 0 && self.timetable.steps > was_to_be {
                tracing::warn!(
                    "the run had stopped early after step {step}; it is longer now and goes on, until a validation that is no \
                     improvement"
                );
            } else {
                tracing::warn!(
                    "the run has stopped early after step {step}, and stays stopped: make it longer or raise the patience to continue"
                );
                self.stopped = Some(StopReason::EarlyStopping);
            }
        }
        self.clock.before = checkpoint.times().elapsed;
        self.resumed_from = Some(step);
        self.saved_at = Some(step);
        Ok(())
    }

    /// Refuses a run that is to be shorter than what is done.
    fn refuse_past_end(&self) -> Result<(), TrainError> {
        let (done, end) = (self.state.step, self.timetable.steps);
        if done <= end {
            return Ok(());
        }
        let per_epoch = self.timetable.steps_per_epoch.max(1);
        let (field, found, least) = match self.trainer.config.steps {
            Some(_) => ("steps", end, done),
            None => ("epochs", self.timetable.epochs, done.div_ceil(per_epoch)),
        };
        let allowed = format!("at least {least}, the run has done {} ({per_epoch} in an epoch)", plural(done, "step"));
        Err(ConfigError::not_allowed(field, found, allowed).into())
    }

    /// Writes a checkpoint if one is due after this step, and takes the state to roll back to. Reports a background write
    /// that has failed since.
    pub(super) fn checkpoint_if_due(
        &mut self,
        epoch_ended: bool,
        train: &dyn Source<M::TrainBatch>,
    ) -> Result<(), TrainError> {
        let is_chosen = std::mem::take(&mut self.measured.is_best) | std::mem::take(&mut self.measured.is_kept);
        let is_due = match &mut self.writer {
            // Without checkpoints the state to roll back to is taken at the end of each epoch.
            None => epoch_ended,
            Some(writer) => {
                writer.poll()?;
                is_chosen || self.timetable.checkpoint.is_some_and(|every| every.is_due(self.state.step))
            }
        };
        if is_due {
            self.check_weights()?;
            self.refuse_bad_parameters()?;
            let is_good = self.is_good(train)?;
            // A run that is to go on later does so as if nothing had ended it: there the next loss proves this state.
            let is_over = self.is_last_step()
                || matches!(self.stopped, Some(StopReason::EarlyStopping | StopReason::NoNumber(_)));
            if is_good && (is_over || self.is_validated()) {
                self.prove();
                // The run rolls back to this state from now on: its checkpoint need not hold the one before.
                self.fallback = None;
                self.state.is_candidate = false;
                self.save()?;
                self.fallback = self.remember()?;
            } else {
                if !is_good {
                    self.await_proof();
                }
                self.candidate = None;
                self.state.is_candidate = true;
                self.save()?;
                self.candidate = self.remember()?;
            }
        }
        Ok(())
    }

    /// Writes the checkpoint of the run's end, unless this step has one.
    pub(super) fn save_last(&mut self, train: &dyn Source<M::TrainBatch>) -> Result<(), TrainError> {
        if self.saved_at != Some(self.state.step) && self.writer.is_some() {
            self.check_weights()?;
            self.refuse_bad_parameters()?;
            if !self.is_good(train)? {
                self.await_proof();
            } else if self.is_last_step() {
                self.prove();
            }
            self.state.is_candidate = false;
            self.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(policy) = self.writer.as_ref().map(|writer| writer.policy().clone()) else { return Ok(()) };
        let step = self.state.step;
        if !self.leads() {
            self.saved_at = Some(step);
            return Ok(());
        }
        let path = checkpoint::path_of(&policy.directory, step);
        let in_turn = self.stopped != Some(StopReason::Interrupted) || self.timetable.saves_in_turn(step);
        let event = CheckpointEvent { step, path: &path, in_turn };
        self.tell(|callback| callback.on_checkpoint(&event))?;
        let began = self.clock.begin();
        self.note_state()?;
        let (history, mark, elsewhere) = self.history.take(&self.state.history)?;
        let last = self.state.history.split_off(elsewhere);
        let times = Times {
            elapsed: self.elapsed().as_secs_f64(),
            epochs: last.iter().map(|epoch| epoch.seconds).collect(),
            history: mark,
        };
        let before = std::mem::replace(&mut self.state.history, last);
        let state = Part::json(STATE, &self.state);
        self.state.history.splice(0..0, before);
        let optimizer = self.optimizer.snapshot();
        // The optimizer first: the next update wants to write into its buffers. It writes a parameter into its gradient's
        // buffer where it cannot have the parameter's own.
        let mut parts = vec![
            Part::encode(OPTIMIZER, move |image| optimizer().write_into(image)),
            Part::module(MODEL, self.model()?),
            state?,
            Part::json(TIMES, &times)?,
        ];
        parts.extend(self.models_beside());
        // The states to roll back to, unless this checkpoint is that state.
        for (prefix, state) in [(FALLBACK, &self.fallback), (CANDIDATE, &self.candidate)] {
            if let Some(state) = state.as_ref().filter(|other| other.state.step != step) {
                parts.extend(state.files(prefix)?);
            }
        }
        let measured = Some(&self.measured).filter(|measured| measured.step == step);
        let values = measured.map(|measured| measured.values.clone()).unwrap_or_default();
        if let Some(writer) = &mut self.writer {
            let (unproven, refuted) = (self.state.unproven.clone(), std::mem::take(&mut self.refuted));
            writer.save(Snapshot { step, values, history, unproven, refuted, parts })?;
        }
        self.saved_at = Some(step);
        self.clock.spent.checkpoint += self.clock.own(&began);
        Ok(())
    }

    /// Copies into the state what lives elsewhere.
    fn note_state(&mut self) -> Result<(), TrainError> {
        self.state.config.clone_from(&self.trainer.config.fingerprint);
        self.state.data.clone_from(&self.data_fingerprint);
        self.state.schedules = self.rates.state();
        self.state.callbacks = self.callbacks_state()?;
        self.state.total_steps = self.timetable.steps;
        Ok(())
    }

    /// The models beside the trained one.
    fn models_beside(&self) -> Vec<Part> {
        let average = self.timetable.average.zip(self.average.as_ref()).map(|(plan, average)| (plan.file(), average));
        let best = self.best_model.as_ref().map(|best| (BEST, best));
        average.into_iter().chain(best).map(|(name, model)| Part::module(name, model)).collect()
    }

    /// The state to roll back to, if the run is configured to and its parameters are finite.
    pub(super) fn remember(&mut self) -> Result<Option<Fallback>, TrainError> {
        if self.trainer.config.on_nonfinite != OnNonFinite::Rollback {
            return Ok(None);
        }
        if self.judge.first_bad_parameter(self.model()?).is_some() {
            return Ok(None);
        }
        self.note_state()?;
        let optimizer = self.optimizer.to_bytes().map_err(|error| cannot("made", &error))?;
        let model = Part::module(MODEL, self.model()?);
        let optimizer = Part { name: OPTIMIZER.to_owned(), contents: Contents::Bytes(optimizer) };
        let parts = [model, optimizer].into_iter().chain(self.models_beside());
        // Rolling back leaves the history alone, which may be long.
        let history = std::mem::take(&mut self.state.history);
        let state = self.state.clone();
        self.state.history = history;
        Ok(Some(Fallback::new(state, parts)?))
    }

    /// Restores weights, moments, averages, and the state of schedules, early stopping and callbacks. The clock stays.
    pub(super) fn roll_back(&mut self) -> Result<(), TrainError> {
        let Some(fallback) = self.fallback.clone() else {
            return Err(cannot("restored", &"there is none"));
        };
        let model = self.take_model()?;
        // burn would otherwise apply its pending batch-norm statistics on top of the restored ones.
        let model = fallback
            .module(MODEL, copy_to_train(&model, self.device.as_ref()))?
            .ok_or_else(|| cannot("restored", &"no model"))?;
        let optimizer = fallback.part(OPTIMIZER).unwrap_or_default();
        self.optimizer.try_load_bytes(optimizer).map_err(|error| cannot("restored", &error))?;
        self.rates.try_load(&fallback.state.schedules).map_err(|error| cannot("restored", &error))?;
        self.average = match self.timetable.average {
            Some(plan) => fallback.module(plan.file(), model.valid())?,
            None => None,
        };
        self.best_model = fallback.module(BEST, model.valid())?;
        self.model = Some(model);
        let then = &fallback.state;
        self.state.averaged = then.averaged;
        self.state.early_best = then.early_best;
        self.state.early_bad = then.early_bad;
        self.state.early_best_step = then.early_best_step;
        self.state.best = then.best;
        self.state.kept_best.clone_from(&then.kept_best);
        self.state.rollbacks += 1;
        self.state.suspect = None;
        // Those are the values of what the run rolls back.
        self.measured = Measured::default();
        self.refute();
        self.load_callbacks(fallback.state.callbacks)
    }

    /// What callbacks keep, by name.
    pub(super) fn callbacks_state(&self) -> Result<BTreeMap<String, serde_json::Value>, TrainError> {
        let mut states = BTreeMap::new();
        for callback in self.trainer.callbacks.iter().filter(|_| self.leads()) {
            if let Some(state) = callback.state()
                && states.insert(callback.name().to_owned(), state).is_some()
            {
                return Err(TrainError::DuplicateCallback { name: callback.name().to_owned() });
            }
        }
        Ok(states)
    }

    fn load_callbacks(&mut self, mut states: BTreeMap<String, serde_json::Value>) -> Result<(), TrainError> {
        if !self.leads() {
            return Ok(());
        }
        for callback in &mut self.trainer.callbacks {
            if let Some(state) = states.remove(callback.name()) {
                callback.load_state(state)?;
            }
        }
        if let Some(name) = states.keys().next() {
            let more = match states.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            tracing::warn!("the checkpoint holds a state of `{name}`{more}, and this run has no callback of that name");
        }
        Ok(())
    }
}
