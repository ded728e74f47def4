//! `anneal sample`.

use std::path::PathBuf;

use clap::Args;

use super::{
    checkpoint_args::CheckpointArgs,
    output::{Exit, print_data},
};
use crate::{config::Catalog, error::Error, experiment, task::Sampling};

/// `anneal sample`.
#[derive(Debug, Clone, Args)]
pub struct SampleArgs {
    /// The run folder, of a run on a text
    pub run_dir: PathBuf,
    /// What the text begins with
    #[arg(long, value_name = "TEXT")]
    pub prompt: String,
    /// How many tokens to write after it
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = length)]
    pub length: usize,
    /// 1 draws tokens as likely as the model says, below 1 prefers the likely ones, 0 takes the most likely
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Of the tokens that are drawn; the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub checkpoint: CheckpointArgs,
}

/// The most tokens that are written: the text is held until it is whole.
const LONGEST: usize = 1_000_000;

fn length(text: &str) -> Result<usize, String> {
    let length = text.parse().ok().filter(|length| *length <= LONGEST);
    length.ok_or_else(|| format!("a whole number of tokens, at most {LONGEST}"))
}

pub(super) fn sample(args: &SampleArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let (config, dir, checkpoint) = args.checkpoint.open(&args.run_dir, catalog)?;
    let asked =
        Sampling { prompt: args.prompt.clone(), length: args.length, temperature: args.temperature, seed: args.seed };
    let text = experiment::sample(&config, &dir, checkpoint, &asked)?;
    let text = format!("{}{text}\n", args.prompt);
    print_data(&text)?;
    Ok(Exit::Done)
}
