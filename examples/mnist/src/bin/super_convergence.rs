//! One cycle against the best constant rate: how many steps does each need to a given validation accuracy?
//!
//! The claim is that of Smith and Topin, *Super-convergence* (2018), tried on MNIST with a small network and SGD with
//! momentum. Both sides are tuned first, on seeds of their own: the constant rate over [`RATES`], the cycle over
//! [`PEAKS`] and [`CYCLES`]. What came out best is then run on fresh seeds. A run ends where it reaches a target accuracy.
//!
//! `cargo run --release -p example-mnist --bin super_convergence -- OUT [seeds] [target]` writes `OUT/runs.csv` (every
//! validation), `OUT/steps.svg` and prints the tables.

use std::{
    collections::BTreeMap, error::Error, fmt, fmt::Write as _, fs, path::PathBuf, process::ExitCode, sync::Arc,
    sync::Mutex,
};

use anneal::lr_core::Duration;
use anneal::trainer::{CallbackError, ValidationEvent, data::split};
use anneal::vision::models::{Classifier, ConvNetConfig};
use anneal::{prelude::*, vision::Augment};
use burn::tensor::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accuracy to reach on the 3,000 held out images, in percent, unless the command line says another.
const TARGET: f64 = 98.7;
/// Constant rates.
const RATES: [f64; 4] = [0.05, 0.1, 0.2, 0.4];
/// Peaks of the cycle.
const PEAKS: [f64; 3] = [0.1, 0.2, 0.5];
/// Lengths of the cycle, in steps.
const CYCLES: [u64; 3] = [300, 422, 600];
/// Constant rates are given up after so many steps (two epochs).
const MOST_STEPS: u64 = 844;
/// Steps between validations: how finely the figures are known.
const EVERY: u64 = 25;
const BATCH_SIZE: usize = 128;
const TUNING_SEEDS: [u64; 3] = [101, 102, 103];
/// The first of the fresh seeds.
const FRESH_SEED: u64 = 201;

/// What is tried: a constant rate, or one cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Constant { rate: f64 },
    OneCycle { peak: f64, steps: u64 },
}

impl Setting {
    fn schedule(self) -> String {
        match self {
            Self::Constant { .. } => "type = 'fixed'".to_owned(),
            Self::OneCycle { peak, .. } => format!("type = 'one_cycle'\nmax_lr = {peak}"),
        }
    }

    fn rate(self) -> f64 {
        match self {
            Self::Constant { rate } => rate,
            Self::OneCycle { peak, .. } => peak,
        }
    }

    fn steps(self) -> u64 {
        match self {
            Self::Constant { .. } => MOST_STEPS,
            Self::OneCycle { steps, .. } => steps,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant { rate } => write!(f, "constant {rate}"),
            Self::OneCycle { peak, steps } => write!(f, "one cycle to {peak} in {steps} steps"),
        }
    }
}

/// Keeps the accuracies, and ends the run at the target.
struct Watch {
    target: f64,
    seen: Arc<Mutex<Vec<(u64, f64)>>>,
}

impl Callback for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        let accuracy = event.values.get("valid.accuracy").copied().unwrap_or_default();
        if let Ok(mut seen) = self.seen.lock() {
            seen.push((event.step, accuracy));
        }
        Ok(if accuracy >= self.target { Flow::Stop(format!("{} % reached", self.target)) } else { Flow::Continue })
    }
}

/// Step and accuracy of each validation of a run that ends at the target.
fn train(mnist: &Dataset, setting: Setting, seed: u64, target: f64) -> Result<Vec<(u64, f64)>, Box<dyn Error>> {
    let device = Device::flex().autodiff();
    device.seed(seed);
    let (train, valid) = split(mnist.train.len(), 0.05, seed);
    let loader = |images: ImageSet, batch_size, device: Device| -> Result<_, Box<dyn Error>> {
        let batcher = mnist.batcher(images.clone(), Augment::NONE)?;
        Ok(Loader::new(images.len(), batch_size, move |indices, epoch| batcher.batch(indices, epoch, seed, &device)))
    };
    let train = loader(mnist.train.subset(&train), BATCH_SIZE, device.clone())?.shuffled(seed).workers(1);
    let valid = loader(mnist.train.subset(&valid), 1000, device.clone().inner())?;
    let config = ConvNetConfig { channels: vec![8, 16, 32], ..ConvNetConfig::default() };
    let model = Classifier::new(config, mnist.shape(), 10, &device)?;
    let optimizer = OptimizerConfig::from_toml_str(&format!("type = 'sgd'\nmomentum = 0.9\nlr = {}", setting.rate()))?;
    let schedule = ScheduleConfig::from_toml_str(&setting.schedule())?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let config = TrainConfig { validate_every: Duration::Steps(EVERY), ..TrainConfig::steps(setting.steps()) };
    Trainer::new(config).metric(AccuracyMetric::new()).callback(Watch { target, seen: Arc::clone(&seen) }).fit(
        model,
        optimizer.init(),
        schedule,
        &train,
        Some(&valid),
    )?;
    let seen = seen.lock().map_err(|_| "a run's accuracies are lost")?.clone();
    Ok(seen)
}

/// Steps to the target; `None` where it was not reached.
fn steps_to(target: f64, seen: &[(u64, f64)]) -> Option<u64> {
    seen.iter().find(|(_, accuracy)| *accuracy >= target).map(|(step, _)| *step)
}

/// The middle of the sorted counts, runs that never got there counting as the longest.
fn median(steps: &[Option<u64>]) -> f64 {
    let mut steps: Vec<f64> = steps.iter().map(|steps| steps.map_or(f64::INFINITY, |steps| steps as f64)).collect();
    steps.sort_by(f64::total_cmp);
    let half = steps.len() / 2;
    if steps.len() % 2 == 1 { steps[half] } else { f64::midpoint(steps[half - 1], steps[half]) }
}

fn joined(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// The runs of one phase: trains each setting with each seed, prints a line for each setting, keeps every validation.
struct Runs<'a> {
    mnist: &'a Dataset,
    target: f64,
    csv: String,
    curves: BTreeMap<String, Vec<Vec<(u64, f64)>>>,
}

impl Runs<'_> {
    /// The settings, the one with the least median of steps first.
    fn phase(&mut self, name: &str, settings: &[Setting], seeds: &[u64]) -> Result<Vec<Setting>, Box<dyn Error>> {
        println!("\n| {name}, seeds {seeds:?} | steps to {} % | median |\n|---|---|---|", self.target);
        let mut ranked = Vec::new();
        for &setting in settings {
            let mut steps = Vec::new();
            for &seed in seeds {
                let seen = train(self.mnist, setting, seed, self.target)?;
                for (step, accuracy) in &seen {
                    writeln!(self.csv, "{name},{setting},{seed},{step},{accuracy}")?;
                }
                steps.push(steps_to(self.target, &seen));
                self.curves.entry(format!("{name}: {setting}")).or_default().push(seen);
            }
            let each: Vec<String> =
                steps.iter().map(|steps| steps.map_or("never".to_owned(), |steps| steps.to_string())).collect();
            let median = median(&steps);
            println!("| {setting} | {} | {median} |", each.join(", "));
            // Where most seeds never get there, the others tell.
            let total: u64 = steps.iter().map(|steps| steps.unwrap_or(2 * MOST_STEPS)).sum();
            ranked.push((setting, (median, total)));
        }
        ranked.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Ok(ranked.into_iter().map(|(setting, _)| setting).collect())
    }

    /// Median steps of the fresh runs of a setting to an accuracy up to the target, which they passed on their way; 1e-9
    /// for the rounding of `target - 0.1`.
    fn fresh(&self, setting: Setting, accuracy: f64) -> f64 {
        let curves = self.curves.get(&format!("fresh: {setting}"));
        let steps: Vec<_> = curves.into_iter().flatten().map(|seen| steps_to(accuracy - 1e-9, seen)).collect();
        median(&steps)
    }

    /// So that nobody need trust the choice of the target.
    fn lower_targets(&self, settings: &[Setting]) {
        println!("\n| median steps of the fresh seeds to | {} |", joined(settings));
        println!("|---{}|", "|---".repeat(settings.len()));
        for below in [1.2, 0.7, 0.4, 0.2, 0.1, 0.0] {
            let accuracy = self.target - below;
            let medians: Vec<f64> = settings.iter().map(|&setting| self.fresh(setting, accuracy)).collect();
            println!("| {accuracy:.1} % | {} |", joined(&medians));
        }
    }

    /// Steps over accuracy, a line for each setting, as far as more than half of its seeds came.
    fn chart(&self, settings: &[Setting]) -> Chart {
        let chart = Chart::new(format!("Steps to an accuracy on MNIST, up to {} %", self.target));
        let chart = chart.x("validation accuracy, %").y("optimizer steps, median of the fresh seeds");
        settings.iter().fold(chart, |chart, &setting| {
            let accuracies = (0..=30).map(|tenth| self.target - 3.0 + f64::from(tenth) / 10.0);
            let points = accuracies.map(|accuracy| (accuracy, self.fresh(setting, accuracy)));
            let (xs, ys): (Vec<f64>, Vec<f64>) = points.filter(|(_, steps)| steps.is_finite()).unzip();
            chart.series(Series::line(setting.to_string(), xs, ys))
        })
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = PathBuf::from(args.next().ok_or("usage: super_convergence OUT [seeds] [target]")?);
    let seeds: u64 = args.next().map_or(Ok(5), |seeds| seeds.parse())?;
    let target: f64 = args.next().map_or(Ok(TARGET), |target| target.parse())?;
    let mnist = anneal::vision::load("mnist", None)?;
    fs::create_dir_all(&out)?;
    let mut runs =
        Runs { mnist: &mnist, target, csv: "phase,setting,seed,step,accuracy\n".to_owned(), curves: BTreeMap::new() };

    let constant: Vec<Setting> = RATES.iter().map(|&rate| Setting::Constant { rate }).collect();
    let cycles: Vec<Setting> =
        CYCLES.iter().flat_map(|&steps| PEAKS.iter().map(move |&peak| Setting::OneCycle { peak, steps })).collect();
    let constant = runs.phase("tuning the constant rate", &constant, &TUNING_SEEDS)?;
    let cycles = runs.phase("tuning the cycle", &cycles, &TUNING_SEEDS)?;
    // The second best of each too: three seeds may have named the wrong one.
    let chosen: Vec<Setting> = constant[..2].iter().chain(&cycles[..2]).copied().collect();
    let seeds: Vec<u64> = (FRESH_SEED..FRESH_SEED + seeds).collect();
    runs.phase("fresh", &chosen, &seeds)?;
    runs.lower_targets(&chosen);

    fs::write(out.join("runs.csv"), &runs.csv)?;
    fs::write(out.join("steps.svg"), runs.chart(&chosen).to_svg()?)?;
    println!("\n{}: runs.csv, steps.svg", out.display());
    Ok(())
}

fn main() -> ExitCode {
    anneal::exit_code(run())
}
