//! Colours of the series and of the furniture.

use crate::canvas::{Dash, Ink};

/// The palette of Okabe and Ito ("Color Universal Design", 2008), told apart under the common colour-vision
/// deficiencies; without its yellow, too pale for a line on white, and with black last.
const OKABE_ITO: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (0, 0, 0)];

/// Titles and labels.
pub(crate) const TEXT: Ink = Ink((38, 38, 38), 1.0);
/// Tick labels and footnotes.
pub(crate) const QUIET: Ink = Ink((90, 90, 90), 1.0);
/// The axes.
pub(crate) const FRAME: Ink = Ink((120, 120, 120), 1.0);
/// Grid lines at labelled ticks.
pub(crate) const GRID: Ink = Ink((223, 223, 223), 1.0);
/// Grid lines at unlabelled ticks.
pub(crate) const GRID_MINOR: Ink = Ink((241, 241, 241), 1.0);
/// Marks.
pub(crate) const MARK: Ink = Ink((70, 70, 70), 1.0);
/// The paper.
pub(crate) const PAPER: Ink = Ink((255, 255, 255), 1.0);

/// The colour of the n-th series.
pub(crate) fn colour(n: usize) -> (u8, u8, u8) {
    OKABE_ITO[n % OKABE_ITO.len()]
}

/// The dash of the n-th series: when the colours come round again, the dashes tell the series apart.
pub(crate) fn dash(n: usize, right: bool) -> Dash {
    let rounds = [Dash::Solid, Dash::Dashed, Dash::Dotted];
    rounds[(n / OKABE_ITO.len() + usize::from(right)) % rounds.len()]
}
