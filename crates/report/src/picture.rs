//! Draws a chart on a canvas, back to front.

use plotters::prelude::SVGBackend;
use plotters_backend::{DrawingBackend, DrawingErrorKind};

use crate::axis::{Tick, Window};
use crate::canvas::{Anchor, Canvas, Dash, Ink, Lettering, Pen, Px, UNITS};
use crate::chart::{Mark, Shape};
use crate::font::Face;
use crate::layout::{Key, LEGEND_KEY, LEGEND_LINE, Layout, Rect, em};
use crate::palette;
use crate::png::Raster;
use crate::prepare::{Place, Prepared};
use crate::{Chart, ReportError, plain};

type Drawn<B> = Result<(), DrawingErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A piece with more points than this is thinned to what its pixels can show.
const THIN_ABOVE: usize = 2000;

impl Chart {
    /// The chart as an SVG document. Text stays text: a viewer with Roboto shows it as in the PNG, another one in a
    /// font of similar width.
    ///
    /// # Errors
    ///
    /// [`ReportError::Size`] if the chart's size is out of bounds.
    pub fn to_svg(&self) -> Result<String, ReportError> {
        let face = Face::load();
        let grid = self.grid_size()?;
        let mut svg = String::new();
        {
            let mut backend = SVGBackend::with_string(&mut svg, grid);
            self.draw(&mut backend, face)?;
        }
        // plotters writes the fine grid's size as the picture's and knows neither joins nor titles.
        let (width, height) = self.size;
        let open = format!("<svg width=\"{}\" height=\"{}\"", grid.0, grid.1);
        let proper = format!("<svg width=\"{width}\" height=\"{height}\" role=\"img\" stroke-linejoin=\"round\"");
        let mut svg = svg.replacen(&open, &proper, 1);
        if let Some(end) = svg.find('>') {
            svg.insert_str(end + 1, &format!("\n<title>{}</title>", escaped(&self.title)));
        }
        Ok(plain(&svg))
    }

    /// The chart as a PNG file's bytes, [`Chart::PNG_SCALE`] pixels for each of [`Chart::size`].
    ///
    /// # Errors
    ///
    /// [`ReportError::Size`] if the chart's size is out of bounds.
    pub fn to_png(&self) -> Result<Vec<u8>, ReportError> {
        let face = Face::load();
        let mut raster = Raster::new(self.grid_size()?, f64::from(Self::PNG_SCALE) / UNITS, face)?;
        self.draw(&mut raster, face)?;
        raster.encode()
    }

    fn grid_size(&self) -> Result<(u32, u32), ReportError> {
        let (width, height) = self.size;
        let (min_width, min_height) = Self::MIN_SIZE;
        if width < min_width || height < min_height || width.max(height) > Self::MAX_SIDE {
            return Err(ReportError::Size { width, height });
        }
        Ok((width * UNITS as u32, height * UNITS as u32))
    }

    fn draw<B: DrawingBackend>(&self, backend: &mut B, face: &Face) -> Result<(), ReportError> {
        let ready = self.prepare();
        let layout = Layout::of(self, &ready, face);
        let mut picture = Picture { chart: self, ready: &ready, layout: &layout, face, canvas: Canvas::new(backend) };
        picture.draw().map_err(|e| ReportError::Draw(e.to_string()))?;
        backend.present().map_err(|e| ReportError::Draw(e.to_string()))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

struct Picture<'a, B: DrawingBackend> {
    chart: &'a Chart,
    ready: &'a Prepared<'a>,
    layout: &'a Layout,
    face: &'a Face,
    canvas: Canvas<'a, B>,
}

fn letters(em: f64, ink: Ink, anchor: Anchor) -> Lettering {
    Lettering { em, ink, anchor, upward: false }
}

fn thin(ink: Ink) -> Pen {
    Pen { ink, width: 1.0 }
}

impl<B: DrawingBackend> Picture<'_, B> {
    fn draw(&mut self) -> Drawn<B> {
        let size = (f64::from(self.chart.size.0), f64::from(self.chart.size.1));
        self.canvas.rect((0.0, 0.0), size, palette::PAPER)?;
        self.grid()?;
        self.areas()?;
        self.mark_lines()?;
        self.curves(true)?;
        self.curves(false)?;
        self.axes()?;
        self.mark_points()?;
        self.legend()?;
        self.texts()
    }

    fn window(&self, right: bool) -> Window {
        if right { self.ready.right.unwrap_or(self.ready.y) } else { self.ready.y }
    }

    fn at(&self, (x, y): Place, right: bool) -> Px {
        let plot = &self.layout.plot;
        (plot.across(&self.ready.x, x), plot.up(&self.window(right), y))
    }

    fn grid(&mut self) -> Drawn<B> {
        let plot = self.layout.plot;
        // Unlabelled lines first, so that they do not cut through the labelled ones.
        for labelled in [false, true] {
            let ink = if labelled { palette::GRID } else { palette::GRID_MINOR };
            for tick in self.layout.x_ticks.iter().filter(|t| t.label.is_some() == labelled) {
                let x = plot.across(&self.ready.x, tick.place);
                self.canvas.line(&[(x, plot.y0), (x, plot.y1)], thin(ink), Dash::Solid)?;
            }
            for tick in self.layout.y_ticks.iter().filter(|t| t.label.is_some() == labelled) {
                let y = plot.up(&self.ready.y, tick.place);
                self.canvas.line(&[(plot.x0, y), (plot.x1, y)], thin(ink), Dash::Solid)?;
            }
        }
        Ok(())
    }

    fn axes(&mut self) -> Drawn<B> {
        let plot = self.layout.plot;
        let frame = [(plot.x0, plot.y0), (plot.x0, plot.y1), (plot.x1, plot.y1)];
        self.canvas.line(&frame, thin(palette::FRAME), Dash::Solid)?;
        let number = letters(em::TICK, palette::QUIET, Anchor::Middle);
        for Tick { place, label } in &self.layout.x_ticks {
            let x = plot.across(&self.ready.x, *place);
            let length = if label.is_some() { 5.0 } else { 3.0 };
            self.canvas.line(&[(x, plot.y1), (x, plot.y1 + length)], thin(palette::FRAME), Dash::Solid)?;
            if let Some(label) = label {
                self.canvas.text(label, (x, plot.y1 + 8.0 + em::TICK), number)?;
            }
        }
        self.y_axis(plot.x0, -1.0, self.ready.y, &self.layout.y_ticks)?;
        if let Some(window) = self.ready.right {
            self.canvas.line(&[(plot.x1, plot.y0), (plot.x1, plot.y1)], thin(palette::FRAME), Dash::Solid)?;
            self.y_axis(plot.x1, 1.0, window, &self.layout.right_ticks)?;
        }
        Ok(())
    }

    fn y_axis(&mut self, x: f64, outward: f64, window: Window, ticks: &[Tick]) -> Drawn<B> {
        let anchor = if outward < 0.0 { Anchor::End } else { Anchor::Start };
        for Tick { place, label } in ticks {
            let y = self.layout.plot.up(&window, *place);
            let length = if label.is_some() { 5.0 } else { 3.0 };
            self.canvas.line(&[(x, y), (x + outward * length, y)], thin(palette::FRAME), Dash::Solid)?;
            if let Some(label) = label {
                let at = (x + outward * 8.0, y + em::TICK * 0.36);
                self.canvas.text(label, at, letters(em::TICK, palette::QUIET, anchor))?;
            }
        }
        Ok(())
    }

    fn areas(&mut self) -> Drawn<B> {
        for area in &self.ready.areas {
            let ink = Ink(palette::colour(area.number), 0.18);
            for piece in &area.pieces {
                let low = piece.iter().map(|(x, low, _)| self.at((*x, *low), false));
                let high = piece.iter().rev().map(|(x, _, high)| self.at((*x, *high), false));
                let corners: Vec<Px> = low.chain(high).collect();
                self.canvas.fill(&corners, ink)?;
            }
        }
        Ok(())
    }

    fn curves(&mut self, faint: bool) -> Drawn<B> {
        for curve in self.ready.curves.iter().filter(|curve| curve.faint == faint) {
            let (ink, width) = curve_ink(curve.colour, curve.faint);
            let dash = palette::dash(curve.colour, curve.right);
            for piece in &curve.pieces {
                let points: Vec<Px> = piece.iter().map(|p| self.at(*p, curve.right)).collect();
                if curve.shape == Shape::Points || points.len() == 1 {
                    for point in thinned(&points) {
                        self.canvas.dot(point, 2.6, ink)?;
                    }
                } else {
                    self.canvas.line(&thinned(&points), Pen { ink, width }, dash)?;
                }
            }
        }
        Ok(())
    }

    fn mark_lines(&mut self) -> Drawn<B> {
        let plot = self.layout.plot;
        let pen = Pen { ink: palette::MARK, width: 1.2 };
        let mut labels = self.layout.mark_labels.iter();
        for mark in &self.chart.marks {
            match mark {
                Mark::X { x, .. } => {
                    let label = labels.next().and_then(Option::as_ref);
                    let Some(place) = self.ready.x.scale.place(*x) else { continue };
                    let x = plot.across(&self.ready.x, place);
                    // Up to its label, wherever that had to go.
                    let top = label.map_or(plot.y0, |label| label.baseline + 3.0);
                    self.canvas.line(&[(x, top), (x, plot.y1)], pen, Dash::Dashed)?;
                }
                Mark::Y { y, .. } => {
                    let Some(place) = self.ready.y.scale.place(*y) else { continue };
                    let y = plot.up(&self.ready.y, place);
                    if y >= plot.y0 && y <= plot.y1 {
                        self.canvas.line(&[(plot.x0, y), (plot.x1, y)], pen, Dash::Dashed)?;
                    }
                }
                Mark::Point { .. } => {}
            }
        }
        for label in self.layout.mark_labels.iter().flatten() {
            let half = self.face.width(&label.text) * em::MARK / 2.0 + 2.0;
            // Another mark's line may pass behind the text.
            let from = (label.middle - half, label.baseline - em::MARK * 0.85);
            self.canvas.rect(from, (label.middle + half, label.baseline + 3.0), palette::PAPER)?;
            let style = letters(em::MARK, palette::MARK, Anchor::Middle);
            self.canvas.text(&label.text, (label.middle, label.baseline), style)?;
        }
        Ok(())
    }

    /// Ringed points, and the labels that stand on the plot: over the curves, with paper behind the letters.
    fn mark_points(&mut self) -> Drawn<B> {
        let plot = self.layout.plot;
        for mark in &self.chart.marks {
            match mark {
                Mark::X { .. } => {}
                Mark::Y { y, label } => {
                    let Some(place) = self.ready.y.scale.place(*y) else { continue };
                    let y = plot.up(&self.ready.y, place);
                    if y >= plot.y0 && y <= plot.y1 {
                        // Above the line, unless that would be outside.
                        let baseline = if y - plot.y0 > 20.0 { y - 5.0 } else { y + em::MARK + 3.0 };
                        self.on_plot(label, (plot.x1 - 6.0, baseline), Anchor::End)?;
                    }
                }
                Mark::Point { x, y, label } => {
                    let Some(place) = self.ready.x.scale.place(*x).zip(self.ready.y.scale.place(*y)) else { continue };
                    let at = self.at(place, false);
                    if at.1 < plot.y0 - 0.5 || at.1 > plot.y1 + 0.5 {
                        continue;
                    }
                    self.canvas.dot(at, 5.5, palette::PAPER)?;
                    self.canvas.dot(at, 4.5, palette::MARK)?;
                    self.canvas.dot(at, 2.5, palette::PAPER)?;
                    let fits_right = at.0 + 10.0 + self.face.width(label) * em::MARK < plot.x1;
                    let (dx, anchor) = if fits_right { (10.0, Anchor::Start) } else { (-10.0, Anchor::End) };
                    self.on_plot(label, (at.0 + dx, at.1 - 6.0), anchor)?;
                }
            }
        }
        Ok(())
    }

    fn on_plot(&mut self, label: &str, at: Px, anchor: Anchor) -> Drawn<B> {
        if label.is_empty() {
            return Ok(());
        }
        let width = self.face.width(label) * em::MARK;
        let x0 = if anchor == Anchor::End { at.0 - width } else { at.0 };
        let paper = Ink(palette::PAPER.0, 0.8);
        self.canvas.rect((x0 - 2.0, at.1 - em::MARK * 0.85), (x0 + width + 2.0, at.1 + 3.0), paper)?;
        self.canvas.text(label, at, letters(em::MARK, palette::MARK, anchor))
    }

    fn legend(&mut self) -> Drawn<B> {
        let Some(legend) = &self.layout.legend else { return Ok(()) };
        let Rect { x0, y0, x1, y1 } = legend.at;
        if legend.inside {
            self.canvas.rect((x0, y0), (x1, y1), Ink(palette::PAPER.0, 0.9))?;
            let border = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
            self.canvas.line(&border, thin(palette::GRID), Dash::Solid)?;
        }
        for (row, (key, label)) in legend.entries.iter().enumerate() {
            let middle = y0 + 4.0 + LEGEND_LINE * (row as f64 + 0.5);
            let (from, to) = ((x0 + 6.0, middle), (x0 + LEGEND_KEY - 6.0, middle));
            match *key {
                Key::Curve { colour, faint, shape: Shape::Points, .. } => {
                    let (ink, _) = curve_ink(colour, faint);
                    self.canvas.dot((f64::midpoint(from.0, to.0), middle), 3.0, ink)?;
                }
                Key::Curve { colour, right, faint, .. } => {
                    let (ink, width) = curve_ink(colour, faint);
                    self.canvas.line(&[from, to], Pen { ink, width }, palette::dash(colour, right))?;
                }
                Key::Area { number } => {
                    let ink = Ink(palette::colour(number), 0.25);
                    self.canvas.rect((from.0, middle - 5.0), (to.0, middle + 5.0), ink)?;
                }
                Key::More => {}
            }
            let at = (x0 + LEGEND_KEY, middle + em::LEGEND * 0.36);
            self.canvas.text(label, at, letters(em::LEGEND, palette::TEXT, Anchor::Start))?;
        }
        Ok(())
    }

    fn texts(&mut self) -> Drawn<B> {
        let plot = self.layout.plot;
        let height = f64::from(self.chart.size.1);
        for (i, line) in self.layout.title.iter().enumerate() {
            let at = (16.0, 23.0 + 21.0 * i as f64);
            self.canvas.text(line, at, letters(em::TITLE, palette::TEXT, Anchor::Start))?;
        }
        let (across, up) = (f64::midpoint(plot.x0, plot.x1), f64::midpoint(plot.y0, plot.y1));
        let label = letters(em::LABEL, palette::TEXT, Anchor::Middle);
        let upward = Lettering { upward: true, ..label };
        let note_room = if self.layout.note.is_some() { em::NOTE + 6.0 } else { 0.0 };
        let x_label = self.face.shorten(&self.chart.x_label, plot.width() / em::LABEL);
        self.canvas.text(&x_label, (across, height - 10.0 - note_room), label)?;
        let y_label = self.face.shorten(&self.chart.y_label, plot.height() / em::LABEL);
        self.canvas.text(&y_label, (12.0 + em::LABEL * 0.76, up), upward)?;
        if let Some(axis) = &self.chart.right {
            let text = self.face.shorten(&axis.label, plot.height() / em::LABEL);
            let ticks = self.layout.right_ticks.iter().filter_map(|t| t.label.as_ref());
            let widest = ticks.map(|l| self.face.width(l) * em::TICK).fold(0.0, f64::max);
            self.canvas.text(&text, (plot.x1 + 8.0 + widest + 8.0 + em::LABEL * 0.76, up), upward)?;
        }
        if let Some(note) = &self.layout.note {
            self.canvas.text(note, (16.0, height - 7.0), letters(em::NOTE, palette::QUIET, Anchor::Start))?;
        }
        Ok(())
    }
}

fn curve_ink(number: usize, faint: bool) -> (Ink, f64) {
    let colour = palette::colour(number);
    if faint { (Ink(colour, 0.4), 1.1) } else { (Ink(colour, 1.0), 1.8) }
}

/// Of the points that fall into the same half pixel column: the first, the lowest, the highest and the last. What is
/// left out could not be seen.
fn thinned(points: &[Px]) -> Vec<Px> {
    if points.len() <= THIN_ABOVE {
        return points.to_vec();
    }
    let mut kept: Vec<Px> = Vec::new();
    let column = |p: &Px| (p.0 * 2.0).floor();
    for run in points.chunk_by(|a, b| column(a) == column(b)) {
        let lowest = run.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(i, _)| i);
        let highest = run.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(i, _)| i);
        let mut chosen = [0, lowest, highest, run.len() - 1];
        chosen.sort_unstable();
        let mut last = None;
        for i in chosen {
            if last != Some(i) {
                kept.push(run[i]);
            }
            last = Some(i);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_every_extreme() {
        let points: Vec<Px> =
            (0..100_000).map(|i| (f64::from(i) / 200.0, if i == 54_321 { 99.0 } else { f64::from(i % 7) })).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= 4 * 1001, "{}", kept.len());
        assert!(kept.iter().any(|p| p.1 == 99.0), "the spike is gone");
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
        assert_eq!(thinned(&points[..100]), points[..100]);
    }
}
