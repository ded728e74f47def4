//! Named numbers beside the loss that a step gives.

use std::collections::BTreeMap;

use burn::{
    tensor::{DType, ExecutionError, Tensor},
    train::metric::{Adaptor, ItemLazy, LossInput},
};

use crate::{
    TrainError,
    meter::{AnyOutput, Mean, Meter},
};

/// Named numbers of a batch, each a scalar or the values whose mean it is. An output that adapts to them (as it adapts to
/// burn-train's `LossInput`) has them in the log: see [`Metrics::with_scalars`](crate::Metrics::with_scalars).
#[derive(Debug, Clone, Default)]
pub struct Scalars(Vec<(String, Tensor<1>)>);

impl Scalars {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Tensor<1>) -> Self {
        self.0.push((name.into(), value));
        self
    }

    /// Their means, read from the device at once.
    fn read(self) -> Result<Vec<(String, f64)>, TrainError> {
        let (names, values): (Vec<String>, Vec<Tensor<1>>) = self.0.into_iter().unzip();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mean = |value: Tensor<1>| value.without_autodiff().cast(DType::F32).mean();
        let means = Tensor::cat(values.into_iter().map(mean).collect(), 0);
        let failed = |message: String| TrainError::Metric { metric: names.join(", "), message };
        let means = means.try_into_data().map_err(|error| failed(error.to_string()))?;
        Ok(names.iter().cloned().zip(means.iter::<f64>()).collect())
    }
}

/// What a step gives that measures numbers alone: its loss, and others beside it.
#[derive(Debug, Clone)]
pub struct ScalarOutput {
    /// The loss.
    pub loss: Tensor<1>,
    /// The others.
    pub scalars: Scalars,
}

impl ScalarOutput {
    /// A loss.
    pub fn new(loss: Tensor<1>) -> Self {
        Self { loss, scalars: Scalars::new() }
    }

    /// Adds a number beside it.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Tensor<1>) -> Self {
        self.scalars = self.scalars.with(name, value);
        self
    }
}

impl Adaptor<LossInput> for ScalarOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.loss.clone())
    }
}

impl Adaptor<Scalars> for ScalarOutput {
    fn adapt(&self) -> Scalars {
        self.scalars.clone()
    }
}

impl ItemLazy for ScalarOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.loss.device().flush()?;
        let off = |(name, value): (String, Tensor<1>)| (name, value.without_autodiff());
        let scalars = Scalars(self.scalars.0.into_iter().map(off).collect());
        Ok(Self { loss: self.loss.without_autodiff(), scalars })
    }
}

/// Reads the scalars of outputs of type `O`.
pub(crate) struct ScalarMeter<O> {
    names: Vec<String>,
    adapt: Box<dyn Fn(&O) -> Scalars + Send>,
    means: BTreeMap<String, Mean>,
}

impl<O: Adaptor<Scalars> + 'static> ScalarMeter<O> {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self { names, adapt: Box::new(O::adapt), means: BTreeMap::new() }
    }
}

impl<O: 'static> ScalarMeter<O> {
    /// The same for outputs of any type: those of this one have scalars.
    pub(crate) fn of_any(self) -> ScalarMeter<AnyOutput> {
        let adapt = move |output: &AnyOutput| output.open().map_or_else(Scalars::new, &self.adapt);
        ScalarMeter { names: self.names, adapt: Box::new(adapt), means: self.means }
    }
}

impl<O> ScalarMeter<O> {
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The scalars of a batch.
    pub(crate) fn read(&self, output: &O) -> Result<Vec<(String, f64)>, TrainError> {
        let scalars = (self.adapt)(output).read()?;
        match scalars.iter().find(|(name, _)| !self.names.contains(name)) {
            Some((name, _)) => Err(TrainError::UnknownScalar { name: name.clone(), known: self.names.clone() }),
            None => Ok(scalars),
        }
    }
}

impl<O> Meter<O> for ScalarMeter<O> {
    fn keys(&self) -> &[String] {
        &self.names
    }

    fn add(&mut self, output: &O, items: usize) -> Result<(), TrainError> {
        for (name, value) in self.read(output)? {
            self.means.entry(name).or_default().add(value, items);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<(String, f64)>, TrainError> {
        let means = std::mem::take(&mut self.means);
        Ok(means.into_iter().filter_map(|(name, mean)| Some((name, mean.value()?))).collect())
    }
}
