//! Running the `anneal` command as a user does.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What a command printed and how it ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// It ended well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }
}

/// Runs `anneal` in `folder`, which ends well, and gives what it printed.
pub fn done(folder: &Path, args: &[&str]) -> String {
    let ran = anneal(folder, args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran.out
}

/// Runs `anneal` in `folder`.
pub fn anneal(folder: &Path, args: &[&str]) -> Ran {
    let output = command(folder).args(args).output().expect("the command starts");
    ran(&output)
}

/// The command: cargo's, or on a machine without cargo the one that `ANNEAL_BIN` names.
pub fn command(folder: &Path) -> Command {
    let program = std::env::var_os("ANNEAL_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_anneal").into());
    let mut command = Command::new(program);
    command.current_dir(folder).env_remove("ANNEAL_DATA_DIR").env("XDG_CACHE_HOME", folder).env("HOME", folder);
    command
}

pub fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An empty folder with files in it.
pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

/// The text of a file.
pub fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// A JSON text.
pub fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A JSON file.
pub fn json(path: impl AsRef<Path>) -> serde_json::Value {
    parsed(&read(path))
}

/// A text of JSON lines.
pub fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(parsed).collect()
}

/// A copy of a folder.
pub fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if path.is_dir() {
            copied(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// The examples' strategies.
pub fn strategies() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/strategies");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

/// The checkout's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A run that takes a fraction of a second.
pub const SMALL: &str = "[run]\nname = 'small'\n[optimizer]\ntype = 'adam'\nlr = 1e-3\n[model]\ntype = 'mlp'\nhidden = [16]\n\
    [schedule]\ntype = 'step'\nstep_size = 1\ngamma = 0.5\n[train]\nepochs = 3\n";

/// A seed for what a test draws: `ANNEAL_SEED`, or another one each time.
pub fn seed() -> u64 {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    std::env::var("ANNEAL_SEED").map_or_else(|_| now(), |seed| seed.parse().expect("a seed"))
}

/// Compares the newest checkpoints below two folders, file by file, bit by bit. Only `times.json` may differ, and what
/// the manifest says of it.
pub fn same_checkpoint(one: &Path, other: &Path, context: &str) {
    let newest = |folder: &Path| anneal::trainer::checkpoint::newest(folder).expect("a checkpoint").checkpoint;
    let (one, other) = (newest(one), newest(other));
    same_files(one.path(), other.path(), context);
}

/// The same of two checkpoints.
pub fn same_files(one: &Path, other: &Path, context: &str) {
    let names = |checkpoint: &Path| {
        let entries = std::fs::read_dir(checkpoint).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        // The manifest last: what differs in it differs in a file first.
        names.sort_by_key(|name| (name == "manifest.json", name.clone()));
        names
    };
    assert_eq!(one.file_name(), other.file_name(), "{context}");
    assert_eq!(names(one), names(other), "{context}");
    for name in names(one) {
        let read = |checkpoint: &Path| std::fs::read(checkpoint.join(&name)).expect("a file");
        let (one, other) = (read(one), read(other));
        match name.as_str() {
            "times.json" => {}
            "manifest.json" => assert_eq!(untimed(&one), untimed(&other), "{context}"),
            _ => assert!(one == other, "{context}: {name} differs"),
        }
    }
}

fn untimed(manifest: &[u8]) -> serde_json::Value {
    let mut manifest: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
    manifest["sha256"].take();
    let files = manifest["files"].as_array_mut().expect("files");
    files.retain(|file| file["name"] != "times.json");
    manifest
}
