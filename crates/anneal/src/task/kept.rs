//! What a run folder keeps of a task, as JSON: `preprocessing.json`.

use serde::{Serialize, de::DeserializeOwned};

use super::TaskError;

/// What it keeps.
pub(super) fn write<T: Serialize>(fitted: &T) -> Option<String> {
    // Structs of texts and finite numbers have no reason to fail.
    serde_json::to_string_pretty(fitted).ok()
}

/// The same read again.
///
/// # Errors
/// A file that has been changed.
pub(super) fn read<T: DeserializeOwned>(kept: &str) -> Result<T, TaskError> {
    serde_json::from_str(kept).map_err(|error| format!("preprocessing.json of the run is damaged: {error}").into())
}
