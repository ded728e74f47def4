//! What a program may have of its own beside a task: an optimizer, a callback, numbers that a step gives.

use std::{collections::BTreeMap, convert::identity};

use anneal::{prelude::*, task::*};
use burn::{
    nn,
    optim::{LearningRate, Optimizer},
};
use serde::{Deserialize, Serialize};

use super::curve::Net;

// ANCHOR: optimizer
/// `[optimizer] type = "sign_sgd"`: `p = p - lr sign(g)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignSgd {
    lr: f64,
}

impl Settings for SignSgd {
    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("lr", self.lr)
    }
}

impl Optimizer for SignSgd {
    type State<const D: usize> = ();
    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        _: Option<()>,
    ) -> (Tensor<D>, Option<()>) {
        (parameter - gradient.sign().mul_scalar(lr), None)
    }
    fn to_device<const D: usize>((): (), _: &Device) {}
}

impl OptimizerSettings for SignSgd {
    const NAME: &'static str = "sign_sgd";
    const SUMMARY: &'static str = "steps of one size";
    type Optimizer = Self;
    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn with_momentum(&self, _: MomentumHandle) -> Self {
        self.clone()
    }
}
// ANCHOR_END: optimizer

// ANCHOR: callback
/// Adds `valid.weight` to the log: the mean size of the weights of a layer.
pub struct Weight;

impl Callback for Weight {
    fn name(&self) -> &'static str {
        "weight"
    }
    fn values(&self) -> Vec<String> {
        vec!["valid.weight".to_owned()]
    }
    fn on_model(&mut self, event: &ModelEvent<'_>) -> Result<BTreeMap<String, f64>, CallbackError> {
        // A run of another task has another network.
        let (Moment::Validation, Some(net)) = (event.moment, event.model::<Net>()) else { return Ok(BTreeMap::new()) };
        let size = net.hidden.weight.val().abs().mean().into_scalar::<f32>();
        Ok(BTreeMap::from([("valid.weight".to_owned(), size.into())]))
    }
}
// ANCHOR_END: callback

/// A layer there and one back, whose steps give the size of what is between them beside the loss.
#[derive(Module, Debug)]
pub struct There {
    there: nn::Linear,
    back: nn::Linear,
}

impl There {
    fn forward(&self, x: Tensor<2>) -> ScalarOutput {
        let code = self.there.forward(x.clone());
        let loss = (self.back.forward(code.clone()) - x).square().mean();
        ScalarOutput::new(loss).with("size", code.abs().mean())
    }
}

steps!(There::forward(Tensor<2>) -> ScalarOutput);

/// Points on an ellipse, through one number: `[data] dataset = "squeezed"`.
pub struct Squeezed;

impl Task for Squeezed {
    const NAME: &'static str = "squeezed";
    const SUMMARY: &'static str = "points through one number";
    type Data = NoSettings;
    type Model = NoSettings;
    type Eval = NoSettings;
    type Network = There;

    fn models() -> Vec<ModelRow<NoSettings>> {
        vec![ModelRow::new("there", "and back", identity::<NoSettings>)]
    }
    fn metrics(_: &TaskSettings<Self>) -> Metrics<There> {
        Metrics::new().with_scalars(["size"])
    }
    fn load(_: &TaskSettings<Self>, _: &Setup) -> Result<Self, TaskError> {
        Ok(Self)
    }
    fn items(&self, part: Split) -> usize {
        if part == Split::Train { 80 } else { 20 }
    }
    /// Left and right.
    fn classes(&self) -> Option<Classes> {
        let of_items = (0..80).map(|item| usize::from((item as f32).cos() > 0.0)).collect();
        Some(Classes { names: vec!["left".to_owned(), "right".to_owned()], of_items })
    }
    fn batch(&self, _: Split, items: &[usize], _: Option<Draw>, device: &Device) -> Tensor<2> {
        let points: Vec<f32> =
            items.iter().flat_map(|item| [(*item as f32).cos(), 0.1 * (*item as f32).sin()]).collect();
        Tensor::<1>::from_floats(points.as_slice(), device).reshape([items.len(), 2])
    }
    fn network(&self, _: &NoSettings, device: &Device) -> Result<There, TaskError> {
        let layer = |inputs, outputs| nn::LinearConfig::new(inputs, outputs).init(device);
        Ok(There { there: layer(2, 1), back: layer(1, 2) })
    }
}
