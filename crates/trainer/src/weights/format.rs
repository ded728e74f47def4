//! The formats of weights, and how each names and lays out its parameters.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

/// The name that a run gives the weights it ends with.
pub const FILE: &str = "model.safetensors";

/// How a file names its parameters and lays out its matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// As PyTorch does (`weight` and `bias` of norms, linear weights `[out, in]`): the default for safetensors and
    /// PyTorch files.
    PyTorch,
    /// As burn does (`gamma` and `beta`, linear weights `[in, out]`): the default for burnpack; safetensors that
    /// burn-store wrote without its PyTorch adapter must be named.
    Burn,
}

/// A format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// burn's own, `.bpk`; checkpoints hold it.
    Burnpack,
    /// `.safetensors`.
    Safetensors,
    /// What `torch.save` writes, `.pt` or `.pth`: zip archives, the older pickle streams and tar archives. A state dict,
    /// a checkpoint that holds one beside other things (`model.fc.weight`: use `remap`), or a whole module. Nothing in
    /// the pickle is executed.
    PyTorch,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Burnpack => "burnpack",
            Self::Safetensors => "safetensors",
            Self::PyTorch => "PyTorch",
        })
    }
}

impl Format {
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Burnpack => Layout::Burn,
            Self::Safetensors | Self::PyTorch => Layout::PyTorch,
        }
    }

    /// By the first bytes, and by the extension where they do not tell.
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Option<Self> {
        /// burnpack's magic number, least significant byte first.
        const BURNPACK: &[u8] = b"NRUB";
        const ZIP: &[u8] = b"PK\x03\x04";
        // A safetensors file is the length of its header (8 bytes) and then the header, a JSON object.
        if bytes.starts_with(BURNPACK) {
            return Some(Self::Burnpack);
        }
        if bytes.starts_with(ZIP) {
            return Some(Self::PyTorch);
        }
        if bytes.get(8) == Some(&b'{') {
            return Some(Self::Safetensors);
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("bpk") => Some(Self::Burnpack),
            Some("safetensors") => Some(Self::Safetensors),
            Some("pt" | "pth" | "bin" | "ckpt" | "pkl") => Some(Self::PyTorch),
            _ => None,
        }
    }
}
