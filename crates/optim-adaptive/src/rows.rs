//! Each parameter with what steps it: parameter groups resolved against a module.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::optim::{DynState, GradientsParams};
use burn::tensor::{Device, Tensor};

use crate::config::OptimizerConfig;
use crate::groups::{Group, index_of};
use crate::momentum::MomentumHandle;
use crate::optimizer::{ErasedOptimizer, ParamOptimizer, SharedState};
use crate::paths::{ParamVisitor, visit_parameters};
use crate::rates::StepRates;

/// What a parameter is stepped with: one row of [`AdaptiveOptimizer::parameters`](crate::AdaptiveOptimizer::parameters).
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterRow {
    /// Its dotted path.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Index of its group; `None` for a parameter in no group.
    pub group: Option<usize>,
    /// Factor on the rate of its group.
    pub lr_scale: f64,
    /// The weight decay in force; `None` for an optimizer that has none.
    pub weight_decay: Option<f64>,
    /// The name of its optimizer.
    pub optimizer: &'static str,
    /// Whether it is left alone.
    pub frozen: bool,
}

/// What steps the parameters of one group.
pub(crate) struct GroupOptimizer {
    pub(crate) optimizer: ParamOptimizer,
    /// What it was built from, the group's weight decay in place.
    pub(crate) config: OptimizerConfig,
    pub(crate) fingerprint: String,
    /// What its momentum is read from.
    pub(crate) momentum: MomentumHandle,
    /// Whether its shared state is its own, not that of the parameters in no group.
    pub(crate) is_owner: bool,
    pub(crate) lr_scale: f64,
    pub(crate) frozen: bool,
}

impl GroupOptimizer {
    /// The optimizer of what is in no group.
    pub(crate) fn of_base(config: &OptimizerConfig, momentum: &MomentumHandle) -> Self {
        Self {
            optimizer: config.build(momentum.clone()),
            config: config.clone(),
            fingerprint: config.fingerprint(),
            momentum: momentum.clone(),
            is_owner: true,
            lr_scale: 1.0,
            frozen: false,
        }
    }

    /// The optimizer of a group beside `base`.
    pub(crate) fn of_group(group: &Group, base: &Self, momentum: &MomentumHandle) -> Self {
        let own = group.optimizer.as_ref().unwrap_or(&base.config);
        let decay = group.weight_decay;
        let config = decay.and_then(|decay| own.clone().with_weight_decay(decay)).unwrap_or_else(|| own.clone());
        let shared = match (&group.optimizer, decay) {
            (Some(_), _) => None,
            (None, None) => base.optimizer.shared.is_some().then(|| base.optimizer.clone()),
            (None, Some(decay)) => base.optimizer.shared.as_ref().and_then(|state| state.with_weight_decay(decay)),
        };
        // An optimizer that shares its state with the whole shares its momentum too.
        let own_momentum = if shared.is_some() { None } else { config.momentum() };
        let momentum = momentum.of_group(own_momentum);
        Self {
            is_owner: shared.is_none(),
            optimizer: shared.unwrap_or_else(|| config.build(momentum.clone())),
            fingerprint: own.fingerprint(),
            config,
            momentum,
            lr_scale: group.lr_scale,
            frozen: group.frozen,
        }
    }
}

/// A parameter that was stepped: its group and its state.
pub(crate) struct Row {
    pub(crate) path: String,
    pub(crate) group: Option<usize>,
    /// Where the state is; unknown after loading.
    pub(crate) device: Option<Device>,
    pub(crate) state: Option<DynState>,
}

impl Row {
    /// The state, on `device`.
    pub(crate) fn take_state(&mut self, optimizer: &dyn ErasedOptimizer, device: &Device) -> Option<DynState> {
        let state = self.state.take()?;
        if self.device.as_ref() == Some(device) { Some(state) } else { Some(optimizer.to_device_dyn(state, device)) }
    }

    pub(crate) fn put_state(&mut self, state: Option<DynState>, device: Device) {
        self.state = state;
        self.device = Some(device);
    }
}

/// All parameters with what steps them.
pub(crate) struct Rows {
    pub(crate) groups: Vec<Group>,
    /// That of the parameters in no group, then one per group.
    optimizers: Vec<GroupOptimizer>,
    /// The parameters that were stepped or loaded.
    pub(crate) seen: HashMap<ParamId, Row>,
}

impl Rows {
    pub(crate) fn new(config: &OptimizerConfig, groups: Vec<Group>, momentum: &MomentumHandle) -> Self {
        let base = GroupOptimizer::of_base(config, momentum);
        let of_groups: Vec<_> = groups.iter().map(|group| GroupOptimizer::of_group(group, &base, momentum)).collect();
        let optimizers = std::iter::once(base).chain(of_groups).collect();
        Self { groups, optimizers, seen: HashMap::new() }
    }

    /// That of the parameters in no group, then one per group.
    pub(crate) fn optimizers(&self) -> &[GroupOptimizer] {
        &self.optimizers
    }

    /// What steps the parameters of a group.
    pub(crate) fn of_group(&self, group: Option<usize>) -> &GroupOptimizer {
        &self.optimizers[position(group)]
    }

    /// The row of a parameter, made when it is first seen; and what steps it.
    pub(crate) fn of(&mut self, id: ParamId, path: &str, rank: usize) -> (&mut Row, &GroupOptimizer) {
        let row = self.seen.entry(id).or_insert_with(|| {
            let group = index_of(&self.groups, path, rank);
            Row { path: path.to_owned(), group, device: None, state: None }
        });
        // A state of another rank was saved from another model.
        if row.state.as_ref().is_some_and(|state| state.rank() != rank) {
            tracing::warn!("parameter `{path}` has rank {rank}, its optimizer state another: starting from none");
            row.state = None;
        }
        let optimizer = &self.optimizers[position(row.group)];
        (row, optimizer)
    }

    /// The optimizers that own shared state, with their positions in [`optimizers`](Self::optimizers).
    pub(crate) fn shared(&self) -> impl Iterator<Item = (usize, &Arc<dyn SharedState>)> {
        let owners = self.optimizers.iter().enumerate().filter(|(_, group)| group.is_owner);
        owners.filter_map(|(index, group)| Some((index, group.optimizer.shared.as_ref()?)))
    }

    /// The shared states of the parameters that have a gradient, each with its rate.
    pub(crate) fn shared_by<M: Module>(
        &self,
        module: &M,
        grads: &GradientsParams,
        rates: &StepRates,
    ) -> Vec<(Arc<dyn SharedState>, f64)> {
        struct Touched<'a>(&'a Rows, &'a GradientsParams, Vec<bool>);
        impl ParamVisitor for Touched<'_> {
            fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                if self.1.get::<D>(param.id).is_some() {
                    let seen = self.0.seen.get(&param.id).map(|row| row.group);
                    let own = position(seen.unwrap_or_else(|| index_of(&self.0.groups, path, D)));
                    let owner = if self.0.optimizers[own].is_owner { own } else { 0 };
                    self.2[owner] = true;
                }
            }
        }
        if self.shared().next().is_none() {
            return Vec::new();
        }
        let mut touched = Touched(self, grads, vec![false; self.optimizers.len()]);
        visit_parameters(module, &mut touched);
        let touched = self.shared().filter(|(index, _)| touched.2[*index]);
        let lr = |index: usize| rates.of(index.checked_sub(1)) * self.optimizers[index].lr_scale;
        touched.map(|(index, state)| (Arc::clone(state), lr(index))).collect()
    }
}

fn position(group: Option<usize>) -> usize {
    group.map_or(0, |group| group + 1)
}
