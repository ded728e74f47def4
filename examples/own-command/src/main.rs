//! A command of your own: `anneal` with a model, a schedule and a data set of yours, on one page.
//!
//! `cargo run --release -p example-own-command -- train examples/own-command/rings.toml`

use std::{path::Path, process::ExitCode};

use anneal::prelude::*;
use burn::{nn, tensor::activation::relu};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A model is a burn module with burn-train's two steps ...
#[derive(Module, Debug)]
struct Net {
    hidden: nn::Linear,
    dropout: nn::Dropout,
    out: nn::Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let hidden = relu(self.hidden.forward(images.flatten::<2>(1, 3)));
        self.out.forward(self.dropout.forward(hidden))
    }
}

classification_steps!(Net);

/// ... and its settings: `[model] type = "two_layers"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TwoLayers {
    hidden: usize,
    dropout: f64,
}

impl Default for TwoLayers {
    fn default() -> Self {
        Self { hidden: 32, dropout: 0.1 }
    }
}

impl Settings for TwoLayers {
    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("hidden", self.hidden as u64, 1)?;
        check::below_one("dropout", self.dropout)
    }
}

impl Architecture for TwoLayers {
    const INFO: ModelInfo = ModelInfo::own("two_layers", "a hidden layer", "rings");
    type Network = Net;
    fn build(&self, classes: usize, layers: &mut Layers) -> Net {
        let (inputs, device) = (layers.shape.iter().product(), layers.device());
        let layer = |inputs, outputs| nn::LinearConfig::new(inputs, outputs).init(device);
        let dropout = nn::DropoutConfig::new(self.dropout).init();
        Net { hidden: layer(inputs, self.hidden), dropout, out: layer(self.hidden, classes) }
    }
}

/// A schedule: `[schedule] type = "inverse_time"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InverseTime {
    k: f64,
}

impl Strategy for InverseTime {
    const NAME: &'static str = "inverse_time";
    const SUMMARY: &'static str = "the base rate over 1 + k t";
    const EXAMPLE: &'static str = "type = 'inverse_time'\nk = 0.5";
    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("k", self.k)
    }
    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let k = self.k;
        Ok(Box::new(Lambda::new(Self::NAME, move |t| 1.0 / (1.0 + k * t as f64))))
    }
}

/// A data set: `[data] dataset = "rings"`, bright rings around the middle of the image, by their radius.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rings {
    noise: u8,
}

impl Settings for Rings {}

impl DataSource for Rings {
    const INFO: DatasetInfo = DatasetInfo {
        summary: "rings of three sizes, 8x8 grey",
        shape: ImageShape::new(1, 8, 8),
        classes: &["small", "middle", "large"],
        train: 600,
        test: 150,
        origin: "drawn by this example",
        ..DatasetInfo::named("rings")
    };
    fn load(&self, _: Option<&Path>) -> Result<Dataset, DataError> {
        Self::INFO.generated(|image| {
            let label = (image % 3) as u8;
            let pixel = |at: usize| {
                let from_middle = (at as f64 % 8.0 - 3.5).hypot((at / 8) as f64 - 3.5);
                let noise = ((64 * image + at).wrapping_mul(2_654_435_761) >> 16) as u8 % self.noise.max(1);
                if (from_middle - f64::from(label) - 1.0).abs() < 0.6 { 255 - noise } else { noise }
            };
            ((0..64).map(pixel).collect(), label)
        })
    }
}

fn main() -> ExitCode {
    anneal::App::new("own-command").model::<TwoLayers>().schedule::<InverseTime>().dataset::<Rings>().run()
}
