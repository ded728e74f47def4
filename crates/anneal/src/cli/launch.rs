//! `anneal launch`: several processes on this machine.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use clap::Args;
use report::page::plural;

use super::{compare::CompareArgs, config_args::configured, output::Exit, train::TrainArgs};
use crate::{config::Catalog, error::Error, run_dir::next_name};

/// `anneal launch`.
#[derive(Debug, Clone, Args)]
pub struct LaunchArgs {
    /// How many processes
    #[arg(short = 'n', long = "processes", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub processes: u64,
    /// Go on from the newest checkpoint after a failure, so many times
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_restarts: u32,
    /// The command that they run together: train CONFIG, ...
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// How often the launcher is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The command that the processes run, as far as a restart differs from the first start.
pub(super) enum Launched {
    Train(Box<TrainArgs>),
    Compare(Box<CompareArgs>),
    Other,
}

pub(super) fn launch(args: &LaunchArgs, launched: &Launched, catalog: &Catalog) -> Result<Exit, Error> {
    if cfg!(not(feature = "mpi")) {
        return Err(Error::Usage(crate::NO_MPI.to_owned()));
    }
    let (first, again) = commands(args, launched, catalog)?;
    let signals = signals();
    let mut left = args.max_restarts;
    let mut command = &first;
    loop {
        let status = wait(start(args.processes, command)?, &signals)?;
        if signals.load(Ordering::Relaxed) > 0 {
            return Ok(Exit::Interrupted);
        }
        match status.code() {
            Some(0) => return Ok(Exit::Done),
            // Refused: the next try would be too.
            Some(2) => return Ok(Exit::Launched(2)),
            _ if left == 0 => return Ok(Exit::Launched(1)),
            _ => {}
        }
        tracing::warn!(
            "the processes have ended ({status}); going on from the newest checkpoint, {} at most",
            plural(left.into(), "more time")
        );
        left -= 1;
        command = &again;
    }
}

/// The arguments of the first start, and those of a restart.
fn commands(
    args: &LaunchArgs,
    launched: &Launched,
    catalog: &Catalog,
) -> Result<(Vec<OsString>, Vec<OsString>), Error> {
    let mut first = args.command.clone();
    if args.max_restarts == 0 {
        return Ok((first.clone(), first));
    }
    let is_resumed = match launched {
        Launched::Train(train) => {
            if train.out.is_none() && !train.resume && !train.overwrite {
                let config = configured(&train.config, train.epochs, catalog)?;
                // A restart goes on in the folder of the first start, so that is chosen now.
                let folder = next_name(&config.run.out_dir, &config.run.name);
                first.extend([OsString::from("--out"), folder.into_os_string()]);
            }
            train.resume
        }
        Launched::Compare(compare) if compare.out.is_none() => {
            return Err(Error::Usage("to be restarted a comparison needs a folder: --out DIR".to_owned()));
        }
        Launched::Compare(compare) => compare.resume,
        Launched::Other => return Ok((first.clone(), first)),
    };
    let mut again: Vec<OsString> = first.iter().filter(|arg| *arg != OsStr::new("--overwrite")).cloned().collect();
    if !is_resumed {
        again.push(OsString::from("--resume"));
    }
    Ok((first, again))
}

/// Starts MPI's launcher with this program.
fn start(processes: u64, arguments: &[OsString]) -> Result<Child, Error> {
    let program = env::current_exe().map_err(|source| Error::File { path: "this program".to_owned(), source })?;
    let mut mpirun = Command::new("mpirun");
    mpirun.arg("-n").arg(processes.to_string()).args(["--bind-to", "none", "--oversubscribe", "--tag-output"]);
    mpirun.arg(program).args(arguments);
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get() as u64) / processes;
    set_default(&mut mpirun, "RAYON_NUM_THREADS", &threads.max(1).to_string());
    // A process that waits leaves the processor to the others.
    set_default(&mut mpirun, "OMPI_MCA_mpi_yield_when_idle", "1");
    // It asks for these where root starts it, in a container for example; elsewhere they mean nothing.
    set_default(&mut mpirun, "OMPI_ALLOW_RUN_AS_ROOT", "1");
    set_default(&mut mpirun, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // Ctrl-C comes here alone.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut mpirun, 0);
    mpirun.spawn().map_err(|source| Error::File { path: "mpirun (Open MPI: openmpi-bin)".to_owned(), source })
}

fn set_default(command: &mut Command, name: &str, value: &str) {
    if env::var_os(name).is_none() {
        command.env(name, value);
    }
}

/// Counts Ctrl-C and SIGTERM.
fn signals() -> Arc<AtomicUsize> {
    let signals = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&signals);
    if let Err(error) = ctrlc::set_handler(move || {
        seen.fetch_add(1, Ordering::Relaxed);
    }) {
        tracing::warn!("Ctrl-C will not be caught: {error}");
    }
    signals
}

/// Waits for the launcher. The first signal is passed on to the processes; a second one kills.
fn wait(mut mpirun: Child, signals: &AtomicUsize) -> Result<ExitStatus, Error> {
    let failed = |source| Error::File { path: "mpirun".to_owned(), source };
    let mut passed = 0;
    loop {
        if let Some(status) = mpirun.try_wait().map_err(failed)? {
            return Ok(status);
        }
        let seen = signals.load(Ordering::Relaxed);
        if seen > passed {
            match passed {
                0 => interrupt(&mpirun),
                _ => mpirun.kill().map_err(failed)?,
            }
            passed = seen;
        }
        thread::sleep(LOOK);
    }
}

/// Asks the processes to save and end: directly, for the launcher passes a SIGTERM on late and kills soon after.
#[cfg(unix)]
fn interrupt(mpirun: &Child) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let id = mpirun.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let mut processes: Vec<i32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    if processes.is_empty() {
        processes.extend(i32::try_from(id));
    }
    for process in processes {
        // One that has just ended needs no signal.
        let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn interrupt(_mpirun: &Child) {}
