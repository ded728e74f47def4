//! What is on disk is whole or refused by name.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{alone, net, optimizer, rates, train_data, valid_data};
use trainer::{
    CheckpointPolicy, KeepBest, Mode, TrainConfig, Trainer,
    checkpoint::{self, CheckpointError},
};

fn trained(directory: &Path, epochs: u64, keep_last: usize, best: bool) {
    let config = TrainConfig {
        checkpoint: Some(CheckpointPolicy {
            keep_last,
            keep_best: best.then(|| KeepBest::new("valid.loss", Mode::Max)),
            ..CheckpointPolicy::new(directory)
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

#[test]
fn damage_is_refused_by_name_and_an_older_checkpoint_serves() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    trained(dir.path(), 2, 2, false);
    let newest = dir.path().join("step-00000012");
    for name in names(&newest) {
        let path: PathBuf = newest.join(&name);
        let whole = fs::read(&path).expect("a file");
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        };
        let positions = [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1];
        let truncations = [0, 1, whole.len() / 2, whole.len() - 1];
        let damages = positions.map(flipped).into_iter().chain(truncations.map(|length| whole[..length].to_vec()));
        for damage in damages {
            fs::write(&path, &damage).expect("written");
            match checkpoint::open(&newest) {
                Err(CheckpointError::Damaged { path: named, .. }) => {
                    // A damaged manifest may name another file as the one that does not fit it.
                    assert!(named == path || name == "manifest.json", "{} for {name}", named.display());
                }
                // One bit of a digit in the manifest's flag `best` or a name may still be a valid manifest.
                Err(other) => assert_eq!(name, "manifest.json", "{other}"),
                Ok(_) => panic!("{name}: a damaged file was accepted"),
            }
            let found = checkpoint::newest(dir.path()).expect("the older one");
            assert_eq!(found.checkpoint.state().step, 6, "{name}");
            assert_eq!(found.passed_over.len(), 1);
        }
        fs::write(&path, &whole).expect("written");
    }
    assert_eq!(checkpoint::newest(dir.path()).expect("whole again").checkpoint.state().step, 12);
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
