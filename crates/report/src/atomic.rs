//! Files that appear whole or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// The end of the name of a file that is being written; it begins with a dot.
const UNFINISHED: &str = ".tmp";

/// Between the name of a file and the number of its copy.
const DAMAGED: &str = ".damaged-";

/// Writes a file whole or not at all: under a temporary name in the same folder, flushed to the medium, then renamed.
/// What was there before is replaced; on an error it stays, and no temporary file is left.
///
/// # Errors
/// What the system said; a path that leads to something else than a file, such as a device (`/dev/null`, `/dev/stdout`) or a
/// pipe, which a file must not replace.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("summary.json");
/// report::atomic_write(&path, "{}\n")?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn atomic_write(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    // A link that leads nowhere is replaced as any link is.
    if let Some(there) = fs::metadata(path).ok().filter(|there| !there.is_file()) {
        return Err(no_regular_file(&there));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(UNFINISHED);
    // Temporary files are private by default; this one becomes an ordinary file, so the umask decides.
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(bare)?;
    file.as_file_mut().write_all(contents.as_ref())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// What the system said, without the name of the temporary file that `tempfile` adds: whoever asked knows another one.
fn bare(error: io::Error) -> io::Error {
    let text = error.to_string();
    text.rsplit_once(" at path ").map(|(said, _)| io::Error::new(error.kind(), said)).unwrap_or(error)
}

/// What every page and chart says that this program writes, and how its weights and sweeps name it.
pub(crate) const WRITTEN: &str = "written by anneal";
const PRODUCER: &str = "\"producer\":\"anneal ";

/// Bytes of a file in which it says so.
const BEGINNING: u64 = 1 << 20;

/// Whether nothing of anybody else's is lost where a file is written here: nothing is there, or a file that this program
/// wrote. What is no regular file counts as nothing: [`atomic_write`] refuses it.
pub fn is_replaceable(path: &Path) -> bool {
    match open_regular(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            let has = |mark: &str, bytes: &[u8]| bytes.windows(mark.len()).any(|part| part == mark.as_bytes());
            let read = file.take(BEGINNING).read_to_end(&mut bytes);
            read.is_ok() && [WRITTEN, PRODUCER].iter().any(|mark| has(mark, &bytes))
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput),
    }
}

/// Opens a file to read it. Only a regular file (or a link to one) is opened: a pipe would wait for its other end.
///
/// # Errors
/// What the system said; `InvalidInput` for what is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<fs::File> {
    let there = fs::metadata(path)?;
    if there.is_file() { fs::File::open(path) } else { Err(no_regular_file(&there)) }
}

fn no_regular_file(there: &fs::Metadata) -> io::Error {
    let kind = there.file_type();
    #[cfg(unix)]
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
    #[cfg(not(unix))]
    let is_pipe = false;
    let what = if kind.is_dir() {
        "a folder"
    } else if is_pipe {
        "a pipe"
    } else {
        "a device or a socket"
    };
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file"))
}

/// The content of a regular file, or of one that a link points to. A pipe or a device, which may have no end, is not read.
///
/// # Errors
/// What the system said; `InvalidInput` for what is not a regular file.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text in a regular file.
///
/// # Errors
/// As [`read_regular`]; one that is not UTF-8.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Whether `name` is what a process that was killed in [`atomic_write`] of a file called `of` leaves.
pub fn is_unfinished(name: &str, of: &str) -> bool {
    let rest = name.strip_prefix('.').and_then(|name| name.strip_prefix(of));
    rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(UNFINISHED))
}

/// The same of a file whose name begins with `beginning`.
pub fn is_unfinished_beginning(name: &str, beginning: &str) -> bool {
    name.strip_prefix('.').is_some_and(|rest| rest.starts_with(beginning) && rest.ends_with(UNFINISHED))
}

/// Copies a file whose content cannot be used beside itself, under the first free name of `NAME.damaged-1`,
/// `NAME.damaged-2`, ..., so that the file can be mended or replaced and nothing is lost. Gives the copy's path.
///
/// # Errors
/// What the system said.
pub fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 1_u64.. {
        let copy = path.with_file_name(format!("{name}{DAMAGED}{number}"));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&copy) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        io::copy(&mut open_regular(path)?, &mut file)?;
        file.sync_all()?;
        return Ok(copy);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether `name` is a copy that [`keep_aside`] has made of a file called `of`.
pub fn is_kept_aside(name: &str, of: &str) -> bool {
    let number = name.strip_prefix(of).and_then(|rest| rest.strip_prefix(DAMAGED));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for contents in ["first", "second, longer", ""] {
            atomic_write(&path, contents).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
            assert_eq!(names(folder.path()), ["a.json"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_any_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        atomic_write(&ours, "").unwrap();
        fs::write(&usual, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[test]
    fn on_an_error_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of that name cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(atomic_write(&taken, "text").is_err());
        let error = atomic_write(&folder.path().join("missing/a.json"), "text").unwrap_err().to_string();
        assert!(!error.contains("tmp"), "no temporary file is named: {error}");
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn unfinished_files_are_known_by_their_names() {
        for (name, expected) in [
            (".config.toml.Xa3b.tmp", true),
            (".config.toml.tmp", true),
            ("config.toml", false),
            (".config.toml", false),
            (".other.toml.Xa3b.tmp", false),
            ("notes.tmp", false),
        ] {
            assert_eq!(is_unfinished(name, "config.toml"), expected, "{name}");
        }
    }

    #[test]
    fn copies_are_numbered_and_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, b"\xff").unwrap();
        fs::write(folder.path().join("a.jsonl.damaged-1"), "earlier").unwrap();
        let copy = keep_aside(&path).unwrap();
        assert_eq!(copy, folder.path().join("a.jsonl.damaged-2"));
        assert_eq!(fs::read(&copy).unwrap(), b"\xff");
        assert_eq!(fs::read(folder.path().join("a.jsonl.damaged-1")).unwrap(), b"earlier");
        assert!(is_kept_aside("a.jsonl.damaged-2", "a.jsonl") && !is_kept_aside("a.jsonl.damaged-x", "a.jsonl"));
        assert!(keep_aside(&folder.path().join("missing")).is_err());
    }
}
