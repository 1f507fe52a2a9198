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
            previous: self.published(),
        };
        Ok(publish::build(&request, job)?)
    }

    /// Every release of the store with a public tier: readers may hold any of them, so the new one is
    /// compared with all. One whose manifest cannot be read has been told of by then.
    fn published(&self) -> Vec<Previous> {
        let store = &self.project.store;
        let mut folders: Vec<PathBuf> = std::fs::read_dir(store.releases())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        folders.sort();
        let manifests = folders
            .into_iter()
            .filter_map(|root| Some((Manifest::read(&root.join("MANIFEST.json")).ok()?, root)));
        manifests
            .filter(|(manifest, _)| manifest.files.iter().any(|f| f.tier == "public"))
            // Under another key everybody has another id: nobody can be followed, and what is sealed with
            // it does not open.
            .filter(|(manifest, _)| {
                let sealed = manifest.files.iter().any(|f| f.plaintext_sha256.is_some());
                !sealed || manifest.key_id == self.naming.key().kid()
            })
            .map(|(manifest, root)| {
                let files = manifest.files.into_iter().filter(|f| f.tier == "controlled").collect();
                Previous { root, files }
            })
            .collect()
    }
}
