//! The numbers that a step computes in: f32, or bf16 with the weights kept in f32.
//!
//! What lives here: [`Precision`], the copy of a model that a step in bf16 works on, and the conversion of its gradients back.
//! It knows models and devices, and nothing of the loop, of batches or of optimizers.
//!
//! # What a model does for bf16
//!
//! A step in bf16 gets a copy of the model whose parameters are bf16 (same ids), batch norm excepted. burn does not
//! convert between types by itself, so the model's step does it in three places, each of which costs nothing where the
//! types agree (`Tensor::cast` then returns the tensor):
//!
//! 1. the input takes the type of the first weights: `input.cast(self.conv1.weight.dtype())`;
//! 2. batch norm is done in the type of its own parameters, f32, and the result converted back: burn's `BatchNorm` adds the
//!    batch's mean to its running mean, and both have to be of one type;
//! 3. the loss is computed in f32: `logits.cast(DType::F32)` before it.
//!
//! The models of `vision` do so.

use std::fmt;

use burn::{
    module::{ModuleMapper, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{DType, Device, FloatDType, Tensor},
    train::{TrainOutput, TrainStep},
};
use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::step::LearnerModel;

/// What forward and backward of training are computed in. Weights, gradients (as the optimizer sees them), the
/// optimizer's state, averages, checkpoints and every evaluation are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 throughout: Lightning's `32-true`.
    #[default]
    #[serde(alias = "32-true")]
    F32,
    /// bf16 (8 bits of exponent as f32, 8 of mantissa), as Lightning's `bf16-mixed`: Micikevicius et al., "Mixed
    /// precision training" (2018), with the wider exponent that needs no scaling of the loss (Kalamkar et al., "A study
    /// of BFLOAT16 for deep learning training", 2019). torch's `autocast` casts at each operation, this once for each
    /// step: so more is done in bf16 here, softmax and loss excepted; batch norm is done in f32 (see the module's page).
    #[serde(alias = "bf16-mixed")]
    Bf16,
}

impl Precision {
    /// Refuses a device that cannot compute in it.
    ///
    /// # Errors
    /// bf16 on a device without bf16 arithmetic, as burn tells of it (`Device::supports_dtype`).
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use trainer::Precision;
    /// assert!(Precision::Bf16.check(&Device::flex()).is_ok());
    /// ```
    pub fn check(self, device: &Device) -> Result<(), ConfigError> {
        if self == Self::F32 || device.supports_dtype(DType::BF16) {
            return Ok(());
        }
        let allowed = "\"f32\" on this device, where burn has no bf16 arithmetic (it has on flex, CUDA and Metal)";
        Err(ConfigError::not_allowed("precision", "\"bf16\"", allowed))
    }

    /// Forward and backward of one batch in this precision, as [`Trainer`](crate::Trainer) does them; the gradients have
    /// the types of `model`'s parameters.
    pub fn step<M: LearnerModel>(
        self,
        model: &M,
        input: <M as TrainStep>::Input,
    ) -> TrainOutput<<M as TrainStep>::Output> {
        if self == Self::F32 {
            return TrainStep::step(model, input);
        }
        // A clone shares batch norm's running statistics with its original: what the step adds to them stays.
        let low = model.clone().map(&mut ToBf16::default());
        let mut output = TrainStep::step(&low, input);
        let mut back = Back(std::mem::take(&mut output.grads));
        model.visit(&mut back);
        output.grads = back.0;
        output
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// Parameters to bf16, as leaves of a separate graph; what batch norm holds stays as it is.
#[derive(Default)]
struct ToBf16 {
    /// How many batch norms this is inside of.
    norms: usize,
}

fn is_norm(container: &str) -> bool {
    container.contains("BatchNorm")
}

impl ModuleMapper for ToBf16 {
    fn enter_module(&mut self, _name: &str, container_type: &str) {
        self.norms += usize::from(is_norm(container_type));
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.norms -= usize::from(is_norm(container_type));
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.norms > 0 {
            return param;
        }
        param.map(|tensor| {
            let is_trained = tensor.is_require_grad();
            tensor.set_require_grad(false).cast(FloatDType::BF16).set_require_grad(is_trained)
        })
    }
}

/// Gradients to the types of the parameters that are visited.
struct Back(GradientsParams);

impl ModuleVisitor for Back {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.0.remove::<D>(param.id) {
            self.0.register(param.id, grad.cast(param.val().dtype()));
        }
    }
}
