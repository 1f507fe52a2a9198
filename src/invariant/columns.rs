//! Columns and tables: those declared, those left out, those without values.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::Array;
use parquet::file::metadata::ParquetMetaData;

use super::answers::Asked;
use super::scan::{Count, Rows, Tally, Watch, all_null, at, open};
use super::terms::{Tier, about_persons, must_be_null, named};
use super::{Error, Request, path_of};
use crate::config::policy::parts::KeepText;
use crate::config::policy::{Action, DateBasis};
use crate::omop::{FieldKind, FieldSpec, TableSpec, is_vocabulary};

/// What files and footers tell.
pub(super) fn look(request: &Request<'_>, tier: &Tier<'_>, tally: &mut Tally) -> Result<(), Error> {
    for (table, file) in tier.files() {
        let builder = open(request, &path_of(request, file), &file.path)?;
        let spec = tier.spec(&table);
        let declared = spec.is_some_and(|spec| {
            let (have, want) = (builder.schema(), spec.schema());
            have.fields().len() == want.fields().len()
                && have.fields().iter().zip(want.fields()).all(|(have, want)| {
                    (have.name(), have.data_type()) == (want.name(), want.data_type())
                })
        });
        let one = |violated| Count { looked_at: 1, violations: u64::from(violated) };
        tally.count("columns_declared", tier.name, &table, one(!declared));
        let right = basis(builder.metadata()) == Some(expected_basis(tier, &table));
        tally.count("date_basis", tier.name, &table, one(!right));
    }
    tables(request, tier, tally)?;
    genomics(request, tier, tally);
    Ok(())
}

/// What the footer says of the dates in the file.
fn basis(metadata: &ParquetMetaData) -> Option<&str> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == "strata.date_basis")?.value.as_deref()
}

fn expected_basis(tier: &Tier<'_>, table: &str) -> &'static str {
    if Path::new(table).file_name().and_then(|n| n.to_str()).is_some_and(is_vocabulary) {
        return "none";
    }
    match tier.terms.policy.policy.dates {
        DateBasis::True => "true",
        DateBasis::Shifted => "shifted",
        DateBasis::Year => "year",
    }
}

/// Tables that must have no rows: each that the policy names, each that is there and is nobody's.
fn tables(request: &Request<'_>, tier: &Tier<'_>, tally: &mut Tally) -> Result<(), Error> {
    let mut gone: Vec<&str> = Vec::new();
    for rule in tier.rules() {
        if let Action::SuppressTables { tables } = &rule.action {
            gone.extend(tables.iter().map(String::as_str));
        }
    }
    let nobodys = tier.tables.keys().filter_map(|table| tier.spec(table)).filter(|spec| {
        !about_persons(spec) && (!is_vocabulary(spec.name) || spec.name == "source_to_concept_map")
    });
    gone.extend(nobodys.map(|spec| spec.name));
    gone.sort_unstable();
    gone.dedup();
    for table in gone {
        let mut rows = 0;
        for file in tier.files_of(table) {
            let builder = open(request, &path_of(request, file), &file.path)?;
            rows += u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        }
        let count = Count { looked_at: 1 + rows, violations: rows };
        tally.count("tables_left_out", tier.name, table, count);
    }
    Ok(())
}

/// Genomic files of a tier that has none.
fn genomics(request: &Request<'_>, tier: &Tier<'_>, tally: &mut Tally) {
    if tier.terms.policy.policy.genomics {
        return;
    }
    let prefix = format!("{}/", tier.name);
    let files = request.files.iter().filter_map(|file| file.path.strip_prefix(&prefix));
    let count = files.map(|path| !(path.starts_with("omop/") || path.starts_with("wearables/")));
    tally.count("genomics_left_out", tier.name, "files", count.collect());
}

/// Columns that hold nothing, text that was let stand.
pub(super) fn watches<'a>(tier: &'a Tier<'_>, spec: &'static TableSpec) -> Vec<Watch<'a>> {
    if !about_persons(spec) {
        return Vec::new();
    }
    let mut watches = Vec::new();
    for field in &spec.fields {
        if must_be_null(tier, spec, field) {
            watches.push(null("columns_null", spec, field));
        }
        if field.kind == FieldKind::Text {
            watches.extend(text(tier, spec, field));
        }
        let genomic =
            spec.name == "person_summary" && ["has_wgs", "has_array"].contains(&field.name);
        if genomic && !tier.terms.policy.policy.genomics {
            watches.push(flag(spec, field));
        }
    }
    watches
}

/// Every row of the column is null: the footer mostly says so.
fn null<'a>(id: &'static str, spec: &TableSpec, field: &'static FieldSpec) -> Watch<'a> {
    let place = format!("{}.{}", spec.name, field.name);
    let look = |rows: &Rows<'_>| match rows.any(field.name) {
        Some(array) => Count {
            looked_at: rows.len() as u64,
            violations: (rows.len() - array.null_count()) as u64,
        },
        None => Count::default(),
    };
    Watch::each(id, place, [field.name], look).or_settled(|footer| all_null(footer, field.name))
}

/// Nobody is said to be sequenced or genotyped; none for everybody says nothing of anybody.
fn flag<'a>(spec: &TableSpec, field: &'static FieldSpec) -> Watch<'a> {
    let place = format!("{}.{}", spec.name, field.name);
    let look =
        |rows: &Rows<'_>| ids(rows, field.name).into_iter().map(|n| n.unwrap_or(0) != 0).collect();
    Watch::each("genomics_left_out", place, [field.name], look)
}

/// A text column under a rule on free text.
fn text<'a>(
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    field: &'static FieldSpec,
) -> Option<Watch<'a>> {
    let mut kept: Option<Vec<&KeepText>> = None;
    for rule in tier.rules() {
        let Action::NullFreeText { except, keep } = &rule.action else { continue };
        let name = format!("{}.{}", spec.name, field.name);
        if !named(except, spec, field) && (spec.name, field.name) != ("device", "device_id") {
            kept = Some(keep.iter().filter(|k| k.column == name).collect());
        }
    }
    let kept = kept?;
    if kept.is_empty() {
        return Some(null("free_text_null", spec, field));
    }
    let anywhere: Vec<&&KeepText> = kept.iter().filter(|k| k.question.is_empty()).collect();
    if anywhere.iter().any(|k| k.words.is_empty()) {
        return None;
    }
    let words: BTreeSet<&str> =
        anywhere.iter().flat_map(|k| &k.words).map(String::as_str).collect();
    let asked = Asked::by_columns(kept.iter().flat_map(|k| k.question.iter().copied()).collect());
    let place = format!("{}.{}", spec.name, field.name);
    let columns = Asked::COLUMNS.into_iter().chain([field.name]);
    let watch = Watch::each("free_text_null", place, columns, move |rows| {
        let Some(texts) = rows.texts(field.name) else { return Count::default() };
        let asked = asked.rows(rows);
        let stays = |i: usize| asked[i] || words.contains(texts.value(i));
        (0..rows.len()).map(|i| texts.is_valid(i) && !stays(i)).collect()
    });
    Some(watch.or_settled(|footer| all_null(footer, field.name)))
}

/// Values of a column of ids, for looks at few rows.
pub(super) fn ids(rows: &Rows<'_>, column: &str) -> Vec<Option<i64>> {
    let array = rows.ints(column);
    (0..rows.len()).map(|i| array.and_then(|array| at(array, i))).collect()
}
