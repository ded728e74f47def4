//! The plot font: how wide a text is, and its outlines.
//!
//! One font, compiled in (`fonts/README.md` says where it is from), serves both formats: PNG fills its outlines, SVG
//! names it first in its `font-family` and is laid out by its advance widths. There is no kerning: labels are short.

use std::collections::HashMap;
use std::sync::LazyLock;

use tiny_skia::PathBuilder;

/// `fonts/outlines.py` says how it is written.
const DATA: &str = include_str!("../fonts/Roboto-Regular.glyphs");

/// What an SVG viewer is asked for, best first. A viewer without the first ones uses a font of similar width.
pub(crate) const FAMILY: &str = "Roboto, Helvetica, Arial, 'Liberation Sans', sans-serif";

/// Distance from the top of a line box to its baseline, in em: plotters' SVG backend shifts text anchored at its top
/// by this much, and the PNG backend follows it so that both put a text at the same place.
pub(crate) const ASCENT: f64 = 0.76;

/// The compiled-in font, ready to measure and to draw in font units.
pub(crate) struct Face {
    units_per_em: f64,
    glyphs: HashMap<char, Glyph>,
    /// The visible empty box in the place of a character that the subset lacks.
    other: Glyph,
}

#[derive(Clone, Copy, Default)]
struct Glyph {
    advance: f32,
    outline: &'static str,
}

static FACE: LazyLock<Face> = LazyLock::new(|| {
    let (units_per_em, lines) = DATA.split_once('\n').unwrap_or_default();
    let mut face =
        Face { units_per_em: units_per_em.parse().unwrap_or(1.0), glyphs: HashMap::new(), other: Glyph::default() };
    for line in lines.lines() {
        let mut parts = line.splitn(3, ' ');
        let (code, advance) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let glyph = Glyph { advance: advance.parse().unwrap_or_default(), outline: parts.next().unwrap_or_default() };
        match u32::from_str_radix(code, 16).ok().and_then(char::from_u32) {
            Some(character) => drop(face.glyphs.insert(character, glyph)),
            None => face.other = glyph,
        }
    }
    face
});

impl Face {
    /// The compiled-in font.
    pub(crate) fn load() -> &'static Self {
        &FACE
    }

    fn glyph(&self, character: char) -> Glyph {
        self.glyphs.get(&character).copied().unwrap_or(self.other)
    }

    /// Width of a text at one em, in em.
    pub(crate) fn width(&self, text: &str) -> f64 {
        text.chars().map(|c| f64::from(self.glyph(c).advance)).sum::<f64>() / self.units_per_em
    }

    /// Adds the outlines of a text, one glyph after the other, to `path`: in em, y down, the baseline's start at 0, 0.
    pub(crate) fn outline(&self, text: &str, path: &mut PathBuilder) {
        let unit = (1.0 / self.units_per_em) as f32;
        let mut pen = 0.0_f32;
        for character in text.chars() {
            let Glyph { advance, outline } = self.glyph(character);
            let mut parts = outline.split_ascii_whitespace();
            while let Some(command) = parts.next() {
                let mut number = || parts.next().and_then(|part| part.parse::<f32>().ok()).unwrap_or_default();
                // Font units have y up.
                let mut point = || ((pen + number()) * unit, -number() * unit);
                match command {
                    "M" => {
                        let (x, y) = point();
                        path.move_to(x, y);
                    }
                    "L" => {
                        let (x, y) = point();
                        path.line_to(x, y);
                    }
                    "Q" => {
                        let ((control_x, control_y), (x, y)) = (point(), point());
                        path.quad_to(control_x, control_y, x, y);
                    }
                    _ => path.close(),
                }
            }
            pen += advance;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_roboto() {
        let face = Face::load();
        // Roboto 2.138, 2048 units per em: "0" advances 1151, "1" too (tabular figures), a space 508.
        assert_eq!(face.width("0"), 1151.0 / 2048.0);
        assert_eq!(face.width("01"), 2302.0 / 2048.0);
        assert_eq!(face.width(" "), 508.0 / 2048.0);
        assert_eq!(face.width(""), 0.0);
    }

    #[test]
    fn every_glyph_is_a_path() {
        let face = Face::load();
        assert_eq!(face.glyphs.len(), 503);
        for glyph in face.glyphs.values().chain([&face.other]) {
            assert!(glyph.advance > 0.0);
            let mut parts = glyph.outline.split(' ').filter(|part| !part.is_empty()).peekable();
            while let Some(command) = parts.next() {
                let numbers = match command {
                    "M" | "L" => 2,
                    "Q" => 4,
                    "Z" => 0,
                    other => panic!("{other} in {}", glyph.outline),
                };
                assert!((0..numbers).all(|_| parts.next().is_some_and(|part| part.parse::<f32>().is_ok())));
                // A contour begins the outline, or the one before has ended.
                assert!(command != "Z" || parts.peek().is_none_or(|next| *next == "M"));
            }
            assert!(glyph.outline.is_empty() || glyph.outline.starts_with('M') && glyph.outline.ends_with('Z'));
        }
    }

    #[test]
    fn every_sign_that_labels_use_is_in_the_subset() {
        let face = Face::load();
        for character in "aZ09 .,:;-+−×·%()[]{}<>=≤≥≈±…–/\\|_^'\"βηγμσθλαεΔ∞⁻⁷äöüßéñ".chars()
        {
            assert!(face.glyphs.contains_key(&character), "{character} is missing");
        }
    }

    #[test]
    fn texts_are_shortened_and_wrapped_to_their_room() {
        let face = Face::load();
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
