//! Checks of a model, its optimizer and its settings before the first step.

use std::ops::Range;

use burn::module::Module;
use lr_core::{Horizon, Interval};
use optim_adaptive::{AdaptiveOptimizer, Group, for_each_parameter};

use crate::{Freeze, Rates, TrainError, finite::first_bad_parameter};

/// Refuses a model that cannot be trained as it is, and rules that no parameter of it fits or that leave nothing to train
/// in this run, as `fit` and the finder do.
///
/// # Errors
/// [`TrainError::NoAutodiff`]; [`TrainError::NoSuchParameter`] for a pattern of `freeze` or of a parameter group that fits
/// no parameter, for it would do nothing, silently; [`TrainError::AllFrozen`]; [`TrainError::Setting`] for a rule that comes
/// to no step of this run; [`TrainError::BadStart`] for a parameter that is not finite.
pub fn check_start<M: Module>(
    model: &M,
    optimizer: &AdaptiveOptimizer,
    freeze: &[Freeze],
    run: &Horizon,
) -> Result<(), TrainError> {
    if let Some(device) = model.devices().into_iter().find(|device| !device.is_autodiff()) {
        return Err(TrainError::NoAutodiff { device: format!("{device:?}") });
    }
    check_patterns(model, optimizer, freeze)?;
    let end = run.total_ticks(Interval::Step).unwrap_or(u64::MAX);
    check_frozen(model, optimizer, freeze, run, 0..end, "for the whole run")?;
    first_bad_parameter(model).map_or(Ok(()), |parameter| Err(TrainError::BadStart { parameter }))
}

fn check_patterns<M: Module>(model: &M, optimizer: &AdaptiveOptimizer, freeze: &[Freeze]) -> Result<(), TrainError> {
    let groups = optimizer.groups();
    if freeze.is_empty() && groups.is_empty() {
        return Ok(());
    }
    let mut parameters = Vec::new();
    for_each_parameter(model, |path, _, shape| parameters.push((path.to_owned(), shape.num_dims())));
    let fits = |fits: &dyn Fn(&str, usize) -> bool| parameters.iter().any(|(path, rank)| fits(path, *rank));
    let refuse = |field: String, pattern: &str, max_rank: Option<usize>| {
        Err(TrainError::NoSuchParameter {
            field,
            pattern: pattern.to_owned(),
            max_rank,
            known: parameters.iter().map(|(path, _)| path.clone()).collect(),
        })
    };
    for (i, rule) in freeze.iter().enumerate() {
        if !fits(&|path, _| rule.params.matches(path)) {
            return refuse(format!("freeze[{i}].params"), rule.params.as_str(), None);
        }
    }
    for (i, group) in groups.iter().enumerate() {
        if !fits(&|path, rank| group.matches(path, rank)) {
            // Where the rank alone keeps it from fitting, that is what is wrong.
            let by_rank = group.max_rank.filter(|_| fits(&|path, _| group.params.matches(path)));
            return refuse(format!("groups[{i}].params"), group.params.as_str(), by_rank);
        }
    }
    Ok(())
}

/// Refuses groups and rules that leave no parameter to train in any of these steps, which are `when` in words.
pub(crate) fn check_frozen<M: Module>(
    model: &M,
    optimizer: &AdaptiveOptimizer,
    freeze: &[Freeze],
    run: &Horizon,
    steps: Range<u64>,
    when: &'static str,
) -> Result<(), TrainError> {
    if freeze.is_empty() && !optimizer.groups().iter().any(|group| group.frozen) {
        return Ok(());
    }
    let mut rules = Vec::new();
    for (i, rule) in freeze.iter().enumerate() {
        rules.push((i, rule, rule.steps(run).map_err(|error| error.within(&format!("freeze[{i}]")))?));
    }
    let mut fields: Vec<String> = Vec::new();
    for row in optimizer.parameters(model) {
        let by = if let Some(group) = row.group.filter(|_| row.frozen) {
            vec![format!("groups[{group}].frozen")]
        } else {
            let of_it: Vec<_> = rules.iter().filter(|(_, rule, _)| rule.params.matches(&row.path)).collect();
            if !cover(of_it.iter().map(|(.., frozen)| frozen), &steps) {
                return Ok(());
            }
            of_it.iter().map(|(i, ..)| format!("freeze[{i}]")).collect()
        };
        fields.extend(by.into_iter().filter(|field| !fields.contains(field)).collect::<Vec<_>>());
    }
    if fields.is_empty() { Ok(()) } else { Err(TrainError::AllFrozen { fields, when }) }
}

/// Whether these steps together are all of `steps`.
fn cover<'r>(parts: impl Iterator<Item = &'r Range<u64>>, steps: &Range<u64>) -> bool {
    let mut parts: Vec<&Range<u64>> = parts.collect();
    parts.sort_by_key(|part| part.start);
    let covered = parts.iter().fold(steps.start, |to, part| if part.start <= to { to.max(part.end) } else { to });
    covered >= steps.end
}

/// What of the groups is surely not meant, one line each: one whose parameters all belong to later ones.
pub(crate) fn idle_groups<M: Module>(model: &M, optimizer: &AdaptiveOptimizer) -> Vec<String> {
    let groups = optimizer.groups();
    let rows = if groups.is_empty() { Vec::new() } else { optimizer.parameters(model) };
    let is_idle = |i: &usize| rows.iter().all(|row| row.group != Some(*i));
    let said = |i: usize| {
        let pattern = groups[i].params.as_str();
        format!("groups[{i}]: every parameter that `{pattern}` fits belongs to a later group; it does nothing")
    };
    (0..groups.len()).filter(is_idle).map(said).collect()
}

/// A factor on the rate below which next to nothing of a group is trained.
const TINY_SCALE: f64 = 1e-6;

/// What of the groups' factors is surely not meant, one line each: one that leaves its parameters as they are.
fn still_groups(groups: &[Group]) -> Vec<String> {
    let said = |(i, group): (usize, &Group)| {
        let (scale, pattern) = (group.lr_scale, group.params.as_str());
        let what =
            if scale == 0.0 { "is not trained (`frozen = true` is the word for that)" } else { "is hardly trained" };
        let scale = if scale == 0.0 { "0".to_owned() } else { format!("{scale:e}") };
        format!("groups[{i}].lr_scale is {scale}: what `{pattern}` fits {what}")
    };
    let is_still = |(_, group): &(usize, &Group)| !group.frozen && group.lr_scale < TINY_SCALE;
    groups.iter().enumerate().filter(is_still).map(said).collect()
}

/// Whether groups leave every parameter that is not frozen at a rate of 0, by their factors or by what `is_zero` says of the
/// schedule of each (of the base, for `None`).
pub(crate) fn never_trains<M: Module>(
    model: &M,
    optimizer: &AdaptiveOptimizer,
    is_zero: impl Fn(Option<usize>) -> bool,
) -> bool {
    !optimizer.groups().is_empty()
        && optimizer.parameters(model).iter().all(|row| row.frozen || row.lr_scale == 0.0 || is_zero(row.group))
}

/// What of the rates of a run is surely not meant: see [`Rates::warnings`]; and that no parameter is trained at all.
pub(crate) fn warnings<M: Module>(
    model: &M,
    optimizer: &AdaptiveOptimizer,
    rates: &Rates,
    run: &Horizon,
) -> Vec<String> {
    let mut warnings = rates.warnings(run);
    if never_trains(model, optimizer, |group| rates.is_zero(group, run)) {
        warnings.push(
            "the learning rate of every parameter that is not frozen is 0 in the whole run (groups): nothing is trained"
                .to_owned(),
        );
    }
    warnings.extend(still_groups(optimizer.groups()));
    warnings.extend(idle_groups(model, optimizer));
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one part is a case too")]
    fn parts_cover_what_they_meet_in() {
        for (parts, expected) in [
            (vec![0..9], true),
            (vec![5..9, 0..5], true),
            (vec![0..4, 5..9], false),
            (vec![1..9], false),
            (vec![0..8], false),
            (vec![], false),
            (vec![0..2, 1..u64::MAX], true),
        ] {
            assert_eq!(cover(parts.iter(), &(0..9)), expected, "{parts:?}");
        }
    }
}
