//! The step of training and of inference, as burn-train asks for them.

use burn::tensor::{DType, Int, Tensor};
use burn::train::SequenceOutput;
use cpu_kernels::cross_entropy;

use crate::windows::TextBatch;

/// Loss, in nats for each token, and logits, `(window, place, token)`, of a batch.
pub(crate) fn output(batch: TextBatch, forward: impl FnOnce(Tensor<2, Int>) -> Tensor<3>) -> SequenceOutput {
    // The weights may be bf16; the loss is computed in f32.
    let logits = forward(batch.inputs).cast(DType::F32);
    let [windows, context, vocabulary] = logits.dims();
    let rows = windows * context;
    let loss = cross_entropy(logits.clone().reshape([rows, vocabulary]), batch.targets.clone().reshape([rows]));
    SequenceOutput::new(loss, logits, None, batch.targets)
}

/// Implements burn-train's steps for a model with a `forward` from tokens to logits.
macro_rules! language_steps {
    ($model:ty) => {
        impl burn::train::TrainStep for $model {
            type Input = $crate::windows::TextBatch;
            type Output = burn::train::SequenceOutput;

            fn step(&self, batch: Self::Input) -> burn::train::TrainOutput<Self::Output> {
                let output = $crate::models::steps::output(batch, |tokens| self.forward(tokens));
                let gradients = output.loss.backward();
                burn::train::TrainOutput::new(self, gradients, output)
            }
        }

        impl burn::train::InferenceStep for $model {
            type Input = $crate::windows::TextBatch;
            type Output = burn::train::SequenceOutput;

            fn step(&self, batch: Self::Input) -> Self::Output {
                $crate::models::steps::output(batch, |tokens| self.forward(tokens))
            }
        }
    };
}
pub(crate) use language_steps;
