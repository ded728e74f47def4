//! What every optimizer provides: its settings, the update of a single parameter, and what it keeps across parameters.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use burn::module::ParamGroup;
use burn::optim::{DynOptimizer, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use strict_config::{ConfigError, Settings};
use toml::Table;

use crate::momentum::MomentumHandle;

/// An optimizer's settings: a serde struct, its ranges in [`Settings`], and the optimizer that it builds.
///
/// Your own optimizer is a burn [`Optimizer`] with such settings, entered in an
/// [`OptimizerRegistry`](crate::OptimizerRegistry):
///
/// ```
/// use burn::{optim::{LearningRate, Optimizer}, tensor::{Device, Tensor}};
/// use optim_adaptive::{MomentumHandle, OptimizerConfig, OptimizerRegistry, OptimizerSettings};
/// use serde::{Deserialize, Serialize};
/// use strict_config::{ConfigError, Settings, check};
///
/// /// `p = p - lr sign(g)`.
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct SignSgd {
///     lr: f64,
/// }
///
/// impl Default for SignSgd {
///     fn default() -> Self {
///         Self { lr: 1e-3 }
///     }
/// }
///
/// impl Settings for SignSgd {
///     fn check(&self) -> Result<(), ConfigError> {
///         check::non_negative("lr", self.lr)
///     }
/// }
///
/// impl Optimizer for SignSgd {
///     type State<const D: usize> = ();
///
///     fn step<const D: usize>(
///         &self,
///         lr: LearningRate,
///         param: Tensor<D>,
///         grad: Tensor<D>,
///         _state: Option<()>,
///     ) -> (Tensor<D>, Option<()>) {
///         (param - grad.sign().mul_scalar(lr), None)
///     }
///
///     fn to_device<const D: usize>((): (), _device: &Device) {}
/// }
///
/// impl OptimizerSettings for SignSgd {
///     const NAME: &'static str = "sign_sgd";
///     const SUMMARY: &'static str = "steps of one size";
///
///     type Optimizer = Self;
///
///     fn lr_mut(&mut self) -> &mut f64 {
///         &mut self.lr
///     }
///
///     fn with_momentum(&self, _momentum: MomentumHandle) -> Self {
///         self.clone()
///     }
/// }
///
/// let registry = OptimizerRegistry::standard().with::<SignSgd>();
/// let table = "type = 'sign_sgd'\nlr = 0.1".parse().unwrap();
/// let optimizer = OptimizerConfig::from_table_with(&table, "optimizer", &registry)?.init();
/// assert_eq!(optimizer.config().lr(), 0.1);
/// # Ok::<(), ConfigError>(())
/// ```
pub trait OptimizerSettings: Settings + Clone + Debug + Send + Sync + 'static {
    /// The name in a config: `type = "adam"`.
    const NAME: &'static str;

    /// What it is, in a line.
    const SUMMARY: &'static str;

    /// Whether it is one of burn's own, whose state is read back in f32.
    #[doc(hidden)]
    const IS_BURNS: bool = false;

    /// The optimizer of one tensor at a time.
    type Optimizer: Optimizer;

    /// The learning rate.
    fn lr_mut(&mut self) -> &mut f64;

    /// The weight decay; `None` (the default) for an optimizer without.
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        None
    }

    /// `betas[0]` or `momentum`, where schedules may drive it. Default: none.
    fn momentum(&self) -> Option<f64> {
        None
    }

    /// The options that decide which state there is: a record made under others is refused. Default: none.
    fn state_layout(&self) -> &'static str {
        ""
    }

    /// How many numbers it keeps for each parameter, at least: what a run needs in memory beside weights and gradients.
    /// Default: 0.
    fn state_per_parameter(&self) -> usize {
        0
    }

    /// Why all parameters must be stepped by one optimizer at one rate, for an optimizer of which that holds.
    fn one_for_all(&self) -> Option<&'static str> {
        None
    }

    /// The optimizer, which reads its momentum from `momentum` at each step.
    fn with_momentum(&self, momentum: MomentumHandle) -> Self::Optimizer;

    /// The optimizer, for burn's own loops.
    fn build(&self) -> Self::Optimizer {
        self.with_momentum(MomentumHandle::new(self.momentum()))
    }

    /// The optimizer as the engine takes it.
    #[doc(hidden)]
    fn erased(&self, momentum: MomentumHandle) -> ParamOptimizer {
        ParamOptimizer { is_burns: Self::IS_BURNS, ..ParamOptimizer::new(self.with_momentum(momentum)) }
    }
}

/// Reads the settings of one optimizer.
type Read = fn(&Table) -> Result<Box<dyn AnySettings>, ConfigError>;

/// An optimizer of a registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) read: Read,
}

impl Entry {
    pub(crate) const fn of<S: OptimizerSettings>() -> Self {
        Self { name: S::NAME, summary: S::SUMMARY, read: |table| Ok(Box::new(strict_config::read::<S>(table, "")?)) }
    }
}

/// [`OptimizerSettings`] whose type is erased.
pub(crate) trait AnySettings: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn boxed(&self) -> Box<dyn AnySettings>;
    fn to_table(&self) -> Table;
    fn lr(&self) -> f64;
    fn lr_mut(&mut self) -> &mut f64;
    fn weight_decay(&self) -> Option<f64>;
    fn weight_decay_mut(&mut self) -> Option<&mut f64>;
    fn momentum(&self) -> Option<f64>;
    fn state_layout(&self) -> &'static str;
    fn state_per_parameter(&self) -> usize;
    fn one_for_all(&self) -> Option<&'static str>;
    fn erased(&self, momentum: MomentumHandle) -> ParamOptimizer;
}

impl<S: OptimizerSettings> AnySettings for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn boxed(&self) -> Box<dyn AnySettings> {
        Box::new(self.clone())
    }

    fn to_table(&self) -> Table {
        strict_config::write(self)
    }

    fn lr(&self) -> f64 {
        *S::lr_mut(&mut self.clone())
    }

    fn lr_mut(&mut self) -> &mut f64 {
        S::lr_mut(self)
    }

    fn weight_decay(&self) -> Option<f64> {
        S::weight_decay_mut(&mut self.clone()).copied()
    }

    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        S::weight_decay_mut(self)
    }

    fn momentum(&self) -> Option<f64> {
        S::momentum(self)
    }

    fn state_layout(&self) -> &'static str {
        S::state_layout(self)
    }

    fn state_per_parameter(&self) -> usize {
        S::state_per_parameter(self)
    }

    fn one_for_all(&self) -> Option<&'static str> {
        S::one_for_all(self)
    }

    fn erased(&self, momentum: MomentumHandle) -> ParamOptimizer {
        S::erased(self, momentum)
    }
}

/// The accessors of [`OptimizerSettings`] for a struct with the fields `lr` and `weight_decay`, and with `betas` if so named,
/// the first of which schedules may drive.
macro_rules! lr_and_weight_decay {
    (and betas) => {
        $crate::optimizer::lr_and_weight_decay!();

        fn momentum(&self) -> Option<f64> {
            Some(self.betas[0])
        }
    };
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

/// The optimizer of single parameters, and what it keeps across them. Its type is erased.
#[derive(Clone)]
pub struct ParamOptimizer {
    /// Updates every parameter (every matrix, where there is `of_other_ranks`).
    update: Arc<dyn ErasedOptimizer>,
    /// Updates what is not a matrix, for an optimizer of matrices.
    of_other_ranks: Option<Arc<dyn ErasedOptimizer>>,
    /// Sees each parameter and gradient before any parameter moves, and returns the gradient to update with.
    pub(crate) observe: Option<Arc<dyn ErasedOptimizer>>,
    /// Makes of a trained parameter the one to evaluate, where they differ; its gradient does not matter.
    pub(crate) evaluate: Option<Arc<dyn ErasedOptimizer>>,
    /// What it keeps across parameters.
    pub(crate) shared: Option<Arc<dyn SharedState>>,
    /// Whether it is burn's own, whose state is read back in f32.
    pub(crate) is_burns: bool,
}

impl ParamOptimizer {
    /// One that updates each parameter by itself.
    pub(crate) fn new(optimizer: impl Optimizer) -> Self {
        let update = Arc::new(optimizer);
        Self { update, of_other_ranks: None, observe: None, evaluate: None, shared: None, is_burns: false }
    }

    /// One of burn's own, of matrices, and the one for parameters of other ranks.
    pub(crate) fn of_matrices(optimizer: impl Optimizer, of_other_ranks: impl Optimizer) -> Self {
        Self { of_other_ranks: Some(Arc::new(of_other_ranks)), is_burns: true, ..Self::new(optimizer) }
    }

    /// With state that all parameters share.
    pub(crate) fn sharing(self, state: impl SharedState + 'static) -> Self {
        Self { shared: Some(Arc::new(state)), ..self }
    }

    /// With a look at every gradient before any parameter moves.
    pub(crate) fn observing(self, observe: impl Optimizer) -> Self {
        Self { observe: Some(Arc::new(observe)), ..self }
    }

    /// With other parameters to evaluate than those trained.
    pub(crate) fn evaluating(self, evaluate: impl Optimizer) -> Self {
        Self { evaluate: Some(Arc::new(evaluate)), ..self }
    }

    /// The optimizer of a parameter of this rank.
    pub(crate) fn of_rank(&self, rank: usize) -> &Arc<dyn ErasedOptimizer> {
        match &self.of_other_ranks {
            Some(other) if rank != 2 => other,
            _ => &self.update,
        }
    }

    /// Whether each gradient passes through the fused update, as it is and in every step.
    pub(crate) fn update_sees_gradients(&self) -> bool {
        !self.is_burns && self.observe.is_none()
    }

    /// The optimizer, if burn's own loop can run it; else why not.
    pub(crate) fn standalone(&self) -> Result<&Arc<dyn ErasedOptimizer>, &'static str> {
        if self.observe.is_some() {
            return Err("its estimate needs all gradients before any parameter moves");
        }
        match self.of_other_ranks {
            Some(_) => Err("it takes matrices only, and burn's groups cannot tell ranks apart"),
            None => Ok(&self.update),
        }
    }
}

impl Debug for ParamOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParamOptimizer").field("is_burns", &self.is_burns).finish_non_exhaustive()
    }
}

/// What an optimizer keeps across parameters and does once per step, around the updates of single parameters.
pub(crate) trait SharedState: Send + Sync {
    /// A step begins at this rate; no parameter has moved.
    fn begin(&self, lr: f64);

    /// Every gradient of the step has been observed; no parameter has moved.
    fn conclude(&self, lr: f64) {
        let _ = lr;
    }

    /// The numbers to save, by name.
    fn save(&self) -> Vec<(&'static str, f64)>;

    /// Takes over saved numbers; starts from the beginning where there are none.
    fn load(&self, saved: &BTreeMap<String, f64>);

    /// The optimizer of a group with another weight decay that shares this state; `None` where such a group has a state
    /// of its own.
    fn with_weight_decay(&self, weight_decay: f64) -> Option<ParamOptimizer> {
        let _ = weight_decay;
        None
    }

    /// The estimate of the step size, for an optimizer that makes one.
    fn step_size(&self) -> Option<f64> {
        None
    }
}

/// burn's type-erased optimizer, and the way back into burn's [`ModuleOptimizer`].
pub(crate) trait ErasedOptimizer: DynOptimizer {
    /// As the optimizer of a whole module.
    fn to_module(&self, lr_scale: f64) -> ModuleOptimizer;

    /// As the optimizer of one group of a module.
    fn add_to(&self, module: ModuleOptimizer, group: ParamGroup, lr_scale: f64) -> ModuleOptimizer;
}

impl<O: Optimizer> ErasedOptimizer for O {
    fn to_module(&self, lr_scale: f64) -> ModuleOptimizer {
        if lr_scale == 1.0 { self.clone().into() } else { Scaled { optimizer: self.clone(), lr_scale }.into() }
    }

    fn add_to(&self, module: ModuleOptimizer, group: ParamGroup, lr_scale: f64) -> ModuleOptimizer {
        module.with_group(group, Scaled { optimizer: self.clone(), lr_scale }, None)
    }
}

/// An optimizer whose learning rate is scaled: how a group's `lr_scale` reaches burn's own loop.
#[derive(Clone)]
struct Scaled<O> {
    optimizer: O,
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
        self.optimizer.step(lr * self.lr_scale, tensor, grad, state)
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
