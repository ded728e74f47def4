//! A model of free tensors and the devices that the tests run on.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(deprecated, reason = "burn-ndarray is offered as long as burn has it")]

use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use optim_adaptive::{OptimizerConfig, OptimizerRegistry};

/// Two tensors, as in the golden traces: a matrix and a vector.
#[derive(Module, Debug)]
pub struct Two {
    pub weight: Param<Tensor<2>>,
    pub bias: Param<Tensor<1>>,
}

/// A tensor of these values in this precision.
pub fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    let data = if dtype == DType::F64 {
        TensorData::new(values.to_vec(), shape)
    } else {
        TensorData::new(values.iter().map(|x| *x as f32).collect::<Vec<f32>>(), shape)
    };
    Tensor::from_data(data, (device, dtype))
}

/// The values of a tensor, widened.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    let data = tensor.clone().into_data();
    match data.dtype() {
        DType::F64 => data.try_to_vec::<f64>().expect("f64"),
        DType::F32 => data.try_to_vec::<f32>().expect("f32").into_iter().map(f64::from).collect(),
        other => panic!("unexpected precision {other:?}"),
    }
}

impl Two {
    pub fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: Param::initialized(ParamId::new(), weight), bias: Param::initialized(ParamId::new(), bias) }
    }

    /// Gradients for each tensor, or none.
    pub fn grads(&self, weight: Option<Tensor<2>>, bias: Option<Tensor<1>>) -> GradientsParams {
        let mut grads = GradientsParams::new();
        if let Some(weight) = weight {
            grads.register(self.weight.id, weight);
        }
        if let Some(bias) = bias {
            grads.register(self.bias.id, bias);
        }
        grads
    }

    /// All values, weight first.
    pub fn values(&self) -> [Vec<f64>; 2] {
        [values(&self.weight.val()), values(&self.bias.val())]
    }
}

/// The CPU devices, by name.
pub fn devices() -> Vec<(&'static str, Device)> {
    vec![
        #[cfg(feature = "flex")]
        ("flex", Device::flex()),
        #[cfg(feature = "ndarray")]
        ("ndarray", Device::ndarray()),
    ]
}

/// Whether a table names one of burn's own optimizers: composed, not driven by momentum, and read back in f32 only.
pub fn is_burns(text: &str) -> bool {
    ["lion", "lamb", "muon", "adafactor"].iter().any(|name| text.starts_with(&format!("type = '{name}'")))
}

/// Tables of every registered optimizer that is not burn's, with its defaults; then the variants.
pub fn ours_and(variants: &[&str]) -> Vec<String> {
    let tables = OptimizerRegistry::standard().iter().map(|(name, _)| format!("type = '{name}'")).collect::<Vec<_>>();
    tables.into_iter().filter(|text| !is_burns(text)).chain(variants.iter().map(|text| (*text).to_owned())).collect()
}

/// A config from text.
pub fn config(text: &str) -> OptimizerConfig {
    OptimizerConfig::from_toml_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
