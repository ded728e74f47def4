//! What the batches of a window have given, on one rank.

use serde::{Deserialize, Serialize};

/// What this rank's batches of a window have given.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) batches: Vec<SeenBatch>,
    /// What they add to batch norm's running statistics.
    pub(super) changes: Vec<Vec<f32>>,
    /// Their items and outputs, for the rank that measures.
    pub(super) outputs: Vec<(usize, Vec<u8>)>,
}

/// What a batch has given.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenBatch {
    pub(super) items: usize,
    /// `None` where it was not read.
    pub(super) loss: Option<Number>,
    /// Named numbers beside it.
    pub(super) scalars: Vec<(String, Number)>,
}

/// A number that is sent by its bits: JSON has no NaN.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub(super) struct Number(pub(super) f64);

impl From<u64> for Number {
    fn from(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        number.0.to_bits()
    }
}
