//! `[[groups]]`: parameters with a rate, a schedule, a decay or an optimizer of their own.

use lr_core::{Registry, ScheduleConfig};
use optim_adaptive::{Group, Groups, OptimizerConfig};
use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

/// `[[groups]]`: what `optim_adaptive::Groups` reads (`params`, `lr_scale`, `weight_decay`, `frozen`, `max_rank`,
/// `optimizer`, `layers` with `layer_decay`), and `schedule`.
///
/// A parameter belongs to the last group that matches its path. Its rate is that of the group's schedule (of the run's,
/// where the group has none), times `lr_scale`.
#[derive(Debug, Clone, Default)]
pub struct GroupsSection {
    groups: Groups,
    /// One per group.
    schedules: Vec<Option<ScheduleConfig>>,
}

impl GroupsSection {
    /// Reads the tables, each with its path (`groups[0]`).
    pub fn from_tables(
        tables: &[(&Table, String)],
        base: &OptimizerConfig,
        registry: &Registry,
    ) -> Result<Self, ConfigError> {
        let mut section = Self::default();
        for (table, path) in tables {
            let groups = Groups::from_tables(&[(*table, path.clone())], &["schedule"], base)?;
            let fields = Fields::open_any(table, path);
            let schedule = fields
                .table("schedule")?
                .map(|table| ScheduleConfig::from_table_with(table, &fields.path_of("schedule"), registry))
                .transpose()?;
            for group in groups.iter() {
                section.groups.push(group.clone());
                section.schedules.push(schedule.clone());
            }
        }
        // Rates are told apart by path alone.
        let ranked = section.groups.iter().position(|group| group.max_rank.is_some());
        if let (true, Some(at)) = (section.has_schedules(), ranked) {
            return Err(ConfigError::conflict(
                format!("groups[{at}].max_rank"),
                "`max_rank` cannot be combined with a group that has a `schedule` of its own; name the parameters by path",
            ));
        }
        Ok(section)
    }

    /// One table per group, every setting explicit.
    pub fn to_tables(&self) -> Vec<Table> {
        let tables = self.groups.to_tables().into_iter().zip(&self.schedules);
        tables
            .map(|(mut table, schedule)| {
                if let Some(schedule) = schedule {
                    table.insert("schedule".to_owned(), Value::Table(schedule.to_table()));
                }
                table
            })
            .collect()
    }

    /// What the optimizer is told.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Each group with its schedule.
    pub fn iter(&self) -> impl Iterator<Item = (&Group, Option<&ScheduleConfig>)> {
        self.groups.iter().zip(self.schedules.iter().map(Option::as_ref))
    }

    /// Whether any group has a schedule of its own.
    pub fn has_schedules(&self) -> bool {
        self.schedules.iter().any(Option::is_some)
    }
}
