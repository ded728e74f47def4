//! Rates that are to be found: `"auto"` in the place of a number.
//!
//! | written | becomes, when the finder says `x` |
//! |---|---|
//! | `[optimizer] lr = "auto"` | `x` |
//! | the highest rate that a schedule sets itself: `"auto"`, or left out under `lr = "auto"` | `x` |
//! | another rate of such a schedule: `"auto"`, or left out | its part of `x` |
//! | under `lr = "auto"`, the highest rate of `[schedule]`, a number | `x`; where its parts have several, in proportion |
//! | under `lr = "auto"`, that of a group's schedule, a number | stays |
//!
//! So a found rate is the rate that is trained at, whatever the schedule. `find-lr --apply` on a configuration that leaves
//! nothing open does what `lr = "auto"` would.
//!
//! The highest rate is `max_lr` of a `cyclic` or `one_cycle`, `peak_value` of most `optax/...`; the `base_lr` of a `cyclic`
//! becomes a quarter of it. Which fields those are, and which part each is, a strategy says itself ([`lr_core::Strategy::RATES`]). Schedules inside
//! others (`sequential`, `[[groups]]`) count as well.

use lr_core::Registry;
use strict_config::{ConfigError, Problem, did_you_mean, nearest};
use toml::{Table, Value};

/// What is written in the place of a rate.
pub(super) const AUTO: &str = "auto";

/// The rates of a configuration that are to be found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AutoRates {
    places: Vec<Place>,
    /// Rates that schedules of groups set themselves: numbers, which stay although `[optimizer] lr` is to be found.
    kept: Vec<(String, f64)>,
}

/// Where a found rate goes.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    path: Vec<PathPart>,
    /// Which part of the found rate it gets.
    part: f64,
    /// The number that it replaces.
    was: Option<f64>,
}

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq)]
enum PathPart {
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
            let path = vec![PathPart::Field("optimizer".to_owned()), PathPart::Field("lr".to_owned())];
            auto.places.push(Place { path, part: 1.0, was: None });
        }
        for section in ["schedule", "groups"] {
            let Some(value) = table.get(section) else { continue };
            // Where one of the schedule's peaks is "auto", the numbers beside it are meant.
            let peaks = peaks(value, registry);
            let top = peaks.iter().filter_map(|peak| number(*peak)).fold(0.0, f64::max);
            let replaces = lr && section == "schedule" && top > 0.0 && !peaks.iter().any(|peak| is_auto(*peak));
            let search = Search { lr, top: replaces.then_some(top), registry };
            auto.look_into(value, &mut vec![PathPart::Field(section.to_owned())], &search);
        }
        auto
    }

    /// Counts groups as the configuration does: a table that lists layers is several.
    pub(super) fn spread(&mut self, groups_of: impl Fn(usize) -> Vec<usize>) {
        let places = std::mem::take(&mut self.places).into_iter().flat_map(|place| {
            let table = match place.path.as_slice() {
                [PathPart::Field(section), PathPart::Item(table), ..] if section == "groups" => Some(*table),
                _ => None,
            };
            match table {
                None => vec![place],
                Some(table) => {
                    let of_group = |group| {
                        let mut place = place.clone();
                        place.path[1] = PathPart::Item(group);
                        place
                    };
                    groups_of(table).into_iter().map(of_group).collect()
                }
            }
        });
        self.places = places.collect();
    }

    /// The groups whose schedules have a rate that is to be found.
    pub(crate) fn groups(&self) -> Vec<usize> {
        let group = |place: &Place| match place.path.as_slice() {
            [PathPart::Field(section), PathPart::Item(group), ..] if section == "groups" => Some(*group),
            _ => None,
        };
        self.places.iter().filter_map(group).collect()
    }

    fn look_into(&mut self, value: &Value, path: &mut Vec<PathPart>, search: &Search<'_>) {
        if let Value::Table(table) = value
            && let Some(((highest, _), others)) = rates(table, search.registry).split_first()
        {
            let place = |field: &str, part: f64| Place {
                path: [&path[..], &[PathPart::Field(field.to_owned())]].concat(),
                part,
                was: number(table.get(field)),
            };
            let is_open = |field: &str, implied: bool| table.get(field).map_or(implied, |found| is_auto(Some(found)));
            match (number(table.get(*highest)), search.top) {
                (Some(peak), Some(top)) => {
                    let all = std::iter::once((*highest, 1.0)).chain(others.iter().copied());
                    self.places.extend(all.map(|(field, part)| place(field, part * (peak / top))));
                }
                (Some(peak), None) if search.lr => self.kept.push((text_of(&place(highest, 1.0).path), peak)),
                _ if is_open(highest, search.lr) => {
                    self.places.push(place(highest, 1.0));
                    let others = others.iter().filter(|(field, _)| is_open(field, true));
                    self.places.extend(others.map(|(field, part)| place(field, *part)));
                }
                _ => {}
            }
        }
        for (step, child) in children(value) {
            path.push(step);
            self.look_into(child, path, search);
            path.pop();
        }
    }

    /// Where a found rate is to be written: where a configuration leaves its rates open, or, where it leaves none open, as if
    /// `[optimizer] lr` were.
    pub(super) fn to_apply(table: &Table, registry: &Registry) -> Self {
        let open = Self::find(table, registry);
        if !open.is_empty() {
            return open;
        }
        let mut table = table.clone();
        if let Some(Value::Table(optimizer)) = table.get_mut("optimizer") {
            optimizer.insert("lr".to_owned(), Value::String(AUTO.to_owned()));
        }
        Self::find(&table, registry)
    }

    /// Every rate that is a number, so many times as large: what is filled with a rate of 1.
    pub(super) fn scaled(table: &Table, factor: f64, registry: &Registry) -> Self {
        fn look(value: &Value, path: &[PathPart], factor: f64, registry: &Registry, places: &mut Vec<Place>) {
            if let Value::Table(table) = value {
                let is_optimizer = path == [PathPart::Field("optimizer".to_owned())];
                let own = rates(table, registry).iter().map(|(field, _)| *field);
                for field in own.chain(is_optimizer.then_some("lr")) {
                    if let Some(was) = number(table.get(field)) {
                        let path = [path, &[PathPart::Field(field.to_owned())]].concat();
                        places.push(Place { path, part: was * factor, was: Some(was) });
                    }
                }
            }
            for (step, child) in children(value) {
                look(child, &[path, &[step]].concat(), factor, registry, places);
            }
        }
        let mut scaled = Self::default();
        for section in ["optimizer", "schedule", "groups"] {
            if let Some(value) = table.get(section) {
                look(value, &[PathPart::Field(section.to_owned())], factor, registry, &mut scaled.places);
            }
        }
        scaled
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The fields that the found rate goes into, and the value each gets.
    pub fn values(&self, lr: f64) -> Vec<(String, f64)> {
        self.places.iter().map(|place| (text_of(&place.path), lr * place.part)).collect()
    }

    /// Where the found rate goes, for a person: `optimizer.lr = 2.000e-2, schedule.max_lr = 2.000e-2 (was 3.000e-1)`.
    pub fn describe(&self, lr: f64) -> String {
        let set = self.places.iter().map(|place| {
            let was = place.was.map_or_else(String::new, |was| format!(" (was {was:.3e})"));
            format!("{} = {:.3e}{was}", text_of(&place.path), lr * place.part)
        });
        let kept = self.kept.iter().map(|(field, lr)| format!("{field} stays at {lr:.3e}"));
        set.chain(kept).collect::<Vec<_>>().join(", ")
    }

    /// Puts the found rate into its places.
    pub(super) fn fill(&self, table: &mut Table, lr: f64) {
        self.put(table, |place| Value::Float(lr * place.part));
    }

    /// Puts back what stood there: `"auto"`, or the number that a found rate replaces.
    pub(super) fn mark(&self, table: &mut Table) {
        self.put(table, |place| place.was.map_or_else(|| Value::String(AUTO.to_owned()), Value::Float));
    }

    fn put(&self, table: &mut Table, value: impl Fn(&Place) -> Value) {
        for place in &self.places {
            let Some((PathPart::Field(last), way)) = place.path.split_last() else { continue };
            let Some((PathPart::Field(section), way)) = way.split_first() else { continue };
            let mut at = table.get_mut(section);
            for step in way {
                at = match (step, at) {
                    (PathPart::Field(field), Some(value)) => value.get_mut(field.as_str()),
                    (PathPart::Item(item), Some(value)) => value.get_mut(*item),
                    (_, None) => None,
                };
            }
            if let Some(Value::Table(table)) = at {
                table.insert(last.clone(), value(place));
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
            Some(place) => Err(ConfigError::conflict(
                text_of(&place.path),
                "the rate is to be found (\"auto\") and not known yet; `anneal train` finds it first, and `anneal \
                 find-lr CONFIG --apply FILE` writes it into a copy of the file",
            )),
        }
    }
}

/// The error with a word on `"auto"`, where that was most likely meant in the place of a rate that can be found.
pub(super) fn or_auto(mut error: ConfigError, table: &Table, registry: &Registry) -> ConfigError {
    if let Problem::WrongType { found, .. } = &mut error.problem
        && to_be_found(table, registry).contains(&error.path)
    {
        found.push_str(&did_you_mean(nearest(found.trim_matches('"'), [AUTO])));
    }
    error
}

/// The fields of a configuration that take `"auto"`.
fn to_be_found(table: &Table, registry: &Registry) -> Vec<String> {
    fn look(value: &Value, path: &[PathPart], registry: &Registry, fields: &mut Vec<String>) {
        if let Value::Table(table) = value {
            for (field, _) in rates(table, registry) {
                fields.push(text_of(&[path, &[PathPart::Field((*field).to_owned())]].concat()));
            }
        }
        for (step, child) in children(value) {
            look(child, &[path, &[step]].concat(), registry, fields);
        }
    }
    let mut fields = vec!["optimizer.lr".to_owned()];
    for section in ["schedule", "groups"] {
        if let Some(value) = table.get(section) {
            look(value, &[PathPart::Field(section.to_owned())], registry, &mut fields);
        }
    }
    fields
}

/// The fields of a schedule's table that hold a rate which it sets itself; none of any other table.
fn rates(table: &Table, registry: &Registry) -> &'static [(&'static str, f64)] {
    let name = table.get("type").and_then(Value::as_str);
    name.and_then(|name| registry.get(name)).map_or(&[], lr_core::StrategyInfo::rates)
}

/// What is known while schedules are search into.
struct Search<'a> {
    /// Whether `[optimizer] lr` is to be found.
    lr: bool,
    /// The highest of the numbers that the found rate replaces, where it replaces them.
    top: Option<f64>,
    registry: &'a Registry,
}

/// The table or number that holds the highest rate of each schedule that sets its rate itself.
fn peaks<'v>(value: &'v Value, registry: &Registry) -> Vec<Option<&'v Value>> {
    let own = value.as_table().and_then(|table| Some(table.get(rates(table, registry).first()?.0)));
    own.into_iter().chain(children(value).flat_map(|(_, child)| peaks(child, registry))).collect()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = (PathPart, &Value)> + '_> {
    match value {
        Value::Table(table) => Box::new(table.iter().map(|(field, value)| (PathPart::Field(field.clone()), value))),
        Value::Array(items) => Box::new(items.iter().enumerate().map(|(i, value)| (PathPart::Item(i), value))),
        _ => Box::new(std::iter::empty()),
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(|value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64)))
}

fn is_auto(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str) == Some(AUTO)
}

/// `groups[1].schedule.max_lr`.
fn text_of(path: &[PathPart]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        PathPart::Field(field) if text.is_empty() => field.clone(),
        PathPart::Field(field) => format!("{text}.{field}"),
        PathPart::Item(item) => format!("{text}[{item}]"),
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
        let cases: [Case<'_>; 14] = [
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
                "under an automatic base rate a top that is a number is found too",
                format!("{lr}[schedule]\ntype = 'one_cycle'\nmax_lr = 0.3"),
                &[("optimizer.lr", 1.0), ("schedule.max_lr", 1.0)],
            ),
            (
                "with its foot",
                format!("{lr}[schedule]\ntype = 'cyclic'\nmax_lr = 0.4\nbase_lr = 0.3"),
                &[("optimizer.lr", 1.0), ("schedule.max_lr", 1.0), ("schedule.base_lr", 0.25)],
            ),
            (
                "several tops keep their proportion",
                format!(
                    "{lr}[schedule]\ntype = 'sequential'\nmilestones = [5]\n[[schedule.schedules]]\ntype = 'one_cycle'\n\
                     max_lr = 4\n[[schedule.schedules]]\ntype = 'one_cycle'\nmax_lr = 0.5"
                ),
                &[
                    ("optimizer.lr", 1.0),
                    ("schedule.schedules[0].max_lr", 1.0),
                    ("schedule.schedules[1].max_lr", 0.125),
                ],
            ),
            (
                "beside one that is to be found a number stays",
                format!(
                    "{lr}[schedule]\ntype = 'sequential'\nmilestones = [5]\n[[schedule.schedules]]\ntype = 'one_cycle'\n\
                     max_lr = 'auto'\n[[schedule.schedules]]\ntype = 'one_cycle'\nmax_lr = 0.5"
                ),
                &[("optimizer.lr", 1.0), ("schedule.schedules[0].max_lr", 1.0)],
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
            assert_eq!(AutoRates::find(&table, &Registry::standard()), auto, "{name}: as it was");
        }
    }

    #[test]
    fn auto_is_offered_where_it_can_be_written() {
        let text = "[optimizer]\nlr = 1\n[schedule]\ntype = 'cyclic'\nmax_lr = 1\n\
                    [[groups]]\nparams = 'a'\nlr_scale = 1\nschedule = { type = 'one_cycle', max_lr = 1 }";
        let table: Table = text.parse().expect("TOML");
        for (path, expected) in [
            ("optimizer.lr", true),
            ("schedule.base_lr", true),
            ("schedule.max_lr", true),
            ("groups[0].schedule.max_lr", true),
            ("groups[0].lr_scale", false),
            ("groups[0].lr", false),
            ("schedule.min_lr", false),
        ] {
            let error = ConfigError::wrong_type(path, "a number", &Value::String("autoo".to_owned()));
            let told = or_auto(error, &table, &Registry::standard()).to_string();
            assert_eq!(told.contains("did you mean `auto`?"), expected, "{told}");
        }
    }

    #[test]
    fn every_rate_is_scaled() {
        let mut table: Table = "[optimizer]\ntype = 'sgd'\nlr = 0.5\nmomentum = 0.9\n\
                                [schedule]\ntype = 'cyclic'\nbase_lr = 0.125\nmax_lr = 1\n\
                                [[groups]]\nparams = 'a'\nlr_scale = 0.1\n\
                                schedule = { type = 'cosine_annealing', eta_min = 1e-3 }\n\
                                [[groups]]\nparams = 'b'\nschedule = { type = 'one_cycle', max_lr = 0.25 }"
            .parse()
            .expect("TOML");
        let registry = Registry::standard();
        let scaled = AutoRates::scaled(&table, 4.0, &registry);
        let expected = "optimizer.lr = 2.000e0 (was 5.000e-1), schedule.max_lr = 4.000e0 (was 1.000e0), \
                        schedule.base_lr = 5.000e-1 (was 1.250e-1), \
                        groups[1].schedule.max_lr = 1.000e0 (was 2.500e-1)";
        assert_eq!(scaled.describe(1.0), expected);
        scaled.fill(&mut table, 1.0);
        assert_eq!(AutoRates::scaled(&table, 0.25, &registry).describe(1.0), {
            "optimizer.lr = 5.000e-1 (was 2.000e0), schedule.max_lr = 1.000e0 (was 4.000e0), \
             schedule.base_lr = 1.250e-1 (was 5.000e-1), groups[1].schedule.max_lr = 2.500e-1 (was 1.000e0)"
        });
    }

    #[test]
    fn where_a_rate_goes_is_told() {
        let (auto, _) = taken("[optimizer]\nlr = 'auto'\n[schedule]\ntype = 'cyclic'\nmax_lr = 0.3\nbase_lr = 0.1");
        let expected = "optimizer.lr = 2.000e-2, schedule.max_lr = 2.000e-2 (was 3.000e-1), schedule.base_lr = 5.000e-3 (was 1.000e-1)";
        assert_eq!(auto.describe(0.02), expected);
        let (auto, _) =
            taken("[optimizer]\nlr = 'auto'\n[[groups]]\nparams = 'a'\nschedule = { type = 'one_cycle', max_lr = 1 }");
        assert_eq!(auto.describe(0.02), "optimizer.lr = 2.000e-2, groups[0].schedule.max_lr stays at 1.000e0");
    }
}
