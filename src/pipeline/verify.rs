//! A release checked by bytes and by promise.

use std::path::Path;

use serde::Serialize;

use super::{Error, invariants, seal};
use crate::engine::{Job, Keyring};
use crate::error::Coded;
use crate::identity::{AuditKey, Key};
use crate::invariant::Report;
use crate::publish;
use crate::release::{self, Finding, Layout, Manifest, Signer, Verification};

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
    let own = keys.iter().any(|key| key.kid() == manifest.key_id);
    // Another key opens nothing of it, and says nothing of it.
    let keyring = if own { seal::keyring(keys)? } else { Keyring::default() };
    let mut found = release::verify(store, manifest, &keyring)?;
    let root = store.release(&manifest.release_id);
    found.findings.extend(authentic(store, &root, if own { keys } else { &[] })?);
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
    if sealed && !own && !keys.is_empty() {
        let message = format!("sealed with key {}, which is not at hand", manifest.key_id);
        found.findings.push(Finding::new(manifest.release_id.clone(), "other_key", message));
    }
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
    found.findings.dedup();
    Ok(Verified { release: found, invariants, unopened: sealed && job.keyring.is_empty() })
}

/// What speaks against the manifest, by which all else is judged: the audit log, whose checkpoints `keys` have
/// signed, must know of it.
fn authentic(store: &Layout, root: &Path, keys: &[Key]) -> Result<Vec<Finding>, Error> {
    let (_, digest) = release::digest_of(&root.join("MANIFEST.json"))?;
    let mut found = Vec::new();
    let signers: Vec<AuditKey> = keys.iter().map(Key::audit).collect();
    let signers: Vec<&dyn Signer> = signers.iter().map(|key| key as &dyn Signer).collect();
    if !release::audit::knows(store, &digest, &signers)? {
        let message = "the audit log, as far as it is signed, knows of no such manifest";
        found.push(Finding::new("MANIFEST.json", "manifest", message));
    }
    if !keys.is_empty() && store.audit().exists() {
        let log = super::check_audit(store, keys, &[])?.findings.into_iter();
        // The checkpoints of a later key are for whoever has it.
        found.extend(log.filter(|finding| finding.code != "other_key"));
    }
    Ok(found)
}
