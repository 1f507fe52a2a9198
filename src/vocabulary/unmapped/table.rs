//! The report's table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Error, FieldSources, Source, UnmappedRequest};
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job};
use crate::vocabulary::below;

fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    let int = |name, nullable| Field::new(name, DataType::Int64, nullable);
    let ids = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    Schema::new(vec![
        text("table", false),
        text("field", false),
        text("kind", false),
        text("source_vocabulary", true),
        int("source_concept_id", true),
        text("source_code", true),
        int("values", false),
        int("rows", false),
        int("rows_null", false),
        int("persons", true),
        Field::new("suggested_concept_ids", ids, false),
    ])
    .into()
}

/// Writes the table. `names` are codes and names of source concepts.
pub(super) fn write(
    request: &UnmappedRequest<'_>,
    job: &Job,
    found: &[FieldSources],
    names: &BTreeMap<i64, (String, String)>,
) -> Result<FileEntry, Error> {
    let tags = FileTags {
        tier: "quality".into(),
        table: "vocabulary/unmapped".into(),
        callset: None,
        date_basis: "none",
        vocabulary: request
            .vocabulary
            .and_then(crate::vocabulary::Vocabulary::version)
            .map(str::to_owned),
    };
    let path = below(&request.folder, "unmapped.parquet");
    let properties = properties(&tags, &[]).build();
    let mut file = TableFile::create(&job.out, &path, schema(), tags, properties)?;
    for field in found {
        for sources in field.sources.chunks(8192) {
            let batch = batch(request, field, sources, names).map_err(Error::arrow("unmapped"))?;
            file.write(&batch)?;
        }
    }
    Ok(file.finish()?)
}

fn batch(
    request: &UnmappedRequest<'_>,
    field: &FieldSources,
    sources: &[Source],
    names: &BTreeMap<i64, (String, String)>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let concept = |s: &Source| request.vocabulary.and_then(|v| v.concept(s.concept?));
    let code = |s: &Source| {
        let code = s.concept.and_then(|id| names.get(&id)).map(|(code, _)| code.clone());
        code.or_else(|| s.text.clone())
    };
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(sources.iter().map(|_| text)))
    };
    // Counts of rows are below 2^63.
    let counts = |of: fn(&Source) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(sources.iter().map(|s| of(s).cast_signed())))
    };
    let mut suggested = ListBuilder::new(Int64Builder::new());
    for source in sources {
        let ids = request.vocabulary.zip(source.concept).map(|(v, id)| v.standard_for(id));
        suggested.append_value(ids.unwrap_or_default().into_iter().map(Some));
    }
    RecordBatch::try_new(
        schema(),
        vec![
            same(field.coverage.table),
            same(field.coverage.field),
            Arc::new(StringArray::from_iter_values(sources.iter().map(|s| s.kind.name()))),
            Arc::new(StringArray::from_iter(
                sources.iter().map(|s| concept(s).map(|c| c.vocabulary)),
            )),
            Arc::new(Int64Array::from_iter(sources.iter().map(|s| s.concept))),
            Arc::new(StringArray::from_iter(sources.iter().map(code))),
            counts(|s| s.values),
            counts(|s| s.rows),
            counts(|s| s.rows_null),
            Arc::new(Int64Array::from_iter(
                sources.iter().map(|s| s.persons.map(u64::cast_signed)),
            )),
            Arc::new(suggested.finish()),
        ],
    )
}
