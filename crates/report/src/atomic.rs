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

/// What every page and chart says that this program writes: a page and an SVG in a comment, a PNG in a text chunk.
pub(crate) const WRITTEN: &str = "written by anneal";
/// How weights and sweeps name it.
const PRODUCER: &str = "\"producer\":\"anneal ";

/// Bytes of a file in which it says so. A file of weights does in its header, in the order of the alphabet: behind what a run
/// has kept of its task, up to 1 MiB, each quote of which takes two bytes there.
const BEGINNING: u64 = 4 << 20;

/// Whether nothing of anybody else's is lost where a file is written here: nothing is there, or a file that this program
/// wrote. What is no regular file counts as nothing: [`refuse_place`] and [`atomic_write`] refuse it.
pub fn is_replaceable(path: &Path) -> bool {
    match open_regular(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            let read = file.take(BEGINNING).read_to_end(&mut bytes);
            read.is_ok() && is_marked(&bytes)
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput),
    }
}

/// Whether a file that begins so says, in the way of its kind, that this program wrote it. The words alone may be anybody's.
fn is_marked(beginning: &[u8]) -> bool {
    const PAGE: &[u8] = b"<!doctype html>";
    let has = |mark: String| beginning.windows(mark.len()).any(|part| part == mark.as_bytes());
    // The header of a safetensors file stands behind its length.
    let is_object = |at: usize| beginning.get(at) == Some(&b'{');
    if beginning.starts_with(PAGE) {
        beginning[PAGE.len()..].starts_with(format!("\n<!-- {WRITTEN} -->").as_bytes()) || has_footer(beginning)
    } else if beginning.starts_with(b"<svg") {
        has(format!("</title>\n<!-- {WRITTEN} -->"))
    } else if beginning.starts_with(b"\x89PNG") {
        has(format!("tEXtSoftware\0{WRITTEN}"))
    } else {
        (is_object(0) || is_object(size_of::<u64>())) && has(PRODUCER.to_owned())
    }
}

/// Whether a page ends as those of older versions do: `<footer>runs&#x2f;a · written by anneal 0.1.0</footer>`.
fn has_footer(page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page);
    let footer = text.rsplit_once("<footer>").and_then(|(_, rest)| rest.split_once("</footer>"));
    let version = footer.and_then(|(footer, _)| footer.rsplit_once(WRITTEN)?.1.strip_prefix(' '));
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(' '))
}

/// Refuses a place that [`atomic_write`] could write no file to, before the work that is to be kept there: a folder, a device
/// or a pipe, and what is not in a folder.
///
/// # Errors
/// Says what is there, or what is not.
pub fn refuse_place(path: &Path) -> io::Result<()> {
    if let Some(there) = fs::metadata(path).ok().filter(|there| !there.is_file()) {
        return Err(no_regular_file(&there));
    }
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let (kind, what) = match fs::metadata(folder) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => (io::ErrorKind::NotADirectory, "is not a folder"),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => (io::ErrorKind::NotFound, "is not there"),
            io::ErrorKind::NotADirectory => (io::ErrorKind::NotADirectory, "is not in a folder"),
            _ => return Err(error),
        },
    };
    Err(io::Error::new(kind, format!("{} {what}", folder.display())))
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

    /// The words alone are anybody's.
    #[test]
    fn a_file_is_known_by_the_mark_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let header = |producer: &str| {
            let kept = "\\\"".repeat(1 << 20);
            let json =
                format!("{{\"__metadata__\":{{\"preprocessing\":\"{kept}\",\"producer\":\"{producer} 0.1.0\"}}}}");
            [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
        };
        let page = |footer: &str| format!("<!doctype html>\n<html>\n<footer>{footer}</footer>\n</html>\n").into_bytes();
        let cases: [(Vec<u8>, bool); 13] = [
            (Vec::new(), false),
            (b"notes on what was written by anneal".to_vec(), false),
            (b"<!-- written by anneal -->".to_vec(), false),
            (b"<!doctype html>\n<!-- written by anneal -->\n<html>".to_vec(), true),
            (b"<!doctype html>\n<p>written by anneal 0.1.0</p><!-- written by anneal -->".to_vec(), false),
            (page("runs&#x2f;a \u{b7} written by anneal 0.1.0"), true),
            (page("not written by anneal, but by hand"), false),
            (b"<svg><title>t</title>\n<!-- written by anneal --></svg>".to_vec(), true),
            (b"<svg><title>t</title><text>written by anneal</text></svg>".to_vec(), false),
            (b"{\"producer\":\"anneal 0.1.0\"}".to_vec(), true),
            (b"{\"notes\":\"written by anneal\"}".to_vec(), false),
            (header("anneal"), true),
            (header("torch"), false),
        ];
        for (bytes, expected) in cases {
            fs::write(&path, &bytes).unwrap();
            let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            assert_eq!(is_replaceable(&path), expected, "{beginning}");
        }
    }

    #[test]
    fn a_place_for_no_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("taken.svg")).unwrap();
        fs::write(at("file"), "").unwrap();
        for (name, expected) in [
            ("new", None),
            ("file", None),
            ("taken.svg/new", None),
            ("taken.svg", Some("it is a folder, not a regular file")),
            ("missing/new", Some("missing is not there")),
            ("file/new", Some("file is not a folder")),
        ] {
            let told = refuse_place(&at(name)).err().map(|error| error.to_string());
            match (told, expected) {
                (None, None) => {}
                (Some(told), Some(expected)) if told.ends_with(expected) => {}
                (told, _) => panic!("{name}: {told:?}, and not {expected:?}"),
            }
        }
        assert!(refuse_place(Path::new("new")).is_ok());
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
