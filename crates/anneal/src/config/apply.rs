//! A found rate written into a copy of a configuration's text, comments kept.
//!
//! The text is edited where the parser says that a value stands. (`toml_edit` would do this too; as a dependency it
//! changes features that burn is compiled with, and all of burn is compiled anew.)

use std::ops::Range;

use strict_config::ConfigError;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use lr_core::Registry;

use super::{AutoRates, Config, Document};

impl Config {
    /// The same at this rate. It goes where `"auto"` stands ([`AutoRates`]); where nothing is left open it becomes
    /// `[optimizer] lr`, and the top (and foot) of a `cyclic` or `one_cycle` schedule, which sets the rate itself.
    ///
    /// # Errors
    /// A rate that the optimizer or a schedule refuses.
    pub fn at_rate(&self, lr: f64, registry: &Registry) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        AutoRates::to_apply(&table).fill(&mut table, lr);
        Self::from_table(&table, registry)
    }

    /// The same with `"auto"` where [`at_rate`](Self::at_rate) would put the rate.
    ///
    /// # Errors
    /// None that a configuration which has been read can give; the type says so because it is read anew.
    pub fn with_open_rates(&self, registry: &Registry) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        AutoRates::to_apply(&table).mark(&mut table);
        Self::from_table(&table, registry)
    }
}

impl Document {
    /// The text with the found rate in its place, and the fields that were written with their values.
    ///
    /// The rate goes where `"auto"` stands ([`AutoRates`]). Where nothing is left open it becomes `[optimizer] lr`, and
    /// the top (and foot) of a `cyclic` or `one_cycle` schedule, which sets the rate itself. What `--set` changed is
    /// written as well, so that the copy is what was swept.
    ///
    /// # Errors
    /// A text that cannot be parsed.
    pub fn with_rate(&self, lr: f64) -> Result<(String, Vec<(String, f64)>), ConfigError> {
        let mut text = self.text().to_owned();
        for key in self.overrides() {
            let path: Vec<&str> = key.split('.').map(str::trim).collect();
            let Some((field, way)) = path.split_last() else { continue };
            let section = way.iter().try_fold(&self.table, |table, part| table.get(*part)?.as_table());
            let Some((section, value)) = section.and_then(|section| Some((section, section.get(*field)?))) else {
                continue;
            };
            text = put(text, &path, value)?;
            if *field == "type" {
                text = retain(text, way, section)?;
            }
        }
        let places = AutoRates::to_apply(&self.table).values(lr);
        for (field, value) in &places {
            let path: Vec<&str> = field.split(['.', '[']).map(|part| part.trim_end_matches(']')).collect();
            text = put(text, &path, &Value::Float(*value))?;
        }
        Ok((text, places))
    }
}

/// A table in the text: where its fields stand, and where it stands itself if it is written on one line.
struct Place {
    /// Name, and the bytes from the name to the end of the value, of each field that is no table of its own.
    fields: Vec<(String, Range<usize>, Range<usize>)>,
    inline: Option<Range<usize>>,
    header: usize,
}

/// Finds the table at a path.
fn find(text: &str, way: &[&str]) -> Result<Option<Place>, ConfigError> {
    let root = DeTable::parse(text).map_err(|error| ConfigError::syntax(text, &error))?;
    let mut table = root.get_ref();
    let mut span = 0..0;
    let mut items: Option<&[Spanned<DeValue<'_>>]> = None;
    for part in way {
        let value = match items.take() {
            Some(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
            None => table.iter().find(|(key, _)| key.get_ref() == part).map(|(_, value)| value),
        };
        let Some(value) = value else { return Ok(None) };
        span = value.span();
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Array(inner) => items = Some(inner),
            _ => return Ok(None),
        }
    }
    let is_inline = |span: &Range<usize>| text[span.clone()].starts_with('{');
    // A table under a header of its own is no field of the lines here.
    let is_field = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Table(_) => is_inline(&value.span()),
        DeValue::Array(_) => text[value.span()].starts_with('[') && !text[value.span()].starts_with("[["),
        _ => true,
    };
    let fields = table.iter().filter(|(_, value)| is_field(value)).map(|(key, value)| {
        let whole = key.span().start..value.span().end;
        (key.get_ref().to_string(), whole, value.span())
    });
    let inline = (!way.is_empty() && is_inline(&span)).then(|| span.clone());
    Ok(Some(Place { fields: fields.collect(), inline, header: span.end }))
}

/// Sets a field; a field or a section that is missing is added.
fn put(mut text: String, path: &[&str], value: &Value) -> Result<String, ConfigError> {
    let Some((field, way)) = path.split_last() else { return Ok(text) };
    let Some(place) = find(&text, way)? else {
        let name = way.join(".");
        text = format!("{}\n\n[{name}]\n{field} = {value}\n", text.trim_end());
        return Ok(text);
    };
    if let Some((_, _, old)) = place.fields.iter().find(|(name, ..)| name == field) {
        text.replace_range(old.clone(), &value.to_string());
        return Ok(text);
    }
    let last = place.fields.iter().map(|(_, whole, _)| whole).max_by_key(|whole| whole.end);
    // `schedule.type = ...`: a field beside a dotted one is dotted as it is, or it would fall into the table above.
    let dotted = last.map_or("", |whole| {
        let before = text[..whole.start].rsplit(['\n', ',', '{']).next().unwrap_or_default().trim();
        if before.ends_with('.') { before } else { "" }
    });
    let field = format!("{dotted}{field}");
    let last = last.map(|whole| whole.end);
    match (place.inline, last) {
        (Some(_), Some(last)) => text.insert_str(last, &format!(", {field} = {value}")),
        (Some(braces), None) => text.insert_str(braces.start + 1, &format!(" {field} = {value} ")),
        (None, last) => {
            let after = last.unwrap_or(place.header);
            let line_end = text[after..].find('\n').map_or(text.len(), |end| after + end);
            text.insert_str(line_end, &format!("\n{field} = {value}"));
        }
    }
    Ok(text)
}

/// Drops the fields of a table that `kept` no longer has: a changed type has dropped those of the old one.
fn retain(mut text: String, way: &[&str], kept: &Table) -> Result<String, ConfigError> {
    let Some(place) = find(&text, way)? else { return Ok(text) };
    let mut dropped: Vec<Range<usize>> =
        place.fields.into_iter().filter(|(name, ..)| !kept.contains_key(name)).map(|(_, whole, _)| whole).collect();
    dropped.sort_by_key(|range| std::cmp::Reverse(range.start));
    for range in dropped {
        let range = if place.inline.is_some() {
            // With the comma behind it, or the one before.
            match text[range.end..].find([',', '}']) {
                Some(at) if text[range.end + at..].starts_with(',') => range.start..range.end + at + 1,
                _ => text[..range.start].rfind(',').unwrap_or(range.start)..range.end,
            }
        } else {
            let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
            let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
            start..end
        };
        text.replace_range(range, "");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn applied(text: &str, set: &[&str]) -> (String, Vec<(String, f64)>) {
        let mut document = Document::parse(Origin::BuiltIn("test"), text).expect("good text");
        document.set(&set.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>()).expect("good settings");
        document.with_rate(0.02).expect("edited")
    }

    const TEXT: &str = "# A run.\n[optimizer]   # its rate\ntype = \"sgd\"\nlr = 0.1  # a guess\n\n[schedule]\ntype = \"step\"\nstep_size = 3 # epochs\n";

    #[test]
    fn comments_stay_and_only_the_rate_changes() {
        let (text, places) = applied(TEXT, &[]);
        assert_eq!(text, TEXT.replace("lr = 0.1  #", "lr = 0.02  #"));
        assert_eq!(places, [("optimizer.lr".to_owned(), 0.02)]);
    }

    #[test]
    fn a_schedule_that_sets_the_rate_itself_gets_it() {
        let one_cycle = TEXT.replace("\"step\"\nstep_size = 3 #", "\"one_cycle\"\nmax_lr = 0.3 #");
        let (text, places) = applied(&one_cycle, &[]);
        assert!(text.contains("max_lr = 0.02 # epochs"), "{text}");
        assert_eq!(places.len(), 2);
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
    fn tables_on_one_line_and_missing_sections() {
        let text = "optimizer = { type = 'sgd', momentum = 0.9 } # one line\nschedule = { type = 'step', step_size = 3, gamma = 0.5 }\n";
        let (text, _) = applied(text, &["schedule.type=exponential", "schedule.gamma=0.9", "train.steps=7"]);
        let table: Table = text.parse().expect("TOML");
        let optimizer: Vec<&str> = table["optimizer"].as_table().expect("a table").keys().map(String::as_str).collect();
        assert_eq!(optimizer, ["type", "momentum", "lr"]);
        assert_eq!(table["schedule"].to_string(), "{ type = \"exponential\", gamma = 0.9 }");
        assert_eq!(table["train"]["steps"].as_integer(), Some(7));
        assert!(text.contains("# one line"), "{text}");
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
    }

    #[test]
    fn groups_are_reached() {
        let text = "[optimizer]\ntype = 'sgd'\nlr = 'auto' # found\n[[groups]]\nparams = 'a'\n[[groups]]\nparams = 'b'\n[groups.schedule]\ntype = 'one_cycle'\nmax_lr = 'auto'\n";
        let (text, places) = applied(text, &[]);
        assert!(text.contains("lr = 0.02 # found") && text.contains("max_lr = 0.02"), "{text}");
        assert_eq!(places.len(), 2);
    }
}
