//! The stage: every table of the request, one plan after the other, and the rule report.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::{DataFrame, SessionContext};

use super::prepared::Prepared;
use super::rules::{self, Class, Touch, reason};
use super::sink::{self, Files};
use super::table::TablePlan;
use super::{Error, SiteExtract, TierRequest, buckets, check, declared, id_map, table};
use crate::config::Tier;
use crate::config::policy::Rule;
use crate::engine::parquet::{FileTags, TableFile, create_private_dir, properties};
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger, session};
use crate::error::IoError;
use crate::omop::{Family, TableSpec};

pub(super) fn build(request: &TierRequest, job: &Job) -> Result<StageOutput, Error> {
    check_request(request)?;
    create_private_dir(&job.scratch)?;
    let runtime =
        session::runtime(job).map_err(IoError::at("starting threads for", &job.scratch))?;
    runtime.block_on(run(request, job))
}

fn check_request(request: &TierRequest) -> Result<(), Error> {
    let policy = request.policy.policy.name.clone();
    let problems = check(&request.policy);
    if !problems.is_empty() {
        return Err(Error::Policy { policy, problems });
    }
    let tier = request.policy.policy.tier;
    let other = |what| Error::OtherTier { policy: policy.clone(), expected: tier.name(), what };
    if request.people.tier != tier {
        return Err(other("people"));
    }
    if request.rows.tier() != tier.name() {
        return Err(other("row keys"));
    }
    // Whoever makes the registered tier holds the shifts, even where its dates are years.
    let shifts = tier == Tier::Registered;
    if request.people.people.iter().any(|p| p.shift.is_some() != shifts) {
        return Err(other("date shifts"));
    }
    if !(1..=1000).contains(&request.buckets) {
        return Err(Error::Buckets);
    }
    Ok(())
}

async fn run(request: &TierRequest, job: &Job) -> Result<StageOutput, Error> {
    let ctx = session::session(job).map_err(Error::query("(session)"))?;
    declared::check(&ctx, request).await?;
    let map = id_map::id_map(&ctx, request).await?;
    let vocabulary = request.vocabulary.as_ref().map(SiteExtract::vocabulary_version);
    let mut stage = Stage {
        request,
        job,
        prepared: Prepared::new(&ctx, request, &map).await?,
        map,
        ctx,
        vocabulary: vocabulary.transpose()?.flatten(),
        files: Vec::new(),
    };
    let mut ledger = Ledger::default();
    let mut touched = BTreeSet::new();
    for name in tables(request) {
        let sites = request.extracts.iter().chain(&request.vocabulary);
        // A table that is not of the CDM was not ingested.
        let Some(spec) = table::merged_spec(&name, sites) else { continue };
        ledger.0.push(stage.table(&spec).await?);
        let rules = request.policy.rules.iter();
        touched.extend(
            rules
                .filter(|r| rules::touch(&r.action, &spec) != Touch::Nothing)
                .map(|r| (r.id.clone(), path(&spec))),
        );
    }
    let report = write_rules(request, &ledger, &touched, job)?;
    stage.files.push(report);
    stage.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(StageOutput { ledger, files: stage.files })
}

/// Names of the tables of all extracts and the vocabulary, sorted.
fn tables(request: &TierRequest) -> BTreeSet<String> {
    let sites = request.extracts.iter().chain(&request.vocabulary);
    sites.flat_map(|s| s.extract.tables.iter().map(|t| t.name.clone())).collect()
}

struct Stage<'a> {
    request: &'a TierRequest,
    job: &'a Job,
    ctx: SessionContext,
    map: DataFrame,
    prepared: Prepared,
    /// Version of the vocabulary.
    vocabulary: Option<String>,
    files: Vec<FileEntry>,
}

impl Stage<'_> {
    /// Builds one table and returns its books.
    async fn table(&mut self, spec: &TableSpec) -> Result<TableLedger, Error> {
        self.job.check()?;
        let name = spec.name;
        let mut ledger = TableLedger::new(path(spec));
        let site_rows: u64 = self.site_rows(name);
        let vocabulary = self.request.vocabulary.as_ref();
        let vocabulary_rows = vocabulary.and_then(|v| v.extract.table(name)).map_or(0, |t| t.rows);
        let rules = self.request.policy.rules.iter();
        let suppressed = rules.into_iter().find(|r| rules::touch(&r.action, spec) == Touch::Table);
        let class = rules::class(spec);
        ledger.rows_in = site_rows + vocabulary_rows;
        if let Some(why) = suppressed.map(|r: &Rule| r.id.as_str()).or(match class {
            Class::Out(why) => Some(why),
            _ => None,
        }) {
            ledger.exclude(why, ledger.rows_in);
            return Ok(ledger);
        }
        self.job.progress.expect(ledger.rows_in);
        let plan = if class == Class::Vocabulary {
            ledger.exclude(reason::SITE_VOCABULARY, site_rows);
            match vocabulary.filter(|v| v.extract.table(name).is_some()) {
                Some(site) => table::vocabulary_plan(&self.ctx, site, name).await?,
                None => None,
            }
        } else {
            // Rows about persons in the vocabulary folder are nobody's.
            ledger.exclude(reason::NOT_RELEASED, vocabulary_rows);
            table::person_plan(&self.ctx, self.request, &self.map, &self.prepared, name).await?
        };
        if let Some(plan) = plan {
            let files = self.files_of(spec, class, &plan);
            let (job, buckets) = (self.job, self.request.buckets);
            match class {
                Class::PersonLevel => {
                    let written = buckets::write(plan, &files, buckets, &mut ledger, job).await?;
                    self.files.extend(written);
                }
                _ => {
                    let hidden = class != Class::Vocabulary;
                    let written = sink::write(plan, &files, hidden, &mut ledger, job).await?;
                    self.files.push(written);
                }
            }
        }
        balanced(ledger)
    }

    fn site_rows(&self, name: &str) -> u64 {
        let tables = self.request.extracts.iter().filter_map(|s| s.extract.table(name));
        tables.map(|t| t.rows).sum()
    }

    fn files_of(&self, spec: &TableSpec, class: Class, plan: &TablePlan) -> Files<'_> {
        let head = &self.request.policy.policy;
        let dated = class != Class::Vocabulary;
        Files {
            table: spec.name,
            folder: format!("{}/{}", head.tier.name(), path(spec)),
            tags: FileTags {
                tier: head.tier.name().to_owned(),
                table: spec.name.to_owned(),
                callset: None,
                date_basis: if dated { head.dates.name() } else { "none" },
                vocabulary: self.vocabulary.clone(),
            },
            schema: plan.spec.schema(),
            order: plan.order.clone(),
            primary_key: plan.spec.primary_key,
            job: self.job,
        }
    }
}

/// Where a table is below its tier: `omop/<table>` or `wearables/<table>` (contract section 5).
fn path(spec: &TableSpec) -> String {
    let family = if spec.family == Family::Wearable { "wearables" } else { "omop" };
    format!("{family}/{}", spec.name)
}

fn balanced(ledger: TableLedger) -> Result<TableLedger, Error> {
    if ledger.balances() {
        return Ok(ledger);
    }
    let accounted = ledger.rows_out + ledger.excluded.values().sum::<u64>();
    Err(Error::Unbalanced { table: ledger.table, rows_in: ledger.rows_in, accounted })
}

/// `quality/rules/<tier>.parquet`: for each rule and each table it may touch, rows removed and changed.
fn write_rules(
    request: &TierRequest,
    ledger: &Ledger,
    touched: &BTreeSet<(String, String)>,
    job: &Job,
) -> Result<FileEntry, Error> {
    let mut rows: Vec<(&str, &str, i64, i64)> = Vec::new();
    let count = |n: Option<&u64>| n.map_or(0, |n| i64::try_from(*n).unwrap_or(i64::MAX));
    for rule in &request.policy.rules {
        for table in &ledger.0 {
            if touched.contains(&(rule.id.clone(), table.table.clone())) {
                let removed = count(table.excluded.get(&rule.id));
                rows.push((&rule.id, &table.table, removed, count(table.changed.get(&rule.id))));
            }
        }
    }
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    let schema = Arc::new(Schema::new(vec![
        field("rule_id", DataType::Utf8),
        field("table", DataType::Utf8),
        field("rows_removed", DataType::Int64),
        field("rows_changed", DataType::Int64),
    ]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.3))),
        ],
    )
    .map_err(|source| Error::Arrow { table: "rules".into(), source })?;
    let tier = request.policy.policy.tier.name();
    let tags = FileTags {
        tier: "quality".into(),
        table: "rules".into(),
        callset: None,
        date_basis: "none",
        vocabulary: None,
    };
    let properties = properties(&tags, &[]).build();
    let path = format!("quality/rules/{tier}.parquet");
    let mut file = TableFile::create(&job.out, &path, schema, tags, properties)?;
    file.write(&batch)?;
    Ok(file.finish()?)
}
