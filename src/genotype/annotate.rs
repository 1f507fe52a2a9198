//! Annotations: INFO fields of sites files (ClinVar, gnomAD ...) joined to the variants just written, a
//! table each.
//!
//! ```text
//! sites -> shards -> scan, split, trim, left-align (as the callset's own records) -> sort within a window
//!       -> first of equals -> merge join with `vid` of `variants`, both in the order of the table -> rows
//! ```
//!
//! Memory is a few shards, a row group of sites and a batch of variants, whatever the sizes of either. Rows
//! come of variants that were written and of no others, so what is left out of the callset leaves no trace
//! here. Files with sample columns are refused: their INFO may count people who must not be told of.

use std::path::PathBuf;
use std::sync::Arc;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::assemble::{Assembler, Rejected};
use super::fasta::Reference;
use super::fields::Rules;
use super::gt::Kernel;
use super::info::InfoField;
use super::ingest::{guarded, sort_files};
use super::shard::{Context, ShardRows};
use super::source::Source;
use super::tables::Table;
use super::work::{Feed, Scratch, Shard, Tuning, scan};
use super::{CallsetRequest, Error, align, check, info, inputs};
use crate::engine::{FileEntry, Job, TableLedger};

mod columns;
mod join;
mod stars;

use join::Join;

/// Sites that are joined at a time.
const GROUP_ROWS: usize = 8192;

/// What annotates a callset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotation {
    /// VCF or BCF files without samples, sorted; together they are one list.
    pub files: Vec<PathBuf>,
    /// INFO fields that become columns.
    pub info: Vec<String>,
}

/// An annotation whose files are open and whose columns are known.
pub struct Opened {
    name: String,
    sources: Vec<Source>,
    context: Context,
    table: Table,
}

/// What the joins need of the run.
pub struct Run<'a> {
    /// The job.
    pub job: &'a Job,
    /// The callset's name.
    pub callset: &'a str,
    /// The callset's files, `variants` among them.
    pub files: &'a [FileEntry],
    /// Workers.
    pub pool: &'a ThreadPool,
    /// Sizes of shards.
    pub tuning: Tuning,
}

/// Opens the annotations of `request` in the order of their names.
///
/// # Errors
/// A name that cannot be part of a folder, no file, a file that cannot be opened or has samples, a field that
/// a header lacks, two columns of one name.
pub fn open(
    request: &CallsetRequest,
    reference: Option<&Arc<Reference>>,
    kernel: Kernel,
) -> Result<Vec<Opened>, Error> {
    let all = request.options.annotations.iter();
    all.map(|(name, of)| Opened::new(name, of, request, reference, kernel)).collect()
}

/// Reads the headers of an annotation's files, and no more.
///
/// # Errors
/// As an ingest would find in them: a file that cannot be opened or has samples, a field that a header lacks,
/// two columns of one name.
pub fn check_annotation(callset: &str, name: &str, of: &Annotation) -> Result<(), Error> {
    read_headers(callset, name, of).map(|_| ())
}

fn read_headers(
    callset: &str,
    name: &str,
    of: &Annotation,
) -> Result<(Vec<Source>, Vec<InfoField>), Error> {
    if !super::is_name(name) {
        return Err(Error::BadName { what: "an annotation" });
    }
    if of.files.is_empty() {
        return Err(Error::NoFiles { callset: format!("{callset}.annotations.{name}") });
    }
    let mut sources = Vec::new();
    for path in &of.files {
        let source = Source::open(path)?;
        if !source.header.samples.is_empty() {
            return Err(Error::AnnotationSamples { file: path.clone() });
        }
        sources.push(source);
    }
    let fields = info::select(&of.info, &sources, false)?;
    columns::check(name, &fields)?;
    Ok((sources, fields))
}

/// What a site is scanned with: as the callset's records are, but of nobody.
fn context(
    request: &CallsetRequest,
    reference: Option<&Arc<Reference>>,
    kernel: Kernel,
    info: Vec<InfoField>,
) -> Context {
    Context {
        cohort: check::everyone(0),
        genome: request.genome,
        kernel,
        info,
        keep_cells: false,
        fields: Rules::default(),
        reference: reference.cloned(),
        reference_mismatch: request.options.reference_mismatch,
        keep: None,
        consequences: None,
    }
}

impl Opened {
    fn new(
        name: &str,
        of: &Annotation,
        request: &CallsetRequest,
        reference: Option<&Arc<Reference>>,
        kernel: Kernel,
    ) -> Result<Self, Error> {
        let (mut sources, fields) = read_headers(&request.name, name, of)?;
        let table = columns::table(&request.name, name, &fields)?;
        let context = context(request, reference, kernel, fields);
        sort_files(&mut sources, &context)?;
        Ok(Self { name: name.to_owned(), sources, context, table })
    }

    /// What reject tables call its files, in their order.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        self.sources.iter().map(|source| inputs::base_name(&source.path))
    }

    /// Writes its table, hands what cannot be used to `reject`, by number of the file, and notes in `notes`
    /// how sites and variants met. Returns the files and its own account: alleles in, rows out.
    ///
    /// # Errors
    /// Unsorted or damaged files, and what `reject` returns.
    pub fn write(
        &self,
        run: &Run<'_>,
        notes: &mut TableLedger,
        mut reject: impl FnMut(Vec<Rejected>) -> Result<(), Error>,
    ) -> Result<(Vec<FileEntry>, TableLedger), Error> {
        let title = format!("genomics/{}/{}", run.callset, columns::folder(&self.name));
        let ledger = TableLedger::new(title);
        let hold = if self.context.reference.is_some() { align::FURTHEST } else { 0 };
        let info = &self.context.info;
        let mut sites = Assembler::new(&self.sources, info, ledger, GROUP_ROWS, hold);
        let mut join = Join::new(run, &self.table, &columns::folder(&self.name), info);
        run.job.progress.expect(self.sources.iter().map(|s| s.bytes().len() as u64).sum());
        for (file, source) in self.sources.iter().enumerate() {
            let mut feed = Feed::new(source, run.tuning);
            loop {
                run.job.check()?;
                let before = feed.consumed();
                let shards = next_shards(&mut feed, 2 * run.job.threads)?;
                run.job.progress.advance(feed.consumed().saturating_sub(before));
                if shards.is_empty() {
                    break;
                }
                for rows in self.scan(run.pool, source, &shards) {
                    sites.add(file, rows?)?;
                    sites.take_groups().iter().try_for_each(|group| join.add(group))?;
                    reject(sites.take_rejected())?;
                }
            }
        }
        sites.finish()?;
        sites.take_groups().iter().try_for_each(|group| join.add(group))?;
        reject(sites.take_rejected())?;
        let mut ledger = sites.ledger;
        let done = join.finish()?;
        let strangers = ledger.rows_out - done.rows;
        ledger.rows_out = done.rows;
        ledger.exclude("not_in_callset", strangers);
        ledger.note("unknown_review_status", done.unknown_status);
        let twice = ledger.excluded.get("duplicate_variant").copied().unwrap_or_default();
        for (what, count) in [
            ("matched", done.rows),
            ("not_in_callset", strangers),
            ("variants_without", done.variants - done.rows),
            ("duplicate_site", twice),
        ] {
            notes.note(&format!("annotation:{}:{what}", self.name), count);
        }
        Ok((done.files, ledger))
    }

    fn scan(
        &self,
        pool: &ThreadPool,
        source: &Source,
        shards: &[Shard],
    ) -> Vec<Result<ShardRows, Error>> {
        let one = |scratch: &mut Scratch, shard: &Shard| {
            guarded("scanning sites", || scan(&self.context, source, shard, scratch))
        };
        pool.install(|| shards.par_iter().map_init(Scratch::default, one).collect())
    }
}

/// Up to `most` more shards; none at the end.
fn next_shards(feed: &mut Feed<'_>, most: usize) -> Result<Vec<Shard>, Error> {
    let mut shards = Vec::with_capacity(most);
    while shards.len() < most {
        match feed.next()? {
            Some(shard) => shards.push(shard),
            None => break,
        }
    }
    Ok(shards)
}
