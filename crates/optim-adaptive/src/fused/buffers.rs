//! From burn's tensors to plain slices and back: which may be written in place, and which must be copied first.
//!
//! A buffer is written in place when no other tensor shares it. A shared parameter (burn-train's Learner keeps a
//! second handle on the model while it steps) is not copied: the new values go into the gradient's buffer, which
//! is not needed afterwards. Shared states are copied once (copy-on-write). Buffers in another layout than plain
//! row-major are made contiguous first: gradients of convolutions arrive transposed on NdArray.

#![cfg_attr(feature = "ndarray", expect(deprecated, reason = "burn-ndarray is offered as long as burn has it"))]

use burn::backend::{BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
use burn::tensor::{DType, Tensor};

use super::sweep::{in_place, into_gradient};
use super::{Rule, Sweep, SweepOver};
use crate::finite::{self, is_zero, zero_if_finite};

/// Where the fused loops exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    #[cfg(feature = "flex")]
    Flex(DType),
    #[cfg(feature = "ndarray")]
    NdArray(DType),
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
    Gpu,
    Elsewhere,
}

fn backend(tensor: &DispatchTensor) -> Backend {
    if tensor.autodiff != DispatchAutodiffContext::Disabled {
        return Backend::Elsewhere;
    }
    match &tensor.kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => match tensor.dtype() {
            dtype @ (DType::F32 | DType::F64) => Backend::Flex(dtype),
            _ => Backend::Elsewhere,
        },
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(BackendTensor::Float(tensor)) => match tensor {
            burn_ndarray::NdArrayTensor::F32(_) => Backend::NdArray(DType::F32),
            burn_ndarray::NdArrayTensor::F64(_) => Backend::NdArray(DType::F64),
            _ => Backend::Elsewhere,
        },
        #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
        DispatchTensorKind::Cube(_) if super::kernel::takes(tensor) => Backend::Gpu,
        _ => Backend::Elsewhere,
    }
}

/// Whether fused loops exist for a tensor: it is on a CPU backend, in f32 or f64.
pub(crate) fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    match backend(&tensor.clone().into_dispatch()) {
        #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
        // The kernel does not look at gradients: reading one waits for the device's queue.
        Backend::Gpu => false,
        other => other != Backend::Elsewhere,
    }
}

/// Applies `rule`: fused where all tensors live on the same CPU backend in the same precision and shape, composed of
/// tensor operations otherwise. [Answers](finite::answer) whether the gradient was finite, where that is asked.
pub(crate) fn apply<R: Rule<N>, const N: usize, const D: usize>(
    rule: R,
    param: Tensor<D>,
    grad: Tensor<D>,
    states: [Tensor<D>; N],
) -> (Tensor<D>, [Tensor<D>; N])
where
    SweepOver: Sweep<N>,
{
    let question = finite::pause();
    let look = |grad: &Tensor<D>| question.is_none() || is_zero(zero_if_finite(grad.clone()));
    let same_shape = param.shape() == grad.shape() && states.iter().all(|state| state.shape() == param.shape());
    let param = param.into_dispatch();
    let grad = grad.into_dispatch();
    let states = states.map(Tensor::into_dispatch);

    let found = backend(&param);
    #[cfg(test)]
    let found = if tests::COMPOSED.get() { Backend::Elsewhere } else { found };
    let together = same_shape && backend(&grad) == found && states.iter().all(|state| backend(state) == found);
    let (param, states, finite) = match found {
        #[cfg(feature = "flex")]
        Backend::Flex(dtype) if together => flex::apply(rule, dtype, param, grad, states),
        #[cfg(feature = "ndarray")]
        Backend::NdArray(dtype) if together => ndarray::apply(rule, dtype, param, grad, states),
        #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
        Backend::Gpu if together => {
            let grad = Tensor::<D>::from_dispatch(grad);
            let finite = look(&grad);
            let (param, states) = super::kernel::apply(rule, param, grad.into_dispatch(), states);
            (Tensor::from_dispatch(param), states.map(Tensor::from_dispatch), finite)
        }
        _ => {
            let grad = Tensor::<D>::from_dispatch(grad);
            let finite = look(&grad);
            let (param, states) = rule.update(Tensor::from_dispatch(param), grad, states.map(Tensor::from_dispatch));
            (param, states, finite)
        }
    };
    finite::answer(question, finite);
    (param, states)
}

/// Calls `read32` or `read64` on the elements of `tensors`; `None` where they are not all on the same CPU backend in
/// the same precision.
pub(super) fn read<const K: usize, const D: usize, Out>(
    tensors: [&Tensor<D>; K],
    read32: impl FnOnce([&[f32]; K]) -> Out,
    read64: impl FnOnce([&[f64]; K]) -> Out,
) -> Option<Out> {
    let tensors = tensors.map(|tensor| tensor.clone().into_dispatch());
    let found = tensors.first().map_or(Backend::Elsewhere, backend);
    if !tensors.iter().all(|tensor| backend(tensor) == found) {
        return None;
    }
    match found {
        #[cfg(feature = "flex")]
        Backend::Flex(dtype) => {
            let tensors = tensors.map(flex::open);
            Some(if dtype == DType::F64 {
                read64(tensors.each_ref().map(burn_flex::FlexTensor::storage::<f64>))
            } else {
                read32(tensors.each_ref().map(burn_flex::FlexTensor::storage::<f32>))
            })
        }
        #[cfg(feature = "ndarray")]
        Backend::NdArray(dtype) => {
            let mut tensors = tensors.map(ndarray::open);
            Some(if dtype == DType::F64 {
                read64(tensors.each_mut().map(|tensor| match tensor {
                    burn_ndarray::NdArrayTensor::F64(storage) => storage.ensure_owned().as_slice().unwrap_or_default(),
                    _ => &[],
                }))
            } else {
                read32(tensors.each_mut().map(|tensor| match tensor {
                    burn_ndarray::NdArrayTensor::F32(storage) => storage.ensure_owned().as_slice().unwrap_or_default(),
                    _ => &[],
                }))
            })
        }
        #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
        Backend::Gpu => None,
        Backend::Elsewhere => None,
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn_flex::FlexTensor;

    use super::{
        BackendTensor, DType, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Rule, Sweep, SweepOver,
        Tensor, in_place, into_gradient,
    };

    pub(super) fn apply<R: Rule<N>, const N: usize, const D: usize>(
        rule: R,
        dtype: DType,
        param: DispatchTensor,
        grad: DispatchTensor,
        states: [DispatchTensor; N],
    ) -> (Tensor<D>, [Tensor<D>; N], bool)
    where
        SweepOver: Sweep<N>,
    {
        let mut param = open(param);
        let mut grad = open(grad);
        let mut states = states.map(open);
        macro_rules! run {
            ($t:ty) => {{
                let slices = states.each_mut().map(FlexTensor::storage_mut::<$t>);
                if param.is_unique() || !grad.is_unique() {
                    let finite = in_place(rule, param.storage_mut::<$t>(), grad.storage::<$t>(), slices);
                    (param, finite)
                } else {
                    let finite = into_gradient(rule, param.storage::<$t>(), grad.storage_mut::<$t>(), slices);
                    (grad, finite)
                }
            }};
        }
        let (param, finite) = if dtype == DType::F64 { run!(f64) } else { run!(f32) };
        (close(param), states.map(close), finite)
    }

    /// The tensor, row-major and covering its whole buffer.
    pub(super) fn open(tensor: DispatchTensor) -> FlexTensor {
        let DispatchTensorKind::Flex(BackendTensor::Float(tensor)) = tensor.kind else {
            unreachable!("the caller has checked the kind")
        };
        let layout = tensor.layout();
        let whole = layout.num_elements() * if tensor.dtype() == DType::F64 { 8 } else { 4 };
        if tensor.is_contiguous() && layout.start_offset() == 0 && tensor.bytes().len() == whole {
            tensor
        } else {
            tensor.to_contiguous()
        }
    }

    fn close<const D: usize>(tensor: FlexTensor) -> Tensor<D> {
        Tensor::from_dispatch(DispatchTensor {
            kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
            autodiff: DispatchAutodiffContext::Disabled,
        })
    }
}

#[cfg(feature = "ndarray")]
mod ndarray {
    use burn_ndarray::NdArrayTensor;

    use super::{
        BackendTensor, DType, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Rule, Sweep, SweepOver,
        Tensor, in_place, into_gradient,
    };

    pub(super) fn apply<R: Rule<N>, const N: usize, const D: usize>(
        rule: R,
        dtype: DType,
        param: DispatchTensor,
        grad: DispatchTensor,
        states: [DispatchTensor; N],
    ) -> (Tensor<D>, [Tensor<D>; N], bool)
    where
        SweepOver: Sweep<N>,
    {
        let param = open(param);
        let grad = open(grad);
        let states = states.map(open);
        macro_rules! run {
            ($variant:ident) => {{
                let inner = |tensor| {
                    let NdArrayTensor::$variant(storage) = tensor else {
                        unreachable!("the caller has checked the precision")
                    };
                    storage
                };
                let mut param = inner(param);
                let mut grad = inner(grad);
                let mut states = states.map(inner);
                let param_in_place = param.is_unique() || !grad.is_unique();
                let slices = states.each_mut().map(|state| state.ensure_owned().as_slice_mut().unwrap_or_default());
                let (updated, finite) = if param_in_place {
                    let target = param.ensure_owned().as_slice_mut().unwrap_or_default();
                    let source = grad.ensure_owned().as_slice().unwrap_or_default();
                    let finite = in_place(rule, target, source, slices);
                    (param, finite)
                } else {
                    let target = grad.ensure_owned().as_slice_mut().unwrap_or_default();
                    let source = param.ensure_owned().as_slice().unwrap_or_default();
                    let finite = into_gradient(rule, source, target, slices);
                    (grad, finite)
                };
                (NdArrayTensor::$variant(updated), states.map(NdArrayTensor::$variant), finite)
            }};
        }
        let (param, states, finite) = if dtype == DType::F64 { run!(F64) } else { run!(F32) };
        (close(param), states.map(close), finite)
    }

    /// The tensor as a plain owned array: borrowed storage (zero-copy loads) and odd layouts are copied here.
    pub(super) fn open(tensor: DispatchTensor) -> NdArrayTensor {
        let DispatchTensorKind::NdArray(BackendTensor::Float(mut tensor)) = tensor.kind else {
            unreachable!("the caller has checked the kind")
        };
        macro_rules! plain {
            ($storage:expr) => {{
                let array = $storage.ensure_owned();
                if !array.is_standard_layout() {
                    *array = array.as_standard_layout().into_owned().into_shared();
                }
            }};
        }
        match &mut tensor {
            NdArrayTensor::F32(storage) => plain!(storage),
            NdArrayTensor::F64(storage) => plain!(storage),
            _ => {}
        }
        tensor
    }

    fn close<const D: usize>(tensor: NdArrayTensor) -> Tensor<D> {
        Tensor::from_dispatch(DispatchTensor {
            kind: DispatchTensorKind::NdArray(BackendTensor::Float(tensor)),
            autodiff: DispatchAutodiffContext::Disabled,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use burn::module::{Param, ParamId};
    use burn::optim::GradientsParams;
    use burn::tensor::{DType, Device, Tensor, TensorData};

    use crate::{OptimizerConfig, OptimizerRegistry};

    thread_local! {
        /// Makes this thread's updates composed of tensor operations, as they are on a GPU.
        pub(crate) static COMPOSED: Cell<bool> = const { Cell::new(false) };
    }

    /// Further paths through the formulas, beside every optimizer's defaults.
    const VARIANTS: &[&str] = &[
        "type = 'adam'\nweight_decay = 0.1\nmaximize = true",
        "type = 'adam'\namsgrad = true",
        "type = 'nadam'\nweight_decay = 0.1",
        "type = 'radam'\nbetas = [0.8, 0.9]",
        "type = 'adagrad'\ninitial_accumulator_value = 0.1",
        "type = 'rmsprop'\ncentered = true",
        "type = 'rmsprop'\nmomentum = 0.9",
        "type = 'rmsprop'\ncentered = true\nmomentum = 0.9",
        "type = 'sgd'\nmomentum = 0.9\nnesterov = true",
        "type = 'schedule_free_adamw'\nweight_decay = 0.1",
        "type = 'prodigy'\nd0 = 1e-2",
    ];

    /// Tables of every registered optimizer with a fused loop (burn's own have none), and the variants.
    pub(crate) fn tables() -> Vec<String> {
        let names: Vec<_> = OptimizerRegistry::standard().iter().map(|(name, _)| name).collect();
        let fused = names.into_iter().filter(|name| !["lion", "muon", "lamb", "adafactor"].contains(name));
        fused.map(|name| format!("type = '{name}'")).chain(VARIANTS.iter().map(|text| (*text).to_owned())).collect()
    }

    pub(crate) fn run(text: &str, device: &Device, dtype: DType) -> Vec<f64> {
        let wave = |phase: f64| {
            let values: Vec<f64> = (0..1000).map(|i| (f64::from(i) * 0.7 + phase).sin()).collect();
            Tensor::<1>::from_data(TensorData::new(values, [1000]), (device, dtype))
        };
        let mut optimizer = OptimizerConfig::from_toml_str(text).expect(text).init();
        let mut model = Param::initialized(ParamId::new(), wave(0.0));
        for step in 0..6 {
            let mut grads = GradientsParams::new();
            grads.register(model.id, wave(f64::from(step)));
            model = optimizer.step(0.01, model, grads);
        }
        assert_eq!(model.val().dtype(), dtype);
        model.val().into_data().iter::<f64>().collect()
    }

    /// What a GPU computes is the same formula: composed, it agrees with the fused loops to rounding.
    #[test]
    fn composed_and_fused_agree() {
        let devices = [
            #[cfg(feature = "flex")]
            Device::flex(),
            #[cfg(feature = "ndarray")]
            Device::ndarray(),
        ];
        for device in devices {
            for text in &tables() {
                for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
                    let fused = run(text, &device, dtype);
                    COMPOSED.set(true);
                    let composed = run(text, &device, dtype);
                    COMPOSED.set(false);
                    for (fused, composed) in fused.into_iter().zip(composed) {
                        let close = (fused - composed).abs() <= tolerance * (1.0 + fused.abs());
                        assert!(close, "{text} in {dtype:?}: fused {fused:e}, composed {composed:e}");
                    }
                }
            }
        }
    }

    /// Half precision has no fused loop and takes the same composed path.
    #[cfg(feature = "flex")]
    #[test]
    fn half_precision_follows_single_precision() {
        for text in tables().iter().filter(|text| !text.contains("prodigy")) {
            let single = run(text, &Device::flex(), DType::F32);
            let half = run(text, &Device::flex(), DType::BF16);
            for (single, half) in single.into_iter().zip(half) {
                assert!((single - half).abs() < 0.05, "{text}: f32 {single}, bf16 {half}");
            }
        }
    }
}
