//! The result tables, as OHDSI tools read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::Request;
use super::catalogue::analyses;
use super::concepts::ConceptCount;
use super::counts::{CountRow, DistRow, Results};
use super::error::Error;
use super::people::People;
use crate::engine::parquet::{properties, write_bytes};
use crate::engine::{FileEntry, FileTags, Job, TableFile};

const FOLDER: &str = "quality/achilles";
const STATISTICS: [&str; 9] = [
    "min_value",
    "max_value",
    "avg_value",
    "stdev_value",
    "median_value",
    "p10_value",
    "p25_value",
    "p75_value",
    "p90_value",
];

/// Writes all tables; files sorted by path.
pub(super) fn write(
    request: &Request,
    people: &People,
    results: &Results,
    concepts: &BTreeMap<i64, ConceptCount>,
    job: &Job,
) -> Result<Vec<FileEntry>, Error> {
    let source = CountRow {
        analysis: 0,
        strata: [
            Some(request.tables.extract.site.clone()),
            Some(concat!("strata ", env!("CARGO_PKG_VERSION")).to_owned()),
            Some(request.reference_date.to_string()),
            None,
            None,
        ],
        count: people.listed,
    };
    let tables = request.vocabulary.as_ref().unwrap_or(&request.tables);
    let vocabulary = tables.vocabulary_version()?;
    let to = &Target { job, vocabulary };
    let rows: Vec<&CountRow> = std::iter::once(&source).chain(&results.rows).collect();
    let mut files = vec![
        table(to, "achilles_results", &["count_value"], count_columns(&rows))?,
        csv(job, "achilles_results", &["count_value"], rows.iter().map(|r| line(r)))?,
        table(to, "achilles_results_dist", &dist_names(), dist_columns(&results.dists))?,
        csv(job, "achilles_results_dist", &dist_names(), results.dists.iter().map(dist_line))?,
        catalogue(to)?,
        concept_counts(to, concepts)?,
    ];
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Where tables go, and what they say of the vocabulary.
struct Target<'a> {
    job: &'a Job,
    vocabulary: Option<String>,
}

fn dist_names() -> Vec<&'static str> {
    std::iter::once("count_value").chain(STATISTICS).collect()
}

fn names(values: &[&str]) -> Vec<String> {
    let strata = (1..=5).map(|i| format!("stratum_{i}"));
    std::iter::once("analysis_id".to_owned())
        .chain(strata)
        .chain(values.iter().map(|&v| v.to_owned()))
        .collect()
}

fn keys<'a>(rows: impl Iterator<Item = (u16, &'a [Option<String>; 5])> + Clone) -> Vec<ArrayRef> {
    let id = Int32Array::from_iter_values(rows.clone().map(|(a, _)| i32::from(a)));
    let strata = (0..5).map(|i| {
        let texts: StringArray = rows.clone().map(|(_, s)| s[i].as_deref()).collect();
        Arc::new(texts) as ArrayRef
    });
    std::iter::once(Arc::new(id) as ArrayRef).chain(strata).collect()
}

fn integers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(u64::cast_signed)))
}

fn count_columns(rows: &[&CountRow]) -> Vec<ArrayRef> {
    let mut columns = keys(rows.iter().map(|r| (r.analysis, &r.strata)));
    columns.push(integers(rows.iter().map(|r| r.count)));
    columns
}

fn statistics(d: &DistRow) -> [Option<f64>; 9] {
    let [median, p10, p25, p75, p90] = d.percentiles.map(Some);
    [Some(d.min), Some(d.max), Some(d.avg), d.stdev, median, p10, p25, p75, p90]
}

fn dist_columns(rows: &[DistRow]) -> Vec<ArrayRef> {
    let mut columns = keys(rows.iter().map(|r| (r.analysis, &r.strata)));
    columns.push(integers(rows.iter().map(|r| r.count)));
    columns.extend((0..STATISTICS.len()).map(|i| {
        let values: Float64Array = rows.iter().map(|r| statistics(r)[i]).collect();
        Arc::new(values) as ArrayRef
    }));
    columns
}

fn table(
    to: &Target<'_>,
    name: &str,
    values: &[&str],
    columns: Vec<ArrayRef>,
) -> Result<FileEntry, Error> {
    parquet(to, name, &names(values), columns)
}

fn parquet(
    to: &Target<'_>,
    name: &str,
    names: &[String],
    columns: Vec<ArrayRef>,
) -> Result<FileEntry, Error> {
    let fields: Vec<Field> = names
        .iter()
        .zip(&columns)
        .map(|(n, c)| Field::new(n, c.data_type().clone(), *c.data_type() != DataType::Int64))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    let tags = FileTags {
        tier: "quality".into(),
        table: name.into(),
        callset: None,
        date_basis: "none",
        vocabulary: to.vocabulary.clone(),
    };
    let properties = properties(&tags, &[0]).build();
    let path = format!("{FOLDER}/{name}.parquet");
    let mut file = TableFile::create(&to.job.out, &path, schema, tags, properties)?;
    file.write(&batch)?;
    Ok(file.finish()?)
}

fn csv(
    job: &Job,
    name: &str,
    values: &[&str],
    lines: impl Iterator<Item = String>,
) -> Result<FileEntry, Error> {
    let mut text = names(values).join(",");
    text.push('\n');
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    let path = format!("{FOLDER}/{name}.csv");
    Ok(write_bytes(&job.out, &path, "quality", name, text.as_bytes())?)
}

/// Strata are numbers, fixed words and the site's name, none of which needs quotes.
fn key_line(analysis: u16, strata: &[Option<String>; 5]) -> String {
    let cells = strata.iter().map(|s| s.as_deref().unwrap_or_default());
    std::iter::once(analysis.to_string().as_str()).chain(cells).collect::<Vec<_>>().join(",")
}

fn line(row: &CountRow) -> String {
    format!("{},{}", key_line(row.analysis, &row.strata), row.count)
}

fn dist_line(row: &DistRow) -> String {
    let mut line = format!("{},{}", key_line(row.analysis, &row.strata), row.count);
    for value in statistics(row) {
        match value {
            // Writing to a string cannot fail.
            Some(v) => drop(write!(line, ",{v}")),
            None => line.push(','),
        }
    }
    line
}

/// `achilles_analysis`: what the numbers mean.
fn catalogue(to: &Target<'_>) -> Result<FileEntry, Error> {
    let all: Vec<_> = analyses().collect();
    let text = |of: &dyn Fn(usize) -> &'static str| -> ArrayRef {
        let cells = (0..all.len()).map(|i| Some(of(i)).filter(|t| !t.is_empty()));
        Arc::new(cells.collect::<StringArray>())
    };
    let ids = Int32Array::from_iter_values(all.iter().map(|a| i32::from(a.id)));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids), text(&|i| all[i].name)];
    columns.extend((0..5).map(|s| text(&|i| all[i].strata[s])));
    columns.push(text(&|i| all[i].category));
    let mut names = vec!["analysis_id".to_owned(), "analysis_name".to_owned()];
    names.extend((1..=5).map(|s| format!("stratum_{s}_name")));
    names.push("category".to_owned());
    parquet(to, "achilles_analysis", &names, columns)
}

fn concept_counts(
    to: &Target<'_>,
    concepts: &BTreeMap<i64, ConceptCount>,
) -> Result<FileEntry, Error> {
    let names = [
        "concept_id",
        "record_count",
        "descendant_record_count",
        "person_count",
        "descendant_person_count",
    ];
    let columns = vec![
        Arc::new(Int64Array::from_iter_values(concepts.keys().copied())) as ArrayRef,
        integers(concepts.values().map(|c| c.records)),
        integers(concepts.values().map(|c| c.descendant_records)),
        integers(concepts.values().map(|c| c.persons)),
        integers(concepts.values().map(|c| c.descendant_persons)),
    ];
    parquet(to, "achilles_result_concept_count", &names.map(str::to_owned), columns)
}
