//! Rates that are to be found: `"auto"` in the place of a number.
//!
//! | written | becomes, when the finder says `x` |
//! |---|---|
//! | `[optimizer] lr = "auto"` | `x` |
//! | `max_lr = "auto"` of a `cyclic` or `one_cycle` schedule, or none at all under `lr = "auto"` | `x` |
//! | `base_lr = "auto"` of such a `cyclic`, or none at all | `x / 4` |
//!
//! The foot of a cycle at a quarter of its top is L. N. Smith's rule (*Cyclical Learning Rates for Training Neural
//! Networks*, 2017, section 3.3: a third or a quarter); `one_cycle` starts at its own `max_lr / div_factor`. Schedules
//! inside others (`sequential`, `[[groups]]`) are looked into as well.

use strict_config::ConfigError;
use toml::{Table, Value};

/// What is written in the place of a rate.
pub const AUTO: &str = "auto";

/// The foot of a cycle, as a part of its top.
const FOOT: f64 = 0.25;

/// What stands in the place of the rate until it is found; only what a table must hold to be read.
const PLACEHOLDER: f64 = 1e-3;

/// The rates of a configuration that are to be found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AutoRates {
    /// Where each stands, and which part of the found rate it is.
    places: Vec<(Vec<Step>, f64)>,
    /// Schedules whose `max_lr` is a number although `[optimizer] lr` is to be found.
    kept: Vec<String>,
}

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Item(usize),
}

impl AutoRates {
    /// Finds the rates of a whole configuration's tables that are to be found, and puts a number in their place.
    pub(super) fn take(table: &mut Table) -> Self {
        let mut auto = Self::default();
        let lr = is_auto(table.get("optimizer").and_then(|optimizer| optimizer.get("lr")));
        if lr {
            auto.places.push((vec![Step::Field("optimizer".to_owned()), Step::Field("lr".to_owned())], 1.0));
        }
        for section in ["schedule", "groups"] {
            if let Some(value) = table.get(section) {
                auto.look_into(value, &mut vec![Step::Field(section.to_owned())], lr);
            }
        }
        auto.fill(table, PLACEHOLDER);
        auto
    }

    fn look_into(&mut self, value: &Value, path: &mut Vec<Step>, lr: bool) {
        if let Value::Table(table) = value {
            let kind = table.get("type").and_then(Value::as_str);
            if matches!(kind, Some("cyclic" | "one_cycle")) {
                let wanted = |field: &str, implied: bool| match table.get(field) {
                    None => implied,
                    found => is_auto(found),
                };
                let place = |field: &str| [&path[..], &[Step::Field(field.to_owned())]].concat();
                let top = wanted("max_lr", lr);
                if top {
                    self.places.push((place("max_lr"), 1.0));
                } else if lr {
                    self.kept.push(text_of(&place("max_lr")));
                }
                if top && kind == Some("cyclic") && wanted("base_lr", true) {
                    self.places.push((place("base_lr"), FOOT));
                }
            }
        }
        let children: Vec<(Step, &Value)> = match value {
            Value::Table(table) => table.iter().map(|(field, value)| (Step::Field(field.clone()), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, value)| (Step::Item(i), value)).collect(),
            _ => return,
        };
        for (step, child) in children {
            path.push(step);
            self.look_into(child, path, lr);
            path.pop();
        }
    }

    /// Where a found rate is to be written: where a configuration leaves its rates open, or, where it leaves none open,
    /// `[optimizer] lr` and the top and foot of a schedule that sets the rate itself.
    pub(super) fn to_apply(table: &Table) -> Self {
        let mut table = table.clone();
        let open = Self::take(&mut table);
        if !open.is_empty() {
            return open;
        }
        let auto = || Value::String(AUTO.to_owned());
        if let Some(Value::Table(optimizer)) = table.get_mut("optimizer") {
            optimizer.insert("lr".to_owned(), auto());
        }
        if let Some(Value::Table(schedule)) = table.get_mut("schedule") {
            // No other schedule looks at these.
            schedule.insert("max_lr".to_owned(), auto());
            schedule.insert("base_lr".to_owned(), auto());
        }
        Self::take(&mut table)
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The fields that the found rate goes into, and the value each gets.
    pub fn values(&self, lr: f64) -> Vec<(String, f64)> {
        self.places.iter().map(|(path, part)| (text_of(path), lr * part)).collect()
    }

    /// Fields of schedules that stay as they are although `[optimizer] lr` is to be found: these schedules set the rate
    /// themselves, so the found one has no effect where they are in force.
    pub fn kept(&self) -> &[String] {
        &self.kept
    }

    /// Puts the found rate into its places.
    pub(super) fn fill(&self, table: &mut Table, lr: f64) {
        self.put(table, |part| Value::Float(lr * part));
    }

    /// Puts `"auto"` back.
    pub(super) fn mark(&self, table: &mut Table) {
        self.put(table, |_| Value::String(AUTO.to_owned()));
    }

    fn put(&self, table: &mut Table, value: impl Fn(f64) -> Value) {
        for (path, part) in &self.places {
            let Some((Step::Field(last), way)) = path.split_last() else { continue };
            let Some((Step::Field(section), way)) = way.split_first() else { continue };
            let mut at = table.get_mut(section);
            for step in way {
                at = match (step, at) {
                    (Step::Field(field), Some(value)) => value.get_mut(field.as_str()),
                    (Step::Item(item), Some(value)) => value.get_mut(*item),
                    (_, None) => None,
                };
            }
            if let Some(Value::Table(table)) = at {
                table.insert(last.clone(), value(*part));
            }
        }
    }

    /// Refuses a configuration whose rates are not known, for a purpose that needs them.
    ///
    /// # Errors
    /// Names the first field that is to be found, and how to have it found.
    pub fn refuse(&self) -> Result<(), ConfigError> {
        match self.places.first() {
            None => Ok(()),
            Some((path, _)) => Err(ConfigError::conflict(
                text_of(path),
                "the rate is to be found (\"auto\") and not known yet; `anneal train` finds it first, and `anneal \
                 find-lr CONFIG --apply FILE` writes it into a copy of the file",
            )),
        }
    }
}

fn is_auto(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str) == Some(AUTO)
}

/// `groups[1].schedule.max_lr`.
fn text_of(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(field) if text.is_empty() => field.clone(),
        Step::Field(field) => format!("{text}.{field}"),
        Step::Item(item) => format!("{text}[{item}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (AutoRates, Table) {
        let mut table: Table = text.parse().expect("TOML");
        (AutoRates::take(&mut table), table)
    }

    /// Name, text, the fields that a found rate of 1 fills.
    type Case<'a> = (&'a str, String, &'a [(&'a str, f64)]);

    #[test]
    fn what_is_found_and_where_it_goes() {
        let lr = "[optimizer]\ntype = 'sgd'\nlr = 'auto'\n";
        let number = "[optimizer]\ntype = 'sgd'\nlr = 0.1\n";
        let cases: [Case<'_>; 9] = [
            ("a number", number.to_owned(), &[]),
            ("the base rate", lr.to_owned(), &[("optimizer.lr", 1.0)]),
            ("with a cosine", format!("{lr}[schedule]\ntype = 'cosine_annealing'"), &[("optimizer.lr", 1.0)]),
            (
                "one-cycle's top",
                format!("{number}[schedule]\ntype = 'one_cycle'\nmax_lr = 'auto'"),
                &[("schedule.max_lr", 1.0)],
            ),
            (
                "one-cycle without a top under an automatic base rate",
                format!("{lr}[schedule]\ntype = 'one_cycle'"),
                &[("optimizer.lr", 1.0), ("schedule.max_lr", 1.0)],
            ),
            (
                "cyclic's top and foot",
                format!("{number}[schedule]\ntype = 'cyclic'\nmax_lr = 'auto'"),
                &[("schedule.max_lr", 1.0), ("schedule.base_lr", 0.25)],
            ),
            (
                "a foot that is a number stays",
                format!("{number}[schedule]\ntype = 'cyclic'\nmax_lr = 'auto'\nbase_lr = 1e-4"),
                &[("schedule.max_lr", 1.0)],
            ),
            (
                "a top that is a number stays",
                format!("{lr}[schedule]\ntype = 'one_cycle'\nmax_lr = 0.3"),
                &[("optimizer.lr", 1.0)],
            ),
            (
                "inside others",
                format!(
                    "{number}[schedule]\ntype = 'sequential'\nmilestones = [5]\n[[schedule.schedules]]\ntype = 'fixed'\n\
                     [[schedule.schedules]]\ntype = 'one_cycle'\nmax_lr = 'auto'\n[[groups]]\nparams = 'a'\n\
                     [groups.schedule]\ntype = 'cyclic'\nmax_lr = 'auto'\nbase_lr = 'auto'"
                ),
                &[
                    ("schedule.schedules[1].max_lr", 1.0),
                    ("groups[0].schedule.max_lr", 1.0),
                    ("groups[0].schedule.base_lr", 0.25),
                ],
            ),
        ];
        for (name, text, expected) in cases {
            let (auto, mut table) = taken(&text);
            let expected: Vec<(String, f64)> = expected.iter().map(|(field, lr)| ((*field).to_owned(), *lr)).collect();
            assert_eq!(auto.values(1.0), expected, "{name}");
            assert_eq!((auto.is_empty(), auto.refuse().is_ok()), (expected.is_empty(), expected.is_empty()), "{name}");
            assert!(!table.to_string().contains(AUTO), "{name}: a number stands in its place");
            auto.mark(&mut table);
            assert_eq!(table.to_string().matches(AUTO).count(), expected.len(), "{name}");
        }
    }

    #[test]
    fn a_top_that_stays_is_told() {
        let (auto, _) = taken("[optimizer]\nlr = 'auto'\n[schedule]\ntype = 'cyclic'\nmax_lr = 0.3\nbase_lr = 0.1");
        assert_eq!(auto.kept(), ["schedule.max_lr"]);
    }
}
