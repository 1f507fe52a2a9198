//! What came of a check: by invariant and tier, counts alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use super::catalogue::{Invariant, Needs, all, get};
use super::scan::Tally;
use super::terms::Tier;
use super::{Error, Request};
use crate::engine::parquet::{FileTags, TableFile, properties, write_bytes};
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger};

/// Invariants that are told of and stop nothing.
const ADVISORY: [&str; 1] = ["survey_conducts"];

/// What came of an invariant in a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Id of the invariant.
    pub id: String,
    /// The tier.
    pub tier: String,
    /// Whether there was anything to look at.
    pub applicable: bool,
    /// Why not, if there was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Rows, people, files or tables looked at.
    pub looked_at: u64,
    /// How many of them are not as promised.
    pub violations: u64,
    /// Tables or columns with violations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, u64>,
    /// Facts worth telling, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub noted: BTreeMap<String, u64>,
}

impl Outcome {
    /// One line on a violation: the invariant, where, how often.
    pub fn line(&self) -> String {
        let title = get(&self.id).map_or("", |invariant| invariant.title).trim_end_matches('.');
        let places: Vec<String> =
            self.places.iter().map(|(place, n)| format!("{place}: {n}")).collect();
        let (id, tier) = (&self.id, &self.tier);
        format!(
            "{id} is violated in the {tier} tier, {} of {} ({}). It says: {title}",
            self.violations,
            self.looked_at,
            places.join(", ")
        )
    }
}

/// All outcomes, by invariant and then by tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Report {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
}

/// Path of the report in a release.
pub(super) const PATH: &str = "quality/invariants.json";

impl Report {
    /// Path of the report in a release.
    pub const PATH: &'static str = PATH;

    /// Outcomes with violations.
    pub fn violated(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|of| of.violations > 0)
    }

    /// Number of invariants looked at, in any tier.
    pub fn checked(&self) -> usize {
        self.count(|of| of.applicable)
    }

    /// Number of invariants violated, in any tier.
    pub fn broken(&self) -> usize {
        self.count(|of| of.violations > 0)
    }

    /// Number of invariants that found nothing to look at in any tier.
    pub fn not_applicable(&self) -> usize {
        self.count(|_| true) - self.checked()
    }

    fn count(&self, met: impl Fn(&Outcome) -> bool) -> usize {
        let is_met = |of: &&Invariant| self.outcomes.iter().any(|o| o.id == of.id && met(o));
        all().iter().filter(is_met).count()
    }

    /// `24 invariants checked, 0 violated`.
    pub fn summary(&self) -> String {
        format!("{} invariants checked, {} violated", self.checked(), self.broken())
    }

    /// The violations as an error.
    ///
    /// # Errors
    /// [`Error::Violated`], when there are any.
    pub fn hold(&self) -> Result<(), Error> {
        let stops = |outcome: &&Outcome| !ADVISORY.contains(&outcome.id.as_str());
        let Some(first) = self.violated().find(stops) else { return Ok(()) };
        let broken = all().iter().filter(|of| self.violated().filter(stops).any(|o| o.id == of.id));
        Err(Error::Violated { first: first.line(), all: broken.map(|of| of.id).collect() })
    }

    /// Takes over what an earlier report says of invariants that need more than the release.
    pub fn repeat(&mut self, earlier: &Self) {
        for outcome in &mut self.outcomes {
            let needs = get(&outcome.id).map(|of| of.needs);
            let known =
                earlier.outcomes.iter().find(|e| (&e.id, &e.tier) == (&outcome.id, &outcome.tier));
            if let (Some(Needs::Origin), false, Some(known)) = (needs, outcome.applicable, known) {
                let why = "checked by the run that made the release".to_owned();
                *outcome = Outcome { why: Some(why), ..known.clone() };
            }
        }
    }

    /// Writes `quality/invariants.json` and `quality/invariants.parquet` below the job's root. The books
    /// say how many invariants were looked at.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, job: &Job) -> Result<StageOutput, Error> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        let json = write_bytes(&job.out, PATH, "quality", "invariants", &bytes)?;
        let mut books = TableLedger::new("invariants");
        books.rows_in = (self.checked() + self.not_applicable()) as u64;
        books.rows_out = self.checked() as u64;
        books.exclude("not_applicable", self.not_applicable() as u64);
        books.note("violated", self.broken() as u64);
        let files = vec![json, self.table(job)?];
        Ok(StageOutput { ledger: Ledger(vec![books]), files })
    }

    fn table(&self, job: &Job) -> Result<FileEntry, Error> {
        let field = |name: &str, kind: DataType| Field::new(name, kind, false);
        let schema = Arc::new(Schema::new(vec![
            field("invariant", DataType::Utf8),
            field("tier", DataType::Utf8),
            field("applicable", DataType::Boolean),
            field("looked_at", DataType::Int64),
            field("violations", DataType::Int64),
        ]));
        let rows = || self.outcomes.iter();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows().map(|of| &of.id))),
            Arc::new(StringArray::from_iter_values(rows().map(|of| &of.tier))),
            Arc::new(rows().map(|of| Some(of.applicable)).collect::<BooleanArray>()),
            Arc::new(Int64Array::from_iter_values(rows().map(|of| number(of.looked_at)))),
            Arc::new(Int64Array::from_iter_values(rows().map(|of| number(of.violations)))),
        ];
        let path = "quality/invariants.parquet";
        let batch = RecordBatch::try_new(schema.clone(), columns);
        let batch = batch
            .map_err(|source| crate::engine::parquet::Error::Arrow { path: path.into(), source })?;
        let tags = FileTags {
            tier: "quality".into(),
            table: "invariants".into(),
            callset: None,
            date_basis: "none",
            vocabulary: None,
        };
        let properties = properties(&tags, &[]).build();
        let mut file = TableFile::create(&job.out, path, schema, tags, properties)?;
        file.write(&batch)?;
        Ok(file.finish()?)
    }
}

/// The report of what was counted.
pub(super) fn of(request: &Request<'_>, tiers: &[Tier<'_>], tally: Tally) -> Report {
    let mut outcomes = Vec::new();
    for invariant in all() {
        for tier in tiers {
            let key = (invariant.id, tier.name);
            let empty = BTreeMap::new();
            let places = tally.counts.get(&key).unwrap_or(&empty);
            let looked_at = places.values().map(|count| count.looked_at).sum();
            let applicable = looked_at > 0;
            let missing = invariant.needs == Needs::Origin && request.origin.is_none();
            let why = match (applicable, missing) {
                (true, _) => None,
                (false, true) => Some("it needs what the release was made of".to_owned()),
                (false, false) if places.is_empty() => {
                    Some("nothing promises it, or there is nothing to look for".to_owned())
                }
                (false, false) => Some("no rows".to_owned()),
            };
            outcomes.push(Outcome {
                id: invariant.id.to_owned(),
                tier: tier.name.to_owned(),
                applicable,
                why,
                looked_at,
                violations: places.values().map(|count| count.violations).sum(),
                places: (places.iter())
                    .filter(|(_, count)| count.violations > 0)
                    .map(|(place, count)| (place.clone(), count.violations))
                    .collect(),
                noted: tally.noted.get(&key).cloned().unwrap_or_default(),
            });
        }
    }
    Report { outcomes }
}
