//! Numbers and tables as text.

use super::Table;

/// Seconds as people say them: `59.4 s`, `1 min 1 s`, `2 h 1 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60) {
        (0, 0) => format!("{seconds:.1} s"),
        (0, minutes) => format!("{minutes} min {} s", whole % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// A whole number with its thousands set apart by a narrow space, as SI recommends.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number with so many digits behind the point; a very large one, which would be all zeros, in powers of ten.
pub fn decimal(number: f64, digits: usize) -> String {
    if number.abs() < 1e9 || !number.is_finite() { format!("{number:.digits$}") } else { format!("{number:.2e}") }
}

/// How many of something: `1 run`, `2 runs`.
pub fn plural(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Text cut at spaces into lines of at most so many characters, where its words allow that. What gives it colour on a
/// terminal counts as nothing.
pub fn fold(text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut width): (Vec<String>, usize) = (Vec::new(), 0);
    for word in text.split(' ') {
        let own = shown_width(word);
        match lines.last_mut() {
            Some(line) if width + 1 + own <= columns => {
                line.push(' ');
                line.push_str(word);
                width += 1 + own;
            }
            _ => {
                lines.push(word.to_owned());
                width = own;
            }
        }
    }
    lines
}

/// Characters of a text, without the escape sequences of colours (`ESC [ ... m`).
fn shown_width(text: &str) -> usize {
    let mut parts = text.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    let rest = parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.chars().count()));
    first + rest.sum::<usize>()
}

/// Text that a terminal, a page and a picture can show: control characters but tabs and the ends of lines, which a terminal
/// would obey and XML does not allow, become U+FFFD. Names come from folders, files and configurations of anybody.
pub fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

/// The spaces between two columns of a table.
const BETWEEN: usize = 2;

impl Table {
    /// The table in aligned columns, for a terminal of so many. Where it is wider, its heads are folded; and what then does
    /// not fit stands below, each row with its first cell again.
    pub fn to_text(&self, columns: usize) -> String {
        let length = |text: &str| text.chars().count();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column)).map(|cell| length(cell));
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(self.head.len());
        let head = |column: usize| self.head.get(column).map_or("", String::as_str);
        let whole: Vec<usize> = (0..count).map(|at| cells(at).max().unwrap_or(0).max(length(head(at)))).collect();
        let total = whole.iter().sum::<usize>() + BETWEEN * count.saturating_sub(1);
        if total <= columns {
            return self.block(&(0..count).collect::<Vec<_>>(), &whole);
        }
        let longest_word = |at: usize| head(at).split(' ').map(length).max().unwrap_or(0);
        let folded: Vec<usize> = (0..count).map(|at| cells(at).max().unwrap_or(0).max(longest_word(at))).collect();
        let (mut blocks, mut width) = (vec![vec![0]], folded.first().copied().unwrap_or(0));
        for at in 1..count {
            let more = BETWEEN + folded[at];
            match blocks.last_mut() {
                Some(block) if width + more <= columns || block.len() == 1 => block.push(at),
                _ => {
                    blocks.push(vec![0, at]);
                    width = folded[0];
                }
            }
            width += more;
        }
        blocks.iter().map(|block| self.block(block, &folded)).collect::<Vec<_>>().join("\n")
    }

    /// Some of the columns, which are so wide.
    fn block(&self, columns: &[usize], widths: &[usize]) -> String {
        let line = |cell_of: &dyn Fn(usize) -> String| {
            let cells = columns.iter().map(|&column| {
                let cell = cell_of(column).replace(['\n', '\t'], "\u{fffd}");
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if self.text_columns.contains(&column) { format!("{cell}{pad}") } else { format!("{pad}{cell}") }
            });
            cells.collect::<Vec<_>>().join(&" ".repeat(BETWEEN)).trim_end().to_owned() + "\n"
        };
        let heads: Vec<Vec<String>> =
            self.head.iter().enumerate().map(|(at, head)| fold(head, widths.get(at).copied().unwrap_or(0))).collect();
        let height = columns.iter().filter_map(|&at| heads.get(at)).map(Vec::len).max().unwrap_or(0);
        // A head stands on its column.
        let head = |from_below: usize| {
            line(&|at| {
                let lines = heads.get(at).map_or(&[][..], Vec::as_slice);
                lines.len().checked_sub(from_below).and_then(|at| lines.get(at)).cloned().unwrap_or_default()
            })
        };
        let rows = self.rows.iter().map(|row| line(&|at| row.get(at).cloned().unwrap_or_default()));
        (1..=height).rev().map(head).chain(rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (seconds, text) in
            [(0.04, "0.0 s"), (59.4, "59.4 s"), (61.0, "1 min 1 s"), (3600.0 * 2.0 + 90.0, "2 h 1 min")]
        {
            assert_eq!(duration(seconds), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            [0.126, -5e8, 1e300, f64::NAN].map(|number| decimal(number, 1)),
            ["0.1", "-500000000.0", "1.00e300", "NaN"]
        );
        assert_eq!([0, 1, 2].map(|number| plural(number, "run")), ["0 runs", "1 run", "2 runs"]);
    }

    #[test]
    fn text_stands_left_and_numbers_stand_right() {
        let texts = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = vec![texts(["a", "1"]), texts(["long", "10.5"])];
        let table = Table { head: texts(["name", "n"]), rows, text_columns: vec![0], ..Table::default() };
        assert_eq!(table.to_text(80), "name     n\na        1\nlong  10.5\n");
    }

    #[test]
    fn control_characters_are_not_passed_on() {
        assert_eq!(
            plain("a\x1b[31m\u{9b}\x07\rb\tc\r\nd\u{ffff}"),
            "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b\tc\nd\u{fffd}"
        );
        // In a table a cell is a line.
        let rows = vec![vec!["a\nb".to_owned()]];
        assert_eq!(Table { rows, ..Table::default() }.to_text(80), "a\u{fffd}b\n");
    }

    #[test]
    fn text_is_folded_at_spaces() {
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
        assert_eq!(fold("one two three", 2), ["one", "two", "three"]);
        assert_eq!(fold("\x1b[31mone\x1b[0m two three", 7), ["\x1b[31mone\x1b[0m two", "three"]);
        assert_eq!(fold("", 7), [""]);
    }

    #[test]
    fn a_wide_table_is_folded_and_then_cut() {
        let texts = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let table = Table {
            head: texts(&["name", "behind the first", "final loss"]),
            rows: vec![texts(&["one", "", "0.5"]), texts(&["two", "1.25", "10.75"])],
            text_columns: vec![0],
            ..Table::default()
        };
        let folded =
            "      behind\n         the  final\nname   first   loss\none             0.5\ntwo     1.25  10.75\n";
        assert_eq!(table.to_text(20), folded);
        let cut = "      behind\n         the\nname   first\none\ntwo     1.25\n\n      final\nname   loss\none     0.5\ntwo   10.75\n";
        assert_eq!(table.to_text(15), cut);
        for width in 1..40 {
            let lines = table.to_text(width);
            assert!(lines.lines().all(|line| line.chars().count() <= width.max(12)), "{width}: {lines}");
        }
        assert_eq!(Table::default().to_text(80), "");
    }
}
