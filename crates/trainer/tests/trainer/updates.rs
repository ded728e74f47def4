//! Models whose own step updates them, part by part: a small GAN, several optimizers, schedules, checkpoints, faults.

use std::path::Path;

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    optim::GradientsParams,
    tensor::{Device, Distribution, Tensor, TensorData, activation::softplus},
    train::InferenceStep,
};
use lr_core::Duration;
use optim_adaptive::{AdaptiveOptimizer, Group, OptimizerConfig, Pattern};
use trainer::{
    CheckpointPolicy, Ema, Fitted, Freeze, OnNonFinite, Precision, ScalarOutput, Schedules, StopReason, TrainConfig,
    TrainError, Trainable, Trainer, Updates, checkpoint, data::Loader,
};

use crate::common::{StopAfter, alone, device, newest_only, schedule};

#[derive(Module, Debug)]
struct Gan {
    generator: Linear,
    discriminator: Linear,
}

impl Gan {
    fn new() -> Self {
        let device = device();
        device.seed(5);
        trainer::stable_ids(Self {
            generator: LinearConfig::new(3, 2).init(&device),
            discriminator: LinearConfig::new(2, 1).init(&device),
        })
    }

    fn fake(&self, count: usize, device: &Device) -> Tensor<2> {
        self.generator.forward(Tensor::random([count, 3], Distribution::Normal(0.0, 1.0), device))
    }

    /// Binary cross-entropy, on logits, of points that are all real (`sign` -1) or all not (1).
    fn judged(&self, points: Tensor<2>, sign: f64) -> Tensor<1> {
        softplus(self.discriminator.forward(points) * sign, 1.0).mean()
    }

    /// The gradients of the discriminator, with its loss.
    fn discriminate(&self, real: &Tensor<2>) -> (GradientsParams, Tensor<1>) {
        let fake = self.fake(real.dims()[0], &real.device()).detach();
        let loss = self.judged(real.clone(), -1.0) + self.judged(fake, 1.0);
        (GradientsParams::from_grads(loss.backward(), &self.discriminator), loss)
    }

    /// Those of the generator.
    fn generate(&self, real: &Tensor<2>) -> (GradientsParams, Tensor<1>) {
        let loss = self.judged(self.fake(real.dims()[0], &real.device()), -1.0);
        (GradientsParams::from_grads(loss.backward(), &self.generator), loss)
    }

    fn bits(&self) -> Vec<u8> {
        let mut bits = Vec::new();
        for linear in [&self.generator, &self.discriminator] {
            bits.extend_from_slice(linear.weight.val().inner().into_data().as_bytes());
            bits.extend(linear.bias.iter().flat_map(|bias| bias.val().inner().into_data().as_bytes().to_vec()));
        }
        bits
    }
}

impl Trainable for Gan {
    type TrainBatch = Tensor<2>;
    type TrainItem = ScalarOutput;

    /// The discriminator twice, the generator in every second step.
    fn train_step(self, real: Tensor<2>, updates: &mut Updates<'_, Self>) -> (Self, ScalarOutput) {
        let (grads, _) = self.discriminate(&real);
        let gan = updates.step(self, grads);
        let (grads, d_loss) = gan.discriminate(&real);
        let mut gan = updates.step(gan, grads);
        let (grads, g_loss) = gan.generate(&real);
        if updates.number() % 2 == 1 {
            gan = updates.step(gan, grads);
        }
        (gan, ScalarOutput::new(d_loss.clone() + g_loss.clone()).with("d_loss", d_loss).with("g_loss", g_loss))
    }
}

impl InferenceStep for Gan {
    type Input = Tensor<2>;
    type Output = ScalarOutput;

    fn step(&self, real: Tensor<2>) -> ScalarOutput {
        let d_loss = self.judged(real, -1.0);
        ScalarOutput::new(d_loss.clone()).with("d_loss", d_loss)
    }
}

fn real(indices: &[usize], scale: f32, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = indices.iter().flat_map(|i| [1.0 + (i % 7) as f32 / 7.0, -((i % 5) as f32)]).collect();
    Tensor::from_data(TensorData::new(values, [indices.len(), 2]), device) * scale
}

fn data() -> Loader<Tensor<2>> {
    let device = device();
    Loader::new(60, 10, move |indices, _| real(indices, 1.0, &device)).shuffled(2)
}

fn valid() -> Loader<Tensor<2>> {
    let device = device().inner();
    Loader::new(20, 10, move |indices, _| real(indices, 1.0, &device))
}

fn config(text: &str) -> OptimizerConfig {
    OptimizerConfig::from_toml_str(text).expect("a good optimizer")
}

const ADAM: &str = "type = 'adam'\nlr = 0.02\nbetas = [0.5, 0.999]";
const SCHEDULE_FREE: &str = "type = 'schedule_free_sgd'\nlr = 0.05";

/// Adam for the generator; another optimizer for the discriminator.
fn optimizers(discriminator: &str) -> AdaptiveOptimizer {
    let params = Pattern::new("discriminator.*").expect("a pattern");
    config(ADAM).init_with_groups(vec![Group { optimizer: Some(config(discriminator)), ..Group::new(params) }])
}

fn schedules() -> Schedules {
    let falling = schedule("type = 'exponential'\ngamma = 0.9\ninterval = 'step'");
    Schedules::from(schedule("type = 'cosine_annealing'\nt_max = 'rest'\ninterval = 'step'")).with_group(0, falling)
}

fn settings(directory: Option<&Path>) -> TrainConfig {
    TrainConfig {
        checkpoint: directory.map(|directory| CheckpointPolicy {
            every: Duration::Steps(5),
            keep_last: 3,
            ..newest_only(directory)
        }),
        clip_grad_norm: Some(2.0),
        seed: 4,
        ..TrainConfig::epochs(4)
    }
}

fn fit(config: TrainConfig, stop_after: Option<u64>, resume: bool) -> Result<Fitted<Gan>, TrainError> {
    // An average of Schedule-Free's average is refused.
    let discriminator = if config.ema.is_some() { ADAM } else { SCHEDULE_FREE };
    let mut trainer = Trainer::new(config).scalars(["d_loss", "g_loss"]).callback(StopAfter(stop_after));
    if resume {
        trainer = trainer.resume_if_any();
    }
    trainer.fit(Gan::new(), optimizers(discriminator), schedules(), &data(), Some(&valid()))
}

/// A loop of one's own, with two optimizers that know nothing of each other.
#[test]
fn it_is_the_loop_that_one_would_write() {
    let _alone = alone();
    let fitted = fit(TrainConfig { clip_grad_norm: None, ..settings(None) }, None, false).expect("trains");
    let rates = schedules().rates(&settings(None).horizon(6).expect("a length"), 0.02).expect("rates");
    let (mut of_generator, mut of_discriminator) = (config(ADAM).init(), config(SCHEDULE_FREE).init());
    let of_group = |step| rates.at(step).of(Some(0));
    let mut gan = Gan::new();
    let mut step = 0;
    for epoch in 0..4 {
        for batch in trainer::data::Source::epoch(&data(), epoch, 0) {
            let batch = batch.expect("a batch").input;
            trainer_seed(step);
            for _ in 0..2 {
                let (grads, _) = gan.discriminate(&batch);
                gan = of_discriminator.step(of_group(step), gan, grads);
            }
            let (grads, _) = gan.generate(&batch);
            if step % 2 == 1 {
                gan = of_generator.step(rates.base(step), gan, grads);
            }
            step += 1;
        }
    }
    assert_eq!(fitted.report.steps, 24);
    assert!(fitted.model.bits() == gan.bits());
    assert!(fitted.model.bits() != Gan::new().bits());
}

/// Nothing is drawn before the first update of a step but the noise, so this is what the trainer has seeded.
fn trainer_seed(step: u64) {
    let mix = |word: u64| splitmix::SplitMix64::new(word).bits();
    device().seed(mix(mix(4) ^ mix(step.wrapping_mul(0x9E37_79B9))));
}

#[test]
fn resumed_it_is_the_same_run_to_the_bit() {
    let _alone = alone();
    // What equal runs have in common: not `times.json`.
    let files = |directory: &Path| {
        let newest = checkpoint::newest(directory).expect("a checkpoint").checkpoint;
        let file = |name: &str| std::fs::read(newest.path().join(name)).ok();
        ["model.bpk", "optimizer.bpk", "state.json", "ema.bpk"].map(file)
    };
    for ema in [None, Some(Ema::new(0.9))] {
        let settings = |directory: &Path| TrainConfig { ema, ..settings(Some(directory)) };
        let whole = tempfile::tempdir().expect("a folder");
        let fitted = fit(settings(whole.path()), None, false).expect("trains");
        for stop_after in [1, 6, 7, 23] {
            let dir = tempfile::tempdir().expect("a folder");
            let stopped =
                fit(settings(dir.path()), Some(stop_after), true).expect("starts: there is nothing to resume");
            assert_eq!((stopped.report.steps, stopped.report.resumed_from), (stop_after, None));
            let resumed = fit(settings(dir.path()), None, true).expect("goes on");
            assert_eq!(resumed.report.resumed_from, Some(stop_after));
            assert!(resumed.model.bits() == fitted.model.bits(), "stopped after {stop_after}");
            assert!(files(dir.path()) == files(whole.path()), "stopped after {stop_after}");
            let figures =
                |fitted: &Fitted<Gan>| fitted.report.epochs.iter().map(|e| e.values.clone()).collect::<Vec<_>>();
            assert_eq!(figures(&resumed), figures(&fitted));
        }
    }
}

#[test]
fn scalars_are_in_the_figures_of_each_epoch() {
    let _alone = alone();
    let report = fit(settings(None), None, false).expect("trains").report;
    for epoch in &report.epochs {
        let names: Vec<&str> = epoch.values.keys().map(String::as_str).collect();
        assert_eq!(names, ["train.d_loss", "train.g_loss", "train.loss", "valid.d_loss", "valid.loss"]);
        let sum = epoch.values["train.d_loss"] + epoch.values["train.g_loss"];
        assert!((epoch.values["train.loss"] - sum).abs() < 1e-5, "{:?}", epoch.values);
        assert_eq!(epoch.values["valid.d_loss"], epoch.values["valid.loss"]);
    }
}

fn poisoned() -> Loader<Tensor<2>> {
    let device = device();
    Loader::new(60, 10, move |indices, _| real(indices, if indices.contains(&5) { f32::NAN } else { 1.0 }, &device))
        .shuffled(2)
}

#[test]
fn a_gradient_that_is_not_finite_is_the_runs_business() {
    let _alone = alone();
    let run = |on_nonfinite, clip_grad_norm| {
        let config = TrainConfig { on_nonfinite, clip_grad_norm, max_rollbacks: 9, ..settings(None) };
        Trainer::new(config).fit(Gan::new(), optimizers(ADAM), schedules(), &poisoned(), None)
    };
    for clip in [None, Some(2.0)] {
        match run(OnNonFinite::Stop, clip) {
            Err(TrainError::NonFiniteGradient { parameter, step, .. }) => {
                assert!(parameter.starts_with("discriminator."), "{parameter}");
                assert!((1..=6).contains(&step), "in the first epoch: {step}");
            }
            other => panic!("{other:?}"),
        }
        let skipped = run(OnNonFinite::Skip, clip).expect("goes on");
        assert_eq!((skipped.report.skipped_steps, &skipped.report.stopped), (4, &StopReason::Finished), "{clip:?}");
        let back = run(OnNonFinite::Rollback, clip).expect("goes on");
        assert_eq!(back.report.rollbacks, 4, "{clip:?}");
        for fitted in [skipped, back] {
            let bits = fitted.model.bits();
            assert!(bits.chunks_exact(4).all(|b| f32::from_le_bytes(b.try_into().expect("4")).is_finite()));
        }
    }
}

#[test]
fn a_frozen_part_stays_and_the_other_moves() {
    let _alone = alone();
    let freeze = vec![Freeze::new(Pattern::new("generator.*").expect("a pattern"))];
    let fitted = fit(TrainConfig { freeze, ..settings(None) }, None, false).expect("trains");
    let (before, after) = (Gan::new().bits(), fitted.model.bits());
    // Six weights and two biases of the generator come first.
    assert!(before[..32] == after[..32] && before[32..] != after[32..]);
}

#[test]
fn what_such_a_step_decides_itself_is_refused() {
    let _alone = alone();
    let cases = [
        ("accumulate", TrainConfig { accumulate: 2, ..settings(None) }),
        ("precision", TrainConfig { precision: Precision::Bf16, ..settings(None) }),
    ];
    for (field, config) in cases {
        match fit(config, None, false) {
            Err(TrainError::Setting(error)) => assert_eq!(error.path, field, "{error}"),
            other => panic!("{field}: {:?}", other.map(|fitted| fitted.report)),
        }
    }
}
