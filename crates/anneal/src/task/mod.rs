//! Tasks: what ties the data of a run, its model, its metrics and its output together.
//!
//! What lives here: [`Task`], which a program implements for its own task; image classification and tables; and what the
//! experiments see of any task (`learner`), so that they are compiled once. A task knows neither configurations nor run
//! folders, and no loop: the trainer's is called in one place.

mod entry;
mod error;
mod images;
mod kept;
mod language;
mod learner;
mod sampler;
mod settings;
mod setup;
mod tabular;

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use burn::{
    tensor::Device,
    train::{
        InferenceStep, TrainStep,
        metric::{Adaptor, LossInput},
    },
};
use report::Chart;
use serde::{Deserialize, Serialize};
use strict_config::Settings;
use trainer::{LearnerModel, Metrics, Split};

pub use entry::ChosenTask;
pub(crate) use entry::{ListedModel, MODEL_FIELDS, Tables, TaskEntry, TaskOf};
pub use error::TaskError;
#[cfg(test)]
pub(crate) use images::size_of;
pub(crate) use images::{FOLDER, ImageEntry, folder_fields};
pub use images::{ImageClassification, ImageData, ImageEval, ImageModel, Resident};
pub use language::{Language, TextData, TextSource};
pub use learner::LoadedTask;
pub(crate) use learner::{AnyData, FitPlan, Learner, OnShow};
pub use sampler::Sampler;
pub use settings::{ModelRow, TaskSettings};
pub use setup::{DataSection, Setup};
pub use tabular::Tabular;

/// What a batch of a task is: the input of its network's steps.
pub type TaskBatch<T> = <<T as Task>::Network as TrainStep>::Input;

/// What assembles the batch of these items of a part, in an epoch, or says why it cannot.
pub type Assemble<B> = Box<dyn Fn(&[usize], u64) -> Result<B, TaskError> + Send + Sync>;

/// A task: its data, loaded, and what is done with them. `[data] dataset` of a configuration chooses it by its
/// [`NAME`](Self::NAME), and every command works with it.
///
/// ```
/// use anneal::{prelude::*, task::*};
/// use burn::{module::Module, nn, tensor::Device, train::{RegressionOutput, metric::{Adaptor, LossInput}}};
/// use serde::{Deserialize, Serialize};
/// use strict_config::Settings;
/// use trainer::{Metrics, Split};
///
/// type Pairs = (Tensor<2>, Tensor<2>);
/// # use burn::tensor::Tensor;
///
/// #[derive(Module, Debug)]
/// struct Line { linear: nn::Linear }
///
/// impl TrainStep for Line {
///     type Input = Pairs;
///     type Output = RegressionOutput;
///     fn step(&self, pairs: Pairs) -> TrainOutput<RegressionOutput> {
///         let output = InferenceStep::step(self, pairs);
///         TrainOutput::new(self, output.loss.backward(), output)
///     }
/// }
///
/// impl InferenceStep for Line {
///     type Input = Pairs;
///     type Output = RegressionOutput;
///     fn step(&self, (x, y): Pairs) -> RegressionOutput {
///         let guess = self.linear.forward(x);
///         let loss = nn::loss::MseLoss::new().forward(guess.clone(), y.clone(), nn::loss::Reduction::Mean);
///         RegressionOutput::new(loss, guess, y)
///     }
/// }
///
/// /// `y = 3x + 1`, for 100 numbers: `[data] dataset = "line"`.
/// struct Numbers;
///
/// impl Task for Numbers {
///     const NAME: &'static str = "line";
///     const SUMMARY: &'static str = "numbers on a line";
///     type Data = NoSettings;
///     type Model = NoSettings;
///     type Eval = NoSettings;
///     type Network = Line;
///
///     fn models() -> Vec<ModelRow<NoSettings>> {
///         vec![ModelRow::new("linear", "a slope and a bias", std::convert::identity::<NoSettings>)]
///     }
///     fn load(_: &TaskSettings<Self>, _: &Setup) -> Result<Self, TaskError> {
///         Ok(Self)
///     }
///     fn items(&self, part: Split) -> usize {
///         if part == Split::Train { 100 } else { 20 }
///     }
///     fn batch(&self, _: Split, items: &[usize], _: Option<Draw>, device: &Device) -> Pairs {
///         let x: Vec<f32> = items.iter().map(|item| *item as f32 / 50.0 - 1.0).collect();
///         let x = Tensor::<1>::from_floats(x.as_slice(), device).unsqueeze_dim(1);
///         (x.clone(), x * 3.0 + 1.0)
///     }
///     fn network(&self, _: &NoSettings, device: &Device) -> Result<Line, TaskError> {
///         Ok(Line { linear: nn::LinearConfig::new(1, 1).init(device) })
///     }
/// }
/// ```
pub trait Task: Send + Sync + Sized + 'static {
    /// Its name: `[data] dataset`.
    const NAME: &'static str;
    /// What it is, in a line.
    const SUMMARY: &'static str;

    /// The fields of `[data]` beside [those of every task](DataSection).
    type Data: Settings + Clone + Debug + Send + Sync + 'static;
    /// The settings of one of its [models](Self::models): the fields of `[model]` beside `type` and `pretrained`. Where
    /// there are several models, an enum with a variant for each, `#[serde(untagged)]`.
    type Model: Serialize + Clone + Debug + Send + Sync + 'static;
    /// The fields of `[eval]`. They change no step of training, and a resumed run may have others.
    type Eval: Settings + Clone + Debug + Send + Sync + 'static;
    /// The network: a burn module with burn-train's two steps, on the same batches. The outputs show the loss.
    type Network: LearnerModel
        + TrainStep<Output: Adaptor<LossInput>>
        + InferenceStep<Input = TaskBatch<Self>, Output: Adaptor<LossInput>>;

    /// The models that `[model] type` may name; the first is the one where it names none.
    fn models() -> Vec<ModelRow<Self::Model>>;

    /// What outputs are measured by, beside the loss: burn-train's metrics, or any other of its form. The first is the one
    /// that runs are compared by. They are known before the data are, so that a configuration that waits for another value
    /// is refused at once, and reports know units and directions. Default: the loss alone.
    fn metrics(_settings: &TaskSettings<Self>) -> Metrics<Self::Network> {
        Metrics::new()
    }

    /// The paths among its settings. They are looked for in `--data-dir` (as they are written, and under their last names),
    /// then as they are, then, relative ones, below `ANNEAL_DATA_DIR` and the cache folder; a run records them as absolute
    /// ones. Default: none.
    fn paths(_data: &mut Self::Data) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// Fills in settings that were left open and that the data tell, so that what is written down says them too. `found` is
    /// the same with its [paths](Self::paths) where they are found. Data that cannot be used are refused when they are
    /// [loaded](Self::load). Default: nothing.
    fn fill_in(_data: &mut Self::Data, _found: &Self::Data) {}

    /// The name under which a checkpoint notes this field of `[data]`, so that a run does not resume with another value;
    /// `None` where it changes no number, or what it changes is in the [fingerprint](Self::fingerprint). Default:
    /// `data.FIELD`, but `None` for `path`.
    fn noted_as(field: &str) -> Option<String> {
        (field != "path").then(|| format!("data.{field}"))
    }

    /// Loads the data.
    ///
    /// # Errors
    /// Data that are not there or not as they should be.
    fn load(settings: &TaskSettings<Self>, setup: &Setup) -> Result<Self, TaskError>;

    /// The items of a part. How the data are cut is the task's: by a split seeded with the run ([`trainer::data::split`] by
    /// [`Setup::data`]'s `validation`), by place, or as they come.
    fn items(&self, part: Split) -> usize;

    /// The classes of the training items, by which `[data] sampler = "weighted"` draws them. Default: it has none, and that
    /// sampler is refused.
    fn classes(&self) -> Option<Classes> {
        None
    }

    /// The batch of these items of a part, on `device`. `draw` is the key of everything that is drawn at random for a
    /// training batch; without one, as for every validation, the items are taken as they are.
    fn batch(&self, part: Split, items: &[usize], draw: Option<Draw>, device: &Device) -> TaskBatch<Self>;

    /// The network, its parameters drawn from the generator of `device`, which the seed of the run has seeded.
    ///
    /// # Errors
    /// Settings that do not fit the data.
    fn network(&self, model: &Self::Model, device: &Device) -> Result<Self::Network, TaskError>;

    /// A new network with what it takes from the training data in place. Default: as it is.
    fn prepared(&self, network: Self::Network) -> Self::Network {
        network
    }

    /// What assembles the batches of the first `items` items of a part; with a seed, those of the training. Default:
    /// [`batch`](Self::batch).
    ///
    /// # Errors
    /// Data that cannot be where the settings want them.
    fn assemble(
        self: &Arc<Self>,
        part: Split,
        _items: usize,
        seed: Option<u64>,
        device: &Device,
    ) -> Result<Assemble<TaskBatch<Self>>, TaskError> {
        let (task, device) = (Arc::clone(self), device.clone());
        let draw = move |epoch| seed.map(|seed| Draw { seed, epoch });
        Ok(Box::new(move |indices, epoch| Ok(task.batch(part, indices, draw(epoch), &device))))
    }

    /// Items in a batch of a validation or a test, where a training batch has `batch_size`. Default: as many.
    fn eval_batch_size(&self, batch_size: usize) -> usize {
        batch_size
    }

    /// A checksum or name of the content, so that a resume on other data is refused. Default: none; the number of items
    /// and the size of the batches are compared anyway.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// What it has learned from the training data beside the network's weights and prediction needs, as a text: kept in the
    /// run folder as `preprocessing.json`, and given to [`load`](Self::load) as [`Setup::kept`] in order to predict.
    /// Default: nothing.
    fn kept(&self) -> Option<String> {
        None
    }

    /// Looks at weights that a network of this task is to start from: `kept` is what the run that wrote them has
    /// [kept](Self::kept), where that is known. Weights of the same shapes may have been learned on other characters or
    /// columns, and would mean something else here. A sentence where that cannot be known and matters. Default: nothing.
    ///
    /// # Errors
    /// Weights whose inputs or outputs stand for something else.
    fn check_pretrained(&self, _kept: Option<&str>) -> Result<Option<String>, TaskError> {
        Ok(None)
    }

    /// What reports call the data. Default: [`NAME`](Self::NAME).
    fn description(&self) -> String {
        Self::NAME.to_owned()
    }

    /// What a person should see of the network's outputs, at each validation and of the network that a run ends with: texts
    /// that it writes, charts of what it gives. It is kept in the run folder (`outputs.jsonl`) and shown in the report. Random numbers come from a separate key, not from
    /// the device's generator, which is the training's. `network` is in inference mode, on `device`. Default: nothing.
    ///
    /// # Errors
    /// Outputs that cannot be read.
    fn show(&self, _network: &Self::Network, _device: &Device) -> Result<Outputs, TaskError> {
        Ok(Outputs::default())
    }

    /// What of the data was passed over, or is missing, that a person may have meant otherwise: a line each, said before a
    /// training. Default: none.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a network of this model takes, known without making it: a run that this machine cannot hold is refused before
    /// any work. Default: not known.
    ///
    /// # Errors
    /// Settings that do not fit the data.
    fn size(&self, _model: &Self::Model, _device: &Device) -> Result<Option<Size>, TaskError> {
        Ok(None)
    }

    /// Predicts: a row for each input, or for each row of an input. `network` is in inference mode, on `device`.
    ///
    /// # Errors
    /// An input that is not of the form of the training data. Default: this task predicts nothing.
    fn predict(
        &self,
        _network: &Self::Network,
        _inputs: &[String],
        _device: &Device,
    ) -> Result<Vec<Prediction>, TaskError> {
        Err(TaskError::NoPrediction { task: Self::NAME })
    }

    /// Text that a model writes after a prompt. `network` is in inference mode, on `device`.
    ///
    /// # Errors
    /// A prompt that the model cannot read. Default: this task writes no text.
    fn sample(&self, _network: &Self::Network, _asked: &Sampling, _device: &Device) -> Result<String, TaskError> {
        Err(TaskError::NoSample { task: Self::NAME })
    }
}

/// How large a network is: the least that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Trainable numbers.
    pub parameters: usize,
    /// Numbers of an item of a batch.
    pub item: usize,
    /// Numbers that its layers make of an item and keep for the backward pass.
    pub made: usize,
}

/// The classes of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// Their names.
    pub names: Vec<String>,
    /// The class of each item, by its place among the names.
    pub of_items: Vec<usize>,
}

/// The key of what is drawn at random for a batch, together with its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
}

/// What a person should see of a network's outputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outputs {
    /// Texts, as they stand.
    pub texts: Vec<String>,
    /// Charts.
    pub charts: Vec<Chart>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// What the text begins with.
    pub prompt: String,
    /// How many tokens to write after it.
    pub length: usize,
    /// 1 draws tokens as likely as the model says, below 1 prefers the likely ones, 0 takes the most likely.
    pub temperature: f64,
    /// Of the tokens that are drawn.
    pub seed: u64,
}

/// What a model says of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The input, or the row of it.
    pub input: String,
    /// Names and values, the most important first. A table shows texts and numbers; lists and objects are for
    /// `--json` alone.
    pub values: Vec<(String, serde_json::Value)>,
}

impl Prediction {
    /// A number, or a text.
    pub fn of(input: impl Into<String>, name: &str, value: impl Into<serde_json::Value>) -> Self {
        Self { input: input.into(), values: vec![(name.to_owned(), value.into())] }
    }

    /// A classifier's, by the probability of each class: the most probable `class` (of several the first), its `probability`,
    /// and the `probabilities` of all.
    pub fn of_classes(input: impl Into<String>, classes: &[String], probabilities: &[f64]) -> Self {
        let each = || classes.iter().zip(probabilities.iter().copied());
        let all = each().map(|(class, probability)| (class.clone(), probability.into())).collect();
        let mut values = Vec::new();
        if let Some((class, probability)) = each().reduce(|best, one| if one.1 > best.1 { one } else { best }) {
            values.push(("class".to_owned(), class.clone().into()));
            values.push(("probability".to_owned(), probability.into()));
        }
        values.push(("probabilities".to_owned(), serde_json::Value::Object(all)));
        Self { input: input.into(), values }
    }
}

/// A table without fields of the task's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Settings for NoSettings {}
