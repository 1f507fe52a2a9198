//! The files of a request: parts of one table of samples, or groups of files to merge.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::csq::Format;
use super::gt::EXCLUDED;
use super::info::{self, InfoField};
use super::merge::Group;
use super::shard::Context;
use super::source::Source;
use super::{CallsetRequest, Error, final_report};

/// How the files of a request belong together.
pub enum Files {
    /// All have the same samples and are parts by position.
    Parts(Vec<Source>),
    /// Groups with different samples.
    Groups(Vec<Group>),
}

/// What is known of a request's files before a record is read.
pub struct Inputs {
    /// The files.
    pub files: Files,
    /// All samples.
    pub samples: Vec<String>,
    /// Selected INFO fields.
    pub info: Vec<InfoField>,
    /// Where the parts of consequences are.
    pub consequences: Option<Format>,
    /// A file, for messages.
    pub path: PathBuf,
}

/// Opens all files, a few at a time unless they are parts.
///
/// # Errors
/// No file, one that cannot be opened, files that share some of their samples but not all, INFO fields that
/// a header lacks or that two headers define differently.
pub fn open(request: &CallsetRequest) -> Result<Inputs, Error> {
    let mut merge = false;
    open_all(request, &mut merge).map_err(|error| {
        let named = request.files.iter().any(|f| called_as_sample(f, request));
        if merge || named { unnamed(error, &request.files) } else { error }
    })
}

/// [`open`], which sets `merge` as soon as it shows that the files are to be merged.
fn open_all(request: &CallsetRequest, merge: &mut bool) -> Result<Inputs, Error> {
    let Some(path) = request.files.first().cloned() else {
        return Err(Error::NoFiles { callset: request.name.clone() });
    };
    let mut parts = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    let mut selected: Option<Vec<InfoField>> = None;
    let mut consequences: Option<Format> = None;
    let mut reports = false;
    for path in &request.files {
        let report = final_report::is_report(path)?;
        let source =
            if report { Source::of_nothing(path)? } else { Source::open_of(path, request)? };
        let fields = info::select(&request.info, std::slice::from_ref(&source), false)?;
        match &selected {
            Some(known) => info::same(known, &fields, path)?,
            None => selected = Some(fields),
        }
        if let Some(id) = request.options.consequences.as_deref() {
            let format = Format::of(id, std::slice::from_ref(&source))?;
            if consequences.is_some() && consequences != format {
                return Err(Error::InfoMismatch { file: path.clone(), field: id.to_owned() });
            }
            consequences = format;
        }
        let names = if report { final_report::samples(path)?.0 } else { Vec::new() };
        let names = if report { &names } else { &source.header.samples };
        if names.is_empty() {
            return Err(Error::NoSamples { file: path.clone() });
        }
        reports |= report;
        let known = names.iter().find_map(|n| group_of.get(n).copied());
        match known.map(|i| &mut groups[i]) {
            // All lines of a sample are in one report.
            Some(group) if !report && !group.report && same_samples(&group.samples, names) => {
                group.files.push(path.clone());
            }
            Some(group) => {
                let (file, other) = (group.files[0].clone(), path.clone());
                return Err(Error::DifferentSamples { file, other });
            }
            None => {
                let group = groups.len();
                group_of.extend(names.iter().map(|n| (n.clone(), group)));
                groups.push(Group { files: vec![path.clone()], samples: names.clone(), report });
            }
        }
        *merge = groups.len() > 1 || reports;
        // Files of a merge are opened again when it is their turn.
        if groups.len() == 1 && !reports {
            parts.push(source);
        } else {
            parts.clear();
        }
    }
    let samples = groups.iter().flat_map(|g| g.samples.iter().cloned()).collect();
    let files =
        if groups.len() == 1 && !reports { Files::Parts(parts) } else { Files::Groups(groups) };
    let info = selected.unwrap_or_default();
    Ok(Inputs { files, samples, info, consequences, path })
}

fn same_samples(a: &[String], b: &[String]) -> bool {
    a == b || (a.len() == b.len() && a.iter().collect::<BTreeSet<_>>() == b.iter().collect())
}

/// What each file of a group is scanned with: files may have their columns in different orders.
pub struct Contexts {
    all: Vec<Context>,
    by_file: Vec<usize>,
}

impl Contexts {
    /// For `sources`, whose samples are those of `context`, which has them in the order of `samples`.
    pub fn new(context: Context, samples: &[String], sources: &[Source]) -> Self {
        let mut orders: Vec<&[String]> = vec![samples];
        let mut all = vec![context];
        let by_file = sources.iter().map(|source| {
            let names = &source.header.samples[..];
            orders.iter().position(|order| *order == names).unwrap_or_else(|| {
                let first: HashMap<&String, u32> =
                    samples.iter().zip(all[0].cohort.columns.iter().copied()).collect();
                let column = |n| first.get(n).copied().unwrap_or(EXCLUDED);
                let mut other = all[0].clone();
                other.cohort.columns = names.iter().map(column).collect();
                all.push(other);
                orders.push(names);
                all.len() - 1
            })
        });
        let by_file = by_file.collect();
        Self { all, by_file }
    }

    /// The context of file number `file`.
    pub fn of(&self, file: usize) -> &Context {
        &self.all[self.by_file[file]]
    }

    /// What all have in common.
    pub fn first(&self) -> &Context {
        &self.all[0]
    }
}

/// What files are sorted by: the name, as the manifest's list of inputs.
pub fn order(path: &Path) -> (Option<&std::ffi::OsStr>, &Path) {
    (path.file_name(), path)
}

/// What reject tables and messages call a file of a merge: `part-<n>`, by its number in the manifest's list
/// of inputs. The name of a file of one sample is often the sample's, which leaves no run.
pub fn label(request: &CallsetRequest, path: &Path) -> String {
    let part = request.files.partition_point(|file| order(file) < order(path));
    format!("part-{part:05}")
}

/// `error` with [`label`]s instead of the names of `files` and of those beside them.
pub fn unnamed(mut error: Error, files: &[PathBuf]) -> Error {
    let mut sorted: Vec<&PathBuf> = files.iter().collect();
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    for named in error.files() {
        let belongs = |file: &&&PathBuf| {
            let stem = file.file_stem().unwrap_or_default().as_encoded_bytes();
            let name = named.file_name().unwrap_or_default().as_encoded_bytes();
            let rest = name.strip_prefix(stem);
            **file == named
                || (named.parent() == file.parent() && rest.is_some_and(|r| r.starts_with(b".")))
        };
        let found = sorted.iter().position(|f| **f == *named);
        let found = found.or_else(|| sorted.iter().position(|f| belongs(&f)));
        if let Some(part) = found {
            *named = PathBuf::from(format!("part-{part:05}"));
        }
    }
    error
}

/// Whether the file is called as a sample of the sheet.
fn called_as_sample(path: &Path, request: &CallsetRequest) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sheet = &request.samples;
    name.match_indices('.')
        .map(|(at, _)| &name[..at])
        .chain([&name[..]])
        .any(|stem| sheet.included.contains_key(stem) || sheet.excluded.contains_key(stem))
}

/// A file's base name, as reject tables call it.
pub fn base_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
