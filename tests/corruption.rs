//! Cut, damaged and hostile inputs: never taken for whole, and never more memory than the cap.
//!
//! Full size: `STRATA_CUTS=10000 STRATA_FLIPS=10000`; `STRATA_BENCH_VCF=<file.vcf.gz>` cuts that file too.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::io::{Read, Write};

use strata::error::Coded;
use strata::genotype::fuzz;
use support::bgzf;

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// A VCF of `samples` and `records` with few and irregular alternate calls.
fn text(samples: usize, records: usize) -> Vec<u8> {
    let mut random = Random(77);
    let mut text = String::from(
        "##fileformat=VCFv4.2\n##contig=<ID=20>\n##INFO=<ID=NS,Number=1,Type=Integer,Description=\"x\">\n\
         ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n\
         #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT",
    );
    text += &(0..samples).map(|i| format!("\tS{i}")).collect::<String>();
    text += "\n";
    for i in 0..records {
        text += &format!("20\t{}\trs{i}\tA\tG\t50\tPASS\tNS={samples}\tGT", 1000 + 7 * i);
        for _ in 0..samples {
            text += match random.below(40) {
                0 => "\t1|1",
                1..4 => "\t0|1",
                4 => "\t.|.",
                _ => "\t0|0",
            };
        }
        text += "\n";
    }
    text.into_bytes()
}

fn starts(data: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(&at) = starts.last().filter(|at| **at < data.len()) {
        starts.push(at + usize::from(u16::from_le_bytes([data[at + 16], data[at + 17]])) + 1);
    }
    starts
}

fn inflated(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(data).read_to_end(&mut out).unwrap();
    out
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// The BCF of a VCF, by bcftools; `None` (with a printed reason) where that is not installed.
fn bcf(vcf: &[u8]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.vcf.gz"), dir.path().join("a.bcf"));
    std::fs::write(&from, vcf).unwrap();
    let mut command = std::process::Command::new("bcftools");
    command.args(["view", "--no-version", "-Ob", "-o"]).arg(&to).arg(&from);
    command.stderr(std::process::Stdio::null());
    if !command.status().is_ok_and(|s| s.success()) {
        println!("skipped: no bcftools to make a BCF with");
        return None;
    }
    Some(std::fs::read(to).unwrap())
}

/// Files of each compressed format, by name.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let text = text(40, 2000);
    let vcf = bgzf(&text, 6000);
    let mut inputs = vec![("vcf.gz", vcf.clone()), ("gzip", gzip(&text))];
    inputs.extend(bcf(&vcf).map(|b| ("bcf", b)));
    for (name, data) in &inputs {
        let check = fuzz::file(data).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((check.records, check.rows), (2000, 2000), "{name}");
    }
    inputs
}

#[test]
fn a_cut_file_is_never_whole() {
    let n = setting("STRATA_CUTS", 1000);
    for (name, data) in inputs() {
        let mut random = Random(5);
        let mut cuts: Vec<usize> = (0..n).map(|_| 1 + random.below(data.len() - 1)).collect();
        let mut blocks = 0;
        if name != "gzip" {
            let starts = starts(&data);
            blocks = starts.len() - 2;
            cuts.extend(&starts[1..=blocks]);
        }
        for &cut in &cuts {
            assert!(fuzz::file(&data[..cut]).is_err(), "{name} cut at {cut} of {}", data.len());
        }
        println!("{name}: {} cuts refused, {blocks} of them between blocks", cuts.len());
    }
}

#[test]
fn the_benchmark_file_cut_is_never_whole() {
    let Ok(path) = std::env::var("STRATA_BENCH_VCF") else {
        return println!("skipped: STRATA_BENCH_VCF names no file");
    };
    let data = std::fs::read(path).unwrap();
    let mut random = Random(6);
    let mut cuts: Vec<usize> =
        (0..setting("STRATA_CUTS", 1000)).map(|_| 1 + random.below(data.len() - 1)).collect();
    let starts = starts(&data);
    cuts.extend(&starts[1..starts.len() - 1]);
    for &cut in &cuts {
        assert!(fuzz::file(&data[..cut]).is_err(), "cut at {cut}");
    }
    println!("{} cuts refused, {} of them between blocks", cuts.len(), starts.len() - 2);
}

#[test]
fn a_flipped_bit_is_never_taken_for_data() {
    let n = setting("STRATA_FLIPS", 300);
    for (name, data) in inputs() {
        let mut random = Random(9);
        let whole = inflated(&data);
        let mut neutral = 0;
        for i in 0..n {
            let (at, bit) = (random.below(data.len()), random.below(8));
            let mut damaged = data.clone();
            damaged[at] ^= 1 << bit;
            if fuzz::file(&damaged).is_err() {
                continue;
            }
            // It may pass only where it says nothing: behind the last code of a block, in the description of
            // a code that is not used, in a gzip header. The text is then the same, byte for byte.
            assert!(inflated(&damaged) == whole, "{name}, flip {i}: bit {bit} of byte {at}");
            neutral += 1;
        }
        println!("{name}: {n} flips, {neutral} of them in bits that say nothing");
    }
}

#[test]
fn every_header_byte_of_a_block_counts() {
    let data = bgzf(&text(10, 400), 3000);
    let starts = starts(&data);
    assert!(starts.len() > 6);
    for start in &starts[..starts.len() - 1] {
        for at in *start..start + 18 {
            for bit in 0..8 {
                let mut damaged = data.clone();
                damaged[at] ^= 1 << bit;
                assert!(fuzz::file(&damaged).is_err(), "bit {bit} of byte {}", at - start);
            }
        }
    }
}

#[test]
fn sizes_that_lie() {
    let data = bgzf(&text(10, 400), 3000);
    let starts = starts(&data);
    for size in [0u32, 1, 2999, 3001, 65_536, 65_537, 0x7fff_ffff, u32::MAX] {
        let mut lying = data.clone();
        lying[starts[2] - 4..starts[2]].copy_from_slice(&size.to_le_bytes());
        assert_eq!(fuzz::file(&lying).unwrap_err().code(), "genotype::bgzf_damaged", "{size}");
    }
    for (length, code) in [(u32::MAX, "genotype::header"), (1 << 27, "genotype::cut_line")] {
        let mut text = b"BCF\x02\x02".to_vec();
        text.extend(length.to_le_bytes());
        text.extend(b"##fileformat=VCFv4.2\n");
        assert_eq!(fuzz::bcf(&text).unwrap_err().code(), code);
    }
    let header = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\0";
    for (shared, individual) in [(u32::MAX, 0), (24, u32::MAX), (0, 0), (1 << 27, 1 << 27)] {
        let mut text = b"BCF\x02\x02".to_vec();
        text.extend((header.len() as u32).to_le_bytes());
        text.extend(header);
        text.extend(shared.to_le_bytes());
        text.extend(individual.to_le_bytes());
        text.extend([0; 64]);
        assert_eq!(fuzz::bcf(&text).unwrap_err().code(), "genotype::bcf_record");
    }
}

/// gzip that inflates to `head` and then `megabytes` of one byte.
fn bomb(head: &[u8], megabytes: usize) -> Vec<u8> {
    let mut packer = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut piece = Vec::with_capacity(1 << 16);
    packer.compress_vec(head, &mut piece, flate2::FlushCompress::Full).unwrap();
    out.extend(&piece);
    let million = vec![b'A'; 1 << 20];
    // After a full flush the same text has the same bytes again.
    let mut again = Vec::new();
    for _ in 0..2 {
        again = Vec::with_capacity(1 << 16);
        packer.compress_vec(&million, &mut again, flate2::FlushCompress::Full).unwrap();
    }
    out.extend(again.repeat(megabytes));
    out
}

/// Peak resident memory of this process, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() / 1024
}

const HEAD: &[u8] = b"##fileformat=VCFv4.2\n\
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n1\t5\t.\tA\tG\t.\t.\t.\tGT\t";

/// Does its work only in the process that [`bombs_stop_below_the_cap`] starts, whose memory is its own.
#[test]
fn bomb_in_a_process() {
    let Ok(kind) = std::env::var("STRATA_BOMB") else { return };
    let line_of_a_gigabyte = || {
        let mut blocks = bgzf(HEAD, 1 << 16);
        blocks.truncate(blocks.len() - 28);
        let one = bgzf(&[b'A'; 65_000], 65_000);
        blocks.extend(one[..one.len() - 28].repeat(17_000));
        blocks.extend(&one[one.len() - 28..]);
        blocks
    };
    let (data, code) = match kind.as_str() {
        "line" => (bomb(HEAD, 10_240), "genotype::line_too_long"),
        "header" => (bomb(b"##fileformat=VCFv4.2\n##x=", 10_240), "genotype::header"),
        _ => (line_of_a_gigabyte(), "genotype::line_too_long"),
    };
    let error = fuzz::file(&data).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    println!("{kind}: {} MiB in, peak {} MiB", data.len() >> 20, peak());
    assert!(peak() < 1024, "{} MiB", peak());
}

#[test]
fn bombs_stop_below_the_cap() {
    for kind in ["line", "header", "bgzf line"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "bomb_in_a_process", "--nocapture"]).env("STRATA_BOMB", kind);
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{}", said.lines().find(|l| l.contains("peak")).unwrap_or_default());
        assert!(
            output.status.success(),
            "{kind}: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
