//! The engine: an optimizer for a whole module, with its state, groups, momentum and strict records.
//!
//! It steps as burn's `ModuleOptimizer` does and takes the same arguments. What it adds: what must happen once per
//! step before any parameter moves (Prodigy's estimate, Schedule-Free's clock), parameter groups, momentum per step,
//! records that refuse another optimizer's state, and independent copies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::RecordError;
use burn::tensor::{Bytes, DType, Device};

use crate::passes::{Entry, EvalPass, Parts, PathBuffer, PrePass, StepPass};
use crate::snapshot::{Kept, OptimizerSnapshot};
use crate::spec::{Built, Frozen, Shared};
use crate::watch::Watch;
use crate::{AdaptiveRecord, Groups, MomentumHandle, OptimizerConfig, RecordMismatch, StateSource};

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
    groups: Groups,
    momentum: MomentumHandle,
    /// The base, then one per group.
    members: Vec<Member>,
    entries: HashMap<ParamId, Entry>,
}

/// What steps the parameters of one group.
pub(crate) struct Member {
    pub(crate) built: Built,
    fingerprint: String,
    /// Whether its shared state is its own, not the base's.
    owner: bool,
    pub(crate) lr_scale: f64,
    pub(crate) frozen: bool,
}

impl std::fmt::Debug for AdaptiveOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveOptimizer")
            .field("config", &self.config)
            .field("groups", &self.groups)
            .field("momentum", &self.momentum.get())
            .field("parameters", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl AdaptiveOptimizer {
    pub(crate) fn new(config: OptimizerConfig, groups: Groups) -> Self {
        let momentum = MomentumHandle::new(config.momentum());
        let mut optimizer = Self { config, groups, momentum, members: Vec::new(), entries: HashMap::new() };
        optimizer.members = optimizer.build_members();
        optimizer
    }

    /// The base and the groups, built anew around the momentum handle.
    fn build_members(&self) -> Vec<Member> {
        let base = self.config.built(self.momentum.clone());
        let fingerprint = self.config.fingerprint();
        let mut members = vec![Member { built: base.clone(), fingerprint, owner: true, lr_scale: 1.0, frozen: false }];
        for group in self.groups.iter() {
            let own = group.optimizer.as_ref().unwrap_or(&self.config);
            let decayed = group.weight_decay.and_then(|decay| own.clone().with_weight_decay(decay));
            let effective = decayed.as_ref().unwrap_or(own);
            let (built, owner) = match &base.shared {
                // Prodigy's estimate is one for all parameters.
                Shared::Prodigy(prodigy) if group.optimizer.is_none() => {
                    let decay = group.weight_decay;
                    (decay.map_or_else(|| base.clone(), |decay| prodigy.with_weight_decay(decay)), false)
                }
                _ if group.optimizer.is_none() && decayed.is_none() => (base.clone(), false),
                _ => (effective.built(self.momentum.shared_with(effective.momentum())), true),
            };
            members.push(Member {
                built,
                fingerprint: own.fingerprint(),
                owner,
                lr_scale: group.lr_scale,
                frozen: group.frozen,
            });
        }
        members
    }

    /// Updates the parameters of `module` with their gradients, at this learning rate.
    ///
    /// `lr` is a number or burn's rate per parameter group; a group's `lr_scale` multiplies it. Parameters without a
    /// gradient are left alone, and so is their state.
    pub fn step<M: Module>(&mut self, lr: impl Into<ModuleLearningRate>, module: M, grads: GradientsParams) -> M {
        self.step_with(&lr.into(), module, grads, None)
    }

    /// [`step`](Self::step), to the bit, which says besides whether the gradients were finite: the path of the first
    /// parameter (in the module's order) whose gradient holds a NaN or an infinity.
    ///
    /// On CPU the update sees it in its own pass, at next to no cost. burn's own optimizers and Prodigy take a pass
    /// of their own for it; on a GPU one number is read, which waits for the step. Where a gradient was not finite, the
    /// update has happened all the same: parameters and state are then worth nothing.
    pub fn step_watched<M: Module>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        module: M,
        grads: GradientsParams,
    ) -> (M, Option<String>) {
        let mut watch = Watch::default();
        let module = self.step_with(&lr.into(), module, grads, Some(&mut watch));
        (module, watch.conclude())
    }

    fn step_with<M: Module>(
        &mut self,
        rates: &ModuleLearningRate,
        module: M,
        mut grads: GradientsParams,
        mut watch: Option<&mut Watch>,
    ) -> M {
        let base_lr = rates.base();
        let mut estimating = Vec::new();
        for member in self.members.iter().filter(|member| member.owner) {
            match &member.built.shared {
                Shared::None => {}
                Shared::ScheduleFree(averaging) => averaging.begin_step(base_lr),
                Shared::Prodigy(prodigy) => {
                    prodigy.begin_step(base_lr);
                    estimating.push(prodigy.clone());
                }
            }
        }
        if !estimating.is_empty() {
            let (path, watch) = (PathBuffer::default(), watch.as_deref_mut());
            module.visit(&mut PrePass { parts: self.parts(), grads: &mut grads, path, watch });
        }
        if let Some(watch) = &mut watch {
            watch.begin_pass();
        }
        for prodigy in estimating {
            prodigy.conclude(base_lr);
        }
        let path = PathBuffer::default();
        module.map(&mut StepPass { parts: self.parts(), grads: &mut grads, rates, path, watch })
    }

    /// The handle on `betas[0]` or `momentum`, read at every step.
    pub fn momentum(&self) -> MomentumHandle {
        self.momentum.clone()
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
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Prodigy's estimate of the step size; `None` for other optimizers.
    pub fn step_size_estimate(&self) -> Option<f64> {
        match &self.members.first()?.built.shared {
            Shared::Prodigy(prodigy) => Some(prodigy.d()),
            _ => None,
        }
    }

    /// Whether the parameters to evaluate, export and keep are others than those trained: Schedule-Free.
    pub fn has_eval_params(&self) -> bool {
        self.members.iter().any(|member| matches!(member.built.shared, Shared::ScheduleFree(_)))
    }

    /// The model with the parameters to evaluate: Schedule-Free's averages; for other optimizers the model as it is.
    ///
    /// Training goes on from the model given to it, not from this one. Running statistics (batch norm) are those of
    /// the trained parameters: re-estimate them by a pass over training data where they matter.
    pub fn eval_params<M: Module>(&self, module: M) -> M {
        if !self.has_eval_params() {
            return module;
        }
        module.map(&mut EvalPass { members: &self.members, entries: &self.entries })
    }

    /// The state, to be saved.
    ///
    /// On Flex the record holds the state's buffers without copying them: as long as it lives, steps write into new ones.
    pub fn to_record(&self) -> AdaptiveRecord {
        self.snapshot().into_record()
    }

    /// The state at this moment, to be made a record of on another thread while training goes on.
    pub fn snapshot(&self) -> OptimizerSnapshot {
        let states = self.entries.iter().filter_map(|(id, entry)| {
            let state = entry.state.clone()?;
            let member = &self.members[entry.member];
            let optim = Arc::clone(member.built.of_rank(state.rank()));
            Some(Kept { id: id.val(), path: entry.path.clone(), fingerprint: member.fingerprint.clone(), optim, state })
        });
        let mut shared = BTreeMap::new();
        for (index, member) in self.owners() {
            let saved = match &member.built.shared {
                Shared::None => Vec::new(),
                Shared::ScheduleFree(averaging) => averaging.save(),
                Shared::Prodigy(prodigy) => prodigy.save(),
            };
            shared.extend(saved.into_iter().map(|(name, value)| (format!("{index}.{name}"), value)));
        }
        let record = AdaptiveRecord {
            fingerprint: self.config.fingerprint(),
            config: toml::to_string(&self.config.to_table()).unwrap_or_default(),
            params: BTreeMap::new(),
            shared,
            momentum: self.momentum.overridden(),
        };
        OptimizerSnapshot { states: states.collect(), record }
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
        let mut entries = HashMap::new();
        for (id, param) in record.params {
            let index = self.groups.index_of(&param.path, param.rank).map_or(0, |group| group + 1);
            let member = &self.members[index];
            if param.fingerprint != member.fingerprint {
                return Err(RecordMismatch::Param {
                    path: param.path,
                    expected: member.fingerprint.clone(),
                    found: param.fingerprint,
                });
            }
            let optim = member.built.of_rank(param.rank);
            if member.built.burns && param.tensors.iter().any(|(_, data)| data.dtype() != DType::F32) {
                return Err(RecordMismatch::Precision { path: param.path, optimizer: member.fingerprint.clone() });
            }
            let mut source = StateSource::new(param.scalars);
            for (name, data) in param.tensors {
                source.insert_tensor(name, data);
            }
            // Ranks above 8 do not exist in burn; a record that says so is damaged.
            let state = (param.rank <= 8)
                .then(|| optim.state_unflatten(param.rank, &id.to_string(), &mut source, &device))
                .flatten();
            let Some(state) = state else { return Err(RecordMismatch::Incomplete { path: param.path }) };
            let entry = Entry { path: param.path, member: index, device: None, state: Some(state) };
            entries.insert(ParamId::from(id), entry);
        }
        self.entries = entries;
        for (index, member) in self.owners() {
            let prefix = format!("{index}.");
            let saved = record
                .shared
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), *value)))
                .collect();
            match &member.built.shared {
                Shared::None => {}
                Shared::ScheduleFree(averaging) => averaging.load(&saved),
                Shared::Prodigy(prodigy) => prodigy.load(&saved),
            }
        }
        match record.momentum {
            Some(momentum) => self.momentum.set(momentum),
            None => self.momentum.reset(),
        }
        Ok(())
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
    /// As [`try_load`](Self::try_load), and bytes that are no record.
    pub fn try_load_bytes(&mut self, bytes: &[u8]) -> Result<(), RecordMismatch> {
        self.try_load(AdaptiveRecord::from_bytes(bytes)?)
    }

    /// An independent copy, from settings and record: it shares neither state nor momentum with this one.
    ///
    /// # Errors
    ///
    /// None that a record just made could give.
    pub fn rebuild(&self) -> Result<Self, RecordMismatch> {
        let mut copy = Self::new(self.config.clone(), self.groups.clone());
        copy.try_load(self.to_record())?;
        Ok(copy)
    }

    /// burn's optimizer for a whole module with this one's settings, groups, state and momentum handle, for burn's own
    /// Learner.
    ///
    /// What is lost there: burn's `load_record` cannot fail, so another optimizer's record silently leaves fresh state;
    /// Schedule-Free counts steps per parameter, and the Learner evaluates the training parameters.
    ///
    /// # Errors
    ///
    /// [`NoModuleOptimizer`]: what burn's loop cannot run.
    pub fn into_module_optimizer(self) -> Result<ModuleOptimizer, NoModuleOptimizer> {
        let members = self.build_members();
        let refuse = |reason: &str| NoModuleOptimizer { optimizer: self.config.type_name(), reason: reason.to_owned() };
        let mut module: Option<ModuleOptimizer> = None;
        let groups = std::iter::once(None).chain(self.groups.iter().map(Some));
        for (member, group) in members.iter().zip(groups) {
            let Some(optim) = member.built.standalone() else {
                return Err(refuse(match member.built.shared {
                    Shared::Prodigy(_) => "its estimate needs all gradients before any parameter moves",
                    _ => "it takes matrices only, and burn's groups cannot tell ranks apart",
                }));
            };
            if group.is_some_and(|group| group.max_rank.is_some()) {
                return Err(refuse("a group has `max_rank`, and burn's groups cannot tell ranks apart"));
            }
            let paths = group.map_or_else(ParamGroup::all, |group| group.params.param_group().clone());
            module = Some(match module {
                None => optim.to_module(member.lr_scale),
                Some(module) if member.frozen => module.with_group(paths, Frozen, None),
                Some(module) => optim.add_to(module, paths, member.lr_scale),
            });
        }
        let module = module.ok_or_else(|| refuse("it has no parts"))?;
        let bytes = self.to_bytes().map_err(|error| refuse(&error.to_string()))?;
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes));
        Ok(module.load_record(record.map_err(|error| refuse(&error.to_string()))?))
    }

    fn parts(&mut self) -> Parts<'_> {
        Parts { groups: &self.groups, members: &self.members, entries: &mut self.entries }
    }

    /// The members with shared state of their own, with their indices.
    fn owners(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter(|(_, member)| member.owner)
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
