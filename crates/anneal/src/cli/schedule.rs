//! `anneal schedule`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use lr_core::ScheduleConfig;
use report::Chart;
use trainer::Split;

use super::{
    metrics_file,
    output::{Exit, print, print_data, print_data_on, refuse_replacing, terminal_width},
};
use crate::{
    config::{Catalog, Config, Document},
    error::Error,
    experiment::{Preview, PreviewLength, horizon},
};

/// `anneal schedule`.
#[derive(Debug, Clone, Args)]
pub struct ScheduleArgs {
    /// A whole config, or a bare schedule table (`type = ...` at top level); several are overlaid in the plot
    #[arg(required = true, value_name = "FILE.toml")]
    pub files: Vec<PathBuf>,
    /// Base rate; several are several parameter groups. Default: the config's optimizer rate, or 1 for a bare table
    #[arg(long, value_name = "X")]
    pub base_lr: Vec<f64>,
    /// Optimizer steps of the run
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Epochs of the run
    #[arg(long, value_name = "E")]
    pub epochs: Option<u64>,
    /// Optimizer steps in an epoch
    #[arg(long, value_name = "K")]
    pub steps_per_epoch: Option<u64>,
    /// For a reactive schedule: one number per line, fed after each tick
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print one row per tick, in this form; by default a plot alone. People count epochs and steps from 1; `tick` of csv and jsonl is from 0
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Draw the schedule into this file; may be repeated
    #[arg(long, value_name = "FILE.svg|.png")]
    pub plot: Vec<PathBuf>,
    /// Replace files that this program did not write
    #[arg(long)]
    pub overwrite: bool,
    /// Change a setting, as in schedule.gamma=0.5 (gamma=0.5 for a bare table); may be repeated
    #[arg(long = "set", value_name = "key.path=value")]
    pub set: Vec<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, and the plot under them
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object per row
    Jsonl,
}

/// Height of the plot in the terminal, in characters.
const ROWS: usize = 16;

/// A schedule from a file: a whole config's, or a bare table.
struct ScheduleFile {
    document: Document,
    config: ScheduleConfig,
    /// The path of the schedule's fields in the file.
    path: &'static str,
    base_lrs: Vec<f64>,
    /// Groups with their own schedule: its path, the schedule, its base rate.
    groups: Vec<(String, ScheduleConfig, f64)>,
    length: PreviewLength,
}

pub(super) fn schedule(args: &ScheduleArgs, catalog: &Catalog) -> Result<Exit, Error> {
    args.plot.iter().try_for_each(|path| Chart::is_saved_as_svg(path).map(drop))?;
    refuse_replacing(&args.plot, args.overwrite)?;
    let metrics = args.metrics.as_deref().map(metrics_file::read).transpose()?;
    let is_rows = matches!(args.format, Some(Format::Csv | Format::Jsonl));
    let previews = args
        .files
        .iter()
        .map(|file| {
            let read = read(file, args, catalog)?;
            let label = label(file, &args.files);
            let preview = |read: &ScheduleFile| {
                let lrs = read.base_lrs.clone();
                let mut preview = Preview::new(&label, &read.config, read.path, lrs, read.length, metrics.as_deref())?;
                for (path, config, lr) in &read.groups {
                    preview.add_group(config, path, *lr, read.length)?;
                }
                Ok(preview)
            };
            preview(&read).map_err(|error| match error {
                Error::Setting(error) => read.document.locate(*error).into(),
                other => other,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    for warning in previews.iter().flat_map(|preview| &preview.warnings) {
        tracing::warn!("{warning}");
    }
    // Rows need no axis that fits them all.
    let chart = if is_rows && args.plot.is_empty() { None } else { Some(Preview::chart(&previews)?) };
    for path in &args.plot {
        chart.iter().try_for_each(|chart| chart.save(path))?;
    }
    let plot = || chart.as_ref().map_or_else(String::new, |chart| chart.terminal(terminal_width(), ROWS));
    match args.format {
        None => print(&plot())?,
        Some(Format::Table) => {
            if let Some(long) = previews.iter().find(|preview| !preview.is_whole()) {
                return Err(Error::Usage(format!(
                    "{}: a table of {} rows is more than anybody reads; --format csv or jsonl write each as it comes, \
                     without --format there is a plot",
                    long.label, long.ticks
                )));
            }
            print(&format!("{}\n{}", table(&previews), plot()))?;
        }
        Some(Format::Csv) => print_rows(csv_rows(&previews))?,
        Some(Format::Jsonl) => print_rows(jsonl_rows(&previews))?,
    }
    Ok(Exit::Done)
}

/// Rows that are held until there are so many bytes of them, and then written.
const CHUNK: usize = 1 << 16;

/// Writes rows as they come. If their reader closes its end, the rest is not computed.
fn print_rows(rows: impl Iterator<Item = Result<String, Error>>) -> Result<(), Error> {
    let mut text = String::new();
    for row in rows {
        text += &row?;
        if text.len() >= CHUNK {
            if !print_data_on(&text)? {
                return Ok(());
            }
            text.clear();
        }
    }
    print_data(&text)
}

fn read(file: &Path, args: &ScheduleArgs, catalog: &Catalog) -> Result<ScheduleFile, Error> {
    let mut document = Document::read(file)?;
    document.set(&args.set)?;
    let given = PreviewLength { steps: args.steps, epochs: args.epochs, steps_per_epoch: args.steps_per_epoch };
    let sections = &document.table;
    // A bare table, or a file of a `[schedule]` alone: neither says what is trained, so the base rate is 1.
    let alone = match sections.get("schedule") {
        _ if sections.contains_key("type") => Some((sections, "")),
        Some(toml::Value::Table(table)) if !sections.contains_key("optimizer") => Some((table, "schedule")),
        _ => None,
    };
    let mut groups = Vec::new();
    let (config, path, base_lrs, length) = if let Some((table, path)) = alone {
        let config = ScheduleConfig::from_table_with(table, path, &catalog.schedules);
        let config = config.map_err(|error| document.locate(error))?;
        (config, path, vec![1.0], given)
    } else {
        let whole = Config::from_document(&document, catalog)?;
        whole.auto.refuse().map_err(|error| document.locate(error))?;
        let length = if given == PreviewLength::default() { of_run(&whole)? } else { given };
        let base_lrs = base_lrs(&whole);
        let lr = args.base_lr.first().copied().unwrap_or_else(|| whole.optimizer.lr());
        groups.extend(whole.groups.iter().enumerate().filter_map(|(i, (group, schedule))| {
            Some((format!("groups[{i}].schedule"), schedule?.clone(), lr * group.lr_scale))
        }));
        (whole.schedule, "schedule", base_lrs, length)
    };
    let base_lrs = if args.base_lr.is_empty() { base_lrs } else { args.base_lr.clone() };
    Ok(ScheduleFile { document, config, path, base_lrs, groups, length })
}

/// The optimizer's rate, and that of each group under the same schedule.
fn base_lrs(config: &Config) -> Vec<f64> {
    let lr = config.optimizer.lr();
    let scaled = config.groups.iter().filter(|(group, schedule)| schedule.is_none() && group.lr_scale != 1.0);
    let scaled = scaled.map(|(group, _)| lr * group.lr_scale);
    std::iter::once(lr).chain(scaled).collect()
}

/// The length of the run that a config describes.
fn of_run(config: &Config) -> Result<PreviewLength, Error> {
    let horizon = horizon(config, config.load(None)?.items(Split::Train));
    Ok(PreviewLength {
        steps: horizon.total_ticks(lr_core::Interval::Step),
        epochs: None,
        steps_per_epoch: horizon.steps_per_epoch(),
    })
}

fn label(file: &Path, files: &[PathBuf]) -> String {
    let stem = |path: &Path| path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mine = stem(file);
    if files.iter().filter(|other| stem(other) == mine).count() > 1 { file.display().to_string() } else { mine }
}

fn table(previews: &[Preview]) -> String {
    let mut text = String::new();
    for preview in previews {
        if previews.len() > 1 {
            let _ = writeln!(text, "# {}", preview.label);
        }
        let _ = write!(text, "{:>8}", preview.interval.name());
        let groups = preview.rows.first().map_or(0, |row| row.lr.len());
        for group in 0..groups {
            let _ = write!(text, "  {:>14}", if groups == 1 { "lr".to_owned() } else { format!("lr[{group}]") });
        }
        let momentum = preview.rows.iter().any(|row| row.momentum.is_some());
        let _ = writeln!(text, "{}", if momentum { format!("  {:>10}", "momentum") } else { String::new() });
        for row in &preview.rows {
            let _ = write!(text, "{:>8}", row.tick + 1);
            for lr in &row.lr {
                let _ = write!(text, "  {lr:>14.8e}");
            }
            if let Some(momentum) = row.momentum.as_ref().and_then(|momenta| momenta.first()) {
                let _ = write!(text, "  {momentum:>10.6}");
            }
            text.push('\n');
        }
    }
    text
}

/// A line of values separated by commas, quoted where they have to be.
fn csv_line(record: &[String]) -> Result<String, Error> {
    let failed = |error: csv::Error| Error::File { path: "csv".to_owned(), source: error.into() };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(record).map_err(failed)?;
    let bytes =
        writer.into_inner().map_err(|error| Error::File { path: "csv".to_owned(), source: error.into_error() })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn csv_rows(previews: &[Preview]) -> impl Iterator<Item = Result<String, Error>> + '_ {
    let several = previews.len() > 1;
    let groups = previews.iter().filter_map(|preview| preview.rows.first()).map(|row| row.lr.len()).max().unwrap_or(1);
    let mut header: Vec<String> = if several { vec!["file".to_owned()] } else { Vec::new() };
    header.push("tick".to_owned());
    header.extend((0..groups).map(|group| if groups == 1 { "lr".to_owned() } else { format!("lr_{group}") }));
    header.push("momentum".to_owned());
    let rows = previews.iter().flat_map(move |preview| {
        preview.each_row().map(move |row| {
            let mut record: Vec<String> = if several { vec![preview.label.clone()] } else { Vec::new() };
            record.push(row.tick.to_string());
            record.extend((0..groups).map(|group| row.lr.get(group).map_or_else(String::new, |lr| number(*lr))));
            let momentum = row.momentum.as_ref().and_then(|momenta| momenta.first());
            record.push(momentum.map_or_else(String::new, |momentum| number(*momentum)));
            csv_line(&record)
        })
    });
    std::iter::once_with(move || csv_line(&header)).chain(rows)
}

/// The shortest text that reads back as the same f64.
fn number(value: f64) -> String {
    format!("{value:?}")
}

fn jsonl_rows(previews: &[Preview]) -> impl Iterator<Item = Result<String, Error>> + '_ {
    let failed = |error: serde_json::Error| Error::File { path: "jsonl".to_owned(), source: error.into() };
    let several = previews.len() > 1;
    previews.iter().flat_map(move |preview| {
        preview.each_row().map(move |row| {
            let mut object = serde_json::to_value(row).map_err(failed)?;
            if several {
                object["file"] = preview.label.clone().into();
            }
            Ok(format!("{object}\n"))
        })
    })
}
