//! Seconds and memory to open a text, and to draw a batch of it:
//! `cargo bench -p text --bench load -- FILE characters` (or `bytes`).

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use text::{Corpus, Unit, Windows};

/// The most memory that this process has used, in MB, where the system says it. Pages of a mapped file count.
fn most_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1e3)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    let [path, unit] = arguments.as_slice() else { return };
    let unit = if unit == "bytes" { Unit::Bytes } else { Unit::Characters };
    let began = Instant::now();
    let corpus = Corpus::open(Path::new(path), unit).expect("a text");
    let opened = began.elapsed().as_secs_f64();
    let windows = Windows::drawn(&corpus, 0..corpus.len(), 128, 32).expect("windows");
    let indices: Vec<usize> = (0..32).collect();
    let began = Instant::now();
    let batches = 1_000;
    for epoch in 0..batches {
        drop(windows.batch(&indices, epoch, 1, &Device::flex()));
    }
    let batch = began.elapsed().as_secs_f64() / batches as f64;
    println!(
        "{} tokens of {}, mapped: {}; opened in {opened:.2} s, a batch of 32 x 128 in {:.0} microseconds, at most {:.0} MB",
        corpus.len(),
        corpus.vocabulary().len(),
        corpus.is_mapped(),
        batch * 1e6,
        most_memory().unwrap_or(f64::NAN),
    );
}
