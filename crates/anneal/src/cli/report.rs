//! `anneal report`.

use std::path::PathBuf;

use clap::Args;

use super::output::{Exit, print, print_data, refuse_replacing, terminal_width};
use crate::{config::Catalog, error::Error, experiment::RunsReport, run_dir::REPORT};

/// `anneal report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Run folders; several are compared
    #[arg(required = true, value_name = "RUN_DIR")]
    pub run_dirs: Vec<PathBuf>,
    /// The page; default report.html in the run folder, or in the current one for several
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    /// Replace files that this program did not write
    #[arg(long)]
    pub overwrite: bool,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn report(args: &ReportArgs, catalog: &Catalog) -> Result<Exit, Error> {
    // A run folder's page is its own.
    let (out, is_own) = match (&args.out, args.run_dirs.as_slice()) {
        (Some(out), _) => (out.clone(), false),
        (None, [one]) => (one.join(REPORT), true),
        (None, _) => (PathBuf::from(REPORT), false),
    };
    if !is_own {
        refuse_replacing([&out], args.overwrite)?;
    }
    let comparison = RunsReport::read(&args.run_dirs, catalog)?;
    comparison.page().save(&out)?;
    if args.json {
        let mut json = comparison.to_json();
        json["page"] = out.display().to_string().into();
        print_data(&format!("{json:#}\n"))?;
    } else {
        print(&format!("{}report: {}\n", comparison.to_text(terminal_width()), out.display()))?;
    }
    Ok(Exit::Done)
}
