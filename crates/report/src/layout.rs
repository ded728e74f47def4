//! Where everything goes: the plot's frame, ticks, mark labels and the legend, in pixels.

use std::collections::BTreeSet;

use crate::Chart;
use crate::axis::{Tick, Window};
use crate::canvas::Px;
use crate::chart::{Mark, Shape};
use crate::font::Face;
use crate::prepare::Prepared;

/// Letter sizes in pixels.
pub(crate) mod em {
    pub(crate) const TITLE: f64 = 16.0;
    pub(crate) const LABEL: f64 = 13.0;
    pub(crate) const TICK: f64 = 11.5;
    pub(crate) const LEGEND: f64 = 12.0;
    pub(crate) const MARK: f64 = 11.5;
    pub(crate) const NOTE: f64 = 10.5;
}

const TITLE_LINE: f64 = 21.0;
pub(crate) const LEGEND_LINE: f64 = 18.0;
/// From the legend's left edge to its texts: room for a piece of line.
pub(crate) const LEGEND_KEY: f64 = 34.0;
const MARK_LINE: f64 = 16.0;
const LEGEND_TEXT: f64 = 230.0;

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Rect {
    pub(crate) fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    pub(crate) fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    fn contains(&self, (x, y): Px) -> bool {
        x >= self.x0 && x <= self.x1 && y >= self.y0 && y <= self.y1
    }

    /// Where a place on the x window is, across this rectangle.
    pub(crate) fn across(&self, window: &Window, place: f64) -> f64 {
        self.x0 + window.share(place) * self.width()
    }

    /// Where a place on a y window is, up this rectangle.
    pub(crate) fn up(&self, window: &Window, place: f64) -> f64 {
        self.y1 - window.share(place) * self.height()
    }
}

/// What the legend's key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Curve {
        colour: usize,
        right: bool,
        faint: bool,
        shape: Shape,
    },
    Area {
        number: usize,
    },
    /// Entries for which there is no room.
    More,
}

/// The legend.
pub(crate) struct Legend {
    pub(crate) at: Rect,
    pub(crate) entries: Vec<(Key, String)>,
    /// Is on the plot, and so needs paper under it.
    pub(crate) inside: bool,
}

/// Label of a vertical mark: its text's middle and baseline.
pub(crate) struct MarkLabel {
    pub(crate) text: String,
    pub(crate) middle: f64,
    pub(crate) baseline: f64,
}

/// The whole picture's layout.
pub(crate) struct Layout {
    pub(crate) title: Vec<String>,
    pub(crate) plot: Rect,
    pub(crate) x_ticks: Vec<Tick>,
    pub(crate) y_ticks: Vec<Tick>,
    pub(crate) right_ticks: Vec<Tick>,
    pub(crate) legend: Option<Legend>,
    /// One for each [`Mark::X`] in order; `None` where it has no label.
    pub(crate) mark_labels: Vec<Option<MarkLabel>>,
    pub(crate) note: Option<String>,
}

impl Layout {
    pub(crate) fn of(chart: &Chart, ready: &Prepared<'_>, face: &Face) -> Self {
        let (width, height) = (f64::from(chart.size.0), f64::from(chart.size.1));
        let title = face.wrap(&chart.title, (width - 32.0) / em::TITLE, 3);
        let note = (!ready.dropped.is_empty()).then(|| {
            let list: Vec<String> = ready.dropped.iter().map(ToString::to_string).collect();
            face.shorten(&format!("Points not drawn: {}", list.join(", ")), (width - 32.0) / em::NOTE)
        });
        let bottom = height
            - (12.0 + em::TICK + 8.0)
            - if chart.x_label.is_empty() { 0.0 } else { em::LABEL + 8.0 }
            - if note.is_some() { em::NOTE + 6.0 } else { 0.0 };
        let top = 14.0 + TITLE_LINE * title.len() as f64;

        // How many labels fit is decided by the roughly known height; the rest of the layout depends on their widths.
        let rows = ((bottom - top) / 46.0).max(2.0) as usize;
        let y_ticks = ready.y.ticks(rows, false);
        let right_ticks = ready.right.map_or_else(Vec::new, |window| window.ticks(rows, false));
        let widest = |ticks: &[Tick]| {
            ticks.iter().filter_map(|t| t.label.as_ref()).map(|l| face.width(l) * em::TICK).fold(0.0, f64::max)
        };
        let label_room = |label: &str| if label.is_empty() { 0.0 } else { em::LABEL + 8.0 };
        let left = 12.0 + label_room(&chart.y_label) + widest(&y_ticks) + 8.0;
        let right_label = chart.right.as_ref().map_or("", |axis| axis.label.as_str());
        let right_room =
            if ready.right.is_some() { label_room(right_label) + widest(&right_ticks) + 18.0 } else { 22.0 };

        let entries = entries(chart, ready, face, ((bottom - top) / LEGEND_LINE) as usize);
        let legend_size = legend_size(&entries, face);
        let outside_room = legend_size.0 + 14.0;
        let mut layout = Self {
            title,
            plot: Rect { x0: left, y0: top, x1: width - right_room, y1: bottom },
            x_ticks: Vec::new(),
            y_ticks,
            right_ticks,
            legend: None,
            mark_labels: Vec::new(),
            note,
        };
        layout.place_across(chart, ready, face, top);
        if !entries.is_empty() {
            let free = layout.free_corner(chart, ready, legend_size);
            if let Some(at) = free {
                layout.legend = Some(Legend { at, entries, inside: true });
            } else {
                // Nowhere on the plot without covering data: beside it.
                layout.plot.x1 -= outside_room;
                layout.place_across(chart, ready, face, top);
                let x0 = width - 8.0 - legend_size.0;
                let y0 = layout.plot.y0;
                let at = Rect { x0, y0, x1: x0 + legend_size.0, y1: y0 + legend_size.1 };
                layout.legend = Some(Legend { at, entries, inside: false });
            }
        }
        layout
    }

    /// Ticks and mark labels, which depend on the plot's left and right edge; mark labels push its top down.
    fn place_across(&mut self, chart: &Chart, ready: &Prepared<'_>, face: &Face, top: f64) {
        let label_width = if ready.x.scale == crate::Scale::Log { 56.0 } else { 84.0 };
        let columns = (self.plot.width() / label_width).max(2.0) as usize;
        self.x_ticks = ready.x.ticks(columns, ready.whole_x);
        // Labels for which there is no row leave their lines unnamed: the curve needs the room.
        let most_rows = (((self.plot.y1 - top) / 4.0 / MARK_LINE) as usize).max(1);
        let mut rows: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut placed: Vec<Option<(String, f64, usize)>> = Vec::new();
        for mark in &chart.marks {
            let Mark::X { x, label } = mark else { continue };
            let Some(place) = ready.x.scale.place(*x).filter(|_| !label.is_empty()) else {
                placed.push(None);
                continue;
            };
            let text = face.shorten(label, self.plot.width() / em::MARK);
            let half = face.width(&text) * em::MARK / 2.0;
            let middle = self
                .plot
                .across(&ready.x, place)
                .clamp(self.plot.x0 + half, (self.plot.x1 - half).max(self.plot.x0 + half));
            let (from, to) = (middle - half - 5.0, middle + half + 5.0);
            let clear = |row: &Vec<(f64, f64)>| row.iter().all(|(a, b)| to < *a || from > *b);
            let row = rows.iter().position(clear).unwrap_or(rows.len());
            if row == most_rows {
                placed.push(None);
                continue;
            }
            if row == rows.len() {
                rows.push(Vec::new());
            }
            rows[row].push((from, to));
            placed.push(Some((text, middle, row)));
        }
        self.plot.y0 = top + MARK_LINE * rows.len() as f64;
        let y0 = self.plot.y0;
        self.mark_labels = placed
            .into_iter()
            .map(|label| {
                let (text, middle, row) = label?;
                Some(MarkLabel { text, middle, baseline: y0 - 5.0 - MARK_LINE * row as f64 })
            })
            .collect();
    }

    /// A place for the legend on the plot where it covers no curve, band or mark; `None` if there is none.
    fn free_corner(&self, chart: &Chart, ready: &Prepared<'_>, (width, height): (f64, f64)) -> Option<Rect> {
        let plot = self.plot;
        if width > plot.width() * 0.5 || height > plot.height() * 0.7 {
            return None;
        }
        let busy = self.busy(chart, ready);
        let gap = 10.0;
        let (left, right) = (plot.x0 + gap, plot.x1 - gap - width);
        let (top, bottom) = (plot.y0 + gap, plot.y1 - gap - height);
        let (middle, centre) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        [
            (right, top),
            (left, top),
            (left, bottom),
            (right, bottom),
            (middle, top),
            (middle, bottom),
            (right, centre),
            (left, centre),
        ]
        .into_iter()
        .map(|(x0, y0)| Rect { x0, y0, x1: x0 + width, y1: y0 + height })
        .find(|at| !busy.iter().any(|point| at.contains(*point)))
    }

    /// Points, a few pixels apart, on everything that must not be covered.
    fn busy(&self, chart: &Chart, ready: &Prepared<'_>) -> Vec<Px> {
        let plot = self.plot;
        let mut points: Vec<Px> = Vec::new();
        let mut along = |from: Px, to: Px| {
            let steps = ((to.0 - from.0).hypot(to.1 - from.1) / 4.0).ceil().clamp(1.0, 2000.0);
            for i in 0..=steps as usize {
                let t = i as f64 / steps;
                points.push((from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t));
            }
        };
        for curve in &ready.curves {
            let window = if curve.right { ready.right.unwrap_or(ready.y) } else { ready.y };
            for piece in &curve.pieces {
                let mut last = None;
                for (x, y) in piece {
                    let at = (plot.across(&ready.x, *x), plot.up(&window, *y));
                    along(if curve.shape == Shape::Points { at } else { last.unwrap_or(at) }, at);
                    last = Some(at);
                }
            }
        }
        for (x, low, high) in ready.areas.iter().flat_map(|a| a.pieces.iter().flatten()) {
            let x = plot.across(&ready.x, *x);
            along((x, plot.up(&ready.y, *low)), (x, plot.up(&ready.y, *high)));
        }
        for mark in &chart.marks {
            match mark {
                Mark::X { x, .. } => {
                    if let Some(place) = ready.x.scale.place(*x) {
                        let x = plot.across(&ready.x, place);
                        along((x, plot.y0), (x, plot.y1));
                    }
                }
                Mark::Y { y, .. } => {
                    if let Some(place) = ready.y.scale.place(*y) {
                        let y = plot.up(&ready.y, place);
                        along((plot.x0, y), (plot.x1, y));
                        // Its label stands on the line's right end.
                        along((plot.x1 - 120.0, y - 10.0), (plot.x1, y - 10.0));
                    }
                }
                Mark::Point { x, y, .. } => {
                    if let Some((x, y)) = ready.x.scale.place(*x).zip(ready.y.scale.place(*y)) {
                        let (x, y) = (plot.across(&ready.x, x), plot.up(&ready.y, y));
                        along((x - 8.0, y - 8.0), (x + 90.0, y - 8.0));
                    }
                }
            }
        }
        points
    }
}

/// The legend's entries: none if there is nothing to distinguish.
fn entries(chart: &Chart, ready: &Prepared<'_>, face: &Face, room: usize) -> Vec<(Key, String)> {
    let labelled = ready.curves.iter().filter(|c| !c.label.is_empty()).count()
        + ready.areas.iter().filter(|a| !a.label.is_empty()).count();
    if labelled < 2 && !(labelled == 1 && chart.series.len() + chart.bands.len() > 1) {
        return Vec::new();
    }
    let curves = ready.curves.iter().filter(|c| !c.label.is_empty()).map(|c| {
        let label = if c.right { format!("{} (right)", c.label) } else { c.label.to_owned() };
        (Key::Curve { colour: c.colour, right: c.right, faint: c.faint, shape: c.shape }, label)
    });
    let areas = ready
        .areas
        .iter()
        .filter(|a| !a.label.is_empty())
        .map(|a| (Key::Area { number: a.number }, a.label.to_owned()));
    let (keys, labels): (Vec<Key>, Vec<String>) = curves.chain(areas).unzip();
    // Beside the plot a legend may not take the room of the plot.
    let widest = LEGEND_TEXT.min(f64::from(chart.size.0) * 0.26) / em::LEGEND;
    let mut entries: Vec<(Key, String)> = keys.into_iter().zip(told_apart(&labels, face, widest)).collect();
    let room = room.max(2);
    if entries.len() > room {
        let more = entries.len() - room + 1;
        entries.truncate(room - 1);
        entries.push((Key::More, format!("and {more} more")));
    }
    entries
}

/// The labels, none wider than `widest` em. Where cutting their ends would leave two alike, what all begin with is cut
/// instead, and where that is not enough each label's middle.
fn told_apart(labels: &[String], face: &Face, widest: f64) -> Vec<String> {
    let short = |labels: &[String]| labels.iter().map(|label| face.shorten(label, widest)).collect::<Vec<_>>();
    let distinct = |texts: &[String]| texts.iter().collect::<BTreeSet<_>>().len();
    let wanted = distinct(labels);
    let mut cut = short(labels);
    if distinct(&cut) == wanted {
        return cut;
    }
    let shared =
        labels.iter().skip(1).fold(labels.first().map_or(0, |first| first.chars().count()), |shared, label| {
            let same = labels[0].chars().zip(label.chars()).take_while(|(a, b)| a == b).count();
            shared.min(same)
        });
    let from = |skipped: usize| -> Vec<String> {
        labels.iter().map(|label| format!("…{}", label.chars().skip(skipped).collect::<String>())).collect()
    };
    // As little as is needed: the last letters that all share say what the others are of.
    let fits = |tails: &[String]| tails.iter().all(|tail| face.width(tail) <= widest);
    let tails = (1..=shared).map(from).find(|tails| fits(tails)).unwrap_or_else(|| from(shared));
    cut = short(&tails);
    if distinct(&cut) == wanted {
        return cut;
    }
    labels.iter().map(|label| without_middle(label, face, widest)).collect()
}

/// The beginning and the end of a text, as much of both as fits.
fn without_middle(text: &str, face: &Face, widest: f64) -> String {
    if face.width(text) <= widest {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let of = |each: usize| -> String {
        letters[..each].iter().chain(['…'].iter()).chain(&letters[letters.len() - each..]).collect()
    };
    (1..=letters.len() / 2).rev().map(of).find(|cut| face.width(cut) <= widest).unwrap_or_else(|| of(1))
}

/// The height that a chart needs so that its legend names every curve.
pub(crate) fn height_of_legend(chart: &Chart) -> u32 {
    let named = chart.series.iter().filter(|series| !series.label.is_empty()).count()
        + chart.bands.iter().filter(|band| !band.label.is_empty()).count();
    // Title, axis labels and a line of mark labels around the plot.
    (named as f64).mul_add(LEGEND_LINE, 110.0) as u32
}

fn legend_size(entries: &[(Key, String)], face: &Face) -> (f64, f64) {
    let widest = entries.iter().map(|(_, label)| face.width(label) * em::LEGEND).fold(0.0, f64::max);
    // A viewer without Roboto may need a tenth more.
    (LEGEND_KEY + widest * 1.1 + 10.0, LEGEND_LINE * entries.len() as f64 + 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Series;

    fn names(count: usize, name: impl Fn(usize) -> String, size: (u32, u32)) -> (Vec<String>, Rect) {
        let xs: Vec<f64> = (0..200).map(f64::from).collect();
        let wave = |n: usize| xs.iter().map(|x| (x / 3.0 + n as f64).sin()).collect::<Vec<f64>>();
        let chart = (0..count)
            .fold(Chart::new("t").x("step").y("loss"), |chart, n| chart.series(Series::line(name(n), &xs, wave(n))));
        let height = size.1.max(height_of_legend(&chart));
        let chart = chart.size(size.0, height);
        let layout = Layout::of(&chart, &chart.prepare(), Face::load());
        (layout.legend.unwrap().entries.into_iter().map(|(_, label)| label).collect(), layout.plot)
    }

    #[test]
    fn many_marks_leave_room_for_the_curve() {
        let chart = (1..40).fold(Chart::new("cycles").x("step").y("rate"), |chart, cycle| {
            chart.mark_x(f64::from(cycle * 10), format!("cycle {}", cycle + 1))
        });
        let chart = chart.series(Series::line("", [0.0, 400.0], [0.0, 1.0])).size(460, 310);
        let (ready, face) = (chart.prepare(), Face::load());
        let layout = Layout::of(&chart, &ready, &face);
        let height = layout.plot.y1 - layout.plot.y0;
        assert!(height > 150.0, "{height} pixels for the curve");
        let named = layout.mark_labels.iter().flatten().count();
        assert!((7..39).contains(&named), "{named} of 39 are named");
    }

    #[test]
    fn long_names_stay_different_and_leave_room_for_the_plot() {
        const LONG: &str = "a-very-long-name-of-an-experiment-that-was-given-by-a-script-with-learning-rate-";
        let of = [
            (|n| format!("{LONG}{n}")) as fn(usize) -> String,
            |n| format!("{LONG}{n}-{LONG}"),
            |n| format!("{n}-{LONG}"),
        ];
        for name in of {
            let (labels, plot) = names(21, name, (460, 310));
            assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), 21, "{labels:?}");
            assert!(plot.width() > 150.0 && plot.height() > 200.0, "{plot:?}");
        }
        let (labels, _) = names(21, |n| format!("{LONG}{n}"), (460, 310));
        assert!(labels[3].ends_with("learning-rate-3"), "{labels:?}");
        let (labels, _) = names(3, |n| format!("run {n}"), (460, 310));
        assert_eq!(labels, ["run 0", "run 1", "run 2"], "as they are where they fit");
    }
}
