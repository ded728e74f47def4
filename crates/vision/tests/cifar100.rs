//! CIFAR-100 from made-up files of the real size: classes, superclasses, recorded sums, and what `verify` says.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use std::fs;

use common::sha256;
use vision::{Against, load, verify};

const RECORD: usize = 2 + 3072;

/// Records in which class and superclass follow from the index.
fn records(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * RECORD];
    for (index, record) in bytes.chunks_exact_mut(RECORD).enumerate() {
        (record[0], record[1], record[2]) = ((index % 20) as u8, (index % 100) as u8, index as u8);
    }
    bytes
}

#[test]
fn classes_superclasses_and_recorded_sums() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("cifar100");
    fs::create_dir(&folder).unwrap();
    let (train, test) = (records(50_000), records(10_000));
    fs::write(folder.join("train.bin"), &train).unwrap();
    fs::write(folder.join("test.bin"), &test).unwrap();

    let fine = load("cifar100", Some(data.path())).unwrap();
    assert_eq!((fine.train.len(), fine.test.len(), fine.classes.len()), (50_000, 10_000, 100));
    assert_eq!((fine.train.label(123), fine.train.image(123)[0]), (23, 123));
    let coarse = load("cifar100-coarse", Some(data.path())).unwrap();
    assert_eq!((coarse.train.label(123), coarse.classes[3].as_str()), (3, "food_containers"));
    assert_eq!(coarse.train.class_counts(), vec![2_500; 20]);

    // No sum of the files is known: then what is there is taken, and said to be unchecked.
    let against = |expected: Against, ok: bool| {
        let verified = verify("cifar100", Some(data.path())).unwrap();
        assert_eq!(verified.files.iter().map(|file| file.against).collect::<Vec<_>>(), [expected; 2]);
        assert_eq!(verified.files[1].path, folder.join("test.bin"));
        assert_eq!((verified.files.iter().all(|file| file.problem.is_none()), verified.dataset.is_ok()), (ok, ok));
        verified
    };
    against(Against::Nothing, true);
    // As a fetch records it, a flipped bit is seen, by `load` and by `verify`.
    let recorded = format!("{}  train.bin\n{}  test.bin\n", sha256(&train), sha256(&test));
    fs::write(folder.join("contents.sha256"), recorded).unwrap();
    against(Against::Recorded, true);
    let mut damaged = test;
    damaged[5_000] ^= 1;
    fs::write(folder.join("test.bin"), damaged).unwrap();
    let verified = against(Against::Recorded, false);
    let problem = verified.files[1].problem.as_ref().unwrap().to_string();
    assert!(problem.contains("test.bin: SHA-256 of the content is"), "{problem}");
    assert!(verified.files[0].problem.is_none());
    assert_eq!(load("cifar100-coarse", Some(data.path())).unwrap_err().to_string(), problem);
}
