//! Columns of a row group of `genotypes` without arrow: a plane is a slice of its page.

use std::fs::File;
use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type};
use parquet::file::serialized_reader::SerializedPageReader;

use super::super::planes::{LISTS, PLANES};
use super::{Part, Unit, table_error};
use crate::error::IoError;
use crate::genotype::Error;

/// Bytes of one plane column that are decoded at a time.
pub const BATCH_BYTES: usize = 2 << 20;

/// What a row has: planes or lists.
pub enum Form<'a> {
    /// het and hom-alt planes.
    Planes(&'a [u8], &'a [u8]),
    /// Samples that are het, hom-alt and missing.
    Lists([&'a [i32]; 3]),
}

/// A row of the table.
pub struct Row<'a> {
    /// `variant_idx`.
    pub variant_idx: i32,
    /// `pos`.
    pub pos: i32,
    /// Genotypes.
    pub form: Form<'a>,
    /// `haploid`.
    pub haploid: Option<&'a [u8]>,
    /// `phase`.
    pub phase: Option<&'a [u8]>,
    /// `phase_idx`.
    pub phase_idx: Option<&'a [i32]>,
}

/// Calls `see` for each row of the unit that lies in its span, in order. `phase` says whether to read
/// the columns of phase.
pub fn rows(
    unit: Unit<'_>,
    samples: usize,
    phase: bool,
    mut see: impl FnMut(Row<'_>),
) -> Result<(), Error> {
    let part = unit.part;
    if part.is_sealed() {
        return super::sealed::rows(unit, samples, phase, see);
    }
    let file = File::open(&part.path).map_err(IoError::at("opening", &part.path))?;
    let open = Open { unit, file: Arc::new(file) };
    let pos = open.ints("pos")?;
    let first = pos.partition_point(|&p| p < unit.span.start);
    let last = pos.partition_point(|&p| p <= unit.span.end);
    if first >= last {
        return Ok(());
    }
    let idx = open.ints("variant_idx")?;
    if idx.len() != pos.len() {
        return Err(part.fault("columns of one row group differ in length"));
    }
    let mut planes: Vec<Plane> = Vec::with_capacity(4);
    for (i, name) in PLANES.iter().enumerate() {
        planes.push(open.plane(name, first, samples.div_ceil(8), i != 2 || phase)?);
    }
    let mut lists: Vec<List> = Vec::with_capacity(4);
    for (i, name) in LISTS.iter().enumerate() {
        lists.push(open.list(name, first, i != 3 || phase)?);
    }
    let batch = (BATCH_BYTES / samples.div_ceil(8).max(1)).clamp(64, 8192);
    let mut at = first;
    while at < last {
        let n = batch.min(last - at);
        planes.iter_mut().try_for_each(|p| p.fill(n)).map_err(table_error(&part.path))?;
        lists.iter_mut().try_for_each(|l| l.fill(n)).map_err(table_error(&part.path))?;
        for i in 0..n {
            let form = match (planes[0].row(i), planes[1].row(i)) {
                (Some(het), Some(hom)) => Form::Planes(het, hom),
                _ => match (lists[0].row(i), lists[1].row(i), lists[2].row(i)) {
                    (Some(het), Some(hom), Some(missing)) => Form::Lists([het, hom, missing]),
                    _ => return Err(part.fault("a row has neither planes nor lists")),
                },
            };
            see(Row {
                variant_idx: idx[at + i],
                pos: pos[at + i],
                form,
                haploid: planes[3].row(i),
                phase: planes[2].row(i),
                phase_idx: lists[3].row(i),
            });
        }
        at += n;
    }
    Ok(())
}

struct Open<'a> {
    unit: Unit<'a>,
    file: Arc<File>,
}

impl Open<'_> {
    fn part(&self) -> &Part {
        self.unit.part
    }

    fn column<T: DataType>(&self, leaf: usize) -> Result<ColumnReaderImpl<T>, Error> {
        let meta = self.part().meta.row_group(self.unit.group);
        let rows = usize::try_from(meta.num_rows()).map_err(table_error(&self.part().path))?;
        let pages = SerializedPageReader::new(self.file.clone(), meta.column(leaf), rows, None)
            .map_err(table_error(&self.part().path))?;
        let pages: Box<dyn PageReader> = Box::new(pages);
        Ok(ColumnReaderImpl::new(meta.schema_descr().column(leaf), pages))
    }

    fn ints(&self, name: &str) -> Result<Vec<i32>, Error> {
        let leaf = self.part().leaf(name);
        let leaf = leaf.ok_or_else(|| self.part().fault("a column is missing"))?;
        let rows = self.part().meta.row_group(self.unit.group).num_rows() as usize;
        let mut values = Vec::with_capacity(rows);
        self.column::<Int32Type>(leaf)?
            .read_records(rows, None, None, &mut values)
            .map_err(table_error(&self.part().path))?;
        Ok(values)
    }

    fn plane(&self, name: &str, skip: usize, stride: usize, wanted: bool) -> Result<Plane, Error> {
        let leaf = self.part().leaf(name).filter(|_| wanted);
        let mut plane = Plane { stride, ..Plane::default() };
        if let Some(leaf) = leaf {
            let mut column = self.column::<FixedLenByteArrayType>(leaf)?;
            column.skip_records(skip).map_err(table_error(&self.part().path))?;
            let descr = self.part().meta.file_metadata().schema_descr().column(leaf);
            plane.nullable = descr.max_def_level() > 0;
            plane.column = Some(column);
        }
        Ok(plane)
    }

    fn list(&self, name: &str, skip: usize, wanted: bool) -> Result<List, Error> {
        let leaf = self.part().leaf(name).filter(|_| wanted);
        let mut list = List::default();
        if let Some(leaf) = leaf {
            let mut column = self.column::<Int32Type>(leaf)?;
            column.skip_records(skip).map_err(table_error(&self.part().path))?;
            list.column = Some(column);
        }
        Ok(list)
    }
}

/// A plane column, batch by batch; null throughout if it has no reader.
#[derive(Default)]
struct Plane {
    column: Option<ColumnReaderImpl<FixedLenByteArrayType>>,
    nullable: bool,
    stride: usize,
    values: Vec<FixedLenByteArray>,
    levels: Vec<i16>,
    /// By row of the batch: index of its value plus one, or 0.
    at: Vec<u32>,
}

impl Plane {
    fn fill(&mut self, n: usize) -> Result<(), parquet::errors::ParquetError> {
        let Some(column) = &mut self.column else { return Ok(()) };
        self.values.clear();
        self.levels.clear();
        self.at.clear();
        let levels = self.nullable.then_some(&mut self.levels);
        let (rows, ..) = column.read_records(n, levels, None, &mut self.values)?;
        let whole = self.values.iter().all(|v| v.data().len() == self.stride);
        if rows != n || !whole {
            return Err(parquet::errors::ParquetError::General("a column is too short".into()));
        }
        if self.nullable {
            let mut next = 0;
            self.at.extend(self.levels.iter().map(|&level| {
                next += u32::from(level > 0);
                if level > 0 { next } else { 0 }
            }));
        }
        Ok(())
    }

    fn row(&self, i: usize) -> Option<&[u8]> {
        self.column.as_ref()?;
        let at = if self.nullable { self.at[i] as usize } else { i + 1 };
        (at > 0).then(|| self.values[at - 1].data())
    }
}

/// A list column, batch by batch; null throughout if it has no reader.
#[derive(Default)]
struct List {
    column: Option<ColumnReaderImpl<Int32Type>>,
    values: Vec<i32>,
    levels: Vec<i16>,
    repeats: Vec<i16>,
    /// By row of the batch: its values, if it is not null.
    at: Vec<Option<(u32, u32)>>,
}

impl List {
    fn fill(&mut self, n: usize) -> Result<(), parquet::errors::ParquetError> {
        let Some(column) = &mut self.column else { return Ok(()) };
        self.values.clear();
        self.levels.clear();
        self.repeats.clear();
        self.at.clear();
        let (levels, repeats) = (Some(&mut self.levels), Some(&mut self.repeats));
        let (rows, ..) = column.read_records(n, levels, repeats, &mut self.values)?;
        if rows != n {
            return Err(parquet::errors::ParquetError::General("a column is too short".into()));
        }
        // Definition levels of a nullable list of values: 0 null, 1 empty, 2 a value.
        let mut next = 0;
        for (&level, &repeat) in self.levels.iter().zip(&self.repeats) {
            if repeat == 0 {
                self.at.push((level > 0).then_some((next, next)));
            }
            if level == 2 {
                next += 1;
                if let Some(Some((_, end))) = self.at.last_mut() {
                    *end = next;
                }
            }
        }
        Ok(())
    }

    fn row(&self, i: usize) -> Option<&[i32]> {
        self.column.as_ref()?;
        self.at[i].map(|(start, end)| &self.values[start as usize..end as usize])
    }
}
