//! Everything that a checkpoint asks of the file system, so that tests can let any of it fail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
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
    /// The size of a file.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
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
        // Checkpoints have no name that is not UTF-8.
        let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
}
