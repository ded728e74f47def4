//! TensorBoard's event files: what is written comes back, here and in TensorBoard itself.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path, process::Command};

use report::tensorboard::{EventError, EventWriter, FILE_PREFIX, Happening, read_events, read_scalars};

type Curves = BTreeMap<String, Vec<(u64, f32)>>;

fn losses(writer: &mut EventWriter, steps: std::ops::RangeInclusive<u64>, scale: f64) {
    for step in steps {
        let values = [("train/loss".to_owned(), scale / step as f64), ("train/lr".to_owned(), 1e-3 * scale)];
        writer.scalars(step, &values).unwrap();
    }
}

/// A run that was killed after step 6 (its last record torn), resumed from step 4 and finished; and what holds.
fn interrupted_run(folder: &Path) -> Curves {
    let mut first = EventWriter::create(folder).unwrap();
    first.text(0, "config", "    [run]\n    name = \"a <b>\"").unwrap();
    losses(&mut first, 1..=6, 1.0);
    first.flush().unwrap();
    let path = first.path().to_owned();
    drop(first);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();

    let mut second = EventWriter::create(folder).unwrap();
    assert!(second.path() > path.as_path(), "read after the first");
    second.restart(5).unwrap();
    losses(&mut second, 5..=8, 2.0);
    second.scalars(8, &[("valid/loss".to_owned(), f64::NAN), ("valid/accuracy".to_owned(), 91.5)]).unwrap();

    let scale = |step: u64| if step < 5 { 1.0 } else { 2.0 };
    let curve = |value: &dyn Fn(u64) -> f64| (1..=8).map(|step| (step, value(step) as f32)).collect();
    BTreeMap::from([
        ("train/loss".to_owned(), curve(&|step| scale(step) / step as f64)),
        ("train/lr".to_owned(), curve(&|step| 1e-3 * scale(step))),
        ("valid/accuracy".to_owned(), vec![(8, 91.5)]),
    ])
}

#[test]
fn what_is_written_comes_back_and_a_restart_supersedes() {
    let folder = tempfile::tempdir().unwrap();
    let expected = interrupted_run(folder.path());
    let mut found = read_scalars(folder.path()).unwrap();
    let nan = found.remove("valid/loss").unwrap();
    assert!(matches!(nan.as_slice(), [(8, value)] if value.is_nan()), "{nan:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_file_begins_with_its_version_and_holds_the_events_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.text(0, "config", "# a").unwrap();
    writer.scalars(3, &[]).unwrap();
    writer.scalars(3, &[("a".to_owned(), 1.0)]).unwrap();
    writer.restart(9).unwrap();
    writer.flush().unwrap();
    let events = read_events(writer.path()).unwrap();
    let what: Vec<(u64, &Happening)> = events.iter().map(|event| (event.step, &event.what)).collect();
    assert_eq!(
        what,
        [
            (0, &Happening::FileVersion("brain.Event:2".to_owned())),
            (0, &Happening::Text("config".to_owned(), "# a".to_owned())),
            (3, &Happening::Scalars(vec![("a".to_owned(), 1.0)])),
            (9, &Happening::Restart),
        ]
    );
    assert!(events.iter().all(|event| event.wall_time > 1.7e9), "seconds since 1970");
    let name = writer.path().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(FILE_PREFIX) && name.split('.').count() == 6, "{name}");
}

#[test]
fn damage_is_refused_with_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    losses(&mut writer, 1..=3, 1.0);
    writer.flush().unwrap();
    let mut bytes = fs::read(writer.path()).unwrap();
    // The version's record takes 9 + 2 + 13 bytes of data and 16 of frame; this is inside the next one's data.
    let first = 16 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[first + 20] ^= 0x10;
    fs::write(writer.path(), bytes).unwrap();
    let Err(error @ EventError::Damaged { offset, .. }) = read_scalars(folder.path()) else { panic!("accepted") };
    assert_eq!(offset, first as u64);
    assert!(error.to_string().starts_with(&writer.path().display().to_string()), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = EventWriter::create(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere: cannot read it: "), "{error}");
}

/// The real TensorBoard, where `ANNEAL_PYTHON` names an interpreter that can import it.
#[test]
fn tensorboard_reads_the_same_numbers() {
    let can_import = |python: &OsString| {
        Command::new(python).args(["-c", "import tensorboard"]).output().is_ok_and(|output| output.status.success())
    };
    let Some(python) = std::env::var_os("ANNEAL_PYTHON").filter(can_import) else {
        println!("skipped: ANNEAL_PYTHON names no Python that can import the package tensorboard");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = interrupted_run(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_events.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().expect("ANNEAL_PYTHON starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // One line per value: tag, step, value; texts as `text TAG CONTENT`.
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut found = Curves::new();
    let mut texts = Vec::new();
    for line in printed.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["scalar", tag, step, value] => found
                .entry((*tag).to_owned())
                .or_default()
                .push((step.parse().unwrap(), value.parse::<f64>().unwrap() as f32)),
            ["text", tag, text] => texts.push(((*tag).to_owned(), (*text).to_owned())),
            other => panic!("{other:?}"),
        }
    }
    assert!(found.remove("valid/loss").is_some_and(|values| values.len() == 1 && values[0].1.is_nan()));
    assert_eq!(found, expected);
    assert_eq!(texts, [("config".to_owned(), "\"    [run]\\n    name = \\\"a <b>\\\"\"".to_owned())]);
}
