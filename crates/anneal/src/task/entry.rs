//! Tasks by name: how the settings of one are read, and the settings of any of them behind one type.

use std::{
    any::Any,
    fmt, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use strict_config::ConfigError;
use toml::Table;
use trainer::MetricInfo;

use super::{
    DataSection, ModelRow, Setup, Task, TaskError, TaskSettings,
    learner::{AnyData, LoadedTask},
};

/// The fields of `[model]` that every task has.
pub(crate) const MODEL_FIELDS: [&str; 2] = ["type", "pretrained"];

/// The tables of a configuration that a task reads, without the fields that every task has.
pub(crate) struct Tables<'t> {
    /// The fields of `[data]` that every task has.
    pub shared: &'t mut DataSection,
    pub data: Table,
    /// `[model] type`, where it is given.
    pub model_name: Option<String>,
    pub model: Table,
    pub eval: &'t Table,
}

/// A model in a list.
pub(crate) struct ListedModel {
    pub name: &'static str,
    pub summary: &'static str,
    pub fields: &'static [&'static str],
}

/// A task that a configuration may choose.
pub(crate) trait TaskEntry: Send + Sync {
    fn name(&self) -> &'static str;
    fn summary(&self) -> &'static str;
    /// The fields of `[data]` that are its own.
    fn fields(&self) -> Vec<&'static str>;
    /// Those fields, every one explicit, of a table that gives some of them.
    fn data(&self, given: &Table) -> Result<Table, ConfigError>;
    fn models(&self) -> Vec<ListedModel>;
    /// The settings of a model, every one explicit, of a table that gives some of them.
    fn model(&self, name: &str, given: &Table) -> Result<Table, ConfigError>;
    /// Reads its settings; paths in errors begin at the configuration.
    fn read(&self, tables: Tables<'_>) -> Result<ChosenTask, ConfigError>;
}

/// A task as its trait describes it.
pub(crate) struct TaskOf<T>(PhantomData<fn() -> T>);

impl<T> TaskOf<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// The model of this name, or the first.
fn row<T: Task>(name: Option<&str>) -> Result<ModelRow<T::Model>, ConfigError> {
    let rows = T::models();
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    let found = rows.into_iter().find(|row| name.is_none_or(|name| row.name == name));
    found.ok_or_else(|| match name {
        Some(name) => ConfigError::unknown_name("model.type", "model", name, names),
        None => ConfigError::missing("model.type", "a model of this task"),
    })
}

impl<T: Task> TaskEntry for TaskOf<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn summary(&self) -> &'static str {
        T::SUMMARY
    }

    fn fields(&self) -> Vec<&'static str> {
        strict_config::fields_of::<T::Data>().to_vec()
    }

    fn data(&self, given: &Table) -> Result<Table, ConfigError> {
        strict_config::read::<T::Data>(given, "").map(|data| strict_config::write(&data))
    }

    fn models(&self) -> Vec<ListedModel> {
        let listed = |row: ModelRow<T::Model>| ListedModel { name: row.name, summary: row.summary, fields: row.fields };
        T::models().into_iter().map(listed).collect()
    }

    fn model(&self, name: &str, given: &Table) -> Result<Table, ConfigError> {
        let row = row::<T>(Some(name))?;
        Ok(strict_config::write(&(row.read)(given)?))
    }

    fn read(&self, tables: Tables<'_>) -> Result<ChosenTask, ConfigError> {
        let data = strict_config::read(&tables.data, "")
            .map_err(|error| error.with_known(DataSection::fields()).within("data"))?;
        let row = row::<T>(tables.model_name.as_deref())?;
        let model = (row.read)(&tables.model).map_err(|error| error.with_known(&MODEL_FIELDS).within("model"))?;
        let eval = strict_config::read(tables.eval, "eval")?;
        Ok(ChosenTask::new(TaskSettings::<T> { data, model_name: row.name.to_owned(), model, eval }))
    }
}

/// The settings of the task that a configuration chooses.
#[derive(Clone, Debug)]
pub struct ChosenTask(Arc<dyn AnySettings>);

impl ChosenTask {
    pub(crate) fn new<T: Task>(settings: TaskSettings<T>) -> Self {
        Self(Arc::new(settings))
    }

    /// The settings, whatever the task is.
    pub(crate) fn any(&self) -> &dyn AnySettings {
        self.0.as_ref()
    }

    /// The name of the task.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// `[model] type`.
    pub fn model_name(&self) -> &str {
        self.0.model_name()
    }

    /// The settings, where the task is this one.
    ///
    /// ```
    /// use anneal::config::{Catalog, Config};
    /// use anneal::task::{ImageClassification, Language, Tabular, TextData};
    ///
    /// let text = "[data]\ndataset = 'text'\npath = 'novel.txt'\n[optimizer]\ntype = 'adamw'";
    /// let config = Config::from_table(&text.parse().unwrap(), Catalog::standard())?;
    /// assert_eq!(config.task.settings::<Language<TextData>>().map(|settings| settings.data.context), Some(128));
    /// assert!(config.task.settings::<Tabular>().is_none() && config.task.settings::<ImageClassification>().is_none());
    /// # Ok::<(), strict_config::ConfigError>(())
    /// ```
    pub fn settings<T: Task>(&self) -> Option<&TaskSettings<T>> {
        self.0.as_any().downcast_ref()
    }

    /// What of `[data]` a checkpoint notes.
    pub(crate) fn noted(&self) -> Table {
        let noted = |(field, value): (String, toml::Value)| Some((self.0.noted_as(&field)?, value));
        self.0.data().into_iter().filter_map(noted).collect()
    }
}

/// [`TaskSettings`] of any task.
pub(crate) trait AnySettings: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn name(&self) -> &'static str;
    fn model_name(&self) -> &str;
    /// The task's own fields of `[data]`, every one explicit.
    fn data(&self) -> Table;
    /// The model's own fields of `[model]`.
    fn model(&self) -> Table;
    /// `[eval]`.
    fn eval(&self) -> Table;
    /// What outputs are measured by, beside the loss.
    fn metrics(&self) -> Vec<MetricInfo>;
    /// The scalars that steps give beside the loss.
    fn scalars(&self) -> Vec<String>;
    /// See [`Task::noted_as`].
    fn noted_as(&self, field: &str) -> Option<String>;
    /// The same with each of its paths changed.
    fn with_paths(&self, change: &mut dyn FnMut(&Path) -> io::Result<PathBuf>) -> io::Result<ChosenTask>;
    /// The same with what its data tell; `found` is this task with its paths where they are found.
    fn filled_in(&self, found: &ChosenTask) -> ChosenTask;
    /// Loads the data.
    fn load(&self, setup: Setup) -> Result<Box<dyn AnyData>, TaskError>;
}

impl<T: Task> AnySettings for TaskSettings<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &'static str {
        T::NAME
    }

    fn model_name(&self) -> &str {
        &self.model_name
    }

    fn data(&self) -> Table {
        strict_config::write(&self.data)
    }

    fn model(&self) -> Table {
        strict_config::write(&self.model)
    }

    fn eval(&self) -> Table {
        strict_config::write(&self.eval)
    }

    fn metrics(&self) -> Vec<MetricInfo> {
        T::metrics(self).infos().to_vec()
    }

    fn scalars(&self) -> Vec<String> {
        T::metrics(self).scalars().to_vec()
    }

    fn noted_as(&self, field: &str) -> Option<String> {
        T::noted_as(field)
    }

    fn with_paths(&self, change: &mut dyn FnMut(&Path) -> io::Result<PathBuf>) -> io::Result<ChosenTask> {
        let mut settings = self.clone();
        for path in T::paths(&mut settings.data) {
            *path = change(path)?;
        }
        Ok(ChosenTask::new(settings))
    }

    fn filled_in(&self, found: &ChosenTask) -> ChosenTask {
        let mut settings = self.clone();
        if let Some(found) = found.settings::<T>() {
            T::fill_in(&mut settings.data, &found.data);
        }
        ChosenTask::new(settings)
    }

    fn load(&self, setup: Setup) -> Result<Box<dyn AnyData>, TaskError> {
        Ok(Box::new(LoadedTask::<T>::new(self.clone(), setup)?))
    }
}
