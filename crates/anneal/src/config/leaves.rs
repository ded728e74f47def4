//! The settings of a configuration's tables, one by one.

use strict_config::join;
use toml::{Table, Value};

/// Every value that is not a table, with its path (`schedule.gamma`, `groups[1].lr_scale`), in the order of the tables.
pub(crate) fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    visit_table("", table, &mut found);
    found
}

fn visit_table<'t>(path: &str, table: &'t Table, found: &mut Vec<(String, &'t Value)>) {
    for (name, value) in table {
        visit(join(path, name), value, found);
    }
}

fn visit<'t>(path: String, value: &'t Value, found: &mut Vec<(String, &'t Value)>) {
    match value {
        Value::Table(table) => visit_table(&path, table, found),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (i, item) in items.iter().enumerate() {
                visit(format!("{path}[{i}]"), item, found);
            }
        }
        other => found.push((path, other)),
    }
}
