//! The target of a table, and what a network says about a row in its words.

use std::fmt;

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorReadError};
use serde::{Deserialize, Serialize};

/// What is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One of several classes.
    Classes {
        /// The column.
        name: String,
        /// The classes, number 0 first.
        classes: Vec<String>,
    },
    /// A number.
    Number {
        /// The column.
        name: String,
        /// The mean of the training part.
        mean: f64,
        /// The population standard deviation of the training part.
        std: f64,
    },
}

impl Target {
    /// The column.
    pub fn name(&self) -> &str {
        match self {
            Self::Classes { name, .. } | Self::Number { name, .. } => name,
        }
    }

    /// What a network gives for a row: a logit for each class, or one number.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => classes.len(),
            Self::Number { .. } => 1,
        }
    }
}

/// What is predicted for a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RowPrediction {
    /// A class.
    Class {
        /// The most probable one; of several the first.
        class: String,
        /// The probability of each class, in the order of the classes.
        probabilities: Vec<f64>,
    },
    /// A number, in the target's own unit.
    Number {
        /// The number.
        value: f64,
    },
}

impl RowPrediction {
    /// The probability of the class.
    pub fn probability(&self) -> Option<f64> {
        match self {
            Self::Class { probabilities, .. } => probabilities.iter().copied().reduce(f64::max),
            Self::Number { .. } => None,
        }
    }
}

/// The class, or six digits of the number.
impl fmt::Display for RowPrediction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class { class, .. } => out.write_str(class),
            Self::Number { value } => out.write_str(&six_digits(*value)),
        }
    }
}

/// A number for a person: those that an f32 tells of it.
pub(crate) fn six_digits(number: f64) -> String {
    let magnitude = if number == 0.0 { 0.0 } else { number.abs().log10().floor() };
    if (-5.0..15.0).contains(&magnitude) {
        format!("{number:.*}", (5.0 - magnitude).max(0.0) as usize)
    } else {
        format!("{number:.5e}")
    }
}

/// One for each row of `outputs`: logits, or standardised numbers.
pub(crate) fn predictions(target: &Target, outputs: Tensor<2>) -> Result<Vec<RowPrediction>, TensorReadError> {
    let width = target.outputs().max(1);
    match target {
        Target::Classes { classes, .. } => {
            let probabilities: Vec<f64> = softmax(outputs, 1).try_into_data()?.try_into_vec_as()?;
            let rows = probabilities.chunks_exact(width).map(|row| {
                let mut best = 0;
                for (at, probability) in row.iter().enumerate() {
                    if *probability > row[best] {
                        best = at;
                    }
                }
                RowPrediction::Class { class: classes[best].clone(), probabilities: row.to_vec() }
            });
            Ok(rows.collect())
        }
        Target::Number { mean, std, .. } => {
            let numbers: Vec<f64> = outputs.try_into_data()?.try_into_vec_as()?;
            Ok(numbers.into_iter().map(|number| RowPrediction::Number { value: number * std + mean }).collect())
        }
    }
}
