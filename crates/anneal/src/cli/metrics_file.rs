//! Metrics for a reactive schedule: one number per line.

use std::{io::Read, path::Path};

use crate::error::Error;

/// The most bytes that are read: some millions of numbers.
const LARGEST: u64 = 64 << 20;

/// Reads the numbers; `nan`, `inf` and `-inf` in any case are numbers, blank lines at the end are none.
pub(super) fn read(path: &Path) -> Result<Vec<f64>, Error> {
    let wrong = |what: String| Error::Usage(format!("--metrics {}: {what}", path.display()));
    let mut text = String::new();
    let file = report::open_regular(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    file.map_err(|source| wrong(format!("cannot be read: {source}")))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong(format!("is longer than {LARGEST} bytes")));
    }
    parse(&text).map_err(|(line, found)| {
        wrong(format!("line {line}: expected a number, found {:?}", strict_config::shorten(&found, 60)))
    })
}

fn parse(text: &str) -> Result<Vec<f64>, (usize, String)> {
    text.trim_end()
        .lines()
        .enumerate()
        .map(|(i, line)| line.trim().parse().map_err(|_| (i + 1, line.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_by_line() {
        let numbers = parse("1\n 0.5 \nNaN\n-Inf\nINFINITY\n\n").expect("numbers");
        assert_eq!(numbers[..2], [1.0, 0.5]);
        assert!(numbers[2].is_nan() && numbers[3] == f64::NEG_INFINITY && numbers[4] == f64::INFINITY);
        assert_eq!(parse("1\n\n2"), Err((2, String::new())));
        assert_eq!(parse("1\ntwo"), Err((2, "two".to_owned())));
        assert_eq!(parse(""), Ok(Vec::new()));
    }
}
