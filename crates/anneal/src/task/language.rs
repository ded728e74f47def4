//! Language: a text of one's own, or numbers and their digits from the last to the first.

use std::{
    fmt::Debug,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::{
    tensor::{Device, Tensor},
    train::InferenceStep,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strict_config::{ConfigError, Settings, check};
use text::{
    Corpus, FromLoss, ReversalConfig, TextBatch, TextError, Unit, Vocabulary, Windows,
    models::{GptConfig, GruConfig, LanguageModel, LanguageModelConfig},
};
use trainer::{Metrics, Split};

use super::{
    Assemble, Draw, ModelRow, NoSettings, Outputs, Prediction, Sampler, Sampling, Setup, Size, Task, TaskError,
    TaskSettings, kept,
};

/// Tokens in a window, unless `context` says otherwise.
const CONTEXT: usize = 128;
/// The part of a text that is kept for the test at the end, unless `test` says otherwise.
const TEST: f64 = 0.05;

/// Where a text comes from. `Catalog::with_task::<Language<Mine>>()` names one of the program's own.
pub trait TextSource: Settings + Clone + Debug + Send + Sync + 'static {
    /// `[data] dataset`.
    const NAME: &'static str;
    /// What it is, in a line.
    const SUMMARY: &'static str;

    /// The text.
    ///
    /// # Errors
    /// A text that is not there or cannot be used.
    fn corpus(&self) -> Result<Corpus, TextError>;

    /// Tokens in a window.
    fn context(&self) -> usize;

    /// The part of the text, at its end, that is kept for the test.
    fn test(&self) -> f64;

    /// What outputs are measured by.
    fn metrics(&self) -> Metrics<LanguageModel>;

    /// Its paths.
    fn paths(&mut self) -> Vec<&mut PathBuf>;

    /// Predicts for one input.
    ///
    /// # Errors
    /// An input that the model cannot read.
    fn predict(
        task: &Language<Self>,
        network: &LanguageModel,
        input: &str,
        device: &Device,
    ) -> Result<Vec<(String, Value)>, TaskError>;
}

/// `dataset = "text"`: any text in UTF-8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextData {
    /// The file.
    pub path: PathBuf,
    /// What a token is: `characters` (those of the text) or `bytes`. Default `characters`.
    #[serde(default)]
    pub unit: Unit,
    /// A `tokenizer.json` of Hugging Face: tokens are its pieces, not `unit`. Needs the cargo feature `bpe`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<PathBuf>,
    /// Tokens in a window. Default 128.
    #[serde(default = "context")]
    pub context: usize,
    /// The part of the text, at its end, that is kept for the test. Default 0.05.
    #[serde(default = "test")]
    pub test: f64,
}

fn context() -> usize {
    CONTEXT
}

fn test() -> f64 {
    TEST
}

impl Settings for TextData {
    fn check(&self) -> Result<(), ConfigError> {
        check::is_allowed("path", "\"\"", "the path of a text", !self.path.as_os_str().is_empty())?;
        if let (Some(path), false) = (&self.vocabulary, cfg!(feature = "bpe")) {
            let allowed = "nothing in this program: it was built without the cargo feature `bpe`";
            return Err(ConfigError::not_allowed("vocabulary", format!("{:?}", path.display().to_string()), allowed));
        }
        check::at_least("context", self.context as u64, 1)?;
        check::below_one("test", self.test)
    }
}

impl TextSource for TextData {
    const NAME: &'static str = "text";
    const SUMMARY: &'static str = "a text in UTF-8, by character or byte: `path`";

    fn corpus(&self) -> Result<Corpus, TextError> {
        #[cfg(feature = "bpe")]
        if let Some(vocabulary) = &self.vocabulary {
            return Corpus::open_bpe(&self.path, vocabulary);
        }
        Corpus::open(&self.path, self.unit)
    }

    fn context(&self) -> usize {
        self.context
    }

    fn test(&self) -> f64 {
        self.test
    }

    fn metrics(&self) -> Metrics<LanguageModel> {
        // Known before the text is read: how many tokens a character takes is not.
        Metrics::new().with(FromLoss::bits(self.token(), 1.0)).with(FromLoss::perplexity())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        [&mut self.path].into_iter().chain(&mut self.vocabulary).collect()
    }

    /// How well the model foretells another text, a file.
    fn predict(
        task: &Language<Self>,
        network: &LanguageModel,
        input: &str,
        device: &Device,
    ) -> Result<Vec<(String, Value)>, TaskError> {
        let corpus = Corpus::open_as(Path::new(input), task.vocabulary())?;
        let windows = Windows::in_order(&corpus, 0..corpus.len(), "whole", task.context)?;
        let all: Vec<usize> = (0..windows.len()).collect();
        let mut sum = 0.0;
        for indices in all.chunks(64) {
            let output = InferenceStep::step(network, windows.batch(indices, 0, 0, device));
            let loss = output.loss.try_into_scalar::<f64>().map_err(|error| TaskError::other(error.to_string()))?;
            sum += loss * indices.len() as f64;
        }
        let (loss, token) = (sum / all.len() as f64, task.source.token());
        let bits = loss / std::f64::consts::LN_2;
        let mut values = vec![("loss".to_owned(), loss.into()), (format!("bits_per_{token}"), bits.into())];
        // By what models of other tokens are compared; bytes that are no text have none.
        if let Some(tokens) = corpus.tokens_per_character().filter(|_| token != CHARACTER) {
            values.push((format!("bits_per_{CHARACTER}"), (bits * tokens).into()));
        }
        values.push(("perplexity".to_owned(), loss.exp().into()));
        values.push(("tokens".to_owned(), (windows.len() * task.context).into()));
        Ok(values)
    }
}

/// What a token is where it is a character.
const CHARACTER: &str = "character";

impl TextData {
    /// What a token is, as metrics are named after it.
    fn token(&self) -> &'static str {
        match (&self.vocabulary, self.unit) {
            (Some(_), _) => "token",
            (None, Unit::Bytes) => "byte",
            (None, Unit::Characters) => CHARACTER,
        }
    }
}

/// `dataset = "reversal"`: numbers and their digits from the last to the first, which need no file.
impl TextSource for ReversalConfig {
    const NAME: &'static str = "reversal";
    const SUMMARY: &'static str = "numbers and their digits from the last to the first, made by the program";

    fn corpus(&self) -> Result<Corpus, TextError> {
        Self::corpus(self)
    }

    fn context(&self) -> usize {
        self.context
    }

    fn test(&self) -> f64 {
        self.test
    }

    fn metrics(&self) -> Metrics<LanguageModel> {
        Metrics::new().with(Self::exact_match()).with(FromLoss::bits("character", 1.0))
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// What the model writes after a question, such as `4821=`.
    fn predict(
        task: &Language<Self>,
        network: &LanguageModel,
        input: &str,
        _: &Device,
    ) -> Result<Vec<(String, Value)>, TaskError> {
        let text = text::generate(network, task.vocabulary(), input, task.source.digits + 2, 0.0, 0)?;
        let answer = text.split('\n').next().unwrap_or_default();
        Ok(vec![("answer".to_owned(), answer.into())])
    }
}

/// A model of language on a text.
pub struct Language<S> {
    source: S,
    context: usize,
    fitted: Kept,
    /// What the text is called.
    name: String,
    /// The windows of the parts; `None` where there is no such part, or no text is needed.
    train: Option<Windows>,
    valid: Option<Windows>,
    test: Option<Windows>,
}

/// What a run keeps of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The SHA-256 of the text.
    text: String,
    vocabulary: Vocabulary,
}

impl<S: TextSource> Language<S> {
    /// What its tokens stand for.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.fitted.vocabulary
    }

    fn windows(&self, part: Split) -> Option<&Windows> {
        match part {
            Split::Train => self.train.as_ref(),
            Split::Valid => self.valid.as_ref(),
            Split::Test => self.test.as_ref(),
        }
    }

    /// See [`Corpus::check`].
    fn check_text(&self, part: Split) -> Result<(), TextError> {
        self.windows(part).map_or(Ok(()), |windows| windows.corpus().check())
    }
}

impl<S: TextSource> Task for Language<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;

    type Data = S;
    type Model = LanguageModelConfig;
    type Eval = NoSettings;
    type Network = LanguageModel;

    fn models() -> Vec<ModelRow<LanguageModelConfig>> {
        let [gpt, gru] =
            [LanguageModelConfig::from(GptConfig::default()), GruConfig::default().into()].map(|model| model.info());
        vec![
            ModelRow::new(gpt.name, gpt.summary, LanguageModelConfig::Gpt),
            ModelRow::new(gru.name, gru.summary, LanguageModelConfig::Gru),
        ]
    }

    fn metrics(settings: &TaskSettings<Self>) -> Metrics<LanguageModel> {
        settings.data.metrics()
    }

    fn paths(data: &mut S) -> Vec<&mut PathBuf> {
        data.paths()
    }

    /// Which text and which vocabulary they are is in the fingerprint.
    fn noted_as(field: &str) -> Option<String> {
        (!["path", "vocabulary"].contains(&field)).then(|| format!("data.{field}"))
    }

    fn load(settings: &TaskSettings<Self>, setup: &Setup) -> Result<Self, TaskError> {
        let source = settings.data.clone();
        let (context, batch) = (source.context(), setup.data.batch_size);
        if let Some(kept) = &setup.kept {
            let fitted: Kept = kept::read(kept)?;
            let (train, valid, test) = (None, None, None);
            return Ok(Self { source, context, fitted, name: S::NAME.to_owned(), train, valid, test });
        }
        let corpus = source.corpus()?;
        let parts = corpus.split(setup.data.validation, source.test());
        let [training, validation, rest] =
            parts.map_err(|error| ConfigError::conflict("data.test", error.to_string()))?;
        let in_order = |part: Range<usize>, name| {
            let windows = (!part.is_empty()).then(|| Windows::in_order(&corpus, part, name, context));
            windows.transpose()
        };
        // What is to be learned by heart stays the same in every epoch.
        let in_turn = setup.overfit_batches.is_some() || setup.data.sampler == Sampler::Sequential;
        let train = if in_turn {
            Windows::in_order(&corpus, training, "training", context)?
        } else {
            Windows::drawn(&corpus, training, context, batch)?
        };
        if rest.is_empty() && source.test() > 0.0 {
            let allowed = format!("0, or a fraction that holds out at least one of the {} tokens", corpus.len());
            return Err(ConfigError::not_allowed("data.test", source.test(), allowed).into());
        }
        let file = Path::new(corpus.name()).file_name();
        Ok(Self {
            valid: in_order(validation, "validation")?,
            test: in_order(rest, "test")?,
            train: Some(train),
            name: file.map_or_else(|| corpus.name().to_owned(), |name| name.to_string_lossy().into_owned()),
            fitted: Kept { text: corpus.fingerprint().to_owned(), vocabulary: corpus.vocabulary().clone() },
            source,
            context,
        })
    }

    fn items(&self, part: Split) -> usize {
        self.windows(part).map_or(0, Windows::len)
    }

    fn batch(&self, part: Split, items: &[usize], draw: Option<Draw>, device: &Device) -> TextBatch {
        let Draw { seed, epoch } = draw.unwrap_or(Draw { seed: 0, epoch: 0 });
        let Some(windows) = self.windows(part) else {
            // A part without items is asked for none.
            let none = || Tensor::zeros([0, self.context], device);
            return TextBatch { inputs: none(), targets: none() };
        };
        windows.batch(items, epoch, seed, device)
    }

    /// A text that is read while it is used may have been cut.
    fn assemble(
        self: &Arc<Self>,
        part: Split,
        _: usize,
        seed: Option<u64>,
        device: &Device,
    ) -> Result<Assemble<TextBatch>, TaskError> {
        let (task, device) = (Arc::clone(self), device.clone());
        Ok(Box::new(move |indices, epoch| {
            task.check_text(part)?;
            Ok(task.batch(part, indices, seed.map(|seed| Draw { seed, epoch }), &device))
        }))
    }

    fn network(&self, model: &LanguageModelConfig, device: &Device) -> Result<LanguageModel, TaskError> {
        Ok(LanguageModel::new(model, self.vocabulary().len(), self.context, device)?)
    }

    fn size(&self, model: &LanguageModelConfig, _: &Device) -> Result<Option<Size>, TaskError> {
        let tokens = self.vocabulary().len();
        // A block of `gpt` keeps two norms, queries, keys and values, what attention gives, and the wide layer twice; a
        // layer of `gru` keeps its gates and its state.
        let of_a_token = match model {
            LanguageModelConfig::Gpt(gpt) => gpt.layers.saturating_mul(gpt.width).saturating_mul(14),
            LanguageModelConfig::Gru(gru) => gru.layers.saturating_mul(gru.width).saturating_mul(4),
        };
        Ok(Some(Size {
            // More than can be counted is more than fits.
            parameters: model.parameters(tokens, self.context).unwrap_or(usize::MAX),
            item: self.context.saturating_mul(2),
            made: self.context.saturating_mul(of_a_token.saturating_add(tokens)),
        }))
    }

    fn fingerprint(&self) -> String {
        self.fitted.text.clone()
    }

    fn kept(&self) -> Option<String> {
        kept::write(&self.fitted)
    }

    /// The characters, by which tokens are numbered.
    fn check_pretrained(&self, kept: Option<&str>) -> Result<Option<String>, TaskError> {
        let vocabulary = self.vocabulary();
        let Some(fitted) = kept.and_then(|kept| kept::read::<Kept>(kept).ok()) else {
            // The numbers of bytes are the same everywhere.
            let is_known = *vocabulary == Vocabulary::Bytes;
            return Ok((!is_known).then(|| {
                let (count, name) = (vocabulary.len(), &self.name);
                format!("it is not known what its tokens stand for: they are taken for the {count} of {name}")
            }));
        };
        match vocabulary.difference(&fitted.vocabulary) {
            Some(difference) => {
                let name = &self.name;
                Err(TaskError::other(format!(
                    "the weights were learned on other tokens than those of {name}: {difference}"
                )))
            }
            None => Ok(None),
        }
    }

    fn description(&self) -> String {
        self.name.clone()
    }

    /// What the network writes after the beginning of what is validated, to the end of a window.
    fn show(&self, network: &LanguageModel, _: &Device) -> Result<Outputs, TaskError> {
        /// Tokens that are given.
        const GIVEN: usize = 16;
        let Some(windows) = self.valid.as_ref().or(self.train.as_ref()) else { return Ok(Outputs::default()) };
        windows.corpus().check()?;
        let given = windows.beginning(GIVEN.min(self.context.div_ceil(2)));
        let prompt = self.vocabulary().decode(&given);
        let length = self.context - given.len().min(self.context);
        // The tokens given may end within a character, and a model that has diverged writes nothing.
        let Ok(text) = text::generate(network, self.vocabulary(), &prompt, length, 0.8, 0) else {
            return Ok(Outputs::default());
        };
        Ok(Outputs { texts: vec![format!("{prompt}{text}")], ..Outputs::default() })
    }

    fn predict(
        &self,
        network: &LanguageModel,
        inputs: &[String],
        device: &Device,
    ) -> Result<Vec<Prediction>, TaskError> {
        let of =
            |input: &String| Ok(Prediction { input: input.clone(), values: S::predict(self, network, input, device)? });
        inputs.iter().map(of).collect()
    }

    fn sample(&self, network: &LanguageModel, asked: &Sampling, _: &Device) -> Result<String, TaskError> {
        let Sampling { prompt, length, temperature, seed } = asked;
        Ok(text::generate(network, self.vocabulary(), prompt, *length, *temperature, *seed)?)
    }
}
