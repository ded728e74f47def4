//! What is compared, as a file: a resumed comparison is checked against it.

use study::RateChoice;
use toml::{Table, Value};

use super::contender::Contender;
use crate::experiment::record::{differing, settings_of};

/// Settings that may differ between a comparison and its resumption: they change no figure.
const FREE: [&str; 5] = ["run.name", "run.out_dir", "run.loggers", "data.data_dir", "data.workers"];

/// Seeds, rates, and each contender's whole configuration.
pub(super) fn plan(contenders: &[Contender], seeds: &[u64], rates: &RateChoice) -> Table {
    let mut named = Table::new();
    for contender in contenders {
        let mut entry = Table::new();
        if let Some(file) = &contender.file {
            entry.insert("file".to_owned(), Value::String(file.display().to_string()));
        }
        entry.insert("config".to_owned(), Value::Table(contender.config.to_table()));
        named.insert(contender.name.clone(), Value::Table(entry));
    }
    let mut plan = Table::new();
    plan.insert("seeds".to_owned(), Value::Array(seeds.iter().map(|seed| Value::Integer(*seed as i64)).collect()));
    plan.insert("rates".to_owned(), Value::String(rates.to_string()));
    plan.insert("contenders".to_owned(), Value::Table(named));
    plan
}

/// What a comparison was started with and its resumption asks for differently.
pub(super) fn difference(old: &Table, new: &Table) -> Option<String> {
    let rates = |plan: &Table| plan.get("rates").and_then(Value::as_str).unwrap_or_default().to_owned();
    if rates(old) != rates(new) {
        return Some(format!("was started with --rates {}, and this is --rates {}", rates(old), rates(new)));
    }
    for (name, entry) in contenders(new) {
        let settings = |entry: &Value| entry.get("config").and_then(Value::as_table).map(settings_of);
        let Some(before) = contenders(old).find(|(other, _)| *other == name).and_then(|(_, entry)| settings(entry))
        else {
            continue;
        };
        let now = settings(entry).unwrap_or_default();
        let show = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), Clone::clone);
        let changed: Vec<String> = differing(&before, &now)
            .into_iter()
            .filter(|path| !FREE.contains(&path.as_str()))
            .map(|path| format!("{path} ({} there, {} now)", show(before.get(path)), show(now.get(path))))
            .collect();
        if !changed.is_empty() {
            return Some(format!("holds runs of `{name}` with other settings: {}", changed.join(", ")));
        }
    }
    None
}

/// The contenders of a plan, by name.
pub(super) fn contenders(plan: &Table) -> impl Iterator<Item = (&String, &Value)> {
    plan.get("contenders").and_then(Value::as_table).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(text: &str) -> Table {
        text.parse().expect("TOML")
    }

    #[test]
    fn a_resumption_may_add_and_may_not_change() {
        let old = plan_of(
            "seeds = [1]\nrates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1\n[contenders.a.config.data]\nworkers = 1",
        );
        let cases = [
            (
                "the same with more seeds",
                "seeds = [1, 2]\nrates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1",
                None,
            ),
            (
                "another contender, other workers",
                "rates = 'config'\n[contenders.b.config.optimizer]\nlr = 0.3\n[contenders.a.config]\noptimizer = { lr = 0.1 }\ndata = { workers = 2 }",
                None,
            ),
            (
                "another rate",
                "rates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.2",
                Some("holds runs of `a` with other settings: optimizer.lr (0.1 there, 0.2 now)"),
            ),
            (
                "another setting",
                "rates = 'config'\n[contenders.a.config.optimizer]\nlr = 0.1\nnesterov = true",
                Some("holds runs of `a` with other settings: optimizer.nesterov (not set there, true now)"),
            ),
            (
                "another choice of rates",
                "rates = 'find'\n[contenders.a.config.optimizer]\nlr = 0.1",
                Some("was started with --rates config, and this is --rates find"),
            ),
        ];
        for (case, new, expected) in cases {
            assert_eq!(difference(&old, &plan_of(new)).as_deref(), expected, "{case}");
        }
    }
}
