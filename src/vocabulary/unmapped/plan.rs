//! The fields that have a source, and the plan that counts their unmapped sources.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Volatility, create_udf, lit, when,
};
use datafusion::prelude::{
    DataFrame, ParquetReadOptions, SessionContext, btrim, character_length, ident, nullif,
};

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};

use super::{Error, MAX_TEXT};
use crate::engine::session;
use crate::error::IoError;
use crate::omop::{SiteExtract, TableSpec};

/// What a source is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A concept in the source concept field.
    Concept,
    /// A text in the source value field.
    Value,
    /// Neither: the concept is 0 without a source.
    #[default]
    None,
    /// The sum of what is not written by itself.
    Other,
}

impl Kind {
    pub fn of(number: i64) -> Self {
        match number {
            0 => Self::Concept,
            1 => Self::Value,
            2 => Self::None,
            _ => Self::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Concept => "concept",
            Self::Value => "value",
            Self::None => "none",
            Self::Other => "other",
        }
    }
}

/// A concept field and where its source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub table: &'static str,
    pub field: &'static str,
    pub source_concept: Option<&'static str>,
    pub source_value: Option<&'static str>,
}

/// The concept fields of a table that have a source field of the same stem. `value_as_concept_id` belongs
/// to `value_source_value`.
pub(super) fn pairs(spec: &'static TableSpec) -> Vec<Pair> {
    let fields = spec.fields.iter().filter(|f| f.is_concept_id());
    let stems = fields.filter_map(|f| Some((f.name, f.name.strip_suffix("_concept_id")?)));
    let pairs = stems.filter(|(_, stem)| !stem.ends_with("_source")).map(|(field, stem)| {
        let stem = if stem == "value_as" { "value" } else { stem };
        let of = |suffix| spec.field(&format!("{stem}_{suffix}")).map(|f| f.name);
        Pair {
            table: spec.name,
            field,
            source_concept: of("source_concept_id"),
            source_value: of("source_value"),
        }
    });
    pairs.filter(|p| p.source_concept.is_some() || p.source_value.is_some()).collect()
}

/// URLs of a table's files.
pub(super) fn urls(sites: &[SiteExtract], table: &str) -> std::result::Result<Vec<String>, Error> {
    let mut urls = Vec::new();
    for path in sites.iter().flat_map(|site| site.files(table)) {
        let path = path.canonicalize().map_err(IoError::at("opening", &path))?;
        urls.push(session::file_url(&path));
    }
    Ok(urls)
}

/// Whether a row is of one of the people in some files of `person`.
pub(super) async fn people(
    ctx: &SessionContext,
    urls: Vec<String>,
) -> std::result::Result<Expr, Error> {
    let failed = Error::query("person");
    let rows = ctx.read_parquet(urls, ParquetReadOptions::default()).await;
    let rows = rows.and_then(|rows| rows.select([ident("person_id")])).map_err(failed)?;
    let batches = rows.collect().await.map_err(failed)?;
    let ids = batches.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>());
    let people: HashSet<i64> = ids.flatten().collect();
    let of_people = move |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let ids = arrays[0].as_primitive::<Int64Type>();
        // Rows of a person mostly follow each other.
        let mut last = (None, false);
        let of_people = ids.iter().map(|id| {
            if id != last.0 {
                last = (id, id.is_some_and(|id| people.contains(&id)));
            }
            Some(last.1)
        });
        Ok(ColumnarValue::Array(Arc::new(of_people.collect::<BooleanArray>())))
    };
    let (takes, gives) = (vec![DataType::Int64], DataType::Boolean);
    let function =
        create_udf("of_people", takes, gives, Volatility::Immutable, Arc::new(of_people));
    Ok(function.call(vec![ident("person_id")]))
}

/// Rows of those people; everybody's without them.
fn of_people(rows: DataFrame, people: Option<&Expr>) -> Result<DataFrame> {
    match people {
        Some(people) => rows.filter(people.clone()),
        None => Ok(rows),
    }
}

/// For each of a table's pairs: rows whose field is 0, and rows whose field is null beside a source.
pub(super) async fn unmapped(
    ctx: &SessionContext,
    urls: Vec<String>,
    people: Option<&Expr>,
    pairs: &[Pair],
) -> Result<Vec<(u64, u64)>> {
    let rows = ctx.read_parquet(urls, ParquetReadOptions::default()).await?;
    // Few rows are left to be joined.
    let any = pairs.iter().flat_map(wanted).reduce(Expr::or).unwrap_or_else(|| lit(false));
    let rows = of_people(rows.filter(any)?, people)?;
    let mut counts = Vec::with_capacity(pairs.len() * 2);
    for (i, pair) in pairs.iter().enumerate() {
        let [zero, null] = wanted(pair);
        for (name, which) in [("zero", zero), ("null", null)] {
            let one = when(which, lit(1_i64)).otherwise(lit(0_i64))?;
            counts.push(sum(one).alias(format!("{name}{i}")));
        }
    }
    let batches = rows.aggregate(Vec::new(), counts)?.collect().await?;
    let count = |column: usize| -> u64 {
        let counts = batches.iter().map(|batch| batch.column(column).as_primitive::<Int64Type>());
        // The sum of no rows is null.
        counts.filter_map(|c| c.iter().next().flatten()).map(i64::cast_unsigned).sum()
    };
    Ok((0..pairs.len()).map(|i| (count(2 * i), count(2 * i + 1))).collect())
}

/// Source concept and source value of a field.
fn source(pair: &Pair) -> [Expr; 2] {
    let concept = match pair.source_concept {
        Some(name) => nullif(ident(name), lit(0_i64)),
        None => lit(ScalarValue::Int64(None)),
    };
    let value = match pair.source_value {
        Some(name) => nullif(btrim(vec![ident(name)]), lit("")),
        None => lit(ScalarValue::Utf8(None)),
    };
    [concept, value]
}

/// The two ways for a row to be unmapped: the field is 0, or it is null beside a source.
fn wanted(pair: &Pair) -> [Expr; 2] {
    let [concept, value] = source(pair);
    let field = ident(pair.field);
    let has_source = concept.is_not_null().or(value.is_not_null());
    [field.clone().eq(lit(0_i64)), field.is_null().and(has_source)]
}

/// One row a source: `kind, concept, value, values, n, nulls, persons`. Values that occur for fewer than
/// `min_persons` persons, and those too long, are one row of kind 3 without persons.
pub(super) async fn sources(
    ctx: &SessionContext,
    urls: Vec<String>,
    people: Option<&Expr>,
    pair: &Pair,
    min_persons: u32,
) -> Result<DataFrame> {
    let rows = ctx.read_parquet(urls, ParquetReadOptions::default()).await?;
    let rows = of_people(unmapped_rows(rows, pair)?, people)?;
    // Persons are counted by a group of their own: a distinct count could not spill.
    let by_person = rows.aggregate(
        ["kind", "concept", "value", "person_id"].map(ident).to_vec(),
        vec![count(lit(1_i64)).alias("n"), sum(ident("is_null")).alias("nulls")],
    )?;
    let by_value = by_person.aggregate(
        ["kind", "concept", "value"].map(ident).to_vec(),
        vec![
            sum(ident("n")).alias("n"),
            sum(ident("nulls")).alias("nulls"),
            count(ident("person_id")).alias("persons"),
        ],
    )?;
    let rare = ident("kind")
        .eq(lit(1_i64))
        .and(ident("persons").lt(lit(i64::from(min_persons))))
        .or(ident("kind").eq(lit(3_i64)));
    let unless_rare =
        |keep: Expr, other: ScalarValue| when(rare.clone(), lit(other)).otherwise(keep);
    let shown = by_value.select(vec![
        unless_rare(ident("kind"), ScalarValue::Int64(Some(3)))?.alias("kind"),
        ident("concept"),
        unless_rare(ident("value"), ScalarValue::Utf8(None))?.alias("value"),
        ident("n"),
        ident("nulls"),
        unless_rare(ident("persons"), ScalarValue::Int64(None))?.alias("persons"),
    ])?;
    // A source that is written by itself is a group of one row.
    shown
        .aggregate(
            ["kind", "concept", "value", "persons"].map(ident).to_vec(),
            vec![
                count(lit(1_i64)).alias("values"),
                sum(ident("n")).alias("n"),
                sum(ident("nulls")).alias("nulls"),
            ],
        )?
        .select(["kind", "concept", "value", "values", "n", "nulls", "persons"].map(ident).to_vec())
}

/// `person_id, is_null, kind, concept, value` of the unmapped rows of a field.
fn unmapped_rows(rows: DataFrame, pair: &Pair) -> Result<DataFrame> {
    let [zero, null] = wanted(pair);
    let [concept, value] = source(pair);
    let rows = rows.filter(zero.or(null))?.select(vec![
        ident("person_id"),
        when(ident(pair.field).is_null(), lit(1_i64)).otherwise(lit(0_i64))?.alias("is_null"),
        concept.alias("concept"),
        value.alias("value"),
    ])?;
    let is_concept = ident("concept").is_not_null();
    let length = character_length(ident("value")).cast_to(&DataType::Int64, rows.schema())?;
    let kind = when(is_concept.clone(), lit(0_i64))
        .when(ident("value").is_null(), lit(2_i64))
        .when(length.clone().gt(lit(i64::from(MAX_TEXT))), lit(3_i64))
        .otherwise(lit(1_i64))?;
    // Long texts stay apart from each other until they are counted.
    let value = when(is_concept, lit(ScalarValue::Utf8(None))).otherwise(ident("value"))?;
    rows.select(vec![
        ident("person_id"),
        ident("is_null"),
        kind.alias("kind"),
        ident("concept"),
        value.alias("value"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::omop::{CdmVersion, cdm};

    #[test]
    fn sources_stand_where_the_cdm_puts_them() {
        let of = |table| pairs(cdm(CdmVersion::V5_4).table(table).unwrap());
        let names: Vec<_> = of("measurement")
            .into_iter()
            .map(|p| (p.field, p.source_concept, p.source_value))
            .collect();
        assert_eq!(
            names,
            [
                (
                    "measurement_concept_id",
                    Some("measurement_source_concept_id"),
                    Some("measurement_source_value")
                ),
                ("value_as_concept_id", None, Some("value_source_value")),
                ("unit_concept_id", Some("unit_source_concept_id"), Some("unit_source_value")),
            ]
        );
        assert_eq!(of("death")[0].source_concept, Some("cause_source_concept_id"));
        assert!(of("visit_occurrence").iter().any(|p| p.field == "admitted_from_concept_id"));
    }
}
