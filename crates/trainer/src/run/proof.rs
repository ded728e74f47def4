//! Which of a run's states are good: an update that diverges may leave weights that are finite and useless.

use super::{Run, validation::LOSS};
use crate::{
    OnNonFinite, TrainConfig, TrainError,
    activations::copy_to_train,
    data::Source,
    finite::Fault,
    metrics::loss_of,
    updates::{WithLoss, look_at},
};

/// A loss is plausible if it is at most so many times the largest before it.
const SANE: f64 = 1_000.0;

/// Batches that are tried at the end of a run, until one has a plausible loss: a single batch may be bad by itself.
const TRIED: usize = 3;

impl<M: WithLoss> Run<'_, M> {
    /// Records the loss of a step. A plausible one shows that what was saved before is good.
    pub(super) fn note_loss(&mut self, loss: f64) {
        if self.is_plausible(loss) {
            self.state.largest_loss = self.state.largest_loss.max(loss.abs());
            self.prove();
        }
    }

    /// Takes note of an update, which came after the `loss` of its step: no earlier one is to blame for what follows a
    /// plausible loss.
    pub(super) fn note_update(&mut self, loss: Option<f64>) {
        let before = self.state.suspect.filter(|_| !loss.is_some_and(|loss| self.is_plausible(loss)));
        // A warm-up may begin at 0, and such an update changes nothing.
        let rate = Some(self.state.lr).filter(|lr| *lr > 0.0);
        self.state.suspect = before.into_iter().chain(rate).reduce(f64::max);
    }

    /// Whether the state after this step is good: by its own validation or, at the end of the run, where no later loss will
    /// come, by a forward pass. Where it is not, a later loss decides.
    ///
    /// # Errors
    /// At the end of a run whose weights give no finite loss: what the run is configured to do about that.
    pub(super) fn is_good(&mut self, train: &dyn Source<M::TrainBatch>) -> Result<bool, TrainError> {
        if self.is_validated() {
            return Ok(true);
        }
        if !self.is_last_step() && self.stopped.is_none() {
            return Ok(false);
        }
        let Some(loss) = self.loss_at_the_end(train)? else { return Ok(false) };
        if self.is_plausible(loss) {
            return Ok(true);
        }
        if !loss.is_finite() && self.stopped.is_none() {
            // Comes back only after a rollback, to a state that is good.
            self.recover_weights(Fault::Weights(loss))?;
            return Ok(true);
        }
        tracing::warn!(
            "the weights of the last step have a loss of {loss}, and the largest before was {}; the checkpoints before are \
             kept beside theirs",
            self.state.largest_loss
        );
        Ok(false)
    }

    /// Rolls back weights that the last step of the run has made useless, before they are reported: `true` where it has.
    /// That update is left out, as any other that the run rolls back. `measured` is their loss on the validation set, where
    /// there is one.
    pub(super) fn goes_back_at_the_end(
        &mut self,
        measured: Option<f64>,
        train: &dyn Source<M::TrainBatch>,
    ) -> Result<bool, TrainError> {
        if !self.is_last_step() || self.trainer.config.on_nonfinite != OnNonFinite::Rollback {
            return Ok(false);
        }
        let fault = match self.judge.first_bad_parameter(self.model()?) {
            Some(parameter) => Some(Fault::Parameter(parameter)),
            None if self.is_shown_by(measured) => None,
            None => self.loss_at_the_end(train)?.filter(|loss| !loss.is_finite()).map(Fault::Weights),
        };
        let Some(fault) = fault else { return Ok(false) };
        self.recover_weights(fault)?;
        Ok(true)
    }

    /// What has been saved so far is good.
    pub(super) fn prove(&mut self) {
        self.state.unproven.clear();
        if let Some(candidate) = self.candidate.take() {
            self.fallback = Some(candidate);
        }
    }

    /// The checkpoint of this step, which is about to be written, is not known to be good.
    pub(super) fn await_proof(&mut self) {
        if self.writer.is_some() && self.state.unproven.last() != Some(&self.state.step) {
            self.state.unproven.push(self.state.step);
        }
    }

    /// The run has rolled back to before what is not known to be good.
    pub(super) fn refute(&mut self) {
        self.refuted.append(&mut self.state.unproven);
        self.candidate = None;
    }

    fn is_plausible(&self, loss: f64) -> bool {
        let largest = self.state.largest_loss;
        loss.is_finite() && (largest == 0.0 || loss.abs() <= SANE * largest)
    }

    /// Whether the trained weights themselves, no average of them, have just had a plausible loss on the validation set.
    pub(super) fn is_validated(&self) -> bool {
        let loss = self.measured.values.get(LOSS).filter(|_| self.measured.step == self.state.step);
        self.is_shown_by(loss.copied())
    }

    /// Whether this loss on the validation set is of the trained weights themselves, and plausible.
    fn is_shown_by(&self, loss: Option<f64>) -> bool {
        let as_trained = self.average.is_none() && !self.optimizer.has_eval_params();
        as_trained && loss.is_some_and(|loss| self.is_plausible(loss))
    }

    /// The first plausible loss among a few batches that the run has seen, or the last of them.
    fn loss_at_the_end(&self, train: &dyn Source<M::TrainBatch>) -> Result<Option<f64>, TrainError> {
        // A copy: a pass in training mode changes running statistics.
        let model = copy_to_train(self.model()?, self.device.as_ref());
        let epoch = if self.state.batch == 0 { self.state.epoch.saturating_sub(1) } else { self.state.epoch };
        let mut last = None;
        for batch in train.epoch(epoch, 0).take(TRIED) {
            let TrainConfig { precision, seed, .. } = self.trainer.config;
            let loss = loss_of(&look_at(&model, batch?.input, precision, (seed, self.state.step)))?;
            last = Some(loss);
            if self.is_plausible(loss) {
                break;
            }
        }
        Ok(last)
    }
}
