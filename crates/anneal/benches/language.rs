//! Seconds of a training step (forward, backward, AdamW) of the language models; `torch_language.py speed` in
//! `crates/text/tests/python` times the same in PyTorch and puts the two side by side:
//!
//! `just bench-language`, or alone: `cargo bench -p anneal --bench language -- --model gpt --seconds 3`.
//!
//! Prints one JSON object.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::time::{Duration, Instant};

use anneal::prelude::*;
use burn::{tensor::Device, train::TrainStep};
use serde_json::json;
use text::{
    Corpus, Windows,
    models::{LanguageModel, LanguageModelConfig},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tokens in the vocabulary, in a window, and windows in a batch.
const SIZES: (usize, usize, usize) = (65, 128, 32);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let after = |flag: &str| arguments.iter().skip_while(|argument| *argument != flag).nth(1).cloned();
    let name = after("--model").unwrap_or_else(|| "gpt".to_owned());
    let seconds: f64 = after("--seconds").map_or(3.0, |text| text.parse().expect("--seconds takes a number"));

    let (vocabulary, context, batch) = SIZES;
    let device = Device::flex().autodiff();
    device.seed(1);
    let text: String = (0..100_000_usize).map(|i| char::from(b' ' + (i * i % 8_191 % vocabulary) as u8)).collect();
    let corpus = Corpus::from_text("numbers", text).expect("a text");
    let windows = Windows::drawn(&corpus, 0..corpus.len(), context, batch).expect("windows");
    let config = LanguageModelConfig::named(&name).expect("a model");
    let mut optimizer = OptimizerConfig::from_toml_str("type = 'adamw'\nlr = 1e-3").expect("an optimizer").init();
    let mut current = Some(LanguageModel::new(&config, vocabulary, context, &device).expect("a model"));
    let indices: Vec<usize> = (0..batch).collect();
    let (mut times, mut epoch) = (Vec::new(), 0);
    let mut step = || {
        let began = Instant::now();
        let model = current.take().expect("the model");
        let output = TrainStep::step(&model, windows.batch(&indices, epoch, 1, &device));
        let grads = output.grads;
        drop(output.item);
        current = Some(optimizer.step(1e-3, model, grads));
        epoch += 1;
        began.elapsed().as_secs_f64()
    };
    for _ in 0..3 {
        step();
    }
    let (began, budget) = (Instant::now(), Duration::from_secs_f64(seconds));
    while times.len() < 5 || began.elapsed() < budget {
        times.push(step());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let tokens = context * batch;
    println!("{}", json!({ "model": name, "step": median, "tokens_per_second": tokens as f64 / median }));
}
