//! One process at a time works in a folder: a lock of the operating system, which ends with the process.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    layout::{LOCK, RunDirError, io_error},
    mark::now,
};

/// A folder is locked as long as this lives.
///
/// The lock is on the file `anneal.lock`, which says who holds it. What it says is only text: where the process has been
/// killed the file stays, but no process holds the lock.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    // Holds the lock.
    _file: File,
}

impl Lock {
    /// Locks a folder that is there.
    ///
    /// # Errors
    /// [`RunDirError::InUse`] where another process has it.
    pub(super) fn take(folder: &Path) -> Result<Self, RunDirError> {
        let path = folder.join(LOCK);
        let failed = |source| io_error(&path, "lock it", source);
        loop {
            if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
                return Err(failed(io::Error::other("it is no plain file")));
            }
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = opened.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(RunDirError::InUse { path: folder.to_owned(), by: holder(&mut file) });
                }
                Err(TryLockError::Error(error)) => tracing::warn!(
                    "{}: this file system has no locks ({error}); nothing keeps a second process out of the folder",
                    folder.display()
                ),
            }
            // The one who had it may have removed the file between our opening and locking it.
            match fs::symlink_metadata(&path) {
                Ok(there) if is_same(&file.metadata().map_err(failed)?, &there) => {}
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => continue,
            }
            let who = format!("process {} on {} since {}\n", std::process::id(), host(), now());
            file.set_len(0).and_then(|()| file.write_all(who.as_bytes())).map_err(failed)?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked; one that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// What the file of another's lock says, `on HOST` put as `on this host` where that is so.
fn holder(file: &mut File) -> String {
    for _ in 0..20 {
        let mut text = String::new();
        match file.rewind().and_then(|()| file.take(1_000).read_to_string(&mut text)) {
            // It has been locked and is not written yet.
            Ok(_) if text.trim().is_empty() => std::thread::sleep(Duration::from_millis(10)),
            Ok(_) => return text.trim().replace(&format!(" on {} since ", host()), " on this host since "),
            // There are systems where a locked file cannot be read.
            Err(_) => break,
        }
    }
    "another process".to_owned()
}

fn host() -> String {
    let linux = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let other = || String::from_utf8(Command::new("hostname").output().ok()?.stdout).ok();
    let name = linux.or_else(other).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "an unknown host".to_owned())
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere a file that somebody has open keeps its name.
#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_by_name_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::take(folder.path()).expect("free");
        let refused = Lock::take(folder.path()).expect_err("in use").to_string();
        let expected =
            format!("{}: in use by process {} on this host since 20", folder.path().display(), std::process::id());
        assert!(refused.starts_with(&expected), "{refused}");
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        // What a killed process leaves is only text.
        fs::write(folder.path().join(LOCK), "process 1 on mars since 1970").expect("written");
        drop(Lock::take(folder.path()).expect("free"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other");
        fs::write(&other, "mine").expect("written");
        std::os::unix::fs::symlink(&other, folder.path().join(LOCK)).expect("linked");
        assert!(matches!(Lock::take(folder.path()), Err(RunDirError::Io { .. })));
        assert_eq!(fs::read_to_string(&other).expect("a file"), "mine");
    }
}
