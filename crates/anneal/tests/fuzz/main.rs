//! Mutated input for everything that reads what others wrote: configurations, formulas, schedules, checkpoints, weights, data
//! sets, images. Whatever comes in, there is an answer: no panic, no more memory than the input explains, no long wait.
//!
//! In an ordinary test run each target gets a moment; `just fuzz` gives each a minute (`ANNEAL_FUZZ_SECONDS`). A failure
//! names the seed (`ANNEAL_SEED`) and keeps the input in the temporary folder; put it into `corpus.rs` when it is mended.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod mutate;
mod targets;
mod watch;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mutate::Mutator;
use watch::Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// The longest that one input may take, on a machine that others work on too.
const LONGEST: Duration = Duration::from_secs(10);

/// What one input may take in memory: so much, and so many bytes for each of its own (what is packed comes out larger).
const MEMORY: usize = 96 << 20;
const MEMORY_PER_BYTE: usize = 8_192;

/// The allocator is watched for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Feeds a target with its corpus and then with mutations of it.
fn fuzz(name: &str, corpus: &[Vec<u8>], words: &[&str], target: impl Fn(&[u8])) {
    let _alone = alone();
    let seconds = std::env::var("ANNEAL_FUZZ_SECONDS").map_or(0.3, |seconds| seconds.parse().expect("seconds"));
    let seed = common::seed();
    let mut mutator = Mutator::new(seed, words);
    let (began, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut inputs = 0_u64;
    let whole = corpus.iter().cloned();
    let mut mutated = std::iter::from_fn(|| (began.elapsed() < time).then(|| mutator.next(corpus)));
    for input in whole.chain(&mut mutated) {
        inputs += 1;
        let before = Watched::restart();
        let started = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&input)));
        let (took, memory) = (started.elapsed(), Watched::peak().saturating_sub(before));
        let allowed = MEMORY + MEMORY_PER_BYTE * input.len();
        let wrong = match result {
            Err(_) => Some("it panics".to_owned()),
            Ok(()) if took > LONGEST => Some(format!("it takes {took:?}")),
            Ok(()) if memory > allowed => Some(format!("it takes {memory} bytes, {allowed} are explained")),
            Ok(()) => None,
        };
        if let Some(wrong) = wrong {
            let kept = std::env::temp_dir().join(format!("anneal-fuzz-{name}-{seed}"));
            std::fs::write(&kept, &input).expect("kept");
            panic!(
                "{name}, ANNEAL_SEED={seed}, input {inputs} of {} bytes: {wrong}; kept in {}",
                input.len(),
                kept.display()
            );
        }
    }
    println!("{name}: {inputs} inputs, ANNEAL_SEED={seed}");
}

#[test]
fn configurations() {
    fuzz("configurations", &corpus::configurations(), corpus::WORDS, targets::configuration);
}

#[test]
fn formulas() {
    fuzz("formulas", &corpus::formulas(), corpus::FORMULA_WORDS, targets::formula);
}

#[test]
fn schedules() {
    fuzz("schedules", &corpus::schedules(), corpus::WORDS, targets::schedule);
}

#[test]
fn checkpoints() {
    let checkpoint = targets::Checkpoint::made();
    fuzz("checkpoints", &checkpoint.corpus(), corpus::JSON_WORDS, |input| checkpoint.read(input));
}

#[test]
fn weights() {
    let (corpus, target) = targets::weights();
    fuzz("weights", &corpus, corpus::JSON_WORDS, target);
}

#[test]
fn idx() {
    fuzz("idx", &corpus::idx(), &[], targets::idx);
}

#[test]
fn cifar() {
    fuzz("cifar", &corpus::cifar(), &[], targets::cifar);
}

#[test]
fn images() {
    fuzz("images", &corpus::images(), &["IHDR", "PLTE", "IDAT", "IEND", "iCCP", "tRNS"], targets::image);
}
