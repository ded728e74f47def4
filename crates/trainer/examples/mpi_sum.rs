//! What the sum of a step's gradients costs over MPI, by the number of parameters: the exact sum and the fast one in a
//! training (the mean over its steps), and MPI's all-reduce of as many numbers by itself (the median). `just mpi-bench` runs it.

use std::{process::ExitCode, sync::Arc, time::Instant};

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
    train::{InferenceStep, TrainOutput, TrainStep},
};
use trainer::{
    ScalarOutput, TrainConfig, TrainError, Trainer,
    data::Loader,
    lr_core::ScheduleConfig,
    optim_adaptive::OptimizerConfig,
    ranks::{Communicator, Mpi, Reduce},
};

const STEPS: usize = 41;

/// Parameters, and a loss that is linear in them.
#[derive(Module, Debug)]
struct Weights {
    all: Param<Tensor<1>>,
}

impl TrainStep for Weights {
    type Input = f32;
    type Output = ScalarOutput;
    fn step(&self, batch: f32) -> TrainOutput<ScalarOutput> {
        let loss = self.all.val().sum().mul_scalar(batch);
        TrainOutput::new(self, loss.backward(), ScalarOutput::new(loss))
    }
}

impl InferenceStep for Weights {
    type Input = f32;
    type Output = ScalarOutput;
    fn step(&self, batch: f32) -> ScalarOutput {
        ScalarOutput::new(self.all.val().sum().mul_scalar(batch))
    }
}

fn main() -> ExitCode {
    let ended = Mpi::run(|rank| match table(rank) {
        Ok(()) => 0,
        Err(error) => {
            rank.fail(&error, 1);
            1
        }
    });
    ended.unwrap_or(ExitCode::FAILURE)
}

fn table(rank: Mpi) -> Result<(), TrainError> {
    if rank.rank() == 0 {
        println!("{} processes; microseconds in each step", rank.size());
        println!("{:>11} {:>11} {:>11} {:>11}", "parameters", "exact", "fast", "all-reduce");
    }
    for parameters in [10_000, 100_000, 1_000_000, 10_000_000] {
        let (exact, fast) = (of_steps(rank, parameters, Reduce::Exact)?, of_steps(rank, parameters, Reduce::Fast)?);
        let mut values = vec![1.0_f32; parameters];
        let mut times = Vec::new();
        for _ in 0..STEPS {
            rank.barrier()?;
            let began = Instant::now();
            rank.sum(&mut values)?;
            times.push(began.elapsed().as_secs_f64());
            values.fill(1.0);
        }
        if rank.rank() == 0 {
            println!("{parameters:>11} {:>11.0} {:>11.0} {:>11.0}", exact * 1e6, fast * 1e6, median(times) * 1e6);
        }
    }
    Ok(())
}

/// Mean seconds that a step spends with the other processes.
fn of_steps(rank: Mpi, parameters: usize, reduce: Reduce) -> Result<f64, TrainError> {
    let device = Device::flex().autodiff();
    let model = Weights { all: Param::from_tensor(Tensor::zeros([parameters], &device)) };
    let config = TrainConfig { accumulate: rank.size(), reduce, ..TrainConfig::steps(STEPS as u64) };
    let optimizer = OptimizerConfig::from_toml_str("type = 'sgd'\nlr = 1e-3").map_err(TrainError::from)?.init();
    let schedule = ScheduleConfig::from_toml_str("type = 'fixed'").map_err(TrainError::from)?;
    let data = Loader::new(rank.size() * STEPS, 1, |_, _| 1.0_f32);
    let trainer = Trainer::new(config).ranks(Arc::new(rank));
    let report = trainer.fit(model, optimizer, schedule, &data, None)?.report;
    Ok(report.times.ranks / report.steps.max(1) as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
