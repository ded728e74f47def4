//! `[data]`, `[model]` and `[eval]`: which task, which of its models, and what that model starts from.

use std::path::PathBuf;

use strict_config::ConfigError;
use toml::{Table, Value};

use super::{Catalog, PretrainedSection, places, put};
use crate::task::{ChosenTask, DataSection, ImageEntry, MODEL_FIELDS, Tables};

/// `[model]`, the fields that every task has.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSection {
    /// `type`: a name from `anneal list models`. Default: the first model of the task, `mlp` for images.
    pub name: String,
    /// Weights to start from. Default: none, the model starts as its seed draws it.
    pub pretrained: Option<PretrainedSection>,
}

impl ModelSection {
    /// The table, with the fields that are the model's own.
    pub(super) fn to_table(&self, own: Table) -> Table {
        let mut table = Table::new();
        put(&mut table, "type", Some(self.name.clone()));
        table.extend(own);
        put(&mut table, "pretrained", self.pretrained.as_ref().map(PretrainedSection::to_table));
        table
    }
}

/// Reads the three sections.
pub(super) fn read(
    data: Table,
    model: Table,
    eval: &Table,
    catalog: &Catalog,
) -> Result<(DataSection, ModelSection, ChosenTask), ConfigError> {
    let (shared, data) = apart(data, DataSection::fields());
    let mut shared: DataSection = strict_config::read(&shared, "data")?;
    let (mut common, model) = apart(model, &MODEL_FIELDS);
    let model_name = match common.remove("type") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(other) => return Err(ConfigError::wrong_type("model.type", "a string", &other)),
    };
    let dataset = shared.dataset.clone();
    let tables = Tables { shared: &mut shared, data, model_name, model, eval };
    let images = ImageEntry { models: &catalog.models, datasets: &catalog.datasets };
    let task = match catalog.task(&dataset) {
        Some(entry) => entry.read(tables)?,
        None if images.knows(&dataset) => images.read(tables)?,
        // Before its fields: under a misspelt name of a data set they would be reported as unknown.
        None => {
            let names: Vec<&str> = images.datasets().chain(catalog.tasks.iter().map(|task| task.name())).collect();
            return Err(ConfigError::unknown_name("data.dataset", "dataset", &dataset, names));
        }
    };
    let pretrained = common.get("pretrained").map(PretrainedSection::read).transpose();
    let pretrained = pretrained.map_err(|error| error.within("model.pretrained"))?;
    let task = task.any().filled_in(&found(&task, &shared));
    Ok((shared, ModelSection { name: task.model_name().to_owned(), pretrained }, task))
}

/// The task with the paths of its data where they are found.
pub(super) fn found(task: &ChosenTask, shared: &DataSection) -> ChosenTask {
    let found = task.any().with_paths(&mut |path| Ok(places::found(path, shared.data_dir.as_deref())));
    // That change cannot fail.
    found.unwrap_or_else(|_| task.clone())
}

/// Where the first of the task's paths was looked for that leads to nothing.
pub(super) fn looked_for(task: &ChosenTask, shared: &DataSection) -> Option<Vec<PathBuf>> {
    let (data_dir, mut nowhere) = (shared.data_dir.as_deref(), None);
    // That visit changes nothing and cannot fail.
    let _ = task.any().with_paths(&mut |path| {
        if nowhere.is_none() && !places::found(path, data_dir).exists() {
            nowhere = Some(places::places(path, data_dir));
        }
        Ok(path.to_owned())
    });
    nowhere
}

/// A table's fields of these names, and the others.
fn apart(table: Table, names: &[&str]) -> (Table, Table) {
    table.into_iter().partition(|(field, _)| names.contains(&field.as_str()))
}
