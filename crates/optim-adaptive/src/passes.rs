//! The passes over a module: the look ahead, the update, the parameters to evaluate.

use burn::module::{ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{GradientCheckpointingStrategy, Tensor};

use crate::finite::{GradientWatch, watching, zero_if_finite};
use crate::fused::{is_fused, norm_power_sum};
use crate::paths::{ParamMapper, ParamVisitor};
use crate::rates::StepRates;
use crate::rows::Rows;

/// What an autodiff parameter carries with its value, taken off before the update and put back after it.
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

/// Notes whether a gradient is finite, where no update sees it.
fn look<const D: usize>(watch: &mut GradientWatch, path: &str, grad: &Tensor<D>) {
    if is_fused(grad) {
        watch.note(path, norm_power_sum(grad, 1).is_finite());
    } else {
        watch.note_unread(path, zero_if_finite(grad.clone()));
    }
}

/// The look at all gradients before any parameter moves, for the optimizers that need one.
pub(crate) struct ObservePass<'a> {
    pub(crate) rows: &'a mut Rows,
    pub(crate) grads: &'a mut GradientsParams,
    /// Where the observed gradients that are not finite are reported, if anywhere.
    pub(crate) watch: Option<&'a mut GradientWatch>,
}

impl ParamVisitor for ObservePass<'_> {
    fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let id = param.id;
        let Some(grad) = self.grads.remove::<D>(id) else { return };
        let (row, group) = self.rows.of(id, path, D);
        match &mut self.watch {
            Some(watch) if group.optimizer.observe.is_some() => look(watch, path, &grad),
            Some(watch) => watch.skip(),
            None => {}
        }
        let grad = match &group.optimizer.observe {
            Some(observe) if !group.frozen && group.lr_scale > 0.0 => {
                let device = grad.device();
                let state = row.take_state(observe.as_ref(), &device);
                let param = param.base().inner().to_device(&device);
                let (grad, state) = observe.step_dyn(D, 0.0, param.into_bridge(), grad.into_bridge(), state);
                row.put_state(state, device);
                Tensor::from_bridge(grad)
            }
            _ => grad,
        };
        self.grads.register(id, grad);
    }
}

/// The update.
pub(crate) struct StepPass<'a> {
    pub(crate) rows: &'a mut Rows,
    pub(crate) grads: &'a mut GradientsParams,
    pub(crate) rates: &'a StepRates,
    /// Where gradients that are not finite are reported, if anywhere.
    pub(crate) watch: Option<&'a mut GradientWatch>,
}

impl StepPass<'_> {
    fn update<const D: usize>(&mut self, path: &str, id: ParamId, param: Tensor<D>, grad: Tensor<D>) -> Tensor<D> {
        let (row, group) = self.rows.of(id, path, D);
        let update_sees = !group.frozen && group.optimizer.update_sees_gradients() && is_fused(&grad);
        match &mut self.watch {
            Some(watch) if group.optimizer.observe.is_some() => watch.skip(),
            Some(watch) if !update_sees => look(watch, path, &grad),
            _ => {}
        }
        if group.frozen {
            return param;
        }
        let (here, device) = (param.device(), grad.device());
        let context = Context::of(&param, here.is_autodiff());
        let param = if here == device { param } else { param.to_device(&device) };
        let lr = self.rates.of(row.group) * group.lr_scale;
        let optimizer = group.optimizer.of_rank(D);
        let state = row.take_state(optimizer.as_ref(), &device);
        let step = || optimizer.step_dyn(D, lr, param.inner().into_bridge(), grad.into_bridge(), state);
        let (param, state) = match &mut self.watch {
            Some(watch) if update_sees => {
                let (updated, finite) = watching(step);
                watch.note(path, finite);
                updated
            }
            _ => step(),
        };
        row.put_state(state, device);
        context.restore(Tensor::from_bridge(param), id)
    }
}

impl ParamMapper for StepPass<'_> {
    fn float<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.grads.remove::<D>(id) {
            Some(grad) => self.update(path, id, tensor, grad),
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// The parameters to evaluate, where they are others than those trained.
pub(crate) struct EvaluatePass<'a> {
    pub(crate) rows: &'a Rows,
}

impl ModuleMapper for EvaluatePass<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let evaluated = self.rows.seen.get(&id).and_then(|row| {
            let state = row.state.clone().filter(|state| state.rank() == D)?;
            Some((self.rows.of_group(row.group).optimizer.evaluate.as_ref()?, state))
        });
        let tensor = match evaluated {
            Some((evaluate, state)) => {
                let context = Context::of(&tensor, tensor.is_autodiff());
                let param = tensor.inner();
                let state = evaluate.to_device_dyn(state, &param.device());
                let (param, no_grad) = (param.clone().into_bridge(), param.into_bridge());
                let (param, _) = evaluate.step_dyn(D, 0.0, param, no_grad, Some(state));
                context.restore(Tensor::from_bridge(param), id)
            }
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
