//! What is on disk is whole or refused by name.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use crate::common::{alone, net, newest_only, optimizer, schedule, train_data, valid_data};
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
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config)
        .fit(net(), optimizer("type = 'adam'\nlr = 0.01"), schedule, &train_data(), Some(&valid_data()))
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
            let schedule = schedule("type = 'fixed'");
            let optimizer = optimizer("type = 'adam'\nlr = 0.01");
            let fitted = Trainer::new(config).fit(net(), optimizer, schedule, &train_data(), Some(&valid_data()));
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
    let schedule = schedule("type = 'fixed'");
    let optimizer = optimizer("type = 'adam'\nlr = 0.01");
    Trainer::new(config).fit(net(), optimizer, schedule, &train_data(), Some(&valid_data())).expect("trains");
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
            let schedule = schedule("type = 'fixed'");
            let mut trainer = Trainer::new(config);
            if part > 0 {
                trainer = trainer.resume(checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint);
            }
            let optimizer = optimizer("type = 'adam'\nlr = 0.3");
            trainer.fit(net(), optimizer, schedule, &train_data(), Some(&valid_data())).expect("trains");
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

/// Puts other content into a file of a checkpoint, and a manifest that fits it.
fn forge(checkpoint: &Path, name: &str, content: &str) {
    let path = checkpoint.join(name);
    let entry = |path: &Path| {
        let bytes = fs::metadata(path).expect("a file").len();
        let sha256 = trainer::weights::sha256(path).expect("a hash");
        format!("\"bytes\": {bytes},\n      \"sha256\": \"{sha256}\"")
    };
    let before = entry(&path);
    fs::write(&path, content).expect("written");
    let manifest = checkpoint.join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    assert!(text.contains(&before), "{before} in {text}");
    sign(&manifest, &text.replace(&before, &entry(&path)));
}

/// Writes a manifest with the hash that fits it.
fn sign(path: &Path, text: &str) {
    let at = text.rfind("\"sha256\": \"").expect("its own hash") + "\"sha256\": \"".len();
    let end = at + text[at..].find('"').expect("an end");
    let bare = format!("{}{}", &text[..at], &text[end..]);
    fs::write(path, &bare).expect("written");
    let sha256 = trainer::weights::sha256(path).expect("a hash");
    fs::write(path, format!("{}{sha256}{}", &bare[..at], &bare[at..])).expect("written");
}

#[test]
fn what_no_run_can_have_is_refused_by_name() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 1, 1, false);
    let checkpoint = dir.path().join("step-00000006");
    let [state, times] =
        ["state.json", "times.json"].map(|name| fs::read_to_string(checkpoint.join(name)).expect("a file"));
    let elapsed = times.lines().find(|line| line.contains("\"elapsed\"")).expect("a time").to_owned();
    let with = |field: &str, value: &str| {
        let line = state.lines().find(|line| line.trim().starts_with(&format!("\"{field}\":"))).expect(field);
        state.replacen(line, &format!("  \"{field}\": {value},"), 1)
    };
    let max = u64::MAX.to_string();
    let loss = "\"epoch_loss\": {\n    \"sum\": 0.0,\n    \"items\": 0\n  }";
    assert!(state.contains(loss), "{state}");
    let loss_of = |items: &str| state.replace(loss, &loss.replace("\"items\": 0", &format!("\"items\": {items}")));
    let cases = [
        ("times.json", times.replace(&elapsed, "  \"elapsed\": -1.5,"), "-1.5 seconds are not a length of time"),
        ("times.json", times.replace(&elapsed, "  \"elapsed\": 1e300,"), "seconds are not a length of time"),
        ("state.json", with("epoch", &max), "epoch: 18446744073709551615 is more than any run has"),
        ("state.json", with("batch", &max), "batch: "),
        ("state.json", with("lr", "-0.5"), "lr: -0.5 is no rate"),
        ("state.json", with("averaged", &max), "averaged: "),
        ("state.json", with("largest_loss", "-1.0"), "largest_loss: "),
        ("state.json", loss_of("9223372036854775808"), "epoch_loss: 9223372036854775808 is more than any run has"),
        ("state.json", loss_of("7"), "epoch_loss: 7 is more than the 0 items done"),
        ("state.json", with("epoch", "7"), "epoch: 7 is more than the 6 steps done"),
        ("state.json", with("averaged", "7"), "averaged: 7 is more than the 6 steps done"),
    ];
    for (name, content, expected) in cases {
        forge(&checkpoint, name, &content);
        let error = checkpoint::open(&checkpoint).expect_err(expected);
        assert!(matches!(&error, CheckpointError::Damaged { path, .. } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        forge(&checkpoint, name, if name == "state.json" { &state } else { &times });
    }
    checkpoint::open(&checkpoint).expect("whole again");
    // What the checkpoint alone cannot tell: an epoch has 6 batches, and after the last comes the next epoch.
    for batch in ["6", "9007199254740992"] {
        forge(&checkpoint, "state.json", &with("batch", batch));
        let config = TrainConfig { checkpoint: Some(newest_only(dir.path())), ..TrainConfig::epochs(3) };
        let resumed = Trainer::new(config).resume(checkpoint::open(&checkpoint).expect("consistent")).fit(
            net(),
            optimizer("type = 'adam'\nlr = 0.01"),
            schedule("type = 'fixed'"),
            &train_data(),
            Some(&valid_data()),
        );
        match resumed {
            Err(TrainError::Checkpoint(error @ CheckpointError::Damaged { .. })) => {
                assert!(error.to_string().ends_with(&format!("batch: {batch} of an epoch of 6")), "{error}");
            }
            other => panic!("{batch}: {:?}", other.err()),
        }
    }
}

/// A device or a pipe would be read without end, or waited for.
#[cfg(unix)]
#[test]
fn only_regular_files_are_opened() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 1, 1, false);
    let checkpoint = dir.path().join("step-00000006");
    let manifest = checkpoint.join("manifest.json");
    let whole = fs::read_to_string(&manifest).expect("a manifest");
    // An entry of 0 bytes, with the hash of nothing.
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let entry =
        format!("{{\n      \"name\": \"more.bin\",\n      \"bytes\": 0,\n      \"sha256\": \"{nothing}\"\n    }}");
    let text = whole.replace("\n    }\n  ],", &format!("\n    }},\n    {entry}\n  ],"));
    assert_ne!(text, whole);
    sign(&manifest, &text);
    let more = checkpoint.join("more.bin");
    fs::write(&more, "").expect("written");
    checkpoint::open(&checkpoint).expect("an empty file is one");
    let pipe = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    };
    let endless = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link");
    for put in [&endless as &dyn Fn(&Path), &pipe] {
        for (path, content) in [(&more, String::new()), (&manifest, fs::read_to_string(&manifest).expect("text"))] {
            fs::remove_file(path).expect("removed");
            put(path);
            let error = checkpoint::newest(dir.path()).expect_err("refused").to_string();
            assert!(error.contains(path.to_str().expect("a path")) && error.contains("not a regular file"), "{error}");
            fs::remove_file(path).expect("removed");
            fs::write(path, content).expect("written");
        }
    }
    // A link to a regular file is one: some stores keep their files so.
    fs::rename(&more, dir.path().join("stored")).expect("moved");
    std::os::unix::fs::symlink(dir.path().join("stored"), &more).expect("a link");
    checkpoint::open(&checkpoint).expect("a regular file");
}

#[test]
fn what_this_program_did_not_make_is_left_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, "mine").expect("written");
    };
    let foreign =
        [".tmp-x", ".tmp-mine/notes", ".old-mine/notes", "step-00000002/notes", "step-3/notes", "step-00000006/notes"];
    foreign.into_iter().for_each(write);
    let in_the_way = [".tmp-step-00000006", ".old-step-00000002", ".old-step-00000004"];
    for name in in_the_way {
        write(&format!("{name}/notes"));
    }
    // What a killed process has left of a checkpoint, and what only looks like it.
    write(".tmp-step-00000009/fallback-state.json");
    write(".tmp-step-00000010/mine.bpk");
    write(".tmp-step-00000011/my-state.json");
    trained(dir.path(), 1, 1, false);
    write("step-00000012/notes");
    trained(dir.path(), 3, 1, false);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
    for name in &foreign[..5] {
        assert_eq!(read(name), "mine");
    }
    for name in in_the_way {
        assert_eq!(read(&format!("{name}.kept-1/notes")), "mine");
    }
    assert!(!dir.path().join(".tmp-step-00000009").exists());
    assert_eq!(read(".tmp-step-00000010.kept-1/mine.bpk"), "mine");
    assert_eq!(read(".tmp-step-00000011.kept-1/my-state.json"), "mine");
    // What has the name of a checkpoint that is written is moved aside.
    assert_eq!(read("step-00000006.kept-1/notes"), "mine");
    assert_eq!(read("step-00000012.kept-1/notes"), "mine");
    // A checkpoint with something else in it stays when it is no longer kept.
    write("step-00000018/notes");
    resumed(dir.path(), 4.0);
    assert_eq!(checkpoint::steps(dir.path()).expect("steps"), [2, 18, 24]);
    assert_eq!(read("step-00000018/notes"), "mine");
}

fn resumed(directory: &Path, epochs: f64) -> trainer::FitReport {
    let config = TrainConfig {
        epochs: Some(Duration::Epochs(epochs)),
        checkpoint: Some(newest_only(directory)),
        ..TrainConfig::default()
    };
    let schedule = schedule("type = 'fixed'");
    let optimizer = optimizer("type = 'adam'\nlr = 0.01");
    let trainer = match checkpoint::newest(directory) {
        Ok(found) => Trainer::new(config).resume(found.checkpoint),
        Err(_) => Trainer::new(config),
    };
    trainer.fit(net(), optimizer, schedule, &train_data(), Some(&valid_data())).expect("trains").report
}

#[test]
fn what_grows_with_a_run_is_written_once() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let history = dir.path().join("history.jsonl");
    let sizes = |step: u64| {
        ["state.json", "times.json"]
            .map(|name| fs::metadata(checkpoint::path_of(dir.path(), step).join(name)).expect("a file").len())
    };
    let lines = || fs::read_to_string(&history).map_or(0, |text| text.lines().count());
    let epochs = |report: &trainer::FitReport| report.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>();
    // An epoch that ends early and is continued counts once; the last 64 are in the checkpoint.
    resumed(dir.path(), 64.5);
    assert_eq!(lines(), 64);
    resumed(dir.path(), 65.0);
    let short = sizes(65 * 6);
    let report = resumed(dir.path(), 193.0);
    assert_eq!(lines(), 192);
    for (short, long) in short.into_iter().zip(sizes(193 * 6)) {
        assert!(long < short + 100, "193 epochs are {long} bytes, 65 are {short}");
    }
    assert_eq!(epochs(&report), (0..193).collect::<Vec<_>>());
    let found = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
    assert_eq!(found.state().history, report.epochs);
    assert_eq!(found.times().epochs.len(), 193);
    // However a run is cut into parts, its checkpoint is the same.
    let there = tempfile::tempdir().expect("a folder");
    let whole = resumed(there.path(), 193.0);
    let last = checkpoint::newest(there.path()).expect("a checkpoint").checkpoint;
    assert!(last.part("state.json") == found.part("state.json"));
    assert_eq!(epochs(&whole), epochs(&report));
    // A copy of a checkpoint without the history beside it is whole; the report then begins with what the checkpoint holds.
    fs::rename(&history, dir.path().join("elsewhere")).expect("moved");
    assert_eq!(epochs(&resumed(dir.path(), 194.0)), [192, 193]);
    assert_eq!(epochs(&resumed(dir.path(), 195.0)), [192, 193, 194]);
    // So is one beside another history.
    let other = there.path().join("history.jsonl");
    let text = fs::read_to_string(&other).expect("a history");
    assert!(text.contains("\"lr\":0.01"), "{text}");
    fs::write(&other, text.replacen("\"lr\":0.01", "\"lr\":0.02", 1)).expect("written");
    assert_eq!(epochs(&resumed(there.path(), 194.0)), [192, 193]);
}
