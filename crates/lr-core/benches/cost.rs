//! What a step of every named schedule costs, in its most expensive phase: `cargo bench -p lr-core --bench cost [-- NAME ...]`.
//!
//! For a machine that does other things too: each figure is the least of many samples of some microseconds, in which
//! nothing else ran; the clock is measured beside it, so that the figure can be told in cycles. A phase is a window of
//! consecutive ticks, asked for again and again; the most expensive window counts. Calls follow one another without
//! waiting for the rate before, as they do in a table of rates or a plot.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for a terminal")]

use std::hint::black_box;
use std::time::Instant;

use lr_core::{Horizon, Interval, Registry, ScheduleConfig, Scheduler};

/// Steps in an epoch: what counts epochs has to divide, which is part of its cost.
const STEPS_PER_EPOCH: u64 = 10;
/// Where the windows begin, in ticks.
const WINDOWS: [u64; 16] = [0, 4, 16, 32, 60, 84, 100, 150, 300, 500, 700, 850, 950, 1_100, 30_000, 999_000];
const WINDOW: u64 = 32;
/// Times through a window in a sample.
const ROUNDS: u64 = 24;
/// In each pass over all schedules, so that what else the machine does is over in one of them.
const SAMPLES: usize = 16;
const PASSES: usize = 12;
const MILLION: u64 = 1_000_000;

/// Settings that the examples do not show: other shapes, exponents, cycles that change, a plateau at its floor.
const MORE: &[(&str, &str)] = &[
    ("step", "step_size = 1\ngamma = 0.999"),
    ("multi_step", "milestones = [10, 20, 30, 40, 50, 60, 70, 80, 90]\ngamma = 0.7"),
    ("polynomial", "total_iters = 1000\npower = 2.0"),
    ("polynomial", "total_iters = 1000\npower = 0.9"),
    ("linear", "start_factor = 0.1\ntotal_iters = 1000"),
    ("cosine_annealing_warm_restarts", "t_0 = 10\nt_mult = 1"),
    ("cosine_annealing_warm_restarts", "t_0 = 10\nt_mult = 3"),
    ("cyclic", "base_lr = 0.001\nmax_lr = 0.1\nstep_size_up = 20\nmode = 'triangular2'"),
    ("cyclic", "base_lr = 0.001\nmax_lr = 0.1\nstep_size_up = 20\nmode = 'exp_range'\ngamma = 0.9999"),
    ("one_cycle", "max_lr = 0.1\nthree_phase = true"),
    ("swa", "swa_lr = 0.05\nanneal_epochs = 1000"),
    ("piecewise", "points = [[0, 0.0], [50, 1.0], [1000, 0.1]]\ninterpolation = 'cosine'"),
    ("cosine_annealing", "t_max = 900\nwarmup = { duration = 100 }"),
    ("cosine_annealing", "t_max = 900\nwarmup = { duration = 100, kind = 'cosine', prefix = false }"),
    ("cosine_annealing", "t_max = 900\nwarmup = { duration = 100, kind = 'exponential', start_factor = 0.01 }"),
    ("cosine_annealing", "t_max = 10"),
    ("reduce_on_plateau", "patience = 0\nfactor = 0.9\nmin_lr = 0.001"),
    ("timm/CosineLRScheduler", "t_initial = 10\ncycle_mul = 2.0\ncycle_decay = 0.5\ncycle_limit = 6"),
    ("timm/CosineLRScheduler", "t_initial = 1000\nk_decay = 1.5"),
    ("timm/TanhLRScheduler", "t_initial = 1000\nwarmup_t = 100\nwarmup_prefix = false"),
    ("timm/StepLRScheduler", "decay_t = 2.5\ndecay_rate = 0.97"),
    ("timm/StepLRScheduler", "decay_t = 3\ndecay_rate = 0.97"),
    ("timm/PolyLRScheduler", "t_initial = 1000\npower = 0.5"),
    ("timm/PolyLRScheduler", "t_initial = 1000\npower = 0.9\nk_decay = 2.0"),
    ("timm/WSDLRScheduler", "t_initial = 1000\ndecay_t = 500\nwarmup_t = 5\nstable_fn = 'rsqrt'"),
    ("timm/WSDLRScheduler", "t_initial = 1000\ndecay_t = 500\nwarmup_t = 5\nstable_fn = 'power'\nstable_power = 0.3"),
    ("timm/WSDLRScheduler", "t_initial = 1000\ndecay_t = 500\ndecay_fn = 'cosine'"),
    ("timm/WSDLRScheduler", "t_initial = 1000\ndecay_t = 500\ndecay_fn = 'power'\ndecay_power = 0.3"),
    ("timm/WSDLRScheduler", "t_initial = 1000\ndecay_t = 500\ndecay_fn = 'exp'"),
    ("optax/exponential_decay", "init_value = 0.1\ntransition_steps = 10\ndecay_rate = 0.97\nstaircase = true"),
    ("optax/cosine_decay_schedule", "init_value = 0.1\ndecay_steps = 1000\nexponent = 1.5"),
    ("optax/polynomial_schedule", "init_value = 0.1\nend_value = 0.01\npower = 0.9\ntransition_steps = 1000"),
    ("transformers/polynomial", "num_training_steps = 1000\npower = 0.9"),
    ("transformers/cosine", "num_training_steps = 1000\nnum_cycles = 3.5"),
    ("transformers/cosine_with_min_lr", "num_training_steps = 1000\nmin_lr = 0.001"),
    (
        "transformers/warmup_stable_decay",
        "num_training_steps = 1000\nnum_warmup_steps = 100\nnum_decay_steps = 500\nwarmup_type = 'cosine'",
    ),
    ("ignite/LinearCyclicalScheduler", "start_value = 0.1\nend_value = 0.01\ncycle_size = 10\ncycle_mult = 1.2"),
    (
        "ignite/CosineAnnealingScheduler",
        "start_value = 0.1\nend_value = 0.01\ncycle_size = 10\nstart_value_mult = 0.9\nend_value_mult = 0.9",
    ),
];

/// The formulas, which have a target of their own (`schedules.rs`).
const FORMULAS: [&str; 2] = ["expression", "multiplicative"];

/// The least nanoseconds per call that any sample took.
fn least(calls: u64, mut sample: impl FnMut()) -> f64 {
    let nanoseconds = (0..SAMPLES).map(|_| {
        let start = Instant::now();
        sample();
        start.elapsed().as_nanos() as f64 / calls as f64
    });
    nanoseconds.fold(f64::INFINITY, f64::min)
}

/// The processor's clock in GHz: multiplications of whole numbers, each of which waits for the one before, take three
/// cycles on every x86-64 and most arm64 processors of the last ten years.
fn clock() -> f64 {
    const CALLS: u64 = 4_096;
    let mut product = black_box(3_u64);
    let nanoseconds = least(CALLS, || {
        for _ in 0..CALLS {
            product = product.wrapping_mul(product);
        }
    });
    black_box(product);
    3.0 / nanoseconds
}

fn scheduler(text: &str, groups: usize) -> Scheduler {
    let config = ScheduleConfig::from_toml_str(text).expect(text);
    let base_lrs = (1..=groups).map(|group| 0.1 / group as f64).collect();
    let horizon = match config.interval() {
        Interval::Step => Horizon::run(STEPS_PER_EPOCH, 1_000),
        Interval::Epoch => Horizon::run(STEPS_PER_EPOCH, 1_000 * STEPS_PER_EPOCH),
    };
    let mut scheduler = Scheduler::from_config(&config, &horizon, base_lrs).expect("a scheduler");
    (0..100).for_each(|tick| scheduler.observe_tick(tick, 1.0));
    scheduler
}

/// The least nanoseconds that were seen: for one group and for a hundred, window by window, and for a million ticks.
struct Cost {
    one: Scheduler,
    hundred: Scheduler,
    one_group: Vec<f64>,
    hundred_groups: Vec<f64>,
    thousands: Vec<f64>,
}

impl Cost {
    fn new(text: &str) -> Self {
        let unknown = |count| vec![f64::INFINITY; count];
        Self {
            one: scheduler(text, 1),
            hundred: scheduler(text, 100),
            one_group: unknown(WINDOWS.len()),
            hundred_groups: unknown(WINDOWS.len()),
            thousands: unknown((MILLION / 1_000) as usize),
        }
    }

    fn measure(&mut self) {
        let steps_per_tick = if self.one.interval() == Interval::Step { 1 } else { STEPS_PER_EPOCH };
        for (i, window) in WINDOWS.iter().enumerate() {
            let start = window * steps_per_tick;
            let one = least(ROUNDS * WINDOW, || {
                for _ in 0..ROUNDS {
                    for step in start..start + WINDOW {
                        black_box(self.one.lr(0, black_box(step)));
                    }
                }
            });
            let hundred = least(WINDOW, || {
                for step in start..start + WINDOW {
                    for group in 0..100 {
                        black_box(self.hundred.lr(group, black_box(step)));
                    }
                }
            });
            self.one_group[i] = self.one_group[i].min(one);
            self.hundred_groups[i] = self.hundred_groups[i].min(hundred);
        }
        for (thousand, best) in self.thousands.iter_mut().enumerate() {
            let start = Instant::now();
            for tick in (0..1_000).map(|tick| 1_000 * thousand as u64 + tick) {
                black_box(self.one.lr_at_tick(0, black_box(tick)));
            }
            *best = best.min(start.elapsed().as_nanos() as f64);
        }
    }
}

fn highest(windows: &[f64]) -> f64 {
    windows.iter().copied().fold(0.0, f64::max)
}

fn main() {
    // `cargo bench` adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let registry = Registry::standard();
    let examples = registry.iter().map(|entry| (entry.name().to_owned(), entry.example().to_owned()));
    let more = MORE.iter().map(|(name, fields)| ((*name).to_owned(), format!("type = '{name}'\n{fields}")));
    let mut all: Vec<(String, String)> = examples.chain(more).collect();
    all.retain(|(name, _)| !FORMULAS.contains(&name.as_str()));
    all.retain(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())));
    let mut costs: Vec<Cost> = all.iter().map(|(_, text)| Cost::new(text)).collect();
    let mut gigahertz: f64 = 0.0;
    for _ in 0..PASSES {
        gigahertz = gigahertz.max(clock());
        costs.iter_mut().for_each(Cost::measure);
    }
    println!("{gigahertz:.2} GHz; the most expensive phase; least of {} samples\n", PASSES * SAMPLES);
    println!("| schedule | cycles | ns, 1 group | ns, 100 groups | ms, 1e6 ticks | settings |");
    println!("|---|---|---|---|---|---|");
    for ((name, text), cost) in all.iter().zip(&costs) {
        let (one, hundred) = (highest(&cost.one_group), highest(&cost.hundred_groups));
        let million = cost.thousands.iter().sum::<f64>() / 1e6;
        let settings = text.split_once('\n').map_or("", |(_, fields)| fields).replace('\n', ", ");
        let cycles = one * gigahertz;
        println!("| `{name}` | {cycles:.0} | {one:.1} | {hundred:.0} | {million:.1} | `{settings}` |");
    }
}
