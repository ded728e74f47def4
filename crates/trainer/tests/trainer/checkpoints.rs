//! What is on disk is whole or refused by name.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use crate::common::{alone, net, newest_only, optimizer, rates, train_data, valid_data};
use lr_core::Duration;
use trainer::{
    CheckpointPolicy, Mode, OnWriteError, TrainConfig, TrainError, Trainer,
    checkpoint::{self, CheckpointError},
};

fn trained(directory: &Path, epochs: u64, keep_last: usize, best: bool) {
    let config = TrainConfig {
        checkpoint: Some(CheckpointPolicy {
            keep_last,
            keep_best: if best { "valid.loss".to_owned() } else { String::new() },
            mode: Some(Mode::Max),
            ..newest_only(directory)
        }),
        ..TrainConfig::epochs(epochs)
    };
    let rates = rates("type = 'fixed'", &config, 0.01);
    Trainer::new(config)
        .fit(net(), optimizer("type = 'adam'\nlr = 0.01"), rates, &train_data(), Some(&valid_data()))
        .expect("trains");
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_last_and_the_best_are_kept() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 5, 2, false);
    assert_eq!(names(dir.path()), ["step-00000024", "step-00000030"]);
    // The highest loss counts as best here, which is that of the first epoch.
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 5, 1, true);
    assert_eq!(names(dir.path()), ["step-00000006", "step-00000030"]);
}

/// Positions in a file of this length: all of a small one; of a large one both ends and a spread between them.
fn positions(length: usize) -> Vec<usize> {
    const ALL: usize = 4_096;
    const SPREAD: usize = 512;
    if length <= ALL {
        return (0..length).collect();
    }
    let spread = (0..SPREAD).map(|i| i * (length - 1) / (SPREAD - 1));
    let mut positions: Vec<usize> = (0..64).chain(spread).chain(length - 64..length).collect();
    positions.sort_unstable();
    positions.dedup();
    positions
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused_by_name() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 1, 1, true);
    let checkpoint = dir.path().join("step-00000006");
    checkpoint::open(&checkpoint).expect("whole");
    let (mut flips, mut truncations) = (0, 0);
    for name in names(&checkpoint) {
        let path = checkpoint.join(&name);
        let whole = fs::read(&path).expect("a file");
        let refused = |what: &str| match checkpoint::open(&checkpoint) {
            Err(CheckpointError::Damaged { path: named, .. }) => assert_eq!(named, path, "{name}, {what}"),
            Err(other) => panic!("{name}, {what}: {other}"),
            Ok(_) => panic!("{name}, {what}: accepted"),
        };
        // In place: some file systems flush a new file, and there are many.
        let mut file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        let mut put = |at: usize, byte: u8| {
            file.seek(SeekFrom::Start(at as u64)).and_then(|_| file.write_all(&[byte])).expect("written");
        };
        for at in positions(whole.len()) {
            for bit in 0..8 {
                put(at, whole[at] ^ (1 << bit));
                refused(&format!("bit {bit} of byte {at}"));
                flips += 1;
            }
            put(at, whole[at]);
        }
        for length in positions(whole.len()).into_iter().rev() {
            file.set_len(length as u64).expect("cut");
            refused(&format!("cut to {length} bytes"));
            truncations += 1;
        }
        for (longer, what) in
            [([&whole[..], &[0]].concat(), "a byte too many"), ([&whole[..], &whole].concat(), "twice")]
        {
            fs::write(&path, longer).expect("written");
            refused(what);
        }
        fs::remove_file(&path).expect("removed");
        match checkpoint::open(&checkpoint) {
            Err(error @ CheckpointError::Damaged { .. }) => {
                assert_eq!(error.to_string(), format!("{}: damaged: missing", path.display()));
            }
            other => panic!("{name} is missing: {other:?}"),
        }
        fs::write(&path, &whole).expect("written");
    }
    checkpoint::open(&checkpoint).expect("whole again");
    println!("{flips} flipped bits and {truncations} truncations were refused");
}

#[test]
fn another_format_is_refused_as_such() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 1, 1, false);
    let path = dir.path().join("step-00000006/manifest.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    assert!(text.contains("\"format\": 2,"), "{text}");
    fs::write(&path, text.replace("\"format\": 2,", "\"format\": 3, \"news\": 1,")).expect("written");
    let error = checkpoint::open(&dir.path().join("step-00000006")).expect_err("refused");
    assert!(error.to_string().ends_with("damaged: format 3, this version reads 2"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_named() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 3, 3, false);
    let damage = |step: u64, name: &str| {
        let path = dir.path().join(format!("step-{step:08}")).join(name);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[10] ^= 1;
        fs::write(&path, bytes).expect("written");
        path
    };
    let newest = damage(18, "optimizer.bpk");
    let found = checkpoint::newest(dir.path()).expect("an older one");
    assert_eq!(found.checkpoint.state().step, 12);
    assert!(matches!(&found.passed_over[..], [CheckpointError::Damaged { path, .. }] if *path == newest));
    damage(12, "manifest.json");
    damage(6, "state.json");
    let error = checkpoint::newest(dir.path()).expect_err("none is left").to_string();
    for name in ["optimizer.bpk", "manifest.json", "state.json"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_checkpoint_under_another_steps_name_is_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 1, 1, false);
    fs::rename(dir.path().join("step-00000006"), dir.path().join("step-00000060")).expect("renamed");
    let error = checkpoint::newest(dir.path()).expect_err("refused").to_string();
    assert!(error.contains("step 6, and its directory is named for step 60"), "{error}");
}

#[test]
fn what_cannot_be_written_ends_the_run_or_not_as_configured() {
    let _alone = alone();
    for background in [false, true] {
        for (on_error, ends) in [(OnWriteError::Stop, true), (OnWriteError::Continue, false)] {
            let dir = tempfile::tempdir().expect("a folder");
            // A file where the folder should be: nothing can be created there.
            let directory = dir.path().join("checkpoints");
            fs::write(&directory, "in the way").expect("written");
            let policy = CheckpointPolicy { background, on_error, ..newest_only(&directory) };
            let config = TrainConfig { checkpoint: Some(policy), ..TrainConfig::epochs(3) };
            let rates = rates("type = 'fixed'", &config, 0.01);
            let optimizer = optimizer("type = 'adam'\nlr = 0.01");
            let fitted = Trainer::new(config).fit(net(), optimizer, rates, &train_data(), Some(&valid_data()));
            match fitted {
                Ok(fitted) => assert!(!ends && fitted.report.steps == 18),
                Err(TrainError::Checkpoint(error)) => {
                    assert!(ends && error.to_string().contains(directory.to_str().expect("a path")), "{error}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn checkpoints_come_every_so_many_steps_and_hold_what_was_measured() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let config = TrainConfig {
        checkpoint: Some(CheckpointPolicy { every: Duration::Steps(4), keep_last: 9, ..newest_only(dir.path()) }),
        ..TrainConfig::epochs(3)
    };
    let rates = rates("type = 'fixed'", &config, 0.01);
    let optimizer = optimizer("type = 'adam'\nlr = 0.01");
    Trainer::new(config).fit(net(), optimizer, rates, &train_data(), Some(&valid_data())).expect("trains");
    // Epochs of 6 steps: step 12 ends one, and 18 the run.
    for (step, measured) in [(4, false), (8, false), (12, true), (16, false), (18, true)] {
        let checkpoint = checkpoint::open(&dir.path().join(format!("step-{step:08}"))).expect("written");
        assert_eq!(checkpoint.values().contains_key("valid.loss"), measured, "step {step}");
        assert_eq!(checkpoint.state().history.len() as u64, step / 6, "step {step}");
        assert_eq!(checkpoint.times().epochs.len() as u64, step / 6, "step {step}");
    }
    assert_eq!(names(dir.path()).len(), 5);
}

#[test]
fn the_best_k_survive_a_resumption() {
    let _alone = alone();
    let kept = |epochs: &[u64]| {
        let dir = tempfile::tempdir().expect("a folder");
        for (part, epochs) in epochs.iter().enumerate() {
            let config = TrainConfig {
                checkpoint: Some(CheckpointPolicy {
                    every: Duration::Epochs(100.0),
                    keep_best: "valid.loss".to_owned(),
                    mode: Some(Mode::Max),
                    k: 3,
                    ..newest_only(dir.path())
                }),
                ..TrainConfig::epochs(*epochs)
            };
            let rates = rates("type = 'fixed'", &config, 0.3);
            let mut trainer = Trainer::new(config);
            if part > 0 {
                trainer = trainer.resume(checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint);
            }
            let optimizer = optimizer("type = 'adam'\nlr = 0.3");
            trainer.fit(net(), optimizer, rates, &train_data(), Some(&valid_data())).expect("trains");
        }
        let last = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        let mut losses: Vec<(u64, f64)> =
            last.state().history.iter().map(|epoch| (epoch.step, epoch.values["valid.loss"])).collect();
        // Highest first, and of equals the oldest.
        losses.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut expected: Vec<u64> = losses[..3].iter().map(|(step, _)| *step).chain([last.state().step]).collect();
        expected.sort_unstable();
        expected.dedup();
        let expected: Vec<String> = expected.iter().map(|step| format!("step-{step:08}")).collect();
        assert_eq!(names(dir.path()), expected, "{losses:?}");
        expected
    };
    assert_eq!(kept(&[12]), kept(&[5, 6, 12]));
}

#[test]
fn an_unfinished_write_is_not_a_checkpoint() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 2, 1, false);
    let (whole, unfinished) = (dir.path().join("step-00000012"), dir.path().join(".tmp-step-00000012"));
    fs::rename(&whole, &unfinished).expect("renamed");
    match checkpoint::newest(dir.path()) {
        Err(CheckpointError::None { skipped, .. }) => assert!(skipped.is_empty()),
        other => panic!("{other:?}"),
    }
    trained(dir.path(), 2, 1, false);
    assert_eq!(names(dir.path()), ["step-00000012"]);
}
