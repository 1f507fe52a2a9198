//! The samples of a report into spools.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::super::merge::record::About;
use super::super::merge::spool::{Pile, Spool, Writer};
use super::super::merge::{Books, Reading};
use super::{Report, samples};
use crate::engine::TableLedger;
use crate::genotype::array_manifest::{Manifest, Probe};
use crate::genotype::assemble::{Assembler, Group as Rows, Rejected};
use crate::genotype::cohort::Cohort;
use crate::genotype::fields::Rules;
use crate::genotype::ingest::reference;
use crate::genotype::inputs::{base_name, label};
use crate::genotype::shard::keep::{HOM_REF, UNKNOWN};
use crate::genotype::shard::{Builder, Context, Site};
use crate::genotype::source::Source;
use crate::genotype::{Error, align, region};

/// Bytes of calls in memory at a time, where the lines of each sample stand together.
const CALL_BYTES: usize = 64 << 20;
/// The same where they do not, and all samples must be held.
const ALL_CALL_BYTES: usize = 512 << 20;

const MISSING: u8 = 2;
const HET: u8 = 3;
const HOM_ALT: u8 = 6;

/// The rows of a manifest, normalised and in order.
pub struct Sites {
    manifest: Manifest,
    rows: Vec<Rows>,
    /// By probe: why its calls are of no use.
    unusable: Vec<Option<&'static str>>,
    /// Probes in the order of lines of the shard in `rows`.
    order: Vec<u32>,
}

impl Sites {
    /// Places the probes of `manifest`. `books` gets those that cannot be, listed by line of the manifest.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(
        reading: &Reading<'_>,
        manifest: Manifest,
        books: &mut Books,
    ) -> Result<Self, Error> {
        let context = Context {
            cohort: Cohort::default(),
            genome: reading.request.genome,
            kernel: reading.kernel,
            info: Vec::new(),
            keep_cells: false,
            fields: Rules::default(),
            reference: reference(reading.request)?,
            reference_mismatch: reading.request.options.reference_mismatch,
            consequences: None,
            keep: Some(0),
        };
        let hold = if context.reference.is_some() { align::FURTHEST } else { 0 };
        let mut unusable: Vec<Option<&'static str>> =
            manifest.probes.iter().map(|p| p.placed.as_ref().err().copied()).collect();
        let key = |i: &u32| {
            let placed = manifest.probes[*i as usize].placed.as_ref().ok()?;
            let chrom = region::chrom(placed.chrom.as_bytes())?;
            Some((chrom.rank, chrom.name, placed.pos, *i))
        };
        let mut order: Vec<u32> =
            (0..manifest.probes.len() as u32).filter(|i| key(i).is_some()).collect();
        order.sort_by_cached_key(key);
        let mut builder = Builder::new(&context);
        for &i in &order {
            let probe = &manifest.probes[i as usize];
            let Ok(placed) = &probe.placed else { continue };
            builder.begin();
            let name = probe.name.as_bytes();
            let site = Site {
                chrom: placed.chrom.as_bytes(),
                pos: placed.pos,
                id: if name.is_empty() || name.contains(&b';') { b"." } else { name },
                reference: placed.reference.as_bytes(),
                alt: placed.alt.as_bytes(),
                qual: None,
                filter: b".",
                info: b"",
            };
            builder.add(&site, 1);
            books.ledger.note("provisional_ref", u64::from(placed.provisional));
            books.ledger.note("probe_flipped", u64::from(placed.flipped));
        }
        let source = [Source::of_nothing(&manifest.path)?];
        let mut assembler = Assembler::new(&source, &[], TableLedger::new(""), 1 << 16, hold);
        assembler.add(0, builder.finish())?;
        assembler.finish()?;
        let rows = assembler.take_groups();
        for Rejected { line, reason, .. } in assembler.take_rejected() {
            let probe = order.get(line as usize - 1);
            if let Some(slot) = probe.and_then(|&i| unusable.get_mut(i as usize)) {
                *slot = Some(reason);
            }
        }
        let file = books.names.len();
        books.names.push(base_name(&manifest.path));
        for (probe, reason) in manifest.probes.iter().zip(&unusable) {
            let class = reason.map_or("probe_placed".to_owned(), |r| format!("probe:{r}"));
            books.ledger.note(&class, 1);
            if let Some(reason) = reason {
                books.rejected.push(Rejected { file, line: probe.line, reason, offset: None });
            }
        }
        Ok(Self { manifest, rows, unusable, order })
    }
}

/// Reads a report. Samples that stay out are passed over.
///
/// # Errors
/// As [`samples`], and when scratch cannot be written.
pub fn read(
    reading: &Reading<'_>,
    sites: &Sites,
    path: &Path,
    file: usize,
    pile: &Arc<Pile>,
    block_rows: u32,
) -> Result<(Vec<Spool>, Books), Error> {
    let (names, together) = samples(path)?;
    let sheet = &reading.request.samples;
    let everybody = &reading.cohort.entries;
    let mut ordinals = HashMap::new();
    for name in names.iter().filter(|n| !sheet.excluded.contains_key(*n)) {
        if let Some(entry) = sheet.included.get(name) {
            let ordinal = everybody.partition_point(|e| e.research_id < entry.research_id);
            ordinals.insert(name.as_bytes().to_vec(), ordinal as u32);
        }
    }
    let probes = sites.manifest.probes.len().max(1);
    let most = (CALL_BYTES / probes).clamp(1, 64);
    if !together && ordinals.len().saturating_mul(probes) > ALL_CALL_BYTES {
        return Err(Error::TooLarge { what: "FinalReport that is not sorted by sample" });
    }
    let mut read = Read {
        sites,
        file,
        pile,
        block_rows,
        held: Vec::new(),
        spools: Vec::new(),
        books: Books { names: vec![label(reading.request, path)], ..Books::default() },
    };
    let mut report = Report::open(path)?;
    let mut current: (Vec<u8>, Option<usize>) = (Vec::new(), None);
    let mut lines = 0u64;
    while report.next_line()? {
        lines += 1;
        if lines.is_multiple_of(65_536) {
            reading.job.check()?;
        }
        let Some([snp, sample, one, two]) = report.cell() else {
            read.books.ledger.rows_in += 1;
            read.reject(report.number, "column_count");
            continue;
        };
        if current.0 != sample {
            let slot = match ordinals.get(sample) {
                Some(&ordinal) => Some(read.hold(ordinal, together.then_some(most))?),
                None => None,
            };
            current = (sample.to_vec(), slot);
        }
        let Some(slot) = current.1 else { continue };
        read.books.ledger.rows_in += 1;
        let probe = sites.manifest.find(snp);
        match probe.ok_or("unknown_probe") {
            Ok(i) => read.call(slot, i as usize, report.notation, one, two, report.number),
            Err(reason) => read.reject(report.number, reason),
        }
    }
    read.flush()?;
    reading.job.progress.advance(1);
    Ok((read.spools, read.books))
}

struct Read<'a> {
    sites: &'a Sites,
    file: usize,
    pile: &'a Arc<Pile>,
    block_rows: u32,
    /// `sample_idx` and a code by probe.
    held: Vec<(u32, Vec<u8>)>,
    spools: Vec<Spool>,
    books: Books,
}

impl Read<'_> {
    fn reject(&mut self, line: u64, reason: &'static str) {
        self.books.ledger.exclude(&format!("bad_record:{reason}"), 1);
        self.books.rejected.push(Rejected { file: self.file, line, reason, offset: None });
    }

    /// Where the calls of a sample are held; of `most` samples at most, if given.
    fn hold(&mut self, ordinal: u32, most: Option<usize>) -> Result<usize, Error> {
        if let Some(slot) = self.held.iter().position(|(held, _)| *held == ordinal) {
            return Ok(slot);
        }
        if most.is_some_and(|most| self.held.len() >= most) {
            self.flush()?;
        }
        self.held.push((ordinal, vec![UNKNOWN; self.sites.manifest.probes.len()]));
        Ok(self.held.len() - 1)
    }

    fn call(
        &mut self,
        slot: usize,
        probe: usize,
        notation: super::Notation,
        one: &[u8],
        two: &[u8],
        line: u64,
    ) {
        // The manifest's rejects list such probes once, not once a sample.
        if let Some(reason) = self.sites.unusable[probe] {
            return self.books.ledger.exclude(&format!("probe:{reason}"), 1);
        }
        let code = match code(notation, &self.sites.manifest.probes[probe], one, two) {
            Ok(code) => code,
            Err(reason) => return self.reject(line, reason),
        };
        let calls = &mut self.held[slot].1;
        if calls[probe] != UNKNOWN {
            return self.reject(line, "duplicate_call");
        }
        calls[probe] = code;
    }

    /// Writes what is held as a spool.
    fn flush(&mut self) -> Result<(), Error> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.sort_by_key(|(ordinal, _)| *ordinal);
        let ordinals = self.held.iter().map(|(ordinal, _)| *ordinal).collect();
        let mut writer = Writer::new(self.pile.clone(), ordinals, self.block_rows);
        let mut codes = vec![0; self.held.len()];
        let mut joined = 0;
        for group in &self.sites.rows {
            writer.begin(&group.chrom)?;
            for at in &group.rows {
                let shard = &at.shard.rows;
                let row = &shard.rows[at.row as usize];
                let probe = self.sites.order[row.line as usize] as usize;
                for (code, (_, calls)) in codes.iter_mut().zip(&self.held) {
                    *code = calls[probe];
                }
                let said = codes.iter().filter(|&&c| c != UNKNOWN).count() as u64;
                if said == 0 {
                    continue;
                }
                joined += said - 1;
                let alts = (1, shard.text(row.orig_ref), row.orig_pos, shard.text(row.orig_alt), 1);
                let id = shard.text(row.id);
                let about = About {
                    origin: Some((alts, false)),
                    qual: None,
                    id: Cow::Borrowed(if id.is_empty() { b"." } else { id }),
                    filter: Cow::Borrowed(b"."),
                    info: Vec::new(),
                    consequences: None,
                };
                writer.row(shard.key(at.row as usize), row.end, &about, (&codes, &[]))?;
            }
        }
        self.books.ledger.exclude("merged_row", joined);
        self.spools.push(writer.finish()?);
        self.held.clear();
        Ok(())
    }
}

fn code(
    notation: super::Notation,
    probe: &Probe,
    one: &[u8],
    two: &[u8],
) -> Result<u8, &'static str> {
    let Ok(placed) = &probe.placed else { return Ok(UNKNOWN) };
    let none = |allele: &[u8]| allele == b"-" || allele == b"--" || allele.is_empty();
    if none(one) || none(two) {
        return Ok(MISSING);
    }
    let alt = |allele: &[u8]| notation.read(allele, probe).map(|b| b == placed.a_is_ref);
    Ok(match u8::from(alt(one)?) + u8::from(alt(two)?) {
        0 => HOM_REF,
        1 => HET,
        _ => HOM_ALT,
    })
}
