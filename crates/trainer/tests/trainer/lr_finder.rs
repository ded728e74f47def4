//! The learning-rate finder on a model: what it records, and that it changes nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::common::{
    Points, alone, bits, device, net, optimizer, points_of, schedule, steep_data, train_data, valid_data,
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    tensor::{Device, Distribution, Tensor, activation::relu},
    train::{ClassificationOutput, InferenceStep, TrainStep},
};
use lr_core::Horizon;
use optim_adaptive::{AdaptiveOptimizer, Group, Pattern};
use trainer::{
    LearnerModel, Rates, Schedules, TrainConfig, Trainer,
    data::{Batch, Batches, Loader, Source, SourceError},
    lr_finder::{FinderError, LrCurve, LrFinder, LrFinderConfig, Subject, SweepEnd},
};

/// A network with batch norm, whose running statistics are state that a forward pass changes.
#[derive(Module, Debug)]
struct Normed {
    first: Linear,
    norm: BatchNorm,
    second: Linear,
}

impl Normed {
    fn new() -> Self {
        let device = device();
        device.seed(5);
        trainer::stable_ids(Self {
            first: LinearConfig::new(8, 12).init(&device),
            norm: BatchNormConfig::new(12).init(&device),
            second: LinearConfig::new(12, 2).init(&device),
        })
    }

    fn forward(&self, batch: Points) -> ClassificationOutput {
        let hidden = relu(self.norm.forward(self.first.forward(batch.x)));
        let logits = self.second.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), batch.y.clone());
        ClassificationOutput::new(loss.mul_scalar(batch.scale), logits, batch.y)
    }
}

trainer::steps!(Normed::forward(Points) -> ClassificationOutput);

/// Every tensor of a model, running statistics included, bit for bit. Read off a copy in inference mode, which settles
/// statistics that are still under way.
fn all_bits<M: Module>(model: &M) -> Vec<u8> {
    struct Bits(Vec<u8>);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend_from_slice(param.val().into_data().as_bytes());
        }
    }
    let mut bits = Bits(Vec::new());
    model.valid().visit(&mut bits);
    bits.0
}

/// What is to stay as it was: parameters, statistics, the optimizer's state and its momentum.
fn state<M: Module>(model: &M, optimizer: &AdaptiveOptimizer) -> (Vec<u8>, Vec<u8>, Option<f64>) {
    (all_bits(model), optimizer.to_record().into_bytes().expect("a record"), optimizer.momentum().get())
}

fn sweep(num_it: usize) -> LrFinderConfig {
    LrFinderConfig { start_lr: 1e-4, end_lr: 1.0, num_it, ..LrFinderConfig::default() }
}

/// Sweeps in every way: with groups, accumulation, clipping, validation, repeats.
fn sweep_in_every_way<M>(model: &M, optimizer: &AdaptiveOptimizer, rates: &Rates)
where
    M: LearnerModel + TrainStep<Input = Points, Output = ClassificationOutput>,
    M: InferenceStep<Input = Points, Output = ClassificationOutput>,
{
    let (train, valid) = (train_data(), valid_data());
    let subject = Subject::new(model, optimizer, &train).groups(rates).validate(&valid, 2);
    let finder = LrFinder::new(LrFinderConfig { accumulate: 2, ..sweep(15) }).seed(9).clip(Some(1.0), Some(0.5));
    finder.run_on(&subject).expect("sweeps");
    finder.repeat(&subject, 2).expect("sweeps");
    LrFinder::new(sweep(15)).run(model, optimizer, &train).expect("sweeps");
}

/// Trains twice in a row, with and without finders before each half.
fn runs_are_equal<M>(name: &str, fresh: impl Fn() -> M)
where
    M: LearnerModel + TrainStep<Input = Points, Output = ClassificationOutput>,
    M: InferenceStep<Input = Points, Output = ClassificationOutput>,
{
    let one_cycle = "type = 'one_cycle'\nmax_lr = 0.1";
    let config = TrainConfig { seed: 4, ..TrainConfig::epochs(3) };
    // With momentum that the schedule cycles, and an optimizer in the middle of its work in the second half.
    let run = |with_finder: bool| {
        let (mut model, mut adam) = (fresh(), optimizer("type = 'adam'\nlr = 0.01"));
        let mut ends = Vec::new();
        for _ in 0..2 {
            let schedule = schedule(one_cycle);
            if with_finder {
                let before = state(&model, &adam);
                let horizon = config.horizon(Source::<Points>::batches(&train_data())).expect("a run");
                let rates = Schedules::from(schedule.clone()).rates(&horizon, 0.01).expect("rates");
                sweep_in_every_way(&model, &adam, &rates);
                assert!(state(&model, &adam) == before, "{name}: the finder changed the model or the optimizer");
            }
            let (train, valid) = (train_data(), valid_data());
            let fitted = Trainer::new(config.clone()).fit(model, adam, schedule, &train, Some(&valid)).expect("trains");
            model = fitted.model;
            adam = fitted.optimizer;
            ends.push((
                state(&model, &adam),
                fitted.report.epochs.iter().map(|e| e.values.clone()).collect::<Vec<_>>(),
            ));
        }
        ends
    };
    assert!(run(true) == run(false), "{name}: the runs differ");
}

#[test]
fn a_run_is_the_same_with_and_without_a_finder_before_it() {
    let _alone = alone();
    runs_are_equal("dropout", net);
    runs_are_equal("batch norm", Normed::new);
}

/// Batches of `train_data`, of which one fails.
struct Failing {
    inner: Loader<Points>,
    at: usize,
    delivered: AtomicUsize,
}

impl Source<Points> for Failing {
    fn items(&self) -> usize {
        Source::<Points>::items(&self.inner)
    }
    fn batches(&self) -> usize {
        Source::<Points>::batches(&self.inner)
    }
    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, Points> {
        Box::new(self.inner.epoch(epoch, first).map(move |batch: Result<Batch<Points>, SourceError>| {
            let n = self.delivered.fetch_add(1, Ordering::Relaxed);
            if n == self.at { Err(SourceError { epoch, batch: n, message: "on purpose".to_owned() }) } else { batch }
        }))
    }
}

#[test]
fn a_sweep_that_ends_badly_changes_nothing_either() {
    let _alone = alone();
    let model = Normed::new();
    let adam = optimizer("type = 'adam'\nlr = 0.01");
    let before = state(&model, &adam);

    let failing = Failing { inner: train_data(), at: 7, delivered: AtomicUsize::new(0) };
    let error = LrFinder::new(sweep(20)).run(&model, &adam, &failing).expect_err("fails");
    assert!(matches!(&error, FinderError::Train(error) if error.to_string().contains("on purpose")), "{error}");
    assert!(state(&model, &adam) == before, "after an error");

    // A loss that is not finite from some point on.
    let exploding =
        LrFinderConfig { start_lr: 1e-2, end_lr: 1e38, num_it: 20, diverge_factor: f64::INFINITY, ..sweep(20) };
    let sgd = optimizer("type = 'sgd'\nlr = 0.01");
    let plain = net().freeze_dropout();
    let before_plain = state(&plain, &sgd);
    let curve = LrFinder::new(exploding).run(&plain, &sgd, &train_data()).expect("sweeps");
    assert_eq!(curve.stopped, SweepEnd::NonFinite);
    assert!(!curve.losses.last().expect("a point").is_finite());
    assert!(state(&plain, &sgd) == before_plain, "after a NaN");
}

#[test]
fn a_gradient_that_is_not_finite_ends_the_sweep() {
    let _alone = alone();
    let adam = optimizer("type = 'adam'");
    let curve = LrFinder::new(sweep(40)).clip(Some(1.0), None).run(&net(), &adam, &steep_data()).expect("sweeps");
    assert_eq!(curve.stopped, SweepEnd::NonFinite);
    assert!(curve.losses.iter().all(|loss| loss.is_finite()) && curve.losses.len() < 41, "{:?}", curve.losses.len());
}

#[test]
fn the_generator_is_touched_only_by_models_that_draw() {
    let _alone = alone();
    let device = device();
    let drawn = |sweep_first: Option<&dyn Fn()>| -> Vec<f32> {
        device.seed(123);
        if let Some(sweep) = sweep_first {
            sweep();
        }
        Tensor::<1>::random([8], Distribution::Default, &device).into_data().try_to_vec().expect("numbers")
    };
    let adam = optimizer("type = 'adam'");
    let normed = Normed::new();
    let still = drawn(Some(&|| drop(LrFinder::new(sweep(20)).run(&normed, &adam, &train_data()).expect("sweeps"))));
    assert_eq!(still, drawn(None), "a model without dropout");
    let dropping = net();
    let drawing = drawn(Some(&|| drop(LrFinder::new(sweep(20)).run(&dropping, &adam, &train_data()).expect("sweeps"))));
    assert_ne!(drawing, drawn(None), "dropout draws: the documentation says so");
}

#[test]
fn a_sweep_is_reproducible_and_repeats_see_other_batches() {
    let _alone = alone();
    let (model, adam) = (net(), optimizer("type = 'adam'"));
    let data = train_data();
    let subject = Subject::new(&model, &adam, &data);
    let finder = LrFinder::new(sweep(20));
    let (one, again) = (finder.run_on(&subject).expect("sweeps"), finder.run_on(&subject).expect("sweeps"));
    assert_eq!(one, again);
    let repeated = finder.repeat(&subject, 3).expect("sweeps");
    assert_eq!(repeated.sweeps()[0], one, "the first repeat is the single sweep");
    assert_ne!(repeated.sweeps()[0].losses, repeated.sweeps()[1].losses);
    assert_ne!(repeated.sweeps()[1].losses, repeated.sweeps()[2].losses);
    // The same model: before the first update only the batch and the dropout differ.
    assert!(repeated.sweeps().iter().all(|sweep| (sweep.losses[0] - one.losses[0]).abs() < 0.5));
}

/// The loss of each batch is its number, times a constant: shows which batches made up a point.
fn losses_of(config: &LrFinderConfig) -> LrCurve {
    let at = device();
    let data = Loader::new(10, 1, move |indices: &[usize], epoch| {
        let mut batch = points_of(&[0], &at);
        batch.scale = (epoch * 100) as f32 + indices[0] as f32 + 1.0;
        batch
    });
    let still = optimizer("type = 'sgd'");
    let tiny = LrFinderConfig {
        start_lr: 1e-30,
        end_lr: 1e-29,
        smoothing: 0.0,
        diverge_factor: f64::INFINITY,
        ..config.clone()
    };
    LrFinder::new(tiny).run(&net().freeze_dropout(), &still, &data).expect("sweeps")
}

#[test]
fn recycling_accumulation_and_the_end_of_the_data() {
    let _alone = alone();
    let unit = losses_of(&sweep(1)).losses[0];
    let cases: [(&str, LrFinderConfig, Vec<f64>, SweepEnd); 4] = [
        ("within an epoch", sweep(3), vec![1., 2., 3., 4.], SweepEnd::Completed),
        ("recycled", sweep(11), vec![1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 101., 102.], SweepEnd::Completed),
        (
            "not recycled",
            LrFinderConfig { recycle: false, ..sweep(11) },
            (1..=10).map(f64::from).collect(),
            SweepEnd::OutOfData,
        ),
        (
            "means of four batches, across the epochs",
            LrFinderConfig { accumulate: 4, ..sweep(2) },
            vec![2.5, 6.5, (9. + 10. + 101. + 102.) / 4.],
            SweepEnd::Completed,
        ),
    ];
    for (name, config, expected, stopped) in cases {
        let curve = losses_of(&config);
        let found: Vec<f64> = curve.losses.iter().map(|loss| loss / unit).collect();
        assert_eq!((found.len(), curve.stopped), (expected.len(), stopped), "{name}");
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{name}: {found:?}");
    }
}

#[test]
fn validation_is_of_the_same_parameters_in_inference_mode() {
    let _alone = alone();
    let (model, sgd) = (net(), optimizer("type = 'sgd'"));
    let valid = valid_data();
    let (train, config) = (train_data(), sweep(12));
    let subject = Subject::new(&model, &sgd, &train).validate(&valid, usize::MAX);
    let curve = LrFinder::new(config).run_on(&subject).expect("sweeps");
    let measured = curve.valid.as_ref().expect("measured");
    assert_eq!(measured.len(), curve.lrs.len());
    // At the first point no update has been made, so this is the loss of the model as it is, without dropout.
    let expected = trainer::evaluate(&model, &valid, burn::train::metric::AccuracyMetric::new()).expect("evaluates");
    assert_eq!(measured[0], expected["loss"]);
    // The training side does not know that it is watched.
    let plain = LrFinder::new(sweep(12)).run(&model, &sgd, &train).expect("sweeps");
    assert_eq!(plain.losses, curve.losses);
}

#[test]
fn groups_keep_their_ratio() {
    let _alone = alone();
    let sgd = |toml: &str| optimizer(toml);
    let run = |group: Option<Group>, rates: &Rates| {
        let optimizer = sgd("type = 'sgd'").config().init_with_groups(group.into_iter().collect());
        let (model, data) = (net().freeze_dropout(), train_data());
        let subject = Subject::new(&model, &optimizer, &data).groups(rates);
        LrFinder::new(LrFinderConfig { smoothing: 0.0, ..sweep(30) }).run_on(&subject).expect("sweeps").losses
    };
    let run_of = |schedules: Schedules| schedules.rates(&Horizon::run(6, 6), 0.01).expect("rates");
    let base = || run_of(schedule("type = 'fixed'").into());
    let all = || Group::new(Pattern::new("*").expect("a pattern"));
    let scaled = |factor: f64| run(Some(Group { lr_scale: factor, ..all() }), &base());
    assert_eq!(scaled(1.0), run(None, &base()), "a factor of 1 is no group");
    let frozen = scaled(0.0);
    let still: Vec<f64> = {
        let tiny = LrFinderConfig { start_lr: 1e-30, end_lr: 1e-29, smoothing: 0.0, ..sweep(30) };
        LrFinder::new(tiny).run(&net().freeze_dropout(), &sgd("type = 'sgd'"), &train_data()).expect("sweeps").losses
    };
    assert_eq!(frozen, still, "a factor of 0 learns nothing");
    // A factor of 3 on all parameters is the sweep at three times the rates.
    let threefold = scaled(3.0);
    let direct = {
        let times = LrFinderConfig { start_lr: 3e-4, end_lr: 3.0, smoothing: 0.0, ..sweep(30) };
        LrFinder::new(times).run(&net().freeze_dropout(), &sgd("type = 'sgd'"), &train_data()).expect("sweeps").losses
    };
    // So is a schedule of its own that starts at three times the rate.
    let thrice = schedule("type = 'scaled'\nfactor = 3\nschedule = { type = 'fixed' }");
    let own_schedule = run(Some(all()), &run_of(Schedules::from(schedule("type = 'fixed'")).with_group(0, thrice)));
    for losses in [threefold, own_schedule] {
        assert!(losses.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-5), "{losses:?} and {direct:?}");
    }
}

#[test]
fn a_source_without_batches_is_an_error_and_no_endless_loop() {
    struct Liar;
    impl Source<Points> for Liar {
        fn items(&self) -> usize {
            10
        }
        fn batches(&self) -> usize {
            5
        }
        fn epoch(&self, _epoch: u64, _first: usize) -> Batches<'_, Points> {
            Box::new(std::iter::empty())
        }
    }
    let _alone = alone();
    let error = LrFinder::new(sweep(5)).run(&net(), &optimizer("type = 'sgd'"), &Liar).expect_err("refused");
    assert!(error.to_string().contains("empty"), "{error}");
}

#[test]
fn it_runs_in_a_plain_burn_program() {
    use burn::data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    };
    #[derive(Clone)]
    struct ToPoints(Device);
    impl Batcher<usize, Points> for ToPoints {
        fn batch(&self, items: Vec<usize>, _device: &Device) -> Points {
            points_of(&items, &self.0)
        }
    }
    let _alone = alone();
    let loader = |seed: u64| {
        DataLoaderBuilder::new(ToPoints(device()))
            .batch_size(16)
            .shuffle(seed)
            .build(InMemDataset::new((0..90).collect()))
    };
    let source = trainer::data::BurnSource::by_epoch(loader, 16);
    assert_eq!((Source::<Points>::items(&source), Source::<Points>::batches(&source)), (90, 6));
    let model = net().freeze_dropout();
    let sgd = optimizer("type = 'sgd'");
    let before = bits(&model);
    let curve = LrFinder::new(sweep(60)).run(&model, &sgd, &source).expect("sweeps");
    assert_eq!(curve.lrs.len(), 61);
    assert!(curve.losses[50] < curve.losses[0], "{:?}", curve.losses);
    assert!(bits(&model) == before);
    // The source is where it was: its next pass over epoch 0 is the one the finder saw.
    let again = LrFinder::new(sweep(60)).run(&model, &sgd, &source).expect("sweeps");
    assert_eq!(again, curve);
    let one = trainer::data::BurnSource::new(Arc::clone(&loader(1)), 16);
    assert!(LrFinder::new(sweep(10)).run(&model, &sgd, &one).is_ok());
}
