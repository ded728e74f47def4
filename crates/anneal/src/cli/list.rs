//! `anneal list`.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use lr_core::Registry;
use optim_adaptive::{ConfigError, OptimizerConfig};
use serde_json::{Map, Value, json};
use vision::models::ModelConfig;

use super::{
    config_args::{ConfigArgs, configured},
    output::{Exit, print},
};
use crate::{
    config::{Config, folder_fields},
    device::{self, DeviceName},
    error::Error,
    experiment::Assembly,
};

/// `anneal list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub what: Listed,
    /// For `models`: this one alone, with the table of its layers
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// For `models`: count for the images and classes of this data set
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// For `parameters`: whose model and groups
    #[command(flatten)]
    pub config: ConfigArgs,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Strategies for `[schedule] type`
    Schedules,
    /// Optimizers for `[optimizer] type`
    Optimizers,
    /// Models for `[model] type`
    Models,
    /// Data sets for `[data] dataset`
    Datasets,
    /// Devices for `[run] device`
    Devices,
    /// The parameters of a config's model, and the group of each
    Parameters,
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, Error> {
    let rows = match args.what {
        Listed::Parameters => parameters(&configured(&args.config, None)?)?,
        Listed::Models => return models(args),
        what => rows(what),
    };
    let text = if args.json { format!("{}\n", Value::Array(rows)) } else { table(&rows) };
    print(&text)?;
    Ok(Exit::Done)
}

/// One object per thing; the first field is its name, the second a summary.
fn rows(what: Listed) -> Vec<Value> {
    match what {
        Listed::Schedules => Registry::standard()
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name(),
                    "summary": entry.summary(),
                    "interval": entry.interval().name(),
                    "fields": entry.fields(),
                })
            })
            .collect(),
        Listed::Optimizers => {
            OptimizerConfig::known().map(|(name, summary)| json!({ "name": name, "summary": summary })).collect()
        }
        Listed::Datasets => vision::known()
            .map(|info| {
                json!({
                    "name": info.name,
                    "summary": info.summary,
                    "shape": info.shape.to_string(),
                    "train": info.train,
                    "test": info.test,
                    "origin": info.origin,
                })
            })
            .chain([json!({
                "name": "folder",
                "summary": "images of your own by class: train/CLASS/*.png or *.jpg in the folder that `path` names",
                "fields": folder_fields(),
            })])
            .collect(),
        // Listed with their config, by `parameters`, and with their layers, by `models`.
        Listed::Parameters | Listed::Models => Vec::new(),
        Listed::Devices => device::KINDS
            .iter()
            .map(|kind| {
                let mut row = json!({
                    "name": kind.name,
                    "summary": kind.summary,
                    "compiled_in": kind.compiled_in,
                    "feature": kind.feature,
                });
                // `gpu` is one of the kinds below it.
                if kind.is_gpu() && kind.compiled_in && kind.name != "gpu" {
                    row["adapters"] = kind.adapters().iter().map(ToString::to_string).collect();
                }
                row
            })
            .collect(),
    }
}

/// The models: what each is, how many parameters it has, and the table of its layers.
fn models(args: &ListArgs) -> Result<Exit, Error> {
    let models = match &args.model {
        None => vision::models::known().map(|info| ModelConfig::named(info.name)).collect::<Result<_, _>>()?,
        Some(name) => {
            let at_flag = |error| ConfigError { path: "--model".to_owned(), ..error };
            vec![ModelConfig::read(name, &toml::Table::new()).map_err(at_flag)?]
        }
    };
    let device = DeviceName::parse("cpu", "--device")?.open()?;
    let (mut rows, mut text) = (Vec::new(), String::new());
    for model in models {
        let info = model.info();
        let dataset = vision::info(args.dataset.as_deref().unwrap_or(info.dataset))?;
        let (shape, classes) = (dataset.shape, dataset.classes.len());
        let layers = model.layers(shape, classes, &device)?;
        let fields: Vec<String> = model.write().keys().cloned().chain(["label_smoothing".to_owned()]).collect();
        let parameters = vision::models::total_parameters(&layers);
        let _ = writeln!(text, "{}  {}", info.name, info.summary);
        let _ = writeln!(text, "  source: {} · fields: {}", info.source, fields.join(", "));
        let _ = writeln!(text, "  {parameters} parameters for {} ({shape}, {classes} classes)", dataset.name);
        for layer in &layers {
            let _ = writeln!(text, "    {layer}");
        }
        rows.push(json!({
            "name": info.name,
            "summary": info.summary,
            "source": info.source,
            "fields": fields,
            "dataset": dataset.name,
            "parameters": parameters,
            "layers": layers.iter().map(|layer| json!({
                "name": layer.name,
                "kind": layer.kind,
                "output": layer.output,
                "parameters": layer.parameters,
            })).collect::<Vec<_>>(),
        }));
    }
    print(&if args.json { format!("{}\n", Value::Array(rows)) } else { text })?;
    Ok(Exit::Done)
}

/// Each parameter of the configured model: its path, shape, group and what the group changes.
fn parameters(config: &Config) -> Result<Vec<Value>, Error> {
    let model = Assembly::new(config)?.model()?;
    let groups: Vec<_> = config.groups.iter().collect();
    let assigned = config.groups.groups().assign(&model);
    let row = |(path, shape, group): (String, Vec<usize>, Option<usize>)| {
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let mut row = json!({ "name": path, "summary": shape.join("x") });
        if let Some((at, (group, schedule))) = group.and_then(|at| Some((at, groups.get(at)?))) {
            row["group"] = json!(format!("groups[{at}] {}", group.params.as_str()));
            row["lr_scale"] = json!(group.lr_scale);
            row["frozen"] = json!(group.frozen);
            row["weight_decay"] = json!(group.weight_decay);
            row["schedule"] = json!(schedule.map(lr_core::ScheduleConfig::type_name));
            row["optimizer"] = json!(group.optimizer.as_ref().map(optim_adaptive::OptimizerConfig::type_name));
        }
        row
    };
    Ok(assigned.into_iter().map(row).collect())
}

fn table(rows: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let width = objects.iter().map(|row| row.get("name").map_or(0, |name| text(name).len())).max().unwrap_or(0);
    let mut out = String::new();
    for row in objects {
        let field = |name: &str| row.get(name).map(&text).unwrap_or_default();
        let _ = writeln!(out, "{:<width$}  {}", field("name"), field("summary"));
        let none: &[&str] = if row.get("adapters") == Some(&json!([])) { &["adapters: none found"] } else { &[] };
        let rest: Vec<String> = row
            .iter()
            .filter(|(name, value)| {
                !matches!(name.as_str(), "name" | "summary") && !value.is_null() && !text(value).is_empty()
            })
            .map(|(name, value)| format!("{}: {}", name.replace('_', " "), text(value)))
            .chain(none.iter().map(ToString::to_string))
            .collect();
        if !rest.is_empty() {
            let _ = writeln!(out, "{:<width$}  {}", "", rest.join(" · "));
        }
    }
    out
}
