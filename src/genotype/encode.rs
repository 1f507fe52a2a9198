//! A row group of variants into encoded column chunks of all tables. Runs on the workers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array,
    ListBuilder, StringArray, StringBuilder,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::Int8Type;
use parquet::arrow::arrow_writer::ArrowColumnChunk;

use super::allele::VariantType;
use super::assemble::{Group, RowRef};
use super::carriers::{self, NO_PHASE, PHASED, Rows};
use super::consequences;
use super::csq::Format;
use super::fields::Rules;
use super::freq::{self, Strata};
use super::info::{self, InfoField};
use super::planes;
use super::selection::Selections;
use super::shard::{Row, ShardRows};
use super::site;
use super::stats::Memo;
use super::tables::{Table, Tables};
use super::tally::Tally;
use super::work::Scratch;
use super::{Error, FormatField, field_columns, quality};

/// Rows after which a row group of `carriers` ends.
const CARRIER_ROWS: u64 = 1 << 20;
/// Rows of `carriers` that are encoded at a time.
const CARRIER_BATCH: usize = 1 << 15;

/// What a worker keeps between row groups.
#[derive(Default)]
pub struct Worker {
    /// Per-sample counters.
    pub tally: Tally,
    /// Buffers of the scan.
    pub scratch: Scratch,
    memo: Memo,
    rows: Rows,
}

/// What encoding needs to know.
pub struct Plan {
    /// The tables.
    pub tables: Tables,
    /// Ancestry groups.
    pub groups: Vec<String>,
    /// Selected INFO fields.
    pub info: Vec<InfoField>,
    /// Included samples.
    pub samples: usize,
    /// Strata of `variant_freq`.
    pub strata: Strata,
    /// What is made of FORMAT fields.
    pub fields: Rules,
    /// Named subsets of variants.
    pub selections: Selections,
    /// How consequences are written, if they are asked for.
    pub consequences: Option<Format>,
}

/// An encoded row group of each table.
pub struct Encoded {
    /// The chromosome's name.
    pub chrom: String,
    /// Variants in it.
    pub rows: u64,
    /// Chunks of `variants`.
    pub variants: Vec<ArrowColumnChunk>,
    /// Chunks of `genotypes`.
    pub genotypes: Vec<ArrowColumnChunk>,
    /// Row groups of `carriers` with their numbers of rows.
    pub carriers: Vec<(u64, Vec<ArrowColumnChunk>)>,
    /// Row groups of `variant_freq` with their numbers of rows.
    pub freq: Vec<(u64, Vec<ArrowColumnChunk>)>,
    /// Row groups of `consequences` with their numbers of rows.
    pub consequences: Vec<(u64, Vec<ArrowColumnChunk>)>,
    /// Chunks of `quality`, if there is such a table.
    pub quality: Option<Vec<ArrowColumnChunk>>,
}

/// Encodes `group`, and counts its samples into the worker's tally.
pub fn encode(plan: &Plan, worker: &mut Worker, group: &Group) -> Result<Encoded, Error> {
    let variants = plan.tables.variants.encode(&variants(plan, &mut worker.memo, group)?)?;
    let genotypes = plan.tables.genotypes.encode(&planes::arrays(group, plan.samples)?)?;
    let carriers = match &plan.tables.carriers {
        Some(table) => {
            let tally = (&mut worker.tally, plan.samples);
            carrier_groups(table, &plan.fields, group, tally, &mut worker.rows)?
        }
        None => {
            for (i, at) in group.rows.iter().enumerate() {
                let idx = group.first_idx + i as i32;
                let tally = (&mut worker.tally, plan.samples);
                carriers::visit(&at.shard.rows, at.row as usize, idx, tally, None);
            }
            Vec::new()
        }
    };
    let quality = match &plan.tables.quality {
        Some(table) => Some(quality::encode(table, group, plan.samples)?),
        None => None,
    };
    Ok(Encoded {
        chrom: group.chrom.name.clone(),
        rows: group.rows.len() as u64,
        variants,
        genotypes,
        carriers,
        freq: match &plan.tables.freq {
            Some(table) => freq::encode(table, &plan.strata, group)?,
            None => Vec::new(),
        },
        consequences: match (&plan.tables.consequences, &plan.consequences) {
            (Some(table), Some(format)) => consequences::encode(table, format, group)?,
            _ => Vec::new(),
        },
        quality,
    })
}

/// Encodes the carriers of a group piece by piece, so that the rows in the making stay in cache.
fn carrier_groups(
    table: &Table,
    rules: &Rules,
    group: &Group,
    (tally, samples): (&mut Tally, usize),
    rows: &mut Rows,
) -> Result<Vec<(u64, Vec<ArrowColumnChunk>)>, Error> {
    let mut done = Vec::new();
    let mut open = table.row_group()?;
    let mut count = 0;
    rows.clear();
    for (i, at) in group.rows.iter().enumerate() {
        let idx = group.first_idx + i as i32;
        let (shard, r) = (&at.shard.rows, at.row as usize);
        let counts = &shard.rows[r].counts;
        let af = ratio(counts.ac(), counts.an());
        if rules.carriers_max_af.is_some_and(|max| af.is_some_and(|af| af > max)) {
            carriers::visit(shard, r, idx, (tally, samples), None);
        } else {
            let from = rows.sample.len();
            carriers::visit(shard, r, idx, (tally, samples), Some(rows));
            field_columns::complete(rows, from, shard, r, !rules.kept.is_empty());
        }
        let last = i + 1 == group.rows.len();
        if rows.sample.len() >= CARRIER_BATCH || last {
            open.write(&carrier_arrays(rows, &rules.kept))?;
            count += rows.sample.len() as u64;
            rows.clear();
        }
        if count > 0 && (count >= CARRIER_ROWS || last) {
            let full = std::mem::replace(&mut open, table.row_group()?);
            done.push((count, full.close()?));
            count = 0;
        }
    }
    Ok(done)
}

fn carrier_arrays(rows: &Rows, kept: &[FormatField]) -> Vec<ArrayRef> {
    let n = rows.sample.len();
    let (mut idx, mut pos) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for &(variant, position, end) in &rows.runs {
        idx.resize(end, variant);
        pos.resize(end, position);
    }
    // Files are mostly phased throughout or not at all.
    let phased = if rows.phased.iter().all(|&p| p == PHASED) {
        BooleanBuffer::new_set(n)
    } else {
        BooleanBuffer::collect_bool(n, |i| rows.phased[i] == PHASED)
    };
    let known = rows
        .phased
        .contains(&NO_PHASE)
        .then(|| NullBuffer::new(BooleanBuffer::collect_bool(n, |i| rows.phased[i] != NO_PHASE)));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(idx)),
        Arc::new(Int32Array::from(pos)),
        Arc::new(Int32Array::from(rows.sample.clone())),
        Arc::new(Int8Array::from(rows.gt.clone())),
        Arc::new(BooleanArray::new(phased, known)),
    ];
    arrays.extend(field_columns::carrier_columns(kept, rows));
    arrays
}

fn ordinals(group: &Group) -> ArrayRef {
    let first = group.first_idx;
    Arc::new(Int32Array::from_iter_values(first..first + group.rows.len() as i32))
}

fn row(at: &RowRef) -> &Row {
    &at.shard.rows.rows[at.row as usize]
}

fn ints(group: &Group, value: impl Fn(&Row) -> i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(group.rows.iter().map(|at| value(row(at)))))
}

fn utf8(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn texts<'a>(group: &'a Group, value: impl Fn(&'a RowRef) -> &'a [u8]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(group.rows.iter().map(|at| utf8(value(at)))))
}

/// The `vid` of a row: chromosome, position, REF and ALT, and the extent of a symbolic allele.
pub fn vid(chrom: &str, shard: &ShardRows, row: &Row) -> String {
    let (reference, alt) = (shard.text(row.reference), shard.text(row.alt));
    let mut vid = format!("{chrom}-{}-{}-{}", row.pos, utf8(reference), utf8(alt));
    if row.kind == VariantType::Symbolic {
        vid += &format!("-{}", row.extent);
    }
    vid
}

fn variants(plan: &Plan, memo: &mut Memo, group: &Group) -> Result<Vec<ArrayRef>, Error> {
    let text = |at: &'_ RowRef, span| -> Vec<u8> { at.shard.rows.text(span).to_vec() };
    let rows = &group.rows;
    let mut vids = StringBuilder::new();
    let mut ids = StringBuilder::new();
    let mut filters = ListBuilder::new(StringBuilder::new());
    for at in rows {
        let r = row(at);
        vids.append_value(vid(&group.chrom.name, &at.shard.rows, r));
        let id = text(at, r.id);
        ids.append_option((!id.is_empty()).then(|| utf8(&id)));
        match at.shard.rows.text(r.filter) {
            b"." => filters.append(false),
            b"PASS" => filters.append(true),
            list => {
                for filter in list.split(|&b| b == b';') {
                    filters.values().append_value(utf8(filter));
                }
                filters.append(true);
            }
        }
    }
    let kinds = Int8Array::from_iter_values(rows.iter().map(|at| row(at).kind as i8));
    let names = Arc::new(StringArray::from_iter_values(VariantType::NAMES));
    let kinds = DictionaryArray::<Int8Type>::try_new(kinds, names)
        .map_err(Error::internal("encoding variant types"))?;
    let span = |pick: fn(&Row) -> super::shard::Span| {
        texts(group, move |at| at.shard.rows.text(pick(row(at))))
    };
    let quals: Float32Array = rows.iter().map(|at| row(at).qual).collect();
    let splits: BooleanArray = rows.iter().map(|at| Some(row(at).was_split)).collect();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(vids.finish()),
        ordinals(group),
        ints(group, |r| r.pos),
        ints(group, |r| r.end),
        span(|r| r.reference),
        span(|r| r.alt),
        Arc::new(ids.finish()),
        Arc::new(kinds),
        Arc::new(quals),
        Arc::new(filters.finish()),
        Arc::new(splits),
        ints(group, |r| r.orig_pos),
        span(|r| r.orig_ref),
        span(|r| r.orig_alt),
        ints(group, |r| i32::from(r.index)),
        ints(group, |r| r.counts.called),
        ints(group, |r| r.counts.missing),
        ints(group, |r| r.counts.half),
        ints(group, |r| r.counts.hom_ref),
        ints(group, |r| r.counts.het),
        ints(group, |r| r.counts.hom_alt),
        ints(group, |r| r.counts.hemi_ref),
        ints(group, |r| r.counts.hemi_alt),
        ints(group, |r| r.counts.ac()),
        ints(group, |r| r.counts.an()),
    ];
    rates(&mut arrays, memo, group);
    populations(&mut arrays, plan, memo, group);
    arrays.extend(site::columns(&plan.groups, memo, group));
    arrays.extend(field_columns::variant_columns(&plan.fields, group)?);
    arrays.extend(plan.selections.columns(group));
    if let Some(format) = &plan.consequences {
        arrays.extend(consequences::variant_columns(format, group));
    }
    if !plan.info.is_empty() {
        let infos: Vec<_> = rows.iter().map(|at| (&at.shard.rows, row(at))).collect();
        arrays.push(info::column(&plan.info, &infos));
    }
    Ok(arrays)
}

fn ratio(a: i32, b: i32) -> Option<f64> {
    (b > 0).then(|| f64::from(a) / f64::from(b))
}

fn rates(arrays: &mut Vec<ArrayRef>, memo: &mut Memo, group: &Group) {
    let counts = || group.rows.iter().map(|at| &row(at).counts);
    let af: Float64Array = counts().map(|c| ratio(c.ac(), c.an())).collect();
    let call_rate: Float64Array = counts().map(|c| ratio(c.called, c.called + c.missing)).collect();
    let (mut p, mut excess) = (Vec::new(), Vec::new());
    for c in counts() {
        let pair = memo.hwe(c.hom_ref as u32, c.het as u32, c.hom_alt as u32);
        p.push(pair.0);
        excess.push(pair.1);
    }
    arrays.push(Arc::new(af));
    arrays.push(Arc::new(call_rate));
    arrays.push(Arc::new(Float64Array::from(p)));
    arrays.push(Arc::new(Float64Array::from(excess)));
}

/// Counts by ancestry group, the group of the highest frequency and `faf95`.
///
/// `grpmax` is over all groups of the callset with at least one copy, the first in sort order on a tie.
/// `faf95` is of the callset as a whole: the 5 % quantile of Gamma(AC) over AN, 0 below two copies, null
/// when AN is 0.
fn populations(arrays: &mut Vec<ArrayRef>, plan: &Plan, memo: &mut Memo, group: &Group) {
    let of = |at: &RowRef, g: usize, k: usize| at.shard.rows.groups(at.row as usize)[g][k];
    for g in 0..plan.groups.len() {
        for k in 0..4 {
            let values = group.rows.iter().map(|at| of(at, g, k));
            arrays.push(Arc::new(Int32Array::from_iter_values(values)));
        }
    }
    let mut names = StringBuilder::new();
    let (mut highest, mut faf) = (Vec::new(), Vec::new());
    for at in &group.rows {
        let mut best: Option<(usize, f64)> = None;
        for g in 0..plan.groups.len() {
            let (ac, an) = (of(at, g, 0), of(at, g, 1));
            let af = ratio(ac, an).filter(|_| ac > 0);
            if let Some(af) = af.filter(|&af| best.is_none_or(|(_, b)| af > b)) {
                best = Some((g, af));
            }
        }
        names.append_option(best.map(|(g, _)| &plan.groups[g]));
        highest.push(best.map(|(_, af)| af));
        let c = &row(at).counts;
        faf.push((c.an() > 0).then(|| memo.faf95(c.ac() as u32, c.an() as u32)));
    }
    arrays.push(Arc::new(names.finish()));
    arrays.push(Arc::new(Float64Array::from(highest)));
    arrays.push(Arc::new(Float64Array::from(faf)));
}
