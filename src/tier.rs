//! Tiers of health records: typed extracts in, one tier's bucketed Parquet out, by a policy of rules.
//!
//! [`build`] runs one DataFusion plan a table. The plan joins the rows with the tier's id map, computes
//! every released column and, in hidden columns, by which rule a row is removed and by which rules it is
//! changed; the writer tallies and drops those, so rows in = rows out + rows excluded by construction.
//! No key and no value of a person is a literal of a plan.
//!
//! What happens to a row, in order: it is removed because its person has withdrawn, has not consented or
//! is removed by an age rule; or by the first row rule (in the policy's order) that its *input* values
//! meet; or its columns are changed by the rules in the policy's order, and its ids re-keyed.

use crate::config::policy::TierPolicy;
use crate::engine::{Job, StageOutput};
use crate::identity::{RowKeys, TierPeople};

mod answers;
mod birth;
mod buckets;
pub mod check;
mod concepts;
mod declared;
mod error;
mod functions;
mod id_map;
mod limits;
mod places;
mod prepared;
pub mod rules;
mod sink;
mod spans;
mod stage;
mod table;
mod tally;
mod touched;
mod used;
mod years;

pub use crate::omop::SiteExtract;
pub use check::{Problem, check};
pub use error::Error;
pub use rules::{RuleLine, explain, row_tables};
pub use touched::{TouchedRows, count_rows};

/// What to build.
#[derive(Debug, Clone)]
pub struct TierRequest {
    /// The rules.
    pub policy: TierPolicy,
    /// The roster as this tier sees it.
    pub people: TierPeople,
    /// Row keys of this tier, made for [`row_tables`].
    pub rows: RowKeys,
    /// Whether rows that need EHR consent are gone already, as curation leaves them. Otherwise people
    /// without it are left out altogether: whose records an extract holds, it does not say.
    pub consents_applied: bool,
    /// The sites' extracts. With several, ids of site *n* (from 0) are first raised by n * 10^15.
    pub extracts: Vec<SiteExtract>,
    /// The extract whose vocabulary tables are released. Without one, vocabulary tables found among
    /// `extracts` are left out as `site_vocabulary`.
    pub vocabulary: Option<SiteExtract>,
    /// Sites' extracts as they came, each with the concept id of the answer that is its state: what
    /// `generalise_by_site` holds answers against. Sites without a state are not among them.
    pub site_states: Vec<(i64, SiteExtract)>,
    /// Ages are as of this day.
    pub reference_date: jiff::civil::Date,
    /// Number of person buckets, 1 to 1000; a person's is research id modulo this.
    pub buckets: u32,
}

/// Builds a tier below the job's root: `<tier>/omop/<table>/person_bucket=<nnn>/part-0000.parquet`,
/// `person` and the vocabulary unbucketed, and `quality/rules/<tier>.parquet` with the rows each rule
/// removed and changed a table.
///
/// # Errors
/// A policy that does not pass [`check()`], people of another tier, a row of a person who is not on the
/// roster, an id that does not fit, a concept the vocabulary lacks, and failures of reading or writing.
pub fn build(request: &TierRequest, job: &Job) -> Result<StageOutput, Error> {
    stage::build(request, job)
}
