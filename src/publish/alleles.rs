//! Allele frequencies by ancestry: the `variants` tables of a callset through the strict carrier rule
//! ([`super::disclosure::allele`]).
//!
//! A group is published when the policy lists it, the `variants` table has its columns, it has at least
//! `min_group` people and its size gives no other group's away; everyone else counts in the totals only. Files are read and written one by one, in
//! the order of chromosome and position, so memory does not grow with the number of variants.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::lit;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::disclosure::allele::{
    Layout, LeftOut, People, PublishedAllele, RawAllele, Region, Rounding, Row, Withheld, protect,
    withheld_for_size,
};
use super::source::{Source, has, name};
use super::{Error, PublishRequest, schema};
use crate::config::disclosure::Missing;
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};

const TABLE: &str = "allele_frequencies";

/// A variant with what may be published of it.
pub(super) struct PublishedVariant {
    pub vid: String,
    pub chrom: String,
    pub pos: i32,
    pub reference: String,
    pub alternate: String,
    pub rsid: Option<String>,
    pub variant_type: Option<String>,
    pub total: PublishedAllele,
    pub groups: Vec<PublishedAllele>,
}

/// The written tables of one callset.
pub(super) struct CallsetAlleles {
    pub callset: String,
    pub groups: Vec<String>,
    pub files: Vec<FileEntry>,
    pub ledger: TableLedger,
    /// Variants published, of which `sample` may be a part.
    pub published: u64,
    /// The first variants of each chromosome, for the page.
    pub sample: Vec<PublishedVariant>,
}

/// What is known of a callset before its variants are read.
struct Callset<'a> {
    request: &'a PublishRequest<'a>,
    name: &'a str,
    groups: Vec<String>,
    /// Groups of the table that stay out for their size.
    small: u64,
    /// Groups that stay out because the size of another would follow from theirs: 0 or 1.
    for_size: u64,
    layout: Layout,
}

impl Callset<'_> {
    /// Cells of one variant: everyone and the groups of the table.
    fn cells(&self) -> u64 {
        1 + self.groups.len() as u64 + self.small + self.for_size
    }
}

/// Protects and writes the allele frequencies of `callset`; none when it is `withheld` for a reason, since
/// the difference to what readers have would be that of a few people.
pub(super) fn build(
    request: &PublishRequest<'_>,
    source: &Source,
    callset: &str,
    withheld: Option<&str>,
    job: &Job,
) -> Result<CallsetAlleles, Error> {
    let table = format!("genomics/{callset}/variants");
    let mut by_chrom: BTreeMap<(u32, String), Vec<String>> = BTreeMap::new();
    for file in source.files(&table) {
        let chrom = file.split('/').find_map(|part| part.strip_prefix("chrom=")).unwrap_or("none");
        let chrom = crate::engine::partition::of_folder(chrom);
        by_chrom.entry((chrom_rank(&chrom), chrom)).or_default().push(file.clone());
    }
    let mut out = CallsetAlleles {
        callset: callset.to_owned(),
        groups: Vec::new(),
        files: Vec::new(),
        ledger: TableLedger::new(format!("public/allele_frequencies/{callset}")),
        published: 0,
        sample: Vec::new(),
    };
    let Some(first) = source.files(&table).first() else {
        return Err(Error::MissingTable { table });
    };
    let known = open(source, first)?.1;
    let of_callset = describe(request, source, callset, &known)?;
    if let Some(reason) = withheld {
        for file in source.files(&table) {
            let rows = open(source, file)?.0.metadata().file_metadata().num_rows();
            let cells = u64::try_from(rows).unwrap_or(0) * of_callset.cells();
            out.ledger.rows_in += cells;
            out.ledger.exclude(reason, cells);
        }
        return Ok(out);
    }
    out.groups.clone_from(&of_callset.groups);
    for ((_, chrom), files) in by_chrom {
        write_chromosome(source, &of_callset, &chrom, &files, job, &mut out)?;
    }
    Ok(out)
}

/// Natural order of chromosomes: 1..22, X, Y, M, then others by name.
fn chrom_rank(chrom: &str) -> u32 {
    match chrom.strip_prefix("chr").unwrap_or(chrom) {
        "X" => 23,
        "Y" => 24,
        "M" | "MT" => 25,
        other => other.parse().ok().filter(|n| (1..=22).contains(n)).unwrap_or(26),
    }
}

/// Counts the people of each group from the callset's samples.
fn describe<'a>(
    request: &'a PublishRequest<'a>,
    source: &Source,
    callset: &'a str,
    variants: &SchemaRef,
) -> Result<Callset<'a>, Error> {
    let table = format!("genomics/{callset}/samples");
    let samples = source.required(&table, &["person_id"])?;
    let column = |c: &str| {
        let value = if has(&samples, c) { name(c) } else { lit("") };
        datafusion::logical_expr::cast(value, DataType::Utf8).alias(format!("t_{c}"))
    };
    let by = vec![column("ancestry"), column("karyotype"), column("sex")];
    let plan = samples.clone().select(by).and_then(|s| {
        let keys = ["t_ancestry", "t_karyotype", "t_sex"].map(name).to_vec();
        s.aggregate(keys, vec![count(lit(1i64)).alias("people")])
    });
    let mut total = People::default();
    let mut sizes: BTreeMap<String, People> = BTreeMap::new();
    source.run(&table, plan, |batch| {
        let text = |i: usize| {
            cast(batch.column(i), &DataType::Utf8)
                .map_err(|source| Error::Arrow { path: table.clone(), source })
        };
        let columns = [text(0)?, text(1)?, text(2)?];
        let value = |i: usize, row: usize| {
            let column = columns[i].as_string::<i32>();
            if column.is_valid(row) { column.value(row) } else { "" }
        };
        let people = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let n = people.value(row);
            let (group, karyotype) = (value(0, row), value(1, row));
            // Counts follow the stated sex; without one the calls say.
            let sex = value(2, row);
            let male = sex == "male" || (sex.is_empty() && karyotype == "XY");
            for people in [&mut total, sizes.entry(group.to_owned()).or_default()] {
                people.all += n;
                people.males += if male { n } else { 0 };
            }
        }
        Ok(())
    })?;
    let in_table: Vec<&String> = request
        .policy
        .alleles
        .groups
        .iter()
        .filter(|g| {
            ["ac", "an", "hom"].iter().all(|c| variants.index_of(&format!("{c}_{g}")).is_ok())
        })
        .collect();
    let size = |g: &str| sizes.get(g).copied().unwrap_or_default();
    let big_enough = |g: &&&String| size(g).all >= i64::from(request.policy.alleles.min_group);
    let mut groups: Vec<String> =
        in_table.iter().filter(big_enough).map(|g| (*g).clone()).collect();
    let small = (in_table.len() - groups.len()) as u64;
    let of_groups: Vec<i64> = groups.iter().map(|g| size(g).all).collect();
    let for_size = withheld_for_size(total.all, &of_groups, &request.policy.disclosure);
    if let Some(group) = for_size {
        groups.remove(group);
    }
    let layout = Layout::new(total, groups.iter().map(|g| size(g)).collect());
    let for_size = u64::from(for_size.is_some());
    Ok(Callset { request, name: callset, small, for_size, groups, layout })
}

fn open(
    source: &Source,
    file: &str,
) -> Result<(ParquetRecordBatchReaderBuilder<File>, SchemaRef), Error> {
    let builder = source.reader(file)?;
    let schema = builder.schema().clone();
    Ok((builder, schema))
}

/// Reads the columns that the rule needs, and nothing else.
fn read(source: &Source, file: &str, groups: &[String]) -> Result<ParquetRecordBatchReader, Error> {
    let (builder, _) = open(source, file)?;
    let mut columns: Vec<String> = [
        "vid",
        "pos",
        "ref",
        "alt",
        "rsid",
        "variant_type",
        "ac",
        "an",
        "n_hom_alt",
        "n_called",
        "n_missing",
    ]
    .map(str::to_owned)
    .to_vec();
    for group in groups {
        columns.extend(["ac", "an", "hom"].map(|c| format!("{c}_{group}")));
    }
    let mask =
        ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
    builder
        .with_projection(mask)
        .with_batch_size(8192)
        .build()
        .map_err(|source| Error::Parquet { path: file.to_owned(), source })
}

fn write_chromosome(
    source: &Source,
    callset: &Callset<'_>,
    chrom: &str,
    files: &[String],
    job: &Job,
    out: &mut CallsetAlleles,
) -> Result<(), Error> {
    let file = crate::engine::partition::folder(chrom);
    let path = format!("{}{}/{file}.parquet", schema::ALLELE_FREQUENCIES, out.callset);
    let tags = FileTags {
        tier: "public".into(),
        table: TABLE.into(),
        callset: Some(out.callset.clone()),
        date_basis: "none",
        vocabulary: None,
    };
    let schema = schema::allele_frequencies(&callset.groups);
    let properties = properties(&tags, &[2, 3, 4]).build();
    let mut table = TableFile::create(&job.out, &path, schema.clone(), tags, properties)?;
    let mut for_page = callset.request.policy.site.max_variants_per_chromosome as usize;
    for file in files {
        for batch in read(source, file, &callset.groups)? {
            job.check()?;
            let batch = batch.map_err(|source| Error::Arrow { path: file.clone(), source })?;
            let published = protect_batch(&batch, callset, chrom, file, &mut out.ledger)?;
            out.published += published.len() as u64;
            table.write(&to_batch(&published, &schema, &path)?)?;
            let shown = published.into_iter().take(for_page);
            let before = out.sample.len();
            out.sample.extend(shown);
            for_page -= out.sample.len() - before;
        }
    }
    out.files.push(table.finish()?);
    Ok(())
}

fn protect_batch(
    batch: &RecordBatch,
    callset: &Callset<'_>,
    chrom: &str,
    file: &str,
    ledger: &mut TableLedger,
) -> Result<Vec<PublishedVariant>, Error> {
    let columns = Columns { batch, file };
    let (vid, reference, alternate) =
        (columns.text("vid")?, columns.text("ref")?, columns.text("alt")?);
    let (rsid, kind) = (columns.optional_text("rsid")?, columns.optional_text("variant_type")?);
    let (pos, ac, an) = (columns.int("pos")?, columns.int("ac")?, columns.int("an")?);
    let (hom, called, missing) =
        (columns.int("n_hom_alt")?, columns.int("n_called")?, columns.int("n_missing")?);
    let by_group: Vec<[Int64Array; 3]> = callset
        .groups
        .iter()
        .map(|g| {
            Ok([
                columns.int(&format!("ac_{g}"))?,
                columns.int(&format!("an_{g}"))?,
                columns.int(&format!("hom_{g}"))?,
            ])
        })
        .collect::<Result<_, Error>>()?;
    let region = Region::of(chrom);
    let policy = &callset.request.policy.disclosure;
    let text = |column: &StringArray, row: usize| {
        (column.is_valid(row) && !column.value(row).is_empty())
            .then(|| column.value(row).to_owned())
    };
    let mut published = Vec::new();
    for row in 0..batch.num_rows() {
        let total = RawAllele::new(
            ac.value(row),
            an.value(row),
            hom.value(row),
            // Half calls are among the missing (genotype::ingest).
            Some(missing.value(row)),
        );
        let groups: Vec<RawAllele> = by_group
            .iter()
            .map(|[ac, an, hom]| RawAllele::new(ac.value(row), an.value(row), hom.value(row), None))
            .collect();
        let rounding = Rounding {
            prf: callset.request.prf,
            callset: callset.name,
            vid: vid.value(row),
            groups: &callset.groups,
        };
        let rounding =
            (callset.request.policy.alleles.missing == Missing::Round).then_some(&rounding);
        let region = region.with_calls(called.value(row), an.value(row));
        let decided = protect(&total, &groups, &callset.layout, region, policy, rounding);
        account(decided.as_ref(), callset, ledger);
        let Ok(decided) = decided else { continue };
        published.push(PublishedVariant {
            vid: vid.value(row).to_owned(),
            chrom: chrom.to_owned(),
            pos: i32::try_from(pos.value(row)).unwrap_or(i32::MAX),
            reference: reference.value(row).to_owned(),
            alternate: alternate.value(row).to_owned(),
            rsid: rsid.as_ref().and_then(|c| text(c, row)),
            variant_type: kind.as_ref().and_then(|c| text(c, row)),
            total: decided.total,
            groups: decided.groups.iter().map(|g| g.0).collect(),
        });
    }
    Ok(published)
}

/// Books one variant: a cell for everyone and one for each group of the table.
fn account(row: Result<&Row, &LeftOut>, callset: &Callset<'_>, ledger: &mut TableLedger) {
    ledger.rows_in += callset.cells();
    let row = match row {
        Ok(row) => row,
        Err(LeftOut::NoCarrier) => return ledger.exclude("no_carrier", callset.cells()),
        Err(LeftOut::Sensitive) => return ledger.exclude("variant_withheld", callset.cells()),
    };
    ledger.exclude("small_group", callset.small);
    ledger.exclude("group_size", callset.for_size);
    let total = (row.total, None);
    for (published, withheld) in row.groups.iter().copied().chain([total]) {
        match withheld {
            Some(Withheld::CarrierThreshold) => ledger.exclude("carrier_threshold", 1),
            Some(Withheld::Complement) => ledger.exclude("complement", 1),
            None => {
                ledger.rows_out += 1;
                ledger.note("an_withheld", u64::from(published.an.is_none()));
                ledger.note("hom_withheld", u64::from(published.hom.is_none()));
            }
        }
    }
}

/// Columns of a batch by name, widened.
struct Columns<'a> {
    batch: &'a RecordBatch,
    file: &'a str,
}

impl Columns<'_> {
    fn find(&self, column: &str, to: &DataType) -> Result<Option<ArrayRef>, Error> {
        self.batch
            .column_by_name(column)
            .map(|c| cast(c, to))
            .transpose()
            .map_err(|source| Error::Arrow { path: self.file.to_owned(), source })
    }

    fn missing(&self, column: &str) -> Error {
        Error::MissingColumn { table: self.file.to_owned(), column: column.to_owned() }
    }

    fn int(&self, column: &str) -> Result<Int64Array, Error> {
        let found = self.find(column, &DataType::Int64)?.ok_or_else(|| self.missing(column))?;
        Ok(found.as_primitive::<Int64Type>().clone())
    }

    fn optional_text(&self, column: &str) -> Result<Option<StringArray>, Error> {
        Ok(self.find(column, &DataType::Utf8)?.map(|c| c.as_string::<i32>().clone()))
    }

    fn text(&self, column: &str) -> Result<StringArray, Error> {
        self.optional_text(column)?.ok_or_else(|| self.missing(column))
    }
}

fn to_batch(
    variants: &[PublishedVariant],
    schema: &SchemaRef,
    path: &str,
) -> Result<RecordBatch, Error> {
    let text = |f: fn(&PublishedVariant) -> Option<&str>| -> ArrayRef {
        Arc::new(variants.iter().map(f).collect::<StringArray>())
    };
    let mut columns: Vec<ArrayRef> = vec![
        text(|v| Some(&v.vid)),
        text(|v| Some(&v.chrom)),
        Arc::new(variants.iter().map(|v| v.pos).collect::<Int32Array>()),
        text(|v| Some(&v.reference)),
        text(|v| Some(&v.alternate)),
        text(|v| v.rsid.as_deref()),
        text(|v| v.variant_type.as_deref()),
    ];
    columns.extend(allele_columns(variants.iter().map(|v| v.total)));
    for group in 0..variants.first().map_or(0, |v| v.groups.len()) {
        columns.extend(allele_columns(variants.iter().map(|v| v.groups[group])));
    }
    if variants.is_empty() {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    RecordBatch::try_new(schema.clone(), columns)
        .map_err(|source| Error::Arrow { path: path.to_owned(), source })
}

fn allele_columns(cells: impl Iterator<Item = PublishedAllele> + Clone) -> [ArrayRef; 4] {
    let int = |f: fn(&PublishedAllele) -> Option<u64>| -> ArrayRef {
        let values = cells.clone().map(|c| f(&c).and_then(|n| i32::try_from(n).ok()));
        Arc::new(values.collect::<Int32Array>())
    };
    [
        int(|c| c.ac.map(|n| n.get())),
        int(|c| c.an.map(|n| n.get())),
        Arc::new(cells.clone().map(|c| c.af()).collect::<Float64Array>()),
        int(|c| c.hom.map(|n| n.get())),
    ]
}
