//! Records against a plain encoder written from the specification.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::engine::Job;
use crate::genotype::gt::Kernel;
use crate::genotype::ingest::ingest_tuned;
use crate::genotype::work::Tuning;
use crate::genotype::{CallsetRequest, Genome, Options, SampleEntry, SampleSheet};

/// Two alleles and whether they are phased; `None` is missing.
type Cell = Option<(u16, u16, bool)>;

/// A small generator, so that a seed names a whole file.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

fn category(cell: &Cell) -> u8 {
    match cell {
        None => 3,
        Some((0, 0, _)) => 0,
        Some((0, _, _) | (_, 0, _)) => 1,
        Some(_) => 2,
    }
}

/// The alleles of a call, the lesser first.
fn sorted(c: &(u16, u16, bool)) -> (usize, usize) {
    (usize::from(c.0.min(c.1)), usize::from(c.0.max(c.1)))
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn pack(values: &[usize], width: usize) -> Vec<u8> {
    let mut out = vec![0; (values.len() * width).div_ceil(8)];
    for (i, value) in values.iter().enumerate() {
        for k in (0..width).filter(|k| value >> k & 1 == 1) {
            let at = i * width + k;
            out[at / 8] |= 1 << (at % 8);
        }
    }
    out
}

fn difflist(n: usize, list: &[(usize, u8)], values: bool, out: &mut Vec<u8>) {
    varint(list.len(), out);
    if list.is_empty() {
        return;
    }
    let width = if n <= 256 { 1 } else { if n <= 65536 { 2 } else { 3 } };
    let mut groups = Vec::new();
    for group in list.chunks(64) {
        out.extend(&group[0].0.to_le_bytes()[..width]);
        let mut deltas = Vec::new();
        group.windows(2).for_each(|w| varint(w[1].0 - w[0].0, &mut deltas));
        groups.push(deltas);
    }
    out.extend(groups[..groups.len() - 1].iter().map(|g| (g.len() - 63) as u8));
    if values {
        out.extend(pack(&list.iter().map(|l| usize::from(l.1)).collect::<Vec<_>>(), 2));
    }
    groups.iter().for_each(|g| out.extend(g));
}

/// Encodes a record; returns its type.
fn encode(
    dice: &mut Dice,
    cells: &[Cell],
    alts: usize,
    base: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> u8 {
    let n = cells.len();
    let row: Vec<u8> = cells.iter().map(category).collect();
    let mut kind = [0u8, 1, 4, 6, 7, 2, 3][dice.roll(if base.is_some() { 7 } else { 5 })];
    let differ = |row: &[u8], from: &dyn Fn(usize) -> u8| -> Vec<(usize, u8)> {
        (0..n).filter(|&i| row[i] != from(i)).map(|i| (i, row[i])).collect()
    };
    match (kind, base) {
        (0, _) => out.extend(pack(&row.iter().map(|&c| usize::from(c)).collect::<Vec<_>>(), 2)),
        (1, _) => {
            let (code, low, high) =
                [(1, 0, 1), (2, 0, 2), (3, 0, 3), (5, 1, 2), (6, 1, 3), (9, 2, 3)][dice.roll(6)];
            out.push(code);
            out.extend(pack(&row.iter().map(|&c| usize::from(c == high)).collect::<Vec<_>>(), 1));
            let rest: Vec<_> = differ(&row, &|i| if row[i] == high { high } else { low });
            difflist(n, &rest, true, out);
        }
        (2, Some(base)) => difflist(n, &differ(&row, &|i| base[i]), true, out),
        (3, Some(base)) => {
            let flipped: Vec<u8> = row.iter().map(|&c| [2, 1, 0, 3][usize::from(c)]).collect();
            difflist(n, &differ(&flipped, &|i| base[i]), true, out);
        }
        _ => difflist(n, &differ(&row, &|_| kind & 3), true, out),
    }
    let other = |c: &Cell| c.as_ref().is_some_and(|c| c.0 > 1 || c.1 > 1);
    if cells.iter().any(other) {
        kind |= bits::MULTIALLELIC;
        patch_sets(dice, cells, &row, alts, out);
    }
    let hets: Vec<&(u16, u16, bool)> = cells.iter().flatten().filter(|c| c.0 != c.1).collect();
    let phased: Vec<usize> = hets.iter().filter(|c| c.2).map(|c| usize::from(c.0 > c.1)).collect();
    if !phased.is_empty() {
        kind |= bits::PHASE;
        if phased.len() == hets.len() && dice.roll(3) > 0 {
            out.extend(pack(&[&[0], &phased[..]].concat(), 1).iter());
            out.resize(out.len() + (1 + hets.len() / 8) - (1 + hets.len()).div_ceil(8), 0);
        } else {
            let present = hets.iter().map(|c| usize::from(c.2));
            out.extend(pack(&[1].into_iter().chain(present).collect::<Vec<_>>(), 1));
            out.extend(pack(&phased, 1));
        }
    }
    kind
}

fn patch_sets(dice: &mut Dice, cells: &[Cell], row: &[u8], alts: usize, out: &mut Vec<u8>) {
    let n = cells.len();
    let head = out.len();
    out.push(0);
    for (category, shift) in [(1u8, 0), (2, 4)] {
        let members: Vec<usize> = (0..n).filter(|&i| row[i] == category).collect();
        let alleles = |i: usize| cells[i].as_ref().map(sorted).unwrap();
        let usual = (usize::from(category) - 1, 1);
        let patched: Vec<usize> =
            members.iter().copied().filter(|&i| alleles(i) != usual).collect();
        let format = if patched.is_empty() && dice.roll(2) == 0 { 15 } else { dice.roll(2) as u8 };
        out[head] |= format << shift;
        match format {
            0 => {
                let set = members.iter().map(|i| usize::from(patched.contains(i)));
                out.extend(pack(&set.collect::<Vec<_>>(), 1));
            }
            1 => {
                let list: Vec<(usize, u8)> = patched.iter().map(|&i| (i, 0)).collect();
                difflist(n, &list, false, out);
            }
            _ => continue,
        }
        let (values, width): (Vec<usize>, usize) = if category == 1 {
            let width = match alts {
                2 => 0,
                3 => 1,
                4 | 5 => 2,
                6..=17 => 4,
                18..=257 => 8,
                _ => 16,
            };
            (patched.iter().map(|&i| alleles(i).1 - 2).collect(), width)
        } else if alts == 2 {
            (patched.iter().map(|&i| alleles(i).0 - 1).collect(), 1)
        } else {
            let width = match alts {
                3 | 4 => 2,
                5..=16 => 4,
                17..=256 => 8,
                _ => 16,
            };
            let pair = |&i: &usize| [alleles(i).0 - 1, alleles(i).1 - 1];
            (patched.iter().flat_map(pair).collect(), width)
        };
        out.extend(pack(&values, width));
    }
}

struct File {
    data: Vec<u8>,
    alts: Vec<usize>,
    cells: Vec<Vec<Cell>>,
    provisional: u64,
}

/// A whole file of the variable-width mode.
fn random_file(seed: u64, n: usize, variants: usize) -> File {
    let mut dice = Dice(seed | 1);
    let phased_file = dice.roll(3) > 0;
    let (mut kinds, mut records, mut alts, mut all) = (vec![], vec![], vec![], vec![]);
    let mut base: Option<Vec<u8>> = None;
    let mut last: Vec<Cell> = vec![Some((0, 0, false)); n];
    for _ in 0..variants {
        let count = [1, 1, 1, 2, 3, 5, 9, 20, 300][dice.roll(9)];
        let style = dice.roll(5);
        let mut cell = |old: &Cell| match (style, dice.roll(20)) {
            (0, 1..) => Some((0, 0, false)),
            (1, 1..) => Some((1, 1, false)),
            (2, 1..) if category(old) == 3 || count > 1 => *old,
            (_, 0 | 1) => None,
            _ => {
                let (a, b) = (dice.roll(count + 1) as u16, dice.roll(count + 1) as u16);
                let phased = phased_file && a != b && (style == 3 || dice.roll(4) > 0);
                Some(if phased { (a, b, true) } else { (a.min(b), a.max(b), false) })
            }
        };
        let fit = |c: Cell| c.filter(|c| c.0.max(c.1) as usize <= count);
        let cells: Vec<Cell> = last.iter().map(|old| fit(cell(old))).collect();
        let mut record = Vec::new();
        let kind = encode(&mut dice, &cells, count, base.as_deref(), &mut record);
        if !crate::genotype::plink::pgen::is_ld(kind) {
            base = Some(cells.iter().map(category).collect());
        }
        kinds.push(kind);
        records.push(record);
        alts.push(count);
        last.clone_from(&cells);
        all.push(cells);
    }
    let flags = dice.roll(2) == 0;
    let counts = 2 * dice.roll(2);
    let mut data = vec![0x6c, 0x1b, 0x10];
    data.extend((variants as u32).to_le_bytes());
    data.extend((n as u32).to_le_bytes());
    data.push(6 | (counts as u8) << 4 | if flags { 0xc0 } else { 0x40 });
    let mut rest = kinds;
    records.iter().for_each(|r| rest.extend(&(r.len() as u32).to_le_bytes()[..3]));
    alts.iter().for_each(|&a| rest.extend(&(a as u32 + 1).to_le_bytes()[..counts]));
    let mut provisional = 0;
    if flags {
        let bits: Vec<usize> = (0..variants).map(|_| dice.roll(2)).collect();
        provisional = bits.iter().sum::<usize>() as u64;
        rest.extend(pack(&bits, 1));
    }
    data.extend((20 + rest.len() as u64).to_le_bytes());
    data.extend(rest);
    records.iter().for_each(|r| data.extend(r));
    File { data, alts, cells: all, provisional }
}

/// The calls that a row stands for, by the rules of the format and ours for homozygotes.
fn expected(cells: &[Cell], columns: &[u32], phased_file: bool) -> (Vec<Call>, u16) {
    let mut calls = Vec::new();
    for (cell, &sample) in cells.iter().zip(columns).filter(|(_, c)| **c != EXCLUDED) {
        match *cell {
            None => calls.push(Call { sample, a: MISSING, b: MISSING, phased: false }),
            Some((0, 0, _)) => {}
            Some((a, b, phased)) => calls.push(Call { sample, a, b, phased }),
        }
    }
    let unphased = calls.iter().any(|c| c.a != c.b && !c.phased);
    if phased_file && !unphased {
        calls.iter_mut().filter(|c| c.a != MISSING).for_each(|c| c.phased = true);
    }
    (calls, cells.iter().flatten().map(|c| c.0.max(c.1)).max().unwrap_or(0))
}

fn check(seed: u64, n: usize, variants: usize) {
    let file = random_file(seed, n, variants);
    let path = Path::new("x.pgen");
    let pgen = Pgen::open(path, &file.data).unwrap();
    assert_eq!((pgen.samples as usize, pgen.variants as usize), (n, variants));
    assert_eq!(pgen.provisional, Some(file.provisional));
    let columns: Vec<u32> =
        (0..n).map(|i| if i % 5 == 2 { EXCLUDED } else { (n - i) as u32 }).collect();
    let mut dice = Dice(seed | 1);
    let any_order: Vec<usize> = (0..variants).map(|_| dice.roll(variants)).collect();
    for order in [(0..variants).collect(), any_order] {
        let mut records = Records::new(path, &file.data, &pgen);
        for v in order {
            let mut calls = Vec::new();
            let max = records.calls(v as u32, file.alts[v], &columns, &mut calls).unwrap();
            let want = expected(&file.cells[v], &columns, pgen.phased);
            assert!((calls, max) == want, "variant {v} of {n} samples, seed {seed}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn records_are_what_was_encoded(seed: u64, n in prop_oneof![1usize..200, Just(256), Just(257), Just(1500)]) {
        check(seed, n, 60);
    }

    #[test]
    fn damaged_records_give_errors_or_calls_of_known_samples(
        seed: u64, n in 1usize..300, flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..), 1..8),
    ) {
        let mut file = random_file(seed, n, 40);
        for (at, mask) in flips {
            let at = at.index(file.data.len());
            file.data[at] ^= mask;
        }
        let path = Path::new("x.pgen");
        if let Ok(pgen) = Pgen::open(path, &file.data) {
            let columns: Vec<u32> = (0..pgen.samples.min(1000)).collect();
            for v in 0..pgen.variants.min(40) {
                let mut calls = Vec::new();
                let done = Records::new(path, &file.data, &pgen).calls(v, file.alts[v as usize], &columns, &mut calls);
                if done.is_ok() {
                    prop_assert!(calls.iter().all(|c| (c.sample as usize) < columns.len()));
                }
            }
        }
    }
}

#[test]
fn sample_numbers_of_three_bytes() {
    check(5, 70_000, 12);
}

#[test]
fn tables_do_not_depend_on_the_size_of_shards() {
    let n = 150;
    let file = random_file(77, n, 300);
    let dir = tempfile::tempdir().unwrap();
    let pgen = dir.path().join("x.pgen");
    std::fs::write(&pgen, &file.data).unwrap();
    let names: Vec<String> = (0..n).map(|i| format!("S{i}")).collect();
    std::fs::write(pgen.with_extension("psam"), format!("#IID\n{}\n", names.join("\n"))).unwrap();
    let mut pvar = "##x\n#CHROM\tPOS\tID\tREF\tALT\n".to_owned();
    let mut base = Dice(3);
    for (v, alts) in file.alts.iter().enumerate() {
        let alts: Vec<String> =
            (0..*alts).map(|k| format!("C{}", "ACGT"[..=k % 4].repeat(1 + k / 4))).collect();
        // Not sorted, equal positions among them.
        let pos = 1 + (v * 37 + base.roll(3)) % 200;
        pvar += &format!("{}\t{pos}\t.\tC\t{}\n", 1 + v % 3, alts.join(","));
    }
    std::fs::write(pgen.with_extension("pvar"), pvar).unwrap();
    let entry = |(i, name): (usize, String)| {
        (name, SampleEntry { research_id: 77 * i as i64 % 151, ..SampleEntry::default() })
    };
    let request = CallsetRequest {
        name: "wgs".into(),
        genome: Genome::Grch38,
        files: vec![pgen],
        samples: SampleSheet {
            included: names.into_iter().enumerate().map(entry).collect(),
            ..SampleSheet::default()
        },
        info: Vec::new(),
        carriers: true,
        options: Options::default(),
    };
    let digests = |bytes: usize, threads: usize| {
        let out = tempfile::tempdir().unwrap();
        let job = Job::quiet(out.path(), threads);
        let done =
            ingest_tuned(&request, &job, Tuning { blocks: 1, bytes }, Kernel::detect()).unwrap();
        assert!(done.ledger.0[0].excluded["duplicate_variant"] > 5);
        done.files.into_iter().map(|f| (f.path, f.sha256)).collect::<Vec<_>>()
    };
    let want = digests(4 << 20, 1);
    for bytes in [1, 900, 7000] {
        assert_eq!(digests(bytes, 3), want, "{bytes}");
    }
}
