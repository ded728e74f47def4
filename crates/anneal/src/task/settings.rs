//! The settings of a task, and its models by name.

use std::fmt;

use strict_config::{ConfigError, Settings};
use toml::Table;

use super::Task;

/// Reads the settings of a model as those of any of the task.
type Read<M> = Box<dyn Fn(&Table) -> Result<M, ConfigError>>;

/// A model of a task that `[model] type` may name, and how its settings are read.
pub struct ModelRow<M> {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) fields: &'static [&'static str],
    pub(super) read: Read<M>,
}

impl<M> ModelRow<M> {
    /// A model with settings `S`; `wrap` makes of them those of any model of the task.
    pub fn new<S: Settings + 'static>(
        name: &'static str,
        summary: &'static str,
        wrap: impl Fn(S) -> M + 'static,
    ) -> Self {
        let read = move |table: &Table| strict_config::read(table, "").map(&wrap);
        Self { name, summary, fields: strict_config::fields_of::<S>(), read: Box::new(read) }
    }
}

/// The settings of a task, read.
pub struct TaskSettings<T: Task> {
    /// The task's own fields of `[data]`.
    pub data: T::Data,
    /// `[model] type`.
    pub model_name: String,
    /// The settings of that model.
    pub model: T::Model,
    /// `[eval]`.
    pub eval: T::Eval,
}

impl<T: Task> Clone for TaskSettings<T> {
    fn clone(&self) -> Self {
        Self {
            data: self.data.clone(),
            model_name: self.model_name.clone(),
            model: self.model.clone(),
            eval: self.eval.clone(),
        }
    }
}

impl<T: Task> fmt::Debug for TaskSettings<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}, {} {:?}, {:?}", T::NAME, self.data, self.model_name, self.model, self.eval)
    }
}
