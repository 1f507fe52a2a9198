//! One writer a store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::{Error, Layout};
use crate::error::IoError;

/// Held for as long as a run may write to the store. The kernel drops it with the process, so a killed
/// run leaves no stale lock.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process holds it.
    pub fn acquire(layout: &Layout, run: &str) -> Result<Self, Error> {
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(IoError::at("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(Error::Locked { holder });
            }
            Err(TryLockError::Error(e)) => return Err(IoError::at("locking", &path)(e).into()),
        }
        file.set_len(0).map_err(IoError::at("writing", &path))?;
        write!(file, "process {} run {run}", std::process::id())
            .map_err(IoError::at("writing", &path))?;
        Ok(Self { _file: file })
    }
}
