//! What a GPU computes is what flex computes: a step of every model under every optimizer, several steps of every
//! optimizer from the same gradients, the finder, and what is done about numbers that are not finite.
//!
//! Runs where a GPU backend is compiled in, on `gpu` or on the device that `ANNEAL_GPU` names: `just gpu-test`.

#![cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anneal::{
    device::DeviceName,
    optim_adaptive::{Group, OptimizerConfig, OptimizerRegistry, Pattern},
    prelude::*,
    trainer::{self, CallbackError, Ema, Freeze},
    vision::{
        Augment, ImageShape,
        models::{AirbenchConfig, Classifier, MlpConfig},
    },
};
use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::GradientsParams,
    tensor::{DType, Device, Int, IntDType, Tensor, TensorData, activation::relu},
};

/// The generators of flex and of wgpu are one each for the process, and so is what counts reads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gpu() -> Device {
    let name = std::env::var("ANNEAL_GPU").unwrap_or_else(|_| "gpu".to_owned());
    let device = DeviceName::parse(&name, "ANNEAL_GPU").expect("a name of a device").open();
    device.unwrap_or_else(|error| panic!("{error}"))
}

fn flex() -> Device {
    Device::flex().autodiff()
}

const BATCH: usize = 16;

/// Whether products of f32 matrices are computed from factors of fewer bits: on NVIDIA GPUs burn gives its tensor cores f32 as
/// TF32, with 10 bits of mantissa (torch does so for convolutions by default, and for products when told).
fn rounds_factors(gpu: &Device) -> bool {
    let product = |device: &Device| {
        let of = |phase: f64| {
            let values: Vec<f32> = (0..128 * 128).map(|i| (f64::from(i) * 0.7 + phase).sin().abs() as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [128, 128]), device)
        };
        numbers(of(0.0).matmul(of(0.3)))
    };
    let (expected, found) = (product(&Device::flex()), product(&gpu.clone().inner()));
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let apart = expected.iter().zip(&found).fold(0.0_f64, |apart, (a, b)| apart.max((a - b).abs()));
    println!("products of matrices are {:.1e} of the largest apart", apart / largest);
    assert!(apart <= 2e-3 * largest, "{apart:e} of {largest:e}");
    apart > 1e-5 * largest
}

/// Images with a wave per class and some noise: every pixel counts, and no two images are alike.
fn batch(shape: ImageShape, device: &Device) -> ImageBatch {
    let class = |item: usize| item * 7 % 10;
    let pixel = |item: usize, i: usize| {
        let (row, column) = ((i % shape.plane()) / shape.width, i % shape.width);
        let wave = (0.2 * (class(item) + 1) as f32 * row as f32 + 0.31 * column as f32).sin();
        let noise = ((item * 7919 + i * 104_729) % 10_007) as f32 / 10_007.0 - 0.5;
        wave + 0.5 * noise
    };
    let images: Vec<f32> = (0..BATCH).flat_map(|item| (0..shape.pixels()).map(move |i| pixel(item, i))).collect();
    let targets: Vec<i64> = (0..BATCH).map(|item| class(item) as i64).collect();
    ImageBatch {
        images: Tensor::from_data(TensorData::new(images, [BATCH, shape.channels, shape.height, shape.width]), device),
        targets: Tensor::<1, Int>::from_data(TensorData::new(targets, [BATCH]), device),
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The parameters (running statistics too) or their gradients, by path.
struct Values<'a> {
    path: Vec<String>,
    grads: Option<&'a GradientsParams>,
    found: Vec<(String, Vec<f64>)>,
}

impl<'a> Values<'a> {
    fn of<M: Module>(model: &M, grads: Option<&'a GradientsParams>) -> Vec<(String, Vec<f64>)> {
        let mut values = Self { path: Vec::new(), grads, found: Vec::new() };
        model.visit(&mut values);
        values.found
    }
}

impl ModuleVisitor for Values<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = match self.grads {
            None => Some(numbers(param.val())),
            Some(grads) => grads.get::<D>(param.id).map(numbers),
        };
        if let Some(value) = value {
            self.found.push((self.path.join("."), value));
        }
    }
}

fn largest(values: &[(String, Vec<f64>)]) -> f64 {
    values.iter().flat_map(|(_, values)| values).fold(0.0, |largest, value| largest.max(value.abs()))
}

/// The largest difference, after everything has been found in the same place.
fn apart(one: &[(String, Vec<f64>)], other: &[(String, Vec<f64>)]) -> f64 {
    assert_eq!(one.len(), other.len());
    let mut apart = 0.0_f64;
    for ((path, one), (same, other)) in one.iter().zip(other) {
        assert_eq!((path, one.len()), (same, other.len()));
        for (one, other) in one.iter().zip(other) {
            assert!(one.is_finite() && other.is_finite(), "{path}: {one} and {other}");
            apart = apart.max((one - other).abs());
        }
    }
    apart
}

type Named = Vec<(String, Vec<f64>)>;

/// One step from these weights on this device: the gradients, and the parameters after it.
fn one_step(model: Classifier, shape: ImageShape, optimizer: &OptimizerConfig, device: &Device) -> (Named, Named) {
    let model = model.fork(device);
    let output = TrainStep::step(&model, batch(shape, device));
    let gradients = Values::of(&model, Some(&output.grads));
    let grads = output.grads;
    drop(output.item);
    let stepped = optimizer.init().step(optimizer.lr(), model, grads);
    (gradients, Values::of(&stepped.valid(), None))
}

const MODELS: [(&str, ImageShape); 3] = [
    ("mlp", ImageShape::new(1, 28, 28)),
    ("lenet", ImageShape::new(1, 28, 28)),
    ("resnet8", ImageShape::new(3, 32, 32)),
];

/// One step from the same weights, at every optimizer's default rate, ends within 1e-4 of flex in every parameter.
///
/// The first step of Adam and its like is `lr g / (|g| + eps)`, whatever the size of `g`: where the gradient is nearly 0,
/// what rounding has done to it decides about a whole `lr` (between two CPUs too). So a parameter may be farther away by
/// what the difference between the two gradients explains: `|g - g'| / max(|g|, |g'|)` bounds the slope of that formula,
/// and the largest step of all its scale. The gradients themselves agree to 1e-5 of the largest, and at most one
/// parameter in a thousand may need that explanation. Where factors have fewer bits, the gradients agree to 1e-2 of the
/// largest, and how many need it is left open: what an optimizer does with one gradient is the next test's.
#[test]
fn one_step_agrees_with_flex() {
    let _alone = alone();
    let gpu = gpu();
    let rounds = rounds_factors(&gpu);
    for (name, shape) in MODELS {
        // Made each time: clones of a batch norm share the statistics that they have yet to take in.
        let model = || {
            flex().seed(5);
            let model = Classifier::named(name, shape, 10, &flex()).expect("a model");
            trainer::stable_ids(model)
        };
        let before = Values::of(&model().valid(), None);
        let count: usize = before.iter().map(|(_, values)| values.len()).sum();
        for (optimizer, _) in OptimizerRegistry::standard().iter() {
            let config = OptimizerConfig::from_toml_str(&format!("type = '{optimizer}'")).expect("a default");
            let (grads, expected) = one_step(model(), shape, &config, &flex());
            let (gpu_grads, found) = one_step(model(), shape, &config, &gpu);
            let context = format!("{name} under {optimizer}");
            // Running statistics are in `before` and `expected` too, but have no gradient.
            let learned = |values: &Named| -> Named {
                values.iter().filter(|(path, _)| grads.iter().any(|(name, _)| name == path)).cloned().collect()
            };
            let moved = apart(&learned(&before), &learned(&expected));
            assert!(moved > 0.0, "{context}: nothing was trained");
            let slope = largest(&grads);
            let grads_apart = apart(&grads, &gpu_grads);
            assert!(
                grads_apart <= if rounds { 1e-2 } else { 1e-5 } * slope,
                "{context}: gradients of {slope:e} differ by {grads_apart:e}"
            );

            let (mut worst, mut undecided) = (0.0_f64, 0);
            for ((path, expected), (_, found)) in expected.iter().zip(&found) {
                let of =
                    |values: &Named| values.iter().find(|(name, _)| name == path).map(|(_, values)| values.clone());
                let slopes = of(&grads).zip(of(&gpu_grads));
                for i in 0..expected.len() {
                    let difference = (expected[i] - found[i]).abs();
                    if difference <= 1e-4 {
                        worst = worst.max(difference);
                        continue;
                    }
                    let (here, there) = slopes.as_ref().map_or((1.0, 1.0), |(here, there)| (here[i], there[i]));
                    let explained = 2.0 * moved * (here - there).abs() / here.abs().max(there.abs());
                    assert!(
                        difference <= 1e-4 + explained,
                        "{context}: {path}[{i}] is {} on flex and {} here; its gradient {here:e} and {there:e}",
                        expected[i],
                        found[i]
                    );
                    undecided += 1;
                }
            }
            println!(
                "{name:8} {optimizer:20} lr {:<7} moved {moved:.1e}, apart {worst:.1e}, gradients {grads_apart:.1e} of \
                 {slope:.1e}, left to rounding {undecided} of {count}",
                config.lr()
            );
            assert!(
                rounds || undecided * 1000 <= count,
                "{context}: {undecided} of {count} parameters are left to rounding"
            );
        }
    }
}

const SHAPE: [usize; 2] = [40, 25];

/// Six steps from gradients that are given.
fn six_steps(text: &str, device: &Device) -> Vec<f64> {
    let wave = |phase: f64| {
        let values: Vec<f32> = (0..1000).map(|i| (f64::from(i) * 0.7 + phase).sin() as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, SHAPE), device)
    };
    let mut optimizer = OptimizerConfig::from_toml_str(text).expect(text).init();
    let mut model = Param::initialized(ParamId::from(1_u64), wave(0.0));
    for step in 0..6 {
        let mut grads = GradientsParams::new();
        grads.register(model.id, wave(f64::from(step)));
        model = optimizer.step(0.01, model, grads);
    }
    numbers(model.val())
}

/// From the same gradients nothing is left to rounding: six steps with moments, bias corrections and options.
#[test]
fn every_optimizer_agrees_with_flex_from_the_same_gradients() {
    let _alone = alone();
    let options = [
        "type = 'adam'\nweight_decay = 0.1\nmaximize = true",
        "type = 'adam'\namsgrad = true",
        "type = 'nadam'\nweight_decay = 0.1",
        "type = 'adagrad'\ninitial_accumulator_value = 0.1",
        "type = 'rmsprop'\ncentered = true\nmomentum = 0.9",
        "type = 'sgd'\nmomentum = 0.9\nnesterov = true",
        "type = 'schedule_free_adamw'\nweight_decay = 0.1",
        "type = 'prodigy'\nd0 = 1e-2",
    ];
    let registry = OptimizerRegistry::standard();
    let defaults = registry.iter().map(|(name, _)| format!("type = '{name}'"));
    let gpu = gpu();
    // Muon multiplies matrices.
    let least = if rounds_factors(&gpu) { 1e-4 } else { 2e-6 };
    let gpu = gpu.inner();
    for text in defaults.chain(options.into_iter().map(str::to_owned)) {
        let (expected, found) = (six_steps(&text, &Device::flex()), six_steps(&text, &gpu));
        let apart = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{:60} apart {apart:.1e}", text.replace('\n', ", "));
        assert!(apart <= if text.contains("muon") { least } else { 2e-6 }, "{text}: {apart:e}");
    }
}

/// A sweep from the same weights sees the same losses, suggests the same rate, and changes nothing.
#[test]
fn the_finder_agrees_with_flex_and_changes_nothing() {
    let _alone = alone();
    let shape = ImageShape::new(1, 8, 8);
    let digits = anneal::vision::load("digits", None).expect("the data set");
    flex().seed(5);
    let model = Classifier::new(MlpConfig { hidden: vec![32] }, shape, 10, &flex()).expect("a model");
    let model = trainer::stable_ids(model);
    let optimizer = OptimizerConfig::from_toml_str("type = 'adam'").expect("a default").init();
    let sweep = |device: &Device| {
        let model = model.clone().fork(device);
        let batcher = digits.batcher(digits.train.clone(), Augment::default()).expect("a batcher");
        let place = device.clone();
        let data = Loader::new(digits.train.len(), 64, move |indices, epoch| batcher.batch(indices, epoch, 0, &place));
        let before = (Values::of(&model, None), optimizer.to_bytes().expect("bytes"));
        let finder = LrFinder::new(LrFinderConfig { num_it: 60, ..LrFinderConfig::default() });
        let curve = finder.run(&model, &optimizer, &data.shuffled(3)).expect("a sweep");
        let after = (Values::of(&model, None), optimizer.to_bytes().expect("bytes"));
        assert!(after == before, "model and optimizer are as they were");
        curve
    };
    let (expected, found) = (sweep(&flex()), sweep(&gpu()));
    // Past the best rate the loss grows without bound, and small differences with it.
    let best = |curve: &LrCurve| curve.losses.iter().copied().fold(f64::INFINITY, f64::min);
    let until = expected.losses.iter().position(|loss| *loss == best(&expected)).expect("there is a best one");
    for i in 0..=until {
        let (expected, found) = (expected.losses[i], found.losses[i]);
        assert!((expected - found).abs() <= 1e-3 * expected, "point {i}: {expected} and {found}");
    }
    let suggestion = |curve: &LrCurve| curve.suggestion(Rule::Minimum).expect("a suggestion").lr;
    let (expected, found) = (suggestion(&expected), suggestion(&found));
    println!("suggestion {expected:.4e} on flex, {found:.4e} here, {until} points compared");
    assert!((found / expected).ln().abs() < 0.05, "{expected} and {found}");
}

/// Whole numbers are exact: the positions of pixels as `vision` computes them on a device, from numbers that are views of
/// one tensor, broadcast against each other, and what lies there.
#[test]
fn positions_and_what_lies_there_are_those_of_flex() {
    let _alone = alone();
    let of = |device: &Device, images: usize, width: usize| -> Vec<(&'static str, Vec<i64>)> {
        let ints = |values: Vec<i32>, shape: [usize; 2]| {
            Tensor::<2, Int>::from_data(TensorData::new(values, shape), (device, DType::I32))
        };
        let steps = |count: usize| Tensor::<1, Int>::arange(0..count as i64, (device, DType::I32));
        let count = images as i32;
        let drawn = (0..count).flat_map(|i| [i, i % 3 - 1, 1 - 2 * (i % 2), i % 2 * (width as i32 - 1)]);
        let by_image = ints(drawn.collect(), [images, 4]).transpose().into_data();
        let numbers = ints(by_image.iter::<i32>().collect(), [4, images]);
        let number = |row: usize| numbers.clone().narrow(0, row, 1).reshape([images, 1, 1, 1]);
        let columns = steps(width).reshape([1, 1, 1, width]);
        let rows = steps(width).reshape([1, 1, width, 1]);
        let mirrored = columns.mul(number(2));
        let columns = mirrored.clone().add(number(3));
        let rows = rows.add(number(1)).clamp(0, width as i32 - 1);
        let starts = number(0).mul_scalar((width * width) as i32);
        let lines = rows.clone().mul_scalar(width as i32).add(starts.clone());
        let positions = lines.clone().add(columns.clone());
        let flat = positions.clone().reshape([images * width * width]);
        let bytes: Vec<u8> = (0..images * width * width).map(|i| (i * 37 % 251) as u8).collect();
        let block = Tensor::<1, Int>::from_data(TensorData::new(bytes, [images * width * width]), (device, DType::U8));
        let found = block.select(0, flat.clone()).cast(IntDType::I32);
        let values = |tensor: Tensor<4, Int>| tensor.into_data().iter::<i64>().collect();
        let flat_values = |tensor: Tensor<1, Int>| tensor.into_data().iter::<i64>().collect();
        vec![
            ("a number of each image", values(number(2))),
            ("columns times a number", values(mirrored)),
            ("and another added", values(columns)),
            ("rows", values(rows)),
            ("starts", values(starts)),
            ("lines", values(lines)),
            ("positions", values(positions)),
            ("positions in a row", flat_values(flat)),
            ("bytes there", flat_values(found)),
        ]
    };
    let gpu = gpu().inner();
    if !gpu.supports_dtype(DType::U8) {
        println!("no 8-bit integers on this device: skipped (`resident` tests what is done instead)");
        return;
    }
    let mut wrong = Vec::new();
    for (images, width) in [(32, 8), (32, 28), (128, 32), (5, 7), (1, 8), (33, 16)] {
        for ((name, expected), (_, found)) in of(&Device::flex(), images, width).iter().zip(of(&gpu, images, width)) {
            if let Some(at) = (0..expected.len()).find(|&i| expected.get(i) != found.get(i)) {
                let part =
                    |values: &[i64]| values.iter().skip(at.saturating_sub(2)).take(10).copied().collect::<Vec<_>>();
                wrong.push(format!(
                    "{images} images {width} wide, {name}: from {at} of {}: {:?}, here {:?}",
                    expected.len(),
                    part(expected),
                    part(&found)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Clone, Debug)]
struct Points {
    x: Tensor<2>,
    y: Tensor<1, Int>,
    /// Multiplies the loss.
    scale: f32,
    /// Adds a term that is 0 and whose gradient is not finite.
    steep: bool,
}

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
}

impl Net {
    fn forward(&self, batch: Points) -> ClassificationOutput {
        let logits = self.second.forward(relu(self.first.forward(batch.x)));
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), batch.y.clone());
        let mut loss = loss.mul_scalar(batch.scale);
        if batch.steep {
            // 1 / 0, put out of sight: the way back is 0 times infinity.
            let zero = logits.clone().sum() * 0.0;
            let infinite = zero.ones_like() / zero;
            loss = loss + infinite.clone().mask_fill(infinite.is_inf(), 0.0);
        }
        ClassificationOutput::new(loss, logits, batch.y)
    }
}

anneal::trainer::steps!(Net::forward(Points) -> ClassificationOutput);

/// Trains 20 steps, the ninth of which is bad, with a look at loss and gradient every `check_every` steps.
fn with_a_bad_step(check_every: u64, scale: f32, steep: bool) -> Result<(), TrainError> {
    const BAD: usize = 8;
    let device = gpu();
    device.seed(5);
    let net = trainer::stable_ids(Net {
        first: LinearConfig::new(4, 8).init(&device),
        second: LinearConfig::new(8, 2).init(&device),
    });
    let place = device.clone();
    let data = Loader::new(160, 8, move |indices, _| {
        let x: Vec<f32> =
            indices.iter().flat_map(|i| (0..4).map(move |f| ((i * 31 + f * 17) % 13) as f32 / 6.0 - 1.0)).collect();
        let y: Vec<i64> = indices.iter().map(|i| (i % 2) as i64).collect();
        let bad = indices.contains(&(BAD * 8));
        Points {
            x: Tensor::from_data(TensorData::new(x, [indices.len(), 4]), &place),
            y: Tensor::from_data(TensorData::new(y, [indices.len()]), &place),
            scale: if bad { scale } else { 1.0 },
            steep: bad && steep,
        }
    });
    let config = TrainConfig { check_every: check_every.into(), log_every: 1_000.into(), ..TrainConfig::epochs(1) };
    let schedule = ScheduleConfig::from_toml_str("type = 'fixed'").expect("a schedule");
    let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 0.01").expect("an optimizer").init();
    Trainer::new(config).fit(net, optimizer, schedule, &data, None).map(drop)
}

/// A loss or a gradient that is not finite ends the run at the next look: at step 9 itself where every step is looked
/// at, else at the next multiple of `check_every`.
#[test]
fn what_is_not_finite_is_found_at_the_next_look() {
    let _alone = alone();
    with_a_bad_step(1, 1.0, false).expect("nothing is bad");
    for (name, scale, steep) in [("loss", f32::INFINITY, false), ("loss", f32::NAN, false), ("gradient", 1.0, true)] {
        for (check_every, expected) in [(1, 9), (4, 12), (5, 10)] {
            let found = match with_a_bad_step(check_every, scale, steep) {
                Err(
                    TrainError::NonFinite { step, .. }
                    | TrainError::NonFiniteGradient { step, .. }
                    | TrainError::NonFiniteParameter { step, .. },
                ) => step,
                Err(other) => panic!("{name}, every {check_every}: {other}"),
                Ok(()) => panic!("{name}, every {check_every}: went on"),
            };
            assert_eq!(found, expected, "{name} scaled by {scale}, looked at every {check_every} steps");
        }
    }
}

/// What has been read from the device so far, as wgpu logs it: each read maps a buffer. Uploads and kernels map none.
#[cfg(not(feature = "cuda"))]
mod reads {
    use std::sync::atomic::{AtomicU64, Ordering};

    static READS: AtomicU64 = AtomicU64::new(0);

    struct Count;

    impl log::Log for Count {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target().starts_with("wgpu_core")
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) && record.args().to_string().starts_with("Buffer::map_async") {
                READS.fetch_add(1, Ordering::SeqCst);
            }
        }

        fn flush(&self) {}
    }

    pub fn start() {
        log::set_logger(&Count).expect("no other logger");
        log::set_max_level(log::LevelFilter::Trace);
    }

    pub fn so_far() -> u64 {
        READS.load(Ordering::SeqCst)
    }

    pub fn stop() {
        log::set_max_level(log::LevelFilter::Off);
    }
}

/// Nothing is read from the device between one logged step and the next, with everything of a step that could: images
/// that live there, metrics, an average of the weights, groups of parameters, frozen ones. At the end of an epoch one
/// number is: whether the parameters are finite.
#[cfg(not(feature = "cuda"))]
#[test]
fn the_device_is_read_on_logged_steps_alone() {
    struct Watch(Arc<Mutex<Vec<(bool, u64)>>>);
    impl Callback for Watch {
        fn name(&self) -> &'static str {
            "watch"
        }

        fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
            self.0.lock().expect("alone").push((event.logged, reads::so_far()));
            Ok(Flow::Continue)
        }
    }

    let _alone = alone();
    let (device, digits) = (gpu(), anneal::vision::load("digits", None).expect("the data set"));
    device.seed(5);
    let config = AirbenchConfig { widths: vec![8, 16], ..Default::default() };
    let model = Classifier::new(config, digits.shape(), 10, &device).expect("a model");
    let batcher = |augment| digits.batcher(digits.train.clone(), augment).expect("a batcher");
    let model = trainer::stable_ids(model.init_from(&batcher(Augment::NONE)));
    let images =
        batcher(Augment::parse("crop:1+flip:alternating").expect("pieces")).on_device(&device).expect("it fits");
    let data = Loader::new(digits.train.len(), 64, move |indices, epoch| images.batch(indices, epoch, 0)).shuffled(3);
    let config = TrainConfig {
        log_every: 10.into(),
        check_every: 10.into(),
        ema: Some(Ema { every: 5.into(), ..Ema::new(0.8) }),
        freeze: vec![Freeze::new(Pattern::new("whiten.bias").expect("a pattern")).from_epoch(1)],
        ..TrainConfig::epochs(2)
    };
    let schedule = ScheduleConfig::from_toml_str("type = 'one_cycle'\nmax_lr = 0.1").expect("a schedule");
    let optimizer =
        OptimizerConfig::from_toml_str("type = 'sgd'\nlr = 0.1\nmomentum = 0.9\nnesterov = true").expect("a table");
    let fast = Group { lr_scale: 4.0, ..Group::new(Pattern::new("*.beta").expect("a pattern")) };

    let steps = Arc::new(Mutex::new(Vec::new()));
    reads::start();
    Trainer::new(config)
        .metric(AccuracyMetric::new())
        .callback(Watch(Arc::clone(&steps)))
        .fit(model, optimizer.init_with_groups(vec![fast]), schedule, &data, None)
        .expect("trained");
    reads::stop();

    let steps = steps.lock().expect("alone");
    assert_eq!(steps.len(), 46);
    let on_step = |i: usize| steps[i].1 - steps[i - 1].1;
    let logged: Vec<usize> = (1..46).filter(|i| steps[*i].0).collect();
    println!("reads by step: {:?}", (1..46).map(on_step).collect::<Vec<_>>());
    // Loss, accuracy, and whether gradients are finite.
    assert!(logged.len() >= 5 && logged.iter().all(|i| (1..=3).contains(&on_step(*i))), "{logged:?}");
    let second_epoch = 23;
    assert_eq!(on_step(second_epoch), 1);
    assert_eq!((1..46).filter(|i| on_step(*i) > 0 && *i != second_epoch).collect::<Vec<_>>(), logged);
}
