//! Time of one optimizer step, per element: this crate's, burn's own, and the machine's bandwidth (a triad).
//!
//! `cargo bench -p optim-adaptive --bench optimizers [-- NAME... --size=1x1000000]`. Medians are what a step takes on
//! this machine as it is; the least of all rounds is what it takes when nobody else works on it. Triads are measured
//! between the rounds, under the same load. `benches/torch_optimizers.py` prints the same table for torch. Every step
//! gets a fresh gradient that nobody else holds, as after a backward pass, and frees it.
#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot be set up has failed")]

use std::time::Instant;

use burn::module::{Module, Param, ParamId};
use burn::optim::{self, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use optim_adaptive::{AdaptiveOptimizer, OptimizerConfig};
use rayon::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `(tensors, elements of each)`.
const SIZES: &[(usize, usize)] =
    &[(1, 100_000), (1, 1_000_000), (1, 10_000_000), (1, 50_000_000), (50, 200_000), (50, 1_000)];

#[derive(Module, Debug)]
struct Params {
    params: Vec<Param<Tensor<1>>>,
}

enum Contender {
    Ours(AdaptiveOptimizer),
    Burns(ModuleOptimizer),
}

impl Contender {
    fn step(&mut self, model: Params, grads: GradientsParams) -> Params {
        match self {
            Self::Ours(optimizer) => optimizer.step(1e-3, model, grads),
            Self::Burns(optimizer) => optimizer.step(1e-3, model, grads),
        }
    }
}

fn ours(text: &str) -> Contender {
    Contender::Ours(OptimizerConfig::from_toml_str(text).expect("a config").init())
}

/// Name, bytes that one step must move per f32 element, the contender.
fn contenders() -> Vec<(&'static str, f64, Contender)> {
    vec![
        ("ours adam", 28.0, ours("type = 'adam'")),
        ("burn adam", 28.0, Contender::Burns(optim::AdamConfig::new().init())),
        ("ours adamw", 28.0, ours("type = 'adamw'")),
        ("ours adagrad", 20.0, ours("type = 'adagrad'")),
        ("burn adagrad", 20.0, Contender::Burns(optim::AdaGradConfig::new().init())),
        ("ours rmsprop", 20.0, ours("type = 'rmsprop'")),
        ("burn rmsprop", 20.0, Contender::Burns(optim::RmsPropConfig::new().init())),
        ("ours sgd", 12.0, ours("type = 'sgd'")),
        ("burn sgd", 12.0, Contender::Burns(optim::SgdConfig::new().init())),
        ("ours sgd momentum", 20.0, ours("type = 'sgd'\nmomentum = 0.9")),
        ("ours nadam", 28.0, ours("type = 'nadam'")),
        ("ours radam", 28.0, ours("type = 'radam'")),
        ("ours adamax", 28.0, ours("type = 'adamax'")),
        ("ours adadelta", 28.0, ours("type = 'adadelta'")),
        ("ours schedule_free_adamw", 28.0, ours("type = 'schedule_free_adamw'")),
        ("ours prodigy", 64.0, ours("type = 'prodigy'")),
    ]
}

fn wave(n: usize, seed: usize, device: &Device) -> Tensor<1> {
    let values: Vec<f32> = (0..n).map(|i| (((i * 31 + seed) % 1000) as f32 - 500.0) / 1000.0).collect();
    Tensor::from_floats(values.as_slice(), device)
}

/// Seconds of one pass of `a = b + 3 c` over arrays of `n` f32, all cores.
fn triad(a: &mut [f32], b: &[f32], c: &[f32]) -> f64 {
    const CHUNK: usize = 1 << 16;
    let began = Instant::now();
    a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).zip(c.par_chunks(CHUNK)).for_each(|((a, b), c)| {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            *a = b + 3.0 * c;
        }
    });
    began.elapsed().as_secs_f64()
}

/// The median and the least.
fn summary(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let only: Vec<String> = std::env::args().filter_map(|arg| arg.strip_prefix("--size=").map(str::to_owned)).collect();
    let device = Device::flex();
    println!("{} threads; ns per element (median, and least) and us per step (median)", rayon::current_num_threads());
    for &(tensors, length) in SIZES {
        if !only.is_empty() && !only.contains(&format!("{tensors}x{length}")) {
            continue;
        }
        let elements = tensors * length;
        let rounds = (200_000_000 / elements.max(1)).clamp(7, 301);
        let mut states: Vec<_> = contenders()
            .into_iter()
            .filter(|(name, ..)| filter.is_empty() || filter.iter().any(|part| name.contains(part.as_str())))
            .collect();
        let gradient = wave(length, 7, &device);
        let mut times = vec![Vec::new(); states.len()];
        let n = elements.max(4_000_000); // A triad in cache is no bandwidth.
        let (mut a, b, c) = (vec![0.0f32; n], vec![1.0f32; n], vec![2.0f32; n]);
        let mut triads = Vec::new();
        for (i, (.., contender)) in states.iter_mut().enumerate() {
            let tracked = |k| Tensor::from_inner(wave(length, k, &device)).require_grad();
            let params = (0..tensors).map(|k| Param::initialized(ParamId::new(), tracked(k))).collect();
            let mut model = Params { params };
            for round in 0..rounds + 2 {
                let mut grads = GradientsParams::new();
                for param in &model.params {
                    grads.register(param.id, gradient.clone().mul_scalar(0.5 + round as f32 * 1e-3));
                }
                let began = Instant::now();
                model = contender.step(model, grads);
                let time = began.elapsed().as_secs_f64();
                if round >= 2 {
                    times[i].push(time);
                    if round % 8 == 0 {
                        triads.push(triad(&mut a, &b, &c) / n as f64);
                    }
                }
            }
        }
        let (triad, least) = summary(triads);
        println!(
            "\n{tensors} x {length}: triad {:.3} ns per element ({:.3} at best), {:.1} GB/s",
            triad * 1e9,
            least * 1e9,
            12.0 / triad / 1e9
        );
        for ((name, bytes, _), times) in states.iter().zip(times) {
            let (step, least) = summary(times);
            let [each, least] = [step, least].map(|time| time / elements as f64);
            println!(
                "  {name:26} {:8.3} ns/element ({:7.3} at best) {:11.1} us/step  {:5.1} GB/s  {:4.0} % of the triad",
                each * 1e9,
                least * 1e9,
                step * 1e6,
                bytes / each / 1e9,
                100.0 * (bytes / each) / (12.0 / triad),
            );
        }
    }
}
