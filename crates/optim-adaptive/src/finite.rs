//! Whether gradients are finite: how it is found out, and how it gets from where it is found to where it is asked.
//!
//! On a CPU the fused update reads every element of a gradient anyway, and to see there that all are finite costs next
//! to nothing, while a separate pass costs a few percent of a small model's step. burn's `Optimizer::step` returns a
//! parameter and a state and nothing else, so the update leaves what it saw on its thread: [`watching`] asks, and the
//! update answers through [`pause`] and [`answer`]. Where the update cannot see a gradient ([`GradientWatch`] is told by
//! the passes over the module), it is summed up in one number: [`zero_if_finite`] on the device, a norm on a CPU.

use std::cell::Cell;

use burn::tensor::Tensor;

/// 0 where every element is finite, NaN where one is not: 0 times an element, summed up on the device.
pub fn zero_if_finite<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.mul_scalar(0.0).sum()
}

/// Whether a sum of [`zero_if_finite`] is 0. Reading it waits for everything that the device has queued before it.
pub fn is_zero(sum: Tensor<1>) -> bool {
    sum.into_scalar::<f64>() == 0.0
}

thread_local! {
    /// Whether the gradients of the update on this thread have been finite so far; `None` outside [`watching`].
    static FINITE: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Runs `update` and asks it whether its gradients were finite.
pub(crate) fn watching<Out>(update: impl FnOnce() -> Out) -> (Out, bool) {
    let outer = FINITE.replace(Some(true));
    let out = update();
    (out, FINITE.replace(outer) != Some(false))
}

/// Takes the question off the thread, for [`answer`]: a thread that waits for the others may meanwhile run another
/// optimizer's update, which must not answer it.
pub(crate) fn pause() -> Option<bool> {
    FINITE.take()
}

/// Puts the question back, with the answer for one more gradient.
pub(crate) fn answer(question: Option<bool>, finite: bool) {
    FINITE.set(question.map(|so_far| so_far && finite));
}

/// The first gradient of a step that is not finite, from what the passes over a module report.
#[derive(Debug, Default)]
pub(crate) struct GradientWatch {
    /// Gradients seen in the current pass: their order is the module's.
    seen: usize,
    first_bad: Option<(usize, String)>,
    /// Sums of [`zero_if_finite`] that are not read yet.
    unread: Vec<(usize, String, Tensor<1>)>,
}

impl GradientWatch {
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

    /// The next gradient is finite if this number is 0.
    pub(crate) fn note_unread(&mut self, path: &str, sum: Tensor<1>) {
        self.unread.push((self.seen, path.to_owned(), sum));
        self.seen += 1;
    }

    /// The next gradient has been noted in an earlier pass.
    pub(crate) fn skip(&mut self) {
        self.seen += 1;
    }

    /// The path of the first parameter whose gradient was not finite. It reads one number from the device for all
    /// gradients, and one for each only where that is not 0.
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
