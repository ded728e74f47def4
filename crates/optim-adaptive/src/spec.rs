//! What every optimizer of the registry provides, and the type-erased form the engine works with.

use std::sync::Arc;

use burn::module::ParamGroup;
use burn::optim::{DynOptimizer, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Fields};

use crate::MomentumHandle;
use crate::optimizers::{Prodigy, ScheduleFree};
use crate::settings::Settings;

/// An optimizer's settings, seen by the registry.
pub(crate) trait Spec: Settings {
    /// Refuses combinations that no single field can.
    fn check(&self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        let _ = fields;
        Ok(())
    }

    /// The learning rate.
    fn lr_mut(&mut self) -> &mut f64;

    /// The weight decay, where there is one.
    fn weight_decay_mut(&mut self) -> Option<&mut f64>;

    /// `betas[0]` or `momentum`, where schedules may drive it.
    fn momentum(&self) -> Option<f64> {
        None
    }

    /// The options that decide which state there is: a record made under others cannot be gone on with.
    fn state_layout(&self) -> &'static str {
        ""
    }

    /// The optimizer itself.
    fn built(&self, momentum: MomentumHandle) -> Built;
}

/// The two accessors of a [`Spec`] whose struct has the fields `lr` and `weight_decay`.
macro_rules! lr_and_weight_decay {
    () => {
        fn lr_mut(&mut self) -> &mut f64 {
            &mut self.lr
        }

        fn weight_decay_mut(&mut self) -> Option<&mut f64> {
            Some(&mut self.weight_decay)
        }
    };
}
pub(crate) use lr_and_weight_decay;

/// A built optimizer, type-erased, with what the engine must know besides.
#[derive(Clone)]
pub(crate) struct Built {
    /// The optimizer of every parameter (of every matrix, where there is an `other`).
    optim: Arc<dyn Piece>,
    /// The optimizer of what is no matrix, for optimizers that only know matrices.
    other: Option<Arc<dyn Piece>>,
    /// What must happen once per step, before any parameter moves.
    pub(crate) shared: Shared,
    /// Whether it is burn's own, whose state is read back in f32.
    pub(crate) burns: bool,
}

/// State that all parameters share.
#[derive(Clone)]
pub(crate) enum Shared {
    /// None: one tensor at a time is enough.
    None,
    /// The step count and averaging weights of Schedule-Free.
    ScheduleFree(ScheduleFree),
    /// The step-size estimate of Prodigy.
    Prodigy(Prodigy),
}

impl Built {
    /// An optimizer for which one tensor at a time is enough.
    pub(crate) fn new(optim: impl Optimizer) -> Self {
        Self { optim: Arc::new(optim), other: None, shared: Shared::None, burns: false }
    }

    /// An optimizer with state that all parameters share.
    pub(crate) fn with_shared(optim: impl Optimizer, shared: Shared) -> Self {
        Self { optim: Arc::new(optim), other: None, shared, burns: false }
    }

    /// One of burn's own.
    pub(crate) fn burns(optim: impl Optimizer) -> Self {
        Self { burns: true, ..Self::new(optim) }
    }

    /// One of burn's own, of matrices, and the one that takes everything else.
    pub(crate) fn matrices(optim: impl Optimizer, other: impl Optimizer) -> Self {
        Self { other: Some(Arc::new(other)), ..Self::burns(optim) }
    }

    /// The optimizer of a parameter of this rank.
    pub(crate) fn of_rank(&self, rank: usize) -> &Arc<dyn Piece> {
        match &self.other {
            Some(other) if rank != 2 => other,
            _ => &self.optim,
        }
    }

    /// Whether each gradient passes through the fused update, as it is and in every step.
    pub(crate) fn sees_gradients(&self) -> bool {
        // Prodigy has added the decay by then, and leaves the parameters alone in some steps.
        !self.burns && !matches!(self.shared, Shared::Prodigy(_))
    }

    /// The optimizer, if it is the same for all ranks and needs no pre-pass: what burn's own loop can run.
    pub(crate) fn standalone(&self) -> Option<&Arc<dyn Piece>> {
        (self.other.is_none() && !matches!(self.shared, Shared::Prodigy(_))).then_some(&self.optim)
    }
}

/// burn's type-erased optimizer, and the way back into burn's [`ModuleOptimizer`].
pub(crate) trait Piece: DynOptimizer {
    /// As the optimizer of a whole module.
    fn to_module(&self, lr_scale: f64) -> ModuleOptimizer;

    /// As the optimizer of one group of a module.
    fn add_to(&self, module: ModuleOptimizer, group: ParamGroup, lr_scale: f64) -> ModuleOptimizer;
}

impl<O: Optimizer> Piece for O {
    fn to_module(&self, lr_scale: f64) -> ModuleOptimizer {
        if lr_scale == 1.0 { self.clone().into() } else { Scaled { optim: self.clone(), lr_scale }.into() }
    }

    fn add_to(&self, module: ModuleOptimizer, group: ParamGroup, lr_scale: f64) -> ModuleOptimizer {
        module.with_group(group, Scaled { optim: self.clone(), lr_scale }, None)
    }
}

/// An optimizer whose learning rate is scaled: how a group's `lr_scale` reaches burn's own loop.
#[derive(Clone)]
pub(crate) struct Scaled<O> {
    optim: O,
    lr_scale: f64,
}

impl<O: Optimizer> Optimizer for Scaled<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        self.optim.step(lr * self.lr_scale, tensor, grad, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}

/// Leaves its parameters alone.
#[derive(Clone)]
pub(crate) struct Frozen;

impl Optimizer for Frozen {
    type State<const D: usize> = ();

    fn step<const D: usize>(
        &self,
        _lr: LearningRate,
        tensor: Tensor<D>,
        _grad: Tensor<D>,
        _state: Option<()>,
    ) -> (Tensor<D>, Option<()>) {
        (tensor, None)
    }

    fn to_device<const D: usize>((): (), _device: &Device) {}
}
