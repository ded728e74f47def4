//! The strategies, one file each: settings, then the schedule.
//!
//! Adding one touches its own file, its two lines below, its golden rows and its page in `docs/schedules/`.

use crate::registry::strategies;

mod constant;
mod cosine_annealing;
mod cyclic;
mod exponential;
mod expression;
mod fixed;
mod lambda;
mod linear;
mod multi_step;
mod multiplicative;
mod noam;
mod one_cycle;
mod piecewise;
mod plateau;
mod polynomial;
mod step;
mod swa;
mod warm_restarts;

pub(crate) use cosine_annealing::END_OF_COSINE;
pub use cyclic::{CyclicMode, ScaleMode};
pub use lambda::Lambda;
pub use one_cycle::AnnealStrategy;
pub use piecewise::Interpolation;
pub use plateau::ThresholdMode;
pub(crate) use plateau::{Plateau, check_metric};

strategies! {
    fixed::Fixed,
    constant::Constant,
    step::Step,
    multi_step::MultiStep,
    exponential::Exponential,
    linear::Linear,
    polynomial::Polynomial,
    cosine_annealing::CosineAnnealing,
    warm_restarts::CosineAnnealingWarmRestarts,
    cyclic::Cyclic,
    one_cycle::OneCycle,
    expression::Expression,
    multiplicative::Multiplicative,
    plateau::ReduceOnPlateau,
    swa::SwaLr,
    noam::Noam,
    piecewise::Piecewise,
}
