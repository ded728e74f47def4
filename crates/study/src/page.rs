//! The page of a study, and its summary for a terminal.

use std::fmt::Write;

use report::{
    Chart,
    page::{Page, Part, Section, Tone, count, duration, fold, plural},
};

use crate::{
    contender::Contender,
    rate::RateChoice,
    result::{Study, TuningCost},
    tables::spread_text,
};

impl Study {
    /// The page; `common` is the configuration that all contenders have in common.
    pub fn page(&self, common: String) -> Page {
        let title = plural(self.contenders.len() as u64, self.what_differs());
        let seeds = plural(self.setup.seeds.len() as u64, "seed");
        let (failed, runs) = (self.failed(), self.runs().count());
        let (state, tone) = match (self.complete, failed) {
            (false, _) => ("not finished".to_owned(), Tone::Notice),
            (true, 0) => ("finished".to_owned(), Tone::Good),
            (true, _) if failed == runs => ("failed".to_owned(), Tone::Bad),
            (true, _) => (format!("finished, {} failed", plural(failed as u64, "run")), Tone::Notice),
        };
        let axis = match (self.setup.measure.lower_is_better, self.setup.measure.name.as_str()) {
            (true, _) => String::new(),
            (false, "accuracy") => {
                "The axis of the accuracies begins where the slowest is after a quarter of the run.".to_owned()
            }
            (false, name) => {
                format!("The axis of {name} begins where the slowest is after a quarter of the run.")
            }
        };
        let page = Page::new(format!("Comparison of {title} on {}", self.setup.dataset))
            .subtitle(format!(
                "{} on {}, {seeds}: the same {} and seeds under each",
                self.setup.model,
                self.setup.device,
                if self.varies() { "data" } else { "model, data" }
            ))
            .badge(state, tone);
        self.facts(page)
            .section(
                Section::new("Results")
                    .note(self.how_to_read())
                    .part(Part::Table(self.results_table()))
                    .part(Part::Table(self.speeds_table())),
            )
            .section(
                Section::new("Curves")
                    .note(if self.setup.seeds.len() > 1 {
                        format!(
                            "Lines are means over the seeds, bands reach from the lowest to the highest seed. {axis}"
                        )
                    } else {
                        axis
                    })
                    .part(Part::Charts(self.charts())),
            )
            .section(
                Section::new("Choice of the rates")
                    .note(self.how_rates_were_chosen())
                    .part(Part::Table(self.trials_table()))
                    .part(Part::Pairs(self.failed_trials()))
                    .part(Part::Charts(self.sweep_charts())),
            )
            .section(Section::new("Runs").part(Part::Table(self.runs_table())).part(Part::Pairs(self.failed_runs())))
            .section(
                Section::new("What was compared")
                    .part(Part::Pairs(self.files()))
                    .part(Part::Table(self.warnings_table())),
            )
            .section(
                Section::new("Configuration")
                    .note("What all have in common, every default made explicit; each run's folder has its own.")
                    .part(Part::Code(common)),
            )
            .footer(format!("written by anneal {}", env!("CARGO_PKG_VERSION")))
    }

    /// The table of the contenders and how to read it, for a terminal of so many columns.
    pub fn to_text(&self, columns: usize) -> String {
        let mut text = self.results_table().to_text(columns);
        if self.target.is_some() {
            text.push('\n');
            text.push_str(&self.speeds_table().to_text(columns));
        }
        text.push('\n');
        let mut prose = vec![self.how_to_read()];
        if self.tuning_cost.steps > 0 {
            prose.push(self.how_rates_were_chosen());
        }
        for line in prose.iter().flat_map(|prose| fold(prose.trim_end(), columns)) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// What the contenders differ in.
    fn what_differs(&self) -> &'static str {
        let is_one =
            |of: fn(&Contender) -> &String| self.contenders.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]));
        match (self.varies(), is_one(|one| &one.schedule), is_one(|one| &one.optimizer)) {
            (true, ..) => "contender",
            (false, true, false) => "optimizer",
            _ => "schedule",
        }
    }

    /// Whether a contender differs in more than schedule, optimizer and groups.
    fn varies(&self) -> bool {
        self.contenders.iter().any(|contender| contender.variation.is_some())
    }

    /// How to read the tables.
    fn how_to_read(&self) -> String {
        let (seeds, measure) = (self.setup.seeds.len(), &self.setup.measure);
        let name = &measure.name;
        let mut text = if seeds == 1 {
            "One seed each: no spread is known, and differences of this size may be chance. ".to_owned()
        } else {
            format!(
                "Mean ± sample standard deviation over {seeds} seeds, the same for each; sorted by the test {name}. "
            )
        };
        if self.contenders.len() == 1 {
            text.push_str("There is one contender, so nothing to compare it with. ");
        }
        if let Some(target) = self.target {
            let value = measure.with_unit(target.value);
            let chosen = if target.given {
                format!("The target of {value} validation {name} was given. ")
            } else {
                let (hopeless, rounded) = match (measure.lower_is_better, measure.unit.as_str()) {
                    (false, "%") => ("below half of", "down to a tenth"),
                    (false, _) => ("below half of", "down to three digits"),
                    (true, _) => ("above twice", "up to three digits"),
                };
                format!(
                    "The target of {value} validation {name} was chosen after the runs: what every run reached (but those \
                     {hopeless} the best), rounded {rounded}. "
                )
            };
            text.push_str(&chosen);
            text.push_str(
                "Steps and seconds to it are medians, a run that never got there counted as never; they are as fine as \
                 the validations (train.validate_every). ",
            );
        }
        let failed = self.failed();
        if failed > 0 {
            let _ = write!(
                text,
                "{} failed (loss, gradient or weights not finite): means leave failed runs out, and whatever has one ranks last. ",
                plural(failed as u64, "run")
            );
        }
        if !self.complete {
            text.push_str("Runs are missing: --resume continues. ");
        }
        text.trim_end().to_owned()
    }

    /// How the rates were chosen and what that cost.
    fn how_rates_were_chosen(&self) -> String {
        let TuningCost { runs, steps, seconds } = self.tuning_cost;
        let what = match &self.setup.rates {
            RateChoice::Config | RateChoice::Find => {
                "Found by the learning-rate finder with the first seed, before the runs".to_owned()
            }
            RateChoice::Grid(_) => format!(
                "The best of a grid ({}) by the validation {} of a run with the first seed, which is therefore no fresh \
                 seed for the table above; it took {}",
                self.setup.rates,
                self.setup.measure.name,
                plural(runs, "run")
            ),
        };
        format!("{what}: {} steps, {} in all.", count(steps), duration(seconds))
    }

    /// The sweeps that rates were found by.
    fn sweep_charts(&self) -> Vec<Chart> {
        let sweeps = self.contenders.iter().filter_map(|one| Some((&one.name, one.rate.as_ref()?.sweep.as_ref()?)));
        sweeps
            .map(|(name, sweep)| Chart { title: format!("learning-rate finder: {name}"), ..sweep.chart.clone() })
            .collect()
    }

    fn facts(&self, mut page: Page) -> Page {
        let measure = &self.setup.measure;
        // Where all are equal there is no best and no first.
        if let [best, ..] = self.best().as_slice() {
            let value = spread_text(best.test.as_ref(), measure.digits());
            let unit = if measure.unit.is_empty() { &measure.name } else { &measure.unit };
            page = page.fact("Best on the test set", names(&self.best()), format!("{value} {unit}"));
        }
        if let ((first, Some(steps)), Some(target)) = (self.quickest(), self.target)
            && !first.is_empty()
        {
            let title = format!("First at {}", measure.with_unit(target.value));
            page = page.fact(title, names(&first), format!("{steps} steps, median"));
        }
        let seeds: Vec<String> = self.setup.seeds.iter().map(u64::to_string).collect();
        page = page.fact("Seeds", seeds.len().to_string(), seeds.join(", "));
        let seconds: f64 = self.runs().filter_map(|run| run.seconds).sum();
        let finished: usize = self.contenders.iter().map(|contender| contender.finished).sum();
        let failed = match self.failed() {
            0 => String::new(),
            failed => format!("{} failed, ", count(failed as u64)),
        };
        let of_all = format!("{finished} of {} finished", self.runs().count());
        page = page.fact("Runs", of_all, format!("{failed}{} of training", duration(seconds)));
        let TuningCost { steps, seconds, .. } = self.tuning_cost;
        if steps > 0 {
            page = page.fact("Choice of rates", format!("{} steps", count(steps)), duration(seconds));
        }
        page
    }

    /// The file of each.
    fn files(&self) -> Vec<(String, String)> {
        let config = ("CONFIG".to_owned(), self.setup.config.clone());
        let file = |contender: &Contender| {
            let from = match (&contender.file, &contender.variation) {
                (Some(file), _) => file.clone(),
                (None, Some(variation)) => format!("CONFIG with {variation}"),
                (None, None) => "CONFIG's own".to_owned(),
            };
            (contender.name.clone(), from)
        };
        [config].into_iter().chain(self.contenders.iter().map(file)).collect()
    }
}

/// The names of those that share a place.
fn names(contenders: &[&Contender]) -> String {
    contenders.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
}
