//! A small plot in the terminal: curves in braille dots, eight to a character.

use crate::axis::{Window, precise, readable};
use crate::chart::{Mark, Shape};
use crate::prepare::Prepared;
use crate::{Chart, Scale, plain};

impl Chart {
    /// The chart as text of at most `columns` characters a line, with a plot of `rows` lines and, around it, the title,
    /// the ends of the axes, their labels and a legend. At least 20 columns and 3 rows are used. No colours, no control
    /// characters: with several series a letter on each curve refers to the legend.
    pub fn terminal(&self, columns: usize, rows: usize) -> String {
        let (columns, rows) = (columns.max(20), rows.max(3));
        let ready = self.prepare_tight();
        let (high, low) = (ends(&ready.y).1, ends(&ready.y).0);
        let gutter = high.chars().count().max(low.chars().count());
        let mut plot = Cells::new(columns.saturating_sub(gutter + 2).max(8), rows);
        self.plot_marks(&ready, &mut plot);
        plot_curves(&ready, &mut plot);
        let several = ready.curves.len() > 1;
        if several {
            plot.tag_curves(ready.curves.len());
        }

        let mut lines: Vec<String> = Vec::new();
        if !self.title.is_empty() {
            lines.push(cut(&self.title, columns));
        }
        let y_label = axis_label(&self.y_label, self.y_scale);
        if !y_label.is_empty() {
            lines.push(cut(&format!("{:gutter$} {y_label}", ""), columns));
        }
        for row in 0..rows {
            let label = match row {
                0 => high.as_str(),
                _ if row + 1 == rows => low.as_str(),
                _ => "",
            };
            let tick = if label.is_empty() { '│' } else { '┤' };
            lines.push(format!("{label:>gutter$} {tick}{}", plot.row(row)).trim_end().to_owned());
        }
        lines.push(format!("{:gutter$} └{}", "", "─".repeat(plot.columns)));
        lines.push(x_line(&ready.x, &axis_label(&self.x_label, self.x_scale), gutter + 2, plot.columns));
        lines.extend(self.terminal_legend(&ready, several, columns));
        lines.extend(ready.dropped.iter().map(|dropped| cut(&format!("Not drawn: {dropped}"), columns)));
        plain(&lines.join("\n")) + "\n"
    }

    /// The sign of each mark: that of its kind, or a digit where several of a kind have labels to be told apart.
    fn mark_signs(&self) -> Vec<char> {
        let sign = |mark: &Mark| match mark {
            Mark::X { .. } => '┊',
            Mark::Y { .. } => '┄',
            Mark::Point { .. } => '◆',
        };
        let labelled = |kind: char| self.marks.iter().filter(|m| sign(m) == kind && !m.label().is_empty()).count();
        let mut next = '1'..='9';
        let of = |mark: &Mark| {
            let own = sign(mark);
            let is_one_of_several = !mark.label().is_empty() && labelled(own) > 1;
            if is_one_of_several { next.next().unwrap_or(own) } else { own }
        };
        self.marks.iter().map(of).collect()
    }

    fn plot_marks(&self, ready: &Prepared<'_>, plot: &mut Cells) {
        for (mark, sign) in self.marks.iter().zip(self.mark_signs()) {
            match mark {
                Mark::X { x, .. } => {
                    if let Some(place) = self.x_scale.place(*x) {
                        let column = plot.dot(ready.x.share(place), 0.0).0 / 2;
                        for row in 0..plot.rows {
                            plot.sign(column, row, '┊');
                        }
                        if sign != '┊' {
                            plot.tag_free((0..plot.rows as i64).map(|row| (column, row)), sign);
                        }
                    }
                }
                Mark::Y { y, .. } => {
                    if let Some(place) = self.y_scale.place(*y).filter(|p| (0.0..=1.0).contains(&ready.y.share(*p))) {
                        let row = plot.dot(0.0, ready.y.share(place)).1 / 4;
                        for column in 0..plot.columns as i64 {
                            plot.sign(column, row as usize, '┄');
                        }
                        if sign != '┄' {
                            plot.tag_free((0..plot.columns as i64).rev().map(|column| (column, row)), sign);
                        }
                    }
                }
                Mark::Point { x, y, .. } => {
                    if let Some((x, y)) = self.x_scale.place(*x).zip(self.y_scale.place(*y)) {
                        let (column, row) = plot.dot(ready.x.share(x), ready.y.share(y));
                        if row >= 0 {
                            plot.tag(column / 2, row / 4, sign);
                        }
                    }
                }
            }
        }
    }

    fn terminal_legend(&self, ready: &Prepared<'_>, several: bool, columns: usize) -> Vec<String> {
        let mut entries: Vec<String> = Vec::new();
        for curve in &ready.curves {
            if curve.label.is_empty() || !(several || curve.right) {
                continue;
            }
            let mut label = curve.label.to_owned();
            if let Some(right) = ready.right.filter(|_| curve.right) {
                let (low, high) = ends(&right);
                label = format!("{label} ({low} to {high})");
            }
            entries.push(format!("{} {label}", letter(curve.number)));
        }
        for (mark, sign) in self.marks.iter().zip(self.mark_signs()) {
            let label = mark.label();
            if !label.is_empty() {
                entries.push(format!("{sign} {label}"));
            }
        }
        let mut lines: Vec<String> = Vec::new();
        for entry in entries {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 3 + entry.chars().count() <= columns => {
                    line.push_str("   ");
                    line.push_str(&entry);
                }
                _ => lines.push(entry),
            }
        }
        lines
    }
}

fn plot_curves(ready: &Prepared<'_>, plot: &mut Cells) {
    for area in &ready.areas {
        for piece in &area.pieces {
            let low: Vec<_> =
                piece.iter().map(|(x, low, _)| plot.dot(ready.x.share(*x), ready.y.share(*low))).collect();
            let high: Vec<_> = piece.iter().map(|(x, _, h)| plot.dot(ready.x.share(*x), ready.y.share(*h))).collect();
            plot.path(&low, area.number, 3);
            plot.path(&high, area.number, 3);
        }
    }
    // The pale ones first: where curves cross, the later one gives a cell its letter.
    for faint in [true, false] {
        for curve in ready.curves.iter().filter(|c| c.faint == faint) {
            let window = if curve.right { ready.right.unwrap_or(ready.y) } else { ready.y };
            for piece in &curve.pieces {
                let dots: Vec<_> = piece.iter().map(|(x, y)| plot.dot(ready.x.share(*x), window.share(*y))).collect();
                if curve.shape == Shape::Points {
                    for dot in dots {
                        plot.set(dot, curve.number);
                    }
                } else {
                    plot.path(&dots, curve.number, if faint { 2 } else { 1 });
                }
            }
        }
    }
}

fn axis_label(label: &str, scale: Scale) -> String {
    match (label.is_empty(), scale) {
        (true, _) => String::new(),
        (false, Scale::Linear) => label.to_owned(),
        (false, Scale::Log) => format!("{label} (log)"),
    }
}

/// The numbers at both ends, with more digits than usual where they would read the same.
fn ends(window: &Window) -> (String, String) {
    let (low, high) = (window.scale.value(window.low), window.scale.value(window.high));
    let (short, tall) = (readable(low), readable(high));
    if short == tall { (precise(low, high - low), precise(high, high - low)) } else { (short, tall) }
}

/// Both ends of the x axis, with its label between them if there is room.
fn x_line(window: &Window, label: &str, indent: usize, columns: usize) -> String {
    let (low, high) = ends(window);
    let room = columns.saturating_sub(low.chars().count() + high.chars().count());
    let label = if label.chars().count() + 2 <= room { label } else { "" };
    format!("{:indent$}{low}{label:^room$}{high}", "")
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// A, B, ... Z, a, ..., z, and round again.
fn letter(number: usize) -> char {
    let number = (number % 52) as u8;
    char::from(if number < 26 { b'A' + number } else { b'a' + number - 26 })
}

/// A dot's column and row; rows count from the top.
type Dot = (i64, i64);

#[derive(Clone, Default)]
struct Cell {
    /// The braille dots that are set.
    dots: u8,
    /// Which series drew here last.
    series: usize,
    /// A sign instead of dots: of a mark (gives way to dots) or a tag (does not).
    sign: Option<char>,
    tagged: bool,
}

/// Characters of two by four dots.
struct Cells {
    columns: usize,
    rows: usize,
    grid: Vec<Cell>,
}

impl Cells {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, grid: vec![Cell::default(); columns * rows] }
    }

    /// The dot at a share of the width and height.
    fn dot(&self, across: f64, up: f64) -> Dot {
        let (right, bottom) = ((self.columns * 2 - 1) as f64, (self.rows * 4 - 1) as f64);
        ((across * right).round() as i64, (bottom - up * bottom).round() as i64)
    }

    fn cell(&mut self, column: i64, row: i64) -> Option<&mut Cell> {
        let (column, row) = (usize::try_from(column).ok()?, usize::try_from(row).ok()?);
        if column < self.columns && row < self.rows { self.grid.get_mut(row * self.columns + column) } else { None }
    }

    fn set(&mut self, (x, y): Dot, series: usize) {
        // The order in which Unicode numbers the dots of a braille pattern.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        if let Some(cell) = self.cell(x.div_euclid(2), y.div_euclid(4)) {
            cell.dots |= BITS[x.rem_euclid(2) as usize][y.rem_euclid(4) as usize];
            cell.series = series;
        }
    }

    /// Dots from point to point; every n-th of them.
    fn path(&mut self, dots: &[Dot], series: usize, every: usize) {
        if let [only] = dots {
            self.set(*only, series);
        }
        let mut drawn = 0_usize;
        for pair in dots.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let steps = (x1 - x0).abs().max((y1 - y0).abs());
            for i in 0..=steps {
                let t = if steps == 0 { 0.0 } else { i as f64 / steps as f64 };
                if drawn.is_multiple_of(every) {
                    let (x, y) = (x0 as f64 + (x1 - x0) as f64 * t, y0 as f64 + (y1 - y0) as f64 * t);
                    self.set((x.round() as i64, y.round() as i64), series);
                }
                // A pair's last point is the next one's first.
                drawn += usize::from(i < steps);
            }
        }
    }

    fn sign(&mut self, column: i64, row: usize, sign: char) {
        if let Some(cell) = self.cell(column, row as i64) {
            cell.sign = cell.sign.or(Some(sign));
        }
    }

    /// Tags the first of the cells that has no tag yet.
    fn tag_free(&mut self, mut cells: impl Iterator<Item = (i64, i64)>, tag: char) {
        let is_free = |(column, row): &(i64, i64)| {
            let at = usize::try_from(*row * self.columns as i64 + *column).ok();
            at.and_then(|at| self.grid.get(at)).is_some_and(|cell| !cell.tagged)
        };
        if let Some((column, row)) = cells.find(is_free) {
            self.tag(column, row, tag);
        }
    }

    fn tag(&mut self, column: i64, row: i64, tag: char) {
        if let Some(cell) = self.cell(column, row) {
            (cell.sign, cell.tagged) = (Some(tag), true);
        }
    }

    /// Puts each series' letter on a few cells of its curve, at different columns for different series.
    fn tag_curves(&mut self, series: usize) {
        let every = (self.columns / 4).max(2);
        for number in 0..series {
            let offset = every * number / series;
            let mut tagged = false;
            for pass in [every, 1] {
                // Where the curve is hidden at all of those columns, anywhere.
                for column in (offset % pass..self.columns).step_by(pass) {
                    let found = (0..self.rows)
                        .map(|row| row * self.columns + column)
                        .find(|i| self.grid.get(*i).is_some_and(|c| c.dots != 0 && c.series == number && !c.tagged));
                    if let Some(cell) = found.and_then(|i| self.grid.get_mut(i)) {
                        (cell.sign, cell.tagged) = (Some(letter(number)), true);
                        tagged = true;
                        if pass == 1 {
                            break;
                        }
                    }
                }
                if tagged {
                    break;
                }
            }
        }
    }

    fn row(&self, row: usize) -> String {
        let cells = self.grid.iter().skip(row * self.columns).take(self.columns);
        cells
            .map(|cell| match cell {
                Cell { sign: Some(sign), tagged: true, .. } => *sign,
                Cell { dots: 0, sign, .. } => sign.unwrap_or(' '),
                Cell { dots, .. } => char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' '),
            })
            .collect()
    }
}
