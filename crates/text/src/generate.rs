//! Text from a model: one token after the other.

use burn::module::Module;
use burn::tensor::Device;
use splitmix::SplitMix64;

use crate::error::TextError;
use crate::models::LanguageModel;
use crate::vocabulary::Vocabulary;

/// What a model writes after `prompt`: `length` tokens, each drawn with the chance `softmax(logits / temperature)` that the
/// model gives it after all that stands before it, as far back as its context reaches.
///
/// A temperature below 1 prefers what is likely; at 0 the most likely token is taken (the first of equals). Token `i` is
/// drawn by the key (seed, i): the text is a function of model, prompt, temperature and seed. A model on a device with
/// autodiff generates without it, and without dropout.
///
/// # Errors
/// An empty prompt; a character in it that the model has not seen in training; a temperature below 0 or not finite; a model
/// whose output is not finite.
pub fn generate(
    model: &LanguageModel,
    vocabulary: &Vocabulary,
    prompt: &str,
    length: usize,
    temperature: f64,
    seed: u64,
) -> Result<String, TextError> {
    if !(temperature.is_finite() && temperature >= 0.0) {
        return Err(TextError::Temperature { found: temperature });
    }
    let mut tokens = vocabulary.encode(prompt, "the prompt")?;
    if tokens.is_empty() {
        return Err(TextError::EmptyPrompt);
    }
    let begin = tokens.len();
    let model = model.valid();
    let device = model.devices().into_iter().next().unwrap_or_else(Device::flex);
    let mut writer = model.writer(device);
    for index in 0..length {
        let logits = writer.next(&tokens)?;
        let random = SplitMix64::keyed([seed, index as u64, 0]).fraction();
        tokens.push(pick(&logits, temperature, random)?);
    }
    Ok(vocabulary.decode(&tokens[begin..]))
}

/// The token at this place in `[0, 1)` of the distribution.
fn pick(logits: &[f32], temperature: f64, random: f64) -> Result<u32, TextError> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return Err(TextError::NotFinite);
    }
    let place = if temperature == 0.0 {
        logits.iter().position(|&logit| logit == largest)
    } else {
        let chances = logits.iter().map(|&logit| (f64::from(logit - largest) / temperature).exp());
        let chances: Vec<f64> = chances.collect();
        let mut left = random * chances.iter().sum::<f64>();
        chances.iter().position(|chance| {
            left -= chance;
            left < 0.0
        })
    };
    // By rounding, nothing may be left at the very end.
    Ok(place.unwrap_or(logits.len() - 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_as_often_as_their_chances_say() {
        let logits = [0.0, 1.0, -1.0, f32::NEG_INFINITY];
        for temperature in [0.5, 1.0, 2.0] {
            let chances = logits.map(|logit| (f64::from(logit) / temperature).exp());
            let sum: f64 = chances.iter().sum();
            let mut counts = [0.0; 4];
            for index in 0..20_000 {
                let random = SplitMix64::keyed([1, index, 0]).fraction();
                counts[pick(&logits, temperature, random).unwrap() as usize] += 1.0 / 20_000.0;
            }
            for (count, chance) in counts.iter().zip(chances) {
                assert!((count - chance / sum).abs() < 0.02, "{temperature}: {counts:?}");
            }
        }
    }

    #[test]
    fn at_temperature_0_the_most_likely_is_taken() {
        assert_eq!(pick(&[1.0, 3.0, 3.0, 2.0], 0.0, 0.99).unwrap(), 1);
        // Very low ones come near, without an overflow.
        assert_eq!(pick(&[1.0, 3.0, 2.0], 1e-300, 0.99).unwrap(), 1);
    }

    #[test]
    fn output_that_is_not_finite_is_refused() {
        for logits in [[f32::NAN, 0.0], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            assert!(matches!(pick(&logits, 1.0, 0.5), Err(TextError::NotFinite)));
        }
    }
}
