//! The learning-rate finder on a configuration.

use trainer::{
    data::Source,
    lr_finder::{LrCurve, LrFinder, NoSuggestion, Suggestion},
};

use super::Assembly;
use crate::{config::Config, error::Error};

/// A sweep that has ended, and what it suggests.
#[derive(Debug, Clone)]
pub struct Found {
    /// The curve.
    pub curve: LrCurve,
    /// The configured rule's answer.
    pub suggestion: Result<Suggestion, NoSuggestion>,
}

/// Sweeps with the model, data, optimizer, groups and clipping of a configuration; nothing is written.
pub fn find_lr(config: &Config) -> Result<Found, Error> {
    let assembly = Assembly::new(config)?;
    let (model, optimizer, rates) = (assembly.initial_model()?, assembly.optimizer(), assembly.rates()?);
    let loader = assembly.train_loader()?;
    tracing::debug!("sweeping over {}", Source::<vision::ImageBatch>::fingerprint(&loader));
    let curve = LrFinder::new(config.lr_finder.sweep.clone())
        .seed(config.run.seed)
        .clip(config.train.clip_grad_norm, config.train.clip_grad_value)
        .run_with_groups(&model, &optimizer, &loader, &rates)?;
    let suggestion = curve.suggestion(config.lr_finder.rule);
    Ok(Found { curve, suggestion })
}
