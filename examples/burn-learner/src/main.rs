//! One of our schedules and one of our optimizers inside burn's own `SupervisedTraining`.
//!
//! `cargo run --release -p example-burn-learner -- [epochs] [folder]`

use std::{process::ExitCode, sync::Arc};

use anneal::{
    exit_code,
    lr_core::{ScheduleConfig, burn::BurnScheduler},
    optim_adaptive::OptimizerConfig,
    vision::{self, Augment, Batcher as Images, ImageBatch, models::Classifier},
};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    tensor::Device,
    train::{
        Learner, SupervisedTraining,
        metric::{AccuracyMetric, LossMetric},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// burn's loader hands items to a batcher; here an item is an index.
struct ByIndex(Images);

impl Batcher<usize, ImageBatch> for ByIndex {
    fn batch(&self, items: Vec<usize>, device: &Device) -> ImageBatch {
        self.0.batch(&items, 0, 0, device)
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let epochs = args.next().map_or(Ok(5), |epochs| epochs.parse())?;
    let folder = args.next().unwrap_or_else(|| "runs/burn-learner".to_owned());
    let device = Device::flex().autodiff();
    device.seed(1);

    let digits = vision::load("digits", None)?;
    let loader = |set: &vision::ImageSet, device: Device| -> Result<Arc<dyn DataLoader<ImageBatch>>, _> {
        let batcher = ByIndex(digits.batcher(set.clone(), Augment::default())?);
        let items = InMemDataset::new((0..set.len()).collect());
        Ok::<_, vision::BatcherError>(
            DataLoaderBuilder::new(batcher).batch_size(64).shuffle(1).set_device(device).build(items),
        )
    };
    let (train, test) = (loader(&digits.train, device.clone())?, loader(&digits.test, device.clone().inner())?);
    let steps_per_epoch = digits.train.len().div_ceil(64) as u64;

    // The adapter steps once per optimizer step and turns steps into epochs itself, as this schedule wants them.
    // Momentum would go by a handle: docs/burn-learner.md.
    let schedule = ScheduleConfig::from_toml_str("type = 'one_cycle'\nmax_lr = 0.01\ncycle_momentum = false")?;
    let horizon = anneal::lr_core::Horizon::run(steps_per_epoch, steps_per_epoch * epochs as u64);
    let schedule = BurnScheduler::from_config(&schedule, &horizon, 0.01)?;
    let optimizer = OptimizerConfig::from_toml_str("type = 'adamw'\nlr = 0.01")?.init();

    let model = Classifier::named("lenet", digits.shape(), 10, &device)?;
    let result = SupervisedTraining::new(&folder, train, test)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_default_checkpointers()
        .num_epochs(epochs)
        .summary()
        .launch(Learner::new(model, optimizer.into_module_optimizer()?, schedule));
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }
    println!("trained {epochs} epochs in burn's Learner; its files are in {folder}");
    Ok(())
}

fn main() -> ExitCode {
    exit_code(run())
}
