//! Tables: a class or a number from the other columns of a CSV file.

use std::path::{Path, PathBuf};

use burn::{tensor::Device, train::metric::AccuracyMetric};
use serde::{Deserialize, Serialize};
use strict_config::ConfigError;
use tables::{
    Preprocessing, RowBatch, Rows, Table, TableError, TableProblem, TableSettings, Target, TargetKind,
    models::{ErrorMetric, TableMlp, TableMlpConfig, auroc, f1},
};
use trainer::{Metrics, Split, data::split};

use super::{
    Classes, Draw, ModelRow, NoSettings, Outputs, Prediction, Setup, Size, Task, TaskError, TaskSettings, kept,
};

/// Rows that are predicted at once.
const AT_ONCE: usize = 4_096;

/// Rows that are shown at each validation.
const SHOWN: usize = 12;

/// A table: its rows, and what was fitted on those that are trained on.
pub struct Tabular {
    fitted: Kept,
    train: Rows,
    valid: Rows,
    test: Rows,
    name: String,
    /// What is surely not meant.
    notes: Vec<String>,
}

/// What a run keeps of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The SHA-256 of the file.
    table: String,
    preprocessing: Preprocessing,
}

impl Tabular {
    fn part(&self, part: Split) -> &Rows {
        match part {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }
}

impl Task for Tabular {
    const NAME: &'static str = "table";
    const SUMMARY: &'static str = "a CSV file: a class or a number from the other columns";

    type Data = TableSettings;
    type Model = TableMlpConfig;
    type Eval = NoSettings;
    type Network = TableMlp;

    fn models() -> Vec<ModelRow<TableMlpConfig>> {
        let summary = "fully connected layers over numbers and embeddings of categories";
        vec![ModelRow::new("mlp", summary, std::convert::identity::<TableMlpConfig>)]
    }

    fn fill_in(data: &mut TableSettings, found: &TableSettings) {
        data.task = found.kind().unwrap_or_default();
    }

    fn metrics(settings: &TaskSettings<Self>) -> Metrics<TableMlp> {
        match settings.data.kind() {
            Some(TargetKind::Regression) => {
                Metrics::new().with(ErrorMetric::r2()).with_valid(ErrorMetric::mae()).with_valid(ErrorMetric::mse())
            }
            // Where the file cannot tell, loading it fails.
            _ => Metrics::new().with(AccuracyMetric::new()).with_valid(f1()).with_valid(auroc()),
        }
    }

    fn paths(data: &mut TableSettings) -> Vec<&mut PathBuf> {
        vec![&mut data.path]
    }

    /// The test part is that of `split_seed`; validation and training share the rest by the seed of the run.
    fn load(settings: &TaskSettings<Self>, setup: &Setup) -> Result<Self, TaskError> {
        let settings = &settings.data;
        let name =
            settings.path.file_stem().map_or_else(|| Self::NAME.to_owned(), |name| name.to_string_lossy().into());
        if let Some(kept) = &setup.kept {
            let fitted: Kept = kept::read(kept)?;
            let [train, valid, test] = [(); 3].map(|()| fitted.preprocessing.no_rows());
            return Ok(Self { fitted, train, valid, test, name, notes: Vec::new() });
        }
        let table = Table::read(settings).map_err(refused)?;
        let (rest, test) = split(table.len(), settings.test, settings.split_seed);
        if test.is_empty() && settings.test > 0.0 {
            let allowed = format!("0, or a fraction that holds out at least one of the {} rows", table.len());
            return Err(ConfigError::not_allowed("data.test", settings.test, allowed).into());
        }
        let (train, valid) = split(rest.len(), setup.data.validation, setup.seed);
        let of_rest = |positions: Vec<usize>| positions.into_iter().map(|at| rest[at]).collect::<Vec<_>>();
        let (train, valid) = (of_rest(train), of_rest(valid));
        if train.is_empty() {
            let allowed = format!("a fraction that leaves some of the {} rows to train on", table.len());
            return Err(ConfigError::not_allowed("data.validation", setup.data.validation, allowed).into());
        }
        let preprocessing = Preprocessing::fit(&table, &train, &settings.missing).map_err(refused)?;
        let mut notes = [table.notes(), &preprocessing.warnings(train.len())].concat();
        let fitted = Kept { table: table.fingerprint().to_owned(), preprocessing };
        let rows = fitted.preprocessing.encode(table);
        let [train, valid, test] = [train, valid, test].map(|positions| rows.subset(&positions));
        let absent = fitted.preprocessing.absent_classes(&train);
        if let [first, ..] = absent.as_slice() {
            let count = absent.len();
            notes.push(format!("no row of the training part has {count} of the classes, such as {first:?}"));
        }
        for (part, rows) in [("validation", &valid), ("test", &test)] {
            if let Some(class) = fitted.preprocessing.only_class(rows) {
                let count = rows.len();
                notes.push(format!(
                    "all {count} rows of the {part} part are {class:?}: it has no `auroc`, and `f1` says little"
                ));
            }
        }
        let notes = notes.into_iter().map(|note| format!("{}: {note}", settings.path.display())).collect();
        Ok(Self { fitted, train, valid, test, name, notes })
    }

    fn items(&self, part: Split) -> usize {
        self.part(part).len()
    }

    fn classes(&self) -> Option<Classes> {
        let Target::Classes { classes, .. } = &self.fitted.preprocessing.target else { return None };
        let of_items = (0..self.train.len()).filter_map(|row| self.train.class(row)).collect();
        Some(Classes { names: classes.clone(), of_items })
    }

    fn batch(&self, part: Split, items: &[usize], _: Option<Draw>, device: &Device) -> RowBatch {
        self.part(part).batch(items, device)
    }

    fn network(&self, model: &TableMlpConfig, device: &Device) -> Result<TableMlp, TaskError> {
        Ok(model.init(&self.fitted.preprocessing.features(), device).map_err(|error| error.within("model"))?)
    }

    fn size(&self, model: &TableMlpConfig, _: &Device) -> Result<Option<Size>, TaskError> {
        let features = self.fitted.preprocessing.features();
        let (parameters, made) = model.counts(&features);
        Ok(Some(Size { parameters, item: features.numbers + features.categories.len(), made }))
    }

    /// Inference holds no graph, so larger batches cost little memory.
    fn eval_batch_size(&self, batch_size: usize) -> usize {
        batch_size.max(1_024)
    }

    fn fingerprint(&self) -> String {
        format!("{}, preprocessing {}", self.fitted.table, self.fitted.preprocessing.fingerprint())
    }

    fn kept(&self) -> Option<String> {
        kept::write(&self.fitted)
    }

    /// The columns and what their categories are, by which inputs are numbered, and the classes.
    fn check_pretrained(&self, kept: Option<&str>) -> Result<Option<String>, TaskError> {
        let Some(fitted) = kept.and_then(|kept| kept::read::<Kept>(kept).ok()) else {
            let name = &self.name;
            return Ok(Some(format!(
                "it is not known what its inputs stand for: they are taken for the columns of {name}"
            )));
        };
        match self.fitted.preprocessing.difference(&fitted.preprocessing) {
            Some(difference) => {
                let name = &self.name;
                Err(TaskError::other(format!("the weights were learned on another table than {name}: {difference}")))
            }
            None => Ok(None),
        }
    }

    fn description(&self) -> String {
        format!("{} ({})", self.name, self.fitted.preprocessing.target.name())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// The first rows that are validated on: what is true beside what is predicted.
    fn show(&self, network: &TableMlp, device: &Device) -> Result<Outputs, TaskError> {
        let Some(rows) = [&self.valid, &self.train].into_iter().find(|rows| !rows.is_empty()) else {
            return Ok(Outputs::default());
        };
        let positions: Vec<usize> = (0..rows.len().min(SHOWN)).collect();
        let said = self.said(network, rows, &positions, device)?;
        let truths = self.fitted.preprocessing.truths(rows, &positions);
        let shown = positions.iter().zip(truths).zip(&said).map(|((&at, truth), said)| {
            let probability = said.probability().map(|probability| format!("{probability:.3}"));
            [rows.number(at).to_string(), truth, said.to_string()].into_iter().chain(probability).collect()
        });
        let mut head =
            vec!["row".to_owned(), self.fitted.preprocessing.target.name().to_owned(), "predicted".to_owned()];
        let is_class = matches!(self.fitted.preprocessing.target, tables::Target::Classes { .. });
        head.extend(is_class.then(|| "probability".to_owned()));
        let text_columns = if is_class { vec![1, 2] } else { Vec::new() };
        let table = report::page::Table { head, rows: shown.collect(), text_columns, ..report::page::Table::default() };
        Ok(Outputs { texts: vec![table.to_text(usize::MAX)], ..Outputs::default() })
    }

    /// New tables: a prediction for each row of each.
    fn predict(&self, network: &TableMlp, inputs: &[String], device: &Device) -> Result<Vec<Prediction>, TaskError> {
        let mut predictions = Vec::new();
        for input in inputs {
            let (rows, unknown) = self.fitted.preprocessing.read(Path::new(input))?;
            for warning in unknown {
                tracing::warn!("{input}: {warning}");
            }
            let all: Vec<usize> = (0..rows.len()).collect();
            for positions in all.chunks(AT_ONCE) {
                let said = self.said(network, &rows, positions, device)?;
                let named = positions.iter().zip(&said);
                predictions
                    .extend(named.map(|(&at, said)| self.named(format!("{input} row {}", rows.number(at)), said)));
            }
        }
        Ok(predictions)
    }
}

impl Tabular {
    /// What a network says of rows.
    fn said(
        &self,
        network: &TableMlp,
        rows: &Rows,
        positions: &[usize],
        device: &Device,
    ) -> Result<Vec<tables::RowPrediction>, TaskError> {
        let batch = rows.batch(positions, device);
        let outputs = network.forward(batch.numbers, batch.categories);
        self.fitted.preprocessing.predictions(outputs).map_err(|error| TaskError::other(error.to_string()))
    }

    fn named(&self, input: String, said: &tables::RowPrediction) -> Prediction {
        match (said, &self.fitted.preprocessing.target) {
            (tables::RowPrediction::Class { probabilities, .. }, Target::Classes { classes, .. }) => {
                Prediction::of_classes(input, classes, probabilities)
            }
            (tables::RowPrediction::Class { class, .. }, _) => Prediction::of(input, "class", class.as_str()),
            (tables::RowPrediction::Number { value }, _) => Prediction::of(input, "value", *value),
        }
    }
}

/// A setting that names a column that is not there is one of the configuration.
fn refused(error: TableError) -> TaskError {
    match &error.problem {
        TableProblem::NoColumn { field, .. } => {
            ConfigError::conflict(format!("data.{field}"), error.to_string()).into()
        }
        _ => TaskError::Tables(error),
    }
}
