//! Driving a sweep with a model.

use burn::{
    module::Module,
    train::{
        TrainStep,
        metric::{Adaptor, LossInput},
    },
};
use optim_adaptive::AdaptiveOptimizer;

use super::{LrCurve, LrFinderConfig, Sweep, SweepError};
use crate::{
    Rates, TrainError,
    data::Source,
    metrics::{Mean, loss_of},
    step::{LearnerModel, Window, seed_step},
};

/// The finder could not run.
#[derive(Debug, thiserror::Error)]
pub enum FinderError {
    /// A setting that cannot work.
    #[error(transparent)]
    Config(#[from] SweepError),
    /// The optimizer could not be rebuilt for the sweep.
    #[error("the optimizer could not be rebuilt for the sweep: {0}")]
    Optimizer(String),
    /// A step failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Finds a learning rate for a model, an optimizer and data.
///
/// It works on a copy of the model and an optimizer rebuilt from config and record, so both are as they were afterwards.
/// What a training draws at random is seeded per step, so a run that follows draws the same with and without a finder
/// before it.
#[derive(Debug, Clone)]
pub struct LrFinder {
    config: LrFinderConfig,
    seed: u64,
    clip_grad_norm: Option<f64>,
    clip_grad_value: Option<f64>,
}

impl LrFinder {
    /// A finder with these settings.
    pub fn new(config: LrFinderConfig) -> Self {
        Self { config, seed: 0, clip_grad_norm: None, clip_grad_value: None }
    }

    /// The seed of what steps draw at random (dropout, noise). Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Clips as the training will: by global norm, by value.
    #[must_use]
    pub fn clip(mut self, norm: Option<f64>, value: Option<f64>) -> Self {
        self.clip_grad_norm = norm;
        self.clip_grad_value = value;
        self
    }

    /// Sweeps, with one rate for all parameters.
    pub fn run<M>(
        &self,
        model: &M,
        optimizer: &AdaptiveOptimizer,
        data: &dyn Source<<M as TrainStep>::Input>,
    ) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        self.sweep(model, optimizer, data, None)
    }

    /// Sweeps with the groups of `rates`: the ramp is the base rate, and each group keeps its ratio to it.
    pub fn run_with_groups<M>(
        &self,
        model: &M,
        optimizer: &AdaptiveOptimizer,
        data: &dyn Source<<M as TrainStep>::Input>,
        rates: &Rates,
    ) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        self.sweep(model, optimizer, data, Some(rates))
    }

    fn sweep<M>(
        &self,
        model: &M,
        optimizer: &AdaptiveOptimizer,
        data: &dyn Source<<M as TrainStep>::Input>,
        rates: Option<&Rates>,
    ) -> Result<LrCurve, FinderError>
    where
        M: LearnerModel,
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        let mut sweep = Sweep::new(self.config.clone())?;
        if data.batches() == 0 {
            return Err(TrainError::NoData.into());
        }
        let mut optimizer = optimizer.rebuild().map_err(|error| FinderError::Optimizer(error.to_string()))?;
        // A clone shares batch norm's running statistics with its original; this way round they are copied.
        let mut model = model.valid().train();
        let mut window = Window::new();
        let mut loss = Mean::default();
        let mut step = 0;
        let mut epoch = 0;
        let mut batches = data.epoch(epoch, 0);
        while let Some(lr) = sweep.next_lr() {
            let batch = match batches.next() {
                Some(batch) => batch.map_err(TrainError::from)?,
                None if self.config.recycle => {
                    epoch += 1;
                    batches = data.epoch(epoch, 0);
                    continue;
                }
                None => {
                    sweep.out_of_data();
                    break;
                }
            };
            if let Some(device) = model.devices().first() {
                seed_step(device, self.seed, step, window.batches());
            }
            let output = TrainStep::step(&model, batch.input);
            window.add(&model, output.grads);
            loss.add(loss_of(&output.item)?, batch.items);
            drop(output.item);
            if window.batches() < self.config.accumulate {
                continue;
            }
            sweep.record(std::mem::take(&mut loss).value().unwrap_or(f64::NAN));
            if sweep.next_lr().is_some() {
                let grads = self.clipped(&model, window.take_mean(&model), step)?;
                let rate = rates.map_or_else(|| lr.into(), |rates| rates.of_module_at(0, lr));
                model = optimizer.step(rate, model, grads);
            }
            step += 1;
        }
        Ok(sweep.into_curve())
    }

    fn clipped<M: Module>(
        &self,
        model: &M,
        mut grads: burn::optim::GradientsParams,
        step: u64,
    ) -> Result<burn::optim::GradientsParams, TrainError> {
        let failed = |message: String| TrainError::Clip { step: step + 1, message };
        if let Some(limit) = self.clip_grad_value {
            optim_adaptive::clip_grad_value(model, &mut grads, limit).map_err(|error| failed(error.to_string()))?;
        }
        if let Some(limit) = self.clip_grad_norm {
            optim_adaptive::clip_grad_norm(model, &mut grads, limit).map_err(|error| failed(error.to_string()))?;
        }
        Ok(grads)
    }
}
