//! The gradients of a window, summed over the ranks.
//!
//! The exact sum costs what an all-reduce costs. Each rank sums one slice of all gradients: it is sent that slice of the
//! others' nodes of the tree, puts the tree together, and sends the sums to all. With one node for each rank (a block of
//! batches that is a power of two) `2 (N - 1) / N` times the gradients leave each rank, as in a ring all-reduce; in
//! general a rank sends as many times the first half of it as it has nodes.

use std::{collections::HashSet, ops::Range};

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{Tensor, TensorData},
};

use super::{Communicator, Reduce, Share};
use crate::{
    TrainError,
    step::{Window, weight},
    tree::Tree,
};

/// Values that the fast sum hands over at once.
const BUCKET: usize = 1 << 24;

/// The gradients of a rank's batches in a window.
pub(crate) struct Gradients {
    window: Window,
    present: Vec<bool>,
}

impl Gradients {
    /// Takes them out of the window.
    pub(crate) fn take<M: Module>(model: &M, window: &mut Window) -> Self {
        let window = std::mem::take(window);
        let mut present = Present { window: &window, seen: HashSet::new(), found: Vec::new() };
        model.visit(&mut present);
        Self { present: present.found, window }
    }

    /// Which parameters have one, in the order in which the model shows them.
    pub(crate) fn present(&self) -> &[bool] {
        &self.present
    }
}

/// The mean of the gradients of all ranks over the items, as [`Window::take_mean`] gives it in one process. `items` holds
/// those of every batch of the window, and `present` says which parameters have a gradient on some rank.
///
/// # Errors
/// A rank that cannot be reached; a gradient that is not f32.
pub(crate) fn sum_of_window<M: Module>(
    ranks: &dyn Communicator,
    reduce: Reduce,
    model: &M,
    own: Gradients,
    share: &Share,
    items: &[usize],
    present: &[bool],
) -> Result<GradientsParams, TrainError> {
    let mean = match reduce {
        Reduce::Exact => exact(ranks, model, own, share, items, present)?,
        Reduce::Fast => fast(ranks, model, own, items, present)?,
    };
    let mut read = Read { values: &mean, at: 0, present, seen: Seen::default(), grads: GradientsParams::new() };
    model.visit(&mut read);
    Ok(read.grads)
}

fn exact<M: Module>(
    ranks: &dyn Communicator,
    model: &M,
    mut own: Gradients,
    share: &Share,
    items: &[usize],
    present: &[bool],
) -> Result<Vec<f32>, TrainError> {
    let nodes = own.window.take_nodes().into_iter().map(|node| flat(model, node.sum.grads, present));
    let mut nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let length = match nodes.first() {
        Some(values) => values.len(),
        // Nothing but the length is asked of a rank that has no batch.
        None => flat(model, GradientsParams::new(), present)?.len(),
    };
    let size = ranks.size();
    let slice = |rank: usize| rank * length / size..(rank + 1) * length / size;
    let here = slice(ranks.rank());
    // The usual block is one node, whose values stand in the order of their slices.
    let values = match nodes.len() {
        1 => nodes.remove(0),
        _ => (0..size).flat_map(|rank| nodes.iter().map(move |node| &node[slice(rank)])).flatten().copied().collect(),
    };
    let sent: Vec<usize> = (0..size).map(|rank| slice(rank).len() * share.nodes(ranks.rank()).len()).collect();
    let received: Vec<usize> = (0..size).map(|rank| here.len() * share.nodes(rank).len()).collect();
    let mut came = ranks.exchange(&values, &sent, &received)?;
    drop(values);

    let all = (0..size).flat_map(|rank| share.nodes(rank)).enumerate();
    let mut tree = Tree::default();
    let mut add = |left: Slice, right: Slice| {
        let (head, tail) = came.split_at_mut(right.start);
        let (sum, right_values) = (&mut head[left.start..left.start + here.len()], &tail[..here.len()]);
        match weight(right.unit, left.unit).map(|factor| factor as f32) {
            Some(factor) => sum.iter_mut().zip(right_values).for_each(|(sum, value)| *sum += value * factor),
            None => sum.iter_mut().zip(right_values).for_each(|(sum, value)| *sum += value),
        }
        left
    };
    for (i, node) in all {
        let unit = items.get(node.first()).copied().unwrap_or(0);
        tree.push(node.with(Slice { start: i * here.len(), unit }), &mut add);
    }
    let mut mean = match tree.into_sum(&mut add) {
        Some(Slice { start, unit }) => {
            let factor = weight(unit, items.iter().sum()).map(|factor| factor as f32);
            let sum = came[start..start + here.len()].iter();
            sum.map(|value| factor.map_or(*value, |factor| value * factor)).collect()
        }
        None => Vec::new(),
    };
    mean.resize(here.len(), 0.0);
    let counts: Vec<usize> = (0..size).map(|rank| slice(rank).len()).collect();
    Ok(ranks.all_gather_values(&mean, &counts)?)
}

/// Where a node's values stand, and the items of its first batch.
struct Slice {
    start: usize,
    unit: usize,
}

fn fast<M: Module>(
    ranks: &dyn Communicator,
    model: &M,
    mut own: Gradients,
    items: &[usize],
    present: &[bool],
) -> Result<Vec<f32>, TrainError> {
    let (grads, held) = own.window.take_mean_and_items(model);
    let mut values = flat(model, grads, present)?;
    let part = held as f32 / items.iter().sum::<usize>().max(1) as f32;
    for value in &mut values {
        *value *= part;
    }
    for bucket in values.chunks_mut(BUCKET) {
        ranks.sum(bucket)?;
    }
    Ok(values)
}

/// The parameters that a walk has met: one may stand at several places of a model.
#[derive(Default)]
struct Seen {
    ids: HashSet<ParamId>,
    at: usize,
}

impl Seen {
    /// The number of this parameter among all; `None` where it has been met.
    fn number(&mut self, id: ParamId) -> Option<usize> {
        let at = self.at;
        self.at += 1;
        self.ids.insert(id).then_some(at)
    }
}

struct Present<'a> {
    window: &'a Window,
    seen: HashSet<ParamId>,
    found: Vec<bool>,
}

impl ModuleVisitor for Present<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let has = self.window.has::<D>(param.id);
        self.found.push(self.seen.insert(param.id) && has);
    }
}

/// The gradients of the parameters that have one somewhere, one behind the other.
fn flat<M: Module>(model: &M, grads: GradientsParams, present: &[bool]) -> Result<Vec<f32>, TrainError> {
    let mut flatten = Flatten { grads, present, seen: Seen::default(), values: Vec::new(), failed: None };
    model.visit(&mut flatten);
    flatten.failed.map_or(Ok(flatten.values), Err)
}

struct Flatten<'a> {
    grads: GradientsParams,
    present: &'a [bool],
    seen: Seen,
    values: Vec<f32>,
    failed: Option<TrainError>,
}

/// What adds nothing to any number, not even the sign of a zero.
const NOTHING: f32 = -0.0;

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let number = self.seen.number(param.id);
        if number.is_none_or(|number| self.present.get(number) != Some(&true)) {
            return;
        }
        let Some(grad) = self.grads.remove::<D>(param.id) else {
            let elements: usize = param.base().dims().iter().product();
            self.values.resize(self.values.len() + elements, NOTHING);
            return;
        };
        match grad.into_data().try_into_vec::<f32>() {
            Ok(values) => self.values.extend_from_slice(&values),
            Err(error) => self.failed = Some(TrainError::NotSummed { message: error.to_string() }),
        }
    }
}

/// The other way round.
struct Read<'a> {
    values: &'a [f32],
    at: usize,
    present: &'a [bool],
    seen: Seen,
    grads: GradientsParams,
}

impl Read<'_> {
    fn next(&mut self, elements: usize) -> Option<Vec<f32>> {
        let range: Range<usize> = self.at..self.at + elements;
        self.at = range.end;
        self.values.get(range).map(<[f32]>::to_vec)
    }
}

impl ModuleVisitor for Read<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let number = self.seen.number(param.id);
        if number.is_none_or(|number| self.present.get(number) != Some(&true)) {
            return;
        }
        let tensor = param.base();
        let shape = tensor.dims();
        if let Some(values) = self.next(shape.iter().product()) {
            let grad = Tensor::<D>::from_data(TensorData::new(values, shape), &tensor.device().inner());
            self.grads.register(param.id, grad);
        }
    }
}
