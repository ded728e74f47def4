//! A table in memory, as its file has it: columns of numbers and of categories, and the target.

use std::path::{Path, PathBuf};

use crate::column::{Categories, Cells, Column};
use crate::error::{TableError, TableProblem};
use crate::read::{CsvFile, Format, Kind};
use crate::settings::{Fill, FillValue, TableSettings, TargetKind};

/// A table in memory: a flat block for each column, no text for a cell.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) rows: usize,
    /// The features, in the order of the file.
    pub(crate) columns: Vec<Column>,
    pub(crate) target: Column,
    pub(crate) ignored: Vec<String>,
    fingerprint: String,
    notes: Vec<String>,
}

impl Table {
    /// Reads the file that the settings name.
    ///
    /// Cells and names are trimmed of white space. The target's classes are in order: by value where all are numbers, else
    /// by the alphabet.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8, has no header or no row; a header with two columns of one name, one
    /// without a name, or without a column that the settings name; a row of another length; a cell that is no number in a
    /// column of numbers, or in one of which the settings say nothing and nearly all other cells are; a class that is
    /// written as one number in two ways; a target with a missing value, with one class only or one number only; a column
    /// without any value; a table of the target alone.
    pub fn read(settings: &TableSettings) -> Result<Self, TableError> {
        Self::load(settings).map_err(|problem| problem.at(&settings.path))
    }

    fn load(settings: &TableSettings) -> Result<Self, TableProblem> {
        let format = settings.format();
        let first = CsvFile::open(&settings.path, &format)?;
        let header = first.header.clone();
        for (field, name) in settings.named() {
            if !header.contains(name) {
                return Err(TableProblem::no_column(&field, name, &header));
            }
        }
        let said: Vec<Option<Kind>> = header.iter().map(|name| said(settings, name)).collect();
        let is_guessed: Vec<bool> = said.iter().map(Option::is_none).collect();
        let (rows, guesses) = first.scan(&is_guessed)?;
        let (mut kinds, mut notes) = (Vec::with_capacity(header.len()), Vec::new());
        for ((name, said), guess) in header.iter().zip(said).zip(&guesses) {
            kinds.push(match said {
                Some(kind) => kind,
                None if guess.values == 0 && *name != settings.target => match settings.missing.columns.get(name) {
                    // What fills it is all that is known of it.
                    Some(Fill::Value(FillValue::Number(_))) => Kind::Numbers,
                    Some(Fill::Value(FillValue::Text(_))) => Kind::Categories,
                    _ => return Err(TableProblem::AllMissing { column: name.clone(), rows, of: "" }),
                },
                None if *name == settings.target => {
                    let kind = guess.target(name)?;
                    notes.extend(guess.note_of_target(name));
                    kind
                }
                None => {
                    notes.extend(guess.note(name));
                    guess.feature(name)?
                }
            });
        }
        let (mut columns, fingerprint) = CsvFile::open(&settings.path, &format)?.columns(&kinds, rows)?;
        let Some(at) = columns.iter().position(|column| column.name == settings.target) else {
            return Err(TableProblem::no_column("target", &settings.target, &header));
        };
        let target = columns.remove(at);
        check_target(&target, rows)?;
        if columns.is_empty() {
            return Err(TableProblem::NoFeatures { target: target.name });
        }
        let ignored = settings.ignore.clone();
        Ok(Self { path: settings.path.clone(), format, rows, columns, target, ignored, fingerprint, notes })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none; a table that was read has some.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The SHA-256 of the file, in hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What is read in one way and may be meant in another, a sentence for each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The classes of the target, in the order of their numbers; `None` where it is a number.
    pub fn classes(&self) -> Option<&[String]> {
        match &self.target.cells {
            Cells::Categories(Categories { names, .. }) => Some(names),
            Cells::Numbers(_) => None,
        }
    }
}

/// What the settings say about a column.
fn said(settings: &TableSettings, name: &String) -> Option<Kind> {
    if *name == settings.target {
        return match settings.task {
            TargetKind::Auto => None,
            TargetKind::Classification => Some(Kind::Categories),
            TargetKind::Regression => Some(Kind::Numbers),
        };
    }
    let lists = [
        (&settings.numbers, Kind::Numbers),
        (&settings.categories, Kind::Categories),
        (&settings.ignore, Kind::Skipped),
    ];
    lists.into_iter().find_map(|(names, kind)| names.contains(name).then_some(kind))
}

/// Refuses a target that teaches nothing.
fn check_target(target: &Column, rows: usize) -> Result<(), TableProblem> {
    let column = target.name.clone();
    if target.missing > 0 {
        return Err(TableProblem::NoTarget { line: target.first_missing, column });
    }
    match &target.cells {
        Cells::Categories(Categories { names, .. }) => match names.as_slice() {
            [class] => Err(TableProblem::OneClass { column, class: class.clone(), rows, of: "" }),
            _ => Ok(()),
        },
        Cells::Numbers(numbers) => match numbers.first() {
            Some(&value) if numbers.iter().all(|&number| number == value) => {
                Err(TableProblem::Constant { column, value, rows, of: "" })
            }
            _ => Ok(()),
        },
    }
}
