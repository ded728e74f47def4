//! burn-train's metrics, plugged into the loop, and the pass over a validation or test set.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use burn::{
    data::dataloader::Progress,
    module::Module,
    tensor::{Tensor, TensorReadError},
    train::{
        ClassificationOutput, InferenceStep, MultiLabelClassificationOutput, RegressionOutput, SequenceOutput,
        metric::{Adaptor, LossInput, LossMetric, Metric, MetricAttributes, MetricMetadata, Numeric},
    },
};
use lr_core::Mode;

use crate::{
    TrainError,
    data::Source,
    meter::{AnyOutput, Mean, Meter, Meters, OfAny},
    scalars::{ScalarMeter, Scalars},
    updates::Trainable,
};

/// A burn-train metric under its key: burn's name in lower snake case (`accuracy`).
#[derive(Clone)]
pub(crate) struct MetricMeter<Me> {
    metric: Me,
    key: [String; 1],
}

impl<Me: Metric + Numeric> MetricMeter<Me> {
    /// Under a key that is not among `taken`.
    pub(crate) fn new<'k>(metric: Me, taken: impl IntoIterator<Item = &'k str>) -> Self {
        let name = metric.name().to_lowercase().replace([' ', '-', '@'], "_");
        Self { metric, key: [free_key(&name, &taken.into_iter().collect::<Vec<_>>())] }
    }

    fn failed(&self, error: &impl ToString) -> TrainError {
        TrainError::Metric { metric: self.key.concat(), message: error.to_string() }
    }
}

impl<O, Me> Meter<O> for MetricMeter<Me>
where
    O: Adaptor<Me::Input>,
    Me: Metric + Numeric + 'static,
{
    fn keys(&self) -> &[String] {
        &self.key
    }

    fn add(&mut self, output: &O, _items: usize) -> Result<(), TrainError> {
        self.metric.update(&output.adapt(), &metadata()).map(drop).map_err(|error| self.failed(&error))
    }

    fn finish(&mut self) -> Result<Vec<(String, f64)>, TrainError> {
        self.metric.compute().map_err(|error| self.failed(&error))?;
        let value = self.metric.final_value().current();
        self.metric.clear();
        Ok(vec![(self.key.concat(), value)])
    }
}

/// What is known of a metric: burn's name, unit and direction of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInfo {
    /// Its key in logs; a value of the validation set is `valid.NAME` to monitors.
    pub name: String,
    /// Its unit, as in `%`.
    pub unit: Option<String>,
    /// Whether lower or higher is better.
    pub mode: Mode,
}

/// What the outputs of a model are measured by, beside the loss: burn-train metrics, and [scalars](Scalars) that its steps
/// give. The first metric is the one that runs are compared by.
///
/// ```
/// # use burn::{module::Module, nn::{Linear, loss::{MseLoss, Reduction::Mean}}, tensor::Tensor, train::RegressionOutput};
/// # type Rows = (Tensor<2>, Tensor<2>);
/// # #[derive(Module, Debug)]
/// # struct Line { linear: Linear }
/// # impl Line {
/// #     fn forward(&self, (x, y): Rows) -> RegressionOutput {
/// #         let output = self.linear.forward(x);
/// #         RegressionOutput::new(MseLoss::new().forward(output.clone(), y.clone(), Mean), output, y)
/// #     }
/// # }
/// use trainer::Metrics;
///
/// trainer::steps!(Line::forward(Rows) -> RegressionOutput);
/// let error = |output: &RegressionOutput| (output.output.clone() - output.targets.clone()).abs().flatten(0, 1);
/// let metrics = Metrics::<Line>::new().with_mean("mae", lr_core::Mode::Min, error, |mean| mean);
/// assert_eq!(metrics.infos()[0].name, "mae");
/// ```
///
/// A metric of another output than the model's does not compile: "the trait bound `RegressionOutput: Adaptor<AccuracyInput>`
/// is not satisfied", and what the output does adapt to.
///
/// ```compile_fail,E0277
/// # use burn::{module::Module, nn::{Linear, loss::{MseLoss, Reduction::Mean}}, tensor::Tensor, train::RegressionOutput};
/// # type Rows = (Tensor<2>, Tensor<2>);
/// # #[derive(Module, Debug)]
/// # struct Line { linear: Linear }
/// # impl Line {
/// #     fn forward(&self, (x, y): Rows) -> RegressionOutput {
/// #         let output = self.linear.forward(x);
/// #         RegressionOutput::new(MseLoss::new().forward(output.clone(), y.clone(), Mean), output, y)
/// #     }
/// # }
/// # use trainer::Metrics;
/// trainer::steps!(Line::forward(Rows) -> RegressionOutput);
/// let metrics = Metrics::<Line>::new().with(burn::train::metric::AccuracyMetric::new());
/// ```
pub struct Metrics<M: Trainable> {
    pub(crate) train: Meters<M::TrainItem>,
    pub(crate) valid: Meters<<M as InferenceStep>::Output>,
    pub(crate) scalars: Option<ScalarMeter<M::TrainItem>>,
    infos: Vec<MetricInfo>,
}

impl<M: Trainable> Metrics<M> {
    /// None: the loss alone.
    pub fn new() -> Self {
        Self { train: Vec::new(), valid: Vec::new(), scalars: None, infos: Vec::new() }
    }

    /// With one more. Its key in logs is burn's name for it in lower snake case (`accuracy`); where that is taken, by another
    /// metric or by what every log holds (`loss`, `lr`, ...), a number follows (`loss_2`).
    #[must_use]
    pub fn with<Me>(mut self, metric: Me) -> Self
    where
        Me: Metric + Numeric + 'static,
        M::TrainItem: Adaptor<Me::Input>,
        <M as InferenceStep>::Output: Adaptor<Me::Input>,
    {
        let meter = self.noted(metric);
        self.train.push(Box::new(meter.clone()));
        self.valid.push(Box::new(meter));
        self
    }

    /// The same, measured on the validation and the test set alone: for a metric that a batch does not determine, such as the
    /// area under a curve.
    #[must_use]
    pub fn with_valid<Me>(mut self, metric: Me) -> Self
    where
        Me: Metric + Numeric + 'static,
        <M as InferenceStep>::Output: Adaptor<Me::Input>,
    {
        let meter = self.noted(metric);
        self.valid.push(Box::new(meter));
        self
    }

    /// With one more: the mean of what `of` gives for each item, and `finish` of that mean. So `("rmse", Mode::Min, the
    /// squared error, f64::sqrt)` is the root of the mean squared error over all items, however they are cut into batches.
    #[must_use]
    pub fn with_mean<O>(
        mut self,
        name: &str,
        mode: Mode,
        of: impl Fn(&O) -> Tensor<1> + Send + Sync + 'static,
        finish: fn(f64) -> f64,
    ) -> Self
    where
        O: 'static,
        M: Trainable<TrainItem = O> + InferenceStep<Output = O>,
    {
        let key = self.free(name);
        self.infos.push(MetricInfo { name: key.clone(), unit: None, mode });
        let meter = MeanMeter { key: [key], of: Arc::new(of), finish, mean: Mean::default() };
        self.train.push(Box::new(meter.clone()));
        self.valid.push(Box::new(meter));
        self
    }

    /// With named scalars that the steps give beside the loss, of these names and of no others: each as the loss is, its mean
    /// over the batches of a logged step (`kl`), over an epoch (`train.kl`) and over the validation set (`valid.kl`).
    ///
    /// The outputs of both steps adapt to [`Scalars`]; [`ScalarOutput`](crate::ScalarOutput) does. An output may leave some
    /// of them out.
    #[must_use]
    pub fn with_scalars<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        M::TrainItem: Adaptor<Scalars>,
        <M as InferenceStep>::Output: Adaptor<Scalars>,
    {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        // Those that were named before.
        let before = self.scalars.take();
        self.valid.retain(|meter| before.as_ref().is_none_or(|before| before.names() != meter.keys()));
        self.valid.push(Box::new(ScalarMeter::new(names.clone())));
        self.scalars = Some(ScalarMeter::new(names));
        self
    }

    /// The names of the scalars.
    pub fn scalars(&self) -> &[String] {
        self.scalars.as_ref().map_or(&[], ScalarMeter::names)
    }

    fn free(&self, name: &str) -> String {
        free_key(name, &self.infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>())
    }

    /// Notes what is known of a metric.
    fn noted<Me: Metric + Numeric>(&mut self, metric: Me) -> MetricMeter<Me> {
        let attributes = metric.attributes();
        let meter = MetricMeter::new(metric, self.infos.iter().map(|info| info.name.as_str()));
        let name = meter.key.concat();
        let (unit, mode) = match attributes {
            MetricAttributes::Numeric(own) => (own.unit, if own.higher_is_better { Mode::Max } else { Mode::Min }),
            MetricAttributes::None => (None, Mode::of(&name)),
        };
        self.infos.push(MetricInfo { name, unit, mode });
        meter
    }

    /// The same for a network that gives these outputs as [`AnyOutput`]s.
    pub fn of_any<E>(self) -> Metrics<E>
    where
        E: Trainable<TrainItem = AnyOutput> + InferenceStep<Output = AnyOutput>,
    {
        fn each<O: 'static>(meters: Meters<O>) -> Meters<AnyOutput> {
            meters.into_iter().map(|meter| Box::new(OfAny(meter)) as Box<dyn Meter<AnyOutput>>).collect()
        }
        let scalars = self.scalars.map(ScalarMeter::of_any);
        Metrics { train: each(self.train), valid: each(self.valid), scalars, infos: self.infos }
    }

    /// What is known of each.
    pub fn infos(&self) -> &[MetricInfo] {
        &self.infos
    }
}

impl<M: Trainable> Default for Metrics<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// The mean of a value of each item.
struct MeanMeter<O> {
    key: [String; 1],
    of: Arc<dyn Fn(&O) -> Tensor<1> + Send + Sync>,
    finish: fn(f64) -> f64,
    mean: Mean,
}

impl<O> Clone for MeanMeter<O> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), of: Arc::clone(&self.of), finish: self.finish, mean: self.mean }
    }
}

impl<O> Meter<O> for MeanMeter<O> {
    fn keys(&self) -> &[String] {
        &self.key
    }

    fn add(&mut self, output: &O, _items: usize) -> Result<(), TrainError> {
        let values = (self.of)(output).without_autodiff();
        let items = values.dims()[0];
        let failed =
            |error: TensorReadError| TrainError::Metric { metric: self.key.concat(), message: error.to_string() };
        self.mean.add(values.mean().try_into_scalar().map_err(failed)?, items);
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<(String, f64)>, TrainError> {
        let mean = std::mem::take(&mut self.mean).value().unwrap_or(f64::NAN);
        Ok(vec![(self.key.concat(), (self.finish)(mean))])
    }
}

/// What the lines of a log hold beside metrics: a metric of such a name would stand for something else there.
const RESERVED: [&str; 11] =
    ["step", "epoch", "split", "every", "lr", "momentum", "loss", "seconds", "skipped", "epoch_seconds", "items"];
/// What logs add to the name of a value that is of a whole epoch.
const OF_EPOCH: &str = "_epoch";

/// Whether something else in a log is called so, beside `others`.
pub(crate) fn is_taken<'k>(key: &str, others: impl IntoIterator<Item = &'k str>) -> bool {
    let stem = |key: &'_ str| key.strip_suffix(OF_EPOCH).unwrap_or(key).to_owned();
    key.is_empty() || RESERVED.into_iter().chain(others).any(|other| stem(other) == stem(key))
}

/// `name`, or `name_2`, `name_3`, ...: the first that nothing else in a log is called.
fn free_key(name: &str, taken: &[&str]) -> String {
    let is_taken = |key: &str| is_taken(key, taken.iter().copied());
    if !is_taken(name) {
        return name.to_owned();
    }
    let numbered =
        |number: u64| format!("{}{number}", if name.is_empty() { String::new() } else { format!("{name}_") });
    (2..=u64::MAX).map(numbered).find(|key| !is_taken(key)).unwrap_or_default()
}

fn metadata() -> MetricMetadata {
    MetricMetadata { progress: Progress { items_processed: 0, items_total: 0, unit: None }, iteration: None, lr: None }
}

/// The mean loss of one batch.
///
/// burn's `LossInput` can only be read through its `LossMetric`, which adds the mean to the batch's graph and formats a
/// text that is not used: half a percent of a small model's step. burn's own outputs show their loss, which is the one
/// that they adapt to.
pub(crate) fn loss_of<O: Adaptor<LossInput> + 'static>(output: &O) -> Result<f64, TrainError> {
    let failed = |error: TensorReadError| TrainError::Metric { metric: "loss".to_owned(), message: error.to_string() };
    if let Some(loss) = shown_loss(output) {
        let loss = loss.clone().without_autodiff();
        let mean = if loss.dims() == [1] { loss } else { loss.mean() };
        return mean.try_into_scalar().map_err(failed);
    }
    let mut metric = LossMetric::new();
    metric.update(&output.adapt(), &metadata()).map_err(failed)?;
    Ok(metric.value().map_or(f64::NAN, |entry| entry.current()))
}

/// The loss of one of burn's own outputs.
fn shown_loss(output: &dyn Any) -> Option<&Tensor<1>> {
    if let Some(any) = output.downcast_ref::<AnyOutput>() {
        return shown_loss(any.held());
    }
    let classes = || Some(&output.downcast_ref::<ClassificationOutput>()?.loss);
    let labels = || Some(&output.downcast_ref::<MultiLabelClassificationOutput>()?.loss);
    let numbers = || Some(&output.downcast_ref::<RegressionOutput>()?.loss);
    let sequences = || Some(&output.downcast_ref::<SequenceOutput>()?.loss);
    classes().or_else(labels).or_else(numbers).or_else(sequences)
}

/// Runs `model` in inference mode over all of `source`: the item-weighted mean loss, and every metric.
pub(crate) fn measure<M>(
    model: &M,
    source: &dyn Source<<M as InferenceStep>::Input>,
    meters: &mut Meters<<M as InferenceStep>::Output>,
) -> Result<BTreeMap<String, f64>, TrainError>
where
    M: Module + InferenceStep,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    let model = model.valid();
    let mut measurement = Measurement::new(meters);
    for batch in source.epoch(0, 0) {
        let batch = batch?;
        measurement.add(&InferenceStep::step(&model, batch.input), batch.items)?;
    }
    measurement.finish()
}

/// The item-weighted mean loss of outputs, and every metric.
pub(crate) struct Measurement<'m, O> {
    loss: Mean,
    meters: &'m mut Meters<O>,
}

impl<'m, O: Adaptor<LossInput> + 'static> Measurement<'m, O> {
    pub(crate) fn new(meters: &'m mut Meters<O>) -> Self {
        Self { loss: Mean::default(), meters }
    }

    pub(crate) fn add(&mut self, output: &O, items: usize) -> Result<(), TrainError> {
        self.loss.add(loss_of(output)?, items);
        self.meters.iter_mut().try_for_each(|meter| meter.add(output, items))
    }

    pub(crate) fn finish(self) -> Result<BTreeMap<String, f64>, TrainError> {
        let mut values = BTreeMap::new();
        if let Some(loss) = self.loss.value() {
            values.insert("loss".to_owned(), loss);
            for meter in self.meters.iter_mut() {
                values.extend(meter.finish()?);
            }
        }
        Ok(values)
    }
}

/// The mean loss (`loss`) and one metric of `model` in inference mode over all of `source`: for a test set, once, at
/// the end.
pub fn evaluate<M, Me>(
    model: &M,
    source: &dyn Source<<M as InferenceStep>::Input>,
    metric: Me,
) -> Result<BTreeMap<String, f64>, TrainError>
where
    M: Module + InferenceStep,
    Me: Metric + Numeric + 'static,
    <M as InferenceStep>::Output: Adaptor<LossInput> + Adaptor<Me::Input>,
{
    measure(model, source, &mut vec![Box::new(MetricMeter::new(metric, []))])
}

/// [`evaluate`] with any number of metrics.
pub fn evaluate_all<M>(
    model: &M,
    source: &dyn Source<<M as InferenceStep>::Input>,
    metrics: Metrics<M>,
) -> Result<BTreeMap<String, f64>, TrainError>
where
    M: Trainable,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    let mut meters = metrics.valid;
    measure(model, source, &mut meters)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int};

    use super::*;

    /// An output of a user's own.
    struct Own(Tensor<1>);

    impl Adaptor<LossInput> for Own {
        fn adapt(&self) -> LossInput {
            LossInput::new(self.0.clone())
        }
    }

    #[test]
    fn keys_are_unique_whatever_a_metric_is_called() {
        let cases = [
            ("accuracy", &[][..], "accuracy"),
            ("accuracy", &["accuracy"], "accuracy_2"),
            ("accuracy", &["accuracy", "accuracy_2"], "accuracy_3"),
            ("loss", &[], "loss_2"),
            ("lr", &[], "lr_2"),
            ("loss_epoch", &[], "loss_epoch_2"),
            ("hits_epoch", &["hits"], "hits_epoch_2"),
            ("", &[], "2"),
        ];
        for (name, taken, expected) in cases {
            assert_eq!(free_key(name, taken), expected, "{name:?} beside {taken:?}");
        }
    }

    #[test]
    fn a_mean_is_that_of_all_items() {
        let device = Device::flex();
        let of = |output: &Own| output.0.clone().square();
        let mut meter =
            MeanMeter { key: ["rms".to_owned()], of: Arc::new(of), finish: f64::sqrt, mean: Mean::default() };
        for batch in [&[1.0_f32, 2.0, 2.0][..], &[4.0]] {
            meter.add(&Own(Tensor::from_floats(batch, &device)), batch.len()).expect("added");
        }
        // (1 + 4 + 4 + 16) / 4 = 6.25.
        assert_eq!(meter.finish().expect("a value"), [("rms".to_owned(), 2.5)]);
        assert!(meter.finish().expect("a value")[0].1.is_nan(), "empty again");
    }

    #[test]
    fn the_loss_is_the_one_that_burns_metric_reads() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            for loss in [vec![0.1_f32], vec![1.0, 2.0, 0.7], vec![f32::NAN], vec![f32::INFINITY, 1.0]] {
                let tensor = Tensor::<1>::from_floats(loss.as_slice(), &device);
                let (matrix, classes) = (Tensor::<2>::zeros([1, 2], &device), Tensor::<2, Int>::zeros([1, 2], &device));
                let expected = loss_of(&Own(tensor.clone())).expect("a loss").to_bits();
                let targets = Tensor::<1, Int>::zeros([1], &device);
                let classification = ClassificationOutput::new(tensor.clone(), matrix.clone(), targets);
                let labels = MultiLabelClassificationOutput::new(tensor.clone(), matrix.clone(), classes.clone());
                let regression = RegressionOutput::new(tensor.clone(), matrix.clone(), matrix);
                let sequence = SequenceOutput::new(tensor, Tensor::zeros([1, 1, 2], &device), None, classes);
                assert!(shown_loss(&classification).is_some());
                for (name, found) in [
                    ("classification", loss_of(&classification)),
                    ("labels", loss_of(&labels)),
                    ("regression", loss_of(&regression)),
                    ("sequence", loss_of(&sequence)),
                ] {
                    assert_eq!(found.expect(name).to_bits(), expected, "{name}, {loss:?}");
                }
            }
        }
        assert!(shown_loss(&Own(Tensor::zeros([1], &Device::flex()))).is_none());
    }
}
