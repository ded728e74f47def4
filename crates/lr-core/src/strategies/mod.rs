//! The strategies, one file each: settings, then the schedule.
//!
//! Adding one touches its own file, the lists below, its golden rows and its page in `docs/schedules/`.

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
pub(crate) use cosine_annealing::END_OF_COSINE;
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
pub(crate) use plateau::{Plateau, check_metric};
pub use plateau::{ReduceOnPlateau, ThresholdMode};
pub use polynomial::Polynomial;
pub use step::Step;
pub use swa::SwaLr;
pub use warm_restarts::CosineAnnealingWarmRestarts;

/// Registers all of them.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<Fixed>();
    registry.register::<Constant>();
    registry.register::<Step>();
    registry.register::<MultiStep>();
    registry.register::<Exponential>();
    registry.register::<Linear>();
    registry.register::<Polynomial>();
    registry.register::<CosineAnnealing>();
    registry.register::<CosineAnnealingWarmRestarts>();
    registry.register::<Cyclic>();
    registry.register::<OneCycle>();
    registry.register::<Expression>();
    registry.register::<Multiplicative>();
    registry.register::<ReduceOnPlateau>();
    registry.register::<SwaLr>();
    registry.register::<Noam>();
    registry.register::<Piecewise>();
}
