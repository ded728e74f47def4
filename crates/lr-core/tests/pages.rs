//! The tables of boundary values in `docs/schedules` hold. Before such a table stands one comment per row,
//! `<!-- rate: { type = "step", step_size = 30 } -->`, with the schedule of that row; the base rate is 1. A row named
//! `momentum` belongs to the schedule of the row above.

#![allow(clippy::expect_used, clippy::panic)]

use lr_core::{Horizon, ScheduleConfig};

/// The cells of a table's row: the label, then the values.
fn cells(line: &str) -> (&str, Vec<f64>) {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    (cells.next().unwrap_or_default(), cells.map(|cell| cell.parse().expect(line)).collect())
}

/// Checks the tables of one page and counts their rows.
fn check(page: &str, text: &str) -> usize {
    let mut rows = 0;
    let mut lines = text.lines().peekable();
    while lines.peek().is_some() {
        let comment = |line: &&str| line.strip_prefix("<!-- rate: ")?.strip_suffix(" -->").map(str::to_owned);
        let mut tables = Vec::new();
        while let Some(table) = lines.peek().and_then(comment) {
            tables.push(table);
            lines.next();
        }
        if tables.is_empty() {
            lines.next();
            continue;
        }
        let mut table = lines.by_ref().skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
        let (_, ticks) = cells(table.next().expect(page));
        let mut table: Vec<&str> = table.skip(1).collect();
        for text in tables {
            let config: toml::Table = format!("schedule = {text}").parse().expect(&text);
            let config = config["schedule"].as_table().expect("a table");
            let schedule = ScheduleConfig::from_table(config, "schedule")
                .and_then(|config| config.build(&Horizon::run(1, 100_000), "schedule"))
                .unwrap_or_else(|error| panic!("{page}: {error}\n{text}"));
            let compare = |label: &str, shown: &[f64], value: &dyn Fn(u64) -> f64| {
                assert_eq!(shown.len(), ticks.len(), "{page}: {text}: {label}");
                for (tick, shown) in ticks.iter().zip(shown) {
                    let value = value(*tick as u64);
                    assert!((value - shown).abs() <= 1e-5 * value.abs(), "{page}: {text}: {label} at {tick}: {value}");
                }
            };
            let (label, rates) = cells(table.remove(0));
            compare(label, &rates, &|tick| schedule.lr(1.0, tick));
            if table.first().is_some_and(|line| line.starts_with("| momentum |")) {
                let (label, momenta) = cells(table.remove(0));
                compare(label, &momenta, &|tick| schedule.momentum(tick).expect(page));
            }
            rows += 1;
        }
        assert!(table.is_empty(), "{page}: rows without a schedule: {table:?}");
    }
    rows
}

#[test]
fn the_boundary_values_in_the_pages_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schedules");
    let pages = std::fs::read_dir(folder).expect(folder).map(|entry| entry.expect(folder).path());
    let rows: usize = pages
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| check(&path.display().to_string(), &std::fs::read_to_string(&path).expect(folder)))
        .sum();
    assert!(rows >= 50, "only {rows} rows are left");
}
