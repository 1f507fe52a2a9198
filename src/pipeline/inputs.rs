//! What a run reads, by content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;

use super::{Error, Project};
use crate::error::IoError;
use crate::release::{Input, digest_of};

/// One input file and what it was when it was hashed.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the manifest says of it.
    pub input: Input,
    modified: Option<SystemTime>,
}

/// All inputs of a workflow, by feed name (`roster`, `ehr.site_a`, `callset.wgs`, `callset.wgs.sex` ...).
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    feeds: BTreeMap<String, Vec<InputFile>>,
}

impl Inputs {
    /// Finds and hashes every input.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn gather(project: &Project) -> Result<Self, Error> {
        let workflow = &project.workflow;
        // Feed, file, and the folder that its name in the manifest starts from.
        let mut paths: Vec<(String, PathBuf, PathBuf)> = Vec::new();
        let mut add_below = |feed: String, path: PathBuf, folder: &Path| {
            paths.push((feed, path, folder.to_owned()));
        };
        for (feed, folder) in folders(project) {
            for path in tables_in(&folder)? {
                add_below(feed.clone(), path, &folder);
            }
        }
        let mut add = |feed: String, path: PathBuf| {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            add_below(feed, path, &folder);
        };
        add("roster".into(), project.path(&workflow.participants.roster));
        if let Some(samples) = &workflow.participants.samples {
            add("samples".into(), project.path(samples));
        }
        for (site, feed) in &workflow.ehr {
            if let Some(map) = &feed.shift_map {
                add(format!("ehr.{site}.shift_map"), project.path(map));
            }
        }
        for (name, callset) in &workflow.callset {
            for path in project.callset_files(&callset.vcf) {
                add(format!("callset.{name}"), path);
            }
            if let Some(path) = &callset.ancestry {
                add(format!("callset.{name}.ancestry"), project.path(path));
            }
            if let Some(path) = &callset.sex {
                add(format!("callset.{name}.sex"), project.path(path));
            }
        }
        let files: Vec<InputFile> = paths
            .into_par_iter()
            .map(|(f, path, folder)| hash(f, path, &folder))
            .collect::<Result<_, _>>()?;
        let mut feeds: BTreeMap<String, Vec<InputFile>> = BTreeMap::new();
        for file in files {
            feeds.entry(file.input.feed.clone()).or_default().push(file);
        }
        // By name and content, not by folder: moving the inputs changes nothing.
        for files in feeds.values_mut() {
            files.sort_by(|a, b| a.input.cmp(&b.input));
        }
        Ok(Self { feeds })
    }

    /// Paths of a feed's files, by file name.
    pub fn paths(&self, feed: &str) -> Vec<PathBuf> {
        self.feeds.get(feed).into_iter().flatten().map(|f| f.path.clone()).collect()
    }

    /// One text that changes when a file of the feed does.
    pub fn fingerprint(&self, feed: &str) -> String {
        let lines = self.feeds.get(feed).into_iter().flatten();
        lines.map(|f| format!("{} {}\n", f.input.sha256, f.input.file)).collect()
    }

    /// The manifest's list.
    pub fn list(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> =
            self.feeds.values().flatten().map(|f| f.input.clone()).collect();
        inputs.sort();
        inputs
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

fn hash(feed: String, path: PathBuf, folder: &Path) -> Result<InputFile, Error> {
    let meta = std::fs::metadata(&path).map_err(IoError::at("reading", &path))?;
    let (bytes, sha256) = digest_of(&path)?;
    let file = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
    Ok(InputFile {
        input: Input { feed, file, bytes, sha256 },
        modified: meta.modified().ok(),
        path,
    })
}

/// Feeds that are folders of tables.
fn folders(project: &Project) -> Vec<(String, PathBuf)> {
    let workflow = &project.workflow;
    let vocabulary =
        workflow.vocabulary.iter().map(|v| ("vocabulary".into(), project.path(&v.path)));
    let sites =
        workflow.ehr.iter().map(|(site, feed)| (format!("ehr.{site}"), project.path(&feed.path)));
    vocabulary.chain(sites).collect()
}

/// The visible files of a folder and of the folders in it (a table may be a folder of parts), sorted.
fn tables_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in visible(folder)? {
        if path.is_dir() {
            files.extend(visible(&path)?.into_iter().filter(|path| path.is_file()));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn visible(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(IoError::at("listing", folder))? {
        let entry = entry.map_err(IoError::at("listing", folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}
