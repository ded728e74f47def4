//! Devices by name: what a configuration may say, and what this build and this machine can do about it.
//!
//! Here: the names. `adapters`: which adapter of this machine a GPU's name means, and opening it.

mod adapters;

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, raise};

pub(crate) use adapters::Adapter;
pub use adapters::DeviceUnavailable;

/// A kind of device and which of its kind, as written in a config: `cpu`, `flex`, `wgpu:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceName {
    kind: &'static DeviceKind,
    index: Option<usize>,
}

/// A kind of device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeviceKind {
    /// Its name in a config.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// The cargo feature of `anneal` that compiles it in; for `cpu` and `gpu`, any that does.
    pub feature: &'static str,
    /// Whether this build has it.
    pub compiled_in: bool,
}

const CPU: bool = cfg!(any(feature = "flex", feature = "ndarray"));
const GPU: bool = cfg!(any(feature = "cuda", feature = "vulkan", feature = "metal", feature = "wgpu"));

/// Every kind of device there is, compiled in or not.
pub(crate) static KINDS: [DeviceKind; 8] = [
    DeviceKind { name: "cpu", summary: "the best CPU backend of this build", feature: "flex", compiled_in: CPU },
    DeviceKind { name: "gpu", summary: "the best GPU backend of this build", feature: "wgpu", compiled_in: GPU },
    DeviceKind {
        name: "flex",
        summary: "CPU, burn's current backend",
        feature: "flex",
        compiled_in: cfg!(feature = "flex"),
    },
    DeviceKind {
        name: "ndarray",
        summary: "CPU, burn's older backend (deprecated upstream, slow convolutions)",
        feature: "ndarray",
        compiled_in: cfg!(feature = "ndarray"),
    },
    DeviceKind { name: "wgpu", summary: "any GPU, through WGSL", feature: "wgpu", compiled_in: cfg!(feature = "wgpu") },
    DeviceKind {
        name: "vulkan",
        summary: "any GPU with Vulkan, through SPIR-V",
        feature: "vulkan",
        compiled_in: cfg!(feature = "vulkan"),
    },
    DeviceKind { name: "metal", summary: "Apple GPUs", feature: "metal", compiled_in: cfg!(feature = "metal") },
    DeviceKind { name: "cuda", summary: "NVIDIA GPUs", feature: "cuda", compiled_in: cfg!(feature = "cuda") },
];

impl DeviceName {
    /// The best CPU backend of this build.
    pub const CPU: Self = Self { kind: &KINDS[0], index: None };

    /// Reads a name; `path` is where it stands, for errors.
    ///
    /// # Errors
    /// An unknown name, an invalid index, or a device that this build was compiled without: the message says which
    /// there are and which cargo feature adds the one asked for.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let (name, index) = match text.split_once(':') {
            None => (text, None),
            Some((name, index)) => match index.parse() {
                Ok(index) => (name, Some(index)),
                Err(_) => {
                    return Err(ConfigError::not_allowed(path, format!("{text:?}"), "name:N with a whole number N"));
                }
            },
        };
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            return Err(ConfigError::unknown_name(path, "device", name, KINDS.iter().map(|kind| kind.name)));
        };
        if !kind.compiled_in {
            let here: Vec<&str> = KINDS.iter().filter(|kind| kind.compiled_in).map(|kind| kind.name).collect();
            return Err(ConfigError::conflict(
                path,
                format!(
                    "the device `{name}` is not compiled in; this build has {}; for {name}, build with \
                     `cargo build --release --features {}`",
                    here.join(", "),
                    kind.feature
                ),
            ));
        }
        if index.is_some_and(|index| index > 0) && matches!(name, "cpu" | "flex" | "ndarray") {
            return Err(ConfigError::not_allowed(
                path,
                format!("{text:?}"),
                format!("{name} or {name}:0: there is one"),
            ));
        }
        Ok(Self { kind, index })
    }

    /// burn's device, with autodiff: looked for on this machine and, where it is a GPU, started.
    ///
    /// Without an index, `wgpu`, `vulkan` and `metal` are what wgpu takes for the machine's fastest adapter (or what
    /// `CUBECL_WGPU_DEFAULT_DEVICE` names); with one, the adapter at that place of `anneal list devices`. `gpu` is the
    /// first of `cuda`, `metal`, `vulkan`, `wgpu` that this build has and this machine has an adapter for.
    ///
    /// # Errors
    /// There is no such adapter, or it cannot be started. A CPU is always there.
    pub fn open(self) -> Result<Device, DeviceUnavailable> {
        let name = match self.kind.name {
            "cpu" if cfg!(feature = "flex") => "flex",
            "cpu" => "ndarray",
            name => name,
        };
        match name {
            #[cfg(feature = "flex")]
            "flex" => Ok(Device::flex().autodiff()),
            #[cfg(feature = "ndarray")]
            "ndarray" =>
            {
                #[allow(
                    deprecated,
                    reason = "kept because users ask for it; the design says why it is never the default"
                )]
                Ok(Device::ndarray().autodiff())
            }
            name => adapters::open(name, self.index).map(Device::autodiff),
        }
    }

    /// Whether reading a value back waits for the device's queue, so that it is worth doing rarely.
    pub fn is_gpu(self) -> bool {
        self.kind.is_gpu()
    }
}

impl DeviceKind {
    /// Whether it is one of GPUs.
    pub(crate) fn is_gpu(&self) -> bool {
        !matches!(self.name, "cpu" | "flex" | "ndarray")
    }

    /// What this machine has of it, in the order in which `NAME:N` counts. Empty for CPUs and for what is not compiled
    /// in. Starts each of them to ask for its name, which can take some tenths of a second.
    pub(crate) fn adapters(&self) -> Vec<Adapter> {
        if self.is_gpu() && self.compiled_in { adapters::list(self.name) } else { Vec::new() }
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?, "").map_err(raise)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => write!(f, "{}", self.kind.name),
            Some(index) => write!(f, "{}:{index}", self.kind.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_wrong_with_them() {
        assert_eq!(DeviceName::parse("flex", "d").map(|name| name.to_string()), Ok("flex".to_owned()));
        assert_eq!(DeviceName::parse("cpu:0", "d").map(|name| name.to_string()), Ok("cpu:0".to_owned()));
        let refusal = |text| DeviceName::parse(text, "run.device").expect_err("a refusal").to_string();
        assert!(refusal("gpuu").starts_with("run.device: there is no device `gpuu`; did you mean `gpu`?"));
        assert!(refusal("flex:2").contains("there is one"));
        assert!(refusal("flex:x").contains("name:N"));
        if !cfg!(feature = "cuda") {
            let message = refusal("cuda");
            assert!(message.contains("this build has cpu,") && message.contains("--features cuda"), "{message}");
        }
    }
}
