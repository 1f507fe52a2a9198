//! The columns of an annotation table: `variant_idx`, `pos`, the site's ID and FILTER, a column a selected INFO
//! field and, with ClinVar's review status among them, `stars`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array, Int32Array, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::basic::Encoding;

use super::stars;
use crate::engine::parquet as engine_parquet;
use crate::genotype::Error;
use crate::genotype::assemble::RowRef;
use crate::genotype::info::{self, InfoField};
use crate::genotype::shard::{Row, ShardRows};
use crate::genotype::tables::{Table, encoded, table_tags};

/// The INFO field of ClinVar from which stars follow.
const REVIEW_STATUS: &str = "CLNREVSTAT";
/// Rows after which a part file ends with its row group.
const PART_ROWS: u64 = 1 << 26;
const KEYS: [&str; 2] = ["variant_idx", "pos"];
/// ClinVar's variation ids are in ID, and gnomAD's AF are of use only with FILTER.
const SITE: [&str; 2] = ["site_id", "site_filters"];
const STARS: &str = "stars";

/// The folder of annotation `name`, which is also the table's name.
pub fn folder(name: &str) -> String {
    format!("annotation_{name}")
}

/// Number of the field from which stars follow.
fn review_status(fields: &[InfoField]) -> Option<usize> {
    fields.iter().position(|f| f.id == REVIEW_STATUS)
}

/// Checks that no two columns have one name; SQL does not tell upper from lower case.
///
/// # Errors
/// [`Error::AnnotationColumn`] with the field that comes second.
pub fn check(name: &str, fields: &[InfoField]) -> Result<(), Error> {
    // `chrom` is a column by the name of the folder.
    let fixed = KEYS.iter().chain(&SITE).chain(&["chrom"]);
    let mut taken: Vec<String> = fixed.map(|&name| name.to_owned()).collect();
    taken.extend(review_status(fields).map(|_| STARS.to_owned()));
    for field in fields {
        let column = field.id.to_ascii_lowercase();
        if taken.contains(&column) {
            let (annotation, field) = (name.to_owned(), field.id.clone());
            return Err(Error::AnnotationColumn { annotation, field });
        }
        taken.push(column);
    }
    Ok(())
}

/// The table of annotation `name`.
///
/// # Errors
/// When the encoder refuses.
pub fn table(callset: &str, name: &str, fields: &[InfoField]) -> Result<Table, Error> {
    let must = |name: &str| Field::new(name, DataType::Int32, false);
    let mut columns: Vec<Arc<Field>> = KEYS.map(|name| Arc::new(must(name))).to_vec();
    columns.push(Arc::new(Field::new(SITE[0], DataType::Utf8, true)));
    let filters = DataType::new_list(DataType::Utf8, true);
    columns.push(Arc::new(Field::new(SITE[1], filters, true)));
    columns.extend(info::arrow_fields(fields).iter().cloned());
    columns
        .extend(review_status(fields).map(|_| Arc::new(Field::new(STARS, DataType::Int8, true))));
    let tags = table_tags(callset, &folder(name));
    let properties = encoded(
        engine_parquet::properties(&tags, &[0]),
        &KEYS.map(|name| (name, Encoding::DELTA_BINARY_PACKED)),
    );
    Table::new("annotation", Schema::new(columns), properties, tags, PART_ROWS)
}

/// Columns of rows.
pub struct Columns {
    /// In the order of the schema.
    pub arrays: Vec<ArrayRef>,
    /// Rows with a review status that has no stars known of.
    pub unknown_status: u64,
}

/// The columns of `sites`, each with the `variant_idx` of its variant.
pub fn of(fields: &[InfoField], sites: &[(i32, &RowRef)]) -> Columns {
    let rows: Vec<_> = sites.iter().map(|(_, at)| at.shard_row()).collect();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(sites.iter().map(|(idx, _)| *idx))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, row)| row.pos))),
    ];
    arrays.extend(id_and_filters(&rows));
    if !fields.is_empty() {
        arrays.extend_from_slice(info::column(fields, &rows).as_struct().columns());
    }
    let mut unknown_status = 0;
    if let Some(k) = review_status(fields) {
        let stars = rows.iter().map(|(shard, row)| {
            let value = shard.info(row, k).filter(|v| *v != b".")?;
            let stars = stars::of(value);
            unknown_status += u64::from(stars.is_none());
            stars
        });
        arrays.push(Arc::new(stars.collect::<Int8Array>()));
    }
    Columns { arrays, unknown_status }
}

/// ID, null for `.`, and FILTER: empty for PASS, null for `.`.
fn id_and_filters(rows: &[(&ShardRows, &Row)]) -> [ArrayRef; 2] {
    let mut ids = StringBuilder::new();
    let mut filters = ListBuilder::new(StringBuilder::new());
    for (shard, row) in rows {
        let id = shard.text(row.id);
        ids.append_option((!id.is_empty()).then(|| String::from_utf8_lossy(id)));
        match shard.text(row.filter) {
            b"." => filters.append(false),
            b"PASS" => filters.append(true),
            list => {
                let names = list.split(|&b| b == b';');
                names.for_each(|n| filters.values().append_value(String::from_utf8_lossy(n)));
                filters.append(true);
            }
        }
    }
    [Arc::new(ids.finish()), Arc::new(filters.finish())]
}
