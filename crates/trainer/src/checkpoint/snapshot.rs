//! The content of a checkpoint: taken on the training thread, encoded on another.
//!
//! A snapshot holds the handles of tensors, not their values: training continues at once, and where the next update would
//! write into a buffer that a snapshot still holds, it writes into a new one. So the writer's first work is to copy the
//! values out ([`Images`]) and to let go of each handle as soon as it has, while the next batch is still on its way
//! through the model; what takes long, checksums and the disk, comes after.

use std::collections::{BTreeMap, HashSet};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId, ParameterValue},
    tensor::{Bool, Int, Tensor, TensorData},
};
use burn_pack::Writer;
use lr_core::fnv1a;
use optim_adaptive::{ParamVisitor, for_each_parameter, held_data, visit_parameters};
use serde::Serialize;

use super::{CheckpointError, history::Append};

/// All of one checkpoint.
pub(crate) struct Snapshot {
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// What was measured on exactly this state, by which the best are kept; empty where nothing was.
    pub(crate) values: BTreeMap<String, f64>,
    /// The epochs since the checkpoint before.
    pub(crate) history: Append,
    /// Steps of checkpoints, this one maybe among them, that nothing has shown to be good yet: kept beside the others.
    pub(crate) unproven: Vec<u64>,
    /// Steps of checkpoints that the run has rolled back from: removed.
    pub(crate) refuted: Vec<u64>,
    /// Its files, most expensive handles first.
    pub(crate) parts: Vec<Part>,
}

/// One file of a checkpoint.
pub(crate) struct Part {
    /// The file's name, e.g. `model.bpk`.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) contents: Contents,
}

/// What a file of a checkpoint holds.
pub(crate) enum Contents {
    /// This.
    Bytes(Vec<u8>),
    /// What this leaves in the buffer given to it, called on the writer's thread.
    Encode(Box<Encode>),
}

/// Puts the content of a file in place of whatever a buffer holds.
type Encode = dyn FnOnce(&mut Vec<u8>) -> Result<(), CheckpointError> + Send;

impl Part {
    /// A module's parameters and running statistics, as burnpack: the same numbers give the same bytes.
    ///
    /// Running statistics (batch norm) are shared between a module and its clones and change with each forward pass,
    /// so they are read here and now, the update that burn holds back until the next pass included.
    pub(crate) fn module<M: Module>(name: impl Into<String>, module: &M) -> Self {
        let captured = capture(module);
        let encode = move |image: &mut Vec<u8>| {
            let tensors = captured.into_iter().map(|Captured { path, id, data }| {
                let (bytes, shape, dtype) = data().into_parts();
                burn_pack::Tensor::new(path, dtype, shape, Some(id), bytes)
            });
            let writer = Writer::new(tensors.collect());
            image.resize(writer.size()?, 0);
            writer.write_into(image)
        };
        Self::encode(name, encode)
    }

    /// What `encode` puts in place of whatever a buffer holds, called on the writer's thread.
    pub(crate) fn encode<E: ToString>(
        name: impl Into<String>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E> + Send + 'static,
    ) -> Self {
        let name = name.into();
        let what = name.clone();
        let encode = move |image: &mut Vec<u8>| encode(image).map_err(|error| CheckpointError::encode(what, &error));
        Self { name, contents: Contents::Encode(Box::new(encode)) }
    }

    /// A value as JSON.
    pub(crate) fn json<T: Serialize>(name: impl Into<String>, value: &T) -> Result<Self, CheckpointError> {
        let name = name.into();
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| CheckpointError::encode(&name, &error))?;
        Ok(Self { name, contents: Contents::Bytes(bytes) })
    }
}

impl Contents {
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, CheckpointError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Encode(encode) => {
                let mut image = Vec::new();
                encode(&mut image)?;
                Ok(image)
            }
        }
    }
}

/// The files of the checkpoint before, by name: the memory that the next one's are put together in.
///
/// Fresh memory is expensive: each page faults, and faults contend across threads. A checkpoint of 134 MB took longer to
/// allocate than to copy, so the memory is kept between the checkpoints of a run.
#[derive(Default)]
pub(crate) struct Images(BTreeMap<String, Vec<u8>>);

impl Images {
    /// The files of a checkpoint. Nothing of the snapshot is held afterwards.
    pub(super) fn take_up(&mut self, parts: Vec<Part>) -> Result<Vec<Image>, CheckpointError> {
        let image = |Part { name, contents }| match contents {
            Contents::Bytes(bytes) => Ok(Image { name, bytes, is_kept: false }),
            Contents::Encode(encode) => {
                let mut bytes = self.0.remove(&name).unwrap_or_default();
                encode(&mut bytes)?;
                Ok(Image { name, bytes, is_kept: true })
            }
        };
        parts.into_iter().map(image).collect()
    }

    /// Keeps the memory of what has been written, and no other.
    pub(super) fn keep(&mut self, images: Vec<Image>) {
        self.0 = images.into_iter().filter(|image| image.is_kept).map(|image| (image.name, image.bytes)).collect();
    }
}

/// One file as it will be on the medium.
pub(super) struct Image {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    is_kept: bool,
}

/// One tensor of a module.
struct Captured {
    path: String,
    id: u64,
    data: Box<dyn FnOnce() -> TensorData + Send>,
}

fn capture<M: Module>(module: &M) -> Vec<Captured> {
    // A copy off the autodiff graph, with the running statistics' last update taken in and no longer shared.
    let still = module.valid();
    let mut capture = Capture::default();
    visit_parameters(&still, &mut capture);
    // burn draws the ids of running statistics at random, and nothing is kept by them: their path will do.
    let mut running = HashSet::new();
    for_each_parameter(&still.map(&mut RunningStatesMark), |path, id, _| {
        if id.val() != MARK {
            running.insert(path.to_owned());
        }
    });
    for tensor in &mut capture.tensors {
        if running.contains(&tensor.path) {
            tensor.id = fnv1a(&tensor.path);
        }
    }
    capture.tensors
}

#[derive(Default)]
struct Capture {
    tensors: Vec<Captured>,
}

impl Capture {
    fn push(&mut self, path: &str, id: ParamId, data: impl FnOnce() -> TensorData + Send + 'static) {
        self.tensors.push(Captured { path: path.to_owned(), id: id.val(), data: Box::new(data) });
    }
}

// The form is the one that `Module::load_record` expects: that of the parameter's save mapper.
impl ParamVisitor for Capture {
    fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let tensor = param.transform_for_save().val();
        self.push(path, param.id, move || held_data(tensor));
    }

    fn int<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D, Int>>) {
        let tensor = param.transform_for_save().val();
        self.push(path, param.id, move || tensor.into_data());
    }

    fn bool<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D, Bool>>) {
        let tensor = param.transform_for_save().val();
        self.push(path, param.id, move || tensor.into_data());
    }
}

/// The id that every parameter takes on and no running statistic does: burn offers no other way to tell them apart.
const MARK: u64 = 0;

struct RunningStatesMark;

impl RunningStatesMark {
    fn mark<T: ParameterValue>(param: Param<T>) -> Param<T> {
        let (_, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(MARK), value, mapper)
    }
}

impl ModuleMapper for RunningStatesMark {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Self::mark(param)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        Self::mark(param)
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        Self::mark(param)
    }
}
