//! The learning-rate finder: a short training on a copy of the model under a rising rate, and what its loss curve
//! suggests (L. N. Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017, section 3.3).
//!
//! [`Sweep`] is the ramp and its stopping rule, without a model; [`LrFinder`] drives it with one; [`LrCurve`] is what
//! comes out; [`suggest`] are the bare rules.

mod curve;
mod finder;
mod plot;
mod suggest;
mod sweep;

pub use curve::{LrCurve, StopReason, Suggestion};
pub use finder::{FinderError, LrFinder};
pub use suggest::{NoSuggestion, Rule, suggest};
pub use sweep::{LrFinderConfig, Ramp, Sweep, SweepError};
