//! The public tier.

use std::path::{Path, PathBuf};

use super::Bench;
use crate::engine::{FileEntry, Job, StageOutput};
use crate::pipeline::Error;
use crate::publish::{self, Previous, PublishRequest};
use crate::release::Manifest;

impl Bench<'_> {
    pub(super) fn publish(
        &self,
        job: &Job,
        tree: &Path,
        files: Vec<FileEntry>,
    ) -> Result<StageOutput, Error> {
        let programme = &self.project.workflow.workflow;
        let policy = self.project.public.as_ref();
        let policy = policy
            .ok_or_else(|| Error::Internal { what: "a public tier without a policy".into() })?;
        // Not the programme's name: a new name would draw all offsets again, and offsets that are drawn
        // again can be averaged away. Programmes differ by their root key.
        let key = self.naming.key().disclosure("programme");
        let prf = publish::prf_from_bits(move |text| key.bits(text));
        let request = PublishRequest {
            root: tree.to_owned(),
            files,
            callsets: self.project.workflow.callset.keys().cloned().collect(),
            policy: policy.clone(),
            prf: &prf,
            programme: programme.name.clone(),
            release: programme.release.clone(),
            reference_date: programme.reference_date.0,
            previous: self.published()?,
        };
        Ok(publish::build(&request, job)?)
    }

    /// Every release of the store with a public tier: readers may hold any of them, so the new one is
    /// compared with all. One whose manifest cannot be read has been told of by then.
    ///
    /// # Errors
    /// A release sealed with another key whose people have the same ids, by a map: it cannot be compared.
    fn published(&self) -> Result<Vec<Previous>, Error> {
        let store = &self.project.store;
        let mut folders: Vec<PathBuf> = std::fs::read_dir(store.releases())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        folders.sort();
        let found = self.naming.key().kid();
        let mut previous = Vec::new();
        for root in folders {
            let Ok(manifest) = Manifest::read(&root.join("MANIFEST.json")) else { continue };
            if !manifest.files.iter().any(|file| file.tier == "public") {
                continue;
            }
            let sealed = manifest.files.iter().any(|file| file.plaintext_sha256.is_some());
            if sealed && manifest.key_id != found {
                if self.naming.record().map.is_some() {
                    let (release, wanted) = (manifest.release_id, manifest.key_id);
                    return Err(Error::OtherKey { release, wanted, found });
                }
                // Under another key everybody has another id: nobody can be followed.
                continue;
            }
            let files = manifest.files.into_iter().filter(|f| f.tier == "controlled").collect();
            previous.push(Previous { root, files });
        }
        Ok(previous)
    }
}
