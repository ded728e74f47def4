//! The model to evaluate and keep, where it is not the one that is trained.
//!
//! Of a run's checkpoint it is early stopping's best model, or an average of the weights.
//!
//! Schedule-Free optimizers train at one point and answer with another, a running average. A model with batch norm
//! carries statistics of the activations at the trained point; at the average they are measured again.

use optim_adaptive::AdaptiveOptimizer;

use crate::{
    Precision, TrainError,
    activations::copy_to_train,
    averaging::with_measured_statistics,
    checkpoint::{AVERAGES, BEST, Checkpoint, SWA},
    data::Source,
    step::has_layer,
    updates::{Trainable, look_at},
};

/// Batches that batch norm's running statistics are measured on. burn averages them with a decay of 0.9 by default, so
/// what was there before weighs `0.9^100`, below 1e-4, afterwards.
const BATCHES: usize = 100;

/// The model with the parameters to evaluate, in inference mode: for a Schedule-Free optimizer its averages, with batch
/// norm's running statistics re-estimated on `data`; for every other optimizer the model as it is.
///
/// Neither `model` nor `optimizer` is changed.
///
/// # Errors
/// A batch that `data` could not produce; no batch at all, where the statistics have to be measured.
pub fn eval_model<M: Trainable>(
    model: &M,
    optimizer: &AdaptiveOptimizer,
    data: &dyn Source<M::TrainBatch>,
) -> Result<M, TrainError> {
    if !optimizer.has_eval_params() {
        return Ok(model.valid());
    }
    // A clone would share the running statistics with its original; this way round they are copied.
    let averaged = optimizer.eval_params(copy_to_train(model, model.devices().first()));
    if has_layer(&averaged, &["BatchNorm"]) {
        if data.batches() == 0 {
            return Err(TrainError::NoData("training"));
        }
        // An epoch without a batch ends them: a source may have fewer than it says.
        let epochs = (0..).map_while(|epoch| {
            let mut batches = data.epoch(epoch, 0).peekable();
            batches.peek().is_some().then_some(batches)
        });
        let batches = epochs.flatten().take(BATCHES);
        for (batch, at) in batches.zip(0..) {
            // burn updates the statistics in the forward pass of training; the gradients are dropped.
            drop(look_at(&averaged, batch?.input, Precision::F32, (0, u64::MAX - at)));
        }
    }
    Ok(averaged.valid())
}

/// The model that a run's checkpoint stands for, in inference mode: early stopping's best where it is kept, the average
/// of the weights (its batch norm statistics measured on `data` where it is the equal one), Schedule-Free's average, or
/// the trained weights. `model` and `optimizer` are fresh ones of the same run.
///
/// # Errors
/// A checkpoint of another model or optimizer; a batch that `data` could not produce; no batch at all, where batch norm's
/// statistics have to be measured.
pub fn kept_model<M: Trainable>(
    checkpoint: &Checkpoint,
    model: M,
    mut optimizer: AdaptiveOptimizer,
    data: &dyn Source<M::TrainBatch>,
    seed: u64,
) -> Result<M, TrainError> {
    let file = std::iter::once(BEST).chain(AVERAGES).find(|name| checkpoint.part(name).is_some());
    match file {
        Some(name) if name == SWA => Ok(with_measured_statistics(checkpoint.module(name, model)?, data, seed)?.valid()),
        Some(name) => Ok(checkpoint.module(name, model)?.valid()),
        None => {
            let model = checkpoint.model(model)?;
            checkpoint.optimizer(&mut optimizer)?;
            eval_model(&model, &optimizer, data)
        }
    }
}
