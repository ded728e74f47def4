//! The passes over a module: the update, Prodigy's look ahead, Schedule-Free's averages.

use std::collections::HashMap;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{DynState, GradientsParams};
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};

use crate::Groups;
use crate::adaptive::Member;
use crate::fused::{is_fused, watching};
use crate::optimizers::{ProdigyState, ScheduleFreeState};
use crate::spec::{Piece, Shared};
use crate::watch::Watch;

/// One parameter.
pub(crate) struct Entry {
    pub(crate) path: String,
    /// Index of its group's member.
    pub(crate) member: usize,
    /// Where the state is; unknown after loading.
    pub(crate) device: Option<Device>,
    pub(crate) state: Option<DynState>,
}

/// What the passes work on.
pub(crate) struct Parts<'a> {
    pub(crate) groups: &'a Groups,
    pub(crate) members: &'a [Member],
    pub(crate) entries: &'a mut HashMap<ParamId, Entry>,
}

/// The dotted path of the module being visited, without an allocation per module.
#[derive(Default)]
pub(crate) struct PathBuffer {
    text: String,
    lengths: Vec<usize>,
}

impl PathBuffer {
    fn enter(&mut self, name: &str) {
        self.lengths.push(self.text.len());
        if !self.text.is_empty() {
            self.text.push('.');
        }
        self.text.push_str(name);
    }

    fn exit(&mut self) {
        self.text.truncate(self.lengths.pop().unwrap_or(0));
    }
}

impl Parts<'_> {
    /// The entry of a parameter, made when it is first seen; and its member.
    fn of(&mut self, id: ParamId, path: &str, rank: usize) -> (&mut Entry, &Member) {
        let entry = self.entries.entry(id).or_insert_with(|| {
            let member = self.groups.index_of(path, rank).map_or(0, |group| group + 1);
            Entry { path: path.to_owned(), member, device: None, state: None }
        });
        // A state of another rank was saved from another model: it cannot be gone on with.
        if entry.state.as_ref().is_some_and(|state| state.rank() != rank) {
            tracing::warn!("parameter `{path}` has rank {rank}, its optimizer state another: starting afresh");
            entry.state = None;
        }
        let member = &self.members[entry.member];
        (entry, member)
    }
}

impl Entry {
    /// The state, on `device`.
    fn take_state(&mut self, optim: &dyn Piece, device: &Device) -> Option<DynState> {
        let state = self.state.take()?;
        if self.device.as_ref() == Some(device) { Some(state) } else { Some(optim.to_device_dyn(state, device)) }
    }

    fn put_state(&mut self, state: Option<DynState>, device: Device) {
        self.state = state;
        self.device = Some(device);
    }
}

/// What an autodiff parameter carries besides its value, taken off before the update and put back after it.
struct Context {
    autodiff: bool,
    require_grad: bool,
    distributed: bool,
    checkpointing: Option<GradientCheckpointingStrategy>,
}

impl Context {
    fn of<const D: usize>(param: &Tensor<D>, autodiff: bool) -> Self {
        Self {
            autodiff,
            require_grad: autodiff && param.is_require_grad(),
            distributed: autodiff && param.is_distributed(),
            checkpointing: param.gradient_checkpointing_strategy(),
        }
    }

    fn restore<const D: usize>(self, updated: Tensor<D>, id: ParamId) -> Tensor<D> {
        let mut param = if self.autodiff { Tensor::from_inner(updated) } else { updated };
        if let Some(strategy) = self.checkpointing {
            param = param.with_gradient_checkpointing_strategy(strategy);
        }
        if self.require_grad {
            param = param.require_grad();
        }
        if self.distributed {
            param = param.set_distributed(id);
        }
        param
    }
}

/// The update.
pub(crate) struct StepPass<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) grads: &'a mut GradientsParams,
    pub(crate) rates: &'a ModuleLearningRate,
    pub(crate) path: PathBuffer,
    /// Where gradients that are not finite are reported, if anywhere.
    pub(crate) watch: Option<&'a mut Watch>,
}

impl StepPass<'_> {
    fn update<const D: usize>(&mut self, id: ParamId, param: Tensor<D>, grad: Tensor<D>) -> Tensor<D> {
        let (entry, member) = self.parts.of(id, &self.path.text, D);
        let is_prodigy = matches!(member.built.shared, Shared::Prodigy(_));
        let sweep_sees = !member.frozen && member.built.sees_gradients() && is_fused(&grad);
        match &mut self.watch {
            // The pre-pass has looked.
            Some(watch) if is_prodigy => watch.skip(),
            Some(watch) if !sweep_sees => watch.look(&self.path.text, &grad),
            _ => {}
        }
        if member.frozen {
            return param;
        }
        let (here, device) = (param.device(), grad.device());
        let context = Context::of(&param, here.is_autodiff());
        let param = if here == device { param } else { param.to_device(&device) };
        let lr = self.rates.lr_from_param(id, Some(&entry.path)) * member.lr_scale;
        let optim = member.built.of_rank(D);
        let state = entry.take_state(optim.as_ref(), &device);
        let step = || optim.step_dyn(D, lr, param.inner().into_bridge(), grad.into_bridge(), state);
        let (param, state) = match &mut self.watch {
            Some(watch) if sweep_sees => {
                let (updated, finite) = watching(step);
                watch.note(&self.path.text, finite);
                updated
            }
            _ => step(),
        };
        entry.put_state(state, device);
        context.restore(Tensor::from_bridge(param), id)
    }
}

impl ModuleMapper for StepPass<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.grads.remove::<D>(id) {
            Some(grad) => self.update(id, tensor, grad),
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Prodigy's look at all gradients before any parameter moves.
pub(crate) struct PrePass<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) grads: &'a mut GradientsParams,
    pub(crate) path: PathBuffer,
    /// Where Prodigy's gradients that are not finite are reported, if anywhere.
    pub(crate) watch: Option<&'a mut Watch>,
}

impl ModuleVisitor for PrePass<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let id = param.id;
        let Some(grad) = self.grads.remove::<D>(id) else { return };
        let (entry, member) = self.parts.of(id, &self.path.text, D);
        match &mut self.watch {
            Some(watch) if matches!(member.built.shared, Shared::Prodigy(_)) => watch.look(&self.path.text, &grad),
            Some(watch) => watch.skip(),
            None => {}
        }
        let grad = match &member.built.shared {
            Shared::Prodigy(prodigy) if !member.frozen && member.lr_scale > 0.0 => {
                let device = grad.device();
                let state = entry
                    .take_state(member.built.of_rank(D).as_ref(), &device)
                    .map(DynState::downcast::<ProdigyState<D>>);
                let (grad, state) = prodigy.observe(&param.base().inner().to_device(&device), grad, state);
                entry.put_state(Some(DynState::create(state, D)), device);
                grad
            }
            _ => grad,
        };
        self.grads.register(id, grad);
    }
}

/// Schedule-Free's averaged parameters.
pub(crate) struct EvalPass<'a> {
    pub(crate) members: &'a [Member],
    pub(crate) entries: &'a HashMap<ParamId, Entry>,
}

impl ModuleMapper for EvalPass<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let averaging = self.entries.get(&id).and_then(|entry| {
            let state = entry.state.as_ref().filter(|state| state.rank() == D)?;
            match &self.members[entry.member].built.shared {
                Shared::ScheduleFree(averaging) => Some((averaging, state)),
                _ => None,
            }
        });
        let tensor = match averaging {
            Some((averaging, state)) => {
                let context = Context::of(&tensor, tensor.is_autodiff());
                let mut state = state.downcast_ref::<ScheduleFreeState<D>>().clone();
                state.z = state.z.to_device(&tensor.device());
                context.restore(averaging.averaged(tensor.inner(), &state), id)
            }
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
