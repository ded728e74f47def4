//! Metrics: burn-train's under the names of the field, and those of regression, which burn-train lacks.

use std::sync::Arc;

use burn::tensor::{Bool, Tensor, TensorReadError};
use burn::train::RegressionOutput;
use burn::train::metric::{
    Adaptor, AurocMetric, ClassReduction, ConfusionStatsInput, FBetaScoreMetric, Metric, MetricAttributes,
    MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry, SerializedEntry,
};

/// The F1 score in percent, averaged over the classes (macro), as `f1`: burn's.
pub fn f1() -> impl Metric<Input = ConfusionStatsInput> + Numeric + 'static {
    Named { metric: FBetaScoreMetric::multiclass(1.0, 1, ClassReduction::Macro), name: name("F1") }
}

/// The area under the ROC curve in percent, of each class against the others, over all rows of a pass, averaged over the
/// classes that have both rows of their own and others (macro), as `auroc`: burn's. For two classes it is the usual area.
///
/// Rows of one class alone have no such area: it is NaN, where burn's takes 50 % and logs a warning at each pass.
pub fn auroc() -> impl Metric<Input = ConfusionStatsInput> + Numeric + 'static {
    let metric = Auroc { metric: AurocMetric::multiclass(ClassReduction::Macro), found: None, is_defined: false };
    Named { metric, name: name("AUROC") }
}

/// burn's area, where there is one.
#[derive(Clone)]
struct Auroc {
    metric: AurocMetric,
    /// For each class, `(1, class)`: whether some row of this pass is of it, and whether all are.
    found: Option<(Tensor<2, Bool>, Tensor<2, Bool>)>,
    /// Whether a class had both rows of its own and others, in the last pass.
    is_defined: bool,
}

impl Metric for Auroc {
    type Input = ConfusionStatsInput;

    fn name(&self) -> MetricName {
        self.metric.name()
    }

    fn update(
        &mut self,
        item: &ConfusionStatsInput,
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let (some, all) = (item.targets.clone().any_dim(0), item.targets.clone().all_dim(0));
        self.found = Some(match self.found.take() {
            None => (some, all),
            Some(found) => (found.0.bool_or(some), found.1.bool_and(all)),
        });
        self.metric.update(item, metadata)
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        self.is_defined = match &self.found {
            None => false,
            Some((some, all)) => some
                .clone()
                .bool_and(all.clone().bool_not())
                .any()
                .try_into_data()?
                .iter::<bool>()
                .any(|defined| defined),
        };
        if self.is_defined {
            return self.metric.compute();
        }
        Ok(SerializedEntry::not_available(Some("%")))
    }

    fn clear(&mut self) {
        self.metric.clear();
        (self.found, self.is_defined) = (None, false);
    }
}

impl Numeric for Auroc {
    fn value(&self) -> Option<NumericEntry> {
        None
    }

    fn running_value(&self) -> Option<NumericEntry> {
        None
    }

    fn final_value(&self) -> NumericEntry {
        if self.is_defined { self.metric.final_value() } else { NumericEntry::Final(f64::NAN) }
    }
}

fn name(name: &str) -> MetricName {
    Arc::new(name.to_owned())
}

/// A metric in percent under another name: burn's names hold all parameters, and its AUROC has no unit and no direction.
#[derive(Clone)]
struct Named<M> {
    metric: M,
    name: MetricName,
}

impl<M: Metric> Metric for Named<M> {
    type Input = M::Input;

    fn name(&self) -> MetricName {
        Arc::clone(&self.name)
    }

    fn description(&self) -> Option<String> {
        self.metric.description()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some("%".to_owned()), higher_is_better: true }.into()
    }

    fn update(&mut self, item: &M::Input, metadata: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        self.metric.update(item, metadata)
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        self.metric.compute()
    }

    fn clear(&mut self) {
        self.metric.clear();
    }
}

impl<M: Numeric> Numeric for Named<M> {
    fn value(&self) -> Option<NumericEntry> {
        self.metric.value()
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.metric.running_value()
    }

    fn final_value(&self) -> NumericEntry {
        self.metric.final_value()
    }
}

/// What an [`ErrorMetric`] reads: predicted and true numbers, both `(row, number)`.
#[derive(Clone, Debug)]
pub struct ErrorInput {
    /// What was predicted.
    pub outputs: Tensor<2>,
    /// What is true.
    pub targets: Tensor<2>,
    /// What a difference of 1 is in the numbers' own unit: their deviation where they were standardised, else 1.
    pub scale: f64,
}

impl Adaptor<ErrorInput> for RegressionOutput {
    fn adapt(&self) -> ErrorInput {
        ErrorInput { outputs: self.output.clone(), targets: self.targets.clone(), scale: 1.0 }
    }
}

/// What an [`ErrorMetric`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Mse,
    Mae,
    R2,
}

/// The errors of predicted numbers, over all rows of a pass. burn-train 0.22 has no such metric.
///
/// With `e = prediction - truth` of each of `n` rows: `mse = sum e^2 / n`, `mae = sum |e| / n`,
/// `r2 = 1 - sum e^2 / sum (truth - mean of truth)^2`, which is NaN where the truth is one number. Errors are in the
/// numbers' own unit, see [`ErrorInput::scale`].
#[derive(Clone, Debug)]
pub struct ErrorMetric {
    what: What,
    /// Of all rows.
    sums: Sums,
    /// Of the last batch.
    last: Sums,
}

/// Sums over rows.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rows: f64,
    absolute: f64,
    squared: f64,
    truth: f64,
    truth_squared: f64,
}

impl Sums {
    fn add(&mut self, prediction: f64, truth: f64, scale: f64) {
        let (error, truth) = (scale * (prediction - truth), scale * truth);
        self.rows += 1.0;
        self.absolute += error.abs();
        self.squared += error * error;
        self.truth += truth;
        self.truth_squared += truth * truth;
    }

    fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            absolute: self.absolute + other.absolute,
            squared: self.squared + other.squared,
            truth: self.truth + other.truth,
            truth_squared: self.truth_squared + other.truth_squared,
        }
    }

    fn value(self, what: What) -> f64 {
        match what {
            What::Mse => self.squared / self.rows,
            What::Mae => self.absolute / self.rows,
            What::R2 => {
                let variation = self.truth_squared - self.truth * self.truth / self.rows;
                if variation > 0.0 { 1.0 - self.squared / variation } else { f64::NAN }
            }
        }
    }
}

impl ErrorMetric {
    fn new(what: What) -> Self {
        Self { what, sums: Sums::default(), last: Sums::default() }
    }

    /// The mean squared error, as `mse`.
    pub fn mse() -> Self {
        Self::new(What::Mse)
    }

    /// The mean absolute error, as `mae`.
    pub fn mae() -> Self {
        Self::new(What::Mae)
    }

    /// The coefficient of determination, as `r2`.
    pub fn r2() -> Self {
        Self::new(What::R2)
    }

    /// What a log shows, and this value for a machine to read.
    fn entry(&self, value: f64) -> SerializedEntry {
        let [all, last] = [self.sums, self.last].map(|sums| sums.value(self.what));
        SerializedEntry::new(format!("epoch {all:.4} - batch {last:.4}"), NumericEntry::Value(value).serialize())
    }
}

impl Metric for ErrorMetric {
    type Input = ErrorInput;

    fn name(&self) -> MetricName {
        name(match self.what {
            What::Mse => "MSE",
            What::Mae => "MAE",
            What::R2 => "R2",
        })
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: self.what == What::R2 }.into()
    }

    fn update(&mut self, input: &ErrorInput, _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        let outputs: Vec<f64> = input.outputs.clone().try_into_data()?.try_into_vec_as()?;
        let targets: Vec<f64> = input.targets.clone().try_into_data()?.try_into_vec_as()?;
        self.last = Sums::default();
        for (prediction, truth) in outputs.into_iter().zip(targets) {
            self.last.add(prediction, truth, input.scale);
        }
        self.sums = self.sums.and(self.last);
        Ok(self.entry(self.last.value(self.what)))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry(self.sums.value(self.what)))
    }

    fn clear(&mut self) {
        *self = Self::new(self.what);
    }
}

impl Numeric for ErrorMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Value(self.last.value(self.what)))
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Value(self.sums.value(self.what)))
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.sums.value(self.what))
    }
}
