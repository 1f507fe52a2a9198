//! The plan of one table: scan, join with the id map, rules, re-keying, order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Operator, SortExpr, binary_expr};
use datafusion::prelude::{DataFrame, Expr, ParquetReadOptions, SessionContext, ident, lit, when};
use datafusion::scalar::ScalarValue;

use super::answers;
use super::functions::{self, BirthColumns, BirthPart};
use super::id_map;
use super::limits;
use super::prepared::{self, Prepared};
use super::rules::{self, Touch, reason};
use super::used;
use super::years;
use super::{Error, SiteExtract, TierRequest};
use crate::config::CivilDate;
use crate::config::policy::{Action, BirthDate, Rule};
use crate::engine::session;
use crate::omop::{FieldSpec, TableSpec, cdm};

/// 0-based number of the site a row comes from.
const SITE: &str = "__site";
/// Why a row is removed; null for rows that stay.
pub(super) const REASON: &str = "__reason";

/// A table's plan and how to write what it yields. The columns are those of `spec`, then for a table
/// about persons [`id_map::SLOT`], [`REASON`], [`id_map::KNOWN`] and one boolean a rule of `changes`.
pub(super) struct TablePlan {
    /// Columns released, in order.
    pub spec: TableSpec,
    /// The rows, removed ones among them; those of `person` and of the vocabulary in release order.
    pub rows: DataFrame,
    /// Ordinals of the columns by which the rows of a file are sorted.
    pub order: Vec<i32>,
    /// Rule ids of the boolean columns.
    pub changes: Vec<String>,
}

/// The typed table `name` of a site.
pub(super) async fn scan(
    ctx: &SessionContext,
    site: &SiteExtract,
    name: &str,
) -> Result<DataFrame, Error> {
    let url = |path: PathBuf| {
        let path = path.canonicalize().map_err(crate::error::IoError::at("opening", &path))?;
        Ok(session::file_url(&path))
    };
    let urls: Vec<String> = site.files(name).into_iter().map(url).collect::<Result<_, Error>>()?;
    ctx.read_parquet(urls, ParquetReadOptions::default()).await.map_err(Error::query(name))
}

/// The specification of `name` over all versions in the request: the newest version's columns, then
/// those that only an older one has.
pub(super) fn merged_spec<'a>(
    name: &str,
    sites: impl Iterator<Item = &'a SiteExtract>,
) -> Option<TableSpec> {
    let mut versions: Vec<_> = sites.map(|s| s.extract.cdm).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut specs = versions.into_iter().rev().filter_map(|v| cdm(v).table(name));
    let mut merged = specs.next()?.clone();
    for older in specs {
        let missing: Vec<FieldSpec> =
            older.fields.iter().filter(|f| merged.field(f.name).is_none()).cloned().collect();
        merged.fields.extend(missing);
    }
    Some(merged)
}

/// The plan of a vocabulary table: its rows, sorted.
pub(super) async fn vocabulary_plan(
    ctx: &SessionContext,
    site: &SiteExtract,
    name: &str,
) -> Result<Option<TablePlan>, Error> {
    let Some(spec) = merged_spec(name, std::iter::once(site)) else { return Ok(None) };
    let order = sort_columns(&spec);
    let columns: Vec<Expr> = spec.fields.iter().map(|f| ident(f.name)).collect();
    let sort = order.iter().map(|c| ascending(ident(*c))).collect();
    let rows = scan(ctx, site, name).await?;
    let rows = rows.select(columns).and_then(|d| d.sort(sort)).map_err(Error::query(name))?;
    let order = ordinals(&spec, &order);
    Ok(Some(TablePlan { spec, rows, order, changes: Vec::new() }))
}

/// The plan of a table about persons.
pub(super) async fn person_plan(
    ctx: &SessionContext,
    request: &TierRequest,
    map: &DataFrame,
    prepared: &Prepared,
    name: &str,
) -> Result<Option<TablePlan>, Error> {
    let sites =
        || request.extracts.iter().enumerate().filter(|(_, s)| s.extract.table(name).is_some());
    let Some(spec) = merged_spec(name, sites().map(|(_, s)| s)) else { return Ok(None) };
    let mut union: Option<DataFrame> = None;
    for (number, site) in sites() {
        let rows = scan(ctx, site, name).await?;
        let rows = site_rows(rows, &spec, number, request.extracts.len() > 1);
        let rows = match (union, rows.map_err(Error::query(name))?) {
            (None, rows) => rows,
            (Some(before), rows) => before.union(rows).map_err(Error::query(name))?,
        };
        union = Some(rows);
    }
    let Some(rows) = union else { return Ok(None) };
    let columns = Columns::new(request, &spec, prepared)?;
    let changes = columns.changes.iter().map(|(id, _)| id.clone()).collect();
    let sort = sort_columns(&spec);
    let order = ordinals(&spec, &sort);
    let rows = rows
        .join(map.clone(), JoinType::Left, &["person_id"], &[id_map::PERSON], None)
        .and_then(|d| d.select(columns.exprs(&spec)?));
    // `person` is one file; other tables are cut by bucket and put in order bucket by bucket.
    let rows = match name {
        "person" => rows.and_then(|d| d.sort(sort.iter().map(|c| ascending(ident(*c))).collect())),
        _ => rows,
    };
    let rows = rows.map_err(Error::query(name))?;
    Ok(Some(TablePlan { spec, rows, order, changes }))
}

/// A site's rows with the merged columns, ids kept apart from other sites'.
fn site_rows(
    rows: DataFrame,
    spec: &TableSpec,
    site: usize,
    several: bool,
) -> Result<DataFrame, DataFusionError> {
    let has: Vec<String> = rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut exprs = Vec::new();
    for field in &spec.fields {
        let expr = if !has.iter().any(|c| c == field.name) {
            null(field)?
        } else if rules::row_id_table(spec, field).is_some() {
            // 0 in a reference means "none"; re-keyed it would look like a row that does not exist.
            let none = when(ident(field.name).not_eq(lit(0_i64)), ident(field.name)).end()?;
            let id = if field.primary_key { ident(field.name) } else { none };
            if several { functions::site_id(spec.name, field.name, site, id) } else { id }
        } else {
            ident(field.name)
        };
        exprs.push(expr.alias(field.name));
    }
    let number = i32::try_from(site).unwrap_or(i32::MAX);
    exprs.push(lit(number).alias(SITE));
    rows.select(exprs)
}

/// What becomes of a table's columns and rows.
struct Columns {
    /// By column, what is released.
    values: BTreeMap<&'static str, Expr>,
    /// Conditions under which a row is removed, first match wins.
    removals: Vec<(Expr, String)>,
    /// Conditions under which a rule has changed a row.
    changes: Vec<(String, Expr)>,
    /// The reference date, in days since 1970-01-01.
    last_day: i32,
    /// The same as a date.
    reference: jiff::civil::Date,
    /// Where the dates of a row are not shifted.
    stays_true: Option<Expr>,
    /// The first birth year that is told, where dates are reduced to years.
    first_birth_year: i32,
}

impl Columns {
    fn new(request: &TierRequest, spec: &TableSpec, prepared: &Prepared) -> Result<Self, Error> {
        let values = spec.fields.iter().map(|f| (f.name, ident(f.name))).collect();
        let last_day = CivilDate(request.reference_date).epoch_days();
        let mut columns = Self {
            values,
            removals: Vec::new(),
            changes: Vec::new(),
            last_day,
            reference: request.reference_date,
            stays_true: None,
            first_birth_year: 0,
        };
        if spec.name == "person" && request.extracts.len() > 1 {
            let other = ident(id_map::OWNER).not_eq(ident(SITE));
            columns.removals.push((other, reason::DUPLICATE_PERSON.to_owned()));
        }
        for rule in &request.policy.rules {
            columns.apply(spec, rule, prepared).map_err(Error::query(spec.name))?;
        }
        columns.drop_unresolved(spec).map_err(Error::query(spec.name))?;
        columns.re_key(request, spec)?;
        Ok(columns)
    }

    fn value(&self, name: &str) -> Expr {
        self.values.get(name).cloned().unwrap_or_else(|| ident(name))
    }

    fn apply(
        &mut self,
        spec: &TableSpec,
        rule: &Rule,
        prepared: &Prepared,
    ) -> Result<(), DataFusionError> {
        // By the values that came in, whatever earlier rules made of them.
        let met = prepared.removal(spec, rule)?;
        self.removals.extend(met.map(|met| (met, rule.id.clone())));
        if let Some(stays) = prepared.true_dates(rule, spec) {
            self.changes.push((rule.id.clone(), stays.clone()));
            self.stays_true = self.stays_true.take().map(|s| s.or(stays.clone())).or(Some(stays));
        }
        if let Action::ReduceDatesToYear { max_age } = rule.action {
            self.first_birth_year = years::first_birth_year(max_age, self.reference);
        }
        let Touch::Columns(touched) = rules::touch(&rule.action, spec) else { return Ok(()) };
        let mut after = Vec::new();
        for name in touched {
            let Some(field) = spec.field(name) else { continue };
            after.push((field, self.changed_value(spec, field, rule, prepared)?));
        }
        self.set(&rule.id, after);
        Ok(())
    }

    /// What `action` makes of a column it touches.
    fn changed_value(
        &self,
        spec: &TableSpec,
        field: &FieldSpec,
        rule: &Rule,
        prepared: &Prepared,
    ) -> Result<Expr, DataFusionError> {
        let shift = || ident(id_map::SHIFT);
        match &rule.action {
            Action::GeneraliseValues(g) if !g.columns.is_empty() => {
                prepared.coarser(rule, g, self.value(field.name))
            }
            Action::Zip3(zip) if field.name == "value_as_number" => {
                when(answers::asks(&zip.question), null(field)?).otherwise(self.value(field.name))
            }
            Action::Zip3(zip) if field.name == answers::ANSWER => {
                prepared.state(rule, zip, self.value(field.name))
            }
            Action::GeneraliseValues(_)
            | Action::GeneraliseSmall(_)
            | Action::GeneraliseBySite(_)
            | Action::Zip3(_) => prepared.answer(rule, self.value(field.name)),
            Action::DropNearBirth(n) => {
                let year = ident(id_map::BIRTH_YEAR);
                Ok(limits::clipped(n.years, &field.kind.data_type(), self.value(field.name), year))
            }
            Action::OpenEnds { .. } => {
                let beside = match field.kind.data_type() {
                    DataType::Date32 => used::start_of(spec, field),
                    _ => used::date_of(spec, field),
                };
                let beside = beside.map(|column| self.value(column));
                Ok(prepared.closed(rule, (spec, field), self.value(field.name), beside))
            }
            Action::NullColumns { keep, .. } if prepared::keeps(keep, spec) => {
                prepared::kept_rows(keep, spec, self.value(field.name), null(field)?)
            }
            Action::NullFreeText { keep, .. } => {
                let now = self.value(field.name);
                prepared::kept_text(keep, spec.name, field.name, now, null(field)?)
            }
            Action::ShiftDates if rules::is_birth_part(spec, field) => {
                let part = match field.name {
                    "year_of_birth" => BirthPart::Year,
                    "month_of_birth" => BirthPart::Month,
                    _ => BirthPart::Day,
                };
                let parts = ["year_of_birth", "month_of_birth", "day_of_birth"];
                let birth = BirthColumns {
                    parts: parts.map(|c| self.value(c)),
                    time: self.value("birth_datetime"),
                };
                Ok(functions::shifted_birth(part, &birth, shift()))
            }
            Action::ShiftDates if rules::is_date(field) => {
                let value = || self.value(field.name);
                let kind = field.kind.data_type();
                let shifted = functions::shift_back(&kind, value(), shift(), self.last_day);
                match &self.stays_true {
                    None => Ok(shifted),
                    Some(stays) => when(stays.clone(), value()).otherwise(shifted),
                }
            }
            Action::ReduceDatesToYear { .. } if field.name == "year_of_birth" => {
                let year = || self.value(field.name);
                let first = lit(i64::from(self.first_birth_year));
                when(year().lt(first.clone()), first).otherwise(year())
            }
            Action::ReduceDatesToYear { .. }
                if rules::is_date(field) && field.name != "birth_datetime" =>
            {
                let (kind, first) = (field.kind.data_type(), self.first_birth_year);
                let year = ident(id_map::BIRTH_YEAR);
                Ok(years::to_year(&kind, self.value(field.name), year, first))
            }
            Action::ReduceBirthDate { to: BirthDate::June15 } if field.name == "birth_datetime" => {
                Ok(functions::reduced_birth_time(BirthDate::June15, self.value("year_of_birth")))
            }
            _ => null(field),
        }
    }

    /// Gives columns their new values and notes under `rule` whether one of them differs.
    fn set(&mut self, rule: &str, after: Vec<(&FieldSpec, Expr)>) {
        let differs = after.iter().map(|(field, new)| {
            binary_expr(self.value(field.name), Operator::IsDistinctFrom, new.clone())
        });
        if let Some(differs) = differs.reduce(Expr::or) {
            self.changes.push((rule.to_owned(), differs));
        }
        for (field, new) in after {
            self.values.insert(field.name, new);
        }
    }

    /// Ids that may point into any table become null.
    fn drop_unresolved(&mut self, spec: &TableSpec) -> Result<(), DataFusionError> {
        let fields = spec.fields.iter().filter(|f| f.any_table);
        let after =
            fields.map(|f| Ok((f, null(f)?))).collect::<Result<Vec<_>, DataFusionError>>()?;
        self.set(reason::UNRESOLVED_REFERENCE, after);
        Ok(())
    }

    fn re_key(&mut self, request: &TierRequest, spec: &TableSpec) -> Result<(), Error> {
        let tier = request.policy.policy.tier.name();
        for field in &spec.fields {
            if let Some(target) = rules::row_id_table(spec, field) {
                let key = request.rows.get(target)?;
                let id = functions::re_key(tier, target, key, self.value(field.name));
                self.values.insert(field.name, id);
            }
            if rules::is_device_id(spec, field) {
                let key = request.rows.device();
                let id = functions::re_key_text(tier, spec.name, key, self.value(field.name));
                self.values.insert(field.name, id);
            }
        }
        self.values.insert("person_id", ident(id_map::RESEARCH));
        Ok(())
    }

    /// The released columns, then the hidden ones.
    fn exprs(&self, spec: &TableSpec) -> Result<Vec<Expr>, DataFusionError> {
        let mut exprs: Vec<Expr> =
            spec.fields.iter().map(|f| self.value(f.name).alias(f.name)).collect();
        let gone = || ident(id_map::GONE);
        let mut why = when(gone().is_not_null(), gone());
        for (met, rule) in &self.removals {
            why = why.when(met.clone(), lit(rule.as_str()));
        }
        exprs.push(ident(id_map::SLOT));
        exprs.push(why.end()?.alias(REASON));
        exprs.push(ident(id_map::KNOWN));
        let changes = self.changes.iter().enumerate();
        exprs.extend(
            changes.map(|(i, (_, differs))| differs.clone().alias(format!("__change_{i}"))),
        );
        Ok(exprs)
    }
}

fn null(field: &FieldSpec) -> Result<Expr, DataFusionError> {
    Ok(lit(ScalarValue::try_from(&field.kind.data_type())?))
}

fn ascending(column: Expr) -> SortExpr {
    column.sort(true, true)
}

/// The columns by which a table's rows are sorted: person, start date, primary key. Without a primary
/// key of its own every column takes part, so that the order is total.
fn sort_columns(spec: &TableSpec) -> Vec<&'static str> {
    let mut columns: Vec<&'static str> = Vec::new();
    if spec.person_field {
        columns.push("person_id");
    }
    columns.extend(spec.start_date);
    match spec.primary_key {
        Some(key) if !columns.contains(&key) => columns.push(key),
        Some(_) if spec.name == "person" => {}
        _ => {
            let rest: Vec<&'static str> =
                spec.fields.iter().map(|f| f.name).filter(|f| !columns.contains(f)).collect();
            columns.extend(rest);
        }
    }
    columns
}

fn ordinals(spec: &TableSpec, columns: &[&str]) -> Vec<i32> {
    let places = columns.iter().filter_map(|c| spec.position(c));
    places.filter_map(|at| i32::try_from(at).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::engine::parquet::{FileTags, TableFile, properties};
    use crate::engine::{Job, StageOutput, session};
    use crate::identity::{IdScope, Key, PersonId, Roster, Standing};
    use crate::omop::{CdmVersion, Extract, ExtractTable};

    const RAW: i64 = 777_000_111_222;

    /// One `visit_occurrence` and one `person` row whose only values are the raw id.
    fn site(root: &Path) -> SiteExtract {
        let mut tables = Vec::new();
        for name in ["person", "visit_occurrence"] {
            let spec = cdm(CdmVersion::V5_4).table(name).unwrap();
            let column = |f: &FieldSpec| -> ArrayRef {
                match f.name {
                    "person_id" | "visit_occurrence_id" => Arc::new(Int64Array::from(vec![RAW])),
                    _ => new_null_array(&f.kind.data_type(), 1),
                }
            };
            let columns = spec.fields.iter().map(column).collect();
            let batch = RecordBatch::try_new(spec.schema(), columns).unwrap();
            let path = format!("typed/{name}.parquet");
            let tags = FileTags {
                tier: "internal".into(),
                table: name.into(),
                callset: None,
                date_basis: "true",
                vocabulary: None,
            };
            let properties = properties(&tags, &[]).build();
            let mut file = TableFile::create(root, &path, spec.schema(), tags, properties).unwrap();
            file.write(&batch).unwrap();
            file.finish().unwrap();
            tables.push(ExtractTable { name: name.into(), path, rows: 1, parts: 0 });
        }
        let extract = Extract {
            site: "a".into(),
            cdm: CdmVersion::V5_4,
            tables,
            output: StageOutput::default(),
        };
        SiteExtract { extract, root: root.to_path_buf() }
    }

    /// A plan may be logged or sent to other machines: logical or physical, it names no raw id, no
    /// research id, no shift and no key.
    #[test]
    fn plans_show_no_person_and_no_key() {
        let dir = tempfile::TempDir::new().unwrap();
        let job = Job::quiet(dir.path(), 2);
        crate::engine::parquet::create_private_dir(&job.scratch).unwrap();
        let text = "[policy]\nname = \"r\"\ntier = \"registered\"\ndescription = \"d\"\n\
                    dates = \"shifted\"\ngenomics = false\n[[rule]]\nid = \"s\"\n\
                    kind = \"shift_dates\"\ndescription = \"d\"\n";
        let policy = crate::config::policy::TierPolicy::parse(text, Path::new("p")).unwrap();
        let root = *b"canary-canary-canary-canary-1234";
        let keys = Key::from_bytes(root).unwrap().registered(IdScope::PerTier, rules::row_tables());
        let takes_part = Standing::Participating { ehr: true, genomics: true };
        let people = keys.people(&Roster::from_entries([(PersonId(RAW), takes_part)])).unwrap();
        let research = people.people[0].research_id.0.to_string();
        let request = TierRequest {
            policy,
            people,
            rows: keys.rows().clone(),
            consents_applied: false,
            extracts: vec![site(dir.path())],
            vocabulary: None,
            site_states: Vec::new(),
            reference_date: jiff::civil::date(2026, 1, 1),
            buckets: 8,
        };
        let runtime = session::runtime(&job).unwrap();
        let shown = runtime.block_on(async {
            let ctx = session::session(&job).unwrap();
            let map = id_map::id_map(&ctx, &request).await.unwrap();
            let prepared = Prepared::default();
            let plan = person_plan(&ctx, &request, &map, &prepared, "visit_occurrence").await;
            let rows = plan.unwrap().unwrap().rows;
            let logical = format!(
                "{:?} {}",
                rows.logical_plan(),
                rows.logical_plan().display_indent_schema()
            );
            let physical = rows.create_physical_plan().await.unwrap();
            // Not `Debug`: the in-memory id map is data, and `Debug` of a physical plan prints data.
            let before = displayable(physical.as_ref()).indent(true).to_string();
            let batches =
                datafusion::physical_plan::collect(physical.clone(), ctx.task_ctx()).await.unwrap();
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
            let after = displayable(physical.as_ref()).indent(true).to_string();
            format!("{logical} {before} {after} {request:?}")
        });
        assert!(shown.contains("re_key_registered_visit_occurrence"), "the search sees the plan");
        for secret in [RAW.to_string(), research, "canary".into(), "63616e617279".into()] {
            assert!(!shown.contains(&secret), "a plan shows {secret}");
        }
    }
}
