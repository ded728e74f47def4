//! What a schedule costs: `cargo bench -p lr-core`. `torch_schedulers.py` beside this file measures torch's.
//!
//! The targets: one group at most 50 ns (a training step takes at least 300 microseconds) and no allocation, a formula at
//! most 200 ns. `AllocProfiler` prints the allocations, of which there must be none.
#![allow(clippy::expect_used)]

use divan::{AllocProfiler, Bencher, black_box};
use lr_core::{Horizon, ScheduleConfig, Scheduler};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const MILLION: u64 = 1_000_000;

const STRATEGIES: &[(&str, &str)] = &[
    ("fixed", "type = 'fixed'"),
    ("constant", "type = 'constant'\ntotal_iters = 1000"),
    ("step", "type = 'step'\nstep_size = 1000\ngamma = 0.9"),
    ("multi_step", "type = 'multi_step'\nmilestones = [1000, 10000, 100000]"),
    ("exponential", "type = 'exponential'\ngamma = 0.9999"),
    ("linear", "type = 'linear'\ntotal_iters = 'rest'"),
    ("polynomial", "type = 'polynomial'\ntotal_iters = 'rest'\npower = 2.0"),
    ("cosine_annealing", "type = 'cosine_annealing'\nt_max = 'rest'"),
    ("cosine_annealing_warm_restarts", "type = 'cosine_annealing_warm_restarts'\nt_0 = 1000\nt_mult = 2"),
    ("cyclic", "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.1"),
    ("cyclic_exp_range", "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.1\nmode = 'exp_range'\ngamma = 0.9999"),
    ("one_cycle", "type = 'one_cycle'\nmax_lr = 0.1"),
    ("swa", "type = 'swa'\nswa_lr = 0.05\nanneal_epochs = 'rest'"),
    ("noam", "type = 'noam'"),
    ("piecewise", "type = 'piecewise'\npoints = [[0, 0.0], [1000, 1.0], ['rest', 0.0]]"),
    ("warmup_cosine", "type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = { duration = 1000 }"),
    (
        "sequential",
        "type = 'sequential'\nmilestones = [1000]\nschedules = [{ type = 'linear', total_iters = 1000 }, { type = 'polynomial', total_iters = 'rest' }]",
    ),
    (
        "chained",
        "type = 'chained'\nschedules = [{ type = 'constant', total_iters = 1000 }, { type = 'linear', total_iters = 'rest' }]",
    ),
    ("reduce_on_plateau", "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.9"),
];

fn names() -> impl Iterator<Item = &'static str> {
    STRATEGIES.iter().map(|(name, _)| *name)
}

/// Per step, so that the conversion of epochs is not what is measured. The plateau has reduced ten times.
fn scheduler(text: &str, groups: usize) -> Scheduler {
    let config: ScheduleConfig =
        ScheduleConfig::from_toml_str(&format!("interval = 'step'\n{text}")).expect("a config");
    let base_lrs = (1..=groups).map(|group| 0.1 / group as f64).collect();
    let mut scheduler = Scheduler::from_config(&config, &Horizon::run(1_000, MILLION), base_lrs).expect("a scheduler");
    (0..11).for_each(|tick| scheduler.observe_tick(tick, 1.0));
    scheduler
}

fn named(name: &str, groups: usize) -> Scheduler {
    let (_, text) = STRATEGIES.iter().find(|(known, _)| *known == name).expect("a strategy");
    scheduler(text, groups)
}

/// One rate, for steps one after the other.
#[divan::bench(args = names())]
fn one_group(bencher: Bencher<'_, '_>, name: &str) {
    let scheduler = named(name, 1);
    let mut step = 0;
    bencher.bench_local(|| {
        step = (step + 1) % MILLION;
        scheduler.lr(0, black_box(step))
    });
}

#[divan::bench(args = names())]
fn a_hundred_groups(bencher: Bencher<'_, '_>, name: &str) {
    let scheduler = named(name, 100);
    let mut step = 0;
    bencher.bench_local(|| {
        step = (step + 1) % MILLION;
        (0..100).map(|group| scheduler.lr(group, black_box(step))).sum::<f64>()
    });
}

#[divan::bench(args = names(), sample_count = 20)]
fn a_million_ticks(bencher: Bencher<'_, '_>, name: &str) {
    let scheduler = named(name, 1);
    bencher.bench_local(|| (0..MILLION).map(|step| scheduler.lr(0, black_box(step))).sum::<f64>());
}

/// A short formula, the worked example of a warm-up with decay, and a long one.
#[divan::bench(args = [
    "0.95 ^ t",
    "if(t < 5, (t + 1) / 5, 0.1 ^ ((t - 5) / 95))",
    "max(0.01, min(1, t / 1000) * (1 + cos(pi * min(1, t / total))) / 2) * if(t % 100 < 10 && t > 500, 0.5, 1)",
])]
fn formula(bencher: Bencher<'_, '_>, text: &str) {
    let scheduler = scheduler(&format!("type = 'expression'\nexpression = '{text}'"), 1);
    let mut step = 0;
    bencher.bench_local(|| {
        step = (step + 1) % MILLION;
        scheduler.lr(0, black_box(step))
    });
}

/// The running product, asked step by step.
#[divan::bench]
fn multiplicative(bencher: Bencher<'_, '_>) {
    let scheduler = scheduler("type = 'multiplicative'\nexpression = 'if(t % 10 == 0, 0.999, 1)'", 1);
    let mut step = 0;
    bencher.bench_local(|| {
        step += 1;
        scheduler.lr(0, black_box(step))
    });
}
