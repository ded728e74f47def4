//! What can go wrong between numbers and a picture.

use std::path::PathBuf;

/// Why a chart could not be drawn or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The file name's extension is not that of a format for charts.
    #[error("{}: a chart is saved as .svg or .png, not as {found}", path.display())]
    Extension {
        /// The path that was asked for.
        path: PathBuf,
        /// Its extension with the dot, or `a file without extension`.
        found: String,
    },
    /// The file could not be written.
    #[error("{}: cannot write it: {source}", path.display())]
    Write {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The picture's size leaves no room for a plot, or is more than an image may have.
    #[error("a chart of {width} x {height} pixels cannot be drawn: allowed are {min_width} x {min_height} to {max} x {max}", min_width = crate::Chart::MIN_SIZE.0, min_height = crate::Chart::MIN_SIZE.1, max = crate::Chart::MAX_SIDE)]
    Size {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
    },
    /// The drawing backend failed.
    #[error("drawing failed: {0}")]
    Draw(String),
}
