//! A release checked by bytes and by promise.

use super::Error;
use crate::publish;
use crate::release::{self, Finding, Layout, Manifest, Verification};

/// Re-hashes a release and re-checks what its public bytes promise.
///
/// # Errors
/// When the release cannot be read at all.
pub fn verify(store: &Layout, manifest: &Manifest) -> Result<Verification, Error> {
    let mut found = release::verify(store, manifest)?;
    let root = store.release(&manifest.release_id);
    let public: Vec<_> = manifest.files.iter().filter(|f| f.tier == "public").cloned().collect();
    if !public.is_empty() && found.findings.is_empty() {
        for finding in publish::audit(&root, &public)?.findings {
            let message = match finding.row {
                Some(row) => format!("row {row} breaks the rule {}", finding.rule),
                None => format!("it breaks the rule {}", finding.rule),
            };
            found.findings.push(Finding::new(finding.file, "disclosure", message));
        }
        found.findings.sort();
    }
    Ok(found)
}
