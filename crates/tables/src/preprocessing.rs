//! What is learned from the training part of a table before any network is: what fills missing values, means and
//! deviations, and the numbers of categories. It turns tables into rows, and predictions back.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use burn::tensor::{Tensor, TensorReadError};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::column::{Categories, Cells, Column, NO_CODE, sort};
use crate::error::{TableError, TableProblem, short};
use crate::models::Features;
use crate::prediction::{RowPrediction, Target, predictions, six_digits};
use crate::read::{CsvFile, Format, Kind};
use crate::rows::{Block, Rows, TargetBlock};
use crate::settings::{Fill, FillValue, Missing};
use crate::table::Table;

/// How the columns of a table become the inputs of a network, fitted on the training part alone. It belongs to a model as
/// its weights do: kept with a run, it encodes a new table as the training data was.
///
/// A number `x` becomes `(x - mean) / std`, with the mean and the population deviation of the training part (1 for a
/// constant column); a category becomes its number among those of the training part, counted from 1, and 0 where the
/// training part lacks it. A target that is a number is standardised in the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The columns of numbers, in the order of the inputs.
    pub numbers: Vec<NumberColumn>,
    /// The columns of categories, in the order of the embeddings.
    pub categories: Vec<CategoryColumn>,
    /// The target.
    pub target: Target,
    /// Columns that a table may have and that are not looked at.
    pub ignored: Vec<String>,
    format: Format,
}

/// A column of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberColumn {
    /// Its name.
    pub name: String,
    /// What fills a missing value; `None`: it is refused.
    pub fill: Option<f64>,
    /// The mean of the training part, filled.
    pub mean: f64,
    /// The population standard deviation of the training part, filled; 1 where it is 0.
    pub std: f64,
}

/// A column of categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryColumn {
    /// Its name.
    pub name: String,
    /// What fills a missing value; `None`: it is refused.
    pub fill: Option<String>,
    /// The categories of the training part, number 1 first.
    pub names: Vec<String>,
}

impl Preprocessing {
    /// Fits on the rows `training` of a table.
    ///
    /// # Errors
    /// A missing value that nothing fills; a value that does not fit its column; a mean, a median or a most frequent value
    /// of a column without a value in these rows; a target that is one number in all of them.
    ///
    /// # Panics
    /// As a slice does, where a position is not below the number of rows.
    pub fn fit(table: &Table, training: &[usize], missing: &Missing) -> Result<Self, TableError> {
        Self::fitted(table, training, missing).map_err(|problem| problem.at(&table.path))
    }

    fn fitted(table: &Table, training: &[usize], missing: &Missing) -> Result<Self, TableProblem> {
        let (mut numbers, mut categories) = (Vec::new(), Vec::new());
        for column in &table.columns {
            let default = match column.cells {
                Cells::Numbers(_) => &missing.numbers,
                Cells::Categories(_) => &missing.categories,
            };
            let fill = missing.columns.get(&column.name).unwrap_or(default);
            match &column.cells {
                Cells::Numbers(cells) => numbers.push(fit_numbers(column, cells, training, fill)?),
                Cells::Categories(cells) => categories.push(fit_categories(column, cells, training, fill)?),
            }
        }
        let name = table.target.name.clone();
        let target = match &table.target.cells {
            Cells::Categories(Categories { codes, names }) => {
                let mut of_training = training.iter().map(|&row| codes[row]);
                if let Some(first) = of_training.next().filter(|first| of_training.all(|code| code == *first)) {
                    let class = names.get(first as usize).cloned().unwrap_or_default();
                    let (rows, of) = (training.len(), " of the training part");
                    return Err(TableProblem::OneClass { column: name, class, rows, of });
                }
                Target::Classes { name, classes: names.clone() }
            }
            Cells::Numbers(cells) => {
                let (mean, std) = moments(&name, training.iter().map(|&row| cells[row]))?;
                if std == 0.0 {
                    let of = " of the training part";
                    return Err(TableProblem::Constant { column: name, value: mean, rows: training.len(), of });
                }
                Target::Number { name, mean, std }
            }
        };
        Ok(Self { numbers, categories, target, ignored: table.ignored.clone(), format: table.format.clone() })
    }

    /// The rows of the table that this was fitted on, in their order. Columns are dropped as they are encoded.
    pub fn encode(&self, table: Table) -> Rows {
        let targets = match (&self.target, table.target.cells) {
            (Target::Number { mean, std, .. }, Cells::Numbers(cells)) => {
                TargetBlock::Numbers(cells.into_iter().map(|cell| standardised(cell, *mean, *std)).collect(), *std)
            }
            (_, Cells::Categories(Categories { codes, .. })) => {
                TargetBlock::Classes(codes.into_iter().map(|code| code as i32).collect())
            }
            // Not the table that this was fitted on.
            (Target::Classes { .. }, Cells::Numbers(cells)) => TargetBlock::Classes(vec![0; cells.len()]),
        };
        self.encoded(table.columns, table.rows, targets)
    }

    /// No rows at all.
    pub fn no_rows(&self) -> Rows {
        self.encoded(Vec::new(), 0, self.no_targets(0))
    }

    /// The targets of rows whose targets are not known.
    fn no_targets(&self, rows: usize) -> TargetBlock {
        match &self.target {
            Target::Classes { .. } => TargetBlock::Classes(vec![0; rows]),
            Target::Number { std, .. } => TargetBlock::Numbers(vec![0.0; rows], *std),
        }
    }

    /// Reads a new table: the columns that this was fitted on, in any order. It may have the target and the ignored
    /// columns, which are not looked at. The targets of the rows are 0. Beside the rows a sentence for each column with
    /// categories that the training part lacks.
    ///
    /// # Errors
    /// As for [`Table::read`]; columns that are missing, and others that the training data had not; a missing value in a
    /// column that is not filled.
    pub fn read(&self, path: &Path) -> Result<(Rows, Vec<String>), TableError> {
        self.loaded(path).map_err(|problem| problem.at(path))
    }

    fn loaded(&self, path: &Path) -> Result<(Rows, Vec<String>), TableProblem> {
        let file = CsvFile::open(path, &self.format)?;
        let kinds = self.kinds(&file.header)?;
        let (columns, _) = file.columns(&kinds, 0)?;
        let rows = columns.first().map_or(0, |column| match &column.cells {
            Cells::Numbers(cells) => cells.len(),
            Cells::Categories(cells) => cells.codes.len(),
        });
        if rows == 0 {
            return Err(TableProblem::NoRows);
        }
        let unfilled = |column: &&Column| column.missing > 0 && !self.fills(&column.name);
        if let Some(column) = columns.iter().find(unfilled) {
            return Err(refused(column, true));
        }
        if let Some(column) = columns.iter().find(|column| self.is_too_large(column)) {
            return Err(TableProblem::TooLarge { column: column.name.clone() });
        }
        let unknown = self.categories.iter().filter_map(|fitted| {
            let column = columns.iter().find(|column| column.name == fitted.name)?;
            unknown(column, fitted)
        });
        let unknown = unknown.collect();
        Ok((self.encoded(columns, rows, self.no_targets(rows)), unknown))
    }

    /// Whether a number of this column is none any more once it is standardised.
    fn is_too_large(&self, column: &Column) -> bool {
        let (Cells::Numbers(cells), Some(fitted)) =
            (&column.cells, self.numbers.iter().find(|fitted| fitted.name == column.name))
        else {
            return false;
        };
        cells.iter().any(|cell| !cell.is_nan() && !standardised(*cell, fitted.mean, fitted.std).is_finite())
    }

    /// What each column of a header is read as.
    fn kinds(&self, header: &[String]) -> Result<Vec<Kind>, TableProblem> {
        let numbers = self.numbers.iter().map(|column| (column.name.as_str(), Kind::Numbers));
        let categories = self.categories.iter().map(|column| (column.name.as_str(), Kind::Categories));
        let needed: HashMap<&str, Kind> = numbers.chain(categories).collect();
        let is_skipped = |name: &String| name == self.target.name() || self.ignored.contains(name);
        // What is misspelt is both lacking and additional: the message about it says what it should be called.
        for (at, name) in header.iter().enumerate() {
            if !needed.contains_key(name.as_str()) && !is_skipped(name) {
                let delimiter = (header.len() == 1 && needed.len() > 1).then_some(self.format.delimiter);
                let nearest = strict_config::nearest(name, needed.keys().copied()).map(str::to_owned);
                let nearest = nearest.filter(|_| delimiter.is_none());
                return Err(TableProblem::Additional { name: name.clone(), position: at + 1, nearest, delimiter });
            }
        }
        let there: HashSet<&str> = header.iter().map(String::as_str).collect();
        let lacking: Vec<String> = self.names().filter(|name| !there.contains(name)).map(str::to_owned).collect();
        if !lacking.is_empty() {
            return Err(TableProblem::lacking(&lacking));
        }
        Ok(header.iter().map(|name| needed.get(name.as_str()).copied().unwrap_or(Kind::Skipped)).collect())
    }

    /// The names of the columns that are looked at.
    fn names(&self) -> impl Iterator<Item = &str> {
        let numbers = self.numbers.iter().map(|column| column.name.as_str());
        numbers.chain(self.categories.iter().map(|column| column.name.as_str()))
    }

    fn fills(&self, name: &str) -> bool {
        self.numbers.iter().any(|column| column.name == name && column.fill.is_some())
            || self.categories.iter().any(|column| column.name == name && column.fill.is_some())
    }

    /// Columns as one block of numbers and one of codes, each in the order of this preprocessing.
    fn encoded(&self, columns: Vec<Column>, rows: usize, targets: TargetBlock) -> Rows {
        let place = |names: &mut dyn Iterator<Item = &str>| -> HashMap<String, usize> {
            names.enumerate().map(|(at, name)| (name.to_owned(), at)).collect()
        };
        let number_at = place(&mut self.numbers.iter().map(|column| column.name.as_str()));
        let category_at = place(&mut self.categories.iter().map(|column| column.name.as_str()));
        let (number_columns, category_columns) = (self.numbers.len(), self.categories.len());
        let mut numbers = vec![0.0_f32; rows * number_columns];
        let mut codes = vec![0_i32; rows * category_columns];
        for column in columns {
            match column.cells {
                Cells::Numbers(cells) => {
                    let Some(&at) = number_at.get(&column.name) else { continue };
                    let NumberColumn { fill, mean, std, .. } = &self.numbers[at];
                    let fill = fill.unwrap_or(*mean);
                    for (out, cell) in numbers[at..].iter_mut().step_by(number_columns).zip(cells) {
                        *out = standardised(if cell.is_nan() { fill } else { cell }, *mean, *std);
                    }
                }
                Cells::Categories(cells) => {
                    let Some(&at) = category_at.get(&column.name) else { continue };
                    let CategoryColumn { fill, names, .. } = &self.categories[at];
                    let code_of: HashMap<&str, i32> =
                        names.iter().enumerate().map(|(at, name)| (name.as_str(), at as i32 + 1)).collect();
                    let code = |name: &str| code_of.get(name).copied().unwrap_or(0);
                    let filled = fill.as_deref().map_or(0, code);
                    let own: Vec<i32> = cells.names.iter().map(|name| code(name)).collect();
                    for (out, cell) in codes[at..].iter_mut().step_by(category_columns).zip(cells.codes) {
                        *out = if cell == NO_CODE { filled } else { own[cell as usize] };
                    }
                }
            }
        }
        Rows::new(Block { rows, numbers, codes, targets, number_columns, category_columns })
    }

    /// What a network needs to know: inputs and outputs.
    pub fn features(&self) -> Features {
        Features {
            numbers: self.numbers.len(),
            categories: self.categories.iter().map(|column| column.names.len()).collect(),
            outputs: self.target.outputs(),
        }
    }

    /// What a network's outputs, `(row, output)`, say about each row: the probability of each class, or the number in the
    /// target's own unit.
    ///
    /// # Errors
    /// A device that does not give its tensors back.
    pub fn predictions(&self, outputs: Tensor<2>) -> Result<Vec<RowPrediction>, TensorReadError> {
        predictions(&self.target, outputs)
    }

    /// What is true of rows, in the words of the table: the class, or six digits of the number.
    ///
    /// # Panics
    /// As a slice does, where a position is not below the number of rows.
    pub fn truths(&self, rows: &Rows, positions: &[usize]) -> Vec<String> {
        let truth = |&at: &usize| match &self.target {
            Target::Classes { classes, .. } => rows.class(at).and_then(|class| classes.get(class).cloned()),
            Target::Number { mean, std, .. } => rows.standardised(at).map(|number| six_digits(number * std + mean)),
        };
        // Rows of another table have none.
        let truth = |at| truth(at).unwrap_or_default();
        positions.iter().map(truth).collect()
    }

    /// The classes that no row has.
    pub fn absent_classes(&self, rows: &Rows) -> Vec<&str> {
        let Target::Classes { classes, .. } = &self.target else { return Vec::new() };
        let there: HashSet<usize> = (0..rows.len()).filter_map(|at| rows.class(at)).collect();
        let absent = classes.iter().enumerate().filter(|(class, _)| !there.contains(class));
        absent.map(|(_, name)| name.as_str()).collect()
    }

    /// The class of all rows, where there are some and they have only one.
    pub fn only_class(&self, rows: &Rows) -> Option<&str> {
        let Target::Classes { classes, .. } = &self.target else { return None };
        let first = if rows.is_empty() { None } else { rows.class(0) }?;
        let is_alone = (1..rows.len()).all(|at| rows.class(at) == Some(first));
        if is_alone { classes.get(first).map(String::as_str) } else { None }
    }

    /// How the inputs and outputs of another preprocessing differ from these: the first that stands for something else, in a
    /// sentence; `None` where weights learned with one mean the same with the other. Means, deviations and what fills missing
    /// values may differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let numbers = |of: &Self| of.numbers.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let columns = |of: &Self| of.categories.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let classes = |of: &Self| match &of.target {
            Target::Classes { classes, .. } => classes.clone(),
            Target::Number { .. } => Vec::new(),
        };
        first_difference("column of numbers", &numbers(self), &numbers(other))
            .or_else(|| first_difference("column of categories", &columns(self), &columns(other)))
            .or_else(|| {
                let mut pairs = self.categories.iter().zip(&other.categories);
                pairs.find_map(|(here, there)| {
                    first_difference(&format!("category of `{}`", here.name), &here.names, &there.names)
                })
            })
            .or_else(|| first_difference("class", &classes(self), &classes(other)))
    }

    /// The SHA-256 of all of it, in hex: equal where tables are encoded in the same way.
    pub fn fingerprint(&self) -> String {
        // A struct of texts and finite numbers has no reason to fail.
        HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// What is allowed and surely not meant, a sentence for each: categories, or classes, that are more than half as many as
    /// the rows that were trained on.
    pub fn warnings(&self, training: usize) -> Vec<String> {
        let are_many = |count: usize| training >= 20 && 2 * count > training;
        let ids = self.categories.iter().filter(|column| are_many(column.names.len())).map(|column| {
            let (name, count) = (&column.name, column.names.len());
            format!("column `{name}` has {count} categories in {training} training rows: an id or a text to `ignore`?")
        });
        let target = match &self.target {
            Target::Classes { name, classes } if are_many(classes.len()) => {
                let count = classes.len();
                Some(format!(
                    "the target `{name}` has {count} classes, and there are {training} training rows: is it one?"
                ))
            }
            _ => None,
        };
        ids.chain(target).collect()
    }
}

/// The first of these names that is another there, counted from 1.
fn first_difference(what: &str, here: &[String], there: &[String]) -> Option<String> {
    let same = here.iter().zip(there).take_while(|(here, there)| here == there).count();
    let shown = |names: &[String]| names.get(same).map_or("none".to_owned(), |name| format!("{:?}", short(name)));
    let differs = same < here.len().max(there.len());
    differs.then(|| format!("{what} {} is {}, and {} there", same + 1, shown(here), shown(there)))
}

/// What is to be said of a new column with categories that `fitted` lacks: the network takes them for unknown.
fn unknown(column: &Column, fitted: &CategoryColumn) -> Option<String> {
    let Cells::Categories(Categories { codes, names }) = &column.cells else { return None };
    let known: HashSet<&String> = fitted.names.iter().collect();
    let are_unknown: Vec<bool> = names.iter().map(|name| !known.contains(name)).collect();
    // A missing value is what fills it; one that nothing fills has been refused.
    let is_fill_unknown = fitted.fill.as_ref().is_some_and(|fill| !known.contains(fill));
    let is_unknown = |code: &&u32| are_unknown.get(**code as usize).copied().unwrap_or(is_fill_unknown);
    let mut unknown = codes.iter().filter(is_unknown).peekable();
    let example = names.get(**unknown.peek()? as usize).or(fitted.fill.as_ref())?;
    let example = format!("{:?}", short(example));
    let (column, of, count) = (&column.name, codes.len(), unknown.count());
    Some(format!(
        "column `{column}`: {count} of {of} rows have a category that no training row had, such as {example}; the model \
         takes them for unknown"
    ))
}

fn standardised(cell: f64, mean: f64, std: f64) -> f32 {
    ((cell - mean) / std) as f32
}

/// Mean and population standard deviation, in two passes; of one number, itself and 0.
fn moments(column: &str, values: impl Iterator<Item = f64> + Clone) -> Result<(f64, f64), TableProblem> {
    let first = values.clone().next().unwrap_or_default();
    if values.clone().all(|value| value == first) {
        return Ok((first, 0.0));
    }
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let std = (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let column = || column.to_owned();
    if !std.is_finite() {
        return Err(TableProblem::TooLarge { column: column() });
    }
    if std > 0.0 { Ok((mean, std)) } else { Err(TableProblem::TooAlike { column: column() }) }
}

fn refused(column: &Column, is_new: bool) -> TableProblem {
    let Column { name, missing, first_missing, .. } = column;
    TableProblem::Missing { line: *first_missing, column: name.clone(), count: *missing, is_new }
}

fn all_missing(column: &Column, training: &[usize]) -> TableProblem {
    TableProblem::AllMissing { column: column.name.clone(), rows: training.len(), of: " of the training part" }
}

fn fit_numbers(column: &Column, cells: &[f64], training: &[usize], fill: &Fill) -> Result<NumberColumn, TableProblem> {
    let mut present: Vec<f64> = Vec::new();
    if matches!(fill, Fill::Mean | Fill::Median | Fill::MostFrequent) {
        present.extend(training.iter().map(|&row| cells[row]).filter(|cell| !cell.is_nan()));
        if present.is_empty() {
            return Err(all_missing(column, training));
        }
    }
    let fill = match fill {
        Fill::Refuse if column.missing > 0 => return Err(refused(column, false)),
        Fill::Refuse => None,
        Fill::Mean => Some(moments(&column.name, present.iter().copied())?.0),
        Fill::Median => Some(median(&mut present)),
        Fill::MostFrequent => Some(most_frequent(&mut present)),
        Fill::Value(FillValue::Number(number)) => Some(*number),
        Fill::Value(FillValue::Text(_)) => {
            let (column, fill) = (column.name.clone(), fill.name());
            let allowed = "\"refuse\", \"mean\", \"median\", \"most_frequent\" or { value = 0.0 }";
            return Err(TableProblem::Fill { column, holds: "numbers", fill, allowed });
        }
    };
    let filled = training.iter().map(|&row| if cells[row].is_nan() { fill.unwrap_or(0.0) } else { cells[row] });
    let (mean, std) = moments(&column.name, filled)?;
    // A constant column has no deviation to divide by; minus its mean it is 0 everywhere.
    Ok(NumberColumn { name: column.name.clone(), fill, mean, std: if std == 0.0 { 1.0 } else { std } })
}

/// The middle value; the mean of the middle two of an even number.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The most frequent value; of several the smallest.
fn most_frequent(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let mut best = (0, f64::NAN);
    for run in values.chunk_by(|a, b| a == b) {
        if run.len() > best.0 {
            best = (run.len(), run[0]);
        }
    }
    best.1
}

fn fit_categories(
    column: &Column,
    cells: &Categories,
    training: &[usize],
    fill: &Fill,
) -> Result<CategoryColumn, TableProblem> {
    let mut counts = vec![0_usize; cells.names.len()];
    let mut missing = 0;
    for &row in training {
        match cells.codes[row] {
            NO_CODE => missing += 1,
            code => counts[code as usize] += 1,
        }
    }
    let fill = match fill {
        Fill::Refuse if column.missing > 0 => return Err(refused(column, false)),
        Fill::Refuse => None,
        Fill::MostFrequent => {
            let most = counts.iter().copied().max().filter(|count| *count > 0);
            let Some(most) = most else { return Err(all_missing(column, training)) };
            counts.iter().position(|count| *count == most).map(|code| cells.names[code].clone())
        }
        Fill::Value(FillValue::Text(text)) => Some(text.clone()),
        Fill::Value(FillValue::Number(number)) => Some(number.to_string()),
        Fill::Mean | Fill::Median => {
            let (column, fill) = (column.name.clone(), fill.name());
            let allowed = "\"refuse\", \"most_frequent\" or { value = \"text\" }";
            return Err(TableProblem::Fill { column, holds: "categories", fill, allowed });
        }
    };
    let mut names: Vec<String> =
        cells.names.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(name, _)| name.clone()).collect();
    if let Some(fill) = fill.as_ref().filter(|fill| missing > 0 && !names.contains(fill)) {
        names.push(fill.clone());
        sort(&mut names);
    }
    Ok(CategoryColumn { name: column.name.clone(), fill, names })
}
