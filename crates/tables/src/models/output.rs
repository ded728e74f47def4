//! What a step of training or of inference gives: the loss, and what metrics read.

use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::tensor::activation::softmax;
use burn::tensor::{ExecutionError, Int, Tensor};
use burn::train::metric::{AccuracyInput, Adaptor, ConfusionStatsInput, LossInput};
use burn::train::{ClassificationOutput, ItemLazy, RegressionOutput};

use super::metrics::ErrorInput;
use crate::rows::Targets;

/// The output of a batch.
///
/// A metric of classes on numbers, or of numbers on classes, has nothing to read: it gives 0 or NaN.
pub enum TableOutput {
    /// Of classes; `output` holds probabilities, so that metrics that rank rows rank them by these.
    Classes(ClassificationOutput),
    /// Of standardised numbers.
    Numbers {
        /// What burn-train's metrics of numbers read.
        output: RegressionOutput,
        /// The deviation of the target, see [`ErrorInput::scale`].
        std: f64,
    },
}

impl TableOutput {
    /// The loss of a network's outputs, averaged over the batch: cross-entropy of logits against classes, the squared error
    /// of standardised numbers. It is computed in f32 where the network computes in bf16.
    pub(super) fn new(outputs: Tensor<2>, targets: Targets) -> Self {
        match targets {
            Targets::Classes(targets) => {
                let logits = outputs.cast(burn::tensor::FloatDType::F32);
                let loss =
                    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), targets.clone());
                Self::Classes(ClassificationOutput::new(loss, softmax(logits.detach(), 1), targets))
            }
            Targets::Numbers { values: targets, std } => {
                let outputs = outputs.cast(targets.dtype());
                let loss = MseLoss::new().forward(outputs.clone(), targets.clone(), Reduction::Mean);
                Self::Numbers { output: RegressionOutput::new(loss, outputs, targets), std }
            }
        }
    }

    /// The loss.
    pub fn loss(&self) -> &Tensor<1> {
        match self {
            Self::Classes(output) => &output.loss,
            Self::Numbers { output, .. } => &output.loss,
        }
    }

    /// Predictions that are no numbers, and their targets: what a metric of the other kind reads.
    fn nothing(&self) -> (Tensor<2>, Tensor<2>) {
        let output = match self {
            Self::Classes(output) => &output.output,
            Self::Numbers { output, .. } => &output.output,
        };
        let nothing = Tensor::full([output.dims()[0], 1], f32::NAN, &output.device());
        (nothing.clone(), nothing)
    }
}

impl ItemLazy for TableOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(match self {
            Self::Classes(output) => Self::Classes(output.sync()?),
            Self::Numbers { output, std } => Self::Numbers { output: output.sync()?, std },
        })
    }
}

impl Adaptor<LossInput> for TableOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.loss().clone())
    }
}

impl Adaptor<AccuracyInput> for TableOutput {
    fn adapt(&self) -> AccuracyInput {
        match self {
            Self::Classes(output) => output.adapt(),
            Self::Numbers { .. } => {
                let nothing = self.nothing().0;
                let targets = Tensor::<1, Int>::full([nothing.dims()[0]], -1, &nothing.device());
                AccuracyInput::new(nothing, targets)
            }
        }
    }
}

impl Adaptor<ConfusionStatsInput> for TableOutput {
    fn adapt(&self) -> ConfusionStatsInput {
        match self {
            Self::Classes(output) => output.adapt(),
            Self::Numbers { .. } => {
                let (predictions, targets) = self.nothing();
                ConfusionStatsInput::new(predictions, targets.greater_scalar(0.0))
            }
        }
    }
}

impl Adaptor<ErrorInput> for TableOutput {
    fn adapt(&self) -> ErrorInput {
        match self {
            Self::Numbers { output, std } => ErrorInput { scale: *std, ..output.adapt() },
            Self::Classes(_) => {
                let (outputs, targets) = self.nothing();
                ErrorInput { outputs, targets, scale: 1.0 }
            }
        }
    }
}
