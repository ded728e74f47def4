//! Everything that a checkpoint asks of the file system, so that tests can let any of it fail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// The calls of a checkpoint's life.
pub(crate) trait Files: Send + Sync {
    /// Creates a directory and what is missing above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory that does not exist yet.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Writes a whole file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Writes at a place of a file, behind which it then ends; creates it where it is not there.
    fn write_at(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Waits until a file is on the medium.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Waits until a directory's entries are on the medium.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a directory another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// The size of a regular file; anything else is `InvalidInput`.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// The first `most` bytes of a regular file, all where it has fewer.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;
}

/// The real file system.
pub(crate) struct Disk;

impl Files for Disk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn write_at(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        // Windows flushes only through a handle that may write.
        OpenOptions::new().write(true).open(path)?.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Systems that cannot open a directory order renames themselves.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        // We write no name that is not UTF-8; what is left of it shows that something is there.
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let metadata = fs::metadata(path)?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        // Asked before it is opened: opening a pipe waits for its other end.
        let size = self.size(path)?.min(most);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX))?;
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
