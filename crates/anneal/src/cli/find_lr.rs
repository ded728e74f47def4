//! `anneal find-lr`.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use report::{
    Chart,
    page::{fold, plural},
};
use trainer::lr_finder::{Rule, SuggestionSpread};

use super::{
    config_args::{ConfigArgs, document, located},
    output::{Exit, exists, print, print_data, refuse_place, refuse_replacing, terminal_width},
};
use crate::{
    config::{Catalog, Config, Document},
    error::Error,
    experiment::{self, FinderResult},
};

/// `anneal find-lr`.
#[derive(Debug, Clone, Args)]
pub struct FindLrArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub config: ConfigArgs,
    /// Draw the curve, on a log axis, into this file; may be repeated
    #[arg(long, value_name = "FILE.svg|.png")]
    pub plot: Vec<PathBuf>,
    /// Write curve and suggestion into this file; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a copy of CONFIG with the found rate in place, comments kept; default CONFIG's name with .found.toml
    #[allow(clippy::option_option, reason = "not asked for, asked for, asked for by name: clap's own form of it")]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub apply: Option<Option<PathBuf>>,
    /// Replace files that this program did not write; with --apply any file
    #[arg(long)]
    pub overwrite: bool,
    /// Print the suggestion alone
    #[arg(long)]
    pub quiet: bool,
}

/// Height of the plot in the terminal, in characters.
const ROWS: usize = 16;

/// Suggestions that differ by more than this factor are worth a word.
const FAR_APART: f64 = 5.0;

pub(super) fn find_lr(args: &FindLrArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let document = document(&args.config, None)?;
    let config = Config::from_document(&document, catalog)?;
    let copy = args.apply.as_ref().map(|file| copy_name(file.as_deref(), args.config.config.as_deref()));
    if let Some(copy) = copy.as_deref().filter(|copy| !args.overwrite && copy.exists()) {
        return Err(exists(copy));
    }
    copy.as_deref().map_or(Ok(()), refuse_place)?;
    args.plot.iter().try_for_each(|path| Chart::is_saved_as_svg(path).map(drop))?;
    let json = args.json.iter().filter(|path| path.as_os_str() != "-");
    refuse_replacing(args.plot.iter().chain(json), args.overwrite)?;
    let shown = experiment::at_work(&config, args.quiet);
    let found = experiment::find_lr_until(&config, &trainer::ctrl_c());
    drop(shown);
    let found = found.map_err(|error| located(&document, error))?;
    let chart = found.chart();
    for path in &args.plot {
        chart.save(path)?;
    }
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &args.json {
        let json = format!("{}\n", found.to_json());
        if to_stdout {
            print_data(&json)?;
        } else {
            report::atomic_write(path, json)
                .map_err(|source| Error::File { path: path.display().to_string(), source })?;
        }
    }
    let applied = match (&copy, &found.suggestion) {
        (Some(copy), Ok(suggestion)) => apply(&document, suggestion.lr, copy, args.overwrite, catalog)?,
        _ => String::new(),
    };
    if !to_stdout {
        let answer = if args.quiet { answer(&found, true) } else { text(&found) + &applied };
        print(&answer)?;
    }
    Ok(if found.suggestion.is_ok() { Exit::Done } else { Exit::WithoutSuggestion })
}

/// Shows the finder's result before a run trains.
pub(super) fn announce(found: &FinderResult) {
    let goes_to = found
        .suggestion
        .iter()
        .map(|suggestion| changes(format!("trained at: {}", found.auto.describe(suggestion.lr))));
    // A closed terminal must not stop the training.
    let _ = print(&(text(found) + &goes_to.collect::<String>()));
}

/// The curve, why the sweep ended, the suggestion, and what the other rules suggest.
fn text(found: &FinderResult) -> String {
    let curve = found.curve();
    let mut text = format!(
        "{}\n{}, ended: {}",
        found.sweeps.chart(&found.suggestions()).terminal(terminal_width(), ROWS),
        plural(curve.lrs.len() as u64, "rate"),
        curve.stopped
    );
    if found.sweeps.sweeps().len() > 1 {
        let _ = write!(text, ", median of {} sweeps", found.sweeps.sweeps().len());
    }
    text += "\n";
    text += &answer(found, false);
    if found.suggestion.is_ok() {
        let others = Rule::ALL.into_iter().filter(|rule| *rule != found.rule).map(|rule| {
            found
                .sweeps
                .suggestion(rule)
                .map_or_else(|_| format!("{rule} none"), |other| format!("{rule} {:.2e}", other.lr))
        });
        let _ = writeln!(text, "other rules: {}", others.collect::<Vec<_>>().join(", "));
        text += &which_to_trust(&found.suggestions().iter().map(|one| one.lr).collect::<Vec<_>>());
        text += &sureness(found.sweeps.spread(found.rule), found.sweeps.sweeps().len());
    }
    text
}

/// A word on rules that disagree: docs/lr-finder.md has the study that it rests on.
fn which_to_trust(lrs: &[f64]) -> String {
    let (low, high) = lrs.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), lr| (low.min(*lr), high.max(*lr)));
    let apart = high / low;
    if lrs.len() < 2 || apart <= FAR_APART {
        return String::new();
    }
    format!(
        "the rules differ by a factor of {apart:.0}. Trust minimum (a tenth of the rate at the\n\
         lowest loss): in our study the nearest to the best rate. valley is the cautious\n\
         one, steepest and slide follow noise. A larger batch or repeats = 5 brings them\n\
         together.\n"
    )
}

fn answer(found: &FinderResult, quiet: bool) -> String {
    match &found.suggestion {
        Ok(suggestion) if quiet => format!("{:e}\n", suggestion.lr),
        Ok(suggestion) => format!("suggestion ({}): lr = {:.3e}\n", suggestion.rule, suggestion.lr),
        Err(reason) => fold(&format!("no suggestion: {reason}"), terminal_width()).join("\n") + "\n",
    }
}

/// How far the suggestion can be trusted.
fn sureness(spread: Option<SuggestionSpread>, sweeps: usize) -> String {
    match spread {
        Some(SuggestionSpread { of, found, low, high, ratio, .. }) => format!(
            "{found} of {of} sweeps suggest a rate by themselves: {low:.2e} to {high:.2e}, a factor of {ratio:.1}\n"
        ),
        None if sweeps > 1 => {
            "hardly any of the sweeps suggests a rate by itself: do not rely on this one\n".to_owned()
        }
        None => String::new(),
    }
}

/// Where the copy goes.
fn copy_name(file: Option<&Path>, config: Option<&Path>) -> PathBuf {
    match (file, config) {
        (Some(file), _) => file.to_owned(),
        (None, Some(config)) => config.with_extension("found.toml"),
        (None, None) => PathBuf::from("found.toml"),
    }
}

/// Writes the copy, and says what is in it.
fn apply(document: &Document, lr: f64, copy: &Path, overwrite: bool, catalog: &Catalog) -> Result<String, Error> {
    let (text, places) = document.with_rate(lr, &catalog.schedules).map_err(|error| document.locate(error))?;
    write(copy, &text, overwrite).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(copy),
        _ => Error::File { path: copy.display().to_string(), source },
    })?;
    Ok(changes(format!("written to {}: {}", copy.display(), places.describe(lr))))
}

/// A line of changes, or where it is too wide one for each.
fn changes(line: String) -> String {
    let is_wide = line.chars().count() > terminal_width();
    if is_wide { line.replace(", ", ",\n  ") + "\n" } else { line + "\n" }
}

/// Writes a file; one that exists is replaced only where `overwrite` says so.
fn write(path: &Path, text: &str, overwrite: bool) -> io::Result<()> {
    if overwrite {
        return report::atomic_write(path, text);
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
