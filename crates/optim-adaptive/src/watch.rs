//! The first gradient of a step that is not finite: what the passes over a module report to.

use burn::tensor::Tensor;

use crate::fused::{is_fused, norm_power_sum};

/// What a step has seen of its gradients.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Gradients seen in the pass under way: their order is the module's.
    seen: usize,
    first_bad: Option<(usize, String)>,
    /// What a GPU has summed up and nobody has read: reading waits for everything queued before it.
    unread: Vec<(usize, String, Tensor<1>)>,
}

impl Watch {
    /// Another pass over the same module begins.
    pub(crate) fn begin_pass(&mut self) {
        self.seen = 0;
    }

    /// The next gradient was finite, or not.
    pub(crate) fn note(&mut self, path: &str, finite: bool) {
        if !finite && self.first_bad.as_ref().is_none_or(|(at, _)| self.seen < *at) {
            self.first_bad = Some((self.seen, path.to_owned()));
        }
        self.seen += 1;
    }

    /// Looks at the next gradient itself, where its update cannot.
    pub(crate) fn look<const D: usize>(&mut self, path: &str, grad: &Tensor<D>) {
        if is_fused(grad) {
            self.note(path, norm_power_sum(grad, 1).is_finite());
        } else {
            // 0 where all are finite, NaN where one is not.
            self.unread.push((self.seen, path.to_owned(), grad.clone().mul_scalar(0.0).sum()));
            self.seen += 1;
        }
    }

    /// Another gradient, which has been looked at.
    pub(crate) fn skip(&mut self) {
        self.seen += 1;
    }

    /// The path of the first parameter whose gradient was not finite. Of what a GPU has summed up, it reads one number;
    /// more only where that is no good.
    pub(crate) fn conclude(self) -> Option<String> {
        let mut first_bad = self.first_bad;
        let sums = self.unread.iter().map(|(_, _, sum)| sum.clone());
        if sums.reduce(|a, b| a + b).is_some_and(|sum| !is_zero(sum)) {
            let on_device = self.unread.into_iter().find(|(_, _, sum)| !is_zero(sum.clone()));
            let on_device = on_device.map(|(at, path, _)| (at, path));
            first_bad = first_bad.into_iter().chain(on_device).min();
        }
        first_bad.map(|(_, path)| path)
    }
}

fn is_zero(sum: Tensor<1>) -> bool {
    sum.into_scalar::<f64>() == 0.0
}
