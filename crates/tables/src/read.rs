//! From a CSV file to columns: the header, a pass that finds out what the columns hold, and the pass that reads them.
//!
//! Two passes over the file, so that no cell is kept as text: the first counts the rows and guesses kinds, the second
//! fills blocks of the right size.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::column::{Categories, Cells, Column, Dictionary, NO_CODE};
use crate::error::{TableProblem, short};

/// How cells are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) delimiter: char,
    pub(crate) missing_values: Vec<String>,
}

impl Format {
    fn is_missing(&self, cell: &str) -> bool {
        self.missing_values.iter().any(|missing| missing == cell)
    }
}

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Numbers,
    Categories,
    /// Not at all.
    Skipped,
}

/// The most different whole numbers that a target may have and be taken for a class.
pub(crate) const MOST_CLASSES: usize = 20;

/// What a pass over the file has found out about a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guess {
    /// Cells with a value.
    pub(crate) values: usize,
    /// Cells with a value that is no number.
    texts: usize,
    /// The different values where all are whole numbers, and few.
    whole: Few,
}

#[derive(Clone, Debug)]
enum Few {
    So(BTreeSet<i64>),
    TooMany,
}

impl Default for Few {
    fn default() -> Self {
        Self::So(BTreeSet::new())
    }
}

impl Guess {
    fn see(&mut self, cell: &str) {
        self.values += 1;
        let number = cell.parse::<f64>().ok();
        self.texts += usize::from(number.is_none());
        if let Few::So(seen) = &mut self.whole {
            match number {
                Some(number) if number.fract() == 0.0 && seen.len() <= MOST_CLASSES => drop(seen.insert(number as i64)),
                _ => self.whole = Few::TooMany,
            }
        }
    }

    /// What a column of features holds.
    pub(crate) fn kind(&self) -> Kind {
        if self.texts == 0 { Kind::Numbers } else { Kind::Categories }
    }

    /// Whether the column names classes: texts, or few different whole numbers.
    pub(crate) fn is_classes(&self) -> bool {
        self.texts > 0 || matches!(&self.whole, Few::So(seen) if seen.len() <= MOST_CLASSES)
    }
}

/// A file that is hashed, and whose quotes are counted, as it is read.
struct Watched {
    file: File,
    hash: Sha256,
    quotes: u64,
    is_at_end: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.is_at_end = count == 0;
        self.hash.update(&buffer[..count]);
        self.quotes += buffer[..count].iter().map(|&byte| u64::from(byte == b'"')).sum::<u64>();
        Ok(count)
    }
}

/// A CSV file with its header read.
pub(crate) struct CsvFile {
    reader: Reader<Watched>,
    pub(crate) header: Vec<String>,
    format: Format,
}

impl CsvFile {
    /// Opens the file and reads its header, whose names are trimmed.
    pub(crate) fn open(path: &Path, format: &Format) -> Result<Self, TableProblem> {
        // Asked before it is opened: opening a pipe waits for its other end.
        if !std::fs::metadata(path).map_err(TableProblem::Io)?.is_file() {
            return Err(TableProblem::NoFile);
        }
        let file = File::open(path).map_err(TableProblem::Io)?;
        let mut reader = ReaderBuilder::new()
            .delimiter(format.delimiter as u8)
            .buffer_capacity(1 << 16)
            .from_reader(Watched { file, hash: Sha256::new(), quotes: 0, is_at_end: false });
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return Err(problem(error, &[])),
        };
        if header.is_empty() {
            return Err(TableProblem::Empty);
        }
        // UTF-16 without a mark: every other byte of its ASCII characters is 0, which is UTF-8 too and no name.
        if let Some(at) = header.iter().position(|name| name.contains('\0')) {
            return Err(TableProblem::Utf8 { line: 1, column: (at + 1).to_string() });
        }
        let mut positions = HashMap::with_capacity(header.len());
        for (at, name) in header.iter().enumerate() {
            if name.is_empty() {
                return Err(TableProblem::Unnamed { position: at + 1 });
            }
            if let Some(first) = positions.insert(name.as_str(), at + 1) {
                return Err(TableProblem::Duplicate { name: name.clone(), first, second: at + 1 });
            }
        }
        Ok(Self { reader, header, format: format.clone() })
    }

    /// Hands every row with its line to `each`; gives the SHA-256 of the file, in hex.
    fn rows(
        mut self,
        mut each: impl FnMut(&StringRecord, u64) -> Result<(), TableProblem>,
    ) -> Result<String, TableProblem> {
        let mut record = StringRecord::new();
        loop {
            match self.reader.read_record(&mut record) {
                Ok(false) => return Ok(HEXLOWER.encode(&self.reader.into_inner().hash.finalize())),
                _ if self.ends_in_a_quote(&record) => return Err(TableProblem::OpenQuote { line: line_of(&record) }),
                Ok(true) => each(&record, line_of(&record))?,
                Err(error) => return Err(problem(error, &self.header)),
            }
        }
    }

    /// Whether a cell with an open quote has swallowed the rest of the file.
    fn ends_in_a_quote(&self, last: &StringRecord) -> bool {
        let watched = self.reader.get_ref();
        watched.is_at_end && watched.quotes % 2 == 1 && last.iter().any(|cell| cell.contains('\n'))
    }

    /// Counts the rows and guesses what the columns hold for which `is_guessed` is true.
    pub(crate) fn scan(self, is_guessed: &[bool]) -> Result<(usize, Vec<Guess>), TableProblem> {
        let mut guesses = vec![Guess::default(); is_guessed.len()];
        let format = self.format.clone();
        let mut rows = 0;
        self.rows(|record, _| {
            rows += 1;
            for ((cell, guess), _) in record.iter().zip(&mut guesses).zip(is_guessed).filter(|(_, guessed)| **guessed) {
                let cell = cell.trim();
                if !format.is_missing(cell) {
                    guess.see(cell);
                }
            }
            Ok(())
        })?;
        if rows == 0 { Err(TableProblem::NoRows) } else { Ok((rows, guesses)) }
    }

    /// Reads the columns that are not skipped, in the order of the header; `rows` is how many rows are expected. Gives the
    /// SHA-256 of the file too.
    pub(crate) fn columns(self, kinds: &[Kind], rows: usize) -> Result<(Vec<Column>, String), TableProblem> {
        let mut filled: Vec<Filling> =
            kinds.iter().zip(&self.header).map(|(kind, name)| Filling::new(*kind, name, rows)).collect();
        let format = self.format.clone();
        let fingerprint = self.rows(|record, line| {
            for (cell, filling) in record.iter().zip(&mut filled) {
                filling.push(cell.trim(), line, &format)?;
            }
            Ok(())
        })?;
        Ok((filled.into_iter().filter_map(Filling::finish).collect(), fingerprint))
    }
}

/// A column that is being read.
struct Filling {
    column: Column,
    kind: Kind,
    dictionary: Dictionary,
}

impl Filling {
    fn new(kind: Kind, name: &str, rows: usize) -> Self {
        let cells = match kind {
            Kind::Numbers => Cells::Numbers(Vec::with_capacity(rows)),
            Kind::Categories => Cells::Categories(Categories { codes: Vec::with_capacity(rows), names: Vec::new() }),
            Kind::Skipped => Cells::Numbers(Vec::new()),
        };
        let column = Column { name: name.to_owned(), cells, missing: 0, first_missing: 0 };
        Self { column, kind, dictionary: Dictionary::default() }
    }

    fn push(&mut self, cell: &str, line: u64, format: &Format) -> Result<(), TableProblem> {
        if self.kind == Kind::Skipped {
            return Ok(());
        }
        let is_missing = format.is_missing(cell);
        if is_missing {
            if self.column.missing == 0 {
                self.column.first_missing = line;
            }
            self.column.missing += 1;
        }
        match &mut self.column.cells {
            Cells::Numbers(numbers) if is_missing => numbers.push(f64::NAN),
            Cells::Numbers(numbers) => match cell.parse::<f64>() {
                Ok(number) if number.is_finite() => numbers.push(number),
                _ => {
                    let (column, found) = (self.column.name.clone(), format!("{:?}", short(cell)));
                    return Err(TableProblem::NotANumber { line, column, found });
                }
            },
            Cells::Categories(categories) if is_missing => categories.codes.push(NO_CODE),
            Cells::Categories(categories) => categories.codes.push(self.dictionary.code(cell)),
        }
        Ok(())
    }

    fn finish(mut self) -> Option<Column> {
        if let Cells::Categories(categories) = &mut self.column.cells {
            categories.names = self.dictionary.into_names();
            categories.sort();
        }
        (self.kind != Kind::Skipped).then_some(self.column)
    }
}

/// The line of a row.
fn line_of(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// What the reader complains of.
fn problem(error: csv::Error, header: &[String]) -> TableProblem {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(error) => TableProblem::Io(error),
        ErrorKind::Utf8 { err, .. } => {
            let at = err.field();
            let column = header.get(at).map_or_else(|| (at + 1).to_string(), |name| format!("`{name}`"));
            TableProblem::Utf8 { line, column }
        }
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            TableProblem::Ragged { line, found: len, expected: expected_len }
        }
        other => TableProblem::Io(io::Error::other(format!("{other:?}"))),
    }
}
