//! The models: shapes, parameter counts, the loss they start from, gradients, and that they learn.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, GradientsParams, SgdConfig};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use burn::train::{InferenceStep, TrainStep};
use vision::models::{self, AirbenchConfig, Classifier, ConvNetConfig, MlpConfig, ModelConfig, ModelError, Tta};
use vision::{Augment, ImageBatch, ImageShape, load};

const AIRBENCH: usize = 24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 2 * (64 + 256 + 256) + 2_560;

const SHAPES: [ImageShape; 3] = [ImageShape::new(1, 8, 8), ImageShape::new(1, 28, 28), ImageShape::new(3, 32, 32)];

fn model(name: &str, shape: ImageShape, device: &Device) -> Classifier {
    Classifier::named(name, shape, 10, device).unwrap()
}

fn digits_batch(n: usize, device: &Device) -> ImageBatch {
    let digits = load("digits", None).unwrap();
    let batcher = digits.batcher(digits.train.clone(), Augment::NONE).unwrap();
    batcher.batch(&(0..n).collect::<Vec<_>>(), 0, 0, device)
}

/// Path, number of elements and (given gradients) whether there is a non-zero gradient, for each parameter that is
/// trained: not for running statistics and what a model keeps as it is.
struct Parameters<'a> {
    path: Vec<String>,
    found: Vec<(String, usize, bool)>,
    gradients: Option<&'a GradientsParams>,
}

impl ModuleVisitor for Parameters<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.val().is_require_grad() {
            return;
        }
        let moved = self
            .gradients
            .and_then(|gradients| gradients.get::<D>(param.id))
            .is_some_and(|gradient| gradient.abs().max().into_scalar::<f32>() > 0.0);
        self.found.push((self.path.join("."), param.val().shape().num_elements(), moved));
    }
}

fn parameters(model: &Classifier, gradients: Option<&GradientsParams>) -> Vec<(String, usize, bool)> {
    let mut visitor = Parameters { path: vec![], found: vec![], gradients };
    model.visit(&mut visitor);
    visitor.found
}

#[test]
fn every_model_gives_a_logit_per_class_for_every_kind_of_image() {
    let device = Device::flex();
    for info in models::known() {
        for shape in SHAPES {
            let classifier = model(info.name, shape, &device);
            let images = Tensor::<4>::zeros([2, shape.channels, shape.height, shape.width], &device);
            assert_eq!(classifier.forward(images).dims(), [2, 10], "{} {shape}", info.name);
        }
    }
}

#[test]
fn parameter_counts_are_those_of_the_papers_forms() {
    let device = Device::flex();
    let counts = [
        // 784*256+256 + 256*128+128 + 128*10+10
        ("mlp", SHAPES[1], 235_146),
        // 8*25+8 + 16*8*25+16 + 784*120+120 + 120*84+84 + 84*10+10
        ("lenet", SHAPES[1], 108_638),
        ("lenet", SHAPES[0], 22_238),
        // 25*32+64 + 9*32*64+128 + 9*64*128+256 + 3*3*128*10+10
        ("convnet", SHAPES[1], 104_938),
        ("resnet8", SHAPES[2], 78_042),
        // Page's entry: 6,563,520 in the convolutions, 4,480 in batch norm, 5,120 in a linear layer without bias.
        ("resnet9", SHAPES[2], 6_573_120),
        // The whitening layer's bias, convolutions, shifts of batch norm, and a linear layer without bias.
        ("airbench", SHAPES[2], AIRBENCH),
        // The count that is quoted for ResNet-18 in its CIFAR form.
        ("resnet18", SHAPES[2], 11_173_962),
    ];
    for (name, shape, count) in counts {
        assert_eq!(model(name, shape, &device).parameters(), count, "{name} {shape}");
    }
}

/// The page has a row for each, with the count of its form.
#[test]
fn the_page_has_every_model_with_its_count() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/models.md");
    let page = std::fs::read_to_string(page).unwrap();
    for info in models::known() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", info.name)));
        let row = row.unwrap_or_else(|| panic!("docs/models.md has no row of `{}`", info.name));
        let shape = SHAPES[if row.contains("28x28 grey") { 1 } else { 2 }];
        let parameters = model(info.name, shape, &Device::flex()).parameters().to_string();
        let count: String = row.rsplit('|').nth(1).unwrap().chars().take_while(|c| *c != 'a').collect();
        assert_eq!(count.trim().replace(',', ""), parameters, "{row}");
    }
}

#[test]
fn settings_change_the_form_of_their_model() {
    let device = Device::flex().autodiff();
    let convnet = ConvNetConfig::default();
    let cases: [(ModelConfig, ImageShape, usize); 3] = [
        (MlpConfig { hidden: vec![] }.into(), SHAPES[1], 7_850),
        // 25*8+16 + 14*14*8*10+10
        (ConvNetConfig { channels: vec![8], ..convnet.clone() }.into(), SHAPES[1], 15_906),
        // The plain form, and twice 9*64*64+128 and 9*128*128+256.
        (ConvNetConfig { residual: true, ..convnet }.into(), SHAPES[1], 104_938 + 73_984 + 295_424),
    ];
    for (config, shape, count) in cases {
        let classifier = Classifier::new(config.clone(), shape, 10, &device).unwrap();
        assert_eq!(classifier.parameters(), count, "{config:?}");
        let learned: usize = parameters(&classifier, None).iter().map(|(_, count, _)| count).sum();
        assert_eq!(learned, count, "{config:?}");
        let images = Tensor::<4>::zeros([2, shape.channels, shape.height, shape.width], &device);
        assert_eq!(classifier.forward(images).dims(), [2, 10], "{config:?}");
    }
}

#[test]
fn the_table_of_layers_tells_the_truth() {
    let device = Device::flex().autodiff();
    for info in models::known() {
        for shape in SHAPES {
            let layers = ModelConfig::named(info.name).unwrap().layers(shape, 10, &device).unwrap();
            let classifier = model(info.name, shape, &device);
            for layer in layers.iter().filter(|layer| layer.parameters > 0) {
                let prefix = format!("{}.", layer.name);
                let of_layer = parameters(&classifier, None).into_iter().filter(|(path, ..)| path.starts_with(&prefix));
                let count: usize = of_layer.map(|(_, count, _)| count).sum();
                assert_eq!(count, layer.parameters, "{} {}", info.name, layer.name);
            }
            let learned: usize = parameters(&classifier, None).iter().map(|(_, count, _)| count).sum();
            assert_eq!(classifier.parameters(), learned, "{}", info.name);
            assert_eq!(classifier.layers(), layers);
            assert_eq!(layers.last().unwrap().output, [10]);
        }
    }
}

#[test]
fn parameters_bear_the_names_of_the_model_not_of_the_wrapper() {
    let device = Device::flex().autodiff();
    let paths = |name: &str| -> Vec<String> {
        parameters(&model(name, SHAPES[2], &device), None).into_iter().map(|(path, ..)| path).collect()
    };
    assert_eq!(paths("mlp")[..2], ["layers.0.weight", "layers.0.bias"]);
    assert!(paths("lenet").contains(&"fc3.bias".to_owned()));
    assert!(paths("convnet").contains(&"stages.2.bn.gamma".to_owned()));
    let resnet9 = paths("resnet9");
    for name in ["prep.conv.weight", "layer1.residual.res2.conv.weight", "layer3.bn.gamma", "linear.weight"] {
        assert!(resnet9.contains(&name.to_owned()), "{name} is not in {resnet9:?}");
    }
    assert!(paths("resnet18").contains(&"layer2.0.downsample.0.weight".to_owned()));
}

#[test]
fn a_new_model_knows_nothing_yet() {
    let device = Device::flex();
    let batch = digits_batch(256, &device);
    for info in models::known() {
        let output = InferenceStep::step(&model(info.name, SHAPES[0], &device), batch.clone());
        let loss: f32 = output.loss.into_scalar();
        // ln 10 = 2.303, the loss of a guess.
        assert!((loss - 10_f32.ln()).abs() < 0.7, "{}: {loss}", info.name);
    }
}

#[test]
fn gradients_reach_every_parameter() {
    let device = Device::flex().autodiff();
    let batch = digits_batch(64, &device);
    for info in models::known() {
        let classifier = model(info.name, SHAPES[0], &device);
        let output = TrainStep::step(&classifier, batch.clone());
        for (path, _, moved) in parameters(&classifier, Some(&output.grads)) {
            assert!(moved, "{}: no gradient for {path}", info.name);
        }
    }
}

#[test]
fn label_smoothing_changes_the_training_loss_and_not_the_other() {
    let device = Device::flex().autodiff();
    let batch = digits_batch(32, &device);
    device.seed(1);
    let smoothed = Classifier::named("mlp", SHAPES[0], 10, &device).unwrap().with_label_smoothing(0.2).unwrap();
    let logits = smoothed.forward(batch.images.clone());
    let log_softmax = burn::tensor::activation::log_softmax(logits, 1).to_data().try_to_vec::<f32>().unwrap();
    let targets = batch.targets.to_data_as::<i64>().try_to_vec::<i64>().unwrap();
    // 0.8 of the plain loss and 0.2 of the mean over all classes (Szegedy et al., 2016, section 7).
    let plain = -targets.iter().enumerate().map(|(i, &t)| log_softmax[i * 10 + t as usize]).sum::<f32>() / 32.0;
    let uniform = -log_softmax.iter().sum::<f32>() / 320.0;
    let training: f32 = TrainStep::step(&smoothed, batch.clone()).item.loss.into_scalar();
    let inference: f32 = InferenceStep::step(&smoothed, batch).loss.into_scalar();
    assert!((training - (0.8 * plain + 0.2 * uniform)).abs() < 1e-5, "{training}");
    assert!((inference - plain).abs() < 1e-5, "{inference} {plain}");
}

/// The values of the parameters and running statistics whose path ends so.
fn values(model: &Classifier, path: &str) -> Vec<f32> {
    struct Values<'a> {
        path: Vec<String>,
        wanted: &'a str,
        found: Vec<f32>,
    }
    impl ModuleVisitor for Values<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.join(".").ends_with(self.wanted) {
                self.found.extend(param.val().to_data().try_to_vec::<f32>().unwrap());
            }
        }
    }
    let mut values = Values { path: vec![], wanted: path, found: vec![] };
    model.visit(&mut values);
    assert!(!values.found.is_empty(), "{path}");
    values.found
}

#[test]
fn the_convolutions_of_airbench_begin_as_the_identity() {
    let model = model("airbench", SHAPES[2], &Device::flex());
    for (path, outputs, inputs) in [
        ("blocks.0.conv1.weight", 64, 24),
        ("blocks.0.conv2.weight", 64, 64),
        ("blocks.1.conv1.weight", 256, 64),
        ("blocks.2.conv2.weight", 256, 256),
    ] {
        let weight = values(&model, path);
        let weight = Tensor::<1>::from_floats(&weight[..], &Device::flex()).reshape([outputs, inputs, 3, 3]);
        let images = Tensor::<4>::random([2, inputs, 5, 4], Distribution::Default, &Device::flex());
        let padded = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let found = conv2d(images.clone(), weight.narrow(0, 0, inputs), None, padded);
        assert_eq!(found.to_data(), images.to_data(), "{path}");
    }
}

#[test]
fn airbench_can_be_drawn_as_torch_draws_it() {
    let device = Device::flex().autodiff();
    let digits = load("digits", None).unwrap();
    let images = digits.batcher(digits.train.clone(), Augment::NONE).unwrap();
    let config = AirbenchConfig { widths: vec![8, 16], whiten: false, dirac: false };
    let new = Classifier::new(config, SHAPES[0], 10, &device).unwrap();
    assert_eq!(new.parameters(), models::total_parameters(new.layers()), "all filters are trained");
    let drawn = values(&new, "whiten.weight");
    let model = new.init_from(&images);
    assert_eq!(values(&model, "whiten.weight"), drawn, "nothing is taken from images");
    let identity = values(&model, "blocks.0.conv1.weight").chunks(9).filter(|kernel| kernel[4] == 1.0).count();
    assert_eq!(identity, 0);
    let output = TrainStep::step(&model, images.batch(&[0, 1, 2, 3], 0, 1, &device));
    let model = SgdConfig::new().init().step(0.1, model, output.grads);
    assert_ne!(values(&model, "whiten.weight"), drawn, "it is trained");
}

#[test]
fn what_airbench_takes_from_images_is_kept_in_training() {
    let device = Device::flex().autodiff();
    let digits = load("digits", None).unwrap();
    let images = digits.batcher(digits.train.clone(), Augment::NONE).unwrap();
    let new =
        Classifier::new(AirbenchConfig { widths: vec![8, 16], ..Default::default() }, SHAPES[0], 10, &device).unwrap();
    let drawn = values(&new, "whiten.weight");
    let mut model = new.init_from(&images);
    let whitened = values(&model, "whiten.weight");
    assert_ne!(drawn, whitened);
    let mut optimizer = SgdConfig::new().init();
    for step in 0..3 {
        let output = TrainStep::step(&model, images.batch(&[0, 1, 2, 3, 4, 5, 6, 7], step, 1, &device));
        model = optimizer.step(0.1, model, output.grads);
    }
    assert_eq!(values(&model, "whiten.weight"), whitened);
    assert!(values(&model, "gamma").iter().all(|scale| *scale == 1.0));
    assert!(values(&model, "whiten.bias").iter().all(|bias| *bias != 0.0));
    assert!(values(&model, "beta").iter().any(|shift| *shift != 0.0));
    // So it is after a record, and after evaluation.
    let other =
        Classifier::new(AirbenchConfig { widths: vec![8, 16], ..Default::default() }, SHAPES[0], 10, &device).unwrap();
    for model in [other.try_load_record(model.clone().into_record()).unwrap(), model.valid().train()] {
        let output = TrainStep::step(&model, images.batch(&[0, 1], 0, 1, &device));
        let model = optimizer.step(0.1, model, output.grads);
        assert_eq!(values(&model, "whiten.weight"), whitened);
    }
}

#[test]
fn test_time_augmentation_is_the_mean_of_its_views() {
    let device = Device::flex();
    let (plain, batch) = (model("lenet", SHAPES[1], &device), 3);
    let images = Tensor::<4>::random([batch, 1, 28, 28], Distribution::Default, &device);
    let targets = Tensor::from_ints([3, 1, 4], &device);
    let pixels = images.to_data().try_to_vec::<f32>().unwrap();
    // The logits of the images with each pixel taken from elsewhere, within the border.
    let view = |from: &dyn Fn(isize, isize) -> (isize, isize)| {
        let pixel = |at: usize| {
            let (y, x) = from((at / 28 % 28) as isize, (at % 28) as isize);
            pixels[at / 784 * 784 + (y.clamp(0, 27) * 28 + x.clamp(0, 27)) as usize]
        };
        let pixels: Vec<f32> = (0..batch * 784).map(pixel).collect();
        let logits = plain.forward(Tensor::<1>::from_floats(&pixels[..], &device).reshape([batch, 1, 28, 28]));
        logits.to_data().try_to_vec::<f32>().unwrap()
    };
    let flipped = [view(&|y, x| (y, x)), view(&|y, x| (y, 27 - x))];
    let moved = [
        view(&|y, x| (y + 1, x + 1)),
        view(&|y, x| (y + 1, 27 - x + 1)),
        view(&|y, x| (y - 1, x - 1)),
        view(&|y, x| (y - 1, 27 - x - 1)),
    ];
    let mean = |views: &[Vec<f32>], at: usize| views.iter().map(|view| view[at]).sum::<f32>() / views.len() as f32;
    for (tta, expected) in [
        (Tta::None, &(|at| flipped[0][at]) as &dyn Fn(usize) -> f32),
        (Tta::Flip, &|at| mean(&flipped, at)),
        (Tta::FlipShift, &|at| f32::midpoint(mean(&flipped, at), mean(&moved, at))),
    ] {
        let batch = ImageBatch { images: images.clone(), targets: targets.clone() };
        let output = InferenceStep::step(&plain.clone().with_tta(tta), batch);
        for (at, found) in output.output.to_data().try_to_vec::<f32>().unwrap().into_iter().enumerate() {
            assert!((found - expected(at)).abs() < 1e-5, "{tta:?}: {found} {}", expected(at));
        }
    }
}

#[test]
fn a_record_restores_the_model_and_its_running_statistics() {
    let device = Device::flex().autodiff();
    let batch = digits_batch(32, &device);
    let logits = |classifier: &Classifier| {
        let images = batch.images.clone().without_autodiff();
        classifier.valid().forward(images).to_data().try_to_vec::<f32>().unwrap()
    };
    for info in models::known() {
        let trained = model(info.name, SHAPES[0], &device);
        // A forward pass in training mode moves the running statistics, which a record must hold.
        let before = logits(&trained);
        let _ = TrainStep::step(&trained, batch.clone());
        let moved = logits(&trained);
        let has_batch_norm = trained.layers().iter().any(|layer| layer.kind.starts_with("batch norm"));
        assert_eq!(before != moved, has_batch_norm, "{}", info.name);
        let fresh = model(info.name, SHAPES[0], &device);
        assert_ne!(logits(&fresh), moved, "{}", info.name);
        let restored = fresh.try_load_record(trained.into_record()).unwrap();
        assert_eq!(logits(&restored), moved, "{}", info.name);
    }
}

#[test]
fn a_record_of_another_model_is_refused() {
    let device = Device::flex();
    let record = model("lenet", SHAPES[0], &device).into_record();
    assert!(model("resnet8", SHAPES[0], &device).try_load_record(record).is_err());
    let record = model("lenet", SHAPES[0], &device).into_record();
    assert!(model("lenet", SHAPES[1], &device).try_load_record(record).is_err());
}

#[test]
fn what_cannot_be_built_is_refused() {
    let device = Device::flex();
    let named = |name: &str| ModelConfig::named(name);
    let build = |config: Result<ModelConfig, ModelError>, shape, classes| {
        let Ok(config) = config else { return config.unwrap_err().to_string() };
        let error = Classifier::new(config.clone(), shape, classes, &device).unwrap_err();
        // The table of layers refuses the same.
        assert_eq!(config.layers(shape, classes, &device).unwrap_err(), error);
        error.to_string()
    };
    let mlp = |hidden: &[usize]| Ok(MlpConfig { hidden: hidden.to_vec() }.into());
    let convnet = |channels: &[usize]| Ok(ConvNetConfig { channels: channels.to_vec(), residual: false }.into());
    let smoothed = Classifier::named("mlp", SHAPES[0], 10, &device).unwrap().with_label_smoothing(1.0);
    let known: Vec<&str> = models::known().map(|info| info.name).collect();
    let unknown = format!("no model is called `lenett`; did you mean `lenet`? (known: {})", known.join(", "));
    for (found, expected) in [
        (build(named("lenett"), SHAPES[0], 10), unknown.as_str()),
        (
            build(named("lenet"), ImageShape::new(1, 3, 8), 10),
            "`lenet` needs images of at least 4x4 pixels with at least one channel, found 1x3x8",
        ),
        (
            build(named("resnet9"), ImageShape::new(1, 8, 7), 10),
            "`resnet9` needs images of at least 8x8 pixels with at least one channel, found 1x8x7",
        ),
        (
            build(named("convnet"), ImageShape::new(1, 6, 8), 10),
            "`convnet` needs images of at least 7x7 pixels with at least one channel, found 1x6x8",
        ),
        (build(named("resnet8"), SHAPES[0], 1), "1 classes: a classifier needs at least 2"),
        (build(mlp(&[64, 0]), SHAPES[0], 10), "mlp.hidden[1]: 0 is not allowed here; allowed: a width of at least 1"),
        (
            build(convnet(&[32, 0]), SHAPES[0], 10),
            "convnet.channels[1]: 0 is not allowed here; allowed: a width of at least 1",
        ),
        (
            build(Ok(AirbenchConfig { widths: vec![8; 9], ..Default::default() }.into()), SHAPES[0], 10),
            "airbench.widths: 9 blocks is not allowed here; allowed: 1 to 8 blocks",
        ),
        (build(convnet(&[]), SHAPES[0], 10), "convnet.channels: 0 stages is not allowed here; allowed: 1 to 8 stages"),
        (smoothed.unwrap_err().to_string(), "`label_smoothing` is 1: allowed are 0 to less than 1"),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_plain_loop_of_burn_learns_the_digits() {
    let device = Device::flex().autodiff();
    let digits = load("digits", None).unwrap();
    let train = digits.batcher(digits.train.clone(), Augment::NONE).unwrap();
    let test = digits.batcher(digits.test.clone(), Augment::NONE).unwrap();
    let test_indices: Vec<usize> = (0..digits.test.len()).collect();
    for (name, epochs) in [("mlp", 8), ("lenet", 8), ("convnet", 4)] {
        let mut classifier = model(name, SHAPES[0], &device);
        let mut optimizer = AdamConfig::new().init();
        for epoch in 0..epochs {
            for start in (0..digits.train.len()).step_by(64) {
                let indices: Vec<usize> = (start..(start + 64).min(digits.train.len())).collect();
                let output = TrainStep::step(&classifier, train.batch(&indices, epoch, 1, &device));
                classifier = optimizer.step(3e-3, classifier, output.grads);
            }
        }
        let valid = classifier.valid();
        let plain = Device::flex();
        let output = InferenceStep::step(&valid, test.batch(&test_indices, 0, 0, &plain));
        let correct: i64 = output.output.argmax(1).squeeze_dim::<1>(1).equal(output.targets).int().sum().into_scalar();
        let accuracy = correct as f64 / test_indices.len() as f64;
        println!("{name}: {:.1} % after {epochs} epochs", 100.0 * accuracy);
        // A guess is right in a tenth; a gradient that misses a layer stays far below this.
        assert!(accuracy > 0.8, "{name}: {accuracy}");
    }
}
