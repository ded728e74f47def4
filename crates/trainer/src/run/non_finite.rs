//! Something is not finite: stop, skip, or roll back.

use super::Run;
use crate::{NonFiniteEvent, OnNonFinite, TrainError, finite::Fault, updates::WithLoss};

impl<M: WithLoss> Run<'_, M> {
    /// Does what the run is configured to do about a fault. If it returns `Ok`, the run continues without this update.
    pub(super) fn recover(&mut self, fault: Fault) -> Result<(), TrainError> {
        let mut action = self.trainer.config.on_nonfinite;
        if fault.is_of_the_weights() && action == OnNonFinite::Skip {
            action = OnNonFinite::Stop;
        }
        let loss = match fault {
            Fault::Weights(loss) => loss,
            _ => self.values.loss.value().unwrap_or(f64::NAN),
        };
        let parameter = match &fault {
            Fault::Loss(_) | Fault::Weights(_) => None,
            Fault::Gradient(parameter) | Fault::Parameter(parameter) => Some(parameter.as_str()),
        };
        let (step, epoch) = (self.state.step + u64::from(!fault.is_of_the_weights()), self.state.epoch);
        let event = NonFiniteEvent { step, epoch, loss, parameter, action };
        self.tell(|callback| callback.on_non_finite(&event))?;
        let error = self.error_of(fault, loss);
        match action {
            OnNonFinite::Stop => {
                if let Some(step) = self.state.unproven.last() {
                    tracing::warn!(
                        "the checkpoint of step {step} may hold useless weights: no later loss has shown it to be good; the \
                         ones before it are"
                    );
                }
                Err(error)
            }
            OnNonFinite::Skip if self.state.skipped_in_a_row >= self.trainer.config.max_skips => {
                Err(TrainError::TooManySkips { skips: self.state.skipped_in_a_row, source: Box::new(error) })
            }
            OnNonFinite::Skip => {
                self.state.skipped_in_a_row += 1;
                tracing::warn!("{error}; the update is left out");
                Ok(())
            }
            OnNonFinite::Rollback if self.state.rollbacks >= self.trainer.config.max_rollbacks => {
                Err(TrainError::TooManyRollbacks { rollbacks: self.state.rollbacks, source: Box::new(error) })
            }
            OnNonFinite::Rollback => {
                tracing::warn!("{error}; going back to the last good state");
                self.roll_back()
            }
        }
    }

    /// Keeps parameters that are not finite from being saved over good ones, or rolled back to.
    pub(super) fn refuse_bad_parameters(&mut self) -> Result<(), TrainError> {
        match self.judge.first_bad_parameter(self.model()?) {
            None => Ok(()),
            Some(parameter) => self.recover_weights(Fault::Parameter(parameter)),
        }
    }

    /// The same of weights that an update has made useless: rolling back leaves that update out.
    pub(super) fn recover_weights(&mut self, fault: Fault) -> Result<(), TrainError> {
        self.recover(fault)?;
        self.state.skipped = true;
        self.state.skipped_steps += 1;
        Ok(())
    }

    /// The factor of all rollbacks on the rates.
    pub(super) fn rate_factor(&self) -> f64 {
        let factor = self.trainer.config.rollback_lr_factor;
        // A count of rollbacks fits an i32.
        if self.state.rollbacks == 0 { 1.0 } else { factor.powi(self.state.rollbacks as i32) }
    }

    fn error_of(&self, fault: Fault, loss: f64) -> TrainError {
        let (step, epoch, lr) = (self.state.step + 1, self.state.epoch, self.state.suspect);
        match fault {
            Fault::Loss(loss) => TrainError::NonFinite { step, epoch, loss, lr },
            Fault::Gradient(parameter) => TrainError::NonFiniteGradient { step, epoch, parameter, loss, lr },
            Fault::Weights(loss) => TrainError::UselessWeights { step: self.state.step, loss, lr },
            Fault::Parameter(parameter) => TrainError::NonFiniteParameter { step: self.state.step, parameter, lr },
        }
    }
}
