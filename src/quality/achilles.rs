//! The characterisation analyses of OHDSI Achilles, one scan a table.
//!
//! Definitions follow the SQL of Achilles 1.7.2 (<https://github.com/OHDSI/Achilles>): a record counts once
//! for every observation period of its person that holds its start date; persons are counted distinctly;
//! a percentile is the smallest value whose cumulative count reaches p times the total. See
//! `docs/ehr-quality.md` for the stated differences. Results are raw counts and internal.

mod catalogue;
mod concepts;
mod counts;
mod covered;
mod domain;
mod error;
mod people;
mod scan;
pub(super) mod table;
mod write;

use rayon::ThreadPoolBuilder;

use crate::engine::{Job, Ledger, StageOutput, TableLedger};
use crate::omop::SiteExtract;

pub use error::Error;

use counts::Counts;

/// What to characterise.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tables: curated (parts by person) or as ingested (one file, any order).
    pub tables: SiteExtract,
    /// The vocabulary, for `achilles_result_concept_count`; without it that table lacks descendants.
    pub vocabulary: Option<SiteExtract>,
    /// Rows of a count of at most this many are left out, as Achilles does with 5; 0 keeps all.
    pub small_cell_count: u64,
    /// Day written as the analysis date (analysis 0), `YYYY-MM-DD`.
    pub reference_date: jiff::civil::Date,
}

/// Runs the analyses and writes `quality/achilles/` below the job's root: `achilles_results`,
/// `achilles_results_dist`, `achilles_analysis` and `achilles_result_concept_count`, as Parquet and (the
/// first two) CSV.
///
/// Memory is bounded by the job's apart from what grows with persons (about 40 bytes each), observation
/// periods (8 bytes each) and distinct results. The same tables give the same bytes on any threads.
///
/// # Errors
/// When a table cannot be read, lacks its columns' types, or a result cannot be written.
pub fn analyse(request: &Request, job: &Job) -> Result<StageOutput, Error> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(job.threads)
        .build()
        .map_err(|e| Error::Threads(e.to_string()))?;
    pool.install(|| characterise(request, job))
}

fn characterise(request: &Request, job: &Job) -> Result<StageOutput, Error> {
    let mut ledger = Ledger::default();
    let mut book = |table: &str, rows: u64| {
        let mut account = TableLedger::new(format!("achilles/{table}"));
        (account.rows_in, account.rows_out) = (rows, rows);
        ledger.0.push(account);
    };
    let people = people::People::load(&request.tables, &mut book, job)?;
    let mut counts = Counts::default();
    people.analyse(&mut counts);
    for domain in domain::DOMAINS {
        job.check()?;
        book(domain.table, scan::scan(&request.tables, domain, &people, &mut counts, job)?);
    }
    people.overlaps(&mut counts);
    table::providers(&request.tables, &job.keyring, &mut counts)?;
    table::places_of_service(&request.tables, &job.keyring, &mut counts)?;
    let results = counts.finish(request.small_cell_count);
    let concepts = concepts::count(&results.rows, request.vocabulary.as_ref())?;
    let files = write::write(request, &people, &results, &concepts, job)?;
    Ok(StageOutput { ledger, files })
}
