//! Your own command: `anneal` with a program's own names in its configurations.

#[cfg(feature = "mpi")]
use std::sync::Arc;
use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};
use lr_core::Strategy;
use optim_adaptive::OptimizerSettings;
use tracing_subscriber::EnvFilter;
use trainer::Callback;
#[cfg(feature = "mpi")]
use trainer::ranks::Mpi;
use vision::{DataSource, models::Architecture};

use crate::{
    cli::{self, Cli},
    config::{Catalog, CatalogError, Config},
    error::Error,
    job::Job,
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
    ///
    /// As one of several processes that `mpirun` or `srun` has started, it trains together with them (feature `mpi`; see
    /// docs/mpi.md). Without the feature such a start is refused.
    pub fn run_from(self, arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        if !is_one_of_several() {
            return ExitCode::from(self.run_in(arguments, &Job::default()).0);
        }
        #[cfg(feature = "mpi")]
        {
            let ended = Mpi::run(|rank| {
                let (code, stuck) = self.run_in(arguments, &Job::new(Arc::new(rank)));
                if let Some(reason) = stuck {
                    rank.fail(&reason, code);
                }
                code
            });
            ended.unwrap_or_else(|error| ExitCode::from(cli::failed(&Error::Usage(error.to_string()))))
        }
        #[cfg(not(feature = "mpi"))]
        ExitCode::from(cli::failed(&Error::Usage(crate::NO_MPI.to_owned())))
    }

    /// The exit code of this process of a job, and why the job has to be ended for it.
    fn run_in(self, arguments: Vec<OsString>, job: &Job) -> (u8, Option<String>) {
        let leads = job.ranks().rank() == 0;
        let level = if leads { "warn" } else { "error" };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let logs = tracing_subscriber::fmt().with_env_filter(filter).without_time();
        let logs = logs.with_writer(|| cli::Messages).with_ansi(cli::has_colours());
        // It fails where the program has a subscriber already, which then stays.
        let _ = logs.try_init();
        let catalog = match self.catalog {
            Ok(catalog) => catalog,
            Err(error) if leads => return (cli::failed(&error.into()), None),
            Err(_) => return (2, None),
        };
        let command = || {
            let matches = Cli::command().name(self.name).try_get_matches_from(arguments);
            match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
                Ok(cli) => cli::run(cli, &catalog, job),
                // Help and version come this way too. If the terminal is closed, the error is dropped.
                Err(error) => {
                    let _ = error.print();
                    u8::try_from(error.exit_code()).unwrap_or(2)
                }
            }
        };
        job.run(&catalog, trainer::ctrl_c_silently, command)
    }
}

/// Whether `mpirun` or `srun` has started several processes, of which this is one: what Open MPI, MPICH (and its kin) and
/// MVAPICH tell a process of their number.
fn is_one_of_several() -> bool {
    const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
    let several = |name| std::env::var(name).is_ok_and(|size| size.trim().parse::<u64>().is_ok_and(|size| size > 1));
    // Under Slurm's PMIx nothing else is told before MPI is asked.
    SIZES.into_iter().any(several) || (several("SLURM_STEP_NUM_TASKS") && std::env::var_os("PMIX_RANK").is_some())
}
