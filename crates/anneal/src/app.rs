//! A command of one's own: `anneal` with a program's own names in its configurations.

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};
use lr_core::Strategy;
use optim_adaptive::OptimizerSettings;
use tracing_subscriber::EnvFilter;
use trainer::Callback;
use vision::{DataSource, models::Architecture};

use crate::{
    cli::{self, Cli},
    config::{Catalog, CatalogError, Config},
    task::Task,
};

/// The `anneal` command with a program's own schedules, optimizers, models, data sets, tasks and callbacks. With none it is
/// `anneal` itself.
///
/// ```no_run
/// # use anneal::lr_core::{Clock, ConfigError, Lambda, Schedule, Strategy};
/// # #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
/// # #[serde(deny_unknown_fields)]
/// # struct InverseTime { k: f64 }
/// # impl Strategy for InverseTime {
/// #     const NAME: &'static str = "inverse_time";
/// #     const SUMMARY: &'static str = "the base rate over time";
/// #     const EXAMPLE: &'static str = "type = 'inverse_time'\nk = 0.1";
/// #     fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
/// #         Ok(Box::new(Lambda::new(Self::NAME, |t| 1.0 / (1.0 + t as f64))))
/// #     }
/// # }
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     anneal::App::new("mine").schedule::<InverseTime>().run()
/// }
/// ```
#[derive(Debug)]
pub struct App {
    name: &'static str,
    catalog: Result<Catalog, CatalogError>,
}

impl App {
    /// A command of this name, which its help shows.
    pub fn new(name: &'static str) -> Self {
        Self { name, catalog: Ok(Catalog::standard()) }
    }

    /// With a schedule: `[schedule] type`.
    #[must_use]
    pub fn schedule<S: Strategy>(self) -> Self {
        Self { catalog: self.catalog.and_then(Catalog::with_schedule::<S>), ..self }
    }

    /// With an optimizer: `[optimizer] type`.
    #[must_use]
    pub fn optimizer<O: OptimizerSettings>(self) -> Self {
        Self { catalog: self.catalog.and_then(Catalog::with_optimizer::<O>), ..self }
    }

    /// With a model: `[model] type`.
    #[must_use]
    pub fn model<A: Architecture>(self) -> Self {
        Self { catalog: self.catalog.and_then(Catalog::with_model::<A>), ..self }
    }

    /// With a data set: `[data] dataset`.
    #[must_use]
    pub fn dataset<D: DataSource>(self) -> Self {
        Self { catalog: self.catalog.and_then(Catalog::with_dataset::<D>), ..self }
    }

    /// With a task: `[data] dataset`.
    #[must_use]
    pub fn task<T: Task>(self) -> Self {
        Self { catalog: self.catalog.and_then(Catalog::with_task::<T>), ..self }
    }

    /// With a callback for every run that is trained; `make` is given the run's configuration.
    #[must_use]
    pub fn callback<C: Callback + 'static>(self, make: impl Fn(&Config) -> C + Send + Sync + 'static) -> Self {
        Self { catalog: self.catalog.map(|catalog| catalog.with_callback(make)), ..self }
    }

    /// Runs the command line of the process and gives its exit code: 0 done, 1 failed while running, 2 bad usage or
    /// configuration or a name that is taken, 3 finder without a suggestion, 130 interrupted after saving.
    ///
    /// Logs go to standard error, as `RUST_LOG` says (by default warnings), unless the program has set a subscriber.
    pub fn run(self) -> ExitCode {
        self.run_from(std::env::args_os())
    }

    /// [`run`](Self::run) with these arguments, the program's name first.
    pub fn run_from(self, arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let logs = tracing_subscriber::fmt().with_env_filter(filter).without_time();
        let logs = logs.with_writer(|| cli::Messages).with_ansi(cli::has_colours());
        // It fails where the program has a subscriber already, which then stays.
        let _ = logs.try_init();
        let catalog = match self.catalog {
            Ok(catalog) => catalog,
            Err(error) => return cli::failed(&error.into()),
        };
        let matches = Cli::command().name(self.name).try_get_matches_from(arguments);
        match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli::run(cli, &catalog),
            // Help and version come this way too. Where the terminal is gone there is nobody to tell.
            Err(error) => {
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
        }
    }
}
