//! What most optimizers do to a gradient first: turn its sign for maximising, and decay the weights.

use crate::fused::Value;

/// The first lines of an update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay {
    /// Climb instead of descend.
    pub(crate) maximize: bool,
    /// Coupled decay: `grad + coupled * param`.
    pub(crate) coupled: f64,
    /// Decoupled decay: `param * factor`.
    pub(crate) factor: f64,
}

impl Decay {
    /// L2 decay, as a part of the gradient.
    pub(crate) fn coupled(maximize: bool, weight_decay: f64) -> Self {
        Self { maximize, coupled: weight_decay, factor: 1.0 }
    }

    /// Decay of the weights themselves, by `1 - lr * weight_decay` (Loshchilov and Hutter, arXiv:1711.05101).
    pub(crate) fn decoupled(maximize: bool, weight_decay: f64, lr: f64) -> Self {
        Self { maximize, coupled: 0.0, factor: 1.0 - lr * weight_decay }
    }

    /// One or the other.
    pub(crate) fn new(maximize: bool, weight_decay: f64, lr: f64, decoupled: bool) -> Self {
        if decoupled { Self::decoupled(maximize, weight_decay, lr) } else { Self::coupled(maximize, weight_decay) }
    }

    /// The parameter and gradient to update with.
    #[inline(always)]
    pub(crate) fn apply<V: Value>(self, param: V, grad: V) -> (V, V) {
        let grad = if self.maximize { grad.scale(-1.0) } else { grad };
        let grad = if self.coupled == 0.0 { grad } else { grad + param.clone().scale(self.coupled) };
        let param = if self.factor == 1.0 { param } else { param.scale(self.factor) };
        (param, grad)
    }
}
