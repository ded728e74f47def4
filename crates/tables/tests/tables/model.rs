//! The network: what it computes, what it learns, what its outputs are measured by.

use burn::data::dataloader::Progress;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::metric::{AccuracyMetric, Adaptor, Metric, MetricAttributes, MetricMetadata, Numeric};
use burn::train::{InferenceStep, TrainStep};
use tables::models::{ErrorMetric, Features, TableMlp, TableMlpConfig, TableOutput, auroc, f1};
use tables::{RowBatch, Targets};

fn features() -> Features {
    Features { numbers: 2, categories: vec![3, 1], outputs: 2 }
}

fn batch(device: &Device) -> RowBatch {
    RowBatch {
        numbers: Tensor::from_floats([[0.5, -1.0], [2.0, 0.25]], device),
        categories: Tensor::<2, Int>::from_ints([[1, 0], [3, 1]], device),
        targets: Targets::Classes(Tensor::from_ints([0, 1], device)),
    }
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("numbers")
}

/// flex's random generator is one for the whole process: a test that draws parameters holds this while it runs.
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// All parameters, one after the other.
fn parameters(model: &TableMlp) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(&param.val()));
        }
    }
    let mut all = All(Vec::new());
    model.visit(&mut all);
    all.0
}

#[test]
fn the_outputs_are_what_a_naive_loop_gives() {
    let _alone = alone();
    let device = Device::flex();
    device.seed(3);
    let config = TableMlpConfig { hidden: vec![4], embedding: Some(2), ..TableMlpConfig::default() };
    let model = config.init(&features(), &device).unwrap();
    let RowBatch { numbers, categories, .. } = batch(&device);
    let found = values(&model.forward(numbers, categories));
    let weights: Vec<Vec<f32>> = model.layers.iter().map(|layer| values(&layer.weight.val())).collect();
    let biases: Vec<Vec<f32>> =
        model.layers.iter().map(|layer| values(&layer.bias.as_ref().expect("a bias").val())).collect();
    let vectors: Vec<Vec<f32>> = model.embeddings.iter().map(|embedding| values(&embedding.weight.val())).collect();
    let rows: [([f32; 2], [usize; 2]); 2] = [([0.5, -1.0], [1, 0]), ([2.0, 0.25], [3, 1])];
    for (row, (numbers, codes)) in rows.into_iter().enumerate() {
        let vector = |column: usize| vectors[column][2 * codes[column]..][..2].to_vec();
        let inputs = [numbers.to_vec(), vector(0), vector(1)].concat();
        let layer = |inputs: &[f32], at: usize, width: usize| -> Vec<f32> {
            let sum =
                |out: usize| inputs.iter().enumerate().map(|(k, x)| x * weights[at][k * width + out]).sum::<f32>();
            (0..width).map(|out| sum(out) + biases[at][out]).collect()
        };
        let hidden: Vec<f32> = layer(&inputs, 0, 4).into_iter().map(|x| x.max(0.0)).collect();
        for (out, expected) in layer(&hidden, 1, 2).into_iter().enumerate() {
            assert!((found[2 * row + out] - expected).abs() < 1e-5, "{} {expected}", found[2 * row + out]);
        }
    }
}

#[test]
fn the_parameters_are_those_of_the_seed_and_the_unknown_category_is_zero() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    let of = |seed: u64| {
        device.seed(seed);
        TableMlpConfig::default().init(&features(), &device).unwrap()
    };
    let model = of(1);
    assert_eq!(parameters(&model), parameters(&of(1)));
    assert_ne!(parameters(&model), parameters(&of(2)));
    // What is counted before a network is made: 2 hidden layers, the outputs, and the embeddings.
    let (counted, made) = TableMlpConfig::default().counts(&features());
    assert_eq!(counted, parameters(&model).len());
    let widths = model.embeddings.iter().map(|embedding| embedding.weight.dims()[1]).sum::<usize>();
    assert_eq!(made, widths + 128 + 64 + features().outputs);
    assert_eq!(
        TableMlpConfig { hidden: vec![usize::MAX, 3], ..TableMlpConfig::default() }.counts(&features()).0,
        usize::MAX
    );
    // Rule of thumb: 1.6 * 3^0.56 = 2.96.
    assert_eq!(model.embeddings[0].weight.dims(), [4, 3]);
    for embedding in &model.embeddings {
        let weight = values(&embedding.weight.val());
        let width = embedding.weight.dims()[1];
        assert!(weight[..width].iter().all(|weight| *weight == 0.0));
        assert!(weight[width..].iter().all(|weight| *weight != 0.0));
        assert!(embedding.weight.is_require_grad());
    }
}

#[test]
fn gradients_reach_the_categories_of_the_batch_alone() {
    let _alone = alone();
    let device = Device::flex().autodiff();
    device.seed(5);
    let model = TableMlpConfig { hidden: vec![8], ..TableMlpConfig::default() }.init(&features(), &device).unwrap();
    let mut output = TrainStep::step(&model, batch(&device));
    let gradient = |embedding: usize, output: &mut burn::train::TrainOutput<TableOutput>| {
        let id = model.embeddings[embedding].weight.id;
        let gradient = output.grads.remove::<2>(id).expect("a gradient");
        let width = gradient.dims()[1];

        values(&gradient).chunks(width).map(|row| row.iter().any(|x| *x != 0.0)).collect::<Vec<_>>()
    };
    assert_eq!(gradient(0, &mut output), [false, true, false, true]);
    assert_eq!(gradient(1, &mut output), [true, true]);
    assert!(output.grads.remove::<2>(model.layers[0].weight.id).is_some());
}

#[test]
fn tables_of_one_kind_of_column_work() {
    let _alone = alone();
    let device = Device::flex();
    for (numbers, categories) in [(2, vec![]), (0, vec![2, 2]), (0, vec![1])] {
        let width = categories.len();
        let features = Features { numbers, categories, outputs: 1 };
        let model = TableMlpConfig { hidden: vec![], ..TableMlpConfig::default() }.init(&features, &device).unwrap();
        let numbers = Tensor::from_data(TensorData::new(vec![1.0_f32; 3 * numbers], [3, numbers]), &device);
        let codes = Tensor::from_data(TensorData::new(vec![1_i32; 3 * width], [3, width]), &device);
        assert_eq!(model.forward(numbers, codes).dims(), [3, 1]);
    }
}

#[test]
fn settings_out_of_their_ranges_are_refused() {
    let _alone = alone();
    let device = Device::flex();
    let refusal = |config: TableMlpConfig| config.init(&features(), &device).unwrap_err().to_string();
    let base = TableMlpConfig::default;
    let cases = [
        (
            TableMlpConfig { hidden: vec![8, 0], ..base() },
            "hidden[1]: 0 is not allowed here; allowed: a whole number of at least 1",
        ),
        (
            TableMlpConfig { dropout: 1.0, ..base() },
            "dropout: 1 is not allowed here; allowed: a number from 0 to below 1",
        ),
        (
            TableMlpConfig { embedding: Some(0), ..base() },
            "embedding: 0 is not allowed here; allowed: a whole number of at least 1",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(refusal(config), expected);
    }
}

/// A metric over these batches.
fn measured<M: Metric + Numeric>(mut metric: M, outputs: &[TableOutput]) -> f64
where
    TableOutput: Adaptor<M::Input>,
{
    update(&mut metric, outputs);
    metric.final_value().current()
}

/// What a log shows at each of these batches and at their end.
fn update<M: Metric + Numeric>(metric: &mut M, outputs: &[TableOutput]) -> Vec<String>
where
    TableOutput: Adaptor<M::Input>,
{
    let metadata = MetricMetadata {
        progress: Progress { items_processed: 0, items_total: 0, unit: None },
        iteration: None,
        lr: None,
    };
    let mut shown = Vec::new();
    for output in outputs {
        shown.push(metric.update(&output.adapt(), &metadata).expect("read").formatted);
    }
    shown.push(metric.compute().expect("read").formatted);
    shown
}

/// The output of a linear network of one number that gives it back, or of one that gives its probabilities' logits.
fn classes(probabilities: &[f32], classes: &[i32]) -> TableOutput {
    let device = Device::flex();
    let features = Features { numbers: 2, categories: vec![], outputs: 2 };
    let mut model = TableMlpConfig { hidden: vec![], ..TableMlpConfig::default() }.init(&features, &device).unwrap();
    model.layers[0].weight = Param::from_tensor(Tensor::from_floats([[1.0, 0.0], [0.0, 1.0]], &device));
    model.layers[0].bias = None;
    let rows = probabilities.len();
    // Logits that are far apart between rows: a rank by logits would not be one by probabilities.
    let logits = probabilities.iter().enumerate().flat_map(|(row, p)| {
        let shift = 10.0 * row as f32;
        [shift, shift + (p / (1.0 - p)).ln()]
    });
    let numbers = Tensor::from_data(TensorData::new(logits.collect::<Vec<f32>>(), [rows, 2]), &device);
    let categories = Tensor::from_data(TensorData::new(Vec::<i32>::new(), [rows, 0]), &device);
    let targets = Targets::Classes(Tensor::from_data(TensorData::new(classes.to_vec(), [rows]), &device));
    InferenceStep::step(&model, RowBatch { numbers, categories, targets })
}

#[test]
fn classes_are_measured_by_probabilities() {
    let _alone = alone();
    let outputs = [classes(&[0.9, 0.4, 0.8], &[1, 1, 0]), classes(&[0.2, 0.3], &[0, 0])];
    assert_eq!(measured(AccuracyMetric::new(), &outputs), 60.0);
    // Pairs of a yes and a no: 0.9 beats all three; 0.4 beats 0.2 and 0.3.
    assert!((measured(auroc(), &outputs) - 100.0 * 5.0 / 6.0).abs() < 1e-9);
    // yes: 1 hit, 1 false, 1 missed; no: 2 hits, 1 false, 1 missed.
    assert!((measured(f1(), &outputs) - 100.0 * f64::midpoint(1.0 / 2.0, 2.0 / 3.0)).abs() < 1e-4);
    assert_eq!((&**f1().name(), &**auroc().name()), ("F1", "AUROC"));
    for attributes in [f1().attributes(), auroc().attributes()] {
        let MetricAttributes::Numeric(known) = attributes else { panic!("numbers") };
        assert_eq!((known.unit.as_deref(), known.higher_is_better), (Some("%"), true));
    }
    // A batch of one class is a batch like any other; a pass over one class has no area.
    let outputs = [classes(&[0.9, 0.4], &[1, 1]), classes(&[0.8, 0.2, 0.3], &[0, 0, 0])];
    assert!((measured(auroc(), &outputs) - 100.0 * 5.0 / 6.0).abs() < 1e-9);
    assert!(measured(auroc(), &outputs[..1]).is_nan());
    let mut auroc = auroc();
    update(&mut auroc, &outputs[..1]);
    auroc.clear();
    update(&mut auroc, &outputs);
    assert!((auroc.final_value().current() - 100.0 * 5.0 / 6.0).abs() < 1e-9, "cleared between passes");
}

#[test]
fn a_log_shows_the_pass_and_the_batch() {
    let _alone = alone();
    let outputs = [numbers(&[1.0], &[2.0]), numbers(&[5.0, 5.0], &[4.0, 5.0])];
    let shown = update(&mut ErrorMetric::mae(), &outputs);
    assert_eq!(shown, ["epoch 10.0000 - batch 10.0000", "epoch 6.6667 - batch 5.0000", "epoch 6.6667 - batch 5.0000"]);
}

/// The output of a linear network that gives its number back; the deviation of the truth is 10.
fn numbers(predicted: &[f32], truth: &[f32]) -> TableOutput {
    let device = Device::flex();
    let features = Features { numbers: 1, categories: vec![], outputs: 1 };
    let mut model = TableMlpConfig { hidden: vec![], ..TableMlpConfig::default() }.init(&features, &device).unwrap();
    model.layers[0].weight = Param::from_tensor(Tensor::from_floats([[1.0]], &device));
    model.layers[0].bias = None;
    let column = |values: &[f32]| Tensor::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), &device);
    let categories = Tensor::from_data(TensorData::new(Vec::<i32>::new(), [truth.len(), 0]), &device);
    let targets = Targets::Numbers { values: column(truth), std: 10.0 };
    InferenceStep::step(&model, RowBatch { numbers: column(predicted), categories, targets })
}

#[test]
fn numbers_are_measured_in_their_own_unit() {
    let _alone = alone();
    let outputs = [numbers(&[1.0, 2.0], &[1.5, 2.0]), numbers(&[5.0], &[4.0])];
    // Errors -0.5, 0 and 1; the truth 1.5, 2 and 4 has the mean 2.5 and varies by 1 + 0.25 + 2.25.
    assert!((measured(ErrorMetric::mse(), &outputs) - 100.0 * 1.25 / 3.0).abs() < 1e-9);
    assert!((measured(ErrorMetric::mae(), &outputs) - 10.0 * 0.5).abs() < 1e-9);
    assert!((measured(ErrorMetric::r2(), &outputs) - (1.0 - 1.25 / 3.5)).abs() < 1e-9);
    assert!((values(outputs[0].loss())[0] - 0.125).abs() < 1e-7);
    assert!(measured(ErrorMetric::r2(), &[numbers(&[1.0], &[2.0])]).is_nan());
    // Metrics of classes have nothing to read.
    assert_eq!(measured(AccuracyMetric::new(), &outputs), 0.0);
    assert!(measured(ErrorMetric::mae(), &[classes(&[0.5], &[1])]).is_nan());
}
