//! Inputs that can be read once only: standard input (`-`), pipes, `/dev/fd/N`.
//!
//! They are copied to private files below the store's `staging/` before they are hashed, and from then on
//! are files like any other. The copies go with the last clone of [`Spool`]; those of a killed process go
//! with the next run, which knows them by their lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Project};
use crate::error::IoError;

/// How spool folders start; the process number follows.
const PREFIX: &str = "spool-";
/// Held by the process that owns the folder.
const LOCK: &str = "lock";
/// What a stream without a name of its own is called, whatever its descriptor.
const STREAM: &str = "stream";

/// Whether `path` can be read once only.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// The copies of one run's streams, removed when dropped.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    copies: usize,
    _lock: File,
}

impl Spool {
    /// An empty one in the project's store, which is made if need be.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(project: &Project) -> Result<Self, Error> {
        super::run::create_store(&project.store)?;
        let folder = project.store.staging().join(format!("{PREFIX}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(IoError::at("creating", &folder))?;
        let lock = folder.join(LOCK);
        let file = private(&lock)?;
        file.try_lock().map_err(|e| match e {
            TryLockError::Error(e) => IoError::at("locking", &lock)(e),
            TryLockError::WouldBlock => {
                IoError::at("locking", &lock)(io::ErrorKind::WouldBlock.into())
            }
        })?;
        Ok(Self { folder, copies: 0, _lock: file })
    }

    /// Reads `stream` to its end and returns where its copy is.
    ///
    /// # Errors
    /// When it cannot be read or copied.
    pub fn copy(&mut self, stream: &Path) -> Result<PathBuf, Error> {
        let folder = self.folder.join(self.copies.to_string());
        self.copies += 1;
        DirBuilder::new().mode(0o700).create(&folder).map_err(IoError::at("creating", &folder))?;
        let copy = folder.join(name(stream));
        let mut to = private(&copy)?;
        let read = IoError::at("copying", stream);
        if stream == Path::new("-") {
            io::copy(&mut io::stdin().lock(), &mut to).map_err(read)?;
        } else {
            let mut from = File::open(stream).map_err(IoError::at("opening", stream))?;
            io::copy(&mut from, &mut to).map_err(read)?;
        }
        Ok(copy)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a copy of a stream is left");
        }
    }
}

/// Whether `path`, in `staging/`, is the spool of a process that is still there.
pub fn is_alive(path: &Path) -> bool {
    let named = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
    named
        && File::open(path.join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// A named pipe keeps its name; what `-` and `/dev/fd/63` are called would differ from run to run.
fn name(stream: &Path) -> String {
    let nameless = [Path::new("/dev"), Path::new("/proc")].iter().any(|d| stream.starts_with(d));
    match stream.file_name().filter(|_| !nameless && stream != Path::new("-")) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => STREAM.to_owned(),
    }
}

fn private(path: &Path) -> Result<File, IoError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(IoError::at("creating", path))
}
