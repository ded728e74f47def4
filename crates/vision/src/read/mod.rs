//! Strict readers of image files.
//!
//! What lives here: the content of a file, gzip or not ([`content`]), and the formats, IDX ([`idx`]), CIFAR binary
//! ([`cifar`]), and PNG and JPEG ([`picture`]), each as a function of bytes. A header is checked against the length of
//! the content before anything is allocated by it, and no bytes may follow the end.

pub mod cifar;
mod file;
pub mod idx;
pub mod picture;
mod resample;

pub use file::content;
pub(crate) use file::{content_of, open};
