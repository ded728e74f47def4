//! `[data] sampler`: in which order an epoch visits the training items.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;
use trainer::data::{ItemWeightsError, Weights};

use super::{Classes, DataSection, TaskError};

/// In which order an epoch visits the training items. With `[train] overfit_batches` they come as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Each once, shuffled again in every epoch: torch's `RandomSampler`.
    #[default]
    Random,
    /// Each once, as they are stored: torch's `SequentialSampler`.
    Sequential,
    /// As many draws as there are items, with replacement, each item as often as the weight of its class says: torch's
    /// `WeightedRandomSampler`.
    Weighted,
}

/// The weight of each training item, where they are drawn by the weights of their `classes`; `None` where they are not.
pub(super) fn weights(
    data: &DataSection,
    task: &str,
    classes: impl FnOnce() -> Option<Classes>,
) -> Result<Option<Vec<f64>>, TaskError> {
    if data.sampler != Sampler::Weighted {
        return Ok(None);
    }
    let Some(Classes { names, of_items }) = classes() else {
        let allowed = format!("random or sequential: `{task}` has no classes to weigh here");
        return Err(ConfigError::not_allowed("data.sampler", "weighted", allowed).into());
    };
    let of_classes: Vec<f64> = match &data.class_weights {
        None => {
            let mut counts = vec![0_u32; names.len()];
            for class in &of_items {
                counts[*class] += 1;
            }
            counts.into_iter().map(|count| 1.0 / f64::from(count.max(1))).collect()
        }
        Some(given) => {
            if let Some(unknown) = given.keys().find(|class| !names.contains(class)) {
                let names = names.iter().map(String::as_str);
                return Err(ConfigError::unknown_name("data.class_weights", "class", unknown, names).into());
            }
            names.iter().map(|name| given.get(name).copied().unwrap_or(1.0)).collect()
        }
    };
    let weights: Vec<f64> = of_items.iter().map(|class| of_classes[*class]).collect();
    Weights::new(&weights).map_err(|error| refused(&error))?;
    Ok(Some(weights))
}

/// Weights that draw nothing.
pub(super) fn refused(error: &ItemWeightsError) -> TaskError {
    ConfigError::conflict("data.class_weights", error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Vec<f64>>, String> {
        let data: DataSection = strict_config::read(&text.parse().expect("TOML"), "data").map_err(|e| e.to_string())?;
        let classes =
            || Classes { names: ["cat", "dog", "owl"].map(str::to_owned).to_vec(), of_items: vec![0, 1, 1, 0, 1, 1] };
        weights(&data, "images", || Some(classes())).map_err(|error| error.to_string())
    }

    #[test]
    fn an_item_weighs_what_its_class_says() {
        for (text, expected) in [
            ("", None),
            ("sampler = 'sequential'", None),
            // Each class is drawn as often, whatever there is of it.
            ("sampler = 'weighted'", Some(vec![0.5, 0.25, 0.25, 0.5, 0.25, 0.25])),
            ("sampler = 'weighted'\nclass_weights = { cat = 3 }", Some(vec![3.0, 1.0, 1.0, 3.0, 1.0, 1.0])),
            ("sampler = 'weighted'\nclass_weights = { cat = 0, dog = 0.5 }", Some(vec![0.0, 0.5, 0.5, 0.0, 0.5, 0.5])),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_weighs_nothing_is_refused_with_its_field() {
        for (text, expected) in [
            ("sampler = 'wieghted'", "data.sampler: there is no "),
            ("class_weights = { cat = 3 }", "data.class_weights: weighs nothing without `sampler = \"weighted\"`"),
            (
                "sampler = 'weighted'\nclass_weights = { cta = 3 }",
                "data.class_weights: there is no class `cta`; did you mean `cat`? (known: cat, dog, owl)",
            ),
            (
                "sampler = 'weighted'\nclass_weights = { cat = -1 }",
                "data.class_weights.cat: -1 is not allowed here; allowed: a finite number of at least 0",
            ),
            (
                "sampler = 'weighted'\nclass_weights = { cat = 0, dog = 0 }",
                "data.class_weights: the weights of all items",
            ),
        ] {
            let refusal = of(text).expect_err(text);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
        let data = DataSection { sampler: Sampler::Weighted, ..DataSection::default() };
        let refusal = weights(&data, "text", || None).expect_err("a text has no classes").to_string();
        assert_eq!(
            refusal,
            "data.sampler: weighted is not allowed here; allowed: random or sequential: `text` has no classes to weigh here"
        );
    }
}
