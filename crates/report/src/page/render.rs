//! A page into HTML, by the template beside this file.

use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::{Page, Part, Table, Tone, plain};
use crate::{
    Chart, ReportError,
    atomic::{WRITTEN, atomic_write},
    layout::height_of_legend,
};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Size of a chart on a page: the width of a phone, so that its letters stay readable there.
const CHART: (u32, u32) = (460, 310);
/// Colours of the bar; as many as phases of a run are told apart.
const COLOURS: usize = 7;

impl Page {
    /// The page as an HTML document.
    ///
    /// # Errors
    /// What [`Chart::to_svg`] says; [`ReportError::Draw`] for a template that does not fit (a fault of this crate).
    pub fn to_html(&self) -> Result<String, ReportError> {
        let failed = |error: minijinja::Error| ReportError::Draw(format!("{error:#}"));
        let mut environment = Environment::new();
        // A name that the template gets wrong is an error, not a blank.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        // The ending makes the engine escape all text.
        environment.add_template("page.html", TEMPLATE).map_err(failed)?;
        let mut sections = Vec::new();
        for section in &self.sections {
            let parts = section.parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            sections.push(context! { title => section.title, note => section.note, parts });
        }
        let facts: Vec<Value> = self
            .facts
            .iter()
            .map(|fact| context! { label => fact.label, value => fact.value, note => fact.note })
            .collect();
        let badge = self.badge.as_ref().map(|badge| context! { text => badge.text, tone => tone(badge.tone) });
        let page = context! {
            title => self.title, subtitle => self.subtitle, footer => self.footer, badge, facts, sections,
            style => Value::from_safe_string(STYLE.to_owned()), written => WRITTEN,
        };
        let html = environment.get_template("page.html").and_then(|template| template.render(page)).map_err(failed)?;
        Ok(plain(&html))
    }

    /// Saves the page. The file appears whole or not at all.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html); [`ReportError::Write`] naming the path.
    pub fn save(&self, path: &Path) -> Result<(), ReportError> {
        let html = self.to_html()?;
        atomic_write(path, html).map_err(|source| ReportError::Write { path: path.to_owned(), source })
    }
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Notice => "notice",
        Tone::Bad => "bad",
    }
}

fn part(part: &Part) -> Result<Value, ReportError> {
    Ok(match part {
        Part::Charts(charts) => {
            let svgs = charts.iter().map(inline).collect::<Result<Vec<_>, _>>()?;
            context! { kind => "charts", svgs }
        }
        Part::Pairs(pairs) => {
            let pairs: Vec<Value> = pairs.iter().map(|(name, value)| context! { name, value }).collect();
            context! { kind => "pairs", pairs }
        }
        Part::Table(table) => table_context(table),
        Part::Shares(shares) => {
            let whole: f64 = shares.iter().map(|(_, share, _)| share.max(0.0)).sum();
            let shares: Vec<Value> = shares
                .iter()
                .enumerate()
                .map(|(number, (name, share, text))| {
                    let percent = 100.0 * share.max(0.0) / whole;
                    context! { name, text, colour => number % COLOURS, percent => format!("{percent:.2}") }
                })
                .collect();
            context! { kind => "shares", shares }
        }
        Part::Code(text) => context! { kind => "code", text },
    })
}

fn table_context(table: &Table) -> Value {
    let cells = |row: &[String]| -> Vec<Value> {
        let cell =
            |(number, text): (usize, &String)| context! { text, is_text => table.text_columns.contains(&number) };
        row.iter().enumerate().map(cell).collect()
    };
    let rows: Vec<Value> = table
        .rows
        .iter()
        .enumerate()
        .map(|(number, row)| context! { cells => cells(row), is_marked => table.marked.contains(&number) })
        .collect();
    context! { kind => "table", head => cells(&table.head), rows }
}

/// A chart as SVG inside the page: it scales with its column.
fn inline(chart: &Chart) -> Result<Value, ReportError> {
    let (width, height) = CHART;
    // A curve without a name in the legend would be a riddle.
    chart
        .clone()
        .size(width, height.max(height_of_legend(chart).min(Chart::MAX_SIDE)))
        .to_svg()
        .map(Value::from_safe_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Series, page::Section};

    fn page() -> Page {
        let chart = Chart::new("a <b> & \"c\"").series(Series::line("<s>", [1.0, 2.0], [1.0, 2.0]));
        let odd = "<script>alert('x')</script>";
        let table =
            Table { head: vec![odd.into()], rows: vec![vec![odd.into()]], marked: vec![0], text_columns: vec![0] };
        Page::new(odd).badge(odd, Tone::Bad).subtitle(odd).fact(odd, odd, odd).footer(odd).section(
            Section::new(odd)
                .note(odd)
                .part(Part::Charts(vec![chart]))
                .part(Part::Pairs(vec![(odd.into(), odd.into())]))
                .part(Part::Table(table))
                .part(Part::Shares(vec![(odd.into(), 1.0, odd.into()), ("b".into(), 3.0, String::new())]))
                .part(Part::Code(odd.into())),
        )
    }

    #[test]
    fn all_text_is_escaped() {
        let html = page().to_html().unwrap();
        assert!(!html.contains("<script"), "{html}");
        // Title (2), badge, subtitle, fact (3), section (2), pair (2), table (2), share and its tooltip (4), code, footer.
        assert_eq!(html.matches("&lt;script&gt;").count(), 19, "{html}");
        assert!(html.contains("<title>a &lt;b&gt; &amp; \"c\"</title>"), "the chart's own title");
    }

    #[test]
    fn no_control_characters_reach_a_page_or_a_picture() {
        let odd = "a\x1b[31m\0b";
        let chart = Chart::new(odd).x(odd).series(Series::line(odd, [1.0, 2.0], [1.0, 2.0])).mark_x(1.5, odd);
        let page = Page::new(odd).section(Section::new(odd).part(Part::Charts(vec![chart.clone()])));
        for text in [page.to_html().unwrap(), chart.to_svg().unwrap(), chart.terminal(80, 12)] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n') && text.contains("a\u{fffd}[31m\u{fffd}b"));
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page().to_html().unwrap();
        let namespaces = html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        assert_eq!(html.matches("http").count(), namespaces, "a link to elsewhere");
        for outside in ["<script", "<link", "url(", "@import", "src="] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("name=\"viewport\"") && html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn shares_are_percentages_of_their_sum() {
        let html = page().to_html().unwrap();
        assert!(html.contains("width:25.00%") && html.contains("width:75.00%"), "{html}");
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let section = Section::new("nothing").part(Part::Charts(vec![])).part(Part::Code(String::new()));
        assert!(Page::new("t").section(section).sections.is_empty());
    }

    /// The style names the colours of the drawn furniture to recolour them in the dark: they must be those drawn.
    #[test]
    fn the_dark_style_knows_the_colours_that_charts_are_drawn_in() {
        let chart = (0..7).fold(Chart::new("t").x("x").y("y").mark_x(0.5, "m"), |chart, number| {
            chart.series(Series::line(format!("{number}"), [0.0, 1.0], [0.0, f64::from(number)]))
        });
        let svg = chart.to_svg().unwrap();
        let mut colours: Vec<&str> = svg.split("=\"#").skip(1).filter_map(|rest| rest.get(..6)).collect();
        colours.sort_unstable();
        colours.dedup();
        assert!(colours.len() > 12, "{colours:?}");
        for colour in colours {
            assert!(STYLE.contains(&format!("\"#{colour}\"")), "#{colour} is not in the style");
        }
    }
}
