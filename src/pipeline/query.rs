//! A committed release opened for queries: `CURRENT`, then the manifest, then its files, never a listing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, Project, seal};
use crate::engine::Keyring;
use crate::error::IoError;
pub use crate::genotype::Error as TableError;
pub use crate::genotype::query::{
    Call, Counted, Counts, Genotype, Genotypes, Sample, SampleSet, Site, Span, chrom_name, sites,
    vid,
};
use crate::identity::Key;
use crate::release::{self, Layout, Manifest, is_safe_path};

/// A release and where its files are.
pub struct Release {
    root: PathBuf,
    manifest: Manifest,
    keyring: Keyring,
}

impl Release {
    /// Opens the release that `path` names: a store (its current release, or `id`), a workflow file, or a
    /// release folder.
    ///
    /// # Errors
    /// When there is no such release, its manifest is damaged, or it is sealed and there is no key.
    pub fn open(path: &Path, id: Option<&str>, keys: &[Key]) -> Result<Self, Error> {
        let keyring = seal::keyring(keys)?;
        let meta = std::fs::metadata(path).map_err(IoError::at("opening", path))?;
        let own = path.join("MANIFEST.json");
        if meta.is_dir() && own.is_file() && id.is_none() {
            let manifest = Manifest::read(&own)?;
            return Self { root: path.to_owned(), manifest, keyring }.openable();
        }
        let store = if meta.is_file() { Project::open(path)?.store } else { Layout::new(path) };
        let manifest = manifest(&store, id)?;
        Self { root: store.release(&manifest.release_id), manifest, keyring }.openable()
    }

    fn openable(self) -> Result<Self, Error> {
        let sealed = self.manifest.files.iter().any(|file| file.plaintext_sha256.is_some());
        if sealed && self.keyring.is_empty() {
            return Err(Error::Sealed { release: self.manifest.release_id });
        }
        Ok(self)
    }

    /// Names of the callsets with genotypes.
    pub fn callsets(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .manifest
            .files
            .iter()
            .filter_map(|f| f.path.strip_prefix("controlled/genomics/")?.split_once('/'))
            .filter(|(_, rest)| rest.starts_with("genotypes/"))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.dedup();
        names
    }

    /// Opens a callset: the one called `name`, or the only one.
    ///
    /// # Errors
    /// When there is no such callset or its `samples` cannot be read.
    pub fn callset(&self, name: Option<&str>) -> Result<Callset, Error> {
        let known = self.callsets();
        let name = match (name, &known[..]) {
            (None, [only]) => only,
            (Some(name), _) if known.iter().any(|k| k == name) => name,
            (name, _) => {
                return Err(Error::NoSuch {
                    what: "callset",
                    name: name.unwrap_or("(none named)").to_owned(),
                    known: known.join(", "),
                });
            }
        };
        let below = |table: &str| format!("controlled/genomics/{name}/{table}/");
        let files = |table: &str| -> Vec<(String, PathBuf)> {
            let prefix = below(table);
            let inside = |path: &str| path.strip_prefix(&prefix).map(str::to_owned);
            let found = self.manifest.files.iter();
            found.filter_map(|f| Some((inside(&f.path)?, self.root.join(&f.path)))).collect()
        };
        let by_chrom = |table: &str| {
            let mut map = BTreeMap::<String, Vec<PathBuf>>::new();
            for (inside, path) in files(table) {
                let chrom = inside.strip_prefix("chrom=").and_then(|r| r.split_once('/'));
                if let Some((chrom, _)) = chrom {
                    let chrom = crate::engine::partition::of_folder(chrom);
                    map.entry(chrom).or_default().push(path);
                }
            }
            map
        };
        let sample_files: Vec<PathBuf> = files("samples").into_iter().map(|(_, p)| p).collect();
        Ok(Callset {
            samples: crate::genotype::query::samples(&sample_files, &self.keyring)?,
            genotypes: by_chrom("genotypes"),
            variants: by_chrom("variants"),
            keyring: self.keyring.clone(),
        })
    }
}

/// The manifest of a release of a store: `id`, or the current one.
///
/// # Errors
/// When there is none or it is damaged.
pub fn manifest(store: &Layout, id: Option<&str>) -> Result<Manifest, Error> {
    match id {
        None => Manifest::current(store)?.ok_or_else(|| {
            let store = store.root().display().to_string();
            release::Error::Empty { store }.into()
        }),
        Some(id) if is_safe_path(id) && !id.contains('/') && store.release(id).is_dir() => {
            Ok(Manifest::read(&store.release(id).join("MANIFEST.json"))?)
        }
        Some(id) => Err(release::Error::Unknown { id: id.to_owned() }.into()),
    }
}

/// A callset of a release.
pub struct Callset {
    /// Its samples; the place in the list is the `sample_idx`.
    pub samples: Vec<Sample>,
    genotypes: BTreeMap<String, Vec<PathBuf>>,
    variants: BTreeMap<String, Vec<PathBuf>>,
    keyring: Keyring,
}

impl Callset {
    /// Chromosomes in their usual order.
    pub fn chroms(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.genotypes.keys().map(String::as_str).collect();
        names.sort_by_key(|name| crate::genotype::query::chrom_rank(name));
        names
    }

    /// The genotypes of a chromosome.
    ///
    /// # Errors
    /// When the callset has none there, or they cannot be read.
    pub fn genotypes(&self, chrom: &str) -> Result<Genotypes, Error> {
        let files = self.genotypes.get(chrom).ok_or_else(|| Error::NoSuch {
            what: "chromosome",
            name: chrom.to_owned(),
            known: self.chroms().join(", "),
        })?;
        Ok(Genotypes::open(files, self.samples.len(), &self.keyring)?)
    }

    /// The names of the variants of a chromosome's span, in table order.
    pub fn sites(
        &self,
        chrom: &str,
        span: Span,
    ) -> impl Iterator<Item = Result<Site, crate::genotype::Error>> + use<> {
        let files = self.variants.get(chrom);
        sites(files.map(Vec::as_slice).unwrap_or_default(), span, &self.keyring)
    }
}

/// Runs `work` with `threads` workers; all processors if 0.
///
/// # Errors
/// When the threads cannot be made.
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Internal { what: e.to_string() })?;
    Ok(pool.install(work))
}
