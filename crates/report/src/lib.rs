//! Numbers into pictures and files. Knows curves, marks, axes and tables; knows no model, no optimizer and no training loop.
//!
//! A [`Chart`] is plain data put together by a builder. It becomes an SVG, a PNG or a small plot in the terminal:
//!
//! ```
//! use report::{Chart, Series};
//!
//! let rates = [1e-4, 1e-3, 1e-2, 1e-1];
//! let chart = Chart::new("LR finder")
//!     .x("learning rate")
//!     .y("loss")
//!     .x_log()
//!     .series(Series::line("smoothed", rates, [2.3, 1.9, 0.8, 1.4]))
//!     .mark_x(1e-2, "valley 1.0e-2");
//! let svg = chart.to_svg()?;
//! assert!(svg.contains("valley 1.0e-2"));
//! println!("{}", chart.terminal(60, 12));
//! # Ok::<(), report::ReportError>(())
//! ```
//!
//! Layers, each knowing only those above it: [`Chart`] (data) and `axis` (ranges, ticks, labels); `prepare` (what of
//! the data can be drawn, where); `layout` and `picture` (a chart onto a canvas), `terminal`; `canvas` and `font`
//! (pixels and letters over plotters' drawing trait); `png` (that trait over tiny-skia); `save` (files). Beside them:
//! [`page`] (HTML with charts in it), [`tensorboard`] (event files), `table` (CSV) and [`atomic_write`].

mod atomic;
mod axis;
mod canvas;
mod chart;
mod error;
mod font;
mod layout;
pub mod page;
mod palette;
mod picture;
mod png;
mod prepare;
mod save;
mod schedule;
mod table;
pub mod tensorboard;
mod terminal;

pub use atomic::{
    atomic_write, is_kept_aside, is_replaceable, is_unfinished, is_unfinished_beginning, keep_aside, open_regular,
    read_regular, read_regular_text, refuse_place,
};
pub use axis::Scale;
pub use chart::{Band, Chart, Mark, RightAxis, Series, Shape};
pub use error::ReportError;
pub use page::plain;
pub use prepare::{DropReason, Dropped};
pub use schedule::{ScheduleCurve, function_curve, schedule_chart};
pub use table::{CsvError, GrowingCsv, NamedCell};
