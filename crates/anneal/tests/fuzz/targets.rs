//! What is fed: each takes bytes, and answers or refuses.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anneal::{
    config::{Catalog, Config, Document, Origin},
    experiment::{TrainOptions, train},
    lr_core::{Horizon, ScheduleConfig, Scheduler},
    task::ImageClassification,
    trainer::{self, checkpoint, weights as trainer_weights},
    vision::{
        ImageShape,
        models::{Classifier, MlpConfig},
        read::{cifar as of_cifar, idx as of_idx, picture},
    },
};
use burn::tensor::Device;

/// Rates that a mutated schedule is looked at: at its beginning, in the middle, past its end, at the end of time.
const TICKS: [u64; 8] = [0, 1, 7, 100, 12_345, 1 << 40, (1 << 53) + 1, u64::MAX];

/// As `anneal train` reads it, with all that is judged before any data is looked at; and it reads back.
pub fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(document) = Document::parse(Origin::BuiltIn("fuzz"), text) else { return };
    let config = match Config::from_document(&document, Catalog::standard()) {
        Ok(config) => config,
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 4_000, "a message of {} bytes", told.len());
            return;
        }
    };
    let back = Config::from_table(&config.to_table(), Catalog::standard()).expect("what is written reads back");
    assert_eq!(back.fingerprint(), config.fingerprint());
    let images = config.task.settings::<ImageClassification>().expect("every task here is of images");
    if let Ok(layers) = images.model.settings.layers(ImageShape::new(1, 8, 8), 10, &Device::flex()) {
        let _ = anneal::vision::models::total_parameters(&layers);
    }
    let _ = config.train.horizon(23);
}

pub fn formula(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let table = [("type", "expression"), ("expression", &*text)];
    let table = table.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect();
    if let Ok(config) = ScheduleConfig::from_table(&table, "schedule") {
        rates(&config);
    }
}

pub fn schedule(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match ScheduleConfig::from_toml_str(&text) {
        Ok(config) => rates(&config),
        Err(error) => assert!(error.to_string().len() < 4_000),
    }
}

/// Every rate is finite and not negative, in runs of any length; what is surely not meant is found without a long look.
fn rates(config: &ScheduleConfig) {
    // A running product takes every factor on the way: some seconds for a tick far ahead.
    let is_product = config.to_table().to_string().contains("multiplicative");
    let ticks = TICKS.into_iter().filter(|tick| !is_product || *tick < 1 << 20);
    for run in [Horizon::run(21, 420), Horizon::run(1, 1), Horizon::steps(1 << 45), Horizon::unknown()] {
        let Ok(scheduler) = Scheduler::from_config(config, &run, vec![0.1]) else { continue };
        for tick in ticks.clone() {
            let rate = scheduler.lr_at_tick(0, tick);
            assert!(rate.is_finite() && rate >= 0.0, "{rate} at {tick} in {run}");
            assert!(scheduler.momentum_at_tick(tick).is_none_or(f64::is_finite));
        }
        if run == Horizon::run(21, 420) {
            let _ = scheduler.warnings(&run);
        }
    }
}

/// A checkpoint of a small run.
pub struct Checkpoint {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// The files of a checkpoint that are text; the first byte of an input says which it takes the place of.
const TEXTS: [&str; 3] = ["manifest.json", "state.json", "times.json"];

impl Checkpoint {
    pub fn made() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("{}[data]\nvalidation = 0.5\n", crate::common::SMALL.replace("epochs = 3", "epochs = 1"));
        let document = Document::parse(Origin::BuiltIn("small"), text).expect("TOML");
        let config = Config::from_document(&document, Catalog::standard()).expect("a configuration");
        let out = folder.path().join("run");
        let options = TrainOptions { out: Some(out.clone()), quiet: true, ..TrainOptions::default() };
        train(&config, &options).expect("trained");
        let found = checkpoint::newest(&out.join("checkpoints")).expect("a checkpoint");
        Self { path: found.checkpoint.path().to_owned(), _folder: folder }
    }

    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let texts = (0_u8..).zip(TEXTS);
        texts.map(|(which, name)| [vec![which], fs::read(self.path.join(name)).expect("a file")].concat()).collect()
    }

    /// Puts the text into the checkpoint, with a manifest whose sums fit it, and opens it; and puts the old one back.
    pub fn read(&self, input: &[u8]) {
        let Some((which, text)) = input.split_first() else { return };
        let name = TEXTS[usize::from(*which) % TEXTS.len()];
        let manifest = self.path.join(TEXTS[0]);
        let kept = [(manifest.clone(), fs::read(&manifest)), (self.path.join(name), fs::read(self.path.join(name)))];
        if name == TEXTS[0] {
            sign(&manifest, &String::from_utf8_lossy(text));
        } else {
            forge(&self.path, name, text);
        }
        let _ = checkpoint::open(&self.path);
        for (path, content) in kept {
            fs::write(path, content.expect("read")).expect("put back");
        }
    }
}

/// Puts other content into a file of a checkpoint, and a manifest that fits it.
fn forge(checkpoint: &Path, name: &str, content: &[u8]) {
    let path = checkpoint.join(name);
    let entry = |path: &Path| {
        let bytes = fs::metadata(path).expect("a file").len();
        format!("\"bytes\": {bytes},\n      \"sha256\": \"{}\"", trainer_weights::sha256(path).expect("a hash"))
    };
    let before = entry(&path);
    fs::write(&path, content).expect("written");
    let manifest = checkpoint.join(TEXTS[0]);
    let text = fs::read_to_string(&manifest).expect("a manifest");
    sign(&manifest, &text.replace(&before, &entry(&path)));
}

/// Writes a manifest with the hash that fits it, where it has one.
fn sign(path: &Path, text: &str) {
    const OWN: &str = "\"sha256\": \"";
    let at = text.rfind(OWN).map_or(text.len(), |at| at + OWN.len());
    let end = at + text[at..].find('"').unwrap_or(text.len() - at);
    let bare = format!("{}{}", &text[..at], &text[end..]);
    fs::write(path, &bare).expect("written");
    let sha256 = trainer_weights::sha256(path).expect("a hash");
    fs::write(path, format!("{}{sha256}{}", &bare[..at], &bare[at..])).expect("written");
}

/// The golden files of three formats, and what reads them: by their content, whatever the name.
pub fn weights() -> (Vec<Vec<u8>>, impl Fn(&[u8])) {
    let golden = crate::common::root().join("crates/trainer/tests/golden/weights");
    let files = ["small.safetensors", "small.pt", "small-legacy.pt"];
    let corpus = files.map(|name| fs::read(golden.join(name)).expect("a golden file")).to_vec();
    let folder = tempfile::tempdir().expect("a folder");
    let model = Classifier::new(MlpConfig { hidden: vec![4] }, ImageShape::new(1, 2, 2), 3, &Device::flex());
    let model = trainer::stable_ids(model.expect("a model"));
    let target = move |input: &[u8]| {
        // PyTorch's files are known by their name too.
        for name in ["weights.safetensors", "weights.pt"] {
            let path = folder.path().join(name);
            fs::write(&path, input).expect("written");
            let _ = trainer_weights::load(model.clone(), &path, &trainer_weights::LoadOptions::new());
        }
    };
    (corpus, target)
}

pub fn idx(input: &[u8]) {
    let _ = of_idx::images(input);
    let _ = of_idx::labels(input, 10);
}

pub fn cifar(input: &[u8]) {
    for form in [of_cifar::Form::CIFAR10, of_cifar::Form::CIFAR100_FINE, of_cifar::Form::CIFAR100_COARSE] {
        let _ = of_cifar::records(input, form, &mut Vec::new(), &mut Vec::new());
    }
}

pub fn image(input: &[u8]) {
    for shape in [ImageShape::new(3, 4, 4), ImageShape::new(1, 3, 3)] {
        let _ = picture::square(input, shape, &mut vec![0; shape.pixels()]);
    }
}
