//! What the tiers were made of: raw ids, keys, shifts, births. It stays in memory and shows nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;

use super::closure::IdSet;
use super::scan::{at, open, read};
use super::terms::must_be_null;
use super::{Error, Origin, Request};
use crate::config::policy::{Action, TierPolicy};
use crate::engine::Job;
use crate::identity::{RowKeys, TierPerson};
use crate::omop::{TableSpec, cdm};

/// The least and the greatest raw row id of a table.
type Range = (i64, i64);

/// A tier with its keys.
pub(super) struct OwnTier<'a> {
    name: &'static str,
    /// Those who take part, by research id.
    people: BTreeMap<i64, TierPerson>,
    /// Research ids by raw id.
    research: BTreeMap<i64, i64>,
    pub rows: &'a RowKeys,
    /// By rule id, the tier's ids of observations that answer the rule's question, where the tier no
    /// longer names it; sorted.
    pub asked: BTreeMap<String, Arc<[i64]>>,
    pub raw_rows: Arc<BTreeMap<&'static str, Range>>,
    pub devices: Arc<BTreeSet<String>>,
    /// Tables with rows that need no EHR consent.
    pub without_ehr_consent: &'a BTreeSet<String>,
}

impl OwnTier<'_> {
    /// Raw id of a person of the tier.
    pub fn raw(&self, research: i64) -> Option<i64> {
        self.people.get(&research).map(|person| person.person_id.0)
    }
    /// Days by which the person's dates are moved.
    pub fn shift(&self, research: i64) -> Option<u16> {
        self.people.get(&research).and_then(|person| person.shift)
    }
    /// Research id of a person.
    pub fn research(&self, raw: i64) -> Option<i64> {
        self.research.get(&raw).copied()
    }
    pub fn shifts(&self) -> impl Iterator<Item = Option<u16>> {
        self.people.values().map(|person| person.shift)
    }
    /// Whether the person's health records may be used; none for nobody.
    pub fn may_show_records(&self, research: i64) -> Option<bool> {
        self.people.get(&research).map(|person| person.ehr)
    }
    /// Whether the person's genomic data may be used; none for nobody.
    pub fn may_show_genomics(&self, research: i64) -> Option<bool> {
        self.people.get(&research).map(|person| person.genomics)
    }
}

/// All that is known of the origin.
pub(super) struct Originals<'a> {
    pub origin: &'a Origin,
    tiers: Vec<OwnTier<'a>>,
    births: BTreeMap<i64, i64>,
    /// The reference date as yyyymmdd.
    today: i64,
}

impl<'a> Originals<'a> {
    pub fn read(request: &Request<'_>, origin: &'a Origin, job: &Job) -> Result<Self, Error> {
        let raw_rows = Arc::new(ranges(request, origin)?);
        let devices = Arc::new(devices(request, origin)?);
        let mut tiers = Vec::new();
        for (people, rows) in &origin.tiers {
            let name = people.tier.name();
            let policy =
                request.tiers.iter().map(|t| &t.policy).find(|p| p.policy.tier == people.tier);
            let asked = match policy {
                Some(policy) => asked(request, origin, policy, rows, job)?,
                None => BTreeMap::new(),
            };
            tiers.push(OwnTier {
                name,
                people: people.people.iter().map(|p| (p.research_id.0, *p)).collect(),
                research: people.people.iter().map(|p| (p.person_id.0, p.research_id.0)).collect(),
                rows,
                asked,
                raw_rows: raw_rows.clone(),
                devices: devices.clone(),
                without_ehr_consent: &origin.without_ehr_consent,
            });
        }
        let births = births(request, origin)?;
        Ok(Self { origin, tiers, births, today: number(request.reference_date) })
    }

    /// The tier called `name`.
    pub fn of(&self, name: &str) -> Option<&OwnTier<'a>> {
        self.tiers.iter().find(|tier| tier.name == name)
    }

    /// Completed years on the reference date, as All of Us reckons: the difference of the dates written as
    /// yyyymmdd, without its last four digits. None when no birth is known.
    pub fn age(&self, raw: i64) -> Option<i64> {
        self.births.get(&raw).map(|birth| (self.today - birth).div_euclid(10_000))
    }
}

fn number(date: Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// The files of a curated table, with names for messages.
fn files(origin: &Origin, table: &str) -> Vec<(PathBuf, String)> {
    let named = |path| (path, format!("curated {table}"));
    origin.curated.files(table).into_iter().map(named).collect()
}

/// The earliest birth date that each person's rows allow, as yyyymmdd.
fn births(request: &Request<'_>, origin: &Origin) -> Result<BTreeMap<i64, i64>, Error> {
    let mut births: BTreeMap<i64, i64> = BTreeMap::new();
    let parts = ["year_of_birth", "month_of_birth", "day_of_birth"];
    let columns = ["person_id", parts[0], parts[1], parts[2], "birth_datetime"];
    for (path, name) in files(origin, "person") {
        read(request, &path, &name, &columns, |rows| {
            let Some(people) = rows.ints("person_id") else { return Ok(()) };
            let times = rows.days("birth_datetime").unwrap_or_else(|| vec![None; rows.len()]);
            for (i, time) in times.into_iter().enumerate() {
                let [year, month, day] =
                    parts.map(|part| rows.ints(part).and_then(|array| at(array, i)));
                let exact = time.and_then(date_of).map(number);
                let known = stated(year, month, day).map(number);
                let earliest = exact.into_iter().chain(known).min();
                if let (Some(person), Some(birth)) = (at(people, i), earliest) {
                    births.entry(person).and_modify(|b| *b = birth.min(*b)).or_insert(birth);
                }
            }
            Ok(())
        })?;
    }
    Ok(births)
}

fn date_of(day: i64) -> Option<Date> {
    let span = jiff::Span::new().try_days(day).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(span).ok()
}

fn stated(year: Option<i64>, month: Option<i64>, day: Option<i64>) -> Option<Date> {
    let year = i16::try_from(year?).ok()?;
    let part = |part: Option<i64>| part.and_then(|part| i8::try_from(part).ok());
    let (known, month, day) = (month.is_some(), part(month), part(day));
    let of = |month, day| Date::new(year, month, day).ok();
    of(month.unwrap_or(1), day.unwrap_or(1))
        .or_else(|| of(month.filter(|_| known)?, 1))
        .or_else(|| of(1, 1))
}

/// Tables of the curated records with their declared columns.
fn specs(request: &Request<'_>, origin: &Origin) -> Vec<&'static TableSpec> {
    let model = cdm(request.cdm);
    origin.curated.extract.tables.iter().filter_map(|table| model.table(&table.name)).collect()
}

/// Least and greatest row id by table, over all columns that hold its ids; by the footers.
fn ranges(request: &Request<'_>, origin: &Origin) -> Result<BTreeMap<&'static str, Range>, Error> {
    let mut ranges: BTreeMap<&'static str, Range> = BTreeMap::new();
    for spec in specs(request, origin) {
        for (path, name) in files(origin, spec.name) {
            let builder = open(request, &path, &name)?;
            for group in builder.metadata().row_groups() {
                for chunk in group.columns() {
                    let column = chunk.column_path().string();
                    let field = spec.field(&column).filter(|f| f.name != "person_id");
                    let Some(table) = field.and_then(|field| spec.row_id_table(field)) else {
                        continue;
                    };
                    use parquet::file::statistics::Statistics::Int64;
                    if let Some(Int64(of)) = chunk.statistics()
                        && let (Some(low), Some(high)) = (of.min_opt(), of.max_opt())
                    {
                        let range = ranges.entry(table).or_insert((*low, *high));
                        *range = (range.0.min(*low), range.1.max(*high));
                    }
                }
            }
        }
    }
    Ok(ranges)
}

fn devices(request: &Request<'_>, origin: &Origin) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for (path, name) in files(origin, "device") {
        read(request, &path, &name, &["device_id"], |rows| {
            let ids = rows.texts("device_id").into_iter().flatten().flatten();
            found.extend(ids.map(str::to_owned));
            Ok(())
        })?;
    }
    Ok(found)
}

/// Which released observations answer which rule's question, for a policy that takes away the source's name
/// of the question.
fn asked(
    request: &Request<'_>,
    origin: &Origin,
    policy: &TierPolicy,
    keys: &RowKeys,
    job: &Job,
) -> Result<BTreeMap<String, Arc<[i64]>>, Error> {
    let nulls = |spec: &'static TableSpec| {
        let field = spec.field("observation_source_concept_id")?;
        let terms = request.tiers.iter().find(|t| t.policy.policy.tier == policy.policy.tier)?;
        let tier = super::Tier::new(request, terms);
        Some(must_be_null(&tier, spec, field))
    };
    let observation = cdm(request.cdm).table("observation").and_then(nulls);
    let questions: Vec<(&str, IdSet)> = policy
        .rules
        .iter()
        .filter_map(|rule| match &rule.action {
            Action::GeneraliseValues(g) if g.columns.is_empty() => Some((rule, &g.question)),
            Action::Zip3(zip) => Some((rule, &zip.question)),
            _ => None,
        })
        .map(|(rule, question)| (rule.id.as_str(), IdSet::new(question.iter().copied())))
        .collect();
    if observation != Some(true) || questions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let key = keys.get("observation")?;
    let mut found: Vec<Vec<i64>> = vec![Vec::new(); questions.len()];
    let columns = ["observation_id", "observation_source_concept_id", "observation_concept_id"];
    for (path, name) in files(origin, "observation") {
        read(request, &path, &name, &columns, |rows| {
            job.check()?;
            let [ids, source, standard] = columns.map(|column| rows.ints(column));
            for i in 0..rows.len() {
                let [source, standard] =
                    [source, standard].map(|array| array.and_then(|array| at(array, i)));
                for ((_, of), found) in questions.iter().zip(&mut found) {
                    let asks = [source, standard].into_iter().flatten().any(|id| of.has(id));
                    if asks && let Some(id) = ids.and_then(|ids| at(ids, i)) {
                        found.push(key.permute(id));
                    }
                }
            }
            Ok(())
        })?;
    }
    let sorted = |mut ids: Vec<i64>| {
        ids.sort_unstable();
        Arc::from(ids)
    };
    Ok(questions.iter().zip(found).map(|((id, _), ids)| ((*id).to_owned(), sorted(ids))).collect())
}
