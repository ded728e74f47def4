//! SIGKILL at random instants of a real training process: a valid checkpoint is left, no older than promised, and the
//! run that goes on from it ends in the uninterrupted run's bytes.
//!
//! `ANNEAL_KILLS=200` sets the number of kills (12 otherwise), `ANNEAL_SEED` repeats a campaign, `ANNEAL_KILL_DEVICE`
//! runs it on another device than flex.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]
#![cfg(unix)]

mod common;

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anneal::trainer::checkpoint;
use common::{command, folder, same_checkpoint, seed};
use splitmix::SplitMix64;

/// Steps between checkpoints; writes are under way most of the time.
const EVERY: u64 = 2;

/// The table.
const HOUSES: &str = include_str!("../../../examples/tables/houses.csv");

/// What is trained: a small network for many kills, one with batch norm, augmentation and data workers, one on a table with
/// embeddings and dropout, and two on language.
const MODELS: [(&str, &str); 5] = [
    (
        "mlp",
        "[run]\nname = 'mlp'\nseed = 3\n[data]\nbatch_size = 32\n[model]\ntype = 'mlp'\nhidden = [32]\n\
         [optimizer]\ntype = 'adam'\nlr = 1e-3\n[schedule]\ntype = 'one_cycle'\nmax_lr = 1e-2\n\
         [train]\nepochs = 2\naccumulate = 2\ncheckpoint = { every = '2it', keep_last = 2, keep_best = 'valid.accuracy', k = 2 }\n",
    ),
    (
        "resnet8",
        "[run]\nname = 'resnet8'\nseed = 4\n[data]\nbatch_size = 128\nworkers = 2\naugment = 'shift'\n\
         [model]\ntype = 'resnet8'\n[optimizer]\ntype = 'sgd'\nlr = 0.1\nmomentum = 0.9\n\
         [schedule]\ntype = 'reduce_on_plateau'\npatience = 0\n\
         [train]\nepochs = 1\ncheckpoint = { every = '2it', keep_last = 2, background = false }\n",
    ),
    (
        "table",
        "[run]\nname = 'table'\nseed = 5\n[data]\ndataset = 'table'\npath = 'houses.csv'\ntarget = 'price'\nbatch_size = 32\n\
         missing = { numbers = 'median' }\n[model]\nhidden = [16]\ndropout = 0.2\n[optimizer]\ntype = 'adagrad'\nlr = 0.05\n\
         [schedule]\ntype = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'\n\
         [train]\nepochs = 2\ncheckpoint = { every = '2it', keep_last = 2, keep_best = 'valid.r2' }\n",
    ),
    (
        "gpt",
        "[run]\nname = 'gpt'\nseed = 6\n[data]\ndataset = 'reversal'\ndigits = 3\nproblems = 1000\ncontext = 16\nbatch_size = 16\n\
         [model]\ntype = 'gpt'\nlayers = 1\nheads = 2\nwidth = 16\ndropout = 0.2\n[optimizer]\ntype = 'adamw'\nlr = 3e-3\n\
         weight_decay = 0.1\n[[groups]]\nparams = '/ln_|bias|wte|wpe/'\nweight_decay = 0.0\n\
         [schedule]\ntype = 'noam'\nwarmup_steps = 10\nmodel_size = 16\ninterval = 'step'\n\
         [train]\nepochs = 2\nclip_grad_norm = 1.0\ncheckpoint = { every = '2it', keep_last = 2, keep_best = 'valid.exact_match' }\n",
    ),
    (
        "gru",
        "[run]\nname = 'gru'\nseed = 7\n[data]\ndataset = 'text'\npath = 'houses.csv'\nunit = 'bytes'\ncontext = 24\nbatch_size = 32\n\
         workers = 2\n[model]\ntype = 'gru'\nlayers = 2\nwidth = 8\ndropout = 0.2\n[optimizer]\ntype = 'schedule_free_adamw'\nlr = 0.01\n\
         [schedule]\ntype = 'fixed'\nwarmup = '10it'\ninterval = 'step'\n\
         [train]\nepochs = 1\ncheckpoint = { every = '2it', keep_last = 2 }\n",
    ),
];

/// What the kills of a campaign met.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// The run was over before its kill came.
    late: u64,
    /// Before there was a checkpoint.
    without_checkpoint: u64,
    /// A checkpoint was being written.
    in_a_write: u64,
    /// Steps that were lost at most, from the last checkpoint begun.
    worst_behind: u64,
}

/// Starts training in `run` (or goes on with it), with its messages in a file.
fn start(dir: &Path, device: &str) -> std::process::Child {
    let messages = File::create(dir.join("messages")).expect("a file");
    command(dir)
        .args(["train", "config.toml", "--out", "run", "--resume", "--quiet", "--device", device])
        .env("RUST_LOG", "trainer=debug")
        .stdout(Stdio::null())
        .stderr(Stdio::from(messages))
        .spawn()
        .expect("the command starts")
}

/// The step of the last message that says so.
fn last_step(dir: &Path, what: &str) -> Option<u64> {
    let messages = fs::read_to_string(dir.join("messages")).expect("messages");
    let steps = messages.lines().filter_map(|line| line.split_once("checkpoint of step ")?.1.strip_suffix(what));
    steps.filter_map(|step| step.trim().parse().ok()).next_back()
}

/// Kills a run after `after`, and judges what it left. `None` where the run was over before.
fn kill(dir: &Path, device: &str, after: Duration, tally: &mut Tally) -> Option<()> {
    let before = checkpoint::newest(&dir.join("run/checkpoints")).map(|found| found.checkpoint.state().step).ok();
    let mut process = start(dir, device);
    std::thread::sleep(after);
    if let Some(status) = process.try_wait().expect("a status") {
        assert!(status.success(), "{}", fs::read_to_string(dir.join("messages")).expect("messages"));
        tally.late += 1;
        return None;
    }
    process.kill().expect("killed");
    process.wait().expect("gone");
    tally.kills += 1;

    let checkpoints = dir.join("run/checkpoints");
    let names = fs::read_dir(&checkpoints).map(|entries| entries.flatten().map(|entry| entry.file_name()).collect());
    let names: Vec<_> = names.unwrap_or_default();
    tally.in_a_write += u64::from(names.iter().any(|name| name.to_string_lossy().starts_with(".tmp-")));
    let (begun, written) = (last_step(dir, "begun"), last_step(dir, "written"));
    match checkpoint::newest(&checkpoints) {
        Ok(found) => {
            assert!(found.passed_over.is_empty(), "damaged: {:?}", found.passed_over);
            let newest = found.checkpoint.state().step;
            // What was said to be written is there, and so is what a resumption started from.
            assert!(newest >= written.or(before).unwrap_or_default(), "{newest}, {written:?}, {before:?}");
            // With one write in flight, the checkpoint before it is on the medium.
            if let Some(begun) = begun {
                assert!(newest + EVERY >= begun, "at step {newest}, and {begun} was begun");
                tally.worst_behind = tally.worst_behind.max(begun.saturating_sub(newest));
            }
        }
        Err(error) => {
            assert!(written.is_none() && before.is_none(), "{error}");
            tally.without_checkpoint += 1;
        }
    }
    Some(())
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let kills = std::env::var("ANNEAL_KILLS").map_or(12, |kills| kills.parse().expect("a number of kills"));
    let device = std::env::var("ANNEAL_KILL_DEVICE").unwrap_or_else(|_| "flex".to_owned());
    let seed = seed();
    println!("ANNEAL_SEED={seed} repeats this campaign");
    let mut dice = SplitMix64::new(seed);
    let wholes = MODELS.map(|(_, config)| {
        let whole = folder(&[("config.toml", config), ("houses.csv", HOUSES)]);
        let began = Instant::now();
        assert!(start(whole.path(), &device).wait().expect("ends").success());
        (whole, began.elapsed())
    });
    let mut tally = Tally::default();
    let (mut runs, mut trial) = (0, 0);
    while tally.kills < kills {
        // One in six is of the large one.
        let which = [3, 0, 4, 1, 2, 0][trial % 6];
        trial += 1;
        let (name, config) = MODELS[which];
        let (whole, length) = &wholes[which];
        let dir = folder(&[("config.toml", config), ("houses.csv", HOUSES)]);
        for _ in 0..=dice.below(3) {
            let after = Duration::from_micros(dice.below(length.as_micros() as usize) as u64);
            if kill(dir.path(), &device, after, &mut tally).is_none() || tally.kills >= kills {
                break;
            }
        }
        let ended = start(dir.path(), &device).wait().expect("ends");
        assert!(ended.success(), "{name}: {}", fs::read_to_string(dir.path().join("messages")).expect("messages"));
        runs += 1;
        same_checkpoint(&whole.path().join("run/checkpoints"), &dir.path().join("run/checkpoints"), name);
    }
    println!("{runs} runs, each ending in the uninterrupted run's bytes; {tally:?}");
    assert!(tally.kills >= kills);
}

#[test]
fn resuming_a_run_without_a_checkpoint_starts_it_over() {
    let (_, config) = MODELS[0];
    let dir = folder(&[("config.toml", config)]);
    let train = ["train", "config.toml", "--out", "run", "--resume", "--quiet"];
    // Nothing there yet; killed while the folder's first file was written.
    for (leftover, says) in [(None, "holds no run yet; starting it"), (Some(".config.toml.tmp"), "holds no run yet")] {
        if let Some(leftover) = leftover {
            fs::remove_dir_all(dir.path().join("run")).expect("removed");
            fs::create_dir(dir.path().join("run")).expect("created");
            fs::write(dir.path().join("run").join(leftover), "[ru").expect("written");
        }
        let ran = common::anneal(dir.path(), &train);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains(says), "{}", ran.err);
    }
    let whole = dir.path().join("run/checkpoints");
    let kept = dir.path().join("kept");
    fs::rename(&whole, &kept).expect("renamed");
    // Killed before its end and before there was a checkpoint: finished work would not be started over.
    let unfinished = || {
        for file in ["summary.json", "model.safetensors"] {
            fs::remove_file(dir.path().join("run").join(file)).expect("removed");
        }
    };
    unfinished();
    for args in [&train[..], &["resume", "run", "--quiet"]] {
        let ran = common::anneal(dir.path(), args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("no checkpoint yet; the run starts from its beginning"), "{}", ran.err);
        same_checkpoint(&kept, &whole, "from the beginning");
        fs::remove_dir_all(&whole).expect("removed");
        unfinished();
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_is_not_started_over() {
    let (_, config) = MODELS[0];
    let dir = folder(&[("config.toml", config)]);
    assert_eq!(common::anneal(dir.path(), &["train", "config.toml", "--out", "run", "--quiet"]).code, 0);
    let checkpoints = dir.path().join("run/checkpoints");
    for entry in fs::read_dir(&checkpoints).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path().join("model.bpk")).expect("removed");
    }
    let log = fs::read(dir.path().join("run/metrics.jsonl")).expect("a log");
    let ran = common::anneal(dir.path(), &["resume", "run", "--quiet"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no valid checkpoint (passed over: ") && ran.err.contains("model.bpk"), "{}", ran.err);
    assert_eq!(fs::read(dir.path().join("run/metrics.jsonl")).expect("a log"), log);
    assert!(checkpoints.exists());
}
