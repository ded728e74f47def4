//! Convolution, linear layers, batch norm, pooling, and what a transformer needs, for burn on the CPU, forward and backward.
//!
//! What lives here: functions that take a layer of burn-nn and do what its `forward` does, with kernels of our own where
//! the tensors are single precision on burn's `Flex` backend, tracked for gradients or not. Everywhere else (other
//! devices and precisions, groups, shapes that are not covered) they call burn's own operation, and say so once, as a
//! `tracing::debug`. What this room may know: burn. What it must not know: data, models, optimizers, loops.
//!
//! ```
//! use burn::nn::{BatchNormConfig, PaddingConfig2d, conv::Conv2dConfig};
//! use burn::tensor::{Device, Tensor};
//!
//! let device = Device::flex().autodiff();
//! let conv = Conv2dConfig::new([3, 16], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device);
//! let norm = BatchNormConfig::new(16).init(&device);
//!
//! let images = Tensor::<4>::ones([2, 3, 8, 8], &device);
//! let maps = cpu_kernels::batch_norm_relu(&norm, cpu_kernels::conv2d(&conv, images));
//! assert_eq!(maps.dims(), [2, 16, 8, 8]);
//! ```
//!
//! **Layers are burn's own**, so their configs, initialisation, records, parameter names and files are as they are
//! without this crate, and a model can change between the two at any time.
//!
//! **Reproducible**: results and gradients are the same bits from run to run and for every number of threads, on one
//! [`InstructionSet`]; two sets differ in rounding. [`instruction_set`] says which is used.
//!
//! **NaN and infinity** pass as in torch: `relu` of NaN is NaN, a window that holds NaN has the maximum NaN.
//!
//! **Memory**: results are ordinary tensors; beside them each thread keeps a few buffers (about a megabyte, more for
//! very wide layers) from one call to the next. Big tensors come from the program's allocator in every step: with the
//! system's default one, the pages that it takes and gives back cost a good part of a step, so a program should set
//! another, such as mimalloc, as `#[global_allocator]`.

mod covered;
mod extension;
mod kernels;
mod layers;
mod transformer;

pub use kernels::{FORCE, InstructionSet, UnknownSet, in_use, instruction_set};
pub use layers::{add_relu, avg_pool2d, batch_norm, batch_norm_relu, conv2d, global_avg_pool, linear, max_pool2d};
pub use transformer::{causal_attention, cross_entropy, gelu, layer_norm};
