//! A mutation loop over the entry points of the fuzz targets: the same inputs on every machine.
//!
//! `STRATA_FUZZ_ITERATIONS` (by target; small by default) and `STRATA_FUZZ_SEED` make it longer and other.
//! The coverage-guided targets are in `fuzz/`. A finding is a panic; its input is written to the temporary
//! folder and named in the message.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use strata::genotype::fuzz;
use support::bgzf;

const VCF: &[u8] = b"##fileformat=VCFv4.3\n##FILTER=<ID=q10,Description=\"x\">\n\
    ##INFO=<ID=END,Number=1,Type=Integer,Description=\"x, \\\"y\">\n##contig=<ID=20,IDX=3>\n\
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\tC\n\
    20\t10\trs1;rs2\tA\tG,*,<DEL>\t50.5\tPASS\tEND=20;SVLEN=1,2,3\tGT:DP\t0|1:3\t./.:.\t1:4\n\
    20\t11\t.\tCAAAG\tCAAAT,C\t.\tq10;s50\t.\tGT\t1/2\t.|1\t0/0/1\n\
    20\t12\t.\tC\tC[20:5[,<NON_REF>\t.\t.\tDB\tGT\t0|0\t0|1\t2|2\n";

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

/// A few small changes of `seed`, or parts of `other` in it.
fn mutate(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    const TOKENS: [&[u8]; 16] = [
        b"\t",
        b"\n",
        b"\r\n",
        b"",
        b"\0",
        b"0|0",
        b"1",
        b":",
        b",",
        b";",
        b"<",
        b">",
        b"-1",
        b"2147483648",
        b"\xff\xff\xff\x7f",
        b"\x80\x81\x7f\xff",
    ];
    let mut data = seed.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        match random.below(7) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 => data.truncate(at),
            3 => {
                let end = (at + random.below(40)).min(data.len());
                drop(data.drain(at..end));
            }
            4 => drop(data.splice(at..at, TOKENS[random.below(16)].iter().copied())),
            5 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                drop(data.splice(at..at, other[from..to].iter().copied()));
            }
            _ => {
                let end = (at + random.below(60)).min(data.len());
                let again = data[at..end].to_vec();
                drop(data.splice(at..at, again));
            }
        }
    }
    data
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|e| if e.path().is_dir() { files_below(&e.path()) } else { vec![e.path()] })
        .collect()
}

/// Small VCF texts: one made here, and the specification's where they are.
fn texts() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/conformance/vcf");
    let mut files = files_below(&root);
    files.retain(|f| f.extension().is_some_and(|e| e == "vcf"));
    files.sort();
    let mut texts = vec![VCF.to_vec()];
    texts.extend(files.iter().map(|f| std::fs::read(f).unwrap()).filter(|t| !t.is_empty()));
    texts
}

/// What is inside the BGZF of a BCF with two records of three samples, written by hand.
fn bcf() -> Vec<u8> {
    let header = b"##fileformat=VCFv4.3\n##FILTER=<ID=PASS,Description=\"x\">\n##INFO=<ID=END,Number=1,Type=Integer,Description=\"x\">\n\
        ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n##contig=<ID=20>\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\tC\n\0";
    let mut data = b"BCF\x02\x02".to_vec();
    data.extend((header.len() as u32).to_le_bytes());
    data.extend(header);
    for pos in [9i32, 10] {
        let mut shared = Vec::new();
        for word in [0, pos, 1] {
            shared.extend(i32::to_le_bytes(word));
        }
        shared.extend(0x7f80_0001u32.to_le_bytes());
        shared.extend((2u32 << 16 | 1).to_le_bytes());
        shared.extend((1u32 << 24 | 3).to_le_bytes());
        shared.extend(b"\x07\x17A\x17G\x11\x00\x11\x01\x11\x14");
        let individual = b"\x11\x02\x21\x02\x04\x00\x00\x04\x81";
        data.extend((shared.len() as u32).to_le_bytes());
        data.extend((individual.len() as u32).to_le_bytes());
        data.extend(shared);
        data.extend(individual);
    }
    data
}

/// Runs a target; `fix` makes the input reach behind checksums.
fn target(name: &str, seeds: &[Vec<u8>], entry: fn(&[u8]) -> bool) {
    let number = |key: &str, default| {
        std::env::var(key).ok().and_then(|v: String| v.parse().ok()).unwrap_or(default)
    };
    let iterations = number("STRATA_FUZZ_ITERATIONS", 3000u64);
    let mut random = Random(number("STRATA_FUZZ_SEED", 1u64) | 1 << 40);
    let mut accepted = 0u64;
    assert!(seeds.iter().any(|s| entry(s)), "{name}: no seed is read");
    for i in 0..iterations {
        let seed = &seeds[random.below(seeds.len())];
        let other = &seeds[random.below(seeds.len())];
        let data = mutate(&mut random, seed, other);
        match catch_unwind(|| entry(&data)) {
            Ok(read) => accepted += u64::from(read),
            Err(_) => {
                let path = std::env::temp_dir().join(format!("strata-{name}-{i}.bin"));
                std::fs::write(&path, &data).unwrap();
                panic!("{name}: finding in iteration {i}: {}", path.display());
            }
        }
    }
    println!("{name}: {iterations} inputs, {accepted} read, no finding");
}

#[test]
fn header() {
    let texts: Vec<Vec<u8>> = texts();
    target("header", &texts, |d| fuzz::header(d).is_ok());
}

#[test]
fn line() {
    let bodies: Vec<Vec<u8>> = texts()
        .iter()
        .map(|t| {
            let lines = t.split_inclusive(|&b| b == b'\n').filter(|l| !l.starts_with(b"#"));
            lines.flatten().copied().collect::<Vec<u8>>()
        })
        .filter(|body: &Vec<u8>| !body.is_empty())
        .collect();
    target("line", &bodies, |d| fuzz::line(d).is_ok());
}

#[test]
fn blocks() {
    let packed: Vec<Vec<u8>> = texts().iter().take(40).map(|t| bgzf(t, 100)).collect();
    target("blocks", &packed, |d| fuzz::blocks(d).is_ok());
    target("file", &packed, |d| fuzz::file(d).is_ok());
}

#[test]
fn bcf_records() {
    let seed = bcf();
    assert_eq!(fuzz::bcf(&seed).unwrap().rows, 2);
    target("bcf", &[seed], |d| fuzz::bcf(d).is_ok());
}

/// Three variants of three samples as texts and a .bed; then the same as a .pgen of fixed width.
fn plink() -> [Vec<u8>; 2] {
    let bim = "20\trs1\t0\t10\tG\tA\n20\trs2\t0\t11\tC\tCAG\nX\t.\t0\t12\tT\tC\n";
    let fam = "0 A 0 0 1 -9\n0 B 0 0 2 -9\n0 C 0 0 0 -9\n";
    let pvar =
        "#CHROM\tPOS\tID\tREF\tALT\n20\t10\trs1\tA\tG\n20\t11\trs2\tCAG\tC\nX\t12\t.\tC\tT\n";
    let psam = "#IID\tSEX\nA\t1\nB\t2\nC\tNA\n";
    let bed = [&[0x6c, 0x1b, 1], &[0b10_00_11u8, 0b01_11_10, 0b11_11_00][..]].concat();
    let mut pgen = vec![0x6c, 0x1b, 2, 3, 0, 0, 0, 3, 0, 0, 0, 0x40];
    pgen.extend([0b01_10_00u8, 0b11_00_01, 0b00_00_10]);
    let join = |a: &str, b: &str, c: &[u8]| [a.as_bytes(), &[0], b.as_bytes(), &[0], c].concat();
    [join(bim, fam, &bed), join(pvar, psam, &pgen)]
}

#[test]
fn plink_sets() {
    let [bed, pgen] = plink();
    assert_eq!(fuzz::bed(&bed).unwrap(), fuzz::pgen(&pgen).unwrap());
    assert_eq!(fuzz::bed(&bed).unwrap().rows, 3);
    target("bed", &[bed], |d| fuzz::bed(d).is_ok());
    target("pgen", &[pgen], |d| fuzz::pgen(d).is_ok());
}

#[test]
fn text_and_its_blocks_say_the_same() {
    let mut random = Random(3 << 40);
    let texts = texts();
    for _ in 0..300 {
        let seed = &texts[random.below(texts.len())];
        let text = mutate(&mut random, seed, VCF);
        // A file that is no VCF at all is refused in other words.
        let (plain, packed) = (fuzz::file(&text), fuzz::file(&fuzz::pack(&text)));
        assert_eq!(plain.ok(), packed.ok(), "{:?}", String::from_utf8_lossy(&text));
    }
}
