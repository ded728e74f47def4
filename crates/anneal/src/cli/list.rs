//! `anneal list`.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use optim_adaptive::{ConfigError, ParameterRow};
use serde_json::{Map, Value, json};
use vision::models::ModelConfig;

use super::{
    config_args::{ConfigArgs, configured},
    described::{Described, FOLDER_SUMMARY, entry, wrapped},
    output::{Exit, print, print_data, terminal_width},
};
use crate::{
    config::{Catalog, Config},
    device::{self, DeviceName},
    error::Error,
    experiment::Assembly,
    task::{FOLDER, ImageEntry, ListedModel, TaskEntry, folder_fields},
};

/// `anneal list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// What to list; with a NAME behind it (of schedules, optimizers, models, datasets) that one, its fields and their
    /// defaults
    #[arg(value_enum)]
    pub what: Listed,
    /// For `models`: the same as NAME
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// For `models`: count for the images and classes of this data set
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// For `parameters`: whose model and groups
    #[command(flatten)]
    pub config: ConfigArgs,
    /// For `parameters`: rates at this optimizer step, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub step: u64,
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
    /// The parameters of a config's model: the rate of each, where it comes from, decay, optimizer
    Parameters,
}

impl Listed {
    /// As it is asked for.
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

pub(super) fn list(args: &ListArgs, catalog: &Catalog) -> Result<Exit, Error> {
    // Of what has a name, the name stands where the configuration of `parameters` does.
    let name = args.config.config.as_ref().map(|name| name.display().to_string());
    let described = match (args.what, &name) {
        (Listed::Schedules, Some(name)) => Described::schedule(name, catalog)?,
        (Listed::Optimizers, Some(name)) => Described::optimizer(name, catalog)?,
        (Listed::Datasets, Some(name)) => Described::dataset(name, catalog)?,
        (Listed::Models, _) => return models(args, args.model.as_deref().or(name.as_deref()), catalog),
        (Listed::Devices, Some(_)) => return Err(Error::Usage("anneal list devices takes no name".to_owned())),
        (Listed::Parameters, _) => {
            let rows = parameters(&configured(&args.config, None, catalog)?, args.step)?;
            return show(args, rows, true, "");
        }
        (Listed::Devices, None) => return show(args, rows(args.what, catalog), true, ""),
        (what, None) => {
            let more = format!("anneal list {} NAME: the fields and their defaults", what.word());
            return show(args, rows(what, catalog), false, &more);
        }
    };
    if args.json {
        print_data(&format!("{}\n", described.to_json()))?;
    } else {
        print(&described.to_text(terminal_width()))?;
    }
    Ok(Exit::Done)
}

/// Prints rows: all of each, or its name and summary with a word on where there is more.
fn show(args: &ListArgs, rows: Vec<Value>, whole: bool, more: &str) -> Result<Exit, Error> {
    if args.json {
        print_data(&format!("{}\n", Value::Array(rows)))?;
    } else {
        let is_short = args.what == Listed::Schedules && !whole;
        let text = if is_short { short(&rows, terminal_width()) } else { table(&rows, whole, terminal_width()) };
        print(&(text + more + if more.is_empty() { "" } else { "\n" }))?;
    }
    Ok(Exit::Done)
}

/// One object per thing; the first field is its name, the second a summary.
fn rows(what: Listed, catalog: &Catalog) -> Vec<Value> {
    match what {
        Listed::Schedules => catalog
            .schedules
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
            catalog.optimizers.iter().map(|(name, summary)| json!({ "name": name, "summary": summary })).collect()
        }
        Listed::Datasets => catalog
            .datasets
            .iter()
            .map(|info| {
                let mut row = json!({
                    "name": info.name,
                    "summary": info.summary,
                    "shape": info.shape.to_string(),
                    "train": info.train,
                    "test": info.test,
                    "origin": info.origin,
                });
                if let Some(own) = catalog.datasets.own(info.name) {
                    row["fields"] = json!(own.fields);
                }
                row
            })
            .chain([json!({
                "name": FOLDER,
                "summary": FOLDER_SUMMARY,
                "fields": folder_fields(),
            })])
            .chain(
                catalog
                    .tasks
                    .iter()
                    .map(|task| json!({ "name": task.name(), "summary": task.summary(), "fields": task.fields() })),
            )
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

/// A model in a list.
struct Model {
    /// What is said beside its name.
    line: String,
    /// All that is said of it.
    text: String,
    row: Value,
}

/// The models, by task: what each is and, of images, how many parameters it has; of one by name its fields with their
/// defaults and, of images, the table of its layers.
fn models(args: &ListArgs, name: Option<&str>, catalog: &Catalog) -> Result<Exit, Error> {
    let is_asked = |model: &str| name.is_none_or(|name| name == model);
    let names = catalog.models.iter().map(|info| info.name).filter(|model| is_asked(model));
    let of_images = names.map(|model| of_images(model, args, catalog)).collect::<Result<Vec<_>, _>>()?;
    let datasets = ImageEntry { models: &catalog.models, datasets: &catalog.datasets };
    let mut groups = vec![(datasets.datasets().collect::<Vec<_>>(), of_images)];
    for task in &catalog.tasks {
        let asked = task.models().into_iter().filter(|model| is_asked(model.name));
        groups.push((vec![task.name()], asked.map(|model| of_task(&**task, &model)).collect()));
    }
    groups.retain(|(_, models)| !models.is_empty());
    if let (Some(name), true) = (name, groups.is_empty()) {
        let of_tasks = catalog.tasks.iter().flat_map(|task| task.models()).map(|model| model.name);
        let mut known: Vec<&str> = Vec::new();
        for name in catalog.models.iter().map(|info| info.name).chain(of_tasks) {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        return Err(ConfigError::unknown_name("list", "model", name, known).into());
    }
    if args.json {
        let rows = groups.into_iter().flat_map(|(_, models)| models).map(|model| model.row).collect();
        return show(args, rows, true, "");
    }
    let (mut text, width) = (String::new(), terminal_width());
    // Tasks of the same models stand together.
    groups.dedup_by(|(names, models), (names_before, before)| {
        let are_same = models.iter().map(|model| &model.text).eq(before.iter().map(|model| &model.text));
        if are_same {
            names_before.append(names);
        }
        are_same
    });
    for (names, models) in &groups {
        text += &wrapped(&format!("[data] dataset = {}", names.join(", ")), 0, width);
        for Model { row, line, text: whole, .. } in models {
            let of = row["name"].as_str().unwrap_or_default();
            text += &if name.is_none() { entry(of, line, NAMES, width) } else { whole.clone() };
        }
        text.push('\n');
    }
    text += if name.is_none() { "anneal list models NAME: the fields, their defaults, and the layers\n" } else { "" };
    print(&text)?;
    Ok(Exit::Done)
}

/// A model of images, counted for a data set.
fn of_images(name: &str, args: &ListArgs, catalog: &Catalog) -> Result<Model, Error> {
    let (model, width) = (ModelConfig::read_with(name, &toml::Table::new(), &catalog.models)?, terminal_width());
    let (info, described) = (model.info(), Described::model(&model));
    let dataset = catalog.datasets.info(args.dataset.as_deref().unwrap_or(info.dataset))?;
    let (shape, classes) = (dataset.shape, dataset.classes.len());
    let layers = model.layers(shape, classes, &DeviceName::parse("cpu", "--device")?.open()?)?;
    let parameters = vision::models::total_parameters(&layers);
    let counted = format!("{parameters} parameters for {} ({shape}, {classes} classes)", dataset.name);
    let mut text = described.to_text(width);
    text += &wrapped(&format!("source: {}", info.source), 2, width);
    let _ = writeln!(text, "  {counted}");
    for layer in &layers {
        let _ = writeln!(text, "    {layer}");
    }
    let row = json!({
        "name": info.name,
        "summary": info.summary,
        "source": info.source,
        "fields": described.names(),
        "defaults": described.defaults(),
        "dataset": dataset.name,
        "parameters": parameters,
        "layers": layers.iter().map(|layer| json!({
            "name": layer.name,
            "kind": layer.kind,
            "output": layer.output,
            "parameters": layer.parameters,
        })).collect::<Vec<_>>(),
    });
    Ok(Model { line: format!("{}; {counted}", info.summary), text, row })
}

/// A model of a task.
fn of_task(task: &dyn TaskEntry, model: &ListedModel) -> Model {
    let described = Described::task_model(task, model);
    let row = json!({
        "name": model.name,
        "summary": model.summary,
        "dataset": task.name(),
        "fields": described.names(),
        "defaults": described.defaults(),
    });
    Model { line: model.summary.to_owned(), text: described.to_text(terminal_width()), row }
}

/// Each parameter of the configured model: path, shape, its rate at an optimizer step and where that comes from, decay,
/// optimizer. A rate that the finder is still to choose is null.
fn parameters(config: &Config, step: u64) -> Result<Vec<Value>, Error> {
    let is_known = config.auto.refuse().is_ok();
    let assembly = Assembly::new(config)?;
    let (learner, rates) = (assembly.fresh()?, assembly.rates()?.at(step));
    assembly.check_patterns(&learner)?;
    let groups: Vec<_> = config.groups.iter().collect();
    let run = assembly.horizon();
    let mut freezing = Vec::new();
    for (at, rule) in config.train.freeze.iter().enumerate() {
        let steps = rule.steps(&run).map_err(|error| error.within(&format!("train.freeze[{at}]")))?;
        if steps.contains(&step) {
            freezing.push((at, rule));
        }
    }
    let row = |row: ParameterRow| {
        let group = row.group.and_then(|at| Some((at, groups.get(at)?)));
        let freeze = freezing.iter().find(|(_, rule)| rule.params.matches(&row.path));
        let frozen = row.frozen || freeze.is_some();
        let source = match (group, freeze) {
            (Some((at, _)), _) if row.frozen => format!("groups[{at}].frozen"),
            (_, Some((at, _))) => format!("train.freeze[{at}]"),
            (Some((at, (_, Some(own)))), None) => format!("groups[{at}].schedule `{}`", own.type_name()),
            _ => format!("schedule `{}`", config.schedule.type_name()),
        };
        let scale = match group {
            Some((at, _)) if row.lr_scale != 1.0 && !frozen => format!(" * groups[{at}].lr_scale {}", row.lr_scale),
            _ => String::new(),
        };
        let lr = if frozen { 0.0 } else { rates.of(row.group) * row.lr_scale };
        let shape: Vec<String> = row.shape.iter().map(ToString::to_string).collect();
        json!({
            "name": row.path,
            "summary": shape.join("x"),
            "lr": is_known.then_some(lr),
            "lr_from": format!("{source}{scale}"),
            "weight_decay": row.weight_decay,
            "optimizer": row.optimizer,
            "group": group.map(|(at, (group, _))| format!("groups[{at}] {}", group.params.as_str())),
            "frozen": frozen,
        })
    };
    Ok(learner.rows(&assembly.optimizer()).into_iter().map(row).collect())
}

/// A line for each of very many rows: its name and as much of its summary as fits. Names with a prefix, as `timm/...`, stand
/// together.
fn short(rows: &[Value], width: usize) -> String {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let group_of = |name: &str| name.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    let names: Vec<String> = rows.iter().map(|row| text(row, "name")).collect();
    let (mut out, mut last) = (String::new(), None);
    for (row, name) in rows.iter().zip(&names) {
        let group = group_of(name);
        if last.replace(group.clone()).is_some_and(|last| last != group) {
            out.push('\n');
        }
        let column = names.iter().filter(|other| group_of(other) == group).map(|name| name.chars().count()).max();
        let (column, summary) = (column.unwrap_or(0), text(row, "summary"));
        let summary = summary.strip_prefix(&format!("{group}: ")).unwrap_or(&summary);
        let line = format!("{name:<column$}  {}", beginning(summary, width.saturating_sub(column + 2)));
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// A text, or where that does not fit into so many characters its first parts.
fn beginning(text: &str, room: usize) -> &str {
    let fits = |at: &usize| text[..*at].chars().count() <= room;
    let words = [" (", "; ", ", ", " and ", " when ", " with ", " to ", " at ", " in "];
    let ends = words.into_iter().flat_map(|end| text.match_indices(end)).map(|(at, _)| at);
    ends.chain([text.len()]).filter(fits).max().map_or("", |at| &text[..at])
}

/// The widest column of names.
const NAMES: usize = 20;

/// A line for each row, or a few: its name and summary and, where the `whole` is asked for, everything else.
fn table(rows: &[Value], whole: bool, width: usize) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let longest = objects.iter().map(|row| row.get("name").map_or(0, |name| text(name).len())).max().unwrap_or(0);
    let column = longest.min(NAMES);
    let mut out = String::new();
    for row in objects {
        let field = |name: &str| row.get(name).map(&text).unwrap_or_default();
        out += &entry(&field("name"), &field("summary"), column, width);
        let none: &[&str] = if row.get("adapters") == Some(&json!([])) { &["adapters: none found"] } else { &[] };
        let rest: Vec<String> = row
            .iter()
            .filter(|(name, value)| {
                whole && !matches!(name.as_str(), "name" | "summary") && !value.is_null() && !text(value).is_empty()
            })
            .map(|(name, value)| format!("{}: {}", name.replace('_', " "), text(value)))
            .chain(none.iter().map(ToString::to_string))
            .collect();
        if !rest.is_empty() {
            out += &wrapped(&rest.join(" · "), column + 2, width);
        }
    }
    out
}
