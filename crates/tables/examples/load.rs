//! Reads a CSV, fits and encodes it, and says what that took:
//! `cargo run --release -p tables --example load -- FILE.csv TARGET [median]`.

use std::error::Error;
use std::time::Instant;

use tables::{Fill, Preprocessing, Table, TableSettings};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path, target, rest @ ..] = words.as_slice() else { return Err("FILE.csv TARGET [median]".into()) };
    let mut settings = TableSettings::new(path, target);
    if rest.first().is_some_and(|word| word == "median") {
        (settings.missing.numbers, settings.missing.categories) = (Fill::Median, Fill::MostFrequent);
    }
    let begin = Instant::now();
    let table = Table::read(&settings)?;
    let (rows, read) = (table.len(), begin.elapsed());
    let training: Vec<usize> = (0..rows).filter(|row| row % 5 > 0).collect();
    let preprocessing = Preprocessing::fit(&table, &training, &settings.missing)?;
    let fitted = begin.elapsed();
    let encoded = preprocessing.encode(table);
    let all = begin.elapsed();
    println!(
        "{rows} rows, {} columns of numbers, {} of categories",
        preprocessing.numbers.len(),
        preprocessing.categories.len()
    );
    println!(
        "read {read:.2?}, fitted {:.2?}, encoded {:.2?}, together {all:.2?}",
        fitted.saturating_sub(read),
        all.saturating_sub(fitted)
    );
    // Linux tells the most memory that the process has held.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
    drop(encoded);
    Ok(())
}
