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
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SeenBatch {
    pub(super) items: usize,
    /// `None` where it was not read.
    #[serde(with = "bits")]
    pub(super) loss: Option<f64>,
    /// Named numbers beside it.
    #[serde(with = "bits")]
    pub(super) scalars: Vec<(String, f64)>,
}

/// Numbers by their bits: JSON has no NaN.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) trait Bits: Sized {
        type As: Serialize + for<'de> Deserialize<'de>;
        fn to(&self) -> Self::As;
        fn from(bits: Self::As) -> Self;
    }

    impl Bits for Option<f64> {
        type As = Option<u64>;
        fn to(&self) -> Option<u64> {
            self.map(f64::to_bits)
        }
        fn from(bits: Option<u64>) -> Self {
            bits.map(f64::from_bits)
        }
    }

    impl Bits for Vec<(String, f64)> {
        type As = Vec<(String, u64)>;
        fn to(&self) -> Vec<(String, u64)> {
            self.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect()
        }
        fn from(bits: Vec<(String, u64)>) -> Self {
            bits.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect()
        }
    }

    pub(super) fn serialize<B: Bits, S: Serializer>(value: &B, serializer: S) -> Result<S::Ok, S::Error> {
        value.to().serialize(serializer)
    }

    pub(super) fn deserialize<'de, B: Bits, D: Deserializer<'de>>(deserializer: D) -> Result<B, D::Error> {
        B::As::deserialize(deserializer).map(B::from)
    }
}
