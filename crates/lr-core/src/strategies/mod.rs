//! The strategies, one file each: settings, then the schedule.
//!
//! Adding one touches its own file, the two lists below, its golden rows and its page in `docs/schedules/`.

use crate::Registry;

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

pub use constant::Constant;
pub use cosine_annealing::CosineAnnealing;
pub use cyclic::{Cyclic, CyclicMode, ScaleMode};
pub use exponential::Exponential;
pub use expression::Expression;
pub use fixed::Fixed;
pub use lambda::Lambda;
pub use linear::Linear;
pub use multi_step::MultiStep;
pub use multiplicative::Multiplicative;
pub use noam::Noam;
pub use one_cycle::{AnnealStrategy, OneCycle};
pub use piecewise::{Interpolation, Piecewise};
pub use plateau::{PlateauMode, ReduceOnPlateau, ThresholdMode};
pub use polynomial::Polynomial;
pub use step::Step;
pub use swa::Swa;
pub use warm_restarts::CosineAnnealingWarmRestarts;

/// Registers all of them.
pub(crate) fn register(registry: &mut Registry) {
    let entries = [
        Fixed::entry(),
        Constant::entry(),
        Step::entry(),
        MultiStep::entry(),
        Exponential::entry(),
        Linear::entry(),
        Polynomial::entry(),
        CosineAnnealing::entry(),
        CosineAnnealingWarmRestarts::entry(),
        Cyclic::entry(),
        OneCycle::entry(),
        Expression::entry(),
        Multiplicative::entry(),
        ReduceOnPlateau::entry(),
        Swa::entry(),
        Noam::entry(),
        Piecewise::entry(),
    ];
    for entry in entries {
        registry.register(entry);
    }
}
