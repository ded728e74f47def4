//! Rows as a network takes them: standardised numbers and codes of categories, in blocks, and their tensors.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// What is to be predicted for each row, in memory.
#[derive(Debug)]
pub(crate) enum TargetBlock {
    Classes(Vec<i32>),
    /// Standardised by this deviation.
    Numbers(Vec<f32>, f64),
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    /// `(row, column)`.
    pub(crate) numbers: Vec<f32>,
    /// `(row, column)`; 0 for a category that the training part lacks.
    pub(crate) codes: Vec<i32>,
    pub(crate) targets: TargetBlock,
    pub(crate) number_columns: usize,
    pub(crate) category_columns: usize,
}

/// Rows after preprocessing, or a chosen part of them. A clone and a [`subset`](Self::subset) share the block.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(crate) block: Arc<Block>,
    /// Positions in the block, where this is a part of it.
    chosen: Option<Arc<[u32]>>,
}

/// Rows as tensors.
#[derive(Clone, Debug)]
pub struct RowBatch {
    /// Standardised numbers: `(row, column)`; `(row, 0)` where there are none.
    pub numbers: Tensor<2>,
    /// Codes of categories: `(row, column)`; `(row, 0)` where there are none.
    pub categories: Tensor<2, Int>,
    /// What is to be predicted.
    pub targets: Targets,
}

/// What is to be predicted.
#[derive(Clone, Debug)]
pub enum Targets {
    /// The class of each row.
    Classes(Tensor<1, Int>),
    /// The number of each row.
    Numbers {
        /// Standardised: `(row, 1)`.
        values: Tensor<2>,
        /// The deviation that they were divided by: errors times it are in the target's own unit.
        std: f64,
    },
}

impl RowBatch {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.numbers.dims()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows {
    pub(crate) fn new(block: Block) -> Self {
        Self { block: Arc::new(block), chosen: None }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.block.rows, |chosen| chosen.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows at these positions, which share the block.
    ///
    /// # Panics
    /// As a slice does, where a position is not below [`len`](Self::len).
    #[must_use]
    pub fn subset(&self, positions: &[usize]) -> Self {
        let chosen = positions.iter().map(|&position| self.position(position) as u32).collect();
        Self { block: Arc::clone(&self.block), chosen: Some(chosen) }
    }

    /// The number of a row in its table, from 1.
    ///
    /// # Panics
    /// As a slice does, where an index is not below [`len`](Self::len).
    pub fn number(&self, index: usize) -> usize {
        self.position(index) + 1
    }

    /// The standardised number of a row; `None` where the target is a class.
    pub(crate) fn standardised(&self, index: usize) -> Option<f64> {
        match &self.block.targets {
            TargetBlock::Numbers(numbers, _) => Some(f64::from(numbers[self.position(index)])),
            TargetBlock::Classes(_) => None,
        }
    }

    fn position(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index] as usize)
    }

    /// The class of a row, counted from 0; `None` where the target is a number.
    ///
    /// # Panics
    /// As a slice does, where `index` is not below [`len`](Self::len).
    pub fn class(&self, index: usize) -> Option<usize> {
        match &self.block.targets {
            TargetBlock::Classes(classes) => usize::try_from(classes[self.position(index)]).ok(),
            TargetBlock::Numbers(..) => None,
        }
    }

    /// The rows at these positions, as tensors on `device`. Rows to predict have targets of 0.
    ///
    /// # Panics
    /// As a slice does, where a position is not below [`len`](Self::len).
    pub fn batch(&self, positions: &[usize], device: &Device) -> RowBatch {
        let Block { numbers, codes, targets, number_columns, category_columns, .. } = &*self.block;
        let rows: Vec<usize> = positions.iter().map(|&index| self.position(index)).collect();
        let targets = match targets {
            TargetBlock::Classes(classes) => {
                Targets::Classes(Tensor::from_data(TensorData::new(gather(classes, 1, &rows), [rows.len()]), device))
            }
            TargetBlock::Numbers(numbers, std) => {
                let values = TensorData::new(gather(numbers, 1, &rows), [rows.len(), 1]);
                let values = Tensor::from_data(values, device);
                Targets::Numbers { values, std: *std }
            }
        };
        let (numbers, codes) = (gather(numbers, *number_columns, &rows), gather(codes, *category_columns, &rows));
        RowBatch {
            numbers: Tensor::from_data(TensorData::new(numbers, [rows.len(), *number_columns]), device),
            categories: Tensor::from_data(TensorData::new(codes, [rows.len(), *category_columns]), device),
            targets,
        }
    }
}

/// The rows of a block of `width` columns, one after the other.
fn gather<T: Copy>(block: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    let mut out = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        out.extend_from_slice(&block[row * width..][..width]);
    }
    out
}
