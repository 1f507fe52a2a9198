//! Named subsets of variants (columns `in_<name>` of `variants`) and the list of variants to leave out.
//!
//! Lists are compared by `vid`: sites of a VCF go through the same splitting, trimming and, where there is
//! a reference, left-aligning as the callset, so that it does not matter how the two write an allele.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field};
use flate2::read::MultiGzDecoder;

use super::assemble::{Group, RowRef};
use super::encode::vid;
use super::fields::Rules;
use super::gt::Kernel;
use super::ingest::reference;
use super::shard::Context;
use super::source::{Format, Source};
use super::work::{Feed, Scratch, Tuning, scan};
use super::{CallsetRequest, Error, ReferenceMismatch, Selection, check, region};
use crate::engine::TableLedger;
use crate::error::IoError;

/// Magic bytes of gzip and BGZF.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Longest line of a list, in bytes: that of the longest variant and some more.
const MAX_LINE: usize = 1 << 23;

/// The selections of a callset, in the order of their names.
#[derive(Debug, Default)]
pub struct Selections(Vec<Loaded>);

#[derive(Debug)]
struct Loaded {
    name: String,
    rule: Selection,
    regions: Regions,
    sites: Variants,
}

impl Selections {
    /// Reads the files that the selections of `request` name.
    ///
    /// # Errors
    /// A name that cannot be part of a column, a selection without a condition, a file that cannot be read
    /// or is malformed.
    pub fn load(request: &CallsetRequest) -> Result<Self, Error> {
        let load = |(name, rule): (&String, &Selection)| {
            if !super::is_name(name) {
                return Err(Error::BadName { what: "a selection" });
            }
            let Selection { af_above, ac_above, bed, sites, padding: _ } = rule;
            if af_above.is_none() && ac_above.is_none() && bed.is_none() && sites.is_none() {
                return Err(Error::EmptySelection { selection: name.clone() });
            }
            let regions = rule.bed.as_deref().map(|path| Regions::read(path, rule.padding));
            let sites = rule.sites.as_deref().map(|path| Variants::read(path, request));
            Ok(Loaded {
                name: name.clone(),
                rule: rule.clone(),
                regions: regions.transpose()?.unwrap_or_default(),
                sites: sites.transpose()?.unwrap_or_default(),
            })
        };
        Ok(Self(request.options.selections.iter().map(load).collect::<Result<_, _>>()?))
    }

    /// Their columns.
    pub fn fields(&self) -> Vec<Field> {
        let field = |s: &Loaded| Field::new(format!("in_{}", s.name), DataType::Boolean, false);
        self.0.iter().map(field).collect()
    }

    /// Notes how many listed variants are none of the callset's.
    pub fn note(&self, ledger: &mut TableLedger) {
        for selection in &self.0 {
            let what = format!("selection_unmatched:{}", selection.name);
            ledger.note(&what, selection.sites.unmatched());
        }
    }

    /// The columns of a row group.
    pub fn columns(&self, group: &Group) -> Vec<ArrayRef> {
        let column = |s: &Loaded| {
            let values = group.rows.iter().map(|at| Some(s.takes(&group.chrom.name, at)));
            Arc::new(values.collect::<BooleanArray>()) as ArrayRef
        };
        self.0.iter().map(column).collect()
    }
}

impl Loaded {
    /// Whether the row meets any of the conditions.
    fn takes(&self, chrom: &str, at: &RowRef) -> bool {
        let (shard, i) = (&at.shard.rows, at.row as usize);
        let row = &shard.rows[i];
        // Without ancestry groups the callset is the one group that there is.
        let whole = [[row.counts.ac(), row.counts.an(), 0, 0]];
        let groups = match shard.groups(i) {
            [] => &whole[..],
            groups => groups,
        };
        // Listed ones first, as the list keeps which of them were found.
        self.sites.contains(|| vid(chrom, shard, row))
            || groups.iter().any(|[ac, an, ..]| self.common(*ac, *an))
            || self.regions.overlap(chrom, row.pos, row.end)
    }

    /// Whether counts of one group are above a limit.
    fn common(&self, ac: i32, an: i32) -> bool {
        let often = |limit: f64| an > 0 && f64::from(ac) / f64::from(an) > limit;
        self.rule.af_above.is_some_and(often)
            || self.rule.ac_above.is_some_and(|limit| i64::from(ac) > i64::from(limit))
    }
}

/// A malformed line of a list.
fn bad_line(path: &Path, line: usize, what: &'static str) -> Error {
    Error::List { file: path.to_owned(), line: line as u64 + 1, what }
}

/// The text of a file, unpacked as it is read if it is gzip or BGZF.
fn text_of(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(IoError::at("opening", path))?);
    let start = file.fill_buf().map_err(IoError::at("reading", path))?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// Hands every line but empty ones and comments to `take`, which says what is wrong with it if it is.
/// Holds one line at a time, for a small packed file may be a very long text.
fn each_line(
    path: &Path,
    mut text: impl BufRead,
    mut take: impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<(), Error> {
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        let read = (&mut text).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
        if read.map_err(IoError::at("reading", path))? == 0 {
            break;
        }
        if line.len() > MAX_LINE {
            return Err(Error::LineTooLong { file: path.to_owned(), limit: MAX_LINE });
        }
        let line = line.trim_ascii();
        if !line.is_empty() && !line.starts_with(b"#") {
            take(line).map_err(|what| bad_line(path, number, what))?;
        }
    }
    Ok(())
}

/// Regions by chromosome: 1-based inclusive, sorted, disjoint.
#[derive(Debug, Default)]
struct Regions(BTreeMap<String, Vec<(i64, i64)>>);

impl Regions {
    /// Reads a BED file: 0-based half-open intervals (UCSC, "BED format").
    fn read(path: &Path, padding: u32) -> Result<Self, Error> {
        Self::parse(path, text_of(path)?, padding)
    }

    fn parse(path: &Path, text: impl BufRead, padding: u32) -> Result<Self, Error> {
        let mut all: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        each_line(path, text, |line| {
            let mut columns = line.split(u8::is_ascii_whitespace).filter(|c| !c.is_empty());
            let name = columns.next().unwrap_or_default();
            if name == b"track" || name == b"browser" {
                return Ok(());
            }
            let chrom = region::chrom(name).ok_or("a chromosome name that cannot be used")?;
            let (start, end) = (columns.next().and_then(number), columns.next().and_then(number));
            let (Some(start), Some(end)) = (start, end) else {
                return Err("columns 2 and 3 are not positions");
            };
            if end < start {
                return Err("the region ends before it starts");
            }
            let (first, last) = (start + 1 - i64::from(padding), end + i64::from(padding));
            if first <= last {
                all.entry(chrom.name).or_default().push((first, last));
            }
            Ok(())
        })?;
        all.values_mut().for_each(merge);
        Ok(Self(all))
    }

    /// Whether any base from `pos` to `end` (1-based, inclusive) lies in a region.
    fn overlap(&self, chrom: &str, pos: i32, end: i32) -> bool {
        let Some(regions) = self.0.get(chrom) else { return false };
        let (pos, end) = (i64::from(pos), i64::from(end.max(pos)));
        let next = regions.partition_point(|(_, last)| *last < pos);
        regions.get(next).is_some_and(|(first, _)| *first <= end)
    }
}

/// A whole number of at most 10 digits.
fn number(text: &[u8]) -> Option<i64> {
    let digits = (1..=10).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Sorts intervals and joins those that overlap or touch.
fn merge(intervals: &mut Vec<(i64, i64)>) {
    intervals.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for &(first, last) in intervals.iter() {
        match merged.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    *intervals = merged;
}

/// A set of variants by `vid`, and which of them were asked for and found; only ever asked for membership
/// and numbers, so its order shows nowhere.
#[derive(Debug, Default)]
pub struct Variants(HashMap<Box<str>, AtomicBool>);

impl Variants {
    /// Reads one `vid` a line (`#` starts a comment), or the sites of a VCF or BCF.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed, a record of a VCF that cannot be used among it: a variant
    /// that is to stay out must not come in because its line is damaged.
    pub fn read(path: &Path, request: &CallsetRequest) -> Result<Self, Error> {
        let mut text = text_of(path)?;
        let start = text.fill_buf().map_err(IoError::at("reading", path))?;
        if start.starts_with(b"##") || start.starts_with(b"BCF") {
            return Self::of_sites(path, request);
        }
        let mut set = HashMap::new();
        each_line(path, text, |line| {
            let vid = std::str::from_utf8(line).ok().and_then(canonical).ok_or("not a vid")?;
            set.insert(vid.into(), AtomicBool::new(false));
            Ok(())
        })?;
        Ok(Self(set))
    }

    /// The rows that a sites file gives.
    fn of_sites(path: &Path, request: &CallsetRequest) -> Result<Self, Error> {
        let source = Source::open(path)?;
        let context = Context {
            cohort: check::everyone(source.header.samples.len()),
            genome: request.genome,
            kernel: Kernel::detect(),
            info: Vec::new(),
            keep_cells: false,
            fields: Rules::default(),
            reference: reference(request)?,
            reference_mismatch: ReferenceMismatch::Keep,
            keep: None,
            consequences: None,
        };
        let mut set = HashMap::new();
        let mut feed = Feed::new(&source, Tuning::default());
        let mut scratch = Scratch::default();
        let mut before = if source.format == Format::Bcf { 0 } else { source.header.lines };
        while let Some(shard) = feed.next()? {
            let rows = scan(&context, &source, &shard, &mut scratch)?;
            if let Some(reject) = rows.rejects.first() {
                let (file, line) = (path.to_owned(), before + u64::from(reject.line) + 1);
                return Err(Error::ListRecord { file, line, reason: reject.reason });
            }
            before += rows.lines;
            for (i, segment) in rows.segments.iter().enumerate() {
                let end = rows.segments.get(i + 1).map_or(rows.rows.len(), |s| s.first_row);
                let part = &rows.rows[segment.first_row..end];
                let vids = part.iter().map(|row| vid(&segment.chrom.name, &rows, row).into());
                set.extend(vids.map(|vid| (vid, AtomicBool::new(false))));
            }
        }
        Ok(Self(set))
    }

    /// Whether the variant is among them; its `vid` is made only if there are any.
    pub fn contains(&self, vid: impl FnOnce() -> String) -> bool {
        let found = if self.0.is_empty() { None } else { self.0.get(vid().as_str()) };
        // Whoever finds it, the number of those found is the same in the end.
        found.inspect(|found| found.store(true, Ordering::Relaxed)).is_some()
    }

    /// How many were never found.
    pub fn unmatched(&self) -> u64 {
        self.0.values().filter(|found| !found.load(Ordering::Relaxed)).count() as u64
    }
}

/// A `vid` as outputs write it: the chromosome by its one name, bases in upper case. `None` when it is none.
pub fn canonical(line: &str) -> Option<String> {
    // Names of contigs may have a `-` in them; a position is the first number between two.
    let place = |at: usize| {
        let (pos, alleles) = line[at + 1..].split_once('-')?;
        let pos = number(pos.as_bytes()).filter(|&pos| pos > 0)?;
        Some((&line[..at], pos, alleles))
    };
    let (chrom, pos, alleles) = line.match_indices('-').find_map(|(at, _)| place(at))?;
    let (reference, alt) = alleles.split_once('-')?;
    let is_text = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    if !is_text(reference) || alt.is_empty() {
        return None;
    }
    let alt = if is_text(alt) { alt.to_ascii_uppercase() } else { alt.to_owned() };
    let chrom = region::chrom(chrom.as_bytes())?.name;
    Some(format!("{chrom}-{pos}-{}-{alt}", reference.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bed_interval_is_half_open_and_padded_on_both_sides() {
        let at = |padding, pos, end| {
            let bed = b"track name=x\n20\t99\t110\tname\n20 110 120\n";
            let regions = Regions::parse(Path::new("x"), &bed[..], padding);
            regions.ok().map(|r| r.overlap("chr20", pos, end))
        };
        let edges = [(99, 99), (98, 100), (100, 100), (120, 120), (121, 121), (120, 130)];
        let inside = edges.map(|(pos, end)| at(0, pos, end) == Some(true));
        assert_eq!(inside, [false, true, true, true, false, true]);
        assert_eq!([97, 98, 122, 123].map(|p| at(2, p, p)), [false, true, true, false].map(Some));
    }

    #[test]
    fn a_bed_line_that_is_none_is_named() {
        for (text, line) in [("20\t1\n", 1), ("#x\n20\t5\t4\n", 2), ("20\t-1\t4\n", 1)] {
            let regions = Regions::parse(Path::new("x"), text.as_bytes(), 0);
            let found = match regions {
                Err(Error::List { line, .. }) => Some(line),
                _ => None,
            };
            assert_eq!(found, Some(line));
        }
    }

    #[test]
    fn a_list_is_never_held_whole() {
        let endless = BufReader::new(std::io::repeat(b'A'));
        let read = Regions::parse(Path::new("x"), endless, 0);
        assert!(matches!(read, Err(Error::LineTooLong { .. })));
    }

    #[test]
    fn vids_are_read_under_any_name_of_the_chromosome() {
        assert_eq!(canonical("20-100-A-G").as_deref(), Some("chr20-100-A-G"));
        assert_eq!(canonical("CHRx-007-acg-t").as_deref(), Some("chrX-7-ACG-T"));
        assert_eq!(canonical("HLA-A-7-a-t").as_deref(), Some("HLA-A-7-A-T"));
        assert_eq!(canonical("chrM-1-N-<DEL>-9").as_deref(), Some("chrM-1-N-<DEL>-9"));
        assert_eq!(
            [canonical("rs1"), canonical("20-A-C-G"), canonical("20-1-A")],
            [None, None, None]
        );
    }

    proptest! {
        /// Merged intervals say of every base what the intervals themselves say.
        #[test]
        fn merging_changes_no_answer(
            raw in prop::collection::vec((0i64..60, 0i64..12), 0..12), pad in 0u32..4,
            pos in 1i32..80, length in 0i32..10,
        ) {
            let line = |(s, l): &(i64, i64)| format!("1\t{s}\t{}\n", s + l);
            let text: String = raw.iter().map(line).collect();
            let regions = Regions::parse(Path::new("x"), text.as_bytes(), pad);
            let regions = regions.ok().unwrap_or_default();
            let base = |p: i32| raw.iter().any(|(s, l)| {
                let (p, pad) = (i64::from(p), i64::from(pad));
                s + 1 - pad <= p && p <= s + l + pad
            });
            let expected = (pos..=pos + length).any(base);
            prop_assert_eq!(regions.overlap("chr1", pos, pos + length), expected);
        }
    }
}
