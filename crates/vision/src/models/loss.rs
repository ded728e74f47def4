//! The step of training and of inference, as burn-train asks for them.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};
use burn::train::{ClassificationOutput, TrainOutput};

use crate::batch::ImageBatch;

/// Cross-entropy of logits against classes, averaged over the batch, with label smoothing `a` (0 for none):
/// `-mean_i sum_c q_ic ln softmax(logits_i)_c`, `q_ic = (1 - a) [c = target_i] + a / classes`. burn's own loss.
fn classification_loss(logits: Tensor<2>, targets: Tensor<1, Int>, label_smoothing: f32) -> Tensor<1> {
    let smoothing = (label_smoothing > 0.0).then_some(label_smoothing);
    CrossEntropyLossConfig::new().with_smoothing(smoothing).init(&logits.device()).forward(logits, targets)
}

/// Loss and logits of a batch.
pub(crate) fn output(
    batch: ImageBatch,
    label_smoothing: f32,
    forward: impl FnOnce(Tensor<4>) -> Tensor<2>,
) -> ClassificationOutput {
    // The weights may be bf16; the loss is computed in the type of the images.
    let dtype = batch.images.dtype();
    let logits = forward(batch.images).cast(dtype);
    let loss = classification_loss(logits.clone(), batch.targets.clone(), label_smoothing);
    ClassificationOutput::new(loss, logits, batch.targets)
}

/// The gradients of an output's loss, with the output.
pub(crate) fn backward<M: Module>(model: &M, output: ClassificationOutput) -> TrainOutput<ClassificationOutput> {
    let gradients = output.loss.backward();
    TrainOutput::new(model, gradients, output)
}

/// Implements burn-train's steps for a model with a `forward` from images to logits, without label smoothing.
macro_rules! classification_steps {
    ($model:ty) => {
        impl burn::train::TrainStep for $model {
            type Input = $crate::batch::ImageBatch;
            type Output = burn::train::ClassificationOutput;

            fn step(&self, batch: Self::Input) -> burn::train::TrainOutput<Self::Output> {
                let output = $crate::models::loss::output(batch, 0.0, |images| self.forward(images));
                $crate::models::loss::backward(self, output)
            }
        }

        impl burn::train::InferenceStep for $model {
            type Input = $crate::batch::ImageBatch;
            type Output = burn::train::ClassificationOutput;

            fn step(&self, batch: Self::Input) -> Self::Output {
                $crate::models::loss::output(batch, 0.0, |images| self.forward(images))
            }
        }
    };
}
pub(crate) use classification_steps;
