//! FORMAT fields of one record: GQ, DP, AD and FT of the included samples.
//!
//! Values are read leniently, for a genotype is no worse for a field that cannot be used: a trailing
//! field that is cut off, `.` and a number that is no whole non-negative one are missing, and so is all
//! of a cell's AD when it does not have one number an allele. What was there but unusable is counted.

use super::cohort::Cohort;
use super::gt::{EXCLUDED, Kernel};
use super::{CallRules, CallsetRequest, FormatField};

/// A value that is missing.
pub const NONE: u32 = u32::MAX;
/// Most numbers of AD that are kept for one record; beyond it AD is taken as missing.
const MAX_AD: usize = 1 << 25;

/// What is read of FORMAT, and what is made of it.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What counts as a call.
    pub calls: CallRules,
    /// Whether GQ, DP and AD are read.
    pub numbers: bool,
    /// Fields kept in `carriers`; empty if there is no such table.
    pub kept: Vec<FormatField>,
    /// Whether values of all cells are kept.
    pub quality: bool,
    /// By sample: slot of the age histograms; empty when nobody's age is known.
    pub ages: Vec<u8>,
    /// Highest frequency of a variant with rows in `carriers`.
    pub carriers_max_af: Option<f64>,
}

impl Rules {
    /// What `request` asks for.
    pub fn new(request: &CallsetRequest, cohort: &Cohort) -> Self {
        let options = &request.options;
        let calls = options.calls.clone();
        let mut kept = options.format.clone();
        kept.sort();
        kept.dedup();
        let numbers = !kept.is_empty() || options.quality || calls.has_adj();
        if !request.carriers {
            kept.clear();
        }
        let known = cohort.entries.iter().any(|e| e.age.is_some());
        let slot = |e: &super::SampleEntry| super::histogram::age_slot(e.age);
        Self {
            calls,
            numbers,
            kept,
            quality: options.quality,
            ages: if known { cohort.entries.iter().map(slot).collect() } else { Vec::new() },
            carriers_max_af: options.carriers_max_af,
        }
    }

    /// The field that the rules want of a FORMAT key.
    pub fn field(&self, key: &[u8]) -> Option<Field> {
        match key {
            b"GQ" if self.numbers => Some(Field::Gq),
            b"DP" if self.numbers => Some(Field::Dp),
            b"AD" if self.numbers => Some(Field::Ad),
            b"FT" if self.calls.ft => Some(Field::Ft),
            _ => None,
        }
    }
}

/// A field that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Genotype quality.
    Gq,
    /// Read depth.
    Dp,
    /// Reads by allele.
    Ad,
    /// Filter of the genotype.
    Ft,
}

/// The values of a record by output ordinal of the sample; [`NONE`] where there is none.
#[derive(Debug, Default)]
pub struct Cells {
    /// GQ.
    pub gq: Vec<u32>,
    /// DP.
    pub dp: Vec<u32>,
    /// AD: `alleles` numbers a sample, or none at all.
    pub ad: Vec<u32>,
    /// Alleles of the record, REF among them.
    pub alleles: usize,
    /// Samples whose FT is neither PASS nor missing, in file order.
    pub failed: Vec<u32>,
    /// Samples whose record is summed up by sample with another row.
    pub repeats: Vec<u32>,
    /// Values that were there but are no whole non-negative number of 31 bits.
    pub unusable: u64,
    /// Cells whose AD has another number of values than there are alleles.
    pub miscounted: u64,
    ends: Vec<u32>,
    plan: Vec<Option<Field>>,
}

impl Cells {
    /// Forgets the record before.
    pub fn clear(&mut self) {
        self.gq.clear();
        self.dp.clear();
        self.ad.clear();
        self.failed.clear();
        self.repeats.clear();
        (self.alleles, self.unusable, self.miscounted) = (0, 0, 0);
    }

    /// Makes room for `field` of `samples` samples and a record of `alleles` alleles.
    ///
    /// Returns whether the values can be taken: a field that comes twice counts once.
    pub fn open(&mut self, field: Field, samples: usize, alleles: usize) -> bool {
        let (column, width) = match field {
            Field::Ft => return true,
            Field::Gq => (&mut self.gq, 1),
            Field::Dp => (&mut self.dp, 1),
            Field::Ad => (&mut self.ad, alleles),
        };
        let fits = samples.checked_mul(width).is_some_and(|n| n <= MAX_AD.max(samples));
        if !column.is_empty() || !fits {
            return false;
        }
        column.resize(samples * width, NONE);
        if field == Field::Ad {
            self.alleles = alleles;
        }
        true
    }

    /// Takes a number as it is typed; `None` is one that cannot be used.
    pub fn number(&mut self, field: Field, sample: u32, value: Option<u32>) {
        self.unusable += u64::from(value.is_none());
        let column = if field == Field::Gq { &mut self.gq } else { &mut self.dp };
        if let Some(slot) = column.get_mut(sample as usize) {
            *slot = value.unwrap_or(NONE);
        }
    }

    /// Takes the AD of a cell; a number that cannot be used makes itself missing, a wrong count all.
    pub fn depths(&mut self, sample: u32, values: impl Iterator<Item = Option<u32>>) {
        let at = sample as usize * self.alleles;
        let Some(slots) = self.ad.get_mut(at..at + self.alleles) else { return };
        let (mut n, mut bad, mut known) = (0, 0, 0);
        for value in values {
            bad += u64::from(value.is_none());
            known += u64::from(value.is_some_and(|v| v != NONE));
            if let Some(slot) = slots.get_mut(n) {
                *slot = value.unwrap_or(NONE);
            }
            n += 1;
        }
        self.unusable += bad;
        if n != slots.len() {
            slots.fill(NONE);
            // A lone `.` is a missing value, not a wrong count.
            self.miscounted += u64::from(n > 1 || known + bad > 0);
        }
    }

    /// Takes the FT of a cell.
    pub fn filter(&mut self, sample: u32, text: &[u8]) {
        if !matches!(text, b"" | b"." | b"PASS") {
            self.failed.push(sample);
        }
    }

    /// Takes away the reads of the ALTs for which `remains` is not true, as if the caller had not known them.
    pub fn forget(&mut self, remains: impl Fn(usize) -> bool) {
        for cell in self.ad.chunks_exact_mut(self.alleles.max(1)) {
            for (i, slot) in cell.iter_mut().enumerate().skip(1) {
                if *slot != NONE && !remains(i - 1) {
                    *slot = 0;
                }
            }
        }
    }

    /// AD of REF, of ALT number `allele` and of all alleles, for a sample; missing ones are [`NONE`].
    #[inline(always)]
    pub fn reads(&self, sample: usize, allele: usize) -> Reads {
        let at = sample * self.alleles;
        match self.ad.get(at..at + self.alleles) {
            Some(&[reference, alt]) if allele == 1 => {
                let known = reference != NONE && alt != NONE;
                let total = if known { u64::from(reference) + u64::from(alt) } else { 0 };
                Reads { reference, alt, total }
            }
            Some(all) if allele < all.len() => {
                let known = all.iter().all(|&v| v != NONE);
                let total = if known { all.iter().map(|&v| u64::from(v)).sum() } else { 0 };
                Reads { reference: all[0], alt: all[allele], total }
            }
            _ => Reads { reference: NONE, alt: NONE, total: 0 },
        }
    }
}

/// Reads of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// Of REF.
    pub reference: u32,
    /// Of the row's ALT.
    pub alt: u32,
    /// Of all alleles; 0 when one of them is missing.
    pub total: u64,
}

/// The FORMAT part of a VCF line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The FORMAT column.
    pub format: &'a [u8],
    /// The sample columns, without line end.
    pub cells: &'a [u8],
    /// Alleles of the record, REF among them.
    pub alleles: usize,
}

/// Reads the fields that `rules` want of a line whose columns were counted when its genotypes were read.
pub fn scan(kernel: Kernel, line: Line<'_>, cohort: &Cohort, rules: &Rules, cells: &mut Cells) {
    scan_columns(kernel, line, (&cohort.columns, cohort.len()), rules, cells);
}

fn scan_columns(
    kernel: Kernel,
    Line { format, cells: text, alleles }: Line<'_>,
    (columns, samples): (&[u32], usize),
    rules: &Rules,
    cells: &mut Cells,
) {
    let mut plan = std::mem::take(&mut cells.plan);
    plan.clear();
    for key in format.split(|&b| b == b':') {
        let field = rules.field(key).filter(|f| !plan.contains(&Some(*f)));
        plan.push(field.filter(|&f| cells.open(f, samples, alleles)));
    }
    while plan.last().is_some_and(Option::is_none) {
        plan.pop();
    }
    if !plan.is_empty() {
        let mut ends = std::mem::take(&mut cells.ends);
        delimiters(kernel, text, &mut ends);
        walk(text, &ends, columns, &plan, cells);
        cells.ends = ends;
    }
    cells.plan = plan;
}

fn walk(text: &[u8], ends: &[u32], columns: &[u32], plan: &[Option<Field>], cells: &mut Cells) {
    let mut ends = ends.iter();
    let mut start = 0;
    for &column in columns {
        for k in 0.. {
            let Some(&end) = ends.next() else { return };
            let end = end as usize;
            if column != EXCLUDED
                && let Some(Some(field)) = plan.get(k)
                && let Some(value) = text.get(start..end)
            {
                take(cells, *field, column, value);
            }
            start = end + 1;
            if text.get(end) != Some(&b':') {
                break;
            }
        }
    }
}

/// Takes the text of a field of a cell.
#[inline(always)]
pub fn take(cells: &mut Cells, field: Field, sample: u32, value: &[u8]) {
    match field {
        Field::Gq | Field::Dp => cells.number(field, sample, number(value)),
        Field::Ad => {
            // Two alleles and digits only is what nearly all cells are.
            if cells.alleles == 2
                && let Some((reference, alt)) = pair(value)
                && let Some(slots) = cells.ad.get_mut(sample as usize * 2..sample as usize * 2 + 2)
            {
                slots.copy_from_slice(&[reference, alt]);
            } else if !value.is_empty() {
                cells.depths(sample, value.split(|&b| b == b',').map(number));
            }
        }
        Field::Ft => cells.filter(sample, value),
    }
}

/// `12,0`, both of at most nine digits.
#[inline(always)]
fn pair(text: &[u8]) -> Option<(u32, u32)> {
    let (mut value, mut first, mut digits) = (0u32, None, 0);
    for &b in text {
        let digit = b.wrapping_sub(b'0');
        if digit < 10 && digits < 9 {
            value = value * 10 + u32::from(digit);
            digits += 1;
        } else if b == b',' && digits > 0 && first.is_none() {
            first = Some(value);
            (value, digits) = (0, 0);
        } else {
            return None;
        }
    }
    first.filter(|_| digits > 0).map(|first| (first, value))
}

/// A whole number of 31 bits, [`NONE`] for `.` and nothing, `None` for what is neither.
#[inline(always)]
fn number(text: &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for &b in text {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return odd_number(text);
        }
        value = value * 10 + u32::from(digit);
    }
    match text.len() {
        1..=9 => Some(value),
        _ => odd_number(text),
    }
}

#[cold]
fn odd_number(text: &[u8]) -> Option<u32> {
    if matches!(text, b"" | b".") {
        return Some(NONE);
    }
    std::str::from_utf8(text).ok()?.parse().ok().and_then(whole)
}

/// A float that is a whole number, as a header with Type=Float makes of integers.
pub fn whole(value: f64) -> Option<u32> {
    let fits = value.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(&value);
    fits.then_some(value as u32)
}

/// Where the fields of `text` end: positions of TAB and `:`, and its length.
fn delimiters(kernel: Kernel, text: &[u8], ends: &mut Vec<u32>) {
    ends.clear();
    match kernel {
        Kernel::Scalar => ends.extend(memchr::memchr2_iter(b'\t', b':', text).map(|i| i as u32)),
        // SAFETY: `Kernel::Avx2` is only made by `detect`, which has seen the feature.
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => unsafe { delimiters_avx2(text, ends) },
    }
    ends.push(text.len() as u32);
}

/// Finds TAB and `:` 64 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
fn delimiters_avx2(text: &[u8], ends: &mut Vec<u32>) {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8,
    };
    let (tab, colon) = (_mm256_set1_epi8(b'\t' as i8), _mm256_set1_epi8(b':' as i8));
    for (block, part) in text.chunks_exact(64).enumerate() {
        let half = |i: usize| {
            // SAFETY: `part` has 64 bytes and `i` is 0 or 1; the load needs no alignment.
            let bytes = unsafe { _mm256_loadu_si256(part.as_ptr().add(32 * i).cast::<__m256i>()) };
            let hit =
                _mm256_or_si256(_mm256_cmpeq_epi8(bytes, tab), _mm256_cmpeq_epi8(bytes, colon));
            u64::from(_mm256_movemask_epi8(hit) as u32) << (32 * i)
        };
        let mut mask = half(0) | half(1);
        while mask != 0 {
            ends.push((block * 64) as u32 + mask.trailing_zeros());
            mask &= mask - 1;
        }
    }
    let rest = text.len() / 64 * 64;
    ends.extend(memchr::memchr2_iter(b'\t', b':', &text[rest..]).map(|i| (rest + i) as u32));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> Rules {
        Rules { numbers: true, calls: CallRules::default(), ..Rules::default() }
    }

    /// The obvious way.
    fn plain(format: &str, text: &str, columns: &[u32], alleles: usize) -> Cells {
        let mut cells = Cells::default();
        let keys: Vec<&str> = format.split(':').collect();
        let at = |key: &str| keys.iter().position(|k| *k == key);
        for (key, field) in [("GQ", Field::Gq), ("DP", Field::Dp), ("AD", Field::Ad)] {
            if at(key).is_some() {
                assert!(cells.open(field, columns.len(), alleles));
            }
        }
        let int = |v: &str| match v {
            "" | "." => Some(NONE),
            v => v.parse::<f64>().ok().and_then(whole),
        };
        for (cell, &column) in text.split('\t').zip(columns) {
            let values: Vec<&str> = cell.split(':').collect();
            let value = |key| at(key).and_then(|i| values.get(i)).copied();
            if column == EXCLUDED {
                continue;
            }
            for (key, field) in [("GQ", Field::Gq), ("DP", Field::Dp)] {
                if let Some(v) = value(key) {
                    cells.number(field, column, int(v));
                }
            }
            if let Some(v) = value("AD").filter(|v| !v.is_empty()) {
                cells.depths(column, v.split(',').map(int));
            }
            if let Some(v) = value("FT") {
                cells.filter(column, v.as_bytes());
            }
        }
        cells
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => "[0-9]{1,3}", 1 => "[0-9]{1,12}", 1 => Just(".".to_owned()), 1 => Just(String::new()),
            1 => "[0-9]{1,2}\\.[05]", 1 => Just("-3".to_owned()), 1 => Just("x".to_owned())
        ]
    }

    fn cell() -> impl Strategy<Value = String> {
        let depths = prop::collection::vec(value(), 1..5).prop_map(|v| v.join(","));
        let filter = prop_oneof![Just("PASS"), Just("."), Just("q10"), Just("")];
        (value(), depths, value(), filter, 0usize..6).prop_map(|(a, d, b, f, n)| {
            [String::from("0/1"), a, d, b, f.to_owned()][..n.clamp(1, 5)].join(":")
        })
    }

    proptest! {
        #[test]
        fn fields_are_as_a_plain_reader_sees_them(
            lines in prop::collection::vec(cell(), 1..120),
            order in Just(vec!["GQ", "AD", "DP", "FT", "PL"]).prop_shuffle(),
            alleles in 2usize..5,
        ) {
            let format = format!("GT:{}", order[..4].join(":"));
            let text = lines.join("\t");
            let n = lines.len() as u32;
            let columns: Vec<u32> =
                (0..n).map(|i| if i % 7 == 3 { EXCLUDED } else { (i + 5) % n }).collect();
            let want = plain(&format, &text, &columns, alleles);
            for kernel in [Kernel::Scalar, Kernel::detect()] {
                let mut got = Cells::default();
                let line = Line { format: format.as_bytes(), cells: text.as_bytes(), alleles };
                scan_columns(kernel, line, (&columns, columns.len()), &rules(), &mut got);
                prop_assert_eq!(&got.gq, &want.gq);
                prop_assert_eq!(&got.dp, &want.dp);
                prop_assert_eq!(&got.ad, &want.ad);
                prop_assert_eq!(&got.failed, &want.failed);
                prop_assert_eq!((got.unusable, got.miscounted), (want.unusable, want.miscounted));
            }
        }
    }

    #[test]
    fn numbers_are_whole_missing_or_unusable() {
        assert_eq!(number(b"99"), Some(99));
        assert_eq!(number(b"99.0"), Some(99));
        assert_eq!(number(b"2147483647"), Some(2_147_483_647));
        assert_eq!(number(b"."), Some(NONE));
        assert_eq!(number(b""), Some(NONE));
        for bad in ["-1", "1.5", "2147483648", "nan", "x", "1e99", "99999999999999999999"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn reads_of_a_cell() {
        let mut cells = Cells::default();
        assert!(cells.open(Field::Ad, 2, 3));
        cells.depths(0, [Some(3), Some(4), Some(5)].into_iter());
        cells.depths(1, [Some(3), Some(4)].into_iter());
        assert_eq!(cells.reads(0, 2), Reads { reference: 3, alt: 5, total: 12 });
        assert_eq!(cells.reads(1, 2), Reads { reference: NONE, alt: NONE, total: 0 });
        assert_eq!(cells.miscounted, 1);
        cells.forget(|i| i == 1);
        assert_eq!(cells.reads(0, 2).total, 8);
    }
}
