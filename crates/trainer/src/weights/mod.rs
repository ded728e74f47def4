//! Weights in and out: pretrained parameters into a model, a model's parameters into a file that PyTorch opens.
//!
//! What lives here: [`save`], which writes safetensors under PyTorch's names and in its layouts; [`load`], which reads
//! burnpack (a checkpoint's `model.bpk` too), safetensors and PyTorch's `.pt`/`.pth` through burn-store, checks every
//! name, shape and kind against the model before it changes anything, and says what it did. It knows files and
//! parameters, and no loop, no optimizer state (that is [`checkpoint`](crate::checkpoint)) and no particular model.
//!
//! | in burn | in PyTorch |
//! |---|---|
//! | `Linear.weight`, `[in, out]` | `weight`, `[out, in]` |
//! | `BatchNorm`, `LayerNorm`, `GroupNorm`, `RmsNorm`: `gamma`, `beta` | `weight`, `bias` |
//! | `BatchNorm.running_mean`, `running_var` | the same |
//! | nothing: burn's batch norm averages with a fixed momentum | `num_batches_tracked` (not written, passed over) |
//! | convolutions, embeddings: as they are | as they are |
//!
//! ```no_run
//! # fn example<M: burn::module::Module>(model: M) -> Result<(), trainer::weights::WeightsError> {
//! use std::path::Path;
//! use trainer::weights::{LoadOptions, load, save};
//!
//! let options = LoadOptions::new().remap(r"^backbone\.", "")?.except("fc3.*")?;
//! let (model, loaded) = load(model, Path::new("pretrained.pt"), &options)?;
//! println!("{loaded}");
//! save(&model, Path::new("model.safetensors"))?;
//! # Ok(())
//! # }
//! ```

mod error;
mod format;
mod load;
mod options;
mod parameters;
mod read;
mod save;

pub use error::{Difference, WeightsError};
pub use format::{FILE, Format, Layout};
pub use load::{Loaded, load};
pub use options::LoadOptions;
pub use read::{metadata, sha256};
pub use save::{save, save_with};
