//! The engine: an optimizer for a whole module, with its state, groups, momentum and strict records.
//!
//! It steps as burn's `ModuleOptimizer` does and takes the same arguments. It adds state that parameters share, with
//! work once per step before any parameter moves; parameter groups; momentum per step; records that refuse another
//! optimizer's state; and independent copies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord, StateSink, StateSource};
use burn::store::RecordError;
use burn::tensor::{Bytes, DType, Device};

use crate::config::OptimizerConfig;
use crate::finite::GradientWatch;
use crate::groups::{Group, index_of};
use crate::momentum::MomentumHandle;
use crate::optimizer::Frozen;
use crate::passes::{EvaluatePass, ObservePass, StepPass};
use crate::paths::{for_each_parameter, map_parameters, visit_parameters};
use crate::rates::StepRates;
use crate::record::{AdaptiveRecord, ParamRecord, RecordMismatch};
use crate::rows::{ParameterRow, Row, Rows};

impl OptimizerConfig {
    /// One optimizer for all parameters.
    pub fn init(&self) -> AdaptiveOptimizer {
        self.init_with_groups(Vec::new())
    }

    /// The optimizer, with parameter groups: of several that match a parameter, the last counts.
    pub fn init_with_groups(&self, groups: Vec<Group>) -> AdaptiveOptimizer {
        let momentum = MomentumHandle::new(self.momentum());
        AdaptiveOptimizer { config: self.clone(), rows: Rows::new(self, groups, &momentum), momentum }
    }
}

/// An optimizer for a whole module.
///
/// ```
/// # use burn::{module::Param, nn::LinearConfig, optim::GradientsParams, tensor::{Device, Tensor}};
/// use optim_adaptive::OptimizerConfig;
///
/// let device = Device::flex().autodiff();
/// let mut model = LinearConfig::new(3, 1).init(&device);
/// let config = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 0.05")?;
/// let mut optimizer = config.init();
/// let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0]], &device);
/// let loss = |model: &burn::nn::Linear| (model.forward(x.clone()) - 1.0).powf_scalar(2.0).mean();
/// for _ in 0..200 {
///     let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
///     model = optimizer.step(config.lr(), model, grads);
/// }
/// assert!(loss(&model).into_scalar::<f32>() < 1e-4);
/// # Ok::<(), optim_adaptive::ConfigError>(())
/// ```
///
/// It is not `Clone`: a clone of burn's `ModuleOptimizer` shares the optimizer object, and with it the momentum.
/// [`rebuild`](Self::rebuild) makes an independent copy.
pub struct AdaptiveOptimizer {
    config: OptimizerConfig,
    momentum: MomentumHandle,
    rows: Rows,
}

impl std::fmt::Debug for AdaptiveOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveOptimizer")
            .field("config", &self.config)
            .field("groups", &self.rows.groups)
            .field("momentum", &self.momentum.get())
            .field("parameters", &self.rows.seen.len())
            .finish_non_exhaustive()
    }
}

impl AdaptiveOptimizer {
    /// Updates the parameters of `module` with their gradients, at this learning rate.
    ///
    /// `lr` is a number, or [`StepRates`] where groups have their own rates; a group's `lr_scale` multiplies its
    /// rate. Parameters without a gradient are left alone, and so is their state: of what parameters share too, where none
    /// of those that share it has a gradient.
    pub fn step<M: Module>(&mut self, lr: impl Into<StepRates>, module: M, grads: GradientsParams) -> M {
        self.step_with(&lr.into(), module, grads, None)
    }

    /// The same as [`step`](Self::step), to the bit; also says whether the gradients were finite: the path of the first
    /// parameter (in the module's order) whose gradient holds a NaN or an infinity.
    ///
    /// On CPU the update sees it in its own pass, at next to no cost. burn's own optimizers and Prodigy take a pass
    /// of their own for it; on a GPU one number is read, which waits for the step. Where a gradient was not finite, the
    /// update has happened all the same: parameters and state are then useless.
    pub fn step_watched<M: Module>(
        &mut self,
        lr: impl Into<StepRates>,
        module: M,
        grads: GradientsParams,
    ) -> (M, Option<String>) {
        let mut watch = GradientWatch::default();
        let module = self.step_with(&lr.into(), module, grads, Some(&mut watch));
        (module, watch.conclude())
    }

    fn step_with<M: Module>(
        &mut self,
        rates: &StepRates,
        module: M,
        mut grads: GradientsParams,
        mut watch: Option<&mut GradientWatch>,
    ) -> M {
        let shared = self.rows.shared_by(&module, &grads, rates);
        for (state, lr) in &shared {
            state.begin(*lr);
        }
        let (rows, grads) = (&mut self.rows, &mut grads);
        if rows.optimizers().iter().any(|group| group.optimizer.observe.is_some()) {
            let watch = watch.as_deref_mut();
            visit_parameters(&module, &mut ObservePass { rows: &mut *rows, grads: &mut *grads, watch });
        }
        if let Some(watch) = &mut watch {
            watch.begin_pass();
        }
        for (state, lr) in &shared {
            state.conclude(*lr);
        }
        map_parameters(module, &mut StepPass { rows, grads, rates, watch })
    }

    /// The handle on `betas[0]` or `momentum`, read at every step.
    pub fn momentum(&self) -> MomentumHandle {
        self.momentum.clone()
    }

    /// The handle of one parameter group, by its index: what is set there holds for the group alone, in place of what is
    /// set on [`momentum`](Self::momentum). It has no momentum where all parameters share one (Prodigy). `None` where there
    /// is no such group.
    pub fn momentum_of(&self, group: usize) -> Option<MomentumHandle> {
        (group < self.rows.groups.len()).then(|| self.rows.of_group(Some(group)).momentum.clone())
    }

    /// Whether there is a momentum that schedules may drive.
    pub fn supports_momentum(&self) -> bool {
        self.config.supports_momentum()
    }

    /// The settings it was built from.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Its parameter groups.
    pub fn groups(&self) -> &[Group] {
        &self.rows.groups
    }

    /// What each parameter of `model` is stepped with, in the model's order.
    pub fn parameters<M: Module>(&self, model: &M) -> Vec<ParameterRow> {
        let mut rows = Vec::new();
        for_each_parameter(model, |path, _, shape| {
            let group = index_of(&self.rows.groups, path, shape.num_dims());
            let own = self.rows.of_group(group);
            rows.push(ParameterRow {
                path: path.to_owned(),
                shape: shape.to_vec(),
                group,
                lr_scale: own.lr_scale,
                weight_decay: own.config.weight_decay(),
                optimizer: own.config.type_name(),
                frozen: own.frozen,
            });
        });
        rows
    }

    /// The estimate of the step size, of an optimizer that makes one (Prodigy's `d`).
    pub fn step_size_estimate(&self) -> Option<f64> {
        self.rows.of_group(None).optimizer.shared.as_ref()?.step_size()
    }

    /// Whether the parameters to evaluate, export and keep are others than those trained: Schedule-Free.
    pub fn has_eval_params(&self) -> bool {
        self.rows.optimizers().iter().any(|group| group.optimizer.evaluate.is_some())
    }

    /// The model with the parameters to evaluate: Schedule-Free's averages; for other optimizers the model as it is.
    ///
    /// Continue training with the model given to it, not with this one. Running statistics (batch norm) are those of
    /// the trained parameters: re-estimate them by a pass over training data where they matter.
    pub fn eval_params<M: Module>(&self, module: M) -> M {
        if !self.has_eval_params() {
            return module;
        }
        module.map(&mut EvaluatePass { rows: &self.rows })
    }

    /// The state, to be saved.
    ///
    /// On Flex the record holds the state's buffers without copying them: as long as it lives, steps write into new ones.
    pub fn to_record(&self) -> AdaptiveRecord {
        self.snapshot()()
    }

    /// The state at this moment, as a function that makes the record of it: it may be called on another thread while
    /// training continues.
    ///
    /// It holds handles on the state's tensors, which costs no copy. While it (or the record made of it) lives, steps
    /// write into new buffers: hold it briefly.
    pub fn snapshot(&self) -> impl FnOnce() -> AdaptiveRecord + Send + use<> {
        let states: Vec<_> = self
            .rows
            .seen
            .iter()
            .filter_map(|(id, row)| {
                let (id, state) = (id.val(), row.state.clone()?);
                let group = self.rows.of_group(row.group);
                let optimizer = Arc::clone(group.optimizer.of_rank(state.rank()));
                Some((id, row.path.clone(), group.fingerprint.clone(), optimizer, state))
            })
            .collect();
        let shared = self.rows.shared().flat_map(|(index, state)| {
            state.save().into_iter().map(move |(name, value)| (format!("{index}.{name}"), value))
        });
        let mut record = AdaptiveRecord {
            fingerprint: self.config.fingerprint(),
            config: toml::to_string(&self.config.to_table()).unwrap_or_default(),
            params: BTreeMap::new(),
            shared: shared.collect(),
            momentum: self.momentum.overridden(),
            group_momenta: self.group_momenta().filter_map(|(i, own)| Some((i, own.overridden()?))).collect(),
        };
        move || {
            record.params.extend(states.into_iter().map(|(id, path, fingerprint, optimizer, state)| {
                let mut sink = StateSink::default();
                optimizer.state_flatten(&id.to_string(), &state, &mut sink);
                let (tensors, scalars) = (sink.tensors, sink.scalars.into_iter().collect());
                (id, ParamRecord { path, rank: state.rank(), fingerprint, tensors, scalars })
            }));
            record
        }
    }

    /// Takes over a saved state. On an error this optimizer is as it was.
    ///
    /// Settings that do not decide which state there is (rates, betas, decay, ...) may differ from those the record
    /// was made under; those in force here apply.
    ///
    /// # Errors
    ///
    /// [`RecordMismatch`]: another optimizer's record, the same one's with other state (`amsgrad`, `centered`), a
    /// parameter whose group now has another optimizer, an incomplete state.
    pub fn try_load(&mut self, record: AdaptiveRecord) -> Result<(), RecordMismatch> {
        let expected = self.config.fingerprint();
        if record.fingerprint != expected {
            return Err(RecordMismatch::Optimizer { expected, found: record.fingerprint });
        }
        let device = host();
        let mut rows = HashMap::new();
        for (id, param) in record.params {
            let group = index_of(&self.rows.groups, &param.path, param.rank);
            let own = self.rows.of_group(group);
            if param.fingerprint != own.fingerprint {
                return Err(RecordMismatch::Param {
                    path: param.path,
                    expected: own.fingerprint.clone(),
                    found: param.fingerprint,
                });
            }
            let optimizer = own.optimizer.of_rank(param.rank);
            if own.optimizer.is_burns && param.tensors.iter().any(|(_, data)| data.dtype() != DType::F32) {
                return Err(RecordMismatch::Precision { path: param.path, optimizer: own.fingerprint.clone() });
            }
            let mut source = StateSource::new(param.scalars);
            for (name, data) in param.tensors {
                source.insert_tensor(name, data);
            }
            // Ranks above 8 do not exist in burn; a record that says so is damaged.
            let state = (param.rank <= 8)
                .then(|| optimizer.state_unflatten(param.rank, &id.to_string(), &mut source, &device))
                .flatten();
            let Some(state) = state else { return Err(RecordMismatch::Incomplete { path: param.path }) };
            rows.insert(ParamId::from(id), Row { path: param.path, group, device: None, state: Some(state) });
        }
        self.rows.seen = rows;
        for (index, state) in self.rows.shared() {
            let prefix = format!("{index}.");
            let saved = record
                .shared
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), *value)))
                .collect();
            state.load(&saved);
        }
        match record.momentum {
            Some(momentum) => self.momentum.set(momentum),
            None => self.momentum.reset(),
        }
        for (group, handle) in self.group_momenta() {
            match record.group_momenta.get(&group) {
                Some(momentum) => handle.set(*momentum),
                None => handle.reset(),
            }
        }
        Ok(())
    }

    fn group_momenta(&self) -> impl Iterator<Item = (usize, &MomentumHandle)> {
        self.rows.optimizers().iter().skip(1).map(|group| &group.momentum).enumerate()
    }

    /// The state as burnpack bytes.
    ///
    /// # Errors
    ///
    /// What the burnpack writer refuses.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        self.to_record().into_bytes()
    }

    /// Takes over a state saved with [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// As [`try_load`](Self::try_load), and bytes that are not a record.
    pub fn try_load_bytes(&mut self, bytes: &[u8]) -> Result<(), RecordMismatch> {
        self.try_load(AdaptiveRecord::from_bytes(bytes)?)
    }

    /// An independent copy, from settings and record: it shares neither state nor momentum with this one.
    ///
    /// # Errors
    ///
    /// As [`try_load`](Self::try_load), for a state that a record cannot hold (burn's own optimizers keep f32 only).
    pub fn rebuild(&self) -> Result<Self, RecordMismatch> {
        let mut copy = self.config.init_with_groups(self.rows.groups.clone());
        copy.try_load(self.to_record())?;
        Ok(copy)
    }

    /// burn's optimizer for a whole module with this one's settings, groups, state and momentum handle, for burn's own
    /// Learner.
    ///
    /// What that loses: burn's `load_record` cannot fail, so another optimizer's record silently leaves fresh state;
    /// Schedule-Free counts steps per parameter, and the Learner evaluates the training parameters.
    ///
    /// # Errors
    ///
    /// [`NoModuleOptimizer`]: what burn's loop cannot run.
    pub fn into_module_optimizer(self) -> Result<ModuleOptimizer, NoModuleOptimizer> {
        let refuse = |reason: &str| NoModuleOptimizer { optimizer: self.config.type_name(), reason: reason.to_owned() };
        // burn's loop never calls what happens once per step: these are built without shared state that a step has begun.
        let fresh = Rows::new(&self.config, self.rows.groups.clone(), &self.momentum);
        let mut module: Option<ModuleOptimizer> = None;
        let groups = std::iter::once(None).chain(fresh.groups.iter().map(Some));
        for (own, group) in fresh.optimizers().iter().zip(groups) {
            let optimizer = own.optimizer.standalone().map_err(refuse)?;
            if group.is_some_and(|group| group.max_rank.is_some()) {
                return Err(refuse("a group has `max_rank`, and burn's groups cannot tell ranks apart"));
            }
            let paths = group.map_or_else(ParamGroup::all, |group| group.params.param_group().clone());
            module = Some(match module {
                None => optimizer.to_module(own.lr_scale),
                Some(module) if own.frozen => module.with_group(paths, Frozen, None),
                Some(module) => optimizer.add_to(module, paths, own.lr_scale),
            });
        }
        let module = module.ok_or_else(|| refuse("it has no parts"))?;
        let bytes = self.to_bytes().map_err(|error| refuse(&error.to_string()))?;
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes));
        Ok(module.load_record(record.map_err(|error| refuse(&error.to_string()))?))
    }
}

/// Why an optimizer cannot run in burn's own loop.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{optimizer}` cannot become a burn ModuleOptimizer: {reason}")]
pub struct NoModuleOptimizer {
    /// The optimizer.
    pub optimizer: &'static str,
    /// What burn's loop lacks.
    pub reason: String,
}

/// Where records are read to; each state moves to its parameter's device with the first step.
fn host() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    #[expect(deprecated, reason = "offered as long as burn has it")]
    return Device::ndarray();
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    Device::default()
}
