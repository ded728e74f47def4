//! Regression on numbers of your own, in memory: a model, its data and a training on one page.
//!
//! `cargo run --release -p example-regression -- [epochs]`

use std::process::ExitCode;

use anneal::prelude::*;
use burn::nn::{self, loss::Reduction};
use burn::tensor::activation::relu;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inputs `(row, 1)` and targets `(row, 1)`.
type Rows = (Tensor<2>, Tensor<2>);

#[derive(Module, Debug)]
struct Net {
    hidden: nn::Linear,
    out: nn::Linear,
}

impl Net {
    fn forward(&self, (x, y): Rows) -> RegressionOutput {
        let output = self.out.forward(relu(self.hidden.forward(x)));
        let loss = nn::loss::MseLoss::new().forward(output.clone(), y.clone(), Reduction::Mean);
        RegressionOutput::new(loss, output, y)
    }
}

steps!(Net::forward(Rows) -> RegressionOutput);

/// The numbers: a sine. They could as well be read from a file.
fn rows(items: impl Iterator<Item = usize>, device: &Device) -> Rows {
    let x: Vec<f32> = items.map(|item| item as f32 / 100.0 - 5.0).collect();
    let x = Tensor::<1>::from_floats(x.as_slice(), device).unsqueeze_dim::<2>(1);
    (x.clone(), x.sin())
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let epochs = std::env::args().nth(1).map_or(Ok(60), |epochs| epochs.parse())?;
    let device = Device::flex().autodiff();
    device.seed(1);
    let (train, valid) = split(1000, 0.2, 1);
    let loader = |part: Vec<usize>, on: Device| {
        Loader::new(part.len(), 32, move |batch, _| rows(batch.iter().map(|at| part[*at]), &on))
    };
    let (train, valid) = (loader(train, device.clone()).shuffled(1), loader(valid, device.clone().inner()));

    let layer = |inputs, outputs| nn::LinearConfig::new(inputs, outputs).init(&device);
    let net = Net { hidden: layer(1, 64), out: layer(64, 1) };
    let adam = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 0.01")?.init();
    let cosine = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 'rest'")?;
    let trainer = Trainer::new(TrainConfig::epochs(epochs)).callback(Progress::new());
    let fitted = trainer.fit(net, adam, cosine, &train, Some(&valid))?;
    println!("{}", fitted.report);
    println!("sin(1) = {}", fitted.eval_model().forward(rows([600].into_iter(), &device.inner())).output);
    Ok(())
}

fn main() -> ExitCode {
    exit_code(run())
}
