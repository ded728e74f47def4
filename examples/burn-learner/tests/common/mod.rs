//! A regression on twelve points that burn's Learner trains in milliseconds, and a record of what its optimizer really
//! got: three batches per epoch, always in the same order.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anneal::{lr_core::burn::BurnHandle, optim_adaptive::MomentumHandle};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    lr_scheduler::module_lr_scheduler::ModuleLrScheduler,
    module::{Initializer, Module},
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{LearningRate, ModuleOptimizer, Optimizer},
    tensor::{Device, Tensor, TensorData},
    train::{
        InferenceStep, Learner, RegressionOutput, SupervisedTraining, TrainOutput, TrainStep,
        checkpoint::{CheckpointingAction, CheckpointingStrategy},
        logger::{EvaluationProgressLogger, TrainingProgressLogger},
        metric::{
            LossMetric, MetricDefinition,
            store::{Aggregate, EventStoreClient, Split},
        },
        renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
    },
};

pub(crate) const STEPS_PER_EPOCH: u64 = 3;
const BATCH: usize = 4;

/// What happened, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// The optimizer updated a parameter: its rank tells which (2 the weight, 1 the bias).
    Update { rank: usize, lr: f64, momentum: Option<f64> },
    /// The schedules were told a validation loss.
    Metric(f64),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub(crate) fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rates that the parameter of that rank was updated with.
    pub(crate) fn rates(&self, rank: usize) -> Vec<f64> {
        let rate = |event| match event {
            Event::Update { rank: of, lr, .. } if of == rank => Some(lr),
            _ => None,
        };
        self.events().into_iter().filter_map(rate).collect()
    }
}

/// An optimizer that writes down the rate and the momentum of each update it makes.
#[derive(Clone)]
pub(crate) struct Recorded<O> {
    pub(crate) optimizer: O,
    pub(crate) momentum: MomentumHandle,
    pub(crate) log: Log,
}

impl<O: Optimizer> Optimizer for Recorded<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        self.log.push(Event::Update { rank: D, lr, momentum: self.momentum.get() });
        self.optimizer.step(lr, tensor, grad, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}

/// Keeps every checkpoint, and tells the schedules the validation loss just before each is made.
struct KeepAll {
    schedules: Vec<BurnHandle>,
    log: Log,
}

impl CheckpointingStrategy for KeepAll {
    fn checkpointing(&mut self, epoch: usize, store: &EventStoreClient) -> Vec<CheckpointingAction> {
        if let Some(loss) = store.find_metric("Loss", epoch, Aggregate::Mean, &Split::Valid) {
            self.schedules.iter().for_each(|schedule| schedule.observe(loss));
            self.log.push(Event::Metric(loss));
        }
        vec![CheckpointingAction::Save]
    }
}

/// One training by burn's Learner.
pub(crate) struct Training<'a> {
    pub(crate) dir: &'a Path,
    /// The epoch it ends with.
    pub(crate) epochs: usize,
    /// The epoch after whose checkpoint, in `dir`, it continues.
    pub(crate) resume: Option<usize>,
    pub(crate) accumulate: Option<usize>,
    /// Schedules that hear the validation loss.
    pub(crate) schedules: Vec<BurnHandle>,
    pub(crate) log: Log,
}

impl Training<'_> {
    /// The bits of the weight and the bias that come out.
    pub(crate) fn run(self, optimizer: ModuleOptimizer, schedule: impl Into<ModuleLrScheduler>) -> Vec<TensorData> {
        let device = Device::flex().autodiff();
        let mut training = SupervisedTraining::new(self.dir, loader(&device), loader(&device.clone().inner()))
            .metrics((LossMetric::new(),))
            .with_application_logger(None)
            .renderer(Box::new(Quiet))
            .with_default_checkpointers()
            .with_checkpointing_strategy(KeepAll { schedules: self.schedules, log: self.log })
            .num_epochs(self.epochs);
        if let Some(epoch) = self.resume {
            training = training.checkpoint(epoch);
        }
        if let Some(batches) = self.accumulate {
            training = training.grads_accumulation(batches);
        }
        let result = training.launch(Learner::new(Line::new(&device), optimizer, schedule));
        assert!(result.error.is_none() && result.interrupted.is_none(), "{:?}", result.error);
        let bias = result.model.linear.bias.iter().map(|bias| bias.val().into_data());
        std::iter::once(result.model.linear.weight.val().into_data()).chain(bias).collect()
    }
}

/// The three files of a checkpoint, alone in another directory: all that a resumed training sees.
pub(crate) fn carry(from: &Path, epoch: usize, to: &Path) {
    std::fs::create_dir_all(to.join("checkpoint")).expect("a directory");
    for part in ["model", "optim", "scheduler"] {
        let file = Path::new("checkpoint").join(format!("{part}-{epoch}.bpk"));
        std::fs::copy(from.join(&file), to.join(&file)).expect("a file of the checkpoint");
    }
}

/// `y = w x + b`, always from the same start. burn draws new parameter ids each time.
#[derive(Module, Debug)]
struct Line {
    linear: Linear,
}

impl Line {
    fn new(device: &Device) -> Self {
        let start = Initializer::Constant { value: 0.1 };
        Self { linear: LinearConfig::new(2, 1).with_initializer(start).init(device) }
    }

    fn output(&self, batch: Points) -> RegressionOutput {
        let output = self.linear.forward(batch.x);
        let loss = MseLoss::new().forward(output.clone(), batch.y.clone(), Reduction::Mean);
        RegressionOutput::new(loss, output, batch.y)
    }
}

impl TrainStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, batch: Points) -> TrainOutput<RegressionOutput> {
        let output = self.output(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, batch: Points) -> RegressionOutput {
        self.output(batch)
    }
}

#[derive(Clone, Debug)]
struct Points {
    x: Tensor<2>,
    y: Tensor<2>,
}

struct ToPoints;

impl Batcher<[f32; 2], Points> for ToPoints {
    fn batch(&self, items: Vec<[f32; 2]>, device: &Device) -> Points {
        let targets: Vec<f32> = items.iter().map(|[a, b]| 2.0 * a - b + 0.5).collect();
        let rows = items.len();
        let x = TensorData::new(items.concat(), [rows, 2]);
        Points { x: Tensor::from_data(x, device), y: Tensor::from_data(TensorData::new(targets, [rows, 1]), device) }
    }
}

/// Without shuffle and workers, so that the order is burn's and fixed.
fn loader(device: &Device) -> Arc<dyn DataLoader<Points>> {
    let items = (0..STEPS_PER_EPOCH as u16 * BATCH as u16).map(f32::from).map(|i| [i.sin(), (2.0 * i).cos()]).collect();
    DataLoaderBuilder::new(ToPoints).batch_size(BATCH).set_device(device.clone()).build(InMemDataset::new(items))
}

/// Shows nothing.
struct Quiet;

impl MetricsRendererTraining for Quiet {
    fn update_train(&mut self, _: MetricState) {}
    fn update_valid(&mut self, _: MetricState) {}
}

impl MetricsRendererEvaluation for Quiet {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl TrainingProgressLogger for Quiet {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn update_epoch(&mut self, _: usize) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for Quiet {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for Quiet {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: MetricDefinition) {}
}
