//! From a CSV file to columns: the header, a pass that finds out what the columns hold, and the pass that reads them.
//!
//! Two passes over the file, so that no cell is kept as text: the first counts the rows and guesses kinds, the second
//! fills blocks of the right size.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
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

/// From here on an f64 does not tell every whole number from the next.
const WHOLE_BELOW: f64 = (1_u64 << 53) as f64;

/// What a pass over the file has found out about a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guess {
    /// Cells with a value.
    pub(crate) values: usize,
    texts: Texts,
    /// The first number that is written with zeros before it, with its line.
    padded: Option<(u64, Box<str>)>,
    /// The first whole number that an f64 does not hold, with its line.
    inexact: Option<(u64, Box<str>)>,
    /// The different values where all are whole numbers, and few.
    whole: Few,
}

/// The cells of a column that are no numbers.
#[derive(Clone, Debug, Default)]
struct Texts {
    count: usize,
    /// Those of them that are numbers as others write them.
    foreign: usize,
    /// The first, with its line.
    first: Option<(u64, Box<str>)>,
    /// Whether there is another one than the first.
    differ: bool,
}

/// Whole numbers, each as it is written where it comes first.
#[derive(Clone, Debug)]
enum Few {
    So {
        seen: BTreeMap<i64, Box<str>>,
        respelt: Option<Respelt>,
        /// Numbers that are not whole, and the first of them with its line.
        parts: usize,
        part: Option<(u64, Box<str>)>,
    },
    TooMany,
}

/// A number that a file writes in two ways.
#[derive(Clone, Debug)]
struct Respelt {
    line: u64,
    cell: Box<str>,
    before: Box<str>,
}

impl Default for Few {
    fn default() -> Self {
        Self::So { seen: BTreeMap::new(), respelt: None, parts: 0, part: None }
    }
}

impl Few {
    fn see(&mut self, number: Option<f64>, cell: &str, line: u64) {
        let Self::So { seen, respelt, parts, part } = self else { return };
        let Some(number) = number.filter(|number| number.abs() < WHOLE_BELOW) else {
            *self = Self::TooMany;
            return;
        };
        if number.fract() != 0.0 {
            *parts += 1;
            part.get_or_insert_with(|| (line, cell.into()));
            return;
        }
        match seen.get(&(number as i64)) {
            Some(before) if **before != *cell && respelt.is_none() => {
                *respelt = Some(Respelt { line, cell: cell.into(), before: before.clone() });
            }
            Some(_) => {}
            None if seen.len() == MOST_CLASSES => *self = Self::TooMany,
            None => drop(seen.insert(number as i64, cell.into())),
        }
    }
}

impl Texts {
    fn see(&mut self, cell: &str, line: u64) {
        self.count += 1;
        self.foreign += usize::from(is_foreign_number(cell));
        match &self.first {
            Some((_, first)) => self.differ |= **first != *cell,
            None => self.first = Some((line, cell.into())),
        }
    }
}

impl Guess {
    fn see(&mut self, cell: &str, line: u64) {
        self.values += 1;
        let number = cell.parse::<f64>().ok();
        if number.is_none() {
            self.texts.see(cell, line);
        } else if self.padded.is_none() && is_padded(cell) {
            self.padded = Some((line, cell.into()));
        }
        if self.inexact.is_none() && number.is_some_and(|number| is_inexact(number, cell)) {
            self.inexact = Some((line, cell.into()));
        }
        self.whole.see(number, cell, line);
    }

    /// What a column of features holds.
    ///
    /// # Errors
    /// Texts that look like a fault in a column of numbers.
    pub(crate) fn feature(&self, column: &str) -> Result<Kind, TableProblem> {
        self.check(column, false)?;
        Ok(if self.texts.count == 0 { Kind::Numbers } else { Kind::Categories })
    }

    /// What a target is: texts are classes, and few different whole numbers.
    ///
    /// # Errors
    /// As for a [feature](Self::feature); a class that is written in two ways.
    pub(crate) fn target(&self, column: &str) -> Result<Kind, TableProblem> {
        self.check(column, true)?;
        match &self.whole {
            Few::So { parts: 1.., .. } if self.texts.count == 0 => Ok(Kind::Numbers),
            Few::So { respelt: Some(Respelt { line, cell, before }), .. } => {
                let (found, before) = (short(cell), short(before));
                Err(TableProblem::Respelt { line: *line, column: column.to_owned(), found, before })
            }
            Few::So { .. } => Ok(Kind::Categories),
            Few::TooMany if self.texts.count > 0 => Ok(Kind::Categories),
            Few::TooMany => Ok(Kind::Numbers),
        }
    }

    /// What is to be said of a target that is taken for a number.
    pub(crate) fn note_of_target(&self, column: &str) -> Option<String> {
        let Few::So { seen, parts, part: Some((line, cell)), .. } = &self.whole else { return None };
        if 10 * parts > self.values {
            return None;
        }
        let (cell, whole, values, count) = (short(cell), self.values - parts, self.values, seen.len());
        Some(format!(
            "line {line}, column `{column}`: `{cell}` makes the target a number, and {whole} of the {values} cells are {count} \
             whole numbers, as classes are: say `task = \"regression\"` or `task = \"classification\"`"
        ))
    }

    /// What is to be said of a column that is taken for numbers.
    pub(crate) fn note(&self, column: &str) -> Option<String> {
        let (line, cell) = self.padded.as_ref().filter(|_| self.texts.count == 0)?;
        let cell = short(cell);
        Some(format!(
            "line {line}, column `{column}`: `{cell}` is read as a number: does the column belong into `categories`?"
        ))
    }

    /// Refuses texts in what is a column of numbers by all other cells: at least nine in ten of them are numbers, however
    /// written, or more than half are and the rest is one text, as a mark of missing values is. Taken for categories, the
    /// column would say something else, and nobody would be told.
    fn check(&self, column: &str, is_target: bool) -> Result<(), TableProblem> {
        if let Some((line, cell)) = self.inexact.as_ref().filter(|_| self.texts.count == 0) {
            let (column, found) = (column.to_owned(), short(cell));
            return Err(TableProblem::Inexact { line: *line, column, found, is_target });
        }
        let Texts { count, foreign, first, differ } = &self.texts;
        let Some((line, cell)) = first else { return Ok(()) };
        let is_mark = !differ && 2 * count < self.values;
        if 10 * (count - foreign) > self.values && !is_mark {
            return Ok(());
        }
        Err(TableProblem::Mixed {
            line: *line,
            column: column.to_owned(),
            found: format!("{:?}", short(cell)),
            alike: self.values - count + foreign,
            values: self.values,
            is_target,
        })
    }
}

/// Whether a whole number, written in digits, is another one as an f64: ids of so many digits would become equal.
fn is_inexact(number: f64, cell: &str) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    number.is_finite()
        && number.abs() >= WHOLE_BELOW
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && format!("{:.0}", number.abs()) != digits.trim_start_matches('0')
}

/// Whether a number is written as codes are, `0815`.
fn is_padded(cell: &str) -> bool {
    cell.strip_prefix('0').is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// Whether a text is a number with a decimal comma, with commas between thousands, or with a sign of currency or percent.
fn is_foreign_number(cell: &str) -> bool {
    let bare = cell.trim_matches(['$', '\u{20ac}', '\u{a3}', '\u{a5}', '%', ' ', '\u{a0}']);
    if bare.len() < cell.len() && bare.parse::<f64>().is_ok() {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = bare.trim_start_matches(['-', '+']).split(',');
    match (groups.next(), groups.next(), groups.next()) {
        (Some(whole), Some(rest), None) => digits(&whole.replace('.', "")) && digits(&rest.replacen('.', "", 1)),
        (Some(whole), Some(second), Some(third)) => {
            let thousands = |group: &str| digits(group) && group.len() == 3;
            let mut rest = [second, third].into_iter().chain(groups);
            let last = rest.next_back().unwrap_or_default();
            let last = last.split_once('.').map_or(last, |(last, part)| if digits(part) { last } else { "" });
            digits(whole) && rest.all(thousands) && thousands(last)
        }
        _ => false,
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
        if !fs::metadata(path).map_err(TableProblem::Io)?.is_file() {
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
        self.rows(|record, line| {
            rows += 1;
            for ((cell, guess), _) in record.iter().zip(&mut guesses).zip(is_guessed).filter(|(_, guessed)| **guessed) {
                let cell = cell.trim();
                if !format.is_missing(cell) {
                    guess.see(cell, line);
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
