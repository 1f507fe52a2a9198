//! The `variant_freq` table: counts of a variant by stratum, one row each, sorted by (variant, stratum).
//!
//! A stratum in which nobody is called has no row: absent is AN 0. A stratum without a copy has its row,
//! so that AN is never lost.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int16Array, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Int16Type, Schema};
use parquet::arrow::arrow_writer::ArrowColumnChunk;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;

use super::assemble::Group;
use super::cohort::Cohort;
use super::shard::ShardRows;
use super::tables::{Table, encoded};
use super::{Error, Sex, Stratum};

/// The table's name.
pub const TABLE: &str = "variant_freq";

/// Rows after which a row group ends.
const GROUP_ROWS: usize = 1 << 20;

/// What a stratum adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sum {
    /// Cells of the cohort.
    Cells(Vec<usize>),
    /// Calls that pass the adj mask, of all or of an ancestry group.
    Adj(Option<usize>),
}

/// The strata of a callset in the order of their rows.
#[derive(Debug, Clone, Default)]
pub struct Strata {
    names: Vec<String>,
    sums: Vec<Sum>,
    cells: usize,
}

impl Strata {
    /// The strata of `wanted` that have anybody in them: `XX`, `XY` (as stated), then `afr_XX`, `afr_XY`
    /// ... by ancestry, then `adj`, `adj_afr` ... People of unknown sex are in none of the first two kinds.
    pub fn new(cohort: &Cohort, wanted: &[Stratum]) -> Self {
        let mut strata = Self { cells: cohort.cells.len(), ..Self::default() };
        let sexes = [(Sex::Female, "XX"), (Sex::Male, "XY")];
        let cells = |group: Option<usize>, sex| -> Vec<usize> {
            let of = |c: &super::cohort::Cell| {
                c.sex == Some(sex) && group.is_none_or(|g| g == usize::from(c.group))
            };
            (0..cohort.cells.len()).filter(|&i| of(&cohort.cells[i])).collect()
        };
        let mut add = |name: String, cells: Vec<usize>| {
            if !cells.is_empty() {
                strata.names.push(name);
                strata.sums.push(Sum::Cells(cells));
            }
        };
        if wanted.contains(&Stratum::Sex) {
            for (sex, name) in sexes {
                add(name.to_owned(), cells(None, sex));
            }
        }
        if wanted.contains(&Stratum::AncestrySex) {
            for (g, group) in cohort.groups.iter().enumerate() {
                for (sex, name) in sexes {
                    add(format!("{group}_{name}"), cells(Some(g), sex));
                }
            }
        }
        if wanted.contains(&Stratum::Adj) {
            strata.names.push("adj".to_owned());
            strata.names.extend(cohort.groups.iter().map(|g| format!("adj_{g}")));
            strata.sums.push(Sum::Adj(None));
            strata.sums.extend((0..cohort.groups.len()).map(|g| Sum::Adj(Some(g))));
        }
        strata
    }

    /// `[ac, an, hom, hemi]` of a stratum in row `i`; `None` where that is not known.
    fn counts(&self, sum: &Sum, shard: &ShardRows, i: usize) -> Option<[i32; 4]> {
        match sum {
            Sum::Cells(cells) => {
                let counts = shard.cells(i, self.cells);
                let mut total = [0; 4];
                for &cell in cells {
                    for (t, c) in total.iter_mut().zip(counts.get(cell)?) {
                        *t += c;
                    }
                }
                Some(total)
            }
            Sum::Adj(group) => {
                let counts = shard.adj_groups(i);
                group.map_or_else(|| counts.last(), |g| counts.get(g)).copied()
            }
        }
    }
}

/// The columns.
pub fn schema() -> Schema {
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    let group = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    Schema::new(vec![
        int("variant_idx"),
        int("pos"),
        Field::new("group", group, false),
        int("ac"),
        int("an"),
        Field::new("af", DataType::Float64, false),
        int("hom"),
        int("hemi"),
    ])
}

/// Ordinals and positions come in runs, the others repeat.
pub fn encodings(properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    let delta = Encoding::DELTA_BINARY_PACKED;
    encoded(properties, &[("variant_idx", delta), ("pos", delta)])
}

#[derive(Default)]
struct Rows {
    idx: Vec<i32>,
    pos: Vec<i32>,
    group: Vec<i16>,
    counts: Vec<[i32; 4]>,
}

impl Rows {
    fn arrays(&self, names: &Arc<StringArray>) -> Result<Vec<ArrayRef>, Error> {
        let group = Int16Array::from(self.group.clone());
        let group = DictionaryArray::<Int16Type>::try_new(group, names.clone())
            .map_err(Error::internal("encoding strata"))?;
        let ints = |k: usize| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(self.counts.iter().map(|c| c[k])))
        };
        let af = self.counts.iter().map(|&[ac, an, ..]| f64::from(ac) / f64::from(an));
        Ok(vec![
            Arc::new(Int32Array::from(self.idx.clone())),
            Arc::new(Int32Array::from(self.pos.clone())),
            Arc::new(group),
            ints(0),
            ints(1),
            Arc::new(Float64Array::from_iter_values(af)),
            ints(2),
            ints(3),
        ])
    }
}

/// The rows of a group of variants, as row groups with their numbers of rows.
pub fn encode(
    table: &Table,
    strata: &Strata,
    group: &Group,
) -> Result<Vec<(u64, Vec<ArrowColumnChunk>)>, Error> {
    let names = Arc::new(StringArray::from_iter_values(&strata.names));
    let mut done = Vec::new();
    let mut rows = Rows::default();
    for (i, at) in group.rows.iter().enumerate() {
        let shard = &at.shard.rows;
        for (k, sum) in strata.sums.iter().enumerate() {
            let Some(counts) = strata.counts(sum, shard, at.row as usize) else { continue };
            if counts[1] > 0 {
                rows.idx.push(group.first_idx + i as i32);
                rows.pos.push(shard.rows[at.row as usize].pos);
                rows.group.push(k as i16);
                rows.counts.push(counts);
            }
        }
        let full = rows.idx.len() >= GROUP_ROWS || i + 1 == group.rows.len();
        if full && !rows.idx.is_empty() {
            done.push((rows.idx.len() as u64, table.encode(&rows.arrays(&names)?)?));
            rows = Rows::default();
        }
    }
    Ok(done)
}
