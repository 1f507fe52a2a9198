//! Columns that the FORMAT fields add to `variants` and `carriers`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float64Array, Int16Array, Int32Array};
use arrow::datatypes::{DataType, Field};

use super::assemble::Group;
use super::carriers::Rows;
use super::fields::{NONE, Rules};
use super::histogram::{AGES, BALANCES, VALUES};
use super::shard::ShardRows;
use super::summary::Summary;
use super::{Error, FormatField};

/// Code of a filtered call in `carriers.gt`.
const FILTERED: i8 = 6;
/// Names of the histograms of values, in the order of [`Summary::histograms`].
const HISTOGRAMS: [&str; 4] = ["gq_hist_all", "dp_hist_all", "gq_hist_alt", "dp_hist_alt"];
/// Names of the counts over calls that pass the thresholds.
const ADJ: [&str; 4] = ["ac_adj", "an_adj", "hom_adj", "hemi_adj"];

fn counters(width: usize) -> DataType {
    let item = Arc::new(Field::new("item", DataType::Int32, false));
    DataType::FixedSizeList(item, width as i32)
}

/// The columns of `variants`.
pub fn variant_fields(rules: &Rules) -> Vec<Field> {
    let must = |name: &str, ty| Field::new(name, ty, false);
    let mut fields = vec![must("n_filtered", DataType::Int32)];
    if rules.calls.has_adj() {
        fields.extend(ADJ.iter().map(|name| must(name, DataType::Int32)));
    }
    if rules.numbers {
        for name in ["mean_dp", "mean_gq"] {
            fields.push(Field::new(name, DataType::Float64, true));
        }
        fields.extend(HISTOGRAMS.iter().map(|name| must(name, counters(VALUES))));
        fields.push(must("ab_hist_alt", counters(BALANCES)));
    }
    if !rules.ages.is_empty() {
        fields.push(must("age_hist_het", counters(AGES)));
        fields.push(must("age_hist_hom", counters(AGES)));
    }
    fields
}

/// The values of [`variant_fields`] for the rows of `group`.
///
/// # Errors
/// Never on rows that were scanned under the same rules.
pub fn variant_columns(rules: &Rules, group: &Group) -> Result<Vec<ArrayRef>, Error> {
    let rows = || group.rows.iter().map(|at| (&at.shard.rows, at.row as usize));
    let ints = |value: &dyn Fn(&ShardRows, usize) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows().map(|(shard, i)| value(shard, i))))
    };
    let mut columns = vec![ints(&|shard, i| shard.summaries.filtered(i).len() as i32)];
    if rules.calls.has_adj() {
        for k in 0..ADJ.len() {
            columns
                .push(ints(&|shard, i| shard.adj_groups(i).last().map_or(0, |counts| counts[k])));
        }
    }
    if rules.numbers {
        let none = Summary::default();
        let all = || rows().map(|(shard, i)| shard.summaries.row(i).unwrap_or(&none));
        columns.push(Arc::new(all().map(|s| s.dp.mean()).collect::<Float64Array>()));
        columns.push(Arc::new(all().map(|s| s.gq.mean()).collect::<Float64Array>()));
        for k in 0..HISTOGRAMS.len() {
            columns.push(lists(VALUES, all().flat_map(|s| s.histograms[k]))?);
        }
        columns.push(lists(BALANCES, all().flat_map(|s| s.balance))?);
    }
    if !rules.ages.is_empty() {
        for k in 0..2 {
            let of = |(shard, i): (&ShardRows, usize)| {
                shard.summaries.ages(i).map_or([0; AGES], |ages| ages[k])
            };
            columns.push(lists(AGES, rows().flat_map(of))?);
        }
    }
    Ok(columns)
}

fn lists(width: usize, values: impl Iterator<Item = i32>) -> Result<ArrayRef, Error> {
    let DataType::FixedSizeList(item, width) = counters(width) else {
        return Err(Error::internal("encoding histograms")("not a list"));
    };
    let values = Arc::new(Int32Array::from_iter_values(values));
    FixedSizeListArray::try_new(item, width, values, None)
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(Error::internal("encoding histograms"))
}

/// The columns of `carriers`, each with its place among the values of a cell.
fn carrier_places(kept: &[FormatField]) -> Vec<(&'static str, usize)> {
    let columns = |field: &FormatField| match field {
        FormatField::GQ => vec![("gq", 0)],
        FormatField::DP => vec![("dp", 1)],
        FormatField::AD => vec![("ad_ref", 2), ("ad_alt", 3)],
    };
    kept.iter().flat_map(columns).collect()
}

/// The columns of `carriers`.
pub fn carrier_fields(kept: &[FormatField]) -> Vec<Field> {
    let ty = |place| if place == 0 { DataType::Int16 } else { DataType::Int32 };
    let field = |(name, place)| Field::new(name, ty(place), true);
    carrier_places(kept).into_iter().map(field).collect()
}

/// Gives the rows from `from` on, which are of row `i` of `shard`, their values and the code of filtered calls.
pub fn complete(rows: &mut Rows, from: usize, shard: &ShardRows, i: usize, kept: bool) {
    let summaries = &shard.summaries;
    let filtered = summaries.filtered(i);
    if !filtered.is_empty() {
        for (gt, sample) in rows.gt[from..].iter_mut().zip(&rows.sample[from..]) {
            if filtered.binary_search(&(*sample as u32)).is_ok() {
                *gt = FILTERED;
            }
        }
    }
    if !kept {
        return;
    }
    let mut values = summaries.values(i).iter();
    let (het, hom) = shard.planes(i);
    let mut samples = rows.sample[from..].iter();
    let mut next = samples.next();
    // Values are there for every bit that is set; a sample that has no row is passed over.
    for byte in 0..het.len() {
        let mut rest = het[byte] | hom[byte];
        while rest != 0 {
            let sample = (byte * 8) as i32 + rest.trailing_zeros() as i32;
            rest &= rest - 1;
            let value = values.next().copied().unwrap_or([NONE; 4]);
            if next == Some(&sample) {
                rows.values.push(value);
                next = samples.next();
            }
        }
    }
}

/// The values of [`carrier_fields`].
pub fn carrier_columns(kept: &[FormatField], rows: &Rows) -> Vec<ArrayRef> {
    let column = |(_, place): (&str, usize)| -> ArrayRef {
        let known = rows.values.iter().map(|v| Some(v[place]).filter(|&v| v != NONE));
        if place == 0 {
            // GQ has an upper end in practice; one above it stays at the largest value.
            let short = |v: u32| v.min(i16::MAX as u32) as i16;
            Arc::new(known.map(|v| v.map(short)).collect::<Int16Array>())
        } else {
            Arc::new(known.map(|v| v.map(|v| v as i32)).collect::<Int32Array>())
        }
    };
    let columns: Vec<ArrayRef> = carrier_places(kept).into_iter().map(column).collect();
    debug_assert!(columns.iter().all(|c| c.len() == rows.sample.len()));
    columns
}
