//! What reactive schedules keep for each base rate.

use crate::Clock;

/// The rate of the parameter groups with one base rate.
#[derive(Debug, Clone)]
pub(crate) struct GroupRate {
    pub(crate) base_lr: f64,
    /// The rate now.
    pub(crate) now: f64,
    /// The rate before the last change.
    pub(crate) before: f64,
}

/// One for each base rate that `clock` knows, in order. Groups with the same base rate always have the same rate.
pub(crate) fn group_rates(clock: &Clock) -> Vec<GroupRate> {
    let mut base_lrs = clock.base_lrs().to_vec();
    base_lrs.sort_by(f64::total_cmp);
    base_lrs.dedup();
    base_lrs.into_iter().map(|base_lr| GroupRate { base_lr, now: base_lr, before: base_lr }).collect()
}

/// That of a base rate, if it is known.
pub(crate) fn find(groups: &[GroupRate], base_lr: f64) -> Option<&GroupRate> {
    groups.binary_search_by(|group| group.base_lr.total_cmp(&base_lr)).ok().map(|i| &groups[i])
}
