//! Real MPI jobs of 2 and 4 processes on this machine: the bytes of one process, kills, refusals. `.ci/mpi` runs it; it
//! needs the feature `mpi` and `mpirun`.
//!
//! `ANNEAL_MPI_KILLS=50` sets the number of kills (3 otherwise), `ANNEAL_SEED` repeats a campaign.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]
#![cfg(all(unix, feature = "mpi"))]

mod common;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anneal::trainer::checkpoint;
use common::{Ran, anneal, folder, ran, same_checkpoint, same_files, seed};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use splitmix::SplitMix64;

const HEAD: &str = "[run]\nseed = 3\n[data]\nbatch_size = 32\n";
const TRAIN: &str = "[train]\nepochs = 2\naccumulate = 4\ncheckpoint = { every = '3it', keep_last = 100 }\n";

/// What is trained, on UCI's digits but for the language model.
const SETUPS: [(&str, &str, &str); 8] = [
    (
        "mlp, one-cycle",
        "[model]\ntype = 'mlp'\nhidden = [32]\n[optimizer]\ntype = 'adam'\nlr = 1e-3\n\
         [schedule]\ntype = 'one_cycle'\nmax_lr = 1e-2\n",
        "",
    ),
    ("lenet", "[model]\ntype = 'lenet'\n[optimizer]\ntype = 'sgd'\nlr = 0.05\nmomentum = 0.9\n", ""),
    (
        "resnet8 (batch norm), plateau, augmentation, workers",
        "[model]\ntype = 'resnet8'\n[optimizer]\ntype = 'sgd'\nlr = 0.1\nmomentum = 0.9\n\
         [schedule]\ntype = 'reduce_on_plateau'\npatience = 0\n",
        "epochs = 1\nvalidate_every = '4it'\n",
    ),
    (
        "average of the weights, early stopping",
        "[model]\ntype = 'mlp'\nhidden = [32]\n[optimizer]\ntype = 'adamw'\nlr = 1e-3\n",
        "ema = 0.9\nearly_stopping = { patience = 1, restore_best = true }\nclip_grad_norm = 0.5\n",
    ),
    (
        "Schedule-Free",
        "[model]\ntype = 'mlp'\nhidden = [32]\n[optimizer]\ntype = 'schedule_free_adamw'\nlr = 2e-3\n",
        "",
    ),
    ("Prodigy", "[model]\ntype = 'mlp'\nhidden = [32]\n[optimizer]\ntype = 'prodigy'\nlr = 1.0\n", ""),
    (
        "gpt with dropout",
        "[model]\ntype = 'gpt'\nlayers = 1\nheads = 2\nwidth = 16\ndropout = 0.2\n[optimizer]\ntype = 'adamw'\nlr = 3e-3\n",
        "",
    ),
    (
        "a rate that is searched for",
        "[model]\ntype = 'mlp'\nhidden = [32]\n[optimizer]\ntype = 'adam'\nlr = 'auto'\n[lr_finder]\nnum_it = 40\n",
        "epochs = 1\n",
    ),
];

fn config(setup: usize) -> String {
    let (_, what, train) = SETUPS[setup];
    let data = match what {
        _ if what.contains("resnet8") => "workers = 1\naugment = 'shift'\n",
        _ if what.contains("gpt") => "dataset = 'reversal'\ndigits = 3\nproblems = 1000\ncontext = 12\n",
        _ => "",
    };
    let head = format!("{HEAD}{data}");
    let own = if train.contains("epochs") { TRAIN.replace("epochs = 2\n", "") } else { TRAIN.to_owned() };
    format!("{head}{what}{own}{train}")
}

/// These jobs share the cores: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `mpirun -n RANKS anneal ARGS` in `folder`.
fn mpirun(folder: &Path, ranks: usize, args: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--bind-to", "none", "--oversubscribe", "-n", &ranks.to_string()]);
    command.arg(env!("CARGO_BIN_EXE_anneal")).args(args).current_dir(folder);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_mpi_yield_when_idle", "1").env("RAYON_NUM_THREADS", "1");
    command.env_remove("ANNEAL_DATA_DIR").env("XDG_CACHE_HOME", folder);
    command
}

fn train(folder: &Path, ranks: usize, out: &str) -> Ran {
    let args = ["train", "config.toml", "--out", out, "--quiet"];
    if ranks == 1 { anneal(folder, &args) } else { ran(&mpirun(folder, ranks, &args).output().expect("mpirun starts")) }
}

fn checkpoints(folder: &Path, run: &str) -> std::path::PathBuf {
    folder.join(run).join("checkpoints")
}

/// Every checkpoint of two runs, byte for byte.
fn same_run(folder: &Path, one: &str, other: &str, context: &str) {
    let steps = |run: &str| checkpoint::steps(&checkpoints(folder, run)).expect("checkpoints");
    assert_eq!(steps(one), steps(other), "{context}");
    assert!(steps(one).len() > 1, "{context}");
    for step in steps(one) {
        let path = |run: &str| checkpoint::path_of(&checkpoints(folder, run), step);
        same_files(&path(one), &path(other), context);
    }
}

#[test]
fn two_and_four_processes_end_in_the_bytes_of_one() {
    let _alone = alone();
    for (setup, (name, ..)) in SETUPS.iter().enumerate() {
        let dir = folder(&[("config.toml", &config(setup))]);
        let one = train(dir.path(), 1, "one");
        assert_eq!(one.code, 0, "{name}: {}", one.err);
        for (ranks, run) in [(2, "two"), (4, "four")] {
            let several = train(dir.path(), ranks, run);
            assert_eq!(several.code, 0, "{name}, {ranks}: {}", several.err);
            assert_eq!(several.err, "", "{name}, {ranks}");
            same_run(dir.path(), "one", run, &format!("{name}, {ranks} processes"));
        }
        println!("{name}: equal");
    }
}

/// The processes of a job, by the number that Open MPI gives them.
fn rank_of(job: &Child, folder: &Path, rank: usize) -> Option<Pid> {
    let wanted = [format!("OMPI_COMM_WORLD_RANK={rank}"), format!("XDG_CACHE_HOME={}", folder.display())];
    let is_it = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |entry: &String| environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes());
        pid != i32::try_from(job.id()).expect("a pid") && wanted.iter().all(has)
    };
    let pids = fs::read_dir("/proc").expect("processes").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid| is_it(*pid)).map(Pid::from_raw)
}

fn ends_within(job: &mut Child, limit: Duration) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = job.try_wait().expect("a status") {
            return status;
        }
        assert!(began.elapsed() < limit, "the job still runs after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a random process of a job at a random instant: the job ends, its last checkpoint is whole, and what goes on from it,
/// in any number of processes, ends in the uninterrupted run's bytes.
#[test]
fn a_killed_process_ends_the_job_and_costs_nothing_that_was_saved() {
    let _alone = alone();
    let kills: u64 = std::env::var("ANNEAL_MPI_KILLS").map_or(3, |kills| kills.parse().expect("a number of kills"));
    let seed = seed();
    println!("ANNEAL_SEED={seed} repeats this campaign");
    let mut dice = SplitMix64::new(seed);
    let dir = folder(&[("config.toml", &config(0).replace("epochs = 2", "epochs = 20"))]);
    let whole = train(dir.path(), 1, "whole");
    assert_eq!(whole.code, 0, "{}", whole.err);
    let began = Instant::now();
    assert_eq!(train(dir.path(), 4, "measured").code, 0);
    let length = began.elapsed();
    let (mut killed, mut trial, mut before_a_checkpoint, mut resumed_by) = (0, 0, 0, [0; 3]);
    while killed < kills {
        trial += 1;
        assert!(trial < 20 * kills, "the jobs end before they are killed");
        let run = format!("run-{trial}");
        let args = ["train", "config.toml", "--out", &run, "--quiet"];
        let said = fs::File::create(dir.path().join("said")).expect("a file");
        let mut job = mpirun(dir.path(), 4, &args).stdout(Stdio::null()).stderr(said).spawn().expect("it starts");
        std::thread::sleep(length.mul_f64(dice.fraction()));
        let rank = dice.below(4);
        let Some(victim) = rank_of(&job, dir.path(), rank) else {
            ends_within(&mut job, Duration::from_mins(1));
            continue;
        };
        if kill(victim, Signal::SIGKILL).is_err() {
            ends_within(&mut job, Duration::from_mins(1));
            continue;
        }
        if ends_within(&mut job, Duration::from_secs(10)).success() {
            continue;
        }
        killed += 1;
        let said = fs::read_to_string(dir.path().join("said")).expect("text");
        assert!(said.contains(&format!("process rank {rank} with PID ")) && said.contains(" on node "), "{said}");
        match checkpoint::newest(&checkpoints(dir.path(), &run)) {
            Ok(found) => assert!(found.passed_over.is_empty(), "{:?}", found.passed_over),
            Err(_) => before_a_checkpoint += 1,
        }
        let which = dice.below(3);
        resumed_by[which] += 1;
        let args = ["train", "config.toml", "--out", &run, "--quiet", "--resume"];
        let again = match [1, 2, 4][which] {
            1 => anneal(dir.path(), &args),
            ranks => ran(&mpirun(dir.path(), ranks, &args).output().expect("mpirun starts")),
        };
        assert_eq!(again.code, 0, "rank {rank} was killed, {}", again.err);
        same_checkpoint(&checkpoints(dir.path(), "whole"), &checkpoints(dir.path(), &run), &run);
        fs::remove_dir_all(dir.path().join(&run)).expect("removed");
    }
    println!("{killed} kills, {before_a_checkpoint} before a checkpoint; resumed by 1, 2, 4 processes: {resumed_by:?}");
}

/// SIGTERM to the launcher, as a cluster's scheduler sends it, saves and ends.
#[test]
fn an_interrupted_job_saves_and_goes_on() {
    let _alone = alone();
    // Long enough for mpirun, which passes a signal on after a second.
    let dir = folder(&[("config.toml", &config(0).replace("epochs = 2", "epochs = 600"))]);
    assert_eq!(train(dir.path(), 1, "whole").code, 0);
    for launched in [false, true] {
        let run = if launched { "launched" } else { "run" };
        let args = ["train", "config.toml", "--out", run, "--quiet"];
        let mut command = if launched {
            let mut command = common::command(dir.path());
            command.args(["launch", "-n", "4", "--max-restarts", "2", "--"]).args(args);
            command
        } else {
            let mut command = mpirun(dir.path(), 4, &args);
            // mpirun sends SIGTERM after so many seconds (1 by default), and kills after as many more.
            command.env("OMPI_MCA_odls_base_sigkill_timeout", "8");
            command
        };
        let mut job = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let began = Instant::now();
        while checkpoint::newest(&checkpoints(dir.path(), run)).is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "no checkpoint");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(Pid::from_raw(i32::try_from(job.id()).expect("a pid")), Signal::SIGTERM).expect("sent");
        let status = ends_within(&mut job, Duration::from_secs(30));
        // mpirun itself gives 1.
        assert_eq!(status.code(), Some(if launched { 130 } else { 1 }), "{run}");
        let summary = fs::read_to_string(dir.path().join(run).join("summary.json")).expect("a summary");
        assert!(summary.contains("interrupted"), "{summary}");
        let again = train(dir.path(), 1, run);
        assert_ne!(again.code, 0, "a folder that holds a run is refused");
        let again = anneal(dir.path(), &["resume", run, "--quiet"]);
        assert_eq!(again.code, 0, "{}", again.err);
        same_checkpoint(&checkpoints(dir.path(), "whole"), &checkpoints(dir.path(), run), run);
    }
}

/// What is wrong is said once, with an exit code, whether it is wrong on every process or on one.
#[test]
fn a_job_that_fails_says_so_once() {
    let _alone = alone();
    let dir = folder(&[("config.toml", &config(0))]);
    let said = |ranks: usize, args: &[&str], environment: &[(&str, &str)]| {
        let mut command = mpirun(dir.path(), ranks, args);
        command.envs(environment.iter().copied());
        let began = Instant::now();
        let ran = ran(&command.output().expect("mpirun starts"));
        assert!(began.elapsed() < Duration::from_secs(20));
        ran
    };
    let refused = said(4, &["train", "config.toml", "--set", "train.accumulate=6", "--out", "refused"], &[]);
    let expected = "train.accumulate: 6 is not allowed here; allowed: a multiple of 4, the number of processes, each of which \
                    takes as many batches of a step; of the 192 items that a step has now: batch_size 48 with accumulate 4, \
                    batch_size 24 with accumulate 8, batch_size 16 with accumulate 12";
    assert_eq!((refused.code, refused.err.matches(expected).count()), (2, 1), "{}", refused.err);
    assert!(!dir.path().join("refused").exists());

    let nonsense = said(4, &["train", "config.toml", "--set", "optimizer.type=adamm"], &[]);
    assert_eq!((nonsense.code, nonsense.err.matches("did you mean `adam`").count()), (2, 1), "{}", nonsense.err);

    let diverged = said(
        4,
        &[
            "train",
            "config.toml",
            "--set",
            "optimizer.lr=1e30",
            "--set",
            "schedule.type=fixed",
            "--set",
            "optimizer.type=sgd",
            "--out",
            "diverged",
        ],
        &[],
    );
    assert_eq!(diverged.code, 1, "{}", diverged.err);
    assert_eq!(diverged.err.matches("error:").count(), 1, "{}", diverged.err);

    // A process with another program: a byte behind the end of an executable does not matter to it.
    let other = dir.path().join("another-anneal");
    fs::copy(env!("CARGO_BIN_EXE_anneal"), &other).expect("copied");
    let mut program = fs::OpenOptions::new().append(true).open(&other).expect("opened");
    std::io::Write::write_all(&mut program, b" ").expect("written");
    drop(program);
    let args = ["train", "config.toml", "--out", "two-programs", "--quiet"];
    let mut command = mpirun(dir.path(), 1, &args);
    command.args([":", "-n", "1"]).arg(&other).args(args);
    let refused = ran(&command.output().expect("mpirun starts"));
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert_eq!(refused.err.matches("process 1 has another program than process 0").count(), 1, "{}", refused.err);

    // What trains nothing is done and said by process 0 alone.
    let listed = said(4, &["list", "optimizers"], &[]);
    assert_eq!((listed.code, listed.out.matches("prodigy").count()), (0, 1), "{}", listed.out);
}

/// `launch` goes on from the newest checkpoint when a process dies.
#[test]
fn launch_restarts_what_was_killed() {
    let _alone = alone();
    let dir = folder(&[("config.toml", &config(0).replace("epochs = 2", "epochs = 60"))]);
    assert_eq!(train(dir.path(), 1, "whole").code, 0);
    let args = ["launch", "-n", "2", "--max-restarts", "1", "--", "train", "config.toml", "--out", "run"];
    let job =
        common::command(dir.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let began = Instant::now();
    while checkpoint::newest(&checkpoints(dir.path(), "run")).is_err() {
        assert!(began.elapsed() < Duration::from_mins(1), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(rank_of(&job, dir.path(), 1).expect("a process"), Signal::SIGKILL).expect("sent");
    let ended = ran(&job.wait_with_output().expect("ends"));
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("going on from the newest checkpoint, 1 more time at most"), "{}", ended.err);
    assert!(ended.out.contains("[1,0]<stdout>:"), "labelled: {}", ended.out);
    assert!(!ended.err.contains('\u{1b}'), "no colours where no terminal is: {}", ended.err);
    same_checkpoint(&checkpoints(dir.path(), "whole"), &checkpoints(dir.path(), "run"), "launched");
}

/// `compare` under one launch: its runs are those of one process.
#[test]
fn a_comparison_is_that_of_one_process() {
    let _alone = alone();
    let schedule = "type = 'cosine_annealing'\nt_max = 2\n";
    let dir = folder(&[("config.toml", &config(0)), ("cosine.toml", schedule), ("fixed.toml", "type = 'fixed'\n")]);
    let args = |out| {
        ["compare", "config.toml", "--schedule", "cosine.toml", "--schedule", "fixed.toml", "--quiet", "--out", out]
    };
    let one = anneal(dir.path(), &args("one"));
    assert_eq!(one.code, 0, "{}", one.err);
    let several = ran(&mpirun(dir.path(), 2, &args("two")).output().expect("mpirun starts"));
    assert_eq!(several.code, 0, "{}", several.err);
    let runs = |out: &str| -> Vec<String> {
        let entries = fs::read_dir(dir.path().join(out)).expect("a folder").flatten();
        let entries = entries.filter(|entry| entry.path().join("checkpoints").exists() || entry.path().is_dir());
        let mut runs: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        runs.sort();
        runs
    };
    assert_eq!(runs("one"), runs("two"));
    let figures = |out: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(dir.path().join(out).join("compare.json")).expect("figures")).expect("JSON")
    };
    let accuracies = |figures: serde_json::Value| figures["ranking"].clone();
    assert_eq!(accuracies(figures("one")), accuracies(figures("two")));
}
