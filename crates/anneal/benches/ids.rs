//! AdaGrad's case: embeddings with many rows, most of them seldom seen. Accuracy of AdaGrad, Adam and SGD on a generated
//! table of user and item ids, each at the best of a grid of constant rates.
//!
//! `cargo bench -p anneal --bench ids` prints, per optimizer, the rate whose accuracy on the validation rows is the best
//! (mean over the seeds), and at this rate the accuracy on the test rows: all of them, and those whose item stands in at
//! most ten training rows. What no model can beat is the accuracy of the table's own probabilities.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::{collections::HashMap, io::BufWriter, time::Instant};

use anneal::{
    optim_adaptive::OptimizerConfig,
    tables::{
        Preprocessing, RowPrediction, Rows, Table, TableSettings, Targets,
        generated::{Ratings, ratings},
        models::{TableMlp, TableMlpConfig},
    },
    trainer::data::{Order, split},
};
use burn::{module::Module, tensor::Device, train::TrainStep};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DATA: Ratings = Ratings { users: 4_000, items: 4_000, rows: 80_000, seed: 1 };
const BATCH: usize = 128;
const EPOCHS: u64 = 3;
const SEEDS: [u64; 3] = [1, 2, 3];
/// An item of at most this many training rows is rare.
const RARE: usize = 10;

const CONTENDERS: [(&str, &[f64]); 4] = [
    ("type = 'adagrad'", &[0.01, 0.03, 0.1, 0.3, 1.0]),
    ("type = 'adam'", &[3e-4, 1e-3, 3e-3, 1e-2, 3e-2]),
    ("type = 'sgd'", &[0.03, 0.1, 0.3, 1.0, 3.0]),
    ("type = 'sgd'\nmomentum = 0.9", &[0.003, 0.01, 0.03, 0.1, 0.3]),
];

struct Data {
    preprocessing: Preprocessing,
    train: Rows,
    valid: Rows,
    test: Rows,
    /// The test rows whose item is rare.
    rare: Rows,
}

impl Data {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("anneal-ids-{}.csv", std::process::id()));
        ratings(DATA, &mut BufWriter::new(std::fs::File::create(&path).expect("a file"))).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let items: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
        let settings = TableSettings::new(&path, "liked");
        let table = Table::read(&settings).expect("a table");
        std::fs::remove_file(&path).expect("removed");
        let (rest, test) = split(table.len(), 0.1, 0);
        let (train, valid) = split(rest.len(), 1.0 / 9.0, 1);
        let (train, valid): (Vec<usize>, Vec<usize>) =
            (train.iter().map(|&at| rest[at]).collect(), valid.iter().map(|&at| rest[at]).collect());
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for &row in &train {
            *counts.entry(items[row]).or_default() += 1;
        }
        let is_rare = |row: &usize| counts.get(items[*row]).is_none_or(|count| *count <= RARE);
        let rare: Vec<usize> = test.iter().copied().filter(is_rare).collect();
        let preprocessing = Preprocessing::fit(&table, &train, &settings.missing).expect("fits");
        let rows = preprocessing.encode(table);
        let of = |positions: &[usize]| rows.subset(positions);
        let (train, valid, test, rare) = (of(&train), of(&valid), of(&test), of(&rare));
        Self { preprocessing, train, valid, test, rare }
    }

    fn accuracy(&self, model: &TableMlp, rows: &Rows, device: &Device) -> f64 {
        let all: Vec<usize> = (0..rows.len()).collect();
        let hits: usize = all.chunks(4_096).map(|positions| self.hits(model, rows, positions, device)).sum();
        100.0 * hits as f64 / rows.len() as f64
    }

    fn hits(&self, model: &TableMlp, rows: &Rows, positions: &[usize], device: &Device) -> usize {
        let batch = rows.batch(positions, device);
        let Targets::Classes(truth) = batch.targets else { return 0 };
        let truth: Vec<i64> = truth.try_into_vec_as().expect("read");
        let predicted = self.preprocessing.predictions(model.forward(batch.numbers, batch.categories)).expect("read");
        let is_hit = |(prediction, truth): &(&RowPrediction, i64)| {
            let RowPrediction::Class { class, .. } = prediction else { return false };
            (class == "yes") == (*truth == 1)
        };
        predicted.iter().zip(truth).filter(is_hit).count()
    }

    /// Accuracies on the validation rows, the test rows and the rare ones after training.
    fn train(&self, optimizer: &OptimizerConfig, seed: u64) -> [f64; 3] {
        let device = Device::flex().autodiff();
        device.seed(seed);
        let config = TableMlpConfig { hidden: vec![32], embedding: Some(8), ..TableMlpConfig::default() };
        let mut model = config.init(&self.preprocessing.features(), &device).expect("a model");
        let (mut optimizer, lr) = (optimizer.init(), optimizer.lr());
        for epoch in 0..EPOCHS {
            for positions in (Order::Shuffled { seed }).indices(self.train.len(), epoch).chunks(BATCH) {
                let output = TrainStep::step(&model, self.train.batch(positions, &device));
                let grads = output.grads;
                drop(output.item);
                model = optimizer.step(lr, model, grads);
            }
        }
        let (model, device) = (model.valid(), Device::flex());
        [&self.valid, &self.test, &self.rare].map(|rows| self.accuracy(&model, rows, &device))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `mean +- standard deviation`.
fn spread(values: &[f64]) -> String {
    let mean = mean(values);
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    format!("{mean:.2} +- {:.2}", variance.sqrt())
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let data = Data::new();
    let count = |rows: &Rows| rows.len();
    let (train, test, rare) = (count(&data.train), count(&data.test), count(&data.rare));
    println!("{train} training rows, {test} test rows, {rare} of them on items of at most {RARE} training rows");
    println!("{EPOCHS} epochs, batch {BATCH}, {} seeds; accuracies in %, mean +- standard deviation", SEEDS.len());
    println!("| optimizer | best rate | valid at each rate | test | test, rare items | s a run |");
    println!("|---|---|---|---|---|---|");
    for (settings, rates) in CONTENDERS {
        let began = Instant::now();
        let optimizer = OptimizerConfig::from_toml_str(settings).expect("an optimizer");
        let of_rate = |&lr: &f64| SEEDS.map(|seed| data.train(&optimizer.clone().with_lr(lr), seed));
        let results: Vec<[[f64; 3]; SEEDS.len()]> = rates.iter().map(of_rate).collect();
        let valid: Vec<f64> = results.iter().map(|runs| mean(&runs.map(|run| run[0]))).collect();
        let best = (0..rates.len()).max_by(|&a, &b| valid[a].total_cmp(&valid[b])).expect("rates");
        let each: Vec<String> = rates.iter().zip(&valid).map(|(lr, valid)| format!("{lr}: {valid:.1}")).collect();
        println!(
            "| {} | {} | {} | {} | {} | {:.1} |",
            settings.replace("type = ", "").replace('\n', ", "),
            rates[best],
            each.join(", "),
            spread(&results[best].map(|run| run[1])),
            spread(&results[best].map(|run| run[2])),
            began.elapsed().as_secs_f64() / (rates.len() * SEEDS.len()) as f64,
        );
    }
}
