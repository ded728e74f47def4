//! What can be wrong with a table.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use strict_config::did_you_mean;

/// Why a file is no table that can be used. The message names the file, and where it can, the line and the column. Lines
/// are counted from 1, the header's; a row whose cells hold newlines has the line where it begins.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TableError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub problem: TableProblem,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableProblem {
    /// The operating system refused to read the file.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// A folder, a pipe, a device.
    #[error("is no regular file: expected a CSV file")]
    NoFile,
    /// The file has no header.
    #[error("is empty: a header line with the names of the columns is expected")]
    Empty,
    /// Nothing follows the header.
    #[error("has a header and no row")]
    NoRows,
    /// A line is not UTF-8.
    #[error("line {line}, column {column}: not UTF-8; save the file as UTF-8")]
    Utf8 {
        /// The line.
        line: u64,
        /// The column: its name, or its number in the header.
        column: String,
    },
    /// A row has more or fewer cells than the header.
    #[error("line {line}: {found} cells, and the header has {expected}")]
    Ragged {
        /// The line.
        line: u64,
        /// Cells of the row.
        found: u64,
        /// Cells of the header.
        expected: u64,
    },
    /// The last cell holds newlines, and a quote in the file has no partner.
    #[error("line {line}: a quote that opens here is not closed")]
    OpenQuote {
        /// The line of the row.
        line: u64,
    },
    /// A column of the header has no name.
    #[error("line 1: column {position} has no name (an index that was written with the table?)")]
    Unnamed {
        /// Its position, from 1.
        position: usize,
    },
    /// Two columns have one name.
    #[error("line 1: column `{name}` stands twice, at positions {first} and {second}")]
    Duplicate {
        /// The name.
        name: String,
        /// The first position, from 1.
        first: usize,
        /// The second position.
        second: usize,
    },
    /// A setting names a column that is not there.
    #[error(
        "has no column `{name}`, which `{field}` names{} (columns: {columns}){}",
        did_you_mean(nearest.as_deref()),
        if *.is_alone { "; is `delimiter` what separates them?" } else { "" }
    )]
    NoColumn {
        /// The setting.
        field: String,
        /// The name asked for.
        name: String,
        /// The column most like it.
        nearest: Option<String>,
        /// The columns that are there.
        columns: Names,
        /// Whether there is only one.
        is_alone: bool,
    },
    /// Columns that a model was trained on are not in a new table.
    #[error("lacks {count} of the columns that the model was trained on: {lacking}")]
    Lacking {
        /// How many.
        count: usize,
        /// Their names.
        lacking: Names,
    },
    /// A new table has a column that the training data had not.
    #[error(
        "line 1: column `{name}` (position {position}) is none that the model was trained on{}{}",
        did_you_mean(nearest.as_deref()),
        between(*.delimiter)
    )]
    Additional {
        /// The name.
        name: String,
        /// Its position, from 1.
        position: usize,
        /// The column most like it.
        nearest: Option<String>,
        /// Where it is the only column: what separates the cells of the model's tables.
        delimiter: Option<char>,
    },
    /// There is no column beside the target.
    #[error("has no column to predict `{target}` from")]
    NoFeatures {
        /// The target.
        target: String,
    },
    /// A cell of a column of numbers holds something else.
    #[error("line {line}, column `{column}`: {found} is no finite number")]
    NotANumber {
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// The cell, quoted and shortened.
        found: String,
    },
    /// A cell of a column of which nothing is said is a text, where nearly all others are numbers.
    #[error(
        "line {line}, column `{column}`: {found} is no number as 1234.5 is, and {alike} of the {values} cells of this column \
         look like numbers: {}",
        right(*.is_target)
    )]
    Mixed {
        /// The line of the first such cell.
        line: u64,
        /// The column.
        column: String,
        /// The cell, quoted and shortened.
        found: String,
        /// Cells that look like numbers, however they are written.
        alike: usize,
        /// Cells with a value.
        values: usize,
        /// Whether the column is the target.
        is_target: bool,
    },
    /// A whole number of a column of which nothing is said has more digits than are kept: ids would become equal.
    #[error(
        "line {line}, column `{column}`: `{found}` has more digits than a number keeps, so different ones would become equal: \
         {}",
        kept(*.is_target)
    )]
    Inexact {
        /// The line of the first such cell.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        found: String,
        /// Whether the column is the target.
        is_target: bool,
    },
    /// A target's classes are whole numbers, and one of them is written in two ways: it would be two classes.
    #[error(
        "line {line}, column `{column}`: `{found}` is the number that stood there as `{before}` before: write it in one way; \
         or `task = \"classification\"` takes them for two classes, `task = \"regression\"` for one number"
    )]
    Respelt {
        /// The line.
        line: u64,
        /// The target.
        column: String,
        /// The cell.
        found: String,
        /// How the number was written first.
        before: String,
    },
    /// A cell is missing, and nothing says what to put there.
    #[error(
        "line {line}, column `{column}`: missing value ({count} in this column); {}",
        if *.is_new { "the model was trained without any, and has nothing that fills it" } else { "say in `missing` what fills it" }
    )]
    Missing {
        /// The line of the first.
        line: u64,
        /// The column.
        column: String,
        /// How many are missing in the column.
        count: usize,
        /// Whether it is in a table that is predicted for.
        is_new: bool,
    },
    /// The target of a row is missing.
    #[error("line {line}: the target, column `{column}`, is missing; a row without it teaches nothing")]
    NoTarget {
        /// The line of the first.
        line: u64,
        /// The column.
        column: String,
    },
    /// A column has no value.
    #[error("column `{column}`: all {rows} rows{of} are missing; name it in `ignore`, or give a value in `missing`")]
    AllMissing {
        /// The column.
        column: String,
        /// How many rows.
        rows: usize,
        /// Of what part: nothing or ` of the training part`.
        of: &'static str,
    },
    /// What fills a column does not fit what it holds.
    #[error("column `{column}` holds {holds}, and `missing` fills it with {fill}: allowed are {allowed}")]
    Fill {
        /// The column.
        column: String,
        /// What the column holds.
        holds: &'static str,
        /// What was to fill it.
        fill: String,
        /// What would.
        allowed: &'static str,
    },
    /// The deviation of a column is no finite number.
    #[error("column `{column}`: its numbers are too large to be standardised")]
    TooLarge {
        /// The column.
        column: String,
    },
    /// The deviation of a column whose numbers differ is no number above 0.
    #[error("column `{column}`: its numbers differ by too little to be standardised")]
    TooAlike {
        /// The column.
        column: String,
    },
    /// All rows have one class.
    #[error("column `{column}`: every one of the {rows} rows{of} is {class:?}; a classifier needs two classes")]
    OneClass {
        /// The target.
        column: String,
        /// The class.
        class: String,
        /// How many rows.
        rows: usize,
        /// Of what part: nothing or ` of the training part`.
        of: &'static str,
    },
    /// The target is one number in all rows.
    #[error(
        "column `{column}`: every one of the {rows} rows{of} is {value}; there is nothing to learn{}",
        if value.abs() >= (1_u64 << 53) as f64 { " (`task = \"classification\"` tells numbers of that many digits apart)" } else { "" }
    )]
    Constant {
        /// The target.
        column: String,
        /// The number.
        value: f64,
        /// How many rows.
        rows: usize,
        /// Of what part.
        of: &'static str,
    },
}

/// What a table of one column is told.
fn between(delimiter: Option<char>) -> String {
    let told =
        |delimiter| format!("; it is the only one: the model's tables have {delimiter:?} between cells (`delimiter`)");
    delimiter.map(told).unwrap_or_default()
}

/// What may be done about numbers of too many digits.
fn kept(is_target: bool) -> &'static str {
    if is_target {
        "say `task = \"classification\"` for classes, or `task = \"regression\"` for numbers that are rounded"
    } else {
        "name the column in `categories` for ids, or in `numbers` for numbers that are rounded"
    }
}

/// What may be done about a text among numbers.
fn right(is_target: bool) -> &'static str {
    if is_target {
        "correct the cell, or leave the row out (a target that is named in `missing_values` is refused, too); \
         `task = \"classification\"` takes all cells for classes"
    } else {
        "correct the cell, or name it in `missing_values`; or name the column in `categories` (in `numbers` the cell is \
         refused, too)"
    }
}

impl TableProblem {
    /// This problem, in that file.
    pub(crate) fn at(self, path: &Path) -> TableError {
        TableError { path: path.to_owned(), problem: self }
    }

    /// No column has this name.
    pub(crate) fn no_column(field: &str, name: &str, columns: &[String]) -> Self {
        let nearest = strict_config::nearest(name, columns.iter().map(String::as_str)).map(str::to_owned);
        let (field, name, is_alone) = (field.to_owned(), name.to_owned(), columns.len() == 1);
        Self::NoColumn { field, name, nearest, columns: Names::new(columns), is_alone }
    }

    /// Columns that a new table lacks.
    pub(crate) fn lacking(names: &[String]) -> Self {
        Self::Lacking { count: names.len(), lacking: Names::new(names) }
    }
}

/// Names as a message lists them: the first few of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Box<str>);

impl Names {
    fn new(names: &[String]) -> Self {
        const SHOWN: usize = 12;
        let first: Vec<String> = names.iter().take(SHOWN).map(|name| short(name)).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Self(format!("{}{more}", first.join(", ")).into())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A text shortened to what a message can hold.
pub(crate) fn short(text: &str) -> String {
    strict_config::shorten(text, 40)
}
