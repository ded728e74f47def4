//! Several runs as one result: statistics over seeds, ranking, the choice of a rate from a grid, and how it is shown.
//!
//! It is given numbers (each run's curves and final figures as a [`RunLog`]) and knows numbers and `report`. It knows no
//! tensors, models, configurations or run folders: `anneal` runs them.
//!
//! ```
//! use study::{Contender, RateChoice, Run, RunLog, RunStatus, StudySetup, Study};
//!
//! let run = |seed, accuracy| {
//!     let log = RunLog { test: Some(accuracy), ..RunLog::default() };
//!     Run::new(seed, format!("cosine/seed-{seed}"), RunStatus::Finished, None, log)
//! };
//! let cosine = Contender::new("cosine", vec![run(1, 98.0), run(2, 99.0)]);
//! let step = Contender::new("step", vec![run(1, 97.0), run(2, 97.0)]);
//! let study = Study::new(StudySetup { seeds: vec![1, 2], ..StudySetup::default() }, vec![step, cosine]);
//! assert_eq!(study.contenders[0].name, "cosine");
//! let gap = study.contenders[1].behind_first.as_ref().expect("two seeds in common");
//! assert_eq!((gap.mean, gap.seeds), (1.5, 2));
//! ```
//!
//! Layers, each knowing only those before it: `spread` and `curve` (statistics of numbers), `measure` (what runs are compared by), `run`, `rate`, `contender`,
//! `result` (the ranking, and what `compare.json` holds), `charts` and `tables`, `page`.

mod charts;
mod contender;
mod curve;
mod measure;
mod page;
mod rate;
mod result;
mod run;
mod spread;
mod tables;

pub use charts::{without_diverged, without_failed};
pub use contender::{Contender, Gap, TimeToTarget};
pub use curve::Curve;
pub use measure::Measure;
pub use rate::{FinderSweep, Rate, RateChoice, RateSource, Trial, choose};
pub use result::{Study, StudySetup, TimeTarget, TuningCost};
pub use run::{Run, RunLog, RunStatus};
pub use spread::Spread;
