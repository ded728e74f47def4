//! Writes a table of our own making to standard output:
//! `cargo run --release -p tables --example generate -- houses ROWS SEED` or `... -- ratings USERS ITEMS ROWS SEED`.

use std::io::{BufWriter, Error, ErrorKind, Write, stdout};

use tables::generated::{Ratings, houses, ratings};

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    let mut out = BufWriter::new(stdout().lock());
    match (words.first().map(String::as_str), numbers.as_slice()) {
        (Some("houses"), &[rows, seed]) => houses(rows, seed as u64, &mut out)?,
        (Some("ratings"), &[users, items, rows, seed]) => {
            ratings(Ratings { users, items, rows, seed: seed as u64 }, &mut out)?;
        }
        _ => return Err(Error::new(ErrorKind::InvalidInput, "houses ROWS SEED, or ratings USERS ITEMS ROWS SEED")),
    }
    out.flush()
}
