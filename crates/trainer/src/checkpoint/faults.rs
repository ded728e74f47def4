//! Every call of a checkpoint's life fails once, and what was on disk before is there still.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    CheckpointError, CheckpointPolicy, OnWriteError, Part, RunState, STATE, Snapshot, TIMES, Times, Writer,
    files::{Disk, Files},
    history::Append,
    newest, open,
};
use crate::Mode;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    NoSpace,
    Permission,
    /// Half of a file is written, then the medium is full.
    ShortWrite,
    /// The process dies before the call: neither it nor any later one happens.
    Death,
}

/// The real file system, whose n-th call fails.
struct Faulty {
    fault: Fault,
    /// From 1.
    nth: u64,
    calls: AtomicU64,
    injected: AtomicBool,
}

impl Faulty {
    fn new(fault: Fault, nth: u64) -> Arc<Self> {
        Arc::new(Self { fault, nth, calls: AtomicU64::new(0), injected: AtomicBool::new(false) })
    }

    /// Whether there were so many calls at all.
    fn was_reached(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.nth
    }

    fn was_injected(&self) -> bool {
        self.injected.load(Ordering::SeqCst)
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let error = match self.fault {
            Fault::Death if call >= self.nth => io::Error::other("dead"),
            Fault::NoSpace if call == self.nth => io::ErrorKind::StorageFull.into(),
            Fault::Permission if call == self.nth => io::ErrorKind::PermissionDenied.into(),
            _ => return Ok(()),
        };
        self.injected.store(true, Ordering::SeqCst);
        Err(error)
    }
}

impl Files for Faulty {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| Disk.create_dir_all(path))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| Disk.create_dir(path))
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call()?;
        if self.fault == Fault::ShortWrite && self.calls.load(Ordering::SeqCst) == self.nth {
            self.injected.store(true, Ordering::SeqCst);
            Disk.write(path, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::WriteZero.into());
        }
        Disk.write(path, bytes)
    }
    fn write_at(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.call().and_then(|()| Disk.write_at(path, at, bytes))
    }
    // No power fails here, so nothing needs to wait for the medium.
    fn sync_file(&self, _path: &Path) -> io::Result<()> {
        self.call()
    }
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.call()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().and_then(|()| Disk.rename(from, to))
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| Disk.remove_dir_all(path))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.call().and_then(|()| Disk.list(path))
    }
    fn size(&self, path: &Path) -> io::Result<u64> {
        self.call().and_then(|()| Disk.size(path))
    }
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        self.call().and_then(|()| Disk.read(path, most))
    }
}

/// A writer that nothing happens to.
fn writer(policy: CheckpointPolicy) -> Writer {
    Writer::with_files(policy, Faulty::new(Fault::NoSpace, u64::MAX))
}

/// A checkpoint of this step; `version` tells two of the same step apart.
fn snapshot(step: u64, version: &str, loss: f64) -> Snapshot {
    let state = RunState { step, config: version.to_owned(), ..RunState::default() };
    Snapshot {
        step,
        history: Append::default(),
        unproven: Vec::new(),
        refuted: Vec::new(),
        values: BTreeMap::from([("loss".to_owned(), loss)]),
        parts: vec![
            Part::encode("model.bpk", |image| {
                *image = vec![7; 1_000];
                Ok::<_, String>(())
            }),
            Part::json(STATE, &state).expect("a state"),
            Part::json(TIMES, &Times::default()).expect("times"),
        ],
    }
}

fn policy(directory: &Path) -> CheckpointPolicy {
    CheckpointPolicy { background: false, keep_best: String::new(), ..CheckpointPolicy::new(directory) }
}

fn version(directory: &Path) -> (u64, String) {
    let found = newest(directory).expect("a valid checkpoint").checkpoint;
    (found.state().step, found.state().config.clone())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names = Disk.list(directory).expect("a folder");
    names.sort();
    names
}

/// Step and version of a checkpoint.
type Version = (u64, &'static str);

/// What is in the directory when the faulty write begins, and what is written.
const SCENES: [(&str, &[Version], Version); 4] = [
    ("the first of a run", &[], (10, "new")),
    ("after another", &[(5, "old")], (10, "new")),
    ("in place of one of the same step", &[(5, "older"), (10, "old")], (10, "new")),
    ("in place of the only one", &[(10, "old")], (10, "new")),
];

#[test]
fn whatever_call_fails_a_valid_checkpoint_is_left() {
    let mut faults = 0;
    for (scene, before, (step, new)) in SCENES {
        for fault in [Fault::NoSpace, Fault::Permission, Fault::ShortWrite, Fault::Death] {
            for nth in 1.. {
                let dir = tempfile::tempdir().expect("a folder");
                let directory = dir.path().join("checkpoints");
                let keep_all = CheckpointPolicy { keep_last: 9, ..policy(&directory) };
                for (step, version) in before {
                    writer(keep_all.clone()).save(snapshot(*step, version, 1.0)).expect("written");
                }
                let files = Faulty::new(fault, nth);
                let written = Writer::with_files(policy(&directory), files.clone()).save(snapshot(step, new, 1.0));
                let context = format!("{scene}, {fault:?} at call {nth}");
                if !files.was_reached() {
                    assert!(written.is_ok(), "{context}");
                    break;
                }
                if !files.was_injected() {
                    continue;
                }
                faults += 1;
                match (newest(&directory), before.last()) {
                    (Ok(found), _) => {
                        let found = (found.checkpoint.state().step, found.checkpoint.state().config.clone());
                        let allowed = before.last().is_some_and(|(step, old)| found == (*step, (*old).to_owned()))
                            || found == (step, new.to_owned());
                        assert!(allowed, "{context}: {found:?}");
                        if written.is_ok() {
                            assert_eq!(found, (step, new.to_owned()), "{context}");
                        }
                    }
                    (Err(_), None) => assert!(written.is_err(), "{context}"),
                    (Err(error), Some(_)) => panic!("{context}: {error}"),
                }
                if let Err(error) = &written {
                    let named = error.to_string();
                    assert!(named.contains(dir.path().to_str().expect("a path")), "{context}: {named}");
                }
                // Nothing that is called a checkpoint is half of one.
                if directory.exists() {
                    for name in names(&directory).iter().filter(|name| name.starts_with("step-")) {
                        open(&directory.join(name)).unwrap_or_else(|error| panic!("{context}: {error}"));
                    }
                }
                // The next write, by this process or by a new one, succeeds and leaves nothing else behind.
                writer(policy(&directory)).save(snapshot(step + 1, "next", 1.0)).expect("written");
                assert_eq!(version(&directory), (step + 1, "next".to_owned()), "{context}");
                assert_eq!(names(&directory), [format!("step-{:08}", step + 1)], "{context}");
            }
        }
    }
    assert!(faults > 150, "{faults} faults were injected");
    println!("{faults} faults were injected");
}

#[test]
fn a_failed_write_stops_the_run_or_not_as_configured() {
    for background in [false, true] {
        for (on_error, stops) in [(OnWriteError::Stop, true), (OnWriteError::Continue, false)] {
            let dir = tempfile::tempdir().expect("a folder");
            let policy = CheckpointPolicy { background, on_error, ..policy(dir.path()) };
            Writer::new(policy.clone()).save(snapshot(1, "old", 1.0)).expect("written");
            let mut writer = Writer::with_files(policy, Faulty::new(Fault::NoSpace, 4));
            let written = writer.save(snapshot(2, "lost", 1.0)).and_then(|()| writer.finish());
            assert_eq!(written.is_err(), stops, "{written:?}");
            assert_eq!(version(dir.path()), (1, "old".to_owned()));
            // One failure is one failure: the next goes through.
            writer.save(snapshot(3, "next", 1.0)).and_then(|()| writer.finish()).expect("written");
            assert_eq!(version(dir.path()), (3, "next".to_owned()));
        }
    }
}

#[test]
fn a_writer_that_goes_away_finishes_what_it_began() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(CheckpointPolicy::new(dir.path()));
    let mut slow = snapshot(1, "slow", 1.0);
    slow.parts.push(Part::encode("slow.bin", |image| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        *image = vec![1];
        Ok::<_, String>(())
    }));
    writer.save(slow).expect("begun");
    drop(writer);
    assert_eq!(version(dir.path()), (1, "slow".to_owned()));
}

/// Memory is used again from one checkpoint to the next; what it held is not in the next one, whatever its size.
#[test]
fn a_checkpoint_holds_nothing_of_the_one_before() {
    let dir = tempfile::tempdir().expect("a folder");
    for background in [false, true] {
        let keep_all = CheckpointPolicy { background, keep_last: 9, ..CheckpointPolicy::new(dir.path()) };
        let mut writer = Writer::new(keep_all);
        let sizes = [1_000, 10, 5_000, 5_000, 0, 70];
        for (step, size) in (1..).zip(sizes) {
            let mut snapshot = snapshot(step, "", 1.0);
            snapshot.parts.push(Part::encode("some.bin", move |image| {
                image.resize(size, 0);
                image.fill(step as u8);
                Ok::<_, String>(())
            }));
            if step == 3 {
                snapshot.parts.push(Part::encode("once.bin", |image| {
                    image.push(9);
                    Ok::<_, String>(())
                }));
            }
            writer.save(snapshot).expect("begun");
        }
        writer.finish().expect("written");
        for (step, size) in (1..).zip(sizes) {
            let read = open(&dir.path().join(format!("step-{step:08}"))).expect("valid");
            assert_eq!(read.part("some.bin"), Some(vec![step as u8; size].as_slice()), "step {step}");
            assert_eq!(read.part("once.bin").is_some(), step == 3, "step {step}");
        }
    }
}

type Encode = dyn FnOnce(&mut Vec<u8>) -> Result<(), String> + Send;

#[test]
fn what_cannot_be_encoded_is_an_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, encode) in [
        ("no", Box::new(|_: &mut Vec<u8>| Err("no such luck".to_owned())) as Box<Encode>),
        ("panic", Box::new(|_| panic!("no such luck"))),
    ] {
        let mut writer = Writer::new(CheckpointPolicy::new(dir.path()));
        let mut snapshot = snapshot(1, name, 1.0);
        snapshot.parts.push(Part::encode("strange.bin", encode));
        let error = writer.save(snapshot).and_then(|()| writer.finish()).expect_err(name);
        assert!(matches!(error, CheckpointError::Encode { .. }), "{error:?}");
        assert!(error.to_string().contains("no such luck"), "{error}");
        assert!(newest(dir.path()).is_err(), "{name}");
    }
}

#[test]
fn the_newest_and_the_best_are_kept() {
    let by = |keep_best: &str, mode, k| CheckpointPolicy {
        keep_best: keep_best.to_owned(),
        mode: Some(mode),
        k,
        ..policy(Path::new(""))
    };
    let (none, best) = (|| by("", Mode::Min, 1), |mode, k| by("loss", mode, k));
    let losses = [5.0, 1.0, 3.0, 1.0, 4.0];
    // (keep_last, keep_best, steps left)
    let cases: [(usize, CheckpointPolicy, &[u64]); 6] = [
        (1, none(), &[5]),
        (3, none(), &[3, 4, 5]),
        (0, none(), &[5]),
        (1, best(Mode::Min, 1), &[2, 5]),
        (1, best(Mode::Min, 3), &[2, 3, 4, 5]),
        (2, best(Mode::Max, 1), &[1, 4, 5]),
    ];
    for (keep_last, keep_best, left) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        for (step, loss) in (1..).zip(losses) {
            // A writer for each: what is kept follows from what is on disk, so it survives a resumption.
            let policy = CheckpointPolicy { directory: dir.path().to_owned(), keep_last, ..keep_best.clone() };
            Writer::new(policy).save(snapshot(step, "", loss)).expect("written");
        }
        let expected: Vec<String> = left.iter().map(|step| format!("step-{step:08}")).collect();
        assert_eq!(names(dir.path()), expected, "{keep_last}, {keep_best:?}");
    }
}

#[test]
fn pruning_never_removes_the_newest_valid_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let keep_two = CheckpointPolicy { keep_last: 2, ..policy(dir.path()) };
    for step in [10, 20, 30] {
        Writer::new(CheckpointPolicy { keep_last: 9, ..keep_two.clone() })
            .save(snapshot(step, "", 1.0))
            .expect("written");
    }
    // The newest two are damaged, one visibly and one in a bit; the run continues from step 10.
    std::fs::remove_file(dir.path().join("step-00000020/model.bpk")).expect("removed");
    std::fs::write(dir.path().join("step-00000030/model.bpk"), vec![8; 1_000]).expect("damaged");
    assert_eq!(newest(dir.path()).expect("the oldest").checkpoint.state().step, 10);
    let mut writer = Writer::new(keep_two);
    writer.save(snapshot(11, "", 1.0)).expect("written");
    assert_eq!(
        newest(dir.path()).expect("found").checkpoint.state().step,
        11,
        "damaged ones of the future do not push it out"
    );
    writer.save(snapshot(21, "", 1.0)).expect("written");
    assert_eq!(names(dir.path()), ["step-00000011", "step-00000021", "step-00000030"], "step 20 is no checkpoint");
    writer.save(snapshot(30, "again", 1.0)).expect("written");
    assert_eq!(names(dir.path()), ["step-00000021", "step-00000030"]);
    assert_eq!(version(dir.path()), (30, "again".to_owned()));
}

#[test]
fn a_process_killed_while_replacing_leaves_both_findable() {
    let dir = tempfile::tempdir().expect("a folder");
    Writer::new(policy(dir.path())).save(snapshot(10, "old", 1.0)).expect("written");
    let (own, displaced) = (dir.path().join("step-00000010"), dir.path().join(".old-step-00000010"));
    std::fs::rename(&own, &displaced).expect("renamed");
    assert_eq!(version(dir.path()), (10, "old".to_owned()));
    let keep_two = CheckpointPolicy { keep_last: 2, ..policy(dir.path()) };
    Writer::new(keep_two).save(snapshot(20, "new", 1.0)).expect("written");
    assert_eq!(names(dir.path()), ["step-00000010", "step-00000020"], "it has its name again");
}
