//! A chart as plain data, and its builder.

use serde::{Deserialize, Deserializer, Serialize};

use crate::axis::Scale;

/// Reads numbers; JSON holds what is not finite as `null`.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

/// What is to be drawn: curves over one x axis and one or two y axes, with marks and bands.
///
/// Nothing is checked while building. Points that an axis cannot show (not finite, or not positive on a logarithmic
/// axis) leave a gap and are counted by [`Chart::dropped`]; the picture says so in a footnote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Title, wrapped to at most three lines.
    pub title: String,
    /// Label of the x axis.
    pub x_label: String,
    /// Label of the left y axis.
    pub y_label: String,
    /// Scale of the x axis; linear unless said.
    pub x_scale: Scale,
    /// Scale of the left y axis; linear unless said.
    pub y_scale: Scale,
    /// What the left y axis shows, if not all of the data: low and high end.
    pub y_limits: Option<(f64, f64)>,
    /// The second y axis, for series that are [`Series::on_right`].
    pub right: Option<RightAxis>,
    /// The curves, drawn in this order.
    pub series: Vec<Series>,
    /// Marked lines and points.
    pub marks: Vec<Mark>,
    /// Areas between a low and a high curve.
    pub bands: Vec<Band>,
    /// Width and height in CSS pixels; a PNG has [`Chart::PNG_SCALE`] times as many.
    pub size: (u32, u32),
}

/// The second y axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RightAxis {
    /// Its label.
    pub label: String,
    /// Its scale.
    pub scale: Scale,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Straight from point to point.
    Line,
    /// Level from each point to the next one's x: a value that is in force until it changes.
    Steps,
    /// A dot for each point.
    Points,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name in the legend.
    pub label: String,
    /// Abscissae. If there are fewer or more than `ys`, the surplus is not drawn.
    #[serde(deserialize_with = "numbers")]
    pub xs: Vec<f64>,
    /// Ordinates.
    #[serde(deserialize_with = "numbers")]
    pub ys: Vec<f64>,
    /// Line, steps or points.
    pub shape: Shape,
    /// Read on the second y axis (which appears even if [`Chart::right`] was not called).
    pub right: bool,
    /// Thin and pale: background to another series.
    pub faint: bool,
    /// Number of its colour; by default its place among the series. Charts of one thing give it one colour.
    pub colour: Option<usize>,
}

/// A marked line or point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Mark {
    /// A vertical line, labelled above the plot.
    X {
        /// Where.
        x: f64,
        /// Its label; may be empty.
        label: String,
    },
    /// A horizontal line on the left axis, labelled at its end.
    Y {
        /// Where.
        y: f64,
        /// Its label; may be empty.
        label: String,
    },
    /// A ringed point on the left axis.
    Point {
        /// Where.
        x: f64,
        /// Where.
        y: f64,
        /// Its label; may be empty.
        label: String,
    },
}

impl Mark {
    /// Its label; may be empty.
    pub fn label(&self) -> &str {
        match self {
            Self::X { label, .. } | Self::Y { label, .. } | Self::Point { label, .. } => label,
        }
    }
}

/// An area between two curves, on the left axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Name in the legend.
    pub label: String,
    /// Abscissae.
    #[serde(deserialize_with = "numbers")]
    pub xs: Vec<f64>,
    /// Lower edge.
    #[serde(deserialize_with = "numbers")]
    pub low: Vec<f64>,
    /// Upper edge.
    #[serde(deserialize_with = "numbers")]
    pub high: Vec<f64>,
}

/// Up to this many points a value that is held is drawn as levels.
const STEPS_UP_TO: usize = 300;

impl Series {
    fn new(label: impl Into<String>, xs: impl AsRef<[f64]>, ys: impl AsRef<[f64]>, shape: Shape) -> Self {
        Self {
            label: label.into(),
            xs: xs.as_ref().to_vec(),
            ys: ys.as_ref().to_vec(),
            shape,
            right: false,
            faint: false,
            colour: None,
        }
    }

    /// A line from point to point.
    #[must_use]
    pub fn line(label: impl Into<String>, xs: impl AsRef<[f64]>, ys: impl AsRef<[f64]>) -> Self {
        Self::new(label, xs, ys, Shape::Line)
    }

    /// Level from each point to the next one's x. The last value gets the width of the tick before it.
    #[must_use]
    pub fn steps(label: impl Into<String>, xs: impl AsRef<[f64]>, ys: impl AsRef<[f64]>) -> Self {
        Self::new(label, xs, ys, Shape::Steps)
    }

    /// Dots.
    #[must_use]
    pub fn points(label: impl Into<String>, xs: impl AsRef<[f64]>, ys: impl AsRef<[f64]>) -> Self {
        Self::new(label, xs, ys, Shape::Points)
    }

    /// A value that holds from each x to the next one's: of up to 300 points the levels; more would look the same as a
    /// line, and are one.
    #[must_use]
    pub fn held(label: impl Into<String>, xs: impl AsRef<[f64]>, ys: impl AsRef<[f64]>) -> Self {
        let shape = if xs.as_ref().len() <= STEPS_UP_TO { Shape::Steps } else { Shape::Line };
        Self::new(label, xs, ys, shape)
    }

    /// Takes this colour of the palette (they come round again) instead of that of its place among the series.
    #[must_use]
    pub fn colour(mut self, number: usize) -> Self {
        self.colour = Some(number);
        self
    }

    /// Read on the second y axis, drawn dashed.
    #[must_use]
    pub fn on_right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Thin and pale, as for raw values behind their smoothed curve.
    #[must_use]
    pub fn faint(mut self) -> Self {
        self.faint = true;
        self
    }
}

impl Chart {
    /// Pixels of a PNG per CSS pixel of the chart, so that text is sharp on dense screens too.
    pub const PNG_SCALE: u32 = 2;
    /// Smallest size in CSS pixels that still has a plot in it.
    pub const MIN_SIZE: (u32, u32) = (240, 160);
    /// Largest width and height in CSS pixels.
    pub const MAX_SIDE: u32 = 8192;

    /// An empty chart with linear axes, 900 x 540 pixels.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            y_limits: None,
            right: None,
            series: Vec::new(),
            marks: Vec::new(),
            bands: Vec::new(),
            size: (900, 540),
        }
    }

    /// Labels the x axis.
    #[must_use]
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x_label = label.into();
        self
    }

    /// Labels the left y axis.
    #[must_use]
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y_label = label.into();
        self
    }

    /// Makes the x axis logarithmic.
    #[must_use]
    pub fn x_log(mut self) -> Self {
        self.x_scale = Scale::Log;
        self
    }

    /// Makes the left y axis logarithmic.
    #[must_use]
    pub fn y_log(mut self) -> Self {
        self.y_scale = Scale::Log;
        self
    }

    /// Shows only this part of the left y axis; what lies outside is cut off at the plot's edge. Limits that are not
    /// finite, or not in order, are ignored.
    #[must_use]
    pub fn y_limits(mut self, low: f64, high: f64) -> Self {
        self.y_limits = Some((low, high));
        self
    }

    /// Adds a second, linear y axis with this label.
    #[must_use]
    pub fn right(mut self, label: impl Into<String>) -> Self {
        self.right = Some(RightAxis { label: label.into(), scale: Scale::Linear });
        self
    }

    /// Adds a series.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a band between two curves.
    #[must_use]
    pub fn band(
        mut self,
        label: impl Into<String>,
        xs: impl AsRef<[f64]>,
        low: impl AsRef<[f64]>,
        high: impl AsRef<[f64]>,
    ) -> Self {
        self.bands.push(Band {
            label: label.into(),
            xs: xs.as_ref().to_vec(),
            low: low.as_ref().to_vec(),
            high: high.as_ref().to_vec(),
        });
        self
    }

    /// Adds a labelled vertical line.
    #[must_use]
    pub fn mark_x(mut self, x: f64, label: impl Into<String>) -> Self {
        self.marks.push(Mark::X { x, label: label.into() });
        self
    }

    /// Adds a labelled horizontal line on the left axis.
    #[must_use]
    pub fn mark_y(mut self, y: f64, label: impl Into<String>) -> Self {
        self.marks.push(Mark::Y { y, label: label.into() });
        self
    }

    /// Adds a labelled point on the left axis.
    #[must_use]
    pub fn mark_point(mut self, x: f64, y: f64, label: impl Into<String>) -> Self {
        self.marks.push(Mark::Point { x, y, label: label.into() });
        self
    }

    /// Sets width and height in CSS pixels.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }
}
