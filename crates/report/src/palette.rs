//! Colours of the series and of the furniture.

use crate::canvas::{Dash, Ink};

/// The palette of Okabe and Ito ("Color Universal Design", 2008), told apart under the common colour-vision
/// deficiencies; without its yellow, with its orange and its sky blue replaced by an ochre and a violet, because all three
/// are too pale for a line on white (a contrast below the 3 that WCAG 2 asks of graphics), and with black last.
const COLOURS: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (155, 110, 0), (120, 94, 240), (0, 0, 0)];

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
    COLOURS[n % COLOURS.len()]
}

/// The dash of the n-th series: when the colours come round again, the dashes tell the series apart. Those of the right
/// axis are never those of the left, so that a schedule and its momentum, of one colour, are two things.
pub(crate) fn dash(n: usize, right: bool) -> Dash {
    let rounds = if right { [Dash::Dashed, Dash::Sparse, Dash::Wide] } else { [Dash::Solid, Dash::Dotted, Dash::Long] };
    rounds[n / COLOURS.len() % rounds.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast of two colours, by WCAG 2's formula.
    fn contrast(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
        let linear = |channel: u8| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.039_28 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |(r, g, b)| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
        let ratio: f64 = luminance(a) / luminance(b);
        ratio.max(1.0 / ratio)
    }

    fn hex(text: &str) -> (u8, u8, u8) {
        let channel = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (channel(0), channel(2), channel(4))
    }

    #[test]
    fn every_colour_stands_out_from_its_ground() {
        for colour in COLOURS {
            assert!(contrast(colour, PAPER.0) >= 3.0, "{colour:?}: {}", contrast(colour, PAPER.0));
        }
        // The page's own, in the light and in the dark: `--c0: #0072b2;` and so on.
        let style = include_str!("page/page.css");
        for theme in style.split(":root {").skip(1).map(|theme| theme.split('}').next().unwrap()) {
            let value = |name: &str| hex(&theme.split(&format!("{name}: #")).nth(1).unwrap()[..6]);
            for number in 0..COLOURS.len() {
                let found = contrast(value(&format!("--c{number}")), value("--card"));
                assert!(found >= 3.0, "--c{number}: {found}");
            }
        }
    }

    #[test]
    fn both_axes_have_dashes_of_their_own() {
        assert_eq!([dash(0, false), dash(7, false), dash(14, false)], [Dash::Solid, Dash::Dotted, Dash::Long]);
        for n in 0..50 {
            for m in 0..50 {
                assert_ne!(dash(n, false), dash(m, true), "{n} {m}");
            }
        }
    }
}
