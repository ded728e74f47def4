//! What is refused of a model, its optimizer and its rules before the first step.

use burn::module::Module;
use optim_adaptive::{AdaptiveOptimizer, for_each_parameter};

use crate::{Freeze, TrainError, finite::first_bad_parameter};

/// Refuses a model that cannot be trained as it is, and rules that no parameter of it fits, as `fit` and the finder do.
///
/// # Errors
/// [`TrainError::NoAutodiff`]; [`TrainError::NoSuchParameter`] for a pattern of `freeze` or of a parameter group that fits
/// no parameter, for it would do nothing, silently; [`TrainError::BadStart`] for a parameter that is not finite.
pub fn check_start<M: Module>(model: &M, optimizer: &AdaptiveOptimizer, freeze: &[Freeze]) -> Result<(), TrainError> {
    if let Some(device) = model.devices().into_iter().find(|device| !device.is_autodiff()) {
        return Err(TrainError::NoAutodiff { device: format!("{device:?}") });
    }
    check_patterns(model, optimizer, freeze)?;
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
    let refuse = |field: String, pattern: String| {
        Err(TrainError::NoSuchParameter {
            field,
            pattern,
            known: parameters.iter().map(|(path, _)| path.clone()).collect(),
        })
    };
    for (i, rule) in freeze.iter().enumerate() {
        if !fits(&|path, _| rule.params.matches(path)) {
            return refuse(format!("freeze[{i}].params"), rule.params.as_str().to_owned());
        }
    }
    let rows = optimizer.parameters(model);
    for (i, group) in groups.iter().enumerate() {
        let pattern = group.params.as_str();
        if !fits(&|path, rank| group.matches(path, rank)) {
            let rank = group.max_rank.map_or_else(String::new, |most| format!(" of rank {most} or less"));
            return refuse(format!("groups[{i}].params"), format!("{pattern}{rank}"));
        }
        if rows.iter().all(|row| row.group != Some(i)) {
            tracing::warn!(
                "groups[{i}]: every parameter that `{pattern}` fits belongs to a later group; it does nothing"
            );
        }
    }
    Ok(())
}
