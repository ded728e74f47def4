//! A page of HTML that needs nothing else: figures as SVG in the page, style in the page, no script, no network.
//!
//! A [`Page`] is plain data: a headline, facts, and sections of charts, tables, bars and texts. All text is escaped. The
//! page follows the reader's light or dark setting, fits a phone and prints.
//!
//! ```
//! use report::page::{Page, Part, Section};
//! use report::{Chart, Series};
//!
//! let chart = Chart::new("loss").series(Series::line("train", [1.0, 2.0], [2.3, 1.1]));
//! let page = Page::new("digits <1>").section(Section::new("Curves").part(Part::Charts(vec![chart])));
//! let html = page.to_html()?;
//! assert!(html.contains("digits &lt;1&gt;") && html.contains("<svg"));
//! # Ok::<(), report::ReportError>(())
//! ```

mod render;
mod text;

use crate::Chart;

pub use text::{count, decimal, duration, fold, plain, plural};

/// A page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Its title, and that of the browser's window.
    pub title: String,
    /// A short word on the state, beside the title.
    pub badge: Option<Badge>,
    /// A line under the title.
    pub subtitle: String,
    /// The most important figures.
    pub facts: Vec<Fact>,
    /// What the page holds, in this order.
    pub sections: Vec<Section>,
    /// A line at the bottom.
    pub footer: String,
}

/// A short word, coloured by what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The word.
    pub text: String,
    /// What it means.
    pub tone: Tone,
}

/// What a badge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Worth a look.
    Notice,
    /// Something failed.
    Bad,
}

/// A figure in large letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// The figure.
    pub value: String,
    /// More about it, in small letters; may be empty.
    pub note: String,
}

/// A part of the page with a heading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// A sentence under it; may be empty.
    pub note: String,
    /// What it holds.
    pub parts: Vec<Part>,
}

/// What a section holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Charts, two beside each other where there is room. The page sets their size.
    Charts(Vec<Chart>),
    /// Names and their values.
    Pairs(Vec<(String, String)>),
    /// A table.
    Table(Table),
    /// Shares of a whole, as one bar: name, share (any unit, not negative), and the text that stands beside the name.
    Shares(Vec<(String, f64, String)>),
    /// A text in a fixed-width font, as it stands.
    Code(String),
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Names of the columns.
    pub head: Vec<String>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
    /// Highlighted rows, by number.
    pub marked: Vec<usize>,
    /// Columns of text, which stand left; numbers stand right.
    pub text_columns: Vec<usize>,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Sets the word beside the title.
    #[must_use]
    pub fn badge(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.badge = Some(Badge { text: text.into(), tone });
        self
    }

    /// Sets the line under the title.
    #[must_use]
    pub fn subtitle(mut self, text: impl Into<String>) -> Self {
        self.subtitle = text.into();
        self
    }

    /// Adds a figure in large letters.
    #[must_use]
    pub fn fact(mut self, label: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Self {
        self.facts.push(Fact { label: label.into(), value: value.into(), note: note.into() });
        self
    }

    /// Adds a section; one without parts is left out.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        if !section.parts.is_empty() {
            self.sections.push(section);
        }
        self
    }

    /// Sets the line at the bottom.
    #[must_use]
    pub fn footer(mut self, text: impl Into<String>) -> Self {
        self.footer = text.into();
        self
    }
}

impl Section {
    /// An empty section.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Sets the sentence under the heading.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.note = text.into();
        self
    }

    /// Adds a part; an empty one is left out.
    #[must_use]
    pub fn part(mut self, part: Part) -> Self {
        let is_empty = match &part {
            Part::Charts(charts) => charts.is_empty(),
            Part::Pairs(pairs) => pairs.is_empty(),
            Part::Table(table) => table.rows.is_empty(),
            Part::Shares(shares) => shares.iter().all(|(_, share, _)| *share <= 0.0),
            Part::Code(text) => text.is_empty(),
        };
        if !is_empty {
            self.parts.push(part);
        }
        self
    }
}
