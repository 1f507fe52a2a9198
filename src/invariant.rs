//! Invariants of a release: what every release promises, looked at in its bytes before it is committed and
//! whenever somebody asks.
//!
//! They follow the release checks of All of Us (`data_steward/analytics/cdr_ops`) and what the tier policies
//! promise. Which of them hold for a tier is read off its policy, never off its name. A check that found
//! nothing to look at says "not applicable" and is never a pass. The code that makes tiers is not used here:
//! patterns of columns, concept sets and ages are worked out a second time, in another way.
//!
//! Invariants of [`Needs::Release`] are of the released bytes and the manifest alone. Those of
//! [`Needs::Origin`] compare with what the tiers were made of, in the process that made them; nothing of it
//! is written anywhere.

mod answers;
mod books;
mod catalogue;
mod closure;
mod columns;
mod concepts;
mod dates;
mod ids;
mod origin;
mod people;
mod report;
mod scan;
mod shifts;
mod surveys;
mod terms;
mod wearables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use catalogue::{Invariant, Needs, all, docs};
pub use report::{Outcome, Report};

use crate::config::policy::TierPolicy;
use crate::engine::{Cancelled, FileEntry, Job, Keyring, Ledger};
use crate::error::{Coded, IoError};
use crate::identity::{RowKeys, TierPeople};
use crate::omop::{CdmVersion, SiteExtract};
use scan::Tally;
use terms::Tier;

/// A tier of the release: its policy and the books of the stage that made it.
#[derive(Debug, Clone)]
pub struct TierTerms {
    /// The rules, with what was read from the files they name.
    pub policy: TierPolicy,
    /// Rows in, out and excluded, by `omop/<table>` or `wearables/<table>`.
    pub books: Ledger,
}

/// What curation promises of dates, so that the manifest can say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CuratedDates {
    /// Tables whose dates lie between a first year and the cut-off.
    pub in_range: Vec<DateRange>,
    /// Tables without rows before birth.
    pub since_birth: Vec<String>,
}

/// Tables and the first year that is believed in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRange {
    /// First year.
    pub first_year: i16,
    /// Tables.
    pub tables: Vec<String>,
}

/// What tiers were made of, for invariants of [`Needs::Origin`].
#[derive(Debug)]
pub struct Origin {
    /// The records that every tier was made of.
    pub curated: SiteExtract,
    /// The roster and the row keys, as each tier sees them.
    pub tiers: Vec<(TierPeople, RowKeys)>,
    /// Names of all samples of the sample map.
    pub samples: BTreeSet<String>,
    /// Whether every shift is of whole weeks.
    pub whole_weeks: bool,
    /// Tables with rows that need no EHR consent: of the programme's own feeds, of wearables, and what is
    /// derived from those.
    pub without_ehr_consent: BTreeSet<String>,
}

/// What is looked at.
#[derive(Debug)]
pub struct Request<'a> {
    /// The staged tree or the folder of the release.
    pub root: &'a Path,
    /// Opens sealed files.
    pub keyring: Keyring,
    /// The files of the release; rows are counted anew.
    pub files: &'a [FileEntry],
    /// The tiers of records, in the order in which they are told of.
    pub tiers: Vec<TierTerms>,
    /// Version of the CDM that the tables follow.
    pub cdm: CdmVersion,
    /// Ages are as of this day.
    pub reference_date: jiff::civil::Date,
    /// Last day of records.
    pub cutoff: jiff::civil::Date,
    /// Whether a person has one research id in all tiers.
    pub shared_ids: bool,
    /// What curation promises.
    pub curated_dates: CuratedDates,
    /// What the tiers were made of, if it is at hand.
    pub origin: Option<Origin>,
}

/// An invariant that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A table cannot be read.
    #[error("{file} cannot be read: {source}")]
    Parquet {
        /// Release-relative path.
        file: String,
        /// The decoder's words.
        source: parquet::errors::ParquetError,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Write(#[from] crate::engine::parquet::Error),
    /// No threads.
    #[error("starting threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A key is missing.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The release breaks a promise.
    #[error("{first}; nothing was committed")]
    Violated {
        /// The first violation in words.
        first: String,
        /// Ids of all invariants violated.
        all: Vec<&'static str>,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Parquet { .. } => "invariant::parquet",
            Self::Write(e) => e.code(),
            Self::Threads(_) => "invariant::threads",
            Self::Identity(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Violated { .. } => "invariant::violated",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Violated { all, .. } => Some(format!(
                "violated: {}; docs/invariants.md says what each means. The rule of the policy or of \
                 curation that should have seen to it did not: mend the policy, or report a defect",
                all.join(", ")
            )),
            _ => None,
        }
    }
    fn is_unexpected(&self) -> bool {
        matches!(self, Self::Parquet { .. } | Self::Threads(_))
    }
}

/// Checks every invariant of every tier, in one pass over the columns that matter.
///
/// # Errors
/// When a file cannot be read. Violations are in the report.
pub fn check(request: &Request<'_>, job: &Job) -> Result<Report, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads.max(1)).build()?;
    pool.install(|| look(request, job))
}

fn look(request: &Request<'_>, job: &Job) -> Result<Report, Error> {
    let tiers: Vec<Tier<'_>> = request.tiers.iter().map(|t| Tier::new(request, t)).collect();
    let mut tally = Tally::default();
    let mut people = BTreeMap::new();
    for tier in &tiers {
        people.insert(tier.name, people::Born::read(request, tier)?);
    }
    let originals = request.origin.as_ref().map(|o| origin::Originals::read(request, o, job));
    let originals = originals.transpose()?;
    for tier in &tiers {
        columns::look(request, tier, &mut tally)?;
        people::look(request, tier, originals.as_ref(), &mut tally)?;
        books::look(request, tier, &mut tally)?;
        surveys::look(request, tier, job, &mut tally)?;
        let sets = closure::resolve(request, tier, job)?;
        let born = &people[tier.name];
        let own = originals.as_ref().and_then(|all| all.of(tier.name));
        let files: Vec<(String, &FileEntry)> = tier.files().collect();
        let watched: Vec<Tally> = files
            .par_iter()
            .map(|(table, file)| {
                let Some(spec) = tier.spec(table) else { return Ok(Tally::default()) };
                let mut watches = columns::watches(tier, spec);
                watches.extend(concepts::watches(tier, spec, &sets));
                watches.extend(dates::watches(request, tier, spec, born));
                watches.extend(answers::watches(tier, spec, own));
                watches.extend(wearables::watches(request, tier, spec, born));
                watches.extend(own.into_iter().flat_map(|own| ids::watches(tier, spec, own)));
                scan::watch(request, tier, file, watches, job)
            })
            .collect::<Result<_, Error>>()?;
        watched.into_iter().for_each(|more| tally.add(more));
    }
    across(request, &tiers, originals.as_ref(), job, &mut tally)?;
    Ok(report::of(request, &tiers, tally))
}

/// What is said of the two tiers together.
fn across(
    request: &Request<'_>,
    tiers: &[Tier<'_>],
    originals: Option<&origin::Originals<'_>>,
    job: &Job,
    tally: &mut Tally,
) -> Result<(), Error> {
    let wide = tiers.iter().find(|tier| !tier.is_shifted());
    let narrow = tiers.iter().find(|tier| tier.is_shifted());
    let (Some(wide), Some(narrow)) = (wide, narrow) else { return Ok(()) };
    books::rows_not_more(request, wide, narrow, tally)?;
    people::subset(request, wide, narrow, originals, tally)?;
    wearables::same_sources(request, wide, narrow, tally)?;
    if let Some(originals) = originals {
        shifts::look(request, wide, narrow, originals, job, tally)?;
        ids::samples(request, originals, tally)?;
    }
    Ok(())
}

/// Path of a file of the release.
fn path_of(request: &Request<'_>, file: &FileEntry) -> PathBuf {
    request.root.join(&file.path)
}
