//! A table that grows while it is written: a CSV file whose columns are those seen so far.
//!
//! A value of a new name adds a column: the file is rewritten with the longer header, whole or not at all, and earlier
//! rows get an empty cell there. Metrics first appear in the first epoch of a run, so this happens a few times, while the
//! file is small.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read},
    path::{Path, PathBuf},
};

use crate::atomic::{atomic_write, keep_aside, open_regular};

/// A cell of a row: the column's name and what stands there.
pub type NamedCell = (String, String);

/// Why a CSV file could not be written or resumed.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
pub struct CsvError {
    /// Which file.
    path: PathBuf,
    /// What was tried.
    action: &'static str,
    /// What the system or the CSV reader said.
    source: io::Error,
}

/// Writes a CSV file row by row (RFC 4180: a header, commas, quotes where a cell needs them).
#[derive(Debug)]
pub struct GrowingCsv {
    path: PathBuf,
    columns: Vec<String>,
    out: csv::Writer<BufWriter<File>>,
    /// The copy of a file that had rows which cannot be read.
    kept_aside: Option<PathBuf>,
}

impl GrowingCsv {
    /// A fresh file with these columns at first.
    ///
    /// # Errors
    /// [`CsvError`] naming the file.
    pub fn create(path: &Path, columns: &[&str]) -> Result<Self, CsvError> {
        Self::with(path, columns.iter().map(|column| (*column).to_owned()).collect(), &[])
    }

    /// Resumes a file, keeping the rows for which `keep` gives `Some(true)`; `keep` looks a cell up by its column's name,
    /// and gives `None` for a row that makes no sense. A last row without an end of line was cut off by a crash and is
    /// not kept. Where another row cannot be read, the file as it is stays beside it ([`kept_aside`](Self::kept_aside)).
    /// A file that is not there is created.
    ///
    /// # Errors
    /// [`CsvError`] naming the file.
    pub fn resume(
        path: &Path,
        columns: &[&str],
        mut keep: impl FnMut(&dyn Fn(&str) -> Option<String>) -> Option<bool>,
    ) -> Result<Self, CsvError> {
        let Some(Content { columns: mut known, rows, mut is_damaged }) = read(path).map_err(failed(path, "read it"))?
        else {
            return Self::create(path, columns);
        };
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .filter(|row| {
                let kept = keep(&|name: &str| {
                    let at = known.iter().position(|column| column == name)?;
                    row.get(at).filter(|cell| !cell.is_empty()).cloned()
                });
                is_damaged |= kept.is_none();
                kept == Some(true)
            })
            .collect();
        for column in columns {
            if !known.iter().any(|name| name == column) {
                known.push((*column).to_owned());
            }
        }
        let kept_aside = aside(path, is_damaged)?;
        Ok(Self { kept_aside, ..Self::with(path, known, &rows)? })
    }

    /// Where the file as it was has been copied to, if rows of it could not be read.
    pub fn kept_aside(&self) -> Option<&Path> {
        self.kept_aside.as_deref()
    }

    /// Writes a row. Columns that it does not name stay empty; names that are new become columns.
    ///
    /// # Errors
    /// [`CsvError`] naming the file.
    pub fn row(&mut self, cells: &[NamedCell]) -> Result<(), CsvError> {
        let is_new = |(name, _): &&NamedCell| !self.columns.contains(name);
        let new: Vec<String> = cells.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        if !new.is_empty() {
            self.flush()?;
            let read = read(&self.path).map_err(failed(&self.path, "read it"))?;
            let Content { mut columns, rows, is_damaged } =
                read.unwrap_or_else(|| Content { columns: self.columns.clone(), rows: Vec::new(), is_damaged: false });
            columns.extend(new);
            let kept_aside = aside(&self.path, is_damaged)?.or(self.kept_aside.take());
            *self = Self { kept_aside, ..Self::with(&self.path, columns, &rows)? };
        }
        let cell =
            |column: &String| cells.iter().find(|(name, _)| name == column).map_or("", |(_, cell)| cell.as_str());
        let row: Vec<&str> = self.columns.iter().map(cell).collect();
        self.out.write_record(&row).map_err(|error| failed(&self.path, "write it")(io::Error::other(error)))
    }

    /// Hands everything written to the system.
    ///
    /// # Errors
    /// [`CsvError`] naming the file.
    pub fn flush(&mut self) -> Result<(), CsvError> {
        self.out.flush().map_err(failed(&self.path, "write it"))
    }

    /// Replaces the file by one with these columns and rows, and opens it at its end.
    fn with(path: &Path, columns: Vec<String>, rows: &[Vec<String>]) -> Result<Self, CsvError> {
        let written = (|| {
            let mut table = builder().from_writer(Vec::new());
            table.write_record(&columns)?;
            for row in rows {
                let padding = columns.len().saturating_sub(row.len());
                table.write_record(row.iter().map(String::as_str).chain(std::iter::repeat_n("", padding)))?;
            }
            atomic_write(path, table.into_inner().map_err(csv::IntoInnerError::into_error)?)?;
            OpenOptions::new().append(true).open(path)
        })();
        let file = written.map_err(failed(path, "write it"))?;
        let out = builder().from_writer(BufWriter::new(file));
        Ok(Self { path: path.to_owned(), columns, out, kept_aside: None })
    }
}

/// Rows may be shorter than the header.
fn builder() -> csv::WriterBuilder {
    let mut builder = csv::WriterBuilder::new();
    builder.flexible(true);
    builder
}

fn failed(path: &Path, action: &'static str) -> impl Fn(io::Error) -> CsvError {
    let path = path.to_owned();
    move |source| CsvError { path: path.clone(), action, source }
}

fn aside(path: &Path, is_damaged: bool) -> Result<Option<PathBuf>, CsvError> {
    if !is_damaged {
        return Ok(None);
    }
    keep_aside(path).map(Some).map_err(failed(path, "copy it"))
}

/// What can be read of a file.
struct Content {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// There is more: rows that are not text, or have another number of cells than there are columns.
    is_damaged: bool,
}

/// Columns and rows of a file; `None` where there is no file or nothing in it.
fn read(path: &Path) -> io::Result<Option<Content>> {
    let mut bytes = Vec::new();
    match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.read_to_end(&mut bytes)?,
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..whole]);
    let mut records = reader.byte_records().map(|record| {
        let record = record.ok()?;
        let cells = record.iter().map(|cell| str::from_utf8(cell).ok().map(str::to_owned));
        cells.collect::<Option<Vec<_>>>()
    });
    let Some(columns) = records.next() else { return Ok(None) };
    let mut is_damaged = columns.is_none();
    let columns = columns.unwrap_or_default();
    let is_row = |record: Option<Vec<String>>| {
        let row = record.filter(|row| row.len() == columns.len());
        is_damaged |= row.is_none();
        row
    };
    let rows = records.filter_map(is_row).collect();
    Ok(Some(Content { columns, rows, is_damaged }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn cells(pairs: &[(&str, &str)]) -> Vec<NamedCell> {
        pairs.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    #[test]
    fn columns_grow_and_earlier_rows_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut table = GrowingCsv::create(&path, &["step", "loss"]).unwrap();
        table.row(&cells(&[("step", "1"), ("loss", "2.5")])).unwrap();
        table.row(&cells(&[("loss", "2"), ("step", "2"), ("a,b", "\"x\"")])).unwrap();
        table.row(&cells(&[("step", "3")])).unwrap();
        table.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,loss,\"a,b\"\n1,2.5,\n2,2,\"\"\"x\"\"\"\n3,,\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file stayed behind");
    }

    #[test]
    fn a_resumed_table_keeps_the_rows_it_is_told_to_and_drops_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        fs::write(&path, "step,valid\n1,\n2,0.5\n3,\n4,0.").unwrap();
        let up_to_two = |cell: &dyn Fn(&str) -> Option<String>| cell("step").map(|step| step.as_str() <= "2");
        let mut table = GrowingCsv::resume(&path, &["step", "lr"], up_to_two).unwrap();
        table.row(&cells(&[("step", "3"), ("lr", "0.1")])).unwrap();
        drop(table);
        assert_eq!(fs::read_to_string(&path).unwrap(), "step,valid,lr\n1,,\n2,0.5,\n3,,0.1\n");
        // Without a file the table is fresh.
        let other = folder.path().join("other.csv");
        GrowingCsv::resume(&other, &["step"], |_| Some(true)).unwrap().flush().unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "step\n");
    }

    #[test]
    fn rows_that_cannot_be_read_are_kept_aside() {
        let whole = "step,loss\n1,3\n2,2\n3,1\n";
        let cases: [(&[u8], &str); 4] = [
            (b"step,loss\n1,3\n2,\xff\n3,1\n", "step,loss\n1,3\n3,1\n"),
            (b"step,loss\n1,3\n,2\n3,1\n", "step,loss\n1,3\n3,1\n"),
            (b"step,loss\n1,3\n2\n3,1\n", "step,loss\n1,3\n3,1\n"),
            (b"st\xffp,loss\n1,3\n", "step\n"),
        ];
        for (bytes, left) in [(whole.as_bytes(), whole)].into_iter().chain(cases) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("metrics.csv");
            fs::write(&path, bytes).unwrap();
            let table = GrowingCsv::resume(&path, &["step"], |cell| cell("step").map(|_| true)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), left);
            let copy = folder.path().join("metrics.csv.damaged-1");
            assert_eq!(table.kept_aside(), (bytes != whole.as_bytes()).then_some(copy.as_path()), "{left}");
            assert_eq!(fs::read(&copy).ok(), (bytes != whole.as_bytes()).then(|| bytes.to_vec()));
        }
    }

    #[test]
    fn an_unwritable_file_is_named() {
        let error = GrowingCsv::create(Path::new("/nowhere/metrics.csv"), &["step"]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/metrics.csv: cannot write it: "), "{error}");
    }
}
