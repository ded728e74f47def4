//! Tests of the `anneal` command and of what it is put together from, in one program, because each program links burn: a
//! file per subject. Apart from it stand the tests of GPUs (`gpu`, `gpu_runs`, `resident`), of kills, and of PyTorch.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod compare;
mod curve;
mod data;
mod find_lr;
mod language;
mod list;
mod own_parts;
mod precision;
mod predict;
mod recipes;
mod report;
mod run_folder;
mod samplers;
mod schedule;
mod several;
mod signals;
mod silent;
mod switches;
mod table;
mod task;
mod terminal;
mod train;
mod weights;
