//! Columns of `variants` about the site that follow from its counts: inbreeding, further filtering
//! frequencies, Hardy-Weinberg in log space and on X.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int32Array, StringBuilder};
use arrow::datatypes::{DataType, Field};

use super::assemble::Group;
use super::region::Region;
use super::shard::{Counts, Row};
use super::stats::{Memo, SMALL_P, nlog10};

/// The columns in order. Statistics that the contract does not fix have seven digits: in 64 bits they
/// would be a fifth of the table.
pub fn fields() -> Vec<Field> {
    let short = |name: &str| Field::new(name, DataType::Float32, true);
    let float = |name: &str| Field::new(name, DataType::Float64, true);
    vec![
        Field::new("n_het_hap", DataType::Int32, false),
        short("inbreeding"),
        short("faf99"),
        Field::new("fafmax_group", DataType::Utf8, true),
        short("fafmax_faf95"),
        short("hwe_nlog10p"),
        float("hwe_x_p"),
        float("hwe_x_nlog10p"),
    ]
}

/// `1 - n_het / (2 p q n)` over diploid calls (gnomAD, GATK); `None` without both alleles among them.
fn inbreeding(c: &Counts) -> Option<f64> {
    let n = f64::from(c.hom_ref + c.het + c.hom_alt);
    let p = (2.0 * f64::from(c.hom_ref) + f64::from(c.het)) / (2.0 * n);
    let expected = 2.0 * p * (1.0 - p) * n;
    (expected > 0.0).then(|| 1.0 - f64::from(c.het) / expected)
}

/// The group of the highest `faf95` above 0, the first in order on a tie.
fn highest(memo: &mut Memo, groups: &[[i32; 4]]) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (g, [ac, an, ..]) in groups.iter().enumerate() {
        let faf = memo.faf95(*ac as u32, *an as u32);
        if faf > best.map_or(0.0, |(_, b)| b) {
            best = Some((g, faf));
        }
    }
    best
}

/// Logarithm of the joint p of women and men; `None` outside non-PAR X.
///
/// Who has a diploid call counts as a woman, who has a haploid one as a man.
fn joint(memo: &mut Memo, row: &Row) -> Option<f64> {
    let c = &row.counts;
    (row.region == Region::X).then(|| {
        let women = [c.hom_ref, c.het, c.hom_alt].map(|n| n as u32);
        memo.ln_joint(women, [c.hemi_ref, c.hemi_alt].map(|n| n as u32))
    })
}

/// The columns of a row group.
pub fn columns(groups: &[String], memo: &mut Memo, group: &Group) -> Vec<ArrayRef> {
    let n = group.rows.len();
    let mut het_hap = Vec::with_capacity(n);
    let mut names = StringBuilder::new();
    let mut short: [Vec<Option<f32>>; 4] = std::array::from_fn(|_| Vec::with_capacity(n));
    let mut floats: [Vec<Option<f64>>; 2] = std::array::from_fn(|_| Vec::with_capacity(n));
    for at in &group.rows {
        let row = &at.shard.rows.rows[at.row as usize];
        let c = &row.counts;
        let best = highest(memo, at.shard.rows.groups(at.row as usize));
        let faf99 = (c.an() > 0).then(|| memo.faf99(c.ac() as u32, c.an() as u32));
        let extreme = memo.hwe_nlog10(c.hom_ref as u32, c.het as u32, c.hom_alt as u32);
        let x = joint(memo, row);
        het_hap.push(c.het_hap);
        names.append_option(best.map(|(g, _)| &groups[g]));
        let values = [inbreeding(c), faf99, best.map(|(_, faf)| faf), extreme];
        for (column, value) in short.iter_mut().zip(values) {
            column.push(value.map(|v| v as f32));
        }
        let extreme = x.filter(|ln| ln.exp() < SMALL_P);
        let values = [x.map(f64::exp), extreme.map(nlog10)];
        for (column, value) in floats.iter_mut().zip(values) {
            column.push(value);
        }
    }
    let names: ArrayRef = Arc::new(names.finish());
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(het_hap))];
    arrays.extend(short.map(|v| Arc::new(Float32Array::from(v)) as ArrayRef));
    arrays.extend(floats.map(|v| Arc::new(Float64Array::from(v)) as ArrayRef));
    arrays.insert(3, names);
    arrays
}
