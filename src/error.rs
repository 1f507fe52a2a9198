//! What every error of the program can say of itself.
//!
//! Each module has its own typed error. All of them implement [`Coded`]: a stable code, a message that
//! names the place (file, line, table, rule) and what to do, and never a value from the data.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error with a stable code, fit to be shown to a user.
///
/// The [`fmt::Display`] text is one sentence in lower case. It names files, lines, tables, columns and
/// rules; it never repeats an identifier, a date or any other value of a person.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// Stable machine-readable code, `module::what_went_wrong`.
    fn code(&self) -> &'static str;

    /// What the user can do about it.
    fn help(&self) -> Option<String> {
        None
    }

    /// Whether this is a defect or an accident (exit code 2) and not a stated problem with the data,
    /// the configuration or a check (exit code 1).
    fn is_unexpected(&self) -> bool {
        false
    }
}

/// A failed file operation: which file, doing what.
#[derive(Debug)]
pub struct IoError {
    /// What was being done, as a gerund: `"reading"`, `"creating"`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: std::io::Error,
}

impl IoError {
    /// For `map_err`: `File::open(p).map_err(IoError::at("opening", p))`.
    pub fn at(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self { action, path, source }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.action, self.path.display(), self.source)
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Coded for IoError {
    fn code(&self) -> &'static str {
        match self.source.kind() {
            std::io::ErrorKind::NotFound => "io::not_found",
            std::io::ErrorKind::PermissionDenied => "io::permission_denied",
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "io::disk_full",
            _ => "io::failed",
        }
    }

    fn help(&self) -> Option<String> {
        match self.source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Some("free some space and run again: CURRENT still names the last release".into())
            }
            _ => None,
        }
    }
}
