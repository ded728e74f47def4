//! `anneal predict`.

use std::path::PathBuf;

use clap::Args;
use report::page::{Table, decimal};
use serde_json::{Map, Value};

use super::{
    checkpoint_args::CheckpointArgs,
    output::{Exit, print, print_data},
};
use crate::{config::Catalog, error::Error, experiment, task::Prediction};

/// `anneal predict`.
#[derive(Debug, Clone, Args)]
pub struct PredictArgs {
    /// The run folder
    pub run_dir: PathBuf,
    /// What to predict for: of a run on images, PNG or JPEG files
    #[arg(required = true, value_name = "INPUT", allow_negative_numbers = true)]
    pub inputs: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap prints the doc comment of a flattened field nowhere")]
    pub checkpoint: CheckpointArgs,
    /// Print a JSON object for each input, one a line, with every figure
    #[arg(long)]
    pub json: bool,
}

pub(super) fn predict(args: &PredictArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let (config, dir, checkpoint) = args.checkpoint.open(&args.run_dir, catalog)?;
    let predictions = experiment::predict(&config, &dir, checkpoint, &args.inputs)?;
    if args.json {
        print_data(&lines(predictions))?;
    } else {
        print(&table(&predictions).to_text(usize::MAX))?;
    }
    Ok(Exit::Done)
}

fn lines(predictions: Vec<Prediction>) -> String {
    let line = |prediction: Prediction| {
        let mut object = Map::new();
        object.insert("input".to_owned(), prediction.input.into());
        object.extend(prediction.values);
        format!("{}\n", Value::Object(object))
    };
    predictions.into_iter().map(line).collect()
}

/// Texts and numbers; lists and objects have no place in a table.
fn table(predictions: &[Prediction]) -> Table {
    let shown = |value: &Value| match value {
        Value::Number(number) if number.is_f64() => Some(decimal(number.as_f64().unwrap_or(f64::NAN), 4)),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    };
    let mut head = vec!["input".to_owned()];
    for (name, value) in predictions.iter().flat_map(|prediction| &prediction.values) {
        if shown(value).is_some() && !head.contains(name) {
            head.push(name.clone());
        }
    }
    let row = |prediction: &Prediction| {
        let cell = |name: &String| {
            let value = prediction.values.iter().find(|(other, _)| other == name);
            value.and_then(|(_, value)| shown(value)).unwrap_or_default()
        };
        [prediction.input.clone()].into_iter().chain(head[1..].iter().map(cell)).collect()
    };
    let rows = predictions.iter().map(row).collect();
    let is_text = |name: &String| {
        let of =
            |prediction: &Prediction| prediction.values.iter().any(|(other, value)| other == name && value.is_string());
        predictions.iter().any(of)
    };
    let texts = head.iter().enumerate().filter(|(at, name)| *at == 0 || is_text(name)).map(|(at, _)| at).collect();
    Table { head, rows, marked: Vec::new(), text_columns: texts }
}
