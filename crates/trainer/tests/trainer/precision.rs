//! A run in bf16: the steps see bf16 weights, everything that stays is f32, and it learns what a run in f32 learns.

use std::sync::Mutex;

use crate::common::{Net, Points, alone, device, optimizer, optimizer_at, schedule, train_data, valid_data};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{DType, Tensor},
    train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep},
};
use trainer::{
    Fitted, Precision, TrainConfig, Trainer,
    lr_finder::{LrFinder, LrFinderConfig},
};

/// The types of a step's weights, and of batch norm's parameters.
static SEEN: Mutex<Vec<(&str, DType, DType)>> = Mutex::new(Vec::new());

/// The common network, watched.
#[derive(Module, Debug)]
struct Watched {
    net: Net,
}

impl Watched {
    fn new() -> Self {
        trainer::stable_ids(Self { net: Net::new(12, &device()).with_norm(&device()).freeze_dropout() })
    }

    fn note(&self, step: &'static str) {
        let norm = self.net.norm().expect("with batch norm");
        assert_eq!(norm.running_mean.value_sync().dtype(), DType::F32);
        SEEN.lock().unwrap().push((step, self.net.first_layer().weight.dtype(), norm.gamma.dtype()));
    }
}

impl TrainStep for Watched {
    type Input = Points;
    type Output = ClassificationOutput;
    fn step(&self, batch: Points) -> TrainOutput<ClassificationOutput> {
        self.note("train");
        TrainStep::step(&self.net, batch)
    }
}

impl InferenceStep for Watched {
    type Input = Points;
    type Output = ClassificationOutput;
    fn step(&self, batch: Points) -> ClassificationOutput {
        self.note("valid");
        InferenceStep::step(&self.net, batch)
    }
}

fn seen() -> Vec<(&'static str, DType, DType)> {
    let mut seen = std::mem::take(&mut *SEEN.lock().unwrap());
    seen.sort_unstable_by_key(|(step, ..)| *step);
    seen.dedup();
    seen
}

fn fit(optimizer_toml: &str, lr: f64, config: TrainConfig) -> Fitted<Watched> {
    let schedule = schedule("type = 'fixed'");
    let trainer = Trainer::new(config);
    trainer
        .fit(Watched::new(), optimizer_at(optimizer_toml, lr), schedule, &train_data(), Some(&valid_data()))
        .expect("trains")
}

/// Every number of a model, with the types that occur.
fn numbers(model: &Watched) -> (Vec<f32>, Vec<DType>) {
    #[derive(Default)]
    struct Read(Vec<f32>, Vec<DType>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(param.dtype());
            self.0.extend(param.val().try_to_vec_as::<f32>().expect("numbers"));
        }
    }
    let mut read = Read::default();
    // Brings batch norm's last update in.
    model.valid().visit(&mut read);
    read.1.dedup();
    (read.0, read.1)
}

const ADAM: &str = "type = 'adam'\nlr = 0.01";

#[test]
fn steps_are_bf16_and_what_stays_is_f32() {
    let _alone = alone();
    seen();
    let config = |precision| TrainConfig { precision, ..TrainConfig::epochs(12) };
    let whole = fit(ADAM, 0.01, config(Precision::F32));
    assert_eq!(seen(), [("train", DType::F32, DType::F32), ("valid", DType::F32, DType::F32)]);
    let half = fit(ADAM, 0.01, config(Precision::Bf16));
    assert_eq!(seen(), [("train", DType::BF16, DType::F32), ("valid", DType::F32, DType::F32)]);

    let ((whole_numbers, _), (half_numbers, types)) = (numbers(&whole.model), numbers(&half.model));
    assert_eq!(types, [DType::F32]);
    assert_ne!(whole_numbers, half_numbers, "bf16 rounds");
    let statistics = half.model.net.norm().expect("batch norm").running_var.value_sync();
    let moved: f32 = (statistics - 1.0).abs().max().into_scalar();
    assert!(moved > 0.05, "the running variance moved by {moved} only");

    let losses = |fitted: &Fitted<Watched>| -> Vec<f64> {
        fitted.report.epochs.iter().map(|epoch| epoch.values["valid.loss"]).collect()
    };
    let (whole, half) = (losses(&whole), losses(&half));
    assert!(half[11] < 0.6 * half[0], "it learns: {half:?}");
    for (whole, half) in whole.iter().zip(&half) {
        assert!((whole - half).abs() < 0.02, "f32 {whole}, bf16 {half}");
    }
}

#[test]
fn one_step_is_that_of_f32_up_to_rounding() {
    let _alone = alone();
    // Plain SGD at rate 1: what changed is the gradient.
    let sgd = "type = 'sgd'\nlr = 1.0";
    let step = |precision, accumulate, clip_grad_norm| {
        let config = TrainConfig { precision, accumulate, clip_grad_norm, ..TrainConfig::steps(1) };
        numbers(&fit(sgd, 1.0, config).model).0
    };
    let before = numbers(&Watched::new()).0;
    for (accumulate, clip) in [(1, None), (3, None), (2, Some(0.1))] {
        let (whole, half) = (step(Precision::F32, accumulate, clip), step(Precision::Bf16, accumulate, clip));
        let change = |after: &[f32]| -> Vec<f32> { after.iter().zip(&before).map(|(after, b)| after - b).collect() };
        let norm = |change: &[f32]| change.iter().map(|c| c * c).sum::<f32>().sqrt();
        let (whole, half) = (change(&whole), change(&half));
        let apart: Vec<f32> = whole.iter().zip(&half).map(|(whole, half)| whole - half).collect();
        let ratio = norm(&apart) / norm(&whole);
        // A number of bf16 is off by up to 2^-9 of itself.
        assert!((1e-4..2e-2).contains(&ratio), "accumulating {accumulate}, clipping at {clip:?}: {ratio}");
    }
}

#[test]
fn the_finder_sweeps_in_the_precision_of_the_training() {
    let _alone = alone();
    seen();
    let model = Watched::new();
    let before = numbers(&model).0;
    let finder = LrFinder::new(LrFinderConfig { num_it: 30, ..Default::default() }).precision(Precision::Bf16);
    finder.run(&model, &optimizer(ADAM), &train_data()).expect("sweeps");
    assert_eq!(seen(), [("train", DType::BF16, DType::F32)]);
    assert_eq!(numbers(&model).0, before, "the model is as it was");
}
