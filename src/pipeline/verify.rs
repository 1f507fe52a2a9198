//! A release checked by bytes and by promise.

use serde::Serialize;

use super::{Error, invariants, seal};
use crate::engine::Job;
use crate::error::Coded;
use crate::identity::Key;
use crate::invariant::Report;
use crate::publish;
use crate::release::{self, Finding, Layout, Manifest, Verification};

/// What a check of a release found.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Of its bytes and promises, with everything wrong.
    #[serde(flatten)]
    pub release: Verification,
    /// Of its invariants; none for a release of an earlier program, which does not say what it promises,
    /// and for a sealed one without its key.
    pub invariants: Option<Report>,
    /// Whether tables are sealed and were not opened, for want of a key.
    pub unopened: bool,
}

/// Re-hashes a release and re-checks what its public bytes promise and the invariants of its tiers.
///
/// # Errors
/// When the release cannot be read at all.
pub fn verify(store: &Layout, manifest: &Manifest, keys: &[Key]) -> Result<Verified, Error> {
    let keyring = seal::keyring(keys)?;
    let mut found = release::verify(store, manifest, &keyring)?;
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
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Nothing is written.
    let job = Job { keyring, ..Job::quiet(&root, threads) };
    let sealed = manifest.files.iter().any(|file| file.plaintext_sha256.is_some());
    let invariants = if sealed && job.keyring.is_empty() {
        None
    } else {
        invariants::look_again(&root, manifest, &job).unwrap_or_else(|error| {
            let message = format!("{}: {error}", error.code());
            found.findings.push(Finding::new("invariants", "invariant", message));
            None
        })
    };
    for violated in invariants.iter().flat_map(Report::violated) {
        found.findings.push(Finding::new(violated.tier.clone(), "invariant", violated.line()));
    }
    found.findings.sort();
    Ok(Verified { release: found, invariants, unopened: sealed && job.keyring.is_empty() })
}
