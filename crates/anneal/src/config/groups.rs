//! `[[groups]]`: parameters with a rate, a schedule, a decay or an optimizer of their own.

use lr_core::ScheduleConfig;
use optim_adaptive::{Group, OptimizerConfig};
use strict_config::ConfigError;
use toml::{Table, Value};

use super::Catalog;

/// `[[groups]]`: what [`Group::from_table`] reads, and `schedule`.
///
/// A parameter belongs to the last group that matches it. Its rate is that of the group's schedule (of the run's, where
/// the group has none), times `lr_scale`.
#[derive(Debug, Clone, Default)]
pub struct GroupsSection {
    groups: Vec<(Group, Option<ScheduleConfig>)>,
}

impl GroupsSection {
    /// Reads the tables.
    pub fn from_tables(tables: &[Table], base: &OptimizerConfig, catalog: &Catalog) -> Result<Self, ConfigError> {
        let read = |table: &Table| {
            let mut table = table.clone();
            let schedule = match table.remove("schedule") {
                Some(Value::Table(schedule)) => {
                    Some(ScheduleConfig::from_table_with(&schedule, "schedule", &catalog.schedules)?)
                }
                Some(other) => return Err(ConfigError::wrong_type("schedule", "a table", &other)),
                None => None,
            };
            let read = Group::from_table(&table, base, &catalog.optimizers)
                .map_err(|error| error.with_known(&["schedule"]))?;
            Ok(read.into_iter().map(move |group| (group, schedule.clone())))
        };
        let mut groups = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            groups.extend(read(table).map_err(|error| error.within(&format!("groups[{number}]")))?);
        }
        Ok(Self { groups })
    }

    /// One table per group, every setting explicit.
    pub fn to_tables(&self) -> Vec<Table> {
        let to_table = |(group, schedule): &(Group, Option<ScheduleConfig>)| {
            let mut table = strict_config::write(group);
            if let Some(schedule) = schedule {
                table.insert("schedule".to_owned(), Value::Table(schedule.to_table()));
            }
            table
        };
        self.groups.iter().map(to_table).collect()
    }

    /// The groups, for the optimizer.
    pub fn groups(&self) -> Vec<Group> {
        self.groups.iter().map(|(group, _)| group.clone()).collect()
    }

    /// Each group with its schedule.
    pub fn iter(&self) -> impl Iterator<Item = (&Group, Option<&ScheduleConfig>)> {
        self.groups.iter().map(|(group, schedule)| (group, schedule.as_ref()))
    }
}
