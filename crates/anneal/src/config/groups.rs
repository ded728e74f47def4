//! `[[groups]]`: parameters with their own rate, schedule, decay or optimizer.

use lr_core::ScheduleConfig;
use optim_adaptive::{Group, OptimizerConfig};
use strict_config::ConfigError;
use toml::{Table, Value};

use super::{Catalog, auto::AUTO};

/// One sweep finds one rate.
const NO_AUTO: &str = "a group has no own rate to be found: say `lr = \"auto\"` in [optimizer], which every group's rate \
                       is `lr_scale` times; or give the group a `schedule` that sets its rate, as in { type = \"one_cycle\", \
                       max_lr = \"auto\" }";

/// `[[groups]]`: what [`Group::from_table`] reads, and `schedule`.
///
/// A parameter belongs to the last group that matches it. Its rate is that of the group's schedule (of the run's, where
/// the group has none), times `lr_scale`.
#[derive(Debug, Clone, Default)]
pub struct GroupsSection {
    groups: Vec<OneGroup>,
}

/// A group, and where it comes from.
#[derive(Debug, Clone)]
struct OneGroup {
    group: Group,
    schedule: Option<ScheduleConfig>,
    /// The number of its table.
    table: usize,
    /// Which of the `layers` of that table it is.
    layer: Option<usize>,
}

impl GroupsSection {
    /// Reads the tables.
    pub fn from_tables(tables: &[Table], base: &OptimizerConfig, catalog: &Catalog) -> Result<Self, ConfigError> {
        let read = |table: &Table| {
            let own_lr = table.get("optimizer").and_then(|optimizer| optimizer.get("lr"));
            for (path, lr) in [("lr", table.get("lr")), ("lr_scale", table.get("lr_scale")), ("optimizer.lr", own_lr)] {
                if lr.and_then(Value::as_str) == Some(AUTO) {
                    return Err(ConfigError::conflict(path, NO_AUTO));
                }
            }
            let mut table = table.clone();
            let schedule = match table.remove("schedule") {
                Some(Value::Table(schedule)) => {
                    Some(ScheduleConfig::from_table_with(&schedule, "schedule", &catalog.schedules)?)
                }
                Some(other) => return Err(ConfigError::wrong_type("schedule", "a table", &other)),
                None => None,
            };
            let is_layered = table.contains_key("layers");
            let read = Group::from_table(&table, base, &catalog.optimizers)
                .map_err(|error| error.with_known(&["schedule"]))?;
            Ok((read, schedule, is_layered))
        };
        let mut groups = Vec::new();
        for (table, settings) in tables.iter().enumerate() {
            let (read, schedule, is_layered) =
                read(settings).map_err(|error: ConfigError| error.within(&format!("groups[{table}]")))?;
            groups.extend(read.into_iter().enumerate().map(|(layer, group)| OneGroup {
                group,
                schedule: schedule.clone(),
                table,
                layer: is_layered.then_some(layer),
            }));
        }
        Ok(Self { groups })
    }

    /// The groups that each table has become: several where it lists `layers`.
    pub(super) fn of_table(&self, table: usize) -> impl Iterator<Item = usize> {
        self.groups.iter().enumerate().filter(move |(_, one)| one.table == table).map(|(index, _)| index)
    }

    /// A field of a group, whose path begins with the number of the group, by its place in the configuration as it is
    /// written: `groups[1].params` is `groups[0].layers[1]` where the first table lists layers.
    pub(super) fn placed(&self, field: &str) -> Option<String> {
        let (number, rest) = field.strip_prefix("groups[")?.split_once(']')?;
        let one = self.groups.get(number.parse::<usize>().ok()?)?;
        Some(match one.layer {
            Some(layer) if rest == ".params" => format!("groups[{}].layers[{layer}]", one.table),
            _ => format!("groups[{}]{rest}", one.table),
        })
    }

    /// One table per group, every setting explicit.
    pub fn to_tables(&self) -> Vec<Table> {
        let to_table = |one: &OneGroup| {
            let mut table = strict_config::write(&one.group);
            if let Some(schedule) = &one.schedule {
                table.insert("schedule".to_owned(), Value::Table(schedule.to_table()));
            }
            table
        };
        self.groups.iter().map(to_table).collect()
    }

    /// The groups, for the optimizer.
    pub fn groups(&self) -> Vec<Group> {
        self.groups.iter().map(|one| one.group.clone()).collect()
    }

    /// Each group with its schedule.
    pub fn iter(&self) -> impl Iterator<Item = (&Group, Option<&ScheduleConfig>)> {
        self.groups.iter().map(|one| (&one.group, one.schedule.as_ref()))
    }
}
