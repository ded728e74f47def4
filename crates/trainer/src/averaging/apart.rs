//! What each batch of a window does to batch norm's running statistics, measured apart from the others, so that several
//! processes leave the statistics that one would.
//!
//! A batch turns a statistic `r` into `d r + c`, element by element in f32, with `d` one minus the layer's momentum and `c`
//! the batch's own. From `r = 0` it leaves `c`. What `d` is, exactly as the layer rounds it, is seen once: from `r = 2^100`,
//! beside which `c` is nothing.

use std::collections::HashMap;

use burn::{
    module::{Module, Param, ParamId},
    tensor::{Tensor, TensorData},
};

use super::statistics::{Change, See, changed, fill, shown};
use crate::{
    TrainError,
    activations::copy_to_train,
    data::Source,
    precision::Precision,
    updates::{Trainable, look_at},
};

/// 2^100.
const LARGE: f32 = 1_267_650_600_228_229_401_496_703_205_376.0;

/// A decay below this is 0: what is left is the batch's own.
const NO_DECAY: f32 = 1e-12;

/// How batches change the running statistics of a model.
#[derive(Debug)]
pub(crate) struct Apart {
    /// `d` of each statistic that training changes: not of layers that are frozen.
    decays: HashMap<ParamId, f32>,
    elements: usize,
}

impl Apart {
    /// Looks at one batch of `data`; `None` where there is nothing to change.
    ///
    /// # Errors
    /// A batch that `data` could not produce.
    pub(crate) fn of<M: Trainable>(
        model: &M,
        precision: Precision,
        data: &dyn Source<M::TrainBatch>,
    ) -> Result<Option<Self>, TrainError> {
        if read(model, None).is_empty() {
            return Ok(None);
        }
        let Some(batch) = data.epoch(0, 0).next().transpose()? else { return Ok(None) };
        let probe = fill(model, f64::from(LARGE), |_| true);
        drop(look_at(&probe, batch.input, precision, (0, 0)));
        let decay = |values: &[f32]| values.first().map_or(1.0, |value| value / LARGE);
        let decays = read(&probe, None).into_iter().map(|(id, values)| (id, decay(&values)));
        let decays = decays.map(|(id, decay)| (id, if decay.abs() < NO_DECAY { 0.0 } else { decay }));
        let decays: HashMap<_, _> = decays.filter(|(_, decay)| *decay != 1.0).collect();
        let mut apart = Self { decays, elements: 0 };
        apart.elements = apart.change(&probe).len();
        Ok((apart.elements > 0).then_some(apart))
    }

    /// How many numbers a batch changes.
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// The same model with its statistics at 0, shared with no other.
    pub(crate) fn copy<M: Module>(&self, model: &M) -> M {
        fill(model, 0.0, |id| self.decays.contains_key(&id))
    }

    /// What the batch that a [`copy`](Self::copy) has seen adds.
    pub(crate) fn change<M: Module>(&self, copy: &M) -> Vec<f32> {
        read(copy, Some(self)).into_iter().flat_map(|(_, values)| values).collect()
    }

    /// The model after batches that add `changes`, in this order.
    pub(crate) fn apply<M: Module>(&self, model: &M, changes: &[&[f32]]) -> M {
        let model = copy_to_train(model, model.devices().first());
        changed(model, Apply { apart: self, changes, at: 0 })
    }
}

/// The statistics in the order in which the model shows them, an update that burn still keeps aside included; only those that
/// change where it is known which do.
fn read<M: Module>(model: &M, only: Option<&Apart>) -> Vec<(ParamId, Vec<f32>)> {
    struct Read<'a>(Option<&'a Apart>, Vec<(ParamId, Vec<f32>)>);
    impl See for Read<'_> {
        fn see<const D: usize>(&mut self, statistic: &Param<Tensor<D>>) {
            if self.0.is_none_or(|apart| apart.decays.contains_key(&statistic.id)) {
                let values = statistic.base().without_autodiff().into_data().iter::<f32>().collect();
                self.1.push((statistic.id, values));
            }
        }
    }
    let _ = model.valid();
    shown(model, Read(only, Vec::new())).1
}

struct Apply<'a> {
    apart: &'a Apart,
    changes: &'a [&'a [f32]],
    /// Elements before this statistic.
    at: usize,
}

impl Change for Apply<'_> {
    fn change<const D: usize>(&mut self, statistic: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(decay) = self.apart.decays.get(&statistic.id).copied() else { return statistic };
        let (shape, device) = (statistic.base().dims(), statistic.base().device());
        let mut values: Vec<f32> = statistic.base().without_autodiff().into_data().iter::<f32>().collect();
        for change in self.changes {
            let change = change.get(self.at..).unwrap_or_default();
            values.iter_mut().zip(change).for_each(|(value, change)| *value = *value * decay + change);
        }
        self.at += values.len();
        statistic.map(|_| Tensor::from_data(TensorData::new(values, shape), &device))
    }
}
