//! The GPUs of this machine: which there are, and starting one.
//!
//! burn starts a GPU when it is first used, and panics where it cannot. A run asks before any work instead: the
//! adapters are listed, the one that is meant is started, and a panic on the way is caught here and nowhere else.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
use burn::tensor::Device;

/// A GPU of this machine, or a software driver that stands in for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adapter {
    /// What a config calls it: `wgpu:0`.
    pub name: String,
    /// What it calls itself; why it cannot be used, where that is so.
    pub description: String,
    /// Whether it can be used.
    pub works: bool,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.description)
    }
}

/// A device that this build could use, and this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceUnavailable {
    /// There is no adapter of the kind.
    #[error(
        "run.device: `{device}` is compiled in, but this machine has no adapter for it ({hint}); `anneal list devices` \
         shows what there is, and `cpu` always works"
    )]
    NoAdapter {
        /// What was asked for.
        device: String,
        /// What the kind needs.
        hint: &'static str,
    },
    /// There are fewer than the index says.
    #[error("run.device: there is no `{device}`; this machine has {}", .found.join(", "))]
    NoSuchIndex {
        /// What was asked for.
        device: String,
        /// What there is, counted from 0.
        found: Vec<String>,
    },
    /// It is there and cannot be started.
    #[error("run.device: `{device}` exists but cannot be started: {reason}")]
    DoesNotStart {
        /// What was asked for.
        device: String,
        /// What the driver or burn said.
        reason: String,
    },
}

/// Opens the adapter of a kind of GPU that is compiled in.
pub(super) fn open(name: &str, index: Option<usize>) -> Result<Device, DeviceUnavailable> {
    let asked = || index.map_or_else(|| name.to_owned(), |index| format!("{name}:{index}"));
    let compiled_in = |kind: &&str| super::KINDS.iter().any(|it| it.name == *kind && it.compiled_in);
    let kinds: Vec<&str> = match name {
        "gpu" => ["cuda", "metal", "vulkan", "wgpu"].into_iter().filter(compiled_in).collect(),
        name => vec![name],
    };
    for kind in kinds {
        let found = listed(kind).map_err(|reason| DeviceUnavailable::DoesNotStart { device: asked(), reason })?;
        if found.is_empty() {
            continue;
        }
        let Some(device) = found.get(index.unwrap_or(0)) else {
            let found = (0..found.len()).map(|i| format!("{name}:{i}")).collect();
            return Err(DeviceUnavailable::NoSuchIndex { device: asked(), found });
        };
        let device = if index.is_some() { device.clone() } else { best(kind).unwrap_or_else(|| device.clone()) };
        return start(&device)
            .map(|()| device)
            .map_err(|reason| DeviceUnavailable::DoesNotStart { device: asked(), reason });
    }
    Err(DeviceUnavailable::NoAdapter { device: asked(), hint: hint(name) })
}

/// Every adapter of a kind, with the name that it reports; none for `gpu`, which means another kind.
pub(super) fn list(kind: &str) -> Vec<Adapter> {
    let devices = listed(kind).unwrap_or_default().into_iter().enumerate();
    devices
        .map(|(i, device)| {
            let name = format!("{kind}:{i}");
            match start(&device) {
                Ok(()) => Adapter { name, description: description(&device), works: true },
                Err(reason) => Adapter { name, description: reason, works: false },
            }
        })
        .collect()
}

/// What a kind needs on a machine.
fn hint(kind: &str) -> &'static str {
    match kind {
        "cuda" => "it needs NVIDIA's driver, with libcuda",
        "metal" => "it needs an Apple GPU",
        "vulkan" => "it needs a Vulkan driver; VK_DRIVER_FILES can name one",
        "wgpu" => "it needs a driver for Vulkan, Metal, DirectX 12 or OpenGL; for Vulkan, VK_DRIVER_FILES can name one",
        _ => "none of the GPU backends of this build finds one",
    }
}

/// The devices of a kind, GPUs before software drivers, or what went wrong in looking for them.
#[allow(
    unused_variables,
    clippy::match_single_binding,
    clippy::unnecessary_wraps,
    reason = "which kinds there are depends on the features"
)]
fn listed(kind: &str) -> Result<Vec<Device>, String> {
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
    {
        use burn::tensor::DeviceType;
        let filter = match kind {
            #[cfg(feature = "cuda")]
            "cuda" => DeviceType::Cuda,
            #[cfg(feature = "vulkan")]
            "vulkan" => DeviceType::Vulkan,
            #[cfg(feature = "metal")]
            "metal" => DeviceType::Metal,
            #[cfg(feature = "wgpu")]
            "wgpu" => DeviceType::Wgpu,
            _ => return Ok(Vec::new()),
        };
        let mut devices = caught(|| Device::enumerate(filter).into_vec())?;
        devices.sort_by_key(is_software);
        Ok(devices)
    }
    #[cfg(not(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda")))]
    Ok(Vec::new())
}

/// Whether it is a CPU that plays a GPU (lavapipe, llvmpipe, WARP).
#[allow(dead_code, unused_variables, reason = "depends on the features")]
fn is_software(device: &Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
    if let DispatchDevice::Cube(CubeDevice::Wgpu(device)) = device.as_dispatch() {
        return device.kind == WgpuDeviceKind::Cpu;
    }
    false
}

/// What wgpu chooses by itself, where the kind is one of wgpu's.
#[allow(unused_variables, clippy::match_single_binding, reason = "which kinds there are depends on the features")]
fn best(kind: &str) -> Option<Device> {
    match kind {
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        _ => None,
    }
}

/// Starts a device, as its first use would.
fn start(device: &Device) -> Result<(), String> {
    caught(|| device.sync())?.map_err(|error| error.to_string())
}

/// What a device says it is.
#[allow(unused_variables, reason = "depends on the features")]
fn description(device: &Device) -> String {
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
    if let Ok(Some(identity)) = caught(|| device.identity()) {
        let software = if is_software(device) { ", software" } else { "" };
        return format!("{}{software}", identity.name);
    }
    "of an unknown name".to_owned()
}

/// The message of a panic, as an error.
fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("no {}", "driver") }), Err("no driver".to_owned()));
    }

    #[test]
    fn errors_say_what_there_is_and_what_to_do() {
        let none = DeviceUnavailable::NoAdapter { device: "wgpu".to_owned(), hint: hint("wgpu") }.to_string();
        assert!(none.contains("`wgpu` is compiled in, but this machine has no adapter") && none.contains("VK_DRIVER"));
        let found = vec!["wgpu:0".to_owned(), "wgpu:1".to_owned()];
        let index = DeviceUnavailable::NoSuchIndex { device: "wgpu:7".to_owned(), found }.to_string();
        assert_eq!(index, "run.device: there is no `wgpu:7`; this machine has wgpu:0, wgpu:1");
    }
}
