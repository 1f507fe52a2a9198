//! Where the rows of a bucket come from, for those who may look: the `_mapping_*` tables of the All of Us
//! curation, one row for each row that is left.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::bucket::{KEPT, Table, tags};
use super::spill::source_id;
use super::{Error, Request};
use crate::engine::parquet::{TableFile, properties};
use crate::engine::{FileEntry, Job};

/// Writes `quality/curation/mapping/<table>/part-<nnnn>.parquet`: the row id, `src_` and the row id as the
/// extract has it, `src_hpo_id` with the name of the extract, and `rule_id` of a row that a rule made, which
/// no extract has. None for tables without row ids.
pub fn write(
    part: u32,
    table: &Table,
    request: &Request,
    job: &Job,
) -> Result<Option<FileEntry>, Error> {
    let name = table.spec.name;
    let Some(key) = table.spec.primary_key.filter(|key| *key != "person_id") else {
        return Ok(None);
    };
    let ids = table.rows.column_by_name(key).and_then(|ids| ids.as_primitive_opt::<Int64Type>());
    let Some(ids) = ids else { return Ok(None) };
    let left: Vec<usize> = (0..table.fate.len()).filter(|&i| table.fate[i] == KEPT).collect();
    if left.is_empty() {
        return Ok(None);
    }
    let rule = |i: usize| {
        let number = table.made.get(i.checked_sub(table.read())?)?;
        Some(request.rules.list[usize::from(*number)].id.as_str())
    };
    let site = |i: usize| usize::from(table.site[i]);
    let several = request.extracts.len() > 1;
    let source = |i: usize| match rule(i) {
        Some(_) => None,
        None => Some(source_id(ids.value(i), several.then(|| site(i)))),
    };
    let hpo = |i: usize| request.extracts[site(i)].extract.site.as_str();
    let columns: [(String, ArrayRef, bool); 4] = [
        (
            key.into(),
            Arc::new(left.iter().map(|&i| Some(ids.value(i))).collect::<Int64Array>()),
            false,
        ),
        (
            format!("src_{key}"),
            Arc::new(left.iter().map(|&i| source(i)).collect::<Int64Array>()),
            true,
        ),
        (
            "src_hpo_id".into(),
            Arc::new(StringArray::from_iter_values(left.iter().map(|&i| hpo(i)))),
            false,
        ),
        ("rule_id".into(), Arc::new(left.iter().map(|&i| rule(i)).collect::<StringArray>()), true),
    ];
    let field = |(name, _, null): &(String, ArrayRef, bool)| {
        let kind = if name.ends_with("hpo_id") || name == "rule_id" {
            DataType::Utf8
        } else {
            DataType::Int64
        };
        Field::new(name, kind, *null)
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(Error::arrow(name))?;
    let path = format!("quality/curation/mapping/{name}/part-{part:04}.parquet");
    let properties = properties(&tags(name), &[]).build();
    let mut file = TableFile::create(&job.out, &path, schema, tags(name), properties)?;
    file.write(&batch)?;
    Ok(Some(file.finish()?))
}
