//! `steps!`: the two impls that every model repeats.

/// Implements burn-train's `TrainStep` and `InferenceStep` for a model by one method from a batch to an output whose field
/// `loss` is the loss: both steps are that method, and training differentiates its loss.
///
/// ```
/// use burn::{module::Module, nn::{Linear, loss::{MseLoss, Reduction}}, tensor::Tensor, train::RegressionOutput};
///
/// type Rows = (Tensor<2>, Tensor<2>);
///
/// #[derive(Module, Debug)]
/// struct Line {
///     linear: Linear,
/// }
///
/// impl Line {
///     fn forward(&self, (x, y): Rows) -> RegressionOutput {
///         let output = self.linear.forward(x);
///         let loss = MseLoss::new().forward(output.clone(), y.clone(), Reduction::Mean);
///         RegressionOutput::new(loss, output, y)
///     }
/// }
///
/// trainer::steps!(Line::forward(Rows) -> RegressionOutput);
/// ```
#[macro_export]
macro_rules! steps {
    ($model:ident :: $forward:ident ( $batch:ty ) -> $output:ty) => {
        impl $crate::burn_train::TrainStep for $model {
            type Input = $batch;
            type Output = $output;

            fn step(&self, batch: $batch) -> $crate::burn_train::TrainOutput<$output> {
                let output = self.$forward(batch);
                $crate::burn_train::TrainOutput::new(self, output.loss.backward(), output)
            }
        }

        impl $crate::burn_train::InferenceStep for $model {
            type Input = $batch;
            type Output = $output;

            fn step(&self, batch: $batch) -> $output {
                self.$forward(batch)
            }
        }
    };
}
