//! Columns of a row group of a sealed `genotypes` table: its pages are open to arrow's own reader alone.

use std::fs::File;

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::Int32Type;
use parquet::arrow::ProjectionMask;

use super::super::planes::{LISTS, PLANES};
use super::read::{BATCH_BYTES, Form, Row};
use super::{Unit, table_error};
use crate::error::IoError;
use crate::genotype::Error;

/// As [`super::read::rows`], of a sealed table.
pub fn rows(
    unit: Unit<'_>,
    samples: usize,
    phase: bool,
    mut see: impl FnMut(Row<'_>),
) -> Result<(), Error> {
    let part = unit.part;
    let file = File::open(&part.path).map_err(IoError::at("opening", &part.path))?;
    let builder = part.keyring.open(file).map_err(table_error(&part.path))?;
    let columns = ["variant_idx", "pos"].into_iter().chain(PLANES).chain(LISTS);
    let mask = ProjectionMask::columns(
        builder.parquet_schema(),
        columns.filter(|name| phase || !name.starts_with("phase")),
    );
    let reader = builder
        .with_projection(mask)
        .with_row_groups(vec![unit.group])
        .with_batch_size((BATCH_BYTES / samples.div_ceil(8).max(1)).clamp(64, 8192))
        .build()
        .map_err(table_error(&part.path))?;
    for batch in reader {
        let batch = batch.map_err(table_error(&part.path))?;
        let columns = Columns::of(&batch)
            .ok_or_else(|| part.fault("a column is missing or has another type"))?;
        let first = columns.pos.values().partition_point(|&p| p < unit.span.start);
        let last = columns.pos.values().partition_point(|&p| p <= unit.span.end);
        for i in first..last {
            let row = columns.row(i);
            see(row.ok_or_else(|| part.fault("a row has neither planes nor lists"))?);
        }
    }
    Ok(())
}

struct Columns<'a> {
    idx: &'a PrimitiveArray<Int32Type>,
    pos: &'a PrimitiveArray<Int32Type>,
    planes: [Option<&'a FixedSizeBinaryArray>; 4],
    lists: [Option<Lists<'a>>; 4],
}

struct Lists<'a> {
    rows: &'a ListArray,
    values: &'a [i32],
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let ints = |name| batch.column_by_name(name)?.as_primitive_opt::<Int32Type>();
        let plane = |name| batch.column_by_name(name)?.as_fixed_size_binary_opt();
        let lists = |name| {
            let rows = batch.column_by_name(name)?.as_list_opt::<i32>()?;
            Some(Lists { rows, values: rows.values().as_primitive_opt::<Int32Type>()?.values() })
        };
        Some(Self {
            idx: ints("variant_idx")?,
            pos: ints("pos")?,
            planes: PLANES.map(plane),
            lists: LISTS.map(lists),
        })
    }

    fn plane(&self, plane: usize, row: usize) -> Option<&'a [u8]> {
        self.planes[plane].filter(|plane| plane.is_valid(row)).map(|plane| plane.value(row))
    }

    fn list(&self, list: usize, row: usize) -> Option<&'a [i32]> {
        let list = self.lists[list].as_ref().filter(|list| list.rows.is_valid(row))?;
        let span = list.rows.value_offsets();
        Some(&list.values[span[row] as usize..span[row + 1] as usize])
    }

    fn row(&self, row: usize) -> Option<Row<'a>> {
        let form = match (self.plane(0, row), self.plane(1, row)) {
            (Some(het), Some(hom)) => Form::Planes(het, hom),
            _ => Form::Lists([self.list(0, row)?, self.list(1, row)?, self.list(2, row)?]),
        };
        Some(Row {
            variant_idx: self.idx.value(row),
            pos: self.pos.value(row),
            form,
            haploid: self.plane(3, row),
            phase: self.plane(2, row),
            phase_idx: self.list(3, row),
        })
    }
}
