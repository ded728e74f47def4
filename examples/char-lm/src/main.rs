//! A model of language, character by character, of a text of your own. The whole run is on this page.
//!
//! `cargo run --release -p example-char-lm -- FILE [epochs]`

use std::{path::Path, process::ExitCode};

use anneal::prelude::*;
use anneal::text::{
    Corpus, FromLoss, Unit, Windows, generate,
    models::{GptConfig, LanguageModel},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Characters that the model sees at once, and windows of so many in a step.
const CONTEXT: usize = 64;
const BATCH: usize = 16;
const SEED: u64 = 42;
/// Norms, biases and embeddings do not decay.
const OPTIMIZER: &str = "type = 'adamw'\nlr = 3e-3\nweight_decay = 0.1";
const NO_DECAY: &str = "/ln_|bias|wte|wpe/";
/// Up over a tenth of the run, then down along a cosine. Another schedule is another line.
const SCHEDULE: &str = "type = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'\nwarmup = '10%'";

fn run(path: &str, epochs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    device.seed(SEED);

    // Data: the last tenth of the text is held out.
    let corpus = Corpus::open(Path::new(path), Unit::Characters)?;
    let [training, validation, _] = corpus.split(0.1, 0.0)?;
    let loader = |windows: Windows, device: Device| {
        Loader::new(windows.len(), BATCH, move |indices, epoch| windows.batch(indices, epoch, SEED, &device))
    };
    let train = loader(Windows::drawn(&corpus, training, CONTEXT, BATCH)?, device.clone()).workers(1);
    let valid = loader(Windows::in_order(&corpus, validation, "validation", CONTEXT)?, device.clone().inner());

    let config = GptConfig { layers: 2, heads: 2, width: 64, dropout: 0.1, ..GptConfig::default() };
    let model = LanguageModel::new(&config.into(), corpus.vocabulary().len(), CONTEXT, &device)?;
    println!("{} tokens, {} characters, {} parameters", corpus.len(), corpus.vocabulary().len(), model.num_params());

    let optimizer = OptimizerConfig::from_toml_str(OPTIMIZER)?;
    let groups = vec![Group { weight_decay: Some(0.0), ..Group::new(Pattern::new(NO_DECAY)?) }];
    let fitted = Trainer::new(TrainConfig::epochs(epochs))
        .metric(FromLoss::bits("character", 1.0))
        .callback(Progress::new())
        .fit(
            model,
            optimizer.init_with_groups(groups),
            ScheduleConfig::from_toml_str(SCHEDULE)?,
            &train,
            Some(&valid),
        )?;
    println!("{}", fitted.report);
    let prompt = corpus.vocabulary().decode(&corpus.tokens(0..8));
    println!("{prompt}{}", generate(fitted.eval_model(), corpus.vocabulary(), &prompt, 200, 0.8, SEED)?);
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        return exit_code(Err("which text? example-char-lm FILE [epochs]".into()));
    };
    let epochs = arguments.next().map_or(Ok(5), |epochs| epochs.parse());
    exit_code(epochs.map_err(|error| format!("epochs: {error}").into()).and_then(|epochs| run(&path, epochs)))
}
