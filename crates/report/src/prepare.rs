//! From a chart's data to what can be drawn: places on the scales, in unbroken pieces, and the windows around them.

use std::fmt;

use crate::axis::{LARGEST, Scale, Window};
use crate::chart::{Chart, Mark, Shape};

/// Why points are left out of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// NaN or infinite.
    NotFinite,
    /// Zero or negative, on a logarithmic axis.
    NotPositive,
    /// Of a magnitude above 1e300, where distances between numbers overflow.
    TooLarge,
    /// An x without a y, or the other way round.
    Unpaired,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "not finite",
            Self::NotPositive => "not positive, on a log axis",
            Self::TooLarge => "beyond 1e300",
            Self::Unpaired => "x without y or y without x",
        })
    }
}

/// Points of one series or band that the picture does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Label of the series or band.
    pub series: String,
    /// How many points.
    pub points: usize,
    /// Why.
    pub reason: DropReason,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { series, points, reason } = self;
        write!(f, "{points} of {} ({reason})", if series.is_empty() { "the curve" } else { series })
    }
}

/// A point's places on the x and y scale.
pub(crate) type Place = (f64, f64);

/// A series, ready to be drawn.
pub(crate) struct Curve<'a> {
    pub(crate) label: &'a str,
    /// Its place among the series.
    pub(crate) number: usize,
    /// Which colour and dash.
    pub(crate) colour: usize,
    pub(crate) shape: Shape,
    pub(crate) right: bool,
    pub(crate) faint: bool,
    /// Runs of points without a gap.
    pub(crate) pieces: Vec<Vec<Place>>,
}

/// A band, ready to be drawn.
pub(crate) struct Area<'a> {
    pub(crate) label: &'a str,
    pub(crate) number: usize,
    /// Runs of (x, low, high) without a gap.
    pub(crate) pieces: Vec<Vec<(f64, f64, f64)>>,
}

/// A chart's drawable content.
pub(crate) struct Prepared<'a> {
    pub(crate) curves: Vec<Curve<'a>>,
    pub(crate) areas: Vec<Area<'a>>,
    pub(crate) x: Window,
    pub(crate) y: Window,
    pub(crate) right: Option<Window>,
    /// All abscissae are whole numbers: steps, epochs.
    pub(crate) whole_x: bool,
    pub(crate) dropped: Vec<Dropped>,
}

impl Chart {
    /// What of the data the picture cannot show, per series and reason. Empty if all of it is drawn.
    pub fn dropped(&self) -> Vec<Dropped> {
        self.prepare().dropped
    }

    pub(crate) fn right_scale(&self) -> Scale {
        self.right.as_ref().map_or(Scale::Linear, |axis| axis.scale)
    }

    /// With a margin around the data.
    pub(crate) fn prepare(&self) -> Prepared<'_> {
        self.prepare_with(0.015, 0.06)
    }

    /// Without margins: the windows' ends are those of the data.
    pub(crate) fn prepare_tight(&self) -> Prepared<'_> {
        self.prepare_with(0.0, 0.0)
    }

    fn prepare_with(&self, pad_x: f64, pad_y: f64) -> Prepared<'_> {
        let mut dropped = Vec::new();
        let mut curves: Vec<Curve<'_>> = Vec::new();
        for (number, series) in self.series.iter().enumerate() {
            let y_scale = if series.right { self.right_scale() } else { self.y_scale };
            let mut drop = Drops::new(&series.label, series.xs.len().abs_diff(series.ys.len()));
            let pieces = unbroken(series.xs.iter().zip(&series.ys).map(|(x, y)| {
                let found = self.x_scale.place(*x).zip(y_scale.place(*y));
                if found.is_none() {
                    drop.count(&[(self.x_scale, *x), (y_scale, *y)]);
                }
                found
            }));
            dropped.extend(drop.list());
            let pieces = if series.shape == Shape::Steps { pieces.iter().map(|p| stairs(p)).collect() } else { pieces };
            let (shape, right, faint) = (series.shape, series.right, series.faint);
            let colour = series.colour.unwrap_or(number);
            curves.push(Curve { label: &series.label, number, colour, shape, right, faint, pieces });
        }
        let mut areas: Vec<Area<'_>> = Vec::new();
        for (number, band) in self.bands.iter().enumerate() {
            let lengths = [band.xs.len(), band.low.len(), band.high.len()];
            let (least, most) = (lengths.iter().min(), lengths.iter().max());
            let mut drop = Drops::new(&band.label, most.zip(least).map_or(0, |(most, least)| most - least));
            let points = band.xs.iter().zip(&band.low).zip(&band.high).map(|((x, low), high)| {
                let places = (self.x_scale.place(*x), self.y_scale.place(*low), self.y_scale.place(*high));
                if let (Some(x), Some(low), Some(high)) = places {
                    Some((x, low.min(high), low.max(high)))
                } else {
                    drop.count(&[(self.x_scale, *x), (self.y_scale, *low), (self.y_scale, *high)]);
                    None
                }
            });
            areas.push(Area { label: &band.label, number, pieces: unbroken(points) });
            dropped.extend(drop.list());
        }

        let (x, y, right) = self.windows(&curves, &areas, pad_x, pad_y);
        if self.usable_limits().is_some() {
            for curve in curves.iter_mut().filter(|curve| !curve.right) {
                curve.pieces =
                    curve.pieces.iter().flat_map(|piece| clipped(piece, curve.shape, y.low, y.high)).collect();
            }
            for (_, low, high) in areas.iter_mut().flat_map(|area| area.pieces.iter_mut().flatten()) {
                *low = low.clamp(y.low, y.high);
                *high = high.clamp(y.low, y.high);
            }
        }
        let whole_x = self.series.iter().flat_map(|s| &s.xs).all(|x| x.fract() == 0.0);
        Prepared { curves, areas, x, y, right, whole_x, dropped }
    }

    fn usable_limits(&self) -> Option<(f64, f64)> {
        let (low, high) = self.y_limits?;
        let (low, high) = (self.y_scale.place(low)?, self.y_scale.place(high)?);
        (low < high).then_some((low, high))
    }

    fn windows(
        &self,
        curves: &[Curve<'_>],
        areas: &[Area<'_>],
        pad_x: f64,
        pad_y: f64,
    ) -> (Window, Window, Option<Window>) {
        let points = |right: bool| {
            curves.iter().filter(move |c| c.right == right).flat_map(|c| c.pieces.iter().flatten().copied())
        };
        let in_areas = || areas.iter().flat_map(|a| a.pieces.iter().flatten().copied());
        let marks = |axis: fn(&Mark) -> Option<f64>, scale: Scale| {
            self.marks.iter().filter_map(axis).filter_map(move |v| scale.place(v))
        };
        let mark_x = |mark: &Mark| match mark {
            Mark::X { x, .. } | Mark::Point { x, .. } => Some(*x),
            Mark::Y { .. } => None,
        };
        let mark_y = |mark: &Mark| match mark {
            Mark::Y { y, .. } | Mark::Point { y, .. } => Some(*y),
            Mark::X { .. } => None,
        };
        let xs = points(false).chain(points(true)).map(|p| p.0).chain(in_areas().map(|p| p.0));
        let x = Window::around(self.x_scale, xs.chain(marks(mark_x, self.x_scale)), pad_x);
        let y = if let Some((low, high)) = self.usable_limits() {
            Window { scale: self.y_scale, low, high }
        } else {
            let ys = points(false).map(|p| p.1).chain(in_areas().flat_map(|p| [p.1, p.2]));
            Window::around(self.y_scale, ys.chain(marks(mark_y, self.y_scale)), pad_y)
        };
        let wants_right = self.right.is_some() || self.series.iter().any(|s| s.right);
        let right = wants_right.then(|| Window::around(self.right_scale(), points(true).map(|p| p.1), pad_y));
        (x, y, right)
    }
}

/// Counts the points of one series that cannot be shown, by reason.
struct Drops<'a> {
    label: &'a str,
    not_finite: usize,
    not_positive: usize,
    too_large: usize,
    unpaired: usize,
}

impl<'a> Drops<'a> {
    fn new(label: &'a str, unpaired: usize) -> Self {
        Self { label, not_finite: 0, not_positive: 0, too_large: 0, unpaired }
    }

    /// Counts one point, under the first reason that applies to any of its numbers.
    fn count(&mut self, numbers: &[(Scale, f64)]) {
        if numbers.iter().any(|(_, v)| !v.is_finite()) {
            self.not_finite += 1;
        } else if numbers.iter().any(|(_, v)| v.abs() > LARGEST) {
            self.too_large += 1;
        } else {
            self.not_positive += 1;
        }
    }

    fn list(self) -> impl Iterator<Item = Dropped> {
        let series = self.label.to_owned();
        [
            (self.not_finite, DropReason::NotFinite),
            (self.not_positive, DropReason::NotPositive),
            (self.too_large, DropReason::TooLarge),
            (self.unpaired, DropReason::Unpaired),
        ]
        .into_iter()
        .filter(|(points, _)| *points > 0)
        .map(move |(points, reason)| Dropped { series: series.clone(), points, reason })
    }
}

/// Groups the points into runs without a gap.
fn unbroken<P>(points: impl Iterator<Item = Option<P>>) -> Vec<Vec<P>> {
    let mut pieces = vec![Vec::new()];
    for point in points {
        match (point, pieces.last_mut()) {
            (Some(point), Some(piece)) => piece.push(point),
            _ => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Level from each point to the next one's x; the last level is as wide as the narrowest.
fn stairs(points: &[Place]) -> Vec<Place> {
    let mut path = Vec::with_capacity(2 * points.len());
    for pair in points.windows(2) {
        path.extend([pair[0], (pair[1].0, pair[0].1)]);
    }
    if let Some(last) = points.last() {
        path.push(*last);
        let narrowest = points.windows(2).map(|pair| pair[1].0 - pair[0].0).min_by(f64::total_cmp);
        path.extend(narrowest.map(|width| (last.0 + width, last.1)));
    }
    path
}

/// The parts of a polyline between two levels.
fn clipped(points: &[Place], shape: Shape, low: f64, high: f64) -> Vec<Vec<Place>> {
    let inside = |p: &Place| p.1 >= low && p.1 <= high;
    if shape == Shape::Points || points.len() == 1 {
        return points.iter().filter(|p| inside(p)).map(|p| vec![*p]).collect();
    }
    let mut pieces: Vec<Vec<Place>> = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let at = |y: f64| if y1 == y0 { 0.0 } else { ((y - y0) / (y1 - y0)).clamp(0.0, 1.0) };
        if y0.max(y1) < low || y0.min(y1) > high {
            continue;
        }
        let (from, to) = if y0 <= y1 {
            (if y0 < low { at(low) } else { 0.0 }, if y1 > high { at(high) } else { 1.0 })
        } else {
            (if y0 > high { at(high) } else { 0.0 }, if y1 < low { at(low) } else { 1.0 })
        };
        let point = |t: f64| (x0 + (x1 - x0) * t, (y0 + (y1 - y0) * t).clamp(low, high));
        match pieces.last_mut() {
            Some(piece) if from == 0.0 && piece.last() == Some(&pair[0]) => piece.push(point(to)),
            _ => pieces.push(vec![point(from), point(to)]),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Series;

    #[test]
    fn what_an_axis_cannot_show_leaves_a_gap_and_is_counted() {
        let chart = Chart::new("").x_log().y_log().series(Series::line(
            "loss",
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 1.0, 2.0, f64::NAN, -1.0, 3.0],
        ));
        let ready = chart.prepare();
        let lengths: Vec<usize> = ready.curves[0].pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
        let dropped: Vec<String> = chart.dropped().iter().map(ToString::to_string).collect();
        assert_eq!(
            dropped,
            [
                "1 of loss (not finite)",
                "2 of loss (not positive, on a log axis)",
                "1 of loss (x without y or y without x)"
            ]
        );
    }

    #[test]
    fn stairs_hold_each_value_until_the_next() {
        assert_eq!(
            stairs(&[(0.0, 3.0), (1.0, 2.0), (2.0, 1.0)]),
            [(0.0, 3.0), (1.0, 3.0), (1.0, 2.0), (2.0, 2.0), (2.0, 1.0), (3.0, 1.0)]
        );
        assert_eq!(stairs(&[(1.0, 3.0)]), [(1.0, 3.0)]);
        assert!(stairs(&[]).is_empty());
    }

    #[test]
    fn limits_cut_curves_at_the_edge() {
        // Up through the limit at 2 and down again: two pieces, meeting it at x = 0.5 and x = 1.5.
        let pieces = clipped(&[(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)], Shape::Line, 0.0, 2.0);
        assert_eq!(pieces, [vec![(0.0, 1.0), (0.5, 2.0)], vec![(1.5, 2.0), (2.0, 1.0)]]);
        // A jump across both limits.
        assert_eq!(clipped(&[(0.0, -2.0), (1.0, 2.0)], Shape::Line, -1.0, 1.0), [vec![(0.25, -1.0), (0.75, 1.0)]]);
        // Inside stays one piece.
        assert_eq!(clipped(&[(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)], Shape::Line, 0.0, 1.0).len(), 1);
        assert!(clipped(&[(0.0, 5.0), (1.0, 6.0)], Shape::Line, 0.0, 1.0).is_empty());
    }
}
