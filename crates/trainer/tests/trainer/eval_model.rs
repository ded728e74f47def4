//! Schedule-Free: what is evaluated is the average, with batch norm's statistics measured there, and the trained model
//! is left alone. And the finder, which works on a copy, leaves running statistics alone too.

use crate::common::{
    Points, alone, device, net, newest_only, optimizer, optimizer_at, points_of, schedule, train_data, valid_data,
};
use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    tensor::Tensor,
    train::{ClassificationOutput, metric::AccuracyMetric},
};
use lr_core::Duration;
use trainer::{
    EarlyStopping, Ema, Swa, TrainConfig, Trainer, checkpoint, evaluate, kept_model,
    lr_finder::{LrFinder, LrFinderConfig},
};

#[derive(Module, Debug)]
struct Normed {
    first: Linear,
    dropout: Dropout,
    norm: BatchNorm,
    second: Linear,
}

impl Normed {
    fn new() -> Self {
        let device = device();
        device.seed(5);
        Self {
            first: LinearConfig::new(8, 12).init(&device),
            dropout: DropoutConfig::new(0.0).init(),
            norm: BatchNormConfig::new(12).init(&device),
            second: LinearConfig::new(12, 2).init(&device),
        }
    }

    fn forward(&self, batch: Points) -> ClassificationOutput {
        let hidden: Tensor<2> = self.norm.forward(self.dropout.forward(self.first.forward(batch.x)));
        let logits = self.second.forward(hidden.tanh());
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), batch.y.clone());
        ClassificationOutput::new(loss, logits, batch.y)
    }

    /// Running mean and variance.
    fn statistics(&self) -> Vec<f32> {
        [&self.norm.running_mean, &self.norm.running_var]
            .into_iter()
            .flat_map(|state| state.value_sync().into_data().try_into_vec::<f32>().expect("floats"))
            .collect()
    }
}

trainer::steps!(Normed::forward(Points) -> ClassificationOutput);

const SCHEDULE_FREE: &str = "type = 'schedule_free_sgd'\nlr = 1.0";

#[test]
fn the_average_is_evaluated_with_its_own_statistics() {
    let _alone = alone();
    let fit = |validate: bool| {
        let config = TrainConfig::epochs(25);
        let schedule = schedule("type = 'fixed'");
        let valid = valid_data();
        let valid = validate.then_some(&valid as &dyn trainer::data::Source<Points>);
        Trainer::new(config)
            .metric(AccuracyMetric::new())
            .fit(Normed::new(), optimizer(SCHEDULE_FREE), schedule, &train_data(), valid)
            .expect("trains")
    };
    let fitted = fit(true);
    let accuracy = fitted.report.last("valid.accuracy").expect("measured");
    assert!(accuracy > 85.0, "{}", fitted.report);
    // What was validated at the end is what `eval_model` gives.
    let again = evaluate(fitted.eval_model(), &valid_data(), AccuracyMetric::new()).expect("measured");
    assert_eq!(again["accuracy"], accuracy);
    // It differs from the trained model in parameters and in statistics.
    let first = |model: &Normed| model.first.weight.val().inner().into_data();
    assert_ne!(first(fitted.eval_model()), first(&fitted.model));
    assert_ne!(fitted.eval_model().statistics(), fitted.model.statistics());
    // Validating changed nothing of the training.
    let unseen = fit(false);
    assert_eq!(first(&unseen.model), first(&fitted.model));
    assert_eq!(unseen.model.statistics(), fitted.model.statistics());
}

/// What is drawn while statistics are measured depends on nothing that was drawn before: not on a resume, not on a process.
#[test]
fn statistics_are_measured_with_draws_of_their_own() {
    let _alone = alone();
    let model = Normed { dropout: DropoutConfig::new(0.5).init(), ..Normed::new() };
    let optimizer = optimizer(SCHEDULE_FREE);
    let measured = |seed| {
        device().seed(seed);
        trainer::eval_model(&model, &optimizer, &train_data()).expect("a model").statistics()
    };
    assert_eq!(measured(1), measured(2));
}

#[test]
fn the_finder_leaves_model_and_optimizer_alone() {
    let _alone = alone();
    let (model, optimizer) = (Normed::new(), optimizer("type = 'adam'\nlr = 0.01"));
    let before =
        (model.first.weight.val().inner().into_data(), model.statistics(), optimizer.to_bytes().expect("bytes"));
    let curve = LrFinder::new(LrFinderConfig::default()).run(&model, &optimizer, &train_data()).expect("sweeps");
    assert!(curve.lrs.len() > 30);
    let after =
        (model.first.weight.val().inner().into_data(), model.statistics(), optimizer.to_bytes().expect("bytes"));
    assert!(before == after);
}

/// Whatever model is handed out to evaluate answers the same twice, with dropout and batch norm in it, whichever device its
/// input is on.
#[test]
fn what_is_handed_out_to_evaluate_is_in_inference_mode() {
    let _alone = alone();
    let plain = TrainConfig::epochs(2);
    let best = EarlyStopping { restore_best: true, ..EarlyStopping::new("valid.loss") };
    let cases = [
        ("plain", plain.clone(), "type = 'sgd'\nlr = 0.05"),
        ("ema", TrainConfig { ema: Some(Ema::new(0.9)), ..plain.clone() }, "type = 'sgd'\nlr = 0.05"),
        ("swa", TrainConfig { swa: Some(Swa::new(Duration::Epochs(1.0))), ..plain.clone() }, "type = 'sgd'\nlr = 0.05"),
        ("best", TrainConfig { early_stopping: Some(best), ..plain.clone() }, "type = 'sgd'\nlr = 0.05"),
        ("schedule-free", plain, SCHEDULE_FREE),
    ];
    for (name, config, toml) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let config = TrainConfig { checkpoint: Some(newest_only(dir.path())), ..config };
        let schedule = schedule("type = 'fixed'");
        let model = || net().with_norm(&device());
        let fitted = Trainer::new(config)
            .fit(model(), optimizer_at(toml, 0.05), schedule, &train_data(), Some(&valid_data()))
            .expect("trains");
        let found = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        let kept = kept_model(&found, model(), optimizer(toml), &train_data(), 0).expect("kept");
        let function = trainer::eval_model(&fitted.model, &fitted.optimizer, &train_data()).expect("a model");
        let items: Vec<usize> = (0..64).collect();
        for (which, model) in [("fitted", fitted.eval_model()), ("kept", &kept), ("function", &function)] {
            for device in [device(), device().inner()] {
                let once = model.logits(points_of(&items, &device));
                assert!(once == model.logits(points_of(&items, &device)), "{name}, {which}, {device:?}");
                // Of one item as of many: batch norm takes its running statistics.
                let one = model.logits(points_of(&items[..1], &device));
                assert!(one.iter().zip(&once).all(|(a, b)| (a - b).abs() < 1e-5), "{name}, {which}, {device:?}");
            }
        }
        // The one to train on draws.
        let trained = |items| fitted.model.logits(points_of(items, &device()));
        assert!(trained(&items) != trained(&items), "{name}");
    }
}
