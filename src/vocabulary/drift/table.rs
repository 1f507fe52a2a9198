//! The tables of the report.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::rows::{Row, rows};
use super::{CHUNK, Drift, DriftRequest, SetDrift, Sides};
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job};
use crate::vocabulary::{Error, IdSet, Resolution, below};

fn create(
    request: &DriftRequest<'_>,
    job: &Job,
    name: &str,
    schema: &Arc<Schema>,
) -> Result<TableFile, Error> {
    let tags = FileTags {
        tier: "quality".into(),
        table: format!("vocabulary/{name}"),
        callset: None,
        date_basis: "none",
        vocabulary: None,
    };
    let properties = properties(&tags, &[0, 1]).build();
    let path = below(&request.folder, &format!("{name}.parquet"));
    Ok(TableFile::create(&job.out, &path, schema.clone(), tags, properties)?)
}

/// Writes `drift.parquet` and counts its changes.
pub(super) fn write_concepts(
    request: &DriftRequest<'_>,
    sides: &Sides,
    scope: &IdSet,
    drift: &mut Drift,
    job: &Job,
) -> Result<FileEntry, Error> {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let schema = Arc::new(Schema::new(vec![
        Field::new("concept_id", DataType::Int64, false),
        Field::new("change", DataType::Utf8, false),
        text("old"),
        text("new"),
    ]));
    let mut file = create(request, job, "drift", &schema)?;
    let mut ids = scope.iter();
    loop {
        let chunk: Vec<i64> = ids.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        job.check()?;
        let rows = rows(sides, &chunk, &mut drift.unknown_concepts, job)?;
        for row in &rows {
            *drift.in_use.entry(row.change).or_default() += 1;
        }
        for rows in rows.chunks(1 << 16) {
            file.write(&batch(&schema, rows).map_err(Error::arrow("drift"))?)?;
        }
    }
    Ok(file.finish()?)
}

fn batch(schema: &Arc<Schema>, rows: &[Row]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |of: fn(&Row) -> &String| {
        let texts = rows.iter().map(|r| Some(of(r).as_str()).filter(|t| !t.is_empty()));
        Arc::new(StringArray::from_iter(texts))
    };
    RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.concept))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.change))),
            text(|r| &r.old),
            text(|r| &r.new),
        ],
    )
}

/// Writes `drift_sets.parquet` and sums it up.
pub(super) fn write_sets(
    request: &DriftRequest<'_>,
    old: &Resolution,
    new: &Resolution,
    drift: &mut Drift,
    job: &Job,
) -> Result<FileEntry, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("set", DataType::Utf8, false),
        Field::new("concept_id", DataType::Int64, false),
        Field::new("change", DataType::Utf8, false),
    ]));
    let mut file = create(request, job, "drift_sets", &schema)?;
    // Both resolve the same file of sets, by name.
    for (old, new) in old.sets.iter().zip(&new.sets) {
        let added = &new.concepts - &old.concepts;
        let removed = &old.concepts - &new.concepts;
        drift.sets.push(SetDrift {
            set: old.name.clone(),
            old: old.concepts.len(),
            new: new.concepts.len(),
            added: added.len(),
            removed: removed.len(),
        });
        let mut rows: Vec<(i64, &str)> =
            added.iter().map(|id| (id.cast_signed(), "added")).collect();
        rows.extend(removed.iter().map(|id| (id.cast_signed(), "removed")));
        rows.sort_unstable();
        let set = StringArray::from_iter_values(rows.iter().map(|_| &old.name));
        let ids = Int64Array::from_iter_values(rows.iter().map(|r| r.0));
        let change = StringArray::from_iter_values(rows.iter().map(|r| r.1));
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(set), Arc::new(ids), Arc::new(change)];
        let batch = RecordBatch::try_new(schema.clone(), columns);
        file.write(&batch.map_err(Error::arrow("drift_sets"))?)?;
    }
    Ok(file.finish()?)
}
