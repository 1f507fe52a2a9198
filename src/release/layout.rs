//! Names of everything in a store (contract section 3).

use std::path::{Component, Path, PathBuf};

/// The folders and files of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The store at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// The store folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Names the current release.
    pub fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }
    /// Held while a run writes.
    pub fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }
    /// The audit log.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit.jsonl")
    }
    /// The last signed checkpoint of the audit log.
    pub fn audit_checkpoint(&self) -> PathBuf {
        self.root.join("audit.checkpoint")
    }
    /// All releases.
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }
    /// One release.
    pub fn release(&self, id: &str) -> PathBuf {
        self.releases().join(id)
    }
    /// All unfinished work.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }
    /// The unfinished work of one run.
    pub fn staging_of(&self, run: &str) -> PathBuf {
        self.staging().join(run)
    }
    /// Records of all runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
    /// Records of one run.
    pub fn run(&self, run: &str) -> PathBuf {
        self.runs().join(run)
    }
}

/// Whether a release-relative path stays inside the release and is spelled in one way only.
pub fn is_safe_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains("//")
        && !path.ends_with('/')
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::is_safe_path;

    #[test]
    fn paths_that_leave_the_release_are_unsafe() {
        assert!(is_safe_path("controlled/omop/person/part-0000.parquet"));
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/"] {
            assert!(!is_safe_path(bad), "{bad}");
        }
    }
}
