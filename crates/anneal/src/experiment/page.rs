//! Report pages: of one run (`report.html`), and of several beside each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lr_core::Interval;
use report::page::{Page, Part, Section, Table, Tone, count, decimal, duration, plural};
use serde_json::{Value, json};
use study::Measure;
use trainer::{Split, StopReason, callbacks::LogLine};

use super::{plots, record::RunRecord, summary::Summary};
use crate::{
    config::Catalog,
    error::Error,
    run_dir::{CONFIG, METRICS, OUTPUTS, REPORT, RunDir, SUMMARY},
};

/// Draws the plots and writes the page of a run that has ended, in whatever way.
pub(super) fn write(dir: &RunDir, catalog: &Catalog) -> Result<(), Error> {
    let run = RunRecord::read(dir.root(), catalog)?;
    plots::draw(&run)?;
    Ok(of_run(&run).save(&dir.path(REPORT))?)
}

/// The same for a run that has failed, with the summary that its log gives, if any. Its own error is the one to report, so
/// errors here are only logged.
pub(super) fn write_what_there_is(
    dir: &RunDir,
    catalog: &Catalog,
    summary: impl FnOnce(&[LogLine]) -> Option<Summary>,
) {
    // Before its first step a run leaves nothing.
    if !dir.path(METRICS).exists() || !dir.path(CONFIG).exists() {
        return;
    }
    let written = RunRecord::read(dir.root(), catalog).and_then(|run| {
        if let Some(summary) = summary(&run.log) {
            dir.write(SUMMARY, &summary.to_json())?;
        }
        write(dir, catalog)
    });
    if let Err(error) = written {
        tracing::warn!("no plots and no report: {error}");
    }
}

/// Several runs, or one.
#[derive(Debug)]
pub(crate) struct RunsReport {
    /// Each with the name it has on the page.
    runs: Vec<(String, RunRecord)>,
}

impl RunsReport {
    /// Reads the run folders. Where they come in the order in which a shell lists files, `run-2` is put before `run-10`.
    ///
    /// # Errors
    /// As [`RunRecord::read`].
    pub(crate) fn read(paths: &[impl AsRef<Path>], catalog: &Catalog) -> Result<Self, Error> {
        let mut paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
        if paths.is_sorted() {
            paths.sort_by_key(|path| natural(&path.to_string_lossy()));
        }
        let runs = paths.into_iter().map(|path| RunRecord::read(path, catalog)).collect::<Result<Vec<_>, _>>()?;
        let folder = |run: &RunRecord| run.dir.root().file_name().map(|name| name.to_string_lossy().into_owned());
        let short: Vec<Option<String>> = runs.iter().map(folder).collect();
        let is_unique = short.iter().collect::<BTreeSet<_>>().len() == short.len();
        let label = |run: &RunRecord, short: Option<String>| {
            short.filter(|_| is_unique).unwrap_or_else(|| run.dir.root().display().to_string())
        };
        Ok(Self { runs: runs.into_iter().zip(short).map(|(run, short)| (label(&run, short), run)).collect() })
    }

    /// The page: that of the run, or the comparison of several.
    pub(crate) fn page(&self) -> Page {
        match self.runs.as_slice() {
            [(_, run)] => of_run(run),
            runs => of_runs(runs),
        }
    }

    /// The figures of each run, and what differs between their configurations.
    pub(crate) fn to_json(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(|(label, run)| figures(label, run)).collect();
        let differences: serde_json::Map<String, Value> =
            differences(&self.runs).into_iter().map(|(path, values)| (path, json!(values))).collect();
        json!({ "runs": runs, "differences": differences })
    }

    /// The table of the runs, for a terminal.
    pub(crate) fn to_text(&self, columns: usize) -> String {
        comparison_table(&self.runs).to_text(columns)
    }
}

/// A key that sorts names as people do: the numbers in them by their size.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(end);
        // Longer than 19 digits: no number that anyone counts with.
        let number = if number.is_empty() { 0 } else { number.parse().unwrap_or(u64::MAX) };
        parts.push((text.to_owned(), number));
        rest = tail;
    }
    parts
}

/// How a run ended, and the tone of its badge.
fn outcome(run: &RunRecord) -> (String, Tone) {
    let (word, tone) = match run.summary.as_ref().map(|summary| &summary.stopped) {
        None => ("not finished", Tone::Bad),
        Some(StopReason::Finished) => ("finished", Tone::Good),
        Some(StopReason::EarlyStopping) => ("stopped early", Tone::Good),
        Some(StopReason::NoNumber(_)) => ("stopped early: no number", Tone::Notice),
        Some(StopReason::Interrupted) => ("interrupted", Tone::Notice),
        Some(StopReason::TimeLimit) => ("time limit", Tone::Notice),
        Some(StopReason::NotFinite) => ("failed: not finite", Tone::Bad),
        Some(StopReason::Callback(reason)) => return (format!("stopped: {reason}"), Tone::Notice),
    };
    (word.to_owned(), tone)
}

/// The page of one run.
fn of_run(run: &RunRecord) -> Page {
    let (word, tone) = outcome(run);
    let dataset = run.summary.as_ref().map(|summary| summary.dataset.as_str());
    let dataset = dataset.or_else(|| run.setting("data", "dataset")?.as_str());
    let subtitle = format!(
        "{} on {} with {} under a {} schedule",
        run.type_of("model"),
        dataset.unwrap_or("?"),
        run.type_of("optimizer"),
        run.type_of("schedule")
    );
    let mut page = Page::new(&run.name).badge(word, tone).subtitle(subtitle);
    page = facts(page, run);
    let mut curves = vec![plots::loss(run)];
    curves.extend(run.metrics().iter().map(|name| plots::metric(run, name)));
    curves.push(plots::rate(run));
    curves.extend(run.finder.as_ref().map(plots::finder));
    page.section(failure(run))
        .section(Section::new("Curves").note(about_the_losses(run)).part(Part::Charts(curves)))
        .section(outputs(run))
        .section(times(run))
        .section(Section::new("Epochs").note(about_the_epochs(run)).part(Part::Table(epochs(run))))
        .section(environment(run))
        .section(
            Section::new("Configuration")
                .note("Everything that ran, every default made explicit. anneal train takes it as it is.")
                .part(Part::Code(run.config.0.clone())),
        )
        .footer(format!("{} · written by anneal {}", run.dir.root().display(), env!("CARGO_PKG_VERSION")))
}

/// Why a run's numbers stopped being finite.
fn failure(run: &RunRecord) -> Section {
    let section = Section::new("What went wrong");
    let Some(failure) = run.summary.as_ref().and_then(|summary| summary.failure.as_ref()) else { return section };
    let epoch = failure.epoch.map(|epoch| format!(", in epoch {epoch}")).unwrap_or_default();
    let mut pairs = vec![
        ("What", failure.message.clone()),
        ("Where", format!("at step {}{epoch}", count(failure.step))),
        ("When", failure.seconds.map_or_else(String::new, |seconds| format!("after {}", duration(seconds)))),
        ("Learning rate", failure.lr.map_or_else(String::new, |lr| format!("{lr:.3e}"))),
        ("What to do", failure.advice.clone()),
    ];
    pairs.retain(|(_, value)| !value.is_empty());
    section.part(Part::Pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// What the task shows of the model.
fn outputs(run: &RunRecord) -> Section {
    let section = Section::new("Outputs");
    let Some(shown) = &run.outputs else { return section };
    let mut section = section.note(format!("Of the model at step {}. {OUTPUTS} has all of them.", count(shown.step)));
    if !shown.outputs.charts.is_empty() {
        section = section.part(Part::Charts(shown.outputs.charts.clone()));
    }
    shown.outputs.texts.iter().fold(section, |section, text| section.part(Part::Code(text.clone())))
}

/// Why the training loss may lie above that of the validation set.
fn about_the_losses(run: &RunRecord) -> String {
    let smoothing = run.setting("model", "label_smoothing").and_then(toml::Value::as_float).unwrap_or(0.0);
    let augment = run.setting("data", "augment").and_then(toml::Value::as_str).unwrap_or("none");
    let mut reasons = Vec::new();
    if smoothing > 0.0 {
        reasons.push(format!("label smoothing of {smoothing} (model.label_smoothing)"));
    }
    if augment != "none" {
        reasons.push(format!("augmented images (data.augment = {augment})"));
    }
    if reasons.is_empty() {
        return String::new();
    }
    format!(
        "The training loss is that of {}, the validation loss is not: the former may lie above the latter without a fault.",
        reasons.join(" and ")
    )
}

fn about_the_epochs(run: &RunRecord) -> String {
    run.best_checkpoint().map_or_else(String::new, |best| {
        format!("Highlighted is the epoch of the best checkpoint: {best}, at step {}.", count(best.step))
    })
}

fn facts(mut page: Page, run: &RunRecord) -> Page {
    let measure = run.measure();
    let metric = measure.name.as_str();
    if let Some(best) = run.test(metric) {
        let note = run.test("loss").filter(|_| metric != "loss").map(|loss| format!("loss {}", decimal(loss, 4)));
        page = page.fact(format!("Test {metric}"), measure.show(best), note.unwrap_or_default());
    }
    if let Some((step, best)) = run.best(&measure) {
        let extreme = if measure.lower_is_better { "Lowest" } else { "Highest" };
        let name = format!("{extreme} validation {metric}");
        page = page.fact(name, measure.show(best), format!("at step {}", count(step)));
    }
    if let Some(best) = run.best_checkpoint() {
        page = page.fact("Best checkpoint", format!("step {}", count(best.step)), best.to_string());
    }
    if let Some(step) = run.summary.as_ref().and_then(|summary| summary.restored) {
        page = page.fact("Restored model", format!("step {}", count(step)), "the best by early stopping's value");
    }
    let (_, losses) = run.curve(Split::Train, Some(Interval::Epoch), "loss");
    if let Some(last) = losses.last() {
        page = page.fact("Training loss", Measure::loss().show(*last), "mean of the last epoch");
    }
    page = page.fact("Steps", count(run.steps()), format!("{} finished", plural(run.epochs(), "epoch")));
    if let Some(summary) = run.summary.as_ref().filter(|summary| summary.failure.is_none()) {
        let from = summary.resumed_from.map(|step| format!(" since step {}", count(step))).unwrap_or_default();
        let note = format!("{} items/s{from}", count(summary.items_per_second.round() as u64));
        page = page.fact("Time", duration(summary.elapsed), note);
        if summary.skipped_steps > 0 {
            page = page.fact("Skipped updates", count(summary.skipped_steps), "loss or gradient not finite");
        }
        if let Some(bytes) = summary.peak_memory {
            page = page.fact("Peak memory", format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)), "");
        }
        page = page.fact("Parameters", count(summary.parameters as u64), run.type_of("model"));
    }
    page
}

/// Where the time went.
fn times(run: &RunRecord) -> Section {
    let section = Section::new("Where the time went");
    let Some(summary) = &run.summary else { return section };
    let times = &summary.times;
    let phases = [
        ("waiting for data", times.data),
        ("forward and backward", times.model),
        ("optimizer", times.optimizer),
        ("validation", times.validation),
        ("checkpoints", times.checkpoint),
        ("callbacks", times.callbacks),
        ("other processes", times.ranks),
    ];
    let rest = summary.seconds - phases.iter().map(|(_, seconds)| seconds).sum::<f64>();
    let shares = phases.into_iter().chain([("everything else", rest)]).filter(|(_, seconds)| *seconds > 0.0);
    let whole: f64 = shares.clone().map(|(_, seconds)| seconds).sum();
    let text = |seconds: f64| format!("{} ({:.1} %)", duration(seconds), 100.0 * seconds / whole);
    section.part(Part::Shares(shares.map(|(name, seconds)| (name.to_owned(), seconds, text(seconds))).collect()))
}

/// One row per epoch; the best is marked.
fn epochs(run: &RunRecord) -> Table {
    #[derive(Default)]
    struct Row {
        step: u64,
        lr: f64,
        momentum: Option<f64>,
        seconds: f64,
        values: BTreeMap<String, f64>,
    }
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    for line in run.log.iter().filter(|line| line.every == Interval::Epoch) {
        let row = rows.entry(line.epoch).or_default();
        (row.step, row.lr, row.momentum, row.seconds) = (line.step, line.lr, line.momentum, line.seconds);
        let split = if line.split == Split::Train { "train" } else { "valid" };
        row.values.extend(line.loss.map(|loss| (format!("{split} loss"), loss)));
        let metrics = line.metrics.iter().filter_map(|(name, value)| Some((format!("{split} {name}"), (*value)?)));
        row.values.extend(metrics);
    }
    let names: BTreeSet<String> = rows.values().flat_map(|row| row.values.keys().cloned()).collect();
    let has_momentum = rows.values().any(|row| row.momentum.is_some());
    let mut head: Vec<String> = ["epoch", "step", "learning rate"].map(str::to_owned).to_vec();
    head.extend(has_momentum.then(|| "momentum".to_owned()));
    head.extend(names.iter().cloned());
    head.push("seconds".to_owned());
    let best = run.best_checkpoint().map(|best| best.step);
    let marked = rows.values().position(|row| Some(row.step) == best).into_iter().collect();
    let cells = |(epoch, row): (&u64, &Row)| {
        let mut cells = vec![(epoch + 1).to_string(), row.step.to_string(), format!("{:.4e}", row.lr)];
        cells.extend(has_momentum.then(|| row.momentum.map_or_else(String::new, |m| format!("{m:.4}"))));
        cells.extend(names.iter().map(|name| {
            let metric = name.split_once(' ').map_or(name.as_str(), |(_, metric)| metric);
            row.values.get(name).map_or_else(String::new, |number| run.measure_of(metric).show(*number))
        }));
        cells.push(decimal(row.seconds, 2));
        cells
    };
    Table { head, rows: rows.iter().map(cells).collect(), marked, text_columns: Vec::new() }
}

/// The machine and the program, of each process that worked on the run.
fn environment(run: &RunRecord) -> Section {
    let mut section = Section::new("Environment");
    for session in &run.sessions {
        let steps =
            if session.from_step > 0 { format!(", from step {}", count(session.from_step)) } else { String::new() };
        let pairs = [
            ("Started", format!("{}{steps}", session.started.replace('T', " ").replace('Z', " UTC"))),
            ("Device", session.device.clone()),
            ("Processor", format!("{}, {}", session.cpu, plural(session.cores as u64, "thread"))),
            ("System", session.system.clone()),
            ("Program", format!("anneal {}, burn {}", session.anneal, session.burn)),
            ("Commit", session.commit.clone().unwrap_or_else(|| "not in a git repository".to_owned())),
        ];
        section = section.part(Part::Pairs(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()));
    }
    section
}

/// The page of several runs.
fn of_runs(runs: &[(String, RunRecord)]) -> Page {
    let differing = differences(runs);
    let mut head = vec!["setting".to_owned()];
    head.extend(runs.iter().map(|(label, _)| label.clone()));
    let rows = differing
        .into_iter()
        .map(|(path, values)| {
            let values = values.into_iter().map(|value| value.unwrap_or_else(|| "–".to_owned()));
            [path].into_iter().chain(values).collect()
        })
        .collect();
    let differences = Table { head, rows, marked: Vec::new(), text_columns: (0..=runs.len()).collect() };
    let names: Vec<&str> = runs.iter().map(|(label, _)| label.as_str()).collect();
    Page::new(format!("Comparison of {} runs", runs.len()))
        .subtitle(names.join(", "))
        .section(Section::new("Results").part(Part::Table(comparison_table(runs))))
        .section(Section::new("Curves").part(Part::Charts(plots::overlays(runs))))
        .section(
            Section::new("What differs between the configurations")
                .note("Settings that are the same in all runs are left out, and so are names and folders; – is a setting that a run does not have.")
                .part(Part::Table(differences)),
        )
        .footer(format!("written by anneal {}", env!("CARGO_PKG_VERSION")))
}

/// Settings that are not the same in all runs: each run's value.
fn differences(runs: &[(String, RunRecord)]) -> BTreeMap<String, Vec<Option<String>>> {
    let settings: Vec<BTreeMap<String, String>> = runs.iter().map(|(_, run)| run.settings()).collect();
    let paths: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    let values = |path: &String| settings.iter().map(|of| of.get(path).cloned()).collect::<Vec<_>>();
    let all = paths.into_iter().map(|path| (path.clone(), values(path)));
    all.filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1])).collect()
}

/// What several runs are compared by: the first that is not the loss.
fn main_measure(runs: &[(String, RunRecord)]) -> Measure {
    let measures = runs.iter().map(|(_, run)| run.measure());
    measures.into_iter().find(|measure| !measure.is_loss()).unwrap_or_else(Measure::loss)
}

fn comparison_table(runs: &[(String, RunRecord)]) -> Table {
    let measure = main_measure(runs);
    let metric = measure.name.as_str();
    let head = [
        "run".to_owned(),
        format!("test {metric}"),
        format!("{} valid {metric}", if measure.lower_is_better { "lowest" } else { "highest" }),
        "at step".to_owned(),
        "state".to_owned(),
        "optimizer".to_owned(),
        "schedule".to_owned(),
        "steps".to_owned(),
        "time".to_owned(),
        "items/s".to_owned(),
    ];
    let cells = |(label, run): &(String, RunRecord)| {
        let best = run.best(&measure);
        let number = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| measure.show(number));
        let summary = run.summary.as_ref();
        // A run that failed has no throughput.
        let measured = summary.filter(|summary| summary.failure.is_none());
        vec![
            label.clone(),
            number(run.test(metric)),
            number(best.map(|(_, best)| best)),
            best.map_or_else(|| "–".to_owned(), |(step, _)| step.to_string()),
            outcome(run).0,
            run.type_of("optimizer"),
            run.type_of("schedule"),
            run.steps().to_string(),
            summary.map_or_else(|| "–".to_owned(), |summary| duration(summary.elapsed)),
            measured.map_or_else(|| "–".to_owned(), |summary| format!("{:.0}", summary.items_per_second)),
        ]
    };
    let results = || runs.iter().enumerate().filter_map(|(at, (_, run))| Some((at, run.test(metric)?)));
    let best =
        results().map(|(_, value)| value).reduce(|best, one| if measure.is_better(one, best) { one } else { best });
    // Equals share the place; where all are equal there is none.
    let best: Vec<usize> = results().filter(|(_, value)| Some(*value) == best).map(|(at, _)| at).collect();
    Table {
        head: head.to_vec(),
        rows: runs.iter().map(cells).collect(),
        marked: if best.len() < runs.len() { best } else { Vec::new() },
        text_columns: vec![0, 4, 5, 6],
    }
}

/// A run's figures for a program.
fn figures(label: &str, run: &RunRecord) -> Value {
    let (measure, summary) = (run.measure(), run.summary.as_ref());
    json!({
        "run": label,
        "folder": run.dir.root().display().to_string(),
        "name": run.name,
        "state": outcome(run).0,
        "model": run.type_of("model"),
        "optimizer": run.type_of("optimizer"),
        "schedule": run.type_of("schedule"),
        "steps": run.steps(),
        "epochs": run.epochs(),
        "test": summary.and_then(|summary| summary.test.clone()),
        "best_checkpoint": run.best_checkpoint().map(|best| json!({ "metric": best.monitor, "step": best.step, "value": best.value })),
        "failure": summary.and_then(|summary| summary.failure.as_ref()),
        "best": run.best(&measure).map(|(step, value)| json!({ "metric": format!("valid.{}", measure.name), "step": step, "value": value })),
        "seconds": summary.map(|summary| summary.seconds),
        "items_per_second": summary.map(|summary| summary.items_per_second),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_do() {
        let mut names = ["run-10", "run-2", "b", "run-1", "run", "a9b10", "a9b9", "run-99999999999999999999"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a9b9", "a9b10", "b", "run", "run-1", "run-2", "run-10", "run-99999999999999999999"]);
    }
}
