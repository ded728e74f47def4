//! The learning-rate finder: a short training on a copy of the model under a rising rate, and what its loss curve
//! suggests (L. N. Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017, section 3.3).
//!
//! [`LrFinderConfig`] is the grid of rates and [`Sweep`] its walk and stopping rule, without a model; [`LrFinder`] drives
//! it with one; [`LrCurve`] is what comes out, [`LrSweeps`] what comes out of several; [`suggest`] are the bare rules.

mod config;
mod curve;
mod end;
mod finder;
mod judge;
mod plot;
mod repeats;
mod suggest;
mod sweep;

pub use config::{LrFinderConfig, Ramp, Validate};
pub use curve::{LrCurve, Suggestion};
pub use end::SweepEnd;
pub use finder::{FinderError, LrFinder, Subject};
pub use repeats::{LossBand, LrSweeps, SuggestionSpread};
pub use suggest::{NoSuggestion, Rule, suggest};
pub use sweep::Sweep;
