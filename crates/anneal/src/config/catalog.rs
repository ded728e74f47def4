//! What a configuration may name.

use std::{fmt, sync::Arc};

use lr_core::{Registry, Strategy};
use optim_adaptive::{OptimizerRegistry, OptimizerSettings};
use serde::de::DeserializeOwned;
use text::ReversalConfig;
use trainer::{Callback, callbacks::CallbackList};
use vision::{
    DataSource, DatasetRegistry,
    models::{Architecture, ModelRegistry},
};

use super::Config;
use crate::task::{
    DataSection, ImageData, ImageEntry, ImageModel, Language, MODEL_FIELDS, Tabular, Task, TaskEntry, TaskOf, TextData,
};

/// Adds a callback for a run to others.
type Listener = Arc<dyn Fn(&Config, CallbackList) -> CallbackList + Send + Sync>;

/// The schedules, optimizers, models, data sets and tasks that a configuration may name, and the callbacks of every run that
/// is trained from it. A program's own stand beside the built-in ones.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) schedules: Registry,
    pub(crate) optimizers: OptimizerRegistry,
    pub(crate) models: ModelRegistry,
    pub(crate) datasets: DatasetRegistry,
    pub(crate) tasks: Vec<Arc<dyn TaskEntry>>,
    callbacks: Vec<Listener>,
}

/// Why a program's own thing cannot be named in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The name is taken.
    #[error("the {kind} `{name}` exists already: give yours another name")]
    Taken {
        /// What it is: `model`, `schedule`, `task`, ...
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A field of its settings has the name of one that every table of this kind has.
    #[error(
        "the settings of {kind} `{name}` have a field `{field}`, and every {kind} has one: give yours another name"
    )]
    Hidden {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl Catalog {
    /// What is built in.
    pub fn standard() -> Self {
        Self::from(&Registry::standard())
    }

    /// With a schedule of the program's own.
    ///
    /// # Errors
    /// As for a [model](Self::with_model).
    pub fn with_schedule<S: Strategy>(mut self) -> Result<Self, CatalogError> {
        let is_known = |name: &&str| self.schedules.get(name).is_some();
        let taken = [&[S::NAME], S::ALIASES].concat().into_iter().find(is_known);
        check::<S>("schedule", taken.unwrap_or(S::NAME), taken.is_some(), &["type"])?;
        self.schedules.register::<S>();
        Ok(self)
    }

    /// With an optimizer of the program's own.
    ///
    /// # Errors
    /// As for a [model](Self::with_model).
    pub fn with_optimizer<O: OptimizerSettings>(mut self) -> Result<Self, CatalogError> {
        let is_taken = self.optimizers.iter().any(|(name, _)| name == O::NAME);
        check::<O>("optimizer", O::NAME, is_taken, &["type"])?;
        self.optimizers = self.optimizers.with::<O>();
        Ok(self)
    }

    /// With a model of the program's own.
    ///
    /// # Errors
    /// A name that is taken, a field of the name of one that every model has.
    pub fn with_model<A: Architecture>(mut self) -> Result<Self, CatalogError> {
        let is_taken = self.models.iter().any(|info| info.name == A::INFO.name);
        check::<A>("model", A::INFO.name, is_taken, &ImageModel::SHARED)?;
        self.models = self.models.with::<A>();
        Ok(self)
    }

    /// With a data set of the program's own.
    ///
    /// # Errors
    /// As for a [model](Self::with_model).
    pub fn with_dataset<D: DataSource>(mut self) -> Result<Self, CatalogError> {
        let name = D::INFO.name;
        let of_images = strict_config::fields_of::<ImageData>();
        check::<D>("data set", name, self.names_data(name), &[DataSection::fields(), of_images].concat())?;
        self.datasets = self.datasets.with::<D>();
        Ok(self)
    }

    /// With a task of the program's own.
    ///
    /// # Errors
    /// The name of a data set or of another task, a field of the name of one that every task has.
    pub fn with_task<T: Task>(mut self) -> Result<Self, CatalogError> {
        let (kind, name) = ("task", T::NAME);
        check::<T::Data>(kind, name, self.names_data(name), DataSection::fields())?;
        let entry = TaskOf::<T>::new();
        let fields = entry.models().into_iter().flat_map(|model| model.fields);
        if let Some(field) = fields.copied().find(|field| MODEL_FIELDS.contains(field)) {
            return Err(CatalogError::Hidden { kind, name, field });
        }
        self.tasks.push(Arc::new(entry));
        Ok(self)
    }

    /// The task of this name, but for images.
    pub(crate) fn task(&self, name: &str) -> Option<&dyn TaskEntry> {
        self.tasks.iter().find(|task| task.name() == name).map(AsRef::as_ref)
    }

    /// Whether `[data] dataset` may have this name.
    fn names_data(&self, name: &str) -> bool {
        let images = ImageEntry { models: &self.models, datasets: &self.datasets };
        images.knows(name) || self.task(name).is_some()
    }

    /// With a callback for every run that is trained.
    #[must_use]
    pub fn with_callback<C: Callback + 'static>(mut self, make: impl Fn(&Config) -> C + Send + Sync + 'static) -> Self {
        self.callbacks.push(Arc::new(move |config: &Config, others: CallbackList| others.with(make(config))));
        self
    }

    /// The callbacks of a run.
    pub(crate) fn callbacks(&self, config: &Config) -> CallbackList {
        self.callbacks.iter().fold(CallbackList::new("callbacks of the program"), |others, add| add(config, others))
    }
}

impl From<&Registry> for Catalog {
    /// These schedules, and what is built in of everything else.
    fn from(schedules: &Registry) -> Self {
        Self {
            schedules: schedules.clone(),
            optimizers: OptimizerRegistry::standard(),
            models: ModelRegistry::standard(),
            datasets: DatasetRegistry::standard(),
            tasks: vec![
                Arc::new(TaskOf::<Tabular>::new()),
                Arc::new(TaskOf::<Language<TextData>>::new()),
                Arc::new(TaskOf::<Language<ReversalConfig>>::new()),
            ],
            callbacks: Vec::new(),
        }
    }
}

impl From<&Self> for Catalog {
    fn from(catalog: &Self) -> Self {
        catalog.clone()
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog")
    }
}

fn check<T: DeserializeOwned>(
    kind: &'static str,
    name: &'static str,
    is_taken: bool,
    shared: &[&str],
) -> Result<(), CatalogError> {
    if is_taken {
        return Err(CatalogError::Taken { kind, name });
    }
    match strict_config::fields_of::<T>().iter().find(|field| shared.contains(field)) {
        Some(field) => Err(CatalogError::Hidden { kind, name, field }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lr_core::{Clock, ConfigError, Lambda, Schedule};
    use serde::{Deserialize, Serialize};
    use strict_config::Settings;
    use vision::{DataError, Dataset, DatasetInfo, models::MlpConfig};

    use super::*;

    macro_rules! schedule {
        ($type:ident, $name:literal, $aliases:expr, { $($field:tt)* } $(, $strict:meta)?) => {
            #[derive(Debug, Clone, Serialize, Deserialize)]
            $(#[$strict])?
            struct $type { $($field)* }

            impl Strategy for $type {
                const NAME: &'static str = $name;
                const SUMMARY: &'static str = "a test";
                const EXAMPLE: &'static str = "";
                const ALIASES: &'static [&'static str] = $aliases;

                fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
                    Ok(Box::new(Lambda::new(Self::NAME, |_| 1.0)))
                }
            }
        };
    }

    schedule!(Good, "good", &[], { k: f64 }, serde(deny_unknown_fields));
    schedule!(Step, "step", &[], { k: f64 }, serde(deny_unknown_fields));
    schedule!(Alias, "mine", &["lambda"], { k: f64 }, serde(deny_unknown_fields));
    schedule!(Typed, "typed", &[], { r#type: f64 }, serde(deny_unknown_fields));

    macro_rules! data_set {
        ($type:ident, $name:literal, { $($field:tt)* }) => {
            #[derive(Debug, Clone, Default, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            struct $type { $($field)* }

            impl Settings for $type {}

            impl DataSource for $type {
                const INFO: DatasetInfo = DatasetInfo::named($name);

                fn load(&self, _: Option<&Path>) -> Result<Dataset, DataError> {
                    Self::INFO.generated(|_| (Vec::new(), 0))
                }
            }
        };
    }

    data_set!(Digits, "digits", {});
    data_set!(Text, "text", {});
    data_set!(Folder, "folder", {});
    data_set!(Drops, "drops", { drop_last: bool });
    data_set!(Fits, "fits", { augment: bool });

    #[test]
    fn names_that_are_taken_are_refused() {
        let refusal = |catalog: Result<Catalog, CatalogError>| catalog.expect_err("refused").to_string();
        let with = Catalog::standard;
        let cases = [
            (with().with_schedule::<Step>(), "the schedule `step` exists already: give yours another name"),
            (with().with_schedule::<Alias>(), "the schedule `lambda` exists already: give yours another name"),
            (
                with().with_schedule::<Good>().and_then(Catalog::with_schedule::<Good>),
                "the schedule `good` exists already: give yours another name",
            ),
            (with().with_model::<MlpConfig>(), "the model `mlp` exists already: give yours another name"),
            (
                with().with_optimizer::<optim_adaptive::AdamConfig>(),
                "the optimizer `adam` exists already: give yours another name",
            ),
            (with().with_dataset::<Digits>(), "the data set `digits` exists already: give yours another name"),
            // Tasks and folders are data sets to a configuration.
            (with().with_dataset::<Text>(), "the data set `text` exists already: give yours another name"),
            (with().with_dataset::<Folder>(), "the data set `folder` exists already: give yours another name"),
            (with().with_task::<Tabular>(), "the task `table` exists already: give yours another name"),
            (
                with().with_dataset::<Drops>(),
                "the settings of data set `drops` have a field `drop_last`, and every data set has one: give yours another name",
            ),
            (
                with().with_dataset::<Fits>(),
                "the settings of data set `fits` have a field `augment`, and every data set has one: give yours another name",
            ),
            (
                with().with_schedule::<Typed>(),
                "the settings of schedule `typed` have a field `type`, and every schedule has one: give yours another name",
            ),
        ];
        for (catalog, expected) in cases {
            assert_eq!(refusal(catalog), expected);
        }
    }
}
