//! The tables of a study, on the page and in the terminal.

use report::page::{Table, decimal};

use crate::{contender::Contender, rate::Rate, result::Study, run::Run, spread::Spread};

const NONE: &str = "–";

/// `98.33 ± 0.21`, or the mean alone where no deviation is known.
fn mean_and_std(mean: f64, std: Option<f64>, digits: usize) -> String {
    match std {
        Some(std) => format!("{} ± {}", decimal(mean, digits), decimal(std, digits)),
        None => decimal(mean, digits),
    }
}

/// As [`mean_and_std`]; a dash where there are no values.
pub(crate) fn spread_text(spread: Option<&Spread>, digits: usize) -> String {
    spread.map_or_else(|| NONE.to_owned(), |spread| mean_and_std(spread.mean, spread.std, digits))
}

fn rate_text(rate: Option<&Rate>) -> String {
    match rate {
        Some(Rate { max_lr: Some(max_lr), .. }) => format!("max {}", lr_text(*max_lr)),
        Some(Rate { lr: Some(lr), .. }) => lr_text(*lr),
        _ => NONE.to_owned(),
    }
}

/// A rate as people write it, to four places.
fn lr_text(lr: f64) -> String {
    let rounded: f64 = format!("{lr:.3e}").parse().unwrap_or(lr);
    if (1e-3..1e3).contains(&rounded) { format!("{rounded}") } else { format!("{rounded:e}") }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| decimal(value, digits))
}

fn whole_number(value: Option<u64>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// The folders of what failed, and why.
fn failed<'r>(runs: impl Iterator<Item = (&'r String, &'r Option<String>)>) -> Vec<(String, String)> {
    runs.filter_map(|(folder, error)| Some((folder.clone(), error.clone()?))).collect()
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

impl Study {
    /// How good each is: one row per contender, the best first.
    pub(crate) fn results_table(&self) -> Table {
        let measure = &self.setup.measure;
        let (test, valid) = (measure.head(&format!("test {}", measure.name)), measure.head("best valid"));
        let mut head = texts([
            "contender",
            test.as_str(),
            "behind the first",
            "rate",
            "optimizer",
            "schedule",
            valid.as_str(),
            "final train loss",
            "runs finished",
        ]);
        if self.contenders.iter().all(|contender| contender.finished == contender.runs.len()) {
            head.pop();
        }
        let row = |contender: &Contender| {
            let behind = contender.behind_first.as_ref().map(|gap| mean_and_std(gap.mean, gap.std, measure.digits()));
            let mut cells = vec![
                contender.name.clone(),
                spread_text(contender.test.as_ref(), measure.digits()),
                behind.unwrap_or_default(),
                rate_text(contender.rate.as_ref()),
                contender.optimizer.clone(),
                contender.schedule.clone(),
                spread_text(contender.best_valid.as_ref(), measure.digits()),
                spread_text(contender.final_train_loss.as_ref(), 4),
                format!("{} of {}", contender.finished, contender.runs.len()),
            ];
            cells.truncate(head.len());
            cells
        };
        let rows: Vec<Vec<String>> = self.contenders.iter().map(row).collect();
        Table { head, rows, marked: self.marked(&self.best()), text_columns: vec![0, 4, 5] }
    }

    /// How fast each is, in the same order; the first at the target is marked.
    pub(crate) fn speeds_table(&self) -> Table {
        let Some(target) = self.target else { return Table::default() };
        let mut head = vec!["contender".to_owned(), format!("steps to {}", self.setup.measure.with_unit(target.value))];
        head.extend(texts(["seconds", "reached by", "items/s"]));
        let row = |contender: &Contender| {
            let time = contender.to_target.as_ref();
            vec![
                contender.name.clone(),
                number(time.and_then(|time| time.steps), 0),
                number(time.and_then(|time| time.seconds), 1),
                time.map_or_else(|| NONE.to_owned(), |time| format!("{} of {}", time.reached, time.of)),
                number(contender.items_per_second, 0),
            ]
        };
        Table {
            head,
            rows: self.contenders.iter().map(row).collect(),
            marked: self.marked(&self.quickest().0),
            text_columns: vec![0],
        }
    }

    /// The rows of these contenders, where there are others.
    fn marked(&self, these: &[&Contender]) -> Vec<usize> {
        let is_one = |one: &Contender| these.iter().any(|other| other.name == one.name);
        let rows = self.contenders.iter().enumerate().filter(|(_, one)| self.contenders.len() > 1 && is_one(one));
        rows.map(|(row, _)| row).collect()
    }

    /// The runs that failed, and why.
    pub(crate) fn failed_runs(&self) -> Vec<(String, String)> {
        failed(self.runs().map(|run| (&run.folder, &run.error)))
    }

    /// The same of the runs of the grids.
    pub(crate) fn failed_trials(&self) -> Vec<(String, String)> {
        let rates = self.contenders.iter().filter_map(|one| one.rate.as_ref());
        failed(rates.flat_map(|rate| &rate.trials).map(|trial| (&trial.folder, &trial.error)))
    }

    /// The runs of the grids; those of the chosen rates are marked.
    pub(crate) fn trials_table(&self) -> Table {
        let measure = &self.setup.measure;
        let valid = measure.head("best valid");
        let head = ["contender", "rate", "state", &valid, "lowest valid loss", "steps", "seconds", "folder"];
        let mut table = Table { head: texts(head), text_columns: vec![0, 2, 7], ..Table::default() };
        for contender in &self.contenders {
            for trial in contender.rate.iter().flat_map(|rate| &rate.trials) {
                if trial.chosen {
                    table.marked.push(table.rows.len());
                }
                table.rows.push(vec![
                    contender.name.clone(),
                    lr_text(trial.lr),
                    trial.state.to_string(),
                    number(trial.best_valid, measure.digits()),
                    number(trial.best_valid_loss, 4),
                    trial.steps.to_string(),
                    decimal(trial.seconds, 1),
                    trial.folder.clone(),
                ]);
            }
        }
        table
    }

    /// One row per run.
    pub(crate) fn runs_table(&self) -> Table {
        let measure = &self.setup.measure;
        let (test, valid) = (measure.head(&format!("test {}", measure.name)), measure.head("best valid"));
        let mut head = texts(["contender", "seed", "state", &test, "test loss", &valid, "at step"]);
        head.extend(self.target.map(|target| format!("steps to {}", self.setup.measure.with_unit(target.value))));
        head.extend(texts(["steps", "seconds", "folder"]));
        let last = head.len() - 1;
        let row = |contender: &Contender, run: &Run| {
            let mut cells = vec![
                contender.name.clone(),
                run.seed.to_string(),
                run.state.to_string(),
                number(run.test, measure.digits()),
                number(run.test_loss, 4),
                number(run.best_valid, measure.digits()),
                whole_number(run.best_step),
            ];
            cells.extend(self.target.map(|_| whole_number(run.target_step)));
            cells.extend([run.steps.to_string(), number(run.seconds, 1), run.folder.clone()]);
            cells
        };
        let rows =
            self.contenders.iter().flat_map(|contender| contender.runs.iter().map(move |run| row(contender, run)));
        Table { head, rows: rows.collect(), marked: Vec::new(), text_columns: vec![0, 2, last] }
    }

    /// What was said and had no effect.
    pub(crate) fn warnings_table(&self) -> Table {
        let rows = self.warnings.iter().map(|warning| vec![warning.clone()]).collect();
        Table { head: texts(["to be known"]), rows, marked: Vec::new(), text_columns: vec![0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread_text(spread(&[98.0, 99.0]).as_ref(), 2), "98.50 ± 0.71");
        assert_eq!(spread_text(spread(&[98.0]).as_ref(), 2), "98.00");
        assert_eq!(spread_text(None, 2), "–");
        for (lr, text) in
            [(0.1, "0.1"), (3.162_277e-2, "0.03162"), (1e-4, "1e-4"), (2.512_34e-5, "2.512e-5"), (1.0, "1")]
        {
            assert_eq!(lr_text(lr), text);
        }
    }
}
