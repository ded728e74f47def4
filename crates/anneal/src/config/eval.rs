//! `[eval]`: how a model is evaluated.

use serde::{Deserialize, Serialize};
use strict_config::Settings;
use vision::models::Tta;

/// `[eval]`: for validation, the test at the end, and `anneal evaluate`. It changes no step of training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSection {
    /// Test-time augmentation: `none`, `flip` or `flip+shift`. Default `none`.
    pub tta: Tta,
}

impl Settings for EvalSection {}
