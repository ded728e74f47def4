//! A page into HTML.

use std::path::Path;

use super::{Fact, Page, Part, Section, Table, Tone, plain};
use crate::{
    Chart, ReportError,
    atomic::{WRITTEN, atomic_write},
    layout::height_of_legend,
};

const STYLE: &str = include_str!("page.css");

/// Size of a chart on a page: the width of a phone, so that its letters stay readable there.
const CHART: (u32, u32) = (460, 310);
/// Colours of the bar; as many as phases of a run are told apart.
const COLOURS: usize = 7;

impl Page {
    /// The page as an HTML document.
    ///
    /// # Errors
    /// What [`Chart::to_svg`] says.
    pub fn to_html(&self) -> Result<String, ReportError> {
        let sections = self.sections.iter().map(section).collect::<Result<String, _>>()?;
        let (title, facts) = (escaped(&self.title), self.facts.iter().map(fact).collect::<String>());
        let badge = self.badge.as_ref().map_or_else(String::new, |badge| {
            format!(" <span class=\"badge {}\">{}</span>", tone(badge.tone), escaped(&badge.text))
        });
        let facts = if facts.is_empty() { facts } else { format!("<dl class=\"facts\">\n{facts}</dl>\n") };
        let subtitle = element("p class=\"subtitle\"", &self.subtitle);
        let footer = element("footer", &self.footer);
        Ok(plain(&format!(
            "<!doctype html>\n<!-- {WRITTEN} -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
             </head>\n<body>\n<main>\n<header>\n<h1>{title}{badge}</h1>\n{subtitle}</header>\n\
             {facts}{sections}{footer}</main>\n</body>\n</html>\n"
        )))
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

/// Text as HTML shows it, between tags and in an attribute. All that goes into a page passes through here, but for the style
/// and the charts.
fn escaped(text: &str) -> String {
    let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#x27;"), ("/", "&#x2f;")];
    pairs.iter().fold(text.to_owned(), |text, (sign, name)| text.replace(sign, name))
}

/// A line with this element around a text; nothing where there is none. `tag` may have attributes.
fn element(tag: &str, text: &str) -> String {
    let name = tag.split(' ').next().unwrap_or_default();
    if text.is_empty() { String::new() } else { format!("<{tag}>{}</{name}>\n", escaped(text)) }
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Notice => "notice",
        Tone::Bad => "bad",
    }
}

fn fact(Fact { label, value, note }: &Fact) -> String {
    let note = element("dd class=\"note\"", note);
    format!("<div><dt>{}</dt><dd>{}</dd>{}</div>\n", escaped(label), escaped(value), note.trim_end())
}

fn section(Section { title, note, parts }: &Section) -> Result<String, ReportError> {
    let parts = parts.iter().map(part).collect::<Result<String, _>>()?;
    Ok(format!("<section>\n{}{}{parts}</section>\n", element("h2", title), element("p class=\"note\"", note)))
}

fn part(part: &Part) -> Result<String, ReportError> {
    Ok(match part {
        Part::Charts(charts) => {
            let figure = |chart| Ok(format!("<figure>{}</figure>\n", inline(chart)?));
            let figures = charts.iter().map(figure).collect::<Result<String, ReportError>>()?;
            format!("<div class=\"charts\">\n{figures}</div>\n")
        }
        Part::Pairs(pairs) => {
            let pair = |(name, value): &(String, String)| {
                format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value))
            };
            format!("<dl class=\"pairs\">\n{}</dl>\n", pairs.iter().map(pair).collect::<String>())
        }
        Part::Table(table) => html_table(table),
        Part::Shares(shares) => bar(shares),
        Part::Code(text) => format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escaped(text)),
    })
}

/// Shares of a whole as one bar, and what each is.
fn bar(shares: &[(String, f64, String)]) -> String {
    let whole: f64 = shares.iter().map(|(_, share, _)| share.max(0.0)).sum();
    let piece = |(number, (name, share, text)): (usize, &(String, f64, String))| {
        let (colour, percent) = (number % COLOURS, 100.0 * share.max(0.0) / whole);
        let (name, text) = (escaped(name), escaped(text));
        format!("<span class=\"c{colour}\" style=\"width:{percent:.2}%\" title=\"{name}: {text}\"></span>")
    };
    let line = |(number, (name, _, text)): (usize, &(String, f64, String))| {
        let (colour, name, text) = (number % COLOURS, escaped(name), escaped(text));
        format!("<li><span class=\"key c{colour}\"></span>{name} <b>{text}</b></li>\n")
    };
    let pieces: String = shares.iter().enumerate().map(piece).collect();
    let lines: String = shares.iter().enumerate().map(line).collect();
    format!(
        "<div class=\"shares\">\n<div class=\"bar\" role=\"presentation\">{pieces}</div>\n<ul>\n{lines}</ul>\n</div>\n"
    )
}

fn html_table(table: &Table) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        let cell = |(number, text): (usize, &String)| {
            let class = if table.text_columns.contains(&number) { " class=\"text\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", escaped(text))
        };
        row.iter().enumerate().map(cell).collect()
    };
    let row = |(number, row): (usize, &Vec<String>)| {
        let class = if table.marked.contains(&number) { " class=\"marked\"" } else { "" };
        format!("<tr{class}>{}</tr>\n", cells("td", row))
    };
    let (head, rows) = (cells("th", &table.head), table.rows.iter().enumerate().map(row).collect::<String>());
    format!(
        "<div class=\"scroll\" tabindex=\"0\">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// A chart as SVG inside the page: it scales with its column.
fn inline(chart: &Chart) -> Result<String, ReportError> {
    let (width, height) = CHART;
    // A curve without a name in the legend would be a riddle.
    chart.clone().size(width, height.max(height_of_legend(chart).min(Chart::MAX_SIDE))).to_svg()
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
