//! What holds for every model: what it reads, how its weights are drawn, what it learns and writes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainStep};
use text::models::{GptConfig, GruConfig, LanguageModel, LanguageModelConfig, known};
use text::{Corpus, TextError, Vocabulary, Windows, generate};

fn small() -> [LanguageModelConfig; 3] {
    let gpt = GptConfig { layers: 2, heads: 2, width: 8, ..GptConfig::default() };
    let untied = GptConfig { tied: false, ..gpt.clone() };
    [gpt.into(), untied.into(), GruConfig { layers: 2, width: 8, ..GruConfig::default() }.into()]
}

fn tokens(values: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
}

#[derive(Default)]
struct Values(Vec<Vec<f32>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().to_data().try_to_vec::<f32>().unwrap());
    }
}

fn values(model: &impl Module) -> Vec<Vec<f32>> {
    let mut values = Values::default();
    model.visit(&mut values);
    values.0
}

#[test]
fn parameters_are_counted_as_they_are() {
    for config in small() {
        let model = LanguageModel::new(&config, 11, 5, &Device::flex()).unwrap();
        let found: usize = values(&model).iter().map(Vec::len).sum();
        assert_eq!(config.parameters(11, 5), Some(found), "{config:?}");
    }
    assert!(known().map(|info| info.name).eq(["gpt", "gru"]));
}

#[test]
fn what_comes_later_changes_nothing_before_it() {
    let device = Device::flex();
    for config in small() {
        let model = LanguageModel::new(&config, 11, 6, &device).unwrap();
        let logits = |values: &[i32]| model.forward(tokens(values, &device)).into_data().try_into_vec::<f32>().unwrap();
        let (one, other) = (logits(&[1, 2, 3, 4, 5, 6]), logits(&[1, 2, 3, 9, 8, 7]));
        assert_eq!(one[..3 * 11], other[..3 * 11], "{config:?}");
        assert_ne!(one[3 * 11..], other[3 * 11..], "{config:?}");
        // Shorter windows are the beginning of longer ones.
        let short = logits(&[1, 2, 3]);
        assert!(short.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-6), "{config:?}");
    }
}

/// A step of descent along the gradients.
struct Descend<'a>(&'a mut burn::optim::GradientsParams);

impl ModuleMapper for Descend<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.0.remove::<D>(param.id) else { return param };
        param.map(|value| (value.inner() - gradient.mul_scalar(0.5)).autodiff_from().require_grad())
    }
}

trait Tracked<const D: usize> {
    fn autodiff_from(self) -> Tensor<D>;
}

impl<const D: usize> Tracked<D> for Tensor<D> {
    fn autodiff_from(self) -> Self {
        Tensor::from_inner(self)
    }
}

#[test]
fn every_parameter_gets_a_gradient_and_the_loss_falls() {
    let device = Device::flex().autodiff();
    let corpus = Corpus::from_text("rhyme", "row, row, row your boat\n".repeat(30)).unwrap();
    let windows = Windows::drawn(&corpus, 0..corpus.len(), 12, 8).unwrap();
    for config in small() {
        let mut model = LanguageModel::new(&config, corpus.vocabulary().len(), 12, &device).unwrap();
        let all: Vec<usize> = (0..8).collect();
        let loss = |model: &LanguageModel| -> f32 {
            InferenceStep::step(&model.valid(), windows.batch(&all, 9, 9, &Device::flex())).loss.into_scalar()
        };
        let before = loss(&model);
        for epoch in 0..60 {
            let mut output = TrainStep::step(&model, windows.batch(&all, epoch, 1, &device));
            assert_eq!(output.grads.len(), values(&model).len(), "{config:?}");
            model = model.map(&mut Descend(&mut output.grads));
        }
        let after = loss(&model);
        assert!(after < 0.6 * before, "{config:?}: {before} to {after}");
    }
}

#[test]
fn dropout_acts_in_training_alone() {
    let device = Device::flex().autodiff();
    let gpt = GptConfig { layers: 1, heads: 1, width: 8, dropout: 0.5, tied: true };
    let gru = GruConfig { layers: 1, width: 8, dropout: 0.5 };
    for config in [LanguageModelConfig::from(gpt), gru.into()] {
        let model = LanguageModel::new(&config, 11, 4, &device).unwrap();
        let logits = |model: &LanguageModel, device: &Device| {
            model.forward(tokens(&[1, 2, 3, 4], device)).into_data().try_into_vec::<f32>().unwrap()
        };
        assert_ne!(logits(&model, &device), logits(&model, &device), "{config:?}");
        let evaluated = model.valid();
        assert_eq!(logits(&evaluated, &Device::flex()), logits(&evaluated, &Device::flex()), "{config:?}");
    }
}

#[test]
fn text_is_a_function_of_model_prompt_temperature_and_seed() {
    let device = Device::flex();
    let vocabulary = Vocabulary::of("abcdefghijk");
    for config in small() {
        // Longer than a window: a transformer reads its last tokens, a recurrent network all.
        let model = LanguageModel::new(&config, vocabulary.len(), 6, &device).unwrap();
        let write =
            |prompt: &str, temperature, seed| generate(&model, &vocabulary, prompt, 20, temperature, seed).unwrap();
        let text = write("abc", 1.0, 3);
        assert_eq!(text.chars().count(), 20);
        assert_eq!(text, write("abc", 1.0, 3), "{config:?}");
        assert_ne!(text, write("abc", 1.0, 4), "{config:?}");
        assert_eq!(write("abc", 0.0, 3), write("abc", 0.0, 4), "{config:?}");
        // One token after the other is the same as both at once.
        let first = generate(&model, &vocabulary, "abc", 5, 0.0, 0).unwrap();
        assert_eq!(write(&format!("abc{first}"), 0.0, 0)[..15], write("abc", 0.0, 0)[5..], "{config:?}");
        // With autodiff, the same.
        let tracked = LanguageModel::new(&config, vocabulary.len(), 6, &device.clone().autodiff()).unwrap();
        let tracked = tracked.try_load_record(model.clone().into_record()).unwrap();
        assert_eq!(generate(&tracked, &vocabulary, "abc", 20, 1.0, 3).unwrap(), text);
    }
}

#[test]
fn prompts_and_temperatures_that_make_no_sense_are_refused() {
    let device = Device::flex();
    let vocabulary = Vocabulary::of("ab\n");
    let model = LanguageModel::new(&small()[0], vocabulary.len(), 6, &device).unwrap();
    let refused =
        |prompt: &str, temperature| generate(&model, &vocabulary, prompt, 1, temperature, 0).unwrap_err().to_string();
    assert_eq!(
        refused("abca", 1.0),
        "the prompt: line 1, character 3 is 'c', which is not among the 3 of the training text: \\nab"
    );
    assert_eq!(refused("", 1.0), "the prompt is empty: at least one character is needed");
    for temperature in [-1.0, f64::NAN, f64::INFINITY] {
        let expected = format!(
            "`temperature` is {temperature}: allowed is a finite number of at least 0 (0 takes the most likely token)"
        );
        assert_eq!(refused("a", temperature), expected);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_the_model_too() {
    let config = GptConfig { heads: 3, ..GptConfig::default() };
    let error = LanguageModel::new(&config.into(), 11, 6, &Device::flex()).unwrap_err();
    assert!(matches!(error, TextError::Settings(_)));
    assert_eq!(error.to_string(), "gpt.width: 128 is not allowed here; allowed: a multiple of `heads` = 3");
}
