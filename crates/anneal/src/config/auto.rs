//! Rates that are to be found: `"auto"` in the place of a number.
//!
//! | written | becomes, when the finder says `x` |
//! |---|---|
//! | `[optimizer] lr = "auto"` | `x` |
//! | the highest rate that a schedule sets itself: `"auto"`, or left out under `lr = "auto"` | `x` |
//! | another rate of such a schedule: `"auto"`, or left out | its part of `x` |
//!
//! The highest rate is `max_lr` of a `cyclic` or `one_cycle`, `peak_value` of most `optax/...`; the `base_lr` of a `cyclic`
//! becomes a quarter of it. Which fields those are, and which part each is, a strategy says itself ([`lr_core::Strategy::RATES`]). Schedules inside
//! others (`sequential`, `[[groups]]`) count as well.

use lr_core::Registry;
use strict_config::ConfigError;
use toml::{Table, Value};

/// What is written in the place of a rate.
pub const AUTO: &str = "auto";

/// The rates of a configuration that are to be found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AutoRates {
    /// Where each stands, and which part of the found rate it is.
    places: Vec<(Vec<Step>, f64)>,
    /// Rates that schedules set themselves and that are numbers although `[optimizer] lr` is to be found.
    kept: Vec<String>,
}

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Item(usize),
}

impl AutoRates {
    /// Finds the rates of a whole configuration's tables that are to be found, and puts the rate that the sweep begins
    /// at, `start_lr`, in their place.
    pub(super) fn take(table: &mut Table, start_lr: f64, registry: &Registry) -> Self {
        let auto = Self::find(table, registry);
        auto.fill(table, start_lr);
        auto
    }

    fn find(table: &Table, registry: &Registry) -> Self {
        let mut auto = Self::default();
        let lr = is_auto(table.get("optimizer").and_then(|optimizer| optimizer.get("lr")));
        if lr {
            auto.places.push((vec![Step::Field("optimizer".to_owned()), Step::Field("lr".to_owned())], 1.0));
        }
        for section in ["schedule", "groups"] {
            if let Some(value) = table.get(section) {
                auto.look_into(value, &mut vec![Step::Field(section.to_owned())], lr, registry);
            }
        }
        auto
    }

    fn look_into(&mut self, value: &Value, path: &mut Vec<Step>, lr: bool, registry: &Registry) {
        if let Value::Table(table) = value
            && let Some(((highest, part), others)) = rates(table, registry).split_first()
        {
            let wanted = |field: &str, implied: bool| match table.get(field) {
                None => implied,
                found => is_auto(found),
            };
            let place = |field: &str| [&path[..], &[Step::Field(field.to_owned())]].concat();
            if wanted(highest, lr) {
                self.places.push((place(highest), *part));
                let others = others.iter().filter(|(field, _)| wanted(field, true));
                self.places.extend(others.map(|(field, part)| (place(field), *part)));
            } else if lr {
                self.kept.push(text_of(&place(highest)));
            }
        }
        let children: Vec<(Step, &Value)> = match value {
            Value::Table(table) => table.iter().map(|(field, value)| (Step::Field(field.clone()), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, value)| (Step::Item(i), value)).collect(),
            _ => return,
        };
        for (step, child) in children {
            path.push(step);
            self.look_into(child, path, lr, registry);
            path.pop();
        }
    }

    /// Where a found rate is to be written: where a configuration leaves its rates open, or, where it leaves none open,
    /// `[optimizer] lr` and the rates that the schedule sets itself.
    pub(super) fn to_apply(table: &Table, registry: &Registry) -> Self {
        let mut table = table.clone();
        let open = Self::find(&table, registry);
        if !open.is_empty() {
            return open;
        }
        let auto = || Value::String(AUTO.to_owned());
        if let Some(Value::Table(optimizer)) = table.get_mut("optimizer") {
            optimizer.insert("lr".to_owned(), auto());
        }
        if let Some(Value::Table(schedule)) = table.get_mut("schedule") {
            for (field, _) in rates(schedule, registry) {
                schedule.insert((*field).to_owned(), auto());
            }
        }
        Self::find(&table, registry)
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

/// The fields of a schedule's table that hold a rate which it sets itself; none of any other table.
fn rates(table: &Table, registry: &Registry) -> &'static [(&'static str, f64)] {
    let name = table.get("type").and_then(Value::as_str);
    name.and_then(|name| registry.get(name)).map_or(&[], lr_core::Entry::rates)
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
        (AutoRates::take(&mut table, 1e-7, &Registry::standard()), table)
    }

    /// Name, text, the fields that a found rate of 1 fills.
    type Case<'a> = (&'a str, String, &'a [(&'a str, f64)]);

    #[test]
    fn what_is_found_and_where_it_goes() {
        let lr = "[optimizer]\ntype = 'sgd'\nlr = 'auto'\n";
        let number = "[optimizer]\ntype = 'sgd'\nlr = 0.1\n";
        let cases: [Case<'_>; 11] = [
            ("a number", number.to_owned(), &[]),
            (
                "a ported one-cycle's top",
                format!("{lr}[schedule]\ntype = 'optax/cosine_onecycle_schedule'\ntransition_steps = 10"),
                &[("optimizer.lr", 1.0), ("schedule.peak_value", 1.0)],
            ),
            (
                "a ported warm-up's top",
                format!("{number}[schedule]\ntype = 'optax/warmup_cosine_decay_schedule'\npeak_value = 'auto'"),
                &[("schedule.peak_value", 1.0)],
            ),
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
