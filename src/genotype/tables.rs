//! The tables of a callset: schemas, encodings, and part files written row group by row group.

use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::fields::Rules;
use super::info::{self, InfoField};
use super::planes;
use super::selection::Selections;
use super::{Error, consequences, field_columns, freq, quality, site};
use crate::engine::parquet::{self as engine_parquet, HashedFile, schema_digest};
use crate::engine::{FileEntry, FileTags};

/// Variants a part file of `variants` or `genotypes`.
const PART_VARIANTS: u64 = 1 << 20;
/// Rows after which a part file of `carriers` ends with its row group.
const PART_CARRIERS: u64 = 1 << 26;

/// A table and how it is written.
pub struct Table {
    /// Table name, which is also its folder.
    pub name: &'static str,
    /// Columns.
    pub schema: SchemaRef,
    /// Makes column writers for a row group.
    pub factory: ArrowRowGroupWriterFactory,
    properties: WriterProperties,
    tags: FileTags,
    part_rows: u64,
}

/// The three tables that are written by position.
pub struct Tables {
    /// One row a variant.
    pub variants: Table,
    /// Bit planes.
    pub genotypes: Table,
    /// One row a carrier, if wanted.
    pub carriers: Option<Table>,
    /// One row a variant and stratum, if there are strata.
    pub freq: Option<Table>,
    /// One row a variant and entry, if there are consequences.
    pub consequences: Option<Table>,
    /// Values of all called cells, if wanted.
    pub quality: Option<Table>,
}

fn tags(callset: &str, table: &str) -> FileTags {
    FileTags {
        tier: "controlled".to_owned(),
        table: table.to_owned(),
        callset: Some(callset.to_owned()),
        date_basis: "none",
        vocabulary: None,
    }
}

/// The name a table has in the manifest and its tags.
pub fn table_tags(callset: &str, table: &str) -> FileTags {
    tags(callset, table)
}

pub(super) fn encoded(
    properties: WriterPropertiesBuilder,
    columns: &[(&str, Encoding)],
) -> WriterPropertiesBuilder {
    columns.iter().fold(properties, |p, (name, encoding)| {
        let path = ColumnPath::from(*name);
        p.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, *encoding)
    })
}

/// For columns of small numbers in no order: the bytes of each place together, which measured smaller and
/// quicker than a dictionary, plain or delta (see [`quality`]).
fn split_bytes(properties: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
        .set_column_statistics_enabled(path, EnabledStatistics::None)
}

impl Tables {
    /// The tables of `callset` with `samples` included samples.
    pub fn new(
        callset: &str,
        groups: &[String],
        info: &[InfoField],
        samples: usize,
        (carriers, strata, consequences): (bool, bool, bool),
        fields: &Rules,
        selections: &Selections,
    ) -> Result<Self, Error> {
        const DELTA: Encoding = Encoding::DELTA_BINARY_PACKED;
        let base =
            |name: &str, sort: &[i32]| engine_parquet::properties(&tags(callset, name), sort);
        let variants = encoded(
            base("variants", &[2, 4, 5]),
            &[
                ("vid", Encoding::DELTA_BYTE_ARRAY),
                ("variant_idx", DELTA),
                ("pos", DELTA),
                ("end", DELTA),
                ("orig_pos", DELTA),
            ],
        );
        let mut genotypes = encoded(
            // A query of few variants inflates a page or two: benches/results/layout.md.
            base("genotypes", &[0]).set_data_page_size_limit(256 << 10),
            &[("variant_idx", DELTA), ("pos", DELTA)],
        );
        for plane in planes::PLANES {
            genotypes = encoded(genotypes, &[(plane, Encoding::PLAIN)])
                .set_column_statistics_enabled(plane.into(), EnabledStatistics::None);
        }
        for list in planes::LISTS {
            let path = ColumnPath::new(vec![list.into(), "list".into(), "item".into()]);
            genotypes = genotypes
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), DELTA)
                .set_column_statistics_enabled(path, EnabledStatistics::None);
        }
        let mut long = encoded(
            // Each page costs a compressor, so pages are longer than the default 20,000 rows.
            base("carriers", &[0, 2]).set_data_page_row_count_limit(1 << 17),
            &[("variant_idx", Encoding::PLAIN), ("pos", Encoding::PLAIN), ("sample_idx", DELTA)],
        );
        for column in ["sample_idx", "phased"] {
            long = long.set_column_statistics_enabled(column.into(), EnabledStatistics::None);
        }
        // A dictionary is a seventh smaller and costs 6 % of the CPU time of a whole run.
        long = split_bytes(long, "gt".into());
        for field in field_columns::carrier_fields(&fields.kept) {
            long = split_bytes(long, ColumnPath::from(field.name().as_str()));
        }
        let table = |name, schema, properties: WriterPropertiesBuilder, part_rows| {
            Table::new(name, schema, properties, tags(callset, name), part_rows)
        };
        Ok(Self {
            variants: table(
                "variants",
                variants_schema(groups, info, fields, selections, consequences),
                variants,
                PART_VARIANTS,
            )?,
            genotypes: table("genotypes", planes::schema(samples)?, genotypes, PART_VARIANTS)?,
            carriers: if carriers {
                Some(table("carriers", carriers_schema(fields), long, PART_CARRIERS)?)
            } else {
                None
            },
            quality: if fields.quality {
                let mut properties =
                    encoded(base("quality", &[0]), &[("variant_idx", DELTA), ("pos", DELTA)]);
                for column in quality::LISTS {
                    let path = [column, "list", "item"].map(str::to_owned);
                    properties = split_bytes(properties, ColumnPath::new(path.into()));
                }
                let schema = quality::schema(samples)?;
                Some(table("quality", schema, properties, PART_VARIANTS)?)
            } else {
                None
            },
            consequences: if consequences {
                let properties = encoded(
                    base(consequences::TABLE, &[0]),
                    &[("variant_idx", DELTA), ("pos", DELTA)],
                );
                let schema = consequences::schema();
                Some(table(consequences::TABLE, schema, properties, PART_CARRIERS)?)
            } else {
                None
            },
            freq: if strata {
                let properties = freq::encodings(base(freq::TABLE, &[0, 2]));
                Some(table(freq::TABLE, freq::schema(), properties, PART_CARRIERS)?)
            } else {
                None
            },
        })
    }
}

/// Names of the per-group count columns, in the order of the counts.
pub const GROUP_COLUMNS: [&str; 4] = ["ac", "an", "hom", "hemi"];

fn variants_schema(
    groups: &[String],
    info: &[InfoField],
    rules: &Rules,
    selections: &Selections,
    consequences: bool,
) -> Schema {
    let must = |name: &str, ty| Field::new(name, ty, false);
    let may = |name: &str, ty| Field::new(name, ty, true);
    let int = || DataType::Int32;
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let mut fields = vec![
        must("vid", DataType::Utf8),
        must("variant_idx", int()),
        must("pos", int()),
        must("end", int()),
        must("ref", DataType::Utf8),
        must("alt", DataType::Utf8),
        may("rsid", DataType::Utf8),
        must("variant_type", dictionary()),
        may("qual", DataType::Float32),
        may("filters", DataType::new_list(DataType::Utf8, true)),
        must("was_split", DataType::Boolean),
        must("orig_pos", int()),
        must("orig_ref", DataType::Utf8),
        must("orig_alt", DataType::Utf8),
        must("allele_index", int()),
    ];
    for name in [
        "n_called",
        "n_missing",
        "n_half",
        "n_hom_ref",
        "n_het",
        "n_hom_alt",
        "n_hemi_ref",
        "n_hemi_alt",
        "ac",
        "an",
    ] {
        fields.push(must(name, int()));
    }
    for name in ["af", "call_rate", "hwe_p", "excess_het_p"] {
        fields.push(may(name, DataType::Float64));
    }
    for group in groups {
        for name in GROUP_COLUMNS {
            fields.push(must(&format!("{name}_{group}"), int()));
        }
    }
    fields.push(may("grpmax_group", DataType::Utf8));
    fields.push(may("grpmax_af", DataType::Float64));
    fields.push(may("faf95", DataType::Float64));
    fields.extend(site::fields());
    fields.extend(field_columns::variant_fields(rules));
    fields.extend(selections.fields());
    if consequences {
        fields.extend(consequences::variant_fields());
    }
    if !info.is_empty() {
        fields.push(must("info", DataType::Struct(info::arrow_fields(info))));
    }
    Schema::new(fields)
}

fn carriers_schema(rules: &Rules) -> Schema {
    let mut fields = vec![
        Field::new("variant_idx", DataType::Int32, false),
        Field::new("pos", DataType::Int32, false),
        Field::new("sample_idx", DataType::Int32, false),
        Field::new("gt", DataType::Int8, false),
        Field::new("phased", DataType::Boolean, true),
    ];
    fields.extend(field_columns::carrier_fields(&rules.kept));
    Schema::new(fields)
}

/// The schema of `samples`.
pub fn samples_schema() -> Schema {
    let must = |name: &str, ty| Field::new(name, ty, false);
    let may = |name: &str, ty| Field::new(name, ty, true);
    let mut fields: Vec<Field> = vec![
        must("sample_idx", DataType::Int32),
        must("person_id", DataType::Int64),
        may("sex", DataType::Utf8),
        may("karyotype", DataType::Utf8),
        may("ancestry", DataType::Utf8),
        may("call_rate", DataType::Float64),
        must("n_het", DataType::Int32),
        must("n_hom_alt", DataType::Int32),
        must("n_singleton", DataType::Int32),
    ];
    for name in ["ti_tv", "het_hom_ratio", "ins_del_ratio", "f_inbreeding", "mean_dp", "mean_gq"] {
        fields.push(may(name, DataType::Float64));
    }
    fields.push(must("flags", DataType::new_list(DataType::Utf8, true)));
    fields.push(may("f_x", DataType::Float64));
    fields.push(may("y_call_rate", DataType::Float64));
    for name in
        ["n_snp", "n_ti", "n_tv", "n_insertion", "n_deletion", "n_private_site", "n_het_hap"]
    {
        fields.push(must(name, DataType::Int32));
    }
    Schema::new(Fields::from(fields))
}

fn parquet_error(path: &str) -> impl Fn(ParquetError) -> Error + use<> {
    let path = path.to_owned();
    move |source| engine_parquet::Error::Parquet { path: path.clone(), source }.into()
}

impl Table {
    /// A table of `schema`, whose parts end with the row group that makes them `part_rows` long.
    pub fn new(
        name: &'static str,
        schema: Schema,
        properties: WriterPropertiesBuilder,
        tags: FileTags,
        part_rows: u64,
    ) -> Result<Self, Error> {
        // Names that come from groups, selections and fields are not ours: any two may meet.
        let mut seen = std::collections::HashSet::new();
        if let Some(f) = schema.fields().iter().find(|f| !seen.insert(f.name().to_lowercase())) {
            return Err(Error::DuplicateColumn { table: name, column: f.name().clone() });
        }
        let (schema, properties) = (Arc::new(schema), properties.build());
        let (_, factory) =
            ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.clone()))
                .and_then(ArrowWriter::into_serialized_writer)
                .map_err(parquet_error(name))?;
        Ok(Self { name, schema, factory, properties, tags, part_rows })
    }

    /// Encodes one row group.
    pub fn encode(&self, arrays: &[ArrayRef]) -> Result<Vec<ArrowColumnChunk>, Error> {
        let mut group = self.row_group()?;
        group.write(arrays)?;
        group.close()
    }

    /// Begins a row group that is encoded piece by piece.
    pub fn row_group(&self) -> Result<RowGroup<'_>, Error> {
        let fault = parquet_error(self.name);
        let writers = self.factory.create_column_writers(0).map_err(&fault)?;
        Ok(RowGroup { table: self, writers })
    }
}

/// A row group being encoded in memory.
pub struct RowGroup<'a> {
    table: &'a Table,
    writers: Vec<ArrowColumnWriter>,
}

impl RowGroup<'_> {
    /// Appends rows.
    pub fn write(&mut self, arrays: &[ArrayRef]) -> Result<(), Error> {
        let fault = parquet_error(self.table.name);
        let mut writers = self.writers.iter_mut();
        for (field, array) in self.table.schema.fields().iter().zip(arrays) {
            for leaf in compute_leaves(field, array).map_err(&fault)? {
                let Some(writer) = writers.next() else {
                    return Err(Error::Internal {
                        what: "encoding a row group",
                        detail: "more columns than the schema".to_owned(),
                    });
                };
                writer.write(&leaf).map_err(&fault)?;
            }
        }
        Ok(())
    }

    /// The encoded chunks.
    pub fn close(self) -> Result<Vec<ArrowColumnChunk>, Error> {
        let fault = parquet_error(self.table.name);
        self.writers.into_iter().map(|w| w.close().map_err(&fault)).collect()
    }
}

/// The part files of one table and chromosome.
pub struct Parts<'a> {
    root: &'a Path,
    folder: String,
    table: &'a Table,
    next: usize,
    open: Option<Part>,
    /// Finished files.
    pub files: Vec<FileEntry>,
}

struct Part {
    writer: SerializedFileWriter<HashedFile>,
    rows: u64,
    relative: String,
}

impl<'a> Parts<'a> {
    /// No file yet; they come below `folder`.
    pub fn new(root: &'a Path, folder: String, table: &'a Table) -> Self {
        Self { root, folder, table, next: 0, open: None, files: Vec::new() }
    }

    fn part(&mut self) -> Result<&mut Part, Error> {
        if self.open.is_none() {
            let relative = format!("{}/part-{:04}.parquet", self.folder, self.next);
            self.next += 1;
            let file = HashedFile::create(self.root, &relative)?;
            let schema = self.table.schema.clone();
            let (writer, _) =
                ArrowWriter::try_new(file, schema, Some(self.table.properties.clone()))
                    .and_then(ArrowWriter::into_serialized_writer)
                    .map_err(parquet_error(&relative))?;
            self.open = Some(Part { writer, rows: 0, relative });
        }
        self.open.as_mut().ok_or_else(|| Error::Internal {
            what: "opening a part file",
            detail: "none is open".to_owned(),
        })
    }

    /// Appends a row group.
    pub fn append(&mut self, chunks: Vec<ArrowColumnChunk>, rows: u64) -> Result<(), Error> {
        let limit = self.table.part_rows;
        let part = self.part()?;
        let fault = parquet_error(&part.relative);
        let mut group = part.writer.next_row_group().map_err(&fault)?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group).map_err(&fault)?;
        }
        group.close().map_err(&fault)?;
        part.rows += rows;
        let full = part.rows >= limit;
        if full {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Part { writer, rows, relative }) = self.open.take() else { return Ok(()) };
        let file = writer.into_inner().map_err(parquet_error(&relative))?;
        let (bytes, sha256) = file.finish()?;
        self.files.push(FileEntry {
            path: relative,
            tier: self.table.tags.tier.clone(),
            table: self.table.tags.table.clone(),
            rows: Some(rows),
            bytes,
            sha256,
            plaintext_sha256: None,
            schema: Some(schema_digest(&self.table.schema)),
            vocabulary: None,
        });
        Ok(())
    }

    /// Closes the last file; a table without rows still has one file, with its schema.
    pub fn finish(mut self) -> Result<Vec<FileEntry>, Error> {
        if self.next == 0 {
            self.part()?;
        }
        self.close()?;
        Ok(self.files)
    }
}
