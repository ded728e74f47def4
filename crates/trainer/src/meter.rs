//! What reads values off the outputs of steps: of one type, or of any.

use std::any::Any;

use burn::{
    tensor::ExecutionError,
    train::metric::{Adaptor, ItemLazy, LossInput},
};

use crate::TrainError;

/// What reads values off outputs of type `O`.
pub(crate) trait Meter<O>: Send {
    /// The keys of its values in logs.
    fn keys(&self) -> &[String];
    /// Adds this output, of so many items, to the running values.
    fn add(&mut self, output: &O, items: usize) -> Result<(), TrainError>;
    /// The values over all that was added; empty again afterwards.
    fn finish(&mut self) -> Result<Vec<(String, f64)>, TrainError>;
}

/// The meters of a pass over batches.
pub(crate) type Meters<O> = Vec<Box<dyn Meter<O>>>;

/// The output of a network whose type is known at run time alone.
pub struct AnyOutput {
    output: Box<dyn Any + Send>,
    loss: fn(&dyn Any) -> Option<LossInput>,
}

impl AnyOutput {
    /// Holds an output.
    pub fn new<O: Adaptor<LossInput> + Send + 'static>(output: O) -> Self {
        let loss = |output: &dyn Any| output.downcast_ref::<O>().map(Adaptor::adapt);
        Self { output: Box::new(output), loss }
    }

    /// What it holds.
    pub(crate) fn held(&self) -> &dyn Any {
        self.output.as_ref()
    }

    /// The output, where it is one of this type.
    pub(crate) fn open<O: 'static>(&self) -> Option<&O> {
        self.output.downcast_ref()
    }
}

impl Adaptor<LossInput> for AnyOutput {
    fn adapt(&self) -> LossInput {
        let Some(loss) = (self.loss)(self.output.as_ref()) else { unreachable!("it was made with this type") };
        loss
    }
}

impl ItemLazy for AnyOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// A metric of outputs of one type, for outputs of any.
pub(crate) struct OfAny<O>(pub(crate) Box<dyn Meter<O>>);

impl<O: 'static> Meter<AnyOutput> for OfAny<O> {
    fn keys(&self) -> &[String] {
        self.0.keys()
    }

    fn add(&mut self, output: &AnyOutput, items: usize) -> Result<(), TrainError> {
        match output.open() {
            Some(output) => self.0.add(output, items),
            None => Err(TrainError::Metric {
                metric: self.keys().join(", "),
                message: format!("it reads `{}`, and the network gives another output", std::any::type_name::<O>()),
            }),
        }
    }

    fn finish(&mut self) -> Result<Vec<(String, f64)>, TrainError> {
        self.0.finish()
    }
}

/// A mean weighted by items.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mean {
    sum: f64,
    items: u64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64, items: usize) {
        self.sum += value * items as f64;
        self.items += items as u64;
    }

    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    pub(crate) fn value(&self) -> Option<f64> {
        (self.items > 0).then(|| self.sum / self.items as f64)
    }
}
