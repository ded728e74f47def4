//! The loop.

use burn::train::{
    InferenceStep,
    metric::{Adaptor, LossInput},
};
use optim_adaptive::AdaptiveOptimizer;

use crate::{
    Fitted, Schedules, TrainError, Trainer,
    checkpoint::Checkpoint,
    data::{Limited, Source},
    ranks::check_share,
    run::Run,
    start::{check_start, warnings},
    updates::Trainable,
};

impl<M> Trainer<M>
where
    M: Trainable,
    M::TrainItem: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    /// Trains `model` on `train`, validating on `valid` where there is one. The rates follow `schedules` (a
    /// [`ScheduleConfig`](lr_core::ScheduleConfig) is one), from the optimizer's `lr`, over the steps of this run. What of a
    /// schedule is surely not meant in it ([`Rates::warnings`](crate::Rates::warnings)) is logged as a warning.
    ///
    /// # Errors
    /// [`TrainError`]; checkpoints already written stay.
    pub fn fit(
        mut self,
        model: M,
        optimizer: AdaptiveOptimizer,
        schedules: impl Into<Schedules>,
        train: &dyn Source<M::TrainBatch>,
        valid: Option<&dyn Source<<M as InferenceStep>::Input>>,
    ) -> Result<Fitted<M>, TrainError> {
        check_share(&*self.ranks, self.config.accumulate.max(1))?;
        if train.batches() == 0 {
            return Err(TrainError::NoData("training"));
        }
        // A trial runs the beginning of the run whose schedules it has.
        let horizon = self.planned.horizon(train.batches())?;
        let rates = schedules.into().rates(&horizon, optimizer.config().lr())?;
        let train = Limited::new(train, self.config.train_limit(), self.config.overfit_batches.is_some());
        let train: &dyn Source<_> = &train;
        let valid = valid.map(|valid| Limited::new(valid, self.config.valid_limit(), false));
        let valid = valid.as_ref().map(|valid| valid as &dyn Source<_>);
        if valid.is_some_and(|valid| valid.batches() == 0) {
            return Err(TrainError::NoData("validation"));
        }
        // The others have neither its callbacks nor its checkpoints.
        if self.ranks.rank() == 0 {
            self.check_names()?;
            self.check_monitors(&rates, valid.is_some())?;
        }
        check_start(&model, &optimizer, &self.config.freeze, &horizon)?;
        let resume = if self.ranks.rank() == 0 { self.resumed()? } else { None };
        let resume = Checkpoint::of_rank_0(&*self.ranks, resume)?;
        for warning in warnings(&model, &optimizer, &rates, &horizon) {
            tracing::warn!("{warning}");
        }
        let mut run = Run::start(&mut self, model, optimizer, rates, train, valid.is_some(), resume)?;
        run.try_validation(valid)?;
        while run.goes_on() {
            run.enter_epoch()?;
            let mut batches = run.batches(train);
            while !run.leaves_epoch() {
                while let Some(batch) = run.next_batch(&mut batches) {
                    run.forward_backward(batch?)?;
                }
                run.meet()?;
                run.update()?;
                run.tell_step()?;
                if !run.epoch_is_done() {
                    run.between_steps(train, valid)?;
                }
            }
            drop(batches);
            if run.epoch_is_done() {
                run.end_epoch(train, valid)?;
            }
        }
        run.finish(train)
    }
}
