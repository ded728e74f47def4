//! What of a forward pass is kept for the backward pass: all of it, or only what is costly to compute again.
//!
//! burn decides by the device that a tensor was made on (`Device::gradient_checkpointing`), and refuses operations between
//! tensors that differ in this. Inference mode drops the setting.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Bool, Device, GradientCheckpointingStrategy, Int, Tensor},
};
use strict_config::ConfigError;

/// Refuses a model that keeps all of a forward pass where it should not.
pub(crate) fn check<M: Module>(is_checkpointing: bool, model: &M) -> Result<(), ConfigError> {
    let keeps_all = |device: &Device| {
        device.gradient_checkpointing_strategy().is_none_or(|it| it == GradientCheckpointingStrategy::Disabled)
    };
    if is_checkpointing && model.devices().iter().any(keeps_all) {
        let message = "make the model and the training batches on `device.autodiff().gradient_checkpointing()`";
        return Err(ConfigError::conflict("activation_checkpointing", message));
    }
    Ok(())
}

/// A copy of a model, ready to train as on `device`. It shares no running statistics with the original, and takes over
/// what burn's last forward pass holds back.
pub(crate) fn copy_to_train<M: Module>(model: &M, device: Option<&Device>) -> M {
    let copy = model.valid().train();
    match device.and_then(Device::gradient_checkpointing_strategy) {
        None | Some(GradientCheckpointingStrategy::Disabled) => copy,
        Some(strategy) => copy.map(&mut With(strategy)),
    }
}

struct With(GradientCheckpointingStrategy);

impl ModuleMapper for With {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        param.map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        param.map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }
}
