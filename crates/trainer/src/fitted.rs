//! What a run leaves.

use burn::module::Module;
use optim_adaptive::AdaptiveOptimizer;

use crate::{FitReport, Rates};

/// What a run leaves.
#[derive(Debug)]
pub struct Fitted<M> {
    /// The model at the end of the run, ready to train on: the weights of the last step, or early stopping's best where
    /// it restores them. [`eval_model`](Self::eval_model) is the one to evaluate.
    pub model: M,
    evaluated: M,
    /// The optimizer, with its state.
    pub optimizer: AdaptiveOptimizer,
    /// The schedules, with their state.
    pub rates: Rates,
    /// The figures.
    pub report: FitReport,
}

impl<M: Module> Fitted<M> {
    pub(crate) fn new(
        model: M,
        average: Option<&M>,
        optimizer: AdaptiveOptimizer,
        rates: Rates,
        report: FitReport,
    ) -> Self {
        let evaluated = average.unwrap_or(&model).valid();
        Self { model, evaluated, optimizer, rates, report }
    }

    /// The model to evaluate, predict with, keep and export, in inference mode (no dropout, batch norm by its running
    /// statistics): early stopping's best where it restores them; else
    /// the average of the weights where one is taken ([`Ema`](crate::Ema), [`Swa`](crate::Swa)), or Schedule-Free's, batch norm's
    /// statistics measured again where the average needs it; else the trained ones.
    pub fn eval_model(&self) -> &M {
        &self.evaluated
    }
}
