//! A GAN on the digits: two optimizers over the two parts of a model, which steps them itself, on one page.
//!
//! `cargo run --release -p example-gan -- [epochs] [checkpoints]` goes on from the checkpoints of that folder, if any.

use std::process::ExitCode;

use anneal::prelude::*;
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::{Distribution, activation};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOISE: usize = 16;
const PIXELS: usize = 64;

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    out: Linear,
}

impl Mlp {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { hidden: LinearConfig::new(inputs, 128).init(device), out: LinearConfig::new(128, outputs).init(device) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.out.forward(activation::leaky_relu(self.hidden.forward(x), 0.2))
    }
}

#[derive(Module, Debug)]
struct Gan {
    generator: Mlp,
    discriminator: Mlp,
}

impl Gan {
    fn draw(&self, count: usize, device: &Device) -> Tensor<2> {
        self.generator.forward(Tensor::random([count, NOISE], Distribution::Normal(0.0, 1.0), device))
    }

    /// Binary cross-entropy of the discriminator's answers to images that are real, or not.
    fn judge(&self, images: Tensor<2>, are_real: bool) -> Tensor<1> {
        let sign = if are_real { -1.0 } else { 1.0 };
        activation::softplus(self.discriminator.forward(images) * sign, 1.0).mean()
    }
}

/// In each step: the discriminator, then the generator against the new discriminator.
impl Trainable for Gan {
    type TrainBatch = ImageBatch;
    type TrainItem = ScalarOutput;
    fn train_step(self, batch: ImageBatch, updates: &mut Updates<'_, Self>) -> (Self, ScalarOutput) {
        let (count, device) = (batch.len(), batch.images.device());
        let fake = self.draw(count, &device).detach();
        let d_loss = self.judge(batch.images.flatten(1, 3), true) + self.judge(fake, false);
        let grads = GradientsParams::from_grads(d_loss.backward(), &self.discriminator);
        let gan = updates.step(self, grads);
        let g_loss = gan.judge(gan.draw(count, &device), true);
        let grads = GradientsParams::from_grads(g_loss.backward(), &gan.generator);
        let gan = updates.step(gan, grads);
        (gan, ScalarOutput::new(d_loss.clone() + g_loss.clone()).with("d_loss", d_loss).with("g_loss", g_loss))
    }
}

impl InferenceStep for Gan {
    type Input = ImageBatch;
    type Output = ScalarOutput;
    fn step(&self, batch: ImageBatch) -> ScalarOutput {
        ScalarOutput::new(self.judge(batch.images.flatten(1, 3), true))
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let epochs = args.next().map_or(Ok(60), |epochs| epochs.parse())?;
    let device = Device::flex().autodiff();
    device.seed(1);
    let digits = anneal::vision::load("digits", None)?;
    let (images, on) = (digits.batcher(digits.train.clone(), Augment::default())?, device.clone());
    let train = Loader::new(digits.train.len(), 32, move |indices, epoch| images.batch(indices, epoch, 0, &on));

    let gan = Gan { generator: Mlp::new(NOISE, PIXELS, &device), discriminator: Mlp::new(PIXELS, 1, &device) };
    let adam = |lr| OptimizerConfig::from_toml_str(&format!("type = 'adam'\nlr = {lr}\nbetas = [0.5, 0.999]"));
    let discriminator = Group { optimizer: Some(adam(1e-3)?), ..Group::new(Pattern::new("discriminator.*")?) };
    let optimizer = adam(2e-3)?.init_with_groups(vec![discriminator]);
    let fixed = ScheduleConfig::from_toml_str("type = 'fixed'")?;
    let mut trainer = Trainer::new(TrainConfig::epochs(epochs))
        .scalars(["d_loss", "g_loss"])
        .callback(Progress::new())
        .stop_on_ctrl_c();
    if let Some(folder) = args.next() {
        trainer = trainer.checkpoints(folder).resume_if_any();
    }
    let fitted = trainer.fit(gan, optimizer, fixed, &train.shuffled(1), None)?;
    println!("{}", fitted.report);

    let drawn = fitted.eval_model().draw(1, &device.inner()).into_data().try_into_vec::<f32>()?;
    for row in drawn.chunks(8) {
        println!("{}", row.iter().map(|pixel| if *pixel > 0.5 { "##" } else { "  " }).collect::<String>());
    }
    Ok(())
}

fn main() -> ExitCode {
    exit_code(run())
}
