//! `anneal data fetch` and `anneal data verify`.

use std::{
    fmt::Write,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use report::page::plural;
use serde_json::json;
use toml::Table;
use trainer::callbacks::Bar;
use vision::{
    Against, Verified,
    fetch::{self, Event, FetchOptions, Fetched},
};

use super::output::{Exit, Messages, print, print_data, terminal_width};
use crate::{config::Catalog, error::Error};

/// `anneal data`.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Download a data set, check it, and put it into place
    Fetch(FetchArgs),
    /// Hold every file of a data set against all that is known about it
    Verify(VerifyArgs),
}

/// `anneal data fetch`.
#[derive(Debug, Clone, Args)]
pub struct FetchArgs {
    /// A name from `anneal list datasets`
    pub name: String,
    /// The data folder that gets it; default: ANNEAL_DATA_DIR, then the cache folder
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// From here alone: the address of a folder that has the files
    #[arg(long, value_name = "BASE")]
    pub url: Option<String>,
    /// Give up after this long (30s, 10m, 1.5h), and keep what is there for the next fetch
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = time)]
    pub max_time: Duration,
    /// Give a server up that sends fewer bytes a second over half a minute
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub min_speed: u64,
    /// No progress and no summary
    #[arg(long)]
    pub quiet: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    trainer::parse_time(text).ok_or_else(|| "a time above 0, as in 30s, 10m, 1.5h".to_owned())
}

/// `anneal data verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A name from `anneal list datasets`, or folder:PATH
    pub name: String,
    /// Where it is looked for first
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

pub(super) fn data(command: &DataCommand, catalog: &Catalog) -> Result<Exit, Error> {
    let (DataCommand::Fetch(FetchArgs { name, .. }) | DataCommand::Verify(VerifyArgs { name, .. })) = command;
    if catalog.task(name).is_some() {
        let message = format!("`{name}` reads or makes its data by itself: there is nothing to fetch or to verify");
        return Err(Error::Usage(message));
    }
    if !name.starts_with(vision::FOLDER_PREFIX) {
        catalog.datasets.info(name)?;
    }
    match command {
        DataCommand::Fetch(args) => fetch_set(args, catalog),
        DataCommand::Verify(args) => verify(args, catalog),
    }
}

fn fetch_set(args: &FetchArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let data_folder = data_folder(args.data_dir.as_deref())?;
    let mut progress = FetchProgress { quiet: args.quiet, bar: None, failed: Vec::new() };
    let mut watch = |event: Event<'_>| progress.show(event);
    let options = FetchOptions {
        base: args.url.clone(),
        max_time: args.max_time,
        min_speed: args.min_speed,
        ..FetchOptions::default()
    };
    let fetched = match catalog.datasets.own(&args.name) {
        Some(own) => fetch::fetch_set(&own.info, &data_folder, &options, &mut watch),
        None => fetch::fetch(&args.name, &data_folder, &options, &mut watch),
    };
    progress.bar = None;
    let text = match fetched? {
        Fetched::Embedded => format!("{} is part of the program: there is nothing to fetch\n", args.name),
        Fetched::AlreadyThere(folder) => format!("{} is there already: {}\n", args.name, folder.display()),
        Fetched::Placed { folder, files } => {
            let data = match catalog.datasets.own(&args.name) {
                Some(own) => own.read(&Table::new())?.load(Some(&data_folder))?,
                None => vision::load(&args.name, Some(&data_folder))?,
            };
            format!(
                "{}: {} in {}: {} training and {} test images\n",
                args.name,
                plural(files.len() as u64, "file"),
                folder.display(),
                data.train.len(),
                data.test.len()
            )
        }
    };
    print(if args.quiet { "" } else { &text })?;
    Ok(Exit::Done)
}

/// Where a data set goes: the folder that is looked into first.
fn data_folder(given: Option<&Path>) -> Result<PathBuf, Error> {
    vision::search_dirs(given).into_iter().next().ok_or_else(|| {
        Error::Usage("no data folder is known here: name one with --data-dir or ANNEAL_DATA_DIR".to_owned())
    })
}

/// A bar on a terminal, a line for each download elsewhere. Both go to standard error.
struct FetchProgress {
    quiet: bool,
    bar: Option<Bar>,
    /// Addresses that failed: shown when another one works. If none does, the error lists them all.
    failed: Vec<String>,
}

impl FetchProgress {
    fn show(&mut self, event: Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::Begins { url, bytes, from } => self.begin(url, bytes, from),
            Event::At(bytes) => {
                if let Some(bar) = &self.bar {
                    bar.inner().set_position(bytes);
                }
            }
            Event::Failed { url, reason } => self.failed.push(format!("{url}: {reason}")),
            Event::Unpacks(archive) => self.line(&format!("unpacking {archive}")),
            Event::Placed(path) => self.line(&format!("placed {}", path.display())),
        }
    }

    fn begin(&mut self, url: &str, bytes: u64, from: u64) {
        for failed in std::mem::take(&mut self.failed) {
            self.line(&failed);
        }
        self.bar = None;
        self.bar = Bar::new(Some(bytes), "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        let Some(bar) = self.bar.as_ref().map(Bar::inner) else {
            let of = if from > 0 { format!(", going on from {from}") } else { String::new() };
            return self.line(&format!("fetching {url} ({bytes} bytes{of})"));
        };
        bar.set_message(url.rsplit('/').next().unwrap_or(url).to_owned());
        // Bytes of an earlier download do not count towards the speed.
        bar.set_position(from);
        bar.reset_eta();
    }

    fn line(&mut self, text: &str) {
        self.bar = None;
        let _ = Messages.write_all(format!("{}\n", report::plain(text)).as_bytes());
    }
}

fn verify(args: &VerifyArgs, catalog: &Catalog) -> Result<Exit, Error> {
    let data_dir = args.data_dir.as_deref();
    let verified = match catalog.datasets.own(&args.name) {
        Some(own) => Verified { files: Vec::new(), dataset: own.read(&Table::new())?.load(data_dir) },
        None => vision::verify(&args.name, data_dir)?,
    };
    if args.json {
        print_data(&json(&args.name, &verified))?;
    } else {
        print(&table(&args.name, &verified))?;
    }
    let problems =
        verified.files.iter().filter_map(|file| file.problem.as_ref()).chain(verified.dataset.as_ref().err());
    match problems.map(ToString::to_string).next() {
        None => Ok(Exit::Done),
        Some(problem) => Err(Error::Verify { name: args.name.clone(), problem }),
    }
}

/// What a checksum was compared with.
fn against(against: Against) -> &'static str {
    match against {
        Against::Published => "published sum",
        Against::Recorded => "sum recorded when it was fetched",
        Against::Nothing => "size and form only: no sum of it is known",
    }
}

fn table(name: &str, verified: &Verified) -> String {
    let mut text = String::new();
    for file in &verified.files {
        let verdict = if file.problem.is_some() { "BAD" } else { "ok " };
        let (place, against) = (format!("{verdict} {}", file.path.display()), against(file.against));
        let is_short = place.chars().count() + against.chars().count() + 3 <= terminal_width();
        let _ = writeln!(text, "{place}{}({against})", if is_short { " " } else { "\n    " });
        if !file.sha256.is_empty() {
            let _ = writeln!(text, "    {} bytes of content\n    SHA-256 {}", file.bytes, file.sha256);
        }
        if let Some(problem) = &file.problem {
            let _ = writeln!(text, "    {problem}");
        }
    }
    if let Ok(data) = &verified.dataset {
        let (train, test, classes) = (data.train.len(), data.test.len(), data.classes.len());
        let _ = writeln!(
            text,
            "{name}: {train} training and {test} test images of {}, {classes} {}",
            data.shape(),
            if classes == 1 { "class" } else { "classes" }
        );
        let part = data.part.map(|part| format!("{name}: {part}\n")).unwrap_or_default();
        let _ = writeln!(text, "{part}fingerprint {}", data.fingerprint);
        for note in &data.notes {
            let _ = writeln!(text, "note: {note}");
        }
    }
    text
}

fn json(name: &str, verified: &Verified) -> String {
    let files: Vec<_> = verified
        .files
        .iter()
        .map(|file| {
            json!({
                "path": file.path.display().to_string(),
                "bytes": file.bytes,
                "sha256": file.sha256,
                "against": match file.against {
                    Against::Published => "published",
                    Against::Recorded => "recorded",
                    Against::Nothing => "nothing",
                },
                "problem": file.problem.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let data = verified.dataset.as_ref().ok();
    let row = json!({
        "name": name,
        "ok": data.is_some() && verified.files.iter().all(|file| file.problem.is_none()),
        "files": files,
        "train": data.map(|data| data.train.len()),
        "test": data.map(|data| data.test.len()),
        "fingerprint": data.map(|data| data.fingerprint.clone()),
        "notes": data.map(|data| data.notes.clone()),
    });
    format!("{row}\n")
}
