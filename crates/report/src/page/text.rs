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

impl Table {
    /// The table in aligned columns, for a terminal.
    pub fn to_text(&self) -> String {
        let mut widths = Vec::new();
        for (column, cell) in self.rows.iter().chain([&self.head]).flat_map(|row| row.iter().enumerate()) {
            widths.resize(widths.len().max(column + 1), 0);
            widths[column] = cell.chars().count().max(widths[column]);
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if self.text_columns.contains(&column) { format!("{cell}{pad}") } else { format!("{pad}{cell}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        [&self.head].into_iter().chain(&self.rows).map(line).collect()
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
    }

    #[test]
    fn text_stands_left_and_numbers_stand_right() {
        let texts = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = vec![texts(["a", "1"]), texts(["long", "10.5"])];
        let table = Table { head: texts(["name", "n"]), rows, text_columns: vec![0], ..Table::default() };
        assert_eq!(table.to_text(), "name     n\na        1\nlong  10.5\n");
    }
}
