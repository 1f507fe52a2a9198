//! What a run reads, by content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::spool::{Spool, is_stream};
use super::{Error, Project};
use crate::curation;
use crate::engine::parquet::hex;
use crate::error::IoError;
use crate::release::{Input, digest_of};

/// One input file and what it was when it was hashed.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the manifest says of it.
    pub input: Input,
    /// Its name in the feed: which table a file is, for one. Only its digest leaves the run.
    name: String,
    modified: Option<SystemTime>,
}

/// All inputs of a workflow, by feed name (`roster`, `ehr.site_a`, `callset.wgs`, `callset.wgs.sex` ...).
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    feeds: BTreeMap<String, Vec<InputFile>>,
    /// Copies of streams, kept as long as anyone may read them.
    #[expect(dead_code, reason = "kept for what its end does")]
    spool: Option<Arc<Spool>>,
}

impl Inputs {
    /// Finds and hashes every input. Callset files that can be read once only are copied first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn gather(project: &Project) -> Result<Self, Error> {
        let workflow = &project.workflow;
        let mut paths: Vec<(String, String, PathBuf)> = Vec::new();
        let mut spool: Option<Spool> = None;
        let mut add = |feed: String, path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            paths.push((feed, name, path));
        };
        add("roster".into(), project.path(&workflow.participants.roster));
        if let Some(samples) = &workflow.participants.samples {
            add("samples".into(), project.path(samples));
        }
        if let Some(map) = &workflow.identity.map {
            add("identity.map".into(), project.path(&map.file));
        }
        let mut folders: Vec<(String, PathBuf)> = Vec::new();
        if let Some(vocabulary) = &workflow.vocabulary {
            folders.push(("vocabulary".to_owned(), project.path(&vocabulary.path)));
        }
        for (site, feed) in &workflow.ehr {
            folders.push((format!("ehr.{site}"), project.path(&feed.path)));
            if let Some(map) = &feed.shift_map {
                add(format!("ehr.{site}.shift_map"), project.path(map));
            }
        }
        for (name, feed) in &workflow.wearables {
            folders.push((format!("wearables.{name}"), project.path(&feed.path)));
            if let Some(map) = &feed.shift_map {
                add(format!("wearables.{name}.shift_map"), project.path(map));
            }
        }
        for path in project.curation_rules() {
            for table in curation::rule::tables_named(&path) {
                add("curation.rules".into(), table);
            }
            add("curation.rules".into(), path);
        }
        if let Some(thresholds) = workflow.quality.as_ref().and_then(|q| q.thresholds.as_ref()) {
            add("quality.thresholds".into(), project.path(thresholds));
        }
        for (name, callset) in &workflow.callset {
            for mut path in project.callset_files(callset) {
                if is_stream(&path) {
                    let made = match spool.take() {
                        Some(spool) => spool,
                        None => Spool::create(project)?,
                    };
                    path = spool.insert(made).copy(&path)?;
                }
                add(format!("callset.{name}"), path);
            }
            for path in project.companions(callset) {
                add(format!("callset.{name}.companions"), path);
            }
            let sheets = [
                ("manifest", &callset.manifest),
                ("reference", &callset.reference),
                ("ancestry", &callset.ancestry),
                ("sex", &callset.sex),
                ("age", &callset.age),
                ("pcs", &callset.pcs),
                ("exclude_samples", &callset.exclude_samples),
                ("exclude_variants", &callset.exclude_variants),
            ];
            for (key, path) in sheets {
                if let Some(path) = path {
                    add(format!("callset.{name}.{key}"), project.path(path));
                }
            }
            for (selection, of) in &callset.selection {
                for path in [&of.bed, &of.sites].into_iter().flatten() {
                    add(format!("callset.{name}.selection.{selection}"), project.path(path));
                }
            }
            for (annotation, of) in &callset.annotations {
                for path in project.annotation_files(of) {
                    add(format!("callset.{name}.annotations.{annotation}"), path);
                }
            }
        }
        for (feed, folder) in folders {
            for (name, path) in files_in(&folder)? {
                paths.push((feed.clone(), name, path));
            }
        }
        let files: Vec<InputFile> = paths
            .into_par_iter()
            .map(|(feed, name, path)| hash(feed, name, path))
            .collect::<Result<_, _>>()?;
        let mut feeds: BTreeMap<String, Vec<InputFile>> = BTreeMap::new();
        for file in files {
            feeds.entry(file.input.feed.clone()).or_default().push(file);
        }
        // By name and content, not by folder: moving the inputs changes nothing.
        for files in feeds.values_mut() {
            files.sort_by(|a, b| (&a.name, &a.input.sha256).cmp(&(&b.name, &b.input.sha256)));
            for (part, file) in (0..).zip(files.iter_mut()) {
                file.input.part = part;
            }
        }
        Ok(Self { feeds, spool: spool.map(Arc::new) })
    }

    /// Paths of a feed's files, by file name.
    pub fn paths(&self, feed: &str) -> Vec<PathBuf> {
        self.feeds.get(feed).into_iter().flatten().map(|f| f.path.clone()).collect()
    }

    /// One text that changes when a file of the feed or of a part of it (`feed.…`) does.
    pub fn fingerprint_all(&self, feed: &str) -> String {
        let part = format!("{feed}.");
        let feeds = self.feeds.keys().filter(|name| *name == feed || name.starts_with(&part));
        feeds.map(|name| format!("{name}\n{}", self.fingerprint(name))).collect()
    }

    /// One text that changes when a file of the feed does.
    pub fn fingerprint(&self, feed: &str) -> String {
        let lines = self.feeds.get(feed).into_iter().flatten();
        lines.map(|f| format!("{} {}\n", f.input.sha256, f.name)).collect()
    }

    /// The manifest's list.
    pub fn list(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> =
            self.feeds.values().flatten().map(|f| f.input.clone()).collect();
        inputs.sort();
        inputs
    }

    /// Every feed: its name, how many files, how many bytes, and the SHA-256 of the lines
    /// `<sha256> <bytes>` of its files in order.
    pub fn feeds(&self) -> impl Iterator<Item = (&str, usize, u64, String)> {
        self.feeds.iter().map(|(feed, files)| {
            let lines: String =
                files.iter().map(|f| format!("{} {}\n", f.input.sha256, f.input.bytes)).collect();
            let bytes = files.iter().map(|f| f.input.bytes).sum();
            (feed.as_str(), files.len(), bytes, hex(&Sha256::digest(lines)))
        })
    }

    /// Total size, in bytes.
    pub fn bytes(&self) -> u64 {
        self.feeds.values().flatten().map(|f| f.input.bytes).sum()
    }

    /// Fails when a file was changed after it was hashed: the release would not be of its inputs.
    ///
    /// # Errors
    /// [`Error::InputChanged`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        for file in self.feeds.values().flatten() {
            let meta = std::fs::metadata(&file.path).map_err(IoError::at("reading", &file.path))?;
            if meta.len() != file.input.bytes || meta.modified().ok() != file.modified {
                return Err(Error::InputChanged { path: file.path.clone() });
            }
        }
        Ok(())
    }
}

fn hash(feed: String, name: String, path: PathBuf) -> Result<InputFile, Error> {
    let meta = std::fs::metadata(&path).map_err(IoError::at("reading", &path))?;
    let (bytes, sha256) = digest_of(&path)?;
    let input = Input { feed, part: 0, bytes, sha256 };
    Ok(InputFile { input, name, modified: meta.modified().ok(), path })
}

/// The visible regular files of a folder and its folders (a table may be a folder of parts), with their
/// names from there, sorted.
fn files_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(IoError::at("listing", &next))? {
            let path = entry.map_err(IoError::at("listing", &next))?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy();
                files.push((name.into_owned(), path));
            }
        }
    }
    files.sort();
    Ok(files)
}
