//! Readers of image files: strict, and bounded by what is really there.
//!
//! What lives here: the content of a file, gzip or not ([`content`]), and the formats, IDX ([`idx`]), CIFAR binary
//! ([`cifar`]), and PNG and JPEG ([`picture`]), each as a function of bytes. A header is believed only where the bytes
//! bear it out: nothing is allocated by a number that was read without that, and nothing may follow the end.

pub mod cifar;
mod file;
pub mod idx;
pub mod picture;

pub use file::content;
pub(crate) use file::content_of;
