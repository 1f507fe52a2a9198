//! Records into the rows of a shard, one after the other.

use super::super::align::{Shift, left_align};
use super::super::allele::{self, AltKind, VariantType, alt_kind, trim};
use super::super::extent::Extent;
use super::super::fasta::Sequence;
use super::super::fields::Cells;
use super::super::gt::{Call, MAX_ALLELES, MISSING, NOT_EXPECTED, UNSUPPORTED};
use super::super::merge::values::Levels;
use super::super::region::{self, Chrom, Region};
use super::super::summary::View;
use super::super::survivors::Survivors;
use super::super::{HalfCalls, ReferenceMismatch, csq, policy};
use super::*;

mod joined;
pub mod keep;
mod scatter;

/// Most bytes of REF and ALT together that a record may have.
const MAX_ALLELE_BYTES: usize = 1 << 22;

/// Builds [`ShardRows`] record by record. Call [`Builder::begin`], fill `calls`, call [`Builder::add`].
pub struct Builder<'a> {
    /// What the scan needs to know.
    pub context: &'a Context,
    /// Calls of the record at hand that are not plain hom-ref.
    pub calls: Vec<Call>,
    /// FORMAT fields of the record at hand.
    pub cells: Cells,
    halves: i32,
    /// The last blank line and how many end with it.
    blanks: Option<(u32, u32)>,
    fresh: bool,
    /// Sequence of the chromosome at hand.
    sequence: Option<Sequence<'a>>,
    /// Whether the record at hand agrees with it.
    agrees: bool,
    /// Chromosome of the file, if it may have no other.
    pub only: Option<Chrom>,
    confidence: Vec<u8>,
    /// For a merge: GQ and DP of the reference block at hand.
    stated: Vec<Levels>,
    out: ShardRows,
    slots: Vec<[i32; CLASSES]>,
    scratch: [Vec<u8>; EXTRAS],
    chrom: Vec<u8>,
    /// By kind of plane: the last one that was kept, as rows name it.
    last: [u32; EXTRAS],
}

impl<'a> Builder<'a> {
    /// An empty shard.
    pub fn new(context: &'a Context) -> Self {
        let cohort = &context.cohort;
        let stride = cohort.stride();
        let group_count = cohort.groups.len();
        Self {
            context,
            calls: Vec::new(),
            cells: Cells::default(),
            halves: 0,
            blanks: None,
            fresh: false,
            sequence: None,
            agrees: false,
            only: None,
            confidence: Vec::new(),
            stated: Vec::new(),
            out: ShardRows { stride, group_count, ..ShardRows::default() },
            slots: vec![[0; CLASSES]; cohort.cells.len()],
            scratch: std::array::from_fn(|_| vec![0; stride]),
            chrom: Vec::new(),
            last: [0; EXTRAS],
        }
    }

    /// The finished shard.
    pub fn finish(mut self) -> ShardRows {
        self.out.summaries.finish();
        let end = self.out.lines as u32;
        self.out.blank = self.blanks.filter(|(last, _)| last + 1 == end).map_or(0, |(_, n)| n);
        self.out
    }

    /// Counts a line and forgets the calls of the one before.
    pub fn begin(&mut self) {
        self.out.lines += 1;
        self.calls.clear();
        self.cells.clear();
    }

    /// Rejects the line at hand, which is blank. At the end of a file it is nothing, as the assembler finds.
    pub fn blank(&mut self) {
        let line = (self.out.lines - 1) as u32;
        let run = self.blanks.filter(|(last, _)| last + 1 == line).map_or(0, |(_, n)| n);
        self.blanks = Some((line, run + 1));
        self.out.tallies.alleles += 1;
        self.out.rejects.push(Reject { line, reason: "column_count", alleles: 1 });
    }

    /// Rejects the record at hand, `alleles` ALT alleles with it.
    pub fn reject(&mut self, reason: &'static str, alleles: usize) {
        let alleles = alleles.max(1) as u32;
        self.out.tallies.alleles += u64::from(alleles);
        let line = (self.out.lines - 1) as u32;
        self.out.rejects.push(Reject { line, reason, alleles });
    }

    /// Notes where the record at hand starts, if it or an allele of it was rejected.
    pub fn place_reject(&mut self, place: impl FnOnce() -> Option<u64>) {
        if self.out.places.len() < self.out.rejects.len() {
            self.out.places.resize(self.out.rejects.len(), place());
        }
    }

    /// Takes every included sample as not called: the record has no GT.
    pub fn no_calls(&mut self) {
        self.out.tallies.without_gt += 1;
        let missing = |sample| Call { sample, a: MISSING, b: MISSING, phased: false };
        self.calls.clear();
        self.calls.extend((0..self.context.cohort.len() as u32).map(missing));
    }

    /// Checks what does not depend on genotypes; a rejected record need not be scanned.
    pub fn fault(site: &Site<'_>) -> Option<&'static str> {
        if site.pos < 1 || site.pos > i32::MAX - (1 << 26) {
            return Some("bad_pos");
        }
        if !allele::is_bases(site.reference) {
            return Some("bad_ref");
        }
        if site.reference.len() + site.alt.len() > MAX_ALLELE_BYTES {
            return Some("allele_too_long");
        }
        if site.alt.is_empty() {
            return Some("bad_alt");
        }
        if site.alt != b"."
            && site.alt.split(|&b| b == b',').any(|alt| alt_kind(alt) == AltKind::Bad)
        {
            return Some("bad_alt");
        }
        super::super::syntax::fault(site)
    }

    /// Adds the record whose calls are in `calls`; `max` is the largest allele index that its
    /// genotypes name.
    pub fn add(&mut self, site: &Site<'_>, max: u16) {
        let count = if site.alt == b"." { 0 } else { 1 + commas(site.alt) };
        if count > MAX_ALLELES {
            return self.reject("too_many_alleles", count);
        }
        if usize::from(max) > count {
            return self.reject("gt_allele_out_of_range", count);
        }
        if self.only.is_some() && self.only != region::chrom(site.chrom) {
            return self.reject("other_chromosome", count);
        }
        if region::of_other_genome(site.chrom, self.context.genome) {
            return self.reject("other_genome", count);
        }
        let Some(region) = self.locate(site) else {
            return self.reject("bad_contig", count);
        };
        if !self.check_reference(site) {
            return self.reject("ref_mismatch", count);
        }
        self.out.tallies.alleles += count.max(1) as u64;
        if self.reference(site) {
            return;
        }
        if region == Region::Y && !self.context.cohort.females.is_empty() {
            self.expect_none_of_females();
        }
        self.settle();
        self.split(site, count, region);
    }

    /// Compares REF with the reference, if there is one; `false` when the record is to be rejected.
    fn check_reference(&mut self, site: &Site<'_>) -> bool {
        self.agrees = self.sequence.is_some_and(|s| s.agrees(site.pos, site.reference));
        if self.agrees || self.context.reference.is_none() {
            return true;
        }
        if self.sequence.is_none() {
            self.out.tallies.contig_not_in_reference += 1;
            return true;
        }
        match self.context.reference_mismatch {
            ReferenceMismatch::Reject => return false,
            ReferenceMismatch::Keep => self.out.tallies.ref_mismatch_kept += 1,
            ReferenceMismatch::Error => {
                self.out.mismatch.get_or_insert((self.out.lines - 1) as u32);
            }
        }
        true
    }

    /// Applies the policies on half calls and filtered genotypes.
    fn settle(&mut self) {
        let rules = &self.context.fields.calls;
        let halves = self.calls.iter().filter(|c| policy::is_half(c)).count();
        self.out.tallies.half_calls += halves as u64;
        if halves > 0 && rules.half_calls == HalfCalls::Error {
            self.out.half_call.get_or_insert((self.out.lines - 1) as u32);
        }
        self.halves =
            if halves == 0 { 0 } else { policy::settle_halves(&mut self.calls, rules.half_calls) };
        policy::filter(&mut self.calls, &mut self.cells.failed);
        self.out.tallies.filtered += self.cells.failed.len() as u64;
    }

    /// Opens or continues the segment and says which region it is; `None` for a name that cannot be used.
    fn locate(&mut self, site: &Site<'_>) -> Option<Region> {
        let line = (self.out.lines - 1) as u32;
        if self.out.segments.is_empty() || self.chrom != site.chrom {
            let chrom = region::chrom(site.chrom)?;
            self.chrom = site.chrom.to_vec();
            self.sequence =
                self.context.reference.as_ref().and_then(|r| r.sequence_of(&chrom.name));
            if self.out.segments.last().is_none_or(|s| s.chrom != chrom) {
                self.out.segments.push(Segment {
                    chrom,
                    first_pos: site.pos,
                    last_pos: site.pos,
                    first_line: line,
                    first_row: self.out.rows.len(),
                });
            }
        }
        let segment = self.out.segments.last_mut()?;
        if site.pos < segment.last_pos {
            self.out.unsorted.get_or_insert(line);
        }
        segment.last_pos = site.pos;
        let kind = segment.chrom.kind;
        Some(Region::of(self.context.genome, kind, site.pos))
    }

    /// XX on non-PAR Y: neither called nor missing, whatever the file says; `b` keeps whether it has a call.
    fn expect_none_of_females(&mut self) {
        let females = &self.context.cohort.females;
        let mut silent = Vec::new();
        self.calls.retain(|c| {
            let female = females.binary_search(&c.sample).is_ok();
            if female && (c.a.max(c.b) == MISSING || c.a == UNSUPPORTED) {
                silent.push(c.sample);
            }
            !female
        });
        silent.sort_unstable();
        let none = |&sample: &u32| {
            let b = if silent.binary_search(&sample).is_ok() { MISSING } else { NOT_EXPECTED };
            Call { sample, a: NOT_EXPECTED, b, phased: false }
        };
        self.calls.extend(females.iter().map(none));
    }

    fn split(&mut self, site: &Site<'_>, count: usize, region: Region) {
        let unsupported = self.calls.iter().filter(|c| c.a == UNSUPPORTED).count();
        self.out.tallies.unsupported_ploidy += unsupported as u64;
        let survivors = self.survivors(site, count);
        let remains = |i: usize| survivors.as_ref().map_or(i as u16 + 1, |s| s.index[i]);
        let alts = || site.alt.split(|&b| b == b',').map(|alt| (alt, alt_kind(alt))).enumerate();
        let keep = self.context.keep.is_some();
        if let Some(s) = survivors.as_ref().filter(|_| !keep) {
            self.out.tallies.no_carrier += s.dropped;
            // Nothing of a record without a row is kept.
            if s.alt.is_empty() {
                return;
            }
        }
        if let Some(s) = &survivors {
            self.cells.forget(|i| s.index.get(i).is_some_and(|&index| index > 0));
        }
        self.out.tallies.unusable_values += self.cells.unusable;
        self.out.tallies.miscounted_depths += self.cells.miscounted;
        self.fresh = true;
        let (front, back) = survivors.as_ref().map_or((0, 0), |s| (s.front, s.back));
        let reference = &site.reference[front..site.reference.len() - back];
        let empty = Span::default();
        let withheld = survivors.is_some() && site.id != b"." && !is_rs(site.id);
        self.out.tallies.id_withheld += u64::from(withheld);
        let id = if site.id == b"." || withheld { empty } else { self.out.keep(site.id) };
        let orig_ref = self.out.keep(reference);
        let orig_alt = self.out.keep(survivors.as_ref().map_or(site.alt, |s| &s.alt));
        let filter = self.out.keep(site.filter);
        let info = self.keep_info(site.info);
        let base = Row {
            line: (self.out.lines - 1) as u32,
            pos: site.pos,
            end: 0,
            extent: 0,
            reference: empty,
            alt: empty,
            orig_pos: site.pos + front as i32,
            orig_ref,
            orig_alt,
            index: 0,
            id,
            filter,
            info,
            consequences: empty,
            qual: site.qual,
            allele: 0,
            alleles: count as u16,
            reduced: survivors.is_some(),
            was_split: survivors.as_ref().map_or_else(
                || alts().filter(|(_, (_, kind))| *kind != AltKind::NonRef).count() > 1,
                |s| s.split,
            ),
            kind: VariantType::Symbolic,
            change: Change::Other,
            region,
            counts: Counts::default(),
            phasing: Phasing::All,
            extra: [0; EXTRAS],
        };
        let format = self.context.consequences.as_ref();
        let mut strays = format.map_or(0, |f| f.count(site));
        for (i, (alt, kind)) in alts().filter(|(i, _)| keep || remains(*i) > 0) {
            let entries = format.map(|f| f.of_allele(site, i));
            strays = strays.saturating_sub(entries.as_deref().map_or(0, csq::count));
            let consequences = entries.map_or(empty, |text| self.out.keep(&text));
            let (allele, index) = ((i + 1) as u16, remains(i));
            let row = || Row { allele, index, consequences, ..base.clone() };
            match kind {
                AltKind::Star => self.out.tallies.star += 1,
                AltKind::NonRef => self.out.tallies.non_ref += 1,
                AltKind::Symbolic => self.symbolic(site, reference, alt, row()),
                AltKind::Bases => self.bases(site, alt, row()),
                AltKind::Bad => {}
            }
        }
        // Of a record that lost an ALT an entry that names none may be of that ALT: not even its number is told.
        if survivors.is_none() {
            self.out.tallies.consequence_unmatched += strays;
        }
    }

    /// Keeps the values of the selected INFO fields, no others, and returns the index of the first.
    fn keep_info(&mut self, info: &[u8]) -> u32 {
        let fields = &self.context.info;
        let first = self.out.infos.len();
        self.out.infos.resize(first + fields.len(), None);
        if fields.iter().all(|f| f.withheld) {
            return first as u32;
        }
        for part in info.split(|&b| b == b';') {
            let (key, value) = match memchr::memchr(b'=', part) {
                Some(n) => (&part[..n], &part[n + 1..]),
                None => (part, &b""[..]),
            };
            let wanted = |f: &InfoField| !f.withheld && f.id.as_bytes() == key;
            if let Some(k) = fields.iter().position(wanted)
                && self.out.infos[first + k].is_none()
            {
                self.out.infos[first + k] = Some(self.out.keep(value));
            }
        }
        first as u32
    }

    /// What remains of the record's ALTs; `None` when all do, as always where no sample stays out.
    fn survivors(&self, site: &Site<'_>, count: usize) -> Option<Survivors> {
        if !self.context.cohort.leaves_out() {
            return None;
        }
        let mut carried = vec![false; count];
        for allele in self.calls.iter().flat_map(|c| [c.a, c.b]) {
            if (1..NOT_EXPECTED).contains(&allele)
                && let Some(seen) = carried.get_mut(usize::from(allele) - 1)
            {
                *seen = true;
            }
        }
        Survivors::of(site.reference, site.alt, &carried)
    }

    fn symbolic(&mut self, site: &Site<'_>, reference: &[u8], alt: &[u8], mut row: Row) {
        row.reference = self.out.keep_upper(reference);
        row.alt = self.out.keep(alt);
        let extent = Extent::of(site, reference, alt, row.allele, row.alleles);
        (row.end, row.extent) = (extent.end, extent.key);
        self.push(row);
    }

    fn bases(&mut self, site: &Site<'_>, alt: &[u8], mut row: Row) {
        if alt.eq_ignore_ascii_case(site.reference) {
            let line = row.line;
            self.out.rejects.push(Reject { line, reason: "alt_is_ref", alleles: 1 });
            return;
        }
        let (front, back) = trim(site.reference, alt);
        let reference = &site.reference[front..site.reference.len() - back];
        let alt = &alt[front..alt.len() - back];
        row.pos += front as i32;
        let shift = match self.sequence.filter(|_| self.agrees) {
            Some(sequence) => left_align(&sequence, row.pos, reference, alt),
            None => Shift::None,
        };
        match shift {
            Shift::None => {
                row.reference = self.out.keep_upper(reference);
                row.alt = self.out.keep_upper(alt);
            }
            Shift::Moved(aligned) => {
                row.pos = aligned.pos;
                row.reference = self.out.keep(&aligned.reference);
                row.alt = self.out.keep(&aligned.alt);
            }
            Shift::TooFar => {
                let line = row.line;
                self.out.rejects.push(Reject { line, reason: "moved_too_far", alleles: 1 });
                return;
            }
        }
        row.end = row.pos + self.out.text(row.reference).len() as i32 - 1;
        let (reference, alt) = (self.out.text(row.reference), self.out.text(row.alt));
        row.kind = VariantType::of(reference, alt);
        row.change = Change::of(row.kind, reference, alt);
        self.push(row);
    }

    /// Counts and scatters the calls for the row's allele and appends it.
    fn push(&mut self, mut row: Row) {
        if self.context.keep.is_some() {
            return self.keep_row(row);
        }
        let scatter = self.scatter(row.allele, row.region);
        row.phasing = scatter.phasing;
        for (i, used) in scatter.used.iter().enumerate() {
            // Without samples, in a list of sites, there are no planes.
            if *used && self.out.stride > 0 {
                let plane = &mut self.scratch[i];
                // On X, Y and MT these follow from who is in, so rows share one copy.
                let by_cohort = i == Extra::Haploid as usize || i == Extra::NotExpected as usize;
                let last = self.last[i] as usize;
                let stride = self.out.stride;
                let at = (last.max(1) - 1) * stride..last * stride;
                if by_cohort && last > 0 && self.out.extras[at] == plane[..] {
                    row.extra[i] = self.last[i];
                } else {
                    self.out.extras.extend_from_slice(plane);
                    row.extra[i] = (self.out.extras.len() / stride) as u32;
                    self.last[i] = row.extra[i];
                }
                plane.fill(0);
            }
        }
        let cohort = &self.context.cohort;
        let first = self.out.groups.len();
        self.out.groups.resize(first + cohort.groups.len(), [0; 4]);
        // Cells are counted once; totals and groups are sums of them.
        for (classes, cell) in self.slots.iter().zip(&cohort.cells) {
            let counts = Counts::of(classes, cell.size, row.region.haploid(cell.sex));
            row.counts.add(&counts);
            if let Some(group) = self.out.groups.get_mut(first + usize::from(cell.group)) {
                for (sum, part) in group.iter_mut().zip(counts.short()) {
                    *sum += part;
                }
            }
            if self.context.keep_cells {
                self.out.cells.push(counts.short());
            }
        }
        row.counts.half += self.halves;
        self.summarise(&row);
        self.out.rows.push(row);
    }

    /// Sums up the FORMAT fields of the row that is about to be appended.
    fn summarise(&mut self, row: &Row) {
        let out = &mut self.out;
        let i = out.rows.len();
        let (het, hom) =
            out.planes[i * 2 * out.stride..(i + 1) * 2 * out.stride].split_at(out.stride);
        let at = row.extra[Extra::Haploid as usize] as usize;
        let c = &row.counts;
        let view = View {
            het,
            hom,
            haploid: (at > 0).then(|| &out.extras[(at - 1) * out.stride..at * out.stride]),
            allele: usize::from(row.allele),
            total: [c.ac(), c.an(), c.hom_alt, c.hemi_alt],
            groups: &out.groups[i * out.group_count..(i + 1) * out.group_count],
            first: std::mem::take(&mut self.fresh),
        };
        let Context { fields, cohort, .. } = self.context;
        out.summaries.push(&view, &self.cells, &self.cells.failed, fields, cohort);
    }
}

/// Whether an ID is a single dbSNP number, which names a site and not the alleles of this file.
fn is_rs(id: &[u8]) -> bool {
    id.strip_prefix(b"rs").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// Number of commas.
pub fn commas(text: &[u8]) -> usize {
    text.iter().filter(|&&b| b == b',').count()
}
