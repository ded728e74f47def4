//! The trainer's tests in one program, because each program links burn: a file per subject. Apart from it stand `memory`,
//! which measures the process, and `weights_damage`, which has an allocator of its own.
//!
//! A test that draws random numbers or seeds them holds `common::alone`: the generator is one for the whole process.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../small/mod.rs"]
mod small;

mod activations;
mod averaging;
mod callbacks;
mod checkpoints;
mod early_stopping;
mod eval_model;
mod fit;
mod freeze;
mod golden_lr_finder;
mod limits;
mod loggers;
mod lr_finder;
mod non_finite;
mod precision;
mod proof;
mod ranks;
mod resume;
mod resume_features;
mod start;
mod updates;
mod values;
mod weights;
