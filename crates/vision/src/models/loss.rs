//! The step of training and of inference, as burn-train asks for them.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};
use burn::train::ClassificationOutput;

use crate::batch::ImageBatch;

/// Cross-entropy of logits against classes, averaged over the batch, with label smoothing `a` (0 for none):
/// `-mean_i sum_c q_ic ln softmax(logits_i)_c`, `q_ic = (1 - a) [c = target_i] + a / classes`. burn's own loss.
fn classification_loss(logits: Tensor<2>, targets: Tensor<1, Int>, label_smoothing: f32) -> Tensor<1> {
    let smoothing = (label_smoothing > 0.0).then_some(label_smoothing);
    CrossEntropyLossConfig::new().with_smoothing(smoothing).init(&logits.device()).forward(logits, targets)
}

impl ImageBatch {
    /// The output of a classifier on this batch: the logits that `forward` gives of its images, `(image, class)`, and their
    /// cross-entropy with label smoothing `a` (0 for none), averaged over the batch.
    pub fn classified(
        self,
        label_smoothing: f32,
        forward: impl FnOnce(Tensor<4>) -> Tensor<2>,
    ) -> ClassificationOutput {
        // The weights may be bf16; the loss is computed in the type of the images.
        let dtype = self.images.dtype();
        let logits = forward(self.images).cast(dtype);
        let loss = classification_loss(logits.clone(), self.targets.clone(), label_smoothing);
        ClassificationOutput::new(loss, logits, self.targets)
    }
}

/// Implements burn-train's `TrainStep` and `InferenceStep` for a classifier: a model whose method `forward` gives the logits,
/// `(image, class)`, of images, `(image, channel, row, column)`. The loss is their cross-entropy.
///
/// ```
/// use burn::{module::Module, nn::Linear, tensor::Tensor};
///
/// #[derive(Module, Debug)]
/// struct Net {
///     out: Linear,
/// }
///
/// impl Net {
///     fn forward(&self, images: Tensor<4>) -> Tensor<2> {
///         self.out.forward(images.flatten(1, 3))
///     }
/// }
///
/// vision::classification_steps!(Net);
/// ```
#[macro_export]
macro_rules! classification_steps {
    ($model:ty) => {
        impl $crate::burn_train::TrainStep for $model {
            type Input = $crate::ImageBatch;
            type Output = $crate::burn_train::ClassificationOutput;

            fn step(&self, batch: Self::Input) -> $crate::burn_train::TrainOutput<Self::Output> {
                let output = batch.classified(0.0, |images| self.forward(images));
                $crate::burn_train::TrainOutput::new(self, output.loss.backward(), output)
            }
        }

        impl $crate::burn_train::InferenceStep for $model {
            type Input = $crate::ImageBatch;
            type Output = $crate::burn_train::ClassificationOutput;

            fn step(&self, batch: Self::Input) -> Self::Output {
                batch.classified(0.0, |images| self.forward(images))
            }
        }
    };
}
