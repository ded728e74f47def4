//! What a network says about a row, in the words of the table.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorReadError};
use serde::Serialize;

use crate::preprocessing::Target;

/// What is predicted for a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Prediction {
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

/// One for each row of `outputs`: logits, or standardised numbers.
pub(crate) fn predictions(target: &Target, outputs: Tensor<2>) -> Result<Vec<Prediction>, TensorReadError> {
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
                Prediction::Class { class: classes[best].clone(), probabilities: row.to_vec() }
            });
            Ok(rows.collect())
        }
        Target::Number { mean, std, .. } => {
            let numbers: Vec<f64> = outputs.try_into_data()?.try_into_vec_as()?;
            Ok(numbers.into_iter().map(|number| Prediction::Number { value: number * std + mean }).collect())
        }
    }
}
