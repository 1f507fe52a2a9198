//! Genotype kernels: the sample columns of a line in, the calls that are not plain hom-ref out.
//!
//! Most calls are hom-ref, so a kernel emits only the others, as [`Call`]s of included samples. Lines
//! whose FORMAT is `GT` alone and whose alleles are single digits have cells of exactly four bytes and
//! are compared 32 samples at a time; other lines are walked from tab to tab with a 64-byte mask. Both
//! have a scalar form with the same result, which is what machines without AVX2 run.

/// Allele value: not called.
pub const MISSING: u16 = 0x7fff;
/// Second allele of a haploid call.
pub const ABSENT: u16 = 0x7ffe;
/// In both alleles: more than two alleles, which this version does not represent.
pub const UNSUPPORTED: u16 = 0x7ffd;
/// In both alleles: FT says that the call is not to be used.
pub const FILTERED: u16 = 0x7ffc;
/// In both alleles: no call is expected of this sample here (XX on non-PAR Y). The lowest of the values
/// that are no allele.
pub const NOT_EXPECTED: u16 = 0x7ffb;
/// Most ALT alleles a record may have.
pub const MAX_ALLELES: usize = 1000;
/// In the column table: the sample is not included.
pub const EXCLUDED: u32 = u32::MAX;

/// A call that is not a plain diploid hom-ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Output ordinal of the sample.
    pub sample: u32,
    /// First allele: index, or [`MISSING`], or [`UNSUPPORTED`].
    pub a: u16,
    /// Second allele: index, [`MISSING`], [`ABSENT`] or [`UNSUPPORTED`].
    pub b: u16,
    /// Whether the two alleles are phased (`|`).
    pub phased: bool,
}

/// Why a line's genotypes cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fewer or more columns than samples.
    Columns,
    /// A GT value that is none.
    Unparsable,
}

/// The instructions a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Portable code.
    Scalar,
    /// 256-bit integer vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    /// The best this machine runs.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Scalar
    }
}

/// Reads the sample columns `cells` (no line end) of a line whose FORMAT starts with GT.
///
/// `columns` maps file columns to output ordinals. Calls of included samples that are not hom-ref are
/// appended in file order; other samples' values are passed over, whatever they are. Returns the largest
/// allele index of an included sample.
///
/// # Errors
/// [`Fault`]; `calls` then holds garbage.
pub fn scan(
    kernel: Kernel,
    cells: &[u8],
    gt_only: bool,
    columns: &[u32],
    calls: &mut Vec<Call>,
) -> Result<u16, Fault> {
    let start = calls.len();
    if gt_only && cells.len() == columns.len() * 4 - 1 {
        if let Some(max) = fixed(kernel, cells, columns, calls) {
            return Ok(max);
        }
        calls.truncate(start);
    }
    ragged(kernel, cells, columns, calls)
}

/// `0..9` -> value, `.` -> MISSING, anything else -> 0xffff.
const ALLELE: [u16; 256] = {
    let mut table = [0xffff; 256];
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = i as u16;
        i += 1;
    }
    table[b'.' as usize] = MISSING;
    table
};

/// Decodes a four-byte cell `a|b<TAB>` that is not the line's usual hom-ref.
#[inline(always)]
fn push_cell(word: u32, column: u32, max: &mut u16, calls: &mut Vec<Call>) -> bool {
    let [a, sep, b, tab] = word.to_le_bytes();
    let (a, b) = (ALLELE[a as usize], ALLELE[b as usize]);
    if tab != b'\t' || (a | b) & 0x8000 != 0 || (sep != b'|' && sep != b'/') {
        return false;
    }
    if column != EXCLUDED && (a | b) != 0 {
        let top = (if a == MISSING { 0 } else { a }).max(if b == MISSING { 0 } else { b });
        *max = (*max).max(top);
        calls.push(Call { sample: column, a, b, phased: sep == b'|' });
    }
    true
}

/// Four-byte cells only; `None` when the line is of another kind.
fn fixed(kernel: Kernel, cells: &[u8], columns: &[u32], calls: &mut Vec<Call>) -> Option<u16> {
    let pattern = match cells.get(1) {
        Some(b'/') => *b"0/0\t",
        _ => *b"0|0\t",
    };
    let body = &cells[..(columns.len() - 1) * 4];
    let mut max = 0;
    let done = match kernel {
        Kernel::Scalar => 0,
        // SAFETY: `Kernel::Avx2` is only made by `detect`, which has seen the feature.
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => unsafe { fixed_avx2(body, pattern, columns, &mut max, calls)? },
    };
    let pattern = u32::from_le_bytes(pattern);
    for (cell, &column) in body[done * 4..].chunks_exact(4).zip(&columns[done..]) {
        let word = u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]);
        if word != pattern && !push_cell(word, column, &mut max, calls) {
            return None;
        }
    }
    let last = &cells[body.len()..];
    let word = u32::from_le_bytes([*last.first()?, *last.get(1)?, *last.get(2)?, b'\t']);
    push_cell(word, *columns.last()?, &mut max, calls).then_some(max)
}

/// Compares 32 cells at a time with the pattern; returns how many cells were handled.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
fn fixed_avx2(
    body: &[u8],
    pattern: [u8; 4],
    columns: &[u32],
    max: &mut u16,
    calls: &mut Vec<Call>,
) -> Option<usize> {
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_movemask_ps,
        _mm256_set1_epi32,
    };
    let want = _mm256_set1_epi32(i32::from_le_bytes(pattern));
    let blocks = body.len() / 128;
    for (block, part) in body.chunks_exact(128).enumerate() {
        let eight = |i: usize| {
            // SAFETY: `part` has 128 bytes and `i` is at most 3, so 32 bytes can be read at 32 * i;
            // the load needs no alignment.
            let cells = unsafe { _mm256_loadu_si256(part.as_ptr().add(32 * i).cast::<__m256i>()) };
            let equal = _mm256_cmpeq_epi32(cells, want);
            (_mm256_movemask_ps(_mm256_castsi256_ps(equal)) as u32) << (8 * i)
        };
        let mut other = !(eight(0) | eight(1) | eight(2) | eight(3));
        while other != 0 {
            let i = other.trailing_zeros() as usize;
            other &= other - 1;
            let cell = &part[i * 4..i * 4 + 4];
            let word = u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]);
            if !push_cell(word, columns[block * 32 + i], max, calls) {
                return None;
            }
        }
    }
    Some(blocks * 32)
}

/// Cells of any width, GT first.
fn ragged(
    kernel: Kernel,
    cells: &[u8],
    columns: &[u32],
    calls: &mut Vec<Call>,
) -> Result<u16, Fault> {
    let mut walk = Walk { cells, columns, column: 0, max: 0, calls };
    walk.cell(0)?;
    match kernel {
        Kernel::Scalar => {
            for tab in memchr::memchr_iter(b'\t', cells) {
                walk.cell(tab + 1)?;
            }
        }
        // SAFETY: `Kernel::Avx2` is only made by `detect`, which has seen the feature.
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => unsafe { tabs_avx2(&mut walk)? },
    }
    if walk.column == columns.len() { Ok(walk.max) } else { Err(Fault::Columns) }
}

struct Walk<'a> {
    cells: &'a [u8],
    columns: &'a [u32],
    column: usize,
    max: u16,
    calls: &'a mut Vec<Call>,
}

impl Walk<'_> {
    /// Reads the cell that starts at `at`.
    #[inline(always)]
    fn cell(&mut self, at: usize) -> Result<(), Fault> {
        let Some(&column) = self.columns.get(self.column) else { return Err(Fault::Columns) };
        self.column += 1;
        if let Some([b'0', b'/' | b'|', b'0', b':' | b'\t']) = self.cells.get(at..at + 4) {
            return Ok(());
        }
        self.other_cell(at, column)
    }

    fn other_cell(&mut self, at: usize, column: u32) -> Result<(), Fault> {
        // What a sample that stays out has here must show nowhere, not even as a record that is rejected.
        if column == EXCLUDED {
            return Ok(());
        }
        let (call, max) = parse(&self.cells[at..])?;
        self.max = self.max.max(max);
        if (call.a | call.b) != 0 {
            self.calls.push(Call { sample: column, ..call });
        }
        Ok(())
    }
}

/// Finds tabs 64 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
fn tabs_avx2(walk: &mut Walk<'_>) -> Result<(), Fault> {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };
    let cells = walk.cells;
    let tab = _mm256_set1_epi8(b'\t' as i8);
    let whole = cells.len() / 64 * 64;
    for (block, part) in cells.chunks_exact(64).enumerate() {
        let half = |i: usize| {
            // SAFETY: `part` has 64 bytes and `i` is 0 or 1; the load needs no alignment.
            let bytes = unsafe { _mm256_loadu_si256(part.as_ptr().add(32 * i).cast::<__m256i>()) };
            u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, tab)) as u32) << (32 * i)
        };
        let mut mask = half(0) | half(1);
        while mask != 0 {
            walk.cell(block * 64 + mask.trailing_zeros() as usize + 1)?;
            mask &= mask - 1;
        }
    }
    for tab in memchr::memchr_iter(b'\t', &cells[whole..]) {
        walk.cell(whole + tab + 1)?;
    }
    Ok(())
}

/// Parses the GT value at the start of `text` (up to `:`, TAB or the end) and its largest allele index.
///
/// VCF 4.4 allows a leading `/` or `|`. Three and more alleles give [`UNSUPPORTED`].
pub fn parse(text: &[u8]) -> Result<(Call, u16), Fault> {
    let mut at = usize::from(matches!(text.first(), Some(b'/' | b'|')));
    let mut alleles = [ABSENT; 2];
    let (mut n, mut max, mut phased) = (0, 0, false);
    loop {
        let (allele, next) = allele(text, at)?;
        max = if allele == MISSING { max } else { allele.max(max) };
        if n < 2 {
            alleles[n] = allele;
        }
        n += 1;
        at = next + 1;
        match text.get(next) {
            None | Some(b':' | b'\t') => break,
            Some(b'|') if n == 1 => phased = true,
            Some(b'/' | b'|') => {}
            Some(_) => return Err(Fault::Unparsable),
        }
    }
    if n > 2 {
        alleles = [UNSUPPORTED; 2];
    }
    Ok((Call { sample: 0, a: alleles[0], b: alleles[1], phased }, max))
}

fn allele(text: &[u8], at: usize) -> Result<(u16, usize), Fault> {
    if text.get(at) == Some(&b'.') {
        return Ok((MISSING, at + 1));
    }
    let (mut value, mut next) = (0usize, at);
    while let Some(d) = text.get(next).filter(|b| b.is_ascii_digit()) {
        value = value * 10 + usize::from(d - b'0');
        next += 1;
        if value > MAX_ALLELES {
            return Err(Fault::Unparsable);
        }
    }
    if next == at { Err(Fault::Unparsable) } else { Ok((value as u16, next)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(gt_only: bool) -> impl Strategy<Value = String> {
        let gt = prop_oneof![
            12 => Just("0|0"), 6 => Just("0/0"), 2 => Just("0|1"), 2 => Just("1/1"), 1 => Just("./."),
            1 => Just(".|1"), 1 => Just("2|1"), 1 => Just("0"), 1 => Just("1"), 1 => Just("."),
            1 => Just("0/0/1"), 1 => Just("10|0"), 1 => Just("/0/1"), 1 => Just("x"), 1 => Just("")
        ];
        let rest = if gt_only { "".boxed() } else { "(:[0-9]{1,3}){0,3}".boxed() };
        (gt, rest).prop_map(|(g, r)| format!("{g}{r}"))
    }

    /// The obvious way: split, parse, keep what is not hom-ref.
    fn plain(cells: &str, columns: &[u32]) -> Result<(u16, Vec<Call>), Fault> {
        let (mut max, mut calls) = (0, Vec::new());
        let parts: Vec<&str> = cells.split('\t').collect();
        for (i, part) in parts.iter().enumerate() {
            let Some(&column) = columns.get(i) else { return Err(Fault::Columns) };
            if column == EXCLUDED {
                continue;
            }
            let (call, top) = parse(part.as_bytes())?;
            max = max.max(top);
            if (call.a, call.b) != (0, 0) {
                calls.push(Call { sample: column, ..call });
            }
        }
        if parts.len() == columns.len() { Ok((max, calls)) } else { Err(Fault::Columns) }
    }

    fn check(cells: &str, gt_only: bool, samples: usize) {
        let columns: Vec<u32> = (0..samples as u32)
            .map(|i| if i % 7 == 3 { EXCLUDED } else { i * 31 % 1009 })
            .collect();
        let want = plain(cells, &columns);
        for kernel in [Kernel::Scalar, Kernel::detect()] {
            let mut calls = Vec::new();
            let got = scan(kernel, cells.as_bytes(), gt_only, &columns, &mut calls);
            assert_eq!(got.map(|max| (max, calls)), want, "{kernel:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn kernels_agree_on_gt_only(cells in prop::collection::vec(cell(true), 1..200), d in -1i32..2) {
            let n = (cells.len() as i32 + if d == 1 && cells.len() % 5 == 0 { 1 } else { 0 }) as usize;
            check(&cells.join("\t"), true, n);
        }

        #[test]
        fn kernels_agree_on_clean_gt(
            cells in prop::collection::vec(prop_oneof![9 => Just("0|0"), 1 => Just("0|1"), 1 => Just("1|1"), 1 => Just("./.")], 1..300)
        ) {
            check(&cells.join("\t"), true, cells.len());
        }

        #[test]
        fn kernels_agree_on_fields(cells in prop::collection::vec(cell(false), 1..200), extra in 0usize..2) {
            check(&cells.join("\t"), false, cells.len() + extra);
        }

        #[test]
        fn kernels_survive_noise(text in "[0-9./|:\t]{1,400}", n in 1usize..60) {
            check(&text, true, n);
            check(&text, false, n);
        }
    }

    #[test]
    fn haploid_half_and_prefixed() {
        let call = |t: &str| parse(t.as_bytes()).map(|(c, m)| (c.a, c.b, c.phased, m));
        assert_eq!(call("1"), Ok((1, ABSENT, false, 1)));
        assert_eq!(call(".|2:9"), Ok((MISSING, 2, true, 2)));
        assert_eq!(call("|0|1\t"), Ok((0, 1, true, 1)));
        assert_eq!(call("0/1/1"), Ok((UNSUPPORTED, UNSUPPORTED, false, 1)));
        assert_eq!(call("1/"), Err(Fault::Unparsable));
        assert_eq!(call("1001/0"), Err(Fault::Unparsable));
    }
}
