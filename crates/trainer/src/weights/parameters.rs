//! The parameters and buffers of a model, as burn and as PyTorch name them and lay them out.

use burn::{module::Module, tensor::DType};
use burn_store::{BurnToPyTorchAdapter, Collector};
use optim_adaptive::Pattern;

use super::Layout;

/// A parameter or buffer of a model.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// Its path, variants of enums included: unique.
    pub(super) path: String,
    /// Its path without variants of enums, as `[[groups]]` and a user name it.
    plain: String,
    /// In burn.
    shape: Vec<usize>,
    /// Its name in PyTorch.
    torch: String,
    torch_shape: Vec<usize>,
    pub(super) dtype: DType,
}

/// Every parameter and buffer, in the order of the module. Parameters that burn has not drawn yet are drawn.
pub(super) fn of<M: Module>(model: &M) -> Vec<Parameter> {
    let paths = collected(model, Collector::new(None, None, false));
    let plain = collected(model, Collector::new(None, None, true));
    let torch = collected(model, Collector::new(None, Some(Box::new(BurnToPyTorchAdapter)), true));
    paths
        .into_iter()
        .zip(plain)
        .zip(torch)
        .map(|((path, plain), torch)| Parameter {
            path: path.name,
            plain: plain.name,
            shape: plain.shape.to_vec(),
            torch: torch.name,
            torch_shape: torch.shape.to_vec(),
            dtype: plain.dtype,
        })
        .collect()
}

fn collected<M: Module>(model: &M, mut collector: Collector) -> Vec<burn_pack::Tensor> {
    model.visit(&mut collector);
    collector.into_tensors()
}

impl Parameter {
    pub(super) fn matches(&self, pattern: &Pattern) -> bool {
        [&self.path, &self.plain, &self.torch].into_iter().any(|name| pattern.matches(name))
    }

    /// The names that it may have in a file of this layout, the likeliest first.
    pub(super) fn names(&self, layout: Layout) -> [&str; 2] {
        match layout {
            Layout::PyTorch => [&self.torch, &self.torch],
            Layout::Burn => [&self.plain, &self.path],
        }
    }

    /// The shape that it has in a file of this layout.
    pub(super) fn shape(&self, layout: Layout) -> &[usize] {
        match layout {
            Layout::PyTorch => &self.torch_shape,
            Layout::Burn => &self.shape,
        }
    }
}
