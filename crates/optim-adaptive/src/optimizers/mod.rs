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

pub use adadelta::{Adadelta, AdadeltaConfig};
pub use adagrad::{Adagrad, AdagradConfig};
pub use adam::{Adam, AdamConfig, AdamW, AdamWConfig};
pub use adamax::{Adamax, AdamaxConfig};
pub use burns::{AdafactorConfig, LambConfig, LionConfig, MuonConfig};
pub use nadam::{NAdam, NAdamConfig};
pub use prodigy::ProdigyConfig;
pub use radam::{RAdam, RAdamConfig};
pub use rmsprop::{Rmsprop, RmspropConfig};
pub use schedule_free::{ScheduleFreeAdamW, ScheduleFreeAdamWConfig, ScheduleFreeSgd, ScheduleFreeSgdConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::optimizer::Entry;
use decay::Decay;

/// This crate's optimizers, in the order they are documented.
pub(crate) const STANDARD: &[Entry] = &[
    Entry::of::<AdamConfig>(),
    Entry::of::<AdamWConfig>(),
    Entry::of::<NAdamConfig>(),
    Entry::of::<RAdamConfig>(),
    Entry::of::<AdamaxConfig>(),
    Entry::of::<AdagradConfig>(),
    Entry::of::<RmspropConfig>(),
    Entry::of::<AdadeltaConfig>(),
    Entry::of::<SgdConfig>(),
    Entry::of::<ProdigyConfig>(),
    Entry::of::<ScheduleFreeAdamWConfig>(),
    Entry::of::<ScheduleFreeSgdConfig>(),
    Entry::of::<LionConfig>(),
    Entry::of::<MuonConfig>(),
    Entry::of::<LambConfig>(),
    Entry::of::<AdafactorConfig>(),
];
