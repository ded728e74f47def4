//! Whether a gradient is finite, learnt in the pass that uses it up.
//!
//! The sweep reads every element of a gradient anyway, and to see there that all are finite costs next to nothing; a
//! pass of its own costs a few percent of a small model's step. What the sweep has seen cannot come back through
//! burn's `Optimizer::step`, which returns a parameter and a state: it is left with the thread that called it.

use std::cell::Cell;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Nobody wants to know.
    Off,
    On,
    /// A gradient that is not finite has passed.
    Alarmed,
}

thread_local! {
    static WATCH: Cell<Watch> = const { Cell::new(Watch::Off) };
}

/// Runs `update`, in which gradients pass through [`apply`](super::apply). Says besides whether all were finite.
pub(crate) fn watching<Out>(update: impl FnOnce() -> Out) -> (Out, bool) {
    let outer = WATCH.replace(Watch::On);
    let out = update();
    (out, WATCH.replace(outer) != Watch::Alarmed)
}

/// The watch of one gradient, off the thread while it is looked at: a thread that waits for the others may meanwhile
/// run another update, which is none of this one's business.
pub(super) struct Guard(Watch);

impl Guard {
    pub(super) fn take() -> Self {
        Self(WATCH.replace(Watch::Off))
    }

    /// Whether somebody wants to know.
    pub(super) fn is_on(&self) -> bool {
        self.0 != Watch::Off
    }

    /// The gradient has been seen.
    pub(super) fn saw(self, finite: bool) {
        WATCH.set(if self.is_on() && !finite { Watch::Alarmed } else { self.0 });
    }
}
