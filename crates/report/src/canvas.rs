//! A canvas in pixels with fractions, over any plotters backend.
//!
//! plotters draws on whole numbers. To keep curves smooth, the backends are given a grid [`UNITS`] times finer than
//! the picture's pixels; SVG undoes that by its `viewBox`, PNG by its own scale.

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily,
    FontTransform,
};

use crate::font::{ASCENT, FAMILY};

/// Grid units per pixel.
pub(crate) const UNITS: f64 = 10.0;

/// plotters' SVG backend writes a font size of `size / 1.24`; ours agree by the same number.
pub(crate) const TEXT_SIZE_RATIO: f64 = 1.24;

/// A colour with its opacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ink(pub(crate) (u8, u8, u8), pub(crate) f64);

/// A colour and a width in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pen {
    pub(crate) ink: Ink,
    pub(crate) width: f64,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        BackendColor { alpha: self.ink.1, rgb: self.ink.0 }
    }

    fn stroke_width(&self) -> u32 {
        (self.width * UNITS).round().max(1.0) as u32
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A text's looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lettering {
    pub(crate) em: f64,
    pub(crate) ink: Ink,
    pub(crate) anchor: Anchor,
    /// Reads from bottom to top.
    pub(crate) upward: bool,
}

impl BackendTextStyle for Lettering {
    type FontError = std::convert::Infallible;

    fn color(&self) -> BackendColor {
        BackendColor { alpha: self.ink.1, rgb: self.ink.0 }
    }

    fn size(&self) -> f64 {
        self.em * UNITS * TEXT_SIZE_RATIO
    }

    fn transform(&self) -> FontTransform {
        if self.upward { FontTransform::Rotate270 } else { FontTransform::None }
    }

    fn anchor(&self) -> Pos {
        let h_pos = match self.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // Top is the one anchor whose distance to the baseline is a fixed number of em in every viewer.
        Pos::new(h_pos, VPos::Top)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILY)
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Self::FontError> {
        // Only a backend that cannot draw text asks for this; both of ours can.
        let em = self.em * UNITS;
        Ok(((0, 0), ((em * 0.6 * text.chars().count() as f64) as i32, em as i32)))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _text: &str,
        _pos: BackendCoord,
        _draw: F,
    ) -> Result<Result<(), E>, Self::FontError> {
        Ok(Ok(()))
    }
}

/// How a line is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Sparse,
    Long,
    Wide,
}

impl Dash {
    /// Drawn and left out, in pixels, in turn.
    fn pattern(self) -> Option<[f64; 2]> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some([7.0, 4.0]),
            Self::Dotted => Some([2.0, 3.0]),
            Self::Sparse => Some([4.0, 7.0]),
            Self::Long => Some([14.0, 3.0]),
            Self::Wide => Some([10.0, 9.0]),
        }
    }
}

/// A point in pixels from the upper left corner.
pub(crate) type Px = (f64, f64);

/// Draws in pixels with fractions.
pub(crate) struct Canvas<'a, B: DrawingBackend> {
    backend: &'a mut B,
}

type Drawn<B> = Result<(), DrawingErrorKind<<B as DrawingBackend>::ErrorType>>;

fn grid((x, y): Px) -> BackendCoord {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    pub(crate) fn new(backend: &'a mut B) -> Self {
        Self { backend }
    }

    pub(crate) fn line(&mut self, points: &[Px], pen: Pen, dash: Dash) -> Drawn<B> {
        match dash.pattern() {
            None => self.stroke(points, pen),
            Some(pattern) => broken(points, pattern).iter().try_for_each(|piece| self.stroke(piece, pen)),
        }
    }

    fn stroke(&mut self, points: &[Px], pen: Pen) -> Drawn<B> {
        if points.len() < 2 {
            return Ok(());
        }
        self.backend.draw_path(points.iter().copied().map(grid), &pen)
    }

    pub(crate) fn fill(&mut self, corners: &[Px], ink: Ink) -> Drawn<B> {
        self.backend.fill_polygon(corners.iter().copied().map(grid), &Pen { ink, width: 0.0 })
    }

    pub(crate) fn rect(&mut self, from: Px, to: Px, ink: Ink) -> Drawn<B> {
        self.backend.draw_rect(grid(from), grid(to), &Pen { ink, width: 0.0 }, true)
    }

    pub(crate) fn dot(&mut self, at: Px, radius: f64, ink: Ink) -> Drawn<B> {
        let radius = (radius * UNITS).round() as u32;
        self.backend.draw_circle(grid(at), radius, &Pen { ink, width: 0.0 }, true)
    }

    /// Writes a text whose baseline passes through `at`.
    pub(crate) fn text(&mut self, text: &str, at: Px, style: Lettering) -> Drawn<B> {
        if text.is_empty() {
            return Ok(());
        }
        let rise = ASCENT * style.em;
        let at = if style.upward { (at.0 - rise, at.1) } else { (at.0, at.1 - rise) };
        self.backend.draw_text(text, &style, grid(at))
    }
}

/// Cuts a polyline into the drawn pieces of a dash pattern (lengths in pixels).
fn broken(points: &[Px], pattern: [f64; 2]) -> Vec<Vec<Px>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Px> = points.first().copied().into_iter().collect();
    let mut drawing = true;
    let mut left = pattern[0];
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if drawing {
                    piece.push(to);
                }
                break;
            }
            let part = left / length;
            from = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            if drawing {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            drawing = !drawing;
            left = pattern[usize::from(!drawing)];
        }
    }
    if drawing && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashed_line_keeps_its_pattern_around_corners() {
        // 10 to the right, 10 down; pattern 6 on, 3 off: on 0-6, off 6-9, on 9-15, off 15-18, on 18-20.
        let pieces = broken(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], [6.0, 3.0]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0], [(0.0, 0.0), (6.0, 0.0)]);
        assert_eq!(pieces[1], [(9.0, 0.0), (10.0, 0.0), (10.0, 5.0)]);
        assert_eq!(pieces[2], [(10.0, 8.0), (10.0, 10.0)]);
    }

    #[test]
    fn a_point_has_nothing_to_break() {
        assert!(broken(&[(1.0, 1.0)], [6.0, 3.0]).is_empty());
        assert!(broken(&[], [6.0, 3.0]).is_empty());
    }
}
