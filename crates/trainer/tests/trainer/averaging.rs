//! Averages of the weights: torch's numbers, what is evaluated and kept, batch norm's statistics measured again.

use crate::common::{self, alone, bits, device, net, newest_only, optimizer, schedule, train_data, valid_data};
use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::{Device, Tensor, TensorData},
    train::{RegressionOutput, metric::AccuracyMetric},
};
use lr_core::Duration;
use serde_json::Value;
use trainer::{Ema, Fitted, Swa, TrainConfig, TrainError, Trainer, checkpoint, data::Loader, evaluate, kept_model};

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/averaging.json")).expect("JSON")
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).expect("rows of numbers")
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.without_autodiff().into_data().try_into_vec::<f32>().expect("floats")
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-7 + 1e-6 * b.abs())
}

/// Rows of two features, and what the first layer gives back.
#[derive(Clone, Debug)]
struct Rows {
    x: Tensor<2>,
    y: Tensor<2>,
}

fn rows_of(x: &[Vec<f32>], y: &[Vec<f32>], device: &Device) -> Rows {
    let tensor = |rows: &[Vec<f32>]| {
        let width = rows.first().map_or(0, Vec::len);
        Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), width]), device)
    };
    Rows { x: tensor(x), y: tensor(y) }
}

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
}

impl Line {
    fn forward(&self, rows: Rows) -> RegressionOutput {
        let output = self.layer.forward(rows.x);
        let loss = (output.clone() - rows.y.clone()).powf_scalar(2.0).mean();
        RegressionOutput::new(loss, output, rows.y)
    }

    fn numbers(&self) -> Vec<f32> {
        let bias = self.layer.bias.as_ref().expect("a bias").val();
        [floats(self.layer.weight.val()), floats(bias)].concat()
    }
}

trainer::steps!(Line::forward(Rows) -> RegressionOutput);

/// At most one of the two.
type Average = (Option<Ema>, Option<Swa>);

/// The weights after this many steps of the golden problem, and their average.
fn line(steps: u64, (ema, swa): Average) -> Fitted<Line> {
    let golden = golden();
    let device = device();
    let start = &golden["start"];
    let column: Vec<Vec<f32>> = rows(&start["weight"])[0].iter().map(|weight| vec![*weight]).collect();
    let bias: Vec<f32> = serde_json::from_value(start["bias"].clone()).expect("a bias");
    let mut layer = LinearConfig::new(2, 1).init(&device);
    layer.weight = Param::from_data(TensorData::new(column.concat(), [2, 1]), &device);
    layer.bias = Some(Param::from_data(TensorData::new(bias, [1]), &device));
    let (x, y) = (rows(&golden["x"]), rows(&golden["y"]));
    let data = Loader::new(x.len(), x.len(), move |_, _| rows_of(&x, &y, &device));
    let config = TrainConfig { ema, swa, ..TrainConfig::steps(steps) };
    let lr = golden["lr"].as_f64().expect("a rate");
    Trainer::new(config)
        .fit(Line { layer }, optimizer(&format!("type = 'sgd'\nlr = {lr}")), schedule("type = 'fixed'"), &data, None)
        .expect("trains")
}

#[test]
fn averages_are_torchs() {
    let _alone = alone();
    let swa = |start, every| Some(Swa { start: Duration::Steps(start), every: Duration::Steps(every) });
    let every_2_after_2 = Ema { every: Duration::Ticks(2), start: Duration::Ticks(2), ..Ema::new(0.9) };
    let cases: [(&str, Average); 4] = [
        ("ema_0.9", (Some(Ema::new(0.9)), None)),
        ("ema_0.3", (Some(Ema::new(0.3)), None)),
        ("ema_0.9_every_2_after_2", (Some(every_2_after_2), None)),
        ("swa_after_4_every_2", (None, swa(4, 2))),
    ];
    for (name, averaging) in cases {
        let trace = golden()[name].as_array().expect("a trace").clone();
        assert_eq!(trace.len(), 8);
        for (i, row) in trace.iter().enumerate() {
            // An equal average must have something to average; before that torch has none either.
            if row["average"].is_null() && averaging.1.is_some() {
                continue;
            }
            let fitted = line(i as u64 + 1, averaging);
            let expected = |key: &str| -> Vec<f32> { serde_json::from_value(row[key].clone()).expect("numbers") };
            let context = format!("{name}, step {}", i + 1);
            assert!(close(&fitted.model.numbers(), &expected("weights")), "{context}: {:?}", fitted.model.numbers());
            let average = fitted.eval_model().numbers();
            let key = if row["average"].is_null() { "weights" } else { "average" };
            assert!(close(&average, &expected(key)), "{context}: {average:?}, torch has {:?}", expected(key));
        }
    }
}

/// Batch norm alone, so that its statistics are those of the data.
#[derive(Module, Debug)]
struct Normed {
    norm: BatchNorm,
}

impl Normed {
    fn forward(&self, rows: Rows) -> RegressionOutput {
        let output: Tensor<2> = self.norm.forward(rows.x);
        let loss = (output.clone() - rows.y.clone()).powf_scalar(2.0).mean();
        RegressionOutput::new(loss, output, rows.y)
    }
}

trainer::steps!(Normed::forward(Rows) -> RegressionOutput);

/// torch's `update_bn` leaves the plain mean of the batches' statistics, whatever the layer's momentum is.
#[test]
fn the_statistics_of_an_equal_average_are_those_of_update_bn() {
    let _alone = alone();
    let expected = golden()["statistics"].clone();
    let batches: Vec<Vec<Vec<f32>>> = serde_json::from_value(expected["batches"].clone()).expect("batches");
    let numbers = |key: &str| -> Vec<f32> { serde_json::from_value(expected[key].clone()).expect("numbers") };
    // torch keeps the unbiased variance and burn the biased one: of two rows, half.
    let variance: Vec<f32> = numbers("running_var").iter().map(|variance| variance / 2.0).collect();
    for momentum in [0.1, 0.5, 1.0] {
        let device = device();
        let batches = batches.clone();
        let data = Loader::new(6, 2, move |indices, _| {
            let batch = &batches[indices[0] / 2];
            rows_of(batch, &vec![vec![0.5, 0.5]; 2], &device)
        });
        let start = Duration::Steps(1);
        let swa = Swa { start, every: Duration::Steps(1) };
        let config = TrainConfig { swa: Some(swa), ..TrainConfig::epochs(2) };
        let schedule = schedule("type = 'fixed'");
        let norm = BatchNormConfig::new(2).with_momentum(momentum).init(&common::device());
        let fitted = Trainer::new(config)
            .fit(Normed { norm }, optimizer("type = 'sgd'\nlr = 0.01"), schedule, &data, None)
            .expect("trains");
        let of = |model: &Normed| {
            let norm = &model.norm;
            (floats(norm.running_mean.value_sync()), floats(norm.running_var.value_sync()))
        };
        let (mean, var) = of(fitted.eval_model());
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-5 * b.abs().max(1.0));
        assert!(near(&mean, &numbers("running_mean")), "momentum {momentum}: mean {mean:?}");
        assert!(near(&var, &variance), "momentum {momentum}: variance {var:?}, expected {variance:?}");
        assert_ne!(of(&fitted.model).0, mean, "the trained model keeps its own");
    }
}

fn averaged((ema, swa): Average, directory: Option<&std::path::Path>) -> Fitted<common::Net> {
    let config = TrainConfig { ema, swa, checkpoint: directory.map(newest_only), ..TrainConfig::epochs(4) };
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config)
        .metric(AccuracyMetric::new())
        .fit(net(), optimizer("type = 'sgd'\nlr = 0.05"), schedule, &train_data(), Some(&valid_data()))
        .expect("trains")
}

/// Validation, the kept model and the checkpoint speak of the average; the trained weights are those of a run without.
#[test]
fn the_average_is_what_is_evaluated_and_kept() {
    let _alone = alone();
    let plain = averaged((None, None), None);
    let half = Swa { start: Duration::Percent(50.0), every: Duration::Steps(2) };
    for averaging in [(Some(Ema { warmup: true, ..Ema::new(0.9) }), None), (None, Some(half))] {
        let dir = tempfile::tempdir().expect("a folder");
        let fitted = averaged(averaging, Some(dir.path()));
        assert!(bits(&fitted.model) == bits(&plain.model), "averaging does not touch the training");
        assert!(bits(fitted.eval_model()) != bits(&fitted.model));
        let measured = evaluate(fitted.eval_model(), &valid_data(), AccuracyMetric::new()).expect("measured");
        assert_eq!(fitted.report.last("valid.loss"), Some(measured["loss"]), "{averaging:?}");
        assert_ne!(fitted.report.last("valid.loss"), plain.report.last("valid.loss"));
        let found = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        let kept = kept_model(&found, net(), optimizer("type = 'sgd'\nlr = 0.05"), &train_data(), 0).expect("kept");
        assert!(bits(&kept) == bits(fitted.eval_model()), "{averaging:?}");
        // Before the end, only the exponential average is validated.
        let early = fitted.report.epochs[1].values["valid.loss"];
        let same = early == plain.report.epochs[1].values["valid.loss"];
        assert_eq!(same, averaging.1.is_some(), "{averaging:?}");
    }
}

#[test]
fn an_average_of_an_average_is_refused() {
    let _alone = alone();
    let config = TrainConfig { ema: Some(Ema::new(0.9)), ..TrainConfig::epochs(1) };
    let schedule = schedule("type = 'fixed'");
    let optimizer = optimizer("type = 'schedule_free_sgd'\nlr = 0.1");
    match Trainer::new(config).fit(net(), optimizer, schedule, &train_data(), None) {
        Err(TrainError::Setting(error)) => assert_eq!(error.path, "ema"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}
