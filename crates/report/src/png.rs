//! PNG: plotters' drawing trait over tiny-skia, with text filled from the plot font's outlines.

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontTransform,
};
use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Stroke, Transform};

use crate::ReportError;
use crate::atomic::WRITTEN;
use crate::canvas::TEXT_SIZE_RATIO;
use crate::font::{ASCENT, Face};

/// A bitmap that is drawn on in units finer than its pixels.
pub(crate) struct Raster<'a> {
    pixels: Pixmap,
    size: (u32, u32),
    to_pixels: f32,
    face: &'a Face,
}

impl<'a> Raster<'a> {
    /// A white bitmap of `size` units, `pixels_per_unit` pixels each.
    pub(crate) fn new(size: (u32, u32), pixels_per_unit: f64, face: &'a Face) -> Result<Self, ReportError> {
        let side = |units: u32| (f64::from(units) * pixels_per_unit).round() as u32;
        let (width, height) = (side(size.0), side(size.1));
        let mut pixels = Pixmap::new(width, height).ok_or(ReportError::Size { width, height })?;
        pixels.fill(Color::WHITE);
        Ok(Self { pixels, size, to_pixels: pixels_per_unit as f32, face })
    }

    /// The finished picture as a PNG file's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ReportError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.pixels.width(), self.pixels.height());
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        // Everything stands on white: no pixel lets anything through, so that none needs to be divided by its opacity.
        encoder
            .add_text_chunk("Software".to_owned(), WRITTEN.to_owned())
            .and_then(|()| encoder.write_header()?.write_image_data(self.pixels.data()))
            .map_err(|e| ReportError::Draw(e.to_string()))?;
        Ok(bytes)
    }

    fn scale(&self) -> Transform {
        Transform::from_scale(self.to_pixels, self.to_pixels)
    }

    fn fill(&mut self, path: Option<tiny_skia::Path>, color: BackendColor, transform: Transform) {
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(color), FillRule::Winding, transform, None);
        }
    }

    fn stroke(&mut self, path: Option<tiny_skia::Path>, color: BackendColor, width: u32) {
        let stroke =
            Stroke { width: width as f32, line_cap: LineCap::Butt, line_join: LineJoin::Round, ..Stroke::default() };
        let transform = self.scale();
        // A line without length, as a dash between two points in one place, draws nothing, and tiny-skia would say so.
        let has_length = |path: &tiny_skia::Path| path.bounds().width() > 0.0 || path.bounds().height() > 0.0;
        if let Some(path) = path.filter(has_length) {
            self.pixels.stroke_path(&path, &paint(color), &stroke, transform, None);
        }
    }
}

fn paint(color: BackendColor) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let (r, g, b) = color.rgb;
    paint.set_color_rgba8(r, g, b, (color.alpha.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint
}

fn polyline(points: impl IntoIterator<Item = BackendCoord>, close: bool) -> Option<tiny_skia::Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        if i == 0 {
            path.move_to(x as f32, y as f32);
        } else {
            path.line_to(x as f32, y as f32);
        }
    }
    if close {
        path.close();
    }
    path.finish()
}

fn rectangle(from: BackendCoord, to: BackendCoord) -> Option<tiny_skia::Path> {
    polyline([from, (to.0, from.1), to, (from.0, to.1)], true)
}

type Drawn = Result<(), DrawingErrorKind<std::convert::Infallible>>;

impl DrawingBackend for Raster<'_> {
    type ErrorType = std::convert::Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let transform = self.scale();
        self.fill(rectangle((x, y), (x + 1, y + 1)), color, transform);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.stroke(polyline([from, to], false), style.color(), style.stroke_width());
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        if fill {
            let transform = self.scale();
            self.fill(rectangle(from, to), style.color(), transform);
        } else {
            self.stroke(rectangle(from, to), style.color(), style.stroke_width());
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.stroke(polyline(path, false), style.color(), style.stroke_width());
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, at: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let path = PathBuilder::from_circle(at.0 as f32, at.1 as f32, radius as f32);
        if fill {
            let transform = self.scale();
            self.fill(path, style.color(), transform);
        } else {
            self.stroke(path, style.color(), style.stroke_width());
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        let transform = self.scale();
        self.fill(polyline(corners, true), style.color(), transform);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, pos: BackendCoord) -> Drawn {
        let em = (style.size() / TEXT_SIZE_RATIO) as f32;
        let width = self.face.width(text) as f32;
        let across = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let down = match style.anchor().v_pos {
            VPos::Top => ASCENT as f32,
            // Half and one x-height-ish step, as in plotters' SVG (0.5 ex, -0.5 ex).
            VPos::Center => 0.26,
            VPos::Bottom => -0.26,
        };
        let degrees = match style.transform() {
            FontTransform::None => 0.0,
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
        };
        let mut outline = PathBuilder::new();
        self.face.outline(text, &mut outline);
        let transform = self
            .scale()
            .pre_translate(pos.0 as f32, pos.1 as f32)
            .pre_rotate(degrees)
            .pre_scale(em, em)
            .pre_translate(across, down);
        self.fill(outline.finish(), style.color(), transform);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Self::ErrorType>> {
        let em = style.size() / TEXT_SIZE_RATIO;
        Ok(((self.face.width(text) * em).ceil() as u32, em.ceil() as u32))
    }
}
