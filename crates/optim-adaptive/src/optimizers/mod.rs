//! One file per optimizer: its settings, the optimizer, its state and its formula.
//!
//! What lives here knows tensors and formulas. It knows nothing of modules, parameter paths, records or loops.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod burns;
mod decay;
mod nadam;
mod prodigy;
mod radam;
mod rmsprop;
mod schedule_free;
mod sgd;

pub use adadelta::{Adadelta, AdadeltaConfig, AdadeltaState};
pub use adagrad::{Adagrad, AdagradConfig, AdagradState};
pub use adam::{Adam, AdamConfig, AdamState, AdamW, AdamWConfig};
pub use adamax::{Adamax, AdamaxConfig, AdamaxState};
pub use burns::{AdafactorConfig, LambConfig, LionConfig, MuonConfig};
pub use nadam::{NAdam, NAdamConfig, NAdamState};
pub use prodigy::{ProdigyConfig, ProdigyState};
pub use radam::{RAdam, RAdamConfig, RAdamState};
pub use rmsprop::{Rmsprop, RmspropConfig, RmspropState};
pub use schedule_free::{
    ScheduleFreeAdamW, ScheduleFreeAdamWConfig, ScheduleFreeSgd, ScheduleFreeSgdConfig, ScheduleFreeState,
};
pub use sgd::{Sgd, SgdConfig, SgdState};

pub(crate) use decay::Decay;
pub(crate) use prodigy::Prodigy;
pub(crate) use schedule_free::ScheduleFree;
