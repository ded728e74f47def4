//! Image data sets, batches and reference models: what the examples train.
//!
//! What lives here: strict readers of image files ([`read`]), the data sets known by name ([`load`], [`known`]),
//! fetching them ([`fetch`]), images held as one block of bytes ([`ImageSet`]), their assembly into normalised and augmented tensors
//! on the host ([`Batcher`], [`Augment`]) or on the device ([`DeviceBatcher`]), and the networks of the field ([`models`]). What it may know: burn, files of
//! images, and how settings are read. What it must not know: a training loop, an optimizer, a learning rate.
//!
//! Nothing here chooses a device: every function that makes a tensor takes one. Parameters of a new model are drawn at
//! once, in order, from the device's generator, so `device.seed(s)` before the constructor fixes them.
//!
//! ```no_run
//! use vision::{Augment, Batcher, load};
//!
//! let digits = load("digits", None)?;
//! let batcher = Batcher::new(digits.train.clone(), &digits.mean, &digits.std, Augment::parse("shift_rotate")?)?;
//! let pixels = batcher.assemble(&[0, 1, 2], 0, 42)?; // 3 images, f32, one block
//! assert_eq!(pixels.len(), 3 * 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod augment;
mod batch;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod image_set;
pub mod models;
mod on_device;
pub mod read;
mod sets;

#[doc(hidden)]
pub use burn::train as burn_train;

pub use augment::{Amount, Augment, AugmentError, Flip};
pub use batch::{Batcher, BatcherError, ImageBatch};
pub use dataset::Dataset;
pub use error::{DataError, FileProblem, LookedIn, MissingFiles};
pub use image_set::{ImageReadError, ImageSet, ImageSetError, ImageShape};
pub use on_device::{DeviceBatcher, OnDeviceError};
pub use sets::{
    Against, DataFile, DataSource, DatasetInfo, DatasetRegistry, Download, FOLDER_PREFIX, FolderOptions, OwnDataset,
    OwnDatasetEntry, Packing, Verified, VerifiedFile, info, known, load, load_folder, load_picture, search_dirs,
    verify,
};
