//! The page of a comparison, and its table for a terminal.

use std::fmt::Write;

use report::page::{Page, Part, Section, Table, Tone};

use super::{Entry, Figures, RateFigures, RunFigures, Spread, Standing, curves};
use crate::{
    config::Config,
    experiment::{
        page::{aligned, count, duration},
        plots,
    },
};

/// The page.
pub(super) fn page(figures: &Figures, entries: &[Entry], base: &Config) -> Page {
    let seeds = figures.seeds.len();
    let mut page = Page::new(format!(
        "Comparison of {} on {}",
        plural(figures.contenders.len(), compared(figures)),
        figures.dataset
    ))
    .subtitle(format!(
        "{} on {}, {}: the same model, data and seeds under each",
        figures.model,
        figures.device,
        plural(seeds, "seed")
    ));
    page = if figures.complete { page.badge("finished", Tone::Good) } else { page.badge("not finished", Tone::Notice) };
    page = facts(page, figures);
    let finders: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let swept = entry.rate.as_ref()?.swept.as_ref()?;
            let mut chart = plots::finder(&swept.sweep);
            chart.title = format!("learning-rate finder: {}", entry.contender.name);
            Some(chart)
        })
        .collect();
    page.section(
        Section::new("Results")
            .note(reading(figures))
            .part(Part::Table(results(figures)))
            .part(Part::Table(speeds(figures))),
    )
    .section(
        Section::new("Curves")
            .note(if seeds > 1 {
                "Lines are means over the seeds, bands reach from the lowest to the highest seed. The axis of the \
                     accuracies begins where the slowest is after a quarter of the run."
            } else {
                "The axis of the accuracies begins where the slowest is after a quarter of the run."
            })
            .part(Part::Charts(curves::charts(entries, figures.target))),
    )
    .section(
        Section::new("Choice of the rates")
            .note(choice(figures))
            .part(Part::Table(tried(figures)))
            .part(Part::Charts(finders)),
    )
    .section(Section::new("Runs").part(Part::Table(runs(figures))))
    .section(Section::new("What was compared").part(Part::Pairs(files(figures))).part(Part::Table(warnings(figures))))
    .section(
        Section::new("Configuration")
            .note("What all have in common, every default made explicit; each run's folder has its own.")
            .part(Part::Code(common(base))),
    )
    .footer(format!("written by anneal {}", env!("CARGO_PKG_VERSION")))
}

impl Figures {
    /// The table of the contenders and what is to be known about it, for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = aligned(&results(self));
        if self.target.is_some() {
            text.push('\n');
            text.push_str(&aligned(&speeds(self)));
        }
        text.push('\n');
        text.push_str(&reading(self));
        text.push('\n');
        if self.tuning_cost.steps > 0 {
            text.push_str(&choice(self));
            text.push('\n');
        }
        text
    }
}

/// What the contenders differ in.
fn compared(figures: &Figures) -> &'static str {
    let is_one = |of: fn(&Standing) -> &String| figures.contenders.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]));
    if is_one(|one| &one.schedule) && !is_one(|one| &one.optimizer) { "optimizer" } else { "schedule" }
}

fn plural(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `98.33 ± 0.21`, or the value alone where there is no spread.
fn with_spread(spread: Option<&Spread>, digits: usize) -> String {
    match spread {
        Some(Spread { mean, std: Some(std), .. }) => format!("{mean:.digits$} ± {std:.digits$}"),
        Some(Spread { mean, .. }) => format!("{mean:.digits$}"),
        None => "–".to_owned(),
    }
}

fn rate(rate: Option<&RateFigures>) -> String {
    match rate {
        Some(RateFigures { max_lr: Some(max_lr), .. }) => format!("max {}", number(*max_lr)),
        Some(RateFigures { lr: Some(lr), .. }) => number(*lr),
        _ => "–".to_owned(),
    }
}

/// A rate as people write it, to four places.
fn number(lr: f64) -> String {
    let rounded: f64 = format!("{lr:.3e}").parse().unwrap_or(lr);
    if (1e-3..1e3).contains(&rounded) { format!("{rounded}") } else { format!("{rounded:e}") }
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// How good each is: one row per contender, the best first.
fn results(figures: &Figures) -> Table {
    let failures = figures.contenders.iter().any(|contender| contender.finished < contender.runs.len());
    let head = [
        "contender",
        "optimizer",
        "schedule",
        "rate",
        "test accuracy, %",
        "behind the first",
        "best valid, %",
        "final train loss",
        "runs ended",
    ];
    let columns = if failures { head.len() } else { head.len() - 1 };
    let row = |contender: &Standing| {
        let behind = contender.behind_first.as_ref().map(|behind| match behind.std {
            Some(std) => format!("{:.2} ± {std:.2}", behind.mean),
            None => format!("{:.2}", behind.mean),
        });
        let mut cells = vec![
            contender.name.clone(),
            contender.optimizer.clone(),
            contender.schedule.clone(),
            rate(contender.rate.as_ref()),
            with_spread(contender.test_accuracy.as_ref(), 2),
            behind.unwrap_or_default(),
            with_spread(contender.best_valid_accuracy.as_ref(), 2),
            with_spread(contender.final_train_loss.as_ref(), 4),
            format!("{} of {}", contender.finished, contender.runs.len()),
        ];
        cells.truncate(columns);
        cells
    };
    let rows: Vec<Vec<String>> = figures.contenders.iter().map(row).collect();
    let marked = if rows.len() > 1 { vec![0] } else { Vec::new() };
    Table {
        head: head[..columns].iter().map(|name| (*name).to_owned()).collect(),
        rows,
        marked,
        text_columns: (0..3).collect(),
    }
}

/// How fast each is, in the same order; the first at the target is marked.
fn speeds(figures: &Figures) -> Table {
    let Some(target) = figures.target else { return Table::default() };
    let head = ["contender".to_owned(), format!("steps to {} %", target.accuracy)];
    let head = head.into_iter().chain(["seconds", "reached by", "items/s"].map(str::to_owned)).collect();
    let row = |contender: &Standing| {
        let to_target = contender.to_target.as_ref();
        vec![
            contender.name.clone(),
            optional(to_target.and_then(|of| of.steps), 0),
            optional(to_target.and_then(|of| of.seconds), 1),
            to_target.map_or_else(|| "–".to_owned(), |of| format!("{} of {}", of.reached, of.of)),
            optional(contender.items_per_second, 0),
        ]
    };
    let first = quickest(figures).filter(|_| figures.contenders.len() > 1);
    let at = first.and_then(|(first, _)| figures.contenders.iter().position(|one| one.name == first.name));
    Table {
        head,
        rows: figures.contenders.iter().map(row).collect(),
        marked: at.into_iter().collect(),
        text_columns: vec![0],
    }
}

/// The contender with the fewest steps to the target; `None` where no median is known.
fn quickest(figures: &Figures) -> Option<(&Standing, f64)> {
    let known = figures.contenders.iter().filter_map(|one| Some((one, one.to_target.as_ref()?.steps?)));
    known.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// What is to be known about the table.
fn reading(figures: &Figures) -> String {
    let seeds = figures.seeds.len();
    let mut text = if seeds == 1 {
        "One seed each: no spread is known, and differences of this size may be chance. ".to_owned()
    } else {
        format!("Mean ± sample standard deviation over {seeds} seeds, the same for each; sorted by the test accuracy. ")
    };
    if figures.contenders.len() == 1 {
        text.push_str("There is one contender, so nothing to compare it with. ");
    }
    if let Some(target) = figures.target {
        let chosen = if target.given {
            format!("The target of {} % validation accuracy was given. ", target.accuracy)
        } else {
            format!(
                "The target of {} % validation accuracy was chosen after the runs: what every run reached, rounded down \
                 to a tenth. ",
                target.accuracy
            )
        };
        text.push_str(&chosen);
        text.push_str(
            "Steps and seconds to it are medians, a run that never got there counted as never; they are as fine as the \
             validations (train.validate_every). ",
        );
    }
    let failed: usize = figures.contenders.iter().map(|contender| contender.failed).sum();
    if failed > 0 {
        let _ = write!(
            text,
            "{} failed (loss, gradient or weights not finite) and is in no mean; whoever has such stands last. ",
            plural(failed, "run")
        );
    }
    if !figures.complete {
        text.push_str("Runs are missing: --resume goes on. ");
    }
    text.trim_end().to_owned()
}

/// How the rates were chosen and what that took.
fn choice(figures: &Figures) -> String {
    let cost = figures.tuning_cost;
    let what = match figures.rates.as_str() {
        "config" | "find" => "Found by the learning-rate finder with the first seed, before the runs".to_owned(),
        _ => format!(
            "The best of a grid ({}) by the validation accuracy of a run with the first seed, which is therefore no fresh \
             seed for the table above; it took {}",
            figures.rates,
            plural(cost.runs as usize, "run")
        ),
    };
    format!("{what}: {} steps, {} in all.", count(cost.steps), duration(cost.seconds))
}

fn tried(figures: &Figures) -> Table {
    let head = ["contender", "rate", "state", "best valid, %", "lowest valid loss", "steps", "seconds", "folder"];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), text_columns: vec![0, 2, 7], ..Table::default() };
    for contender in &figures.contenders {
        for tried in contender.rate.iter().flat_map(|rate| &rate.tried) {
            if tried.chosen {
                table.marked.push(table.rows.len());
            }
            table.rows.push(vec![
                contender.name.clone(),
                number(tried.lr),
                tried.error.clone().unwrap_or_else(|| tried.state.to_owned()),
                optional(tried.best_valid_accuracy, 2),
                optional(tried.best_valid_loss, 4),
                tried.steps.to_string(),
                format!("{:.1}", tried.seconds),
                tried.folder.clone(),
            ]);
        }
    }
    table
}

/// One row per run.
fn runs(figures: &Figures) -> Table {
    let mut head = ["contender", "seed", "state", "test accuracy, %", "test loss", "best valid, %", "at step"]
        .map(str::to_owned)
        .to_vec();
    head.extend(figures.target.map(|target| format!("steps to {} %", target.accuracy)));
    head.extend(["steps", "seconds", "folder"].map(str::to_owned));
    let last = head.len() - 1;
    let whole = |step: Option<u64>| step.map_or_else(|| "–".to_owned(), |step| step.to_string());
    let row = |contender: &Standing, run: &RunFigures| {
        let mut cells = vec![
            contender.name.clone(),
            run.seed.to_string(),
            run.error.clone().unwrap_or_else(|| run.state.to_owned()),
            optional(run.test_accuracy, 2),
            optional(run.test_loss, 4),
            optional(run.best_valid_accuracy, 2),
            whole(run.best_step),
        ];
        cells.extend(figures.target.map(|_| whole(run.target_step)));
        cells.extend([run.steps.to_string(), optional(run.seconds, 1), run.folder.clone()]);
        cells
    };
    let rows =
        figures.contenders.iter().flat_map(|contender| contender.runs.iter().map(move |run| row(contender, run)));
    Table { head, rows: rows.collect(), marked: Vec::new(), text_columns: vec![0, 2, last] }
}

fn facts(mut page: Page, figures: &Figures) -> Page {
    if let Some(first) = figures.contenders.first().filter(|first| first.test_accuracy.is_some()) {
        let accuracy = with_spread(first.test_accuracy.as_ref(), 2);
        page = page.fact("Best on the test set", &first.name, format!("{accuracy} %"));
    }
    if let (Some((contender, steps)), Some(target)) = (quickest(figures), figures.target) {
        page = page.fact(format!("First at {} %", target.accuracy), &contender.name, format!("{steps} steps, median"));
    }
    page = page.fact(
        "Seeds",
        figures.seeds.len().to_string(),
        figures.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    );
    let all = || figures.contenders.iter().flat_map(|contender| &contender.runs);
    let seconds: f64 = all().filter_map(|run| run.seconds).sum();
    let ended = all().filter(|run| ["finished", "failed"].contains(&run.state)).count();
    page = page.fact("Runs", format!("{ended} of {}", all().count()), format!("{} of training", duration(seconds)));
    if figures.tuning_cost.steps > 0 {
        let cost = figures.tuning_cost;
        page = page.fact("Choice of rates", format!("{} steps", count(cost.steps)), duration(cost.seconds));
    }
    page
}

fn files(figures: &Figures) -> Vec<(String, String)> {
    let config = ("CONFIG".to_owned(), figures.config.clone());
    let file = |contender: &Standing| {
        (contender.name.clone(), contender.file.clone().unwrap_or_else(|| "CONFIG's own".to_owned()))
    };
    [config].into_iter().chain(figures.contenders.iter().map(file)).collect()
}

fn warnings(figures: &Figures) -> Table {
    let rows = figures.warnings.iter().map(|warning| vec![warning.clone()]).collect();
    Table { head: vec!["to be known".to_owned()], rows, marked: Vec::new(), text_columns: vec![0] }
}

/// The sections that no schedule file replaces.
fn common(base: &Config) -> String {
    let mut table = base.to_table();
    for section in ["optimizer", "schedule", "groups"] {
        table.remove(section);
    }
    // A table of plain values always has a TOML form.
    toml::to_string(&table).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(with_spread(spread(&[98.0, 99.0]).as_ref(), 2), "98.50 ± 0.71");
        assert_eq!(with_spread(spread(&[98.0]).as_ref(), 2), "98.00");
        assert_eq!(with_spread(None, 2), "–");
        for (lr, text) in
            [(0.1, "0.1"), (3.162_277e-2, "0.03162"), (1e-4, "1e-4"), (2.512_34e-5, "2.512e-5"), (1.0, "1")]
        {
            assert_eq!(number(lr), text);
        }
    }
}
