//! `anneal report`.

use std::path::PathBuf;

use super::{Ended, args::ReportArgs, print};
use crate::{error::Error, experiment::Comparison, run_dir::REPORT};

pub(super) fn report(args: &ReportArgs) -> Result<Ended, Error> {
    let comparison = Comparison::read(&args.run_dirs)?;
    let out = args.out.clone().unwrap_or_else(|| match args.run_dirs.as_slice() {
        [one] => one.join(REPORT),
        _ => PathBuf::from(REPORT),
    });
    comparison.page().save(&out)?;
    if args.json {
        let mut json = comparison.to_json();
        json["page"] = out.display().to_string().into();
        print(&format!("{json:#}\n"))?;
    } else {
        print(&format!("{}report: {}\n", comparison.to_text(), out.display()))?;
    }
    Ok(Ended::Well)
}
