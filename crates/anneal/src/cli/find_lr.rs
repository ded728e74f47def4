//! `anneal find-lr`.

use std::path::Path;

use serde_json::json;

use super::{Ended, args::FindLrArgs, print, train::configured};
use crate::{
    error::Error,
    experiment::{self, Found},
};

/// Size of the plot in the terminal, in characters.
const TERMINAL: (usize, usize) = (80, 16);

pub(super) fn find_lr(args: &FindLrArgs) -> Result<Ended, Error> {
    let config = configured(&args.config, None)?;
    let found = experiment::find_lr(&config)?;
    let chart = found.curve.chart(found.suggestion.as_ref().ok());
    for path in &args.plot {
        chart.save(path)?;
    }
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &args.json {
        let text = format!("{}\n", to_json(&found));
        if to_stdout {
            print(&text)?;
        } else {
            std::fs::write(path, text).map_err(|source| Error::File { path: path.display().to_string(), source })?;
        }
    }
    if !to_stdout {
        print(&text(&found, args.quiet, || chart.terminal(TERMINAL.0, TERMINAL.1)))?;
    }
    Ok(if found.suggestion.is_ok() { Ended::Well } else { Ended::WithoutSuggestion })
}

fn text(found: &Found, quiet: bool, plot: impl Fn() -> String) -> String {
    let answer = match &found.suggestion {
        Ok(suggestion) if quiet => format!("{:e}\n", suggestion.lr),
        Ok(suggestion) => format!("suggestion ({}): lr = {:.3e}\n", suggestion.rule, suggestion.lr),
        Err(reason) => format!("no suggestion: {reason}\n"),
    };
    if quiet {
        return answer;
    }
    let ended = format!("{} rates, ended: {}\n", found.curve.lrs.len(), found.curve.stopped);
    format!("{}\n{ended}{answer}", plot())
}

/// The JSON of the design: numbers that JSON cannot hold are null.
fn to_json(found: &Found) -> serde_json::Value {
    let curve = &found.curve;
    json!({
        "lrs": curve.lrs,
        "losses": curve.losses,
        "smoothed": curve.smoothed,
        "stopped": curve.stopped.to_string(),
        "suggestion": found.suggestion.as_ref().ok().map(|suggestion| json!({
            "rule": suggestion.rule.to_string(),
            "lr": suggestion.lr,
        })),
        "reason": found.suggestion.as_ref().err().map(ToString::to_string),
    })
}
