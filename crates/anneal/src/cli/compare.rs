//! `anneal compare`.

use std::{io::Write, path::PathBuf};

use clap::Args;
use study::RateChoice;

use super::{
    config_args::{ConfigArgs, document},
    output::{Exit, Messages, print, print_data, terminal_width},
};
use crate::{
    config::Catalog,
    error::Error,
    experiment::compare::{CompareOptions, CompareOutcome, CompareRequest, FIGURES, compare as run},
    job::Job,
    run_dir::{Existing, REPORT},
};

/// `anneal compare`.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub config: ConfigArgs,
    /// A schedule table, a file with [schedule], [optimizer] and [[groups]], or a whole config of which these are taken;
    /// may be repeated
    #[arg(long = "schedule", value_name = "FILE.toml", num_args = 1..)]
    pub schedules: Vec<PathBuf>,
    /// CONFIG with this one setting takes part, as in --vary model.label_smoothing=0; may be repeated
    #[arg(long = "vary", value_name = "KEY=VALUE")]
    pub variations: Vec<String>,
    /// CONFIG's own schedule takes part too, as it does where there is no --schedule
    #[arg(long)]
    pub with_config: bool,
    /// Train each with this many seeds: run.seed and those after it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// The rate of each: as written, as the finder suggests, or the best of these by what validation measures
    #[arg(long, value_name = "config|find|X,Y,...", default_value_t)]
    pub rates: RateChoice,
    /// Take the time to this validation accuracy (or whatever the task compares by); default: what every run reached
    #[arg(long, value_name = "PERCENT", value_parser = number, allow_negative_numbers = true)]
    pub target: Option<f64>,
    /// The folder of the comparison; default runs/compare-NAME, then runs/compare-NAME-2, ...
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train for this many epochs
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Go on with the comparison in the folder: runs that have ended are not run again
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Start over where the folder holds a comparison
    #[arg(long)]
    pub overwrite: bool,
    /// No progress and no table
    #[arg(long)]
    pub quiet: bool,
    /// Print all figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// A number, perhaps with a percent sign.
fn number(text: &str) -> Result<f64, String> {
    match text.trim().trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("a number".to_owned()),
    }
}

pub(super) fn compare(args: CompareArgs, catalog: &Catalog, job: &Job) -> Result<Exit, Error> {
    if args.config.config.is_none() {
        return Err(Error::Usage(
            "which CONFIG? anneal compare CONFIG --schedule A.toml --schedule B.toml; `anneal new` prints one"
                .to_owned(),
        ));
    }
    let request = CompareRequest {
        base: document(&args.config, args.epochs)?,
        schedules: args.schedules,
        variations: args.variations,
        with_config: args.with_config,
        seeds: args.seeds,
        rates: args.rates,
        target: args.target,
    };
    let existing = Existing::from_flags(args.resume, args.overwrite);
    let quiet = args.quiet || args.json;
    let options = CompareOptions {
        out: args.out,
        existing,
        quiet,
        interrupt: trainer::ctrl_c(),
        announce: (!quiet).then_some(announce as fn(&str)),
        job: job.clone(),
    };
    let compared = run(&request, &options, catalog)?;
    if args.json {
        print_data(&compared.study.to_json())?;
    } else if !args.quiet {
        print(&text(&compared))?;
    }
    Ok(match (compared.interrupted, compared.all_failed()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Done,
    })
}

/// Progress goes to standard error; standard output is for results.
fn announce(line: &str) {
    let _ = Messages.write_all(format!("{}\n", report::plain(line)).as_bytes());
}

fn text(compared: &CompareOutcome) -> String {
    let Some(dir) = &compared.dir else {
        return "interrupted before the first run; nothing was written\n".to_owned();
    };
    let mut text = compared.study.to_text(terminal_width());
    if compared.interrupted {
        text.push_str("interrupted; everything is saved, the same command with --resume continues\n");
    }
    text + &format!("report: {}\nfigures: {}\n", dir.join(REPORT).display(), dir.join(FIGURES).display())
}
