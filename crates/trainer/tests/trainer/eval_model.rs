//! Schedule-Free: what is evaluated is the average, with batch norm's statistics measured there, and the trained model
//! is left alone. And the finder, which works on a copy, leaves running statistics alone too.

use crate::common::{Points, alone, device, optimizer, rates, train_data, valid_data};
use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    tensor::Tensor,
    train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep, metric::AccuracyMetric},
};
use trainer::{
    TrainConfig, Trainer, evaluate,
    lr_finder::{LrFinder, LrFinderConfig},
};

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
        Self {
            first: LinearConfig::new(8, 12).init(&device),
            norm: BatchNormConfig::new(12).init(&device),
            second: LinearConfig::new(12, 2).init(&device),
        }
    }

    fn forward(&self, batch: Points) -> ClassificationOutput {
        let hidden: Tensor<2> = self.norm.forward(self.first.forward(batch.x));
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

impl TrainStep for Normed {
    type Input = Points;
    type Output = ClassificationOutput;
    fn step(&self, batch: Points) -> TrainOutput<ClassificationOutput> {
        let output = self.forward(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Normed {
    type Input = Points;
    type Output = ClassificationOutput;
    fn step(&self, batch: Points) -> ClassificationOutput {
        self.forward(batch)
    }
}

const SCHEDULE_FREE: &str = "type = 'schedule_free_sgd'\nlr = 1.0";

#[test]
fn the_average_is_evaluated_with_its_own_statistics() {
    let _alone = alone();
    let fit = |validate: bool| {
        let config = TrainConfig::epochs(25);
        let rates = rates("type = 'fixed'", &config, 1.0);
        let valid = valid_data();
        let valid = validate.then_some(&valid as &dyn trainer::data::Source<Points>);
        Trainer::new(config)
            .metric(AccuracyMetric::new())
            .fit(Normed::new(), optimizer(SCHEDULE_FREE), rates, &train_data(), valid)
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
