//! A task of a program's own: numbers on a curve.

use std::convert::identity;

use anneal::{
    prelude::*,
    strict_config::{ConfigError, Settings, check},
    task::*,
    trainer::Split,
};
use burn::{
    module::Module,
    nn,
    tensor::{Device, Tensor, activation::tanh},
    train::RegressionOutput,
};
use serde::{Deserialize, Serialize};

/// The fields of `[data]`: `dataset = "curve"`, `items = 400`, ...
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveData {
    items: usize,
    #[serde(default)]
    noise: f64,
}

impl Settings for CurveData {
    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("items", self.items as u64, 10)?;
        check::non_negative("noise", self.noise)
    }
}

/// The fields of `[model]`: `hidden = 16`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetSettings {
    hidden: usize,
}

impl Settings for NetSettings {}

#[derive(Module, Debug)]
pub struct Net {
    pub hidden: nn::Linear,
    out: nn::Linear,
}

impl TrainStep for Net {
    type Input = (Tensor<2>, Tensor<2>);
    type Output = RegressionOutput;
    fn step(&self, batch: Self::Input) -> TrainOutput<RegressionOutput> {
        let output = InferenceStep::step(self, batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Net {
    type Input = (Tensor<2>, Tensor<2>);
    type Output = RegressionOutput;
    fn step(&self, (x, y): Self::Input) -> RegressionOutput {
        let guess = self.out.forward(tanh(self.hidden.forward(x)));
        let loss = (guess.clone() - y.clone()).square().mean();
        RegressionOutput::new(loss, guess, y)
    }
}

// ANCHOR: task
/// `y = sin(3x)`, with noise; the task is to find the curve again.
pub struct Curve {
    points: Vec<(f32, f32)>,
    held_out: usize,
}

impl Task for Curve {
    const NAME: &'static str = "curve";
    const SUMMARY: &'static str = "points on a curve, to be found again";
    type Data = CurveData;
    type Model = NetSettings;
    type Eval = NoSettings;
    type Network = Net;

    fn models() -> Vec<ModelRow<NetSettings>> {
        vec![ModelRow::new("net", "one hidden layer", identity::<NetSettings>)]
    }
    fn metrics(_: &TaskSettings<Self>) -> Metrics<Net> {
        let square =
            |output: &RegressionOutput| (output.output.clone() - output.targets.clone()).square().flatten(0, 1);
        Metrics::new().with_mean("rmse", Mode::Min, square, f64::sqrt)
    }
    fn load(settings: &TaskSettings<Self>, setup: &Setup) -> Result<Self, TaskError> {
        let noise = |i: usize| settings.data.noise as f32 * ((i * 7919 % 1000) as f32 / 500.0 - 1.0);
        let point = |i: usize| ((i * 31 % 200) as f32 / 100.0 - 1.0, noise(i));
        let points = (0..settings.data.items).map(point).map(|(x, noise)| (x, (3.0 * x).sin() + noise)).collect();
        Ok(Self { points, held_out: (settings.data.items as f64 * setup.data.validation) as usize })
    }
    fn items(&self, part: Split) -> usize {
        if part == Split::Train { self.points.len() - self.held_out } else { self.held_out }
    }
    fn batch(&self, part: Split, items: &[usize], _: Option<Draw>, device: &Device) -> (Tensor<2>, Tensor<2>) {
        // The last ones are held out.
        let first = if part == Split::Train { 0 } else { self.points.len() - self.held_out };
        let (x, y): (Vec<f32>, Vec<f32>) = items.iter().map(|item| self.points[first + item]).unzip();
        let column = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), device).unsqueeze_dim(1);
        (column(x), column(y))
    }
    fn network(&self, model: &NetSettings, device: &Device) -> Result<Net, TaskError> {
        let layer = |inputs, outputs| nn::LinearConfig::new(inputs, outputs).init(device);
        Ok(Net { hidden: layer(1, model.hidden), out: layer(model.hidden, 1) })
    }
    fn show(&self, net: &Net, device: &Device) -> Result<Outputs, TaskError> {
        let (x, y) = self.batch(Split::Train, &[0, 50, 100, 150], None, device);
        let output = InferenceStep::step(net, (x.clone(), y));
        let column = |values: Tensor<2>| values.into_data_as::<f64>().try_to_vec::<f64>().map_err(|e| e.to_string());
        let (x, y) = (column(x)?, column(output.output)?);
        let texts = x.iter().zip(&y).map(|(x, y)| format!("f({x:.2}) = {y:.2}")).collect();
        Ok(Outputs { texts, charts: vec![Chart::new("curve").series(Series::points("found", x, y))] })
    }
    fn predict(&self, net: &Net, inputs: &[String], device: &Device) -> Result<Vec<Prediction>, TaskError> {
        inputs
            .iter()
            .map(|input| {
                let x: f32 = input.parse().map_err(|_| TaskError::input(input, "is no number"))?;
                let x = Tensor::<2>::from_floats([[x]], device);
                let y = net.out.forward(tanh(net.hidden.forward(x))).into_scalar::<f32>();
                Ok(Prediction::of(input, "y", y))
            })
            .collect()
    }
}
// ANCHOR_END: task
