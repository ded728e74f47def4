//! Fetching data sets: download, check, unpack, put into place.
//!
//! What lives here: HTTP (`http`), archives (`unpack`), and the order of things ([`fetch`]). What it may know: the
//! table of data sets and their folders. What it must not know: a terminal; the caller shows progress from [`Event`]s.
//!
//! A reader never sees an incomplete file. A download is written to `<data folder>/.fetch/<data set>/`; a file moves to
//! `<data folder>/<data set>/` by one rename, once it is complete, synced to the disk and has the right SHA-256. An
//! interrupted download stays in `.fetch`, and the next fetch resumes it.

mod error;
mod http;
mod unpack;

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

pub use error::{Attempt, FetchError, NotFetched};

use crate::sets::folder::{Content, Folder, RECORDED, locate};
use crate::sets::{DataFile, DatasetInfo, Download, Packing, info};

/// The folder inside a data folder for unfinished downloads.
const STAGING: &str = ".fetch";

/// From where, and how long a server may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// The address of a folder that has the files. Default: the mirrors that are known.
    pub base: Option<String>,
    /// The fetch ends after this long, with what it has kept for the next one. Default 2 hours.
    pub max_time: Duration,
    /// A server that sends fewer bytes a second, over [`speed_time`](Self::speed_time), is given up. Default 1024.
    pub min_speed: u64,
    /// The time over which the speed is measured. Default 30 seconds.
    pub speed_time: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        let hour = Duration::from_hours(1);
        Self { base: None, max_time: 2 * hour, min_speed: 1024, speed_time: Duration::from_secs(30) }
    }
}

/// The progress of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A download starts or restarts.
    Begins {
        /// From where.
        url: &'a str,
        /// Bytes of the whole file.
        bytes: u64,
        /// Bytes that were downloaded before.
        from: u64,
    },
    /// The number of bytes downloaded so far.
    At(u64),
    /// An address failed; the next one, if there is one, is tried.
    Failed {
        /// From where.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An archive is complete and is being unpacked.
    Unpacks(&'a str),
    /// A file is in its place.
    Placed(&'a Path),
}

/// The result of a successful fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The data set is part of the program: there is nothing to fetch.
    Embedded,
    /// All files were there already, and passed their checks.
    AlreadyThere(PathBuf),
    /// These files were put into this folder.
    Placed {
        /// The folder.
        folder: PathBuf,
        /// The files.
        files: Vec<PathBuf>,
    },
}

/// Fetches a data set (a name from [`known`](crate::known)) into `data_folder/<its folder>`. Files that are there already
/// are checked and kept. A proxy is taken from the environment (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`).
///
/// # Errors
/// An unknown name; a data set that is a part of another; files that no address provides, with the reason of each and
/// what to put where by hand; a disk that is full or not writable; another file in the place of one of the data set's.
pub fn fetch(
    name: &str,
    data_folder: &Path,
    options: &FetchOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched, FetchError> {
    let info = info(name)?;
    if info.part.is_some() {
        let whole = crate::known().find(|other| other.folder == info.folder && other.part.is_none());
        return Err(FetchError::Part { name: info.name, whole: whole.map_or(info.name, |whole| whole.name) });
    }
    fetch_set(info, data_folder, options, watch)
}

/// [`fetch`], of a data set described by its caller.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_set(
    info: &DatasetInfo,
    data_folder: &Path,
    options: &FetchOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched, FetchError> {
    if info.files.is_empty() {
        return Ok(Fetched::Embedded);
    }
    let folder = data_folder.join(info.folder);
    let missing = missing(info, &folder)?;
    if missing.is_empty() {
        return Ok(Fetched::AlreadyThere(folder));
    }
    let staging = Staging::open(data_folder, info)?;
    let placed = place_all(info, &missing, options, &staging, &folder, watch);
    if placed.is_err() {
        // The folder may have been created for files that failed.
        let _ = fs::remove_dir(&folder);
        staging.leave();
    } else {
        staging.close()?;
    }
    placed.map(|files| Fetched::Placed { folder, files })
}

/// Fetches the missing files, one download after the other, and moves each into its place.
fn place_all(
    info: &DatasetInfo,
    missing: &[&DataFile],
    options: &FetchOptions,
    staging: &Staging,
    folder: &Path,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<PathBuf>, FetchError> {
    let (mut placed, mut pace) = (Vec::new(), http::Pace::new(options));
    for download in info.downloads {
        let wanted: Vec<&DataFile> = missing.iter().copied().filter(|file| download.holds(file)).collect();
        if wanted.is_empty() {
            continue;
        }
        let part = staging.path.join(format!("{}.part", download.file));
        download_file(info, download, (options, &mut pace), &part, folder, watch)?;
        let files = match download.packing {
            Packing::Gzip => vec![(part.clone(), folder.join(download.file), wanted[0])],
            Packing::TarGzip { folder: inside } => {
                watch(Event::Unpacks(download.file));
                unpack::unpack(&part, inside, &wanted, &staging.path)?
                    .into_iter()
                    .zip(wanted)
                    .map(|(path, file)| (path, folder.join(file.name), file))
                    .collect()
            }
        };
        // All files of an archive are checked before the first of them is moved.
        let sums = files.iter().map(|(from, to, file)| check(from, to, file)).collect::<Result<Vec<_>, _>>()?;
        fs::create_dir_all(folder).map_err(FetchError::disk(folder))?;
        record(folder, &sums)?;
        for (from, to, _) in files {
            fs::rename(&from, &to).map_err(FetchError::disk(&to))?;
            watch(Event::Placed(&to));
            placed.push(to);
        }
        sync_folder(folder)?;
        remove(&part)?;
    }
    Ok(placed)
}

/// The files that are not in the folder. Those that are there are checked.
fn missing<'i>(info: &'i DatasetInfo, folder: &Path) -> Result<Vec<&'i DataFile>, FetchError> {
    let opened = Folder::new(folder.to_owned());
    let mut missing = Vec::new();
    for file in info.files {
        if locate(folder, file).is_none() {
            missing.push(file);
        } else {
            let content = opened.read(file).map_err(FetchError::InTheWay)?;
            content.verify(file).map_err(FetchError::InTheWay)?;
        }
    }
    Ok(missing)
}

/// Downloads into `part` from the first address that sends the right bytes.
fn download_file(
    info: &DatasetInfo,
    download: &Download,
    (options, pace): (&FetchOptions, &mut http::Pace<'_>),
    part: &Path,
    folder: &Path,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<(), FetchError> {
    let mut attempts = Vec::new();
    let bases: Vec<&str> = options.base.as_deref().map_or_else(|| download.mirrors.to_vec(), |base| vec![base]);
    for base in bases {
        if pace.is_over() && !attempts.is_empty() {
            break;
        }
        let mut client = http::Client::new(pace);
        let slash = if base.ends_with('/') { "" } else { "/" };
        let url = format!("{base}{slash}{}", download.file);
        // Bytes of an earlier attempt may belong to another file; then the download restarts once.
        for _ in 0..2 {
            let kept = fs::metadata(part).map_or(0, |part| part.len());
            let reason = match client.download(&url, part, download.bytes, watch) {
                Err(http::Failure::Disk(source)) => return Err(FetchError::Disk { path: part.to_owned(), source }),
                Err(http::Failure::Server(reason)) => reason,
                Ok(()) => {
                    let found = sha256_of(part)?;
                    if found == download.sha256 {
                        return Ok(());
                    }
                    remove(part)?;
                    format!("SHA-256 of what it sends is {found}, expected {}", download.sha256)
                }
            };
            let shown = http::shown(&url);
            watch(Event::Failed { url: &shown, reason: &reason });
            let again = kept > 0 && !part.exists();
            attempts.push(Attempt { url: shown, reason });
            if !again {
                break;
            }
        }
    }
    Err(FetchError::NotFetched(Box::new(NotFetched {
        name: info.name,
        file: download.file,
        attempts,
        folder: folder.to_owned(),
        downloads: info.downloads,
        files: info.files.iter().map(|file| file.name).collect(),
    })))
}

/// Checks a file of the data set before it is moved; returns the checksum of its content, for the record.
fn check<'f>(from: &Path, to: &Path, file: &'f DataFile) -> Result<(&'f str, String), FetchError> {
    let bytes = crate::read::content(from, file.bytes).map_err(FetchError::Content)?;
    let content = Content { path: to.to_owned(), bytes };
    let sum = content.verify_sum(file, file.sha256.map(str::to_owned)).map_err(FetchError::Content)?;
    Ok((file.name, sum.unwrap_or_else(|| content.sha256())))
}

/// Adds sums to the record in the folder, which is replaced as a whole.
fn record(folder: &Path, sums: &[(&str, String)]) -> Result<(), FetchError> {
    let path = folder.join(RECORDED);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let of_others = before.lines().filter(|line| {
        line.split_once("  ").is_some_and(|(_, name)| sums.iter().all(|(replaced, _)| *replaced != name))
    });
    let mut lines: Vec<String> = of_others.map(str::to_owned).collect();
    lines.extend(sums.iter().map(|(name, sum)| format!("{sum}  {name}")));
    let text = lines.join("\n") + "\n";
    let new = folder.join(format!("{RECORDED}.new"));
    let write = || -> io::Result<()> {
        refuse_link(&new)?;
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(FetchError::disk(&path))
}

fn sha256_of(path: &Path) -> Result<String, FetchError> {
    let sum = || -> io::Result<String> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(HEXLOWER.encode(&hash.finalize())),
                read => hash.update(&buffer[..read]),
            }
        }
    };
    sum().map_err(FetchError::disk(path))
}

/// Refuses to write through a link, or into anything but a plain file: it would overwrite what another program made.
fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "is a link or no plain file; move it away, then fetch again"))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Text with its control characters replaced: a terminal would obey them.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Removes a file that may not exist.
fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(FetchError::Disk { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Syncs a folder, so that renames in it survive a crash. Outside Unix a folder cannot be opened; there it does nothing.
fn sync_folder(folder: &Path) -> Result<(), FetchError> {
    match File::open(folder) {
        Ok(opened) if cfg!(unix) => opened.sync_all().map_err(FetchError::disk(folder)),
        _ => Ok(()),
    }
}

/// The file that locks that folder.
const LOCK: &str = "lock";

/// The folder for the unfinished downloads of one data set, locked against a second fetch.
struct Staging {
    path: PathBuf,
    lock: File,
    /// What a fetch of this data set writes there.
    own: Vec<String>,
}

impl Staging {
    fn open(data_folder: &Path, info: &DatasetInfo) -> Result<Self, FetchError> {
        let path = data_folder.join(STAGING).join(info.folder);
        fs::create_dir_all(&path).map_err(FetchError::disk(&path))?;
        let at = path.join(LOCK);
        let lock = refuse_link(&at).and_then(|()| File::create(&at)).map_err(FetchError::disk(&at))?;
        let parts = info.downloads.iter().map(|download| format!("{}.part", download.file));
        let own = parts.chain(info.files.iter().map(|file| file.name.to_owned())).chain([LOCK.to_owned()]).collect();
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock, own }),
            Err(fs::TryLockError::WouldBlock) => Err(FetchError::Busy { path }),
            Err(fs::TryLockError::Error(source)) => Err(FetchError::Disk { path: at, source }),
        }
    }

    /// Removes the folder, and its parent if no other data set is being fetched. Each stays where it holds anything else.
    fn close(self) -> Result<(), FetchError> {
        drop(self.lock);
        self.own.iter().try_for_each(|name| remove(&self.path.join(name)))?;
        let _ = fs::remove_dir(&self.path);
        if let Some(all) = self.path.parent() {
            let _ = fs::remove_dir(all);
        }
        Ok(())
    }

    /// Keeps downloaded bytes for the next fetch, and removes the folder where there are none. An error is ignored: the
    /// fetch has failed for a more important reason.
    fn leave(self) {
        let has_bytes = fs::read_dir(&self.path).is_ok_and(|entries| {
            let mut files = entries.filter_map(Result::ok).filter(|entry| entry.file_name() != LOCK);
            files.any(|entry| entry.metadata().map_or(true, |file| file.len() > 0))
        });
        if !has_bytes {
            let _ = self.close();
        }
    }
}
