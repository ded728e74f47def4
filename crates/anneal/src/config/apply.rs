//! A rate written into a configuration: into its tables, and into a copy of its text with all comments kept.

use lr_core::Registry;
use strict_config::ConfigError;
use toml::{Table, Value};
use toml_edit::{DocumentMut, InlineTable, Item, RawString, TableLike};

use super::{AutoRates, Config, Document};

impl Config {
    /// The same at this rate. It goes where `"auto"` stands; where nothing is left open, as if `[optimizer] lr` were
    /// ([`AutoRates`]).
    ///
    /// # Errors
    /// A rate that the optimizer or a schedule refuses.
    pub fn at_rate(&self, lr: f64) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        AutoRates::to_apply(&table, &self.catalog.schedules).fill(&mut table, lr);
        Self::from_table(&table, &self.catalog)
    }

    /// The same with every rate `factor` times as large, `[optimizer] lr` and those that schedules set themselves, and
    /// which those are. Floors (`eta_min`, `min_lr`) and a group's `lr_scale` stay.
    ///
    /// # Errors
    /// A rate that is to be found; one that the optimizer or a schedule refuses.
    pub(crate) fn with_scaled_rates(&self, factor: f64) -> Result<(Self, String), ConfigError> {
        self.auto.refuse()?;
        let mut table = self.to_table();
        let scaled = AutoRates::scaled(&table, factor, &self.catalog.schedules);
        scaled.fill(&mut table, 1.0);
        let mut config = Self::from_table(&table, &self.catalog)?;
        config.source.clone_from(&self.source);
        Ok((config, scaled.describe(1.0)))
    }

    /// The same with `[optimizer] lr = "auto"`, unless it leaves a rate open already.
    ///
    /// # Errors
    /// None in practice: the tables come from a configuration that was read before.
    pub fn with_open_rates(&self) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        AutoRates::to_apply(&table, &self.catalog.schedules).mark(&mut table);
        Self::from_table(&table, &self.catalog)
    }
}

impl Document {
    /// The text with the found rate in its place, and what that place is.
    ///
    /// The rate goes where `"auto"` stands; where nothing is left open, as if `[optimizer] lr` were ([`AutoRates`]). What
    /// `--set` changed is written as well, so that the copy is what was swept. Comments, order and the way that a table is written (under a
    /// header, on one line, by dotted keys) stay.
    ///
    /// # Errors
    /// A text that cannot be parsed.
    pub fn with_rate(&self, lr: f64, registry: &Registry) -> Result<(String, AutoRates), ConfigError> {
        let mut text: DocumentMut =
            self.text().parse().map_err(|error: toml_edit::TomlError| ConfigError::conflict("", error.message()))?;
        for key in self.overrides() {
            let path: Vec<&str> = key.split('.').map(str::trim).collect();
            let Some((field, way)) = path.split_last() else { continue };
            let section = way.iter().try_fold(&self.table, |table, part| table.get(*part)?.as_table());
            let Some((section, value)) = section.and_then(|section| Some((section, section.get(*field)?))) else {
                continue;
            };
            put(text.as_item_mut(), &path, value);
            if *field == "type" {
                retain(text.as_item_mut(), way, section);
            }
        }
        let places = AutoRates::to_apply(&self.table, registry);
        for (field, value) in places.values(lr) {
            let path: Vec<&str> = field.split(['.', '[']).map(|part| part.trim_end_matches(']')).collect();
            put(text.as_item_mut(), &path, &Value::Float(value));
        }
        Ok((with_ends_of(self.text(), text.to_string()), places))
    }
}

/// The text with the line ends of the file that it comes from, where those are all Windows'.
fn with_ends_of(file: &str, text: String) -> String {
    let is_windows = file.contains("\r\n") && !file.replace("\r\n", "").contains('\n');
    if is_windows { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text }
}

/// A text with the settings of another: comments, order and the way that tables are written stay, and what has the same
/// value stays as it is written. `None` where the text is not TOML, or cannot be changed so.
pub(crate) fn with_settings(text: &str, other: &str) -> Option<String> {
    let (from, to): (Table, Table) = (text.parse().ok()?, other.parse().ok()?);
    let mut document: DocumentMut = text.parse().ok()?;
    settle(document.as_item_mut(), &from, &to);
    let changed = document.to_string();
    (changed.parse::<Table>().ok()? == to).then_some(changed)
}

/// Makes the settings of a table those of another.
fn settle(item: &mut Item, from: &Table, to: &Table) {
    if let Some(table) = item.as_table_like_mut() {
        for gone in from.keys().filter(|field| !to.contains_key(*field)) {
            table.remove(gone);
        }
    }
    let none = Table::new();
    for (field, value) in to {
        match (from.get(field), value) {
            (Some(old), new) if old == new => {}
            (old, Value::Table(new)) => {
                if old.is_none() {
                    add_section(item, field, false);
                }
                if let Some(inner) = child(item, field) {
                    settle(inner, old.and_then(Value::as_table).unwrap_or(&none), new);
                }
            }
            _ => set(item, field, value),
        }
    }
}

/// The item with this name, or with this number in an array.
fn child<'i>(item: &'i mut Item, part: &str) -> Option<&'i mut Item> {
    match part.parse::<usize>() {
        Ok(number) if item.is_array() || item.is_array_of_tables() => item.get_mut(number),
        // Indexing an item by a name would add what is not there.
        _ => item.as_table_like_mut()?.get_mut(part),
    }
}

/// Sets a field; a field or a section that is missing is added.
fn put(item: &mut Item, path: &[&str], value: &Value) {
    match path {
        [] => {}
        [field] => set(item, field, value),
        [section, rest @ ..] => {
            if child(item, section).is_none() {
                add_section(item, section, rest.len() > 1);
            }
            if let Some(inner) = child(item, section) {
                put(inner, rest, value);
            }
        }
    }
}

/// Adds an empty table: under its own header, or on the line of the table that it is in. `is_way`: the value to be set
/// is deeper, so that no header is needed.
fn add_section(item: &mut Item, name: &str, is_way: bool) {
    match item {
        Item::Value(toml_edit::Value::InlineTable(table)) => append(table, name, InlineTable::new().into()),
        other => {
            let mut table = toml_edit::Table::new();
            table.set_implicit(is_way);
            if let Some(parent) = other.as_table_like_mut() {
                parent.insert(name, Item::Table(table));
            }
        }
    }
}

/// Sets a field of a table; what stands around an old value stays there.
fn set(item: &mut Item, field: &str, value: &Value) {
    // A value's text always reads back as one.
    let Ok(mut value) = value.to_string().parse::<toml_edit::Value>() else { return };
    if let Some(Item::Value(old)) = child(item, field) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else if let Item::Value(toml_edit::Value::InlineTable(table)) = item {
        append(table, field, value);
    } else if let Some(table) = item.as_table_like_mut() {
        table.insert(field, Item::Value(value));
    }
}

/// Adds a field at the end of a table on one line; the space before its closing brace stays there.
fn append(table: &mut InlineTable, field: &str, mut value: toml_edit::Value) {
    let end = take_end(table);
    value.decor_mut().set_prefix(" ");
    value.decor_mut().set_suffix(end.unwrap_or_else(|| " ".into()));
    table.insert(field, value);
}

/// What stands between the last value and the closing brace, taken away.
fn take_end(table: &mut InlineTable) -> Option<RawString> {
    let (_, last) = table.iter_mut().last()?;
    let end = last.decor().suffix().cloned();
    last.decor_mut().set_suffix("");
    end
}

/// Drops the fields of a table that `kept` no longer has: a changed type has dropped those of the old one.
fn retain(item: &mut Item, way: &[&str], kept: &Table) {
    let Some(item) = way.iter().try_fold(item, |item, part| child(item, part)) else { return };
    let drop_from = |table: &mut dyn TableLike| {
        let dropped: Vec<String> =
            table.iter().map(|(name, _)| name.to_owned()).filter(|name| !kept.contains_key(name)).collect();
        for name in dropped {
            table.remove(&name);
        }
    };
    match item {
        Item::Value(toml_edit::Value::InlineTable(table)) => {
            let end = take_end(table);
            drop_from(table);
            if let (Some(end), Some((_, last))) = (end, table.iter_mut().last()) {
                last.decor_mut().set_suffix(end);
            }
        }
        other => {
            if let Some(table) = other.as_table_like_mut() {
                drop_from(table);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn applied(text: &str, set: &[&str]) -> (String, Vec<(String, f64)>) {
        let mut document = Document::parse(Origin::BuiltIn("test"), text).expect("good text");
        document.set(&set.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>()).expect("good settings");
        let (text, places) = document.with_rate(0.02, &Registry::standard()).expect("edited");
        (text, places.values(0.02))
    }

    const TEXT: &str = "# A run.\n[optimizer]   # its rate\ntype = \"sgd\"\nlr = 0.1  # a guess\n\n[schedule]\ntype = \"step\"\nstep_size = 3 # epochs\n";

    #[test]
    fn comments_stay_and_only_the_rate_changes() {
        let (text, places) = applied(TEXT, &[]);
        assert_eq!(text, TEXT.replace("lr = 0.1  #", "lr = 0.02  #"));
        assert_eq!(places, [("optimizer.lr".to_owned(), 0.02)]);
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        let windows = TEXT.replace('\n', "\r\n");
        let (text, _) = applied(&windows, &["train.steps=7"]);
        let expected = format!("{TEXT}\n[train]\nsteps = 7\n").replace("lr = 0.1 ", "lr = 0.02 ").replace('\n', "\r\n");
        assert_eq!(text, expected);
        assert!(!applied(TEXT, &["train.steps=7"]).0.contains('\r'));
    }

    #[test]
    fn a_schedule_that_sets_the_rate_itself_gets_it() {
        let one_cycle = TEXT.replace("\"step\"\nstep_size = 3 #", "\"one_cycle\"\nmax_lr = 0.3 #");
        let (text, places) = applied(&one_cycle, &[]);
        assert!(text.contains("max_lr = 0.02 # epochs"), "{text}");
        assert_eq!(places.len(), 2);
        let ported =
            TEXT.replace("\"step\"\nstep_size = 3 #", "\"optax/cosine_onecycle_schedule\"\npeak_value = 0.3 #");
        assert!(applied(&ported, &[]).0.contains("peak_value = 0.02 # epochs"));
        let cyclic = "[optimizer]\ntype = 'sgd'\nlr = 1\n[schedule]\ntype = 'cyclic'\nmax_lr = 'auto'\n";
        let (text, _) = applied(cyclic, &[]);
        assert!(
            text.contains("lr = 1\n") && text.contains("max_lr = 0.02\n") && text.contains("base_lr = 0.005\n"),
            "{text}"
        );
    }

    #[test]
    fn what_set_changed_is_in_the_copy() {
        let (text, _) = applied(
            TEXT,
            &["schedule.type=cosine_annealing", "schedule.t_max=7", "train.epochs=4", "optimizer.momentum=0.9"],
        );
        let table: Table = text.parse().expect("TOML");
        assert_eq!(
            table["schedule"].as_table().map(|t| t.keys().cloned().collect::<Vec<_>>()),
            Some(vec!["type".to_owned(), "t_max".to_owned()])
        );
        assert_eq!(table["train"]["epochs"].as_integer(), Some(4));
        assert_eq!(table["optimizer"]["momentum"].as_float(), Some(0.9));
        assert!(text.contains("# A run.") && text.contains("# its rate"), "{text}");
    }

    #[test]
    fn a_text_takes_the_settings_of_another() {
        let other = "[schedule]\nstep_size = 3\ntype = 'step'\n[optimizer]\ntype = 'sgd'\nlr = 0.5\n[train]\nepochs = 2\n\
            [train.checkpoint]\nk = 1\n[[groups]]\nparams = 'a'\n";
        let text = with_settings(TEXT, other).expect("changed");
        assert!(text.contains(&TEXT.replace("lr = 0.1  #", "lr = 0.5  #")), "{text}");
        assert_eq!(text.parse::<Table>().expect("TOML"), other.parse::<Table>().expect("TOML"));
        assert_eq!(with_settings(&text, other), Some(text.clone()), "nothing differs");
        assert_eq!(with_settings(&text, TEXT).expect("changed").parse::<Table>(), TEXT.parse::<Table>());
        assert_eq!(with_settings("no = TOML", TEXT), None);
    }

    #[test]
    fn tables_on_one_line_and_missing_sections() {
        let text = "optimizer = { type = 'sgd', momentum = 0.9 } # one line\nschedule = { type = 'step', step_size = 3, gamma = 0.5 }\n";
        let (text, _) = applied(text, &["schedule.type=exponential", "schedule.gamma=0.9", "train.steps=7"]);
        let table: Table = text.parse().expect("TOML");
        let optimizer: Vec<&str> = table["optimizer"].as_table().expect("a table").keys().map(String::as_str).collect();
        assert_eq!(optimizer, ["type", "momentum", "lr"]);
        assert_eq!(table["schedule"].to_string(), "{ type = \"exponential\", gamma = 0.9 }");
        assert_eq!(table["train"]["steps"].as_integer(), Some(7));
        assert!(text.contains("# one line"), "{text}");
        // As a person would have written it.
        let expected = "optimizer = { type = 'sgd', momentum = 0.9, lr = 0.02 } # one line\n\
            schedule = { type = \"exponential\", gamma = 0.9 }\n\n[train]\nsteps = 7\n";
        assert_eq!(text, expected);
        // The space before the brace stays, though the last field goes.
        let (text, _) = applied(
            "optimizer = { type = 'sgd', lr = 1 }\nschedule = { type = 'step', step_size = 3 }\n",
            &["schedule.type=fixed"],
        );
        assert!(text.ends_with("schedule = { type = \"fixed\" }\n"), "{text}");
    }

    #[test]
    fn dotted_keys_stay_dotted() {
        let text =
            "optimizer.type = 'sgd'\nschedule.type = 'cyclic'\nschedule.max_lr = 'auto' # top\n[train]\nepochs = 1\n";
        let (text, places) = applied(text, &["optimizer.momentum=0.8"]);
        let table: Table = text.parse().expect("TOML");
        assert_eq!(table.keys().collect::<Vec<_>>(), ["optimizer", "schedule", "train"], "{text}");
        assert_eq!(table["optimizer"]["momentum"].as_float(), Some(0.8));
        assert_eq!(table["schedule"]["base_lr"].as_float(), Some(0.005), "{text}");
        assert!(text.contains("# top") && places.len() == 2, "{text}");
        assert!(
            text.contains("\noptimizer.momentum = 0.8\n") && text.contains("\nschedule.base_lr = 0.005\n"),
            "{text}"
        );
    }

    #[test]
    fn groups_are_reached() {
        let text = "[optimizer]\ntype = 'sgd'\nlr = 'auto' # found\n[[groups]]\nparams = 'a'\n[[groups]]\nparams = 'b'\n[groups.schedule]\ntype = 'one_cycle'\nmax_lr = 'auto'\n";
        let (text, places) = applied(text, &[]);
        assert!(text.contains("lr = 0.02 # found") && text.contains("max_lr = 0.02"), "{text}");
        assert_eq!(places.len(), 2);
    }

    #[test]
    fn a_field_in_a_section_that_is_not_there_gets_one() {
        let (text, _) = applied(TEXT, &["train.checkpoint.keep_last=3", "data.batch_size=8"]);
        assert!(text.starts_with("# A run.\n[optimizer]   # its rate\n"), "{text}");
        assert!(text.ends_with("\n[train.checkpoint]\nkeep_last = 3\n\n[data]\nbatch_size = 8\n"), "{text}");
        let inline = "optimizer = { type = 'sgd' }\ntrain = { epochs = 1 }\n";
        let (text, _) = applied(inline, &["train.checkpoint.keep_last=3"]);
        assert_eq!(
            text,
            "optimizer = { type = 'sgd', lr = 0.02 }\ntrain = { epochs = 1, checkpoint = { keep_last = 3 } }\n"
        );
    }

    #[test]
    fn a_configuration_takes_a_rate_as_its_text_does() {
        let registry = Registry::standard();
        let read = |text: &str| Config::from_table(&text.parse().expect("TOML"), &registry).expect("a configuration");
        let rates = |config: &Config| {
            let schedule = config.schedule.to_table();
            let of = |field: &str| schedule.get(field).and_then(Value::as_float);
            (config.optimizer.lr(), of("max_lr"), of("base_lr"))
        };
        let cyclic = "[optimizer]\ntype = 'sgd'\nlr = 1\nmomentum = 0.9\n[schedule]\ntype = 'cyclic'\n";
        let cases = [
            ("[optimizer]\ntype = 'sgd'\nlr = 1", (0.02, None, None)),
            (&format!("{cyclic}base_lr = 0.5\nmax_lr = 0.6"), (0.02, Some(0.02), Some(0.005))),
            (&format!("{cyclic}base_lr = 0.001\nmax_lr = 'auto'"), (1.0, Some(0.02), Some(0.001))),
        ];
        for (text, expected) in cases {
            let config = read(text);
            assert_eq!(rates(&config.at_rate(0.02).expect("a good rate")), expected, "{text}");
            let open = config.with_open_rates().expect("opened");
            assert_eq!(rates(&open.with_found(0.02).expect("a good rate")), expected, "{text}");
        }
    }
}
