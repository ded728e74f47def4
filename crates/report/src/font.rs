//! The plot font: how wide a text is, and its outlines.
//!
//! One font, compiled in (`fonts/README.md` says where it is from), serves both formats: PNG fills its outlines, SVG
//! names it first in its `font-family` and is laid out by its advance widths. There is no kerning: labels are short.

use skrifa::{DrawMemory, Font, GlyphId, PathSink, ScalerFont};

use crate::ReportError;

const DATA: &[u8] = include_bytes!("../fonts/Roboto-Regular-subset.ttf");

/// What an SVG viewer is asked for, best first. A viewer without the first ones uses a font of similar width.
pub(crate) const FAMILY: &str = "Roboto, Helvetica, Arial, 'Liberation Sans', sans-serif";

/// Distance from the top of a line box to its baseline, in em: plotters' SVG backend shifts text anchored at its top
/// by this much, and the PNG backend follows it so that both put a text at the same place.
pub(crate) const ASCENT: f64 = 0.76;

/// The compiled-in font, ready to measure and to draw in font units.
pub(crate) struct Face {
    scaler: ScalerFont,
    units_per_em: f64,
}

impl Face {
    /// Reads the compiled-in font.
    pub(crate) fn load() -> Result<Self, ReportError> {
        let font = Font::new(DATA.to_vec(), 0).ok_or(ReportError::Font)?;
        let units_per_em = f64::from(font.units_per_em());
        if units_per_em <= 0.0 {
            return Err(ReportError::Font);
        }
        // Without a size the scaler works in font units; every text scales from these.
        Ok(Self { scaler: ScalerFont::unhinted(font, None), units_per_em })
    }

    fn glyph(&self, character: char) -> GlyphId {
        // A character that the subset lacks becomes glyph 0, the visible empty box.
        self.scaler.font().charmap().map_unicode(character).unwrap_or_default()
    }

    /// Width of a text at one em, in em.
    pub(crate) fn width(&self, text: &str) -> f64 {
        let metrics = self.scaler.font().glyph_metrics();
        text.chars().map(|c| f64::from(metrics.h_advance(self.glyph(c)))).sum::<f64>() / self.units_per_em
    }

    /// Gives the outlines of a text, one glyph after the other, to `sink`: in em, y down, the baseline's start at 0, 0.
    pub(crate) fn outline(&self, text: &str, sink: &mut impl PathSink) {
        let metrics = self.scaler.font().glyph_metrics();
        let unit = (1.0 / self.units_per_em) as f32;
        let mut pen = 0.0_f32;
        for character in text.chars() {
            let glyph = self.glyph(character);
            if let Some(outline) = self.scaler.outline(glyph) {
                // An outline that cannot be drawn leaves its room empty; the other glyphs stay where they belong.
                let _ = outline.draw(DrawMemory::Scratch, &mut Placed { sink, pen, unit });
            }
            pen += metrics.h_advance(glyph);
        }
    }

    /// The text cut to at most `width` em, with an ellipsis where something is cut off.
    pub(crate) fn shorten(&self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let room = width - self.width("…");
        let mut used = 0.0;
        let mut kept = String::new();
        for character in text.chars() {
            used += self.width(character.encode_utf8(&mut [0; 4]));
            if used > room {
                break;
            }
            kept.push(character);
        }
        kept.truncate(kept.trim_end().len());
        kept.push('…');
        kept
    }

    /// The text broken into at most `max_lines` lines of at most `width` em, at spaces where there are any.
    pub(crate) fn wrap(&self, text: &str, width: f64, max_lines: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut current = String::new();
        for word in text.split_whitespace() {
            let joined = if current.is_empty() { word.to_owned() } else { format!("{current} {word}") };
            if self.width(&joined) <= width || current.is_empty() {
                current = joined;
            } else {
                lines.push(std::mem::replace(&mut current, word.to_owned()));
            }
        }
        if !current.is_empty() {
            lines.push(current);
        }
        if lines.len() > max_lines {
            let rest = lines.split_off(max_lines.saturating_sub(1)).join(" ");
            lines.push(rest);
        }
        lines.iter().map(|line| self.shorten(line, width)).collect()
    }
}

/// Moves a glyph to its place in the line and turns font units (y up) into em (y down).
struct Placed<'a, S> {
    sink: &'a mut S,
    pen: f32,
    unit: f32,
}

impl<S> Placed<'_, S> {
    fn x(&self, x: f32) -> f32 {
        (self.pen + x) * self.unit
    }

    fn y(&self, y: f32) -> f32 {
        -y * self.unit
    }
}

impl<S: PathSink> PathSink for Placed<'_, S> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.sink.move_to(self.x(x), self.y(y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.sink.line_to(self.x(x), self.y(y));
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        self.sink.quad_to(self.x(cx0), self.y(cy0), self.x(x), self.y(y));
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.sink.curve_to(self.x(cx0), self.y(cy0), self.x(cx1), self.y(cy1), self.x(x), self.y(y));
    }

    fn close(&mut self) {
        self.sink.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_roboto() {
        let face = Face::load().unwrap();
        // Roboto 2.138, 2048 units per em: "0" advances 1151, "1" too (tabular figures), a space 508.
        assert_eq!(face.width("0"), 1151.0 / 2048.0);
        assert_eq!(face.width("01"), 2302.0 / 2048.0);
        assert_eq!(face.width(" "), 508.0 / 2048.0);
        assert_eq!(face.width(""), 0.0);
    }

    #[test]
    fn every_sign_that_labels_use_is_in_the_subset() {
        let face = Face::load().unwrap();
        for character in "aZ09 .,:;-+−×·%()[]{}<>=≤≥≈±…–/\\|_^'\"βηγμσθλαεΔ∞⁻⁷äöüßéñ".chars()
        {
            assert_ne!(face.glyph(character), GlyphId::default(), "{character} is missing");
        }
    }

    #[test]
    fn texts_are_shortened_and_wrapped_to_their_room() {
        let face = Face::load().unwrap();
        assert_eq!(face.shorten("loss", 10.0), "loss");
        let short = face.shorten("a label that is much too long for its legend", 8.0);
        assert!(short.ends_with('…') && face.width(&short) <= 8.0, "{short}");
        let lines = face.wrap("one two three four five six seven eight nine ten", 7.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| face.width(line) <= 7.0), "{lines:?}");
        assert_eq!(face.wrap("x", 7.0, 3), ["x"]);
        assert!(face.wrap("  ", 7.0, 3).is_empty());
    }
}
