//! `anneal compare`.

use std::io::Write;

use super::{Ended, args::CompareArgs, interrupt, print, train::document};
use crate::{
    error::Error,
    experiment::compare::{CompareOptions, CompareRequest, Compared, FIGURES, compare as run},
    run_dir::{Existing, REPORT},
};

pub(super) fn compare(args: CompareArgs) -> Result<Ended, Error> {
    if args.config.config.is_none() {
        return Err(Error::Usage(
            "which CONFIG? anneal compare CONFIG --schedule A.toml --schedule B.toml; `anneal new` prints one"
                .to_owned(),
        ));
    }
    let request = CompareRequest {
        base: document(&args.config, args.epochs)?,
        schedules: args.schedules,
        with_config: args.with_config,
        seeds: args.seeds,
        rates: args.rates,
        target: args.target,
    };
    let existing = match (args.resume, args.overwrite) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Overwrite,
        _ => Existing::Refuse,
    };
    let quiet = args.quiet || args.json;
    let options = CompareOptions {
        out: args.out,
        existing,
        quiet,
        interrupt: interrupt::flag(),
        announce: (!quiet).then_some(announce as fn(&str)),
    };
    let compared = run(&request, &options)?;
    if args.json {
        print(&compared.figures.to_json())?;
    } else if !args.quiet {
        print(&text(&compared))?;
    }
    Ok(if compared.interrupted { Ended::Interrupted } else { Ended::Well })
}

/// How it goes on: beside the results, which go to standard output.
fn announce(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn text(compared: &Compared) -> String {
    let Some(dir) = &compared.dir else {
        return "interrupted before the first run; nothing was written\n".to_owned();
    };
    let mut text = compared.figures.to_text();
    if compared.interrupted {
        text.push_str("interrupted; everything is saved, the same command with --resume goes on\n");
    }
    text + &format!("report: {}\nfigures: {}\n", dir.join(REPORT).display(), dir.join(FIGURES).display())
}
